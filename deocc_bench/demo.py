"""`deocc-bench demo`: the complete workflow on drawn humans, with the same commands that a user types."""

from __future__ import annotations

import contextlib
import io
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import click

from deocc_bench.core.files import require_empty
from deocc_bench.core.hints import no_hints
from deocc_bench.core.lock import output_folder
from deocc_bench.core.registry import load_object
from deocc_bench.core.results import read_result

HUMANS = 60
# Task -> methods: simple baselines, the template look-up, the network, and for masks the lower and upper bound.
METHODS = {
    "mask": ("initial", "convex-hull", "nearest-template", "two-stage:tiny", "oracle"),
    "content": ("copy", "mean-colour", "telea", "two-stage:tiny"),
    "joint": ("chain:convex-hull+mean-colour", "chain:nearest-template+telea", "two-stage:tiny"),
}
HEADLINE = {"mask": "amodal_iou_mean", "content": "l1_invisible", "joint": "l1_human"}


def steps(out: Path, humans: int = HUMANS) -> list[tuple[str, list[str]]]:
    """The steps of the demo in order, as (command, arguments)."""
    data, runs = str(out / "data"), out / "runs"
    made = f"--humans mannequin:{humans} --occluders shapes --variants 2 --holdout 5 --quiet".split()
    # FID would download its network.
    scored = ["--data", data, "--no-fid"]
    return [
        ("synth", [*made, "--out", data]),
        ("validate", [data, "--quiet"]),
        *(
            ("evaluate", [method, "--task", task, *scored, "--out", str(runs / f"{task}-{_plain(method)}")])
            for task, methods in METHODS.items()
            for method in methods
        ),
        ("leaderboard", [str(runs), "--data", data, "--title", "Demo", "--out", str(out / "board")]),
    ]


@click.command(short_help="Run the complete workflow on drawn humans, offline.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder; new or empty.")
@click.option("--humans", type=click.IntRange(10), default=HUMANS, show_default=True, help="Number of drawn humans.")
def demo(out: Path, humans: int) -> None:
    """Make a dataset of drawn humans, score baselines and the network on it, and print the leaderboard.

    Runs offline and prints the command of each step.
    """
    from deocc_bench.cli import COMMANDS

    with output_folder(out, discard=True):
        require_empty(out)
        _run(out, humans, COMMANDS)


def _run(out: Path, humans: int, commands: Mapping[str, tuple[str, str]]) -> None:
    start = time.perf_counter()
    for name, arguments in steps(out, humans):
        click.echo(f"\n$ deocc-bench {shlex.join([name, *arguments])}")
        command = load_object(commands[name][0])
        printed = io.StringIO()
        # The output of these commands is long and also in their folders; the demo prints only the headline.
        quiet = contextlib.redirect_stdout(printed) if name in ("evaluate", "leaderboard") else contextlib.nullcontext()
        with quiet, no_hints():
            code = command.main(arguments, prog_name=f"deocc-bench {name}", standalone_mode=False)
        if code:
            click.echo(printed.getvalue())
            raise click.exceptions.Exit(int(code))
        if name == "evaluate":
            click.echo(_headline(Path(arguments[-1])))
    click.echo(f"\n{(out / 'board/leaderboard.md').read_text()}")
    click.echo(f"done in {time.perf_counter() - start:.0f} s; look at")
    for what, path in (
        ("report", out / "board/leaderboard.html"),
        ("figures", out / "board/figures"),
        ("contact sheet", out / "data/preview.png"),
        ("tables", out / "board"),
    ):
        if path.exists():
            click.echo(f"  {what:<14}{path}")


def _headline(run: Path) -> str:
    result = read_result(run)
    metric = result.metrics[HEADLINE[result.task]]
    value, (low, high) = metric["value"], metric["ci95"]
    weights = result.method["weights"] or {}
    random = [stage for stage, text in weights.items() if text.startswith("none:")]
    note = f"  (random weights: {', '.join(random)}; train them with `deocc-bench train`)" if random else ""
    return f"{HEADLINE[result.task]} {value:.4f} [{low:.4f}, {high:.4f}], {metric['n']} samples{note}"


def _plain(method: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in method)
