"""From samples to training batches: resizing, augmentation, and the order of the samples across processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.labels import LIP
from deocc_bench.core.seeding import hash64, rng
from deocc_bench.core.types import Sample
from deocc_bench.core.workers import end_with_parent, start_fork_server
from deocc_bench.models.training.config import DataConfig

_Change: TypeAlias = Callable[[np.ndarray | None], np.ndarray | None]


@dataclass(frozen=True)
class Example:
    """One training sample.

    Args:
        image: uint8 H x W x 3, RGB, occluded.
        amodal, modal: bool H x W, or after downscaling uint8 H x W: the share of each pixel that the mask covers,
            0..255. Trained on this share, a network at half the size predicts outlines with sub-pixel accuracy.
        complete: like `image`, without the occluders; None if there is none.
        initial: initial mask, same format as `modal`; None if there is none.
        parsing: uint8 H x W, LIP ids; None if there is none.
        unknown: pixels without ground truth for the masks, same format as `modal`; None if there are none.
    """

    image: np.ndarray
    amodal: np.ndarray
    modal: np.ndarray
    complete: np.ndarray | None = None
    initial: np.ndarray | None = None
    parsing: np.ndarray | None = None
    unknown: np.ndarray | None = None

    @classmethod
    def of(cls, sample: Sample, unknown: np.ndarray | None = None) -> Example:
        """Take the fields of a sample that training needs."""
        s = sample
        return cls(s.image, s.amodal, s.modal, s.complete, s.initial, s.parsing, unknown)


class Source(Protocol):
    """A source of training examples. Example (epoch, index) depends on these two numbers only."""

    def __len__(self) -> int:
        """Number of examples per epoch."""
        ...

    def example(self, epoch: int, index: int) -> Example:
        """Return one example."""
        ...


class FolderSource:
    """The samples of one split of a dataset folder, the same every epoch."""

    def __init__(self, reader: DatasetReader, split: str) -> None:
        self.reader, self.split = reader, split
        self.ids = reader.ids(split)

    def __len__(self) -> int:
        return len(self.ids)

    def example(self, epoch: int, index: int) -> Example:
        """Return sample `index` in the order of ids."""
        return Example.of(self.reader.sample(self.split, self.ids[index]))


@dataclass(frozen=True)
class TrainingBatch:
    """Tensors of N examples at the training size h x w.

    Args:
        image: float N x 3 x h x w in [-1, 1].
        initial, amodal, modal: float N x 1 x h x w in [0, 1].
        known: float N x 1 x h x w in {0, 1}; 0 where the masks have no ground truth.
        complete: like `image`, without the occluders; None unless all examples have it.
        parsing: int64 N x h x w, LIP ids; None unless all examples have it.
    """

    image: Tensor
    initial: Tensor
    amodal: Tensor
    modal: Tensor
    known: Tensor
    complete: Tensor | None
    parsing: Tensor | None

    def to(self, device: torch.device) -> TrainingBatch:
        """Copy the batch to another device."""
        tensors: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: None if v is None else v.to(device, non_blocking=True) for k, v in tensors.items()}
        return TrainingBatch(**moved)

    def parts(self, count: int) -> list[TrainingBatch]:
        """Split into `count` batches, for gradient accumulation."""
        tensors: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        chunks: dict[str, Any] = {k: [None] * count if v is None else v.chunk(count) for k, v in tensors.items()}
        return [TrainingBatch(**{k: v[i] for k, v in chunks.items()}) for i in range(count)]

    def __len__(self) -> int:
        return len(self.image)


class Feed(Dataset[Example]):
    """A source resized to the training size and augmented; keys are (epoch, index), so that all workers use the same.

    The augmentation of an example depends only on (seed, epoch, index). With `config.reuse` k, epochs 0..k-1 use the
    first example of each index, the next k epochs the second, and so on, with a new augmentation in each epoch.
    """

    def __init__(self, source: Source, config: DataConfig, size: int, seed: int) -> None:
        self.source, self.config, self.size, self.seed = source, config, size, seed
        self._kept: dict[int, tuple[int, Example]] = {}

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        random = rng(self.seed, "augment", epoch, index)
        return augment(self._example(epoch // self.config.reuse, index), self.config, random)

    def _example(self, round_: int, index: int) -> Example:
        kept = self._kept.get(index)
        if kept is not None and kept[0] == round_:
            return kept[1]
        made = resized(self.source.example(round_, index), self.size)
        if self.config.reuse > 1:
            self._kept[index] = (round_, made)
        return made


@dataclass(frozen=True)
class Stream(Sampler[list[tuple[int, int]]]):
    """The examples that a process reads: an endless sequence of batches of (epoch, index), beginning at step `start`.

    The epochs, each in its own shuffled order, form one sequence. Step s of the run takes the s-th block of `batch`
    examples, and each process takes every `world`-th example of the block. Each example therefore occurs once per epoch
    for any number of processes, and a resumed run continues with exactly the next example.
    """

    length: int
    batch: int
    seed: int
    start: int = 0
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step, epoch, order = self.start, -1, [0]
        while True:
            chosen = []
            for position in range(step * self.batch + self.rank, (step + 1) * self.batch, self.world):
                if position // self.length != epoch:
                    epoch = position // self.length
                    order = self.order(epoch)
                chosen.append((epoch, order[position % self.length]))
            yield chosen
            step += 1

    def order(self, epoch: int) -> list[int]:
        """The indices of an epoch, shuffled by hash, so that all processes have the same order."""
        return sorted(range(self.length), key=lambda i: hash64(self.seed, "order", epoch, i))


def batches(feed: Feed, stream: Stream, workers: int) -> Iterator[TrainingBatch]:
    """Iterate over the batches of a stream; worker processes, if any, prepare them in advance."""
    if workers:
        start_fork_server()
    loader: Any = DataLoader(
        feed,
        batch_sampler=stream,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_begin_worker,
        prefetch_factor=4 if workers else None,
        # A separate generator, because the loader would otherwise draw from the global one.
        generator=torch.Generator(),
        multiprocessing_context="forkserver" if workers else None,
    )
    return iter(loader)


def augment(example: Example, config: DataConfig, random: np.random.Generator) -> Example:
    """Return a random variant of an example, of the same size."""
    if example.initial is None or random.random() < config.perfect:
        example = replace(example, initial=example.modal)
    if random.random() < config.flip:
        example = mirrored(example)
    if random.random() < config.warp:
        example = warped(example, _matrix(len(example.image), config.warp_size, random))
        if config.bend:
            example = bent(example, _shifts(len(example.image), config.bend, random))
    if config.colour:
        table = _colour_table(config.colour, random)
        example = replace(
            example,
            image=cv2.LUT(np.ascontiguousarray(example.image), table),
            complete=None if example.complete is None else cv2.LUT(np.ascontiguousarray(example.complete), table),
        )
    return example


def resized(example: Example, size: int) -> Example:
    """Resize both sides to `size` as inference does: images and masks by area, labels by nearest neighbour."""
    if example.image.shape[:2] == (size, size):
        return example

    def picture(x: np.ndarray | None) -> np.ndarray | None:
        how = cv2.INTER_AREA if x is not None and x.shape[0] > size else cv2.INTER_LINEAR
        return None if x is None else cv2.resize(x, (size, size), interpolation=how)

    def mask(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else picture(_coverage(x))

    def labels(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else cv2.resize(x, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)

    return _mapped(example, picture, mask, labels)


def mirrored(example: Example) -> Example:
    """Mirror an example and exchange the left and right labels."""
    swap = LIP.flip_table()

    def flip(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else x[:, ::-1]

    return _mapped(example, flip, flip, lambda x: None if x is None else swap[x[:, ::-1]])


def warped(example: Example, matrix: np.ndarray) -> Example:
    """Apply an affine map (float 2 x 3, source to target pixels); pixels from outside are black and unlabelled."""
    height, width = example.image.shape[:2]

    def move(x: np.ndarray, how: int) -> np.ndarray:
        return cv2.warpAffine(x, matrix, (width, height), flags=how)

    return _moved(example, move)


def bent(example: Example, shifts: np.ndarray) -> Example:
    """Read each pixel at its position plus `shifts` (float32 H x W x 2, (x, y) in pixels); the outside is black."""
    height, width = shifts.shape[:2]
    where = shifts + np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
    # Fixed-point maps, made once for all arrays.
    linear = cv2.convertMaps(where, None, cv2.CV_16SC2)
    nearest = cv2.convertMaps(where, None, cv2.CV_16SC2, nninterpolation=True)

    def move(x: np.ndarray, how: int) -> np.ndarray:
        maps = linear if how == cv2.INTER_LINEAR else nearest
        return cv2.remap(x, *maps, interpolation=how)

    return _moved(example, move)


def collate(examples: Sequence[Example]) -> TrainingBatch:
    """Stack examples of one size into tensors."""

    def pictures(name: str) -> Tensor | None:
        arrays = [getattr(e, name) for e in examples]
        if any(a is None for a in arrays):
            return None
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1.0

    def masks(arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack([_coverage(a) for a in arrays]))[:, None].float() / 255

    image = pictures("image")
    assert image is not None
    shape = examples[0].modal.shape
    known = [np.ones(shape, bool) if e.unknown is None else e.unknown == 0 for e in examples]
    parsing = [e.parsing for e in examples if e.parsing is not None]
    return TrainingBatch(
        image=image,
        initial=masks([e.modal if e.initial is None else e.initial for e in examples]),
        amodal=masks([e.amodal for e in examples]),
        modal=masks([e.modal for e in examples]),
        known=masks(known),
        complete=pictures("complete"),
        parsing=torch.from_numpy(np.stack(parsing).astype(np.int64)) if len(parsing) == len(examples) else None,
    )


def _coverage(mask: np.ndarray) -> np.ndarray:
    """Convert a mask to uint8 0..255; uint8 input is returned unchanged."""
    mask = np.ascontiguousarray(mask)
    return mask.view(np.uint8) * np.uint8(255) if mask.dtype == np.bool_ else mask


def _moved(example: Example, move: Callable[[np.ndarray, int], np.ndarray]) -> Example:
    """Move the pixels of each array: images and masks with linear interpolation, labels by nearest neighbour."""

    def linear(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else move(_coverage(x), cv2.INTER_LINEAR)

    def nearest(x: np.ndarray | None) -> np.ndarray | None:
        return None if x is None else move(np.ascontiguousarray(x), cv2.INTER_NEAREST)

    moved = _mapped(example, linear, linear, nearest)
    # Keep the example if the person would be moved out of the image.
    return moved if moved.modal.any() else example


def _mapped(example: Example, picture: _Change, mask: _Change, labels: _Change) -> Example:
    """Apply to each array the function for its kind."""
    kinds = {"image": picture, "complete": picture, "parsing": labels}
    new: dict[str, Any] = {f.name: kinds.get(f.name, mask)(getattr(example, f.name)) for f in fields(example)}
    return replace(example, **new)


def _matrix(size: int, amount: float, random: np.random.Generator) -> np.ndarray:
    """A random affine map about the centre: a scale for each axis, a rotation and a shift."""
    sx, sy = np.exp(random.normal(size=2) * amount * (1.0, 0.5))
    angle = random.normal() * 0.5 * amount
    shift = random.normal(size=2) * 0.5 * amount * size
    turn = np.array([[sx * math.cos(angle), -math.sin(angle)], [math.sin(angle), sy * math.cos(angle)]])
    centre = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, centre - turn @ centre + shift])


_BEND_CELLS = 5
"""Knots of the bending along each side: about a limb's length apart, so that bodies bend and outlines stay smooth."""


def _shifts(size: int, amount: float, random: np.random.Generator) -> np.ndarray:
    """Random shifts in pixels, float32 size x size x 2: smooth between knots, standard deviation `amount` x size."""
    knots = (random.normal(size=(_BEND_CELLS, _BEND_CELLS, 2)) * amount * size).astype(np.float32)
    return cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)


def _colour_table(strength: float, random: np.random.Generator) -> np.ndarray:
    """Random gamma, contrast, brightness and tint as a lookup table, uint8 256 x 1 x 3."""
    gamma = math.exp(0.3 * strength * random.uniform(-1, 1))
    contrast = math.exp(0.25 * strength * random.uniform(-1, 1))
    brightness = 25 * strength * random.uniform(-1, 1)
    tint = 1 + 0.07 * strength * random.uniform(-1, 1, 3)
    level = np.arange(256)[:, None] / 255
    values = ((255 * level**gamma - 127.5) * contrast + 127.5 + brightness) * tint
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, None, :]


def _begin_worker(_: int) -> None:
    end_with_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
