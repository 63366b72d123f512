"""`export --format webdataset`: tar shards `<dataset>-<split>-000000.tar`, byte-identical for the same dataset.

The members of a sample share a basename: `<sample>.image.<png|jpg>`, `.amodal.png`, `.modal.png` and, if available,
`.initial.png`, `.complete.*`, `.parsing.png`; `.json` contains the COCO image and annotation, with exact RLE. The
parsing is a grey PNG of LIP ids: decoders of the library `webdataset` replace the indices of a palette by its colours.
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
from deocc_bench.exchange.exporters.fields import new_folder, picture, sample_of

_LONGEST_NAME = 230  # bytes of dataset and split: with number, suffix and temporary prefix, 255 at most


def export(dataset: DatasetReader, splits: Sequence[str], out: Path, *, shard_size: int = 1000) -> list[Path]:
    """Write the shards into the folder `out` and return their paths.

    Args:
        shard_size: samples per shard.

    Raises:
        InputError: two sample ids differ only in dots, which a basename can't contain, or a file is not an image.
        UsageError: the folder is not empty.
        DeoccError: the disk is full or the folder is not writable.
    """
    with new_folder(out):
        return _export(dataset, splits, out, shard_size)


def _export(dataset: DatasetReader, splits: Sequence[str], out: Path, shard_size: int) -> list[Path]:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", dataset.name) or "dataset"
    written = []
    for split in splits:
        title = f"{name[: _LONGEST_NAME - len(split.encode())]}-{split}"
        records = list(dataset.records(split))
        if len({_key(r) for r in records}) < len(records):
            raise InputError(
                dataset.root, "sample ids that differ only in dots have the same name in a tar file", "rename them"
            )
        for number, start in enumerate(range(0, len(records), shard_size)):
            path = out / f"{title}-{number:06d}.tar"
            _write(path, records[start : start + shard_size])
            written.append(path)
    return written


def _write(path: Path, records: Sequence[SampleRecord]) -> None:
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # For names of up to 100 ASCII characters, the format writes the same bytes as USTAR.
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            for record in records:
                for suffix, data in _members(record):
                    # The defaults of TarInfo are deterministic: time, user and group 0, mode 644.
                    info = tarfile.TarInfo(f"{_key(record)}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _members(record: SampleRecord) -> Iterator[tuple[str, bytes]]:
    for name, path in {"image": record.image_path, "complete": record.complete_path}.items():
        if path is not None:
            suffix, data = picture(path)
            yield f"{name}{suffix}", data
    if record.parsing_path is not None:
        yield "parsing.png", images.encode_png(images.read_indices(record.parsing_path))
    for name, rle in (("amodal", record.amodal), ("modal", record.modal), ("initial", record.initial)):
        if rle is not None:
            with sample_of(record):
                mask = masks.decode(rle)
            yield f"{name}.png", images.encode_png(mask)
    content = as_line(record.photo, record.truth, record.split)
    yield "json", dump_json(content, indent=None).encode()


def _key(record: SampleRecord) -> str:
    # Readers cut a member's name at its first dot.
    return record.id.replace(".", "_")
