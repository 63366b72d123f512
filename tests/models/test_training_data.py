"""Settings, augmentation, and who sees which sample."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.labels import LIP
from deocc_bench.models.config import PAPER, QUICK
from deocc_bench.models.training.config import DataConfig, OptimConfig
from deocc_bench.models.training.data import Example, Feed, Stream, augment, bent, collate, mirrored, resized, warped
from deocc_bench.models.training.schedule import factor, progress
from deocc_bench.models.training.settings import default_config, read_config, to_toml

PLAIN = DataConfig(flip=0, warp=0, colour=0, perfect=0)


def example(size: int = 32, seed: int = 0) -> Example:
    random = np.random.default_rng(seed)
    amodal = np.zeros((size, size), bool)
    amodal[4:28, 10:20] = True
    modal = amodal.copy()
    modal[16:] = False
    image = random.integers(0, 256, (size, size, 3), np.uint8)
    parsing = np.where(amodal, np.uint8(14), np.uint8(0))
    return Example(
        image, amodal, modal, image.copy(), np.roll(modal, 1, axis=1), parsing, ~amodal & (image[..., 0] > 250)
    )


class Counted:
    """A source that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 5

    def example(self, epoch: int, index: int) -> Example:
        self.asked.append((epoch, index))
        return example(seed=epoch * 100 + index)


def equal(a: Example, b: Example) -> bool:
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return all(np.array_equal(x, y) for x, y in pairs)


def test_plain_settings_leave_an_example_as_it_is() -> None:
    e = example()
    assert equal(augment(e, PLAIN, np.random.default_rng(0)), e)
    perfect = augment(e, dataclasses.replace(PLAIN, perfect=1), np.random.default_rng(0))
    assert np.array_equal(perfect.initial, e.modal)


def test_mirroring_exchanges_left_and_right_labels() -> None:
    e = example()
    left, right = LIP.index("left-arm"), LIP.index("right-arm")
    e = dataclasses.replace(e, parsing=np.where(e.amodal, np.uint8(left), np.uint8(0)))
    flipped = mirrored(e)
    assert set(np.unique(flipped.parsing)) == {0, right}
    assert np.array_equal(flipped.amodal, e.amodal[:, ::-1])
    assert equal(mirrored(flipped), e)


def test_masks_labels_and_pictures_are_warped_alike() -> None:
    e = example()
    shifted = warped(e, np.array([[1.0, 0, 3], [0, 1, -2]]))
    for name in ("image", "complete", "amodal", "modal", "initial", "parsing", "unknown"):
        found, source = getattr(shifted, name), getattr(e, name)
        if source.dtype == bool:  # warped masks are coverages, 0..255
            source = source * np.uint8(255)
        assert np.array_equal(found[:-2, 3:], source[2:, :-3]), name
        assert not found[:, :3].any(), name
    # Nobody is moved out of the picture.
    assert warped(e, np.array([[1.0, 0, 300], [0, 1, 0]])) is e


def test_bending_moves_everything_alike_and_by_what_it_is_told() -> None:
    e = example()
    same = bent(e, np.zeros((32, 32, 2), np.float32))
    assert np.array_equal(same.image, e.image)
    assert np.array_equal(same.modal, e.modal * np.uint8(255))
    shifts = np.zeros((32, 32, 2), np.float32)
    shifts[16:, :, 0] = -3  # the lower half is read from 3 pixels further left
    moved = bent(e, shifts)
    for name in ("image", "complete", "amodal", "modal", "initial", "parsing", "unknown"):
        found, source = getattr(moved, name), getattr(same, name)
        assert np.array_equal(found[:16], source[:16]), name
        assert np.array_equal(found[16:, 3:], source[16:, :-3]), name
    assert bent(e, np.full((32, 32, 2), 300, np.float32)) is e


