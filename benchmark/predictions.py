"""The prediction folder: what a method answered, one PNG a sample and kind, and what may be wrong with it.

PREDICTIONS/masks/<sample>.png      amodal mask, 0 / 255             (tasks mask, joint)
PREDICTIONS/modal/<sample>.png      refined modal mask, 0 / 255      (optional)
PREDICTIONS/parsing/<sample>.png    LIP ids, palette or grey         (optional)
PREDICTIONS/images/<sample>.png     recovered picture, RGB           (tasks content, joint)
PREDICTIONS/run.json                how it was made; written by `evaluate`, not needed of others
PREDICTIONS/draw-NN/                of a random method: one such folder a draw

COCO results (a JSON list with an RLE each) are read into the same folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deocc_bench.benchmark.metrics.lint import Finding, lint_ids, lint_mask
from deocc_bench.core import images, masks
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.files import read_json
from deocc_bench.core.labels import LIP
from deocc_bench.core.provenance import digest
from deocc_bench.core.results import PREDICTIONS_FOLDER
from deocc_bench.core.types import Prediction

HEADER_FILE = "run.json"
ERROR_FILE = "error.txt"
DRAW_PREFIX = "draw-"
# Kind -> the field of `Prediction`. The kind that a task asks for is written last: it says that the sample is whole.
KINDS = {"parsing": "parsing", "modal": "modal", "masks": "amodal", "images": "image"}
REQUIRED = {"mask": ("masks",), "content": ("images",), "joint": ("masks", "images")}
_PALETTE = LIP.palette()
_MODES = {"masks": ("L", "1"), "modal": ("L", "1"), "parsing": ("L",), "images": ("RGB",)}


class PredictionFolder:
    """A prediction folder on disk."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, kind: str, sample_id: str) -> Path:
        """Where one file lies; `kind` is a key of `KINDS`."""
        return self.root / kind / f"{sample_id}.png"

    def write(self, prediction: Prediction) -> None:
        """Write what the prediction has; each file is whole or absent, the one that the task asks for comes last."""
        for kind, field in KINDS.items():
            array = getattr(prediction, field)
            if array is not None:
                images.write_png(self.path(kind, prediction.sample_id), array, _PALETTE if kind == "parsing" else None)

    def holds(self, sample_id: str, task: str) -> bool:
        """Whether the sample is finished."""
        return all(self.path(kind, sample_id).is_file() for kind in REQUIRED[task])

    def read(self, sample_id: str, size: tuple[int, int], task: str) -> Prediction:
        """One prediction with what the task scores.

        Args:
            size: (height, width) it must have.

        Raises:
            InputError: missing, unreadable, soft, of another size, or with ids outside LIP.
        """
        found: dict[str, np.ndarray] = {}
        for kind in ("masks", "modal", "parsing"):
            path = self.path(kind, sample_id)
            if task != "content" and (kind == "masks" or path.is_file()):
                labels = images.read_indices(path)
                _check_size(path, labels.shape, size)
                if kind == "parsing":
                    _check_labels(path, labels)
                    found[kind] = labels
                else:
                    found[KINDS[kind]] = _binary(path, labels)
        if task != "mask":
            path = self.path("images", sample_id)
            found["image"] = images.read_rgb(path)
            _check_size(path, found["image"].shape[:2], size)
        return Prediction(sample_id, **found)

    def clear(self, sample_ids: Iterable[str]) -> None:
        """Remove the files of samples that are not finished, so that an old optional file can't stay behind."""
        for sample_id in sample_ids:
            for kind in KINDS:
                self.path(kind, sample_id).unlink(missing_ok=True)


def folder_of(path: str | Path) -> Path:
    """The prediction folder that a user means: that of a run, if `path` is a run, else `path` itself."""
    inside = Path(path) / PREDICTIONS_FOLDER
    return inside if inside.is_dir() else Path(path)


def draw_folders(root: str | Path) -> list[Path]:
    """The folders of a random method's draws, in order; none for other methods."""
    return sorted(p for p in Path(root).glob(f"{DRAW_PREFIX}*") if p.is_dir())


def describe(finding: Finding) -> str:
    """A finding on one line."""
    return f"{finding.kind}: {finding.sample}: {finding.detail}"


