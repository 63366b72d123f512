"""Compute the numbers of a prediction folder. `evaluate` and `score` share this code, so they can't differ.

The only inputs are files (the dataset and the predictions) and the settings in `Scoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deocc_bench.benchmark import extractors
from deocc_bench.benchmark.extractors import Extractor, PerceptualDistance, Unavailable
from deocc_bench.core import images, initial_masks, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.predictions import PredictionFolder
from deocc_bench.core.provenance import digest
from deocc_bench.core.samples import column, identity_row, join_tables, mark_draw, to_table
from deocc_bench.core.statistics import RESAMPLES
from deocc_bench.core.types import Prediction
from deocc_bench.methods.calling import own_modal
from deocc_bench.metrics import conventions
from deocc_bench.metrics.aggregate import MetricValue, aggregate, distance_value, per_sample, unavailable
from deocc_bench.metrics.arrays import SampleArrays, composite, truth_image
from deocc_bench.metrics.breakdown import Breakdown, breakdown
from deocc_bench.metrics.definition import MetricSpec
from deocc_bench.metrics.feature_inputs import DISTRIBUTION_REGIONS, distribution_view
from deocc_bench.metrics.rows import metrics_to_score, sample_row

# A breakdown has about fifty bins with as many metrics; fewer resamples keep it cheaper than the run itself.
BREAKDOWN_RESAMPLES = 200
NO_NETWORK = Unavailable("no network was requested")


@dataclass(frozen=True)
class Scoring:
    """Settings of the scoring.

    Args:
        task: "mask", "content" or "joint".
        initial_mask: the spec of the method's initial masks.
        seed: seed of the initial masks and of the bootstrap.
        convention: name of a convention whose metrics are added.
        extractor, perceptual: networks, or the reason why there is none.
        resamples: number of bootstrap resamples.
        device: device of the networks.
    """

    task: str
    initial_mask: str = initial_masks.DATASET
    seed: int = 0
    convention: str = conventions.DEFAULT
    extractor: Extractor | Unavailable = NO_NETWORK
    perceptual: PerceptualDistance | Unavailable = NO_NETWORK
    resamples: int = RESAMPLES
    device: str = "cpu"


@dataclass(frozen=True)
class Scored:
    """The table of one prediction folder, its distribution distances, and the digest of the files that were read."""

    table: pd.DataFrame
    distances: Mapping[str, MetricValue]
    predictions_digest: str


def score_folder(
    predictions: Path,
    dataset: DatasetReader,
    split: str,
    ids: Sequence[str],
    scoring: Scoring,
    *,
    workers: int = 1,
    progress: Callable[[int], object] = lambda n: None,
) -> Scored:
    """Score the samples `ids` of a prediction folder.

    Args:
        workers: number of threads that read and compute.
        progress: called with 1 for each sample.

    Raises:
        DeoccError: predictions are missing (the message counts them), or a file can't be scored (the message names it).
    """
    folder = PredictionFolder(predictions)
    missing = [i for i in ids if not folder.holds(i, scoring.task)]
    if missing:
        raise DeoccError(
            f"{predictions}: {len(missing)} of {len(ids)} samples have no prediction, e.g. {missing[0]!r}; "
            "predict them, or score fewer samples with --limit"
        )

    specs = metrics_to_score(scoring.task)

    def one(sample_id: str) -> tuple[dict[str, Any], str]:
        result = _score_sample(folder, dataset.record(split, sample_id), scoring, specs)
        progress(1)
        return result

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(one, ids))
    else:
        results = [one(i) for i in ids]
    table = to_table([row for row, _ in results])
    known = digest(*(f"{i} {d}" for i, (_, d) in sorted(zip(ids, results, strict=True))))
    return Scored(table, _distances(folder, dataset, split, sorted(ids), scoring), known)


def summarise(
    table: pd.DataFrame, scoring: Scoring, distances: Mapping[str, MetricValue] | None = None, draws: int = 1
) -> dict[str, MetricValue]:
    """Metrics of a table (from `score_folder`, `join_draws`, or read from `samples.csv`).

    Args:
        distances: distribution distances, added unchanged.
        draws: rows per sample; `n` and `n_defined` count samples rather than draws.

    Raises:
        DeoccError: the convention is for masks, but the task is content.
    """
    metrics = aggregate(table, scoring.task, scoring.seed, scoring.resamples)
    if scoring.convention != conventions.DEFAULT:
        if scoring.task == "content":
            raise DeoccError(f"convention {scoring.convention!r} is for masks, but the task is 'content'")
        metrics |= conventions.score(table, scoring.convention, scoring.seed, scoring.resamples)
    return {**per_sample(metrics, draws), **(distances or {})}


def break_down(table: pd.DataFrame, scoring: Scoring, draws: int = 1) -> Breakdown:
    """The defined metrics of each bin of a table. Args: same as `summarise`."""
    parts = breakdown(table, scoring.task, scoring.seed, min(scoring.resamples, BREAKDOWN_RESAMPLES))
    return {k: {b: per_sample(_defined(m), draws) for b, m in bins.items()} for k, bins in parts.items()}


def join_draws(parts: Sequence[Scored]) -> Scored:
    """Join the draws of a random method: all rows, mean distances, a digest over the draws' digests in order."""
    known = digest(*(p.predictions_digest for p in parts))
    return Scored(merge_draws([p.table for p in parts]), mean_distances([p.distances for p in parts]), known)


