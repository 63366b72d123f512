"""The mannequin's body: proportions, and the posed skeleton in camera space.

Camera space: x to the viewer's right, y down, z towards the viewer; unit: head height ("hu"), origin at the
middle of the hips. A body frame is a 3 x 3 matrix whose columns are the body's left, up and forward directions. The
person faces the viewer at yaw 0 (the person's left is then on the viewer's right) and the viewer's right at yaw 90.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deocc_bench.synth.mannequin.chance import pick
from deocc_bench.synth.mannequin.poses import AIRBORNE, ARM, LEG, SEATED
from deocc_bench.synth.mannequin.shapes import Floats


@dataclass(frozen=True)
class Build:
    """Proportions in hu (radii; widths are half widths)."""

    kind: str
    torso: float
    thigh: float
    shin: float
    upper_arm: float
    forearm: float
    neck: float
    shoulder: float
    hip: float
    rings: tuple[tuple[float, float, float, float], ...]
    """Torso cross-sections: (height 0 hips .. 1 neck, half width, half depth, forward offset)."""
    arm_girth: float
    leg_girth: float
    neck_girth: float
    head: float
    """Size of the head; 1 except for children."""


def sample_build(rng: np.random.Generator) -> Build:
    """Sample proportions: adults of three frames and children, from thin to heavy."""
    kind = pick(rng, {"broad": 0.40, "narrow": 0.42, "child": 0.18})
    weight = float(pick(rng, {0.86: 0.2, 1.0: 0.45, 1.14: 0.2, 1.34: 0.15})) + float(rng.uniform(-0.05, 0.05))
    belly = max(0.0, weight - 1.05)
    stature = float(rng.uniform(0.93, 1.06))
    leg = float(rng.uniform(0.95, 1.06))
    if kind == "child":
        growth = float(rng.uniform(0.58, 0.84))
        torso, limb, across, girth = (
            2.3 * (0.3 + 0.7 * growth),
            0.18 + 0.82 * growth,
            0.36 + 0.62 * growth,
            0.5 + 0.48 * growth,
        )
        shoulder, waist, hip, chest, bust = 0.70, 0.59, 0.65, 0.64, 0.0
    elif kind == "broad":
        torso, limb, across, girth = 2.38, 1.0, 1.0, 1.06
        shoulder, waist, hip, chest, bust = 0.80, 0.60, 0.66, 0.74, 0.02
    else:
        torso, limb, across, girth = 2.25, 0.98, 0.98, 0.92
        shoulder, waist, hip, chest, bust = 0.66, 0.50, 0.70, 0.62, 0.09
    shoulder *= float(rng.uniform(0.94, 1.06))
    hip *= float(rng.uniform(0.94, 1.07))
    w = across * (0.4 + 0.6 * weight)
    waist = waist * w + 0.55 * belly
    rings = (
        (-0.19, 0.34 * w, 0.30 * w, -0.02),
        (-0.10, 0.56 * w * hip / 0.68, 0.43 * w, -0.06),
        (0.02, hip * w, 0.47 * w, -0.08 * across),
        (0.18, hip * w * 0.95 + 0.1 * belly, 0.43 * w + 0.25 * belly, 0.0 + 0.2 * belly),
        (0.40, waist, 0.36 * w + 0.55 * belly, 0.03 + 0.32 * belly),
        (0.58, (waist + chest * w) / 2, 0.39 * w + 0.25 * belly, 0.05 + 0.2 * belly),
        (0.74, chest * w, 0.43 * w + bust * 0.5, 0.03 + bust),
        (0.86, shoulder * across * 0.98, 0.36 * w, 0.0),
        (0.945, shoulder * across * 0.86, 0.25 * w, -0.05),
        (0.985, shoulder * across * 0.52, 0.21 * w, -0.07),
        (1.03, 0.27 * w, 0.21 * w, -0.06),
    )
    girth *= 0.35 + 0.65 * weight
    return Build(
        kind=kind,
        torso=torso * stature,
        thigh=1.80 * limb * leg * stature,
        shin=1.66 * limb * leg * stature,
        upper_arm=1.32 * limb * stature,
        forearm=1.10 * limb * stature,
        neck=0.30 if kind != "child" else 0.24,
        shoulder=shoulder * across,
        hip=0.36 * across * (0.6 + 0.4 * weight),
        rings=rings,
        arm_girth=girth,
        leg_girth=girth,
        neck_girth=(0.23 if kind == "broad" else 0.18) * (0.5 + 0.5 * weight),
        head=1.0 if kind != "child" else float(rng.uniform(0.96, 1.02)),
    )


@dataclass(frozen=True)
class Limb:
    """An arm or a leg. `joints` 3 x 3: root, middle, end; `upper`, `lower`: frames of the two bones; `tip`: frame of
    the hand or foot."""

    joints: Floats
    upper: Floats
    lower: Floats
    tip: Floats

    def at(self, t: Floats) -> Floats:
        """Points, K x 3, at t in 0 (root) .. 1 (middle) .. 2 (end), with a rounded middle joint."""
        a, b, c = self.joints
        u = np.asarray(t)[:, None]
        straight = np.where(u < 1, a + (b - a) * u, b + (c - b) * (u - 1))
        near = np.clip(1 - np.abs(u - 1) / 0.16, 0, 1)
        return straight + near**2 * 0.05 * (a + c - 2 * b) / 2

    def direction(self, t: float) -> Floats:
        step = self.joints[1] - self.joints[0] if t < 1 else self.joints[2] - self.joints[1]
        return step / max(float(np.sqrt((step * step).sum())), 1e-6)


@dataclass(frozen=True)
class Skeleton:
    """The posed body in camera space."""

    build: Build
    pose: str
    up: Floats
    """The up direction of the world, a unit vector."""
    pelvis: Floats
    chest: Floats
    head: Floats
    spine: Floats
    """Centres of the torso at heights -0.3, -0.25 .. 1.1 (29 x 3)."""
    frames: Floats
    """Frames of the torso at the same heights (29 x 3 x 3)."""
    neck_base: Floats
    head_centre: Floats
    arms: dict[str, Limb]
    legs: dict[str, Limb]
    ground: float
    """Height of the lowest sole along `up`."""

    @property
    def facing(self) -> float:
        """How much the chest faces the viewer: 1 front, 0 side, -1 back."""
        return float(self.chest[2, 2])

    def torso_at(self, h: float) -> tuple[Floats, Floats]:
        """Centre (3) and frame (3 x 3) of the torso at height h (0 hips, 1 neck)."""
        i = min(max((h + 0.3) / 0.05, 0.0), 27.999)
        k = int(i)
        centre = self.spine[k] + (self.spine[k + 1] - self.spine[k]) * (i - k)
        return centre, self.frames[k] + (self.frames[k + 1] - self.frames[k]) * (i - k)


def blend(a: Floats, b: Floats, heights: Floats) -> Floats:
    """Interpolate two frames by a smooth step over heights 0.05 .. 0.8 (K); orthonormal, K x 3 x 3."""
    t = np.clip((heights - 0.05) / 0.75, 0.0, 1.0)
    t = t * t * (3 - 2 * t)
    m = a + (b - a) * t[:, None, None]

    def unit(v: Floats) -> Floats:
        return v / np.sqrt((v * v).sum(axis=1, keepdims=True))

    def off(v: Floats, along: Floats) -> Floats:
        return v - along * (v * along).sum(axis=1, keepdims=True)

    up = unit(m[:, :, 1])
    ahead = unit(off(m[:, :, 2], up))
    left = unit(off(off(m[:, :, 0], up), ahead))
    return np.stack([left, up, ahead], axis=2)


def bend(degrees: float) -> Floats:
    """Rotation about the left axis: hanging limbs swing forward, and the front turns up."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]], dtype=np.float64)


