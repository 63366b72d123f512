"""A small drawn dataset: upright figures whose hidden parts are known, so that orders between methods must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.dataset_writer import finish, write_sample
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import Batch, Sample

SIZE = 96


def _figure(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(image uint8, parsing uint8): head, trunk, two arms, two legs, in colours of their own."""
    height = generator.uniform(0.72, 0.86) * SIZE
    x, top = SIZE * generator.uniform(0.45, 0.55), SIZE * generator.uniform(0.05, 0.1)
    parsing = np.zeros((SIZE, SIZE), np.uint8)
    lean = generator.uniform(-0.05, 0.05) * height

    def bar(part: int, x0: float, y0: float, x1: float, y1: float, width: float) -> None:
        ends = [(round(x + px * height), round(top + py * height)) for px, py in ((x0, y0), (x1, y1))]
        cv2.line(parsing, ends[0], ends[1], part, max(1, round(width * height)))

    spread = generator.uniform(0.05, 0.1)
    bar(15, -0.12, 0.22, -0.12 - spread, 0.5, 0.05)
    bar(14, 0.12, 0.22, 0.12 + spread, 0.5, 0.05)
    bar(9, -0.06, 0.5, -0.06 - spread, 0.97, 0.09)
    bar(9, 0.06, 0.5, 0.06 + spread, 0.97, 0.09)
    cv2.rectangle(
        parsing,
        (round(x - 0.12 * height), round(top + 0.19 * height)),
        (round(x + 0.12 * height), round(top + 0.52 * height)),
        5,
        -1,
    )
    cv2.circle(parsing, (round(x + lean), round(top + 0.09 * height)), round(0.085 * height), 13, -1)
    colours = generator.integers(30, 226, size=(20, 3))
    colours[0] = (200, 200, 200)
    colours[14] = colours[15]
    noise = generator.integers(-12, 13, size=(SIZE, SIZE, 3))
    return np.clip(colours[parsing] + noise, 0, 255).astype(np.uint8), parsing


def _sample(split: str, human: int, variant: int) -> Sample:
    image, parsing = _figure(rng(0, "figure", split, human))
    generator = rng(1, "hide", split, human, variant)
    amodal = parsing > 0
    while True:
        cover = np.zeros((SIZE, SIZE), np.uint8)
        y, x = np.argwhere(amodal)[generator.integers(amodal.sum())]
        size = generator.uniform(0.12, 0.28, size=2) * SIZE
        cv2.ellipse(cover, (int(x), int(y)), (int(size[0]), int(size[1])), 0, 0, 360, 1, -1)
        modal = amodal & (cover == 0)
        if 0.15 < 1 - modal.sum() / amodal.sum() < 0.6:
            break
    occluded = image.copy()
    occluded[cover > 0] = (250, 20, 250)
    name = f"{split}{human:02d}"
    return Sample(
        f"{name}-{variant}", split, name, name, variant, occluded, image, amodal, modal, modal.copy(), parsing, ()
    )


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    """A dataset folder: split train of 24 figures, split test of 8 others, two samples each."""
    root: Path = tmp_path_factory.mktemp("figures")
    lines = {
        split: [write_sample(root, _sample(split, h, v)) for h in range(n) for v in range(2)]
        for split, n in (("train", 24), ("test", 8))
    }
    finish(root, "figures", {k: (lambda k=k: lines[k]) for k in lines}, {})
    return DatasetReader(root)


@pytest.fixture(scope="session")
def held_out(figures: DatasetReader) -> list[Sample]:
    return [figures.sample("test", i) for i in figures.ids("test")]


@pytest.fixture(scope="session")
def whole_batch(held_out: list[Sample]) -> Batch:
    """All that a task may give, of all test samples."""
    return make_batch(held_out)


@pytest.fixture(scope="session")
def batch_of() -> Callable[[list[Sample]], Batch]:
    return make_batch


@pytest.fixture(scope="session")
def ready(figures: DatasetReader) -> Callable[[type], Any]:
    """Makes a method of a class: fitted to split train if it learns, shown split test if it is told the truth."""

    def make(factory: type) -> Any:
        method = factory()
        if "fit" in method.needs:
            method.fit(figures, "train")
        if "truth" in method.needs:
            method.reveal(figures, "test")
        return method

    return make


def make_batch(samples: list[Sample]) -> Batch:
    def stack(name: str) -> np.ndarray:
        return np.stack([getattr(s, name) for s in samples])

    return Batch(
        tuple(s.id for s in samples),
        stack("image"),
        initial=stack("initial"),
        modal=stack("modal"),
        amodal=stack("amodal"),
        parsing=stack("parsing"),
    )
