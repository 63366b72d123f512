"""The journal of a run: which samples are finished, with the digests of the files that were read and written.

A resumed run keeps a prediction only if it still is what was written, made from what still is in the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write, write_error
from deocc_bench.core.predictions import KINDS, PredictionFolder
from deocc_bench.core.reading import Digests, file_digest

JOURNAL_FILE = ".journal.jsonl"

# (number of the draw or None, sample id)
Key = tuple[int | None, str]


class Journal:
    """The journal in a prediction folder; one line per finished sample and draw.

    Args:
        root: the prediction folder of the run, with the draws of a random method below it.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / JOURNAL_FILE
        self.entries: dict[Key, Mapping[str, Any]] = dict(_entries(self.path))

    def unfinished(
        self, records: Sequence[SampleRecord], folder: PredictionFolder, task: str, draw: int | None
    ) -> tuple[list[SampleRecord], list[str]]:
        """The samples to predict, and the ids of those whose prediction was changed after it was written.

        Raises:
            InputError: a file of the dataset was changed after a finished prediction had been made from it.
        """
        missing, spoilt = [], []
        for record in records:
            entry = self.entries.get((draw, record.id))
            if entry is None or not folder.holds(record.id, task):
                missing.append(record)
                continue
            for name, value in entry["inputs"].items():
                if file_digest(record.root / name) != value:
                    problem = "was changed or removed after predictions of this run had been made from it"
                    raise InputError(record.root / name, problem, "restore it, or choose another --out")
            if _written(folder, record.id) != entry["files"]:
                missing.append(record)
                spoilt.append(record.id)
        return missing, spoilt

    def begin(self, draw: int | None, missing: Iterable[SampleRecord]) -> None:
        """Forget the samples that are predicted (again)."""
        before = len(self.entries)
        for record in missing:
            self.entries.pop((draw, record.id), None)
        if self.path.exists() or len(self.entries) < before:
            # Rewritten as a whole: the last line of a killed run may be incomplete.
            atomic_write(self.path, "".join(_line(key, entry) for key, entry in self.entries.items()))

    def add(self, draw: int | None, records: Iterable[SampleRecord], read: Digests, folder: PredictionFolder) -> None:
        """Add finished samples.

        Args:
            read: the files that were read for them: path -> digest.

        Raises:
            FaultError: the disk is full.
        """
        lines = []
        for record in records:
            paths = [record.image_path, *([record.parsing_path] if record.parsing_path else [])]
            inputs = {str(p.relative_to(record.root)): read[str(p)] for p in paths if str(p) in read}
            entry = {"inputs": inputs, "files": _written(folder, record.id)}
            self.entries[draw, record.id] = entry
            lines.append(_line((draw, record.id), entry))
        try:
            with open(self.path, "a", encoding="utf-8") as f:
                f.write("".join(lines))
        except OSError as error:
            raise write_error(self.path, error) from error


def _written(folder: PredictionFolder, sample_id: str) -> dict[str, str]:
    digests = {kind: file_digest(folder.path(kind, sample_id)) for kind in KINDS}
    return {kind: value for kind, value in digests.items() if value}


def _line(key: Key, entry: Mapping[str, Any]) -> str:
    return json.dumps({"draw": key[0], "id": key[1], **entry}, sort_keys=True) + "\n"


def _entries(path: Path) -> Iterable[tuple[Key, Mapping[str, Any]]]:
    """The complete lines; others are as if they had not been written, so their samples are predicted again."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            value = json.loads(line)
            key = (value["draw"], str(value["id"]))
            yield key, {part: {str(k): str(v) for k, v in value[part].items()} for part in ("inputs", "files")}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
