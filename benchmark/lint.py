"""Checks of a prediction folder; see `core.predictions` for its layout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deocc_bench.benchmark import alignment
from deocc_bench.benchmark.alignment import Pair
from deocc_bench.core import images, mask_files, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import InputError, one_line
from deocc_bench.core.labels import LIP
from deocc_bench.core.paths import leads_out
from deocc_bench.core.pixels import ImageFile, open_image
from deocc_bench.core.predictions import ERROR_FILE, HEADER_FILE, KINDS, REQUIRED, draw_folders
from deocc_bench.core.provenance import digest

_MODES = {"masks": ("L", "1"), "modal": ("L", "1"), "parsing": ("L", "P", "1"), "images": ("RGB",)}
_SHOWN = 3  # ids in a line about several findings


@dataclass(frozen=True)
class Finding:
    """One error or warning.

    Args:
        kind: see `lint`.
        sample: the sample id or file name.
        detail: one line with the problem and the remedy.
        error: True: the folder can't be scored; False: a warning.
    """

    kind: str
    sample: str
    detail: str
    error: bool


def lint_ids(expected: Collection[str], found: Collection[str]) -> list[Finding]:
    """Ids that are missing, not in the split, or duplicated (`found`: the stem of each file)."""
    want, have, seen = set(expected), set(found), set()
    twice = {i for i in found if i in seen or seen.add(i)}  # type: ignore[func-returns-value]
    return [
        *(Finding("missing", i, "no prediction for this sample; predict it", True) for i in sorted(want - have)),
        *(Finding("extra", i, "no sample of the split has this id; remove it", True) for i in sorted(have - want)),
        *(Finding("twice", i, "several files for this sample; keep one", True) for i in sorted(twice)),
    ]


def describe(finding: Finding) -> str:
    """A finding on one line."""
    return one_line(f"{finding.kind}: {finding.sample}: {finding.detail}")


def summary(findings: Sequence[Finding]) -> list[str]:
    """The findings with one line for all of a kind and folder: their number, three ids and the detail of the first."""
    groups: dict[tuple[str, str, bool], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.kind, f.sample.rpartition("/")[0], f.error), []).append(f)
    return [describe(group[0]) if len(group) == 1 else _together(group) for group in groups.values()]


def _together(group: Sequence[Finding]) -> str:
    first = group[0]
    folder = first.sample.rpartition("/")[0]
    named = ", ".join(f.sample.rpartition("/")[2] for f in group[:_SHOWN]) + (", ..." if len(group) > _SHOWN else "")
    same = all(f.detail == first.detail for f in group)
    detail = first.detail if same else f"the first {first.detail}"
    return one_line(f"{first.kind}: {len(group)} in {folder or 'the folder'} ({named}): {detail}")


def lint(
    root: str | Path, records: Sequence[SampleRecord], task: str, wanted: Iterable[str] | None = None
) -> list[Finding]:
    """Find all problems of a prediction folder: findings with `error` prevent scoring, the others are warnings.

    The draws of a random method are checked separately; two draws may be equal.

    Errors: missing, extra, split (an id of another split), twice, size, ambiguous (not one mask), channels (of a
    parsing), label, unreadable, link, suffix. Warnings: soft, palette, channels, encoding (not what the name says),
    empty, duplicate, unknown, inverted, shifted. The last two are about all masks of a folder, tried on 64 samples.

    Args:
        records: all samples of the split.
        task: determines which kinds of files are required.
        wanted: ids that are required; None: all.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, "no such prediction folder", "check the path")
    by_id = {r.id: r for r in records}
    needed = sorted(by_id if wanted is None else wanted)
    draws = draw_folders(root)
    findings = [
        replace(f, sample=f"{draw.name}/{f.sample}") for draw in draws for f in _lint_folder(draw, by_id, needed, task)
    ]
    return findings + (_unknown(root, draws) if draws else _lint_folder(root, by_id, needed, task))


