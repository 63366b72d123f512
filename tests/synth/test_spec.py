from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deocc_bench.core.errors import UsageError
from deocc_bench.synth.spec import (
    DEFAULTS,
    RatioBin,
    SynthSpec,
    count_range_text,
    parse_count_range,
    parse_ratio,
    parse_splits,
    public_source,
    ratio_text,
    splits_text,
)


def spec(**changes: object) -> SynthSpec:
    return SynthSpec(humans=("mannequin:4",), occluders=("shapes",), **changes)  # type: ignore[arg-type]


def test_ratio_forms() -> None:
    assert parse_ratio("0.05-0.7") == (RatioBin(0.05, 0.7),)
    assert parse_ratio("0.3") == (RatioBin(0.3, 0.3),)
    assert parse_ratio("0.1-0.3=2, 0.3-0.5=1") == (RatioBin(0.1, 0.3, 2), RatioBin(0.3, 0.5, 1))


@pytest.mark.parametrize("bad", ["", "x", "0.7-0.1", "0.2-1.0", "0.1-0.2=0", "-0.1-0.2", "0.1-0.2=2=3", "1..2-3"])
def test_bad_ratios_are_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="--ratio"):
        parse_ratio(bad)


@pytest.mark.parametrize("bad", ["", "a", "a=2", "a=0.5", "a=0.5,a=0.5", "../x=1", "a=0,b=1", "a b=1"])
def test_bad_splits_are_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="--splits"):
        parse_splits(bad)


def test_counts() -> None:
    assert parse_count_range("2") == (2, 2)
    assert parse_count_range("1-3") == (1, 3)
    with pytest.raises(UsageError):
        parse_count_range("1-")


@pytest.mark.parametrize("ratios", [DEFAULTS.ratios, (RatioBin(0.3, 0.3),), parse_ratio("0.1-0.3=2,0.3-0.5=1")])
def test_texts_of_a_spec_are_read_back(ratios: tuple[RatioBin, ...]) -> None:
    assert parse_ratio(ratio_text(ratios)) == ratios
    assert parse_splits(splits_text(DEFAULTS.splits)) == DEFAULTS.splits
    assert parse_count_range(count_range_text((2, 5))) == (2, 5)


def test_texts_of_the_defaults() -> None:
    assert ratio_text(DEFAULTS.ratios) == "0.05-0.7"
    assert count_range_text(DEFAULTS.per_sample) == "1-3"
    assert splits_text(DEFAULTS.splits) == "train=0.8,val=0.1,test=0.1"


@pytest.mark.parametrize(
    "bad",
    [
        {"variants": 0},
        {"per_sample": (0, 1)},
        {"per_sample": (3, 1)},
        {"size": 8},
        {"behind": 1.5},
        {"harmonise": "reinhart"},
        {"hide": ("wing",)},
        {"augment": ("flp",)},
        {"initial": "detector:7"},
        {"holdout": 1},
    ],
)
def test_impossible_specs_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        spec(**bad)


def test_splits_are_by_hash_and_near_their_shares() -> None:
    s = spec()
    counts = Counter(s.split_of(f"photo-{i}") for i in range(5000))
    assert abs(counts["train"] / 5000 - 0.8) < 0.03
    assert abs(counts["val"] / 5000 - 0.1) < 0.02
    assert {s.split_of("photo-7") for _ in range(3)} == {s.split_of("photo-7")}


def test_holdout_goes_by_number() -> None:
    s = spec(holdout=5)
    assert [s.split_of(f"ccp-{i:04d}") for i in (0, 5, 12, 610)] == ["test", "test", "train", "test"]
    assert s.split_of("coco-139099", "occluder") == "train"
    assert s.split_of("no number") == "train"


def test_variants_of_a_human_are_spread_over_the_range() -> None:
    s = spec(variants=10, ratios=(RatioBin(0.1, 0.6),))
    for human in ("a", "b", "c"):
        targets = sorted(s.request(human, k)[1] for k in range(10))
        edges = np.linspace(0.1, 0.6, 11)
        assert all(low <= t <= high for t, low, high in zip(targets, edges, edges[1:], strict=False))
    assert s.request("a", 0) == s.request("a", 0)
    assert s.request("a", 0) != s.request("b", 0)


def test_quotas_are_kept() -> None:
    s = spec(ratios=(RatioBin(0.1, 0.2, 3), RatioBin(0.5, 0.6, 1)))
    counts = Counter(s.request(f"h{i}", k)[0].low for i in range(1000) for k in range(3))
    assert abs(counts[0.1] / 3000 - 0.75) < 0.03


def test_no_path_of_a_machine_is_published() -> None:
    assert public_source("ccp:/home/me/data/ccp/") == "ccp:ccp"
    assert public_source("coco:C:\\data\\instances.json") == "coco:instances.json"
    assert public_source("mannequin:12") == "mannequin:12"
    assert public_source("shapes") == "shapes"
    a = SynthSpec(humans=("ccp:/a/ccp",), occluders=("shapes",))
    b = SynthSpec(humans=("ccp:/b/ccp",), occluders=("shapes",))
    assert a.digest() == b.digest()
    assert a.digest() != SynthSpec(humans=("ccp:/a/ccp",), occluders=("shapes",), seed=1).digest()
