"""Signals: one line, an exit code of 128 + the signal, and nothing that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hearing import hear_signals

from deocc_bench.core.stopping import signals_told
from deocc_bench.core.workers import end_with_parent

RUN = """
import os, sys, threading, time
from pathlib import Path
from deocc_bench.core.lock import RESUME, output_folder
from deocc_bench.core.stopping import signals_told
out, go_on, discard = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "discard"
with signals_told(), output_folder(out, go_on, discard=discard):
    (out / ".tmp-half").write_text("half")
    if go_on or discard:
        (out / "sample").write_text("done")
    threading.Thread(target=time.sleep, args=(60,)).start()
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        print("no exception may be seen")
"""


def started(*arguments: str | Path, code: str = RUN, **how: object) -> subprocess.Popen[str]:
    """A Python process that has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": hear_signals, **how},  # type: ignore[call-overload]
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize(
    ("go_on", "discard", "told"),
    [
        ("go on with --resume", "", "finished work is kept in {out}: go on with --resume"),
        ("", "discard", "nothing was kept"),
        ("", "", "nothing was kept"),
    ],
)
def test_a_signal_is_told_in_one_line(tmp_path: Path, name: str, go_on: str, discard: str, told: str) -> None:
    out = tmp_path / "out"
    process = started(out, go_on, discard)
    for _ in range(3):  # the second and third arrive during the clean-up
        process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=5)
    assert process.returncode == 128 + getattr(signal, name)
    assert stderr == f"deocc-bench: error: stopped by {name}; {told.format(out=out)}\n"
    assert stdout == ""
    assert [p.name for p in tmp_path.rglob("*")] == (["out", "sample"] if go_on else [])


def test_without_an_output_folder_there_is_nothing_to_tell() -> None:
    code = "import time\nfrom deocc_bench.core.stopping import signals_told\n"
    code += "with signals_told(): print('ready', flush=True); time.sleep(60)"
    process = started(code=code)
    process.terminate()
    assert process.communicate(timeout=5)[1] == "deocc-bench: error: stopped by SIGTERM\n"
    assert process.returncode == 143


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    process = started(tmp_path / "out", "", "", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.terminate()
    assert process.wait(5) == 143
    process.communicate()


def test_handlers_are_put_back() -> None:
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with signals_told():
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {s: signal.getsignal(s) for s in before} == before


def test_a_forked_process_only_ends() -> None:
    with signals_told():
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(tell, b".")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143


WORKERS = """
import sys, time
from deocc_bench.synth import engine
class Sleep:
    def __call__(self, _):
        print("ready", flush=True)
        time.sleep(60)
if __name__ == "__main__":
    list(engine.run(Sleep, (), list(range(4)), workers=2))
"""


def processes(mark: str) -> list[int]:
    """The processes whose environment has the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_fork_server_and_tracker_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    script, mark = tmp_path / "script.py", f"DEOCC_TEST_MARK={os.getpid()}-{number}"
    script.write_text(WORKERS)
    name, _, value = mark.partition("=")
    environment = {**os.environ, name: value, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with open(tmp_path / "stderr", "w") as stderr:
        process = subprocess.Popen(
            [sys.executable, script],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=hear_signals,
        )
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "ready\n"
    assert len(processes(mark)) == 5  # two workers, the fork server, the tracker and the parent
    process.send_signal(number)
    process.wait(5)
    deadline = time.monotonic() + 5
    while processes(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes(mark) == []
    assert (tmp_path / "stderr").read_text() == ""
    process.stdout.close()


def test_the_main_process_has_no_parent_to_end_with() -> None:
    end_with_parent()
