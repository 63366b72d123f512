"""`import` and `export`: one run at a time, nothing half-written, no link followed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from deocc_bench.core.errors import DeoccError, FaultError, InputError
from deocc_bench.core.lock import output_folder
from deocc_bench.exchange.import_export import export, import_


def go(command: object, *arguments: str | Path) -> None:
    """Run a command; its error is raised."""
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def coco(tiny: Path, tmp_path: Path) -> Path:
    """The tiny dataset's test split as COCO."""
    go(export, tiny, "--format", "coco", "--split", "test", "--out", tmp_path / "a.json")
    return tmp_path / "a.json"


def arguments_of(kind: str, tiny: Path, coco: Path, out: Path) -> list[object]:
    if kind == "import":
        return [import_, f"d2sa:{coco}", "--images", tiny, "--name", "n", "--quiet", "--out", out]
    return [export, tiny, "--format", kind, "--out", out]


KINDS = ["import", "webdataset", "huggingface"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_is_told(tiny: Path, coco: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    with output_folder(out), pytest.raises(DeoccError, match=f"out: is in use by process {os.getpid()}"):
        go(*arguments_of(kind, tiny, coco, out))  # type: ignore[arg-type]
    assert not out.exists()
    go(*arguments_of(kind, tiny, coco, out))  # type: ignore[arg-type]
    assert not (out / ".lock").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing_half_written(
    tiny: Path, coco: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, replace, room = tmp_path / "out", os.replace, 1 if kind == "webdataset" else 5

    def until_full(source: str, target: str) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_full)
        with pytest.raises(FaultError, match="no space left on the device; free some space") as caught:
            go(*arguments_of(kind, tiny, coco, out))  # type: ignore[arg-type]
    assert "--resume" not in str(caught.value)
    assert not out.exists()
    assert not list(tmp_path.rglob(".tmp-*"))
    go(*arguments_of(kind, tiny, coco, out))  # type: ignore[arg-type]
    go(*arguments_of(kind, tiny, coco, tmp_path / "whole"))  # type: ignore[arg-type]
    assert contents(out) == contents(tmp_path / "whole")


def test_an_import_that_fails_leaves_no_folder(tiny: Path, coco: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny, tmp_path / "data"))
    (data / "images" / "test" / "test-3-v1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"test-3-v1\.png"):
        go(*arguments_of("import", data, coco, tmp_path / "new" / "out"))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_an_export_does_not_write_through_a_link(tiny: Path, coco: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "test").mkdir(parents=True)
    (tmp_path / "out" / "test" / "amodal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="out/test/amodal: a symbolic link"):
        go(*arguments_of("huggingface", tiny, coco, tmp_path / "out"))  # type: ignore[arg-type]
    assert not list((tmp_path / "elsewhere").iterdir())
