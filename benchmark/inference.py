"""Run a method over a split: load batches, call it, check its outputs, write them. A killed run can be resumed.

A batch contains samples of one size. Scoring reads only the files on disk, so batches, order and workers can't matter.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.benchmark.journal import Journal
from deocc_bench.core import images, initial_masks, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import DeoccError, describe_error
from deocc_bench.core.files import atomic_write, sweep_temporary
from deocc_bench.core.predictions import ERROR_FILE, PredictionFolder, draw_folder
from deocc_bench.core.reading import Digests, recorded
from deocc_bench.core.types import Batch, Prediction
from deocc_bench.methods.answers import OutputError, describe_ids
from deocc_bench.methods.calling import draw_seed, predict
from deocc_bench.methods.method import Method
from deocc_bench.methods.serving import batch_fields

_PREFETCH = 2


@dataclass(frozen=True)
class Settings:
    """Settings of a run; only `task`, `initial_mask` and `seed` may change a number.

    Args:
        task: "mask", "content" or "joint".
        initial_mask: a spec of `deocc_bench.core.initial_masks`.
        seed: seed of random methods and random initial masks.
        workers: number of threads that load and write.
        timeout: maximum seconds per call on a batch; None: no limit.
    """

    task: str
    initial_mask: str = initial_masks.DATASET
    seed: int = 0
    batch_size: int = 8
    workers: int = 1
    timeout: float | None = None


@dataclass
class Clock:
    """Seconds that the run spent waiting for data, in the method, and writing.

    Args:
        spoilt: ids of the samples that were predicted again, because their prediction was changed after it was written.
    """

    data: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    samples: int = 0
    spoilt: list[str] = field(default_factory=list)


class MethodError(DeoccError):
    """The method failed; the message names the samples and the predictions that were kept."""


def load_batch(records: Sequence[SampleRecord], method: Method, settings: Settings) -> Batch:
    """Load the inputs of one call: the images, the inputs of the task and the needs of the method."""
    wanted = batch_fields(method, settings.task)
    columns: dict[str, list[np.ndarray]] = {}
    for record in records:
        for name, value in _inputs(record, wanted, settings).items():
            columns.setdefault(name, []).append(value)
    whole: dict[str, Any] = {name: np.stack(values) for name, values in columns.items() if len(values) == len(records)}
    if "parsing" in whole:
        whole["parsing_source"] = "truth"
    return Batch(tuple(r.id for r in records), **whole)


def _inputs(record: SampleRecord, wanted: Collection[str], settings: Settings) -> dict[str, np.ndarray]:
    """One sample's image and those wanted fields that the dataset has."""
    found: dict[str, np.ndarray | None] = {"images": images.read_rgb(record.image_path)}
    if "initial" in wanted:
        found["initial"] = initial_masks.of_record(record, settings.initial_mask, settings.seed)
    if "modal" in wanted:
        found["modal"] = masks.decode(record.modal)
    if "amodal" in wanted:
        found["amodal"] = masks.decode(record.amodal)
    if "parsing" in wanted and record.parsing_path:
        parsing = images.read_indices(record.parsing_path)
        found |= {"parsing": parsing, "modal_parsing": parsing * masks.decode(record.modal)}
    return {name: value for name, value in found.items() if value is not None}


