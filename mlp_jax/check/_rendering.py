"""Reports as text for a terminal, plain or in colour, as HTML for notebooks and pages, and as JSON values.

A report says what is on its page, as words, tables of strings, notes and heat maps, and each form draws that.
"""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mlp_jax.check._rules.comparison import LeafComparison

LEAF_COLUMNS = ("leaf", "array", "rel. error", "cosine", "ratio", "max error", "at", "actual", "expected", "verdict")
LEFT = ("leaf", "array", "verdict", "check", "what was seen")  # the columns of words; numbers stand to the right
WIDTH = 110  # of a line of words: about that of a table of leaves
MARKED = re.compile(r" *[^ ]+(, line \d+)? × | +[!~]")  # a line of a listing with something wrong
SOURCE_WIDTH, MOST_CODE = 80, 56  # columns of a listing, and of a line of code beside which words stand
RIGHT, WRONG = "√", "×"  # which the code pages of East Asia have as well
NOTE_STYLE = "display:block;position:sticky;left:0;max-width:min(90vw,40rem);white-space:normal;color:#b00"
PASTE = "paste this at the end of the file, with your own sizes:"
HEAT_MAP_CELLS = 32  # along an axis at most: a larger leaf is pooled by its largest errors


class Words(NamedTuple):
    """Something that was found: its code, a sentence, and details by name."""

    code: str
    sentence: str
    details: Sequence[tuple[str, str]] = ()


class Table(NamedTuple):
    """A table of strings, and a line that says what it shows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Row(NamedTuple):
    """A line of somebody's source.

    Attributes:
      place: its number, or its place in a notebook.
      code: the line.
      words: what the values of its statement are.
      wrong: the columns at which an expression begins and ends that is wrong; None if there is none.
      notes: what is wrong with it.
    """

    place: str
    code: str
    words: str = ""
    wrong: tuple[int, int] | None = None
    notes: Sequence[str] = ()


class Page(NamedTuple):
    """What a report shows.

    Attributes:
      verdict: in one line.
      ok: whether it is good.
      words: what was found.
      tables: of numbers.
      notes: what is worth knowing.
      maps: errors of leaves as heat maps, with their titles; only HTML has them.
      code: lines of Python that would help; empty for none.
      source: the lines of the code that was checked, and what is right and wrong in them.
    """

    verdict: str
    ok: bool
    words: Sequence[Words] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    maps: Sequence[tuple[str, np.ndarray]] = ()
    code: str = ""
    source: Sequence[Row] = ()


class Report:
    """What all reports have in common: they show their page, and are true if it is good."""

    def page(self) -> Page:
        """Return what the report shows."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        return self.page().ok

    def __repr__(self) -> str:  # and so str: a prompt shows it, and so does a failing assertion
        return text(self.page())

    def __rich__(self) -> Any:
        from rich.text import Text

        return Text("\n").join(styled_lines(text(self.page()), self.page().ok))

    def _repr_html_(self) -> str:
        return html(self.page())


def text(page: Page) -> str:
    """Return a page for a terminal; with source, it has 80 columns, which leave no room for wide tables."""
    width = SOURCE_WIDTH if page.source else WIDTH
    lines = _wrapped(page.verdict, width=width) if page.source else [page.verdict]
    for words in page.words:
        lines += _wrapped(f"{words.code}: {words.sentence}", width=width)
        details = [(name, value) for name, value in words.details if value]
        lines += [line for name, value in details for line in _wrapped(f"  {name}: {value}", "    ", width)]
    for table in page.tables:
        rows = text_table(table.columns, table.rows)
        if not page.source or max(map(len, rows)) <= width:
            lines += [table.title] * bool(table.title) + rows
    for note in page.notes:
        lines += _wrapped(f"note: {note}", width=width)
    lines += [PASTE, page.code.rstrip()] if page.code else []
    lines += source_text(page.source)
    return "\n".join(lines)


