"""CCP (Clothing Co-Parsing): street photos with one person each, 59 labels in MATLAB files."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import CCP
from deocc_bench.synth.humans.base import HumanInfo, PhotoFolder, info_from_mask
from deocc_bench.synth.humans.ccp_split import BAG_NAMES, lookup_table, pants_beyond_shoes, to_lip
from deocc_bench.synth.humans.layout import Layout, Place

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
        labels = read_mat(label, "groundtruth")
        if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "ui":
            raise InputError(label, f"groundtruth is {labels.dtype} {labels.shape}, not H x W ids", "replace the file")
        highest = int(labels.max())
        if highest >= self._labels:
            raise InputError(
                label,
                f"label id {highest} is out of range: {_NAMES_FILE} has ids 0 to {self._labels - 1}",
                "choose the right kind of labels, or correct the file",
            )
        return labels if labels.dtype == np.uint8 else labels.astype(np.uint8)

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
    cell = read_mat(path, "label_list")
    names = [str(np.asarray(entry).ravel()[0]) if np.asarray(entry).size else "" for entry in cell.ravel()]
    strange = [n for n in names if n not in CCP.names]
    if strange or len(names) > 256:
        raise InputError(path, f"not CCP's label names ({', '.join(strange[:3])})", "use the file from the release")
    return names


def read_mat(path: Path, variable: str) -> Any:
    """Read one variable of a MATLAB file up to version 7.

    Raises:
        InputError: the file is missing, broken, of version 7.3, or lacks the variable.
    """
    # Imported here because this import takes longer than the rest of the package.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    cure = "replace the file, or skip it with --skip-bad"
    try:
        return loadmat(path, variable_names=[variable])[variable]
    except FileNotFoundError:
        raise InputError(path, "no such file", "add it: it is part of the release") from None
    except KeyError:
        raise InputError(path, f"has no variable {variable}", cure) from None
    except NotImplementedError as error:
        raise InputError(path, f"MATLAB 7.3 files can't be read ({error})", "save it with -v7") from None
    except (MatReadError, ValueError, TypeError, OSError, EOFError, IndexError, zlib.error) as error:
        raise InputError(path, f"not a MATLAB file that can be read ({error})", cure) from error
