"""Runs one function over many items: in this process, in worker processes, or on a ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.registry import unknown

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
_KILLED = "a worker process was killed (out of memory?); use fewer --workers and go on with --resume"
_PRELOAD = ["__main__", "deocc_bench.synth.run"]

_state: Any = None


def run(
    make_worker: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Sequence[Item],
    workers: int = 1,
    engine: str = "local",
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, result) as they are finished, in any order.

    Args:
        make_worker: called with `arguments` once a process; gives the function that handles an item. Importable.
        workers: processes; 1 runs here.
        engine: "local" or "ray" (an extra; uses the cluster that `RAY_ADDRESS` names, else this machine).

    Raises:
        UsageError: unknown engine. DeoccError: ray is missing, or a worker died. Whatever a worker raises.
    """
    if engine not in ENGINES:
        raise UsageError(unknown("engine", engine, ENGINES))
    if workers < 1:
        raise UsageError(f"--workers must be 1 or more, got {workers}")
    if engine == "ray":
        yield from _run_ray(make_worker, arguments, items, workers)
    elif workers == 1 or len(items) <= 1:
        cv2.setNumThreads(1)
        worker = make_worker(*arguments)
        for item in items:
            yield item, worker(item)
    else:
        yield from _run_pool(make_worker, arguments, items, workers)


def _run_pool(
    make_worker: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Sequence[Item],
    workers: int,
) -> Iterator[tuple[Item, Result]]:
    context = _context()
    remaining = iter(items)
    with ProcessPoolExecutor(workers, context, _start, (make_worker, arguments)) as pool:
        waiting: dict[Future[Result], Item] = {}
        try:
            while True:
                # A short queue: memory stays flat however many items there are.
                while len(waiting) < 2 * workers:
                    try:
                        item = next(remaining)
                    except StopIteration:
                        break
                    waiting[_submitted(pool, item)] = item
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    item = waiting.pop(future)
                    yield item, future.result()
        except BrokenProcessPool as error:
            raise DeoccError(_KILLED) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, item: Any) -> Future[Any]:
    try:
        return pool.submit(_call, item)
    except OSError:
        # A worker that dies while the next one is being started takes away the pipes which that one is handed. The pool
        # knows by now: it says so when it is asked again.
        return pool.submit(_call, item)


def _context() -> multiprocessing.context.BaseContext:
    """How processes are started: without the locks and threads of this one.

    A fork server imports once what all workers, and the workers of later calls, then share; where there is none
    (Windows), each process imports for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _start(make_worker: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _state
    cv2.setNumThreads(1)
    _state = make_worker(*arguments)


def _call(item: Any) -> Any:
    return _state(item)


def _run_ray(
    make_worker: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Sequence[Item],
    workers: int,
) -> Iterator[tuple[Item, Result]]:
    try:
        import ray
    except ImportError as error:
        raise DeoccError("--engine ray needs ray; run: pip install 'deocc-bench[ray]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.WARNING)

    class Actor:
        def __init__(self) -> None:
            cv2.setNumThreads(1)
            self.worker = make_worker(*arguments)

        def call(self, item: Any) -> Any:
            return self.worker(item)

    remote: Any = ray.remote(Actor)
    actors = [remote.remote() for _ in range(workers)]
    remaining = iter(items)
    waiting: dict[Any, tuple[Item, Any]] = {}
    for actor in actors:
        item = next(remaining, None)
        if item is not None:
            waiting[actor.call.remote(item)] = (item, actor)
    while waiting:
        done, _ = ray.wait(list(waiting))
        for reference in done:
            item, actor = waiting.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise DeoccError(_KILLED) from error
            following = next(remaining, None)
            if following is not None:
                waiting[actor.call.remote(following)] = (following, actor)
            yield item, result
