"""How fast the metrics are on one core: samples a second of mask and content scoring, FID, KID, aggregation.

    python benchmarks/metrics_speed.py [--size 256] [--samples 200] [--json]

Each figure is the median of five rounds, with the rounds' spread. Masks are drawn blobs of a person's size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

# Before numpy is imported: one core, so that figures compare between machines.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from deocc_bench.core.samples import identity_row, to_table  # noqa: E402
from deocc_bench.metrics.aggregate import aggregate  # noqa: E402
from deocc_bench.metrics.arrays import SampleArrays  # noqa: E402
from deocc_bench.metrics.breakdown import breakdown  # noqa: E402
from deocc_bench.metrics.distribution import frechet_distance, kernel_distance  # noqa: E402
from deocc_bench.metrics.rows import metrics_to_score, sample_row  # noqa: E402

ROUNDS = 5


def make_sample(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A drawn person of about a third of the picture, an occluder over a quarter of it, noisy predictions."""
    ys, xs = np.mgrid[:size, :size] / size
    centre = 0.5 + rng.uniform(-0.05, 0.05, 2)
    amodal = ((ys - centre[0]) / 0.42) ** 2 + ((xs - centre[1]) / 0.22) ** 2 < 1
    occluder = (np.abs(ys - rng.uniform(0.5, 0.8)) < 0.12) & (np.abs(xs - centre[1]) < 0.2)
    complete = cv2.resize(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), (size, size))
    parsing = np.where(amodal, 1 + (ys * 19).astype(np.uint8), 0).astype(np.uint8)
    return {
        "amodal": amodal,
        "modal": amodal & ~occluder,
        "predicted": np.roll(amodal, rng.integers(-4, 5, 2), (0, 1)),
        "initial": np.roll(amodal & ~occluder, 2, 1),
        "parsing": parsing,
        "complete": complete,
        "image": np.where(occluder[..., None], np.uint8(40), complete),
        "recovered": np.clip(complete + rng.normal(0, 9, complete.shape), 0, 255).astype(np.uint8),
    }


def rate(work: Callable[[], object], count: int) -> dict[str, float]:
    """Items a second: median and spread ((max - min) / median) of the rounds, after one round of warm-up."""
    work()
    rates = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        rates.append(count / (perf_counter() - start))
    middle = statistics.median(rates)
    return {"median": middle, "spread": (max(rates) - min(rates)) / middle}


def measure(size: int, samples: int) -> dict[str, Any]:
    """All figures. Scoring in samples a second; the rest in seconds."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    data = [make_sample(size, rng) for _ in range(min(samples, 64))]
    data = [data[k % len(data)] for k in range(samples)]

    def row(task: str, sample: dict[str, Any], *names: str, boundary: bool = True) -> dict[str, Any]:
        specs = [s for s in metrics_to_score(task) if boundary or s.id != "amodal_boundary_iou_mean"]
        return sample_row(SampleArrays(**{name: sample[name] for name in ("amodal", "modal", *names)}), specs)

    def masks(boundary: bool, parts: bool) -> Callable[[], object]:
        names = ("predicted", "initial", *(("parsing",) if parts else ()))
        return lambda: [row("mask", s, *names, boundary=boundary) for s in data]

    def content() -> None:
        for s in data:
            row("content", s, "image", "complete", "recovered", "parsing")

    x, y = rng.normal(size=(891, 2048)), rng.normal(size=(891, 2048))
    table = to_table(
        identity_row(f"{k:04d}", f"{k // 3:04d}", ("chair",) * (1 + k % 3))
        | row("mask", s, "predicted", "initial", "parsing")
        for k, s in enumerate(data[k % len(data)] for k in range(891))
    )
    return {
        "mask scoring, samples/s": rate(masks(False, False), samples),
        "mask scoring with body parts, samples/s": rate(masks(False, True), samples),
        "mask scoring with boundary IoU, samples/s": rate(masks(True, False), samples),
        "mask scoring with both, samples/s": rate(masks(True, True), samples),
        "content scoring, samples/s": rate(content, samples),
        "Frechet distance n=891 d=2048, times/s": rate(lambda: frechet_distance(x, y), 1),
        "kernel distance n=891 d=2048, times/s": rate(lambda: kernel_distance(x, y), 1),
        "aggregate, 891 samples, 1000 resamples, times/s": rate(lambda: aggregate(table, "mask"), 1),
        "breakdown, 891 samples, 1000 resamples, times/s": rate(lambda: breakdown(table, "mask"), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the pictures")
    parser.add_argument("--samples", type=int, default=200, help="samples a round")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.size, arguments.samples)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for name, figure in figures.items():
        each = f" = {1 / figure['median']:.3f} s each" if name.endswith("times/s") else ""
        print(f"{name:50s} {figure['median']:10.1f}{each}  (spread {figure['spread']:.0%})")


if __name__ == "__main__":
    main()
