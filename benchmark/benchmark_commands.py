"""The commands `methods`, `evaluate`, `score`, `lint`, `compare` and `latency`: parse, call, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deocc_bench.benchmark.options import ALL_CONVENTIONS, FIT_SPLIT, SEED, RunOptions, ScoreOptions
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError, printable
from deocc_bench.core.hints import next_step
from deocc_bench.core.initial_masks import FORMS
from deocc_bench.core.results import TASKS, RunResult
from deocc_bench.methods.devices import device_option, resolve_device

_DEFAULT = RunOptions()
_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(as_json: bool) -> None:
    """List the registered methods and their needs."""
    from deocc_bench.benchmark import tables
    from deocc_bench.methods.loading import list_methods

    rows = list_methods()
    _print(as_json, rows, tables.format_methods(rows))


def _score_options(command: Any) -> Any:
    for option in (
        click.option("--data", required=True, type=_PATH, help="Dataset folder."),
        click.option("--split", default=_DEFAULT.split, show_default=True, help="Split to score."),
        click.option("--limit", type=click.IntRange(1), help="Score only the first N samples of the split."),
        click.option(
            "--workers",
            type=click.IntRange(1),
            default=_DEFAULT.workers,
            show_default=True,
            help="Number of worker threads.",
        ),
        click.option(
            "--seed",
            type=int,
            help="Seed of random methods, masks and intervals.  [default: 0, or the one stored with the predictions]",
        ),
        click.option(
            "--convention",
            default=_DEFAULT.convention,
            show_default=True,
            help="Add the metrics of another paper's convention.",
        ),
        click.option("--fid-extractor", type=_PATH, help="TorchScript file of the FID feature network."),
        click.option(
            "--fid/--no-fid", default=_DEFAULT.fid, show_default=True, help="Download and use the FID feature network."
        ),
        click.option("--lpips", type=_PATH, help="TorchScript file of an LPIPS network."),
        device_option(),
        click.option(
            "--resamples",
            type=click.IntRange(0),
            default=_DEFAULT.resamples,
            show_default=True,
            help="Number of bootstrap resamples.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("method")
@click.option("--task", required=True, type=click.Choice(TASKS), help="Task to evaluate.")
@click.option("--out", required=True, type=_PATH, help="Folder of the run.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=_DEFAULT.batch_size,
    show_default=True,
    help="Number of samples per batch.",
)
@click.option(
    "--initial-mask",
    metavar="SPEC[,SPEC...]",
    help=f"Initial masks: each is one of {FORMS}, or several joined by +.  [default: the masks of the dataset, or the "
    "spec stored with the predictions]",
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Maximum number of seconds per batch.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for the method's constructor; repeatable.")
@click.option("--fit-split", help=f"Training split, for methods that learn.  [default: {FIT_SPLIT}]")
@click.option("--fit-data", type=_PATH, help="Training dataset, for methods that learn.  [default: --data]")
@_score_options
def evaluate(
    *, method: str, data: Path, task: str, out: Path, options: tuple[str, ...], as_json: bool, **settings: Any
) -> None:
    """Run METHOD on a split and score it.

    METHOD is a registered name (name:preset), package.module:Class, file.py:Class, predictions:DIR, or
    predictions:FILE.json (COCO results).
    """
    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.jobs import run_method
    from deocc_bench.methods.loading import parse_options

    outcome = run_method(method, data, task, out, RunOptions(options=parse_options(options), **settings), say=_say)
    if outcome.sweep is None:
        _print_results(as_json, outcome.results)
    else:
        content = {"runs": [r.to_json() for r in outcome.results], "sweep": outcome.sweep}
        _print(as_json, content, tables.format_sweep(outcome.sweep))
    next_step("leaderboard", out, "--data", data, "--out", "DIR", done=f"the run is in {out}")


@click.command()
@click.argument("predictions", type=_PATH)
@click.option(
    "--task", type=click.Choice(TASKS), help="Task of the predictions; required if `evaluate` did not write them."
)
@click.option("--out", type=_PATH, help="Folder of the new record; without it nothing is written.")
@click.option(
    "--initial-mask",
    help="SPEC of the method's initial masks.  [default: the spec stored with the predictions, else the masks of the "
    "dataset]",
)
@_score_options
def score(predictions: Path, data: Path, task: str | None, out: Path | None, as_json: bool, **settings: Any) -> None:
    """Score an existing prediction folder. `--convention all` prints the metrics of every paper's convention."""
    from tempfile import TemporaryDirectory

    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.jobs import rescore_folder, score_conventions

    options = ScoreOptions(**settings)
    with TemporaryDirectory() as scratch:
        if options.convention == ALL_CONVENTIONS:
            records = score_conventions(predictions, data, task, out or scratch, options)
            _print(as_json, records, tables.format_conventions(records))
        else:
            _print_results(as_json, rescore_folder(predictions, data, task, out or scratch, options))
    if out is None:
        next_step("score", predictions, "--data", data, "--out", "RUN", done="nothing was written")
    else:
        next_step("leaderboard", out, "--data", data, "--out", "DIR", done=f"the run is in {out}")


