"""Makes single samples. A sample (human, variant) depends only on the spec, the seed, the human and the variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from deocc_bench.core import initial_masks, masks
from deocc_bench.core.seeding import hash64, rng
from deocc_bench.core.types import Human, Sample
from deocc_bench.core.window import window
from deocc_bench.synth import augment
from deocc_bench.synth.cache import ByteCache
from deocc_bench.synth.compositing import Composite, compose, unchanged_share
from deocc_bench.synth.crop import Crop, Jitter, crop
from deocc_bench.synth.occluders import OccluderPool
from deocc_bench.synth.occluders.cutout import PreparedOccluder, prepare
from deocc_bench.synth.placement_rules import RULES
from deocc_bench.synth.placement_solver import PlacementRequest, Rejected, solve
from deocc_bench.synth.spec import SynthSpec

ATTEMPTS = 4  # draws of occluders before a sample is rejected
_SPARES = 6  # extra occluders that an attempt may use
_SHADOW = 0.6
_CACHE_BYTES = 600_000_000
# Maximum share of hidden pixels whose colour does not change; above it the occluder is invisible (black on black).
_MAX_UNCHANGED = 0.2


@dataclass(frozen=True)
class PreparedHuman:
    """A human with the data that all their samples share: the crop, or the photo if geometry is augmented."""

    id: str
    group_id: str
    licence: str
    scene: Crop | None
    human: Human | None

    @property
    def nbytes(self) -> int:
        """Size of the pixel arrays, bytes."""
        held: Any = self.scene or self.human
        return sum(a.nbytes for a in (held.image, held.mask, held.parsing) if a is not None)


@dataclass(frozen=True)
class Rejection:
    """A sample that could not be made, and why."""

    sample_id: str
    reason: str


class Generator:
    """Makes samples. Keeps the occluders of each split and a cache of prepared ones.

    Args:
        spec: the settings of the dataset.
        pools: occluders by split.
    """

    def __init__(self, spec: SynthSpec, pools: Mapping[str, OccluderPool]) -> None:
        self.spec, self.pools = spec, pools
        self._prepared = ByteCache[PreparedOccluder](_CACHE_BYTES, _nbytes)
        self._balance = None if spec.balance == "none" else spec.balance
        self._jitter = augment.jitter(spec.augment)

    def prepare(self, human: Human) -> PreparedHuman:
        """Compute the data that all samples of a human share."""
        if self._jitter is None:
            scene = crop(human, self.spec.size)
            return PreparedHuman(human.id, human.group_id, human.licence, scene, None)
        return PreparedHuman(
            human.id, human.group_id, human.licence, None, _shrunk(human, self.spec.size, self._jitter)
        )

    def sample(
        self, human: PreparedHuman, split: str, variant: int, key: tuple[object, ...] | None = None
    ) -> Sample | Rejection:
        """Make one sample, or return the rejection after `ATTEMPTS` independent draws of occluders.

        Args:
            split: the occluders come from the pool of this split.
            variant: selects the requested ratio and, together with the human, all randomness.
            key: replaces the variant as the source of randomness, e.g. ("epoch", 3, 0).
        """
        spec = self.spec
        key = ("variant", variant) if key is None else key
        sample_id = f"{human.id}-v{variant}" if key[0] == "variant" else f"{human.id}-{'-'.join(map(str, key))}"
        wanted, target = spec.request(human.id, variant)
        reason = "no occluder"
        for attempt in range(ATTEMPTS):
            random = rng(spec.seed, "sample", human.id, *key, attempt)
            scene = augment.photo(self._scene(human, random), spec.augment, random)
            count = int(random.integers(spec.per_sample[0], spec.per_sample[1] + 1))
            behind = int(random.random() < spec.behind)
            rule = spec.placement if spec.placement in RULES else RULES[int(random.integers(len(RULES)))]
            request = PlacementRequest(
                target,
                wanted.low,
                wanted.high,
                count=count,
                behind=behind,
                hide=spec.hide,
                feather=spec.feather,
                rule=rule,
            )
            candidates = self._candidates(split, human, hash64(spec.seed, "pick", human.id, *key, attempt), request)
            placed = solve(scene, candidates, request, random)
            if isinstance(placed, Rejected):
                reason = placed.reason
                continue
            made = compose(scene, placed, spec.harmonise, shadow=_SHADOW if spec.shadow else 0.0)
            problem = self._problem(made, wanted.low, wanted.high)
            if problem is not None:
                reason = problem
                continue
            image, complete = augment.pair(made.image, made.complete, spec.augment, random, scene.frame)
            provenance = {"requested_ratio": round(target, 6), "attempt": attempt, "seed": spec.seed}
            return Sample(
                id=sample_id,
                split=split,
                group_id=human.group_id,
                human_id=human.id,
                variant=variant,
                image=image,
                complete=complete,
                amodal=made.amodal,
                modal=made.modal,
                initial=self._initial(made, random),
                parsing=made.parsing,
                occluders=made.occluders,
                provenance=provenance,
            )
        return Rejection(sample_id, reason)

    def _scene(self, human: PreparedHuman, random: np.random.Generator) -> Crop:
        if human.scene is not None:
            return human.scene
        assert human.human is not None
        return crop(human.human, self.spec.size, self._jitter, random)

    def _candidates(
        self, split: str, human: PreparedHuman, key: int, request: PlacementRequest
    ) -> Iterator[PreparedOccluder]:
        need = request.count + request.behind + _SPARES
        for occluder_id in self.pools[split].pick(key, need, self._balance, human.group_id):
            yield self._occluder(split, occluder_id)

    def _occluder(self, split: str, occluder_id: str) -> PreparedOccluder:
        side = 2 * self.spec.size if self.spec.size else 1600
        return self._prepared.get(occluder_id, lambda: prepare(self.pools[split].load(occluder_id), max_side=side))

    def _problem(self, made: Composite, low: float, high: float) -> str | None:
        # The composed masks decide, not the solver's estimate.
        slack = 0.02 if low == high else 0.0
        if not low - slack <= made.ratio <= high + slack:
            return f"the composed ratio is {made.ratio:.4f}, outside {low:g} to {high:g}"
        if not made.modal.any():
            return "nothing of the person is left to see"
        if unchanged_share(made) > _MAX_UNCHANGED:
            return "the occluder has the same colour as the region it hides"
        return None

    def _initial(self, made: Composite, random: np.random.Generator) -> np.ndarray:
        truth = initial_masks.Truth(made.modal, made.amodal, made.cover, made.parsing)
        return initial_masks.make(self.spec.initial, truth, random)


def _shrunk(human: Human, size: int | None, jitter: Jitter) -> Human:
    """Shrink the photo to the resolution that the closest crop needs, which makes random crops much cheaper."""
    box = masks.tight_box(human.mask)
    if size is None or box is None:
        return human
    factor = size / (window(box).side * min(1.0, jitter.scale[0]))
    if factor >= 1:
        return human
    height, width = human.mask.shape
    to = (max(1, round(width * factor)), max(1, round(height * factor)))
    photo = cv2.resize(human.image, to, interpolation=cv2.INTER_AREA)
    if human.parsing is None:
        mask = cv2.resize(human.mask.view(np.uint8), to, interpolation=cv2.INTER_NEAREST_EXACT) > 0
        return replace(human, image=photo, mask=mask)
    parsing = cv2.resize(human.parsing, to, interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(human, image=photo, mask=parsing > 0, parsing=parsing)


def _nbytes(occluder: PreparedOccluder) -> int:
    return sum(level.nbytes for level in occluder.levels)
