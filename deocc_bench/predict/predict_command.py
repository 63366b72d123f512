"""`deocc-bench predict`: the people of a user's own photo, from files to files."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import click
import numpy as np

from deocc_bench.core import images
from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write, require_empty
from deocc_bench.core.json_files import dump_json
from deocc_bench.methods.devices import device_option
from deocc_bench.methods.loading import parse_options
from deocc_bench.predict.front import complete
from deocc_bench.predict.panel import panel
from deocc_bench.predict.photos import load_for_photo, read_mask, read_photo
from deocc_bench.predict.recovery import Recovery, recover_person, together

_DEFAULTS = {name: p.default for name, p in signature(complete).parameters.items()}


@click.command(short_help="De-occlude the people of your own photo.")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--mask", "mask_files", multiple=True, type=click.Path(path_type=Path), help="One visible person.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
@click.option(
    "--method", "spec", default=_DEFAULTS["method"], show_default=True, help="As for `evaluate`: name[:preset], ..."
)
@click.option("--exact", is_flag=True, help="The masks are exact: do not refine them, never paint over them.")
@click.option("--amodal", "whole_files", multiple=True, type=click.Path(path_type=Path), help="The whole person.")
@click.option(
    "--occluder",
    "hiding_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What hides them: paint only here.",
)
@click.option(
    "--size",
    type=click.IntRange(32),
    default=_DEFAULTS["size"],
    show_default=True,
    help="Side at which the method works.",
)
@click.option("--option", "-O", "options", multiple=True, help="NAME=VALUE for the method's constructor.")
@device_option()
@click.option("--fit-data", type=click.Path(path_type=Path), help="Dataset folder, for methods that learn.")
@click.option("--fit-split", default=_DEFAULTS["fit_split"], show_default=True, help="Its split.")
@click.option("--seed", type=int, default=_DEFAULTS["seed"], show_default=True, help="Of random methods.")
@click.option("--json", "as_json", is_flag=True, help="Print the content of predict.json.")
def predict(
    *,
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
    require_empty(out)
    picture = read_photo(photo)
    told: list[str] = []
    seen = [read_mask(path, picture, told) for path in mask_files]
    hiding = [read_mask(path, picture, told) for path in hiding_files]
    wholes: list[np.ndarray | None] = [read_mask(path, picture, told) for path in whole_files]
    method = load_for_photo(
        spec,
        parse_options(options),
        device,
        fit_data=fit_data,
        fit_split=fit_split,
        whole_known=bool(whole_files),
    )
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
        "notes": told,
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
    for note in told:
        click.echo(f"note: {note}")
    for entry in report["people"]:
        click.echo(f"{entry['mask']}: {entry['hidden_share']:.1%} of the person is hidden, by {method.name}")
        for note in entry["notes"]:
            click.echo(f"  note: {note}")
    click.echo(f"look at {out / 'panel.png'}")


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
