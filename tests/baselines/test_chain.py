"""The chain of a mask method and a content method."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from deocc_bench.baselines.chain import Chain
from deocc_bench.benchmark.benchmark_commands import evaluate
from deocc_bench.benchmark.inference import Settings, load_batch
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch
from deocc_bench.methods import calling, devices
from deocc_bench.methods.calling import predict
from deocc_bench.methods.loading import as_method, load_method, parse_options
from deocc_bench.methods.serving import check_serves, truth_given

PARTS_FILE = """
import contextlib
import numpy as np
from deocc_bench.core.seeding import rng

class Masks:
    name = "masks"
    needs = ("initial", "fit")
    samples = 3
    weights_used = "masks.pt"
    parameter_count = 5
    precision = "float16"

    def __init__(self, device, grow=1, path=None):
        self.device, self.grow, self.path, self.log = device, grow, path, []

    def fit(self, dataset, split):
        self.log.append(("fit", split))

    def complete(self, batch, seed):
        step = int(rng(seed, "masks", batch.ids[0]).integers(1, 9)) * self.grow
        return batch.initial | np.roll(batch.initial, step, axis=2)

    def latency_stages(self, batch):
        return [("make", lambda b: b.initial), ("copy", lambda m: m.copy())]

    @contextlib.contextmanager
    def countable(self):
        self.log.append("countable")
        yield


class Content:
    name = "content"
    needs = ("fit",)
    weights_used = {"paint": "none: random"}

    def parameter_count(self):
        return 7

    def __init__(self, preset="grey", device="cpu", level=100):
        self.preset, self.device, self.level, self.log = preset, device, level, []

    def fit(self, dataset, split):
        self.log.append(("fit", split))

    def recover(self, batch):
        return np.where((batch.amodal & ~batch.modal)[..., None], np.uint8(self.level), batch.images)
