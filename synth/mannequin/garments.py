"""The appearance of a mannequin: skin, hair, and a random outfit from a small wardrobe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deocc_bench.synth.mannequin.body import Build
from deocc_bench.synth.mannequin.chance import pick
from deocc_bench.synth.mannequin.paint import Colour, Material, mix, tone

SKINS: tuple[Colour, ...] = (
    (255, 224, 200), (246, 208, 178), (238, 192, 156), (226, 176, 138), (210, 156, 116),
    (190, 134, 96), (164, 110, 76), (138, 90, 60), (112, 72, 48), (86, 56, 40),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (34, 28, 28), (52, 38, 32), (74, 50, 36), (104, 70, 44), (142, 98, 58), (184, 140, 82), (216, 182, 122),
    (150, 70, 40), (120, 52, 36), (150, 148, 146), (204, 202, 200), (96, 94, 96), (180, 90, 120), (70, 90, 140),
)  # fmt: skip
CLOTHS: tuple[Colour, ...] = (
    (236, 232, 224), (248, 246, 240), (200, 200, 204), (130, 134, 140), (70, 74, 82), (40, 42, 50), (28, 40, 74),
    (44, 72, 122), (74, 116, 170), (128, 168, 206), (176, 206, 226), (30, 92, 96), (58, 140, 136), (132, 188, 168),
    (44, 84, 58), (86, 124, 70), (140, 156, 96), (196, 196, 120), (238, 212, 130), (228, 174, 62), (222, 134, 58),
    (204, 92, 56), (182, 52, 48), (132, 34, 44), (206, 84, 102), (232, 146, 152), (240, 196, 190), (148, 92, 140),
    (96, 66, 118), (184, 160, 204), (122, 84, 60), (168, 126, 88), (206, 176, 136), (90, 78, 66), (60, 48, 44),
)  # fmt: skip
DENIMS: tuple[Colour, ...] = ((40, 58, 92), (62, 86, 126), (96, 124, 160), (142, 164, 188), (36, 40, 52), (52, 56, 66))
TROUSERS: tuple[Colour, ...] = (
    (44, 46, 54), (66, 68, 74), (110, 104, 96), (176, 152, 116), (200, 186, 160), (84, 84, 60), (96, 60, 48),
    (120, 122, 128), (150, 60, 56), (60, 88, 84),
)  # fmt: skip
LEATHERS: tuple[Colour, ...] = (
    (44, 38, 38),
    (70, 48, 38),
    (110, 72, 46),
    (150, 104, 66),
    (120, 40, 40),
    (190, 186, 180),
)

HAIR_STYLES = {
    "bald": 0.05, "buzz": 0.10, "short": 0.16, "side-part": 0.12, "quiff": 0.08, "curly": 0.08, "afro": 0.05,
    "bob": 0.10, "long": 0.14, "wavy": 0.09, "ponytail": 0.10, "bun": 0.08, "braids": 0.06, "pigtails": 0.05,
    "mohawk": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class Top:
    """Upper garment.

    `hem`: torso height where it ends; `sleeve`: 0 none .. 2 wrist; `neck`: crew, vee, turtle, collar or scoop.
    """

    cloth: Material
    hem: float
    sleeve: float
    ease: float
    neck: str
    tucked: bool
    detail: str
    accent: Colour


@dataclass(frozen=True)
class Bottom:
    """Trousers (`reach` 0.35 shorts .. 1.95) or, with `flare` >= 0 and `skirt`, a skirt; `reach` along the leg."""

    cloth: Material
    skirt: bool
    reach: float
    ease: float
    flare: float
    belt: Colour | None


@dataclass(frozen=True)
class Coat:
    cloth: Material
    reach: float
    """-1: the coat ends at the hips; otherwise its position along the legs."""
    ease: float
    gap: float
    """Half angle of the opening in degrees; 0 if closed."""
    lapel: bool
    hood: bool
    lining: Colour


@dataclass(frozen=True)
class Hat:
    kind: str
    cloth: Material
    accent: Colour


@dataclass(frozen=True)
class Outfit:
    """Skin, hair and clothes. `one_piece` is "" or "dress", "jumpsuit", "dungarees" (top and bottom of one cloth)."""

    skin: Colour
    hair: Material
    style: str
    fringe: bool
    beard: str
    lips: Colour
    smile: float
    iris: Colour
    top: Top
    bottom: Bottom
    one_piece: str
    coat: Coat | None
    hat: Hat | None
    scarf: Material | None
    scarf_tail: float
    eyewear: str
    gloves: Material | None
    shoe: str
    shoe_cloth: Material
    sole: Colour
    socks: Material | None
    sock_top: float
    """Where the socks begin along the leg, 0 hip (tights) .. 2 ankle."""


def cloth(rng: np.random.Generator, base: Colour | None = None, fancy: float = 0.5, fine: float = 1.0) -> Material:
    """A fabric: plain, or with probability `fancy` patterned; `fine` scales the pattern."""
    base = base or pick(rng, CLOTHS)
    wrinkle = float(rng.uniform(0.10, 0.24))
    if rng.random() >= fancy:
        return Material((base,), wrinkle=wrinkle)
    kind = pick(
        rng,
        {
            "stripes": 0.24,
            "pinstripes": 0.14,
            "checks": 0.10,
            "dots": 0.14,
            "plaid": 0.16,
            "gradient": 0.06,
            "floral": 0.12,
            "marl": 0.10,
        },
    )
    other = pick(rng, CLOTHS)
    if sum(abs(a - b) for a, b in zip(base, other, strict=True)) < 90:
        other = (246, 242, 234) if sum(base) < 400 else tone(base, 0.45)
    along = bool(rng.random() < 0.75)
    if kind == "plaid":
        colours: tuple[Colour, ...] = (other, mix(base, other, 0.5), base, tone(mix(base, other, 0.8), 1.2))
        return Material(colours, kind, float(rng.uniform(0.28, 0.5)) * fine, wrinkle)
    if kind == "gradient":
        return Material(tuple(mix(base, other, i / 7) for i in range(8)), kind, 0.32, wrinkle)
    if kind == "floral":
        return Material(
            (base, other, pick(rng, CLOTHS), mix(other, (255, 255, 255), 0.5)),
            kind,
            float(rng.uniform(0.22, 0.34)) * fine,
            wrinkle,
        )
    if kind == "marl":
        return Material((base, tone(base, 1.08), tone(base, 0.92)), kind, 0.2, wrinkle)
    spans = {"stripes": (0.12, 0.3), "pinstripes": (0.12, 0.22), "checks": (0.12, 0.24), "dots": (0.16, 0.3)}
    return Material((base, other), kind, float(rng.uniform(*spans[kind])) * fine, wrinkle, along)


def denim(rng: np.random.Generator) -> Material:
    base = pick(rng, DENIMS)
    return Material((base, tone(base, 1.1), tone(base, 0.92)), "marl", 0.16, float(rng.uniform(0.2, 0.36)))


def sample_outfit(rng: np.random.Generator, build: Build) -> Outfit:
    """Sample an outfit for a body."""
    child = build.kind == "child"
    plan = pick(
        rng,
        {"trousers": 0.40, "shorts": 0.10, "skirt": 0.15, "dress": 0.16, "jumpsuit": 0.09, "dungarees": 0.10}
        if build.kind != "broad"
        else {"trousers": 0.66, "shorts": 0.16, "skirt": 0.02, "dress": 0.02, "jumpsuit": 0.08, "dungarees": 0.06},
    )
    top = _top(rng, plan)
    bottom = _bottom(rng, plan, top, child)
    if plan in ("dress", "jumpsuit"):
        bottom = _with_cloth(bottom, top.cloth)
    coat = _coat(rng) if rng.random() < 0.27 else None
    style = pick(rng, HAIR_STYLES)
    if (
        build.kind == "broad"
        and style in ("bob", "long", "wavy", "ponytail", "bun", "braids", "pigtails")
        and rng.random() < 0.7
    ):
        style = pick(rng, ("short", "side-part", "quiff", "buzz", "curly"))
    if build.kind != "broad" and style in ("bald", "buzz", "mohawk") and rng.random() < 0.8:
        style = pick(rng, ("bob", "long", "ponytail", "bun", "short"))
    hair = pick(rng, HAIRS[:9] if child or rng.random() < 0.6 else HAIRS)
    skin = pick(rng, SKINS)
    if sum(skin) < 420:
        hair = pick(rng, HAIRS[:4])
    bare_legs = bottom.reach < 1.6
    socks, sock_top = _socks(rng, bottom)
    shoe = pick(
        rng,
        {"sneaker": 0.44, "boot": 0.22, "flat": 0.16, "oxford": 0.18}
        if not bare_legs
        else {"sneaker": 0.44, "boot": 0.22, "flat": 0.34},
    )
    leather = pick(rng, LEATHERS) if shoe != "sneaker" else pick(rng, CLOTHS)
    return Outfit(
        skin=skin,
        hair=Material((hair, tone(hair, 1.18), tone(hair, 0.86)), "strands", 0.16),
        style=style,
        fringe=bool(rng.random() < 0.4),
        beard=pick(rng, {"": 0.55, "full": 0.2, "stubble": 0.15, "moustache": 0.1}) if build.kind == "broad" else "",
        lips=mix(skin, pick(rng, ((176, 62, 66), (150, 70, 60), (190, 80, 96))), float(rng.uniform(0.4, 0.75))),
        smile=float(rng.uniform(-0.2, 1.4)),
        iris=pick(rng, ((52, 36, 28), (70, 48, 32), (60, 90, 110), (64, 92, 66))),
        top=top,
        bottom=bottom,
        one_piece=plan if plan in ("dress", "jumpsuit", "dungarees") else "",
        coat=coat,
        hat=_hat(rng) if rng.random() < 0.25 else None,
        scarf=cloth(rng, fancy=0.6, fine=0.7) if rng.random() < 0.17 else None,
        scarf_tail=float(rng.uniform(0.5, 1.5)),
        eyewear=pick(rng, {"": 0.76, "sun": 0.16, "glasses": 0.08}),
        gloves=Material((pick(rng, CLOTHS),)) if rng.random() < 0.15 else None,
        shoe=shoe,
        shoe_cloth=Material((leather, tone(leather, 0.8))),
        sole=pick(rng, ((244, 242, 236), (230, 226, 216), (60, 56, 54))) if shoe == "sneaker" else tone(leather, 0.45),
        socks=socks,
        sock_top=sock_top,
    )


def _top(rng: np.random.Generator, plan: str) -> Top:
    sleeve = float(pick(rng, {0.0: 0.12, 0.34: 0.12, 0.62: 0.26, 0.95: 0.06, 1.4: 0.08, 1.93: 0.36}))
    fabric = cloth(rng, fancy=0.55)
    return Top(
        cloth=fabric,
        hem=float(rng.uniform(-0.10, 0.14)),
        sleeve=sleeve,
        ease=float(rng.uniform(0.025, 0.11)),
        neck=pick(
            rng, {"crew": 0.34, "vee": 0.22, "scoop": 0.16, "collar": 0.2, "turtle": 0.08 if sleeve > 1 else 0.0}
        ),
        tucked=bool(rng.random() < 0.4) or plan == "skirt",
        detail=pick(rng, {"": 0.45, "buttons": 0.2, "logo": 0.15, "pocket": 0.1, "zip": 0.1}),
        accent=pick(rng, CLOTHS),
    )


def _bottom(rng: np.random.Generator, plan: str, top: Top, child: bool) -> Bottom:
    skirt = plan in ("skirt", "dress")
    if skirt:
        reach = float(pick(rng, {0.55: 0.2, 0.85: 0.4, 1.2: 0.22, 1.62: 0.18})) + float(rng.uniform(-0.06, 0.06))
        flare = float(rng.uniform(0.02, 0.42))
        fabric = cloth(rng, fancy=0.5)
    elif plan == "shorts":
        reach, flare, fabric = float(rng.uniform(0.42, 0.82)), float(rng.uniform(0.02, 0.08)), cloth(rng, fancy=0.3)
    else:
        reach = float(pick(rng, {1.93: 0.8, 1.55: 0.12, 0.6: 0.08 if plan != "trousers" else 0.0}))
        flare = float(pick(rng, {0.0: 0.5, 0.05: 0.3, 0.13: 0.2}))
        fabric = denim(rng) if rng.random() < 0.45 else cloth(rng, pick(rng, TROUSERS), fancy=0.12)
    if plan == "dungarees":
        fabric = denim(rng) if rng.random() < 0.6 else cloth(rng, fancy=0.1)
    belt = pick(rng, LEATHERS) if rng.random() < 0.4 else None
    ease = float(rng.uniform(0.02, 0.06)) if flare < 0.03 else float(rng.uniform(0.04, 0.10))
    return Bottom(fabric, skirt, reach, ease, flare, belt)


def _with_cloth(bottom: Bottom, fabric: Material) -> Bottom:
    return Bottom(fabric, bottom.skirt, bottom.reach, bottom.ease, bottom.flare, bottom.belt)


def _coat(rng: np.random.Generator) -> Coat:
    fabric = cloth(rng, fancy=0.22, fine=1.4)
    gap = 0.0 if rng.random() < 0.3 else float(rng.uniform(16, 38))
    reach = float(pick(rng, {-1.0: 0.4, 0.35: 0.2, 0.75: 0.25, 1.15: 0.15}))
    lining = tone(fabric.colours[0], 0.5)
    return Coat(
        fabric, reach, float(rng.uniform(0.09, 0.16)), gap, bool(rng.random() < 0.6), bool(rng.random() < 0.2), lining
    )


def _hat(rng: np.random.Generator) -> Hat:
    base = pick(rng, CLOTHS)
    kind = pick(rng, {"cap": 0.34, "beanie": 0.3, "brim": 0.24, "beret": 0.12})
    fabric = Material((base,), wrinkle=0.06)
    if kind == "beanie" and rng.random() < 0.5:
        fabric = Material((base, pick(rng, CLOTHS)), "stripes", 0.16)
    return Hat(kind, fabric, pick(rng, CLOTHS))


def _socks(rng: np.random.Generator, bottom: Bottom) -> tuple[Material | None, float]:
    if bottom.skirt and rng.random() < 0.25:
        return Material((pick(rng, ((40, 38, 44), (70, 60, 66), (120, 90, 84), (52, 40, 70))),)), 0.0
    if rng.random() < 0.3:
        return None, 2.0
    base = pick(rng, CLOTHS)
    stripes = rng.random() < 0.4
    fabric = Material((base, pick(rng, CLOTHS)), "stripes", 0.1) if stripes else Material((base,))
    return fabric, float(pick(rng, {1.74: 0.5, 1.55: 0.3, 1.15: 0.2}))
