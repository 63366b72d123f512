"""The commands `import` and `export`: parse, call, print."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.registry import unknown
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.importers import ANNOTATORS, REGIONS, Options, open_source
from deocc_bench.exchange.importers.store import REJECTED, write_dataset


@click.command("import", short_help="Bring annotated photographs into a dataset folder.")
@click.argument("source", metavar="KIND:PATH")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The dataset folder; new or empty.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the photos (cocoa, kins, d2sa).")
@click.option("--regions", type=click.Choice(REGIONS), default="all", show_default=True, help="All, or people by name.")
@click.option(
    "--annotators", type=click.Choice(ANNOTATORS), default="first", show_default=True, help="Of each photo (cocoa)."
)
@click.option("--split", help="The split's name; by default train or val if the file's name says so, else test.")
@click.option(
    "--initial-mask", metavar="SPEC", help="Make initial masks from the modal ones: perfect, dilate:3, lowres:28, ..."
)
@click.option("--seed", default=0, show_default=True, help="Of random initial masks.")
@click.option("--name", help="The dataset's name; its folder's by default.")
@click.option("--licence", default="", help="Of the photos, if the source does not say.")
@click.option("--limit", type=click.IntRange(min=1), help="At most N samples.")
@click.option("--skip-bad", is_flag=True, help=f"Go on past what can't be taken; {REJECTED} lists it.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_(
    source: str,
    out: Path,
    images: Path | None,
    regions: str,
    annotators: str,
    split: str | None,
    initial_mask: str | None,
    seed: int,
    name: str | None,
    licence: str,
    limit: int | None,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Bring annotated photographs into a dataset folder that lacks what they lack.

    KIND is one of cocoa, kins, d2sa, ahp, folder. Visible masks that leave the amodal one are clipped and counted.
    """
    options = Options(images, regions, annotators, split, licence)
    title = name or out.resolve().name
    annotated = open_source(source, options)
    with progress_bar("import", "sample", quiet=quiet) as bar:
        report = write_dataset(
            annotated,
            out,
            title,
            initial_mask=initial_mask,
            seed=seed,
            skip_bad=skip_bad,
            limit=limit,
            info={"kind": source.partition(":")[0], "regions": regions, "annotators": annotators},
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
@click.option("--shard-size", default=1000, show_default=True, type=click.IntRange(min=1), help="Samples a tar shard.")
def export(dataset: Path, format_name: str, out: Path, splits: tuple[str, ...], shard_size: int) -> None:
    """Write a dataset in another format; masks stay exact.

    cocoa and coco name the photos relative to DIR: import them again with --images DIR.
    """
    run = EXPORTERS.load(format_name)
    reader = DatasetReader(dataset)
    for split in splits:
        if split not in reader.splits:
            raise UsageError(f"{dataset}: {unknown('split', split, reader.splits)}")
    for path in run(reader, splits or reader.splits, out, shard_size=shard_size):
        click.echo(path)
