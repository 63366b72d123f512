"""The scripts in benchmarks/ import what is there: a rename in a room must not leave them behind."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_imported_name_exists(script: Path) -> None:
    checked = 0
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deocc_bench"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                # A name of the module, or a module of the package.
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                checked += 1
    assert checked
