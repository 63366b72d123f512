"""A tiny dataset of drawn ellipses and rectangles, made with the kernel's own types and writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deocc_bench.core import dataset_writer
from deocc_bench.core.types import PlacedOccluder, Sample


def make_sample(number: int, split: str, height: int = 64, width: int = 48) -> Sample:
    """Sample `number`: an ellipse of a person with three parts, a rectangle before it; three variants a human."""
    rng = np.random.Generator(np.random.PCG64(number + (1000 if split == "train" else 0)))
    y, x = np.mgrid[:height, :width]
    centre = width / 2 + rng.integers(-3, 4), height / 2 + rng.integers(-3, 4)
    amodal = ((x - centre[0]) / (width / 3.5)) ** 2 + ((y - centre[1]) / (height / 2.4)) ** 2 < 1
    parsing = np.where(amodal, np.where(y < height / 3, 13, np.where(y < height * 0.65, 5, 9)), 0).astype(np.uint8)
    complete = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    complete[amodal] = 128 + complete[amodal] // 4
    top, left = int(rng.integers(4, height // 2)), int(rng.integers(4, width // 2))
    cover = np.zeros((height, width), bool)
    cover[top : top + height // 3, left : left + width // 3] = True
    image = complete.copy()
    image[cover] = (200, 30, 60)
    initial = amodal & ~cover
    initial = np.roll(initial, 1, axis=1)
    human = f"{split}-{number // 3}"
    return Sample(
        id=f"{human}-v{number % 3}",
        split=split,
        group_id=human,
        human_id=human,
        variant=number % 3,
        image=image,
        complete=complete,
        amodal=amodal,
        modal=amodal & ~cover,
        initial=initial,
        parsing=parsing,
        occluders=(PlacedOccluder(f"box-{number}", ("box", "crate")[number % 2], 1, cover, "CC0"),),
    )


def write_dataset(root: Path, counts: dict[str, int], odd_sizes: bool = True) -> Path:
    """A dataset folder; with `odd_sizes` every fourth sample has another size."""
    lines: dict[str, list[dataset_writer.Line]] = {}
    for split, count in counts.items():
        for number in range(count):
            size = (56, 72) if odd_sizes and number % 4 == 3 else (64, 48)
            lines.setdefault(split, []).append(dataset_writer.write_sample(root, make_sample(number, split, *size)))
    ordered = {s: sorted(found, key=lambda line: line["annotation"]["sample_id"]) for s, found in lines.items()}
    dataset_writer.finish(root, root.name, {s: (lambda f=f: f) for s, f in ordered.items()}, {"seed": 0})
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset folder: 14 test samples of two sizes, 6 train samples."""
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", {"test": 14, "train": 6})


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another dataset folder, of the first four test samples of `tiny`."""
    return write_dataset(tmp_path_factory.mktemp("data") / "few", {"test": 4})


METHODS_FILE = '''
import os, time
import numpy as np
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import ContentOutput, MaskOutput


class Grow:
    """The initial mask, grown to the right by `by` pixels."""
    name = "grow"
    needs = ("initial",)

    def __init__(self, by: int = 3):
        self.by = by

    def complete(self, batch):
        out = batch.initial.copy()
        for k in range(1, self.by + 1):
            out[:, :, k:] |= batch.initial[:, :, :-k]
        return out


class Full:
    """Masks, modal masks, parsing and pictures, all made of the initial mask."""
    name = "full"
    version = "2"
    needs = ("initial", "modal", "amodal", "parsing")

    def complete(self, batch):
        assert batch.modal is None and batch.amodal is None and batch.parsing is None
        amodal = batch.initial | np.roll(batch.initial, 4, axis=2)
        return MaskOutput(amodal, batch.initial & amodal, np.where(amodal, 5, 0).astype(np.uint8))

    def recover(self, batch):
        hole = batch.amodal & ~batch.modal
        images = batch.images.copy()
        images[hole] = 140
        images[batch.modal_parsing == 5] //= 2
        return ContentOutput(images)


class Paint:
    name = "paint"
    needs = ("modal", "amodal")

    def recover(self, batch):
        images = batch.images.copy()
        images[batch.amodal & ~batch.modal] = 150
        return images


class Dice:
    name = "dice"
    needs = ("initial",)
    samples = 3

    def complete(self, batch, seed):
        out = batch.initial.copy()
        for i, sample_id in enumerate(batch.ids):
            k = int(rng(seed, "dice", sample_id).integers(1, 9))
            out[i, :, k:] |= batch.initial[i, :, :-k]
        return out


class DicePaint:
    name = "dice-paint"
    samples = 2

    def recover(self, batch, seed):
        images = batch.images.copy()
        for i, sample_id in enumerate(batch.ids):
            images[i] = rng(seed, "paint", sample_id).integers(0, 256)
        return images


class Learner:
    name = "learner"
    needs = ("fit",)

    def fit(self, dataset, split):
        self.seen = dataset.ids(split)

    def complete(self, batch):
        return np.ones(batch.images.shape[:3], bool) if self.seen else None


class Oracle:
    name = "oracle"
    needs = ("amodal",)

    def complete(self, batch):
        return batch.amodal


class Seer:
    name = "seer"
    needs = ("truth",)

    def reveal(self, dataset, split):
        self.truth = {r.id: dataset.sample(split, r.id).complete for r in dataset.records(split)}

    def recover(self, batch):
        return np.stack([self.truth[i] for i in batch.ids])


class Bad(Grow):
    """Fails on the sample named by `at`, in the way named by `how`."""
    name = "bad"

    def __init__(self, how: str, at: str = "", by: int = 3):
        super().__init__(by)
        self.how, self.at = how, at

    def complete(self, batch):
        out = super().complete(batch)
        if self.at not in batch.ids:
            return out
        i = batch.ids.index(self.at)
        if self.how == "raise":
            raise RuntimeError("out of ideas")
        if self.how == "exit":
            raise SystemExit(0)
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "hang":
            time.sleep(30)
        if self.how == "nan":
            soft = out.astype(np.float32)
            soft[i, 3, 3] = np.nan
            return soft
        if self.how == "float":
            return out.astype(np.float32)
        if self.how == "size":
            return out[:, 1:]
        if self.how == "few":
            return out[:-1]
        if self.how == "none":
            return None
        if self.how == "single":
            return np.array(1.0)
        if self.how == "list":
            return out.tolist()
        if self.how == "label":
            parsing = np.zeros(out.shape, np.uint8)
            parsing[i, 0, 0] = 20
            return MaskOutput(out, None, parsing)
        raise AssertionError(self.how)


class Neither:
    pass


class Broken(Grow):
    def __init__(self):
        raise ValueError("no weights")
'''


@pytest.fixture(scope="session")
def methods_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python file of small methods, good and bad."""
    path = tmp_path_factory.mktemp("methods") / "my_methods.py"
    path.write_text(METHODS_FILE)
    return path
