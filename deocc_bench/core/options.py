"""`-O NAME=VALUE` options of commands."""

from __future__ import annotations

import json
import re
from typing import Any

from deocc_bench.core.errors import UsageError

NAME = re.compile(r"[^\W\d]\w*")


def name_and_value(pair: str, name: re.Pattern[str] = NAME) -> tuple[str, Any]:
    """Split "NAME=VALUE". A value that is valid JSON (3, 0.5, true, null) is decoded; any other value is a string.

    Args:
        name: pattern of valid names.

    Raises:
        UsageError: a text without `=`, or an invalid name.
    """
    key, sign, text = pair.partition("=")
    if not sign or not name.fullmatch(key):
        raise UsageError(f"--option {pair!r} must be NAME=VALUE")
    try:
        return key, json.loads(text)
    except json.JSONDecodeError:
        return key, text