def lint(
    root: str | Path, records: Sequence[SampleRecord], task: str, wanted: Iterable[str] | None = None
) -> list[Finding]:
    """Everything that is wrong with a prediction folder: findings with `error` can't be scored, the others are odd.

    A random method's draws are looked at one by one; two draws may well agree.

    Kinds: missing, extra, twice, size, palette, soft, channels, label, unreadable, suffix; empty, duplicate, unknown.

    Args:
        records: all samples of the split.
        task: says which kinds must be there.
        wanted: only these ids must be there; None: all.
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


def read_coco_results(path: str | Path, records: Sequence[SampleRecord], out: PredictionFolder) -> None:
    """Write the masks of a COCO results file as a prediction folder.

    Each entry holds `segmentation` (RLE or polygons: the amodal mask), maybe `visible_mask` (the modal one), and
    `sample_id` or `image_id` (which must then show one sample).

    Raises:
        InputError: not such a list, an id that the split lacks, two results for one sample, or a wrong size.
    """
    entries = read_json(path)
    cure = "give a JSON list of {image_id or sample_id, segmentation}"
    if not isinstance(entries, list):
        raise InputError(path, "no COCO results: the file holds no list", cure)
    by_sample = {r.id: r for r in records}
    by_image: dict[Any, list[SampleRecord]] = {}
    for r in records:
        by_image.setdefault(r.image["id"], []).append(r)
    found: dict[str, tuple[masks.RLE, masks.RLE | None]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "segmentation" not in entry:
            raise InputError(path, f"entry {number} has no segmentation", cure)
        record = _matched(path, number, entry, by_sample, by_image)
        if record.id in found:
            raise InputError(path, f"sample {record.id!r} has two results (entry {number})", "keep one a sample")
        try:
            amodal, modal = (
                None if entry.get(key) is None else masks.from_coco(entry[key], *record.size)
                for key in ("segmentation", "visible_mask")
            )
            if amodal is None:
                raise DeoccError("its segmentation is null")
        except (DeoccError, ValueError, TypeError) as error:
            raise InputError(path, f"sample {record.id!r} (entry {number}): {error}", "write the mask anew") from error
        found[record.id] = amodal, modal
    # Nothing is written before all is read: a broken file leaves no half a run behind.
    for sample_id, (amodal, modal) in found.items():
        out.write(Prediction(sample_id, masks.decode(amodal), None if modal is None else masks.decode(modal)))


def _matched(
    path: str | Path,
    number: int,
    entry: dict[str, Any],
    by_sample: dict[str, SampleRecord],
    by_image: dict[Any, list[SampleRecord]],
) -> SampleRecord:
    for key, kind in (("sample_id", str), ("image_id", str | int)):
        if key in entry and not isinstance(entry[key], kind):
            raise InputError(path, f"entry {number}: {key} is {entry[key]!r}", "write the id as the dataset has it")
    if "sample_id" in entry:
        if entry["sample_id"] not in by_sample:
            raise InputError(path, f"entry {number}: the split has no sample {entry['sample_id']!r}", "check the split")
        return by_sample[entry["sample_id"]]
    found = by_image.get(entry.get("image_id"), [])
    if not found:
        raise InputError(path, f"entry {number}: the split has no image {entry.get('image_id')!r}", "check the split")
    if len(found) > 1:
        raise InputError(
            path,
            f"entry {number}: image {entry['image_id']} shows {len(found)} samples",
            "name the sample by sample_id",
        )
    return found[0]


def _lint_kind(
    root: Path, kind: str, by_id: Mapping[str, SampleRecord], needed: Sequence[str], required: bool
) -> list[Finding]:
    folder = root / kind
    paths = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")] if folder.is_dir() else []
    stems = [p.stem for p in paths]
    findings = [f for f in lint_ids(by_id, stems) if f.kind != "missing" or f.sample in needed]
    # Optional kinds may be there for some samples only: then their metrics are defined for fewer.
    findings = [replace(f, error=required) if f.kind == "missing" else f for f in findings]
    contents: dict[str, list[str]] = {}
    for path in paths:
        if path.stem in by_id:
            found, pixels = _lint_file(path, kind, by_id[path.stem].size)
            findings += found
            # Pixels, not bytes: two programs write one picture differently. Two empty masks are no copy of each other.
            if pixels is not None and pixels.any():
                contents.setdefault(digest(pixels), []).append(path.name)
    for first, *others in contents.values():
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            detail = f"is the same, pixel for pixel, as {', '.join(others[:3])}{more}"
            findings.append(Finding("duplicate", first, detail, False))
    return [replace(f, sample=f"{kind}/{f.sample}") for f in findings]


def _lint_file(path: Path, kind: str, size: tuple[int, int]) -> tuple[list[Finding], np.ndarray | None]:
    """What is wrong with one file, and its pixels where they can be read."""
    if path.suffix != ".png":
        return [Finding("suffix", path.name, "only .png is read; save it lossless as PNG", True)], None
    try:
        images.check_complete(path)
        with Image.open(path) as im:
            mode = im.mode
            pixels = np.asarray(im)
    except (DeoccError, OSError, SyntaxError) as error:
        return [Finding("unreadable", path.name, f"{getattr(error, 'problem', error)}; write it anew", True)], None
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
        detail = f"is {pixels.shape[0]} x {pixels.shape[1]}, the image {size[0]} x {size[1]}; predict at its size"
        return [Finding("size", path.name, detail, True)]
    if kind == "images" and mode == "P":
        return [Finding("palette", path.name, "is a palette PNG, which has 256 colours at most; write RGB", False)]
    if kind == "parsing" and int(pixels.max()) >= LIP.size:
        return [Finding("label", path.name, f"holds id {pixels.max()}; LIP ids are 0 to {LIP.size - 1}", True)]
    return []


def _binary(path: Path, levels: np.ndarray) -> np.ndarray:
    mask = levels > 0
    high = int(levels.max())
    if high not in (0, 1, 255) or not np.array_equal(levels, mask * np.uint8(high)):
        raise InputError(path, "a soft mask", "threshold it and write 0 and 255")
    return mask


def _check_size(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if tuple(shape) != tuple(size):
        raise InputError(
            path, f"is {shape[0]} x {shape[1]}, but the sample is {size[0]} x {size[1]}", "predict at the sample's size"
        )


def _check_labels(path: Path, labels: np.ndarray) -> None:
    if int(labels.max()) >= LIP.size:
        raise InputError(path, f"label id {int(labels.max())} is not in LIP (0 to {LIP.size - 1})", "write LIP ids")
