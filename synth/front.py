"""`synthesise`: the function behind `deocc-bench synth` and `deocc_bench.synthesise`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import UsageError
from deocc_bench.synth import run
from deocc_bench.synth.engine import ENGINES
from deocc_bench.synth.spec import (
    DEFAULTS,
    SynthSpec,
    count_range_text,
    parse_count_range,
    parse_ratio,
    parse_splits,
    ratio_text,
    splits_text,
)

NATIVE = "native"


def synthesise(
    humans: str | Sequence[str],
    occluders: str | Sequence[str],
    out: str | Path,
    *,
    name: str | None = None,
    variants: int = DEFAULTS.variants,
    ratio: str | tuple[float, float] = ratio_text(DEFAULTS.ratios),
    occluders_per_sample: str | int | tuple[int, int] = count_range_text(DEFAULTS.per_sample),
    size: str | int = NATIVE if DEFAULTS.size is None else str(DEFAULTS.size),
    splits: str | Mapping[str, float] = splits_text(DEFAULTS.splits),
    holdout: int = DEFAULTS.holdout,
    seed: int = DEFAULTS.seed,
    hide: str | Sequence[str] = DEFAULTS.hide,
    placement: str = DEFAULTS.placement,
    behind: float = DEFAULTS.behind,
    balance: str = DEFAULTS.balance,
    harmonise: str = DEFAULTS.harmonise,
    shadow: bool = DEFAULTS.shadow,
    augment: str | Sequence[str] = DEFAULTS.augment,
    feather: float = DEFAULTS.feather,
    initial: str = DEFAULTS.initial,
    min_height: int = DEFAULTS.min_height,
    allow_bags: bool = DEFAULTS.allow_bags,
    allow_cut: bool = DEFAULTS.allow_cut,
    workers: int | None = None,
    engine: str = ENGINES[0],
    limit: int | None = None,
    resume: bool = False,
    skip_bad: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make an occlusion dataset from parsed humans and occluders, same as `deocc-bench synth`.

    Args:
        humans, occluders: one or several sources, `KIND:PATH` each.
        out: dataset folder; new or empty or, with `resume`, the folder of an interrupted run.
        name: name of the dataset; None: name of the folder.
        variants: samples per human.
        ratio: (low, high) of the occlusion ratio, or a string: "0.05-0.7", quotas "0.1-0.3=2,0.3-0.5=1".
        occluders_per_sample: a number, (low, high), or a string: "1-3".
        size: side of the square crop in pixels, or "native" to keep the frame of the photo.
        splits: share of the photos in each split, as a mapping or a string.
        holdout: if not 0, overrides `splits`: photos whose number is divisible by `holdout` are "test".
        hide, augment: names, or a comma-separated string.
        seed, placement, behind, balance, harmonise, shadow, feather, initial, min_height, allow_bags, allow_cut: see
            `deocc_bench.synth.spec.SynthSpec`.
        workers: number of processes; None: one per core. With more than one, a script needs
            `if __name__ == "__main__":`.
        engine: "local" or "ray".
        limit: maximum number of humans.
        resume: continue an interrupted run.
        skip_bad: skip broken inputs and list them in `rejected.csv`.
        quiet: show no progress on stderr.

    Returns:
        The content of `dataset.json`.

    Raises:
        UsageError: a setting is out of range, or the folder is not empty.
        InputError: an input is broken, or no sample reached its ratio.
        DeoccError: the disk is full, or a worker process was killed.
    """
    spec = SynthSpec(
        humans=_several(humans),
        occluders=_several(occluders),
        variants=variants,
        ratios=parse_ratio(ratio if isinstance(ratio, str) else "{}-{}".format(*ratio)),
        per_sample=_counts(occluders_per_sample),
        size=_side(size),
        splits=parse_splits(splits if isinstance(splits, str) else splits_text(splits)),
        seed=seed,
        hide=_names(hide),
        balance=balance,
        placement=placement,
        behind=behind,
        harmonise=harmonise,
        shadow=shadow,
        augment=_names(augment),
        feather=feather,
        initial=initial,
        min_height=min_height,
        allow_bags=allow_bags,
        allow_cut=allow_cut,
        holdout=holdout,
    )
    return run.synthesise(
        spec,
        out,
        name=name,
        workers=(os.cpu_count() or 1) if workers is None else workers,
        engine_name=engine,
        limit=limit,
        resume=resume,
        skip_bad=skip_bad,
        quiet=quiet,
    )


def _several(sources: str | Sequence[str]) -> tuple[str, ...]:
    return (sources,) if isinstance(sources, str) else tuple(sources)


def _counts(counts: str | int | tuple[int, int]) -> tuple[int, int]:
    return counts if isinstance(counts, tuple) else parse_count_range(str(counts))


def _side(size: str | int) -> int | None:
    if size == NATIVE:
        return None
    if not str(size).isdigit():
        raise UsageError(f"--size {size!r}: expected a number of pixels or {NATIVE!r}")
    return int(size)


def _names(text: str | Sequence[str]) -> tuple[str, ...]:
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(part.strip() for part in parts if part.strip())
