"""Training samples generated on the fly, without a dataset folder: the same generator, keyed by epoch and index."""

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

# A 256 x 256 crop takes 0.3 MB, so the cache has room for a few thousand humans.
CACHE_BYTES = 1_500_000_000
# A dataset may lack a sample, but training may not: this many times the attempts of a dataset sample.
_ROUNDS = 8


class OnlineSamples:
    """A sequence of samples of one split with new samples in every epoch; `as_torch` converts it to tensors.

    Sample (epoch, index) depends only on the spec, the human and the epoch, not on workers, order or restarts. Call
    `set_epoch` before each epoch, as with a distributed sampler; running worker processes see the new epoch too
    (`persistent_workers=True`). This class does not need torch.

    Args:
        spec: same as for `synth`; its `variants` spread the occlusion ratios: epoch e uses variant e mod variants.
        split: split of the humans and occluders.
        workers: number of processes that scan the humans once, at the start.
        cache_bytes: cache size for prepared humans, per process.

    Attributes:
        entries: the humans of the split.
        sources: the open human sources.
        inputs: the files that were read to plan the samples, with the digests of their content.

    Raises:
        InputError: an input is broken, or the split has no human.
    """

    def __init__(self, spec: SynthSpec, split: str = "train", workers: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        self.spec, self.split = spec, split
        # In shared memory, so that copies in workers follow `set_epoch`. No lock: only one process writes.
        self._epoch: Any = multiprocessing.RawValue("q", 0)
        plan = make_plan(spec, workers=workers)
        self.sources, self._pools, self.inputs = plan.sources, plan.pools, plan.inputs
        self.entries: tuple[HumanEntry, ...] = tuple(e for e in plan.accepted if e.split == split)
        if not self.entries:
            counts = {name: sum(e.split == name for e in plan.accepted) for name in spec.splits}
            raise InputError(f"split {split!r}", f"has no humans ({counts})", "choose another split")
        self._cache_bytes = cache_bytes
        self._cache = self._empty_cache()
        self._generator: Generator | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes fill their own caches. Shared memory is only passed to a process that is being started. In
        # any other pickle the epoch is a plain number, and the copy has its own epoch.
        starting = context.get_spawning_popen() is not None
        return self.__dict__ | {"_cache": None, "_generator": None, "_epoch": self._epoch if starting else self.epoch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache = self._empty_cache()
        if isinstance(self._epoch, int):
            self._epoch = multiprocessing.RawValue("q", self._epoch)

    @property
    def epoch(self) -> int:
        """The current epoch, used by `self[i]`."""
        return int(self._epoch.value)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch used by `self[i]`, here and in the worker processes of a `DataLoader`."""
        self._epoch.value = epoch

    def __getitem__(self, index: int) -> Sample:
        """The sample of human `index` in the current epoch; see `make`."""
        return self.make(self.epoch, index)

    def make(self, epoch: int, index: int) -> Sample:
        """Make the sample of human `index` in any epoch.

        Draws occluders up to `_ROUNDS` * `ATTEMPTS` times; most samples need one draw.

        Raises:
            IndexError: there is no such human.
            DeoccError: no draw of occluders reached the requested ratio.
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
        raise DeoccError(f"{entry.id}: no sample in {tries} tries ({made.reason}); widen the ratio or hide fewer parts")

    def as_torch(self, transform: Transform | None = None) -> TorchSamples:
        """Return a map-style dataset of dictionaries of tensors, which the default `DataLoader` can collate.

        See `deocc_bench.core.torch_samples.TorchSamples`, whose `set_epoch` calls this one. Let the loader shuffle.
        """
        return TorchSamples(self, transform)

    def order(self, epoch: int) -> list[int]:
        """Shuffled indices for an epoch, ordered by hash so that they are the same in every process."""
        return sorted(range(len(self)), key=lambda i: hash64(self.spec.seed, "order", epoch, self.entries[i].id))

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over all samples of the current epoch, shuffled."""
        return (self[i] for i in self.order(self.epoch))

    @property
    def generator(self) -> Generator:
        """The generator, created on first use in each process."""
        if self._generator is None:
            self._generator = Generator(self.spec, self._pools)
        return self._generator

    def _prepared(self, entry: HumanEntry) -> PreparedHuman:
        return self._cache.get(entry.id, lambda: self.generator.prepare(self.sources[entry.source].load(entry.id)))

    def _empty_cache(self) -> ByteCache[PreparedHuman]:
        return ByteCache(self._cache_bytes, lambda human: human.nbytes)
