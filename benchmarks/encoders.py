"""Which PNG settings: time and size of the candidates on photos of the size that datasets have.

python benchmarks/encoders.py --humans mannequin:12
python benchmarks/encoders.py --humans ccp:CCP
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from deocc_bench.core import images
from deocc_bench.synth.crop import crop
from deocc_bench.synth.humans import open_humans

ROUNDS = 5


def candidates() -> dict[str, Callable[[np.ndarray], bytes]]:
    """Name -> encoder of uint8 H x W x 3."""

    def opencv(*flags: int) -> Callable[[np.ndarray], bytes]:
        return lambda a: cv2.imencode(".png", a[..., ::-1], list(flags))[1].tobytes()

    def pillow(level: int) -> Callable[[np.ndarray], bytes]:
        def encode(a: np.ndarray) -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(a).save(buffer, "png", compress_level=level)
            return buffer.getvalue()

        return encode

    level, strategy, row = cv2.IMWRITE_PNG_COMPRESSION, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_FILTER
    return {
        "ours (OpenCV, level 1, run-length, up)": images.encode_png,
        "OpenCV, its default": opencv(),
        "OpenCV, level 0 (stored)": opencv(level, 0),
        "OpenCV, level 1, default strategy, up": opencv(
            level, 1, strategy, cv2.IMWRITE_PNG_STRATEGY_DEFAULT, row, cv2.IMWRITE_PNG_FILTER_UP
        ),
        "OpenCV, level 1, run-length, Paeth": opencv(
            level, 1, strategy, cv2.IMWRITE_PNG_STRATEGY_RLE, row, cv2.IMWRITE_PNG_FILTER_PAETH
        ),
        "OpenCV, level 3": opencv(level, 3, row, cv2.IMWRITE_PNG_FAST_FILTERS),
        "Pillow, level 1": pillow(1),
        "Pillow, its default": pillow(6),
    }


def main() -> None:
    """Print a table: milliseconds and bytes a picture, relative to ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--humans", default="mannequin:12")
    parser.add_argument("--count", type=int, default=12)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    source = open_humans(arguments.humans)
    photos = [crop(source.load(i), 256).image for i in source.ids()[: arguments.count]]
    table = candidates()
    seconds: dict[str, list[float]] = {name: [] for name in table}
    sizes = {name: sum(len(encode(p)) for p in photos) / len(photos) for name, encode in table.items()}
    for _ in range(ROUNDS):  # in turn, so that a slow moment hits all alike
        for name, encode in table.items():
            start = time.perf_counter()
            for p in photos:
                encode(p)
            seconds[name].append((time.perf_counter() - start) / len(photos))
    ours = next(iter(table))
    base = np.median(seconds[ours])
    print(f"{len(photos)} pictures of 256 x 256 from {arguments.humans.partition(':')[0]}, median of {ROUNDS} rounds")
    for name in table:
        t = np.median(seconds[name])
        print(f"{name:<40} {t * 1e3:6.2f} ms ({t / base:5.2f} x)  {sizes[name] / 1e3:6.1f} kB")


if __name__ == "__main__":
    main()
