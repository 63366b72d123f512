"""Samples for training without a dataset folder: the same generator, keyed by epoch and index."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing import context
from typing import Any

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.seeding import hash64
from deocc_bench.core.torch_samples import TorchSamples, Transform
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
    """An endless supply of samples of one split: a sequence of samples; `as_torch` makes it one of tensors.

    Sample (epoch, index) depends on the spec, the human and the epoch alone, not on workers, order or restarts. Call
    `set_epoch` before each epoch, as with a distributed sampler: worker processes that are alive see it too
    (`persistent_workers=True`). Torch itself is not needed here.

    Args:
        spec: as for `synth`; its `variants` spread the occlusion ratios: epoch e takes variant e mod variants.
        split: of the humans and occluders.
        workers: processes that look at the humans once, at the start.
        cache_bytes: for prepared humans, in each process.

    Attributes:
        entries: its humans.
        sources: what the humans are loaded from.

    Raises:
        InputError: broken input, or no human in the split.
    """

    def __init__(self, spec: SynthSpec, split: str = "train", workers: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        self.spec, self.split = spec, split
        # In shared memory, so that the copies in worker processes follow `set_epoch`. No lock: one process writes.
        self._epoch: Any = multiprocessing.RawValue("q", 0)
        plan = make_plan(spec, workers=workers)
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
        # Worker processes fill their own caches. Shared memory travels only to a process that is being started; in
        # any other pickle the epoch is a plain number, and the copy counts for itself.
        starting = context.get_spawning_popen() is not None
        return self.__dict__ | {"_cache": None, "_generator": None, "_epoch": self._epoch if starting else self.epoch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache = self._empty_cache()
        if isinstance(self._epoch, int):
            self._epoch = multiprocessing.RawValue("q", self._epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose samples `self[i]` gives."""
        return int(self._epoch.value)

    def set_epoch(self, epoch: int) -> None:
        """Choose which samples `self[i]` gives from now on, here and in the worker processes of a `DataLoader`."""
        self._epoch.value = epoch

    def __getitem__(self, index: int) -> Sample:
        """The sample of human `index` in this epoch; see `make`."""
        return self.make(self.epoch, index)

    def make(self, epoch: int, index: int) -> Sample:
        """The sample of human `index` in any epoch.

        The bound on its draws of occluders is `_ROUNDS` times `ATTEMPTS`; most samples need one.

        Raises:
            IndexError: no such human.
            DeoccError: no occluder can be placed on this human at all.
        """
        if not 0 <= index < len(self.entries):
            raise IndexError(index)
        entry = self.entries[index]
        human = self._prepared(entry)
        for round_ in range(_ROUNDS):
            made = self.generator.sample(human, self.split, epoch, key=("epoch", epoch, round_))
            if isinstance(made, Sample):
                return made
        assert isinstance(made, Rejection)
        tries = _ROUNDS * ATTEMPTS
        raise DeoccError(f"{entry.id}: no sample in {tries} tries ({made.reason}); loosen the ratio or hide less")

    def as_torch(self, transform: Transform | None = None) -> TorchSamples:
        """A map-style dataset of dictionaries of tensors, which the default `DataLoader` collates.

        See `deocc_bench.core.torch_samples.TorchSamples`; its `set_epoch` is this one. Shuffle with the loader.
        """
        return TorchSamples(self, transform)

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
