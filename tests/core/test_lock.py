"""Output folders: one run at a time, and what is left of them afterwards."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deocc_bench.core import lock
from deocc_bench.core.errors import DeoccError, FaultError, InputError, UsageError
from deocc_bench.core.files import LOCK_FILE, atomic_write, require_empty, write_error
from deocc_bench.core.lock import AGAIN, RESUME, output_folder


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def write_half(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise IsADirectoryError


def fail(error: Exception, finished: Path | None) -> None:
    if finished is not None:
        finished.write_text("done")
    raise error


def test_a_second_run_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out") as root:
        require_empty(root)
        with pytest.raises(DeoccError, match=rf"out: is in use by process {os.getpid()} \(.*another --out"):
            output_folder(root).__enter__()
        assert names(root) == [LOCK_FILE]
        (root / "result").write_text("mine")
    assert names(root) == ["result"]
    with output_folder(root):
        assert (root / "result").read_text() == "mine"


def test_a_folder_in_which_nothing_was_written_is_removed_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "there" / "new" / "out"):
        _ = 1 / 0
    assert names(tmp_path / "there") == []
    with output_folder(tmp_path / "there"):
        pass
    assert names(tmp_path) == ["there"]


def test_leftovers_of_a_killed_run_are_taken_over_and_swept(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in (LOCK_FILE, ".tmp-a", "images/.tmp-b.png"):
        (tmp_path / name).write_text("process 1 (deocc-bench synth)")
    with output_folder(tmp_path):
        assert names(tmp_path) == [LOCK_FILE, "images"]
        (tmp_path / "images" / ".tmp-c").write_text("of a worker that was killed")
    assert names(tmp_path) == ["images"]
    assert names(tmp_path / "images") == []


def test_only_the_folders_that_are_written_are_swept_and_searched_for_links(tmp_path: Path) -> None:
    for name in ("train", "photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".tmp-x").write_text("half")
    (tmp_path / "photos" / "link").symlink_to("/etc")
    with output_folder(tmp_path, within=["train", "val"]):
        assert names(tmp_path / "train") == []
        assert names(tmp_path / "photos") == [".tmp-x", "link"]
    (tmp_path / "val").symlink_to(tmp_path / "photos")
    with pytest.raises(InputError, match="val: a symbolic link"):
        output_folder(tmp_path, within=["train", "val"]).__enter__()


@pytest.mark.parametrize("target", ["folder", "file", "missing"])
def test_a_link_inside_is_not_written_through(tmp_path: Path, target: str) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "predictions").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious")
    link = out / "predictions" / "masks"
    link.symlink_to({"folder": elsewhere, "file": elsewhere / "file", "missing": tmp_path / "no"}[target])
    with pytest.raises(InputError, match=r"predictions/masks: a symbolic link.*another --out"):
        output_folder(out).__enter__()
    assert names(out) == ["predictions"]
    assert (elsewhere / "file").read_text() == "precious"


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("text")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(DeoccError, match=r"\.lock"):
        output_folder(tmp_path / "out").__enter__()
    assert (tmp_path / "precious").read_text() == "text"


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("text")
    for path in (tmp_path / "out", tmp_path / "out" / "run"):
        with pytest.raises(UsageError, match="is a file"):
            output_folder(path).__enter__()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, in which nothing can be created")
@pytest.mark.parametrize("path", ["/proc/new", "/proc/self", "/proc/new/out"])
def test_a_place_where_nothing_can_be_created(path: str) -> None:
    with pytest.raises(FaultError, match=r"can't be written .*writable folder"):
        output_folder(path).__enter__()


@pytest.mark.parametrize(("before", "left"), [([], []), (["mine"], ["half", "mine"])])
def test_a_failed_run_discards_only_its_own_files(tmp_path: Path, before: list[str], left: list[str]) -> None:
    for name in before:
        (tmp_path / name).write_text("precious")
    with pytest.raises(IsADirectoryError), output_folder(tmp_path, discard=True):
        write_half(tmp_path)
    assert names(tmp_path) == left


@pytest.mark.parametrize(
    ("write", "go_on", "ends"),
    [
        (True, RESUME, "free some space, then go on with --resume"),
        (True, AGAIN, "free some space, then run the command again"),
        (True, "", "free some space"),
        (False, RESUME, "free some space"),
    ],
)
def test_a_fault_tells_how_to_go_on_if_something_was_kept(tmp_path: Path, write: bool, go_on: str, ends: str) -> None:
    row = tmp_path / "out" / "row"
    full = write_error(tmp_path / "x.png", OSError(errno.ENOSPC, "full"))
    with pytest.raises(FaultError) as caught, output_folder(tmp_path / "out", go_on), output_folder(row, go_on):
        fail(full, row / "sample" if write else None)
    assert str(caught.value) == f"{tmp_path}/x.png: no space left on the device; {ends}"
    assert (tmp_path / "out").exists() == write


def test_a_forked_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    with output_folder(tmp_path):
        assert lock._held
        child = os.fork()
        if child == 0:
            os._exit(len(lock._held))
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(DeoccError, match="in use"):
            output_folder(tmp_path).__enter__()


COUNT = """
import sys
from pathlib import Path
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.lock import output_folder
done, count = 0, Path(sys.argv[1]) / "count"
while done < 150:
    try:
        with output_folder(Path(sys.argv[1]) / "out"):
            count.write_text(str(int(count.read_text()) + 1))
            done += 1
    except DeoccError as error:
        assert "in use" in str(error), error
"""


@pytest.mark.slow
def test_the_lock_excludes_although_folder_and_file_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    runs = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "450"
    # A run that found the folder of another one leaves it, empty.
    assert [p.name for p in tmp_path.rglob("*") if p.name != "out"] == ["count"]


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "no space left"), (errno.EFBIG, "limit of the file size"), (errno.EROFS, "writable folder")],
)
def test_a_failed_write_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    def refuse(*_: object) -> Callable[[], None]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(FaultError, match=told) as caught:
        atomic_write(tmp_path / "a" / "picture.png", b"data")
    assert "--resume" not in str(caught.value)
    assert names(tmp_path / "a") == []


def test_a_disk_that_became_read_only_does_not_hide_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    error = write_error(tmp_path / "x.png", OSError(errno.EROFS, os.strerror(errno.EROFS)))
    (tmp_path / "sample").write_text("done")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(FaultError) as caught, output_folder(tmp_path, RESUME):
        fail(error, tmp_path / ".tmp-x")
    monkeypatch.undo()
    told = "can't be written (Read-only file system); choose a writable folder, then go on with --resume"
    assert str(caught.value) == f"{tmp_path}/x.png: {told}"
    with output_folder(tmp_path):
        assert names(tmp_path) == [LOCK_FILE, "sample"]
