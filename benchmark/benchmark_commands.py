"""The commands `methods`, `evaluate`, `score`, `lint`, `compare` and `latency`: parse, call, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.results import TASKS, RunResult
from deocc_bench.methods.devices import device_option, resolve_device

FOLDER_PREFIX = "predictions:"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(as_json: bool) -> None:
    """List what can be evaluated by name, with what each needs."""
    from deocc_bench.benchmark import tables
    from deocc_bench.methods.loading import list_methods

    rows = list_methods()
    _print(as_json, rows, tables.format_methods(rows))


def _dataset_options(command: Any) -> Any:
    for option in (
        click.option("--data", required=True, type=click.Path(path_type=Path), help="Dataset folder."),
        click.option("--split", default="test", show_default=True, help="Split to score."),
        click.option("--limit", type=click.IntRange(1), help="Only the first N samples of the split."),
        click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Threads."),
        click.option("--seed", type=int, help="Of random methods, masks and intervals.  [default: 0, or as noted]"),
        click.option("--convention", default="deocc-bench", show_default=True, help="Add another paper's scores."),
        click.option(
            "--fid-extractor", type=click.Path(path_type=Path), help="TorchScript file of the features of FID."
        ),
        click.option("--fid/--no-fid", default=True, show_default=True, help="Fetch and use the feature network."),
        click.option("--lpips", type=click.Path(path_type=Path), help="TorchScript file of an LPIPS network."),
        device_option(),
        click.option("--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Of the bootstrap."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("method")
@click.option("--task", required=True, type=click.Choice(TASKS), help="What is predicted.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True)
@click.option("--initial-mask", help="SPEC[,SPEC...], e.g. perfect,dilate:3.  [default: the dataset's, or as noted]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds that one batch may take.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for the method's constructor.")
@click.option("--fit-split", help="Split to learn from, for methods that learn.  [default: train]")
@click.option("--fit-data", type=click.Path(path_type=Path), help="Dataset to learn from.  [default: --data]")
@_dataset_options
def evaluate(
    method: str,
    task: str,
    out: Path,
    batch_size: int,
    initial_mask: str | None,
    resume: bool,
    timeout: float | None,
    options: tuple[str, ...],
    fit_split: str | None,
    fit_data: Path | None,
    as_json: bool,
    **common: Any,
) -> None:
    """Run METHOD on a split and score it.

    METHOD is a registered name (name:preset), package.module:Class, file.py:Class, predictions:DIR, or
    predictions:FILE.json (COCO results).
    """
    from deocc_bench.benchmark import evaluate as harness
    from deocc_bench.benchmark import robustness, tables
    from deocc_bench.core import predictions
    from deocc_bench.methods import loading as loading

    specs = [s.strip() for s in (initial_mask or "dataset").split(",") if s.strip()] or ["dataset"]
    if task == "content" and specs != ["dataset"]:
        raise UsageError("task 'content' has no initial mask; --initial-mask is for mask and joint")
    if method.startswith(FOLDER_PREFIX) or method.endswith(".json"):
        if options or len(specs) > 1:
            raise UsageError("predictions are scored as they are: --option and several --initial-mask need a method")
        where = method.removeprefix(FOLDER_PREFIX)
        if not where:
            raise UsageError(f"{method!r} names no folder; write {FOLDER_PREFIX}DIR or {FOLDER_PREFIX}FILE.json")
        job = _job(task, out, *_as_noted(predictions.folder_of(where), common, initial_mask))
        _print_results(as_json, _evaluate_folder(where, replace(job, resume=resume)))
        return
    job = replace(_job(task, out, common, specs[0]), batch_size=batch_size, timeout=timeout, resume=resume)
    loaded = loading.load_method(method, loading.parse_options(options), common["device"])
    if "fit" in loaded.all_needs:
        fit_dataset = job.dataset if fit_data is None else DatasetReader(fit_data)
        job = replace(job, fit_dataset=fit_dataset, fit_split=fit_split or "train")
    elif fit_split or fit_data:
        raise UsageError(f"method {loaded.name!r} does not learn; leave out --fit-split and --fit-data")
    if len(specs) > 1:
        results, summary = robustness.sweep(loaded, job, specs)
        _print(as_json, {"runs": [r.to_json() for r in results], "sweep": summary}, tables.format_sweep(summary))
        return
    fit_seconds = harness.prepare(loaded, job)
    _print_results(as_json, harness.evaluate_method(loaded, job, fit_seconds))


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--task", type=click.Choice(TASKS), help="Needed for folders that `evaluate` did not write.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the new record; left out: nothing is written.")
@click.option("--initial-mask", help="SPEC the method was run with.  [default: as noted, else the dataset's]")
@_dataset_options
def score(
    predictions: Path, task: str | None, out: Path | None, initial_mask: str | None, as_json: bool, **common: Any
) -> None:
    """Score a prediction folder again, without the method. `--convention all` prints every paper's way."""
    from tempfile import TemporaryDirectory

    from deocc_bench.benchmark import evaluate as harness
    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.result import read_run
    from deocc_bench.core.predictions import folder_of
    from deocc_bench.metrics import conventions

    predictions = folder_of(predictions)
    if not predictions.is_dir():
        raise UsageError(f"{predictions}: no such prediction folder")
    task = task or (harness.read_header(predictions) or {}).get("task")
    if task is None:
        raise UsageError(f"{predictions} does not say which task it answers; give --task")
    common, initial_mask = _as_noted(predictions, common, initial_mask)
    every = common["convention"] == "all"
    if every:
        common["convention"] = conventions.DEFAULT
    if out is not None and out.resolve() in (predictions.resolve(), predictions.resolve().parent):
        raise UsageError(f"--out {out} would overwrite the run that is re-scored; choose another folder")
    with TemporaryDirectory() as scratch:
        target = Path(scratch) if out is None else out
        job = _job(task, target, common, initial_mask)
        results = harness.rescore(predictions, job)
        if not every:
            _print_results(as_json, results)
            return
        result, table = read_run(target)
        draws = int(result.method.get("draws") or 1) if result.method["row"] == "mean" else 1
        rows = conventions.table_of_conventions(table, common["seed"], common["resamples"], draws).astype(object)
        records = rows.where(rows.notna(), None).to_dict("records")
    _print(as_json, records, tables.format_conventions(records))


