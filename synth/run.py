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
from deocc_bench.core.errors import InputError, UsageError, one_line
from deocc_bench.core.files import LOCK_FILE, atomic_write, require_empty
from deocc_bench.core.json_files import dump_json, read_json
from deocc_bench.core.lock import RESUME, output_folder
from deocc_bench.core.progress import progress_bar
from deocc_bench.core.reading import Digests, file_digest, first_difference, recorded
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
    title = name or root.resolve().name
    with output_folder(root, RESUME):
        if resume and (root / INFO_FILE).exists():
            return _finished(root, title, spec, limit)
        _check_folder(root, resume)
        with progress_bar("looking at humans", "human", quiet=quiet) as bar:
            plan = make_plan(
                spec, workers=workers, engine_name=engine_name, limit=limit, skip_bad=skip_bad, advance=bar.update
            )
        work = root / WORK
        missing = _begin(work, plan, spec)
        with progress_bar("making samples", "sample", len(plan.accepted) * spec.variants, quiet=quiet) as bar:
            bar.update((len(plan.accepted) - sum(len(entries) for _, entries in missing)) * spec.variants)
            bar.unpause()
            arguments = (spec, str(root), plan.sources, plan.pools, plan.inputs)
            for (number, entries), (lines, files) in engine.run(ShardWorker, arguments, missing, workers, engine_name):
                if files:
                    atomic_write(_inputs_path(work, number), dump_json(files))
                # The shard file marks a finished shard: its pictures were written before it.
                atomic_write(_shard_path(work, number), "".join(json.dumps(r, sort_keys=True) + "\n" for r in lines))
                bar.update(len(entries) * spec.variants)

        info = _finish(root, title, spec, plan, {} if limit is None else {"limit": limit})
        shutil.rmtree(work)
    return info


class ShardWorker:
    """Makes the samples of one shard in a worker process.

    Returns their lines, including rejected samples, and the digests of files that the plan has not read.

    A thread encodes and writes finished samples while the next ones are made. OpenCV, zlib, SHA-256 and disk access
    all release the GIL, so an idle core takes half of the work.
    """

    def __init__(
        self,
        spec: SynthSpec,
        root: str,
        sources: Sequence[HumanSource],
        pools: Mapping[str, OccluderPool],
        inputs: Digests,
    ) -> None:
        self.spec, self.root, self.sources, self.inputs = spec, root, sources, inputs
        self.generator = Generator(spec, pools)

    def __call__(self, shard: Shard) -> tuple[list[dict[str, Any]], Digests]:
        lines: list[Future[Line]] = []
        with recorded(self.inputs) as files, ThreadPoolExecutor(1) as writer:
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
        return [line.result() for line in lines], {p: d for p, d in files.items() if p not in self.inputs}

    def _line(self, made: Sample | Rejection, split: str, licence: str, encoded: Encoded) -> Line:
        if isinstance(made, Rejection):
            return {"rejected": made.sample_id, "reason": made.reason, "split": split}
        extra = {} if made.parsing is None else {"parts_hidden": parts_hidden(made.parsing, made.invisible)}
        return write_sample(self.root, made, licence, extra, encoded)


def _finished(root: Path, name: str, spec: SynthSpec, limit: int | None) -> dict[str, Any]:
    """Check that a finished dataset was made with these settings, and return its information."""
    info = DatasetReader(root).info
    wanted = {"name": name, "limit": limit, "seed": spec.seed, **json.loads(dump_json(spec.public()))}
    spec_found = info.get("spec")
    found = {**info, **(spec_found if isinstance(spec_found, dict) else {})}
    odd = [key for key, value in wanted.items() if found.get(key) != value]
    if odd:
        problem = f"{root}: is finished, and was made with other settings ({', '.join(odd)})"
        raise UsageError(f"{problem}; use the same ones with --resume, or choose another --out")
    if (root / WORK).exists():
        # The run was killed during its last steps.
        write_card(root, info)
        shutil.rmtree(root / WORK)
    return info


def _check_folder(root: Path, resume: bool) -> None:
    work = root / WORK
    begun = (work / _PLAN).exists()
    if begun and resume:
        return
    # A run that was killed before its first picture leaves nothing of value.
    if work.is_dir() and not any(p.name not in (WORK, LOCK_FILE) for p in root.iterdir()):
        shutil.rmtree(work)
    require_empty(root, *(["add --resume to continue, or choose another --out"] if begun else []))


def _begin(work: Path, plan: Plan, spec: SynthSpec) -> list[Shard]:
    """Store the plan, or compare it with the one of the run that is resumed; return the shards that are missing."""
    path, key = work / _PLAN, plan.key(spec)
    if not path.exists():
        atomic_write(path, dump_json({"key": key, "settings": spec.digest(), "inputs": plan.inputs}))
        return plan.shards()
    old = read_json(path)
    cure = "use the same ones with --resume, or choose another --out"
    difference = first_difference(old.get("inputs", {}), plan.inputs)
    if old.get("settings") == spec.digest() and difference:
        raise _other_input(work, *difference)
    if old.get("key") != key or difference:
        raise UsageError(f"{work.parent}: was started with other settings, inputs or versions; {cure}")
    missing = [s for s in plan.shards() if not _shard_path(work, s[0]).exists()]
    _check_inputs(work, plan, {number for number, _ in missing})
    return missing


def _check_inputs(work: Path, plan: Plan, missing: set[int]) -> None:
    """Check that the files that only finished shards have read are unchanged."""
    known: Digests = {}
    for number, _ in plan.shards():
        path = _inputs_path(work, number)
        if number not in missing and path.exists():
            for name, value in read_json(path).items():
                if known.setdefault(name, file_digest(name)) != value:
                    raise _other_input(work, name, "was changed" if known[name] else "is gone")


def _other_input(work: Path, path: str, what: str) -> InputError:
    problem = f"{what} since the run in {work.parent} was started"
    return InputError(path, problem, "undo that to go on with --resume, or choose another --out")


def _finish(root: Path, name: str, spec: SynthSpec, plan: Plan, more: Mapping[str, Any]) -> dict[str, Any]:
    work, shards = root / WORK, len(plan.shards())

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
        **more,
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


def _inputs_path(work: Path, number: int) -> Path:
    return work / f"inputs-{number:06d}.json"


def _csv(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    # Ids and reasons may hold the control characters of a stranger's file name.
    csv.writer(buffer, lineterminator="\n").writerows([one_line(cell, 2000) for cell in row] for row in rows)
    return buffer.getvalue()
