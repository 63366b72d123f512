"""Mask baselines: exact where a hand can compute, in the known order where it can't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.morphology import convex_hull_image

from deocc_bench.baselines.convex_hull import ConvexHull
from deocc_bench.baselines.dilate import Dilate
from deocc_bench.baselines.initial import Initial
from deocc_bench.baselines.mean_shape import MeanShape
from deocc_bench.baselines.modal import Modal
from deocc_bench.baselines.nearest_template import NearestTemplate
from deocc_bench.baselines.oracle import Oracle
from deocc_bench.baselines.symmetry import Symmetry
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch

METHODS = (Modal, Initial, ConvexHull, Dilate, MeanShape, NearestTemplate, Symmetry, Oracle)


def scores(amodal: np.ndarray, batch: Batch) -> tuple[float, float]:
    """(mean amodal IoU, mean invisible IoU), written out anew."""
    whole, hidden = [], []
    for p, a, m in zip(amodal, batch.amodal, batch.modal, strict=True):
        whole.append((p & a).sum() / (p | a).sum())
        claimed, true = p & ~m, a & ~m
        hidden.append((claimed & true).sum() / (claimed | true).sum())
    return float(np.mean(whole)), float(np.mean(hidden))


@pytest.mark.slow
@pytest.mark.parametrize("factory", METHODS)
def test_says_what_it_is_and_gives_masks(factory: type, ready: Callable[[type], Any], whole_batch: Batch) -> None:
    method = ready(factory)
    amodal = method.complete(whole_batch).amodal
    assert amodal.dtype == np.bool_
    assert amodal.shape == whole_batch.images.shape[:3]
    assert factory.name
    assert "Source:" in (factory.__doc__ or "")


@pytest.mark.slow
@pytest.mark.parametrize("factory", METHODS)
def test_batches_do_not_matter(factory: type, ready: Callable[[type], Any], held_out: list, batch_of: Any) -> None:
    method, again = ready(factory), ready(factory)
    together = method.complete(batch_of(held_out)).amodal
    alone = [again.complete(batch_of([s])).amodal[0] for s in reversed(held_out)]
    assert np.array_equal(together, np.stack(alone[::-1]))


@pytest.mark.slow
def test_known_orders(ready: Callable[[type], Any], whole_batch: Batch) -> None:
    found = {f.name: scores(ready(f).complete(whole_batch).amodal, whole_batch) for f in METHODS}
    assert found["modal"][1] == 0
    assert found["oracle"] == (1, 1)
    hidden = {name: value[1] for name, value in found.items()}
    assert hidden["nearest-template"] > hidden["convex-hull"] + 0.1, found
    assert hidden["mean-shape"] > hidden["convex-hull"], found
    assert hidden["nearest-template"] > hidden["mean-shape"], found
    assert hidden["convex-hull"] > hidden["dilate"] > hidden["initial"], found
    assert hidden["symmetry"] > hidden["initial"], found
    assert found["nearest-template"][0] > found["convex-hull"][0] > found["modal"][0], found


@pytest.mark.slow
@pytest.mark.parametrize("factory", [ConvexHull, Dilate, MeanShape, NearestTemplate, Symmetry])
def test_keeps_the_visible_part_and_survives_an_empty_mask(
    factory: type, ready: Callable[[type], Any], whole_batch: Batch
) -> None:
    method = ready(factory)
    initial = whole_batch.initial.copy()
    initial[0] = False
    amodal = method.complete(replace(whole_batch, initial=initial)).amodal
    assert not amodal[0].any()
    assert not (initial & ~amodal).any()


@pytest.mark.parametrize("factory", [MeanShape, NearestTemplate])
def test_another_frame_size(factory: type, ready: Callable[[type], Any]) -> None:
    mask = np.zeros((1, 150, 90), bool)
    mask[0, 40:120, 30:60] = True
    batch = Batch(("a",), np.zeros((1, 150, 90, 3), np.uint8), initial=mask)
    assert ready(factory).complete(batch).amodal.sum() >= mask.sum()


def test_convex_hull_agrees_with_skimage(whole_batch: Batch) -> None:
    ours = ConvexHull().complete(whole_batch).amodal
    for got, mask in zip(ours, whole_batch.initial, strict=True):
        other = convex_hull_image(mask, offset_coordinates=False)
        # Pixel centres inside the hull, and at most the pixels that its outline touches.
        assert not (other & ~got).any()
        assert not (got & ~binary_dilation(other, np.ones((3, 3)))).any()


def test_dilate_by_a_relative_radius() -> None:
    mask = np.zeros((1, 41, 41), bool)
    mask[0, 15:25, 15:25] = True  # square root of the area: 10
    batch = Batch(("a",), np.zeros((1, 41, 41, 3), np.uint8), initial=mask)
    grown = Dilate(preset="0.3").complete(batch).amodal[0]
    assert grown[20, 12]
    assert grown[20, 27]
    assert not grown[20, 11]
    assert not grown[20, 28]
    assert not grown[12, 12]
    for bad in ("wide", "-1"):
        with pytest.raises(UsageError, match="dilate takes a radius"):
            Dilate(preset=bad)


def test_symmetry_completes_a_half_hidden_cross() -> None:
    whole = np.zeros((61, 61), bool)
    whole[5:55, 26:35] = True
    whole[15:21, 10:51] = True
    seen = whole.copy()
    seen[:, 40:] = False
    batch = Batch(("a",), np.zeros((1, 61, 61, 3), np.uint8), initial=seen[None])
    assert np.array_equal(Symmetry().complete(batch).amodal[0], whole)


def test_a_template_is_found_where_it_stands(figures: DatasetReader, whole_batch: Batch) -> None:
    one = NearestTemplate(vote=1)
    one.fit(figures, "train")
    assert scores(one.complete(whole_batch).amodal, whole_batch)[0] > 0.75


def test_unfitted_or_unfed_methods_say_so(whole_batch: Batch) -> None:
    with pytest.raises(UsageError, match="call fit"):
        NearestTemplate().complete(whole_batch)
    with pytest.raises(UsageError, match="call fit"):
        MeanShape().complete(whole_batch)
    with pytest.raises(UsageError, match="reveal"):
        Oracle().complete(whole_batch)
    bare = Batch(whole_batch.ids, whole_batch.images)
    with pytest.raises(UsageError, match="initial mask"):
        ConvexHull().complete(bare)
    with pytest.raises(UsageError, match="modal"):
        Modal().complete(bare)