"""


@pytest.fixture
def parts_file(tmp_path: Path) -> Path:
    path = tmp_path / "parts.py"
    path.write_text(PARTS_FILE)
    return path


@pytest.mark.slow
def test_runs_its_parts(figures: DatasetReader, whole_batch: Batch) -> None:
    both = load_method("chain")
    assert (both.name, both.all_needs) == ("chain:nearest-template+telea", ("initial", "fit"))
    both.fit(figures, "train")
    assert (calling.complete(both, whole_batch).amodal & ~whole_batch.modal).any()
    assert calling.recover(both, whole_batch).images.shape == whole_batch.images.shape
    told = load_method("chain:oracle+telea")
    assert (told.all_needs, truth_given(told, "joint")) == (("truth",), ("everything",))
    told.reveal(figures, "test")
    assert (calling.complete(told, whole_batch).amodal == whole_batch.amodal).all()


def test_mean_colour_behind_masks_without_parsing(figures: DatasetReader) -> None:
    both = load_method("chain:convex-hull+mean-colour")
    settings = Settings("joint")
    check_serves(both, "joint", figures, "test", settings.initial_mask)
    batch = load_batch(list(figures.records("test"))[:4], both, settings)
    assert batch.parsing is None
    for i, prediction in enumerate(predict(both, batch, "joint")):
        assert batch.initial is not None
        assert prediction.amodal is not None
        assert prediction.image is not None
        hole = prediction.amodal & ~batch.initial[i]
        seen = batch.images[i][batch.initial[i] & prediction.amodal]
        assert hole.any()
        assert (prediction.image[hole] == np.rint(seen.mean(axis=0))).all()
        assert (prediction.image[~hole] == batch.images[i][~hole]).all()


def test_parts_of_any_spec_are_given_options_and_device(parts_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_gpus", lambda: 2)
    options = parse_options(["1.grow=2", "2.level=9", "1.path=a.b"])
    preset = f"{parts_file}:Masks+{parts_file}:Content:red"
    method = load_method(f"chain:{preset}", options, "cuda:1")
    masks, content = (part.instance for part in method.parts)
    assert (masks.grow, masks.path, content.level, content.preset) == (2, "a.b", 9, "red")
    assert (masks.device, content.device) == ("cuda:1", "cuda:1")
    assert method.name == "chain:masks+content:red"
    assert method.options == {"preset": preset, **options}


def test_what_the_parts_declare_is_declared_by_the_chain(parts_file: Path, figures: DatasetReader) -> None:
    method = load_method(f"chain:{parts_file}:Masks+{parts_file}:Content")
    assert method.needs("complete") == ("initial", "fit")
    assert method.samples == 3
    record = method.describe()
    assert record["weights"] == {"1": "masks.pt", "2.paint": "none: random"}
    assert (record["parameters"], method.precision) == (12, "float16")
    method.fit(figures, "train")
    with method.countable():
        pass
    assert [part.instance.log for part in method.parts] == [[("fit", "train"), "countable"], [("fit", "train")]]


def test_the_digest_is_of_the_parts_too(parts_file: Path) -> None:
    spec = f"chain:{parts_file}:Masks+telea"
    before = load_method(spec).describe()["code_digest"]
    assert load_method(spec).describe()["code_digest"] == before
    parts_file.write_text(PARTS_FILE + "\n# changed\n")
    assert load_method(spec).describe()["code_digest"] != before


def test_a_draw_of_the_chain_is_the_draw_of_its_part(parts_file: Path, whole_batch: Batch) -> None:
    method, alone = load_method(f"chain:{parts_file}:Masks+telea"), load_method(f"{parts_file}:Masks")
    first, second = (calling.complete(method, whole_batch, seed).amodal for seed in (1, 2))
    assert (first != second).any()
    assert np.array_equal(first, calling.complete(alone, whole_batch, 1).amodal)
    assert len(predict(method, whole_batch, "joint", 1)) == len(whole_batch)


def test_stages_of_the_parts_and_the_hand_over(parts_file: Path, whole_batch: Batch) -> None:
    method = load_method(f"chain:{parts_file}:Masks+{parts_file}:Content", {"2.level": 3})
    stages = method.latency_stages(whole_batch)
    assert stages is not None
    assert [name for name, _ in stages] == ["1. make", "1. copy", "hand-over", "2. recover"]
    value: Any = whole_batch
    for _, stage in stages:
        value = stage(value)
    # These stages give the initial masks, so nothing is hidden.
    assert np.array_equal(value, whole_batch.images)


@pytest.mark.slow
def test_the_network_in_both_places(whole_batch: Batch) -> None:
    batch = replace(whole_batch, modal=None, amodal=None, parsing=None)
    first = load_method("chain:two-stage:tiny+telea", {"1.mirror": True, "1.size": 128, "2.radius": 3}, "cpu")
    plain = load_method("two-stage:tiny", {"mirror": True, "size": 128}, "cpu")
    assert first.name == "chain:two-stage:tiny+telea"
    assert first.parts[1].instance.radius == 3.0
    assert np.array_equal(calling.complete(first, batch).amodal, calling.complete(plain, batch).amodal)
    whole = load_method("chain:two-stage:tiny+two-stage:tiny", {"1.size": 128, "2.size": 128}, "cpu")
    alone = load_method("two-stage:tiny", {"size": 128}, "cpu")
    for own, other in zip(predict(whole, batch, "joint"), predict(alone, batch, "joint"), strict=True):
        assert own.image is not None
        assert np.array_equal(own.image, other.image)  # type: ignore[arg-type]
    names = [name for name, _ in whole.latency_stages(batch) or ()]
    assert names[0] == "1. mask: image to tensor"
    assert names[4:6] == ["hand-over", "2. content: image to tensor"]
    assert whole.parameters == 2 * (alone.parameters or 0)
    assert set(whole.weights or ()) == {"1.mask", "1.content", "2.mask", "2.content"}


def test_objects_are_chained_too(parts_file: Path) -> None:
    mine = load_method(f"{parts_file}:Content").instance
    method = as_method(Chain("convex-hull", mine))
    assert method.name == "chain:convex-hull+content"
    assert method.parts[1].instance is mine


def test_a_plus_in_a_file_name(tmp_path: Path) -> None:
    path = tmp_path / "a+b.py"
    path.write_text(PARTS_FILE)
    assert load_method(f"chain:{path}:Masks+telea").name == "chain:masks+telea"
    assert load_method(f"chain:initial+{path}:Content").name == "chain:initial+content"


@pytest.mark.parametrize(
    ("preset", "options", "says"),
    [
        ("telea", {}, "chain takes two methods, as in chain:convex-hull+telea, got 'telea'"),
        ("telea+", {}, "chain takes two methods"),
        ("telea+oracle", {}, "method 'telea' has no complete(); put mask methods first"),
        ("oracle+convex-hull", {}, "method 'convex-hull' has no recover(); put mask methods first"),
        ("oracle+nobody", {}, "unknown method 'nobody'"),
        ("initial+telea+copy", {}, "chain:initial+telea+copy: can't tell which + separates the two methods"),
        ("initial+chain:initial+telea", {}, "chain: 'chain:initial+telea' is a chain itself"),
        ("initial+telea", {"radius": 3}, "no option 'radius'; write 1.radius for the mask method or 2.radius"),
        ("initial+telea", {"3.radius": 3}, "no option '3.radius'; its parts are 1 and 2, as in 1.radius"),
        ("initial+telea", {"2.radios": 3}, "method 'telea': unknown option 'radios'; did you mean 'radius'"),
        ("initial+telea", {"1.radius": 3}, "method 'initial': unknown option 'radius'; it takes none"),
    ],
)
def test_wrong_chains(preset: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_method(f"chain:{preset}", options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_hands_options_to_the_parts(figures: DatasetReader, tmp_path: Path) -> None:
    common = ["--data", str(figures.root), "--task", "joint", "--no-fid", "--resamples", "0", "--limit", "2"]
    options = ["-O", "1.mirror=true", "-O", "2.radius=3", "--out", str(tmp_path / "run"), "--device", "cpu"]
    done = CliRunner().invoke(evaluate, ["chain:two-stage:tiny+telea", *common, *options])
    assert done.exit_code == 0, done.exception
    record = json.loads((tmp_path / "run" / "result.json").read_text())["method"]
    assert record["name"] == record["spec"] == "chain:two-stage:tiny+telea"
    assert record["options"] == {"preset": "two-stage:tiny+telea", "1.mirror": True, "2.radius": 3}
