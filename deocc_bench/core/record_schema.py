"""Types of the JSON files of a run, with which files from others are checked when they are read.

Fields that are not listed are kept, but no code relies on their type.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(max_length=100_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Resamples = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Interval = tuple[float, float]


class Metric(msgspec.Struct):
    """A metric of a record, or of a bin of a breakdown."""

    value: float | None
    ci95: Interval | None
    n: Count
    n_defined: Count
    unit: Text
    higher_is_better: bool
    definition: Text
    reason: Text | None = None


class Method(msgspec.Struct):
    """The method of a run."""

    name: Text
    spec: Text | None = None
    source: Text | None = None
    version: Text | None = None
    parameters: Count | None = None
    weights: Text | dict[str, Text | None] | None = None
    options: dict[str, Any] = {}
    code_digest: Text | None = None
    needs: list[Text] = []
    truth_given: list[Text] = []
    draws: Positive | None = None
    row: Literal["single", "mean", "best-of-k", "vote"] | None = None


class Dataset(msgspec.Struct):
    """The dataset of a run."""

    name: Text
    fingerprint: Text
    split: Text
    n: Count
    samples_digest: Text


class Protocol(msgspec.Struct):
    """The protocol of a run."""

    initial_mask: Text | None = None
    convention: Text | None = None
    resamples: Resamples | None = None
    fit_dataset: Text | None = None
    fit_split: Text | None = None


class Timing(msgspec.Struct):
    """The timing of a run."""

    seconds: dict[str, Seconds | None] = {}
    samples: dict[str, Count | None] = {}
    seconds_per_sample: dict[str, Seconds | None] = {}
    share: dict[str, float | None] = {}
    total_seconds: Seconds | None = None


class Record(msgspec.Struct):
    """`result.json`."""

    schema_version: int
    method: Method
    dataset: Dataset
    task: Literal["mask", "content", "joint"]
    protocol: Protocol
    metrics: dict[Text, Metric]
    breakdowns: dict[Text, dict[Text, dict[Text, Metric]]]
    timing: Timing
    environment: dict[str, Any]
    seed: Seed
    command: Text
    date: Text
    version: Text
    notes: list[Text]
    predictions_digest: Text | None
    table_digest: Text | None
    digest: Text


class Header(msgspec.Struct):
    """`predictions/run.json`."""

    method: Method
    dataset: Text
    split: Text
    task: Text | None = None
    initial_mask: Text | None = None
    seed: Seed | None = None
    fit_dataset: Text | None = None
    fit_split: Text | None = None
    code_digests: list[Text | None] = []


class Percentiles(msgspec.Struct):
    """Times of a method in a latency report."""

    p50_ms: Seconds
    p90_ms: Seconds


class Ratio(msgspec.Struct):
    """Time ratio to the reference method."""

    median: Seconds | None = None


class Speed(msgspec.Struct):
    """A method in a latency report."""

    name: Text
    end_to_end: Percentiles
    ratio: Ratio | None = None
    throughput: dict[Annotated[str, msgspec.Meta(pattern="^[0-9]{1,9}$")], Seconds | None] | None = None
    parameters: Count | None = None
    flops: Annotated[float, msgspec.Meta(ge=0)] | None = None
    peak_memory_bytes: Count | None = None


class LatencyProtocol(msgspec.Struct):
    """The protocol of a latency report."""

    size: tuple[Count, Count]
    deviations: list[Text] | None = None


class LatencyReport(msgspec.Struct):
    """The file that `deocc-bench latency --out` writes."""

    methods: list[Speed]
    protocol: LatencyProtocol
    device: Text
    reference: Text
