"""The commands `synth`, `inspect` and `validate`: parse, call, print."""

from __future__ import annotations

import json
import os
from inspect import signature
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.hints import next_step
from deocc_bench.core.initial_masks import FORMS
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.progress import progress_bar
from deocc_bench.synth.augment import GEOMETRIC, PHOTOMETRIC
from deocc_bench.synth.card import PREVIEW, describe, write_preview
from deocc_bench.synth.compositing import HARMONISE
from deocc_bench.synth.engine import ENGINES
from deocc_bench.synth.front import synthesise
from deocc_bench.synth.humans import HUMANS
from deocc_bench.synth.occluders import SOURCES
from deocc_bench.synth.spec import BALANCE, PLACEMENTS
from deocc_bench.synth.statistics import gather
from deocc_bench.synth.validate import validate as find

# The defaults of `synthesise` are those of `SynthSpec`; the options repeat neither.
_DEFAULTS = {name: p.default for name, p in signature(synthesise).parameters.items()}


@click.command(
    short_help="Make an occlusion dataset from parsed humans and occluders.",
    help=f"""Make an occlusion dataset from parsed humans and occluders.

    Kinds of humans: {", ".join(HUMANS.forms())}. Kinds of occluders: {", ".join(SOURCES.forms())}.
    """,
)
@click.option(
    "--humans",
    multiple=True,
    required=True,
    metavar="KIND:PATH",
    help="Source of humans: photos with parsing. Repeatable.",
)
@click.option(
    "--occluders",
    multiple=True,
    required=True,
    metavar="KIND:PATH",
    help="Source of occluders: cut-out objects. Repeatable.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Dataset folder to write; new or empty.")
@click.option("--name", help="Name of the dataset. Default: name of the folder.")
@click.option("--variants", default=_DEFAULTS["variants"], show_default=True, help="Samples per human.")
@click.option(
    "--ratio",
    default=_DEFAULTS["ratio"],
    show_default=True,
    help="Occlusion ratio: LOW-HIGH, or quotas such as 0.1-0.3=2,0.3-0.5=1.",
)
@click.option(
    "--occluders-per-sample",
    default=_DEFAULTS["occluders_per_sample"],
    show_default=True,
    metavar="N|LOW-HIGH",
    help="Number of occluders in front of the person.",
)
@click.option(
    "--size",
    default=_DEFAULTS["size"],
    show_default=True,
    help="Side of the square crop in pixels, or 'native' to keep the frame of the photo.",
)
@click.option("--splits", default=_DEFAULTS["splits"], show_default=True, help="Share of the photos in each split.")
@click.option(
    "--holdout",
    default=_DEFAULTS["holdout"],
    metavar="N",
    help="Override --splits: photos whose number is divisible by N are 'test'.",
)
@click.option("--seed", default=_DEFAULTS["seed"], show_default=True, help="Random seed of the dataset.")
@click.option("--hide", default="", metavar="PART,...", help="Body parts to hide, e.g. left-arm,legs.")
@click.option(
    "--placement",
    type=click.Choice(PLACEMENTS),
    default=_DEFAULTS["placement"],
    show_default=True,
    help="overlap: mostly inside the box of the person; grounded: usual size, on the ground (harder); mixed: either.",
)
@click.option(
    "--behind", default=_DEFAULTS["behind"], show_default=True, help="Probability of an occluder behind the person."
)
@click.option(
    "--balance",
    type=click.Choice(BALANCE),
    default=_DEFAULTS["balance"],
    show_default=True,
    help="category: all occluder categories are equally likely; none: all occluders are.",
)
@click.option(
    "--harmonise",
    type=click.Choice(HARMONISE),
    default=_DEFAULTS["harmonise"],
    show_default=True,
    help="Adapt the colours of occluders to the photo.",
)
@click.option("--shadow", is_flag=True, help="Add a soft contact shadow below occluders.")
@click.option("--augment", default="", metavar="NAME,...", help=f"Augmentations: {', '.join(GEOMETRIC + PHOTOMETRIC)}.")
@click.option(
    "--feather", default=_DEFAULTS["feather"], show_default=True, help="Softness of occluder edges in pixels."
)
@click.option(
    "--initial",
    default=_DEFAULTS["initial"],
    show_default=True,
    help=f"Initial mask: one of {FORMS}, or several joined by +.",
)
@click.option(
    "--min-height", default=_DEFAULTS["min_height"], show_default=True, help="Minimum height of a person in pixels."
)
@click.option("--allow-bags", is_flag=True, help="Also use humans who carry a bag.")
@click.option("--allow-cut", is_flag=True, help="Also use humans who are cut by the frame of the photo.")
@click.option("--workers", type=int, show_default="all cores", help="Number of worker processes.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=_DEFAULTS["engine"],
    show_default=True,
    help="Run on this machine (local) or on a ray cluster.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use only the first N humans.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run in the same folder.")
