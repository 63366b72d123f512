"""`synth`: makes a dataset folder from sources. Each shard is committed when done, so a killed run can be resumed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import INFO_FILE, DatasetReader, SampleRecord
from deocc_bench.core.dataset_writer import Encoded, Line, finish, write_sample
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.files import atomic_write, require_empty, sweep_temporary, write_error
from deocc_bench.core.json_files import dump_json, read_json
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.types import Sample
from deocc_bench.synth import engine
from deocc_bench.synth.card import PREVIEW, write_card, write_preview
from deocc_bench.synth.generate import Generator, Rejection
from deocc_bench.synth.humans.base import HumanSource
from deocc_bench.synth.occluders import OccluderPool
from deocc_bench.synth.plan import HumanEntry, Plan, make_plan
from deocc_bench.synth.spec import SynthSpec
from deocc_bench.synth.statistics import DatasetStatistics, parts_hidden

WORK = ".work"
_PLAN = "plan.json"
_WAITING = 6  # maximum number of samples waiting to be written

Shard = tuple[int, tuple[HumanEntry, ...]]


def synthesise(
    spec: SynthSpec,
    out: str | Path,
    *,
    name: str | None = None,
    workers: int = 1,
    engine_name: str = "local",
    limit: int | None = None,
    resume: bool = False,
    skip_bad: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Make a dataset folder and return the content of its `dataset.json`.

    Args:
        out: a new or empty folder; with `resume`, the folder of an interrupted run.
        name: the name of the dataset; None: the name of the folder.
        limit: maximum number of humans.
        skip_bad: skip broken inputs and list them in `rejected.csv`.
        quiet: show no progress on stderr.

    Raises:
        UsageError: the folder is not empty, or was started with other settings.
        InputError: a broken input, or no sample could be made.
        DeoccError: the disk is full, or a worker process was killed.
    """
    root = Path(out)
    if (root / INFO_FILE).exists() and resume:
        info = DatasetReader(root).info
        write_card(root, info)
        shutil.rmtree(root / WORK, ignore_errors=True)
        return info
    _check_folder(root, resume)

    with progress_bar("looking at humans", "human", quiet=quiet) as bar:
        plan = make_plan(
            spec, workers=workers, engine_name=engine_name, limit=limit, skip_bad=skip_bad, advance=bar.update
        )
    work = root / WORK
    _begin(work, plan.key(spec), resume)

    shards = plan.shards()
    missing = [s for s in shards if not _shard_path(work, s[0]).exists()]
    with progress_bar("making samples", "sample", len(plan.accepted) * spec.variants, quiet=quiet) as bar:
        bar.update((len(plan.accepted) - sum(len(entries) for _, entries in missing)) * spec.variants)
        bar.unpause()
        arguments = (spec, str(root), plan.sources, plan.pools)
        for (number, entries), result in engine.run(ShardWorker, arguments, missing, workers, engine_name):
            # The shard file marks a finished shard: its pictures were written before it.
            atomic_write(_shard_path(work, number), "".join(json.dumps(r, sort_keys=True) + "\n" for r in result))
            bar.update(len(entries) * spec.variants)

    info = _finish(root, name or root.resolve().name, spec, plan, len(shards))
    shutil.rmtree(work)
    return info


class ShardWorker:
    """Makes the samples of one shard in a worker process. Returns their lines, including rejected samples.

    A thread encodes and writes finished samples while the next ones are made. OpenCV, zlib, SHA-256 and disk access
    all release the GIL, so an idle core takes half of the work.
    """

    def __init__(
        self, spec: SynthSpec, root: str, sources: Sequence[HumanSource], pools: Mapping[str, OccluderPool]
    ) -> None:
        self.spec, self.root, self.sources = spec, root, sources
        self.generator = Generator(spec, pools)

    def __call__(self, shard: Shard) -> list[dict[str, Any]]:
        lines: list[Future[Line]] = []
        with ThreadPoolExecutor(1) as writer:
            for entry in shard[1]:
                human = self.sources[entry.source].load(entry.id)
                prepared = self.generator.prepare(human)
                encoded = Encoded()
                for variant in range(self.spec.variants):
                    made = self.generator.sample(prepared, entry.split, variant)
                    lines.append(writer.submit(self._line, made, entry.split, human.licence, encoded))
                    # Few samples wait to be written: memory stays flat, and a full disk is noticed early.
                    if len(lines) > _WAITING:
                        lines[-_WAITING - 1].result()
        return [line.result() for line in lines]

    def _line(self, made: Sample | Rejection, split: str, licence: str, encoded: Encoded) -> Line:
        if isinstance(made, Rejection):
            return {"rejected": made.sample_id, "reason": made.reason, "split": split}
        extra = {} if made.parsing is None else {"parts_hidden": parts_hidden(made.parsing, made.invisible)}
        return write_sample(self.root, made, licence, extra, encoded)


def _check_folder(root: Path, resume: bool) -> None:
    begun = (root / WORK / _PLAN).exists()
    if not (begun and resume):
        require_empty(root, *(["add --resume to continue, or choose another --out"] if begun else []))


def _begin(work: Path, key: str, resume: bool) -> None:
    path = work / _PLAN
    if resume and path.exists():
        if read_json(path).get("key") != key:
            raise UsageError(
                f"{work.parent}: was started with other settings, inputs or versions; "
                "use the same ones with --resume, or choose another --out"
            )
        sweep_temporary(work.parent)
        return
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(work, error) from error
    atomic_write(path, dump_json({"key": key}))


def _finish(root: Path, name: str, spec: SynthSpec, plan: Plan, shards: int) -> dict[str, Any]:
    work = root / WORK

    def lines_of(split: str | None) -> Callable[[], Iterator[Line]]:
        return lambda: (
            line for line in read_shards(work, shards) if "rejected" not in line and split in (None, line["split"])
        )

    rejected = list(plan.rejected)
    rejected += [("sample", r["rejected"], r["reason"]) for r in read_shards(work, shards) if "rejected" in r]
    statistics = {split: DatasetStatistics() for split in spec.splits}
    for line in lines_of(None)():
        statistics[line["split"]].add(line)
    used = [split for split in spec.splits if statistics[split].samples]
    if not used:
        raise InputError(
            str(root), "no sample reached its occlusion ratio", "loosen --ratio or --hide, or give larger occluders"
        )
    atomic_write(root / "rejected.csv", _csv([("kind", "id", "reason"), *sorted(rejected)]))
    info = {
        "kind": "synthesised",
        "spec": spec.public(),
        "seed": spec.seed,
        "sources": plan.described,
        "rejected": {
            "humans": plan.human_reasons,
            "samples": sum(1 for kind, _, _ in rejected if kind == "sample"),
        },
        "statistics": {split: statistics[split].summary() for split in used},
    }
    records = (
        SampleRecord.from_json(root, line["split"], line["image"], line["annotation"]) for line in lines_of(None)()
    )
    write_preview(root / PREVIEW, records)
    # dataset.json marks a finished dataset. The card is made from it, and --resume makes the card again.
    content = finish(root, name, {split: lines_of(split) for split in used}, info)
    write_card(root, content)
    return content


def read_shards(work: Path, count: int) -> Iterator[dict[str, Any]]:
    """Read the lines of all shards, in order."""
    for number in range(count):
        with open(_shard_path(work, number), encoding="utf-8") as f:
            for text in f:
                yield json.loads(text)


def _shard_path(work: Path, number: int) -> Path:
    return work / f"shard-{number:06d}.jsonl"


def _csv(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
