"""The networks as methods of the benchmark: ``two-stage[:preset]``, ``mask-baseline``, ``content-baseline``."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from deocc_bench.core.errors import InputError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput
from deocc_bench.models.config import DEFAULT_PRESET
from deocc_bench.models.config import preset as find_preset
from deocc_bench.models.content_net import ContentResult, content_input
from deocc_bench.models.deploy import Precision, fast_form, resolve_device
from deocc_bench.models.initial_mask_trust import given_mask_log_odds, network_surprise, trusted_masks
from deocc_bench.models.mask_net import MaskLogits, MaskNet
from deocc_bench.models.mirror import mirrored
from deocc_bench.models.weights import Config, Kind, build, load_weights, read_info, shipped_weights
from deocc_bench.models.working_frame import WorkingFrame

RANDOM_SEED = 0


@dataclass(frozen=True)
class _Completed:
    """The mask stage's answer for a batch, at the images' size."""

    ids: tuple[str, ...]
    amodal: np.ndarray
    modal: np.ndarray | None
    parsing: np.ndarray | None
    modal_parsing: np.ndarray | None


class _Stage:
    """A network, its origin, and its deployed form; `about` is what a result record says about its weights."""

    def __init__(self, kind: Kind, config: Config, name: str, weights: Path | None, device: str, options: dict) -> None:
        path = weights or shipped_weights(name)
        if path is None:
            self.net = build(config, RANDOM_SEED).eval()
            self.about = f"none: random initialisation, seed {RANDOM_SEED}"
            print(f"{name}: no trained weights, running with random ones; give weights=FILE", file=sys.stderr)
        else:
            # A shipped file must be what its name says; a given one brings its own configuration.
            self.net, info = load_weights(path, None if weights else config)
            self.about = f"{info.path.name} sha256:{info.digest}"
        if kind != ("mask" if isinstance(self.net, MaskNet) else "content"):
            raise InputError(weights or name, f"does not hold a {kind} network", f"give {kind} weights")
        self.device = resolve_device(device)
        self.form = fast_form(self.net, self.device, **options)
        self.size = self.net.config.size

    def moved(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tensors on the network's device, all of them arrived."""
        there = tuple(t.to(self.device) for t in tensors)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return there


