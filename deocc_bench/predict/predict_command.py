"""`deocc-bench predict`: the people of a user's own photo, from files to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from PIL import Image

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.files import atomic_write, dump_json
from deocc_bench.core.painting import FOUND, NOTHING, SEEN, paint_layer
from deocc_bench.core.window import window
from deocc_bench.methods.devices import device_option
from deocc_bench.methods.loading import load_method, parse_options
from deocc_bench.methods.method import Method
from deocc_bench.predict.recovery import Recovery, check_fits, recover_person, together

_CELL = 320
_CAPTION = 22
_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def read_photo(path: str | Path) -> np.ndarray:
    """The photo as viewers show it, uint8 H x W x 3: turned upright where its EXIF data says so.

    Raises:
        InputError: missing, not an image, or cut off.
    """
    photo = _read(images.read_rgb, path)
    with Image.open(path) as im:
        turn = _UPRIGHT.get(im.getexif().get(_EXIF_ORIENTATION, 1))
    return photo if turn is None else np.ascontiguousarray(turn(photo))


def read_mask(path: str | Path, photo: np.ndarray) -> np.ndarray:
    """A person's mask for `photo`, bool H x W: white (soft edges from half on) or the only label is the person.

    Raises:
        InputError: missing, colours, several labels, another size than the photo, or nobody in it.
    """
    try:
        labels = images.read_indices(path)
    except InputError:
        # Painting programs save black and white as RGB.
        rgb = _read(images.read_rgb, path)
        if np.any(rgb != rgb[..., :1]):
            cure = "save it as black and white, white on the person"
            raise InputError(path, "a colour picture, not a mask", cure) from None
        labels = rgb[..., 0]
    (height, width), (mask_height, mask_width) = photo.shape[:2], labels.shape
    if labels.shape != photo.shape[:2]:
        cure = "draw it on the photo at its full size"
        if labels.shape == photo.shape[1::-1]:
            cure = "turn it upright, as the photo's EXIF data turns the photo"
        problem = f"the mask is {mask_width} x {mask_height}, but the photo is {width} x {height}"
        raise InputError(path, problem, cure)
    if not labels.any():
        raise InputError(path, "the mask is empty", "draw the visible part of the person in white")
    values = np.unique(labels[labels > 0])
    if len(values) == 1:
        return labels > 0
    if values[-1] < 128:
        raise InputError(path, f"holds {len(values)} labels", "give one mask a person, each with its own --mask")
    return labels >= 128


def panel(photo: np.ndarray, person: Recovery, cell: int = _CELL) -> np.ndarray:
    """A row of captioned pictures about the person, uint8: photo, visible and hidden part, recovered, cut-out."""
    box = masks.tight_box(person.amodal)
    assert box is not None
    about = window(box)
    here = np.s_[max(0, about.y) : about.y + about.side, max(0, about.x) : about.x + about.side]
    scene, amodal = photo[here], person.amodal[here]
    layer = np.where(person.modal[here], np.uint8(SEEN), np.where(amodal, np.uint8(FOUND), np.uint8(NOTHING)))
    row = [("photo", scene), ("visible and hidden", paint_layer(scene, layer))]
    if person.image is not None:
        recovered = person.image[here]
        y, x = np.indices(amodal.shape) * 16 // max(amodal.shape)
        board = np.where((x + y) % 2 == 0, np.uint8(225), np.uint8(250))[..., None]
        row += [("recovered", recovered), ("whole person", np.where(amodal[..., None], recovered, board))]
    return np.concatenate([_captioned(caption, picture, cell) for caption, picture in row], axis=1)


@click.command(short_help="De-occlude the people of your own photo.")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--mask", "mask_files", multiple=True, type=click.Path(path_type=Path), help="One visible person.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@click.option("--method", "spec", default="two-stage", show_default=True, help="As for `evaluate`: name[:preset], ...")
@click.option("--exact", is_flag=True, help="The masks are exact: do not refine them, never paint over them.")
@click.option("--amodal", "whole_files", multiple=True, type=click.Path(path_type=Path), help="The whole person.")
@click.option(
    "--occluder",
    "hiding_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What hides them: paint only here.",
)
@click.option("--size", type=click.IntRange(32), default=256, show_default=True, help="Side at which the method works.")
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for the method's constructor.")
@device_option()
@click.option("--fit-data", type=click.Path(path_type=Path), help="Dataset folder, for methods that learn.")
@click.option("--fit-split", default="train", show_default=True, help="Its split.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random methods.")
@click.option("--json", "as_json", is_flag=True, help="Print the content of predict.json.")
def predict(
    photo: Path,
    mask_files: tuple[Path, ...],
    out: Path,
    spec: str,
    exact: bool,
    whole_files: tuple[Path, ...],
    hiding_files: tuple[Path, ...],
    size: int,
    options: tuple[str, ...],
    device: str,
    fit_data: Path | None,
    fit_split: str,
    seed: int,
    as_json: bool,
) -> None:
    """De-occlude the people of your own photo.

    Repeat --mask for several people: each is a PNG of the photo's size, white where the person is seen. With --amodal,
    once for each --mask, the whole person is given too and only their content is recovered. --occluder is what stands
    in front of them: nothing is painted elsewhere.

    Writes amodal.png, modal.png, invisible.png, recovered.png, cutout.png (RGBA, cut to the person's box), panel.png
    and predict.json; of several people into person-1, person-2, ..., with the picture of all in recovered.png.
    """
    if not mask_files:
        raise UsageError(
            "nobody is marked in the photo, and no detector is built in; give --mask MASK: a PNG of the photo's size, "
            "white where the person is seen, from any segmentation tool or painted by hand"
        )
    if whole_files and len(whole_files) != len(mask_files):
        raise UsageError(f"{len(mask_files)} --mask and {len(whole_files)} --amodal; give one --amodal for each --mask")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: not an empty folder; choose another --out")
    picture = read_photo(photo)
    seen = [read_mask(path, picture) for path in mask_files]
    hiding = [read_mask(path, picture) for path in hiding_files]
    wholes: list[np.ndarray | None] = [read_mask(path, picture) for path in whole_files]
    method = _load(spec, options, device, fit_data, fit_split, bool(whole_files))
    people = [
        recover_person(
            method,
            picture,
            mask,
            size=size,
            exact=exact,
            whole=whole,
            hiding=np.logical_or.reduce(hiding) if hiding else None,
            seed=seed,
        )
        for mask, whole in zip(seen, wholes or [None] * len(seen), strict=True)
    ]
    report: dict[str, Any] = {
        "photo": photo.name,
        "size": [picture.shape[1], picture.shape[0]],
        "method": method.describe(),
        "working_size": size,
        "exact": exact,
        "seed": seed,
        "people": [
            _write(out / f"person-{i}" if len(people) > 1 else out, path, picture, person)
            for i, (path, person) in enumerate(zip(mask_files, people, strict=True), 1)
        ],
    }
    if len(people) > 1:
        if method.can("recover"):
            images.write_png(out / "recovered.png", together(picture, people, seen))
        images.write_png(out / "panel.png", np.concatenate([panel(picture, person) for person in people]))
    atomic_write(out / "predict.json", dump_json(report))
    if as_json:
        click.echo(dump_json(report), nl=False)
        return
    for entry in report["people"]:
        click.echo(f"{entry['mask']}: {entry['hidden_share']:.1%} of the person is hidden, by {method.name}")
        for note in entry["notes"]:
            click.echo(f"  note: {note}")
    click.echo(f"look at {out / 'panel.png'}")


def _captioned(caption: str, picture: np.ndarray, cell: int) -> np.ndarray:
    """The picture fitted into a white square below its caption."""
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    framed = np.full((cell + _CAPTION, cell, 3), 255, np.uint8)
    y, x = _CAPTION + (cell - size[1]) // 2, (cell - size[0]) // 2
    framed[y : y + size[1], x : x + size[0]] = fitted
    cv2.putText(framed, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return framed


def _load(
    spec: str, options: Sequence[str], device: str, fit_data: Path | None, fit_split: str, whole_known: bool
) -> Method:
    method = load_method(spec, parse_options(options), device)
    check_fits(method, whole_known)
    if "fit" in method.all_needs:
        if fit_data is None:
            raise UsageError(
                f"method {method.name!r} learns from a dataset; give --fit-data DIR (`deocc-bench synth` makes one)"
            )
        method.fit(DatasetReader(fit_data), fit_split)
    elif fit_data is not None:
        raise UsageError(f"method {method.name!r} does not learn; leave out --fit-data")
    return method


def _write(folder: Path, mask_file: Path, photo: np.ndarray, person: Recovery) -> dict[str, Any]:
    """Write one person's files; returns their entry of predict.json."""
    for name in ("amodal", "modal", "invisible"):
        images.write_png(folder / f"{name}.png", getattr(person, name))
    entry: dict[str, Any] = {
        "mask": mask_file.name,
        "folder": folder.name if folder.name.startswith("person-") else ".",
        "window": [person.window.x, person.window.y, person.window.side],
        "visible_pixels": int(np.count_nonzero(person.modal)),
        "hidden_pixels": int(np.count_nonzero(person.invisible)),
        "hidden_share": person.hidden_share,
        "cutout_corner": None,
        "notes": list(person.notes),
    }
    if person.image is not None:
        images.write_png(folder / "recovered.png", person.image)
        cutout, corner = person.cutout()
        images.write_png(folder / "cutout.png", cutout)
        entry["cutout_corner"] = list(corner)
    images.write_png(folder / "panel.png", panel(photo, person))
    return entry


def _read(reader: Callable[[str | Path], np.ndarray], path: str | Path) -> np.ndarray:
    try:
        return reader(path)
    except InputError as error:
        raise InputError(error.where, error.problem, "give another file") from error
