"""Joint limits and the poses of the mannequin, in degrees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deocc_bench.synth.mannequin.chance import pick

LIMITS: dict[str, tuple[float, float]] = {
    "shoulder_flex": (-50, 175),
    "shoulder_abd": (-15, 170),
    "shoulder_rot": (-90, 95),
    "elbow": (3, 145),
    "hip_flex": (-28, 118),
    "hip_abd": (-15, 55),
    "hip_rot": (-30, 50),
    "knee": (2, 142),
    "ankle": (-50, 25),
    "lean": (-14, 45),
    "side": (-24, 24),
    "twist": (-35, 35),
    "nod": (-22, 30),
    "turn": (-62, 62),
    "tilt": (-18, 18),
}
"""Range of each joint in degrees. Arm and leg joints exist once per side, with the suffix `_l` or `_r`."""

ARM = ("shoulder_flex", "shoulder_abd", "shoulder_rot", "elbow")

LEG = ("hip_flex", "hip_abd", "hip_rot", "knee", "ankle")

JOINTS = (*(f"{j}_{s}" for s in "lr" for j in ARM + LEG), "lean", "side", "twist", "nod", "turn", "tilt")


def _arm(side: str, flex: float, abd: float, rot: float, elbow: float) -> dict[str, float]:
    return dict(zip((f"{j}_{side}" for j in ARM), (flex, abd, rot, elbow), strict=True))


def _leg(side: str, flex: float, abd: float, rot: float, knee: float, *, ankle: float = 0) -> dict[str, float]:
    return dict(zip((f"{j}_{side}" for j in LEG), (flex, abd, rot, knee, ankle), strict=True))


_STAND = _leg("l", 0, 5, 10, 3) | _leg("r", 0, 5, 10, 3)

_HANG = _arm("l", 4, 10, 15, 14) | _arm("r", 4, 10, 15, 14)

_SIT = _leg("l", 82, 8, 6, 84) | _leg("r", 82, 8, 6, 84)

POSES: dict[str, dict[str, float]] = {
    "stand": _STAND | _HANG,
    "contrapposto": _leg("l", 12, 12, 25, 22) | _leg("r", -2, -3, 5, 3) | _HANG | {"side": 7, "tilt": -5},
    "apart": _leg("l", 0, 18, 15, 3) | _leg("r", 0, 18, 15, 3) | _arm("l", 0, 24, 10, 25) | _arm("r", 0, 24, 10, 25),
    "akimbo": _STAND | _arm("l", -8, 48, 82, 98) | _arm("r", -8, 48, 82, 98),
    "one-akimbo": _STAND | _arm("l", -8, 48, 82, 98) | _arm("r", 5, 10, 15, 14) | {"side": 6},
    "crossed": _STAND | _arm("l", 24, 8, 76, 96) | _arm("r", 20, 6, 84, 100),
    "clasped": _STAND | _arm("l", 14, 12, 52, 48) | _arm("r", 14, 12, 52, 48),
    "behind": _STAND | _arm("l", -34, 16, 60, 48) | _arm("r", -34, 16, 60, 48),
    "raised": _leg("l", 0, 12, 12, 3)
    | _leg("r", 0, 12, 12, 3)
    | _arm("l", 8, 148, -10, 20)
    | _arm("r", 8, 148, -10, 20),
    "cheer": _leg("l", 0, 10, 12, 3)
    | _leg("r", 0, 10, 12, 3)
    | _arm("l", 12, 118, -80, 62)
    | _arm("r", 12, 118, -80, 62),
    "wave": _STAND | _arm("l", 8, 96, -85, 78) | _arm("r", 4, 10, 15, 14) | {"tilt": 6},
    "point": _STAND | _arm("l", 15, 88, 0, 6) | _arm("r", -8, 46, 82, 98) | {"turn": 30},
    "reach": _STAND | _arm("l", 88, 8, 0, 12) | _arm("r", 80, 8, 0, 18),
    "phone": _STAND | _arm("l", 48, 14, 35, 138) | _arm("r", 4, 12, 15, 14) | {"tilt": 7},
    "read": _STAND | _arm("l", 28, 8, 28, 88) | _arm("r", 28, 8, 28, 88) | {"nod": 20},
    "on-head": _STAND | _arm("l", 24, 118, 30, 132) | _arm("r", 24, 118, 30, 132),
    "tee": _leg("l", 0, 9, 12, 3) | _leg("r", 0, 9, 12, 3) | _arm("l", 0, 84, 0, 5) | _arm("r", 0, 84, 0, 5),
    "walk": _leg("l", 27, 2, 5, 8, ankle=4)
    | _leg("r", -20, 2, 5, 22, ankle=-18)
    | _arm("l", -26, 9, 10, 14)
    | _arm("r", 26, 9, 10, 24)
    | {"lean": 4},
    "stride": _leg("l", 38, 3, 5, 12, ankle=8)
    | _leg("r", -24, 3, 5, 30, ankle=-25)
    | _arm("l", -34, 12, 10, 35)
    | _arm("r", 36, 12, 10, 50)
    | {"lean": 7},
    "run": _leg("l", 62, 4, 4, 82, ankle=-10)
    | _leg("r", -20, 4, 4, 52, ankle=-38)
    | _arm("l", -42, 14, 8, 88)
    | _arm("r", 34, 12, 14, 98)
    | {"lean": 14},
    "jump": _leg("l", 32, 18, 14, 66, ankle=-30)
    | _leg("r", -4, 14, 14, 48, ankle=-32)
    | _arm("l", 12, 135, -20, 28)
    | _arm("r", 12, 122, -20, 35),
    "star": _leg("l", 0, 34, 14, 4, ankle=-22)
    | _leg("r", 0, 34, 14, 4, ankle=-22)
    | _arm("l", 4, 116, 0, 6)
    | _arm("r", 4, 116, 0, 6),
    "sit": _SIT | _arm("l", 24, 10, 26, 46) | _arm("r", 24, 10, 26, 46) | {"lean": 3},
    "sit-relaxed": _leg("l", 80, 20, 16, 74)
    | _leg("r", 78, 20, 16, 96)
    | _arm("l", 30, 18, 45, 70)
    | _arm("r", 4, 30, 10, 24)
    | {"lean": 8},
    "sit-crossed": _leg("l", 98, -12, 8, 66)
    | _leg("r", 82, 4, 4, 86)
    | _arm("l", 28, 8, 55, 60)
    | _arm("r", 28, 8, 55, 60)
    | {"lean": -2},
    "sit-think": _SIT | _arm("l", 46, 4, 30, 122) | _arm("r", 30, 4, 80, 84) | {"lean": 22, "nod": 10},
    "squat": _leg("l", 100, 26, 24, 118, ankle=18)
    | _leg("r", 100, 26, 24, 118, ankle=18)
    | _arm("l", 62, 6, 30, 40)
    | _arm("r", 62, 6, 30, 40)
    | {"lean": 26},
    "lunge": _leg("l", 62, 4, 6, 62, ankle=4)
    | _leg("r", -28, 4, 4, 24, ankle=-20)
    | _arm("l", -8, 46, 82, 98)
    | _arm("r", -8, 46, 82, 98)
    | {"lean": 3},
    "kneel": _leg("l", 86, 6, 6, 88, ankle=0)
    | _leg("r", 0, 6, 0, 92, ankle=-48)
    | _arm("l", 34, 8, 22, 44)
    | _arm("r", 10, 12, 15, 20)
    | {"lean": 6},
    "balance": _leg("l", 62, 30, 45, 118, ankle=-30)
    | _leg("r", 0, -2, 6, 3)
    | _arm("l", 6, 152, 10, 36)
    | _arm("r", 6, 152, 10, 36),
    "kick": _leg("l", 66, 8, 6, 10, ankle=-25)
    | _leg("r", -6, 4, 8, 12)
    | _arm("l", -22, 52, 0, 30)
    | _arm("r", 48, 42, 0, 30)
    | {"lean": -9},
    "side-stretch": _leg("l", 0, 14, 12, 3)
    | _leg("r", 0, 14, 12, 3)
    | _arm("l", 4, 165, 0, 12)
    | _arm("r", -8, 46, 82, 98)
    | {"side": -20, "tilt": -8},
    "dance": _leg("l", 34, 24, 32, 58, ankle=-28)
    | _leg("r", 0, 2, 8, 10)
    | _arm("l", 14, 128, -30, 42)
    | _arm("r", 16, 62, 20, 30)
    | {"side": 12, "twist": 14},
    "look-back": _leg("l", 16, 3, 5, 8, ankle=4)
    | _leg("r", -12, 3, 5, 14, ankle=-10)
    | _HANG
    | {"twist": 30, "turn": 55},
    "bend": _leg("l", 6, 8, 10, 12)
    | _leg("r", 6, 8, 10, 12)
    | _arm("l", 58, 6, 10, 20)
    | _arm("r", 58, 6, 10, 20)
    | {"lean": 42, "nod": -12},
}
"""Joint angles of the poses in degrees; missing angles are 0. `draw` mirrors and jitters them."""

AIRBORNE = frozenset({"jump", "star", "run"})

SEATED = frozenset({"sit", "sit-relaxed", "sit-crossed", "sit-think"})


def sample_pose(rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """Sample a pose: its name and all joint angles in degrees, mirrored half of the time, jittered, within LIMITS."""
    name = pick(rng, list(POSES))
    angles = {joint: POSES[name].get(joint, 0.0) for joint in JOINTS}
    if rng.random() < 0.5:
        swapped = {j: angles[j[:-1] + ("r" if j[-1] == "l" else "l")] for j in angles if j[-2:] in ("_l", "_r")}
        angles |= swapped | {j: -angles[j] for j in ("side", "twist", "turn", "tilt")}
    spread = {"turn": 22.0, "nod": 8.0, "tilt": 5.0, "twist": 8.0, "lean": 4.0, "side": 3.0}
    for joint in JOINTS:
        wide = spread.get(joint, 9.0 if joint.startswith(("shoulder", "elbow")) else 5.0)
        angles[joint] += float(rng.uniform(-wide, wide))
    return name, clamp(angles)


def clamp(angles: Mapping[str, float]) -> dict[str, float]:
    """Clip the angles to LIMITS."""
    out = {}
    for joint, value in angles.items():
        low, high = LIMITS[joint.removesuffix("_l").removesuffix("_r")]
        out[joint] = min(max(value, low), high)
    return out
