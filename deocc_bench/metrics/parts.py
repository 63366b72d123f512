"""Per-sample statistics by body part and by parsing class (LIP ids)."""

from __future__ import annotations

import numpy as np

from deocc_bench.core.labels import LIP

# Body parts of the metrics: the LIP classes without background, in id order.
PARTS: tuple[str, ...] = tuple(LIP.names[1:])
CLASSES: tuple[str, ...] = tuple(LIP.names)


def part_row(parsing: np.ndarray, invisible: np.ndarray, predicted: np.ndarray | None = None) -> dict[str, int]:
    """Hidden pixels of each body part, and how many of them the predicted amodal mask covers.

    Args:
        parsing: uint8 (H, W), LIP ids of the amodal person.
        invisible: bool (H, W), true amodal & ~true modal.
        predicted: bool (H, W), predicted amodal mask, or None.

    Returns:
        `part_invisible[NAME]` and, with `predicted`, `part_covered[NAME]`, for each of `PARTS`.
    """
    counts = class_counts(parsing[invisible])
    row = {f"part_invisible[{name}]": int(counts[i]) for i, name in enumerate(PARTS, start=1)}
    if predicted is not None:
        counts = class_counts(parsing[invisible & predicted])
        row |= {f"part_covered[{name}]": int(counts[i]) for i, name in enumerate(PARTS, start=1)}
    return row


def parsing_row(parsing: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    """Intersection and union of each of the 20 classes over the pixels that are not 255 in the truth.

    Args:
        parsing, predicted: uint8 (H, W), LIP ids.

    Raises:
        ValueError: shapes differ, or a predicted id beyond the label space.
    """
    if parsing.shape != predicted.shape:
        raise ValueError(f"Expected `predicted_parsing` to be {parsing.shape}, but got {predicted.shape}")
    n = len(CLASSES)
    if predicted.size and int(predicted.max()) >= n:
        raise ValueError(f"Expected `predicted_parsing` to hold LIP ids below {n}, but got {int(predicted.max())}")
    pairs = parsing.astype(np.int64) * n + predicted
    # Ignored pixels of the truth (255) fall beyond the table and are cut off.
    confusion = np.bincount(pairs.ravel(), minlength=n * n)[: n * n].reshape(n, n)
    inter = np.diagonal(confusion)
    union = confusion.sum(0) + confusion.sum(1) - inter
    row = {f"parsing_inter[{name}]": int(inter[i]) for i, name in enumerate(CLASSES)}
    return row | {f"parsing_union[{name}]": int(union[i]) for i, name in enumerate(CLASSES)}


def class_counts(values: np.ndarray) -> np.ndarray:
    """Pixels of each LIP class among `values` (uint8, any shape), int64 (20,); other ids (255) are not counted."""
    return np.bincount(values.ravel(), minlength=256)[: len(CLASSES)]
