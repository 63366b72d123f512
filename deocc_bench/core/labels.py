"""Label spaces of human parsing, and conversions to LIP, the space used throughout, that report what is lost.

Sources: the documentation of the datasets, collected in docs/formats.md. The conversion of CCP needs geometry and is in
`deocc_bench.synth.humans.ccp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.registry import unknown

IGNORE = 255


# LIP does not use the bit-interleaved colours, so its colours are listed here.
_LIP_COLOURS = (
    *((0, 0, 0), (128, 0, 0), (255, 0, 0), (0, 85, 0), (170, 0, 51), (255, 85, 0), (0, 0, 85), (0, 119, 221)),
    *((85, 85, 0), (0, 85, 85), (85, 51, 0), (52, 86, 128), (0, 128, 0), (0, 0, 255), (51, 170, 221)),
    *((0, 255, 255), (85, 255, 170), (170, 255, 85), (255, 255, 0), (255, 170, 0)),
)


@dataclass(frozen=True)
class LabelSpace:
    """A numbering of body parts and garments.

    Args:
        name: "LIP", "CIHP", ...
        names: one per id, background first.
        flip_pairs: pairs of ids that are swapped when the picture is mirrored.
        ignore: whether 255 is allowed and means "don't know".
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    ignore: bool = False

    @property
    def size(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The id of a class name."""
        if name not in self.names:
            raise DeoccError(unknown(f"{self.name} class", name, self.names))
        return self.names.index(name)

    def flip_table(self) -> np.ndarray:
        """uint8 (256,): id -> id in the mirrored picture. The caller also reverses the columns."""
        table = np.arange(256, dtype=np.uint8)
        for a, b in self.flip_pairs:
            table[a], table[b] = b, a
        return table

    def check(self, labels: np.ndarray, where: str | Path) -> None:
        """Check that all ids belong to this space.

        Raises:
            InputError: an id is out of range; the message names `where` and the highest bad id.
        """
        present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
        bad = [int(i) for i in present if i >= self.size and not (self.ignore and i == IGNORE)]
        if bad:
            raise InputError(
                where,
                f"label id {bad[-1]} is out of range: {self.name} has ids 0 to {self.size - 1}",
                "choose the right kind of labels, or correct the file",
            )

    def palette(self) -> bytes:
        """768 bytes RGB: the usual LIP colours for LIP and CIHP, otherwise VOC's bit-interleaved colours."""
        colours = np.zeros((256, 3), dtype=np.uint8)
        ids = np.arange(256)
        for channel in range(3):
            for bit in range(8):
                colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
        if self.names[1:3] == ("hat", "hair") and self.size == len(_LIP_COLOURS):
            colours[: self.size] = _LIP_COLOURS
        return colours.tobytes()


@dataclass(frozen=True)
class Conversion:
    """Labels in a new space, and one sentence for each class that could not be converted exactly."""

    labels: np.ndarray
    lost: tuple[str, ...]


LIP = LabelSpace(
    "LIP",
    (
        *("background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants"),
        *("jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe"),
        "right-shoe",
    ),
    flip_pairs=((14, 15), (16, 17), (18, 19)),
    ignore=True,
)
CIHP = LabelSpace(
    "CIHP",
    tuple("torso-skin" if name == "jumpsuits" else name for name in LIP.names),
    flip_pairs=LIP.flip_pairs,
    ignore=True,
)
ATR = LabelSpace(
    "ATR",
    (
        *("background", "hat", "hair", "sunglasses", "upper-clothes", "skirt", "pants", "dress", "belt", "left-shoe"),
        *("right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf"),
    ),
    flip_pairs=((9, 10), (12, 13), (14, 15)),
    ignore=True,
)
PASCAL_PERSON_PART = LabelSpace(
    "Pascal-Person-Part",
    ("background", "head", "torso", "upper-arms", "lower-arms", "upper-legs", "lower-legs"),
    ignore=True,
)
CCP = LabelSpace(
    "CCP",
    (
        *("null", "accessories", "bag", "belt", "blazer", "blouse", "bodysuit", "boots", "bra", "bracelet", "cape"),
        *("cardigan", "clogs", "coat", "dress", "earrings", "flats", "glasses", "gloves", "hair", "hat", "heels"),
        *("hoodie", "intimate", "jacket", "jeans", "jumper", "leggings", "loafers", "necklace", "panties", "pants"),
        *("pumps", "purse", "ring", "romper", "sandals", "scarf", "shirt", "shoes", "shorts", "skin", "skirt"),
        *("sneakers", "socks", "stockings", "suit", "sunglasses", "sweater", "sweatshirt", "swimwear", "t-shirt"),
        *("tie", "tights", "top", "vest", "wallet", "watch", "wedges"),
    ),
)
SPACES: Mapping[str, LabelSpace] = {s.name.lower(): s for s in (LIP, CIHP, ATR, PASCAL_PERSON_PART, CCP)}

# Coarse body parts in LIP ids, as used by `--hide` and the per-part metrics. Left and right are the person's own.
BODY_PARTS: Mapping[str, tuple[int, ...]] = {
    "head": (1, 2, 4, 13),
    "face": (13,),
    "hair": (2,),
    "torso": (5, 6, 7, 10, 11),
    "arms": (3, 14, 15),
    "left-arm": (14,),
    "right-arm": (15,),
    "hips": (9, 12),
    "legs": (8, 9, 16, 17),
    "left-leg": (16,),
    "right-leg": (17,),
    "feet": (8, 18, 19),
    "left-foot": (18,),
    "right-foot": (19,),
}

# Per space: name -> LIP name; and for each name without an exact match, a sentence that says so.
_TO_LIP: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "CIHP": (
        {n: n for n in CIHP.names if n != "torso-skin"} | {"torso-skin": "upper-clothes"},
        {"torso-skin": "CIHP 10 (torso-skin) has no class in LIP, whose 10 is jumpsuits: given as upper-clothes"},
    ),
    "ATR": (
        {n: n for n in ATR.names if n not in ("belt", "bag")} | {"belt": "upper-clothes", "bag": "background"},
        {
            "belt": "ATR 8 (belt) has no class in LIP: given as upper-clothes",
            "bag": "ATR 16 (bag) is not the person: given as background",
        },
    ),
    "Pascal-Person-Part": (
        {
            "background": "background",
            "head": "face",
            "torso": "upper-clothes",
            "upper-arms": "left-arm",
            "lower-arms": "left-arm",
            "upper-legs": "left-leg",
            "lower-legs": "left-leg",
        },
        {
            "head": "Pascal-Person-Part 1 (head) includes hair and hat: given as face",
            "torso": "Pascal-Person-Part 2 (torso) does not distinguish garments: given as upper-clothes",
            "upper-arms": "Pascal-Person-Part 3 (upper-arms) has no side: given as left-arm",
            "lower-arms": "Pascal-Person-Part 4 (lower-arms) has no side: given as left-arm",
            "upper-legs": "Pascal-Person-Part 5 (upper-legs) has no side and may be clothed: given as left-leg",
            "lower-legs": "Pascal-Person-Part 6 (lower-legs) has no side and may be clothed: given as left-leg",
        },
    ),
}


