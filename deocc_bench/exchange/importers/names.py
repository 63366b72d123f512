"""Ids of other people's files as names of files here."""

from __future__ import annotations

import hashlib
import re

from deocc_bench.core.paths import LONGEST, is_safe_id

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f/\\\\%\ud800-\udfff]|^[.\\s]|\\s\\Z")
_DIGITS = 16  # of the digest; 64 bits


def component(name: str) -> str:
    """One safe path component for a foreign id: the id itself if it is safe, otherwise percent-encoded.

    `urllib.parse.unquote` returns the original. Names beyond 200 bytes are cut, and end in a digest of the whole.
    """
    if is_safe_id(name):
        return name
    coded = _UNSAFE.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "surrogatepass")), name)
    if len(coded.encode()) <= LONGEST:
        return coded
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return coded.encode()[: LONGEST - _DIGITS - 1].decode("utf-8", "ignore") + f"-{digest}"
