"""The torchmetrics classes give the digits of `evaluate`: however batched, merged, moved, pickled or collected."""

from __future__ import annotations

import pickle
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

import deocc_bench.metrics
from deocc_bench.benchmark.evaluate import Job, evaluate_method
from deocc_bench.benchmark.score import Scoring
from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.predictions import PredictionFolder
from deocc_bench.core.results import RunResult
from deocc_bench.methods.calling import own_modal
from deocc_bench.methods.loading import load_method
from deocc_bench.metrics import AmodalIoU, BoundaryIoU, HumanL1, InvisibleIoU, ParsingMIoU, PartRecall, metric_class
from deocc_bench.metrics.spec import METRICS
from deocc_bench.metrics.torch_metrics import SampleMetric

NAMED = {spec.id: spec for spec in METRICS.values() if spec.torch_class}
BY_ARRAYS = [spec.id for spec in METRICS.values() if spec.row is not None]
Sample = dict[str, Tensor]


def tensors(arrays: dict[str, np.ndarray]) -> Sample:
    """One sample as a batch of one."""
    return {k: torch.from_numpy(a.transpose(2, 0, 1) if a.ndim == 3 else a)[None] for k, a in arrays.items()}


@pytest.fixture(scope="module")
def scored(tiny: Path, methods_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, list[Sample]]:
    """The record of a joint run with masks, modal masks, parsing and pictures; the arrays that it was scored from."""
    out = tmp_path_factory.mktemp("runs") / "full"
    reader = DatasetReader(tiny)
    ids = reader.ids("test")
    scoring = Scoring("joint", resamples=0)
    (result,) = evaluate_method(load_method(f"{methods_file}:Full"), Job(reader, "test", ids, out, scoring))
    samples = []
    for record in (reader.record("test", i) for i in ids):
        s, p = record.load(), PredictionFolder(out / "predictions").read(record.id, record.size, "joint")
        initial = initial_masks.of_record(record, scoring.initial_mask, scoring.seed)
        arrays = {
            **{name: getattr(s, name) for name in ("amodal", "modal", "parsing", "image", "complete")},
            "initial": initial,
            "predicted": p.amodal,
            "predicted_modal": p.modal,
            "predicted_parsing": p.parsing,
            "recovered": p.image,
            "fill": p.amodal & ~own_modal(p.amodal, p.modal, initial),
        }
        samples.append(tensors(arrays))
    return result, samples


def pick(metric: SampleMetric, sample: Sample) -> Sample:
    return {k: v for k, v in sample.items() if k in signature(metric.update).parameters}


def joined(samples: list[Sample]) -> list[Sample]:
    """Neighbours of one size as one batch."""
    groups: list[list[Sample]] = []
    for s in samples:
        if not groups or groups[-1][0]["amodal"].shape != s["amodal"].shape:
            groups.append([])
        groups[-1].append(s)
    return [{k: torch.cat([s[k] for s in g]) for k in g[0]} for g in groups]


@pytest.mark.slow
@pytest.mark.parametrize("metric_id", BY_ARRAYS)
def test_equal_to_evaluate_to_the_last_bit(scored: Any, metric_id: str) -> None:
    result, samples = scored
    singly, batched = metric_class(metric_id)(), metric_class(metric_id)()
    for sample in samples:
        singly.update(**pick(singly, sample))
    for batch in joined(samples):
        batched.update(**pick(batched, batch))
    wanted = result.metrics[metric_id]
    assert any(m["value"] is not None for m in result.metrics.values())
    for metric in (singly, batched):
        value = metric.compute()
        assert (value.dtype, value.shape) == (torch.float64, ())
        assert (None if value.isnan() else value.item()) == wanted["value"]
    assert singly.higher_is_better == wanted["higher_is_better"]


def test_the_run_defines_what_it_is_compared_on(scored: Any) -> None:
    result, _ = scored
    undefined = [name for name in NAMED if result.metrics[name]["value"] is None]
    assert undefined == []


@pytest.mark.parametrize("metric_id", ["amodal_iou_mean", "invisible_iou_mean", "l1_human", "parsing_miou_pooled"])
def test_merged_states_and_reset(scored: Any, metric_id: str) -> None:
    result, samples = scored
    first, second = metric_class(metric_id)(), metric_class(metric_id)()
    for metric, part in ((first, samples[:5]), (second, samples[5:])):
        for sample in part:
            metric.update(**pick(metric, sample))
    # torchmetrics puts the incoming samples before the metric's own.
    second.merge_state(first)
    assert second.compute().item() == result.metrics[metric_id]["value"]
    first.reset()
    first.update(**pick(first, samples[0]))
    alone = metric_class(metric_id)()
    assert first.compute().item() == alone(**pick(alone, samples[0])).item()