@click.command()
@click.argument("predictions", type=_PATH)
@click.option("--data", required=True, type=_PATH, help="Dataset folder.")
@click.option("--split", default="test", show_default=True, help="Split of the predictions.")
@click.option("--task", required=True, type=click.Choice(TASKS), help="Task of the predictions.")
@click.option("--limit", type=click.IntRange(1), help="Require only the first N samples of the split.")
@click.option("--all", "every", is_flag=True, help="List all findings. Default: one line for those of a kind.")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
@click.pass_context
def lint(
    context: click.Context,
    *,
    predictions: Path,
    data: Path,
    split: str,
    task: str,
    limit: int | None,
    every: bool,
    as_json: bool,
) -> None:
    """Check a prediction folder for errors; exit with status 1 on findings.

    Errors prevent scoring. Warnings are about what is scored, but is probably not meant: masks that look inverted or
    shifted, soft masks, JPEG files named .png, and others.
    """
    from deocc_bench.benchmark.lint import describe, summary
    from deocc_bench.benchmark.lint import lint as find
    from deocc_bench.core.predictions import folder_of

    dataset = DatasetReader(data)
    findings = find(folder_of(predictions), list(dataset.records(split)), task, dataset.ids(split)[:limit])
    lines = list(map(describe, findings)) if every else summary(findings)
    errors = sum(f.error for f in findings)
    total = f"{errors} errors, {len(findings) - errors} warnings" if findings else "no findings"
    text = "\n".join([*lines, total])
    _print(as_json, [vars(f) for f in findings], text)
    if findings:
        context.exit(1)


@click.command()
@click.argument("runs", nargs=2, type=_PATH)
@click.option("--metric", "metrics", multiple=True, help="Compare only this metric; repeatable.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="Seed of the bootstrap and permutation tests.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(runs: tuple[Path, Path], metrics: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Compare two runs on the same samples: paired differences, intervals, p-values (Holm-corrected)."""
    from deocc_bench.benchmark import front, tables

    report = front.compare(*runs, metrics or None, seed=seed)
    _print(as_json, report, tables.format_comparison(report))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="METHOD...")
@click.option("--out", type=_PATH, help="Write the report as JSON to this file.")
@click.option("--runs", type=click.IntRange(1), default=300, show_default=True, help="Minimum number of runs.")
@click.option("--seconds", type=click.FloatRange(0), default=3.0, show_default=True, help="Minimum measuring time.")
@click.option("--size", type=click.IntRange(16), default=256, show_default=True, help="Image side in pixels.")
@device_option()
@click.option("--threads", type=click.IntRange(1), help="Number of threads of torch and OpenCV.")
@click.option(
    "--throughput/--no-throughput",
    default=True,
    show_default=True,
    help="Measure the throughput at batch sizes 1, 8 and 32.",
)
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for every method with this option.")
@click.option("--fit-data", type=_PATH, help="Training dataset, for methods that learn.")
@click.option("--fit-split", default="train", show_default=True, help="Training split, for methods that learn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def latency(
    *,
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
    """Measure the latency of methods; the first METHOD is the reference of the ratios."""
    from deocc_bench.benchmark import latency as bench
    from deocc_bench.benchmark import machine, tables
    from deocc_bench.core.files import atomic_write
    from deocc_bench.core.json_files import dump_json
    from deocc_bench.methods import loading
    from deocc_bench.methods.method import Method

    place = resolve_device(device)
    machine.set_threads(threads)
    constructor_options = loading.parse_options(options)

    def make(name: str) -> Method:
        method = loading.load_method(name, constructor_options, device)
        if "truth" in method.all_needs:
            raise UsageError(f"method {name!r} reads the ground truth; its speed is meaningless")
        if "fit" in method.all_needs:
            if fit_data is None:
                raise UsageError(f"method {name!r} learns from data; name the dataset with --fit-data DIR")
            method.fit(DatasetReader(fit_data), fit_split)
        return method

    made = [bench.first_run(lambda n=name: make(n), place, (size, size)) for name in names]  # type: ignore[misc]
    effort = bench.Effort(
        runs=runs,
        seconds=seconds,
        warmup_runs=min(bench.WARMUP_RUNS, runs),
        warmup_seconds=min(bench.WARMUP_SECONDS, seconds),
    )
    report = bench.measure_methods(made, place, effort, (size, size), throughput=throughput, progress=_say)
    if out is not None:
        atomic_write(out, dump_json(report))
    _print(as_json, report, tables.format_latency(report))


def _print_results(as_json: bool, results: Sequence[RunResult]) -> None:
    from deocc_bench.benchmark import tables

    content = [r.to_json() for r in results]
    _print(as_json, content[0] if len(content) == 1 else content, "\n\n".join(map(tables.format_result, results)))


def _print(as_json: bool, content: Any, text: str) -> None:
    if as_json:
        text = json.dumps(content, indent=1, allow_nan=False, default=str)
    click.echo(printable(text))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
