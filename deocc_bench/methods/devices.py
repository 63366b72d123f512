"""Devices: what a user may say, and which device of this machine that is."""

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
    """`device` itself if it is "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: another word.
    """
    if not _NAME.fullmatch(device):
        raise UsageError(f"unknown device {device!r}; say auto, cpu, cuda or cuda:N")
    return device


def resolve_device(device: str) -> str:
    """The device to compute on, "cpu", "cuda" or "cuda:N": "auto" is the GPU where torch sees one, else the CPU.

    torch is imported only where the answer depends on it.

    Raises:
        UsageError: another word, or a GPU that this machine does not have.
    """
    if check_name(device) == CPU:
        return CPU
    gpus = count_gpus()
    if device == AUTO:
        return CUDA if gpus else CPU
    if not gpus:
        raise UsageError(f"device {device!r}: torch sees no GPU here; say --device cpu or install a CUDA torch")
    if device != CUDA and int(device.removeprefix("cuda:")) >= gpus:
        raise UsageError(f"device {device!r}: torch sees {gpus} GPU{'s' * (gpus > 1)} here; the first is cuda:0")
    return device


def on_gpu(device: str) -> bool:
    """Whether a resolved device is a GPU."""
    return device.startswith(CUDA)


def device_option() -> Callable[[Any], Any]:
    """The option `--device` of a command: checks the word; `resolve_device` asks the machine."""
    shown = "[auto|cpu|cuda|cuda:N]"
    return click.option("--device", type=check_name, default=AUTO, show_default=True, metavar=shown)


def count_gpus() -> int:
    """How many GPUs torch sees; none without torch."""
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