class TwoStage:
    """Refined mask completion, then parsing guided content recovery.

    Args:
        preset: ``paper``, ``small`` or ``tiny``.
        weights: weights file of one stage, or a folder with files of both (each says which it is); the shipped ones
            of the preset without it, and random ones, with a notice on stderr, where none ship.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda``.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        size: longer side at which the networks work; the configuration's own without it.
        compile: run through `torch.compile` (CUDA graphs on a GPU).
        mirror: let stage 1 look at the mirror image too and average, at twice its work.

    `parsing_used` says, after `recover`, where its parsing came from: ``true`` (the batch's) or ``mask stage`` (the
    method's own). `weights_used` names each stage's weights.
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
            kind: _Stage(kind, configs[kind], f"{preset}-{kind}{self.suffix}", files.get(kind), device, options)
            for kind in self.stages
        }
        self._doubled: Callable[[Any], Any] = mirrored if mirror else lambda form: form
        if "mask" in self._stages:
            self._stages["mask"].form = self._doubled(self._stages["mask"].form)
        # The deployed form holds a folded copy: the networks themselves are counted, once.
        self.parameter_count = sum(p.numel() for stage in self._stages.values() for p in stage.net.parameters())
        self.weights_used = {kind: stage.about for kind, stage in self._stages.items()}
        self.parsing_used: str | None = None
        self._last: _Completed | None = None

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal and modal masks and the amodal parsing, at the images' size."""
        if batch.initial is None:
            raise InputError(self.name, "needs initial masks", "give a dataset that has them")
        done = self._last = self._complete(batch, batch.initial)
        return MaskOutput(done.amodal, done.modal, done.parsing)

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the invisible human region repainted; every other pixel is the input's."""
        if batch.modal is None or batch.amodal is None:
            raise InputError(self.name, "needs modal and amodal masks", "run it as task content or joint")
        frame, labels, tensors = self._content_tensors(batch)
        return self._composed(batch, frame, labels, tensors, self._stages["content"].form(*tensors))

    @contextlib.contextmanager
    def countable(self) -> Iterator[None]:
        """Within, the networks run as they are described: counters of operations can't see into the fast forms."""
        forms = {kind: stage.form for kind, stage in self._stages.items()}
        for kind, stage in self._stages.items():
            plain = torch.inference_mode()(stage.net.forward)
            stage.form = self._doubled(plain) if kind == "mask" else plain
        try:
            yield
        finally:
            for kind, form in forms.items():
                self._stages[kind].form = form

    def latency_stages(self, batch: Batch) -> list[tuple[str, Callable[[Any], Any]]]:
        """What a run is made of, for `deocc-bench latency`: the first function takes the batch, each next one the
        previous result. With both networks the second is given the first one's masks and parsing.
        """
        mask, content = self._stages.get("mask"), self._stages.get("content")
        parts: list[tuple[str, Callable[[Any], Any]]] = []
        if mask is not None:
            parts += [
                ("mask: image to tensor", lambda b: (b, *self._mask_tensors(b, b.initial))),
                ("mask: host-to-device", lambda v: (v[0], v[1], mask.moved(v[2]))),
                ("mask: network", lambda v: (*v, mask.form(*v[2]))),
                ("mask: tensor to masks", lambda v: (v[0], self._masks(*v))),
            ]
        if mask is not None and content is not None:
            parts.append(("hand-over", lambda v: _handed_over(*v)))
        if content is not None:
            parts += [
                ("content: image to tensor", lambda b: (b, *self._content_tensors(b))),
                ("content: host-to-device", lambda v: (*v[:3], content.moved(v[3]))),
                ("content: network", lambda v: (*v, content.form(*v[3]))),
                ("content: tensor to image", lambda v: self._composed(*v)),
            ]
        return parts

    def _content_tensors(self, batch: Batch) -> tuple[WorkingFrame, np.ndarray, tuple[Tensor, ...]]:
        """The frame, the amodal parsing at the images' size, and what the network reads."""
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
        if prior is not None and frame.shrinks and self.parsing_used == "true":
            # What the network adds is smooth and can be enlarged; the parts' colours meet in edges, which are drawn at
            # the image's own size. The mask stage's own parsing knows no finer edges.
            erased, visible, _, modal_parsing, parsing = (t.cpu() for t in tensors)
            table = np.pad(prior.colours(erased, visible, modal_parsing).numpy(), ((0, 0), (1, 0), (0, 0)))
            image = image - np.stack([t[p] for t, p in zip(table, parsing.numpy(), strict=True)])
            flat = np.stack([t[p] for t, p in zip(table, labels, strict=True)])
        painted = frame.back(image)
        painted = painted if flat is None else painted + flat
        painted = np.clip(np.rint((painted + 1.0) * 127.5), 0, 255).astype(np.uint8)
        invisible = batch.amodal & ~batch.modal
        return ContentOutput(np.where(invisible[..., None], painted, batch.images))

    def _complete(self, batch: Batch, initial: np.ndarray) -> _Completed:
        frame, tensors = self._mask_tensors(batch, initial)
        batch = dataclasses.replace(batch, initial=initial)
        return self._masks(batch, frame, tensors, self._stages["mask"].form(*tensors))

    def _mask_tensors(self, batch: Batch, initial: np.ndarray) -> tuple[WorkingFrame, tuple[Tensor, Tensor]]:
        frame = WorkingFrame.fit(batch.images.shape[1], batch.images.shape[2], self.size or self._stages["mask"].size)
        return frame, (frame.images(batch.images), frame.coverage(initial))

    def _masks(self, batch: Batch, frame: WorkingFrame, tensors: tuple[Tensor, ...], logits: MaskLogits) -> _Completed:
        def margin(values: Tensor) -> np.ndarray:
            return (values[:, 1] - values[:, 0]).float().cpu().numpy()

        def parts(values: Tensor | None) -> np.ndarray | None:
            if values is None:
                return None
            foreground = 1 + values[:, 1:].argmax(dim=1)
            return frame.back(foreground.to("cpu").numpy().astype(np.uint8), cv2.INTER_NEAREST)

        # Brought to full size before they are cut: smooth outlines, not those of the working size.
        amodal_margin = frame.back(margin(logits.amodal))
        amodal, modal = amodal_margin > 0, None
        if logits.modal is not None:
            in_frame = margin(logits.modal)
            modal_margin = frame.back(in_frame)
            if frame.shrinks and batch.initial is not None:
                found = network_surprise(tensors[1][:, 0].cpu().numpy(), in_frame)
                odds = np.stack(
                    [given_mask_log_odds(mask, nats) for mask, nats in zip(batch.initial, found, strict=True)]
                )
                amodal, modal = trusted_masks(amodal_margin, modal_margin, odds)
            else:
                modal = modal_margin > 0
                amodal = amodal | modal
        parsing, modal_parsing = parts(logits.parsing_amodal), parts(logits.parsing_modal)
        return _Completed(
            batch.ids,
            amodal,
            modal,
            None if parsing is None else parsing * amodal,
            None if modal_parsing is None or modal is None else modal_parsing * modal,
        )

    def _parsing(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """(modal, amodal) parsing for `recover`: the batch's where it has one, else the mask stage's own."""
        assert batch.modal is not None
        assert batch.amodal is not None
        own = self._last if self._last is not None and self._last.ids == batch.ids else None
        given = batch.parsing
        if given is not None and not (own and own.parsing is not None and np.array_equal(given, own.parsing)):
            self.parsing_used = "true"
            return (given * batch.modal if batch.modal_parsing is None else batch.modal_parsing), given
        if own is None and "mask" in self._stages:
            own = self._complete(batch, batch.modal if batch.initial is None else batch.initial)
        if own is None or own.parsing is None:
            self.parsing_used = "none"
            nothing = np.zeros(batch.modal.shape, np.uint8)
            return nothing, nothing
        self.parsing_used = "mask stage"
        modal_parsing = own.parsing if own.modal_parsing is None else own.modal_parsing
        return modal_parsing * batch.modal, own.parsing * batch.amodal


class MaskBaseline(TwoStage):
    """The ablation baseline of stage 1: the two hourglasses without branches and templates. Completes masks only."""

    name = "mask-baseline"
    mask_options = {"branches": False}  # noqa: RUF012
    suffix = "-baseline"
    stages = ("mask",)
    recover = None  # type: ignore[assignment]


class ContentBaseline(TwoStage):
    """The ablation baseline of stage 2: the same partial-convolution U-Net without PGA. Recovers content only."""

    name = "content-baseline"
    needs = ()
    content_options = {"pga": "none"}  # noqa: RUF012
    suffix = "-baseline"
    stages = ("content",)
    complete = None  # type: ignore[assignment]


def _handed_over(batch: Batch, done: _Completed) -> Batch:
    """The second stage's batch, made of the first one's answer."""
    modal = done.amodal & batch.initial if done.modal is None else done.modal
    return dataclasses.replace(
        batch, modal=modal, amodal=done.amodal, parsing=done.parsing, modal_parsing=done.modal_parsing
    )


def _weight_files(weights: str | Path | None, stages: tuple[Kind, ...]) -> dict[Kind, Path]:
    """Which given file is for which stage."""
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
