"""The networks as methods of the benchmark: ``two-stage[:preset]``, ``mask-baseline``, ``content-baseline``."""

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from deocc_bench.core.errors import InputError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput
from deocc_bench.methods.calling import hand_over
from deocc_bench.methods.contract import Stage
from deocc_bench.methods.devices import resolve_device
from deocc_bench.models.config import DEFAULT_PRESET
from deocc_bench.models.config import preset as find_preset
from deocc_bench.models.content_net import ContentResult, content_input
from deocc_bench.models.deploy import Precision, fast_form
from deocc_bench.models.initial_mask_trust import initial_mask_log_odds, network_surprise, trusted_masks
from deocc_bench.models.mask_net import MaskLogits, MaskNet
from deocc_bench.models.mirror import mirrored
from deocc_bench.models.weights import Config, Kind, build, load_weights, read_info, shipped_weights
from deocc_bench.models.working_frame import WorkingFrame

RANDOM_SEED = 0


class _Stage:
    """A network, its origin, and its deployed form; `about` describes its weights in result records."""

    def __init__(
        self, kind: Kind, config: Config, *, name: str, weights: Path | None, device: str, options: dict
    ) -> None:
        path = weights or shipped_weights(name)
        if path is None:
            self.net = build(config, RANDOM_SEED).eval()
            self.about = f"none: random initialisation, seed {RANDOM_SEED}"
            print(f"{name}: no trained weights, using random weights; give weights=FILE", file=sys.stderr)
        else:
            # An included file must match its name; a file from the user brings its own configuration.
            self.net, info = load_weights(path, None if weights else config)
            self.about = f"{info.path.name} sha256:{info.digest}"
        if kind != ("mask" if isinstance(self.net, MaskNet) else "content"):
            raise InputError(weights or name, f"does not hold a {kind} network", f"give {kind} weights")
        self.device = torch.device(resolve_device(device))
        self.form = fast_form(self.net, self.device, **options)
        self.size = self.net.config.size
        self._one_at_a_time = threading.Lock()

    def run(self, tensors: tuple[Tensor, ...]) -> Any:
        """Run the network. Its form keeps buffers between calls, so threads wait for each other."""
        with self._one_at_a_time:
            return self.form(*tensors)

    def moved(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Copy the tensors to the network's device and wait until the copies are complete."""
        there = tuple(t.to(self.device) for t in tensors)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return there


class TwoStage:
    """Refined mask completion, then parsing guided content recovery.

    Args:
        preset: name of a row of `deocc_bench.models.config.PRESETS`.
        weights: weights file of one stage, or a folder with files of both (each says which it is); the shipped ones
            of the preset without it, and random ones, with a notice on stderr, where none ship.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        size: longer side at which the networks work, pixels; None uses the size in the configuration.
        compile: run through `torch.compile` (CUDA graphs on a GPU).
        mirror: let stage 1 also process the mirror image and average both predictions, which doubles its work.

    The method keeps no state between calls. `recover` reads the batch's parsing; if there is none, the mask stage
    predicts one. `weights_used` names the weights of each stage.
    """

    name = "two-stage"
    needs: tuple[str, ...] = ("initial",)
    recover_needs: tuple[str, ...] = ()
    mask_options: dict[str, object] = {}  # noqa: RUF012 - a constant of the class
    content_options: dict[str, object] = {}  # noqa: RUF012
    suffix = ""
    stages: tuple[Kind, ...] = ("mask", "content")

    def __init__(
        self,
        preset: str = DEFAULT_PRESET,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        precision: Precision = "float32",
        size: int | None = None,
        compile: bool = False,
        mirror: bool = False,
    ) -> None:
        chosen = find_preset(preset)
        configs: dict[Kind, Config] = {
            "mask": dataclasses.replace(chosen.mask, **self.mask_options),  # type: ignore[arg-type]
            "content": dataclasses.replace(chosen.content, **self.content_options),  # type: ignore[arg-type]
        }
        files = _weight_files(weights, self.stages)
        options = {"precision": precision, "compile": compile}
        self.size, self.preset, self.precision = size, preset, precision
        self._stages = {
            kind: _Stage(
                kind,
                configs[kind],
                name=f"{preset}-{kind}{self.suffix}",
                weights=files.get(kind),
                device=device,
                options=options,
            )
            for kind in self.stages
        }
        self._doubled: Callable[[Any], Any] = mirrored if mirror else lambda form: form
        if "mask" in self._stages:
            self._stages["mask"].form = self._doubled(self._stages["mask"].form)
        # The deployed form contains a folded copy, so count the networks themselves, once.
        self.parameter_count = sum(p.numel() for stage in self._stages.values() for p in stage.net.parameters())
        self.weights_used = {kind: stage.about for kind, stage in self._stages.items()}

    def complete(self, batch: Batch) -> MaskOutput:
        """Predict amodal and modal masks and parsings at the images' size."""
        if batch.initial is None:
            raise InputError(self.name, "needs initial masks", "give a dataset that has them")
        frame, tensors = self._mask_tensors(batch)
        return self._masks(batch, frame, tensors, self._stages["mask"].run(tensors))

    def recover(self, batch: Batch) -> ContentOutput:
        """Repaint the invisible human region of the images; all other pixels stay unchanged."""
        if batch.modal is None or batch.amodal is None:
            raise InputError(self.name, "needs modal and amodal masks", "run it as task content or joint")
        frame, labels, tensors = self._content_tensors(batch)
        return self._composed(batch, frame, labels, tensors, self._stages["content"].run(tensors))

    @contextlib.contextmanager
    def countable(self) -> Iterator[None]:
        """Run the plain networks within this context, because operation counters can't see into the fast forms."""
        forms = {kind: stage.form for kind, stage in self._stages.items()}
        for kind, stage in self._stages.items():
            plain = torch.inference_mode()(stage.net.forward)
            stage.form = self._doubled(plain) if kind == "mask" else plain
        try:
            yield
        finally:
            for kind, form in forms.items():
                self._stages[kind].form = form

    def latency_stages(self, batch: Batch, function: str | None = None) -> list[Stage]:
        """The timed steps of a run, for `deocc-bench latency`.

        The first function takes the batch; each of the others takes the previous result. If both networks run, the
        second one gets the masks and parsing of the first.

        Args:
            function: "complete" or "recover" for the steps of that function only; None for all.
        """
        parts: list[Stage] = []
        if "mask" in self._stages and function != "recover":
            parts += self._mask_stages()
        if "content" in self._stages and function != "complete":
            parts += [("hand-over", lambda output: hand_over(batch, output))] if parts else []
            parts += self._content_stages()
        return parts

    def _mask_stages(self) -> list[Stage]:
        mask = self._stages["mask"]
        return [
            ("mask: image to tensor", lambda b: (b, *self._mask_tensors(b))),
            ("mask: host-to-device", lambda v: (*v[:2], mask.moved(v[2]))),
            ("mask: network", lambda v: (*v, mask.run(v[2]))),
            ("mask: tensor to masks", lambda v: self._masks(*v)),
        ]

    def _content_stages(self) -> list[Stage]:
        content = self._stages["content"]
        return [
            ("content: image to tensor", lambda b: (b, *self._content_tensors(b))),
            ("content: host-to-device", lambda v: (*v[:3], content.moved(v[3]))),
            ("content: network", lambda v: (*v, content.run(v[3]))),
            ("content: tensor to image", lambda v: self._composed(*v)),
        ]

    def _content_tensors(self, batch: Batch) -> tuple[WorkingFrame, np.ndarray, tuple[Tensor, ...]]:
        """The frame, the amodal parsing at the images' size, and the network's inputs."""
        assert batch.modal is not None
        assert batch.amodal is not None
        stage = self._stages["content"]
        frame = WorkingFrame.fit(batch.images.shape[1], batch.images.shape[2], self.size or stage.size)
        modal, amodal = frame.masks(batch.modal), frame.masks(batch.amodal)
        erased, visible = content_input(frame.images(batch.images), modal, amodal)
        modal_parsing, parsing = self._parsing(batch)
        return frame, parsing, (erased, visible, amodal, frame.labels(modal_parsing), frame.labels(parsing))

    @torch.inference_mode()
    def _composed(
        self, batch: Batch, frame: WorkingFrame, labels: np.ndarray, tensors: tuple[Tensor, ...], result: ContentResult
    ) -> ContentOutput:
        assert batch.modal is not None
        assert batch.amodal is not None
        image, flat = result.image.float().cpu().permute(0, 2, 3, 1).numpy(), None
        prior = getattr(self._stages["content"].net, "prior", None)
        detailed = batch.parsing is not None and batch.parsing_source != "method"
        if prior is not None and frame.shrinks and detailed:
            # The network's residual is smooth and can be enlarged. The colours of the body parts meet at edges, so they
            # are drawn at the image's own size. A predicted parsing has no finer edges than the network's frame.
            erased, visible, _, modal_parsing, parsing = (t.cpu() for t in tensors)
            table = np.pad(prior.colours(erased, visible, modal_parsing).numpy(), ((0, 0), (1, 0), (0, 0)))
            image = image - np.stack([t[p] for t, p in zip(table, parsing.numpy(), strict=True)])
            flat = np.stack([t[p] for t, p in zip(table, labels, strict=True)])
        painted = frame.back(image)
        painted = painted if flat is None else painted + flat
        painted = np.clip(np.rint((painted + 1.0) * 127.5), 0, 255).astype(np.uint8)
        invisible = batch.amodal & ~batch.modal
        return ContentOutput(np.where(invisible[..., None], painted, batch.images))

    def _mask_tensors(self, batch: Batch) -> tuple[WorkingFrame, tuple[Tensor, Tensor]]:
        assert batch.initial is not None
        frame = WorkingFrame.fit(batch.images.shape[1], batch.images.shape[2], self.size or self._stages["mask"].size)
        return frame, (frame.images(batch.images), frame.coverage(batch.initial))

    def _masks(self, batch: Batch, frame: WorkingFrame, tensors: tuple[Tensor, ...], logits: MaskLogits) -> MaskOutput:
        def margin(values: Tensor) -> np.ndarray:
            return (values[:, 1] - values[:, 0]).float().cpu().numpy()

        def parts(values: Tensor | None) -> np.ndarray | None:
            if values is None:
                return None
            foreground = 1 + values[:, 1:].argmax(dim=1)
            return frame.back(foreground.to("cpu").numpy().astype(np.uint8), cv2.INTER_NEAREST)

        # Resize the margins before thresholding: outlines are then smooth at the image's size.
        amodal_margin = frame.back(margin(logits.amodal))
        amodal, modal = amodal_margin > 0, None
        if logits.modal is not None:
            in_frame = margin(logits.modal)
            modal_margin = frame.back(in_frame)
            if frame.shrinks and batch.initial is not None:
                found = network_surprise(tensors[1][:, 0].cpu().numpy(), in_frame)
                odds = np.stack(
                    [initial_mask_log_odds(mask, nats) for mask, nats in zip(batch.initial, found, strict=True)]
                )
                amodal, modal = trusted_masks(amodal_margin, modal_margin, odds)
            else:
                modal = modal_margin > 0
                amodal = amodal | modal
        parsing, modal_parsing = parts(logits.parsing_amodal), parts(logits.parsing_modal)
        return MaskOutput(
            amodal,
            modal,
            None if parsing is None else parsing * amodal,
            None if modal_parsing is None or modal is None else modal_parsing * modal,
        )

    def _parsing(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """(modal, amodal) parsing for `recover`: that of the batch, or else the mask stage's prediction."""
        assert batch.modal is not None
        assert batch.amodal is not None
        whole, visible = batch.parsing, batch.modal_parsing
        if whole is None and "mask" in self._stages:
            initial = batch.modal if batch.initial is None else batch.initial
            own = self.complete(dataclasses.replace(batch, initial=initial))
            whole, visible = own.parsing, own.modal_parsing
        if whole is None:
            nothing = np.zeros(batch.modal.shape, np.uint8)
            return nothing, nothing
        return (whole if visible is None else visible) * batch.modal, whole * batch.amodal


class MaskBaseline(TwoStage):
    """The ablation baseline of stage 1: two hourglasses without branches and templates. It only completes masks."""

    name = "mask-baseline"
    mask_options = {"branches": False}  # noqa: RUF012
    suffix = "-baseline"
    stages = ("mask",)
    recover = None  # type: ignore[assignment]


class ContentBaseline(TwoStage):
    """The ablation baseline of stage 2: the same partial-convolution U-Net without PGA. It only recovers content."""

    name = "content-baseline"
    needs = ()
    content_options = {"pga": "none"}  # noqa: RUF012
    suffix = "-baseline"
    stages = ("content",)
    complete = None  # type: ignore[assignment]


def _weight_files(weights: str | Path | None, stages: tuple[Kind, ...]) -> dict[Kind, Path]:
    """Find the weights file of each stage."""
    if weights is None:
        return {}
    path = Path(weights)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise InputError(path, "holds no .safetensors file", "give a weights file or a folder of them")
    found: dict[Kind, Path] = {}
    for file in files:
        kind = read_info(file).kind
        if kind in found:
            raise InputError(path, f"holds two {kind} networks", "give a folder with one file per stage")
        found[kind] = file
    if not set(found) & set(stages):
        raise InputError(path, f"holds {' and '.join(found)} weights", f"give {' or '.join(stages)} weights")
    return {kind: file for kind, file in found.items() if kind in stages}
