"""AHP (Amodal Human Perception): photos of one integrated person each, with a mask and pseudo parsing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deocc_bench.core import images, mask_files
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import IGNORE, LIP
from deocc_bench.core.pixels import open_image
from deocc_bench.synth.humans.base import PhotoFolder, check_size, without_ignored
from deocc_bench.synth.humans.layout import Layout

_PARSING = "PseudoParsingAnnotations"


class AhpSource(PhotoFolder):
    """`JPEGImages/*.jpg` with `Annotations/*.png` (masks) and, if present, `PseudoParsingAnnotations/*.png`.

    The mask defines the person. Parsing outside the mask is dropped; holes in the parsing take the nearest label.
    """

    kind = "ahp"
    title = "AHP (Amodal Human Perception)"
    licence = "AHP: non-commercial; see the home page"
    home = "https://sydney0zq.github.io/ahp/"
    layouts = (Layout("JPEGImages", "Annotations", ("ImageSets/*.txt",)),)

    def _read(self, label: Path) -> np.ndarray:
        return self._read_noting(label)[0]

    def _read_noting(self, label: Path) -> tuple[np.ndarray, bool]:
        file = open_image(label)
        if file.header.mode in ("P", "L"):
            ids = images.decode_indices(file)
            present = np.flatnonzero(np.bincount(ids.ravel()))
            known = present[(present > 0) & (present < IGNORE)]
            # 255 beside one id means "don't know"; without another id it is the person.
            if len(known) == 1 and present[-1] == IGNORE and known[0] < LIP.size:
                return ids == known[0], False
        found = mask_files.read_mask_file(label)
        return found.mask, found.soft

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        mask = labels
        path = label.parents[1] / _PARSING / label.name
        if not path.exists():
            return mask, None
        pseudo = images.read_indices(path)
        LIP.check(pseudo, path)
        check_size(path, pseudo, label, labels.shape)
        parsing = without_ignored(pseudo)
        if mask.any() and not np.any(mask & (parsing > 0)):
            raise InputError(path, f"has no label inside the mask of {label.name}", "correct it, or remove the file")
        return mask, fill_parsing(parsing, mask)


def fill_parsing(parsing: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `parsing` inside the bool `mask`, holes filled with the nearest label, 0 outside (uint8 H x W)."""
    inside = np.where(mask, parsing, np.uint8(0))
    holes = mask & (inside == 0)
    if holes.any() and inside.any():
        _, nearest = cv2.distanceTransformWithLabels(
            (inside == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        table = np.zeros(int(nearest.max()) + 1, dtype=np.uint8)
        table[nearest[inside > 0]] = inside[inside > 0]
        inside[holes] = table[nearest[holes]]
    return inside
