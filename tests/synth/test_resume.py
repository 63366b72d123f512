"""`synth --resume`: never a mixture of old and new, and nothing lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hearing import hear_signals

from deocc_bench.core import images
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, FaultError, InputError, UsageError
from deocc_bench.core.reading import note_read
from deocc_bench.synth import plan, run
from deocc_bench.synth.humans.base import PhotoFolder
from deocc_bench.synth.run import WORK, synthesise
from deocc_bench.synth.spec import SynthSpec

CLI = [sys.executable, "-m", "deocc_bench.cli"]


def person(folder: Path, name: str, seed: int) -> None:
    """A photo with an ellipse of a person."""
    random_ = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :120]
    body = ((x - 60) / 30) ** 2 + ((y - 80) / 70) ** 2 < 1
    photo = random_.integers(0, 90, (160, 120, 3), dtype=np.uint8)
    photo[body] += 120
    images.write_png(folder / "images" / f"{name}.png", photo)
    images.write_png(folder / "parsing" / f"{name}.png", (body * np.where(y < 50, 13, 5)).astype(np.uint8))


def cut_out(folder: Path, name: str, seed: int) -> None:
    """A cut-out with transparent corners."""
    rgba = np.random.default_rng(seed).integers(0, 255, (60, 60, 4), dtype=np.uint8)
    y, x = np.mgrid[:60, :60]
    rgba[..., 3] = 255 * ((x - 30) ** 2 + (y - 30) ** 2 < 800)
    images.write_png(folder / f"{name}.png", rgba)


def instances(folder: Path) -> None:
    """COCO annotations of two photos with a chair each."""
    shape = [40, 40, 100, 40, 110, 120, 50, 120]
    for i in range(2):
        photo = np.random.default_rng(i).integers(0, 255, (160, 160, 3), dtype=np.uint8)
        images.write_png(folder / "images" / f"c{i}.png", photo)
    photos = [{"id": i + 1, "file_name": f"c{i}.png", "height": 160, "width": 160, "license": 1} for i in range(2)]
    chairs = [
        {"id": 100 + i, "image_id": i + 1, "category_id": 62, "iscrowd": 0, "area": 4800, "bbox": [40, 40, 70, 80]}
        | {"segmentation": [shape]}
        for i in range(2)
    ]
    content = {"licenses": [{"id": 1, "name": "CC0"}], "categories": [{"id": 62, "name": "chair"}]}
    (folder / "instances.json").write_text(json.dumps({**content, "images": photos, "annotations": chairs}))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with 30 people (two shards), cut-outs and COCO photos."""
    for i in range(30):
        person(tmp_path / "people", f"p{i:02d}", i)
    for i in range(4):
        cut_out(tmp_path / "cut", f"box{i}", i)
    (tmp_path / "cut" / "LICENCE").write_text("CC0\n")
    instances(tmp_path / "coco")
    return tmp_path