WORKER = """
import pickle, sys
import torch
import torch.distributed as dist
from deocc_bench.metrics import metric_class

rank, folder, share = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
parts = torch.load(f"{folder}/samples.pt")
values = {}
for name, samples in parts.items():
    metric = metric_class(name)()
    for sample in samples[:share] if rank == 0 else samples[share:]:
        metric.update(**sample)
    values[name] = metric.compute().item()
    values[name + " unsynced"] = sum(map(len, getattr(metric, metric._sides[0])))
torch.save(values, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("share", [5, 0])
def test_two_processes_give_one_number(scored: Any, tmp_path: Path, share: int) -> None:
    result, samples = scored
    names = ["amodal_iou_mean", "amodal_iou_pooled", "l1_human", "parsing_miou_pooled"]
    parts = {n: [pick(metric_class(n)(), s) for s in samples] for n in names}
    torch.save(parts, tmp_path / "samples.pt")
    jobs = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(tmp_path), str(share)], stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for job in jobs:
        _, errors = job.communicate(timeout=120)
        assert job.returncode == 0, errors.decode()
    for rank in (0, 1):
        values = torch.load(tmp_path / f"{rank}.pt")
        for name in names:
            assert values[name] == result.metrics[name]["value"], (rank, name)
            assert values[f"{name} unsynced"] == (share if rank == 0 else len(samples) - share)


def test_collection_hands_out_keywords_and_keeps_equal_starts_apart(scored: Any) -> None:
    result, samples = scored
    names = ("AmodalIoU", "InvisibleIoU", "BoundaryIoU", "MaskL1", "HumanL1", "InvisibleSSIM", "GarmentDeltaE")
    metrics = MetricCollection([getattr(deocc_bench.metrics, name)() for name in names])
    for sample in samples:
        metrics.update(**sample)
    ids = {spec.torch_class: spec.id for spec in NAMED.values()}
    assert {k: v.item() for k, v in metrics.compute().items()} == {n: result.metrics[ids[n]]["value"] for n in names}
    # After a perfect first batch all states are equal, and a collection would take the metrics for one.
    pair = MetricCollection([AmodalIoU(), BoundaryIoU()])
    truth = samples[0]["amodal"]
    pair.update(predicted=truth, amodal=truth)
    pair.update(predicted=truth.roll(6, -1), amodal=truth)
    values = pair.compute()
    assert values["AmodalIoU"] > values["BoundaryIoU"]


def test_pickles_moves_and_keeps_its_precision(scored: Any) -> None:
    result, samples = scored
    for metric in (AmodalIoU(), PartRecall("torso")):
        for sample in samples[:7]:
            metric.update(**pick(metric, sample))
        again = pickle.loads(pickle.dumps(metric)).to("cpu").float()
        assert type(again) is type(metric)
        for sample in samples[7:]:
            again.update(**pick(metric, sample))
        assert again.compute().item() == result.metrics[metric.metric_id]["value"]


def test_channels_of_one_and_float_pictures_give_the_same_digits(scored: Any) -> None:
    _, samples = scored
    for sample in samples[:4]:
        plain, other = HumanL1(), HumanL1()
        arrays = pick(plain, sample)
        plain.update(**arrays)
        floats = {k: v.float() / 255 if v.ndim == 4 else v[:, None] for k, v in arrays.items()}
        floats["recovered"] = torch.where(floats["recovered"] == 1, 1.25, floats["recovered"])
        other.update(**floats)
        assert plain.compute() == other.compute() > 0
    iou = AmodalIoU()
    iou.update(samples[0]["predicted"][:, None], samples[0]["amodal"])
    assert iou.compute() == AmodalIoU()(samples[0]["predicted"], samples[0]["amodal"])


def test_nothing_to_say_is_nan() -> None:
    metric = InvisibleIoU()
    mask = torch.ones(2, 8, 8, dtype=torch.bool)
    metric.update(mask, mask, mask)
    assert metric.compute().isnan()
    metric.update(mask[:0], mask[:0], mask[:0])
    assert metric.compute().isnan()


MASK, PICTURE = torch.zeros(2, 8, 8, dtype=torch.bool), torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "arrays", "problem"),
    [
        ("AmodalIoU", {"predicted": MASK.float(), "amodal": MASK}, r"`predicted` to be a bool tensor .* torch.float32"),
        ("AmodalIoU", {"predicted": MASK[0], "amodal": MASK}, r"`predicted` to be a bool tensor \(N, H, W\)"),
        ("AmodalIoU", {"predicted": MASK[:1], "amodal": MASK}, "same number of samples"),
        ("AmodalIoU", {"predicted": MASK[..., :4], "amodal": MASK}, "Expected `predicted` to be"),
        ("ParsingMIoU", {"predicted_parsing": MASK, "parsing": MASK}, "`predicted_parsing` to be a integer tensor"),
        ("ParsingMIoU", {"predicted_parsing": MASK.int() - 1, "parsing": MASK.int()}, "ids from 0 to 255"),
        ("ParsingMIoU", {"predicted_parsing": MASK.int() + 20, "parsing": MASK.int()}, "below 20"),
        ("PreservationL1", {"recovered": PICTURE, "image": PICTURE + 2, "modal": MASK}, r"`image` to be uint8 or"),
        ("PreservationL1", {"recovered": PICTURE / 0, "image": PICTURE, "modal": MASK}, "`recovered` to be uint8 or"),
        ("PreservationL1", {"recovered": PICTURE[:, 0], "image": PICTURE, "modal": MASK}, r"\(N, 3, H, W\)"),
    ],
)
def test_wrong_arrays_are_refused(name: str, arrays: dict[str, Tensor], problem: str) -> None:
    metric = getattr(deocc_bench.metrics, name)()
    with pytest.raises(ValueError, match=problem):
        metric.update(**arrays)


def test_names() -> None:
    for spec in NAMED.values():
        cls = getattr(deocc_bench.metrics, spec.torch_class)
        assert cls is metric_class(spec.id)
        assert spec.id in cls.__doc__
        assert [n for n in signature(cls().update).parameters if n not in ("self", "fill")] == list(spec.inputs)
        assert spec.torch_class in dir(deocc_bench.metrics)
    assert ParsingMIoU is metric_class("parsing_miou")
    assert len({s.torch_class for s in NAMED.values()}) == len(NAMED) == 25
    with pytest.raises(ImportError):
        from deocc_bench.metrics import NoSuchMetric  # noqa: F401
    with pytest.raises(UsageError, match="needs a network"):
        metric_class("fid")
    with pytest.raises(UsageError, match="unknown metric"):
        PartRecall("tail")
    code = "import sys, deocc_bench.metrics; print([m for m in ('torch', 'pandas', 'cv2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
