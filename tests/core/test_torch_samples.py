"""Samples as tensors: shapes, types and values, and that the default `DataLoader` collates them."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.torch_samples import FIELDS, TorchSamples, to_tensors
from deocc_bench.core.types import Sample


def sample(number: int = 0, *, parsing: bool = True) -> Sample:
    random = np.random.default_rng(number)
    amodal = np.zeros((6, 8), bool)
    amodal[1:5, 2:6] = True
    modal = amodal.copy()
    modal[3:] = False
    image = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    labels = np.where(amodal, 5, 0).astype(np.uint8) if parsing else None
    identity = {"id": f"s{number}", "split": "test", "group_id": f"g{number}", "human_id": f"h{number}", "variant": 0}
    return Sample(
        **identity,
        image=image,
        complete=255 - image,
        amodal=amodal,
        modal=modal,
        initial=modal,
        parsing=labels,
        occluders=(),
    )


def halved(item: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"half": item["image"] / 2}


def test_pictures_masks_and_parsing_have_the_promised_form() -> None:
    made = sample()
    tensors = to_tensors(made)
    assert set(tensors) == {"id", "group_id", *FIELDS}
    assert (tensors["id"], tensors["group_id"]) == ("s0", "g0")
    for name in ("image", "complete"):
        assert tensors[name].dtype == torch.float32
        assert tensors[name].shape == (3, 6, 8)
        assert np.array_equal(tensors[name].mul(255).round().byte().numpy().transpose(1, 2, 0), getattr(made, name))
    for name in ("amodal", "modal", "invisible", "initial"):
        assert tensors[name].dtype == torch.bool
        assert np.array_equal(tensors[name].numpy(), getattr(made, name)[None])
    assert tensors["parsing"].dtype == torch.int64
    assert np.array_equal(tensors["parsing"].numpy(), made.parsing[None])


def test_writing_to_a_tensor_leaves_the_sample_alone() -> None:
    made = sample()
    tensors = to_tensors(made)
    for name in ("image", "amodal", "parsing"):
        before = getattr(made, name).copy()
        tensors[name].zero_()
        assert np.array_equal(getattr(made, name), before)


def test_what_a_sample_lacks_is_left_out() -> None:
    bare = dataclasses.replace(sample(parsing=False), complete=None, initial=None)
    assert set(to_tensors(bare)) == {"id", "group_id", "image", "amodal", "modal", "invisible"}


def test_the_default_loader_collates() -> None:
    data = TorchSamples([sample(i) for i in range(4)])
    (batch,) = DataLoader(data, batch_size=4)
    assert batch["id"] == ["s0", "s1", "s2", "s3"]
    assert batch["image"].shape == (4, 3, 6, 8)
    assert batch["invisible"].shape == batch["parsing"].shape == (4, 1, 6, 8)
    assert torch.equal(batch["image"][2], data[2]["image"])


def test_all_items_have_the_fields_of_the_first_or_those_asked_for() -> None:
    mixed = [sample(0), sample(1, parsing=False)]
    with pytest.raises(InputError, match="sample s1: has no parsing; use only fields=image, complete, amodal"):
        TorchSamples(mixed)[1]
    chosen = TorchSamples(mixed, fields=("image", "amodal"))
    (batch,) = DataLoader(chosen, batch_size=2)
    assert set(batch) == {"id", "group_id", "image", "amodal"}
    assert set(TorchSamples(mixed[::-1])[1]) == set(to_tensors(mixed[1]))
    with pytest.raises(UsageError, match="unknown field 'amodel'; did you mean 'amodal'"):
        TorchSamples(mixed, fields=("amodel",))


def test_a_transform_is_called_and_travels_with_a_pickle() -> None:
    data = pickle.loads(pickle.dumps(TorchSamples([sample()], halved)))
    assert set(data[0]) == {"half"}
    assert torch.equal(data[0]["half"], to_tensors(sample())["image"] / 2)


def test_set_epoch_reaches_a_source_that_has_it() -> None:
    class Epochs(list[Sample]):
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    source = Epochs([sample()])
    TorchSamples(source).set_epoch(3)
    assert source.epoch == 3
    TorchSamples([sample()]).set_epoch(3)
