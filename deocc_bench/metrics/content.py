"""Per-sample statistics of recovered images: L1, squared error, SSIM, colour by body part.

The composite and the ground truth differ only near the hidden region, so everything is computed in the bounding box of
the differing pixels; outside it the error is exactly 0 and the SSIM map exactly 1.
"""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.metrics.arrays import Box, SampleArrays
from deocc_bench.metrics.parts import PARTS

REGIONS: tuple[str, ...] = ("image", "human", "invisible")
# The mean colour of fewer hidden pixels than this is unreliable; the part is then undefined.
MIN_PART_PIXELS = 16

_SSIM_RADIUS = 5
_OFFSETS = np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1, dtype=np.float64)
_KERNEL = np.exp(-0.5 * (_OFFSETS / 1.5) ** 2)
_KERNEL /= _KERNEL.sum()
_C1, _C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM per pixel and channel of two images (H, W, C) in [0, 255], float64 (H, W, C).

    Gaussian window 11, sigma 1.5, K1 0.01, K2 0.03, population covariance, mirrored borders
    (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004). Equal inputs result in exactly 1.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    square_x, square_y, product = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    spread = (_blur(x * x) - square_x) + (_blur(y * y) - square_y)
    shared = _blur(x * y) - product
    return np.asarray((2 * product + _C1) * (2 * shared + _C2) / ((square_x + square_y + _C1) * (spread + _C2)))


def errors(sample: SampleArrays) -> dict[str, int]:
    """`abs_REGION`, `sq_REGION`: sums over pixels and channels of the absolute and the squared difference between
    composite and ground truth, integers in 8-bit units, for each of `REGIONS`."""
    if sample.box is None:
        return {f"{kind}_{region}": 0 for kind in ("abs", "sq") for region in REGIONS}
    y0, y1, x0, x1 = sample.box
    # 3 * 255 ** 2 fits int32; the sums over the region are computed in int64.
    inner = sample.difference[y0:y1, x0:x1].astype(np.int32)
    absolute, square = _channel_sum(inner), _channel_sum(inner * inner)
    row = {}
    for region, mask in sample.content_regions.items():
        chosen = slice(None) if mask is None else mask[y0:y1, x0:x1]
        row[f"abs_{region}"] = int(absolute[chosen].sum(dtype=np.int64))
        row[f"sq_{region}"] = int(square[chosen].sum(dtype=np.int64))
    return row


def ssim(sample: SampleArrays) -> dict[str, float | None]:
    """`ssim_REGION`: mean of the SSIM map of composite and ground truth; None where the region is empty."""
    regions = sample.content_regions
    if sample.box is None:
        return {f"ssim_{name}": 1.0 if mask is None or mask.any() else None for name, mask in regions.items()}
    height, width = sample.size
    # The map differs from 1 up to one radius beyond the box, and needs the pixels one radius beyond that.
    y0, y1, x0, x1 = _grow(sample.box, _SSIM_RADIUS, height, width)
    wy0, wy1, wx0, wx1 = _grow(sample.box, 2 * _SSIM_RADIUS, height, width)
    values = ssim_map(sample.composite[wy0:wy1, wx0:wx1], sample.truth[wy0:wy1, wx0:wx1])
    lack = _channel_sum(1.0 - values[y0 - wy0 : y1 - wy0, x0 - wx0 : x1 - wx0]) / 3.0
    row: dict[str, float | None] = {}
    for region, mask in regions.items():
        size = height * width if mask is None else int(np.count_nonzero(mask))
        inside = lack if mask is None else lack[mask[y0:y1, x0:x1]]
        row[f"ssim_{region}"] = 1.0 - float(inside.sum()) / size if size else None
    return row


def preservation(sample: SampleArrays) -> dict[str, int]:
    """`keep_abs`: the sum of |recovered - image| over the modal mask, for the raw prediction before compositing."""
    difference = cv2.absdiff(sample.of("recovered"), sample.of("image"))
    kept = cv2.copyTo(difference, np.ascontiguousarray(sample.of("modal")).view(np.uint8))
    # Sums of 8-bit values stay far below 2**53: exact in cv2's float64 accumulator.
    return {"keep_abs": int(sum(cv2.sumElems(kept)[:3]))}


def part_colours(sample: SampleArrays) -> dict[str, float | None]:
    """`delta_e[NAME]`: CIEDE2000 between the mean sRGB colours of composite and ground truth over the hidden pixels of
    each body part with at least 16 of them (None for the others); `delta_e`: their mean."""
    # Imported here: it takes a quarter of a second, and only this metric needs it.
    from skimage.color import deltaE_ciede2000, rgb2lab

    row: dict[str, float | None] = {f"delta_e[{name}]": None for name in PARTS}
    labels = sample.of("parsing")[sample.hidden]
    counts = np.bincount(labels, minlength=256)
    known = [i for i in range(1, len(PARTS) + 1) if counts[i] >= MIN_PART_PIXELS]
    if not known:
        return row | {"delta_e": None}
    sums = [
        np.stack([np.bincount(labels, weights=pixels[:, c], minlength=256)[known] for c in range(3)], axis=1)
        for pixels in (sample.composite[sample.hidden], sample.truth[sample.hidden])
    ]
    scored, truth = (rgb2lab(s / counts[known][:, None] / 255.0) for s in sums)
    differences = deltaE_ciede2000(scored, truth)
    row |= {f"delta_e[{PARTS[i - 1]}]": float(d) for i, d in zip(known, differences, strict=True)}
    return row | {"delta_e": float(differences.mean())}


def _blur(values: np.ndarray) -> np.ndarray:
    # BORDER_REFLECT repeats the edge pixel, like scipy's "reflect", which common SSIM implementations use.
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, _KERNEL, _KERNEL, borderType=cv2.BORDER_REFLECT))


def _channel_sum(values: np.ndarray) -> np.ndarray:
    # Several times faster than a reduction over an axis of length 3.
    return np.asarray(values[..., 0] + values[..., 1] + values[..., 2])


def _grow(box: Box, margin: int, height: int, width: int) -> Box:
    y0, y1, x0, x1 = box
    return max(0, y0 - margin), min(height, y1 + margin), max(0, x0 - margin), min(width, x1 + margin)
