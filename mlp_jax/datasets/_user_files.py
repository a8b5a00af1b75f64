"""The user's own CSV and NPZ files, checked cell by cell. Nothing is scaled here."""

import csv
import itertools
import math
import os
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_jax._doors import did_you_mean, mistake

Array = NDArray[Any]
FilePath = str | os.PathLike[str]

NPZ_CURE = "write it by numpy.savez(path, x=x, labels=labels)"


class Raw(NamedTuple):
    """The contents of a file.

    Attributes:
      x: (N, D), unscaled.
      labels: N texts; None if the file has none.
      images: whether all of x shares one mean and scale.
      features: the names of a CSV's columns.
      label: the name of a CSV's label column.
    """

    x: Array
    labels: tuple[str, ...] | None
    images: bool = False
    features: tuple[str, ...] = ()
    label: str = ""


def read_csv(path: FilePath, features: Sequence[str] | None = None, label: str | None = None) -> Raw:
    """Read the rows of a CSV, x in float64.

    Args:
      path: a UTF-8 file with a header row.
      features: for prediction, the columns of x in their order; others are ignored. By default, as for training, all
        columns but the label.
      label: the column of the labels, by default the last. For prediction it may be absent.

    Raises:
      ValueError: if the contents are wrong, with column, line and value.
      OSError: if the file cannot be read.
    """
    rows = _csv_rows(path)
    header = _header(path, rows)
    if features is None:
        label = header[-1] if label is None else label
        features = [name for name in header if name != label]
        if not features:
            raise mistake(path, "columns of numbers next to the label", f"only {label!r}", "put commas between columns")
        _find_columns(path, [label], header)
    columns = list(zip(features, _find_columns(path, features, header), strict=True))
    label_column = header.index(label) if label in header else None
    x, labels = array("d"), []
    for line, row in rows:
        if len(row) != len(header):
            cure = "complete the row, quote cells that hold a comma"
            raise mistake(f"{path}, line {line}", f"{len(header)} cells, as in the header", len(row), cure)
        x.extend([_finite(row[column], path, line, name) for name, column in columns])
        if label_column is not None:
            if not row[label_column].strip():
                where, cure = f"{path}, line {line}, column {label!r}", "fill it in or remove the row"
                raise mistake(where, "a label", "a missing value", cure)
            labels.append(row[label_column])
    if not x:
        raise mistake(path, "rows of data below the header row", "none", "add them")
    texts = None if label_column is None else tuple(labels)
    return Raw(np.array(x).reshape(-1, len(columns)), texts, features=tuple(features), label=label or "")


def read_npz(path: FilePath) -> Raw:
    """Read `x` (N, ...), flattened to (N, D), and `labels`, if there are any, of an NPZ file.

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
            x, labels = (archive[key] if key in keys else None for key in ("x", "labels"))
        except Exception as error:  # damaged bytes make numpy and zipfile raise almost anything
            reason = " ".join(str(error).split()) or type(error).__name__
            got = f"one that cannot be read ({reason})"
            raise mistake(path, "an NPZ file of plain arrays", got, NPZ_CURE) from error
    if x is None:
        raise mistake(path, "an array 'x'", f"only {listed(keys) or 'an empty file'}", NPZ_CURE)
    if x.ndim < 2 or x.size == 0 or x.dtype.kind not in "biuf":
        raise mistake(path, "x to be (N, ...) real numbers", f"{x.dtype} of shape {x.shape}", NPZ_CURE)
    flat = x.reshape(len(x), -1)
    if not np.isfinite(flat).all():
        row, column = np.argwhere(~np.isfinite(flat))[0]
        got = f"{flat[row, column]} in row {row}, column {column} of x (counted from 0)"
        raise mistake(path, "finite numbers", got, "remove or replace it")
    if labels is not None and (labels.shape != (len(x),) or labels.dtype.kind not in "biufU"):
        expected = f"labels of shape ({len(x)},), one for each row of x, as integers, booleans, strings or real values"
        raise mistake(path, expected, f"{labels.dtype} of shape {labels.shape}", NPZ_CURE)
    texts = (
        None if labels is None else tuple(str(label) for label in labels.tolist())
    )  # which keep all digits of floats
    return Raw(flat, texts, images=x.ndim > 2)


def _csv_rows(path: FilePath) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row that is not blank."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            yield from ((reader.line_num, row) for row in reader if row)
        except UnicodeDecodeError as error:
            raise mistake(path, "UTF-8 text", f"other bytes ({error})", "save it as UTF-8") from error
        except csv.Error as error:
            where = f"{path}, line {reader.line_num}"
            raise mistake(where, "comma-separated cells", f"a mistake ({error})", "mend the quotes") from error


def _header(path: FilePath, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    line, header = next(rows, (1, []))
    where = f"{path}, line {line}"
    if not header:
        raise mistake(path, "a header row and rows of data", "an empty file", "add them")
    if all(map(_is_number, header)):
        got = f"only numbers: {listed(header)}"
        raise mistake(where, "a header row with the columns' names", got, "add one above")
    numbers = [to_number(name) for name in header if _is_number(name)]
    if 2 * len(numbers) > len(header) and any(b <= a for a, b in itertools.pairwise(numbers)):
        got = f"what looks like an example: {listed(header, 6)}"
        raise mistake(where, "a header row with the columns' names", got, "add one above")
    if "" in header:
        cure = "name it, or remove it (pandas: to_csv(path, index=False))"
        raise mistake(where, "a name for each column", f"none for column {header.index('') + 1}", cure)
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        cure = "rename one, or add a header row if there is none"
        raise mistake(where, "different column names", f"{twice!r} twice", cure)
    return header


def _find_columns(path: FilePath, names: Sequence[str], header: list[str]) -> list[int]:
    missing = next((name for name in names if name not in header), None)
    if missing is not None:
        cure = did_you_mean(missing, header) or "name one of these"
        raise mistake(path, f"a column {missing!r}", f"only {listed(header)}", cure)
    return [header.index(name) for name in names]


def _finite(cell: str, path: FilePath, line: int, column: str) -> float:
    try:
        number = to_number(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        where, got = f"{path}, line {line}, column {column!r}", repr(cell) if cell.strip() else "a missing value"
        cure = "correct it, encode texts as numbers, or remove the row or the column"
        raise mistake(where, "a finite number", got, cure)
    return number


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(to_number(cell))
    except ValueError:
        return False


def to_number(text: str) -> float:
    """Return the float that a cell's text stands for, or raise ValueError."""
    if "_" in text:  # float() would skip it
        raise ValueError(text)
    return float(text)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return the first `most` names for a message, and the number of the rest."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + rest
