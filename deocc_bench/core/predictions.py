"""The prediction folder: the predictions of a method, one PNG per sample and kind, and checks on reading.

PREDICTIONS/masks/<sample>.png      amodal mask, 0 / 255             (tasks mask, joint)
PREDICTIONS/modal/<sample>.png      refined modal mask, 0 / 255      (optional)
PREDICTIONS/parsing/<sample>.png    LIP ids, palette or grey         (optional)
PREDICTIONS/images/<sample>.png     recovered image, RGB             (tasks content, joint)
PREDICTIONS/run.json                how it was made; written by `evaluate`, otherwise optional
PREDICTIONS/draw-NN/                one such folder per draw of a random method

COCO results (a JSON list with an RLE in each entry) are converted to the same layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from deocc_bench.core import images, mask_files
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import LIP
from deocc_bench.core.paths import check_inside, safe_id
from deocc_bench.core.results import PREDICTIONS_FOLDER
from deocc_bench.core.types import Prediction

HEADER_FILE = "run.json"
ERROR_FILE = "error.txt"
DRAW_PREFIX = "draw-"
# Kind -> the field of `Prediction`. The kind that a task requires is written last: it marks the sample as complete.
KINDS = {"parsing": "parsing", "modal": "modal", "masks": "amodal", "images": "image"}
REQUIRED = {"mask": ("masks",), "content": ("images",), "joint": ("masks", "images")}
_PALETTE = LIP.palette()


class PredictionFolder:
    """A prediction folder on disk."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, kind: str, sample_id: str) -> Path:
        """Path of one file; `kind` is a key of `KINDS`.

        Raises:
            InputError: the id can't be a file name, or a link leads out of the folder.
        """
        path = self.root / kind / f"{safe_id(sample_id, self.root)}.png"
        check_inside(self.root, path)
        return path

    def write(self, prediction: Prediction) -> None:
        """Write the fields that are not None, each atomically; the file that the task requires comes last."""
        for kind, field in KINDS.items():
            array = getattr(prediction, field)
            if array is not None:
                images.write_png(self.path(kind, prediction.sample_id), array, _PALETTE if kind == "parsing" else None)

    def holds(self, sample_id: str, task: str) -> bool:
        """Whether the folder contains all required files of the sample."""
        return all(self.path(kind, sample_id).is_file() for kind in REQUIRED[task])

    def read(self, sample_id: str, size: tuple[int, int], task: str) -> Prediction:
        """Read one prediction with the fields that the task scores.

        Args:
            size: required (height, width).

        Raises:
            InputError: a file is missing, unreadable, ambiguous, of another size, or has ids outside LIP.
        """
        found: dict[str, np.ndarray] = {}
        for kind in ("masks", "modal", "parsing"):
            path = self.path(kind, sample_id)
            if task != "content" and (kind == "masks" or path.is_file()):
                array = images.read_indices(path) if kind == "parsing" else mask_files.read_mask(path)
                _check_size(path, array.shape, size)
                if kind == "parsing":
                    _check_labels(path, array)
                found[KINDS[kind]] = array
        if task != "mask":
            path = self.path("images", sample_id)
            found["image"] = images.read_rgb(path)
            _check_size(path, found["image"].shape[:2], size)
        return Prediction(sample_id, **found)

    def clear(self, sample_ids: Iterable[str]) -> None:
        """Remove the files of unfinished samples, so that no old optional file remains."""
        for sample_id in sample_ids:
            for kind in KINDS:
                self.path(kind, sample_id).unlink(missing_ok=True)


def folder_of(path: str | Path) -> Path:
    """The prediction folder at `path`: that of the run if `path` is a run, otherwise `path` itself.

    Raises:
        InputError: the folder in the run is a link that leads out of it.
    """
    inside = Path(path) / PREDICTIONS_FOLDER
    if not inside.is_dir():
        return Path(path)
    check_inside(path, inside)
    return inside


def draw_folder(root: Path, draw: int | None) -> Path:
    """Folder of one draw of a random method (None: the method is not random)."""
    return root if draw is None else root / f"{DRAW_PREFIX}{draw:02d}"


def draw_folders(root: str | Path) -> list[Path]:
    """The folders of the draws of a random method, in order; empty for other methods."""
    return sorted(p for p in Path(root).glob(f"{DRAW_PREFIX}*") if p.is_dir())


def _check_size(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if tuple(shape) != tuple(size):
        raise InputError(
            path, f"is {shape[0]} x {shape[1]}, but the sample is {size[0]} x {size[1]}", "predict at the sample's size"
        )


def _check_labels(path: Path, labels: np.ndarray) -> None:
    if int(labels.max()) >= LIP.size:
        raise InputError(path, f"label id {int(labels.max())} is not in LIP (0 to {LIP.size - 1})", "write LIP ids")
