"""The shared reader of our safetensors files: weights, checkpoints, the plain U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deocc_bench.core.errors import InputError


def read_safetensors(
    path: str | Path, file_format: str, *, tensors: bool = True, missing: str, broken: str, other: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read the metadata and, unless `tensors` is false, the tensors of a file whose format is `file_format`.

    Args:
        missing, broken, other: advice for the user if the file does not exist, is incomplete, or has another format.

    Raises:
        InputError: in each of these three cases.
    """
    if not Path(path).is_file():
        raise InputError(path, "no such file", missing)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(path, f"is not a complete safetensors file ({error})", broken) from None
    if metadata.get("format") != file_format:
        found = metadata.get("format", "none")
        raise InputError(path, f"its format is '{found}', not '{file_format}'", other)
    return metadata, values


def misfits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors of a file from being loaded into a network: missing or unknown names, other shapes or types.

    Args:
        expected: the network's state; its tensors may be on the device "meta". Floats may be stored as float16.
    """
    wrong = [f"{name} is missing" for name in expected if name not in tensors]
    wrong += [f"{name} is unknown" for name in tensors if name not in expected]
    for name, value in expected.items():
        found = tensors.get(name)
        if found is None:
            continue
        halved = value.is_floating_point() and found.dtype == torch.float16
        if found.shape != value.shape:
            wrong.append(f"{name} has shape {tuple(found.shape)}, not {tuple(value.shape)}")
        elif found.dtype != value.dtype and not halved:
            wrong.append(f"{name} is of type {found.dtype}, not {value.dtype}")
    return wrong
