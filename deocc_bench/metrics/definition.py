"""`MetricSpec`: one record with every fact about a metric. No code infers facts from a metric's name."""

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
# The network of `fid` and `kid`; its full checksum is in `benchmark.extractors`.
INCEPTION = "inception-2015-12-05@f58cb9b6"
OWN = "deocc-bench"

RowValue = float | int | None
# The arrays of one sample -> columns of its row in `samples.csv`; None for an undefined value.
RowOf = Callable[["SampleArrays"], Mapping[str, RowValue]]

# Spelling of the words in metric ids.
_SPELLING = {
    **{word: word.upper() for word in ("l1", "psnr", "ssim", "lpips", "fid", "kid", "fd", "kd")},
    "iou": "IoU",
    "miou": "mIoU",
}


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One metric: its meaning, its computation from a sample's arrays, and its presentation in tables.

    Args:
        id: name in records and tables; `FAMILY[MEMBER]` for a member of a family.
        region: "mask" for metrics of masks (tasks mask and joint), "content" for metrics of recovered pictures (tasks
            content and joint). None: unknown, for a record of another version (`spec.spec_of_record`).
        meaning: one line, including when the metric is undefined.
        terms: table -> (numerators, denominators), float64 (N,) or (N, K), no NaN; None for distances between
            distributions, which are not functions of the table.
        row: computes the columns that `terms` reads from one sample's arrays; called only where all arrays of
            `inputs` are present. Metrics may share one. None: other code writes the columns.
        inputs: the required arrays of `SampleArrays`, in the argument order of the torch class.
        torch_class: name of its `torchmetrics` class in `deocc_bench.metrics`; empty: no named class.
        unit: "ratio", "dB", "distance", ...
        low, high: range of the value (None: unbounded).
        higher_is_better: direction.
        source: publication of the definition.
        definition: id of the definition; it changes whenever the computed number would. Default: `ID/1`.
        heading: column heading in tables. Default: the id in words.
        columns: task -> position among the columns that tables show by default, smallest first.
        column_if_undefined: show that column even if no run defines the metric; it then has a dash with the reason.
        network: the required feature network, as `NAME@SHA8`; None: no network.
        of_input: whether it measures the method's input rather than its output.
        each_part: title of the chart of a family with one metric per body part; such metrics are omitted from short
            listings. Empty: not a member of such a family.
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
        """The id without its bracketed part."""
        return split_id(self.id)[0]

    @property
    def member(self) -> str:
        """The bracketed part of the id; empty if there is none."""
        return split_id(self.id)[1]

    @property
    def of_given_network(self) -> bool:
        """Whether its network is a file from the user, named in the id."""
        return self.network not in (None, INCEPTION)


def split_id(metric_id: str) -> tuple[str, str]:
    """`FAMILY[MEMBER]` as (family, member); (id, "") for an id without brackets."""
    family, bracket, member = metric_id.partition("[")
    return (family, member[:-1]) if bracket and member.endswith("]") else (metric_id, "")


def words(metric_id: str) -> str:
    """An id in words: `amodal_iou_mean` becomes `amodal IoU mean`; a bracketed part is unchanged."""
    family, bracket, rest = metric_id.partition("[")
    return " ".join(_SPELLING.get(word, word) for word in family.split("_")) + bracket + rest
