"""The plan of a dataset: which humans are used, in which split and shard. Made before any sample is written."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.paths import is_safe_id
from deocc_bench.core.provenance import digest, versions
from deocc_bench.core.reading import Digests, changed, recorded
from deocc_bench.synth import engine
from deocc_bench.synth.humans import HumanFilter, open_humans
from deocc_bench.synth.humans.base import HumanInfo, HumanSource
from deocc_bench.synth.occluders import OccluderPool, open_occluders
from deocc_bench.synth.spec import SynthSpec

SHARD_HUMANS = 24
_SCAN_CHUNK = 16


@dataclass(frozen=True)
class HumanEntry:
    """An accepted human, with its source and its split."""

    id: str
    group_id: str
    source: int
    split: str


@dataclass(frozen=True)
class Plan:
    """The accepted humans, sorted by id, and the rejected humans and occluders.

    Args:
        accepted: in order of id; `rejected`: (kind, id, reason) of humans and occluders, sorted.
        human_reasons: number of rejected humans, by reason.
        described: the `describe()` of the human and occluder sources, JSON-able.
        sources: the open human sources, in the order of the spec; `pools`: the occluders of each split. Worker
            processes reuse these, because opening a source may read every label or instance in it.
        inputs: the files that were read, with the digests of their content.
    """

    accepted: tuple[HumanEntry, ...]
    rejected: tuple[tuple[str, str, str], ...]
    human_reasons: dict[str, int]
    described: dict[str, list[dict[str, Any]]]
    sources: Sequence[HumanSource]
    pools: Mapping[str, OccluderPool]
    inputs: Digests = field(default_factory=dict)

    def shards(self) -> list[tuple[int, tuple[HumanEntry, ...]]]:
        """(number, humans): consecutive runs of the sorted list, so shards in order contain samples in order."""
        return [
            (i // SHARD_HUMANS, self.accepted[i : i + SHARD_HUMANS]) for i in range(0, len(self.accepted), SHARD_HUMANS)
        ]

    def key(self, spec: SynthSpec) -> str:
        """A key of spec, humans, occluders and versions, which a resumed run must match."""
        occluders = [(split, pool.ids) for split, pool in sorted(self.pools.items())]
        found = (self.accepted, self.rejected, occluders, sorted(versions().items()))
        return digest(spec.digest(), *map(repr, found))


def open_sources(spec: SynthSpec) -> list[HumanSource]:
    """The human sources of a spec, in the order given."""
    return [open_humans(s, seed=spec.seed) for s in spec.humans]


def open_pool(
    spec: SynthSpec, sources: Sequence[HumanSource], accepted: Sequence[HumanEntry], skip_bad: bool
) -> OccluderPool:
    """All occluders of a spec. The kind `humans` uses the accepted humans of the first source that has any."""
    opened = []
    for text in spec.occluders:
        if text.partition(":")[0] == "humans":
            for i, source in enumerate(sources):
                ids = [e.id for e in accepted if e.source == i]
                if ids:
                    opened.append(open_occluders(text, spec.seed, source, ids, skip_bad))
        else:
            opened.append(open_occluders(text, spec.seed, skip_bad=skip_bad))
    return OccluderPool(opened)


def split_pools(spec: SynthSpec, pool: OccluderPool, entries: Sequence[HumanEntry]) -> dict[str, OccluderPool]:
    """The occluders of each split that has humans. A group of humans or occluders stays in one split.

    Raises:
        InputError: a split has humans but no occluder.
    """
    group_splits = {e.group_id: e.split for e in entries}
    by_split: dict[str, list[str]] = {name: [] for name in spec.splits}
    for occluder_id in pool.ids:
        group = pool.group_of(occluder_id)
        # An occluder from a human's photo goes into the split of that photo.
        by_split[group_splits.get(group) or spec.split_of(group, "occluder")].append(occluder_id)
    counts = ", ".join(f"{len(ids)} in {name}" for name, ids in by_split.items())
    for name in {e.split for e in entries}:
        if not by_split[name]:
            raise InputError(
                f"--occluders {' '.join(spec.occluders)}",
                f"no occluder falls into split {name!r} ({counts})",
                "give more occluders (`--occluders shapes` adds drawn ones), or change --splits or --seed",
            )
    return {name: pool.subset(ids) for name, ids in by_split.items() if ids}


class Scan:
    """Reads the info of humans without decoding photos, in a worker process.

    Returns (info or error, ...) and the digests of the files.
    """

    def __init__(self, sources: Sequence[HumanSource]) -> None:
        self.sources = sources

    def __call__(self, chunk: tuple[int, tuple[str, ...]]) -> tuple[list[HumanInfo | InputError], Digests]:
        source, ids = chunk
        found: list[HumanInfo | InputError] = []
        with recorded() as files:
            for human_id in ids:
                try:
                    found.append(self.sources[source].peek(human_id))
                except InputError as error:
                    found.append(error)
        return found, files


def make_plan(
    spec: SynthSpec,
    *,
    workers: int = 1,
    engine_name: str = "local",
    limit: int | None = None,
    skip_bad: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> Plan:
    """Read the info of every human, apply the filters and assign splits.

    Args:
        limit: use only the first `limit` accepted humans, in order of id.
        skip_bad: list broken inputs as rejected instead of stopping at the first one (in order of id).
        advance: progress callback, called with the number of humans just read.

    Raises:
        InputError: a broken input, an id in two sources, or no human left (with the counts by reason).
    """
    with recorded() as inputs:
        sources = open_sources(spec)
        chunks = [
            (i, tuple(ids[k : k + _SCAN_CHUNK]))
            for i, ids in enumerate(source.ids() for source in sources)
            for k in range(0, len(ids), _SCAN_CHUNK)
        ]
    looked: dict[str, tuple[int, HumanInfo | InputError]] = {}
    for (source, ids), (results, files) in engine.run(Scan, (sources,), chunks, workers, engine_name):
        _join(inputs, files)
        for human_id, result in zip(ids, results, strict=True):
            if human_id in looked:
                raise InputError(f"human {human_id}", "is in two of the sources", "give each source only once")
            looked[human_id] = (source, result)
        advance(len(ids))

    keep = HumanFilter(min_height=spec.min_height, allow_bags=spec.allow_bags, integrated_only=not spec.allow_cut)
    accepted: list[HumanEntry] = []
    rejected: list[tuple[str, str, str]] = []
    reasons: Counter[str] = Counter()
    notes: list[Counter[str]] = [Counter() for _ in sources]
    for human_id in sorted(looked):
        source, result = looked[human_id]
        if not is_safe_id(f"{human_id}-v{spec.variants}"):
            problem = f"the name of the photo of {reprlib.repr(human_id)} can't be part of a file name"
            result = InputError(" ".join(spec.humans), problem, "rename the photo and its label")
        if isinstance(result, InputError):
            if not skip_bad:
                raise result
            reason = f"bad input: {result.problem}"
        else:
            reason = keep.reject_reason(result) or ""
        if reason:
            rejected.append(("human", human_id, reason))
            reasons[reason.partition(" (")[0].partition(":")[0]] += 1
        elif limit is None or len(accepted) < limit:
            assert isinstance(result, HumanInfo)
            accepted.append(HumanEntry(human_id, result.group_id, source, spec.split_of(result.group_id)))
            notes[source].update(["soft_masks"] * result.soft + ["turned_photos"] * result.turned)
    if not accepted:
        counts = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
        raise InputError(
            f"--humans {' '.join(spec.humans)}",
            f"no human left after filters ({counts})" if counts else "no humans found",
            "give other photos, or loosen --min-height, --allow-bags, --allow-cut",
        )
    with recorded(inputs) as files:
        pool = open_pool(spec, sources, accepted, skip_bad)
    _join(inputs, files)
    rejected += [("occluder", occluder_id, reason) for occluder_id, reason in pool.rejected()]
    pools = split_pools(spec, pool, accepted)
    humans = [s.describe() | noted for s, noted in zip(sources, notes, strict=True)]
    described = {"humans": humans, "occluders": pool.describe()}
    return Plan(
        tuple(accepted),
        tuple(sorted(rejected)),
        dict(sorted(reasons.items())),
        described,
        tuple(sources),
        pools,
        inputs,
    )


def _join(inputs: Digests, files: Digests) -> None:
    for path, value in files.items():
        if inputs.setdefault(path, value) != value:
            raise changed(path)
