"""The registered methods: any image size, sources of parsing and weights, what they refuse."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import LIP
from deocc_bench.core.types import Batch
from deocc_bench.methods.calling import hand_over
from deocc_bench.models import two_stage
from deocc_bench.models.config import ContentConfig, MaskConfig
from deocc_bench.models.two_stage import ContentBaseline, MaskBaseline, TwoStage
from deocc_bench.models.weights import build, save_weights
from deocc_bench.models.working_frame import WorkingFrame


@pytest.fixture(autouse=True)
def _nothing_shipped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(two_stage, "shipped_weights", lambda name: None)
    return


def make_batch(height: int, width: int, count: int = 2, parsing: bool = False) -> Batch:
    generator = np.random.default_rng(height * width)
    amodal = np.zeros((count, height, width), bool)
    amodal[:, height // 4 : -height // 4, width // 4 : -width // 4] = True
    modal = amodal.copy()
    modal[:, height // 2 :] = False
    images = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    labels = (amodal * generator.integers(1, 20, amodal.shape)).astype(np.uint8) if parsing else None
    return Batch(tuple(f"s{i}" for i in range(count)), images, modal, modal, amodal, labels)


@pytest.mark.parametrize("size", [(128, 128), (150, 90), (64, 200)])
def test_any_size_in_and_out(size: tuple[int, int]) -> None:
    method, batch = TwoStage(size=128), make_batch(*size)
    output = method.complete(batch)
    for array in (output.amodal, output.modal):
        assert array is not None
        assert array.dtype == bool
        assert array.shape == (2, *size)
    assert output.parsing is not None
    assert output.parsing.max() <= 19
    assert np.array_equal(output.parsing > 0, output.amodal)
    assert not np.any(output.modal & ~output.amodal)
    images = method.recover(batch).images
    assert batch.amodal is not None
    assert batch.modal is not None
    invisible = batch.amodal & ~batch.modal
    assert np.array_equal(images[~invisible], batch.images[~invisible])
    assert not np.array_equal(images[invisible], batch.images[invisible])


def test_hidden_pixels_do_not_reach_the_result() -> None:
    method, batch = TwoStage(size=128), make_batch(150, 90, parsing=True)
    assert batch.amodal is not None
    assert batch.modal is not None
    invisible = batch.amodal & ~batch.modal
    # One pixel of margin: resizing mixes neighbours at the border of the region.
    inner = invisible.copy()
    for axis in (1, 2):
        for step in (-2, -1, 1, 2):
            inner &= np.roll(invisible, step, axis)
    other = batch.images.copy()
    other[inner] = 255 - other[inner]
    a, b = method.recover(batch).images, method.recover(dataclasses.replace(batch, images=other)).images
    assert inner.any()
    assert np.array_equal(a, b)


@pytest.mark.slow
def test_results_do_not_depend_on_the_batch() -> None:
    method, batch = TwoStage(size=128), make_batch(128, 128, parsing=True)
    whole, images = method.complete(batch), method.recover(batch).images
    for i in range(2):

        def one(value: np.ndarray | None, at: int = i) -> np.ndarray | None:
            return None if value is None else value[at : at + 1]

        fields = ("images", "initial", "modal", "amodal", "parsing", "modal_parsing")
        single = Batch((batch.ids[i],), **{name: one(getattr(batch, name)) for name in fields})  # type: ignore[arg-type]
        assert np.array_equal(method.complete(single).amodal[0], whole.amodal[i])
        assert np.abs(method.recover(single).images[0].astype(int) - images[i].astype(int)).max() <= 1


def test_recover_reads_the_batchs_parsing_or_has_one_made() -> None:
    method, batch = TwoStage(size=128), make_batch(128, 128, parsing=True)
    without = dataclasses.replace(batch, parsing=None)
    made = method.recover(without).images
    assert not np.array_equal(method.recover(batch).images, made)
    own = method.complete(without)
    assert own.modal_parsing is not None
    assert not np.any((own.modal_parsing > 0) > own.modal)  # type: ignore[operator]
    given = dataclasses.replace(without, parsing=own.parsing, modal_parsing=own.modal_parsing, parsing_source="method")
    assert np.array_equal(method.recover(given).images, made)


def test_where_a_parsing_comes_from_decides_at_which_size_parts_meet() -> None:
    method, batch = TwoStage(size=128), make_batch(256, 256, parsing=True)
    truth, own, unknown = (
        method.recover(dataclasses.replace(batch, parsing_source=source)).images for source in ("truth", "method", None)
    )
    assert np.array_equal(truth, unknown)
    assert not np.array_equal(truth, own)


def joint(method: TwoStage, batch: Batch) -> np.ndarray:
    return method.recover(hand_over(batch, method.complete(batch))).images


@pytest.mark.slow
def test_calls_leave_nothing_behind() -> None:
    method = TwoStage(size=128)
    one = dataclasses.replace(make_batch(128, 128), modal=None, amodal=None)
    # The same ids on purpose: samples of two datasets may share them.
    two = dataclasses.replace(one, images=255 - one.images, initial=np.roll(one.initial, 9, axis=2))  # type: ignore
    alone = [joint(TwoStage(size=128), batch) for batch in (one, two)]
    handed = [hand_over(batch, method.complete(batch)) for batch in (one, two)]
    for at in (1, 0, 0, 1):
        assert np.array_equal(method.recover(handed[at]).images, alone[at])
    content = make_batch(128, 128, parsing=True)
    before = TwoStage(size=128).recover(content).images
    assert np.array_equal(method.recover(content).images, before)
    assert not np.array_equal(alone[0], alone[1])


@pytest.mark.slow
def test_threads_do_not_disturb_each_other() -> None:
    method = TwoStage(size=128)
    plain = make_batch(128, 128)
    batches = [dataclasses.replace(plain, images=np.roll(plain.images, 20 * k, axis=1)) for k in range(6)]
    alone = [joint(method, batch) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        for found, wanted in zip(pool.map(lambda batch: joint(method, batch), batches), alone, strict=True):
            assert np.array_equal(found, wanted)


def test_random_weights_are_seeded_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    batch = make_batch(128, 128)
    first, second = TwoStage(size=128), TwoStage(size=128)
    assert "no trained weights" in capsys.readouterr().err
    assert first.weights_used == {
        "mask": "none: random initialisation, seed 0",
        "content": "none: random initialisation, seed 0",
    }
    assert np.array_equal(first.recover(batch).images, second.recover(batch).images)


def test_weights_from_files_bring_their_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = MaskConfig(width=4, branches=False, size=128)
    info = save_weights(tmp_path / "a.safetensors", build(mask, 1), "tiny")
    save_weights(tmp_path / "b.safetensors", build(ContentConfig(width=8, pga="none", size=128), 1), "tiny")
    method = TwoStage(weights=tmp_path)
    assert "random" not in capsys.readouterr().err
    assert method.weights_used["mask"] == f"a.safetensors sha256:{info.digest}"
    batch = make_batch(128, 128)
    assert method.complete(batch).parsing is None
    nothing = np.zeros((2, 128, 128), np.uint8)
    images = method.recover(batch).images
    assert np.array_equal(images, method.recover(dataclasses.replace(batch, parsing=nothing)).images)
    with pytest.raises(InputError, match="holds content weights; give mask weights"):
        MaskBaseline(weights=tmp_path / "b.safetensors")
    save_weights(tmp_path / "c.safetensors", build(mask, 2), "tiny")
    with pytest.raises(InputError, match="two mask networks"):
        TwoStage(weights=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.safetensors"):
        TwoStage(weights=tmp_path / "empty")


def test_baselines_do_their_half() -> None:
    batch = make_batch(128, 128, parsing=True)
    mask, content = MaskBaseline(), ContentBaseline(size=128)
    assert not callable(getattr(mask, "recover", None))
    assert not callable(getattr(content, "complete", None))
    assert mask.complete(batch).parsing is None
    images = content.recover(batch).images
    assert images.shape == batch.images.shape


def test_missing_inputs_are_named() -> None:
    batch = make_batch(128, 128)
    with pytest.raises(InputError, match="needs initial masks"):
        TwoStage(size=128).complete(dataclasses.replace(batch, initial=None))
    with pytest.raises(InputError, match="needs modal and amodal masks"):
        TwoStage(size=128).recover(dataclasses.replace(batch, modal=None))


@pytest.mark.parametrize(
    ("image", "frame"),
    [((256, 256), (256, 256)), ((300, 200), (256, 256)), ((64, 200), (128, 256))],
)
def test_frames_round_trip(image: tuple[int, int], frame: tuple[int, int]) -> None:
    fitted = WorkingFrame.fit(*image, 256)
    assert (fitted.frame_height, fitted.frame_width) == frame
    mask = np.ones((1, *image), bool)
    placed = fitted.masks(mask)
    assert placed.shape == (1, 1, *frame)
    assert float(placed.sum()) == fitted.height * fitted.width
    assert fitted.back(placed[:, 0].numpy()).min() == 1
    values = np.full((2, *image, 3), 255, np.uint8)
    tensor = fitted.images(values)
    assert tensor.shape == (2, 3, *frame)
    assert float(tensor.max()) == pytest.approx(1.0)
    if (fitted.height, fitted.width) != frame:
        assert float(tensor.min()) == pytest.approx(-1.0)
    assert fitted.back(tensor.permute(0, 2, 3, 1).numpy()).shape == values.shape


def test_parts_meet_in_edges_of_the_images_own_size() -> None:
    # A fresh network paints nothing but the colour of each part; the edge lies within a pixel of its working size.
    method, batch = TwoStage(size=128), make_batch(256, 256)
    assert batch.amodal is not None
    assert batch.modal is not None
    labels = np.where(np.arange(256) < 101, 5, 9).astype(np.uint8) * batch.amodal
    images = np.where((labels == 5)[..., None], np.uint8([200, 40, 40]), np.uint8([20, 60, 220]))
    batch = dataclasses.replace(batch, images=images, parsing=labels)
    assert batch.amodal is not None
    assert batch.modal is not None
    painted = method.recover(batch).images
    invisible = batch.amodal & ~batch.modal
    for part in (5, 9):
        here = painted[0][invisible[0] & (labels[0] == part)]
        assert len(np.unique(here, axis=0)) == 1
        assert np.abs(here[0].astype(int) - images[0][labels[0] == part][0]).max() <= 10


def test_countable_runs_the_networks_that_a_counter_sees() -> None:
    method, batch = TwoStage(size=128), make_batch(128, 128, count=1)
    forms = {kind: stage.form for kind, stage in method._stages.items()}
    whole = method.complete(batch).amodal
    with method.countable(), FlopCounterMode(display=False) as counter:
        plain = method.complete(batch).amodal
    assert counter.get_total_flops() > 1e9  # the mask network alone
    assert np.mean(whole != plain) < 1e-3
    assert {kind: stage.form for kind, stage in method._stages.items()} == forms


@pytest.mark.slow
def test_with_mirror_the_answer_to_a_mirrored_picture_is_the_mirrored_answer() -> None:
    batch = make_batch(128, 128)
    assert batch.initial is not None
    turned = dataclasses.replace(batch, images=batch.images[:, :, ::-1], initial=batch.initial[:, :, ::-1])
    swap = LIP.flip_table()
    agreement = {}
    for mirror in (False, True):
        method = TwoStage("tiny", mirror=mirror)
        straight, back = method.complete(batch), method.complete(turned)
        for name in ("amodal", "modal", "parsing"):
            there = getattr(back, name)[:, :, ::-1]
            there = swap[there] if name == "parsing" else there
            agreement[name, mirror] = np.mean(getattr(straight, name) == there)
    for name in ("amodal", "modal", "parsing"):
        assert agreement[name, True] > 0.999
        assert agreement[name, False] < agreement[name, True]


def test_mirroring_doubles_the_counted_work() -> None:
    counted = []
    for mirror in (False, True):
        method = MaskBaseline("tiny", mirror=mirror)
        with method.countable(), FlopCounterMode(display=False) as counter:
            method.complete(make_batch(128, 128, count=1))
        counted.append(counter.get_total_flops())
    assert counted[1] == 2 * counted[0]


@pytest.mark.slow
def test_the_stages_of_a_run_do_what_a_run_does() -> None:
    method, batch = TwoStage(size=128), dataclasses.replace(make_batch(128, 128), modal=None, amodal=None)

    def run(value: Any, function: str | None) -> Any:
        for _, stage in method.latency_stages(value, function):
            value = stage(value)
        return value

    masks = run(batch, "complete")
    assert np.array_equal(masks.amodal, method.complete(batch).amodal)
    handed = hand_over(batch, masks)
    assert np.array_equal(run(handed, "recover").images, method.recover(handed).images)
    assert np.array_equal(run(batch, None).images, joint(method, batch))
