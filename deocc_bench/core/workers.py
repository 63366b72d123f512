"""Worker processes that end with their parent, and that leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait

# At the end of a killed run, the tracker removes what is left, which is no news to the user.
_QUIET = "ignore:resource_tracker:UserWarning"


def end_with_parent() -> None:
    """End this worker process when its parent has ended, for whatever reason. Call it at the start of the process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def start_fork_server() -> None:
    """Start the server from which `forkserver` processes are forked, so that Ctrl-C reaches neither it nor them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver, resource_tracker

    sys.warnoptions.append(_QUIET)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_QUIET)
    with _interrupts_blocked():
        forkserver.ensure_running()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    # Processes started meanwhile inherit the mask; a Ctrl-C to this one arrives afterwards.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
