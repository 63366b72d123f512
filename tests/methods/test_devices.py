"""Names of devices, and which of them are there."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from deocc_bench.core.errors import UsageError
from deocc_bench.methods import devices
from deocc_bench.methods.devices import count_gpus, device_option, resolve_device


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (1, "auto", "cuda"),
        (1, "cuda", "cuda"),
        (1, "cuda:0", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (2, "cpu", "cpu"),
    ],
)
def test_devices_are_resolved(monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str, found: str) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    assert resolve_device(asked) == found


@pytest.mark.parametrize(
    ("gpus", "asked", "message"),
    [
        (0, "cuda", "device 'cuda': torch sees no GPU; use --device cpu or install a CUDA build of torch"),
        (0, "cuda:1", "device 'cuda:1': torch sees no GPU"),
        (1, "cuda:1", "device 'cuda:1': torch sees 1 GPU; the first is cuda:0"),
        (2, "cuda:2", "device 'cuda:2': torch sees 2 GPUs"),
        (2, "gpu", "unknown device 'gpu'; use auto, cpu, cuda or cuda:N"),
        (2, "cuda:", "unknown device 'cuda:'"),
        (2, "cuda:1x", "unknown device 'cuda:1x'"),
    ],
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str, message: str) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    with pytest.raises(UsageError) as caught:
        resolve_device(asked)
    assert str(caught.value).startswith(message)


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    assert count_gpus() == 0
    assert resolve_device("auto") == "cpu"


@pytest.mark.slow
def test_the_cpu_and_methods_without_a_device_need_no_torch() -> None:
    code = (
        "import sys; from deocc_bench.methods.devices import resolve_device; resolve_device('cpu')\n"
        "from deocc_bench.methods.loading import load_method; load_method('chain:convex-hull+telea')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_option_takes_names_alone() -> None:
    @click.command()
    @device_option()
    def command(device: str) -> None:
        click.echo(device)

    runner = CliRunner()
    assert runner.invoke(command, ["--device", "cuda:1"]).output == "cuda:1\n"
    assert runner.invoke(command, []).output == "auto\n"
    refused = runner.invoke(command, ["--device", "gpu"])
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == "unknown device 'gpu'; use auto, cpu, cuda or cuda:N"
    assert "[auto|cpu|cuda|cuda:N]" in runner.invoke(command, ["--help"]).output
