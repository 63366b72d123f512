"""The HTML report: one file that works offline from disk; its tables are readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from deocc_bench.core.files import atomic_write
from deocc_bench.core.painting import LAYER_NAMES, encode_layer
from deocc_bench.leaderboard.claimed import Claim
from deocc_bench.leaderboard.payload import embed_json, group_payload
from deocc_bench.leaderboard.pictures import SamplePictures, encode_photo, load_pictures
from deocc_bench.leaderboard.records import Unreadable
from deocc_bench.leaderboard.samples import Section
from deocc_bench.leaderboard.table import Board, Cell, Column, Row, Table
from deocc_bench.leaderboard.text import DASH, clean, fixed, shown

THUMBNAIL = 176
LINKED_SIDE = 320
PICTURES_FOLDER = "report_files"
# Only our own script may run, even if a name contains code; nothing may be loaded from the network.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; img-src data: 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(
    path: Path,
    sections: Sequence[Section],
    pictures: Sequence[Mapping[str, Any]],
    board: Board,
    title: str = "Leaderboard",
) -> None:
    """Write the report as one file. `pictures`: those of each section, from `collect_pictures`."""
    style, script, page = (_asset(n) for n in ("report.css", "report.js", "report.html"))
    data = embed_json([group_payload(s, k, found) for k, (s, found) in enumerate(zip(sections, pictures, strict=True))])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = sum(len(s.table.rows) for s in sections)
    flagged = [row for s in sections for row in s.table.rows if row.flagged]
    text = Template(page).substitute(
        policy=_POLICY.format(digest),
        title=escape(shown(title, 120)),
        style=style,
        script=script,
        data=data,
        summary=f"{_plural(runs, 'run')} in {_plural(len(sections), 'table')}",
        contents=_contents(sections),
        warning=_warning(flagged),
        sections="\n".join(_section(s, k) for k, s in enumerate(sections)),
        claims=_claims(board.claims, "Claimed for datasets without a run") if board.claims else "",
        unreadable=_unreadable(board.unreadable) if board.unreadable else "",
    )
    atomic_write(path, text)


def collect_pictures(section: Section, budget: int, link_to: Path | None = None) -> dict[str, Any]:
    """Collect pictures of samples, alternating between worst and best, until `budget` bytes are used.

    Args:
        budget: bytes of picture files to embed; ignored with `link_to`.
        link_to: folder of the report; pictures of all samples are written below it and linked relative to it.

    Returns:
        Index of the sample -> its sources; empty if the dataset or the predictions are not available.
    """
    table, dataset, values = section.table, section.dataset, section.values
    runs = [row.run for row in table.rows]
    if values is None or dataset is None or not any(r.predictions for r in runs):
        return {}
    records = {r.id: r for r in dataset.records(str(table.group.dataset["split"]))}
    found: dict[str, Any] = {}
    used = 0
    for index in _both_ends(values.worst_first()):
        record = records.get(values.ids[index])
        if record is None:
            continue
        loaded = load_pictures(record, runs, THUMBNAIL if link_to is None else LINKED_SIDE)
        encoded = _encoded(loaded)
        size = sum(len(data) for _, data in encoded.values())
        if link_to is None and used + size * 4 // 3 > budget:
            break
        used += size * 4 // 3
        folder = None if link_to is None else link_to / PICTURES_FOLDER / table.group.slug
        found[str(index)] = _sources(loaded, encoded, folder, link_to, index)
    return found


def _both_ends(order: Sequence[int]) -> list[int]:
    turns = []
    for k in range((len(order) + 1) // 2):
        turns += [order[k], order[-1 - k]]
    return list(dict.fromkeys(turns))


def _encoded(loaded: SamplePictures) -> dict[str, tuple[str, bytes]]:
    """Key -> (suffix, bytes); the keys are `input`, `complete`, `truth`, and `m<k>`, `i<k>` of run k."""
    found = {"input": ("webp", encode_photo(loaded.image)), "truth": ("png", encode_layer(loaded.truth))}
    if loaded.complete is not None:
        found["complete"] = ("webp", encode_photo(loaded.complete))
    for k, answer in enumerate(loaded.answers):
        if answer.layer is not None:
            found[f"m{k}"] = ("png", encode_layer(answer.layer))
        if answer.image is not None:
            found[f"i{k}"] = ("webp", encode_photo(answer.image))
    return found


def _sources(
    loaded: SamplePictures,
    encoded: Mapping[str, tuple[str, bytes]],
    folder: Path | None,
    root: Path | None,
    index: int,
) -> dict[str, Any]:
    height, width = loaded.image.shape[:2]
    sources: dict[str, Any] = {"size": [width, height]}
    for key, (suffix, data) in encoded.items():
        if folder is None or root is None:
            sources[key] = f"data:image/{suffix};base64,{base64.b64encode(data).decode()}"
        else:
            path = folder / f"{index:06d}-{key}.{suffix}"
            atomic_write(path, data)
            sources[key] = path.relative_to(root).as_posix()
    return sources


def _contents(sections: Sequence[Section]) -> str:
    if len(sections) < 2:
        return ""
    links = [
        f'<li><a href="#table-{k}">{escape(shown(s.table.group.title, 90))}</a> '
        f'<span class="quiet">{_plural(len(s.table.rows), "run")}</span></li>'
        for k, s in enumerate(sections)
    ]
    return f'<nav aria-label="Tables"><ul class="contents">{"".join(links)}</ul></nav>'


def _warning(flagged: Sequence[Row]) -> str:
    if not flagged:
        return ""
    items = "".join(
        f"<li><strong>{escape(shown(r.name, 60))}</strong>: {escape('; '.join(clean(f) for f in r.run.findings))}</li>"
        for r in flagged
    )
    return (
        f'<div class="warning" role="alert"><p><strong>'
        f"{_plural(len(flagged), 'untrusted record')}.</strong> Untrusted records come last and are not ranked.</p>"
        f"<ul>{items}</ul></div>"
    )


def _section(section: Section, k: int) -> str:
    table = section.table
    notes = "".join(
        f'<li id="note-{k}-{mark}"><sup>{mark}</sup> {escape(text)}</li>' for mark, text in table.footnotes.items()
    )
    remarks = "".join(f"<p>{escape(r)}</p>" for r in table.remarks)
    legend = "".join(
        f'<li><span class="swatch c{c}" aria-hidden="true"></span>{escape(n)}</li>' for c, n in LAYER_NAMES.items()
    )
    return Template(_asset("section.html")).substitute(
        k=k,
        title=escape(shown(table.group.title, 160)),
        full=escape(clean(table.group.title)),
        subtitle=escape(shown(table.group.subtitle, 200)),
        head="".join(_heading(c, k, i, table.sort == c.id) for i, c in enumerate(table.columns)),
        body="\n".join(_row(table, r, k, i) for i, r in enumerate(table.rows)),
        count=_plural(len(table.rows), "run"),
        notes=f'<ul class="notes">{notes}</ul>' if notes else "",
        remarks=remarks,
        claims=_claims(table.claims, "Claimed by papers, not measured here") if table.claims else "",
        legend=legend if table.group.task != "content" else "",
        definitions="".join(_definition(c) for c in table.columns),
        runs="".join(_provenance(r) for r in table.rows),
    )


def _heading(c: Column, k: int, i: int, sorted_by: bool) -> str:
    unit = f' <span class="unit">{escape(c.unit)}</span>' if c.unit not in ("ratio", "count") else ""
    order = ("descending" if c.higher_is_better else "ascending") if sorted_by else "none"
    better = "higher is better" if c.higher_is_better else "lower is better"
    hint = escape(f"{c.meaning or c.heading} ({better})")
    return (
        f'<th scope="col" aria-sort="{order}" class="num"><button type="button" data-column="{i}" title="{hint}">'
        f'{escape(c.heading)}<span class="tail">{unit} <span class="better" aria-hidden="true">{c.arrow}</span>'
        f'<span class="sr">, {better}</span><span class="way" aria-hidden="true"></span></span></button></th>'
    )


def _row(table: Table, row: Row, k: int, i: int) -> str:
    marks = "".join(_mark(k, m) for m in row.notes)
    flag = '<span class="flag">changed</span> ' if row.flagged else ""
    out = "" if row.ranked or row.flagged else '<span class="flag calm">not ranked</span> '
    rank = DASH if row.rank is None else str(row.rank)
    kind = "flagged" if row.flagged else "" if row.ranked else "unranked"
    name = _breakable(escape(shown(row.name, 40)))
    full = escape(clean(row.name))
    return (
        f'<tr data-row="{i}" class="{kind}" data-name="{full.lower()}">'
        f'<td class="rank" data-value="{"" if row.rank is None else row.rank}">{rank}</td>'
        f'<th scope="row" title="{full}"><span class="name">{name}</span> {flag}{out}{marks}</th>'
        + "".join(_cell(row.cells[c.id], c, k) for c in table.columns)
        + "</tr>"
    )


def _breakable(name: str) -> str:
    """An escaped name with optional line breaks after the separators in method names."""
    return re.sub(r"([:+/_])(?=\w)", r"\1<wbr>", name)


def _cell(cell: Cell, c: Column, k: int) -> str:
    value = "" if cell.value is None else repr(cell.value)
    text = fixed(cell.value, c.decimals)
    place = {1: "best", 2: "second"}.get(cell.place or 0, "")
    said = {1: '<span class="sr"> (rank 1)</span>', 2: f'<span class="sr"> (rank {cell.rank})</span>'}
    extra = "" if cell.note is None else _mark(k, cell.note)
    ends = ""
    if cell.ci95 is not None and cell.value is not None:
        low, high = (fixed(v, c.decimals) for v in cell.ci95)
        ends = f'<span class="ci"><span class="sr">95 % interval </span>{low} {DASH} {high}</span>'
    hint = "" if cell.n is None else f' title="{escape(_counted(cell))}"'
    number = f'<span class="v">{text}</span>{said.get(cell.place or 0, "")}{extra}'
    return f'<td class="num {place}" data-value="{value}"{hint}>{number}{ends}</td>'


def _counted(cell: Cell) -> str:
    rank = "" if cell.rank is None else f"rank {cell.rank}; "
    value = "not defined" if cell.value is None else repr(cell.value)
    return f"{value}; {rank}defined on {cell.n_defined} of {cell.n} samples"


def _mark(k: int, mark: str) -> str:
    return f'<sup><a href="#note-{k}-{mark}" aria-label="note {mark}">{mark}</a></sup>'


def _claims(claims: Sequence[Claim], title: str) -> str:
    rows = "".join(
        f'<tr><th scope="row" title="{escape(c.method)}">{escape(shown(c.method, 40))}</th>'
        f"<td>{escape(shown(c.dataset, 40))}</td><td>{escape(c.metric or 'not stated')}</td>"
        f'<td class="num">{c.value!r}</td><td>{escape(shown(c.source, 120))}'
        f"{f'<br><span class=quiet>{escape(c.note)}</span>' if c.note else ''}</td></tr>"
        for c in claims
    )
    return (
        f'<section class="claims"><h3>{escape(title)}</h3><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(title)}"><table><thead><tr><th scope="col">method</th><th scope="col">dataset</th>'
        f'<th scope="col">metric</th><th scope="col" class="num">claimed value</th><th scope="col">source</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _unreadable(records: Sequence[Unreadable]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(shown(u.path, 200))}</th><td>{escape(shown(u.reason, 300))}</td></tr>'
        for u in records
    )
    return (
        '<section class="claims"><h3>Unreadable records</h3><div class="scroll" tabindex="0" role="region" '
        'aria-label="Unreadable records"><table><thead><tr><th scope="col">record</th>'
        f'<th scope="col">unreadable, because</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _definition(c: Column) -> str:
    source = f' <span class="quiet">{escape(c.source)}</span>' if c.source not in ("", "deocc-bench") else ""
    meaning = escape(c.meaning or "this definition is unknown to this version")
    return f"<dt><code>{escape(c.definition)}</code></dt><dd>{meaning}{source}</dd>"


def _provenance(row: Row) -> str:
    r = row.run.record
    machine = ", ".join(str(v) for v in (r.environment.get("cpu"), r.environment.get("gpu")) if v)
    facts = {
        "command": r.command,
        "date": r.date,
        "machine": machine,
        "deocc-bench": r.version,
        "seed": r.seed,
        "code": str(r.method.get("code_digest") or "unknown")[:12],
        "checked": row.run.verified or "digests and table",
        "notes": "; ".join(map(str, r.notes)),
    }
    items = "".join(f"<dt>{k}</dt><dd>{escape(clean(v))}</dd>" for k, v in facts.items() if v not in ("", None))
    name, full = escape(shown(row.name)), escape(clean(row.name))
    return f'<details><summary title="{full}">{name}</summary><dl>{items}</dl></details>'


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _asset(name: str) -> str:
    return (files("deocc_bench.leaderboard") / "assets" / name).read_text(encoding="utf-8")
