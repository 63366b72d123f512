"""LIP (Look Into Person): one person per photo, 20 classes, photos cropped from COCO."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deocc_bench.core import images
from deocc_bench.core.labels import LIP
from deocc_bench.synth.humans.base import PhotoFolder, without_ignored
from deocc_bench.synth.humans.layout import Layout


class LipSource(PhotoFolder):
    """`{train,val}_images/<id>.jpg` with `{train,val}_segmentations/<id>.png`; ids are `<cocoImageId>_<personId>`."""

    kind = "lip"
    title = "LIP (Look Into Person)"
    licence = "LIP: research only; see the home page"
    home = "http://sysu-hcp.net/lip/"
    layouts = tuple(Layout(f"{s}_images", f"{s}_segmentations", (f"{s}_id.txt",), apart=True) for s in ("train", "val"))

    def group_of(self, human_id: str) -> str:
        """The COCO photo, named as in `coco` occluders, because one photo may provide humans and occluders."""
        photo = human_id.removeprefix("lip-").partition("_")[0]
        return f"coco-photo-{int(photo)}" if photo.isdecimal() else f"lip-{photo}"

    def _read(self, label: Path) -> np.ndarray:
        labels = images.read_indices(label)
        LIP.check(labels, label)
        return labels

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        parsing = without_ignored(labels)
        return parsing > 0, parsing
