"""Every command is found, tells what it does, and turns mistakes into one line."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from deocc_bench.cli import COMMANDS, cli
from deocc_bench.core.registry import load_object


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_its_line_in_the_overview(name: str) -> None:
    target, line = COMMANDS[name]
    command = load_object(target)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert line.endswith(".")
    assert len(line) <= 80
    shown = CliRunner().invoke(cli, [name, "--help"])
    assert shown.exit_code == 0
    assert command.help
    assert command.help.split("\n")[0].split(".")[0] in " ".join(shown.output.split())
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.metavar or parameter.show_default, f"{name} {parameter.opts}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["snyth"], "unknown command 'snyth'; did you mean 'synth'?"),
        (["synth", "--varaints", "2"], "No such option"),
        (["inspect", "/no/such"], "no such dataset folder"),
        (["validate", "/no/such"], "no such dataset folder"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], says: str) -> None:
    done = subprocess.run([sys.executable, "-m", "deocc_bench.cli", *arguments], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_pipe_that_closes_is_no_failure() -> None:
    command = f"{sys.executable} -m deocc_bench.cli --help | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