def source_text(rows: Sequence[Row]) -> list[str]:
    """Return lines of 80 columns, if the code leaves room: what is right stands to the right, what is wrong below."""
    gutter = max((len(row.place) for row in rows), default=0)
    shown = [row for row in rows if row.words and len(row.code) <= MOST_CODE]
    edge = gutter + 5 + max((len(row.code) for row in shown), default=0)
    lines, below = [], " " * (gutter + 3)
    for row in rows:
        mark = WRONG if row.wrong else RIGHT if row.words else " "
        line = f"{row.place:>{gutter}} {mark} {row.code}".rstrip()
        is_beside = row in shown and edge + len(row.words) <= SOURCE_WIDTH
        lines.append(f"{line:<{edge}}{row.words}" if is_beside else line)
        lines += _indented(f"{below}= ", row.words) if row.words and not is_beside else []
        if row.wrong:
            first, last = row.wrong
            lines.append(f"{below}{' ' * first}{'~' * max(last - first, 1)}"[:SOURCE_WIDTH])
        for note in row.notes:
            lines += _indented(f"{below}! ", note)
    return lines


def _indented(start: str, words: str) -> list[str]:
    return textwrap.wrap(words, SOURCE_WIDTH, initial_indent=start, subsequent_indent=" " * len(start))


def source_html(rows: Sequence[Row]) -> str:
    """Return the same as HTML, which scrolls from side to side on a narrow screen."""
    lines, gutter = [], max((len(row.place) for row in rows), default=0)
    for row in rows:
        code, start = escape(row.code), f"{row.place:>{gutter}}  "
        words = f'  <i style="color:#075">{RIGHT} {escape(row.words)}</i>' if row.words else ""
        if row.wrong:
            first, last = row.wrong
            before, inside, after = (escape(part) for part in (row.code[:first], row.code[first:last], row.code[last:]))
            code = f'{before}<mark style="background:#fbb">{inside}</mark>{after}'
            start = f'<b style="color:#b00">{start[:-1]}{WRONG}</b>'
        notes = "".join(f'<b style="{NOTE_STYLE}">{escape(note)}</b>' for note in row.notes)
        lines.append(f"{start} {code}{words}" + ("" if notes else "\n") + notes)
    return '<pre style="overflow-x:auto">' + "".join(lines) + "</pre>"


def _wrapped(line: str, indent: str = "  ", width: int = WIDTH) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def html(page: Page) -> str:
    """Return a page as HTML."""
    parts = [f'<p style="color:{"#075" if page.ok else "#b00"}"><b>{escape(page.verdict)}</b></p>']
    for words in page.words:
        parts.append(f"<p><b>{escape(words.code)}</b>: {escape(words.sentence)}</p>")
        items = "".join(f"<li>{name}: {escape(value)}</li>" for name, value in words.details if value)
        parts.append(f"<ul>{items}</ul>" if items else "")
    parts += [source_html(page.source)] if page.source else []
    for table in page.tables:
        parts += [f"<p>{escape(table.title)}</p>"] * bool(table.title)
        parts.append(f'<div style="overflow-x:auto">{html_table(table.columns, table.rows)}</div>')
    parts += [heat_map(errors, title, least=1e-6) for title, errors in page.maps]
    parts += [f"<p>note: {escape(note)}</p>" for note in page.notes]
    parts += [f"<p>{PASTE}</p><pre>{escape(page.code)}</pre>"] if page.code else []
    return "\n".join(parts)


def whole_page(reports: Sequence[tuple[str, Report]]) -> str:
    """Return an HTML page of its own with the reports of files."""
    sections = "\n".join(
        f"<section>\n<h1>{escape(name)}</h1>\n{html(report.page())}\n</section>" for name, report in reports
    )
    return PAGE.format(title="mlp-jax check", body=sections)


def leaf_rows(leaves: "Sequence[LeafComparison]") -> list[tuple[str, ...]]:
    """Return a row of text for each leaf; the last cell is its verdict."""
    return [
        (
            leaf.name,
            "" if leaf.shape is None else f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]",
            number(leaf.relative_error),
            number(leaf.cosine, "+.4f"),
            number(leaf.norm_ratio, ".5g"),
            number(leaf.max_error),
            "" if leaf.index is None else f"[{','.join(map(str, leaf.index))}]",
            "" if leaf.index is None else number(leaf.actual, ".5g"),
            "" if leaf.index is None else number(leaf.expected, ".5g"),
            "right" if leaf.ok else f"WRONG: {leaf.problem}" if leaf.relative_error == inf else "WRONG",
        )
        for leaf in leaves
    ]


