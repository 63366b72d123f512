"""`deocc-bench`: a table of commands, each imported when it is called, so that `--help` is fast."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import click

from deocc_bench import __version__
from deocc_bench.core.errors import DeoccError, UsageError, one_line
from deocc_bench.core.registry import load_object, unknown
from deocc_bench.core.stopping import signals_told

# name -> (module:command, one line for the overview)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("deocc_bench.demo:demo", "Run the complete workflow on drawn humans, offline."),
    "synth": ("deocc_bench.synth.synth_commands:synth", "Make an occlusion dataset from parsed humans and occluders."),
    "inspect": ("deocc_bench.synth.synth_commands:inspect", "Print dataset statistics and draw a contact sheet."),
    "validate": ("deocc_bench.synth.synth_commands:validate", "Check the invariants, digests and splits of a dataset."),
    "import": ("deocc_bench.exchange.import_export:import_", "Convert annotated photos to a dataset folder."),
    "export": ("deocc_bench.exchange.import_export:export", "Write a dataset in another format."),
    "methods": (
        "deocc_bench.benchmark.benchmark_commands:methods",
        "List the built-in and installed methods and their inputs.",
    ),
    "evaluate": ("deocc_bench.benchmark.benchmark_commands:evaluate", "Run a method on a split and score it."),
    "score": ("deocc_bench.benchmark.benchmark_commands:score", "Score a prediction folder again, without the method."),
    "lint": ("deocc_bench.benchmark.benchmark_commands:lint", "Check a prediction folder for errors."),
    "compare": (
        "deocc_bench.benchmark.benchmark_commands:compare",
        "Compare two runs: paired difference, interval, p-value.",
    ),
    "latency": ("deocc_bench.benchmark.benchmark_commands:latency", "Measure the speed of methods."),
    "leaderboard": (
        "deocc_bench.leaderboard.leaderboard_commands:leaderboard",
        "Write result records as CSV, Markdown, LaTeX and HTML.",
    ),
    "figures": (
        "deocc_bench.leaderboard.leaderboard_commands:figures",
        "Draw comparison grids, ratio curves and quality against time.",
    ),
    "train": ("deocc_bench.training.train_commands:train", "Train a stage of the network, or fit template masks."),
    "ablate": ("deocc_bench.training.train_commands:ablate", "Train and score variants of a network, in one table."),
    "predict": ("deocc_bench.predict.predict_command:predict", "De-occlude the people in your own photo."),
}


# Faults of the disk to which standard output is written.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class LazyGroup(click.Group):
    """A click group whose commands are in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            raise click.UsageError(unknown("command", cmd_name, COMMANDS), ctx)
        command = load_object(COMMANDS[cmd_name][0])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Datasets, networks and a benchmark for human de-occlusion.",
)
@click.version_option(__version__, prog_name="deocc-bench")
def cli() -> None:
    """The command group."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 (success), 1 (failure or findings), 2 (wrong usage) or 128 + a signal.

    A user error is reported as one line on stderr; a traceback means a bug.
    """
    with signals_told(restore=arguments is not None):
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        code = cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        sys.stdout.flush()
    except DeoccError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except MemoryError:
        _fail("not enough memory; use smaller images, fewer --workers or a smaller --batch-size", 1)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has exited; this is no failure. Keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # Only names that the file system refuses and faults of the machine; files are checked where they are read.
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}; check the path, its permissions and the disk", 1)
        if error.errno not in _DISK:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"the output can't be written ({error.strerror}); free some space", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _check_text(arguments: Sequence[str]) -> None:
    """Arguments that are not UTF-8 can be opened, but neither printed nor stored in a record."""
    for text in arguments:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"argument {one_line(ascii(text), 200)} is not UTF-8 text; rename the file") from None


def _fail(message: str, code: int) -> None:
    click.echo(f"deocc-bench: error: {one_line(message, 2000)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
