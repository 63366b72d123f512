"""`deocc-bench demo`: the whole road on the embedded humans, through the same commands that a user types."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import load_object

HUMANS = 60


def steps(out: Path) -> list[tuple[str, list[str]]]:
    """(command, arguments) in order."""
    data = str(out / "data")
    return [
        (
            "synth",
            [
                *f"--humans mannequin:{HUMANS} --occluders shapes --variants 2 --holdout 5 --quiet".split(),
                "--out",
                data,
            ],
        ),
        ("validate", [data, "--quiet"]),
    ]


@click.command(short_help="Walk the whole road on the embedded humans, offline.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
def demo(out: Path) -> None:
    """Make a dataset of drawn humans and check it; offline, each step with the command that does it."""
    from deocc_bench.cli import COMMANDS

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: the folder is not empty; choose another --out")
    start = time.perf_counter()
    for name, arguments in steps(out):
        click.echo(f"\n$ deocc-bench {shlex.join([name, *arguments])}")
        command = load_object(COMMANDS[name][0])
        code = command.main(arguments, prog_name=f"deocc-bench {name}", standalone_mode=False)
        if code:
            raise click.exceptions.Exit(int(code))
    click.echo(f"\ndone in {time.perf_counter() - start:.0f} s: look at {out / 'data' / 'preview.png'}")
