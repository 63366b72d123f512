"""The engines: the same results in this process, in worker processes and on ray; errors come back as they were."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.synth import engine
from deocc_bench.synth.humans import open_humans
from deocc_bench.synth.run import synthesise
from deocc_bench.synth.spec import SynthSpec


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A ray of its own on this machine; skipped where ray, an extra, is not installed."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def name(request: pytest.FixtureRequest) -> str:
    """Each engine; ray is started, or skipped, when it is asked for."""
    if request.param == "ray":
        request.getfixturevalue("ray")
    return str(request.param)


def test_every_item_is_handled_once(name: str) -> None:
    # partial(int) is made once a worker, and then given the items.
    done = sorted(engine.run(functools.partial, (int,), [str(i) for i in range(25)], workers=2, engine=name))
    assert done == sorted((str(i), i) for i in range(25))


@pytest.mark.slow
def test_what_a_worker_raises_comes_back(name: str, tmp_path: Path) -> None:
    folders = [f"folder:{tmp_path / str(i)}" for i in range(3)]
    with pytest.raises(InputError, match=r"no such folder") as caught:
        list(engine.run(functools.partial, (open_humans,), folders, workers=2, engine=name))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_told(name: str) -> None:
    with pytest.raises(DeoccError, match=r"a worker process was killed .*fewer --workers"):
        list(engine.run(functools.partial, (os._exit,), [1, 2, 3], workers=2, engine=name))


@pytest.mark.slow
def test_ray_makes_the_same_dataset(ray: Any, tmp_path: Path) -> None:
    # More than a shard of humans, so that both workers have some.
    spec = SynthSpec(("mannequin:30",), ("shapes:20",), variants=1, size=64)
    synthesise(spec, tmp_path / "local", quiet=True)
    synthesise(spec, tmp_path / "ray", workers=2, engine_name="ray", quiet=True)
    local, distributed = DatasetReader(tmp_path / "local"), DatasetReader(tmp_path / "ray")
    assert local.fingerprint == distributed.fingerprint
    assert sum(len(distributed.ids(s)) for s in distributed.splits) >= 28


def test_ray_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DeoccError, match=r"pip install 'deocc-bench\[ray\]'"):
        list(engine.run(functools.partial, (int,), ["1"], engine="ray"))


def test_wrong_engine_and_workers() -> None:
    with pytest.raises(UsageError, match="did you mean 'ray'"):
        list(engine.run(functools.partial, (int,), ["1"], engine="rai"))
    with pytest.raises(UsageError, match="1 or more"):
        list(engine.run(functools.partial, (int,), ["1"], workers=0))


@pytest.mark.parametrize(("second", "told"), [(BrokenProcessPool(), DeoccError), (OSError(24, "no files"), OSError)])
def test_a_worker_that_dies_while_the_next_one_starts_is_told(
    monkeypatch: pytest.MonkeyPatch, second: Exception, told: type[Exception]
) -> None:
    answers = [OSError(9, "Bad file descriptor"), second]

    def submit(*_: object) -> None:
        raise answers.pop(0)

    monkeypatch.setattr(engine.ProcessPoolExecutor, "submit", submit)
    with pytest.raises(told):
        list(engine.run(functools.partial, (abs,), [1, 2, 3], workers=2))
    assert not answers
