"""Ends the command line on SIGTERM, SIGHUP and Ctrl-C with one line.

The signal handler ends the process itself. An exception could be lost in a callback or a destructor, be turned into
another one by an import, or wait for a thread.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GRACE = 1.0  # seconds that a killed worker process has to end

# Called when the process is stopped, the last one first; each returns what was kept, or "".
_endings: list[Callable[[], str]] = []


@contextmanager
def signals_told(restore: bool = True) -> Iterator[None]:
    """Handle the signals inside the block: tell in one line what was kept, and exit with 128 + the signal's number.

    A signal that is ignored (`nohup`) stays ignored. Outside the main thread nothing is changed.

    Args:
        restore: put the handlers back at the end; False if the process ends then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> None:
        # A forked worker process inherits the handler.
        _stop(number) if os.getpid() == owner else os._exit(128 + number)

    before = {s: signal.getsignal(s) for s in _SIGNALS}
    for s, old in before.items():
        if old not in (signal.SIG_IGN, None):
            signal.signal(s, stop)
    try:
        yield
    finally:
        for s, old in before.items():
            if restore and old is not None:
                signal.signal(s, old)


@contextmanager
def on_stop(ending: Callable[[], str]) -> Iterator[None]:
    """Call `ending` if a signal stops the process inside the block; it cleans up and returns what was kept, or ""."""
    _endings.append(ending)
    try:
        yield
    finally:
        _endings.remove(ending)


def _stop(number: int) -> None:
    """End the process: the first signal counts, those during the clean-up are ignored."""
    for s in _SIGNALS:
        signal.signal(s, signal.SIG_IGN)
    _kill_workers()
    kept = []
    for ending in reversed(_endings):
        with suppress(Exception):
            kept.append(ending())
    # The outermost folder is that of the command.
    told = kept[-1] if kept else ""
    line = f"deocc-bench: error: stopped by {signal.Signals(number).name}" + (f"; {told}" if told else "")
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        # On a terminal, the cursor may be behind a progress bar or ^C.
        os.write(2, (("\n" if os.isatty(2) else "") + line + "\n").encode(errors="backslashreplace"))
    os._exit(128 + number)


def _kill_workers() -> None:
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    with suppress(Exception):
        workers = multiprocessing.active_children()
        for worker in workers:
            with suppress(Exception):
                worker.kill()
        for worker in workers:
            with suppress(Exception):
                worker.join(_GRACE)
