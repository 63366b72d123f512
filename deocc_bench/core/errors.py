"""Errors shown to the user: one line with the place, the problem and the cure."""

from __future__ import annotations

from pathlib import Path


class DeoccError(Exception):
    """A failure that the user can act on. The command line prints only its message and exits with `exit_code`."""

    exit_code = 1


class InputError(DeoccError):
    """Bad input: a file, folder or value given by the user.

    Args:
        where: the file, folder, option or value.
        problem: what is wrong with it.
        cure: how to fix it.
    """

    def __init__(self, where: str | Path, problem: str, cure: str) -> None:
        self.where, self.problem, self.cure = str(where), problem, cure
        super().__init__(self.where, problem, cure)

    def __str__(self) -> str:
        return message_line(f"{self.where}: {self.problem}; {self.cure}")


class InvariantError(DeoccError):
    """A value that violates an invariant of its type, e.g. a modal mask that extends beyond the amodal mask."""


class UsageError(DeoccError):
    """Wrong usage of the command line or the API: an unknown name or contradictory options."""

    exit_code = 2


class FaultError(DeoccError):
    """A fault that is not in the input: a full disk, a killed worker. The same run can go on later.

    Args:
        problem: what happened, and where.
        cure: what to do about it.
        go_on: how to go on afterwards; "" if nothing was kept.
    """

    def __init__(self, problem: str, cure: str, go_on: str = "") -> None:
        self.problem, self.cure, self.go_on = problem, cure, go_on
        super().__init__(problem, cure, go_on)

    def __str__(self) -> str:
        return message_line(f"{self.problem}; {self.cure}{', then ' if self.go_on else ''}{self.go_on}")

    def then(self, go_on: str) -> FaultError:
        """The same fault, with how to go on afterwards."""
        return FaultError(self.problem, self.cure, go_on)


def one_line(text: object, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters, control characters escaped: safe to print on a terminal."""
    flat = "".join(c if c.isprintable() else " " if c.isspace() else repr(c)[1:-1] for c in str(text))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def printable(text: str) -> str:
    """`text` with its line breaks, but other control characters escaped: foreign names can't steer the terminal."""
    return "\n".join(one_line(line, len(line) * 10 + 1) for line in text.split("\n"))


def message_line(text: object, limit: int = 500) -> str:
    """`one_line` of a message; if it is too long, its middle is left out, so that place and cure remain."""
    flat = one_line(text, 10**6)
    return flat if len(flat) <= limit else f"{flat[: limit // 3]} … {flat[-(2 * limit // 3) :]}"


def describe_error(error: BaseException) -> str:
    """`ValueError: text` on one line."""
    text = str(error)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__, 300)
