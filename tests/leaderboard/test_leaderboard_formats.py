"""The four formats: what they say, and that hostile names stay names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deocc_bench.core.errors import UsageError
from deocc_bench.leaderboard import latex, markdown
from deocc_bench.leaderboard.build import LeaderboardRequest, build_tables, make
from deocc_bench.leaderboard.speed import SPEED
from deocc_bench.leaderboard.text import decimals, fixed, shown
from deocc_bench.metrics.spec import spec_of_record

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    r"\input{/etc/passwd}",
    r"\end{tabular}\write18{ls}",
    "a|b|c",
    "first\nsecond\r\n| x | y |",
    "x" * 10_000,
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "🦊 fox_trot 100% $x^2$ {#1}~&",
    "[link](javascript:alert(1)) https://example.org `code` **bold**",
    "\u202egnp.exe",
    "${data} $title",
    "--- _under_ <!-- -->",
)


@pytest.fixture
def hostile(make_run: Any, tmp_path: Path) -> Path:
    runs = [make_run(name, k / 100, seed=k) for k, name in enumerate(HOSTILE)]
    runs += [make_run("other", dataset={"name": name, "fingerprint": f"{k:064d}"}) for k, name in enumerate(HOSTILE)]
    make(LeaderboardRequest(tuple(runs), tmp_path / "out", figures=False))
    return tmp_path / "out"


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.data: str = ""
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self._in_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data
            self._in_data = False


def test_hostile_names_in_html(hostile: Path) -> None:
    text = (hostile / "leaderboard.html").read_text()
    page = Tags()
    page.feed(text)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert not [a for a in page.attributes if a.startswith("on")]
    groups = json.loads(page.data)
    names = {row["full"] for g in groups for row in g["rows"]}
    assert "<script>alert(1)</script>" in names
    assert max(map(len, names)) <= 1000
    assert not re.search(r"""(src|href)=["'](https?:)?//""", text)


