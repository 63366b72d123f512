"""The provenance of numbers and files: versions, machine, content digests."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench import __version__

# The packages that can change a pixel of a dataset. The fingerprint is only guaranteed for fixed versions of these.
DATA_PACKAGES = ("numpy", "opencv-python-headless", "pillow", "pycocotools", "scipy")


def versions(packages: Iterable[str] = DATA_PACKAGES) -> dict[str, str]:
    """Installed versions of `packages`, Python and deocc-bench; missing packages are omitted."""
    found = {"python": platform.python_version(), "deocc-bench": __version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, Any]:
    """The machine and the libraries of a run, for the result record. Queries torch only if it is already imported."""
    info: dict[str, Any] = {
        **versions((*DATA_PACKAGES, "torch", "torchmetrics", "scikit-image", "pandas")),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        info["torch_threads"] = torch.get_num_threads()
        info["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
        info["cuda"] = torch.version.cuda
    return info


def digest(*values: np.ndarray | bytes | str) -> str:
    """Hex SHA-256 over `values` in order; an array is hashed by its dtype, shape and C-order bytes."""
    h = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            h.update(f"{value.dtype.str}{value.shape}".encode())
            h.update(np.ascontiguousarray(value).data)
        else:
            raw = value.encode() if isinstance(value, str) else value
            h.update(f"b{len(raw)}:".encode())
            h.update(raw)
    return h.hexdigest()


def code_digest(obj: Any) -> str | None:
    """Hex SHA-256 of the source file that defines the class or instance `obj`; None if there is no source."""
    cls = obj if inspect.isclass(obj) else type(obj)
    try:
        return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
