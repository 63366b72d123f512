"""What a killed run loses: runs are killed at random moments, resumed or run again, and compared with undisturbed ones.

    python benchmarks/kills.py --kills 100

Each kill is a SIGKILL at a moment between the start of the command and the end of its undisturbed run. Then the
command is run again: with --resume where it has that, otherwise into the folder as it is or, if it refuses that, into
an empty one. "alive": processes that still ran five seconds after their parent. "lost": results that differ from those
of the undisturbed run. Both should be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from safetensors.numpy import load_file

from deocc_bench.core.files import sha256_file

PROGRAM = [sys.executable, "-m", "deocc_bench.cli"]
SYNTH = "synth --humans mannequin:72 --occluders shapes:20 --size 64 --variants 1 --workers 2 --quiet --name n --out"
# One thread for training: with several, undisturbed runs may differ in the last bits already.
COMMANDS = {
    "synth": SYNTH,
    "evaluate": "evaluate nearest-template --data data --split train --fit-split val --task mask --no-fid "
    "--resamples 0 --workers 2 --out",
    "import": "import d2sa:data.json --images data --name n --quiet --out",
    "export webdataset": "export data --format webdataset --out",
    "export huggingface": "export data --format huggingface --out",
    "train": "train mask --data data --steps 6 --set optim.batch=4 --set data.workers=1 --set data.size=64 "
    "--set run.threads=1 --out",
}
RESUMABLE = ("synth", "evaluate", "train")
COLUMNS = ("kills", "resumed", "run again", "begun anew", "alive", "lost")
# The fields of a record that do not depend on time and machine.
RECORD = ("metrics", "breakdowns", "predictions_digest", "table_digest", "dataset")
_MARK = "DEOCC_KILLS"


def content(folder: Path) -> object:
    """What two runs of a command must agree in: all bytes, but for times and logs."""
    files = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    if "result.json" in files:
        record = json.loads(files["result.json"].read_text())
        pictures = {name: sha256_file(path) for name, path in files.items() if name.endswith(".png")}
        return [record[name] for name in RECORD], pictures, sorted(files)
    if "weights.safetensors" in files:
        return {name: value.tobytes() for name, value in load_file(files["weights.safetensors"]).items()}, sorted(files)
    return {name: sha256_file(path) for name, path in files.items()}


def start(arguments: list[str], folder: Path, mark: str) -> subprocess.Popen[bytes]:
    """Start a command in its own process group."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, _MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def alive(mark: str) -> list[int]:
    """The processes that were started with a mark, by anyone, and have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found


def killed(arguments: list[str], folder: Path, seconds: float, mark: str) -> tuple[bool, int]:
    """Kill a command after some seconds; (it was still running, number of processes alive five seconds later)."""
    process = start(arguments, folder, mark)
    try:
        process.wait(seconds)
        return False, 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 5
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = alive(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return True, len(left)


def finished(name: str, arguments: list[str], folder: Path, mark: str) -> str:
    """Finish a command after a kill, as a user does; how: "resumed", "run again" or "begun anew"."""
    out = folder / arguments[-1]
    if name in RESUMABLE and out.is_dir() and any(out.iterdir()):
        start([*arguments, "--resume"], folder, mark).wait()
        return "resumed"
    if start(arguments, folder, mark).wait():
        shutil.rmtree(out)
        start(arguments, folder, mark).wait()
        return "begun anew"
    return "run again"


def prepare(folder: Path) -> dict[str, tuple[object, float]]:
    """Make the inputs; return the result and the length of each undisturbed run."""
    for arguments in (f"{SYNTH} data", "export data --format coco --split train --out data.json"):
        subprocess.run([*PROGRAM, *arguments.split()], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wanted = {}
    for name, text in COMMANDS.items():
        begin = time.monotonic()
        if start([*text.split(), "undisturbed"], folder, "undisturbed").wait():
            raise SystemExit(f"the undisturbed run failed: {text}")
        wanted[name] = content(folder / "undisturbed"), time.monotonic() - begin
        shutil.rmtree(folder / "undisturbed")
    return wanted


def main() -> None:
    """Run the kills and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, table = random.Random(options.seed), {name: Counter[str]() for name in COMMANDS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wanted = prepare(folder)
        for i in range(options.kills):
            name = list(COMMANDS)[i % len(COMMANDS)]
            arguments, (result, seconds), row = [*COMMANDS[name].split(), "out"], wanted[name], table[name]
            running = False
            while not running:  # a run that was over before it was killed does not count
                shutil.rmtree(folder / "out", ignore_errors=True)
                moment = chance.uniform(0, 0.95 * seconds)
                running, left = killed(arguments, folder, moment, f"kill-{os.getpid()}-{i}")
            how = finished(name, arguments, folder, f"rerun-{os.getpid()}-{i}")
            row.update({"kills": 1, how: 1, "alive": left, "lost": int(content(folder / "out") != result)})
            shutil.rmtree(folder / "out", ignore_errors=True)
    width = max(map(len, table))
    print(" " * width + "".join(f"  {column:>11}" for column in COLUMNS))
    for name, row in {**table, "all": sum(table.values(), Counter[str]())}.items():
        print(f"{name:<{width}}" + "".join(f"  {row[column]:>11}" for column in COLUMNS))


if __name__ == "__main__":
    main()
