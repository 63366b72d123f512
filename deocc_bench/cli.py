"""`deocc-bench`: a table of commands, each imported when it is called, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from deocc_bench import __version__
from deocc_bench.core.errors import DeoccError, one_line
from deocc_bench.core.registry import load_object, unknown

# name -> (module:command, one line for the overview)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("deocc_bench.demo:demo", "Walk the whole road on the embedded humans, offline."),
    "synth": ("deocc_bench.synth.synth_commands:synth", "Make an occlusion dataset from parsed humans and occluders."),
    "inspect": ("deocc_bench.synth.synth_commands:inspect", "Print a dataset's statistics, draw its contact sheet."),
    "validate": ("deocc_bench.synth.synth_commands:validate", "Check every invariant, digest and leak of a dataset."),
    "import": ("deocc_bench.exchange.import_export:import_", "Bring annotated photographs into a dataset folder."),
    "export": ("deocc_bench.exchange.import_export:export", "Write a dataset in another format."),
    "methods": (
        "deocc_bench.benchmark.benchmark_commands:methods",
        "List what can be evaluated by name, with what each needs.",
    ),
    "evaluate": ("deocc_bench.benchmark.benchmark_commands:evaluate", "Run a method on a split and score it."),
    "score": ("deocc_bench.benchmark.benchmark_commands:score", "Score a prediction folder again, without the method."),
    "lint": ("deocc_bench.benchmark.benchmark_commands:lint", "Find what is wrong with a prediction folder."),
    "compare": (
        "deocc_bench.benchmark.benchmark_commands:compare",
        "Compare two runs: paired difference, interval, p-value.",
    ),
    "latency": ("deocc_bench.benchmark.benchmark_commands:latency", "Print the speed table, stages and ratios."),
    "leaderboard": (
        "deocc_bench.leaderboard.leaderboard_commands:leaderboard",
        "Print result records as CSV, md, LaTeX and HTML.",
    ),
    "figures": (
        "deocc_bench.leaderboard.leaderboard_commands:figures",
        "Draw comparison grids, ratio curves and quality against time.",
    ),
    "train": ("deocc_bench.training.train_commands:train", "Train a stage of the network, or fit template masks."),
    "ablate": ("deocc_bench.training.train_commands:ablate", "Train and score the switches of a network, one table."),
    "predict": ("deocc_bench.predict.predict_command:predict", "De-occlude the people of your own photo."),
}


class LazyGroup(click.Group):
    """A click group that reads `COMMANDS`."""

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
    """The group that `COMMANDS` hang on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed or findings, 2 wrong usage.

    A user's mistake is one line on stderr; a traceback means a defect of ours.
    """
    try:
        code = cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except DeoccError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; what was finished is kept", 130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left: that is no failure. Keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"deocc-bench: error: {one_line(message, 2000)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
