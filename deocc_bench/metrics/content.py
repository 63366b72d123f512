"""Per-sample statistics of recovered images: L1, squared error, SSIM, colour by body part.

The composite and the truth differ only near the hidden region, so everything is computed in the box of the pixels that
differ; outside it the error is exactly 0 and the SSIM map exactly 1.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from deocc_bench.metrics.colour import ciede2000, srgb_to_lab
from deocc_bench.metrics.parts import PARTS

REGIONS: tuple[str, ...] = ("image", "human", "invisible")
# A mean colour over fewer hidden pixels than this says little; the part is then not defined.
MIN_PART_PIXELS = 16

_SSIM_RADIUS = 5
_OFFSETS = np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1, dtype=np.float64)
_KERNEL = np.exp(-0.5 * (_OFFSETS / 1.5) ** 2)
_KERNEL /= _KERNEL.sum()
_C1, _C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2


def truth_image(image: np.ndarray, complete: np.ndarray, amodal: np.ndarray) -> np.ndarray:
    """What a perfect method gives: `complete` inside the amodal mask, the occluded `image` outside; uint8 (H, W, 3)."""
    return _paste(complete, image, amodal)


def composite(image: np.ndarray, recovered: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """What is scored: `recovered` inside `fill` (bool H x W), the occluded `image` elsewhere; uint8 (H, W, 3)."""
    return _paste(recovered, image, fill)


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM per pixel and channel of two images (H, W, C) in [0, 255], float64 (H, W, C).

    Gaussian window 11, sigma 1.5, K1 0.01, K2 0.03, population covariance, mirrored borders
    (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004). Equal inputs give exactly 1.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    square_x, square_y, product = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    spread = (_blur(x * x) - square_x) + (_blur(y * y) - square_y)
    shared = _blur(x * y) - product
    return np.asarray((2 * product + _C1) * (2 * shared + _C2) / ((square_x + square_y + _C1) * (spread + _C2)))


def content_row(
    image: np.ndarray,
    complete: np.ndarray,
    amodal: np.ndarray,
    modal: np.ndarray,
    recovered: np.ndarray,
    parsing: np.ndarray | None = None,
    fill: np.ndarray | None = None,
) -> dict[str, Any]:
    """The sufficient statistics of one sample of the content task; add `masks.truth_row` for the areas.

    Args:
        image, complete, recovered: occluded, un-occluded and recovered picture, uint8 (H, W, 3) RGB.
        amodal, modal: true masks, bool (H, W).
        parsing: uint8 (H, W) LIP ids of the amodal person, for `garment_delta_e`.
        fill: bool (H, W), where the recovered picture is taken; None: the true invisible region. In the joint task it
            is the method's own amodal & ~modal.

    Returns:
        For each of the regions image, human, invisible: `abs_*` and `sq_*` (integer sums over the pixels and channels
        of the absolute and the squared difference, 8-bit units) and `ssim_*` (mean of the map; None where the region is
        empty); `keep_abs` (the same sum of |recovered - image| over the modal mask);
        `delta_e` (mean over the parts with at least 16 hidden pixels; None without any) and `delta_e[NAME]` of each.

    Raises:
        ValueError: an array of another dtype or shape.
    """
    _check(image, complete=complete, recovered=recovered)
    hidden = amodal & ~modal
    scored = composite(image, recovered, hidden if fill is None else fill)
    truth = truth_image(image, complete, amodal)
    difference = cv2.absdiff(scored, truth)
    box = _box(difference)
    row: dict[str, Any] = {"keep_abs": _masked_sum(cv2.absdiff(recovered, image), modal)}
    masks = {"image": None, "human": amodal, "invisible": hidden}
    if box is None:
        row |= {f"{kind}_{region}": 0 for kind in ("abs", "sq") for region in REGIONS}
        row |= {f"ssim_{r}": 1.0 if m is None or m.any() else None for r, m in masks.items()}
    else:
        row |= _errors(difference, masks, box)
        row |= _ssim(scored, truth, masks, box)
    if parsing is not None:
        row |= _part_colours(scored, truth, parsing, hidden)
    return row


def _errors(
    difference: np.ndarray, masks: dict[str, np.ndarray | None], box: tuple[int, int, int, int]
) -> dict[str, int]:
    y0, y1, x0, x1 = box
    # 3 * 255 ** 2 fits int32; the sums over the region are made in int64.
    inner = difference[y0:y1, x0:x1].astype(np.int32)
    absolute, square = _channel_sum(inner), _channel_sum(inner * inner)
    row = {}
    for region, mask in masks.items():
        chosen = slice(None) if mask is None else mask[y0:y1, x0:x1]
        row[f"abs_{region}"] = int(absolute[chosen].sum(dtype=np.int64))
        row[f"sq_{region}"] = int(square[chosen].sum(dtype=np.int64))
    return row


def _ssim(
    scored: np.ndarray, truth: np.ndarray, masks: dict[str, np.ndarray | None], box: tuple[int, int, int, int]
) -> dict[str, float | None]:
    height, width = scored.shape[:2]
    # The map differs from 1 up to one radius beyond the box, and needs the pixels one radius beyond that.
    y0, y1, x0, x1 = _grow(box, _SSIM_RADIUS, height, width)
    wy0, wy1, wx0, wx1 = _grow(box, 2 * _SSIM_RADIUS, height, width)
    values = ssim_map(scored[wy0:wy1, wx0:wx1], truth[wy0:wy1, wx0:wx1])
    lack = _channel_sum(1.0 - values[y0 - wy0 : y1 - wy0, x0 - wx0 : x1 - wx0]) / 3.0
    row: dict[str, float | None] = {}
    for region, mask in masks.items():
        size = height * width if mask is None else int(np.count_nonzero(mask))
        inside = lack if mask is None else lack[mask[y0:y1, x0:x1]]
        row[f"ssim_{region}"] = 1.0 - float(inside.sum()) / size if size else None
    return row


def _part_colours(
    scored: np.ndarray, truth: np.ndarray, parsing: np.ndarray, hidden: np.ndarray
) -> dict[str, float | None]:
    row: dict[str, float | None] = {f"delta_e[{name}]": None for name in PARTS}
    labels = parsing[hidden]
    counts = np.bincount(labels, minlength=256)
    known = [i for i in range(1, len(PARTS) + 1) if counts[i] >= MIN_PART_PIXELS]
    if not known:
        return row | {"delta_e": None}
    of_scored, of_truth = scored[hidden], truth[hidden]
    sums = [
        np.stack([np.bincount(labels, weights=pixels[:, c], minlength=256)[known] for c in range(3)], axis=1)
        for pixels in (of_scored, of_truth)
    ]
    means = [s / counts[known][:, None] for s in sums]
    differences = ciede2000(srgb_to_lab(means[0]), srgb_to_lab(means[1]))
    row |= {f"delta_e[{PARTS[i - 1]}]": float(d) for i, d in zip(known, differences, strict=True)}
    return row | {"delta_e": float(differences.mean())}


def _blur(values: np.ndarray) -> np.ndarray:
    # BORDER_REFLECT repeats the edge pixel, as scipy's "reflect" does, which the usual SSIM implementations use.
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, _KERNEL, _KERNEL, borderType=cv2.BORDER_REFLECT))


def _paste(source: np.ndarray, background: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = np.array(background, order="C")
    return np.asarray(cv2.copyTo(source, np.ascontiguousarray(mask).view(np.uint8), out))


def _channel_sum(values: np.ndarray) -> np.ndarray:
    # Several times faster than a reduction over an axis of length 3.
    return np.asarray(values[..., 0] + values[..., 1] + values[..., 2])


def _box(difference: np.ndarray) -> tuple[int, int, int, int] | None:
    # The channels side by side make one plane, whose box is three times as wide.
    x, y, w, h = cv2.boundingRect(difference.reshape(difference.shape[0], -1))
    return (y, y + h, x // 3, (x + w + 2) // 3) if w and h else None


def _grow(box: tuple[int, int, int, int], margin: int, height: int, width: int) -> tuple[int, int, int, int]:
    y0, y1, x0, x1 = box
    return max(0, y0 - margin), min(height, y1 + margin), max(0, x0 - margin), min(width, x1 + margin)


def _masked_sum(difference: np.ndarray, mask: np.ndarray) -> int:
    kept = cv2.copyTo(difference, np.ascontiguousarray(mask).view(np.uint8))
    # Sums of 8-bit values stay far below 2**53: exact in cv2's float64 accumulator.
    return int(sum(cv2.sumElems(kept)[:3]))


def _check(image: np.ndarray, **others: np.ndarray) -> None:
    for name, picture in (("image", image), *others.items()):
        if picture.dtype != np.uint8 or picture.shape != image.shape or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"Expected `{name}` to be uint8 (H, W, 3) of size {image.shape[:2]}, "
                f"but got {picture.dtype} {picture.shape}"
            )
