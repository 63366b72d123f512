"""The metrics as `torchmetrics.Metric` classes: a training loop logs the same numbers that `evaluate` prints.

Each class is a thin wrapper. `update` uses the scoring code to turn each sample of a batch into a row of the per-sample
table, and keeps the row's numerators and denominators. `compute` applies the same statistic as `evaluate`. Nothing is
averaged per batch, so the split into batches does not matter.

The states are lists that processes concatenate ("cat"), not running sums. The last bit of a mean of fractions depends
on the order of summation; with the terms of every sample, the sum can use the order of `evaluate`, which is the order
of the sample ids. The memory cost is small: two numbers per sample (40 for `PooledParsingMIoU`). If the samples arrive
in id order, the result equals that of `evaluate` to the last bit; with several processes, each must hold one contiguous
range of that order. In any other order the last bit of a mean may differ; pooled metrics do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import Parameter, Signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from deocc_bench.core.errors import UsageError
from deocc_bench.core.samples import to_table
from deocc_bench.core.statistics import statistic
from deocc_bench.metrics.aggregate import sample_terms
from deocc_bench.metrics.arrays import MASKS, PARSINGS, SampleArrays
from deocc_bench.metrics.definition import MetricSpec
from deocc_bench.metrics.mask_specs import PART_RECALL
from deocc_bench.metrics.rows import sample_row
from deocc_bench.metrics.spec import all_metrics, get_spec

# An optional array of metrics that score composites.
_OPTIONAL = "fill"
_BATCH = """Add a batch of samples.

        Masks are bool (N, H, W) or (N, 1, H, W). Pictures are (N, 3, H, W): either uint8, which results in exactly the
        numbers of `evaluate`, or float32 in [0, 1], which is rounded to 8 bits like a saved prediction. A float
        `recovered` is clipped to [0, 1] first. Parsings contain LIP ids, integers (N, H, W) or (N, 1, H, W). `fill`:
        the masks inside which `recovered` is pasted into `image`; None: the true invisible region.

        Raises:
            ValueError: an array has the wrong dtype, shape or range; the message names it.
        """


class SampleMetric(Metric):
    """Base of the metric classes; get them from `metric_class`, or import them by name from `deocc_bench.metrics`.

    Args:
        kwargs: options of `torchmetrics.Metric`.
    """

    is_differentiable = False
    full_state_update = False
    metric_id: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # State names are unique per metric: a MetricCollection merges metrics with equal states, and after a perfect
        # first batch the states of all IoUs are equal.
        self._sides = [f"{self.metric_id}_{side}" for side in ("numerators", "denominators")]
        for name in self._sides:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    @property
    def spec(self) -> MetricSpec:
        """The spec of the metric."""
        return get_spec(self.metric_id)

    def compute(self) -> Tensor:
        """The value over all samples so far, a float64 scalar; NaN if it is undefined for all of them."""
        num, den = (dim_zero_cat(s).cpu().numpy() if len(s) else np.zeros((0, 1)) for s in self._states())
        value = statistic(num.sum(axis=0), den.sum(axis=0))
        return torch.tensor(float(value), dtype=torch.float64, device=self.device)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Same as in torchmetrics, but a process without samples also participates."""
        terms = sample_terms(self.spec, to_table([{"id": "", "group": ""}]))
        for state, side in zip(self._states(), terms, strict=True):
            if isinstance(state, list) and not state:
                state.append(torch.from_numpy(side[:0]).to(self.device))
        super().sync(*args, **kwargs)

    def _add(self, batch: dict[str, np.ndarray]) -> None:
        counts = {name: len(values) for name, values in batch.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"Expected all arrays to have the same number of samples, but got {counts}")
        samples = [
            SampleArrays(**dict(zip(batch, arrays, strict=True))) for arrays in zip(*batch.values(), strict=True)
        ]
        if samples:
            rows = [{"id": f"{i:06d}", "group": "", **sample_row(s, [self.spec])} for i, s in enumerate(samples)]
            for state, side in zip(self._states(), sample_terms(self.spec, to_table(rows)), strict=True):
                state.append(torch.from_numpy(side).to(self.device))

    def _states(self) -> list[Any]:
        return [getattr(self, name) for name in self._sides]


