"""The ablation: train one network per switch and print a table of the scores."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import read_json
from deocc_bench.core.lock import AGAIN, output_folder
from deocc_bench.core.registry import unknown
from deocc_bench.training.networks import UNET
from deocc_bench.training.request import TrainingRequest
from deocc_bench.training.run import run_training
from deocc_bench.training.validation import score_weights

if TYPE_CHECKING:
    from deocc_bench.models.training.config import TrainConfig

# Row -> network settings that differ from the preset. The plain U-Net is a separate network.
MASK_ROWS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "frame-templates": {"align_templates": False},
    "no-templates": {"templates": False},
    "no-branches": {"branches": False},
    "no-refinement": {"refinement": False},
    UNET: {},
}
CONTENT_ROWS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "body-attention-only": {"pga": "body"},
    "mutual-attention-only": {"pga": "mutual"},
    "no-attention": {"pga": "none"},
}


def rows_of(stage: str, chosen: Sequence[str] = ()) -> dict[str, Mapping[str, Any]]:
    """The rows of a stage, or the chosen ones in the given order.

    Raises:
        UsageError: unknown row.
    """
    rows = MASK_ROWS if stage == "mask" else CONTENT_ROWS
    for name in chosen:
        if name not in rows:
            raise UsageError(unknown(f"row of the {stage} ablation", name, rows))
    return {name: rows[name] for name in chosen} if chosen else dict(rows)


def run_ablation(
    request: TrainingRequest, config: TrainConfig, out: Path, rows: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Train and score each row; `ablation.csv` and `ablation.md` are updated after each. Finished rows are kept."""
    results: list[dict[str, Any]] = []
    with output_folder(out, AGAIN):
        for name, changes in rows.items():
            results.append(_result(name, _row_request(request, name, changes), config, out / name))
            atomic_write(out / "ablation.csv", _to_csv(results))
            atomic_write(out / "ablation.md", to_markdown(results))
    return results


def _row_request(request: TrainingRequest, name: str, changes: Mapping[str, Any]) -> TrainingRequest:
    if name == UNET:
        return dataclasses.replace(request, preset=UNET, net=())
    pairs = tuple(f"{key}={str(value).lower()}" for key, value in changes.items())
    return dataclasses.replace(request, net=(*request.net, *pairs))


def _result(name: str, request: TrainingRequest, config: TrainConfig, folder: Path) -> dict[str, Any]:
    if not (folder / "train.json").exists():
        click.echo(f"row {name}", err=True)
        run_training(request, config, folder, resume=(folder / "last.ckpt").exists(), go_on=AGAIN)
    record = read_json(folder / "train.json")
    minutes = round(record["seconds"] / 60, 1)
    about = {"row": name, "parameters": record["parameters"], "steps": record["steps"], "minutes": minutes}
    return about | score_weights(request, folder / "weights.safetensors")


def _to_csv(results: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(k for r in results for k in r)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(results)
    return buffer.getvalue()


def to_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """Format results (one dict per row, "row" first) as a markdown table, with the difference to the first row."""
    columns = list(dict.fromkeys(k for r in results for k in r))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    base = results[0]
    for result in results:
        cells = []
        for name in columns:
            value = result.get(name)
            if not isinstance(value, float):
                cells.append("" if value is None else str(value))
            elif result is base or not isinstance(base.get(name), float) or name == "minutes":
                cells.append(f"{value:.4f}" if name != "minutes" else f"{value:.1f}")
            else:
                cells.append(f"{value:.4f} ({value - base[name]:+.4f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
