"""What a metric is: one record that holds every fact about it. Nothing about a metric is told by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from deocc_bench.metrics.arrays import SampleArrays
    from deocc_bench.metrics.terms import TermsOf

Region = Literal["mask", "content"]
REGIONS: tuple[Region, ...] = get_args(Region)
TASKS_OF: Mapping[Region | None, tuple[str, ...]] = {
    "mask": ("mask", "joint"),
    "content": ("content", "joint"),
    None: (),
}
TASKS = ("mask", "content", "joint")
# The network of `fid` and `kid`; the checksum in full stands in `benchmark.extractors`.
INCEPTION = "inception-2015-12-05@f58cb9b6"
OWN = "deocc-bench"

RowValue = float | int | None
# The arrays of one sample -> columns of its row in `samples.csv`; None for what is not defined.
RowOf = Callable[["SampleArrays"], Mapping[str, RowValue]]

# How words of metric ids are written.
_SPELLING = {
    **{word: word.upper() for word in ("l1", "psnr", "ssim", "lpips", "fid", "kid", "fd", "kd")},
    "iou": "IoU",
    "miou": "mIoU",
}


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One metric, whole: its meaning, how it follows from a sample's arrays, and how tables print it.

    Args:
        id: name in records and tables; `FAMILY[MEMBER]` for a member of a family.
        region: "mask" if it judges masks (tasks mask and joint), "content" if it judges recovered pictures (tasks
            content and joint). None: a record of another version does not say (`spec.spec_of_record`).
        meaning: one line, with what makes it undefined.
        terms: table -> (numerators, denominators), float64 (N,) or (N, K), no NaN; None for distances of distributions,
            which are no function of the table.
        row: computes the columns that `terms` reads from one sample's arrays; called only where every array of
            `inputs` is there. Metrics may share one. None: the columns are written by other code.
        inputs: the arrays of `SampleArrays` that it needs, in the order in which its torch class takes them.
        torch_class: name of its `torchmetrics` class in `deocc_bench.metrics`; empty: none of its own.
        unit: "ratio", "dB", "distance", ...
        low, high: range of the value (None: unbounded).
        higher_is_better: direction.
        source: where the definition comes from.
        definition: id of the definition, which changes when the number would. Default: `ID/1`.
        heading: as tables print it. Default: the id in words.
        columns: task -> place among the columns that its tables show by default, smallest first.
        column_if_undefined: keep that column where no run defines it: a dash that says why.
        network: the feature network that it needs, as `NAME@SHA8`; None: it needs none.
        of_input: it measures what the method was given, not what the method did.
        each_part: title of the chart of its family, which has one metric for each body part; they are left out where
            every line costs. Empty: it is no such member.
    """

    id: str
    region: Region | None
    meaning: str
    terms: TermsOf | None = None
    row: RowOf | None = None
    inputs: tuple[str, ...] = ()
    torch_class: str = ""
    unit: str = "ratio"
    low: float | None = 0.0
    high: float | None = 1.0
    higher_is_better: bool = True
    source: str = OWN
    definition: str = ""
    heading: str = ""
    columns: Mapping[str, int] = field(default_factory=dict, hash=False)
    column_if_undefined: bool = False
    network: str | None = None
    of_input: bool = False
    each_part: str = ""

    def __post_init__(self) -> None:
        if self.region not in TASKS_OF:
            raise ValueError(f"Expected `region` of metric {self.id!r} to be 'mask' or 'content', got {self.region!r}")
        object.__setattr__(self, "definition", self.definition or f"{self.id}/1")
        object.__setattr__(self, "heading", self.heading or words(self.id))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that report it."""
        return TASKS_OF[self.region]

    @property
    def family(self) -> str:
        """The id without what stands in brackets."""
        return split_id(self.id)[0]

    @property
    def member(self) -> str:
        """What stands in brackets in the id; empty where nothing does."""
        return split_id(self.id)[1]

    @property
    def of_given_network(self) -> bool:
        """Whether its network is a file of the user's, which the id names."""
        return self.network not in (None, INCEPTION)


def split_id(metric_id: str) -> tuple[str, str]:
    """`FAMILY[MEMBER]` as (family, member); (id, "") for an id without brackets."""
    family, bracket, member = metric_id.partition("[")
    return (family, member[:-1]) if bracket and member.endswith("]") else (metric_id, "")


def words(metric_id: str) -> str:
    """An id in words: `amodal_iou_mean` is `amodal IoU mean`; what stands in brackets is left as it is."""
    family, bracket, rest = metric_id.partition("[")
    return " ".join(_SPELLING.get(word, word) for word in family.split("_")) + bracket + rest
