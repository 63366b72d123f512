"""Writes a dataset folder: pixels sample by sample, then annotations, then `dataset.json`, which marks it finished."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.annotation import Annotation, ImageEntry, OccluderEntry
from deocc_bench.core.dataset import INFO_FILE, SCHEMA_VERSION, annotation_path, fingerprint, sample_digest
from deocc_bench.core.errors import InvariantError
from deocc_bench.core.files import atomic_write, write_error
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.labels import LIP
from deocc_bench.core.provenance import versions
from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import PlacedOccluder, Sample

# {"image": COCO image, "annotation": COCO annotation, "split": str}: the entry of a sample in a shard.
Line = dict[str, Any]

_LIP_PALETTE = LIP.palette()


def stable_id(sample_id: str) -> int:
    """A COCO id that depends only on the sample, so adding a photo renumbers nothing. 52 bits: exact in JSON."""
    return hash64("coco-id", sample_id) >> 12


class Encoded:
    """Cache of the encoded images of the last sample. Variants of one human often share the same array for the complete
    image and the parsing, which is then encoded only once.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[np.ndarray, bytes]] = {}

    def png(self, folder: str, array: np.ndarray) -> bytes:
        """Return `array` encoded as PNG, for an image in `folder`."""
        last = self._last.get(folder)
        if last is None or last[0] is not array:
            last = (array, images.encode_png(array, _LIP_PALETTE if folder == "parsing" else None))
            self._last[folder] = last
        return last[1]


def write_sample(
    root: str | Path,
    sample: Sample,
    licence: str = "",
    extra: Mapping[str, Any] | None = None,
    encoded: Encoded | None = None,
) -> Line:
    """Write the images of a sample below `root` and return its records.

    Args:
        sample: the sample to write.
        licence: licence of the photo of the human.
        extra: further annotation fields, JSON-serialisable.
        encoded: cache shared by the samples of a human, which avoids encoding the same array twice. The arrays must
            not be modified between calls.

    Raises:
        DeoccError: the disk is full or the folder is not writable.
    """
    root = Path(root)
    encoded = encoded or Encoded()
    names: dict[str, str] = {}
    pictures = {"images": sample.image, "complete": sample.complete, "parsing": sample.parsing}
    for folder, array in pictures.items():
        if array is not None:
            names[folder] = f"{folder}/{sample.split}/{sample.id}.png"
            atomic_write(root / names[folder], encoded.png(folder, array))
    image, annotation = describe(sample, licence, names, extra)
    digest = sample_digest(
        annotation, sample.split, image=sample.image, complete=sample.complete, parsing=sample.parsing
    )
    return as_line(image, replace(annotation, digest=digest), sample.split)


def describe(
    sample: Sample, licence: str, names: Mapping[str, str], extra: Mapping[str, Any] | None = None
) -> tuple[ImageEntry, Annotation]:
    """Return the image entry and the annotation of a sample, without the digest.

    Args:
        names: file names relative to the dataset, by folder ("images", "complete", "parsing").
        extra: further annotation fields, JSON-serialisable.

    Raises:
        InputError: a known field in `extra` has the wrong type.
    """
    height, width = sample.amodal.shape
    number = stable_id(sample.id)
    annotation = Annotation.of_masks(
        id=number,
        image_id=number,
        sample_id=sample.id,
        human_id=sample.human_id,
        variant=sample.variant,
        amodal=masks.encode(sample.amodal),
        modal=masks.encode(sample.modal),
        invisible=masks.encode(sample.invisible),
        initial=None if sample.initial is None else masks.encode(sample.initial),
        occluders=tuple(_entry(o) for o in sample.occluders),
        provenance=dict(sample.provenance),
    )
    image = ImageEntry(
        id=number,
        file_name=names["images"],
        height=height,
        width=width,
        group_id=sample.group_id,
        licence=licence,
        complete_file_name=names.get("complete"),
        parsing_file_name=names.get("parsing"),
    )
    return image, annotation.updated(extra or {}, f"sample {sample.id}")


def _entry(occluder: PlacedOccluder) -> OccluderEntry:
    return OccluderEntry(
        id=occluder.id,
        group_id=occluder.group_id,
        category=occluder.category,
        order=occluder.order,
        behind=occluder.behind,
        licence=occluder.licence,
        segmentation=masks.encode(occluder.mask),
    )


def as_line(image: ImageEntry, annotation: Annotation, split: str) -> Line:
    """Return the shard entry of a sample."""
    return {"image": image.to_json(), "annotation": annotation.to_json(), "split": split}


def write_annotations(
    root: str | Path, split: str, lines: Callable[[], Iterable[Line]], info: Mapping[str, Any]
) -> None:
    """Write the COCO file of one split, one record per line, in constant memory.

    Args:
        lines: returns an iterable over the lines of the split in sorted order. It is called twice: once for the images
            and once for the annotations.
        info: the `info` object of the file.

    Raises:
        InvariantError: two annotations have the same COCO id, or an annotation has no image.
        DeoccError: the disk is full or the folder is not writable.
    """
    path = annotation_path(root, split)
    temporary = path.with_name(f".tmp-{path.name}")
    seen: set[int] = set()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as f:
            f.write(f'{{"info": {_compact(info)},\n"licenses": [],\n"categories": [{{"id": 1, "name": "person"}}],\n')
            f.write('"images": [')
            separator = "\n"
            for line in lines():
                if line["image"]["id"] in seen:
                    continue
                seen.add(line["image"]["id"])
                f.write(separator + _compact(line["image"]))
                separator = ",\n"
            f.write('\n],\n"annotations": [')
            separator, numbers = "\n", set[int]()
            for line in lines():
                number = line["annotation"]["id"]
                if number in numbers or line["annotation"]["image_id"] not in seen:
                    raise InvariantError(f"{path}: two annotations have id {number}, or its image is missing")
                numbers.add(number)
                f.write(separator + _compact(line["annotation"]))
                separator = ",\n"
            f.write("\n]}\n")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def finish(
    root: str | Path,
    name: str,
    lines: Mapping[str, Callable[[], Iterable[Line]]],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """Write all annotations, then `dataset.json`, and return its content.

    Args:
        lines: for each split, a function that returns its lines in sorted order.
        info: further fields: the spec, the seed, sources, statistics.
    """
    digests: list[tuple[str, str]] = []
    counts: dict[str, dict[str, int]] = {}
    licences: Counter[str] = Counter()
    for split in sorted(lines):
        groups: set[str] = set()
        humans: set[str] = set()
        n = 0
        for line in lines[split]():
            n += 1
            groups.add(line["image"]["group_id"])
            humans.add(line["annotation"]["human_id"])
            digests.append((line["annotation"]["sample_id"], line["annotation"]["digest"]))
            licences[line["image"]["licence"]] += 1
            licences.update(o["licence"] for o in line["annotation"]["occluders"])
        counts[split] = {"samples": n, "humans": len(humans), "groups": len(groups)}
    # A dataset is identified by its content, not by when or where it was made: no date, host or absolute path.
    content = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "fingerprint": fingerprint(digests),
        "counts": counts,
        "splits": sorted(lines),
        "licences": dict(sorted(licences.items())),
        "versions": versions(),
        **info,
    }
    for split in sorted(lines):
        write_annotations(root, split, lines[split], {"description": name, "split": split})
    text = dump_json(content)
    atomic_write(Path(root) / INFO_FILE, text)
    # Return what a reader will load, so that a card or preview made now equals one made later.
    return json.loads(text)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