@click.command()
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Dataset folder.")
@click.option("--split", default="test", show_default=True)
@click.option("--task", required=True, type=click.Choice(TASKS), help="What is predicted.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N samples must be there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def lint(
    context: click.Context, predictions: Path, data: Path, split: str, task: str, limit: int | None, as_json: bool
) -> None:
    """Find what is wrong with a prediction folder; exit 1 on findings."""
    from deocc_bench.benchmark.lint import describe
    from deocc_bench.benchmark.lint import lint as find
    from deocc_bench.core.predictions import folder_of

    dataset = DatasetReader(data)
    findings = find(folder_of(predictions), list(dataset.records(split)), task, dataset.ids(split)[:limit])
    text = "\n".join([*map(describe, findings), f"{len(findings)} findings" if findings else "no findings"])
    _print(as_json, [vars(f) for f in findings], text)
    if findings:
        context.exit(1)


@click.command()
@click.argument("runs", nargs=2, type=click.Path(path_type=Path))
@click.option("--metric", "metrics", multiple=True, help="Compare only this metric; may be repeated.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(runs: tuple[Path, Path], metrics: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Compare two runs on the same samples: paired difference, interval, p-value (Holm)."""
    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.compare import compare_runs

    report = compare_runs(*runs, metrics or None, seed)
    _print(as_json, report, tables.format_comparison(report))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="METHOD...")
