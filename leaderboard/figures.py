"""Figures for papers as PNG and PDF: comparison grids, curves over the occlusion ratio, quality against time.

They need matplotlib (the extra `figures`).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.painting import paint_layer
from deocc_bench.leaderboard.pictures import SamplePictures
from deocc_bench.leaderboard.samples import SampleValues
from deocc_bench.leaderboard.speed import SPEED
from deocc_bench.leaderboard.table import Table
from deocc_bench.leaderboard.text import fixed, shown
from deocc_bench.metrics.definition import Region

CURVES = 8
# Names that select samples, in addition to sample ids.
ENDS = ("worst", "median", "best")
_COLOURS = ("#1f5fa8", "#c25e00", "#16805d", "#a3337a", "#6b5b12", "#5b4fc4", "#0e7c91", "#8a3b2a")
_MARKERS, _DASHES = "osD^vXP*", ("-", "--", ":", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_STYLE = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e3e4e0",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "text.usetex": False,
    "text.parse_math": False,
}
_CELL = 1.15
_TITLE = 19


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def ratio_curves(table: Table, columns: Sequence[str], folder: Path) -> list[Path]:
    """Plot metrics against the occlusion ratio with 95 % intervals, one panel per metric; none without breakdowns."""
    metrics = [c for c in (table.column(n) for n in columns) if not c.speed and _has_bins(table, c.id)][:3]
    rows = [r for r in table.rows if r.ranked][:CURVES] or list(table.rows)[:CURVES]
    if not metrics:
        return []

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axis, column in zip(axes, metrics, strict=True):
            for k, row in enumerate(rows):
                bins = row.run.record.breakdowns.get("occlusion_ratio", {})
                known = ((_middle(b), m[column.id]) for b, m in bins.items() if column.id in m)
                points = [(at, m) for at, m in known if at is not None and m["value"] is not None]
                points.sort(key=lambda p: p[0])
                x = [x for x, _ in points]
                axis.plot(
                    x,
                    [m["value"] for _, m in points],
                    color=_COLOURS[k],
                    marker=_MARKERS[k],
                    linestyle=_DASHES[k],
                    markersize=3.5,
                    linewidth=1.3,
                    label=shown(row.name, 28),
                )
                ends = [m["ci95"] or (np.nan, np.nan) for _, m in points]
                axis.fill_between(x, [e[0] for e in ends], [e[1] for e in ends], color=_COLOURS[k], alpha=0.1, lw=0)
            axis.set_xlabel("occlusion ratio")
            axis.set_title(_heading(column), fontsize=9)
            axis.set_xlim(0, 1)
        axes[0].legend(fontsize=7)

    return _save(draw, (3.3 * len(metrics), 2.7), folder / f"ratio-{table.group.slug}")


def pareto(table: Table, folder: Path) -> list[Path]:
    """Plot the sort column against time; a line joins the Pareto front. No figure without times."""
    time = next((c for c in table.every if c.speed and SPEED[c.id].time_axis), None)
    quality = table.column(table.sort)
    if quality.speed:
        quality = next((c for c in table.columns if not c.speed), quality)
    if time is None or quality.speed:
        return []
    points = [(r.cells[time.id].value, r.cells[quality.id].value, shown(r.name, 28)) for r in table.rows if r.ranked]
    known = sorted((x, y, name) for x, y, name in points if x and y is not None)
    if len(known) < 2:
        return []
    front = sorted((x, y) for x, y in pareto_front([(x, y) for x, y, _ in known], quality.higher_is_better))

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        # Within a factor of four a log scale has hardly any tick labels.
        narrow = known[-1][0] < 4 * known[0][0]
        axis.plot([x for x, _ in front], [y for _, y in front], "--", color=_COLOURS[0], linewidth=1)
        for x, y, name in known:
            on = (x, y) in front
            axis.plot(x, y, "o", color=_COLOURS[0] if on else "white", markeredgecolor=_COLOURS[0] if on else "#777777")
            # Of two adjacent points, the left one has its name on the left, so that the names can't be confused.
            left = _has_right_neighbour((x, y), [(a, b) for a, b, _ in known])
            axis.annotate(
                name,
                (x, y),
                xytext=(-6 if left else 6, 4),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=7,
            )
        if not narrow:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.xaxis.set_minor_formatter(lambda value, _: "")
        axis.set_xlabel(_heading(time))
        axis.set_ylabel(_heading(quality))
        axis.margins(0.18)

    return _save(draw, (4.2, 3.1), folder / f"pareto-{table.group.slug}")


def pareto_front(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[tuple[float, float]]:
    """The points (time, quality) that are not dominated by any other point."""
    sign = 1 if higher_is_better else -1
    return [
        (x, y)
        for x, y in points
        if not any(
            a <= x and sign * b >= sign * y and (a < x or sign * b > sign * y) for a, b in points if (a, b) != (x, y)
        )
    ]


def _has_right_neighbour(point: tuple[float, float], points: Sequence[tuple[float, float]]) -> bool:
    """Whether a point to the right of `point` is so near that their names would touch; distances use log x."""
    at = np.array([(np.log(x), y) for x, y in points])
    spread = np.maximum(at.max(axis=0) - at.min(axis=0), 1e-12)
    apart = (at - [np.log(point[0]), point[1]]) / spread
    return bool(((apart[:, 0] > 0) & (apart[:, 0] < 0.25) & (np.abs(apart[:, 1]) < 0.06)).any())


def grid(
    table: Table,
    values: Mapping[Region, SampleValues | None],
    rows: Sequence[int],
    pictures: Sequence[SamplePictures],
    folder: Path,
) -> list[Path]:
    """Draw comparison grids with one row per sample: input, each method's prediction with its value, ground truth.

    There is one file for masks and one for recovered pictures, as far as the task has them.

    Args:
        values: sample values for each kind of grid; a grid without values has no numbers below its pictures.
        rows: indices of the methods in the table; the answers of `pictures` are in this order.
    """
    written: list[Path] = []
    names = [table.rows[k].name for k in rows]
    head = ["input", *names, "truth"]
    for what, own in values.items():

        def draw(figure: Any, what: Region = what, own: SampleValues | None = own) -> None:
            axes = figure.subplots(len(pictures), len(head), squeeze=False)
            for line, p in enumerate(pictures):
                scores = [] if own is None else [own.of(p.id, k) for k in rows]
                for place, image in enumerate(_line(p, what)):
                    axis = axes[line][place]
                    axis.set_axis_off()
                    if image is None:
                        axis.text(0.5, 0.5, "no prediction", ha="center", va="center", transform=axis.transAxes)
                    else:
                        axis.imshow(image, interpolation="lanczos")
                    if line == 0:
                        axis.set_title(_two_lines(head[place]), fontsize=7, linespacing=1)
                    if own is not None and 0 < place <= len(scores):
                        text = fixed(scores[place - 1], own.column.decimals)
                        axis.text(0.5, -0.02, text, ha="center", va="top", transform=axis.transAxes, fontsize=7)
                first = axes[line][0]
                hidden = f"{p.ratio:.0%} hidden"
                first.text(0.5, -0.02, hidden, ha="center", va="top", transform=first.transAxes, fontsize=7)
            if own is not None:
                figure.supxlabel(f"below each prediction: {_heading(own.column)}", fontsize=7, color="#555555")

        size = (_CELL * len(head), _CELL * 1.12 * len(pictures) + 0.55)
        written += _save(draw, size, folder / f"grid-{what}-{table.group.slug}")
    return written


def choose_samples(values: SampleValues, wanted: Sequence[str]) -> list[int]:
    """Indices of selected samples: ids, or worst, median, best, optionally with `:N`. Unknown ids are ignored."""
    order = values.defined() or list(range(len(values.ids)))
    chosen: list[int] = []
    for name in wanted:
        word, _, count = name.partition(":")
        if word in ENDS and (not count or count.isdigit()):
            n = min(int(count or 1), len(order))
            start = {"worst": 0, "median": (len(order) - n) // 2, "best": len(order) - n}[word]
            chosen += order[start : start + n]
        elif name in values.ids:
            chosen.append(values.ids.index(name))
    return list(dict.fromkeys(chosen))


def _line(p: SamplePictures, what: str) -> list[np.ndarray | None]:
    if what == "mask":
        answers = [None if a.layer is None else paint_layer(p.image, a.layer) for a in p.answers]
        return [p.image, *answers, paint_layer(p.image, p.truth)]
    return [p.image, *(a.image for a in p.answers), p.complete]


def _two_lines(name: str) -> str:
    """A name above a picture, on at most two lines that are short enough not to touch their neighbours."""
    lines = [""]
    for part in re.findall(r"[^-:+_/ ]*[-:+_/ ]|[^-:+_/ ]+", shown(name, 2 * _TITLE)):
        if len(lines) == 1 and lines[0] and len(lines[0] + part.rstrip()) > _TITLE:
            lines.append("")
        lines[-1] += part
    return "\n".join(shown(line, _TITLE) for line in lines)


def _has_bins(table: Table, metric: str) -> bool:
    return any(metric in m for row in table.rows for m in row.run.record.breakdowns.get("occlusion_ratio", {}).values())


def _middle(name: str) -> float | None:
    """The middle of a bin `[low, high)` of ratios; None if the name, which comes from a record, is not such a bin."""
    try:
        low, high = map(float, name.strip("[]()").split(","))
    except ValueError:
        return None
    return (low + high) / 2 if 0 <= low <= high <= 1 else None


def _heading(column: Any) -> str:
    unit = f" ({column.unit})" if column.unit not in ("ratio", "count") else ""
    return f"{column.heading}{unit} {column.arrow}"


def _save(draw: Callable[[Any], None], size: tuple[float, float], stem: Path) -> list[Path]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DeoccError("figures need matplotlib; pip install 'deocc-bench[figures]'") from error
    written = []
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Records may contain letters that the font lacks, which are drawn as boxes, and numbers near the limits of
        # float64, which overflow in the layout; matplotlib's warnings about them are not useful.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        for suffix, meta in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=200, metadata=meta)
            path = stem.with_name(f"{stem.name}.{suffix}")
            atomic_write(path, buffer.getvalue())
            written.append(path)
    return written