def spec_of(folder: Path, **changes: Any) -> SynthSpec:
    values: dict[str, Any] = {
        "humans": (f"folder:{folder / 'people'}",),
        "occluders": (f"rgba:{folder / 'cut'}", f"coco:{folder / 'coco' / 'instances.json'}"),
        "variants": 1,
        "size": 64,
        "splits": {"test": 1.0},
        "min_height": 50,
    }
    return SynthSpec(**(values | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def interrupted(monkeypatch: pytest.MonkeyPatch, folder: Path, **how: Any) -> None:
    """Start a run that ends after its first shard, as after a kill."""

    def first_only(*arguments: Any) -> Any:
        yield next(iter(engine(*arguments)))
        raise KeyboardInterrupt

    engine = run.engine.run
    with monkeypatch.context() as patch:
        # The plan is made with the same function.
        patch.setattr(
            plan.engine, "run", lambda worker, *rest: (engine if worker is plan.Scan else first_only)(worker, *rest)
        )
        with pytest.raises(KeyboardInterrupt):
            synthesise(spec_of(folder), folder / "out", name="n", quiet=True, **how)
    assert [p.name for p in (folder / "out" / WORK).glob("shard-*")] == ["shard-000000.jsonl"]
    assert not (folder / "out" / ".lock").exists()


def invert(path: Path) -> None:
    pixels = images.read_rgb(path)
    images.write_png(path, 255 - pixels)


def shrink(path: Path) -> None:
    labels = images.read_indices(path)
    labels[:40] = 0
    images.write_png(path, labels)


CHANGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "photo": ("people/images/p00.png", invert, "was changed"),
    "photo of a later shard": ("people/images/p29.png", invert, "was changed"),
    "label": ("people/parsing/p03.png", shrink, "was changed"),
    "human added": ("people/images/p99.png", lambda p: person(p.parents[1], "p99", 99), "is new"),
    "cut-out": ("cut/box1.png", lambda p: cut_out(p.parent, "box1", 50), "was changed"),
    "cut-out added": ("cut/box9.png", lambda p: cut_out(p.parent, "box9", 50), "is new"),
    "cut-out removed": ("cut/box2.png", lambda p: p.unlink(), "is gone"),
    "licence": ("cut/LICENCE", lambda p: p.write_text("MIT\n"), "was changed"),
    "occluder photo": ("coco/images/c1.png", invert, "was changed"),
    "instances": ("coco/instances.json", lambda p: p.write_text(p.read_text().replace("120", "111")), "was changed"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_input_that_changed_since_the_kill_is_named(
    sources: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    name, change, told = CHANGES[what]
    interrupted(monkeypatch, sources)
    before = contents(sources / "out")
    change(sources / name)
    with pytest.raises(InputError, match=f"{name}: {told} since the run in .*out was started"):
        synthesise(spec_of(sources), sources / "out", name="n", resume=True, quiet=True)
    assert contents(sources / "out") == before


def test_with_the_same_inputs_the_bytes_are_those_of_an_undisturbed_run(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, sources)
    with pytest.raises(UsageError, match="started with other settings"):
        synthesise(spec_of(sources, seed=3), sources / "out", name="n", resume=True, quiet=True)
    synthesise(spec_of(sources), sources / "out", name="n", resume=True, quiet=True)
    synthesise(spec_of(sources), sources / "whole", name="n", quiet=True)
    assert contents(sources / "out") == contents(sources / "whole")


def test_a_file_that_only_a_finished_shard_has_read_is_checked_too(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A source of one's own may read a file only when an occluder is loaded.
    note = sources / "people" / "note.txt"
    note.write_text("one")
    load = PhotoFolder.load

    def also_the_note(self: Any, human_id: str) -> Any:
        note_read(note, note.read_bytes())
        return load(self, human_id)

    monkeypatch.setattr(PhotoFolder, "load", also_the_note)
    interrupted(monkeypatch, sources)
    note.write_text("two")
    with pytest.raises(InputError, match=r"note\.txt: was changed since the run"):
        synthesise(spec_of(sources), sources / "out", name="n", resume=True, quiet=True)


def test_a_photo_that_changes_during_the_run_is_named(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = run.make_plan

    def then_change(*arguments: Any, **how: Any) -> Any:
        made = make(*arguments, **how)
        invert(sources / "people" / "images" / "p05.png")
        return made

    monkeypatch.setattr(run, "make_plan", then_change)
    with pytest.raises(InputError, match=r"p05\.png: was changed after this run had read it"):
        synthesise(spec_of(sources), sources / "out", quiet=True)


@pytest.mark.parametrize(
    ("changes", "how", "told"),
    [
        ({"seed": 9}, {}, "seed"),
        ({"variants": 2}, {}, "variants"),
        ({"initial": "perfect"}, {}, "initial"),
        ({"humans": ("mannequin:4",)}, {}, "humans"),
        ({}, {"limit": 3}, "limit"),
        ({}, {"limit": None}, "limit"),
        ({}, {"name": "m"}, "name"),
    ],
)
def test_a_finished_folder_refuses_other_settings(
    sources: Path, changes: dict[str, Any], how: dict[str, Any], told: str
) -> None:
    settings = {"name": "n", "limit": 4, "quiet": True}
    info = synthesise(spec_of(sources), sources / "out", **settings)
    before = contents(sources / "out")
    with pytest.raises(UsageError, match=rf"is finished, and was made with other settings \({told}\)"):
        synthesise(spec_of(sources, **changes), sources / "out", resume=True, **(settings | how))
    assert synthesise(spec_of(sources), sources / "out", resume=True, **settings) == info
    assert contents(sources / "out") == before


def test_a_run_that_was_killed_before_its_first_picture_leaves_nothing(sources: Path) -> None:
    for leftovers in ([".lock"], [".lock", f"{WORK}/plan.json", f"{WORK}/.tmp-x", ".tmp-y"]):
        for resume in (False, True):
            out = sources / f"out-{len(leftovers)}-{resume}"
            for name in leftovers:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_text("{}")
            if resume and len(leftovers) > 1:
                continue
            synthesise(spec_of(sources), out, name="n", limit=2, resume=resume, quiet=True)
            assert {p.name for p in out.iterdir()} == {
                *("annotations", "complete", "dataset.json", "images", "parsing", "preview.png", "README.md"),
                "rejected.csv",
            }


def test_a_link_in_the_folder_of_a_killed_run_is_named(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, sources)
    shutil.move(sources / "out" / "images", sources / "elsewhere")
    (sources / "out" / "images").symlink_to(sources / "elsewhere")
    with pytest.raises(InputError, match="out/images: a symbolic link"):
        synthesise(spec_of(sources), sources / "out", name="n", resume=True, quiet=True)


def command(folder: Path, out: Path) -> list[str]:
    sources = [f"--humans=folder:{folder / 'people'}", f"--occluders=rgba:{folder / 'cut'}"]
    settings = ["--variants", "4", "--size", "64", "--splits", "test=1", "--min-height", "50", "--workers", "2"]
    return [*CLI, "synth", *sources, *settings, "--quiet", "--name", "n", "--out", str(out)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_keeps_what_is_finished(sources: Path, number: signal.Signals) -> None:
    out = sources / "out"
    process = subprocess.Popen(
        command(sources, out),
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=hear_signals,
    )
    deadline = time.monotonic() + 60
    while not list(out.glob(f"{WORK}/shard-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    kept = f"finished work is kept in {out}: go on with --resume"
    assert told == f"deocc-bench: error: stopped by {number.name}; {kept}\n"
    assert not (out / ".lock").exists()
    assert subprocess.run([*command(sources, out), "--resume"], stdout=subprocess.DEVNULL).returncode == 0
    assert subprocess.run(command(sources, sources / "whole"), stdout=subprocess.DEVNULL).returncode == 0
    assert contents(out) == contents(sources / "whole")


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(sources: Path) -> None:
    start, chance = time.monotonic(), random.Random(0)
    subprocess.run(command(sources, sources / "whole"), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    for i in range(4):
        out = sources / f"out-{i}"
        more: list[str] = []
        for _ in range(2):
            process = subprocess.Popen([*command(sources, out), *more], stdout=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.2, 1) * seconds)
            process.kill()
            process.wait()
            more = ["--resume"] if out.exists() else []
        subprocess.run([*command(sources, out), *more], check=True, stdout=subprocess.DEVNULL)
        assert contents(out) == contents(sources / "whole")


@pytest.mark.slow
def test_of_two_runs_on_one_folder_one_goes_on(sources: Path) -> None:
    out = sources / "out"
    first = subprocess.Popen(command(sources, out), stdout=subprocess.DEVNULL)
    while not (out / ".lock").exists() and first.poll() is None:
        time.sleep(0.01)
    second = subprocess.run(command(sources, out), capture_output=True, text=True)
    assert second.returncode == 1
    assert f"{out}: is in use by process {first.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.wait() == 0
    assert DatasetReader(out).splits == ("test",)


def test_a_full_disk_tells_to_go_on_with_resume(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, sources)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("deocc_bench.core.files.os.replace", full)
        with pytest.raises(FaultError, match="free some space, then go on with --resume"):
            synthesise(spec_of(sources), sources / "out", name="n", resume=True, quiet=True)
    assert not list((sources / "out").rglob(".tmp-*"))
    with pytest.raises(DeoccError, match="add --resume"):
        synthesise(spec_of(sources), sources / "out", name="n", quiet=True)