@click.option("--out", type=click.Path(path_type=Path), help="Write the report as JSON to this file.")
@click.option("--runs", type=click.IntRange(1), default=300, show_default=True, help="At least so many runs.")
@click.option("--seconds", type=click.FloatRange(0), default=3.0, show_default=True, help="At least so long.")
@click.option("--size", type=click.IntRange(16), default=256, show_default=True, help="Side of the sample in pixels.")
@device_option()
@click.option("--threads", type=click.IntRange(1), help="Threads of torch and OpenCV.")
@click.option("--throughput/--no-throughput", default=True, show_default=True, help="Measure batches 1, 8 and 32.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for every method that takes it.")
@click.option("--fit-data", type=click.Path(path_type=Path), help="Dataset for methods that learn.")
@click.option("--fit-split", default="train", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def latency(
    names: tuple[str, ...],
    out: Path | None,
    runs: int,
    seconds: float,
    size: int,
    device: str,
    threads: int | None,
    throughput: bool,
    options: tuple[str, ...],
    fit_data: Path | None,
    fit_split: str,
    as_json: bool,
) -> None:
    """Print the speed table; the first METHOD is the reference of the ratios."""
    from deocc_bench.benchmark import latency as bench
    from deocc_bench.benchmark import machine, tables
    from deocc_bench.core.files import atomic_write, dump_json
    from deocc_bench.methods import loading

    place = resolve_device(device)
    machine.set_threads(threads)
    given = loading.parse_options(options)

    def make(name: str) -> loading.Method:
        method = loading.load_method(name, given, device)
        if "truth" in method.all_needs:
            raise UsageError(f"method {name!r} reads the truth; its speed means nothing")
        if "fit" in method.all_needs:
            if fit_data is None:
                raise UsageError(f"method {name!r} learns from data; say from which: --fit-data DIR")
            method.instance.fit(DatasetReader(fit_data), fit_split)
        return method

    made = [bench.first_run(lambda n=name: make(n), place, (size, size)) for name in names]  # type: ignore[misc]
    effort = bench.Effort(
        runs=runs,
        seconds=seconds,
        warmup_runs=min(bench.WARMUP_RUNS, runs),
        warmup_seconds=min(bench.WARMUP_SECONDS, seconds),
    )
    report = bench.measure_methods(made, place, effort, (size, size), throughput, progress=_say)
    if out is not None:
        atomic_write(out, dump_json(report))
    _print(as_json, report, tables.format_latency(report))


def _as_noted(predictions: Path, common: dict[str, Any], initial_mask: str | None) -> tuple[dict[str, Any], str]:
    """Seed and initial mask as the user says, else as `evaluate` noted beside the predictions: the run's own numbers
    come out of scoring it again."""
    from deocc_bench.benchmark.evaluate import read_header

    header = read_header(predictions) or {}
    seed = int(header.get("seed") or 0) if common["seed"] is None else common["seed"]
    return {**common, "seed": seed}, initial_mask or header.get("initial_mask") or "dataset"


def _job(task: str, out: Path, common: dict[str, Any], initial_mask: str) -> Any:
    from deocc_bench.benchmark import evaluate as harness
    from deocc_bench.benchmark import extractors
    from deocc_bench.benchmark.score import Scoring
    from deocc_bench.metrics.conventions import DEFAULT, get_convention

    convention = get_convention(common["convention"])
    if task == "content" and convention.name != DEFAULT:
        raise UsageError(f"convention {convention.name!r} scores masks, but the task is 'content'")
    if common["device"] != "auto":
        resolve_device(common["device"])
    dataset = DatasetReader(common["data"])
    network: extractors.Extractor | extractors.Unavailable = extractors.Unavailable("switched off by --no-fid")
    notes: list[str] = []
    lpips = extractors.find_perceptual(common["lpips"])
    if task != "mask":
        if common["fid"] or common["fid_extractor"]:
            with _fetching() as progress:
                network = extractors.find_extractor(common["fid_extractor"], progress=progress)
        if isinstance(lpips, extractors.Unavailable):
            notes.append(f"no LPIPS: {lpips.reason}")
    used = task != "mask" and not (
        isinstance(network, extractors.Unavailable) and isinstance(lpips, extractors.Unavailable)
    )
    scoring = Scoring(
        task,
        initial_mask,
        common["seed"] or 0,
        common["convention"],
        network,
        lpips,
        common["resamples"],
        resolve_device(common["device"]) if used else "cpu",
    )
    ids = harness.choose_ids(dataset, common["split"], common["limit"])
    return harness.Job(dataset, common["split"], ids, out, scoring, workers=common["workers"], notes=tuple(notes))


@contextmanager
def _fetching() -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr for what is fetched, drawn from the first byte on; none where nothing is fetched."""
    from tqdm import tqdm

    bars: list[Any] = []

    def progress(done: int, total: int | None) -> None:
        if not bars:
            quiet = not sys.stderr.isatty()
            bars.append(tqdm(desc="fetch", total=total, unit="B", unit_scale=True, file=sys.stderr, disable=quiet))
        bars[0].update(done - bars[0].n)

    try:
        yield progress
    finally:
        for bar in bars:
            bar.close()


def _evaluate_folder(where: str, job: Any) -> list[RunResult]:
    from deocc_bench.benchmark import evaluate as harness
    from deocc_bench.benchmark.lint import describe
    from deocc_bench.core.predictions import folder_of

    path = Path(where)
    name = path.resolve().name
    if path.suffix == ".json":
        if job.scoring.task != "mask":
            raise UsageError("COCO results hold masks: they answer --task mask")
        path, name = harness.folder_from_json(path, job), path.stem
    path = folder_of(path)
    for finding in harness.check_folder(path, job):
        _say(f"warning: {describe(finding)}")
    return harness.rescore(path, job, name)


def _print_results(as_json: bool, results: list[RunResult]) -> None:
    from deocc_bench.benchmark import tables

    content = [r.to_json() for r in results]
    _print(as_json, content[0] if len(content) == 1 else content, "\n\n".join(map(tables.format_result, results)))


def _print(as_json: bool, content: Any, text: str) -> None:
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str) if as_json else text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
