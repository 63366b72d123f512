"""Findings about a folder of predicted masks, from what was read of it: pure, so that any reader can feed it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd.

    Args:
        kind: "missing", "extra", "twice", "size", "palette", "soft", "channels", "empty", or one that
            `predictions.lint` adds.
        sample: the sample id or file name.
        detail: what, in one line, with the cure.
        error: True: the folder can't be scored as it is; False: it can, but look.
    """

    kind: str
    sample: str
    detail: str
    error: bool


def lint_ids(expected: Collection[str], found: Collection[str]) -> list[Finding]:
    """Ids that are missing, not in the split, or given twice (`found`: one entry a file, by the file's stem)."""
    want, have, seen = set(expected), set(found), set()
    twice = {i for i in found if i in seen or seen.add(i)}  # type: ignore[func-returns-value]
    return [
        *(Finding("missing", i, "no prediction for this sample; predict it", True) for i in sorted(want - have)),
        *(Finding("extra", i, "no sample of the split has this id; remove it", True) for i in sorted(have - want)),
        *(Finding("twice", i, "several files for this sample; keep one", True) for i in sorted(twice)),
    ]


def lint_mask(sample: str, pixels: np.ndarray, height: int, width: int, palette: bool = False) -> list[Finding]:
    """What is wrong with one mask as it stands in its file.

    Args:
        sample: its id.
        pixels: the decoded file, uint8 (H, W) or (H, W, C); of a palette PNG the indices.
        height, width: of the sample's image.
        palette: whether the file is a palette PNG.
    """
    findings = []
    if pixels.shape[:2] != (height, width):
        size = f"{pixels.shape[0]} x {pixels.shape[1]}"
        findings.append(Finding("size", sample, f"is {size}, the image {height} x {width}; resize it", True))
    if pixels.ndim == 3 and pixels.shape[2] > 1:
        same = bool((pixels[..., :3] == pixels[..., :1]).all()) and pixels.shape[2] == 3
        detail = f"has {pixels.shape[2]} channels; write one grey channel, 0 and 255"
        findings.append(Finding("channels", sample, detail, not same))
        pixels = pixels[..., 0]
    values = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
    if palette:
        detail = f"is a palette PNG with indices {_few(values)}; write grey, 0 and 255"
        findings.append(Finding("palette", sample, detail, True))
    elif len(values) and not set(values.tolist()) <= {0, 255}:
        two = set(values.tolist()) <= {0, 1}
        detail = f"holds the values {_few(values)}; write 0 and 255" + ("" if two else " (threshold it yourself)")
        findings.append(Finding("soft", sample, detail, True))
    if not pixels.any():
        findings.append(Finding("empty", sample, "is empty: it scores as predicting no person", False))
    return findings


def _few(values: np.ndarray) -> str:
    shown = ", ".join(str(int(v)) for v in values[:5])
    return shown + (f", ... ({len(values)} values)" if len(values) > 5 else "")
