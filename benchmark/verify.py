"""A finished run scored anew from its own predictions, as its record says; for the leaderboard's `--verify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deocc_bench.benchmark.extractors import Extractor, Unavailable, find_extractor
from deocc_bench.benchmark.result import dataset_field
from deocc_bench.benchmark.score import Scoring, join_draws, score_folder, summarise
from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.predictions import draw_folder
from deocc_bench.core.results import BEST_OF_K, PREDICTIONS_FOLDER, SAMPLES_FILE, Rescored, RunResult, read_result
from deocc_bench.core.samples import read_table, sample_of
from deocc_bench.metrics import conventions
from deocc_bench.metrics.aggregate import MetricValue, unavailable
from deocc_bench.metrics.definition import INCEPTION
from deocc_bench.metrics.spec import spec_of_record


def rescore_run(run: Path, dataset: DatasetReader) -> Rescored:
    """Score `RUN/predictions` as `RUN/result.json` says: task, split, samples, initial mask, convention, seed, draws.

    Nothing is written, and no network is fetched. An edited record is read all the same: to find that it was edited is
    what this is for.

    Args:
        run: folder of the run.
        dataset: the dataset that it was scored on.

    Returns:
        `metrics` as in the record (without intervals where the record does not say how many resamples they had), to
        the last bit those that `evaluate` wrote; numbers of a network that is not at hand are null with the reason.
        `predictions_digest`: of the predictions that were read.

    Raises:
        DeoccError: the predictions are incomplete or broken, the samples are not those of the record, or the run is a
            best-of-k row, which the truth chose from another run's draws.
    """
    record = read_result(run)
    if record.row == BEST_OF_K:
        raise DeoccError(f"{run}: the best draws were chosen by the truth; verify the run in the folder above it")
    predictions = Path(run) / PREDICTIONS_FOLDER
    if not predictions.is_dir():
        raise InputError(run, "holds no predictions", "give the run's whole folder")
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
    """The recorded numbers of networks that are files of the user's, which the record names and does not hold."""
    found = {}
    for name, metric in record.metrics.items():
        spec = spec_of_record(name, metric, record.task)
        if name not in scored and spec.of_given_network:
            found[name] = unavailable(name, n, f"the network {spec.network} is not at hand")
    return found


def _scored_ids(run: Path, record: RunResult, dataset: DatasetReader, split: str) -> Sequence[str]:
    """The samples that the record is about: the first n of the split, or else those that its table lists."""
    ids = dataset.ids(split)
    n = record.dataset["n"]
    table = run / SAMPLES_FILE
    rows = list(read_table(table)["id"]) if table.is_file() else []
    listed = {sample_of(i) if record.of_draws else i for i in rows}
    for chosen in (ids[:n], [i for i in ids if i in listed]):
        if dataset_field(dataset, split, chosen) == {**record.dataset, "name": dataset.name}:
            return chosen
    raise InputError(run, f"the samples that it names are not those of split {split!r}", "give the dataset it had")
