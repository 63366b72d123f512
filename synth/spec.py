"""The specification of a synthesised dataset. It defines the defaults of `deocc-bench synth`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from deocc_bench.core import initial_masks
from deocc_bench.core.errors import UsageError
from deocc_bench.core.labels import BODY_PARTS
from deocc_bench.core.provenance import digest
from deocc_bench.core.registry import unknown
from deocc_bench.core.seeding import rng, unit_hash
from deocc_bench.synth import augment
from deocc_bench.synth.compositing import HARMONISE
from deocc_bench.synth.placement_rules import RULES

BALANCE = ("category", "none")
PLACEMENTS = (*RULES, "mixed")
DEFAULT_SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclass(frozen=True)
class RatioBin:
    """A range of occlusion ratios and its share of the samples."""

    low: float
    high: float
    share: float = 1.0


@dataclass(frozen=True)
class SynthSpec:
    """All settings that determine the pixels of a sample, except the photos themselves.

    Args:
        humans, occluders: sources as typed, `KIND:PATH`.
        variants: samples per human.
        ratios: requested occlusion ratios as bins with shares; a single bin is a plain range.
        per_sample: minimum and maximum number of occluders in front of the person.
        size: side of the square crop in pixels; None keeps the frame and resolution of the photo ("native").
        splits: share of the groups (photos) in each split.
        seed: random seed of the dataset.
        hide: body parts to hide (`deocc_bench.core.labels.BODY_PARTS`); empty: no specific parts.
        balance: "category": all occluder categories are equally likely; "none": all occluders are.
        placement: size and position of occluders in front: "overlap", "grounded" (`synth.placement_rules`), or "mixed",
            one of the two at random for each sample.
        behind: probability of an additional occluder behind the person, where it hides nothing.
        harmonise, shadow, augment: see `synth.compositing` and `synth.augment`.
        feather: standard deviation of the edge softening of occluders, output pixels.
        initial: a spec of `core.initial_masks`: "detector:0.5", "perfect", "dilate:3", ...
        min_height: minimum height of a person, pixels of the photo.
        allow_bags, allow_cut: also use humans who carry a bag, or who are cut by the frame.
        holdout: if not 0, overrides `splits`: a group whose number is divisible by `holdout` is in "test", all others
            are in "train". The number is the last one in the group id, for humans and occluders alike.
    """

    humans: tuple[str, ...]
    occluders: tuple[str, ...]
    variants: int = 3
    ratios: tuple[RatioBin, ...] = (RatioBin(0.05, 0.7),)
    per_sample: tuple[int, int] = (1, 3)
    size: int | None = 256
    splits: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_SPLITS))
    seed: int = 0
    hide: tuple[str, ...] = ()
    balance: str = "category"
    placement: str = "overlap"
    behind: float = 0.0
    harmonise: str = "none"
    shadow: bool = False
    augment: tuple[str, ...] = ()
    feather: float = 0.7
    initial: str = initial_masks.DEFAULT
    min_height: int = 96
    allow_bags: bool = False
    allow_cut: bool = False
    holdout: int = 0

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise UsageError(f"--variants must be 1 or more, got {self.variants}")
        if self.holdout < 0 or self.holdout == 1:
            raise UsageError(f"--holdout must be 2 or more (or 0 for none), got {self.holdout}")
        if self.holdout:
            object.__setattr__(self, "splits", {"train": 1 - 1 / self.holdout, "test": 1 / self.holdout})
        low, high = self.per_sample
        if not 1 <= low <= high:
            raise UsageError(f"--occluders-per-sample must be N or LOW-HIGH with 1 <= LOW <= HIGH, got {low}-{high}")
        if self.size is not None and not 32 <= self.size <= 4096:
            raise UsageError(f"--size must be 32 to 4096 pixels or 'native', got {self.size}")
        if not 0 <= self.behind <= 1:
            raise UsageError(f"--behind must be a probability in [0, 1], got {self.behind}")
        if self.balance not in BALANCE:
            raise UsageError(unknown("--balance", self.balance, BALANCE))
        if self.placement not in PLACEMENTS:
            raise UsageError(unknown("--placement", self.placement, PLACEMENTS))
        if self.harmonise not in HARMONISE:
            raise UsageError(unknown("--harmonise", self.harmonise, HARMONISE))
        for part in self.hide:
            if part not in BODY_PARTS:
                raise UsageError(unknown("body part", part, BODY_PARTS))
        augment.check(self.augment)
        initial_masks.parse(self.initial)

    def public(self) -> dict[str, Any]:
        """The spec for `dataset.json`: sources are reduced to kind and folder name, without local paths."""
        value = asdict(self)
        value["humans"] = [public_source(s) for s in self.humans]
        value["occluders"] = [public_source(s) for s in self.occluders]
        value["splits"] = dict(self.splits)
        return value

    def digest(self) -> str:
        """SHA-256 of the public spec."""
        return digest(repr(sorted(self.public().items())))

    @property
    def range(self) -> tuple[float, float]:
        """Minimum and maximum requested occlusion ratio."""
        return min(b.low for b in self.ratios), max(b.high for b in self.ratios)

    def split_of(self, group_id: str, kind: str = "human") -> str:
        """The split of a photo (kind "human") or of an occluder's photo (kind "occluder").

        The split is chosen by hash, so that adding a photo moves no other photo; shares are met approximately.
        """
        if self.holdout:
            numbers = re.findall(r"\d+", group_id)
            return "test" if numbers and int(numbers[-1]) % self.holdout == 0 else "train"
        u = unit_hash(self.seed, f"split-{kind}", group_id)
        reached = 0.0
        for name, share in self.splits.items():
            reached += share
            if u < reached:
                return name
        return next(reversed(list(self.splits)))

    def request(self, human_id: str, variant: int) -> tuple[RatioBin, float]:
        """The bin and the target ratio of one variant.

        The variants of a human are spread over the distribution: each has its own stratum of width 1 / variants. The
        order of the strata is shuffled for each human.
        """
        return self.at(_quantiles(self.seed, self.variants, human_id)[variant % self.variants])

    def at(self, u: float) -> tuple[RatioBin, float]:
        """The bin and ratio at quantile `u` in [0, 1) of the requested distribution."""
        total = sum(b.share for b in self.ratios)
        for b in self.ratios:
            width = b.share / total
            if u < width or b is self.ratios[-1]:
                return b, b.low + (b.high - b.low) * min(max(u / width, 0.0), 1.0)
            u -= width
        raise AssertionError("a spec has at least one bin")


@lru_cache(maxsize=4096)
def _quantiles(seed: int, variants: int, human_id: str) -> tuple[float, ...]:
    """Quantiles of the ratio distribution for one human, one per variant. Cached for later variants and epochs."""
    random = rng(seed, "ratio", human_id)
    strata = random.permutation(variants)
    jitter = random.random(variants)
    return tuple((float(s) + float(j)) / variants for s, j in zip(strata, jitter, strict=True))


def public_source(spec: str) -> str:
    """Reduce a source to its kind and the last name in its path: `ccp:/home/me/ccp/` -> `ccp:ccp`."""
    kind, colon, rest = spec.partition(":")
    if not colon or rest.isdigit():
        return spec
    last = re.split(r"[/\\]", rest.rstrip("/"))[-1]
    return f"{kind}:{last}"


def parse_ratio(text: str) -> tuple[RatioBin, ...]:
    """Parse `0.05-0.7`, `0.3`, or quotas `0.1-0.3=2,0.3-0.5=1`.

    Raises:
        UsageError: the text has another form, or is outside 0 <= low <= high < 1.
    """
    bins = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([\d.]+)(?:\s*-\s*([\d.]+))?(?:\s*=\s*([\d.]+))?\s*", part)
        try:
            if match is None:
                raise ValueError
            low = float(match[1])
            high = float(match[2]) if match[2] else low
            share = float(match[3]) if match[3] else 1.0
        except ValueError:
            raise UsageError(
                f"--ratio {text!r}: expected LOW-HIGH such as 0.05-0.7, or quotas such as 0.1-0.3=2,0.3-0.5=1"
            ) from None
        if not (0 <= low <= high < 1 and share > 0):
            raise UsageError(f"--ratio {part.strip()!r}: expected 0 <= low <= high < 1 and a share above 0")
        bins.append(RatioBin(low, high, share))
    return tuple(bins)


def ratio_text(ratios: Sequence[RatioBin]) -> str:
    """The inverse of `parse_ratio`: `0.05-0.7`, or quotas `0.1-0.3=2,0.3-0.5=1`."""
    one = len(ratios) == 1
    return ",".join(f"{b.low:g}-{b.high:g}" + ("" if one else f"={b.share:g}") for b in ratios)


def parse_splits(text: str) -> dict[str, float]:
    """Parse `train=0.8,val=0.1,test=0.1` to shares that add up to 1.

    Raises:
        UsageError: the text has another form, or the shares have another sum.
    """
    splits: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        name = name.strip()
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) or not 0 < value <= 1 or name in splits:
            raise UsageError(f"--splits {text!r}: expected NAME=SHARE,... such as train=0.8,val=0.1,test=0.1")
        splits[name] = value
    if not math.isclose(sum(splits.values()), 1.0, abs_tol=1e-6):
        raise UsageError(f"--splits {text!r}: the shares add up to {sum(splits.values()):g}, not 1")
    return splits


def splits_text(splits: Mapping[str, float]) -> str:
    """The inverse of `parse_splits`: `train=0.8,val=0.1,test=0.1`."""
    return ",".join(f"{name}={share:g}" for name, share in splits.items())


def parse_count_range(text: str) -> tuple[int, int]:
    """Parse `2` or `1-3`.

    Raises:
        UsageError: the text has another form.
    """
    match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", text)
    if match is None:
        raise UsageError(f"{text!r}: expected a number or LOW-HIGH such as 1-3")
    return int(match[1]), int(match[2] or match[1])


def count_range_text(counts: tuple[int, int]) -> str:
    """The inverse of `parse_count_range`: `1-3`."""
    return f"{counts[0]}-{counts[1]}"


# The defaults of `synth`, `train` and the Python functions; only the sources have no default.
DEFAULTS = SynthSpec(humans=(), occluders=())