def _lint_folder(root: Path, by_id: Mapping[str, SampleRecord], needed: Sequence[str], task: str) -> list[Finding]:
    findings: list[Finding] = []
    present = [k for k in KINDS if (root / k).is_dir()]
    for kind in sorted({*REQUIRED[task], *present}):
        if (kind == "images" and task == "mask") or (kind != "images" and task == "content"):
            continue
        findings += _lint_kind(root, kind, by_id, needed, kind in REQUIRED[task])
    return findings + _unknown(root)


def _unknown(root: Path, draws: Sequence[Path] = ()) -> list[Finding]:
    known = {HEADER_FILE, ERROR_FILE, *(p.name for p in draws)} if draws else {*KINDS, HEADER_FILE, ERROR_FILE}
    return [
        Finding("unknown", path.name, f"is not one of {', '.join(sorted(known))}; remove it", False)
        for path in sorted(root.iterdir())
        if path.name not in known and not path.name.startswith(".")
    ]


def _lint_kind(
    root: Path, kind: str, by_id: Mapping[str, SampleRecord], needed: Sequence[str], required: bool
) -> list[Finding]:
    folder = root / kind
    paths = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")] if folder.is_dir() else []
    stems = [p.stem for p in paths]
    findings = [f for f in lint_ids(by_id, stems) if f.kind != "missing" or f.sample in needed]
    findings = _of_other_splits(findings, next(iter(by_id.values()), None))
    # Optional kinds may exist for only some samples; their metrics are then defined for fewer samples.
    findings = [replace(f, error=required) if f.kind == "missing" else f for f in findings]
    known = [p for p in paths if p.stem in by_id]
    compared = set(known[:: max(1, -(-len(known) // alignment.MOST))])
    contents: dict[str, list[str]] = {}
    pairs: list[tuple[np.ndarray, SampleRecord]] = []
    for path in known:
        record = by_id[path.stem]
        found, pixels = _lint_file(root, path, kind, record.size)
        findings += found
        # Compare pixels, not bytes: programs encode a picture differently. Two empty masks are not copies.
        if pixels is not None and pixels.any():
            contents.setdefault(digest(pixels), []).append(path.name)
            if path in compared and pixels.dtype == bool and pixels.shape == record.size:
                pairs.append((pixels, record))
    for first, *others in contents.values():
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            detail = f"has the same pixels as {', '.join(others[:3])}{more}"
            findings.append(Finding("duplicate", first, detail, False))
    return [replace(f, sample=f"{kind}/{f.sample}") for f in findings] + _lint_masks(kind, pairs)


def _of_other_splits(findings: Sequence[Finding], record: SampleRecord | None) -> list[Finding]:
    """The findings, with the split for ids that are in another split of the dataset."""
    if record is None or not any(f.kind == "extra" for f in findings):
        return list(findings)
    reader = DatasetReader(record.root, lenient=True)
    split_of = {i: split for split in reader.splits if split != record.split for i in reader.ids(split)}
    return [
        Finding(
            "split", f.sample, f"is a sample of split {split_of[f.sample]}, not {record.split}; check --split", True
        )
        if f.kind == "extra" and f.sample in split_of
        else f
        for f in findings
    ]


def _lint_masks(kind: str, found: Sequence[tuple[np.ndarray, SampleRecord]]) -> list[Finding]:
    """Findings about all masks of a folder."""
    modal = [Pair(mask, masks.decode(r.modal)) for mask, r in found]
    amodal = [Pair(mask, masks.decode(r.amodal)) for mask, r in found]
    pairs, truth = (modal, "modal") if kind == "modal" else (amodal, "amodal")
    # A method that predicts little more than the visible part is nearer to the modal mask.
    for name, compared in {truth: pairs, "modal": modal}.items():
        complement = alignment.inverted(compared)
        if complement is not None:
            detail = f"the masks look inverted: the IoU of their complements with the true {name} masks is "
            return [Finding("inverted", kind, f"{detail}{complement:.2f}; write the person white", False)]
    shift = alignment.shifted(pairs)
    if shift is None:
        return []
    moves = [f"{abs(n)} px {a if n > 0 else b}" for n, a, b in _moves(shift) if n]
    detail = f"the masks look shifted: moved {' and '.join(moves)}, their mean IoU with the true {truth} masks is "
    detail += f"{shift.after:.2f} instead of {shift.before:.2f}; check the crop and the resizing"
    return [Finding("shifted", kind, detail, False)]


def _moves(shift: alignment.Shift) -> tuple[tuple[int, str, str], ...]:
    return (shift.down, "down", "up"), (shift.right, "right", "left")


def _lint_file(root: Path, path: Path, kind: str, size: tuple[int, int]) -> tuple[list[Finding], np.ndarray | None]:
    """Findings about one file, and its pixels if they can be read: bool for masks, otherwise uint8."""
    name = path.name
    if path.suffix != ".png":
        return [Finding("suffix", name, "only .png is supported; save it losslessly as PNG", True)], None
    if leads_out(root, path):
        return [Finding("link", name, "is a link that leads out of the folder; copy the file into it", True)], None
    try:
        file = open_image(path)
    except InputError as error:
        return [_unreadable(name, error)], None
    findings = [*_encoding(name, file), *_size(name, file.header.size, size)]
    try:
        found, pixels = _decoded(name, kind, file)
    except InputError as error:
        return [*findings, _refused(name, kind, file, error)], None
    return findings + found, pixels


def _unreadable(name: str, error: InputError) -> Finding:
    return Finding("unreadable", name, f"{error.problem}; write it again", True)


def _refused(name: str, kind: str, file: ImageFile, error: InputError) -> Finding:
    """The finding about an image that has pixels, but not of the right kind, or that has none."""
    try:
        with file.opened() as im:
            im.load()
    except InputError:
        return _unreadable(name, error)
    return Finding("channels" if kind == "parsing" else "ambiguous", name, f"{error.problem}; {error.cure}", True)


def _encoding(name: str, file: ImageFile) -> list[Finding]:
    form = "JPEG" if file.header.format == "MPO" else file.header.format
    if form == "PNG":
        return []
    loss = ", which loses detail" if form == "JPEG" else ""
    return [Finding("encoding", name, f"is a {form} file named .png{loss}; save it as PNG", False)]


def _size(name: str, found: tuple[int, int], size: tuple[int, int]) -> list[Finding]:
    if found == size:
        return []
    (height, width), (right_height, right_width) = found, size
    what = "is"
    if max(abs(2 * height - right_height), abs(2 * width - right_width)) <= 1:
        what = "is half-size:"
    elif found == (2 * right_height, 2 * right_width):
        what = "is double-size:"
    elif found == size[::-1]:
        what = "is turned:"
    detail = f"{what} {height} x {width}, but the image is {right_height} x {right_width}; predict at its size"
    return [Finding("size", name, detail, True)]


def _decoded(name: str, kind: str, file: ImageFile) -> tuple[list[Finding], np.ndarray]:
    """Findings about the pixels, and the pixels.

    Raises:
        InputError: they can't be read.
    """
    mode = file.header.mode
    findings: list[Finding] = []

    def warn(what: str, detail: str) -> None:
        findings.append(Finding(what, name, detail, False))

    if mode not in (*_MODES[kind], "P"):
        warn("channels", f"is of mode {mode}; write mode {_MODES[kind][0]}")
    if kind in ("masks", "modal"):
        mask, soft, _ = mask_files.decode_mask(file)
        if mode == "P":
            warn("palette", "has a palette, read by its colours; write grey, 0 and 255")
        if soft:
            warn("soft", "is soft, read at half of white; write 0 and 255")
        if not mask.any():
            warn("empty", "is empty: it is scored as a prediction of no person")
        return findings, mask
    if kind == "parsing":
        labels = images.read_indices(file.path)
        if int(labels.max()) >= LIP.size:
            detail = f"contains id {labels.max()}; LIP ids are 0 to {LIP.size - 1}"
            findings.append(Finding("label", name, detail, True))
        return findings, labels
    if mode == "P":
        warn("palette", "has a palette, which has at most 256 colours; write RGB")
    return findings, images.decode_rgb(file)
