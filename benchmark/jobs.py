"""Turn options into runs and scores: the work of `evaluate` and `score`, with all resulting records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deocc_bench.benchmark import evaluate as harness
from deocc_bench.benchmark import extractors, robustness
from deocc_bench.benchmark.evaluate import Job
from deocc_bench.benchmark.lint import summary
from deocc_bench.benchmark.options import FIT_SPLIT, SEED, RunOptions, ScoreOptions
from deocc_bench.benchmark.result import read_run
from deocc_bench.benchmark.score import Scoring
from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.loaded import LoadedDataset
from deocc_bench.core.lock import AGAIN, RESUME, output_folder
from deocc_bench.core.predictions import folder_of
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.registry import unknown
from deocc_bench.core.results import TASKS, RunResult
from deocc_bench.methods.devices import AUTO, resolve_device
from deocc_bench.methods.loading import as_method
from deocc_bench.metrics import conventions

FOLDER_PREFIX = "predictions:"

# A dataset folder, or the samples of `load_dataset`.
Data = str | Path | DatasetReader | LoadedDataset
Say = Callable[[str], object]


@dataclass(frozen=True)
class Outcome:
    """The result of `run_method`.

    Args:
        results: one record; for a random method the mean, then best-of-k and, for masks, the vote; for several initial
            masks the records of each.
        sweep: the curve over several initial masks (`robustness.curve`); None for a single mask.
    """

    results: tuple[RunResult, ...]
    sweep: Mapping[str, Any] | None = None


def run_method(
    method: Any, data: Data, task: str, out: str | Path, options: RunOptions, *, say: Say = lambda text: None
) -> Outcome:
    """Run and score a method and return all resulting records; see `evaluate`.

    Args:
        say: called with a warning about each kind of unusual predictions.
    """
    if task == "content" and mask_specs(options) != [initial_masks.DATASET]:
        raise UsageError("task 'content' has no initial mask; use --initial-mask only with mask and joint")
    if isinstance(method, str) and (method.startswith(FOLDER_PREFIX) or method.endswith(".json")):
        with output_folder(out, AGAIN, discard=True):
            return Outcome(tuple(_score_as_method(method, data, task, Path(out), options, say=say)))
    with output_folder(out, RESUME):
        return _run(method, data, task, Path(out), options)


def _run(method: Any, data: Data, task: str, out: Path, options: RunOptions) -> Outcome:
    masks = mask_specs(options)
    job = _job(data, task, out, options, masks[0])
    job = replace(job, batch_size=options.batch_size, timeout=options.timeout, resume=options.resume)
    loaded = as_method(method, options.options, options.device)
    if "fit" in loaded.all_needs:
        fit_dataset = job.dataset if options.fit_data is None else DatasetReader(options.fit_data)
        job = replace(job, fit_dataset=fit_dataset, fit_split=options.fit_split or FIT_SPLIT)
    elif options.fit_split or options.fit_data:
        raise UsageError(f"method {loaded.name!r} does not learn; leave out --fit-split and --fit-data")
    if len(masks) > 1:
        results, curve = robustness.sweep(loaded, job, masks)
        return Outcome(tuple(results), curve)
    return Outcome(tuple(harness.evaluate_method(loaded, job, harness.prepare(loaded, job))))


def rescore_folder(
    predictions: str | Path, data: Data, task: str | None, out: str | Path, options: ScoreOptions
) -> list[RunResult]:
    """Score a prediction folder and return all resulting records; see `score`."""
    folder = folder_of(predictions)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such prediction folder")
    header = harness.read_header(folder) or {}
    task = task or header.get("task")
    if task is None:
        raise UsageError(f"the task of {folder} is unknown; name it with --task")
    if Path(out).resolve() in (folder.resolve(), folder.resolve().parent):
        raise UsageError(f"--out {out} would overwrite the scored run; choose another folder")
    options, initial_mask = _as_noted(header, options)
    with output_folder(out, AGAIN, discard=True):
        return harness.rescore(folder, _job(data, task, Path(out), options, initial_mask))


def score_conventions(
    predictions: str | Path, data: Data, task: str | None, out: str | Path, options: ScoreOptions
) -> list[dict[str, Any]]:
    """Score a prediction folder by every paper's convention; return one dictionary per convention and metric."""
    results = rescore_folder(predictions, data, task, out, replace(options, convention=conventions.DEFAULT))
    result, table = read_run(out)
    draws = int(result.method.get("draws") or 1) if result.method["row"] == "mean" else 1
    rows = conventions.table_of_conventions(table, results[0].seed, options.resamples, draws).astype(object)
    records: list[dict[str, Any]] = rows.where(rows.notna(), None).to_dict("records")
    return records


