"""Blends a person and placed occluders into consistent images and masks.

The complete image shows the person in front of everything behind them. The occluded image is the complete image with
the occluders in front added. The two are therefore equal wherever the alpha of all occluders in front is 0. All masks
are the blended alphas, thresholded at one half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.types import PlacedOccluder
from deocc_bench.synth.crop import Crop
from deocc_bench.synth.placement import PlacedCutout

HARMONISE = ("none", "histogram", "reinhard")


@dataclass(frozen=True)
class Composite:
    """The pixels of a sample. Arrays may be shared with the `Crop`: treat them as read-only.

    Args:
        image: uint8 H x W x 3, RGB, with all occluders; `complete`: without the occluders in front of the person.
        amodal, modal: bool H x W.
        cover: bool H x W, union of the occluders in front.
        parsing: uint8 H x W, LIP ids, amodal; or None.
        occluders: nearest to the viewer first, each with its visible mask.
    """

    image: np.ndarray
    complete: np.ndarray
    amodal: np.ndarray
    modal: np.ndarray
    cover: np.ndarray
    parsing: np.ndarray | None
    occluders: tuple[PlacedOccluder, ...]

    @property
    def ratio(self) -> float:
        """The occlusion ratio, computed from the masks."""
        whole = int(np.count_nonzero(self.amodal))
        return (whole - int(np.count_nonzero(self.modal))) / whole


def compose(
    scene: Crop, placements: Sequence[PlacedCutout], harmonise: str = "none", amount: float = 0.6, shadow: float = 0.0
) -> Composite:
    """Blend the occluders and derive the masks.

    Args:
        scene: the person in the frame.
        placements: as returned by `placement.solve`: occluders in front, nearest first, then those behind.
        harmonise: "none", or how to match each occluder's colours to those around it: "reinhard" matches mean and
            deviation in Lab (Reinhard et al. 2001), "histogram" the cumulative histogram of each RGB channel.
        amount: 0 keeps the occluder's colours, 1 applies the full match.
        shadow: strength in [0, 1] of a soft shadow below each occluder in front that stands on the ground. Both the
            complete and the occluded image show it: the complete image lacks the object but keeps its shadow.
    """
    if harmonise not in HARMONISE:
        raise ValueError(f"harmonise must be one of {HARMONISE}, got {harmonise!r}")
    front = [p for p in placements if not p.behind]
    behind = [p for p in placements if p.behind]
    complete = scene.image
    if behind:
        complete = _behind(scene, [(p, _colours(scene, p, scene.image, harmonise, amount)) for p in behind])
    if shadow > 0 and front:
        complete = _shadowed(complete, scene, front, shadow)
    image = complete.copy() if front else complete
    for p in reversed(front):
        _blend(image, scene, p, _colours(scene, p, complete, harmonise, amount))
    seen, cover = _visible(scene, front, behind)
    modal = cv2.subtract(scene.pixels, cover)
    occluders = tuple(
        PlacedOccluder(
            p.occluder.id, p.occluder.category, i + 1, mask, p.occluder.licence, p.behind, p.occluder.group_id
        )
        for i, (p, mask) in enumerate(zip([*front, *behind], seen, strict=True))
    )
    return Composite(image, complete, scene.mask, modal > 0, cover > 0, scene.parsing, occluders)


def unchanged_share(composite: Composite) -> float:
    """The share of hidden pixels with the same colour in both images, as when black covers black."""
    hidden = np.where(composite.amodal & ~composite.modal, np.uint8(255), np.uint8(0))
    count = cv2.countNonZero(hidden)
    if count == 0:
        return 0.0
    same = cv2.inRange(cv2.absdiff(composite.image, composite.complete), (0, 0, 0), (0, 0, 0))
    return cv2.countNonZero(cv2.bitwise_and(same, hidden)) / count


def _slices(scene: Crop, p: PlacedCutout) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Slices of the frame (its photo area) covered by a patch, and of that part of the patch; None if outside."""
    left, top, right, bottom = scene.frame
    h, w = p.patch.shape[:2]
    x0, y0, x1, y1 = max(left, p.x), max(top, p.y), min(right, p.x + w), min(bottom, p.y + h)
    if x1 <= x0 or y1 <= y0:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - p.y, y1 - p.y), slice(x0 - p.x, x1 - p.x))


def _blend(canvas: np.ndarray, scene: Crop, p: PlacedCutout, patch: np.ndarray) -> None:
    """Blend a premultiplied RGBA patch over the canvas in place: canvas * (1 - alpha) + patch, in 8 bits."""
    where = _slices(scene, p)
    if where is None:
        return
    view, piece = canvas[where[0]], patch[where[1]]
    through = cv2.bitwise_not(cv2.extractChannel(piece, 3))
    under = cv2.multiply(view, cv2.merge([through, through, through]), scale=1 / 255)
    cv2.add(under, cv2.cvtColor(piece, cv2.COLOR_RGBA2RGB), dst=view)


def _behind(scene: Crop, patches: Sequence[tuple[PlacedCutout, np.ndarray]]) -> np.ndarray:
    """Add occluders behind the person: blend them over the photo, then blend the person over them."""
    scenery = scene.image.copy()
    for p, patch in reversed(patches):
        _blend(scenery, scene, p, patch)
    alpha = scene.soft
    through = cv2.bitwise_not(alpha)
    person = cv2.multiply(scene.image, cv2.merge([alpha] * 3), scale=1 / 255)
    mixed = cv2.add(person, cv2.multiply(scenery, cv2.merge([through] * 3), scale=1 / 255))
    # Pixels that no occluder touches keep their exact values.
    touched = np.zeros(scene.mask.shape, np.uint8)
    for p, _ in patches:
        where = _slices(scene, p)
        if where is not None:
            touched[where[0]] |= cv2.extractChannel(p.patch, 3)[where[1]]
    return cv2.copyTo(mixed, touched, scene.image.copy())