def _update_of(inputs: tuple[str, ...]) -> Callable[..., None]:
    """An `update` with these arrays in its signature; a MetricCollection distributes keywords by the signature."""
    optional = (_OPTIONAL,) if {"recovered", "complete"} <= set(inputs) else ()
    kind = Parameter.POSITIONAL_OR_KEYWORD
    names = [Parameter(name, kind) for name in ("self", *inputs)]
    signature = Signature([*names, *(Parameter(name, kind, default=None) for name in optional)])

    def update(*args: Any, **named: Any) -> None:
        arrays = dict(signature.bind(*args, **named).arguments)
        metric = arrays.pop("self")
        metric._add({name: _to_numpy(name, value) for name, value in arrays.items() if value is not None})

    update.__signature__ = signature  # type: ignore[attr-defined]
    update.__doc__ = _BATCH
    return update


class PartRecall(SampleMetric):
    """`part_recall[PART]`: share of a body part's hidden pixels that the amodal mask covers, pooled.

    Args:
        part: a LIP class (`left-arm`) or a group of them (`arms`).
        kwargs: options of `torchmetrics.Metric`.

    Raises:
        UsageError: no such part.
    """

    higher_is_better = True
    update = _update_of(("predicted", "amodal", "modal", "parsing"))

    def __init__(self, part: str, **kwargs: Any) -> None:
        self.metric_id = f"{PART_RECALL}[{part}]"
        get_spec(self.metric_id)
        super().__init__(**kwargs)


@cache
def metric_class(metric_id: str) -> type[SampleMetric]:
    """The class of a metric, including metrics of installed packages: `metric_class("dists_human")()`.

    Raises:
        UsageError: no such metric, or the metric can't be computed from the arrays of a sample.
    """
    spec = get_spec(metric_id)
    if spec.row is None or spec.terms is None:
        raise UsageError(
            f"metric {metric_id!r} needs a network or a set of pictures; compute it with `deocc-bench evaluate`"
        )
    name = spec.torch_class or metric_id
    better = "higher" if spec.higher_is_better else "lower"
    arguments = "Args:\n    kwargs: options of `torchmetrics.Metric`.\n"
    text = f"`{metric_id}`: {spec.meaning}; {better} is better.\n\n{arguments}"
    facts = {
        "metric_id": metric_id,
        "higher_is_better": spec.higher_is_better,
        "update": _update_of(spec.inputs),
        "__doc__": text,
        # pickle uses these to find the class again, through `__getattr__`.
        "__module__": __name__,
        "__qualname__": name,
    }
    return type(name, (SampleMetric,), facts)


def __getattr__(name: str) -> type[SampleMetric]:
    for spec in () if name.startswith("_") else all_metrics().values():
        if name in (spec.torch_class, spec.id):
            return metric_class(spec.id)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _to_numpy(name: str, value: Any) -> np.ndarray:
    tensor = torch.as_tensor(value).detach()
    if name in MASKS:
        tensor = _flat(name, tensor, "bool", tensor.dtype == torch.bool)
    elif name in PARSINGS:
        whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        tensor = _flat(name, tensor, "integer", whole)
        if tensor.numel() and not 0 <= int(tensor.min()) <= int(tensor.max()) <= 255:
            raise ValueError(
                f"Expected `{name}` to contain ids from 0 to 255, but got {int(tensor.min())} to {int(tensor.max())}"
            )
        tensor = tensor.to(torch.uint8)
    else:
        tensor = _picture(name, tensor)
    return np.ascontiguousarray(tensor.cpu().numpy())


def _flat(name: str, tensor: Tensor, kind: str, right: bool) -> Tensor:
    if right and tensor.ndim == 4 and tensor.shape[1] == 1:
        return tensor[:, 0]
    if not right or tensor.ndim != 3:
        raise ValueError(
            f"Expected `{name}` to be a {kind} tensor (N, H, W) or (N, 1, H, W), but got "
            f"{tensor.dtype} {tuple(tensor.shape)}"
        )
    return tensor


def _picture(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim != 4 or tensor.shape[1] != 3 or not (tensor.dtype == torch.uint8 or tensor.is_floating_point()):
        raise ValueError(
            f"Expected `{name}` to be a uint8 or float tensor (N, 3, H, W), but got "
            f"{tensor.dtype} {tuple(tensor.shape)}"
        )
    if tensor.is_floating_point():
        tensor = tensor.float()
        tensor = tensor.clamp(0, 1) if name == "recovered" else tensor
        # NaN fails both comparisons.
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise ValueError(f"Expected `{name}` to be uint8 or to have values in [0, 1], but it has other values")
        tensor = (tensor * 255).round().to(torch.uint8)
    return tensor.permute(0, 2, 3, 1)
