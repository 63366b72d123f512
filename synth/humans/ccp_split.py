"""CCP labels -> LIP labels. CCP has a single `skin` class and no left and right.

Skin is divided into body parts, and left and right are assigned, from the geometry of a standing person.

The rules and their constants were tuned on about a thousand labelled street photos (docs/formats.md, "CCP to LIP").
Left and right are from the person's own view and are doubtful in about one photo in five, so converted labels are not
ground truth. All work is done inside the person's box on component statistics: a 550 x 830 photo takes a few ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.labels import LIP

_GARMENTS: Mapping[str, tuple[str, ...]] = {
    "hat": ("hat",),
    "hair": ("hair",),
    "glove": ("gloves",),
    "sunglasses": ("sunglasses", "glasses"),
    "upper-clothes": (
        *("blouse", "bra", "shirt", "sweater", "sweatshirt", "t-shirt", "top", "vest", "jumper", "hoodie"),
        *("intimate", "tie"),
    ),
    "dress": ("dress",),
    "coat": ("coat", "jacket", "blazer", "cape", "suit", "cardigan"),
    "socks": ("socks", "stockings", "tights"),
    "pants": ("pants", "jeans", "shorts", "leggings", "panties"),
    "jumpsuits": ("romper", "bodysuit", "swimwear"),
    "scarf": ("scarf",),
    "skirt": ("skirt",),
}
_SHOE_NAMES = ("boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "wedges")
_SMALL_NAMES = ("accessories", "belt", "bracelet", "earrings", "necklace", "ring", "watch")
BAG_NAMES = ("bag", "purse", "wallet")

# Codes for labels whose LIP id depends on geometry.
_SKIN, _SHOES, _SMALL = 40, 41, 42

_HAT, _HAIR, _SUNGLASSES, _SOCKS = (LIP.index(n) for n in ("hat", "hair", "sunglasses", "socks"))
_UPPER, _PANTS, _FACE = (LIP.index(n) for n in ("upper-clothes", "pants", "face"))
_ARMS = (LIP.index("left-arm"), LIP.index("right-arm"))
_LEGS = (LIP.index("left-leg"), LIP.index("right-leg"))
_FEET = (LIP.index("left-shoe"), LIP.index("right-shoe"))

# The smaller of two shoe parts must have this share of the larger one's area; otherwise it is a heel or a toe.
_SECOND_SHOE = 0.15
# A blob this narrow (share of the person's height) and this far to one side is one shoe; the other shoe is hidden.
_ONE_SHOE_WIDTH, _ONE_SHOE_SHARE = 0.13, 0.9

# A face below this share of the area of hair and hat is a sliver beside the nape: the person is seen from behind.
_FRONT_SHARE = 0.03

# Fractions of the person's height, from the top.
_HEAD_BAND, _FOOT_BAND = 0.30, 0.60
_FACE_BEGINS, _FACE_ENDS = 0.16, 0.24
_LEG_MEAN, _LEG_REACH, _LEG_FLOOR, _LEG_BEGINS = 0.60, 0.72, 0.66, 0.54
# Skin this close to the axis that ends above this line belongs to the neck and neckline, not to an arm.
_NECK_WIDTH, _NECK_ENDS = 0.05, 0.34
# Below the chin line, skin this far from the middle of the face is a shoulder or a hand, even if it touches the face.
_CHIN, _FACE_WIDTH = 0.13, 0.075
# Above the chin line, skin further away is a raised hand.
_HAND_DISTANCE = 0.11
# A part with more than this share on one side of the axis is assigned to that side as a whole.
_ARM_SHARE, _LEG_SHARE = 0.88, 0.75


def lookup_table(names: Sequence[str]) -> np.ndarray:
    """uint8 (256,): CCP id -> LIP id, or a code for labels that need geometry; 0 for background and bags.

    Raises:
        KeyError: a name is not in CCP.
    """
    codes = {"null": 0} | dict.fromkeys(BAG_NAMES, 0)
    for target, sources in _GARMENTS.items():
        codes |= dict.fromkeys(sources, LIP.index(target))
    codes |= dict.fromkeys(_SHOE_NAMES, _SHOES) | dict.fromkeys(_SMALL_NAMES, _SMALL) | {"skin": _SKIN}
    table = np.zeros(256, dtype=np.uint8)
    for i, name in enumerate(names):
        table[i] = codes[name]
    return table


def to_lip(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Convert CCP labels to LIP ids (uint8 H x W), non-zero exactly where `table[labels]` is: the person without bags.

    Args:
        labels: uint8 H x W, CCP ids.
        table: from `lookup_table`.
    """
    # MATLAB stores columns first: look up on the contiguous layout, then transpose.
    codes = cv2.transpose(cv2.LUT(labels.T, table)) if labels.flags.f_contiguous else cv2.LUT(labels, table)
    x, y, w, h = cv2.boundingRect(codes)
    if w == 0:
        return codes
    person = codes[y : y + h, x : x + w]
    _settle_small_items(person)
    axis = _body_axis(person)
    viewers_left_is_right = _split_skin(person, axis)
    _split_shoes(person, axis, viewers_left_is_right)
    return codes


