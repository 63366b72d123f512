"""The on-the-fly dataset: the same generator, keyed by epoch and index."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.types import Sample
from deocc_bench.synth.online import OnlineSamples
from deocc_bench.synth.spec import RatioBin, SynthSpec

SPEC = SynthSpec(("mannequin:10",), ("shapes:20",), size=96, holdout=5)


def same(a: Sample, b: Sample) -> bool:
    return a.id == b.id and all(
        np.array_equal(getattr(a, f), getattr(b, f))
        for f in ("image", "complete", "amodal", "modal", "initial", "parsing")
    )


@pytest.fixture(scope="module")
def samples() -> OnlineSamples:
    return OnlineSamples(SPEC, "train")


@pytest.mark.slow
def test_samples_are_whole(samples: OnlineSamples) -> None:
    assert len(samples) == 8
    for sample in samples:
        assert sample.split == "train"
        assert sample.image.shape == (96, 96, 3)
        assert 0.05 <= sample.occlusion_ratio <= 0.7
        assert sample.parsing is not None
        assert np.array_equal(sample.parsing > 0, sample.amodal)


@pytest.mark.slow
def test_keyed_by_epoch_and_index_alone(samples: OnlineSamples) -> None:
    samples.set_epoch(0)
    forwards = [samples[i] for i in range(len(samples))]
    samples.set_epoch(1)
    others = [samples[i] for i in range(len(samples))]
    fresh = OnlineSamples(SPEC, "train")
    for i in reversed(range(len(fresh))):
        assert same(fresh[i], forwards[i])
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(forwards, others, strict=True))
    copy = pickle.loads(pickle.dumps(samples))
    assert same(copy[3], others[3])


def test_order_is_a_shuffle_that_changes_with_the_epoch(samples: OnlineSamples) -> None:
    first, second = samples.order(0), samples.order(1)
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second
    assert samples.order(0) == first


@pytest.mark.slow
def test_a_small_cache_changes_nothing(samples: OnlineSamples) -> None:
    samples.set_epoch(2)
    frugal = OnlineSamples(SPEC, "train", cache_bytes=1)
    frugal.set_epoch(2)
    assert all(same(samples[i], frugal[i]) for i in (0, 5, 0))


@pytest.mark.slow
def test_geometric_augmentation_changes_the_frame() -> None:
    spec = SynthSpec(
        ("mannequin:3",), ("shapes:20",), size=96, splits={"train": 1.0}, augment=("shift", "scale", "flip")
    )
    samples = OnlineSamples(spec, "train")
    boxes = set()
    for epoch in range(4):
        samples.set_epoch(epoch)
        ys, xs = np.nonzero(samples[0].amodal)
        boxes.add((xs.min(), ys.min(), xs.max(), ys.max()))
    assert len(boxes) >= 3


def test_empty_split_is_told() -> None:
    with pytest.raises(InputError, match="has no humans"):
        OnlineSamples(SPEC, "val")


@pytest.mark.slow
def test_a_request_that_cannot_be_met_ends() -> None:
    # Torso and trousers are far more than a tenth of a person.
    spec = dataclasses.replace(SPEC, hide=("torso", "hips"), ratios=(RatioBin(0.05, 0.06),))
    with pytest.raises(DeoccError, match=r"mannequin-\S+: no sample in 32 tries .*widen the ratio"):
        OnlineSamples(spec, "train")[0]


@pytest.mark.slow
def test_torch_loader_takes_the_samples_themselves(samples: OnlineSamples) -> None:
    samples.set_epoch(0)
    loader = DataLoader(samples, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    loaded = list(loader)
    assert [s.id for s in loaded] == [samples[i].id for i in range(len(samples))]
    assert all(same(s, samples[i]) for i, s in enumerate(loaded))


def test_the_default_loader_collates_tensors_of_samples(samples: OnlineSamples) -> None:
    samples.set_epoch(0)
    first = next(iter(DataLoader(samples.as_torch(), batch_size=4)))
    assert first["image"].shape == first["complete"].shape == (4, 3, 96, 96)
    assert first["amodal"].shape == first["parsing"].shape == (4, 1, 96, 96)
    assert first["id"] == [samples[i].id for i in range(4)]
    assert np.array_equal(first["invisible"][2, 0].numpy(), samples[2].invisible)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_that_persist_follow_the_epoch(context: str) -> None:
    """Each epoch's samples are those that a fresh process makes of that epoch, and no epoch repeats the one before."""
    data = OnlineSamples(SPEC, "train").as_torch()
    loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True, multiprocessing_context=context)
    alone = OnlineSamples(SPEC, "train").as_torch()
    for epoch in (0, 1, 5):
        data.set_epoch(epoch)
        alone.set_epoch(epoch)
        batches, expected = list(loader), list(DataLoader(alone, batch_size=4))
        assert [b["id"] for b in batches] == [b["id"] for b in expected]
        assert all(f"-epoch-{epoch}-" in i for b in batches for i in b["id"])
        for mine, theirs in zip(batches, expected, strict=True):
            assert torch.equal(mine["image"], theirs["image"])
            assert torch.equal(mine["initial"], theirs["initial"])


def test_a_pickled_copy_counts_its_own_epochs(samples: OnlineSamples) -> None:
    samples.set_epoch(3)
    copy = pickle.loads(pickle.dumps(samples))
    assert copy.epoch == 3
    copy.set_epoch(4)
    assert samples.epoch == 3


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, deocc_bench.synth.online; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
