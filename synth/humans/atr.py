"""ATR (Active Template Regression): one person per photo, 18 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deocc_bench.core import images
from deocc_bench.core.labels import ATR, convert
from deocc_bench.synth.humans.base import HumanInfo, PhotoFolder, info_from_mask, without_ignored
from deocc_bench.synth.humans.layout import Layout

_BAG = ATR.index("bag")


class AtrSource(PhotoFolder):
    """`JPEGImages/<id>.jpg` with `SegmentationClassAug/<id>.png`; bags are not part of the person."""

    kind = "atr"
    title = "ATR (human parsing, Active Template Regression)"
    licence = "ATR: research only; see the home page"
    home = "https://github.com/lemondan/HumanParsing-Dataset"
    layouts = (Layout("JPEGImages", "SegmentationClassAug", ("list/*.txt",)),)

    def _read(self, label: Path) -> np.ndarray:
        labels = images.read_indices(label)
        ATR.check(labels, label)
        return labels

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        parsing = without_ignored(convert(labels, ATR, where=label).labels)
        return parsing > 0, parsing

    def _look(self, human_id: str, photo: Path, label: Path, labels: np.ndarray) -> HumanInfo:
        mask, _ = self._person(labels, label)
        return info_from_mask(human_id, self.group_of(human_id), mask, carries_bag=bool((labels == _BAG).any()))