@click.option("--skip-bad", is_flag=True, help="Skip broken inputs and list them in rejected.csv.")
@click.option("--quiet", is_flag=True, help="Show no progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the content of dataset.json.")
def synth(*, humans: tuple[str, ...], occluders: tuple[str, ...], out: Path, as_json: bool, **settings: Any) -> None:
    """The command `synth`."""
    info = synthesise(humans, occluders, out, **settings)
    click.echo(dump_json(info).rstrip("\n") if as_json else _summary(info, out))
    if not settings["quiet"]:
        next_step("validate", out, done=f"the dataset is in {out}")


@click.command(short_help="Print dataset statistics and draw a contact sheet.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--split", help="Use only this split.")
@click.option("--preview", type=click.Path(path_type=Path), help="Write a contact sheet to this PNG file.")
@click.option("--count", default=24, show_default=True, help="Number of samples in the contact sheet.")
@click.option("--json", "as_json", is_flag=True, help="Print the statistics as JSON.")
def inspect(*, dataset: Path, split: str | None, preview: Path | None, count: int, as_json: bool) -> None:
    """Print the statistics of the annotations in DATASET. With --preview, also draw a contact sheet."""
    reader = DatasetReader(dataset)
    splits = [split] if split else list(reader.splits)
    summaries = {
        s: gather({"image": r.image, "annotation": r.annotation, "split": s} for r in reader.records(s)).summary()
        for s in splits
    }
    if preview is not None:
        write_preview(preview, (r for s in splits for r in reader.records(s)), count)
    if as_json:
        click.echo(json.dumps({"name": reader.name, "fingerprint": reader.fingerprint, "splits": summaries}, indent=1))
        return
    click.echo(f"{reader.name}: {', '.join(reader.splits)}; fingerprint {reader.fingerprint}")
    for s, summary in summaries.items():
        click.echo(f"\n{s}")
        for line in describe(summary):
            click.echo(f"  {line}".rstrip())
    if preview is not None:
        click.echo(f"contact sheet {preview}")


@click.command(short_help="Check the invariants, digests and splits of a dataset.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--workers", default=os.cpu_count() or 1, show_default="all cores", help="Number of worker processes.")
@click.option("--quiet", is_flag=True, help="Show no progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def validate(ctx: click.Context, *, dataset: Path, workers: int, quiet: bool, as_json: bool) -> None:
    """Check the invariants and digests of DATASET, and find leaks between its splits.

    Prints only findings, and exits with status 1 if there are any.
    """
    total = sum(c.get("samples", 0) for c in DatasetReader(dataset).info.get("counts", {}).values())
    with progress_bar("checking", "sample", total, quiet=quiet) as bar:
        findings = find(dataset, workers, bar.update)
    if as_json:
        click.echo(json.dumps([vars(f) for f in findings], indent=1))
    else:
        for finding in findings:
            click.echo(str(finding))
    if findings:
        click.echo(f"{len(findings)} findings", err=True)
        ctx.exit(1)
    if not quiet:
        next_step(
            *("evaluate", "METHOD", "--data", dataset, "--task", "mask", "--out", "RUN"),
            done=f"no findings in {dataset}",
        )


_NOTES = {
    "soft_masks": "masks were soft, read at half of white",
    "turned_photos": "photos were turned upright by their EXIF orientation",
}


def _summary(info: dict[str, Any], out: Path) -> str:
    total = sum(c["samples"] for c in info["counts"].values())
    by_split = ", ".join(f"{split} {c['samples']}" for split, c in info["counts"].items())
    lines = [f"{total} samples ({by_split}) in {out}"]
    left_out = info["rejected"]
    reasons = [f"{n} {reason}" for reason, n in left_out["humans"].items()]
    if left_out["samples"]:
        reasons.append(f"{left_out['samples']} samples that could not reach their ratio")
    if reasons:
        lines.append(f"left out: {', '.join(reasons)} ({out / 'rejected.csv'})")
    for key, told in _NOTES.items():
        count = sum(source.get(key, 0) for source in info["sources"]["humans"])
        if count:
            lines.append(f"{count} {told}")
    return "\n".join([*lines, f"fingerprint {info['fingerprint']}", f"contact sheet {out / PREVIEW}"])
