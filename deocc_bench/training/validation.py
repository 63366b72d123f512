"""Validation of networks during training, with the benchmark's own metrics on a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deocc_bench.core.errors import InputError
from deocc_bench.training.request import TrainingRequest

if TYPE_CHECKING:
    from deocc_bench.models.training.loop import Validation

# Validation metrics by stage. The first one decides which weights are kept; it must be higher-is-better.
METRICS = {
    "mask": ("amodal_iou_mean", "invisible_iou_mean", "modal_iou_mean"),
    "content": ("ssim_invisible", "l1_invisible", "garment_delta_e"),
}


def validation_of(request: TrainingRequest, out: Path) -> Validation | None:
    """The validation of a run; None without --val. The weights pass through a temporary file in `out`."""
    from deocc_bench.models.training.loop import Validation

    if request.val is None:
        return None

    def score(net: Any) -> dict[str, float]:
        path = out / ".tmp-validated.safetensors"
        request.network.save(net, path, {})
        try:
            return score_weights(request, path)
        finally:
            path.unlink(missing_ok=True)

    return Validation(score, METRICS[request.stage][0])


def score_weights(request: TrainingRequest, weights: Path) -> dict[str, float]:
    """Score stored weights on the validation data, with the same values as `evaluate`.

    Undefined metrics (e.g. of the modal mask, if the network predicts none) are left out, but the first metric must be
    defined.

    Raises:
        InputError: the samples don't define the first metric.
    """
    from deocc_bench.core.dataset import DatasetReader
    from deocc_bench.core.samples import identity_row, to_table
    from deocc_bench.core.types import Batch, MaskOutput
    from deocc_bench.metrics.aggregate import aggregate
    from deocc_bench.metrics.arrays import SampleArrays
    from deocc_bench.metrics.rows import sample_row
    from deocc_bench.metrics.spec import get_spec

    assert request.val is not None
    reader = DatasetReader(request.val)
    method = request.network.method(request.stage, weights)
    rows = []
    specs = [get_spec(name) for name in METRICS[request.stage]]
    for record in list(reader.records(request.val_split))[: request.val_limit]:
        s = record.load()
        parsing = None if s.parsing is None else s.parsing[None]
        if request.stage == "mask":
            initial = s.modal if s.initial is None else s.initial
            answer: MaskOutput = method.complete(Batch((s.id,), s.image[None], initial=initial[None]))
            modal = None if answer.modal is None else answer.modal[0]
            arrays = SampleArrays(amodal=s.amodal, modal=s.modal, predicted=answer.amodal[0], predicted_modal=modal)
        else:
            if s.complete is None:
                raise InputError(request.val, f"sample {s.id} has no complete image", "validate on synthesised data")
            batch = Batch((s.id,), s.image[None], modal=s.modal[None], amodal=s.amodal[None], parsing=parsing)
            arrays = SampleArrays(
                image=s.image,
                complete=s.complete,
                recovered=method.recover(batch).images[0],
                amodal=s.amodal,
                modal=s.modal,
                parsing=s.parsing,
            )
        rows.append(identity_row(s.id, s.group_id) | sample_row(arrays, specs))
    names = METRICS[request.stage]
    values = aggregate(to_table(rows), request.stage, resamples=0, metrics=names)
    scores = {name: float(v["value"]) for name, v in values.items() if v["value"] is not None}
    if names[0] not in scores:
        raise InputError(request.val, f"{names[0]} is not defined on any of its samples", "validate on other samples")
    return scores
