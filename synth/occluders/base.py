"""The interface of occluder sources, and the pool from which samples draw their occluders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import Occluder


class OccluderSource(Protocol):
    """A source of cut-outs. Ids are unique within a source and begin with its kind, e.g. "coco-102159"."""

    kind: str

    def ids(self) -> list[str]:
        """The ids of all usable occluders, sorted."""
        ...

    def group_of(self, occluder_id: str) -> str:
        """The group that must stay in one split: the photo that the cut-out comes from."""
        ...

    def category_of(self, occluder_id: str) -> str:
        """The category, e.g. "chair"."""
        ...

    def load(self, occluder_id: str) -> Occluder:
        """The cut-out, decoded."""
        ...

    def rejected(self) -> list[tuple[str, str]]:
        """(id, reason) of all occluders that the source rejected, sorted by id."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able: kind, counts, licences, filters. No absolute paths, so it is the same on every machine."""
        ...


def summary(source: OccluderSource, licences: Counter[str], **more: Any) -> dict[str, Any]:
    """The fields of `describe()` that all sources share."""
    reasons = Counter(reason_class(reason) for _, reason in source.rejected())
    return {
        "kind": source.kind,
        "count": len(source.ids()),
        "licences": dict(sorted(licences.items())),
        "rejected": dict(sorted(reasons.items())),
        **more,
    }


def reason_class(reason: str) -> str:
    """A rejection reason without its details: "too small (31 x 40 px)" -> "too small"."""
    return reason.partition(" (")[0]


def require_path(argument: str, form: str) -> None:
    """That a source was given its path.

    Args:
        form: how to write it, e.g. "rgba:DIR".

    Raises:
        UsageError: it was not.
    """
    if not argument:
        raise UsageError(f"--occluders {form.partition(':')[0]}: needs a path; write {form}")


def require_some(source: OccluderSource, where: str) -> None:
    """Raise InputError, with the counts by reason, if `source` has no usable occluder."""
    if source.ids():
        return
    counts = Counter(reason_class(reason) for _, reason in source.rejected())
    told = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    raise InputError(
        where,
        f"no occluder left after filters ({told})" if told else "no occluder in it",
        "give other cut-outs, or add `--occluders shapes`",
    )


class OccluderPool:
    """The occluders of one or more sources, from which each sample draws by rendezvous hashing.

    A draw ranks all occluders by a hash of (sample key, occluder id). The result does not depend on their order, and
    adding or removing an occluder changes only the samples that use it.
    """

    def __init__(self, sources: Sequence[OccluderSource], ids: Iterable[str] | None = None) -> None:
        """Args:
            sources: at least one; their ids must not overlap.
            ids: keep only these; None: all.

        Raises:
            InputError: an id is in two sources.
        """
        self.sources = tuple(sources)
        self._source: dict[str, OccluderSource] = {}
        for source in self.sources:
            for occluder_id in source.ids():
                if occluder_id in self._source:
                    raise InputError(
                        f"occluder {occluder_id}", "is in two of the sources given", "give each source once"
                    )
                self._source[occluder_id] = source
        if ids is not None:
            kept = set(ids)
            self._source = {i: s for i, s in self._source.items() if i in kept}
        self.ids = tuple(sorted(self._source))
        self._keys = np.array([hash64("occluder", i) for i in self.ids], np.uint64)
        groups = [self.group_of(i) for i in self.ids]
        self._groups = np.array([hash64("group", g) for g in groups], np.uint64)
        self._members: dict[str, list[int]] = {}
        for index, occluder_id in enumerate(self.ids):
            self._members.setdefault(self.category_of(occluder_id), []).append(index)
        self._category_keys = np.array([hash64("category", c) for c in self._members], np.uint64)
        self._category_members = [np.array(m) for m in self._members.values()]

    def __len__(self) -> int:
        return len(self.ids)

    def group_of(self, occluder_id: str) -> str:
        """The group of an occluder; see `OccluderSource.group_of`."""
        return self._source[occluder_id].group_of(occluder_id)

    def category_of(self, occluder_id: str) -> str:
        """The category of an occluder."""
        return self._source[occluder_id].category_of(occluder_id)

    def load(self, occluder_id: str) -> Occluder:
        """The cut-out, decoded."""
        return self._source[occluder_id].load(occluder_id)

    def groups(self) -> list[str]:
        """All groups, sorted; the generator assigns groups to splits."""
        return sorted({self.group_of(i) for i in self.ids})

    def subset(self, ids: Iterable[str]) -> OccluderPool:
        """A pool with only these ids, e.g. those of one split."""
        return OccluderPool(self.sources, ids)

    def rejected(self) -> list[tuple[str, str]]:
        """(id, reason) of the rejected occluders of all sources."""
        return [pair for source in self.sources for pair in source.rejected()]

    def describe(self) -> list[dict[str, Any]]:
        """One entry per source."""
        return [source.describe() for source in self.sources]

    def pick(
        self, key: int, count: int, balance: str | None = None, exclude_group: str | None = None
    ) -> tuple[str, ...]:
        """The `count` highest-ranked occluders for a sample, best first; fewer if the pool is smaller.

        Args:
            key: the sample's 64-bit key, e.g. `hash64(seed, "occluders", human_id, variant)`.
            count: number of occluders; request more than the sample needs, so that the solver has spares.
            balance: None: all occluders are equally likely; "category": all categories are equally likely, and no
                category repeats before every category was picked.
            exclude_group: exclude this group, so that nobody is occluded by a cut-out from their own photo.
        """
        if not self.ids or count <= 0:
            return ()
        scores = _mix(self._keys ^ np.uint64(key))
        if exclude_group is not None:
            scores[self._groups == np.uint64(hash64("group", exclude_group))] = _WORST
        if balance is None:
            order = _smallest(scores, count).tolist()
        elif balance == "category":
            order = self._by_category(np.uint64(key), scores, count)
        else:
            raise ValueError(f"balance must be None or 'category', got {balance!r}")
        return tuple(self.ids[i] for i in order if scores[i] != _WORST)

    def _by_category(self, key: np.uint64, scores: np.ndarray, count: int) -> list[int]:
        turns = np.argsort(_mix(self._category_keys ^ key), kind="stable")
        ranked = {c: _smallest(scores[self._category_members[c]], count) for c in turns[:count]}
        picked: list[int] = []
        for place in range(count):
            for c in ranked:
                if place < len(ranked[c]) and len(picked) < count:
                    picked.append(int(self._category_members[c][ranked[c][place]]))
        return picked


_WORST = np.uint64(2**64 - 1)


def _smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` smallest, ascending."""
    if count < scores.size:
        best = np.argpartition(scores, count)[:count]
    else:
        best = np.arange(scores.size)
    return best[np.argsort(scores[best], kind="stable")]


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on uint64: every output bit depends on every input bit."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
