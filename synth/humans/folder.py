"""A plain folder of the user's own photos, with LIP parsing or masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deocc_bench.core import images, mask_files
from deocc_bench.core.labels import LIP
from deocc_bench.synth.humans.base import PhotoFolder, without_ignored
from deocc_bench.synth.humans.layout import Layout


class FolderSource(PhotoFolder):
    """`images/<id>.*` with `parsing/<id>.png` (LIP ids), or with `masks/<id>.png` (white is the person).

    If both folders exist, the parsing is used.
    """

    kind = "folder"
    title = "folder of photos"
    licence = "not stated"
    home = ""
    layouts = (Layout("images", "parsing"), Layout("images", "masks"))

    def _read(self, label: Path) -> np.ndarray:
        return self._read_noting(label)[0]

    def _read_noting(self, label: Path) -> tuple[np.ndarray, bool]:
        if label.parent.name != "parsing":
            found = mask_files.read_mask_file(label)
            return found.mask, found.soft
        labels = images.read_indices(label)
        LIP.check(labels, label)
        return labels, False

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        if label.parent.name != "parsing":
            return labels > 0, None
        parsing = without_ignored(labels)
        return parsing > 0, parsing
