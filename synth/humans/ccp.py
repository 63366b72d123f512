"""CCP (Clothing Co-Parsing): street photos with one person each, 59 labels in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import CCP
from deocc_bench.synth.humans.base import HumanInfo, PhotoFolder, info_from_mask
from deocc_bench.synth.humans.ccp_split import BAG_NAMES, lookup_table, pants_beyond_shoes, to_lip
from deocc_bench.synth.humans.layout import Layout, Place
from deocc_bench.synth.humans.matfile import read_labels, read_names

_NAMES_FILE = "label_list.mat"
# How far pants may reach beyond the shoes, as a share of the person's height. The widest stance in the data has 0.20.
_SHADOW = 0.235


class CcpSource(PhotoFolder):
    """`photos/<id>.jpg` with `annotations/pixel-level/<id>.mat` (`groundtruth`), and `label_list.mat` with the names.

    Bags are not part of the person. Photos that have only tags (`annotations/image-level`) are not used.
    """

    kind = "ccp"
    title = "CCP (Clothing Co-Parsing)"
    licence = "Apache-2.0 (labels; rights of sitters and photographers are not covered)"
    home = "https://github.com/bearpaw/clothing-co-parsing"
    layouts = (Layout("photos", "annotations/pixel-level", label_suffix=".mat"),)

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        names = read_label_names(self.places[0].photos.parent / _NAMES_FILE)
        self._table = lookup_table(names)
        self._labels = len(names)
        self._bags = [i for i, name in enumerate(names) if name in BAG_NAMES]
        self._is_bag = np.zeros(256, np.uint8)
        self._is_bag[self._bags] = 1

    def unknown(self, human_id: str) -> np.ndarray:
        """bool H x W: the pixels of bags, where the label does not show whether the person is behind them."""
        _, label = self._files(human_id)
        return np.isin(self._read(label), self._bags)

    def _usable(self, place: Place, wanted: Sequence[str]) -> Sequence[str]:
        tagged = place.labels.parent / "image-level"
        return [s for s in wanted if self._label_of(place, s).exists() or not (tagged / f"{s}.mat").exists()]

    def _read(self, label: Path) -> np.ndarray:
        labels = read_labels(label, "groundtruth")
        highest = int(labels.max())
        if highest >= self._labels:
            raise InputError(
                label,
                f"label id {highest} is out of range: {_NAMES_FILE} has ids 0 to {self._labels - 1}",
                "choose the right kind of labels, or correct the file",
            )
        return labels

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        parsing = to_lip(labels, self._table)
        return parsing > 0, parsing

    def _look(self, human_id: str, photo: Path, label: Path, labels: np.ndarray) -> HumanInfo:
        # Contiguous, because MATLAB stores columns first.
        turned_labels = np.ascontiguousarray(labels.T)
        codes = cv2.LUT(turned_labels, self._table).T
        turned = info_from_mask(human_id, self.group_of(human_id), codes.T)
        box = turned.box and (turned.box[1], turned.box[0], turned.box[3], turned.box[2])
        defects = []
        if box:
            spread = pants_beyond_shoes(codes[box[1] : box[3], box[0] : box[2]])
            if spread > _SHADOW:
                defects.append(f"pants reach {spread:.0%} of the person's height beyond the shoes (a shadow?)")
        return HumanInfo(
            human_id,
            turned.group_id,
            (labels.shape[0], labels.shape[1]),
            box or None,
            turned.area,
            carries_bag=bool(cv2.hasNonZero(cv2.LUT(turned_labels, self._is_bag))),
            defects=tuple(defects),
        )


def read_label_names(path: Path) -> list[str]:
    """Read the names of the labels, in the order of their ids.

    Raises:
        InputError: the file is missing or broken, or has a name that is not in CCP.
    """
    names = read_names(path, "label_list")
    strange = [n for n in names if n not in CCP.names]
    if strange:
        raise InputError(path, f"not CCP's label names ({', '.join(strange[:3])})", "use the file from the release")
    return names
