"""One complete evaluation: load, fit, predict, score the prediction files, write the records."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.benchmark import inference, score
from deocc_bench.benchmark.coco_results import read_coco_results
from deocc_bench.benchmark.inference import Clock, Settings
from deocc_bench.benchmark.lint import Finding, describe, lint, summary
from deocc_bench.benchmark.result import build, dataset_field, timing_field, write_run
from deocc_bench.benchmark.score import Scored, Scoring
from deocc_bench.core.dataset import DatasetReader, annotation_path
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.files import atomic_write, sha256_file
from deocc_bench.core.json_files import checked, dump_json, read_json, require_object
from deocc_bench.core.paths import check_inside
from deocc_bench.core.predictions import HEADER_FILE, PredictionFolder, draw_folder, draw_folders
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.record_schema import Header
from deocc_bench.core.results import (
    BEST_OF_K,
    MEAN,
    PREDICTIONS_FOLDER,
    RESULT_FILE,
    SINGLE,
    VOTE,
    RunResult,
)
from deocc_bench.core.types import Prediction
from deocc_bench.methods.method import Method
from deocc_bench.methods.serving import check_serves, truth_given


@dataclass(frozen=True)
class Job:
    """The inputs and settings of an evaluation.

    Args:
        dataset, split, ids: the samples.
        out: the run's folder.
        scoring: settings of the scoring; its task, initial mask and seed also apply to the run.
        batch_size, workers, timeout: see `inference.Settings`.
        resume: continue an existing run.
        fit_dataset, fit_split: training data of methods that learn.
        notes: notes for the record.
        header: the stored header of predictions that are scored again (`read_header`).
    """

    dataset: DatasetReader
    split: str
    ids: Sequence[str]
    out: Path
    scoring: Scoring
    batch_size: int = 8
    workers: int = 1
    timeout: float | None = None
    resume: bool = False
    fit_dataset: DatasetReader | None = None
    fit_split: str | None = None
    notes: tuple[str, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        s = self.scoring
        return Settings(s.task, s.initial_mask, s.seed, self.batch_size, self.workers, self.timeout)

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "initial_mask": None if self.scoring.task == "content" else self.scoring.initial_mask,
            "convention": self.scoring.convention,
            "resamples": self.scoring.resamples,
            "fit_dataset": self.header.get("fit_dataset") if self.fit_dataset is None else self.fit_dataset.fingerprint,
            "fit_split": self.header.get("fit_split") if self.fit_split is None else self.fit_split,
        }


def choose_ids(dataset: DatasetReader, split: str, limit: int | None) -> list[str]:
    """The first `limit` ids of the split in sorted order; all ids without a limit.

    Raises:
        DeoccError: the split is empty.
    """
    ids = dataset.ids(split)[:limit]
    if not ids:
        raise DeoccError(f"{dataset.root}: split {split!r} has no samples; choose another split (--split)")
    return ids


def prepare(method: Method, job: Job) -> float:
    """Check that method, task and dataset fit together, and fit a method that learns; return the seconds of fitting.

    Raises:
        DeoccError: they do not fit together, or the method would learn from the scored split.
    """
    check_serves(method, job.scoring.task, job.dataset, job.split, job.scoring.initial_mask)
    start = time.perf_counter()
    learns = {"fit", "truth"} & set(method.all_needs)
    if "fit" in method.all_needs:
        if job.fit_dataset is None or job.fit_split is None:
            raise UsageError(f"method {method.name!r} learns from data; name the split, e.g. --fit-split train")
        same = job.fit_dataset.fingerprint == job.dataset.fingerprint
        if same and job.fit_split == job.split:
            raise UsageError(f"method {method.name!r} would learn from split {job.split!r}, on which it is scored")
        method.fit(job.fit_dataset, job.fit_split)
    if "truth" in method.all_needs:
        method.reveal(job.dataset, job.split)
    return time.perf_counter() - start if learns else 0.0


def evaluate_method(method: Method, job: Job, fit_seconds: float = 0.0) -> list[RunResult]:
    """Predict the missing samples, score all, and write the records. Call `prepare` first.

    Returns:
        One record; for a random method the mean over its draws, the best draws (an oracle) and, for masks, the vote.
    """
    predictions = job.out / PREDICTIONS_FOLDER
    # A method that does not learn has no training data, regardless of the options.
    if "fit" not in method.all_needs:
        job = replace(job, fit_dataset=None, fit_split=None)
    identity = {
        **method.describe(),
        "truth_given": list(truth_given(method, job.scoring.task)),
        "draws": method.samples,
    }
    job = replace(job, notes=(*job.notes, *_shared_groups(job), *_open_run(predictions, identity, job)))
    with progress_bar("predict", "sample", len(job.ids) * (method.samples or 1)) as bar:
        spent = inference.run(
            method, job.dataset, job.split, job.ids, job.settings, predictions=predictions, progress=bar.update
        )
    if spent.spoilt:
        note = f"predicted again, because the files had been changed: {len(spent.spoilt)}, e.g. {spent.spoilt[0]!r}"
        job = replace(job, notes=(*job.notes, note))
    if method.samples is None:
        return [score_predictions(predictions, identity, job, spent, fit_seconds)]
    return _score_draws(predictions, identity, job, spent, fit_seconds, draws=method.samples)


def score_predictions(
    predictions: Path, identity: Mapping[str, Any], job: Job, spent: Clock | None = None, fit_seconds: float = 0.0
) -> RunResult:
    """Score one prediction folder and write its record to `job.out`."""
    scored, seconds = _score(predictions, job)
    timing = _timing(spent, seconds, fit_seconds, len(job.ids))
    return _record(job, {"row": SINGLE, **identity}, scored, timing)


def rescore(
    predictions: Path, job: Job, name: str | None = None, findings: Sequence[Finding] | None = None
) -> list[RunResult]:
    """Score a folder that `evaluate` or another program wrote; draws of a random method are detected.

    Args:
        findings: what `check_folder` has found in the folder; None: check it.

    Raises:
        InputError: `job.out` already contains a run, `evaluate` wrote the predictions for another dataset or split, or
            they can't be scored.
    """
    if (job.out / RESULT_FILE).exists() and not job.resume:
        raise InputError(job.out, "already contains a run", "choose another --out")
    header = read_header(predictions)
    identity: dict[str, Any] = {"name": name or predictions.resolve().name, "truth_given": [], "draws": None}
    if header is not None:
        odd = [k for k, v in (("dataset", job.dataset.fingerprint), ("split", job.split)) if header.get(k) != v]
        if odd:
            cure = f"score it on that one, or remove {HEADER_FILE} to score it anyway"
            raise InputError(predictions, f"was predicted on another {' and '.join(odd)}", cure)
        identity = {**header["method"], "code_digest": (header.get("code_digests") or [None])[-1]}
        job = replace(job, header=header)
    # A reader of the record must know which masks were not binary, and how they were read.
    findings = check_folder(predictions, job) if findings is None else findings
    told = summary([f for f in findings if f.kind == "soft"])
    job = replace(job, notes=(*job.notes, *told))
    draws = len(draw_folders(predictions))
    if draws:
        return _score_draws(predictions, identity, job, None, 0.0, draws=draws)
    return [score_predictions(predictions, identity, job)]


def check_folder(predictions: Path, job: Job) -> list[Finding]:
    """Lint a folder before it is scored; return the findings that do not prevent scoring.

    Raises:
        InputError: the folder can't be scored; the message has the first finding and the number of others.
    """
    records = list(job.dataset.records(job.split))
    findings = lint(predictions, records, job.scoring.task, job.ids)
    fatal = [f for f in findings if f.error]
    if fatal:
        more = f" (and {len(fatal) - 1} more findings)" if len(fatal) > 1 else ""
        raise InputError(predictions, f"{describe(fatal[0])}{more}", "list them all with `deocc-bench lint`")
    return findings


def folder_from_json(path: Path, job: Job) -> Path:
    """Convert COCO results to the run's prediction folder and return it.

    Raises:
        InputError: `job.out` already contains a run, or the results can't be scored; then `job.out` stays empty.
    """
    target = job.out / PREDICTIONS_FOLDER
    if target.exists():
        raise InputError(job.out, "already contains a run", "choose another --out")
    try:
        read_coco_results(path, list(job.dataset.records(job.split)), PredictionFolder(target))
        check_folder(target, job)
    except DeoccError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def read_header(predictions: Path) -> dict[str, Any] | None:
    """The header that `evaluate` stored with the predictions; None for predictions of another program."""
    path = predictions / HEADER_FILE
    if not path.is_file():
        return None
    check_inside(predictions, path)
    cure = "remove it, or run evaluate again"
    header = require_object(read_json(path), path, cure)
    checked(header, Header, path, cure)
    return header


def _shared_groups(job: Job) -> list[str]:
    """A note if the method learned from groups (people, photos) on which it is scored. Splits of one dataset share no
    groups, but another dataset, given by `fit_dataset`, may."""
    if job.fit_dataset is None or job.fit_split is None:
        return []
    scored = {job.dataset.record(job.split, i).group_id for i in job.ids}
    shared = sorted(scored & {r.group_id for r in job.fit_dataset.records(job.fit_split)})
    if not shared:
        return []
    return [
        f"the method's training data contains {len(shared)} of the {len(scored)} scored groups, e.g. "
        f"{shared[0]!r}: if they are the same people, the numbers are too optimistic"
    ]


def _open_run(predictions: Path, identity: Mapping[str, Any], job: Job) -> list[str]:
    """Write the header of a new run, or check that of a resumed one; return notes for the record."""
    code = identity["code_digest"]
    header: dict[str, Any] = {
        "method": {k: v for k, v in identity.items() if k != "code_digest"},
        "dataset": job.dataset.fingerprint,
        "split": job.split,
        "task": job.scoring.task,
        "initial_mask": job.scoring.initial_mask,
        "seed": job.scoring.seed,
        "fit_dataset": None if job.fit_dataset is None else job.fit_dataset.fingerprint,
        "fit_split": job.fit_split,
        "annotations": _annotations(job.dataset, job.split),
        "fit_annotations": _annotations(job.fit_dataset, job.fit_split),
    }
    codes = [code]
    # A run that was killed before its first prediction leaves only files.
    if predictions.exists() and any(p.is_dir() for p in predictions.iterdir()):
        if not job.resume:
            raise InputError(job.out, "already contains a run", "choose another --out, or continue it with --resume")
        old = read_header(predictions) or {}
        # Converted through JSON, so that a tuple among the options equals the list that was stored.
        fresh = json.loads(dump_json(header))
        odd = [k for k in fresh if old.get(k) != fresh[k]]
        if odd in (["annotations"], ["fit_annotations"]):
            dataset, split = (job.dataset, job.split) if odd == ["annotations"] else (job.fit_dataset, job.fit_split)
            assert dataset is not None
            assert split is not None
            path = annotation_path(dataset.root, split)
            raise InputError(path, f"was changed after the run in {job.out} was started", "choose another --out")
        if odd:
            raise UsageError(f"{job.out}: can't resume this run, it differs in {', '.join(odd)}; choose another --out")
        codes = [*(c for c in old.get("code_digests", ()) if c != code), code]
    atomic_write(predictions / HEADER_FILE, dump_json({**header, "code_digests": codes}))
    if len(codes) > 1:
        return ["the method's code was changed between the parts of this run; run it again before you publish it"]
    return []


def _annotations(dataset: DatasetReader | None, split: str | None) -> str | None:
    """The digest of a split's annotation file: the fingerprint in `dataset.json` is only what the folder claims."""
    return None if dataset is None or split is None else sha256_file(annotation_path(dataset.root, split))


