"""The commands `synth`, `inspect` and `validate`: parse, call, print."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import dump_json
from deocc_bench.synth.augment import GEOMETRIC, PHOTOMETRIC
from deocc_bench.synth.card import PREVIEW, describe, write_preview
from deocc_bench.synth.compositing import HARMONISE
from deocc_bench.synth.engine import ENGINES
from deocc_bench.synth.run import progress, synthesise
from deocc_bench.synth.spec import (
    BALANCE,
    DEFAULT_SPLITS,
    PLACEMENTS,
    SynthSpec,
    parse_count_range,
    parse_ratio,
    parse_splits,
)
from deocc_bench.synth.statistics import gather
from deocc_bench.synth.validate import validate as find

_SPLITS = ",".join(f"{name}={share:g}" for name, share in DEFAULT_SPLITS.items())
_DEFAULTS = SynthSpec(humans=(), occluders=())
_ratio_default = f"{_DEFAULTS.ratios[0].low:g}-{_DEFAULTS.ratios[0].high:g}"


@click.command(short_help="Make an occlusion dataset from parsed humans and occluders.")
@click.option("--humans", multiple=True, required=True, metavar="KIND:PATH", help="Photos with parsing. Repeatable.")
@click.option("--occluders", multiple=True, required=True, metavar="KIND:PATH", help="Cut-out objects. Repeatable.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The dataset folder; new or empty.")
@click.option("--name", help="The dataset's name; its folder's by default.")
@click.option("--variants", default=_DEFAULTS.variants, show_default=True, help="Samples a human.")
@click.option(
    "--ratio",
    default=_ratio_default,
    show_default=True,
    help="Occlusion ratio: LOW-HIGH, or quotas such as 0.1-0.3=2,0.3-0.5=1.",
)
@click.option("--occluders-per-sample", "per_sample", default="1-3", show_default=True, metavar="N|LOW-HIGH")
@click.option("--size", default="256", show_default=True, help="Side of the square crop in pixels, or 'native'.")
@click.option("--splits", default=_SPLITS, show_default=True, help="Share of the photos by split.")
@click.option(
    "--holdout", default=_DEFAULTS.holdout, metavar="N", help="Instead: photos whose number N divides are 'test'."
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True)
@click.option("--hide", default="", metavar="PART,...", help="Hide these body parts, e.g. left-arm,legs.")
@click.option(
    "--placement",
    type=click.Choice(PLACEMENTS),
    default=_DEFAULTS.placement,
    show_default=True,
    help="Occluders mostly within the person's box, or of usual size and on the ground (harder), or both by turns.",
)
@click.option("--behind", default=_DEFAULTS.behind, show_default=True, help="Chance of an occluder behind the person.")
@click.option(
    "--balance",
    type=click.Choice(BALANCE),
    default=_DEFAULTS.balance,
    show_default=True,
    help="What is equally likely: each occluder category, or each occluder.",
)
@click.option("--harmonise", type=click.Choice(HARMONISE), default=_DEFAULTS.harmonise, show_default=True)
@click.option("--shadow", is_flag=True, help="Let occluders cast a soft contact shadow.")
@click.option("--augment", default="", metavar="NAME,...", help=f"Any of {', '.join(GEOMETRIC + PHOTOMETRIC)}.")
@click.option("--feather", default=_DEFAULTS.feather, show_default=True, help="Softness of occluder edges, pixels.")
@click.option(
    "--initial",
    default=_DEFAULTS.initial,
    show_default=True,
    help="Initial mask: detector:STRENGTH, perfect, dilate:3, erode:3, shift:4, lowres:28, ...",
)
@click.option("--min-height", default=_DEFAULTS.min_height, show_default=True, help="Least person height, pixels.")
@click.option("--allow-bags", is_flag=True, help="Also use humans who carry a bag.")
@click.option("--allow-cut", is_flag=True, help="Also use humans cut by the photo's frame.")
@click.option("--workers", default=os.cpu_count() or 1, show_default="all cores", help="Worker processes.")
@click.option("--engine", "engine_name", type=click.Choice(ENGINES), default="local", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Use the first N humans only.")
@click.option("--resume", is_flag=True, help="Go on in a folder where this command was stopped.")
@click.option("--skip-bad", is_flag=True, help="Go on past broken inputs; rejected.csv lists them.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the content of dataset.json.")
def synth(
    humans: tuple[str, ...],
    occluders: tuple[str, ...],
    out: Path,
    name: str | None,
    ratio: str,
    per_sample: str,
    size: str,
    splits: str,
    hide: str,
    augment: str,
    workers: int,
    engine_name: str,
    limit: int | None,
    resume: bool,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Make an occlusion dataset from parsed humans and occluders.

    KIND of humans: mannequin[:N], folder, lip, cihp, atr, ccp, ahp. KIND of occluders: shapes[:N],
    coco:INSTANCES.json[,IMAGES_DIR], rgba:DIR, humans.
    """
    if size != "native" and not size.isdigit():
        raise UsageError(f"--size {size!r}: expected a number of pixels or 'native'")
    spec = SynthSpec(
        humans=humans,
        occluders=occluders,
        ratios=parse_ratio(ratio),
        per_sample=parse_count_range(per_sample),
        size=None if size == "native" else int(size),
        splits=parse_splits(splits),
        hide=_names(hide),
        augment=_names(augment),
        **rest,
    )
    info = synthesise(
        spec,
        out,
        name=name,
        workers=workers,
        engine_name=engine_name,
        limit=limit,
        resume=resume,
        skip_bad=skip_bad,
        quiet=quiet,
    )
    if as_json:
        click.echo(dump_json(info), nl=False)
        return
    total = sum(c["samples"] for c in info["counts"].values())
    by_split = ", ".join(f"{split} {c['samples']}" for split, c in info["counts"].items())
    click.echo(f"{total} samples ({by_split}) in {out}")
    left_out = info["rejected"]
    if left_out["humans"] or left_out["samples"]:
        reasons = [f"{n} {reason}" for reason, n in left_out["humans"].items()]
        if left_out["samples"]:
            reasons.append(f"{left_out['samples']} samples that could not reach their ratio")
        click.echo(f"left out: {', '.join(reasons)} ({out / 'rejected.csv'})")
    click.echo(f"fingerprint {info['fingerprint']}")
    click.echo(f"contact sheet {out / PREVIEW}")


