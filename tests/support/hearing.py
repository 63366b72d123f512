"""Processes that hear signals, also where pytest runs in the background or under nohup."""

from __future__ import annotations

import signal


def hear_signals() -> None:
    """Give the signals their default effect; to be called in a new process before the program starts (`preexec_fn`)."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
