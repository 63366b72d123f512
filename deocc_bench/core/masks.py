"""Binary masks and their run-length encoding (RLE). The only module that calls pycocotools' mask API.

In memory a mask is bool H x W; on disk it is COCO's compressed RLE, `{"size": [h, w], "counts": str}`, column-major.
Areas, boxes, unions and IoU are computed on the runs, without decoding.

pycocotools checks nothing: a wrong run reads and writes beyond the mask. So every function here checks an RLE that it
did not make itself, and every polygon, before the C code sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as _coco

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.outlines import bounded, polygons_of
from deocc_bench.core.pixels import max_pixels

RLE = dict[str, Any]

_LONGEST_RUN = 7  # characters per run in COCO's text: 35 bits, more than the number of pixels of any picture


# Texts that were made or checked here, with the size of their mask, so that each is checked once. The dictionary is
# emptied when it is full.
_known: dict[str, list[int]] = {}
_MOST_KNOWN = 2048


def encode(mask: np.ndarray) -> RLE:
    """Encode a bool (or 0/1 uint8) H x W mask as RLE; `counts` is text, ready for JSON."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is H x W, got shape {mask.shape}")
    # COCO expects column-major order. A transpose in OpenCV is several times faster than numpy's strided copy.
    rle = _coco.encode(cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).T)
    return _text(rle)


def checked(rle: RLE) -> RLE:
    """Return an RLE from a file after checking it.

    Raises:
        DeoccError: it is not an RLE, its size is impossible or too large, or its runs don't fill the mask.
    """
    size = rle.get("size") if isinstance(rle, dict) else None
    counts = rle.get("counts") if size else None
    if size and type(counts) is str and _known.get(counts) == size and type(size[0]) is type(size[1]) is int:
        return rle
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(type(v) is int for v in size):
        raise DeoccError('an RLE must be {"size": [height, width], "counts": ...}')
    height, width = size
    if height < 1 or width < 1 or height * width > max_pixels():
        raise DeoccError(f"an RLE of an impossible size, {height} x {width}")
    if _run_total(counts) != height * width:
        raise DeoccError(f"an RLE whose runs don't fill its {height} x {width} mask")
    if isinstance(counts, str):
        _remember(counts, [height, width])
    return rle


def decode(rle: RLE) -> np.ndarray:
    """Decode an RLE (compressed, or COCO's uncompressed list of counts) to a bool H x W mask.

    Raises:
        DeoccError: the runs don't fill the mask.
    """
    return np.ascontiguousarray(_coco.decode(_native(rle))).astype(bool)


def area(rle: RLE) -> int:
    """Number of pixels."""
    return int(_coco.area(_native(rle)))


def bbox(rle: RLE) -> list[float]:
    """Tight box [x, y, width, height] in COCO's order; zeros for an empty mask."""
    return [float(v) for v in _coco.toBbox(_native(rle))]


def union(rles: Sequence[RLE]) -> RLE:
    """The union of one or more masks of equal size."""
    return _merge(rles, intersect=False)


def intersection(rles: Sequence[RLE]) -> RLE:
    """The intersection of one or more masks of equal size."""
    return _merge(rles, intersect=True)


def iou(a: RLE, b: RLE) -> float | None:
    """Intersection over union, computed on the runs; None if both masks are empty.

    Raises:
        DeoccError: the sizes differ (pycocotools itself would return -1).
    """
    _same_size((a, b))
    both = [_native(a), _native(b)]
    total = int(_coco.area(both).sum())
    if total == 0:
        return None
    common = int(_coco.area(_coco.merge(both, intersect=True)))
    return common / (total - common)


def mask_iou(a: np.ndarray, b: np.ndarray) -> float | None:
    """`iou` of two bool masks."""
    if a.shape != b.shape:
        raise DeoccError(f"can't compare masks of different sizes, got {a.shape} and {b.shape}")
    total = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / total if total else None


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> RLE:
    """The union of flat polygons [x, y, x, y, ...], rasterised as COCO does.

    Outlines that reach far beyond the image are clipped first: the C code would overflow.

    Raises:
        DeoccError: a polygon is not a list of three or more finite points, or has far too many.
    """
    outlines = bounded(polygons, height, width)
    if not outlines:
        return encode(np.zeros((height, width), bool))
    return _text(_coco.merge(_coco.frPyObjects(outlines, height, width)))


def from_coco(segmentation: Any, height: int, width: int) -> RLE:
    """The RLE of any COCO `segmentation`: polygons, one flat polygon, compressed or uncompressed RLE.

    Polygons of fewer than three points are ignored, as long as there is another one.

    Raises:
        DeoccError: another type of segmentation, broken polygons or runs, or a size that differs from the image's.
    """
    if isinstance(segmentation, dict):
        rle = checked(segmentation)
        if list(rle["size"]) != [height, width]:
            raise DeoccError(f"an RLE of size {rle['size']} in an image of {[height, width]}")
        return _text(_native(rle))
    if isinstance(segmentation, list):
        polygons = polygons_of(segmentation)
        if polygons:
            return from_polygons(polygons, height, width)
    raise DeoccError("a segmentation is a list of polygons (three points or more) or an RLE")


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1), end exclusive, of a bool H x W mask; None for an empty one."""
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return (x, y, x + w, y + h) if w and h else None


def _merge(rles: Sequence[RLE], intersect: bool) -> RLE:
    _same_size(rles)
    rle = _coco.merge([_native(r) for r in rles], intersect=intersect)
    return _text(rle)


def _text(rle: RLE) -> RLE:
    """pycocotools' RLE with its counts as text."""
    height, width = (int(v) for v in rle["size"])
    counts = rle["counts"].decode()
    _remember(counts, [height, width])
    return {"size": [height, width], "counts": counts}


def _remember(counts: str, size: list[int]) -> None:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[counts] = size


def _run_total(counts: Any) -> int:
    """The sum of an RLE's runs, or -1 if `counts` is not valid.

    COCO's text packs 5 bits into a character; from the third run on it stores the difference to the run two before.
    """
    if isinstance(counts, list):
        return sum(counts) if all(type(c) is int and c >= 0 for c in counts) else -1
    if not isinstance(counts, str | bytes):
        return -1
    codes = (
        np.frombuffer(counts.encode("utf-8", "replace") if isinstance(counts, str) else counts, np.uint8).astype(
            np.int64
        )
        - 48
    )
    if codes.size == 0:
        return 0
    ends = np.flatnonzero((codes & 32) == 0)
    if codes.min() < 0 or codes.max() > 63 or ends.size == 0 or ends[-1] != codes.size - 1:
        return -1
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_RUN:
        return -1
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return int(runs.sum()) if runs.min() >= 0 else -1


def _same_size(rles: Sequence[RLE]) -> None:
    sizes = {tuple(checked(r)["size"]) for r in rles}
    if len(sizes) != 1:
        raise DeoccError(f"can't combine masks of different sizes, got {sorted(sizes)}")


def _native(rle: RLE) -> RLE:
    rle = checked(rle)
    counts = rle["counts"]
    if isinstance(counts, list):
        return dict(_coco.frPyObjects(dict(rle), *rle["size"]))
    return {"size": rle["size"], "counts": counts.encode() if isinstance(counts, str) else counts}
