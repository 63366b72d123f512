"""Where `train` learns from: a dataset folder, or samples on the fly; and the template masks of either."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.training.request import TrainingRequest

if TYPE_CHECKING:
    import numpy as np

    from deocc_bench.models.training.data import Example, Source
    from deocc_bench.synth.spec import SynthSpec

# The occlusion ratios that a person is shown with are spread over so many epochs, each a stratum of the distribution.
_RATIO_STRATA = 8


class OnlineSource:
    """Samples on the fly as training examples; what bags hide of a person is marked as unknown."""

    def __init__(self, spec: SynthSpec, split: str) -> None:
        from deocc_bench.synth.online import OnlineSamples

        self.samples = OnlineSamples(spec, split)
        self._unknown: dict[int, np.ndarray | None] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def example(self, epoch: int, index: int) -> Example:
        """The sample of human `index` in an epoch."""
        from deocc_bench.models.training.data import Example

        sample = self.samples.make(epoch, index)
        if index not in self._unknown:
            self._unknown[index] = self._find_unknown(index)
        return Example.of(sample, self._unknown[index])

    def _find_unknown(self, index: int) -> np.ndarray | None:
        """bool size x size in the human's crop; None where all is known."""
        import cv2

        from deocc_bench.core.masks import tight_box
        from deocc_bench.core.window import cut, window
        from deocc_bench.synth.humans import PartlyKnown

        entry, size = self.samples.entries[index], self.samples.spec.size
        source = self.samples.sources[entry.source]
        if not isinstance(source, PartlyKnown) or size is None:
            return None
        whole = source.unknown(entry.id)
        if not whole.any():
            return None
        box = tight_box(source.load(entry.id).mask)
        assert box is not None
        crop = cut(whole, window(box)).astype("uint8")
        return cv2.resize(crop, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) > 0


def open_source(request: TrainingRequest) -> tuple[Source, dict[str, Any]]:
    """The training examples, and what a record says about them.

    Raises:
        UsageError: neither a dataset nor sources, or both.
        InputError: broken input.
    """
    from deocc_bench.core.dataset import DatasetReader
    from deocc_bench.models.training.data import FolderSource
    from deocc_bench.synth.spec import SynthSpec, parse_count_range, parse_ratio

    if (request.data is None) == (not request.humans):
        raise UsageError("say what to learn from: either --data DATASET, or --humans and --occluders")
    if request.data is not None:
        reader = DatasetReader(request.data)
        about = {"dataset": reader.name, "fingerprint": reader.fingerprint, "split": request.split}
        return FolderSource(reader, request.split), about
    if not request.occluders:
        raise UsageError("--humans needs --occluders, e.g. --occluders shapes")
    spec = SynthSpec(
        humans=request.humans,
        occluders=request.occluders,
        variants=_RATIO_STRATA,
        ratios=parse_ratio(request.ratio),
        per_sample=parse_count_range(request.per_sample),
        initial=request.initial,
        allow_bags=request.allow_bags,
        holdout=request.holdout,
        seed=request.synth_seed,
        placement=request.placement,
    )
    source = OnlineSource(spec, request.split)
    return source, {"on_the_fly": spec.public(), "split": request.split, "humans": len(source)}


def amodal_masks(source: Source, most: int = 1000) -> list[np.ndarray]:
    """Whole-person masks of a source, of those that are known completely."""
    examples = (source.example(0, i) for i in range(min(most, len(source))))
    return [e.amodal for e in examples if e.unknown is None or not e.unknown.any()]


def fitted(masks: list[np.ndarray], count: int) -> Any:
    """Template masks, count x 32 x 32, of the masks and their mirror images; repeated where those are few."""
    import numpy as np
    import torch

    from deocc_bench.models.templates import fit_templates

    both = [view for mask in masks for view in (mask, mask[:, ::-1])]
    templates = fit_templates(both, min(count, len(both)))
    return torch.from_numpy(np.resize(templates, (count, *templates.shape[1:])))


def read_templates(path: Path, count: int) -> Any:
    """Template masks of a file of `train templates`.

    Raises:
        InputError: missing, broken, or another number of them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        templates = load_file(path)["templates"]
    except FileNotFoundError:
        raise InputError(path, "no such file", "make it with `deocc-bench train templates`") from None
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(path, f"holds no templates ({error})", "make it with `deocc-bench train templates`") from None
    if len(templates) != count:
        raise InputError(path, f"holds {len(templates)} templates, the network has {count}", f"fit {count} of them")
    return templates
