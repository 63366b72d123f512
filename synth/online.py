"""Samples for training without a dataset folder: the same generator, keyed by epoch and index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import Sample
from deocc_bench.synth.cache import ByteCache
from deocc_bench.synth.generate import ATTEMPTS, Generator, PreparedHuman, Rejection
from deocc_bench.synth.plan import HumanEntry, make_plan
from deocc_bench.synth.spec import SynthSpec

# A crop of 256 x 256 takes 0.3 MB: room for a few thousand humans before the least used are decoded again.
CACHE_BYTES = 1_500_000_000
# A dataset may lack a sample, training may not: so many times what a dataset's sample gets.
_ROUNDS = 8


class OnlineSamples:
    """An endless supply of samples of one split; a map-style dataset for `torch.utils.data.DataLoader`.

    Sample (epoch, index) depends on the spec, the human and the epoch alone, not on workers, order or restarts. Call
    `set_epoch` before each epoch, as with a distributed sampler. Torch itself is not needed here.

    `entries` are its humans, `sources` what they are loaded from.

    Args:
        spec: as for `synth`; its `variants` spread the occlusion ratios: epoch e takes variant e mod variants.
        split: of the humans and occluders.
        workers: processes that look at the humans once, at the start.
        cache_bytes: for prepared humans, in each process.

    Raises:
        InputError: broken input, or no human in the split.
    """

    def __init__(self, spec: SynthSpec, split: str = "train", workers: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        self.spec, self.split, self.epoch = spec, split, 0
        plan = make_plan(spec, workers)
        self.sources, self._pools = plan.sources, plan.pools
        self.entries: tuple[HumanEntry, ...] = tuple(e for e in plan.accepted if e.split == split)
        if not self.entries:
            counts = {name: sum(e.split == name for e in plan.accepted) for name in spec.splits}
            raise InputError(f"split {split!r}", f"no human falls into it ({counts})", "choose another split")
        self._cache_bytes = cache_bytes
        self._cache = self._empty_cache()
        self._generator: Generator | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes fill their own caches.
        return self.__dict__ | {"_cache": None, "_generator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache = self._empty_cache()

    def set_epoch(self, epoch: int) -> None:
        """Choose which samples `self[i]` gives from now on."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Sample:
        """The sample of human `index` in this epoch.

        The bound on its draws of occluders is `_ROUNDS` times `ATTEMPTS`; most samples need one.

        Raises:
            DeoccError: no occluder can be placed on this human at all.
        """
        if not 0 <= index < len(self.entries):
            raise IndexError(index)
        entry = self.entries[index]
        human = self._prepared(entry)
        for round_ in range(_ROUNDS):
            made = self.generator.sample(human, self.split, self.epoch, key=("epoch", self.epoch, round_))
            if isinstance(made, Sample):
                return made
        assert isinstance(made, Rejection)
        tries = _ROUNDS * ATTEMPTS
        raise DeoccError(f"{entry.id}: no sample in {tries} tries ({made.reason}); loosen the ratio or hide less")

    def order(self, epoch: int) -> list[int]:
        """A shuffled order of the indices for an epoch: by hash, so that it is the same in every process."""
        return sorted(range(len(self)), key=lambda i: hash64(self.spec.seed, "order", epoch, self.entries[i].id))

    def __iter__(self) -> Iterator[Sample]:
        """All samples of this epoch, shuffled."""
        return (self[i] for i in self.order(self.epoch))

    @property
    def generator(self) -> Generator:
        """The generator, made when first needed in this process."""
        if self._generator is None:
            self._generator = Generator(self.spec, self._pools)
        return self._generator

    def _prepared(self, entry: HumanEntry) -> PreparedHuman:
        return self._cache.get(entry.id, lambda: self.generator.prepare(self.sources[entry.source].load(entry.id)))

    def _empty_cache(self) -> ByteCache[PreparedHuman]:
        return ByteCache(self._cache_bytes, lambda human: human.nbytes)
