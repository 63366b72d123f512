"""Content baselines: only the hole changes, the occluder leaves no trace, simple fills come out as computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deocc_bench.baselines.biharmonic import Biharmonic
from deocc_bench.baselines.copy_image import Copy
from deocc_bench.baselines.fills import extend
from deocc_bench.baselines.mean_colour import MeanColour
from deocc_bench.baselines.navier_stokes import NavierStokes
from deocc_bench.baselines.nearest_human import NearestHuman
from deocc_bench.baselines.oracle import Oracle
from deocc_bench.baselines.patch_match import PatchMatch
from deocc_bench.baselines.telea import Telea
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.types import Batch

FILLS = (MeanColour, Telea, NavierStokes, Biharmonic, PatchMatch, NearestHuman)
METHODS = (Copy, *FILLS, Oracle)


def hole_of(batch: Batch) -> np.ndarray:
    assert batch.amodal is not None
    assert batch.modal is not None
    return batch.amodal & ~batch.modal


def error(images: np.ndarray, batch: Batch, complete: np.ndarray) -> float:
    hole = hole_of(batch)
    return float(
        np.mean([np.abs(a[h].astype(float) - b[h]).mean() for a, b, h in zip(images, complete, hole, strict=True)])
    )


@pytest.fixture(scope="module")
def complete(held_out: list) -> np.ndarray:
    return np.stack([s.complete for s in held_out])


@pytest.mark.slow
@pytest.mark.parametrize("factory", METHODS)
def test_only_the_hole_changes(factory: type, ready: Callable[[type], Any], whole_batch: Batch) -> None:
    before = whole_batch.images.copy()
    images = ready(factory).recover(whole_batch).images
    assert images.dtype == np.uint8
    assert images.shape == before.shape
    outside = ~hole_of(whole_batch)
    assert np.array_equal(images[outside], before[outside])
    assert np.array_equal(whole_batch.images, before), "the input was changed"
    assert "Source:" in (factory.__doc__ or "")


@pytest.mark.slow
@pytest.mark.parametrize("factory", FILLS)
def test_never_looks_at_occluder_or_background(factory: type, ready: Callable[[type], Any], whole_batch: Batch) -> None:
    method = ready(factory)
    other = whole_batch.images.copy()
    other[~whole_batch.modal] = 255 - other[~whole_batch.modal]
    hole = hole_of(whole_batch)
    a = method.recover(whole_batch).images
    b = method.recover(replace(whole_batch, images=other)).images
    assert np.array_equal(a[hole], b[hole])


@pytest.mark.slow
@pytest.mark.parametrize("factory", METHODS)
def test_batches_do_not_matter(factory: type, ready: Callable[[type], Any], held_out: list, batch_of: Any) -> None:
    together = ready(factory).recover(batch_of(held_out)).images
    method = ready(factory)
    alone = [method.recover(batch_of([s])).images[0] for s in reversed(held_out)]
    assert np.array_equal(together, np.stack(alone[::-1]))


@pytest.mark.slow
def test_floor_and_ceiling(ready: Callable[[type], Any], whole_batch: Batch, complete: np.ndarray) -> None:
    found = {f.name: error(ready(f).recover(whole_batch).images, whole_batch, complete) for f in METHODS}
    assert found["oracle"] == 0
    for factory in FILLS:
        assert found[factory.name] < 0.7 * found["copy"], found
    # Flat garments: knowing the part is worth more than anything else here.
    assert found["mean-colour"] == min(found[f.name] for f in FILLS), found


def test_mean_colour_by_part_mirror_and_whole() -> None:
    image = np.zeros((1, 4, 6, 3), np.uint8)
    parsing = np.array([[[5, 5, 14, 15, 9, 0]] * 4], np.uint8)
    image[0, :, 0], image[0, :, 1] = (10, 20, 30), (250, 0, 250)
    image[0, :, 2], image[0, :, 3], image[0, :, 4] = (90, 60, 30), (250, 0, 250), (250, 0, 250)
    amodal = parsing > 0
    modal = amodal.copy()
    modal[0, :, [1, 3, 4]] = False
    out = MeanColour().recover(Batch(("a",), image, modal=modal, amodal=amodal, parsing=parsing)).images[0]
    assert out[0, 1].tolist() == [10, 20, 30]
    assert out[0, 3].tolist() == [90, 60, 30], "the right arm takes the left arm's colour"
    assert out[0, 4].tolist() == [50, 40, 30], "nothing of the trousers is seen: the whole person's mean"
    unlabelled = MeanColour().recover(Batch(("a",), image, modal=modal, amodal=amodal)).images[0]
    assert unlabelled[0, 1].tolist() == [50, 40, 30]


@pytest.mark.parametrize("factory", [Telea, NavierStokes, Biharmonic, PatchMatch])
def test_a_plain_garment_is_continued(factory: type) -> None:
    image = np.full((1, 64, 64, 3), 255, np.uint8)
    amodal = np.zeros((1, 64, 64), bool)
    amodal[0, 8:56, 16:48] = True
    image[amodal] = (40, 90, 140)
    modal = amodal.copy()
    modal[0, 24:40, 10:40] = False
    image[0, 24:40, 10:40] = (255, 0, 0)
    out = factory().recover(Batch(("a",), image, modal=modal, amodal=amodal)).images
    assert np.abs(out[amodal].astype(int) - (40, 90, 140)).max() <= 4


def test_patch_match_continues_stripes() -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, :, :, 0] = np.where(np.arange(64) // 4 % 2, 220, 30)[:, None]
    amodal = np.ones((1, 64, 64), bool)
    modal = amodal.copy()
    modal[0, 24:40, 24:40] = False
    occluded = image.copy()
    occluded[~modal] = 128
    out = PatchMatch().recover(Batch(("a",), occluded, modal=modal, amodal=amodal)).images
    assert np.abs(out.astype(int) - image)[~modal].mean() < 15  # a flat mean would be off by 95 / 3


@pytest.mark.parametrize("factory", [MeanColour, Telea, NavierStokes, Biharmonic, PatchMatch, NearestHuman])
def test_nobody_visible_and_nothing_hidden(factory: type, ready: Callable[[type], Any], whole_batch: Batch) -> None:
    method = ready(factory)
    nobody = replace(whole_batch, modal=np.zeros_like(whole_batch.modal))
    assert method.recover(nobody).images.shape == whole_batch.images.shape
    nothing = replace(whole_batch, modal=whole_batch.amodal)
    assert np.array_equal(method.recover(nothing).images, whole_batch.images)


def test_a_hole_of_the_whole_window(ready: Callable[[type], Any]) -> None:
    amodal = np.ones((1, 40, 40), bool)
    modal = np.zeros((1, 40, 40), bool)
    modal[0, 0, 0] = True
    image = np.full((1, 40, 40, 3), 7, np.uint8)
    for factory in FILLS:
        out = ready(factory).recover(Batch(("a",), image, modal=modal, amodal=amodal)).images
        assert out.shape == image.shape


def test_extend_takes_the_nearest_known_pixel() -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    known = np.zeros((5, 7), bool)
    known[0, 0] = known[4, 6] = True
    out = extend(image, known)
    assert np.array_equal(out[1, 1], image[0, 0])
    assert np.array_equal(out[3, 6], image[4, 6])
    assert np.array_equal(out[known], image[known])


def test_missing_masks_and_donors_are_named(figures: DatasetReader, whole_batch: Batch, tmp_path: Any) -> None:
    bare = Batch(whole_batch.ids, whole_batch.images)
    for factory in (MeanColour, Telea, Biharmonic, PatchMatch):
        with pytest.raises(UsageError, match="amodal masks"):
            factory().recover(bare)
    with pytest.raises(UsageError, match="call fit"):
        NearestHuman().recover(whole_batch)

    class Lacking:
        root = tmp_path

        def records(self, split: str) -> list:
            return []

    with pytest.raises(InputError, match="no complete images"):
        NearestHuman().fit(Lacking(), "train")  # type: ignore[arg-type]
