"""Checks of a prediction folder; see `core.predictions` for its layout."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from deocc_bench.core import images
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.labels import LIP
from deocc_bench.core.predictions import ERROR_FILE, HEADER_FILE, KINDS, REQUIRED, draw_folders
from deocc_bench.core.provenance import digest

_MODES = {"masks": ("L", "1"), "modal": ("L", "1"), "parsing": ("L",), "images": ("RGB",)}


@dataclass(frozen=True)
class Finding:
    """One error or warning.

    Args:
        kind: "missing", "extra", "twice", "size", "palette", "soft", "channels", "empty", or a kind that
            `predictions.lint` adds.
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


def lint_mask(sample: str, pixels: np.ndarray, height: int, width: int, palette: bool = False) -> list[Finding]:
    """Findings about one mask file.

    Args:
        sample: the sample id.
        pixels: the decoded file, uint8 (H, W) or (H, W, C); for a palette PNG, the indices.
        height, width: of the sample's image.
        palette: whether the file is a palette PNG.
    """
    findings = []
    if pixels.shape[:2] != (height, width):
        size = f"{pixels.shape[0]} x {pixels.shape[1]}"
        findings.append(Finding("size", sample, f"is {size}, but the image is {height} x {width}; resize it", True))
    if pixels.ndim == 3 and pixels.shape[2] > 1:
        same = bool((pixels[..., :3] == pixels[..., :1]).all()) and pixels.shape[2] == 3
        detail = f"has {pixels.shape[2]} channels; write one grey channel, 0 and 255"
        findings.append(Finding("channels", sample, detail, not same))
        pixels = pixels[..., 0]
    values = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
    if palette:
        detail = f"is a palette PNG with indices {_few(values)}; write grey, 0 and 255"
        findings.append(Finding("palette", sample, detail, True))
    elif len(values) and not set(values.tolist()) <= {0, 255}:
        two = set(values.tolist()) <= {0, 1}
        detail = f"has the values {_few(values)}; write 0 and 255" + ("" if two else " (threshold the mask)")
        findings.append(Finding("soft", sample, detail, True))
    if not pixels.any():
        findings.append(Finding("empty", sample, "is empty: it is scored as a prediction of no person", False))
    return findings


def _few(values: np.ndarray) -> str:
    shown = ", ".join(str(int(v)) for v in values[:5])
    return shown + (f", ... ({len(values)} values)" if len(values) > 5 else "")


def describe(finding: Finding) -> str:
    """A finding on one line."""
    return f"{finding.kind}: {finding.sample}: {finding.detail}"


def lint(
    root: str | Path, records: Sequence[SampleRecord], task: str, wanted: Iterable[str] | None = None
) -> list[Finding]:
    """Find all problems of a prediction folder: findings with `error` prevent scoring, the others are warnings.

    The draws of a random method are checked separately; two draws may be equal.

    Kinds: missing, extra, twice, size, palette, soft, channels, label, unreadable, suffix; empty, duplicate, unknown.

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
    # Optional kinds may exist for only some samples; their metrics are then defined for fewer samples.
    findings = [replace(f, error=required) if f.kind == "missing" else f for f in findings]
    contents: dict[str, list[str]] = {}
    for path in paths:
        if path.stem in by_id:
            found, pixels = _lint_file(path, kind, by_id[path.stem].size)
            findings += found
            # Compare pixels, not bytes: programs encode a picture differently. Two empty masks are not copies.
            if pixels is not None and pixels.any():
                contents.setdefault(digest(pixels), []).append(path.name)
    for first, *others in contents.values():
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            detail = f"has the same pixels as {', '.join(others[:3])}{more}"
            findings.append(Finding("duplicate", first, detail, False))
    return [replace(f, sample=f"{kind}/{f.sample}") for f in findings]


def _lint_file(path: Path, kind: str, size: tuple[int, int]) -> tuple[list[Finding], np.ndarray | None]:
    """Findings about one file, and its pixels if they can be read."""
    if path.suffix != ".png":
        return [Finding("suffix", path.name, "only .png is supported; save it losslessly as PNG", True)], None
    try:
        images.check_complete(path)
        with Image.open(path) as im:
            mode = im.mode
            pixels = np.asarray(im)
    except (DeoccError, OSError, SyntaxError) as error:
        return [Finding("unreadable", path.name, f"{getattr(error, 'problem', error)}; write it again", True)], None
    if mode == "1":
        pixels = pixels.astype(np.uint8) * 255
    return _lint_pixels(path, kind, size, mode, pixels), pixels


def _lint_pixels(path: Path, kind: str, size: tuple[int, int], mode: str, pixels: np.ndarray) -> list[Finding]:
    if mode not in (*_MODES[kind], "P"):
        detail = f"is a PNG of mode {mode}; write mode {' or '.join(_MODES[kind])}"
        return [Finding("channels", path.name, detail, kind != "images")]
    if kind in ("masks", "modal"):
        return lint_mask(path.name, pixels, *size, palette=mode == "P")
    if pixels.shape[:2] != size:
        detail = (
            f"is {pixels.shape[0]} x {pixels.shape[1]}, but the image is {size[0]} x {size[1]}; predict at its size"
        )
        return [Finding("size", path.name, detail, True)]
    if kind == "images" and mode == "P":
        return [Finding("palette", path.name, "is a palette PNG, which has at most 256 colours; write RGB", False)]
    if kind == "parsing" and int(pixels.max()) >= LIP.size:
        return [Finding("label", path.name, f"contains id {pixels.max()}; LIP ids are 0 to {LIP.size - 1}", True)]
    return []
