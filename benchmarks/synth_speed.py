"""How fast datasets are made, against a floor, and whether memory stays flat.

    python benchmarks/synth_speed.py disk --humans ccp:CCP --occluders coco:INSTANCES.json
    python benchmarks/synth_speed.py online --humans ccp:CCP --occluders coco:INSTANCES.json
    python benchmarks/synth_speed.py memory

`disk` (a, b): samples/s to disk with 1 and 2 workers, and the floor: each label and photo that was read is decoded once
and each picture that was written is encoded and written again, nothing else. Floor and run alternate.
`online` (c): samples/s of the on-the-fly dataset in one process, caches warm. `memory` (d): peak of a run's largest
process with 1,000 and 10,000 samples.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2

from deocc_bench.core import images
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.labels import LIP
from deocc_bench.synth.humans import open_humans
from deocc_bench.synth.online import OnlineSamples
from deocc_bench.synth.run import synthesise
from deocc_bench.synth.spec import SynthSpec

DEFAULT_HUMANS, DEFAULT_OCCLUDERS = "mannequin:60", "shapes"


def floor(dataset: Path, humans: tuple[str, ...], workers: int) -> float:
    """Samples a second when the same files are only decoded and encoded."""
    reader = DatasetReader(dataset)
    records = [r for split in reader.splits for r in reader.records(split)]
    pixels = [
        (images.read_rgb(r.image_path), images.read_rgb(r.complete_path), images.read_indices(r.parsing_path))
        for r in records
    ]
    sources = [open_humans(h) for h in humans]
    used = {r.human_id for r in records}
    # A run looks at every label to find the humans it can use, and decodes the photos of those.
    jobs = [(s, i, i in used) for s in sources for i in s.ids() if hasattr(s, "_files")]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        if workers == 1:
            _floor_part(pixels, jobs, folder)
        else:
            # fork: the pixels are shared, not copied, so the floor stays a floor.
            context = multiprocessing.get_context("fork")
            parts = [
                context.Process(target=_floor_part, args=(pixels[k::workers], jobs[k::workers], f"{folder}/{k}"))
                for k in range(workers)
            ]
            for p in parts:
                p.start()
            for p in parts:
                p.join()
        return len(records) / (time.perf_counter() - start)


def _floor_part(pixels: list, jobs: list, folder: str) -> None:
    cv2.setNumThreads(1)
    for source, human_id, used in jobs:
        photo, label = source._files(human_id)
        source._read(label)
        if used:
            images.read_rgb(photo)
    palette = LIP.palette()
    for i, (image, complete, parsing) in enumerate(pixels):
        images.write_png(f"{folder}/i{i}.png", image)
        images.write_png(f"{folder}/c{i}.png", complete)
        images.write_png(f"{folder}/p{i}.png", parsing, palette)


def disk(arguments: argparse.Namespace) -> None:
    """Samples a second to disk, and their share of the floor."""
    spec = SynthSpec(tuple(arguments.humans), tuple(arguments.occluders), splits={"test": 1.0})
    work = Path(tempfile.mkdtemp(prefix="synth-speed-"))
    try:
        for workers in (1, 2):
            runs, floors = [], []
            for k in range(arguments.rounds):
                out = work / f"{workers}-{k}"
                start = time.perf_counter()
                info = synthesise(spec, out, workers=workers, quiet=True)
                n = info["counts"]["test"]["samples"]
                runs.append(n / (time.perf_counter() - start))
                floors.append(floor(out, spec.humans, workers))
                if k:
                    shutil.rmtree(out)
            shares = [r / f for r, f in zip(runs, floors, strict=True)]
            print(
                f"{workers} worker(s), {n} samples: {median(runs):.0f} samples/s, floor {median(floors):.0f}, "
                f"share of the floor {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}, {len(runs)} rounds)"
            )
    finally:
        shutil.rmtree(work)


def online(arguments: argparse.Namespace) -> None:
    """Samples a second of the on-the-fly dataset."""
    cv2.setNumThreads(1)
    for augment in ((), ("shift", "scale", "flip", "colour")):
        spec = SynthSpec(tuple(arguments.humans), tuple(arguments.occluders), splits={"train": 1.0}, augment=augment)
        samples = OnlineSamples(spec, "train")
        for epoch in range(2):  # fills the caches
            samples.set_epoch(epoch)
            for _ in samples:
                pass
        rates = []
        for epoch in range(2, 2 + arguments.rounds):
            samples.set_epoch(epoch)
            start = time.perf_counter()
            n = sum(1 for _ in samples)
            rates.append(n / (time.perf_counter() - start))
        print(
            f"on the fly, {'augmented (' + ', '.join(augment) + ')' if augment else 'plain'}: {median(rates):.0f} "
            f"samples/s ({min(rates):.0f} to {max(rates):.0f}, {len(rates)} epochs of {len(samples)} humans)"
        )


def memory(arguments: argparse.Namespace) -> None:
    """Peak memory with 1,000 and 10,000 samples, each in a fresh process."""
    for variants in (10, 100):
        code = (
            "import json, resource, sys, tempfile\n"
            "from deocc_bench.synth.run import synthesise\n"
            "from deocc_bench.synth.spec import SynthSpec\n"
            f"spec = SynthSpec(('mannequin:100',), ('shapes',), variants={variants})\n"
            "with tempfile.TemporaryDirectory() as d:\n"
            "    n = sum(c['samples'] for c in synthesise(spec, d, workers=1, quiet=True)['counts'].values())\n"
            "print(json.dumps([n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))\n"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        n, kilobytes = json.loads(out.stdout)
        print(f"{n} samples: peak {kilobytes / 1024:.0f} MiB")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("disk", "online", "memory"))
    parser.add_argument("--humans", action="append")
    parser.add_argument("--occluders", action="append")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.humans = arguments.humans or [DEFAULT_HUMANS]
    arguments.occluders = arguments.occluders or [DEFAULT_OCCLUDERS]
    {"disk": disk, "online": online, "memory": memory}[arguments.what](arguments)


if __name__ == "__main__":
    main()
