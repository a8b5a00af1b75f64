"""The user's own files, read as they are: CSV and other text tables, Excel, Parquet and NPZ. Nothing is scaled here."""

import csv
import itertools
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_jax._doors import did_you_mean, mistake
from mlp_jax._extras import needs
from mlp_jax.datasets._formats import SAMPLE, WITH_COMMA, Format, format_of

Array = NDArray[Any]
FilePath = str | os.PathLike[str]

OTHERS = {".xlsx": "openpyxl", ".parquet": "pyarrow"}  # tables that are no texts, and what reads them
TABLES = (".csv", ".tsv", ".txt", *OTHERS)
X_NAMES, LABEL_NAMES = ("x", "X"), ("labels", "y")
CODE = re.compile(r"0\d+")
INDEX = "index"  # the name of a first column without one
ROWS = 2**16  # of a text table read at a time
NPZ_CURE = "write it by numpy.savez(path, x=x, labels=labels)"
MISSING = frozenset(("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?"))  # as pandas reads and UCI writes
NA_VALUES = sorted({"NaN", *(form for text in MISSING for form in (text, text.upper(), text.capitalize()))})


class Raw(NamedTuple):
    """The contents of a file.

    Attributes:
      columns: of a table, by name: numbers (N,) in float64, NaN where missing, or texts (N,), None where missing.
      x: of an NPZ, (N, D), unscaled; None for a table.
      labels: N texts; None if the file has none.
      images: whether all of x shares one mean and scale.
      label: the name of a table's label column.
      found: how a text table is written, in words; empty for a plain CSV.
    """

    columns: Mapping[str, Array]
    x: Array | None
    labels: tuple[str, ...] | None
    images: bool = False
    label: str = ""
    found: str = ""


def read_table(
    path: FilePath, features: Sequence[str] | None = None, label: str | None = None, texts: Sequence[str] = ()
) -> Raw:
    """Read the rows of a table: .csv, .tsv, .txt, .xlsx or .parquet.

    Of a text file, encoding, separator and decimal mark are found out.

    Args:
      path: a file with a header row.
      features: for prediction, the columns in their order; others are ignored. By default, as for training, all columns
        but the label.
      label: the column of the labels, by default the last. For prediction it may be absent.
      texts: the columns that are texts, also if they look like numbers.

    Raises:
      ValueError: if the contents are wrong, with column, line and value.
      OSError: if the file cannot be read.
      ModuleNotFoundError: if pandas, or what it needs for Excel or Parquet, is missing.
    """
    path = Path(path)
    with needs("pandas", "data", "a table"):
        __import__("pandas")
    form, found = Format(), ""
    is_text = path.suffix.lower() not in OTHERS
    if is_text:
        form = format_of(path)
        found = form.words
        header, rows, codes = _structure(path, form)
        texts = [*texts, *(codes if features is None else ())]
    else:
        frame, found = _frame_of_other(path)
        header, rows = [str(name) for name in frame.columns], len(frame)
        frame.columns = header
        if not header:
            raise mistake(path, "a header row and rows of data", f"an empty table{found and f', {found}'}", "add them")
        _check_names(str(path), header)
    if features is None:
        label = header[-1] if label is None else label
        features = [name for name in header if name != label]
        if not features:
            cure = f"look at {found}" if found else "put commas between the cells, or add columns"
            raise mistake(path, "columns of features next to the label", f"only {label!r}", cure)
        _find_columns(path, [label], header)
    _find_columns(path, features, header)
    if not rows:
        raise mistake(path, "rows of data below the header row", "none", "add them")
    labels_too = [label] if label in header else []
    if is_text:
        cells = _cells_of_text(path, form, header, rows, features, labels_too, frozenset(texts))
    else:
        cells = {name: _column(frame[name], name in texts) for name in features}
        cells |= {name: frame[name].to_numpy(object) for name in labels_too}
    labels = None if label not in cells else _labels(path, form, label, cells.pop(label))
    columns = {name: cells[name] for name in features}
    for name, column in columns.items():
        _check_column(path, form, name, column)
    return Raw(columns, None, labels, label=label or "", found=found)


