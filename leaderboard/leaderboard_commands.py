"""The commands `leaderboard` and `figures`: parse, call, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.hints import hint
from deocc_bench.leaderboard.build import DEFAULT_SAMPLES, MIB, REPORT, LeaderboardRequest, draw_figures, make

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Folder for leaderboard.csv, .md, .tex, .html and figures.")
@click.option("--columns", help="METRIC[,METRIC...] to show; the CSV holds all.  [default: the task's usual ones]")
@click.option("--sort", help="METRIC to order rows by.  [default: the first column]")
@click.option("--claimed", multiple=True, type=_PATH, help="JSON of numbers that papers claim; may be repeated.")
@click.option("--latency", multiple=True, type=_PATH, help="Report of `deocc-bench latency --out`; may be repeated.")
@click.option("--data", multiple=True, type=_PATH, help="Dataset of the runs, for pictures and --verify.")
@click.option("--verify", is_flag=True, help="Score the runs' predictions anew and compare; exit 1 on findings.")
@click.option("--title", default=LeaderboardRequest.title, show_default=True, help="Title of the report.")
@click.option(
    "--embed-mb",
    type=click.FloatRange(0),
    default=LeaderboardRequest.embed_bytes / MIB,
    show_default=True,
    help="Pictures in the report.",
)
@click.option("--link", is_flag=True, help="Write pictures of all samples beside the report and link them.")
@click.option(
    "--figures/--no-figures",
    default=LeaderboardRequest.figures,
    show_default=True,
    help="Draw curves and grids (matplotlib).",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@click.pass_context
def leaderboard(context: click.Context, runs: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Make tables, a report and figures from runs. RUN is a run's folder, or one with runs below it.

    Runs of different datasets, splits, tasks or definitions get tables of their own.
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
        click.echo(json.dumps(made.to_json(), indent=1, ensure_ascii=False))
    else:
        click.echo(made.text)
    if made.findings:
        _say(f"{len(made.findings)} of the runs can't be trusted; see the tables' notes")
        # Without --verify the tables are what was asked for, and they say it; a verification that fails has failed.
        if options["verify"]:
            context.exit(1)
    hint(f"tables, report and figures are in {out}; next: open {out / REPORT} in a browser")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="Folder of the figures.")
@click.option("--data", multiple=True, type=_PATH, help="Dataset of the runs; needed for comparison grids.")
@click.option(
    "--samples",
    default=",".join(DEFAULT_SAMPLES),
    show_default=True,
    help="Sample ids, and worst, median, best (with :N for several).",
)
@click.option("--columns", help="METRIC[,METRIC...] of the curves.  [default: the table's first]")
@click.option("--sort", help="METRIC that says which samples are worst.  [default: the first column]")
@click.option("--methods", help="NAME[,NAME...] in the grids, in this order.  [default: the best eight]")
@click.option("--latency", multiple=True, type=_PATH, help="Report of `deocc-bench latency --out`; may be repeated.")
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
        raise DeoccError("there was nothing to draw: grids need --data and predictions, curves need breakdowns")
    click.echo("\n".join(map(str, written)))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