def test_bending_is_part_of_the_augmentation_and_depends_on_its_random_numbers_alone() -> None:
    config = dataclasses.replace(PLAIN, warp=1, warp_size=0, bend=0.03)
    made = [augment(example(), config, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert equal(made[0], made[1])
    assert not equal(made[0], made[2])
    assert not np.array_equal(made[0].amodal, example().amodal * np.uint8(255))
    assert (made[0].modal <= made[0].amodal).all()
    assert np.array_equal(made[0].image, made[0].complete)


def test_resizing_halves_everything() -> None:
    small = resized(example(), 16)
    assert small.image.shape == (16, 16, 3)
    assert small.modal.dtype == np.uint8
    # The example's outlines lie on even pixels: nothing is covered in part.
    assert np.array_equal(small.amodal, example().amodal[::2, ::2] * np.uint8(255))
    assert np.array_equal(small.parsing > 0, small.amodal > 0)


def test_resizing_gives_the_share_that_is_covered() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = mask[2:, 2] = True
    small = resized(dataclasses.replace(example(4), amodal=mask), 2)
    assert small.amodal.tolist() == [[64, 0], [0, 128]]


def test_augmentation_keeps_the_masks_in_each_other_and_the_pictures_equal_where_seen() -> None:
    e = example()
    for seed in range(20):
        made = augment(e, DataConfig(), np.random.default_rng(seed))
        assert (made.modal <= made.amodal).all()
        assert np.array_equal(made.image, made.complete)


def test_feed_depends_on_epoch_and_index_alone_and_reuses_samples() -> None:
    source = Counted()
    config = DataConfig(reuse=3)
    feed = Feed(source, config, 32, seed=1)
    seen = {(e, i): feed[e, i] for e in range(6) for i in (0, 3)}
    assert source.asked == [(0, 0), (0, 3), (1, 0), (1, 3)]
    other = Feed(Counted(), config, 32, seed=1)
    for key in ((5, 3), (1, 0), (4, 0)):
        assert equal(other[key], seen[key])
    assert not equal(seen[0, 0], seen[1, 0])
    assert not equal(Feed(Counted(), config, 32, seed=2)[1, 0], seen[1, 0])


@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_sample_comes_once_an_epoch_whatever_the_number_of_processes(world: int) -> None:
    streams = [iter(Stream(10, 4, seed=0, rank=r, world=world)) for r in range(world)]
    steps = [[key for s in streams for key in next(s)] for _ in range(5)]
    # Five steps of four are two epochs of ten, cut across the epoch's end.
    assert Counter(key for step in steps for key in step) == Counter((e, i) for e in range(2) for i in range(10))
    alone = list(islice(Stream(10, 4, seed=0), 5))
    assert [sorted(s) for s in steps] == [sorted(s) for s in alone]


def test_stream_goes_on_where_it_stopped_and_shuffles() -> None:
    whole = list(islice(Stream(7, 3, seed=5), 12))
    assert list(islice(Stream(7, 3, seed=5, start=9), 3)) == whole[9:]
    stream = Stream(50, 3, seed=5)
    assert stream.order(0) != stream.order(1) != sorted(stream.order(1))


def test_collate_gives_no_parsing_where_one_example_lacks_it() -> None:
    made = collate([example(), dataclasses.replace(example(), parsing=None, unknown=None, initial=None)])
    assert made.parsing is None
    assert made.complete is not None
    assert made.image.shape == (2, 3, 32, 32)
    assert float(made.image.min()) >= -1
    assert float(made.image.max()) <= 1
    assert float(made.known[1].min()) == 1
    assert bool((made.initial[1] == made.modal[1]).all())
    halves = made.parts(2)
    assert [len(h) for h in halves] == [1, 1]
    assert halves[1].parsing is None


def test_schedule_warms_up_and_ends_by_steps_or_by_time() -> None:
    optim = OptimConfig(steps=100, minutes=1, warmup=10, final=0.1)
    assert progress(optim, 50, 0) == 0.5
    assert progress(optim, 50, 45) == 0.75
    assert progress(optim, 200, 0) == 1
    assert factor(optim, 0, 0) == pytest.approx(1 / 11)
    assert factor(optim, 50, 0.0) == 1
    assert factor(optim, 99, 1.0) == pytest.approx(0.1)


def test_settings_from_file_and_pairs(tmp_path: Path) -> None:
    base = default_config("mask", QUICK)
    file = tmp_path / "a.toml"
    file.write_text("[optim]\nlr = 1\nbatch = 4\n[loss.weights]\nl1 = 0.5\n")
    config = read_config(base, "mask", file, ["optim.batch=8", "loss.vgg=vgg.pth", "loss.weights.modal=2"])
    assert config.optim.lr == 1.0
    assert config.optim.batch == 8
    assert config.loss.vgg == "vgg.pth"
    assert config.loss.weights == {**base.loss.weights, "l1": 0.5, "modal": 2.0}
    (tmp_path / "b.toml").write_text(to_toml(config))
    assert read_config(default_config("mask", PAPER), "mask", tmp_path / "b.toml") == config


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("optim.lrr=1", "optim.lr"),
        ("optm.lr=1", "optim"),
        ("loss.weights.stile=1", "style"),
        ("optim.lr=fast", "float"),
        ("optim.batch=2.5", "int"),
        ("optim=3", "section"),
        ("optim.lr", "key=value"),
        ("data.flip=2", "data.flip"),
        ("optim.batch=0", "optim.batch"),
        ("run.precision=int8", "run.precision"),
        ("loss.weights.l1=-1", "loss.weights"),
    ],
)
def test_wrong_settings_are_refused_with_the_nearest_name(pair: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_config(default_config("content", QUICK), "content", None, [pair])


def test_wrong_files_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "key.toml").write_text("[run]\nsede = 1\n")
    (tmp_path / "syntax.toml").write_text("[run\n")
    for name, told in (("key.toml", "run.seed"), ("syntax.toml", "TOML"), ("none.toml", "no such file")):
        with pytest.raises(InputError, match=told) as caught:
            read_config(default_config("mask", PAPER), "mask", tmp_path / name)
        assert name in str(caught.value)


def test_paper_weights_are_those_of_the_supplement() -> None:
    mask = default_config("mask", PAPER).loss.weights
    # (CE + CE + 0.2 CE + 0.2 CE) / 2 + 0.1 (L1 + perceptual) + adversarial.
    assert [mask[n] for n in ("modal", "amodal", "parsing_modal", "parsing_amodal")] == [0.5, 0.5, 0.1, 0.1]
    assert [mask[n] for n in ("l1", "perceptual", "adversarial", "invisible_iou")] == [0.1, 0.1, 1.0, 0.0]
    content = default_config("content", PAPER).loss
    assert [content.weights[n] for n in ("l1", "correlation", "style", "adversarial")] == [2.0, 1.0, 40.0, 1.0]
    assert content.composite == 5.0