def spread(degrees: float) -> Floats:
    """Rotation about the forward axis: hanging limbs swing to the left."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float64)


def turn(degrees: float) -> Floats:
    """Rotation about the up axis: the front turns to the left."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=np.float64)


def pose_body(build: Build, pose: str, angles: Mapping[str, float], yaw: float, pitch: float) -> Skeleton:
    """Compute the posed skeleton by forward kinematics.

    `yaw`: direction the body faces (0 the viewer, 90 the viewer's right, 180 away); `pitch`: how far the camera looks
    down; both in degrees.
    """
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    root = np.array([[c, 0, s], [0, -1, 0], [-s, 0, c]], dtype=np.float64)
    c, s = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    camera = np.array([[1, 0, 0], [0, c, s], [0, -s, c]], dtype=np.float64)
    pelvis = camera @ root
    up = -camera[:, 1]
    if pose in SEATED:
        pelvis = pelvis @ bend(-0.25 * angles["lean"])
    chest = pelvis @ turn(angles["twist"]) @ bend(-angles["lean"]) @ spread(-angles["side"])
    # The head stays mostly level when the trunk leans.
    level = blend(chest, pelvis @ turn(angles["twist"]), np.array([0.45]))[0]
    head = level @ turn(angles["turn"]) @ bend(-angles["nod"]) @ spread(-angles["tilt"])

    heights = np.arange(-0.3, 1.101, 0.05)
    frames = blend(pelvis, chest, heights)
    spine = np.cumsum(frames[:, :, 1] * (0.05 * build.torso), axis=0)
    spine = spine - spine[6]
    neck_base = spine[26] - chest[:, 2] * 0.05
    head_centre = neck_base + (chest[:, 1] * 0.4 + head[:, 1] * 0.6) * (build.neck + 0.38 * build.head)
    head_centre = head_centre + head[:, 2] * 0.08

    arms, legs = {}, {}
    shoulder_mid = spine[23]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        a = {j: angles[f"{j}_{side}"] for j in ARM}
        lift = max(0.0, a["shoulder_abd"] - 60) / 110
        upper = chest @ spread(sign * a["shoulder_abd"]) @ bend(a["shoulder_flex"]) @ turn(-sign * a["shoulder_rot"])
        lower = upper @ bend(a["elbow"])
        start = shoulder_mid + chest[:, 0] * sign * build.shoulder * (1 - 0.14 * lift) + chest[:, 1] * 0.16 * lift
        mid = start - upper[:, 1] * build.upper_arm
        arms[side] = Limb(np.stack([start, mid, mid - lower[:, 1] * build.forearm]), upper, lower, lower)
        g = {j: angles[f"{j}_{side}"] for j in LEG}
        thigh = pelvis @ spread(sign * g["hip_abd"]) @ bend(g["hip_flex"]) @ turn(sign * g["hip_rot"])
        shin = thigh @ bend(-g["knee"])
        start = pelvis[:, 0] * sign * build.hip
        mid = start - thigh[:, 1] * build.thigh
        legs[side] = Limb(np.stack([start, mid, mid - shin[:, 1] * build.shin]), thigh, shin, shin @ bend(g["ankle"]))
    ankles = {side: float(leg.joints[2] @ up) for side, leg in legs.items()}
    lowest = min(ankles.values())
    for side, leg in legs.items():
        if pose not in AIRBORNE and ankles[side] < lowest + 0.22 * build.shin:
            legs[side] = Limb(leg.joints, leg.upper, leg.lower, _flat(leg.tip, up))
    return Skeleton(
        build, pose, up, pelvis, chest, head, spine, frames, neck_base, head_centre, arms, legs, _sole(legs, up)
    )


