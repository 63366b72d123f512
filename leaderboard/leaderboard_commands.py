"""The commands `leaderboard` and `figures`: parse, call, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, one_line, printable
from deocc_bench.core.hints import hint
from deocc_bench.leaderboard.build import DEFAULT_SAMPLES, MIB, REPORT, LeaderboardRequest, draw_figures, make

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Folder for leaderboard.csv, .md, .tex, .html and figures.")
@click.option("--columns", help="METRIC[,METRIC...] to show; the CSV has all.  [default: those of the task]")
@click.option("--sort", help="METRIC that orders the rows.  [default: the first column]")
@click.option("--claimed", multiple=True, type=_PATH, help="JSON file of numbers claimed in papers; repeatable.")
@click.option("--latency", multiple=True, type=_PATH, help="Report of `deocc-bench latency --out`; repeatable.")
@click.option("--data", multiple=True, type=_PATH, help="Dataset of the runs, for pictures and --verify; repeatable.")
@click.option(
    "--verify", is_flag=True, help="Score the predictions again and compare; exit with status 1 on differences."
)
@click.option("--title", default=LeaderboardRequest.title, show_default=True, help="Title of the report.")
@click.option(
    "--embed-mb",
    type=click.FloatRange(0),
    default=LeaderboardRequest.embed_bytes / MIB,
    show_default=True,
    help="Maximum size of the pictures in the report, in MiB.",
)
@click.option("--link", is_flag=True, help="Write the pictures of all samples to separate files and link them.")
@click.option(
    "--figures/--no-figures",
    default=LeaderboardRequest.figures,
    show_default=True,
    help="Draw curves and grids (needs matplotlib).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the written files and the findings as JSON.")
@click.pass_context
def leaderboard(context: click.Context, runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Create tables, a report and figures from runs. RUN is the folder of a run, or a folder with runs below it.

    Runs with different datasets, splits, tasks or definitions are in separate tables.
    """
    made = make(
        LeaderboardRequest(
            runs=runs,
            out=out,
            columns=_names(options["columns"]),
            sort=options["sort"],
            claimed=options["claimed"],
            latency=options["latency"],
            datasets=tuple(map(DatasetReader, options["data"])),
            verify=options["verify"],
            title=options["title"],
            embed_bytes=int(options["embed_mb"] * MIB),
            link=options["link"],
            figures=options["figures"],
        ),
        _say,
    )
    if options["as_json"]:
        click.echo(json.dumps(made.to_json(), indent=1))
    else:
        click.echo(printable(made.text))
    if made.findings:
        _say(f"{len(made.findings)} runs can't be trusted; see the notes of the tables")
        # Without --verify this is no failure, because the tables flag such runs; a failed verification is one.
        if options["verify"]:
            context.exit(1)
    if made.unreadable:
        first = made.unreadable[0]
        records = "1 record" if len(made.unreadable) == 1 else f"{len(made.unreadable)} records"
        _say(f"{records} can't be read, e.g. {one_line(f'{first.path}: {first.reason}', 300)}")
    hint(f"tables, report and figures are in {out}; next: open {out / REPORT} in a browser")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Folder for the figures.")
@click.option(
    "--data", multiple=True, type=_PATH, help="Dataset of the runs; required for comparison grids; repeatable."
)
@click.option(
    "--samples",
    default=",".join(DEFAULT_SAMPLES),
    show_default=True,
    help="Samples of the grids: ids, or worst, median, best (with :N for several).",
)
@click.option("--columns", help="METRIC[,METRIC...] of the curves.  [default: those of the task]")
@click.option("--sort", help="METRIC that orders the samples from worst to best.  [default: the first column]")
@click.option("--methods", help="NAME[,NAME...] in the grids, in this order.  [default: the best eight]")
@click.option("--latency", multiple=True, type=_PATH, help="Report of `deocc-bench latency --out`; repeatable.")
def figures(runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Draw comparison grids, ratio curves and quality against time, as PNG and PDF."""
    request = LeaderboardRequest(
        runs=runs,
        out=out,
        columns=_names(options["columns"]),
        sort=options["sort"],
        latency=options["latency"],
        datasets=tuple(map(DatasetReader, options["data"])),
        samples=_names(options["samples"]),
        methods=_names(options["methods"]),
    )
    written = draw_figures(request)
    if not written:
        raise DeoccError("no figures were drawn: grids need --data and predictions, curves need breakdowns")
    click.echo(printable("\n".join(map(str, written))))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
