"""The commands `import` and `export`: parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError, one_line
from deocc_bench.core.initial_masks import FORMS
from deocc_bench.core.json_files import is_text
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.registry import unknown
from deocc_bench.exchange import options
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.importers import IMPORTERS, open_source
from deocc_bench.exchange.importers.cocoa import ANNOTATORS
from deocc_bench.exchange.importers.release import REGIONS
from deocc_bench.exchange.importers.store import REJECTED, write_dataset

# Options of single kinds or formats that have their own command-line flag; None: not given.
_IMPORT_OPTIONS = ("images", "regions", "annotators", "split", "licence")
_EXPORT_OPTIONS = ("shard_size",)


@click.command(
    "import",
    short_help="Convert annotated photos to a dataset folder.",
    help=f"""Convert annotated photos to a dataset folder. Data that the source lacks is missing in the dataset too.

    KIND is one of {", ".join(IMPORTERS.names())}. Visible masks that extend beyond the amodal mask are clipped, and
    the number of clipped masks is printed. An option that KIND does not support is an error.
    """,
)
@click.argument("source", metavar="KIND:PATH")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Dataset folder to write; new or empty.")
@click.option(
    "--images", type=click.Path(path_type=Path), help="Folder that contains the photos, for kinds that keep them apart."
)
@click.option(
    "--regions",
    type=click.Choice(REGIONS),
    help="All regions (default), or only persons by category name.",
)
@click.option(
    "--annotators",
    type=click.Choice(ANNOTATORS),
    help="Use the first annotator of each photo (default), or all.",
)
@click.option("--split", help="Split name. Default: as exported, otherwise train, val or test by file name.")
@click.option("--licence", help="Licence of the photos, if the source states none.")
@click.option("--option", "-O", "pairs", multiple=True, help="NAME=VALUE for another option of KIND. Repeatable.")
@click.option(
    "--initial-mask",
    metavar="SPEC",
    help=f"Make initial masks from the modal masks: one of {FORMS}, or several joined by +.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the initial masks.")
@click.option("--name", help="Name of the dataset. Default: name of the folder.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Import at most N samples.")
@click.option("--skip-bad", is_flag=True, help=f"Skip invalid entries and list them in {REJECTED}.")
@click.option("--quiet", is_flag=True, help="Show no progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_(
    *,
    source: str,
    out: Path,
    pairs: tuple[str, ...],
    initial_mask: str | None,
    seed: int,
    name: str | None,
    limit: int | None,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """The command `import`."""
    further = options.parse(pairs, _IMPORT_OPTIONS)
    values = {key: value for key, value in named.items() if value is not None}
    title = _title(name, out)
    annotated = open_source(source, **values, **further)
    info = {"kind": source.partition(":")[0], "regions": "all", "annotators": "first"}
    info |= {key: values[key] for key in ("regions", "annotators") if key in values}
    with progress_bar("import", "sample", quiet=quiet) as bar:
        report = write_dataset(
            annotated,
            out,
            title,
            initial_mask=initial_mask,
            seed=seed,
            skip_bad=skip_bad,
            limit=limit,
            info=info | ({"options": further} if further else {}),
            advance=bar.update,
        )
    if as_json:
        click.echo(json.dumps({**vars(report), "fingerprint": DatasetReader(out).fingerprint}, sort_keys=True))
        return
    click.echo(f"{title}: {report.samples} samples of {report.photos} photos in {out}")
    if report.clipped:
        click.echo(
            f"clipped to the amodal mask: {report.clipped} visible masks, {report.clipped_pixels} pixels in total"
        )
    if report.turned:
        click.echo(f"turned upright: {report.turned} photos with an EXIF orientation, written as PNG without it")
    if report.soft:
        click.echo(f"soft masks: {report.soft} files with grey levels, read at half of white")
    if report.renamed:
        click.echo(f"renamed: {report.renamed} samples whose id can't be a file name; provenance has the original")
    if report.bad:
        click.echo(f"skipped: {len(report.bad)}, listed in {out / REJECTED}; the first: {': '.join(report.bad[0])}")


def _title(name: str | None, out: Path) -> str:
    """The name of the dataset."""
    title = name or out.resolve().name
    if not is_text(title, longest=1000) or one_line(title) != title:
        problem = "has control characters or is not UTF-8"
        raise UsageError(
            f"--name {title!r}: {problem}; give another name" if name else f"--out {out}: {problem}; give --name"
        )
    return title


@click.command(short_help="Write a dataset in another format.")
@click.argument("dataset", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--format", "format_name", required=True, metavar="F", help=f"One of {', '.join(EXPORTERS.names())}.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Output folder; for cocoa and coco also a .json file."
)
@click.option("--split", "splits", multiple=True, help="Split to export. Default: all. Repeatable.")
@click.option("--shard-size", type=click.IntRange(min=1), help="Samples per tar shard (webdataset). Default: 1000.")
@click.option("--option", "-O", "pairs", multiple=True, help="NAME=VALUE for another option of the format. Repeatable.")
def export(
    *, dataset: Path, format_name: str, out: Path, splits: tuple[str, ...], pairs: tuple[str, ...], **named: Any
) -> None:
    """Write a dataset in another format. Masks are exported without loss.

    The formats cocoa and coco name photos relative to DIR; import them again with --images DIR.
    """
    run = EXPORTERS.load(format_name)
    values = {key: value for key, value in named.items() if value is not None} | options.parse(pairs, _EXPORT_OPTIONS)
    options.check(format_name, run, values)
    reader = DatasetReader(dataset)
    for split in splits:
        if split not in reader.splits:
            raise UsageError(f"{dataset}: {unknown('split', split, reader.splits)}")
    for path in run(reader, splits or reader.splits, out, **values):
        click.echo(path)