def _cells_of_text(
    path: Path,
    form: Format,
    header: list[str],
    rows: int,
    features: Sequence[str],
    labels: Sequence[str],
    texts: frozenset[str],
) -> dict[str, Array]:
    """Return the columns of a text table, read in blocks, so that little more memory is used than they need.

    A column that has a text in any block is one of texts: then the file is read again. Equal texts are one object.
    """
    import pandas

    blocks = pandas.read_csv(
        path,
        sep=form.separator,
        decimal=form.decimal,
        thousands=form.thousands,
        encoding=form.encoding,
        names=header,
        header=0,
        usecols=[*features, *labels],
        dtype={name: str for name in (*texts, *labels)},
        keep_default_na=False,
        na_values={name: NA_VALUES for name in features},
        skipinitialspace=True,
        chunksize=ROWS,
    )
    columns: dict[str, Array] = {}
    same: dict[Any, Any] = {}
    with blocks:
        for block in blocks:
            parts = {name: _column(block[name], name in texts) for name in features}
            parts |= {name: block[name].to_numpy(object) for name in labels}
            new = {name for name in features if parts[name].dtype == object} - texts
            if new and rows > len(block):
                return _cells_of_text(path, form, header, rows, features, labels, texts | new)
            start = block.index[0]
            for name, part in parts.items():
                column = columns.setdefault(name, np.empty(rows, part.dtype))
                one = part if part.dtype != object else [same.setdefault(cell, cell) for cell in part]
                column[start : start + len(block)] = one
    return columns


def _structure(path: Path, form: Format) -> tuple[list[str], int, list[str]]:
    """Return the header, the number of rows, and the columns of codes, after a look at each row's length and quotes.

    A code is a number that starts with a 0, such as 01067: a name rather than an amount.
    """
    rows = _text_rows(path, form)
    header, count, first = _header(path, rows), 0, []
    for line, row in rows:
        if len(row) != len(header):
            cure = "complete the row, quote cells that hold a comma"
            if header[0].startswith("#"):
                cure = f"remove the line {header[0]!r} above the header"
            raise mistake(f"{path}, line {line}", f"{len(header)} cells, as in the header", len(row), cure)
        count += 1
        if count <= SAMPLE:
            first.append([cell.strip() for cell in row])
    columns = {name: [row[i] for row in first] for i, name in enumerate(header)}
    own = [name for name, cells in columns.items() if name.strip() in cells]
    if len(own) > 1:
        got = f"names that are values of their own columns: {listed(own, 6)}"
        raise mistake(f"{path}, line 1", "a header row with the columns' names", got, "add one above")
    codes = [name for name, cells in columns.items() if any(CODE.fullmatch(cell) for cell in cells)]
    return header, count, codes


def _frame_of_other(path: Path) -> tuple[Any, str]:
    """Return the table of an Excel or Parquet file, and where it was found."""
    import pandas

    library = OTHERS[path.suffix.lower()]
    with needs(library, "data", f"a {path.suffix} file"):
        __import__(library)
    with path.open("rb") as file:
        try:
            if path.suffix.lower() == ".parquet":
                return pandas.read_parquet(file, use_threads=False), ""  # its threads may outlive an error
            book = pandas.ExcelFile(file)
            names = [str(name) for name in book.sheet_names]
            found = f"its table in the first of the sheets {listed(names)}" if len(names) > 1 else ""
            return pandas.read_excel(book), found
        except Exception as error:  # damaged bytes make the libraries raise almost anything
            reason = " ".join(str(error).split()) or type(error).__name__
            got = f"one that cannot be read ({reason[:200]})"
            raise mistake(path, f"a {path.suffix} file with a table", got, "save it again, or as CSV") from error


