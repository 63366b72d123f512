"""Score a finished run again from its own predictions and its recorded settings; for `leaderboard --verify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deocc_bench.benchmark.extractors import Extractor, Unavailable, find_extractor
from deocc_bench.benchmark.result import dataset_field
from deocc_bench.benchmark.score import Scoring, join_draws, score_folder, summarise
from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.paths import check_inside
from deocc_bench.core.predictions import draw_folder
from deocc_bench.core.results import BEST_OF_K, PREDICTIONS_FOLDER, SAMPLES_FILE, Rescored, RunResult, read_result
from deocc_bench.core.samples import read_table, sample_of
from deocc_bench.metrics import conventions
from deocc_bench.metrics.aggregate import MetricValue, unavailable
from deocc_bench.metrics.definition import INCEPTION
from deocc_bench.metrics.spec import spec_of_record


def rescore_run(run: Path, dataset: DatasetReader) -> Rescored:
    """Score `RUN/predictions` with the settings of `RUN/result.json`: task, split, samples, initial mask, convention,
    seed, draws.

    Nothing is written, and no network is downloaded. An edited record is read too, because this function serves to
    detect edits.

    Args:
        run: folder of the run.
        dataset: the dataset of the run.

    Returns:
        `metrics` as in the record, equal to the last bit to those that `evaluate` wrote. Intervals are left out if the
        record does not state the number of resamples; metrics of an unavailable network are null with the reason.
        `predictions_digest`: digest of the predictions that were read.

    Raises:
        DeoccError: the predictions are incomplete or broken, the samples differ from those of the record, or the run is
            a best-of-k row, whose draws were selected with the ground truth.
    """
    record = read_result(run)
    if record.row == BEST_OF_K:
        raise DeoccError(
            f"{run}: the best draws were selected with the ground truth; verify the run in the parent folder"
        )
    predictions = Path(run) / PREDICTIONS_FOLDER
    check_inside(run, predictions)
    if not predictions.is_dir():
        raise InputError(run, "contains no predictions", "use the complete folder of the run")
    split = str(record.dataset["split"])
    ids = _scored_ids(Path(run), record, dataset, split)
    folders = [draw_folder(predictions, k) for k in range(record.draws)] if record.of_draws else [predictions]
    scoring = _scoring(record)
    parts = [score_folder(folder, dataset, split, ids, scoring) for folder in folders]
    scored = join_draws(parts) if record.of_draws else parts[0]
    metrics = summarise(scored.table, scoring, scored.distances, record.draws)
    metrics |= _out_of_reach(record, metrics, len(ids))
    return Rescored(metrics, scored.predictions_digest)


def _scoring(record: RunResult) -> Scoring:
    protocol = record.protocol
    return Scoring(
        record.task,
        protocol.get("initial_mask") or initial_masks.DATASET,
        record.seed,
        protocol.get("convention") or conventions.DEFAULT,
        _extractor(record),
        resamples=int(protocol.get("resamples") or 0),
    )


def _extractor(record: RunResult) -> Extractor | Unavailable:
    used = [m for name, m in record.metrics.items() if spec_of_record(name, m, record.task).network == INCEPTION]
    if any(m["value"] is not None for m in used):
        return find_extractor(fetch=False)
    return Unavailable(next((str(m["reason"]) for m in used if m.get("reason")), "the run used no network"))


def _out_of_reach(record: RunResult, scored: Mapping[str, MetricValue], n: int) -> dict[str, MetricValue]:
    """Entries for metrics of user-supplied networks, whose files are not stored with the record."""
    found = {}
    for name, metric in record.metrics.items():
        spec = spec_of_record(name, metric, record.task)
        if name not in scored and spec.of_given_network:
            found[name] = unavailable(name, n, f"the network {spec.network} is not available")
    return found


def _scored_ids(run: Path, record: RunResult, dataset: DatasetReader, split: str) -> Sequence[str]:
    """The samples of the record: the first n of the split, or else those listed in its table."""
    ids = dataset.ids(split)
    n = record.dataset["n"]
    table = run / SAMPLES_FILE
    rows = list(read_table(table)["id"]) if table.is_file() else []
    listed = {sample_of(i) if record.of_draws else i for i in rows}
    for chosen in (ids[:n], [i for i in ids if i in listed]):
        if dataset_field(dataset, split, chosen) == {**record.dataset, "name": dataset.name}:
            return chosen
    raise InputError(run, f"its samples are not those of split {split!r}", "use the dataset of the run")
