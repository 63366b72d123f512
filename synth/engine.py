"""Applies a function to many tasks: in this process, in worker processes, or on a ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from deocc_bench.core.errors import DeoccError, FaultError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.workers import end_with_parent, start_fork_server

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
_PRELOAD = ["__main__", "deocc_bench.synth.run"]

_state: Any = None


def run(
    make_worker: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Sequence[Task],
    workers: int = 1,
    engine: str = "local",
) -> Iterator[tuple[Task, Result]]:
    """Yield (task, result) pairs as they are finished, in any order.

    Args:
        make_worker: importable function, called with `arguments` once per process; returns the function that handles a
            task.
        arguments: arguments of `make_worker`.
        tasks: inputs of the workers.
        workers: number of processes; 1 runs in this process.
        engine: "local" or "ray" (an extra; uses the cluster at `RAY_ADDRESS`, otherwise this machine).

    Raises:
        UsageError: the engine is unknown, or `workers` is below 1.
        DeoccError: ray is missing. Exceptions of workers are re-raised.
        FaultError: a worker was killed.
    """
    if engine not in ENGINES:
        raise UsageError(unknown("engine", engine, ENGINES))
    if workers < 1:
        raise UsageError(f"--workers must be 1 or more, got {workers}")
    if engine == "ray":
        yield from _run_ray(make_worker, arguments, tasks, workers)
    elif workers == 1 or len(tasks) <= 1:
        cv2.setNumThreads(1)
        worker = make_worker(*arguments)
        for task in tasks:
            yield task, worker(task)
    else:
        yield from _run_pool(make_worker, arguments, tasks, workers)


def _run_pool(
    make_worker: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Sequence[Task],
    workers: int,
) -> Iterator[tuple[Task, Result]]:
    context = _context()
    remaining = iter(tasks)
    with ProcessPoolExecutor(workers, context, _start, (make_worker, arguments)) as pool:
        waiting: dict[Future[Result], Task] = {}
        try:
            while True:
                # A short queue keeps memory constant for any number of tasks.
                while len(waiting) < 2 * workers:
                    try:
                        task = next(remaining)
                    except StopIteration:
                        break
                    waiting[_submitted(pool, task)] = task
                if not waiting:
                    return
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    task = waiting.pop(future)
                    yield task, future.result()
        except BrokenProcessPool as error:
            raise _killed() from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, task: Any) -> Future[Any]:
    try:
        return pool.submit(_call, task)
    except OSError:
        # If a worker dies while the next one is being started, the pipes passed to the new one are already closed. The
        # pool has noticed by now, and the second call raises BrokenProcessPool.
        return pool.submit(_call, task)


def _killed() -> FaultError:
    return FaultError("a worker process was killed (out of memory?)", "use fewer --workers")


def _context() -> multiprocessing.context.BaseContext:
    """The start method of worker processes, which must not inherit the locks and threads of this process.

    A fork server imports the modules once for all workers, including those of later calls. Without one (Windows), each
    process imports them itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    start_fork_server()
    return context


def _start(make_worker: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _state
    end_with_parent()
    cv2.setNumThreads(1)
    _state = make_worker(*arguments)


def _call(task: Any) -> Any:
    return _state(task)


def _run_ray(
    make_worker: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Sequence[Task],
    workers: int,
) -> Iterator[tuple[Task, Result]]:
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

        def call(self, task: Any) -> Any:
            return self.worker(task)

    remote: Any = ray.remote(Actor)
    actors = [remote.remote() for _ in range(workers)]
    remaining = iter(tasks)
    waiting: dict[Any, tuple[Task, Any]] = {}
    for actor in actors:
        task = next(remaining, None)
        if task is not None:
            waiting[actor.call.remote(task)] = (task, actor)
    while waiting:
        done, _ = ray.wait(list(waiting))
        for reference in done:
            task, actor = waiting.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise _killed() from error
            following = next(remaining, None)
            if following is not None:
                waiting[actor.call.remote(following)] = (following, actor)
            yield task, result