def convert(
    labels: np.ndarray, source: LabelSpace, target: LabelSpace = LIP, where: str | Path = "labels"
) -> Conversion:
    """Convert uint8 H x W `labels` from `source` to LIP.

    Returns:
        The labels, with 255 kept, and a sentence for each present class that LIP can't express.

    Raises:
        InputError: an id is not in `source`; the message names `where`.
        DeoccError: there is no conversion between the two spaces; CCP needs `deocc_bench.synth.humans.ccp`.
    """
    source.check(labels, where)
    if source is target:
        return Conversion(labels, ())
    if target is not LIP or source.name not in _TO_LIP:
        raise DeoccError(f"there is no table from {source.name} to {target.name}; give labels in LIP, CIHP or ATR ids")
    names, lost = _TO_LIP[source.name]
    table = np.zeros(256, dtype=np.uint8)
    table[IGNORE] = IGNORE
    for i, name in enumerate(source.names):
        table[i] = LIP.index(names[name])
    present = np.bincount(labels.ravel(), minlength=256) > 0
    sentences = tuple(text for name, text in lost.items() if present[source.index(name)])
    return Conversion(table[labels], sentences)


def part_mask(parsing: np.ndarray, parts: tuple[str, ...]) -> np.ndarray:
    """bool H x W: the pixels of LIP `parsing` (uint8) that belong to the named body parts.

    Raises:
        DeoccError: an unknown part.
    """
    table = np.zeros(256, dtype=bool)
    for part in parts:
        if part not in BODY_PARTS:
            raise DeoccError(unknown("body part", part, BODY_PARTS))
        table[list(BODY_PARTS[part])] = True
    return table[parsing]
