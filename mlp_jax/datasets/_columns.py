"""The columns of a table as numbers: which kind each is, and what of it the network sees. All of it is plain data.

A number stays one; where it is missing, it becomes the training examples' median, and if it is missing there too, a
column of its own says where. A date is the number of days since 1970. A text becomes one column for each value, 1 where
it is the value: one-hot. A missing text is a value too. A value that no training example has is 0 in all of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from mlp_jax._doors import check_choice, did_you_mean, mistake
from mlp_jax.datasets._user_files import INDEX, listed, to_number

Array = NDArray[Any]
Kind = Literal["number", "category", "date"]

DROP = "drop"  # what `--columns` takes too
MOST_VALUES = 50  # of a text: more are names rather than categories
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?")
MOST_NAMED = 8  # columns in a line
FAR = 10  # ranges of the others that a value has to lie apart from them to be a sentinel, such as -999


class Column(NamedTuple):
    """How a column is prepared.

    Attributes:
      name: in the table's header.
      kind: number, category or date.
      fill: of a number or date, the median, for missing ones.
      is_marked: whether a column of its own says where numbers are missing.
      values: of a category; "" is a missing one.
    """

    name: str
    kind: Kind
    fill: float = 0.0
    is_marked: bool = False
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The number of features that the network sees."""
        return len(self.values) if self.kind == "category" else 1 + self.is_marked


def fitted(
    columns: Mapping[str, Array], rows: Array, kinds: Mapping[str, str], where: str
) -> tuple[tuple[Column, ...], list[str]]:
    """Return how to prepare the columns of a table, from its training rows, and lines that say so.

    Args:
      columns: of the table, as read.
      rows: the indices of the training examples.
      kinds: what the user chose for some columns: a kind, or "drop".
      where: the file, for errors.

    Raises:
      ValueError: if a choice is of no column or of no kind, or if nothing is left.
    """
    for name, kind in kinds.items():
        if name not in columns:
            cure = did_you_mean(name, list(columns)) or "name one of these"
            raise mistake("columns", f"a column of {where}: {listed(list(columns))}", repr(name), cure)
        check_choice(f"columns {name}", kind, (*get_args(Kind), DROP))
    chosen, left_out = [], []
    for name, cells in columns.items():
        kind, why = _kind(name, cells, kinds.get(name))
        if kind == DROP:
            left_out.append(f"{name!r} ({why})")
        else:
            chosen.append(_fit(name, kind, cells, rows, where))
    if not chosen:
        got = f"none that is left: {', '.join(left_out[:MOST_NAMED])}"
        raise mistake(where, "columns to learn from", got, "write dates as 2024-01-31, or name a kind by --columns")
    return tuple(chosen), [*_remarks(chosen, columns), *_lines("columns left out", left_out)]


def prepared(columns: Sequence[Column], table: Mapping[str, Array], where: str) -> tuple[Array, list[str]]:
    """Return x (N, D) in float64, and lines about values that no training example had.

    Raises:
      ValueError: if a number is a text.
    """
    parts, lines = zip(*features(columns, table, where), strict=True)
    return np.concatenate(parts, axis=1), [line for line in lines if line]


def features(columns: Sequence[Column], table: Mapping[str, Array], where: str) -> Iterator[tuple[Array, str]]:
    """Yield the features (N, width) that each column becomes, and a line on what no training example had, or ""."""
    for column in columns:
        cells = table[column.name]
        if column.kind == "category":
            texts = _texts(cells)
            one_hot = texts[:, None] == np.array(column.values, object)[None, :]
            unknown, line = ~one_hot.any(axis=1), ""
            if unknown.any():
                first = repr(texts[unknown][0]) if texts[unknown][0] else "a missing value"
                line = f"column {column.name!r}: {unknown.sum():,} unknown, such as {first}: 0 in all its columns"
            yield one_hot.astype(np.float64), line
            continue
        numbers = _numbers(column, cells, where)
        is_missing, line = np.isnan(numbers), ""
        if is_missing.any() and not column.is_marked:
            line = f"column {column.name!r}: {is_missing.sum():,} missing, taken for the median, {column.fill:g}"
        filled = np.where(is_missing, column.fill, numbers)
        yield np.stack([filled, is_missing], axis=1) if column.is_marked else filled[:, None], line


def _kind(name: str, cells: Array, choice: str | None) -> tuple[Any, str]:
    """Return the kind of a column, or "drop" and why."""
    if choice is not None:
        return choice, "as you say"
    if cells.dtype.kind == "f":
        if name == INDEX and (np.diff(cells) == 1).all():
            return DROP, "no name, and counts the rows"
        if np.isnan(cells).all():
            return DROP, "all of it is missing"
        return "number", ""
    known = [cell for cell in cells if cell is not None]
    if not known:
        return DROP, "all of it is missing"
    if all(DATE.fullmatch(cell) for cell in known):
        return "date", ""
    count = len(set(known))
    if count > MOST_VALUES or (count > 2 and count == len(cells)):
        return DROP, f"{count:,} different texts; --columns NAME=category keeps it"
    return "category", ""