def run(
    method: Method,
    dataset: DatasetReader,
    split: str,
    ids: Sequence[str],
    settings: Settings,
    *,
    predictions: Path,
    progress: Callable[[int], object] = lambda n: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Clock:
    """Predict the samples of `ids` that are missing in `predictions`, or were changed there after they were written.

    Args:
        predictions: the prediction folder; the draws of a random method are in its folders `draw-NN`.
        progress: called with the number of samples (times draws) done.

    Returns:
        The time spent in each part of the loop; the parts add up to its total.

    Raises:
        MethodError: the method raised, timed out or returned an output that can't be scored. Finished predictions are
            kept.
        InputError: the dataset was changed after predictions had been made from it.
    """
    sweep_temporary(predictions)
    for old in predictions.rglob(ERROR_FILE):
        old.unlink()
    spent, journal = Clock(), Journal(predictions)
    records = [dataset.record(split, i) for i in ids]
    for draw in range(method.samples) if method.samples is not None else (None,):
        folder = PredictionFolder(draw_folder(predictions, draw))
        missing, spoilt = journal.unfinished(records, folder, settings.task, draw)
        spent.spoilt += spoilt
        progress(len(records) - len(missing))
        journal.begin(draw, missing)
        folder.clear(r.id for r in missing)

        def finished(
            batch: Sequence[SampleRecord], read: Digests, draw: int | None = draw, folder: PredictionFolder = folder
        ) -> None:
            journal.add(draw, batch, read, folder)
            progress(len(batch))

        seed = None if draw is None else draw_seed(settings.seed, draw)
        _run_draw(method, missing, settings, folder, seed=seed, finished=finished, clock=clock, spent=spent)
    return spent


def batches(records: Sequence[SampleRecord], size: int) -> list[list[SampleRecord]]:
    """Lists of at most `size` records of one image size, in the order given within each size."""
    by_size: dict[tuple[int, int], list[SampleRecord]] = {}
    for r in records:
        by_size.setdefault(r.size, []).append(r)
    return [group[i : i + size] for group in by_size.values() for i in range(0, len(group), size)]


def _run_draw(
    method: Method,
    records: Sequence[SampleRecord],
    settings: Settings,
    folder: PredictionFolder,
    *,
    seed: int | None,
    finished: Callable[[Sequence[SampleRecord], Digests], None],
    clock: Callable[[], float],
    spent: Clock,
) -> None:
    done = 0
    groups = batches(records, settings.batch_size)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(settings.workers)) if settings.workers > 1 else None
        load = partial(_load_recorded, method=method, settings=settings)
        start = clock()
        for group, (batch, read) in zip(groups, _ahead(load, groups, pool), strict=True):
            loaded = clock()
            spent.data += loaded - start
            answers = _guarded(method, batch, settings, seed, root=folder.root, done=done, total=len(records))
            computed = clock()
            spent.compute += computed - loaded
            for _ in pool.map(folder.write, answers) if pool else map(folder.write, answers):
                pass
            finished(group, read)
            start = clock()
            spent.write += start - computed
            done += len(batch)
            spent.samples += len(batch)


def _load_recorded(records: Sequence[SampleRecord], method: Method, settings: Settings) -> tuple[Batch, Digests]:
    with recorded() as read:
        return load_batch(records, method, settings), read


def _ahead(
    load: Callable[[list[SampleRecord]], tuple[Batch, Digests]],
    groups: Iterable[list[SampleRecord]],
    pool: ThreadPoolExecutor | None,
) -> Iterator[tuple[Batch, Digests]]:
    if pool is None:
        yield from map(load, groups)
        return
    waiting: deque[Future[tuple[Batch, Digests]]] = deque()
    for group in groups:
        waiting.append(pool.submit(load, group))
        if len(waiting) > _PREFETCH:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _guarded(
    method: Method, batch: Batch, settings: Settings, seed: int | None, *, root: Path, done: int, total: int
) -> list[Prediction]:
    try:
        call = partial(predict, method, batch, settings.task, seed)
        return call() if settings.timeout is None else _within(call, settings.timeout)
    except (OutputError, TimeoutError) as error:
        reason = str(error) if isinstance(error, OutputError) else f"{describe_ids(batch.ids)}: {error}"
        raise _failed(method, reason, root, done, total) from error
    # SystemExit too: a method that calls sys.exit() must not end the run as if it had finished.
    except (Exception, SystemExit) as error:
        path = root / ERROR_FILE
        atomic_write(path, "".join(traceback.format_exception(error)))
        reason = f"{describe_ids(batch.ids)}: {describe_error(error)} (traceback in {path})"
        raise _failed(method, reason, root, done, total) from error


def _failed(method: Method, reason: str, root: Path, done: int, total: int) -> MethodError:
    return MethodError(
        f"method {method.name!r} failed on {reason}; {done} of {total} missing samples are done and kept in "
        f"{root}; fix the method and continue with --resume"
    )


def _within(call: Callable[[], list[Prediction]], seconds: float) -> list[Prediction]:
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    # A daemon thread: a hanging call can't be stopped, but must not keep the process alive.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no result within {seconds:g} s")
    answers, error = outcome[0]
    if error is not None:
        raise error
    assert answers is not None
    result: list[Prediction] = answers
    return result
