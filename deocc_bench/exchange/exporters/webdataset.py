"""`export --format webdataset`: tar shards `<dataset>-<split>-000000.tar`, byte-identical for the same dataset.

The members of a sample share a basename: `<sample>.image.<png|jpg>`, `.amodal.png`, `.modal.png` and, if available,
`.initial.png`, `.complete.*`, `.parsing.png`; `.json` contains the COCO image and annotation, with exact RLE.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.dataset_writer import as_line
from deocc_bench.core.errors import InputError
from deocc_bench.core.files import write_error
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.lock import AGAIN, output_folder


def export(dataset: DatasetReader, splits: Sequence[str], out: Path, *, shard_size: int = 1000) -> list[Path]:
    """Write the shards into the folder `out` and return their paths.

    Args:
        shard_size: samples per shard.

    Raises:
        InputError: two sample ids differ only in dots, which a basename can't contain.
        DeoccError: the disk is full, the folder is not writable, or another run uses it.
    """
    with output_folder(out, AGAIN, within=()):
        return _export(dataset, splits, out, shard_size)


def _export(dataset: DatasetReader, splits: Sequence[str], out: Path, shard_size: int) -> list[Path]:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset.name) or "dataset"
    written = []
    for split in splits:
        records = list(dataset.records(split))
        if len({_key(r) for r in records}) < len(records):
            raise InputError(
                dataset.root, "sample ids that differ only in dots have the same name in a tar file", "rename them"
            )
        for number, start in enumerate(range(0, len(records), shard_size)):
            path = out / f"{name}-{split}-{number:06d}.tar"
            _write(path, records[start : start + shard_size])
            written.append(path)
    return written


def _write(path: Path, records: Sequence[SampleRecord]) -> None:
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for record in records:
                for suffix, data in _members(record):
                    # The defaults of TarInfo are deterministic: time, user and group 0, mode 644.
                    info = tarfile.TarInfo(f"{_key(record)}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def _members(record: SampleRecord) -> Iterator[tuple[str, bytes]]:
    files = {"image": record.image_path, "complete": record.complete_path, "parsing": record.parsing_path}
    for name, path in files.items():
        if path is not None:
            images.check_complete(path)
            yield f"{name}{path.suffix.lower()}", path.read_bytes()
    for name, rle in (("amodal", record.amodal), ("modal", record.modal), ("initial", record.initial)):
        if rle is not None:
            yield f"{name}.png", images.encode_png(masks.decode(rle))
    content = as_line(record.photo, record.truth, record.split)
    yield "json", dump_json(content, indent=None).encode()


def _key(record: SampleRecord) -> str:
    # Readers cut a member's name at its first dot.
    return record.id.replace(".", "_")
