"""Weights of the plain U-Net from somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from deocc_bench.baselines.unet import UNet, load_unet, save_unet
from deocc_bench.core.errors import InputError


def test_foreign_weights_are_checked_before_memory_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    net = UNet(8)
    save_unet(net, path)
    assert load_unet(path).width == 8
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - no mapping
    for width, says in (
        ("9999", "tensors are not those of the U-Net"),
        ("1000000", "its width is '1000000'"),
        ("-8", "its width is '-8'"),
        ("a", "its width is 'a'"),
        ("²", "its width is '²'"),
    ):
        save_file(tensors, path, metadata | {"width": width})
        with pytest.raises(InputError, match=says):
            load_unet(path)
    metadata.pop("width")
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match="its width is ''"):
        load_unet(path)
