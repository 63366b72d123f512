"""Every command is found, tells what it does, and turns mistakes into one line."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from deocc_bench.cli import COMMANDS, cli, main
from deocc_bench.core.errors import InputError, UsageError
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


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(36, "File name too long", "n" * 300), 1, "check the path, its permissions and the disk"),
        (OSError(28, "No space left on device"), 1, "the output can't be written (No space left on device)"),
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (InputError("a.json", "is broken", "mend it"), 1, "a.json: is broken; mend it"),
        (UsageError("no such thing"), 2, "no such thing"),
    ],
)
def test_faults_of_the_machine_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, says: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    # A full disk redirects the standard output of the process: give it another one.
    out = os.dup(1)
    try:
        monkeypatch.setattr(cli, "main", fail)
        with pytest.raises(SystemExit) as caught:
            main(["methods"])
    finally:
        os.dup2(out, 1)
        os.close(out)
    told = capfd.readouterr().err
    assert caught.value.code == code
    assert told.startswith("deocc-bench: error: ")
    assert says in told
    assert told.count("\n") == 1


def test_arguments_that_are_not_text_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["validate", "\udcff\udcfe"])
    assert caught.value.code == 2
    assert "is not UTF-8 text; rename the file" in capfd.readouterr().err


def test_other_faults_are_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(OSError, match="Invalid argument"):
        main(["methods"])
