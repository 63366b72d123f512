"""Per-sample statistics by body part and by parsing class (LIP ids)."""

from __future__ import annotations

import numpy as np

from deocc_bench.core.labels import LIP
from deocc_bench.metrics.arrays import SampleArrays

# Body parts of the metrics: the LIP classes without background, in id order.
PARTS: tuple[str, ...] = tuple(LIP.names[1:])
CLASSES: tuple[str, ...] = tuple(LIP.names)


def hidden_parts(sample: SampleArrays) -> dict[str, int]:
    """`part_invisible[NAME]`: hidden pixels of each of `PARTS`, by the true parsing."""
    counts = class_counts(sample.of("parsing")[sample.hidden])
    return {f"part_invisible[{name}]": int(counts[i]) for i, name in enumerate(PARTS, start=1)}


def covered_parts(sample: SampleArrays) -> dict[str, int]:
    """`part_covered[NAME]`: the pixels of `hidden_parts` that the predicted amodal mask covers."""
    counts = class_counts(sample.of("parsing")[sample.hidden & sample.of("predicted")])
    return {f"part_covered[{name}]": int(counts[i]) for i, name in enumerate(PARTS, start=1)}


def parsing_overlap(sample: SampleArrays) -> dict[str, int]:
    """`parsing_inter[NAME]`, `parsing_union[NAME]` of each of `CLASSES`; pixels of true id 255 are ignored.

    Raises:
        ValueError: a predicted id is outside the label space.
    """
    parsing, predicted = sample.of("parsing"), sample.of("predicted_parsing")
    n = len(CLASSES)
    if predicted.size and int(predicted.max()) >= n:
        raise ValueError(f"Expected `predicted_parsing` to contain LIP ids below {n}, but got {int(predicted.max())}")
    pairs = parsing.astype(np.int64) * n + predicted
    # Ignored pixels of the ground truth (255) fall outside the table and are dropped.
    confusion = np.bincount(pairs.ravel(), minlength=n * n)[: n * n].reshape(n, n)
    inter = np.diagonal(confusion)
    union = confusion.sum(0) + confusion.sum(1) - inter
    row = {f"parsing_inter[{name}]": int(inter[i]) for i, name in enumerate(CLASSES)}
    return row | {f"parsing_union[{name}]": int(union[i]) for i, name in enumerate(CLASSES)}


def class_counts(values: np.ndarray) -> np.ndarray:
    """Pixels of each LIP class among `values` (uint8, any shape), int64 (20,); other ids (255) are not counted."""
    return np.bincount(values.ravel(), minlength=256)[: len(CLASSES)]
