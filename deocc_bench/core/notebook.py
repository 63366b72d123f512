"""Display in notebooks: a sample as an image, a run as a table. Text from files is escaped."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from deocc_bench.core import images
from deocc_bench.core.errors import UsageError, one_line
from deocc_bench.core.painting import mask_layer, paint_layer
from deocc_bench.core.torch_samples import SampleFields

# Maximum side of one image in pixels; larger images are scaled down.
_SIDE = 320
_GAP = 8
_NAME = 80


class Picture:
    """An image that a notebook displays.

    Args:
        array: uint8 H x W x 3, RGB.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def save(self, path: str | Path) -> None:
        """Write the image as PNG."""
        images.write_png(path, self.array)

    def _repr_png_(self) -> bytes:
        return small_png(self.array)

    def __repr__(self) -> str:
        return f"<picture, {self.array.shape[0]} x {self.array.shape[1]}>"


def show(sample: SampleFields, predicted: np.ndarray | None = None) -> Picture:
    """Show a sample side by side: the occluded image, the masks over it, and the complete image if there is one.

    Light blue is the visible part of the person and dark blue the hidden part.

    Args:
        sample: an item of `load_dataset`, or a `deocc_bench.core.types.Sample`.
        predicted: bool H x W, a predicted amodal mask. Missed pixels are then striped, false positives dotted.

    Raises:
        UsageError: the size of the mask is not that of the sample.
    """
    amodal = sample.amodal
    answer = amodal if predicted is None else np.asarray(predicted, dtype=bool)
    if answer.shape != amodal.shape:
        raise UsageError(f"the predicted mask is {answer.shape}, but the sample is {amodal.shape}; predict at its size")
    cells = [sample.image, paint_layer(sample.image, mask_layer(answer, amodal, sample.modal))]
    if sample.complete is not None:
        cells.append(sample.complete)
    return side_by_side(cells)


def side_by_side(cells: Iterable[np.ndarray]) -> Picture:
    """Join images (uint8 H x W x 3, equal heights) in a row with white gaps between them."""
    row = [_fitted(cell) for cell in cells]
    gap = np.full((row[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for cell in row for part in (gap, cell)][1:]
    return Picture(np.concatenate(parts, axis=1))


def small_png(array: np.ndarray) -> bytes:
    """PNG bytes of uint8 H x W x 3 at maximum compression, because notebooks store them in their file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def run_html(
    title: str, metrics: Mapping[str, Mapping[str, Any]], *, problems: Iterable[str] = (), notes: Iterable[str] = ()
) -> str:
    """A run as an HTML table of all defined metrics, except those of single parts.

    Args:
        title: method, task and dataset.
        metrics: as in a result record.
        problems, notes: of the record, printed above and below the table.
    """
    rows = "".join(_metric_row(name, m) for name, m in metrics.items() if m["value"] is not None and "[" not in name)
    warning = "".join(f"<p><strong>Untrusted: {_text(p)}</strong></p>" for p in problems)
    below = "".join(f"<p>note: {_text(n)}</p>" for n in notes)
    head = "".join(f"<th>{h}</th>" for h in ("metric", "value", "95 % interval", "defined", "better"))
    return (
        f"<div>{warning}<table><caption>{escape(one_line(title))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}</div>"
    )


def _metric_row(name: str, metric: Mapping[str, Any]) -> str:
    ends = metric["ci95"]
    interval = "" if not ends or None in ends else f"{ends[0]:.4f} – {ends[1]:.4f}"
    unit = "" if metric["unit"] == "ratio" else f" {_text(metric['unit'])}"
    cells = (
        f"{metric['value']:.4f}{unit}",
        interval,
        f"{_text(metric['n_defined'])}/{_text(metric['n'])}",
        "higher" if metric["higher_is_better"] else "lower",
    )
    return f"<tr><th>{_text(name)}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _text(value: object) -> str:
    return escape(one_line(str(value), _NAME))


def _fitted(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    if scale == 1.0:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
