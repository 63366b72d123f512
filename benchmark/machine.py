"""The machine of a latency measurement: device, threads, clocks, memory."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from deocc_bench.core.provenance import environment
from deocc_bench.methods.devices import on_gpu


def device_name(device: str) -> str:
    """The GPU's or CPU's name."""
    if on_gpu(device):
        import torch

        return str(torch.cuda.get_device_name(torch.device(device)))
    return str(environment()["cpu"])


def clocks_note(device: str) -> str:
    """A note about the clock rate during the measurement."""
    if on_gpu(device):
        return "GPU clocks not locked by the harness; compare ratios, or lock them (nvidia-smi -lgc) and report it"
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return f"CPU governor {governor.read_text().strip()}; clocks not locked by the harness"
    except OSError:
        return f"CPU clocks unknown ({platform.system()}) and not locked by the harness; compare ratios"


def threads() -> dict[str, Any]:
    """Threads of torch and OpenCV, and cores."""
    import cv2

    torch = sys.modules.get("torch")
    return {
        "torch": None if torch is None else torch.get_num_threads(),
        "opencv": cv2.getNumThreads(),
        "cores": os.cpu_count(),
    }


def reset_peak_rss() -> int | None:
    """Reset the peak of the resident set (Linux); return the current size in bytes, None if that is not possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return resident("VmRSS")


def resident(field_name: str) -> int | None:
    """A field of /proc/self/status in bytes: "VmRSS" (current) or "VmHWM" (peak); None if unknown."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field_name}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def set_threads(count: int | None) -> None:
    """Set the number of threads of torch and OpenCV; None leaves them unchanged."""
    if count is None:
        return
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