def _visible(
    scene: Crop, front: Sequence[PlacedCutout], behind: Sequence[PlacedCutout]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The visible mask (bool H x W) of each occluder, and the union of those in front (uint8 0 / 255)."""
    taken = np.zeros(scene.mask.shape, np.uint8)
    seen = [_claim(taken, scene, p) for p in front]
    cover = taken.copy() if behind else taken
    if behind:
        taken |= scene.pixels
        seen += [_claim(taken, scene, p) for p in behind]
    return seen, cover


def _claim(taken: np.ndarray, scene: Crop, p: PlacedCutout) -> np.ndarray:
    """Return the pixels of `p` that are not yet taken (bool H x W), and mark them in `taken`."""
    mask = np.zeros(taken.shape, np.uint8)
    where = _slices(scene, p)
    if where is not None:
        view, hard = taken[where[0]], p.hard[where[1]]
        cv2.subtract(hard, view, dst=mask[where[0]])
        cv2.bitwise_or(view, hard, dst=view)
    return mask > 0


def _shadowed(image: np.ndarray, scene: Crop, front: Sequence[PlacedCutout], strength: float) -> np.ndarray:
    """Darken a flat soft spot around the foot of each occluder that visibly stands on the ground."""
    height, width = image.shape[:2]
    dark = np.zeros((height, width), np.uint8)
    ground = scene.box[3] - (scene.box[3] - scene.box[1]) // 16
    for p in front:
        rows = np.flatnonzero(p.hard.any(axis=1))
        if rows.size == 0 or p.box[3] < ground or p.box[3] > height:
            continue  # it is held or hangs, or its foot is not visible
        foot = int(rows[-1])
        span = np.flatnonzero(p.hard[max(0, foot - p.patch.shape[0] // 5) : foot + 1].any(axis=0))
        middle = (p.x + int(span[0] + span[-1]) // 2, p.y + foot)
        half = max(2, int(span[-1] - span[0]) * 5 // 8)
        cv2.ellipse(dark, middle, (half, max(2, half // 4)), 0, 0, 360, 255, -1)
    side = 2 * max(1, max(height, width) // 48) + 1
    soft = cv2.blur(cv2.blur(dark, (side, side)), (side, side))
    light = cv2.bitwise_not(cv2.convertScaleAbs(soft, alpha=round(strength * 0.6 * 256) / 256))
    return cv2.multiply(image, cv2.merge([light] * 3), scale=1 / 255)


def _colours(scene: Crop, p: PlacedCutout, image: np.ndarray, harmonise: str, amount: float) -> np.ndarray:
    """Match the colours of the patch to those of the image around it."""
    where = _slices(scene, p)
    if harmonise == "none" or where is None:
        return p.patch
    alpha = cv2.extractChannel(p.patch, 3)
    three = cv2.merge([alpha] * 3)
    plain = cv2.divide(cv2.cvtColor(p.patch, cv2.COLOR_RGBA2RGB), three, scale=255)
    around = image[where[0]]
    if harmonise == "reinhard":
        changed = _reinhard(plain, p.hard, around, amount)
    else:
        changed = _histogram(plain, p.hard, around, amount)
    return np.dstack([cv2.multiply(changed, three, scale=1 / 255), alpha])


def _reinhard(source: np.ndarray, mask: np.ndarray, target: np.ndarray, amount: float) -> np.ndarray:
    """Match mean and deviation of each Lab channel; the deviation changes by at most a factor of 2."""
    lab = cv2.cvtColor(source, cv2.COLOR_RGB2LAB)
    mean, deviation = (v.ravel() for v in cv2.meanStdDev(lab, mask=mask))
    wanted_mean, wanted_deviation = (v.ravel() for v in cv2.meanStdDev(cv2.cvtColor(target, cv2.COLOR_RGB2LAB)))
    gain = np.clip(wanted_deviation / np.maximum(deviation, 1.0), 0.5, 2.0)
    levels = np.arange(256, dtype=np.float64)[:, None]
    matched = (levels - mean) * gain + wanted_mean
    return cv2.cvtColor(cv2.LUT(lab, _table(levels, matched, amount)), cv2.COLOR_LAB2RGB)


def _histogram(source: np.ndarray, mask: np.ndarray, target: np.ndarray, amount: float) -> np.ndarray:
    """Match the cumulative histogram of each RGB channel."""
    levels = np.arange(256, dtype=np.float64)[:, None]
    matched = np.empty((256, 3))
    inside = source[mask > 0]
    for c in range(3):
        have = np.cumsum(np.bincount(inside[:, c], minlength=256)) / max(1, len(inside))
        want = np.cumsum(np.bincount(target[..., c].ravel(), minlength=256)) / target[..., c].size
        matched[:, c] = np.interp(have, want, levels[:, 0])
    return cv2.LUT(source, _table(levels, matched, amount))


def _table(levels: np.ndarray, matched: np.ndarray, amount: float) -> np.ndarray:
    """A look-up table (uint8 256 x 1 x 3) that interpolates between the identity and the match."""
    mixed = np.rint(levels + (matched - levels) * amount)
    return np.clip(mixed, 0, 255).astype(np.uint8)[:, None, :]
