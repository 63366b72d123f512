"""Shared fixtures: where the real photos are, and which tests need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tiny_dataset"]

_DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos; the test is skipped where it is absent."""
    folder = Path(os.environ.get("DEOCC_TEST_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip("no real photos: set DEOCC_TEST_DATA to their folder")
    return folder