def _fit(name: str, kind: Kind, cells: Array, rows: Array, where: str) -> Column:
    if kind == "category":
        return Column(name, kind, values=tuple(sorted(set(_texts(cells)[rows].tolist()))))
    numbers = _numbers(Column(name, kind), cells, where)[rows]
    is_missing = np.isnan(numbers)
    fill = 0.0 if is_missing.all() else float(np.nanmedian(numbers))
    return Column(name, kind, fill, bool(is_missing.any()))


def _texts(cells: Array) -> Array:
    if cells.dtype.kind == "f":
        return np.array(["" if np.isnan(cell) else f"{cell:g}" for cell in cells], object)
    return np.array(["" if cell is None else cell for cell in cells], object)


def _numbers(column: Column, cells: Array, where: str) -> Array:
    """Return a column's numbers, or its dates' days since 1970; NaN where missing."""
    if cells.dtype.kind == "f":
        return cells
    parse, expected = (_days, "dates such as 2024-01-31") if column.kind == "date" else (_number, "numbers")
    numbers = np.array([np.nan if cell is None else parse(cell) for cell in cells], np.float64)
    is_bad = np.isnan(numbers) & np.array([cell is not None for cell in cells])
    if is_bad.any():
        got = f"{cells[is_bad][0]!r} in row {is_bad.argmax()} (from 0)"
        raise mistake(f"{where}, column {column.name!r}", expected, got, "correct it, or leave the cell empty")
    return numbers


def _number(text: str) -> float:
    """Return the number that a text is; NaN for another text."""
    try:
        return to_number(text)
    except ValueError:
        return np.nan


def _days(text: str) -> float:
    """Return the days since 1970 of a date; NaN for another text."""
    if not DATE.fullmatch(text):
        return np.nan
    date, _, time = text.replace("T", " ").rstrip("Z").partition(" ")
    year, month, day = (int(part) for part in re.split("[-/.]", date))
    try:
        whole = np.datetime64(f"{year:04}-{month:02}-{day:02}", "D").astype(float)
    except ValueError:
        return np.nan
    seconds = sum(float(part) * unit for part, unit in zip(time.split(":"), (3600, 60, 1), strict=False) if part)
    return float(whole) + seconds / 86400


def _remarks(chosen: Sequence[Column], table: Mapping[str, Array]) -> Iterator[str]:
    """Yield a line for each kind of column that is not a plain number, and what is worth a line of its own."""
    by_kind = {kind: [column for column in chosen if column.kind == kind] for kind in get_args(Kind)}
    texts = [f"{column.name!r} ({column.width} values{_gaps(table[column.name])})" for column in by_kind["category"]]
    yield from _lines("columns of texts, a feature for each value", texts)
    yield from _lines("columns of dates, as days since 1970", [repr(column.name) for column in by_kind["date"]])
    marked = [f"{column.name!r} ({column.fill:g})" for column in chosen if column.is_marked]
    yield from _lines("columns with missing numbers, which become the median and are marked", marked)
    constant, counting = [], []
    for column in by_kind["number"]:
        cells = _numbers(column, table[column.name], "")  # checked before
        known = cells[~np.isnan(cells)]
        if (known == known[0]).all():
            constant.append(repr(column.name))
        elif len(cells) > 2 and (np.diff(cells) == 1).all():
            counting.append(repr(column.name))
        yield from (f"column {column.name!r}: {words}" for words in sentinels(known))
    yield from _lines("constant columns, which tell nothing", constant)
    yield from _lines("columns that count the rows (--columns NAME=drop leaves them out)", counting)


def _gaps(cells: Array) -> str:
    missing = sum(cell is None for cell in cells.tolist())
    return f", {missing:,} missing" if missing else ""


def _lines(what: str, names: Sequence[str]) -> list[str]:
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"{what}: {', '.join(names[:MOST_NAMED])}{rest}"] if names else []


def sentinels(known: Array) -> Iterator[str]:
    """Yield a remark on a repeated extreme value of nines that is far from all others."""
    for extreme in (known.min(), known.max()):
        others = known[known != extreme]
        count = len(known) - len(others)
        if count < 2 or len(others) < 2 or not re.fullmatch(r"-?9{2,}(?:\.0+)?|-1", f"{extreme:g}"):
            continue
        spread = max(np.ptp(others), 1e-300)
        distance = min(abs(extreme - others.min()), abs(extreme - others.max()))
        if distance > FAR * spread or (extreme <= -99 and others.min() >= 0):
            yield f"{count:,} values are {extreme:g}, far from the others: empty these cells if they are missing ones"