def _column(cells: Any, is_text: bool) -> Array:
    """Return a column of a pandas table: numbers in float64, or texts, also of dates; what is missing NaN or None."""
    import pandas

    types = pandas.api.types
    if types.is_datetime64_any_dtype(cells):
        if cells.dt.tz is not None:
            cells = cells.dt.tz_convert(None)
        form = "%Y-%m-%d" if (cells.dropna() == cells.dropna().dt.normalize()).all() else "%Y-%m-%d %H:%M:%S.%f"
        cells = cells.dt.strftime(form)
    if types.is_numeric_dtype(cells.dtype) and not types.is_bool_dtype(cells) and not is_text:
        return cells.to_numpy(np.float64, na_value=np.nan)
    missing = cells.isna().to_numpy()
    texts = [str(cell).strip() for cell in cells]
    forms = {"true": "True", "false": "False"}
    clean = [None if gone else forms.get(text.lower(), text) for text, gone in zip(texts, missing, strict=True)]
    known = [text for text in clean if text is not None]
    if not is_text and not isinstance(cells.dtype, pandas.CategoricalDtype) and known and all(map(_is_amount, known)):
        return np.array([np.nan if text is None else to_number(text) for text in clean], np.float64)  # such as Decimal
    return np.array(clean, object)


def _check_column(path: Path, form: Format, name: str, column: Array) -> None:
    """Check that numbers are finite, and that not most of a column's texts are numbers."""
    if column.dtype.kind == "f":
        bad = np.isinf(column)
    else:
        with_comma = [cell for cell in column if cell is not None and WITH_COMMA.fullmatch(cell)]
        known = np.array([cell is not None for cell in column])
        if form.decimal == "." and 2 * len(with_comma) > known.sum():
            cure = f"write all numbers with a point; if these are names, --columns {name}=category"
            raise mistake(f"{path}, column {name!r}", "decimal points, as elsewhere", repr(with_comma[0]), cure)
        numbers = np.array([cell is not None and _is_number(cell, form) for cell in column])
        bad = known & ~numbers
        if 2 * numbers.sum() < known.sum() or not bad.any():
            return
    if bad.any():
        row = int(bad.argmax())
        cell = (row + 2, str(column[row])) if path.suffix.lower() in OTHERS else _cell(path, form, name, row)
        where, cure = f"{path}, line {cell[0]}, column {name!r}", "correct it, or leave the cell empty if it is unknown"
        cure += f"; if these are names, --columns {name}=category"
        raise mistake(where, "a finite number", repr(cell[1]), cure)


def _cell(path: Path, form: Format, name: str, row: int) -> tuple[int, str]:
    """Return the line and the text of a cell."""
    rows = _text_rows(path, form)
    column = next(rows)[1].index(name)
    line, cells = next(islice(rows, row, None))
    return line, cells[column]


def _labels(path: Path, form: Format, label: str | None, cells: Any) -> tuple[str, ...]:
    """Return the labels' texts; numbers are written with a decimal point."""
    texts = [("" if cell is None or cell != cell else str(cell)).strip() for cell in cells]
    if "" in texts:
        row = texts.index("")
        line = row + 2 if path.suffix.lower() in OTHERS else _cell(path, form, label or "", row)[0]
        where, cure = f"{path}, line {line}, column {label!r}", "fill it in or remove the row"
        raise mistake(where, "a label", "a missing value", cure)
    plain = {text: _plain(text, form) for text in set(texts)}
    return tuple(map(plain.get, texts) if all(map(_is_plain_number, plain.values())) else texts)  # type: ignore[arg-type]