@click.command(short_help="Print a dataset's statistics, draw its contact sheet.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--split", help="Only this split.")
@click.option("--preview", type=click.Path(path_type=Path), help="Draw a contact sheet to this PNG.")
@click.option("--count", default=24, show_default=True, help="Samples in the contact sheet.")
@click.option("--json", "as_json", is_flag=True, help="Print statistics as JSON.")
def inspect(dataset: Path, split: str | None, preview: Path | None, count: int, as_json: bool) -> None:
    """Print the statistics of DATASET, from its annotations; with --preview draw its contact sheet."""
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


@click.command(short_help="Check every invariant, digest and leak of a dataset.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--workers", default=os.cpu_count() or 1, show_default="all cores", help="Worker processes.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
@click.pass_context
def validate(ctx: click.Context, dataset: Path, workers: int, quiet: bool, as_json: bool) -> None:
    """Check every invariant, digest and leak of DATASET. Prints findings only; exits with 1 if there are any."""
    total = sum(c.get("samples", 0) for c in DatasetReader(dataset).info.get("counts", {}).values())
    with progress(quiet, "checking", "sample", total) as bar:
        findings = find(dataset, workers, bar.update)
    if as_json:
        click.echo(json.dumps([vars(f) for f in findings], indent=1))
    else:
        for finding in findings:
            click.echo(str(finding))
    if findings:
        click.echo(f"{len(findings)} findings", err=True)
        ctx.exit(1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
