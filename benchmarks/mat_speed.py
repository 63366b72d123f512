"""How fast the labels of CCP are read, against scipy, and whether both read the same.

    python benchmarks/mat_speed.py --data CCP

Processor time, because the files are in memory after they have been compared. The readers take turns at each file.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from scipy.io import loadmat

from deocc_bench.synth.humans.matfile import read_labels

VARIABLE = "groundtruth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of CCP")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    files = sorted((args.data / "annotations/pixel-level").glob("*.mat"))
    if not files:
        sys.exit(f"no .mat files in {args.data / 'annotations/pixel-level'}")
    different = [path for path in files if not np.array_equal(read_labels(path, VARIABLE), by_scipy(path))]
    ratios = []
    for number in range(args.rounds):
        scipy = ours = 0.0
        for path in files:
            start = time.process_time()
            by_scipy(path)
            middle = time.process_time()
            read_labels(path, VARIABLE)
            scipy, ours = scipy + middle - start, ours + time.process_time() - middle
        ratios.append(ours / scipy)
        print(
            f"round {number + 1}: scipy {scipy / len(files) * 1000:.2f} ms a file, ours {ours / len(files) * 1000:.2f}"
        )
    print(
        f"{len(files)} files, {len(different)} differ; ours / scipy {median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {args.rounds} rounds)"
    )
    if different:
        sys.exit(f"different: {', '.join(path.name for path in different[:5])}")


def by_scipy(path: Path) -> np.ndarray:
    """The labels as scipy reads them."""
    return np.asarray(loadmat(path, variable_names=[VARIABLE])[VARIABLE])


if __name__ == "__main__":
    main()
