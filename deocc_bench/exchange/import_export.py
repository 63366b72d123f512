"""The commands `import` and `export`: parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.initial_masks import FORMS
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.registry import unknown
from deocc_bench.exchange import options
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.importers import IMPORTERS, open_source
from deocc_bench.exchange.importers.cocoa import ANNOTATORS
from deocc_bench.exchange.importers.release import REGIONS
from deocc_bench.exchange.importers.store import REJECTED, write_dataset

# Options of some kinds that have a name of their own on the command line; None: not given.
_IMPORT_OPTIONS = ("images", "regions", "annotators", "split", "licence")
_EXPORT_OPTIONS = ("shard_size",)


@click.command(
    "import",
    short_help="Bring annotated photographs into a dataset folder.",
    help=f"""Bring annotated photographs into a dataset folder that lacks what they lack.

    KIND is one of {", ".join(IMPORTERS.names())}. Visible masks that leave the amodal one are clipped and counted.
    An option that the kind does not take is refused.
    """,
)
@click.argument("source", metavar="KIND:PATH")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The dataset folder; new or empty.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the photos, where KIND keeps them apart.")
@click.option("--regions", type=click.Choice(REGIONS), help="All (default), or people by name.")
@click.option("--annotators", type=click.Choice(ANNOTATORS), help="Of each photo, of several; the first by default.")
@click.option("--split", help="The split's name; by default as exported, else train, val or test by the file's name.")
@click.option("--licence", help="Of the photos, if the source does not say.")
@click.option("--option", "-O", "pairs", multiple=True, help="NAME=VALUE for another option of KIND. Repeatable.")
@click.option(
    "--initial-mask",
    metavar="SPEC",
    help=f"Make initial masks from the modal ones: one of {FORMS}, or several joined by +.",
)
@click.option("--seed", default=0, show_default=True, help="Of random initial masks.")
@click.option("--name", help="The dataset's name; its folder's by default.")
@click.option("--limit", type=click.IntRange(min=1), help="At most N samples.")
@click.option("--skip-bad", is_flag=True, help=f"Go on past what can't be taken; {REJECTED} lists it.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
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
    own = options.parse(pairs, _IMPORT_OPTIONS)
    given = {key: value for key, value in named.items() if value is not None}
    title = name or out.resolve().name
    annotated = open_source(source, **given, **own)
    info = {"kind": source.partition(":")[0], "regions": "all", "annotators": "first"}
    info |= {key: given[key] for key in ("regions", "annotators") if key in given}
    with progress_bar("import", "sample", quiet=quiet) as bar:
        report = write_dataset(
            annotated,
            out,
            title,
            initial_mask=initial_mask,
            seed=seed,
            skip_bad=skip_bad,
            limit=limit,
            info=info | ({"options": own} if own else {}),
            advance=bar.update,
        )
    if as_json:
        click.echo(json.dumps({**vars(report), "fingerprint": DatasetReader(out).fingerprint}, sort_keys=True))
        return
    click.echo(f"{title}: {report.samples} samples of {report.photos} photos in {out}")
    if report.clipped:
        click.echo(f"clipped to the amodal mask: {report.clipped} visible masks, {report.clipped_pixels} pixels in all")
    if report.bad:
        click.echo(f"left out: {len(report.bad)}, listed in {out / REJECTED}; the first: {': '.join(report.bad[0])}")


@click.command(short_help="Write a dataset in another format.")
@click.argument("dataset", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--format", "format_name", required=True, metavar="F", help=f"One of {', '.join(EXPORTERS.names())}.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A folder; for cocoa and coco also a .json file."
)
@click.option("--split", "splits", multiple=True, help="All by default. Repeatable.")
@click.option("--shard-size", type=click.IntRange(min=1), help="Samples per tar shard (webdataset); 1000 by default.")
@click.option("--option", "-O", "pairs", multiple=True, help="NAME=VALUE for another option of the format. Repeatable.")
def export(
    *, dataset: Path, format_name: str, out: Path, splits: tuple[str, ...], pairs: tuple[str, ...], **named: Any
) -> None:
    """Write a dataset in another format; masks stay exact.

    cocoa and coco name the photos relative to DIR: import them again with --images DIR.
    """
    run = EXPORTERS.load(format_name)
    given = {key: value for key, value in named.items() if value is not None} | options.parse(pairs, _EXPORT_OPTIONS)
    options.check(format_name, run, given)
    reader = DatasetReader(dataset)
    for split in splits:
        if split not in reader.splits:
            raise UsageError(f"{dataset}: {unknown('split', split, reader.splits)}")
    for path in run(reader, splits or reader.splits, out, **given):
        click.echo(path)
