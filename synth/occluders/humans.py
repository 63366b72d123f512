"""`humans`: people occlude people. The cut-outs are the humans of the same split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Human, Occluder
from deocc_bench.synth.occluders.base import summary
from deocc_bench.synth.occluders.coco import soften


class Humans(Protocol):
    """The part of the human source interface that is used here."""

    def ids(self) -> list[str]:
        """Ids of all humans, sorted."""
        ...

    def load(self, human_id: str) -> Human:
        """One human, decoded."""
        ...


def open_source(
    argument: str, humans: Humans | None = None, human_ids: Sequence[str] | None = None, **_: Any
) -> HumanOccluders:
    """Open the humans of the source `humans` as occluders."""
    if argument:
        raise UsageError(f"--occluders humans:{argument}: takes no path; the humans are those of --humans")
    if humans is None:
        raise UsageError("--occluders humans: there are no humans; give --humans KIND:PATH")
    return HumanOccluders(humans, human_ids)


class HumanOccluders:
    """Each human as an occluder of the others; category "person".

    The group of an occluder is the group of the human, so both stay in one split, and
    `OccluderPool.pick(exclude_group=...)` keeps people from being occluded by themselves.

    Args:
        source: a human source; if it has `group_of(id)`, groups are read without decoding photos.
        ids: the humans to use; None: all humans of the source.
    """

    kind = "humans"

    def __init__(self, source: Humans, ids: Sequence[str] | None = None) -> None:
        self._source = source
        self._humans = {f"human-{i}": i for i in (source.ids() if ids is None else ids)}
        self._groups: dict[str, str] = {}

    def ids(self) -> list[str]:
        """The ids of all occluders, sorted."""
        return sorted(self._humans)

    def group_of(self, occluder_id: str) -> str:
        """The group of the human."""
        if occluder_id not in self._groups:
            human_id = self._humans[occluder_id]
            known = getattr(self._source, "group_of", None)
            self._groups[occluder_id] = known(human_id) if known else self._source.load(human_id).group_id
        return self._groups[occluder_id]

    def category_of(self, occluder_id: str) -> str:
        """ "person"."""
        return "person"

    def rejected(self) -> list[tuple[str, str]]:
        """Empty: humans have their own filters and their own list of rejections."""
        return []

    def describe(self) -> dict[str, Any]:
        """Counts, and the licences of the humans."""
        return summary(self, Counter(), licences_of="humans")

    def load(self, occluder_id: str) -> Occluder:
        """Cut out the human along the mask, with a soft edge."""
        human = self._source.load(self._humans[occluder_id])
        alpha = soften(human.mask)
        x0, y0, x1, y1 = masks.tight_box(alpha > 0) or (0, 0, 0, 0)
        return Occluder(
            id=occluder_id,
            group_id=human.group_id,
            image=np.ascontiguousarray(human.image[y0:y1, x0:x1]),
            alpha=alpha[y0:y1, x0:x1].astype(np.float32) / np.float32(255),
            category="person",
            licence=human.licence,
            source=self.kind,
        )
