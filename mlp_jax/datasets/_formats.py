"""How a text table is written: its encoding, the character between its cells, and how its numbers look."""

import codecs
import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mlp_jax._doors import mistake

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 1000  # rows that separator and decimal mark are read off
BLOCK = 2**20  # bytes decoded at a time
HANGUL = re.compile("[가-힣]")
WITH_COMMA = re.compile(r"[-+]?\d+,\d+")  # 1,5
WITH_POINT = re.compile(r"[-+]?\d+\.\d+(?:[eE][-+]?\d+)?")  # 1.5
MILLIONS = re.compile(r"[-+]?\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?")  # 1.234.567, whatever else the file holds
GROUPS = {mark: re.compile(rf"[-+]?\d{{1,3}}(?:\{mark}\d{{3}})+") for mark in ",."}  # 1,234,567


class Format(NamedTuple):
    """The format of a text table.

    Attributes:
      encoding: as Python names it.
      separator: between cells.
      decimal: the decimal mark.
      thousands: the mark between groups of three digits, or None.
      example: a number such as 1.949, which is read as a fraction and may be 1949, or "".
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    decimal: str = "."
    thousands: str | None = None
    example: str = ""

    @property
    def words(self) -> str:
        """What is not as in a plain CSV, in words."""
        found = {
            f"encoding {self.encoding}": self.encoding != "utf-8-sig",
            f"{SEPARATORS[self.separator]} between cells": self.separator != ",",
            "decimal comma": self.decimal == ",",
            f"{self.thousands!r} between thousands": self.thousands is not None,
            f"decimal points, also in {self.example}": self.example != "",
        }
        return ", ".join(words for words, is_so in found.items() if is_so)


def format_of(path: Path) -> Format:
    """Return the format of a text table.

    Raises:
      ValueError: if a number may be two.
      OSError: if the file cannot be read.
    """
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        lines = [line for line in islice(file, SAMPLE) if line.strip()]
    separator = max(SEPARATORS, key=lambda separator: _fit(lines, separator))
    cells = [cell.strip() for row in rows_of(lines[1:], separator) for cell in row]
    commas = [cell for cell in cells if WITH_COMMA.fullmatch(cell)]
    points = [cell for cell in cells if WITH_POINT.fullmatch(cell)]
    grouped = {mark: [cell for cell in cells if pattern.match(cell)] for mark, pattern in GROUPS.items()}
    fractions = [cell for cell in commas if not GROUPS[","].fullmatch(cell)]
    plain_points = [cell for cell in points if not GROUPS["."].fullmatch(cell) or cell.lstrip("-+").startswith("0")]
    if (fractions and not plain_points) or any(map(MILLIONS.fullmatch, cells)):
        return Format(encoding, separator, ",", "." if grouped["."] else None)
    if separator != "," and commas and not fractions and not points:
        cure = "write it without the comma, or with a decimal point"
        raise mistake(path, "numbers that are one only", f"{commas[0]!r}: thousands or a decimal comma?", cure)
    example = grouped["."][0] if separator != "," and grouped["."] and not plain_points else ""
    return Format(encoding, separator, ".", "," if grouped[","] else None, example)


def rows_of(lines: Iterator[str] | list[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each row that is not blank."""
    return (row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row)


def _fit(lines: list[str], separator: str) -> tuple[float, int]:
    """Return the share of rows with as many cells as the header, if these are several, and how many."""
    counts = [len(row) for row in rows_of(lines, separator)]
    if not counts or counts[0] < 2:
        return 0.0, 0
    return sum(count == counts[0] for count in counts) / len(counts), counts[0]


def _encoding(path: Path) -> str:
    """Return a file's encoding: what its first bytes say, UTF-8, Korean, or Western."""
    with path.open("rb") as file:
        start = file.read(BLOCK)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(start) > 1 and _looks_like_utf16(start):
        return "utf-16-le"
    for encoding in ("utf-8-sig", "cp949"):
        text = _decoded(path, encoding)
        if text is not None and (encoding == "utf-8-sig" or HANGUL.search(text)):
            return encoding
    if b"\0" in start:
        raise mistake(path, "a text table", "bytes that are no text", "save it as CSV")
    return "cp1252" if _decoded(path, "cp1252") is not None else "latin-1"


def _looks_like_utf16(start: bytes) -> bool:
    return start[: len(start) // 2 * 2][1::2].count(0) > len(start) // 4


def _decoded(path: Path, encoding: str) -> str | None:
    """Return the start of a file's text, if all of the file is in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    first = None
    with path.open("rb") as file:
        try:
            while block := file.read(BLOCK):
                text = decoder.decode(block)
                first = text if first is None else first
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return None
    return first or ""