def read_npz(path: FilePath) -> Raw:
    """Read `x` (N, ...), flattened to (N, D), and `labels`, if there are any, of an NPZ file; also as `X` and `y`.

    Raises:
      ValueError: if the contents are wrong.
      OSError: if the file cannot be read.
    """
    with Path(path).open("rb") as file:
        try:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not the ZIP archive that an NPZ file is, or not all of it")
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            keys = list(archive.keys())
            chosen = [next((name for name in names if name in keys), None) for names in (X_NAMES, LABEL_NAMES)]
            x, labels = (None if name is None else archive[name] for name in chosen)
            several = [name for name in LABEL_NAMES if name in keys]
        except Exception as error:  # damaged bytes make numpy and zipfile raise almost anything
            reason = " ".join(str(error).split()) or type(error).__name__
            got = f"one that cannot be read ({reason})"
            raise mistake(path, "an NPZ file of plain arrays", got, NPZ_CURE) from error
    if len(several) > 1:
        raise mistake(path, "labels in one array", f"arrays {listed(several)}", "keep one")
    if x is None:
        raise mistake(path, "an array 'x'", f"only {listed(keys) or 'an empty file'}", NPZ_CURE)
    if x.ndim < 2 or x.size == 0 or x.dtype.kind not in "biuf":
        raise mistake(path, "x to be (N, ...) real numbers", f"{x.dtype} of shape {x.shape}", NPZ_CURE)
    flat = x.reshape(len(x), -1)
    if not np.isfinite(flat).all():
        row, column = np.argwhere(~np.isfinite(flat))[0]
        got = f"{flat[row, column]} in row {row}, column {column} of x (counted from 0)"
        raise mistake(path, "finite numbers", got, "remove or replace it")
    if labels is not None and labels.shape == (len(x), 1):
        labels = labels[:, 0]
    if labels is not None and (labels.shape != (len(x),) or labels.dtype.kind not in "biufU"):
        expected = f"labels of shape ({len(x)},), one for each row of x, as integers, booleans, strings or real values"
        raise mistake(path, expected, f"{labels.dtype} of shape {labels.shape}", NPZ_CURE)
    texts = None if labels is None else tuple(str(label) for label in labels.tolist())  # which keep floats' digits
    return Raw({}, flat, texts, images=x.ndim > 2)


def _text_rows(path: Path, form: Format) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row that is not blank."""
    with path.open(encoding=form.encoding, newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=form.separator, skipinitialspace=True)
        try:
            yield from ((reader.line_num, row) for row in reader if row)
        except csv.Error as error:
            where = f"{path}, line {reader.line_num}"
            raise mistake(where, "cells of a table", f"a mistake ({error})", "mend the quotes") from error


def _header(path: FilePath, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    line, header = next(rows, (1, []))
    where = f"{path}, line {line}"
    if not header:
        raise mistake(path, "a header row and rows of data", "an empty file", "add them")
    if header[0].startswith("sep="):
        raise mistake(
            where, "a header row with the columns' names", repr(header[0]), "remove this line, made for Excel"
        )
    if all(map(_is_plain_number, header)):
        got = f"only numbers: {listed(header)}"
        raise mistake(where, "a header row with the columns' names", got, "add one above")
    numbers = [to_number(name) for name in header if _is_plain_number(name)]
    if 2 * len(numbers) > len(header) and any(b <= a for a, b in itertools.pairwise(numbers)):
        got = f"what looks like an example: {listed(header, 6)}"
        raise mistake(where, "a header row with the columns' names", got, "add one above")
    if header[0] == "" and INDEX not in header:
        header = [INDEX, *header[1:]]  # as pandas writes it
    _check_names(where, header)
    return header


def _check_names(where: str, header: Sequence[str]) -> None:
    if "" in header:
        cure = "name it, or remove it"
        raise mistake(where, "a name for each column", f"none for column {header.index('') + 1}", cure)
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        cure = "rename one, or add a header row if there is none"
        raise mistake(where, "different column names", f"{twice!r} twice", cure)


def _find_columns(path: FilePath, names: Sequence[str], header: list[str]) -> None:
    missing = next((name for name in names if name not in header), None)
    if missing is not None:
        cure = did_you_mean(missing, header) or "name one of these"
        raise mistake(path, f"a column {missing!r}", f"only {listed(header)}", cure)


def _plain(text: str, form: Format) -> str:
    """Return a number's text with a decimal point and without marks between thousands."""
    return text.replace(form.thousands or "", "").replace(form.decimal, ".")


def _is_number(cell: str, form: Format) -> bool:
    return _is_plain_number(_plain(cell, form))


def _is_plain_number(cell: str) -> bool:
    try:
        return math.isfinite(to_number(cell))
    except ValueError:
        return False


def _is_amount(cell: str) -> bool:
    return _is_plain_number(cell) and not CODE.fullmatch(cell)


def to_number(text: str) -> float:
    """Return the float that a cell's text stands for, or raise ValueError."""
    if "_" in text:  # float() would skip it
        raise ValueError(text)
    return float(text)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the first `most` names for a message, and the number of the rest."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + rest