def _score_draws(
    predictions: Path,
    identity: Mapping[str, Any],
    job: Job,
    spent: Clock | None,
    fit_seconds: float,
    *,
    draws: int,
) -> list[RunResult]:
    identity = {**identity, "draws": draws}
    folders = [draw_folder(predictions, k) for k in range(draws)]
    parts, seconds = [], 0.0
    for folder in folders:
        scored, took = _score(folder, job)
        parts.append(scored)
        seconds += took
    tables = [p.table for p in parts]
    mean = score.join_draws(parts)
    timing = _timing(spent, seconds, fit_seconds, len(job.ids) * draws)
    results = [_record(job, {**identity, "row": MEAN}, mean, timing, draws=draws)]
    chosen = score.best_draws(tables, job.scoring.task)
    best = Scored(score.pick_draws(tables, chosen), {}, mean.predictions_digest)
    note = f"oracle: for each sample the best of {draws} draws, selected with the ground truth"
    side = replace(job, out=job.out / BEST_OF_K, notes=(*job.notes, note))
    results.append(_record(side, {**identity, "row": BEST_OF_K}, best, timing))
    if job.scoring.task == "mask":
        vote = job.out / VOTE / PREDICTIONS_FOLDER
        _write_vote(folders, vote, job)
        _note_vote(vote, read_header(predictions))
        scored, _ = _score(vote, job)
        note = f"vote: pixels that are set in more than half of {draws} draws"
        side = replace(job, out=job.out / VOTE, notes=(*job.notes, note))
        results.append(_record(side, {**identity, "row": VOTE}, scored, timing))
    return results


