"""Line coverage of each room, from coverage's JSON report; fails below the bar that a room has to meet.

python tests/support/coverage_by_room.py coverage.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

BAR = 90.0
# Rooms that may stay below the bar, and why.
EXCEPTIONS: dict[str, tuple[float, str]] = {
    "deocc_bench": (75.0, "tests run the command line, the demo and the root in processes of their own, not measured"),
}


def room_of(file: str) -> str:
    """The room that a file belongs to: a top folder, or a folder or module of the package."""
    parts = Path(file).parts
    if parts[0] != "deocc_bench":
        return parts[0]
    return parts[1].removesuffix(".py") if len(parts) > 2 else "deocc_bench"


def main(report: str) -> int:
    """Print the table; 1 if a room is below its bar."""
    lines: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file, found in json.loads(Path(report).read_text())["files"].items():
        summary = found["summary"]
        lines[room_of(file)][0] += summary["covered_lines"]
        lines[room_of(file)][1] += summary["num_statements"]
    low = []
    print(f"{'room':<14}{'statements':>11}{'covered':>9}")
    for room, (covered, total) in sorted(lines.items()):
        share = 100 * covered / total if total else 100.0
        bar, reason = EXCEPTIONS.get(room, (BAR, ""))
        if share < bar:
            low.append(f"{room}: {share:.1f} % of its statements are covered, the bar is {bar:g} %")
        print(f"{room:<14}{total:>11}{share:>8.1f}%{'  ' + reason if reason else ''}")
    for line in low:
        print(line, file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
