"""The per-sample table: one row per sample, sorted by id; writing and reading `samples.csv` is lossless."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deocc_bench.core.errors import InputError, one_line
from deocc_bench.core.files import atomic_write
from deocc_bench.core.reading import read_file

TEXT_COLUMNS = ("id", "group", "occluder_categories")
REQUIRED_COLUMNS = ("id", "group")
# Separates the categories of one sample; it is replaced inside category names.
_CATEGORY_SEPARATOR = "|"
_CURE = "re-score the run to rewrite it"
_LARGEST = 1e100
_FORMULA = ("=", "+", "-", "@")
# Separates sample and draw in the ids of a random method's table.
_DRAW_MARK = "#"


def identity_row(sample_id: str, group: str, occluder_categories: Iterable[str] = ()) -> dict[str, Any]:
    """The columns that identify a sample and assign it to the bins of the breakdowns.

    Args:
        sample_id: unique in the table.
        group: group id of the source human; the bootstrap resamples groups.
        occluder_categories: category of each placed occluder, with repeats.
    """
    categories = [c.replace(_CATEGORY_SEPARATOR, "/") for c in occluder_categories]
    return {
        "id": sample_id,
        "group": group,
        "occluder_categories": _CATEGORY_SEPARATOR.join(sorted(set(categories))),
        "occluders": len(categories),
    }


def categories_of(cell: str) -> list[str]:
    """The categories in a cell of `occluder_categories`."""
    return [name for name in cell.split(_CATEGORY_SEPARATOR) if name]


def mark_draw(table: pd.DataFrame, draw: int) -> pd.DataFrame:
    """Return the table with ids `SAMPLE#DRAW`, so that one table can contain all draws of a random method."""
    return table.assign(id=[f"{i}{_DRAW_MARK}{draw:02d}" for i in table["id"]])


def sample_of(row_id: str) -> str:
    """The sample id in an id made by `mark_draw`."""
    return row_id.rpartition(_DRAW_MARK)[0]


def join_tables(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables; a column missing from one of them is undefined in its rows."""
    return to_table(pd.concat(list(tables)).astype(object).to_dict("records"))


def to_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Convert rows (dicts; None where undefined) to a table sorted by id: text columns first, the others sorted.

    Integer columns are `Int64` (nullable), the others float64 with NaN; text columns are str.

    Raises:
        InputError: a row has no id or group, or an id is not unique.
    """
    return _normalise(pd.DataFrame([dict(r) for r in rows], dtype=object), "samples")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write `samples.csv` atomically. Floats have their shortest exact form; undefined values are empty.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, which `read_table` removes.
    """
    buffer = io.StringIO()
    texts = {name: [_guarded(t) for t in table[name]] for name in TEXT_COLUMNS if name in table.columns}
    table.assign(**texts).to_csv(buffer, index=False, lineterminator="\n")
    atomic_write(path, buffer.getvalue())


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table written by `write_table`, without loss.

    Raises:
        InputError: the file is missing, is not a table, has no id columns, or a value that is not a number.
    """
    path = Path(path)
    try:
        raw = pd.read_csv(io.BytesIO(read_file(path)), dtype=str, keep_default_na=False)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise InputError(path, f"not a table ({one_line(error, 200)})", _CURE) from error
    if not isinstance(raw.index, pd.RangeIndex):  # pandas takes the first cells of such rows as names
        raise InputError(path, "not a table (its rows have more cells than its head)", _CURE)
    for name in set(TEXT_COLUMNS) & set(raw.columns):
        raw[name] = [_unguarded(t) for t in raw[name]]
    return _normalise(raw, str(path))


def column(table: pd.DataFrame, name: str) -> np.ndarray:
    """Column `name` as float64 (N,), NaN where undefined; all NaN if the table has no such column."""
    if name not in table.columns:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].to_numpy(dtype=np.float64, na_value=np.nan))


def _guarded(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def _normalise(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    for name in REQUIRED_COLUMNS:
        if name not in frame.columns:
            raise InputError(where, f"no column '{name}'", "each row needs " + " and ".join(REQUIRED_COLUMNS))
    columns = {name: _typed(frame[name], name, where) for name in frame.columns}
    ordered = [n for n in TEXT_COLUMNS if n in columns] + sorted(n for n in columns if n not in TEXT_COLUMNS)
    table = pd.DataFrame({n: columns[n] for n in ordered}).sort_values("id", kind="stable", ignore_index=True)
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise InputError(where, f"sample {one_line(twice.iloc[0], 80)!r} occurs twice", "keep one row per sample")
    return table


def _typed(values: pd.Series, name: str, where: str) -> pd.Series:
    if name in TEXT_COLUMNS:
        if values.isna().any():
            raise InputError(where, f"column '{name}' has empty cells", "fill in a value in each row")
        return values.astype(str).astype(object)
    cells = values.to_numpy(dtype=object).tolist()
    kinds = {type(c) for c in cells}
    try:
        if str in kinds:
            return _parsed(cells)
        if kinds <= {int}:
            return _integers(cells, np.zeros(len(cells), dtype=bool))
        missing = np.array([c is None or c is pd.NA or c != c for c in cells], dtype=bool)
        if all(m or isinstance(c, (int, np.integer, np.bool_)) for c, m in zip(cells, missing, strict=True)):
            return _integers([0 if m else int(c) for c, m in zip(cells, missing, strict=True)], missing)
        return pd.Series([np.nan if m else float(c) for c, m in zip(cells, missing, strict=True)], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        told = f"column {one_line(name, 80)!r} has a value that is not a number ({one_line(error, 100)})"
        raise InputError(where, told, _CURE) from error


def _parsed(cells: list[Any]) -> pd.Series:
    # Integers are written without a point, floats always with one (or an exponent), so the text determines the type.
    texts = [str(c) for c in cells]
    missing = np.array([t == "" for t in texts], dtype=bool)
    if all(t.lstrip("-").isdigit() for t in texts if t):
        return _integers([int(t or 0) for t in texts], missing)
    values = np.array([float(t) if t else np.nan for t in texts])
    # Undefined values are written as empty cells; a larger number would overflow in the statistics.
    odd = [t for t, v in zip(texts, values.tolist(), strict=True) if t and not abs(v) <= _LARGEST]
    if odd:
        raise ValueError(odd[0])
    return pd.Series(values, dtype=np.float64)


def _integers(values: list[int], missing: np.ndarray) -> pd.Series:
    return pd.Series(pd.arrays.IntegerArray(np.array(values, dtype=np.int64), missing))