def merge_draws(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All draws of a random method in one table, with ids `<sample>#<draw>`.

    Means of this table are means over the draws, and each cluster contains all draws of a human.
    """
    return join_tables(mark_draw(table, k) for k, table in enumerate(tables))


def mean_distances(per_draw: Sequence[Mapping[str, MetricValue]]) -> dict[str, MetricValue]:
    """Distribution distances, averaged over the draws; each uses n pictures, the same as for other methods."""
    first = dict(per_draw[0])
    for name, metric in first.items():
        values = [d[name]["value"] for d in per_draw]
        numbers = [v for v in values if v is not None]
        if len(numbers) == len(values):
            first[name] = {**metric, "value": float(np.mean(numbers))}
    return first


def best_draws(tables: Sequence[pd.DataFrame], task: str) -> list[int]:
    """For each sample (in id order) the best draw, selected with the ground truth; this is an oracle.

    The best draw has the highest amodal IoU in task `mask`, the lowest L1 over the picture in `content`, and the lowest
    L1 over the human in `joint`. Ties go to the first draw.
    """
    if task == "mask":
        union = [column(t, "predicted") + column(t, "amodal") - column(t, "amodal_inter") for t in tables]
        # The true mask is never empty, so no union is empty.
        scores = [-column(t, "amodal_inter") / u for t, u in zip(tables, union, strict=True)]
    else:
        scores = [column(t, "abs_human" if task == "joint" else "abs_image") for t in tables]
    return [int(k) for k in np.argmin(np.stack(scores), axis=0)]


def pick_draws(tables: Sequence[pd.DataFrame], chosen: Sequence[int]) -> pd.DataFrame:
    """The table with sample i's row from draw `chosen[i]`."""
    rows = [tables[k].iloc[i].to_dict() for i, k in enumerate(chosen)]
    return to_table([{k: None if v is pd.NA else v for k, v in row.items()} for row in rows])


def _score_sample(
    folder: PredictionFolder, record: SampleRecord, scoring: Scoring, specs: Sequence[MetricSpec]
) -> tuple[dict[str, Any], str]:
    prediction = folder.read(record.id, record.size, scoring.task)
    sample = _arrays(record, prediction, scoring, {name for spec in specs for name in spec.inputs})
    # The group is the unit of the bootstrap: the source photo, or the person if the dataset identifies people.
    # Occluders behind the person hide no part of them.
    front = [o.category for o in record.truth.front]
    row = identity_row(record.id, record.group_id, front) | sample_row(sample, specs)
    if prediction.image is not None and isinstance(scoring.perceptual, PerceptualDistance):
        row |= extractors.perceptual_row(scoring.perceptual, sample, scoring.device)
    arrays = [a for a in (prediction.amodal, prediction.modal, prediction.parsing, prediction.image) if a is not None]
    return row, digest(*arrays)


def _arrays(record: SampleRecord, prediction: Prediction, scoring: Scoring, needed: Collection[str]) -> SampleArrays:
    """The sample's arrays; pictures are read only if the method recovered one or a metric needs them."""
    amodal, modal = masks.decode(record.amodal), masks.decode(record.modal)
    initial = None if scoring.task == "content" else initial_masks.of_record(record, scoring.initial_mask, scoring.seed)
    recovered = prediction.image
    return SampleArrays(
        amodal=amodal,
        modal=modal,
        initial=initial,
        predicted=prediction.amodal,
        predicted_modal=prediction.modal,
        parsing=images.read_indices(record.parsing_path) if record.parsing_path else None,
        predicted_parsing=prediction.parsing,
        image=images.read_rgb(record.image_path) if recovered is not None or "image" in needed else None,
        complete=None if recovered is None else _complete(record),
        recovered=recovered,
        fill=None if recovered is None else _fill(prediction, amodal, modal, initial),
    )


def _fill(prediction: Prediction, amodal: np.ndarray, modal: np.ndarray, initial: np.ndarray | None) -> np.ndarray:
    if prediction.amodal is None:
        return amodal & ~modal
    return prediction.amodal & ~own_modal(prediction.amodal, prediction.modal, initial)


def _complete(record: SampleRecord) -> np.ndarray:
    if record.complete_path is None:
        raise DeoccError(f"{record.root}: sample {record.id!r} has no un-occluded image; score it with task mask")
    return images.read_rgb(record.complete_path)


def _distances(
    folder: PredictionFolder, dataset: DatasetReader, split: str, ids: Sequence[str], scoring: Scoring
) -> dict[str, MetricValue]:
    if scoring.task == "mask":
        return {}
    found: dict[str, MetricValue] = {}
    network = scoring.extractor
    for region in DISTRIBUTION_REGIONS:
        reason = _why_no_fid(network, len(ids))
        if reason is not None:
            names = [base + ("" if region == "image" else f"_{region}") for base in ("fid", "kid")]
            found |= {name: unavailable(name, len(ids), reason) for name in names}
        if isinstance(network, Unavailable) or len(ids) < 2:
            continue
        truths = _truth_features(network, dataset, split, ids, region, device=scoring.device)
        views = (_predicted_view(folder, dataset.record(split, i), scoring, region) for i in ids)
        predicted = network.features((v for v in views if v is not None), device=scoring.device)
        for name, value in extractors.distances(truths, predicted, network, region).items():
            found[name] = distance_value(name, value, len(ids))
    return found


def _why_no_fid(network: Extractor | Unavailable, n: int) -> str | None:
    if isinstance(network, Unavailable):
        return network.reason
    if n < 2:
        return "a distance between distributions needs at least two samples"
    return None if network.is_inception else f"the network is {network.label}; its distances are called fd and kd"


def _truth_features(
    network: Extractor, dataset: DatasetReader, split: str, ids: Sequence[str], region: str, *, device: str
) -> np.ndarray:
    def compute() -> np.ndarray:
        views = (_truth_view(dataset.record(split, i), region) for i in ids)
        return network.features((v for v in views if v is not None), device=device)

    return extractors.cached_features(
        compute, fingerprint=dataset.fingerprint, extractor=network, region=region, ids=ids
    )


def _truth_view(record: SampleRecord, region: str) -> np.ndarray | None:
    amodal = masks.decode(record.amodal)
    picture = truth_image(images.read_rgb(record.image_path), _complete(record), amodal)
    return distribution_view(picture, amodal, region)


def _predicted_view(folder: PredictionFolder, record: SampleRecord, scoring: Scoring, region: str) -> np.ndarray | None:
    prediction = folder.read(record.id, record.size, scoring.task)
    assert prediction.image is not None
    amodal, modal = masks.decode(record.amodal), masks.decode(record.modal)
    initial = None if scoring.task == "content" else initial_masks.of_record(record, scoring.initial_mask, scoring.seed)
    picture = composite(images.read_rgb(record.image_path), prediction.image, _fill(prediction, amodal, modal, initial))
    return distribution_view(picture, amodal, region)


def _defined(metrics: Mapping[str, MetricValue]) -> dict[str, MetricValue]:
    return {name: m for name, m in metrics.items() if m["n_defined"]}
