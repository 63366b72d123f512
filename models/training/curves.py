"""The log of a run: a CSV table, written atomically, and a plot of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.files import atomic_write

LOG_FILE, VALIDATION_FILE, PICTURE = "log.csv", "validation.csv", "curves.png"


class Log:
    """Rows of numbers by step; the file is rewritten with every new row.

    Args:
        path: the CSV file.
        last_step: keep the rows of an existing file up to this step, to resume a run; None starts an empty log.
    """

    def __init__(self, path: str | Path, last_step: int | None = None) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []
        if last_step is not None and self.path.exists():
            self.rows = [row for row in read_log(self.path) if row["step"] <= last_step]

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row, which must contain "step", and write the file atomically."""
        self.rows.append(dict(row))
        columns = list(dict.fromkeys(name for r in self.rows for name in r))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        atomic_write(self.path, buffer.getvalue())


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Read the rows of a log, without empty cells.

    Raises:
        InputError: missing, or not a training log.
    """
    try:
        with open(path, newline="", encoding="utf-8") as f:
            return [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(f)]
    except FileNotFoundError:
        raise InputError(path, "no such log", "give the folder of a training run") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(path, f"is not a training log ({error})", "give the folder of a training run") from error


def draw_curves(folder: str | Path) -> Path:
    """Plot the log (and validation, if any) of a run's folder to `curves.png`; return the path of the plot.

    Raises:
        DeoccError: matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DeoccError("training curves need matplotlib; run `pip install deocc-bench[figures]`") from None
    folder = Path(folder)
    rows = read_log(folder / LOG_FILE)
    scores = read_log(folder / VALIDATION_FILE) if (folder / VALIDATION_FILE).exists() else []
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, metrics = figure.subplots(1, 2)
    fixed = ("step", "epoch", "seconds", "lr", "samples_per_second", "gradient")
    for name in dict.fromkeys(n for r in rows for n in r if n not in fixed):
        held = [(r["step"], r[name]) for r in rows if name in r]
        losses.plot(*zip(*held, strict=True), label=name, linewidth=1.8 if name == "loss" else 0.9)
    losses.set_yscale("log")
    for name in dict.fromkeys(n for r in scores for n in r if n not in fixed):
        held = [(r["step"], r[name]) for r in scores if name in r]
        metrics.plot(*zip(*held, strict=True), label=name, marker="o", markersize=3)
    for axes, title in ((losses, "loss terms"), (metrics, "validation")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    atomic_write(folder / PICTURE, buffer.getvalue())
    return folder / PICTURE
