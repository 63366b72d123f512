"""Devices: the accepted names, and the device of this machine that a name resolves to."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import click

from deocc_bench.core.errors import UsageError

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_name(device: str) -> str:
    """Return `device` if it is "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: any other name.
    """
    if not _NAME.fullmatch(device):
        raise UsageError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N")
    return device


def resolve_device(device: str) -> str:
    """Resolve a device name to "cpu", "cuda" or "cuda:N"; "auto" is the GPU if torch sees one, else the CPU.

    torch is imported only if the result depends on it.

    Raises:
        UsageError: an unknown name, or a GPU that this machine does not have.
    """
    if check_name(device) == CPU:
        return CPU
    gpus = count_gpus()
    if device == AUTO:
        return CUDA if gpus else CPU
    if not gpus:
        raise UsageError(f"device {device!r}: torch sees no GPU; use --device cpu or install a CUDA build of torch")
    if device != CUDA and int(device.removeprefix("cuda:")) >= gpus:
        raise UsageError(f"device {device!r}: torch sees {gpus} GPU{'s' * (gpus > 1)}; the first is cuda:0")
    return device


def on_gpu(device: str) -> bool:
    """Whether a resolved device is a GPU."""
    return device.startswith(CUDA)


def device_option() -> Callable[[Any], Any]:
    """The option `--device` of a command. It checks only the name; `resolve_device` checks the machine."""
    shown = "[auto|cpu|cuda|cuda:N]"
    return click.option("--device", type=check_name, default=AUTO, show_default=True, metavar=shown)


def count_gpus() -> int:
    """Number of GPUs that torch sees; 0 without torch."""
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