def test_hostile_names_in_markdown(hostile: Path) -> None:
    text = (hostile / "leaderboard.md").read_text()
    assert "<script" not in text
    assert "<img" not in text
    assert "<!--" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "https://" not in text
    assert "\u202e" not in text
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    for block in re.split(r"\n\n", text):
        rows = [r for r in block.splitlines() if r.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", r)) for r in rows}) <= 1, block[:300]
    assert len(tables) == len(HOSTILE) + 2 + 3 * len(HOSTILE)
    assert max(map(len, lines)) < 1500


def check_latex(text: str) -> None:
    """A parser's view: braces and environments balance, no command comes from outside, specials are escaped."""
    body = re.sub(r"(?<!\\)%.*", "", text).replace("\\\\", " ")
    assert set(re.findall(r"\\([A-Za-z]+)", body)) <= {
        *("begin", "end", "centering", "small", "setlength", "tabcolsep", "caption", "label", "toprule", "midrule"),
        *("bottomrule", "textbf", "underline", "scriptsize", "textsuperscript", "uparrow", "downarrow", "par"),
        *("smallskip", "footnotesize", "raggedright", "textbackslash", "textasciicircum", "textasciitilde"),
        *("textless", "textgreater", "textbar", "textquotedbl", "textquotesingle", "textasciigrave", "textendash"),
        *("ldots", "triangle", "times", "shortstack", "tiny"),
    }
    plain = re.sub(r"\\[\\{}$&#%_,]", "", body)
    depth = 0
    for c in plain:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for way, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if way == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    assert plain.count("$") % 2 == 0
    assert "#" not in plain
    assert all(ord(c) < 0x180 for c in text)


def test_hostile_names_in_latex(hostile: Path) -> None:
    check_latex((hostile / "leaderboard.tex").read_text())


@pytest.mark.skipif(not any(map(shutil.which, ("tectonic", "pdflatex"))), reason="no LaTeX on this machine")
def test_latex_compiles(hostile: Path, tmp_path: Path) -> None:
    source = tmp_path / "page.tex"
    source.write_text(latex.document((hostile / "leaderboard.tex").read_text().replace("[tbp]", "[p]")))
    program = shutil.which("tectonic") or shutil.which("pdflatex")
    options = [] if program and program.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([str(program), *options, source.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_hostile_names_in_csv(hostile: Path) -> None:
    frame = pd.read_csv(hostile / "leaderboard.csv")
    assert len(frame) == 2 * len(HOSTILE)
    for column in ("method", "dataset"):
        assert not [v for v in frame[column].astype(str) if v.startswith(("=", "+", "-", "@"))]
    assert frame["method"].str.contains("calc").any()
    assert not frame["method"].str.contains("\n").any()


def test_csv_has_full_precision_and_dtypes(make_run: Any, tmp_path: Path) -> None:
    folder = make_run("a", 0.0123)
    make(LeaderboardRequest((folder, make_run("b", 0.1)), tmp_path / "out", figures=False))
    frame = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("method")
    value = json.loads((folder / "result.json").read_text())["metrics"]["amodal_iou_mean"]["value"]
    assert frame.loc["a", "amodal_iou_mean"] == value
    for name in ("amodal_iou_mean", "amodal_iou_mean.low", "modal_iou_mean", "run_ms_per_sample"):
        assert frame[name].dtype == "float64", name
    for name in ("samples", "rank", "amodal_iou_mean.n_defined", "amodal_iou_mean.rank"):
        assert frame[name].dtype == "int64", name
    assert frame["flagged"].dtype == bool
    assert frame["modal_iou_mean"].isna().all()
    tidy = pd.read_csv(tmp_path / "out/breakdowns.csv")
    assert tidy["value"].dtype == "float64"
    assert set(tidy["bin"]) == {"[0.0, 0.1)", "[0.1, 0.2)", "[0.2, 0.3)"}


def test_best_second_ties_dash_and_arrows(make_run: Any, metric: Any, tmp_path: Path) -> None:
    runs = (
        make_run("best", 0.2, seed=1, metrics={"fid": metric(None, "fid/1", 60, up=False, reason="no network here")}),
        make_run("twin", 0.2005, seed=2),
        make_run("last", 0.0, seed=3),
        make_run("seer", 0.4, seed=4, method={"truth_given": ["amodal"]}),
    )
    request = LeaderboardRequest(runs, tmp_path / "out", figures=False, columns=("amodal_iou_mean", "mask_l1", "fid"))
    make(request)
    md, tex = ((tmp_path / f"out/leaderboard.{s}").read_text() for s in ("md", "tex"))
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in md.splitlines() if line.startswith("| ")][2:]
    assert [r[0] for r in rows] == ["1", "1", "3", "–"]
    assert {rows[0][1], rows[1][1]} == {"best", "twin"}
    assert rows[0][2].startswith("**")
    assert rows[1][2].startswith("**")
    assert rows[2][2].startswith("<u>")
    assert rows[3][1].startswith("seer<sup>")
    assert not rows[3][2].startswith("**")
    assert "amodal IoU mean ↑" in md
    assert "mask L1 ↓" in md
    assert "–<sup>" in rows[0][4]
    assert "no network here" in md
    assert "not reported by the run" in md
    assert "\\[" in rows[0][2]
    assert tex.count("\\textbf{") >= 4
    assert "\\underline{" in tex
    assert "$\\uparrow$" in tex
    assert "no network here" in tex
    check_latex(tex)


def test_columns_and_sort(make_run: Any, tmp_path: Path) -> None:
    runs = (make_run("a", 0.0), make_run("b", 0.2))
    make(LeaderboardRequest(runs, tmp_path / "out", columns=("mask_l1",), sort="mask_l1", figures=False))
    text = (tmp_path / "out/leaderboard.md").read_text()
    assert "amodal" not in text
    assert text.index("| b") < text.index("| a")
    with pytest.raises(UsageError, match="did you mean 'mask_l1'"):
        make(LeaderboardRequest(runs, tmp_path / "out", columns=("mask_l2",), figures=False))


def test_made_twice_is_the_same(make_run: Any, tmp_path: Path) -> None:
    runs = (make_run("a"), make_run("b", 0.1))
    for out in ("one", "two"):
        make(LeaderboardRequest(runs, tmp_path / out, figures=False))
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.html", "breakdowns.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("values", "places"), [((123.4,), 1), ((17.8, 12.1), 2), ((0.5,), 3), ((0.05,), 4), ((0.001,), 5), ((), 3)]
)
def test_decimals(values: tuple[float, ...], places: int) -> None:
    assert decimals(values) == places


def test_small_things() -> None:
    assert fixed(-0.0001, 2) == "0.00"
    assert fixed(None, 2) == "–"
    assert fixed(float("nan"), 2) == "–"
    assert shown("x" * 100, 10) == "x" * 9 + "…"
    assert markdown.escape("a_b|c") == r"a\_b\|c"
    assert latex.escape("a_b%") == r"a\_b\%"
    assert latex.escape("é🦊") == "é(U+1F98A)"


@pytest.mark.parametrize(("n", "said"), [(8, True), (60, False)])
def test_too_few_humans_are_mentioned(make_run: Any, tmp_path: Path, n: int, said: bool) -> None:
    runs = (make_run("a", n=n), make_run("b", 0.2, n=n))
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False))
    text = (tmp_path / "out/leaderboard.md").read_text()
    assert ("no difference can be significant" in text) == said