@dataclass(frozen=True)
class _Components:
    """Connected components of a mask: statistics in the mask's coordinates (row 0 is the background), and the pixels.

    Args:
        stats: int32 (count, 5): left, top, width, height, area.
        centres: float64 (count, 2): x, y.
        labels: int32, component labels in the mask's bounding box, whose corner is `corner` (x, y).
        ys, xs, part: (n,) coordinates and component of each pixel.
    """

    count: int
    stats: np.ndarray
    centres: np.ndarray
    labels: np.ndarray
    corner: tuple[int, int]
    ys: np.ndarray
    xs: np.ndarray
    part: np.ndarray

    def pixels_of(self, i: int) -> np.ndarray:
        """Mask of part `i` in its own box, bool."""
        x, y, w, h, _ = (int(v) for v in self.stats[i])
        x, y = x - self.corner[0], y - self.corner[1]
        return self.labels[y : y + h, x : x + w] == i


def _components(mask: np.ndarray) -> _Components:
    # Crop to the bounding box first: the cost of labelling grows with the area.
    x, y, w, h = cv2.boundingRect(mask)
    box = mask[y : y + h, x : x + w] if w else mask[:1, :1]
    count, labels, stats, centres = cv2.connectedComponentsWithStats(box, connectivity=8, ltype=cv2.CV_32S)
    stats[:, cv2.CC_STAT_LEFT] += x
    stats[:, cv2.CC_STAT_TOP] += y
    flat = np.flatnonzero(box)
    ys, xs = np.divmod(flat.astype(np.int32), np.int32(box.shape[1]))
    return _Components(count, stats, centres + np.array([x, y]), labels, (x, y), ys + y, xs + x, labels.ravel()[flat])


