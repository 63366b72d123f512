"""Checks a dataset folder for violated invariants, changed content and leaks between splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord, fingerprint, sample_digest
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.labels import LIP
from deocc_bench.core.paths import leads_out
from deocc_bench.core.types import Sample
from deocc_bench.synth import engine

# Maximum Hamming distance between 64-bit perceptual hashes of near-duplicates. Measured on the crops of 631 CCP photos:
# a copy (JPEG at quality 50, or resized by 0.8) has a distance of at most 2; other photos have 8 or more, except for
# one pair with 2: two shots of the same person in the same place.
NEAR_DUPLICATE = 4
# Maximum extent of the soft edge of an occluder beyond its mask, pixels.
EDGE = 3


@dataclass(frozen=True)
class Finding:
    """One problem: `kind` is stable and machine-readable, `where` is a sample, group or file."""

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Checked:
    """The result of checking one sample: findings, content digest and perceptual hash."""

    sample_id: str
    split: str
    findings: tuple[Finding, ...]
    digest: str | None
    phash: int | None


def validate(root: str | Path, workers: int = 1, advance: Callable[[int], None] = lambda n: None) -> list[Finding]:
    """Check a whole dataset folder and return the findings.

    Raises:
        InputError: the folder is not a dataset.
    """
    reader = DatasetReader(root, lenient=True)
    findings: list[Finding] = []
    keys: list[tuple[str, str]] = []
    records: dict[str, list[SampleRecord]] = {}
    for split in reader.splits:
        try:
            records[split] = list(reader.records(split))
            findings += [Finding("annotations", p.where, p.problem) for p in reader.problems(split)]
        except DeoccError as error:
            findings.append(Finding("annotations", f"annotations/{split}.json", str(error)))
    findings += _counts(reader, records)
    findings += _leaks(records)

    keys = [(split, r.id) for split, some in records.items() for r in some]
    chunks = [tuple(keys[i : i + 32]) for i in range(0, len(keys), 32)]
    checked: list[Checked] = []
    for _, results in engine.run(Checker, (str(root),), chunks, workers):
        checked += results
        advance(len(results))
    checked.sort(key=lambda c: (c.split, c.sample_id))
    findings += [f for c in checked for f in c.findings]
    digests = [(c.sample_id, c.digest) for c in checked if c.digest is not None]
    if len(digests) == len(checked) and fingerprint(digests) != reader.info.get("fingerprint"):
        findings.append(Finding("fingerprint", "dataset.json", "the fingerprint does not match the samples"))
    findings += _duplicates(checked, {r.id: r.group_id for some in records.values() for r in some})
    return findings


class Checker:
    """Checks chunks of samples in a worker process."""

    def __init__(self, root: str) -> None:
        self.reader = DatasetReader(root, lenient=True)

    def __call__(self, keys: tuple[tuple[str, str], ...]) -> list[Checked]:
        return [check_sample(self.reader.record(split, sample_id)) for split, sample_id in keys]


def check_sample(record: SampleRecord) -> Checked:
    """Decode one sample and run all checks that need only this sample."""
    where = f"{record.split}/{record.id}"
    try:
        sample = record.load()
    except (DeoccError, ValueError, KeyError, TypeError) as error:
        kind = "file" if isinstance(error, DeoccError) and "no such file" in str(error) else "sample"
        return Checked(record.id, record.split, (Finding(kind, where, str(error)),), None, None)
    findings = [Finding(kind, where, what) for kind, what in _broken(record, sample)]
    value = sample_digest(
        record.truth, sample.split, image=sample.image, complete=sample.complete, parsing=sample.parsing
    )
    if value != record.truth.digest:
        findings.append(Finding("digest", where, "the content was changed (its digest does not match)"))
    picture = sample.complete if sample.complete is not None else sample.image
    return Checked(record.id, record.split, tuple(findings), value, perceptual_hash(picture))


def _broken(record: SampleRecord, sample: Sample) -> Iterator[tuple[str, str]]:
    truth = record.truth
    invisible = sample.invisible
    if sample.image.shape[:2] != record.size:
        yield "size", f"the image is {sample.image.shape[:2]}, but the annotation says {record.size}"
    if truth.invisible_mask and not np.array_equal(masks.decode(truth.invisible_mask), invisible):
        yield "invisible", "the invisible mask differs from amodal & ~modal"
    if abs(sample.occlusion_ratio - record.occlusion_ratio) > 1e-9:
        yield "ratio", f"occlude_rate is {record.occlusion_ratio}, but is {sample.occlusion_ratio} in the masks"
    if truth.area != int(np.count_nonzero(sample.amodal)):
        yield "area", f"area is {truth.area}, but the mask has {int(np.count_nonzero(sample.amodal))} pixels"
    if truth.bbox != masks.bbox(record.amodal):
        yield "bbox", f"bbox is {truth.bbox}, but the mask has {masks.bbox(record.amodal)}"
    if sample.parsing is not None:
        try:
            LIP.check(sample.parsing, record.parsing_path or "")
        except DeoccError as error:
            yield "label", str(error)
        if not np.array_equal(sample.parsing > 0, sample.amodal):
            yield "parsing", "the foreground of the parsing differs from the amodal mask"
    front = np.zeros_like(invisible)
    for o in sample.occluders:
        if not o.behind:
            front |= o.mask
    if sample.occluders and np.any(invisible & ~front):
        yield "occluder", "some hidden pixels are not covered by an occluder"
    if sample.complete is not None and sample.occluders:
        reach = cv2.dilate(front.astype(np.uint8), np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)).astype(bool)
        changed = np.any(sample.image != sample.complete, axis=2)
        if np.any(changed & ~reach):
            n = int(np.count_nonzero(changed & ~reach))
            yield "complete", f"the complete and the occluded image differ in {n} pixels outside the occluders"
        hidden = int(np.count_nonzero(invisible))
        if hidden and np.count_nonzero(invisible & ~changed) > 0.3 * hidden:
            yield "complete", "the occluded image shows the person in the hidden region"


def _counts(reader: DatasetReader, records: dict[str, list[SampleRecord]]) -> Iterator[Finding]:
    for split, expected in reader.info.get("counts", {}).items():
        found = len(records.get(split, ()))
        if found != expected.get("samples"):
            yield Finding(
                "count", split, f"dataset.json lists {expected.get('samples')} samples, but {found} are annotated"
            )
    known = {reader.root / name for some in records.values() for r in some for name in _files(r)}
    for folder in ("images", "complete", "parsing"):
        for path in sorted((reader.root / folder).rglob("*")):
            if path.is_symlink() and leads_out(reader.root, path):
                yield Finding("link", str(path.relative_to(reader.root)), "is a link that leads out of the dataset")
            elif path.is_file() and path not in known:
                yield Finding("stray", str(path.relative_to(reader.root)), "no annotation refers to this file")


def _files(record: SampleRecord) -> list[str]:
    """The names of the files of a sample, relative to the dataset."""
    names = [record.photo.file_name]
    for part in (record.photo, record.truth):
        names += [name for name in (part.complete_file_name, part.parsing_file_name) if name]
    return names


def _leaks(records: dict[str, list[SampleRecord]]) -> Iterator[Finding]:
    for what, of in (("group", _groups_of), ("occluder", _occluders_of)):
        seen: dict[str, set[str]] = defaultdict(set)
        for split, some in records.items():
            for record in some:
                for value in of(record):
                    seen[value].add(split)
        for value, splits in sorted(seen.items()):
            if len(splits) > 1:
                yield Finding("leak", f"{what} {value}", f"in several splits: {', '.join(sorted(splits))}")


def _groups_of(record: SampleRecord) -> list[str]:
    return [record.group_id]


def _occluders_of(record: SampleRecord) -> list[str]:
    # Cut-outs from one photo share its light and scene, so use the photo if it is known.
    return [o.group_id or o.id for o in record.truth.occluders or ()]


def perceptual_hash(image: np.ndarray) -> int:
    """64-bit perceptual hash of uint8 H x W x 3: the 8 x 8 lowest DCT frequencies of the 32 x 32 grey image, compared
    with their median (without the mean). Small changes of scale, light or encoding flip few bits.
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _duplicates(checked: Iterable[Checked], groups: dict[str, str]) -> Iterator[Finding]:
    first: dict[tuple[str, int], Checked] = {}
    for c in checked:
        if c.phash is not None:
            first.setdefault((c.split, c.phash), c)
    some = list(first.values())
    if not some:
        return
    hashes = np.array([c.phash for c in some], dtype=np.uint64)
    names = sorted({c.split for c in some})
    splits = np.array([names.index(c.split) for c in some])
    for i, c in enumerate(some):
        distance = np.bitwise_count(hashes[i + 1 :] ^ hashes[i])
        for j in np.flatnonzero((distance <= NEAR_DUPLICATE) & (splits[i + 1 :] != splits[i])):
            other = some[i + 1 + int(j)]
            if groups.get(c.sample_id) != groups.get(other.sample_id):
                yield Finding(
                    "near-duplicate",
                    f"{c.split}/{c.sample_id}",
                    f"looks like {other.split}/{other.sample_id} ({int(distance[j])} of 64 hash bits differ)",
                )
