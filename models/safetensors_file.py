"""The shared reader of our safetensors files: weights, checkpoints, the plain U-Net."""

from __future__ import annotations

from pathlib import Path

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
