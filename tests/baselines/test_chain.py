"""The chain of a mask method and a content method."""

from __future__ import annotations

import numpy as np
import pytest

from deocc_bench.baselines import chain
from deocc_bench.baselines.chain import Chain
from deocc_bench.benchmark.inference import Settings, load_batch
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import Registry
from deocc_bench.core.types import Batch
from deocc_bench.methods.calling import predict
from deocc_bench.methods.loading import check_serves, load_method

ENTRIES = {
    "nearest-template": "deocc_bench.baselines.nearest_template:NearestTemplate",
    "convex-hull": "deocc_bench.baselines.convex_hull:ConvexHull",
    "mean-colour": "deocc_bench.baselines.mean_colour:MeanColour",
    "telea": "deocc_bench.baselines.telea:Telea",
    "oracle": "deocc_bench.baselines.oracle:Oracle",
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "METHODS", Registry("method", ENTRIES))


def test_runs_its_stages(figures: DatasetReader, whole_batch: Batch) -> None:
    both = Chain()
    assert both.needs == ("fit",)
    both.fit(figures, "train")
    assert (both.complete(whole_batch).amodal & ~whole_batch.modal).any()
    assert both.recover(whole_batch).images.shape == whole_batch.images.shape
    told = Chain("oracle+telea")
    assert told.needs == ("truth",)
    told.reveal(figures, "test")
    assert (told.complete(whole_batch).amodal == whole_batch.amodal).all()


def test_mean_colour_behind_masks_without_parsing(figures: DatasetReader) -> None:
    both = load_method("chain:convex-hull+mean-colour")
    settings = Settings("joint")
    check_serves(both, "joint", figures, "test", settings.initial_mask)
    batch = load_batch(list(figures.records("test"))[:4], both, settings)
    assert batch.parsing is None
    for i, prediction in enumerate(predict(both, batch, "joint")):
        assert batch.initial is not None
        assert prediction.amodal is not None
        assert prediction.image is not None
        hole = prediction.amodal & ~batch.initial[i]
        seen = batch.images[i][batch.initial[i] & prediction.amodal]
        assert hole.any()
        assert (prediction.image[hole] == np.rint(seen.mean(axis=0))).all()
        assert (prediction.image[~hole] == batch.images[i][~hole]).all()


@pytest.mark.parametrize(
    ("preset", "says"),
    [("telea", "two method names"), ("telea+oracle", "no complete"), ("oracle+nobody", "unknown method 'nobody'")],
)
def test_wrong_chains(preset: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Chain(preset)