def table_of(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of the columns in which anything stands."""
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return Table(title, [columns[i] for i in kept], [[row[i] for i in kept] for row in rows])


def number(value: Any, form: str = ".1e") -> str:
    """Return a number as text; nothing for NaN that stands for "no such number"."""
    if isinstance(value, complex):
        return format(value, ".6g")
    return format(value, form) if isfinite(value) else "" if value != value else str(value)


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: no tuples, no complex numbers, nothing that is not finite."""
    if isinstance(value, complex):
        return str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [json_value(item) for item in value]
    return value


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = LEFT) -> list[str]:
    """Return lines with the columns in line, words to the left and numbers to the right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    justify = [str.ljust if title in left else str.rjust for title in header]
    return [
        "  ".join(put(cell, width) for put, cell, width in zip(justify, row, widths, strict=True)).rstrip()
        for row in table
    ]


def styled_lines(lines: str, ok: bool) -> Any:
    """Yield lines as rich text, never folded: the first, the verdict, in bold, what is wrong in red."""
    from rich.text import Text

    for i, line in enumerate(lines.splitlines()):
        is_wrong = "WRONG" in line or MARKED.match(line)
        style = "bold " * (i == 0) + ("green" if ok else "red") if i == 0 or is_wrong else ""
        yield Text(line, style, no_wrap=True, overflow="ignore")


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = LEFT) -> str:
    """Return the same as an HTML table."""

    def line(tag: str, cells: Sequence[str]) -> str:
        side = ["left" if title in left else "right" for title in header]
        columns = (
            f'<{tag} style="text-align:{align}">{escape(cell)}</{tag}>' for align, cell in zip(side, cells, strict=True)
        )
        color = ' style="color:#b00"' if cells[-1].startswith("WRONG") else ""
        return f"<tr{color}>{''.join(columns)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f"<table>\n<thead>{line('th', header)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def heat_map(errors: np.ndarray, title: str, least: float = 0.0) -> str:
    """Return an SVG of one square for each entry of a leaf, dark where the error is large, and at `least` at least."""
    grid = _pooled(np.atleast_2d(errors.reshape(-1, errors.shape[-1]) if errors.ndim > 2 else errors))
    finite = np.isfinite(grid)
    largest = max(float(grid.max(initial=0, where=finite)), least) or 1.0
    grid = np.where(finite, grid, np.inf)
    cell = max(8, min(28, 420 // max(grid.shape)))
    height, width = grid.shape[0] * cell, grid.shape[1] * cell
    squares = "".join(
        f'<rect x="{j * cell}" y="{i * cell}" width="{cell}" height="{cell}" fill="{_color(value / largest)}">'
        f"<title>[{i}, {j}] {value:.2e}</title></rect>"
        for (i, j), value in np.ndenumerate(grid)
    )
    return (
        f"<figure><figcaption>{escape(title)}: white 0, dark {largest:.2e}</figcaption>"
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'style="border:1px solid #999" xmlns="http://www.w3.org/2000/svg">{squares}</svg></figure>'
    )


def _pooled(grid: np.ndarray) -> np.ndarray:
    """Return the largest entries of blocks, so that a large leaf fits."""
    for axis in (0, 1):
        size = grid.shape[axis]
        if size > HEAT_MAP_CELLS:
            starts = np.linspace(0, size, HEAT_MAP_CELLS, endpoint=False).astype(int)
            grid = np.maximum.reduceat(grid, starts, axis=axis)
    return grid


def _color(share: float) -> str:
    """White for 0, orange, dark red for 1."""
    stops: tuple[Callable[[float], float], ...] = (
        lambda s: 255 - 110 * s**2,
        lambda s: 255 * (1 - s) ** 0.9,
        lambda s: 255 * (1 - s) ** 2.5,
    )
    return "#" + "".join(f"{round(stop(min(max(share, 0.0), 1.0))):02x}" for stop in stops)


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .2rem .7rem; border-bottom: 1px solid #ddd; white-space: nowrap }}
figure {{ display: inline-block; margin: 1rem 2rem 1rem 0 }}
h1 {{ overflow-wrap: anywhere }}
figcaption {{ font-size: 13px; color: #555 }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