def _write_vote(folders: Sequence[Path], target: Path, job: Job) -> None:
    out = PredictionFolder(target)
    for sample_id in job.ids:
        size = job.dataset.record(job.split, sample_id).size
        votes = np.zeros(size, np.int64)
        for folder in folders:
            amodal = PredictionFolder(folder).read(sample_id, size, "mask").amodal
            assert amodal is not None
            votes += amodal
        out.write(Prediction(sample_id, amodal=2 * votes > len(folders)))


def _note_vote(vote: Path, header: Mapping[str, Any] | None) -> None:
    """Write the header of a vote, so that the vote can be scored again separately and keeps its row."""
    if header is not None:
        atomic_write(vote / HEADER_FILE, dump_json({**header, "method": {**header["method"], "row": VOTE}}))


def _score(predictions: Path, job: Job) -> tuple[Scored, float]:
    start = time.perf_counter()
    with progress_bar("score", "sample", len(job.ids)) as bar:
        scored = score.score_folder(
            predictions, job.dataset, job.split, job.ids, job.scoring, workers=job.workers, progress=bar.update
        )
    return scored, time.perf_counter() - start


def _record(
    job: Job,
    identity: Mapping[str, Any],
    scored: Scored,
    timing: Mapping[str, Any],
    draws: int = 1,
) -> RunResult:
    start = time.perf_counter()
    table = scored.table
    metrics = score.summarise(table, job.scoring, scored.distances, draws)
    breakdowns = score.break_down(table, job.scoring, draws)
    result = build(
        method=identity,
        dataset=dataset_field(job.dataset, job.split, job.ids),
        task=job.scoring.task,
        protocol=job.protocol,
        metrics=metrics,
        breakdowns=breakdowns,
        timing=timing_field(
            {**timing["seconds"], "statistics": time.perf_counter() - start},
            {**timing["samples"], "statistics": len(job.ids)},
        ),
        seed=job.scoring.seed,
        predictions_digest=scored.predictions_digest,
        notes=job.notes,
    )
    return write_run(job.out, result, table)


def _timing(spent: Clock | None, scoring: float, fit_seconds: float, scored: int) -> dict[str, Any]:
    seconds, samples = {"score": scoring}, {"score": scored}
    if spent is not None:
        seconds = {"data": spent.data, "compute": spent.compute, "write": spent.write, **seconds}
        samples = {**dict.fromkeys(("data", "compute", "write"), spent.samples), **samples}
    if fit_seconds:
        seconds, samples = {"fit": fit_seconds, **seconds}, {"fit": 0, **samples}
    return {"seconds": seconds, "samples": samples}
