"""Specs of initial masks, the masks of the visible person that methods receive. All commands use the same syntax.

    dataset                      the mask stored in the dataset
    KIND[:AMOUNT][+KIND...]      made from the true modal mask, step by step: "detector:0.5", "lowres:28+shift:4"

A kind is a degradation (`core.degrade`) or "detector" (`core.detector`). A step that would empty the mask is skipped,
so a non-empty mask never becomes empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deocc_bench.core import degrade, detector, images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.masks import RLE
from deocc_bench.core.registry import unknown
from deocc_bench.core.seeding import rng

DATASET = "dataset"
"""The spec of the stored mask."""
DEFAULT = f"detector:{detector.DEFAULT_STRENGTH:g}"
"""The default of `synth`."""


@dataclass(frozen=True)
class Truth:
    """The ground truth of a sample from which initial masks are made.

    Args:
        modal, amodal: bool H x W.
        occluder: bool H x W, union of the occluders in front; None if the source does not provide them.
        parsing: uint8 H x W, LIP ids; None if the source has none.
    """

    modal: np.ndarray
    amodal: np.ndarray
    occluder: np.ndarray | None = None
    parsing: np.ndarray | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of initial mask: a function (current mask, amount, truth, rng) -> mask, and its range of amounts.

    Args:
        needs: fields of `Truth` that must not be None, e.g. "occluder".
        first: whether it must be the first step, because it starts from the ground truth.
    """

    function: Callable[[np.ndarray, float, Truth, np.random.Generator], np.ndarray]
    default: float
    low: float
    high: float
    needs: tuple[str, ...] = ()
    first: bool = False


def _damage(row: degrade.Degradation) -> Kind:
    return Kind(lambda mask, amount, _, rng: row.function(mask, amount, rng), row.default, row.low, row.high)


def _detector(_: np.ndarray, strength: float, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    assert truth.occluder is not None  # `make` checked it
    return detector.detector_mask(
        truth.modal, strength, rng, amodal=truth.amodal, occluder=truth.occluder, parsing=truth.parsing
    )


KINDS: dict[str, Kind] = {
    "detector": Kind(_detector, detector.DEFAULT_STRENGTH, 0, 1, needs=("occluder",), first=True),
    **{name: _damage(row) for name, row in degrade.DEGRADATIONS.items()},
}

FORMS = ", ".join(name if kind.low == kind.high else f"{name}:{kind.default:g}" for name, kind in KINDS.items())
"""All kinds, each with its default amount, for help texts."""


def parse(spec: str) -> tuple[tuple[str, float], ...]:
    """ "detector:0.5+shift" -> (("detector", 0.5), ("shift", 4.0)).

    Raises:
        UsageError: an unknown kind (with a suggestion), an amount that is not a number or out of range, or a detector
            that is not the first step.
    """
    steps: list[tuple[str, float]] = []
    for part in (p.strip() for p in spec.split("+")):
        name, colon, text = part.partition(":")
        if name not in KINDS:
            raise UsageError(unknown("initial mask", name, KINDS))
        kind = KINDS[name]
        if kind.first and steps:
            raise UsageError(f"initial mask {spec!r}: {name!r} must be the first step")
        steps.append((name, _amount(part, text if colon else str(kind.default), kind)))
    return tuple(steps)


def needs(spec: str) -> tuple[str, ...]:
    """The fields of `Truth` that a spec needs; () for the stored mask."""
    if spec == DATASET:
        return ()
    return tuple(dict.fromkeys(need for name, _ in parse(spec) for need in KINDS[name].needs))


def make(spec: str, truth: Truth, random: np.random.Generator) -> np.ndarray:
    """Make the initial mask of a spec: bool H x W, a new array.

    Raises:
        UsageError: same as `parse`.
        DeoccError: a field of `truth` that the spec needs is None.
    """
    missing = [need for need in needs(spec) if getattr(truth, need) is None]
    if missing:
        raise DeoccError(lacking(spec, missing[0]))
    mask = truth.modal
    for name, amount in parse(spec):
        changed = KINDS[name].function(mask, amount, truth, random)
        mask = changed if changed.any() else mask.copy()
    return mask


def lacking(spec: str, need: str) -> str:
    """The message for a spec that needs a field which the sample or dataset does not have."""
    return f"initial mask {spec!r} needs the {need} masks, which are not available; use another, e.g. lowres:28"


def front_mask(front: Sequence[RLE], hidden: int, size: tuple[int, int]) -> np.ndarray | None:
    """Union of the occluders in front, bool H x W; None if the occluders are not annotated.

    Args:
        front: masks of the occluders in front.
        hidden: number of hidden pixels. If pixels are hidden and `front` is empty, the occluders are not annotated.
        size: (height, width).
    """
    if front:
        return masks.decode(masks.union(front))
    return None if hidden else np.zeros(size, bool)


def of_record(record: SampleRecord, spec: str, seed: int) -> np.ndarray | None:
    """The initial mask of a sample of a dataset, bool H x W; None if `spec` is the stored mask and there is none.

    Raises:
        UsageError, DeoccError: same as `make`.
    """
    if spec == DATASET:
        return masks.decode(record.initial) if record.initial else None
    modal, amodal = masks.decode(record.modal), masks.decode(record.amodal)
    truth = Truth(modal, amodal)
    if needs(spec):
        hidden = int(np.count_nonzero(amodal & ~modal))
        parsing = images.read_indices(record.parsing_path) if record.parsing_path else None
        front = [o.segmentation for o in record.truth.front]
        truth = Truth(modal, amodal, front_mask(front, hidden, record.size), parsing)
    return make(spec, truth, rng(seed, "initial-mask", spec, record.id))


def check_split(dataset: DatasetReader, split: str, spec: str) -> None:
    """Check before a run that a spec can be made for every sample of a split.

    Raises:
        UsageError: same as `parse`.
        DeoccError: the spec needs occluder masks, and a sample has none.
    """
    if "occluder" not in needs(spec):
        return
    for record in dataset.records(split):
        if record.occlusion_ratio > 0 and not record.truth.occluders:
            raise DeoccError(f"{dataset.root} ({split}): {record.id}: {lacking(spec, 'occluder')}")


def _amount(part: str, text: str, kind: Kind) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = float("nan")
    if not kind.low <= amount <= kind.high:
        raise UsageError(f"initial mask {part!r}: the amount must be a number from {kind.low:g} to {kind.high:g}")
    return amount
