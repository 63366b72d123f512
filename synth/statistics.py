"""Statistics of a dataset, accumulated line by line as counts, so memory does not grow with the number of samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.dataset_writer import Line
from deocc_bench.core.labels import LIP

_BINS = 20


@dataclass
class DatasetStatistics:
    """Counts over the samples of a dataset or split. `add` the lines, then call `summary`."""

    samples: int = 0
    ratio_histogram: Counter[int] = field(default_factory=Counter)
    ratio_sum: float = 0.0
    ratio_min: float = 1.0
    ratio_max: float = 0.0
    occluders: Counter[int] = field(default_factory=Counter)
    behind: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    parts_seen: Counter[str] = field(default_factory=Counter)
    parts_hidden: Counter[str] = field(default_factory=Counter)
    part_share: dict[str, float] = field(default_factory=dict)
    heights: Counter[int] = field(default_factory=Counter)
    initial_iou: Counter[int] = field(default_factory=Counter)
    initial_sum: float = 0.0
    initial_n: int = 0

    def add(self, line: Line) -> None:
        """Count one sample."""
        annotation, image = line["annotation"], line["image"]
        ratio = annotation["occlude_rate"]
        self.samples += 1
        self.ratio_histogram[min(int(ratio * _BINS), _BINS - 1)] += 1
        self.ratio_sum += ratio
        self.ratio_min, self.ratio_max = min(self.ratio_min, ratio), max(self.ratio_max, ratio)
        # Datasets of others may lack what ours have.
        occluders = annotation.get("occluders") or ()
        front = [o for o in occluders if not o.get("behind")]
        self.occluders[len(front)] += 1
        self.behind += len(occluders) - len(front)
        self.categories.update(o["category"] for o in occluders)
        self.licences[image.get("licence") or ""] += 1
        self.licences.update(o.get("licence") or "" for o in occluders)
        box = annotation.get("bbox") or masks.bbox(annotation["segmentation"])
        self.heights[int(min(max(box[3] / image["height"], 0), 1) * 10)] += 1
        if annotation.get("initial_iou") is not None:
            self.initial_iou[min(int(annotation["initial_iou"] * 10), 9)] += 1
            self.initial_sum += annotation["initial_iou"]
            self.initial_n += 1
        for part, share in (annotation.get("parts_hidden") or {}).items():
            self.parts_seen[part] += 1
            self.parts_hidden[part] += share > 0
            self.part_share[part] = self.part_share.get(part, 0.0) + share

    def summary(self) -> dict[str, Any]:
        """JSON-able statistics; shares and means are null if nothing was counted."""
        n = self.samples
        return {
            "samples": n,
            "occlusion_ratio": {
                "mean": round(self.ratio_sum / n, 6) if n else None,
                "min": self.ratio_min if n else None,
                "max": self.ratio_max if n else None,
                "histogram": {f"{i / _BINS:.2f}-{(i + 1) / _BINS:.2f}": self.ratio_histogram[i] for i in range(_BINS)},
            },
            "occluders_per_sample": {str(k): v for k, v in sorted(self.occluders.items())},
            "occluders_behind": self.behind,
            "categories": dict(sorted(self.categories.items(), key=lambda kv: (-kv[1], kv[0]))),
            "licences": dict(sorted(self.licences.items())),
            "parts": {
                name: {
                    "seen_in": self.parts_seen[name],
                    "hidden_in": self.parts_hidden[name],
                    "mean_share_hidden": round(self.part_share[name] / self.parts_seen[name], 6),
                }
                for name in LIP.names[1:]
                if self.parts_seen[name]
            },
            "person_height_share": {f"{k / 10:.1f}": v for k, v in sorted(self.heights.items())},
            "initial_iou": {
                "mean": round(self.initial_sum / self.initial_n, 6) if self.initial_n else None,
                "histogram": {f"{i / 10:.1f}": self.initial_iou[i] for i in range(10)},
            },
        }


def gather(lines: Iterable[Line]) -> DatasetStatistics:
    """Statistics of an iterable of lines."""
    statistics = DatasetStatistics()
    for line in lines:
        statistics.add(line)
    return statistics


def parts_hidden(parsing: np.ndarray, invisible: np.ndarray) -> dict[str, float]:
    """The invisible share of each LIP part that is present.

    Args:
        parsing: uint8 H x W, amodal; invisible: bool H x W.
    """
    whole = np.bincount(parsing.ravel(), minlength=256)
    hidden = np.bincount(parsing[invisible], minlength=256)
    return {name: float(hidden[i]) / float(whole[i]) for i, name in enumerate(LIP.names) if i and whole[i] > 0}


def bar_chart(values: dict[str, int], width: int = 32) -> list[str]:
    """Text bars, one per row, scaled to the largest value, for terminals and dataset cards."""
    top = max(values.values(), default=0)
    name_width = max((len(k) for k in values), default=0)
    return [
        f"{k:<{name_width}} {'█' * max(round(v / top * width), 1 if v else 0):<{width}} {v}" if top else f"{k} 0"
        for k, v in values.items()
    ]