def _settle_small_items(codes: np.ndarray) -> None:
    """Give each small item (belt, watch, ...) the label that surrounds it most."""
    found = _components(cv2.compare(codes, _SMALL, cv2.CMP_EQ))
    for i in range(1, found.count):
        x, y, w, h, _ = (int(v) for v in found.stats[i])
        inside = found.pixels_of(i)
        for reach in (2, 8, 32, max(codes.shape)):
            top, left = max(0, y - reach), max(0, x - reach)
            window = codes[top : y + h + reach, left : x + w + reach]
            part = np.zeros(window.shape, np.uint8)
            part[y - top : y - top + h, x - left : x - left + w] = inside
            around = cv2.dilate(part, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
            votes = np.bincount(window[around > part], minlength=_SMALL + 1)
            votes[[0, _SMALL]] = 0
            if votes.any():
                window[part > 0] = np.argmax(votes)
                break
        else:
            # The person consists of small items only.
            codes[y : y + h, x : x + w][inside] = _UPPER


def _body_axis(codes: np.ndarray) -> np.ndarray:
    """x of the body's middle line per row, from the head's median to that of the lowest 40 % (float64 (h,))."""
    h = codes.shape[0]
    band = max(1, round(_HEAD_BAND * h))
    head = _head(codes[:band])
    if not head.any():
        head = (codes[: max(1, round(_FACE_BEGINS * h))] > 0).astype(np.uint8)
    low = round(_FOOT_BAND * h)
    feet = (codes[low:] > 0).astype(np.uint8)
    top_x, top_y = _median_xy(head)
    low_x, low_y = _median_xy(feet)
    rows = np.arange(h)
    return np.interp(rows, [top_y, max(low_y + low, top_y + 1)], [top_x, low_x])


def _median_xy(mask: np.ndarray) -> tuple[float, float]:
    """Median column and row of the pixels of a non-empty 0 / 1 mask."""
    medians = []
    for axis in (0, 1):
        mass = np.cumsum(cv2.reduce(mask, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel())
        medians.append(float(np.searchsorted(mass, mass[-1] / 2)))
    return medians[0], medians[1]


def _head(codes: np.ndarray) -> np.ndarray:
    table = np.zeros(256, dtype=np.uint8)
    table[[_HAT, _HAIR, _SUNGLASSES]] = 1
    return cv2.LUT(codes, table)


def _split_skin(codes: np.ndarray, axis: np.ndarray) -> bool:
    """Divide skin into face, arms and legs; return whether the viewer's left is the person's right."""
    h = codes.shape[0]
    skin = cv2.compare(codes, _SKIN, cv2.CMP_EQ)
    face = _face(codes, skin)
    # Skin below the face and connected to it (neckline, shoulders, bare arms) is treated as separate parts.
    skin[: face.shape[0]][face > 0] = 0
    rest = _components(skin)
    begins = rest.stats[:, cv2.CC_STAT_TOP]
    ends = begins + rest.stats[:, cv2.CC_STAT_HEIGHT]
    middle_y = rest.centres[:, 1]
    off_axis = np.abs(rest.centres[:, 0] - np.interp(middle_y, np.arange(h), axis))
    is_neck = (ends < _NECK_ENDS * h) & (off_axis < _NECK_WIDTH * h)
    is_leg = (
        (middle_y > _LEG_MEAN * h)
        | (ends > _LEG_REACH * h)
        | ((begins > _LEG_BEGINS * h) & (ends > _LEG_FLOOR * h))
        | (_near(_footwear(codes), 4, rest) & (ends > _LEG_FLOOR * h))
    )

    on_left = rest.xs < axis[rest.ys]
    total = np.bincount(rest.part, minlength=rest.count)
    left = np.bincount(rest.part[on_left], minlength=rest.count)
    front = int(np.count_nonzero(face)) > _FRONT_SHARE * int(np.count_nonzero(_head(codes)))
    target = np.zeros((rest.count, 2), dtype=np.uint8)
    for i in range(1, rest.count):
        if is_neck[i]:
            target[i] = _FACE
            continue
        ids, share = (_LEGS, _LEG_SHARE) if is_leg[i] else (_ARMS, _ARM_SHARE)
        viewers_left, viewers_right = ids[::-1] if front else ids
        if left[i] > share * total[i]:
            target[i] = viewers_left
        elif total[i] - left[i] > share * total[i]:
            target[i] = viewers_right
        else:
            target[i] = viewers_right, viewers_left
    codes[: face.shape[0]][face > 0] = _FACE
    codes[rest.ys, rest.xs] = target[rest.part, on_left.astype(np.uint8)]
    return front


def _face(codes: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """bool (top of the person) x w: skin of parts that begin high and touch the head, without shoulders and hands."""
    h = codes.shape[0]
    low = max(1, round(_FACE_ENDS * h))
    head = _head(codes[:low])
    top = _components(skin[:low])
    chosen = top.stats[:, cv2.CC_STAT_TOP] < _FACE_BEGINS * h
    if head.any():
        chosen &= _near(head, 2, top)
    face = np.zeros((low, codes.shape[1]), dtype=bool)
    keep = chosen[top.part]
    ys, xs = top.ys[keep], top.xs[keep]
    if ys.size:
        high = ys < _CHIN * h
        middle = float(np.median(xs[high] if high.any() else xs))
        if head.any():
            # A hand in the hair is a separate part and may be larger: the face is the part nearer the head's middle.
            large = chosen & (top.stats[:, cv2.CC_STAT_AREA] > 0.1 * np.bincount(top.part[keep]).max())
            centres = np.where(large, top.centres[:, 0], np.inf)
            face_part = int(np.argmin(np.abs(centres - _median_xy(head)[0])))
            own = high & (top.part[keep] == face_part)
            middle = float(np.median(xs[own])) if own.any() else middle
        keep = np.abs(xs - middle) < np.where(high, _HAND_DISTANCE, _FACE_WIDTH) * h
        face[ys[keep], xs[keep]] = True
    return face


def _footwear(codes: np.ndarray) -> np.ndarray:
    table = np.zeros(256, dtype=np.uint8)
    table[[_SHOES, _SOCKS]] = 1
    return cv2.LUT(codes, table)


def _near(mask: np.ndarray, reach: int, parts: _Components) -> np.ndarray:
    """bool (count,): which parts come within `reach` px of the 0 / 1 mask."""
    grown = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return np.bincount(parts.part[grown[parts.ys, parts.xs] > 0], minlength=parts.count) > 0


def _split_shoes(codes: np.ndarray, axis: np.ndarray, viewers_left_is_right: bool) -> None:
    """Assign sides to the two largest shoe parts by x and other parts to the nearer one; cut a single blob in two.

    A single blob is cut at its emptiest column.
    """
    shoes = _components(cv2.compare(codes, _SHOES, cv2.CMP_EQ))
    if shoes.count == 1:
        return
    left_id, right_id = _FEET[::-1] if viewers_left_is_right else _FEET
    area = shoes.stats[:, cv2.CC_STAT_AREA]
    order = 1 + np.argsort(-area[1:], kind="stable")
    first = int(order[0])
    if shoes.count > 2 and area[order[1]] >= _SECOND_SHOE * area[first]:
        pair = sorted(order[:2], key=lambda i: float(shoes.centres[i, 0]))
        target = np.where(shoes.centres[:, 0] < shoes.centres[pair, 0].mean(), left_id, right_id).astype(np.uint8)
        codes[shoes.ys, shoes.xs] = target[shoes.part]
        return
    inside = shoes.part == first
    ys, xs = shoes.ys[inside], shoes.xs[inside]
    on_left = float(np.mean(xs < axis[ys]))
    width = int(shoes.stats[first, cv2.CC_STAT_WIDTH])
    if max(on_left, 1 - on_left) > _ONE_SHOE_SHARE and width < _ONE_SHOE_WIDTH * codes.shape[0]:
        codes[shoes.ys, shoes.xs] = left_id if on_left > 0.5 else right_id
        return
    split = _emptiest_column(xs)
    codes[shoes.ys, shoes.xs] = np.where(shoes.xs < split, left_id, right_id)


def _emptiest_column(xs: np.ndarray) -> int:
    """The column with the fewest pixels between two fuller columns of a blob; the median column if there is no dip."""
    x0 = int(xs.min())
    mass = np.bincount(xs - x0)
    fuller = np.minimum(np.maximum.accumulate(mass), np.maximum.accumulate(mass[::-1])[::-1])
    dip = fuller - mass
    deepest = int(np.argmax(dip))
    return x0 + deepest if dip[deepest] > 0.1 * mass.max() else int(np.median(xs))


def pants_beyond_shoes(codes: np.ndarray) -> float:
    """How far the pants reach sideways beyond the shoes in the lowest quarter, as a share of the person's height.

    A large value suggests that a shadow was labelled as pants. The result is 0 if there are no shoes.

    Args:
        codes: uint8 h x w, `table[labels]` in the person's box.
    """
    h = codes.shape[0]
    low = codes[round(0.75 * h) :]
    pants = np.flatnonzero((low == _PANTS).any(axis=0))
    shoes = np.flatnonzero((low == _SHOES).any(axis=0))
    if pants.size == 0 or shoes.size == 0:
        return 0.0
    return max(0, int(shoes[0] - pants[0]), int(pants[-1] - shoes[-1])) / h
