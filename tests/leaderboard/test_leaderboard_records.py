"""Loading, grouping, flagging and verifying of records; claims; speed."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.results import Rescored, read_result, record_digest, write_result
from deocc_bench.leaderboard.build import LeaderboardRequest, make
from deocc_bench.leaderboard.claimed import read_claims, sort_claims
from deocc_bench.leaderboard.front import leaderboard
from deocc_bench.leaderboard.records import group_runs, load_runs
from deocc_bench.leaderboard.speed import read_speed
from deocc_bench.leaderboard.verify import check_predictions, check_table

REPORT = {
    "methods": [
        {"name": "a", "end_to_end": {"p50_ms": 2.5, "p90_ms": 3.0}, "ratio": {"median": 1.5}, "parameters": 10}
    ],
    "protocol": {"size": [256, 256], "deviations": []},
    "device": "a cpu",
    "reference": "b",
}


class Dataset:
    """What verification asks of a dataset."""

    def __init__(self, fingerprint: str = "f" * 64, name: str = "people") -> None:
        self.fingerprint, self.name, self.splits = fingerprint, name, ("test",)

    def records(self, split: str) -> list[Any]:
        return []


def test_two_fingerprints_two_tables_and_so_for_split_task_and_definition(metric: Any, make_run: Any) -> None:
    paths = [
        make_run("a"),
        make_run("b"),
        make_run("c", dataset={"fingerprint": "e" * 64}),
        make_run("d", dataset={"split": "val"}),
        make_run("e", task="joint"),
        make_run("f", metrics={"mask_l1": metric(0.5, "mask_l1/2", 60, up=False)}),
        make_run("g", dataset={"samples_digest": "x"}),
    ]
    groups = group_runs(load_runs(paths)[0])
    assert sorted(sorted(r.label for r in g.runs) for g in groups) == [["a", "b"], ["c"], ["d"], ["e"], ["f"], ["g"]]


def test_other_initial_masks_are_another_table(make_run: Any) -> None:
    first, second = make_run("a"), make_run("a")
    record = read_result(second)
    write_result(second, replace(record, protocol={**record.protocol, "initial_mask": "perfect"}))
    assert len(group_runs(load_runs([first, second])[0])) == 2


def test_folder_of_runs_is_searched_and_nothing_counts_twice(make_run: Any, tmp_path: Path) -> None:
    path = make_run("a", folder="all/a")
    make_run("b", folder="all/b")
    assert sorted(r.label for r in load_runs([tmp_path / "all", path])[0]) == ["a", "b"]
    with pytest.raises(InputError, match="no such run"):
        load_runs([tmp_path / "nowhere"])


def test_equal_names_are_told_apart(make_run: Any) -> None:
    (group,) = group_runs(load_runs([make_run("a"), make_run("a", 0.1)])[0])
    assert [r.label for r in group.runs] == ["a #1", "a #2"]


def edit(folder: Path, value: float, mend_digest: bool) -> None:
    path = folder / "result.json"
    content = json.loads(path.read_text())
    content["metrics"]["amodal_iou_mean"]["value"] = value
    if mend_digest:
        content["digest"] = record_digest(content)
    path.write_text(dump_json(content))


@pytest.mark.parametrize("mend_digest", [False, True])
def test_edited_number_is_flagged_in_every_output(make_run: Any, tmp_path: Path, mend_digest: bool) -> None:
    honest, forged = make_run("honest", 0.1), make_run("forged")
    edit(forged, 0.99, mend_digest)
    out = tmp_path / "out"
    made = make(LeaderboardRequest((honest, forged), out, figures=False))
    assert list(made.findings) == [str(forged)]
    reason = "samples.csv gives different numbers" if mend_digest else "changed after the run"
    for name, word in (("csv", reason), ("md", "CHANGED"), ("tex", "CHANGED"), ("html", "untrusted record")):
        text = (out / f"leaderboard.{name}").read_text()
        assert word in text, name
        assert "UNTRUSTED" in text, name
    # It can't win either.
    assert "| 1 | honest" in (out / "leaderboard.md").read_text()
    assert "**0.990**" not in (out / "leaderboard.md").read_text()


def test_edited_table_is_flagged(make_run: Any) -> None:
    folder = make_run("a")
    path = folder / "samples.csv"
    path.write_text(path.read_text().replace("box|pole", "box", 1))
    (run,), _ = load_runs([folder])
    assert "samples.csv was changed" in run.findings[0]


def test_honest_record_agrees_with_its_table(make_run: Any) -> None:
    (run,), _ = load_runs([make_run("a", 0.05, seed=3)])
    assert check_table(run).findings == ()


def test_verify_compares_numbers_and_digest(metric: Any, make_run: Any) -> None:
    folder = make_run("a")
    (folder / "predictions").mkdir()
    (run,), _ = load_runs([folder])
    same = check_predictions(run, [Dataset()], lambda folder, data: Rescored(run.record.metrics, "p" * 64))  # type: ignore[list-item]
    assert not same.flagged
    assert same.verified == "verified: 4 of 4 numbers reproduced"
    other = {**run.record.metrics, "mask_l1": metric(0.123, "mask_l1/1", 60)}
    odd = check_predictions(run, [Dataset()], lambda folder, data: Rescored(other, "q" * 64))  # type: ignore[list-item]
    assert len(odd.findings) == 2
    assert "mask_l1" in odd.findings[1]


def test_verify_says_what_it_could_not_do(make_run: Any) -> None:
    (run,), _ = load_runs([make_run("a")])

    def never(folder: Path, data: Any) -> Rescored:
        raise AssertionError

    assert "its dataset was not provided" in (check_predictions(run, [], never).verified or "")


def test_verify_without_a_dataset_is_refused_and_what_was_not_verified_is_said(make_run: Any, tmp_path: Path) -> None:
    kept, bare = make_run("kept"), make_run("bare")
    (kept / "predictions").mkdir()
    with pytest.raises(UsageError, match="--data"):
        make(LeaderboardRequest((kept,), tmp_path / "out", verify=True, figures=False))
    assert not (tmp_path / "out").exists()

    def rescore(folder: Path, data: Any) -> Rescored:
        return Rescored(read_result(folder / "result.json").metrics, "p" * 64)

    request = LeaderboardRequest((kept, bare), tmp_path / "out", datasets=(Dataset(),), verify=True, figures=False)  # type: ignore[arg-type]
    made = make(request, rescore=rescore)
    assert "scoring the predictions of 1 of 2 runs again gives the same numbers" in made.text
    assert "not verified: the run has no predictions" in made.text
    assert not made.findings


def test_failed_rescoring_is_a_finding(make_run: Any) -> None:
    folder = make_run("a")
    (folder / "predictions").mkdir()
    (run,), _ = load_runs([folder])

    def fail(folder: Path, data: Any) -> Rescored:
        raise DeoccError("3 predictions are missing")

    assert "3 predictions are missing" in check_predictions(run, [Dataset()], fail).findings[0]  # type: ignore[list-item]


def test_dataset_that_changed_since_is_marked(make_run: Any, tmp_path: Path) -> None:
    changed = Dataset("0" * 64)
    made = make(
        LeaderboardRequest((make_run("a"),), tmp_path / "out", datasets=(changed,), figures=False),  # type: ignore[arg-type]
    )
    assert "dataset was changed after the run" in next(iter(made.findings.values()))[0]


def claims_file(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(content))
    return path


def test_claims_stand_apart(make_run: Any, tmp_path: Path) -> None:
    entry = {"method": "paper", "dataset": "people", "value": 0.999, "source": "A paper, table 2"}
    path = claims_file(tmp_path, [entry, {**entry, "dataset": "elsewhere", "metric": "fid"}])
    groups = group_runs(load_runs([make_run("a")])[0])
    of_group, others = sort_claims(read_claims(path), groups)
    assert [c.method for c in of_group[0]] == ["paper"]
    assert [c.dataset for c in others] == ["elsewhere"]
    make(LeaderboardRequest((make_run("b"),), tmp_path / "out", claimed=(path,), figures=False))
    text = (tmp_path / "out/leaderboard.md").read_text()
    assert "| 1 | b" in text
    assert text.index("| 1 | b") < text.index("Claimed by papers") < text.index("0.999")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"method": "m", "dataset": "d", "value": "0.5", "source": "s"}, "value: expected float"),
        ({"method": "m", "dataset": "d", "value": 0.5}, "missing required field source"),
        ([], "must be an object"),
    ],
)
def test_bad_claims_are_refused(tmp_path: Path, entry: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_claims(claims_file(tmp_path, [entry]))


def test_speed_report(make_run: Any, tmp_path: Path) -> None:
    path = claims_file(tmp_path, REPORT)
    (run,), _ = load_runs([make_run("a")])
    speed = read_speed([path])
    assert speed.value(run, "latency_p50_ms") == 2.5
    assert speed.value(run, "run_ms_per_sample") == pytest.approx(10)
    with pytest.raises(InputError, match="missing required field name; write a latency report"):
        read_speed([claims_file(tmp_path, {"methods": [{}]})])


def _write(folder: Path, change: Any) -> None:
    path = folder / "result.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.clear(), "not a result record"),
        (lambda c: c.update(seed="<script>"), "seed: expected int, got str"),
        (lambda c: c["metrics"].update(x=None), "expected object, got null"),
        (lambda c: next(iter(c["metrics"].values())).update(value="a"), "value: expected float"),
        (lambda c: next(iter(c["metrics"].values())).update(value=float("nan")), "can't be stored"),
        (lambda c: next(iter(c["metrics"].values())).update(ci95=[1.0]), "ci95: expected array of length 2"),
        (lambda c: c["breakdowns"].update(kind={"bin": {"amodal_iou_mean": 0.5}}), "expected object, got float"),
        (lambda c: c["method"].update(draws=10**400), "method.draws: holds a number"),
        (lambda c: c["method"].update(name="\ud800x"), "method.name: holds a number, a text"),
        (lambda c: c["timing"].update(seconds_per_sample={"compute": "fast"}), "seconds_per_sample"),
    ],
)
def test_a_record_that_can_not_be_read_is_a_row_of_the_board(
    make_run: Any, tmp_path: Path, change: Any, says: str
) -> None:
    good, bad = make_run("good"), make_run("bad")
    _write(bad, change)
    made = make(LeaderboardRequest((good, bad), tmp_path / "out", figures=False))
    (unreadable,) = made.unreadable
    assert unreadable.path == bad / "result.json"
    assert says in unreadable.reason
    out = tmp_path / "out"
    rows = list(csv.DictReader((out / "leaderboard.csv").open(newline="")))
    assert [(r["kind"], r["method"]) for r in rows] == [("measured", "good"), ("unreadable", "")]
    assert rows[1]["findings"] == f"unreadable, because {unreadable.reason}"
    for name in ("leaderboard.md", "leaderboard.html", "leaderboard.tex"):
        text = (out / name).read_text()
        assert "unreadable, because" in text, name
    frame = leaderboard([good, bad])
    assert list(frame.attrs["unreadable"]) == [str(bad / "result.json")]
    with pytest.raises(InputError):
        load_runs([bad])


def test_a_run_of_links_is_not_followed(make_run: Any, tmp_path: Path) -> None:
    run, other = make_run("a"), make_run("b")
    (run / "samples.csv").unlink()
    (run / "samples.csv").symlink_to(other / "samples.csv")
    runs, (unreadable,) = load_runs([run, other])
    assert [r.label for r in runs] == ["b"]
    assert "is a link that leads out" in unreadable.reason
    (run / "samples.csv").unlink()
    (other / "predictions").mkdir(exist_ok=True)
    (run / "predictions").symlink_to(other / "predictions")
    (found,) = (r for r in load_runs([run, other])[0] if r.folder == run)
    assert found.predictions is None


@pytest.mark.slow
def test_mutated_files_are_read_or_refused(make_run: Any, tmp_path: Path) -> None:
    folder, other = make_run("a"), make_run("b")
    result = folder / "result.json"
    record = json.loads(result.read_text())
    claims = [{"method": "m", "dataset": "d", "metric": "amodal_iou_mean", "value": 0.5, "source": "s"}]
    path = tmp_path / "other.json"

    @settings(max_examples=150, deadline=None)
    @given(mutated(record), st.booleans())
    def board(text: str, signed: bool) -> None:
        with suppress(ValueError):
            content = json.loads(text)
            text = json.dumps(content | {"digest": record_digest(content)}) if signed else text
        result.write_text(text)
        with suppress(DeoccError):  # any other exception fails
            made = make(LeaderboardRequest((folder, other), tmp_path / "out", figures=False))
            assert any(row.run.folder == other for t in made.tables for row in t.rows)

    @settings(max_examples=100, deadline=None)
    @given(mutated(claims))
    def claimed(text: str) -> None:
        path.write_text(text)
        with suppress(InputError):
            assert all(isinstance(c.value, float) for c in read_claims(path))

    @settings(max_examples=100, deadline=None)
    @given(mutated(REPORT))
    def speed(text: str) -> None:
        path.write_text(text)
        with suppress(InputError):
            read_speed([path])

    board()
    claimed()
    speed()