def test_without_samples_ranks_go_by_value(make_run: Any, tmp_path: Path) -> None:
    runs = (make_run("a"), make_run("b", 0.2))
    for run in runs:
        (run / "samples.csv").unlink()
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False))
    text = (tmp_path / "out/leaderboard.md").read_text()
    assert "ranks follow the values" in text
    assert text.index("| 1 | b") < text.index("| 2 | a")


def test_where_nobody_can_be_told_apart_marks_go_by_value(make_run: Any, tmp_path: Path) -> None:
    # Six humans and three pairs: no p can pass 0.05, all share rank 1.
    runs = tuple(make_run(n, q, n=12, seed=k) for k, (n, q) in enumerate((("low", 0.0), ("mid", 0.1), ("top", 0.2))))
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False, columns=("amodal_iou_mean",)))
    text = (tmp_path / "out/leaderboard.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| 1 |")]
    assert [r[1] for r in rows] == ["top", "mid", "low"]
    assert [r[2][:2] for r in rows] == ["**", "<u", "0."]
    assert "Bold: best value" in text
    make(
        LeaderboardRequest(runs, tmp_path / "timed", figures=False, columns=("mask_l1", "run_ms_per_sample")),
    )
    assert "without a significance test: run time." in (tmp_path / "timed/leaderboard.md").read_text()


def test_a_size_is_shown_beside_the_speeds_and_is_no_time(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SPEED, "parameters", replace(SPEED["parameters"], by_default=True))
    timed = {name: {"p50_ms": 2, "p90_ms": 3} for name in ("a", "b")}
    report = tmp_path / "latency.json"
    methods = [{"name": name, "end_to_end": times, "ratio": {"median": 1}} for name, times in timed.items()]
    protocol = {"size": [64, 64], "deviations": []}
    report.write_text(json.dumps({"methods": methods, "protocol": protocol, "device": "a cpu", "reference": "a"}))
    runs = (make_run("a", method={"parameters": 5_000_000}), make_run("b"))
    (table,), *_ = build_tables(LeaderboardRequest(runs, tmp_path / "out", latency=(report,)))
    speeds = [c for c in table.columns if c.speed]
    assert [c.id for c in speeds] == ["latency_p50_ms", "latency_ratio", "parameters"]
    assert [c.time for c in speeds] == [True, True, False]
    missing = next(r for r in table.rows if r.name == "b").cells["parameters"].note
    assert missing is not None
    assert "no speed" not in table.footnotes[missing]


def test_an_oracle_takes_no_rank_from_others(make_run: Any, tmp_path: Path) -> None:
    # One pair of six humans can pass; three pairs could not.
    runs = (
        make_run("a", 0.2, n=12),
        make_run("b", n=12, seed=1),
        make_run("o", 0.4, n=12, method={"truth_given": ["x"]}),
    )
    make(LeaderboardRequest(runs, tmp_path / "out", figures=False, columns=("amodal_iou_mean",)))
    text = (tmp_path / "out/leaderboard.md").read_text()
    assert "| 1 | a |" in text
    assert "| 2 | b |" in text
    make(LeaderboardRequest(runs[1:], tmp_path / "alone", figures=False))
    assert "nothing was compared" in (tmp_path / "alone/leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("amodal_iou_mean", "amodal IoU mean"),
        ("l1_invisible", "L1 invisible"),
        ("parsing_miou", "parsing mIoU"),
        ("garment_delta_e", "garment delta E"),
        ("fd[my_net@0a1b]", "FD[my_net@0a1b]"),
        ("part_recall[left-arm]", "part recall[left-arm]"),
    ],
)
def test_headings(name: str, words: str) -> None:
    recorded = {"unit": "ratio", "higher_is_better": True, "definition": "some/1"}
    assert spec_of_record(name, recorded, "joint").heading == words
