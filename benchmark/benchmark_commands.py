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
from deocc_bench.core.errors import UsageError
from deocc_bench.core.hints import next_step
from deocc_bench.core.initial_masks import FORMS
from deocc_bench.core.results import TASKS, RunResult
from deocc_bench.methods.devices import device_option, resolve_device

_DEFAULT = RunOptions()
_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(as_json: bool) -> None:
    """List what can be evaluated by name, with what each needs."""
    from deocc_bench.benchmark import tables
    from deocc_bench.methods.loading import list_methods

    rows = list_methods()
    _print(as_json, rows, tables.format_methods(rows))


def _score_options(command: Any) -> Any:
    for option in (
        click.option("--data", required=True, type=_PATH, help="Dataset folder."),
        click.option("--split", default=_DEFAULT.split, show_default=True, help="Split to score."),
        click.option("--limit", type=click.IntRange(1), help="Only the first N samples of the split."),
        click.option("--workers", type=click.IntRange(1), default=_DEFAULT.workers, show_default=True, help="Threads."),
        click.option("--seed", type=int, help="Of random methods, masks and intervals.  [default: 0, or as noted]"),
        click.option(
            "--convention", default=_DEFAULT.convention, show_default=True, help="Add another paper's scores."
        ),
        click.option("--fid-extractor", type=_PATH, help="TorchScript file of the features of FID."),
        click.option(
            "--fid/--no-fid", default=_DEFAULT.fid, show_default=True, help="Fetch and use the feature network."
        ),
        click.option("--lpips", type=_PATH, help="TorchScript file of an LPIPS network."),
        device_option(),
        click.option(
            "--resamples",
            type=click.IntRange(0),
            default=_DEFAULT.resamples,
            show_default=True,
            help="Of the bootstrap.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("method")
@click.option("--task", required=True, type=click.Choice(TASKS), help="What is predicted.")
@click.option("--out", required=True, type=_PATH, help="Folder of the run.")
@click.option("--batch-size", type=click.IntRange(1), default=_DEFAULT.batch_size, show_default=True)
@click.option(
    "--initial-mask",
    metavar="SPEC[,SPEC...]",
    help=f"Each is one of {FORMS}, or several joined by +.  [default: the dataset's, or as noted]",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds that one batch may take.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for the method's constructor.")
@click.option("--fit-split", help=f"Split to learn from, for methods that learn.  [default: {FIT_SPLIT}]")
@click.option("--fit-data", type=_PATH, help="Dataset to learn from.  [default: --data]")
@_score_options
def evaluate(
    method: str, data: Path, task: str, out: Path, options: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Run METHOD on a split and score it.

    METHOD is a registered name (name:preset), package.module:Class, file.py:Class, predictions:DIR, or
    predictions:FILE.json (COCO results).
    """
    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.jobs import run_method
    from deocc_bench.methods.loading import parse_options

    outcome = run_method(method, data, task, out, RunOptions(options=parse_options(options), **given), _say)
    if outcome.sweep is None:
        _print_results(as_json, outcome.results)
    else:
        content = {"runs": [r.to_json() for r in outcome.results], "sweep": outcome.sweep}
        _print(as_json, content, tables.format_sweep(outcome.sweep))
    next_step("leaderboard", out, "--data", data, "--out", "DIR", done=f"the run is in {out}")


@click.command()
@click.argument("predictions", type=_PATH)
@click.option("--task", type=click.Choice(TASKS), help="Needed for folders that `evaluate` did not write.")
@click.option("--out", type=_PATH, help="Folder of the new record; left out: nothing is written.")
@click.option("--initial-mask", help="SPEC the method was run with.  [default: as noted, else the dataset's]")
@_score_options
def score(predictions: Path, data: Path, task: str | None, out: Path | None, as_json: bool, **given: Any) -> None:
    """Score a prediction folder again, without the method. `--convention all` prints every paper's way."""
    from tempfile import TemporaryDirectory

    from deocc_bench.benchmark import tables
    from deocc_bench.benchmark.jobs import rescore_folder, score_conventions

    options = ScoreOptions(**given)
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
@click.argument("runs", nargs=2, type=_PATH)
@click.option("--metric", "metrics", multiple=True, help="Compare only this metric; may be repeated.")
@click.option("--seed", type=int, default=SEED, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(runs: tuple[Path, Path], metrics: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Compare two runs on the same samples: paired difference, interval, p-value (Holm)."""
    from deocc_bench.benchmark import front, tables

    report = front.compare(*runs, metrics or None, seed=seed)
    _print(as_json, report, tables.format_comparison(report))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="METHOD...")
@click.option("--out", type=_PATH, help="Write the report as JSON to this file.")
@click.option("--runs", type=click.IntRange(1), default=300, show_default=True, help="At least so many runs.")
@click.option("--seconds", type=click.FloatRange(0), default=3.0, show_default=True, help="At least so long.")
@click.option("--size", type=click.IntRange(16), default=256, show_default=True, help="Side of the sample in pixels.")
@device_option()
@click.option("--threads", type=click.IntRange(1), help="Threads of torch and OpenCV.")
@click.option("--throughput/--no-throughput", default=True, show_default=True, help="Measure batches 1, 8 and 32.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for every method that takes it.")
@click.option("--fit-data", type=_PATH, help="Dataset for methods that learn.")
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
    from deocc_bench.methods.method import Method

    place = resolve_device(device)
    machine.set_threads(threads)
    given = loading.parse_options(options)

    def make(name: str) -> Method:
        method = loading.load_method(name, given, device)
        if "truth" in method.all_needs:
            raise UsageError(f"method {name!r} reads the truth; its speed means nothing")
        if "fit" in method.all_needs:
            if fit_data is None:
                raise UsageError(f"method {name!r} learns from data; say from which: --fit-data DIR")
            method.fit(DatasetReader(fit_data), fit_split)
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


def _print_results(as_json: bool, results: Sequence[RunResult]) -> None:
    from deocc_bench.benchmark import tables

    content = [r.to_json() for r in results]
    _print(as_json, content[0] if len(content) == 1 else content, "\n\n".join(map(tables.format_result, results)))


def _print(as_json: bool, content: Any, text: str) -> None:
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str) if as_json else text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