def _score_as_method(spec: str, data: Data, task: str, out: Path, options: RunOptions, *, say: Say) -> list[RunResult]:
    """Score `predictions:DIR` or COCO results instead of running a method."""
    if options.options or len(mask_specs(options)) > 1:
        raise UsageError("--option and several initial masks need a method; existing predictions take neither")
    where = spec.removeprefix(FOLDER_PREFIX)
    if not where:
        raise UsageError(f"{spec!r} names no folder; use {FOLDER_PREFIX}DIR or {FOLDER_PREFIX}FILE.json")
    path = Path(where)
    folder = folder_of(path)
    noted, initial_mask = _as_noted(harness.read_header(folder) or {}, options)
    job = replace(_job(data, task, out, noted, initial_mask), resume=options.resume)
    name = path.resolve().name
    if path.suffix == ".json":
        if task != "mask":
            raise UsageError("COCO results contain only masks; use --task mask")
        folder, name = harness.folder_from_json(path, job), path.stem
    findings = harness.check_folder(folder, job)
    for line in summary(findings):
        say(f"warning: {line}")
    return harness.rescore(folder, job, name, findings)


def _as_noted(header: Mapping[str, Any], options: ScoreOptions) -> tuple[ScoreOptions, str]:
    """Seed and initial mask from the user, else from the header that `evaluate` stored with the predictions, so that
    scoring a run again reproduces its numbers."""
    seed = int(header.get("seed") or SEED) if options.seed is None else options.seed
    return replace(options, seed=seed), options.initial_mask or header.get("initial_mask") or initial_masks.DATASET


def _job(data: Data, task: str, out: Path, options: ScoreOptions, initial_mask: str) -> Job:
    if task not in TASKS:
        raise UsageError(unknown("task", task, TASKS))
    convention = conventions.get_convention(options.convention)
    if task == "content" and convention.name != conventions.DEFAULT:
        raise UsageError(f"convention {convention.name!r} is for masks, but the task is 'content'")
    if options.device != AUTO:
        resolve_device(options.device)
    dataset, split, ids = _samples(data, options)
    network, perceptual, notes = _networks(task, options)
    used = task != "mask" and not all(isinstance(n, extractors.Unavailable) for n in (network, perceptual))
    scoring = Scoring(
        task=task,
        initial_mask=initial_mask,
        seed=SEED if options.seed is None else options.seed,
        convention=options.convention,
        extractor=network,
        perceptual=perceptual,
        resamples=options.resamples,
        device=resolve_device(options.device) if used else "cpu",
    )
    return Job(dataset, split, ids, out, scoring, workers=options.workers, notes=notes)


def _samples(data: Data, options: ScoreOptions) -> tuple[DatasetReader, str, list[str]]:
    """The dataset, the split, and the scored ids, sorted."""
    if not isinstance(data, LoadedDataset):
        dataset = data if isinstance(data, DatasetReader) else DatasetReader(data)
        return dataset, options.split, harness.choose_ids(dataset, options.split, options.limit)
    if options.split not in (ScoreOptions.split, data.split):
        raise UsageError(f"the samples are of split {data.split!r}, not {options.split!r}; load that split instead")
    ids = sorted(data.ids)[: options.limit]
    if not ids:
        raise UsageError(f"{data!r} has no samples; relax the filter")
    return data.reader, data.split, ids


def _networks(
    task: str, options: ScoreOptions
) -> tuple[
    extractors.Extractor | extractors.Unavailable,
    extractors.PerceptualDistance | extractors.Unavailable,
    tuple[str, ...],
]:
    """The networks of the scoring, or the reasons why they are unavailable, and notes for the record."""
    network: extractors.Extractor | extractors.Unavailable = extractors.Unavailable("switched off by --no-fid")
    perceptual = extractors.find_perceptual(options.lpips)
    if task == "mask":
        return network, perceptual, ()
    if options.fid or options.fid_extractor:
        with _fetching() as progress:
            network = extractors.find_extractor(options.fid_extractor, progress=progress)
    notes = (f"no LPIPS: {perceptual.reason}",) if isinstance(perceptual, extractors.Unavailable) else ()
    return network, perceptual, notes


def mask_specs(options: ScoreOptions) -> list[str]:
    """The requested initial masks: the comma-separated specs, or the masks of the dataset."""
    return [s.strip() for s in (options.initial_mask or "").split(",") if s.strip()] or [initial_masks.DATASET]


@contextmanager
def _fetching() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on stderr for a download, shown from the first byte; no bar if nothing is downloaded."""
    bars: list[Any] = []

    def progress(done: int, total: int | None) -> None:
        if not bars:
            bars.append(progress_bar("fetch", "B", total, in_bytes=True))
        bars[0].update(done - bars[0].n)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.close()
