"""How long a large COCO file takes to open as an occluder source, and how much memory.

    python benchmarks/coco_open.py --annotations 100000
    python benchmarks/coco_open.py --annotations 100000 --parsers

The file is made in a temporary folder: photos of 640 x 480 with 20 instances each, polygons of about 40 points.
`--parsers` compares ways to read and check the records alone: json, msgspec and, where it is installed, pydantic.
Each measurement runs in its own process. Memory is the peak of that process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_WIDTH, _HEIGHT = 640, 480
_PER_PHOTO = 20
_NAMES = ("person", "chair", "bottle", "dining table", "dog", "umbrella", "bench", "cup")


def open_source(path: Path) -> str:
    """Open the file as an occluder source."""
    from deocc_bench.synth.occluders import open_occluders

    source = open_occluders(f"coco:{path}")
    return f", {len(source.ids())} occluders of {len(source.ids()) + len(source.rejected())} instances"


def read_json(path: Path) -> str:
    """Read and check the records with the standard library."""
    data = json.loads(path.read_text())
    for a in data["annotations"]:
        for key in ("id", "image_id", "category_id"):
            assert type(a[key]) in (int, str)
        assert len(a["bbox"]) == 4
        assert all(type(v) in (int, float) for v in [*a["bbox"], a["area"]])
    return ""


def read_msgspec(path: Path) -> str:
    """Read and check the records as the source does, with msgspec."""
    from deocc_bench.core.coco_file import CocoFile

    list(CocoFile(path).annotations())
    return ""


def read_pydantic(path: Path) -> str:
    """Read and check the records with pydantic."""
    from pydantic import BaseModel, create_model

    number = int | str
    annotation = create_model(
        "Annotation",
        id=(number, ...),
        image_id=(number, ...),
        category_id=(number, ...),
        bbox=(tuple[float, float, float, float], ...),
        area=(float, ...),
        iscrowd=(bool | int, 0),
        segmentation=(Any, ...),
    )
    data: type[BaseModel] = create_model(
        "Data", images=(list[Any], ...), categories=(list[Any], ...), annotations=(list[annotation], ...)
    )
    data.model_validate_json(path.read_bytes())
    return ""


PARSERS: dict[str, Callable[[Path], str]] = {"json": read_json, "msgspec": read_msgspec, "pydantic": read_pydantic}
JOBS = {"open": open_source, **PARSERS}


def make_file(folder: Path, annotations: int) -> Path:
    """Write photos and `instances.json`; return its path."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    photos = -(-annotations // _PER_PHOTO)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC))[1].tobytes()
    images = []
    for i in range(1, photos + 1):
        name = f"{i:012d}.jpg"
        (folder / "images" / name).write_bytes(jpeg)
        images.append({"id": i, "file_name": name, "height": _HEIGHT, "width": _WIDTH, "license": 1})
    path = folder / "instances.json"
    with open(path, "w", encoding="utf-8") as f:
        head = {
            "licenses": [{"id": 1, "name": "CC0 1.0"}],
            "categories": [{"id": k, "name": name} for k, name in enumerate(_NAMES, 1)],
            "images": images,
        }
        f.write(json.dumps(head)[:-1] + ', "annotations": [')
        for n in range(annotations):
            f.write((",\n" if n else "\n") + json.dumps(_annotation(n + 1, n // _PER_PHOTO + 1, rng)))
        f.write("]}")
    return path


def _annotation(number: int, photo: int, rng: np.random.Generator) -> dict:
    """A star-shaped outline; sizes as in COCO, where two thirds of the instances are too small to be occluders."""
    radius = float(np.exp(rng.normal(3.2, 0.8)))
    points = int(rng.integers(24, 57))
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    reach = radius * (1 + 0.3 * np.sin(rng.integers(2, 5) * angle + rng.uniform(0, 6)))
    x = np.clip(rng.uniform(0, _WIDTH) + reach * np.cos(angle), 0, _WIDTH).round(2)
    y = np.clip(rng.uniform(0, _HEIGHT) + reach * np.sin(angle), 0, _HEIGHT).round(2)
    area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    box = [float(v) for v in (x.min(), y.min(), np.ptp(x).round(2), np.ptp(y).round(2))]
    return {
        "id": number,
        "image_id": photo,
        "category_id": int(rng.integers(1, len(_NAMES) + 1)),
        "iscrowd": 0,
        "area": round(area, 2),
        "bbox": box,
        "segmentation": [np.stack([x, y], axis=1).ravel().tolist()],
    }


def measure(job: str, path: Path) -> str:
    """Seconds and peak memory of a job, in a new process."""
    command = [sys.executable, __file__, "--job", job, "--file", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(job: str, path: Path) -> None:
    """Run a job in this process and print its measurement."""
    start = time.perf_counter()
    told = JOBS[job](path)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB{told}")


def main() -> None:
    """Make the file and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=int, default=100_000)
    parser.add_argument("--parsers", action="store_true")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        run(arguments.job, arguments.file)
        return
    with tempfile.TemporaryDirectory(prefix="coco-open-") as folder:
        path = make_file(Path(folder), arguments.annotations)
        print(f"{arguments.annotations} annotations, {path.stat().st_size / 2**20:.0f} MiB")
        if arguments.parsers:
            for name in PARSERS:
                if name != "pydantic" or importlib.util.find_spec("pydantic"):
                    print(f"{name:10}{measure(name, path)}")
        else:
            print(measure("open", path))


if __name__ == "__main__":
    main()
