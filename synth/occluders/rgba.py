"""`rgba:DIR`: a folder of cut-outs with soft alpha, PNG or WebP."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.errors import InputError, one_line
from deocc_bench.core.json_files import checked, is_text, read_json, require_object
from deocc_bench.core.paths import check_inside, safe_id
from deocc_bench.core.reading import read_file
from deocc_bench.core.types import Occluder
from deocc_bench.synth.occluders.base import require_path, summary

_MIN_AREA = 1000  # pixels with an alpha of at least 0.5
_SUFFIXES = (".png", ".webp")
_LONGEST = 1000  # characters of a category or licence
_CURE = 'write {"category": "...", "licence": "..."}'


class _About(msgspec.Struct):
    """The JSON file beside a cut-out; other fields are ignored."""

    category: str | None = None
    licence: str | None = None
    license: str | None = None


def open_source(argument: str, skip_bad: bool = False, **_: Any) -> RgbaOccluders:
    """Open the folder `argument`."""
    require_path(argument, "rgba:DIR")
    return RgbaOccluders(Path(argument), skip_bad=skip_bad)


class RgbaOccluders:
    """The cut-outs of a folder; each is its own group.

    A file `<stem>.json` next to a cut-out can set its `category` and `licence`. Otherwise the category is the stem
    without its digits, and the licence is the first line of the folder's LICENSE file.

    Args:
        folder: contains the files; sub-folders and hidden files are ignored.
        skip_bad: reject broken files instead of raising.

    Raises:
        InputError: the folder is missing, a file is broken, or two files have the same stem.
    """

    kind = "rgba"

    def __init__(self, folder: Path, skip_bad: bool = False) -> None:
        if not folder.is_dir():
            raise InputError(folder, "no such folder", "write rgba:DIR with a folder of PNG or WebP cut-outs")
        self.folder = folder
        self._default_licence = _folder_licence(folder)
        self._paths: dict[str, Path] = {}
        self._about: dict[str, dict[str, str]] = {}
        self._rejected: list[tuple[str, str]] = []
        seen: dict[str, str] = {}
        for path in _listed(folder):
            if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
                continue
            occluder_id = f"rgba-{one_line(path.stem)}"
            if occluder_id in seen:
                raise InputError(path, f"has the same stem as {seen[occluder_id]}", "rename one of the two")
            seen[occluder_id] = path.name
            try:
                safe_id(path.stem, path, "name")
                check_inside(folder, path)
                reason = _reject(images.read_rgba(path)[..., 3])
                about = self._read_about(path)
            except InputError as error:
                if not skip_bad:
                    raise
                reason, about = f"bad file ({one_line(error.problem, 300)})", {}
            if reason:
                self._rejected.append((occluder_id, reason))
            else:
                self._paths[occluder_id], self._about[occluder_id] = path, about

    def ids(self) -> list[str]:
        """The ids of all accepted cut-outs, sorted."""
        return sorted(self._paths)

    def group_of(self, occluder_id: str) -> str:
        """The cut-out itself."""
        return occluder_id

    def category_of(self, occluder_id: str) -> str:
        """The category from the JSON file, or the stem without digits."""
        return self._about[occluder_id]["category"]

    def rejected(self) -> list[tuple[str, str]]:
        """(id, reason), sorted."""
        return sorted(self._rejected)

    def describe(self) -> dict[str, Any]:
        """Counts, licences and the folder name."""
        return summary(self, Counter(a["licence"] for a in self._about.values()), folder=self.folder.name)

    def load(self, occluder_id: str) -> Occluder:
        """The cut-out, cropped to the pixels that are not transparent."""
        rgba = images.read_rgba(self._paths[occluder_id])
        x0, y0, x1, y1 = masks.tight_box(rgba[..., 3] > 4) or (0, 0, 0, 0)
        rgba = rgba[y0:y1, x0:x1]
        return Occluder(
            id=occluder_id,
            group_id=occluder_id,
            image=np.ascontiguousarray(rgba[..., :3]),
            alpha=rgba[..., 3].astype(np.float32) / np.float32(255),
            category=self.category_of(occluder_id),
            licence=self._about[occluder_id]["licence"],
            source=self.kind,
        )

    def _read_about(self, path: Path) -> dict[str, str]:
        beside = path.with_suffix(".json")
        about = _About()
        if beside.exists():
            check_inside(self.folder, beside)
            about = checked(require_object(read_json(beside), beside, _CURE), _About, beside, _CURE)
        for field, value in msgspec.structs.asdict(about).items():
            if value is not None and not (is_text(value, _LONGEST) and value.strip()):
                raise InputError(beside, f"{field}: not a text that can be used, {one_line(repr(value), 80)}", _CURE)
        stem = "".join(c for c in path.stem if not c.isdigit()).strip("-_ .").lower()
        return {
            "category": about.category or stem or "object",
            "licence": about.licence or about.license or self._default_licence,
        }


def _reject(alpha: np.ndarray) -> str | None:
    solid = int(np.count_nonzero(alpha >= 128))
    if solid < _MIN_AREA:
        return f"too small ({solid} px with alpha of at least 0.5)"
    if alpha.min() == 255:
        return "not cut out (no pixel is transparent)"
    return None


def _folder_licence(folder: Path) -> str:
    """The first line of the folder's LICENSE file."""
    for path in _listed(folder):
        if path.stem.upper() in ("LICENSE", "LICENCE") and path.is_file():
            check_inside(folder, path)
            lines = read_file(path).decode("utf-8", "replace").splitlines() if path.stat().st_size else []
            return next((one_line(line.strip("# ").strip()) for line in lines if line.strip("# ")), "not stated")
    return "not stated"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(folder, f"can't be read ({error.strerror})", "check its permissions") from error
