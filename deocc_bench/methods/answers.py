"""Checks of a method's outputs: shapes, types, ranges, one output per sample. An error names the sample.

* `complete` returns `MaskOutput` or only the amodal masks, bool N x H x W.
* `recover` returns `ContentOutput` or only the images, uint8 N x H x W x 3.

Results are in the order of `batch.ids`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.labels import LIP
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput

_CURES = {
    "bool": "threshold it, and return a bool array",
    "uint8": "scale to 0..255, round, and return a uint8 array",
}


class OutputError(DeoccError):
    """A method returned an output that can't be scored."""


def check_masks(value: Any, batch: Batch) -> MaskOutput:
    """Check the output of `complete` and return it as a `MaskOutput`.

    Raises:
        OutputError: a wrong type, dtype or shape, NaN, or label ids outside LIP; the message names the sample if
            possible.
    """
    output = value if isinstance(value, MaskOutput) else MaskOutput(value)
    shape = batch.images.shape[:3]
    _check("amodal mask", output.amodal, np.bool_, shape, batch)
    if output.modal is not None:
        _check("modal mask", output.modal, np.bool_, shape, batch)
    for what, labels in (("parsing", output.parsing), ("modal parsing", output.modal_parsing)):
        if labels is not None:
            _check(what, labels, np.uint8, shape, batch)
            _check_labels(what, labels, batch)
    return output


def check_content(value: Any, batch: Batch) -> ContentOutput:
    """Check the output of `recover` and return it as a `ContentOutput`.

    Raises:
        OutputError: a wrong type, dtype or shape, or NaN; the message names the sample if possible.
    """
    output = value if isinstance(value, ContentOutput) else ContentOutput(value)
    _check("recovered image", output.images, np.uint8, batch.images.shape, batch)
    return output


def _check(what: str, array: Any, dtype: type, shape: tuple[int, ...], batch: Batch) -> None:
    want = f"{np.dtype(dtype)} {shape}"
    if not isinstance(array, np.ndarray):
        hint = "; return `.cpu().numpy()`" if type(array).__name__ == "Tensor" else ""
        raise OutputError(f"{_who(batch)}: the {what} must be a numpy array, {want}, got {type(array).__name__}{hint}")
    if array.ndim == 0:
        raise OutputError(f"{_who(batch)}: the {what} must be {want}, got a single {array.dtype}")
    if np.issubdtype(array.dtype, np.floating) and len(array) == len(batch):
        for sample_id, part in zip(batch.ids, array, strict=True):
            if not np.isfinite(part).all():
                raise OutputError(f"sample {sample_id!r}: the {what} contains NaN or infinity")
    if len(array) != len(batch):
        raise OutputError(f"{_who(batch)}: the {what} array has {len(array)} entries for {len(batch)} samples")
    if array.shape != shape:
        raise OutputError(f"{_who(batch)}: the {what} must be {want}, got {array.dtype} {array.shape}")
    if array.dtype != dtype:
        cure = _CURES.get(str(np.dtype(dtype)), "")
        raise OutputError(f"{_who(batch)}: the {what} must be {want}, got {array.dtype}; {cure}")


def _check_labels(what: str, labels: np.ndarray, batch: Batch) -> None:
    highest = labels.reshape(len(batch), -1).max(axis=1)
    for sample_id, label in zip(batch.ids, highest.tolist(), strict=True):
        if label >= LIP.size:
            raise OutputError(f"sample {sample_id!r}: the {what} contains id {label}; LIP ids are 0 to {LIP.size - 1}")


def _who(batch: Batch) -> str:
    return describe_ids(batch.ids)


def describe_ids(ids: tuple[str, ...], limit: int = 8) -> str:
    """`sample 'a'` or `samples 'a', 'b', ...` for an error message."""
    if len(ids) == 1:
        return f"sample {ids[0]!r}"
    shown = ", ".join(repr(i) for i in ids[:limit])
    return f"samples {shown}" + (f" and {len(ids) - limit} more" if len(ids) > limit else "")
