"""The training data of `train`: a dataset folder or samples made on the fly, and template masks from either."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.training.request import TrainingRequest

if TYPE_CHECKING:
    import numpy as np

    from deocc_bench.models.training.data import Example, Source
    from deocc_bench.synth.spec import SynthSpec

# Strata of the occlusion ratio: each epoch draws a person's ratio from another stratum, in cycles of this many epochs.
_RATIO_STRATA = 8


class OnlineSource:
    """Samples made on the fly as training examples; regions occluded by bags are marked as unknown."""

    def __init__(self, spec: SynthSpec, split: str) -> None:
        from deocc_bench.synth.online import OnlineSamples

        self.samples = OnlineSamples(spec, split)
        self._unknown: dict[int, np.ndarray | None] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def example(self, epoch: int, index: int) -> Example:
        """Return the sample of human `index` in an epoch."""
        from deocc_bench.models.training.data import Example

        sample = self.samples.make(epoch, index)
        if index not in self._unknown:
            self._unknown[index] = self._find_unknown(index)
        return Example.of(sample, self._unknown[index])

    def _find_unknown(self, index: int) -> np.ndarray | None:
        """Unknown pixels in the human's crop, bool size x size; None if there are none."""
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
    """Open the training examples, and describe them for the record.

    Raises:
        UsageError: neither a dataset nor human sources are set, or both are.
        InputError: broken input.
    """
    from deocc_bench.core.dataset import DatasetReader
    from deocc_bench.models.training.data import FolderSource
    from deocc_bench.synth.spec import SynthSpec, parse_count_range, parse_ratio

    if (request.data is None) == (not request.humans):
        raise UsageError("no training data or two kinds of it; give either --data DATASET, or --humans and --occluders")
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


def input_digests(request: TrainingRequest, source: Source) -> dict[str, str]:
    """Digests of the data of a run, which a resumed run must match."""
    from deocc_bench.core.dataset import annotation_path
    from deocc_bench.core.files import sha256_file
    from deocc_bench.core.provenance import digest

    found = {}
    if isinstance(source, OnlineSource):
        found["photos, labels and occluders"] = digest(repr(sorted(source.samples.inputs.items())))
    for folder, split in ((request.data, request.split), (request.val, request.val_split)):
        if folder is not None:
            path = annotation_path(folder, split)
            found[str(path)] = sha256_file(path) if path.is_file() else ""
    return found


def amodal_masks(source: Source, most: int = 1000) -> list[np.ndarray]:
    """The amodal masks of the first `most` examples, without those that are partly unknown."""
    examples = (source.example(0, i) for i in range(min(most, len(source))))
    return [e.amodal for e in examples if e.unknown is None or not e.unknown.any()]


def mirrored_templates(masks: list[np.ndarray], count: int) -> Any:
    """Fit template masks, count x 32 x 32, to the masks and their mirror images; repeat them if there are too few."""
    import numpy as np
    import torch

    from deocc_bench.models.templates import fit_templates

    both = [side for mask in masks for side in (mask, mask[:, ::-1])]
    templates = fit_templates(both, min(count, len(both)))
    return torch.from_numpy(np.resize(templates, (count, *templates.shape[1:])))


def read_templates(path: Path, count: int) -> Any:
    """Read the template masks in a file written by `train templates`.

    Raises:
        InputError: missing, broken, or the wrong number of templates.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from deocc_bench.models.config import TEMPLATE_SIDE

    cure = "make it with `deocc-bench train templates`"
    try:
        templates = load_file(path)["templates"]
    except FileNotFoundError:
        raise InputError(path, "no such file", cure) from None
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(path, f"contains no templates ({error})", cure) from None
    fits = templates.dim() == 3 and templates.shape[1:] == (TEMPLATE_SIDE, TEMPLATE_SIDE)
    if not fits or templates.dtype != torch.float32:
        raise InputError(path, f"its templates are {templates.dtype} of shape {tuple(templates.shape)}", cure)
    if not templates.isfinite().all():
        raise InputError(path, "its templates contain non-finite numbers", cure)
    if len(templates) != count:
        problem = f"contains {len(templates)} templates, the network has {count}"
        raise InputError(path, problem, f"fit {count} templates")
    return templates
