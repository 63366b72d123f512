"""The last line of a command, on stderr: where the output is, and which command usually comes next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted = ContextVar("hints wanted", default=True)


def next_step(*words: object, done: str = "") -> None:
    """Print `DONE; next: deocc-bench WORDS` on stderr. Words in capitals are placeholders.

    Args:
        words: the command and its arguments; they are quoted for the shell.
        done: what was written, and where.
    """
    command = shlex.join(["deocc-bench", *map(str, words)])
    hint(f"{done}; next: {command}" if done else f"next: {command}")


def hint(line: str) -> None:
    """Print one line on stderr, unless hints are disabled."""
    if _wanted.get():
        print(line, file=sys.stderr, flush=True)


@contextmanager
def no_hints() -> Iterator[None]:
    """Disable hints, for a command that runs other commands."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)
