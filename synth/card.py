"""The human-readable files of a dataset: its card (README.md) and its contact sheet (preview.png)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import one_line
from deocc_bench.core.files import atomic_write
from deocc_bench.core.images import write_png
from deocc_bench.core.markup import fenced, plain
from deocc_bench.core.seeding import hash64
from deocc_bench.synth import contact_sheet
from deocc_bench.synth.statistics import bar_chart

PREVIEW = "preview.png"


def write_preview(path: str | Path, records: Iterable[SampleRecord], count: int = 24) -> None:
    """Draw the `count` records with the lowest hash to `path`: an arbitrary but fixed choice.

    `records` may be a stream: it is read once, and only `count` records are kept in memory.
    """
    chosen = heapq.nsmallest(count, records, key=lambda r: hash64("preview", r.id))
    write_png(path, contact_sheet.draw(sorted(chosen, key=lambda r: (r.occlusion_ratio, r.id))))


def write_card(root: str | Path, info: dict[str, Any]) -> None:
    """Write the dataset card from `info`, the content of `dataset.json`."""
    atomic_write(Path(root) / "README.md", card(info))


def card(info: dict[str, Any]) -> str:
    """The dataset card as Markdown, from the content of `dataset.json`."""
    spec, statistics = info.get("spec", {}), info.get("statistics", {})
    rows = [
        f"| {plain(split)} | {c['samples']} | {c['humans']} | {c['groups']} |"
        for split, c in sorted(info["counts"].items())
    ]
    parts = [
        f"# {plain(info['name'])}",
        "Occluded humans with exact amodal ground truth, made by deocc-bench " + info["versions"]["deocc-bench"] + "."
        if info.get("kind") == "synthesised"
        else "Annotated photographs, imported by deocc-bench.",
        "![samples: occluded image, complete image, masks, parsing](preview.png)",
        "In the third picture of each sample, the visible part of the person is green, the hidden part is red, and the "
        "yellow line is the outline of the initial mask, which simulates a detector's output.",
        "| split | samples | humans | photos |\n|---|---|---|---|\n" + "\n".join(rows),
        f"Fingerprint: `{info['fingerprint']}`",
    ]
    if spec:
        parts += [
            "## How it was made",
            fenced("\n".join(f"{k}: {_one_line(v)}" for k, v in sorted(spec.items()))),
        ]
    if info.get("rejected"):
        reasons = info["rejected"]["humans"]
        told = "\n".join(f"| {plain(reason)} | {n} |" for reason, n in sorted(reasons.items(), key=lambda kv: -kv[1]))
        parts.append("## Rejected")
        if told:
            parts.append("| reason to reject humans | n |\n|---|---|\n" + told)
        parts.append(
            f"Samples that could not reach their occlusion ratio: {info['rejected']['samples']}. "
            "`rejected.csv` lists each one with its reason."
        )
    for split, s in sorted(statistics.items()):
        parts += [f"## Statistics: {plain(split)}", fenced("\n".join(describe(s)))]
    licences = "\n".join(
        f"| {plain(name or 'not stated')} | {n} |" for name, n in sorted(info.get("licences", {}).items())
    )
    parts += ["## Licences of the photos and occluders", "| licence | uses |\n|---|---|\n" + licences]
    parts += ["Versions: " + ", ".join(f"{k} {v}" for k, v in sorted(info["versions"].items()))]
    return "\n\n".join(parts) + "\n"


def describe(summary: dict[str, Any]) -> list[str]:
    """Format statistics as text, for the card and for `deocc-bench inspect`."""
    ratio, initial = summary["occlusion_ratio"], summary["initial_iou"]
    lines = [
        f"samples {summary['samples']}",
        f"occlusion ratio: mean {ratio['mean']:.3f}, min {ratio['min']:.3f}, max {ratio['max']:.3f}",
        *bar_chart({k: v for k, v in ratio["histogram"].items() if v}),
        "",
        "occluders in front: " + ", ".join(f"{k}: {v}" for k, v in summary["occluders_per_sample"].items()),
    ]
    if summary["occluders_behind"]:
        lines.append(f"occluders behind the person: {summary['occluders_behind']}")
    if initial["mean"] is not None:
        lines.append(f"initial mask, IoU with the modal mask: mean {initial['mean']:.3f}")
        lines += bar_chart({f"{k}-": v for k, v in initial["histogram"].items() if v})
    lines += ["", "person's height, share of the picture"]
    lines += bar_chart({f"{k}-": v for k, v in summary["person_height_share"].items()})
    if summary["parts"]:
        lines += ["", "body part: samples it is in / hidden in / mean share hidden"]
        lines += [
            f"{name:<14} {p['seen_in']:>6} {p['hidden_in']:>6} {p['mean_share_hidden']:>7.3f}"
            for name, p in summary["parts"].items()
        ]
    categories = {one_line(k): v for k, v in list(summary["categories"].items())[:20]}
    if categories:
        more = len(summary["categories"]) - len(categories)
        lines += ["", "occluder categories" + (f" (and {more} more)" if more else ""), *bar_chart(categories)]
    return lines


def _one_line(value: Any) -> str:
    # `fenced` keeps line breaks, so there must be none in a value.
    return one_line(", ".join(str(v) for v in value) if isinstance(value, list | tuple) else value, 10_000)
