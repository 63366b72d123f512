"""The drawn humans: determinism, exact parsing, sides, variety, and what is refused."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from deocc_bench.core.errors import InputError
from deocc_bench.core.seeding import rng as make_rng
from deocc_bench.core.types import Human
from deocc_bench.synth.mannequin import MannequinSource, draw
from deocc_bench.synth.mannequin.body import pose_body, sample_build
from deocc_bench.synth.mannequin.figure import build_parts
from deocc_bench.synth.mannequin.garments import sample_outfit
from deocc_bench.synth.mannequin.paint import PATTERNS, Canvas, Material, Part, pattern
from deocc_bench.synth.mannequin.poses import JOINTS, LIMITS, POSES, clamp, sample_pose
from deocc_bench.synth.mannequin.shapes import Frame, Shape

COUNT = 120
LEFT, RIGHT = (14, 16, 18), (15, 17, 19)


@cache
def population() -> tuple[Human, ...]:
    return tuple(draw(7, i) for i in range(COUNT))


def test_the_same_arguments_give_the_same_bytes():
    before = draw(3, 5)
    draw(3, 6)
    after = draw(3, 5)
    assert np.array_equal(before.image, after.image)
    assert np.array_equal(before.parsing, after.parsing)


def test_seed_and_index_both_matter():
    first = draw(3, 5)
    for other in (draw(4, 5), draw(3, 6)):
        assert not np.array_equal(first.parsing, other.parsing)
        assert not np.array_equal(first.image, other.image)


def test_shape_dtype_and_identity():
    human = draw(0, 12)
    assert human.image.shape == (384, 288, 3)
    assert human.image.dtype == np.uint8
    assert human.parsing.shape == human.mask.shape == (384, 288)
    assert (human.id, human.group_id, human.licence, human.source) == (
        "mannequin-000012",
        "mannequin-000012",
        "CC0-1.0",
        "mannequin",
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (256, 256), (96, 400), (400, 96), (768, 576)])
def test_any_size_holds_the_whole_figure(size: tuple[int, int]):
    for index in (3, 9):
        human = draw(1, index, size)
        assert human.image.shape == (*size, 3)
        assert_clear_of_border(human)


def assert_clear_of_border(human: Human) -> None:
    mask = human.mask
    border = np.ones_like(mask)
    border[2:-2, 2:-2] = False
    assert not (mask & border).any(), human.id


@pytest.mark.slow
def test_never_touches_the_frame():
    for human in population():
        assert_clear_of_border(human)


@pytest.mark.slow
def test_fills_most_of_the_height():
    heights = [np.flatnonzero(h.mask.any(axis=1)) for h in population()]
    share = np.array([(rows[-1] - rows[0] + 1) / 384 for rows in heights])
    assert share.max() <= 0.92
    assert (share >= 0.6).mean() > 0.97


def test_every_lip_class_occurs():
    seen = set()
    for human in population():
        seen |= set(np.unique(human.parsing).tolist())
    assert seen == set(range(20))


@pytest.mark.slow
def test_one_connected_person_without_specks():
    for human in population():
        count, _ = cv2.connectedComponents(human.mask.astype(np.uint8), connectivity=8)
        assert count == 2, human.id
        for label in range(1, 20):
            _, _, stats, _ = cv2.connectedComponentsWithStats((human.parsing == label).astype(np.uint8), connectivity=8)
            assert (stats[1:, cv2.CC_STAT_AREA] >= 4).all(), (human.id, label)


def test_silhouettes_vary():
    rows = []
    for human in population():
        ys, xs = np.nonzero(human.mask)
        crop = human.mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.uint8)
        rows.append(cv2.resize(crop, (64, 64), interpolation=cv2.INTER_NEAREST).ravel())
    flat = np.array(rows, np.int64)
    inter = flat @ flat.T
    area = flat.sum(axis=1)
    iou = inter / (area[:, None] + area[None] - inter)
    assert iou[np.triu_indices(COUNT, 1)].mean() < 0.55


def test_backgrounds_and_builds_vary():
    corners = {tuple(h.image[4, 4] // 16) for h in population()}
    assert len(corners) > 25
    kinds = {sample_build(make_rng(0, "t", i)).kind for i in range(40)}
    assert kinds == {"broad", "narrow", "child"}


def parsing_of(yaw: float, seed: int, pose: str = "star") -> np.ndarray:
    """LIP ids of a figure in a known pose seen from a known side."""
    rng = make_rng(seed, "side-test")
    build = sample_build(rng)
    angles = clamp({j: POSES[pose].get(j, 0.0) for j in JOINTS})
    sk = pose_body(build, pose, angles, yaw, pitch=6)
    parts = build_parts(sk, sample_outfit(rng, build), rng)
    canvas = Canvas(Frame(44.0, 300.0, 320.0, 768, 600), (0.7, -0.7), np.zeros((256, 256), np.int16))
    for part in parts:
        canvas.paint(part)
    return canvas.finish()[2]


def mean_x(parsing: np.ndarray, labels: tuple[int, ...]) -> float:
    return float(np.nonzero(np.isin(parsing, labels))[1].mean())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("yaw", "sign"), [(0, 1), (25, 1), (-25, 1), (180, -1), (155, -1)])
def test_left_is_the_persons_own(yaw: float, sign: int, seed: int):
    parsing = parsing_of(yaw, seed)
    # Seen from the front, the person's left is at the viewer's right.
    assert sign * (mean_x(parsing, LEFT) - mean_x(parsing, RIGHT)) > 20


def test_a_face_is_seen_from_the_front_and_hardly_from_the_back():
    front = sum(np.isin(parsing_of(0, s), (13,)).sum() for s in range(6))
    back = sum(np.isin(parsing_of(180, s), (13,)).sum() for s in range(6))
    assert front > 2.0 * back


def test_the_parsing_is_the_painted_silhouette():
    """Against the same figure painted alone: sub-pixels covered by half or more are exactly the foreground."""
    square = Shape(polys=[np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])])
    canvas = Canvas(Frame(10.0, 9.5, 9.5, 80, 80), (0.7, -0.7), np.zeros((256, 256), np.int16))
    canvas.paint(Part(5, square, Material(((200, 10, 10),)), round=0.0))
    rgb, cover, parsing = canvas.finish()
    assert np.array_equal(parsing > 0, cover >= 2)
    assert np.array_equal(cover > 0, rgb.any(axis=2))
    assert set(np.unique(parsing)) == {0, 5}
    assert abs(int((parsing > 0).sum()) - 400) <= 41


def test_a_feature_stays_on_its_label():
    disc = Shape(circles=[(2.0, 2.0, 1.5)])
    wide = Shape(circles=[(2.0, 2.0, 3.0)])
    canvas = Canvas(Frame(10.0, 20.0, 20.0, 100, 100), (0.7, -0.7), np.zeros((256, 256), np.int16))
    canvas.paint(Part(13, disc, Material(((200, 150, 120),)), round=0.0))
    before = canvas.finish()[2]
    canvas.paint(Part(13, wide, Material(((20, 20, 20),)), round=0.0, over=(13,)))
    canvas.paint(Part(4, wide, Material(((20, 20, 20),)), round=0.0, over=(5,)))
    assert np.array_equal(canvas.finish()[2], before)


def test_poses_respect_the_joint_limits():
    for i in range(60):
        _, angles = sample_pose(make_rng(i, "pose-test"))
        assert set(angles) == set(JOINTS)
        for joint, value in angles.items():
            low, high = LIMITS[joint.removesuffix("_l").removesuffix("_r")]
            assert low <= value <= high, joint


@pytest.mark.parametrize("name", sorted(POSES))
def test_every_pose_keeps_bone_lengths(name: str):
    build = sample_build(make_rng(0, "bones"))
    sk = pose_body(build, name, clamp({j: POSES[name].get(j, 0.0) for j in JOINTS}), 40, 6)
    for limb in sk.arms.values():
        assert np.linalg.norm(limb.joints[1] - limb.joints[0]) == pytest.approx(build.upper_arm)
        assert np.linalg.norm(limb.joints[2] - limb.joints[1]) == pytest.approx(build.forearm)
    for limb in sk.legs.values():
        assert np.linalg.norm(limb.joints[1] - limb.joints[0]) == pytest.approx(build.thigh)
        assert limb.tip.T @ limb.tip == pytest.approx(np.eye(3), abs=1e-9)


@pytest.mark.parametrize("kind", PATTERNS[1:])
def test_patterns_use_their_colours(kind: str):
    u, v = np.meshgrid(np.arange(600, dtype=np.int32), np.arange(600, dtype=np.int32), indexing="ij")
    k = pattern(kind, u, v, 60, 4)
    assert k.min() >= 0
    assert k.max() <= 3
    assert len(np.unique(k)) >= 2


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="tartan"):
        pattern("tartan", np.zeros((2, 2), np.int32), np.zeros((2, 2), np.int32), 8, 2)


@pytest.mark.parametrize("size", [(32, 288), (384, 0), (384, 4096), (384.5, 288), (384,)])
def test_a_bad_size_is_refused(size: tuple):
    with pytest.raises(InputError, match="size"):
        draw(0, 0, size)
    with pytest.raises(InputError, match="size"):
        MannequinSource(size=size)


def test_a_negative_index_and_an_empty_source_are_refused():
    with pytest.raises(InputError, match="negative"):
        draw(0, -1)
    with pytest.raises(InputError, match="count"):
        MannequinSource(count=0)


def test_the_source_lists_and_loads():
    source = MannequinSource(count=3, seed=9, size=(128, 96))
    assert source.ids() == ["mannequin-000000", "mannequin-000001", "mannequin-000002"]
    human = source.load("mannequin-000002")
    assert np.array_equal(human.image, draw(9, 2, (128, 96)).image)
    assert source.describe() == {
        "kind": "mannequin",
        "count": 3,
        "seed": 9,
        "size": [128, 96],
        "licence": "CC0-1.0",
        "parsing": "LIP",
    }


@pytest.mark.parametrize("id", ["mannequin-000003", "mannequin-2", "ccp-000001", "mannequin-", "nonsense"])
def test_an_unknown_id_is_refused(id: str):
    with pytest.raises(InputError, match="no human"):
        MannequinSource(count=3).load(id)
