"""The chain of a mask method and a content method."""

from __future__ import annotations

import pytest

from deocc_bench.baselines import chain
from deocc_bench.baselines.chain import Chain
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import Registry
from deocc_bench.core.types import Batch

ENTRIES = {
    "nearest-template": "deocc_bench.baselines.nearest_template:NearestTemplate",
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


@pytest.mark.parametrize(
    ("preset", "says"),
    [("telea", "two method names"), ("telea+oracle", "no complete"), ("oracle+nobody", "unknown method 'nobody'")],
)
def test_wrong_chains(preset: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Chain(preset)
