"""One run at a time writes to an output folder: a lock file, and the clean-up after a run that failed or was killed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deocc_bench.core.errors import DeoccError, FaultError, InputError, UsageError, one_line
from deocc_bench.core.files import LOCK_FILE, TMP_PREFIX, sweep_temporary, write_error
from deocc_bench.core.stopping import on_stop

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 1000  # another run may create and remove the folder meanwhile
_held: set[int] = set()  # open lock files of this process
RESUME = "go on with --resume"
AGAIN = "run the command again"


@contextmanager
def output_folder(
    path: str | Path, go_on: str = "", *, discard: bool = False, within: Sequence[str] | None = None
) -> Iterator[Path]:
    """Create the folder and keep other runs out of it inside the block.

    At the end, temporary files are removed. If nothing was written, so are the folders that were created.

    Args:
        path: the folder; leftovers of killed runs in it are swept.
        go_on: how to go on after a fault or a signal: `RESUME`, `AGAIN` or ""; added to the message.
        discard: after a failure or a signal, remove what is in the folder, if it was empty before.
        within: the subfolders that the run writes, if the folder may hold others; None: all.

    Raises:
        UsageError: the path is a file.
        DeoccError: another run uses the folder, or it is not writable.
        InputError: there is a symbolic link in it, through which files outside would be written.
    """
    root = Path(path)
    created = _create(root)
    handle = -1
    try:
        handle = _lock(root)
        _refuse_links(root, within)
        try:
            _sweep(root, within)
        except OSError as error:
            raise write_error(root, error) from error
        owned = discard and _is_empty(root)
    except BaseException:
        _release(root, handle, created)
        raise

    def end(failed: bool) -> bool:
        # On a disk that has become read-only nothing can be removed; that must not hide the first error.
        with suppress(OSError):
            if failed and owned:
                _clear(root)
            _sweep(root, within)
        _release(root, handle, created)
        return root.exists() and not _is_empty(root)

    def stopped() -> str:
        kept = end(failed=True)
        if not kept or owned:
            return "nothing was kept"
        return f"finished work is kept in {root}: {go_on}" if go_on else f"{root} is incomplete"

    with on_stop(stopped):
        try:
            yield root
        except FaultError as error:
            # In nested folders the outer one, that of the command, decides.
            raise error.then(go_on if end(failed=True) else "") from error
        except BaseException:
            end(failed=True)
            raise
        end(failed=False)


def _create(root: Path) -> list[Path]:
    """Create the folder and its parents; return those that did not exist, the deepest first."""
    missing = [p for p in (root, *root.parents) if not os.path.lexists(p)]
    for attempt in range(_ATTEMPTS):
        try:
            root.mkdir(parents=True, exist_ok=True)
            break
        except (OSError, ValueError) as error:
            if isinstance(error, FileExistsError | NotADirectoryError) and any(
                os.path.lexists(p) and not p.is_dir() for p in (root, *root.parents)
            ):
                raise UsageError(f"{root}: is a file, not a folder; choose another --out") from None
            # Another run may have just removed its empty folder.
            if attempt == _ATTEMPTS - 1 or not isinstance(error, FileExistsError | FileNotFoundError):
                _remove_empty(missing)
                raise write_error(root, error) from error
    return missing


def _lock(root: Path) -> int:
    """Lock the folder and return the open lock file; -1 where the file system has no locks."""
    if fcntl is None:
        return -1
    path = root / LOCK_FILE
    for attempt in range(_ATTEMPTS):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and attempt < _ATTEMPTS - 1:
                # The run that held the lock has just removed its empty folder.
                _create(root)
                continue
            raise write_error(path, error) from error
        _held.add(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = one_line(os.pread(handle, 300, 0).decode(errors="replace").strip() or "another process", 200)
            _close(handle)
            problem = f"{root}: is in use by {owner}"
            raise DeoccError(f"{problem}; wait until it has ended, or choose another --out") from None
        except OSError:
            _close(handle)
            return -1
        # The run that held the lock removes the file, perhaps after we opened it.
        if _same(handle, path):
            return _signed(handle, path)
        _close(handle)
    raise DeoccError(f"{root}: can't be locked, other runs come and go in it; choose another --out")


def _signed(handle: int, path: Path) -> int:
    """Write into the lock file who holds it."""
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} ({_command()})".encode()[:300], 0)
    except OSError as error:
        path.unlink(missing_ok=True)
        _close(handle)
        raise write_error(path, error) from error
    return handle


def _command() -> str:
    return one_line(" ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]), 100)


def _release(root: Path, handle: int, created: list[Path]) -> None:
    path = root / LOCK_FILE
    with suppress(OSError):
        if handle >= 0 and _same(handle, path):
            path.unlink(missing_ok=True)
    # Before the lock is given up: the next run must not find its folder gone.
    _remove_empty(created)
    if handle >= 0:
        _close(handle)


def _same(handle: int, path: Path) -> bool:
    """Whether the path still is the file that was opened."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _close(handle: int) -> None:
    _held.discard(handle)
    os.close(handle)


def _close_in_child() -> None:
    # A forked worker process must not hold the lock longer than its parent.
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _sweep(root: Path, within: Sequence[str] | None) -> None:
    if within is None:
        sweep_temporary(root)
        return
    for path in root.glob(f"{TMP_PREFIX}*"):
        path.unlink(missing_ok=True)
    for name in within:
        sweep_temporary(root / name)


def _refuse_links(root: Path, within: Sequence[str] | None) -> None:
    folders = [os.fspath(root)] if within is None else [os.fspath(root / name) for name in within]
    while folders:
        folder = folders.pop()
        if folder != os.fspath(root) and os.path.islink(folder):
            raise _link(folder)
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise write_error(folder, error) from error
        for entry in entries:
            if entry.is_symlink():
                raise _link(entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def _link(path: str) -> InputError:
    problem = "a symbolic link in an output folder, through which files elsewhere would be written"
    return InputError(path, problem, "remove it, or choose another --out")


def _is_empty(root: Path) -> bool:
    return all(p.name == LOCK_FILE for p in root.iterdir())


def _clear(root: Path) -> None:
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK_FILE:
            path.unlink(missing_ok=True)