def _sole(legs: Mapping[str, Limb], up: Floats) -> float:
    """Height of the lowest heel or toe."""
    heights = []
    for leg in legs.values():
        ankle = float((leg.joints[2] * up).sum())
        rise = float((leg.tip[:, 2] * up).sum())
        heights += [ankle - 0.27, ankle + 0.6 * rise - 0.25]
    return min(heights)


def _flat(foot: Floats, up: Floats) -> Floats:
    """Level a foot frame to the ground; a foot that points down stays on its toes."""
    ahead = foot[:, 2]
    rise = float((ahead * up).sum())
    if abs(rise) > 0.85:
        return foot
    keep = 0.45 * rise if rise < -0.35 else 0.0
    ahead = ahead - up * (rise - keep)
    ahead = ahead / math.sqrt(float((ahead**2).sum()))
    top = up - ahead * float((up * ahead).sum())
    top = top / math.sqrt(float((top**2).sum()))
    left = np.array(
        [
            top[1] * ahead[2] - top[2] * ahead[1],
            top[2] * ahead[0] - top[0] * ahead[2],
            top[0] * ahead[1] - top[1] * ahead[0],
        ]
    )
    sign = 1.0 if float((left * foot[:, 0]).sum()) >= 0 else -1.0
    return np.stack([left * sign, top, ahead], axis=1)
