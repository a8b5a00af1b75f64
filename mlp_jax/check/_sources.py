"""Code that is no Python file, such as a notebook, as a file that can be run and the place of each of its lines.

A statement of a notebook that raises does not stop those after it, such as a plot without its library. So each
statement is the body of a `with`. Places read "cell 3, line 2", and count only code cells, from 1.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mlp_jax import _doors
from mlp_jax._extras import needs
from mlp_jax.check._networks.report import BackpropReport

STANDARD_INPUT = Path("-")
ENDINGS = (".py", ".ipynb")
BODY_IS_CODE = re.compile(r"%%(time|timeit|capture|prun)\b")  # the body of another cell magic is no Python
LINE_IS_CODE = re.compile(r"%time\s+(?=\S)")
NO_PYTHON = re.compile(r"[%!?]|[\w.\[\], ]+=\s*[%!]|[\w.*]+\?{1,2}\s*$")  # magics, shell commands, questions for help
LINE = re.compile(r"(\(|^|loop in )line (\d+)")  # how reports name a line of a file
MOST_NAMED = 3  # statements with a mistake that a report names
# Runs at the top of the file, and leaves no variable in it.
START = """
import builtins, contextlib, os, sys, traceback

class Nothing:
    __call__ = __getattr__ = lambda self, *_, **__: self

@contextlib.contextmanager
def statement():
    try:
        yield
    except (Exception, SystemExit) as error:
        _, outer, *_ = frames = traceback.extract_tb(error.__traceback__)
        if outer.filename == file:  # not when the statement is repeated
            line = [frame.lineno for frame in frames if frame.filename == file][-1]
            message = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            with open(file + ".raised", "a", encoding="utf-8", errors="replace") as stream:
                print(line, message, file=stream)

builtins.__statement__, builtins.display, builtins.get_ipython = statement, Nothing(), Nothing()
os.chdir(folder)
sys.path.append(folder)
"""


class Source(NamedTuple):
    """Code to check.

    Attributes:
      file: the Python file that is run.
      places: of the lines of `file`, as reports call them; empty if `file` is the user's own.
      left_out: what is not in `file`, each cell in words.
      error: why there is nothing to run; empty if there is.
    """

    file: Path
    places: Sequence[str] = ()
    left_out: Sequence[str] = ()
    error: str = ""


class Line(NamedTuple):
    """A line of code, and its place in words."""

    text: str
    place: str = ""


def name(path: Path) -> str:
    """Return how reports call a path."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def is_made(path: Path) -> bool:
    """Return whether a file has to be made of what a path stands for."""
    return path == STANDARD_INPUT or (path.suffix == ".ipynb" and path.is_file())


def source(path: Path, folder: Path, number: int) -> Source:
    """Return the code that a path stands for, written to a file in a folder if it is no Python file.

    Args:
      path: of a Python file or a notebook; `-` is standard input.
      folder: for the file.
      number: names the file.

    Raises:
      ModuleNotFoundError: if nbformat, which reads notebooks, is missing.
    """
    if not is_made(path):
        return Source(path)
    is_input, file = path == STANDARD_INPUT, folder / f"{number}.py"
    beside = str((Path() if is_input else path.parent).resolve())
    start = Line(f"exec({START!r}, {{'file': {str(file)!r}, 'folder': {beside!r}}})")
    try:
        with warnings.catch_warnings(action="ignore"):  # of the code, which nobody runs here
            lines, left_out = (_of_standard_input(), []) if is_input else _of_notebook(path)
            lines = _with_start(start, lines)
        file.write_bytes("".join(f"{line.text}\n" for line in lines).encode())
    except ValueError as error:
        return Source(path, error=str(error))
    return Source(file, [line.place for line in lines], left_out)


def _of_standard_input() -> list[Line]:
    if sys.stdin is not None and sys.stdin.isatty():
        print("reading Python code from standard input, up to its end (Ctrl-D)", file=sys.stderr)
    text = "" if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8-sig")
    if not text.strip():
        raise _doors.mistake("code", "Python code", "none", "cat my_backprop.py | mlp-jax check -")
    return [Line(words, f"line {i}") for i, words in enumerate(_split(text), 1)]


def _of_notebook(path: Path) -> tuple[list[Line], list[str]]:
    """Return the lines of a notebook's cells, and the cells that are no Python, in words."""
    with needs("nbformat", "notebooks", "reading a notebook"):
        import nbformat
    try:
        cells = nbformat.read(path, as_version=4).cells
        texts = [str(cell.source) for cell in cells if cell.cell_type == "code"]
    except Exception as error:  # it is any JSON, or none
        raise _doors.mistake("file", "a Jupyter notebook", _doors.first_line(error)) from error
    lines, left_out = [], []
    for number, text in enumerate(texts, 1):
        try:
            lines += _of_cell(python(_split(text)), number)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            left_out.append(f"cell {number}, line {line} ({getattr(error, 'msg', error)})")
    if not lines:
        raise _doors.mistake("notebook", "code cells in Python", _listed(left_out) or "none")
    return lines, left_out


def _split(text: str) -> list[str]:
    """Return the lines of a text, where Python's own parser ends them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def python(lines: Sequence[str]) -> list[str]:
    """Return a cell's lines with those that are no Python left empty, or `pass`.

    Raises:
      SyntaxError: if another line is no Python.

    >>> python(["%matplotlib inline", "!ls", "%time x = 2", "x?"])
    ['pass', 'pass', 'x = 2', 'pass']
    """
    lines = list(lines)
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        lines = ["", *lines[first + 1 :]] if BODY_IS_CODE.match(lines[first]) else []
        lines = [""] * first + lines
    while True:
        try:
            compile("\n".join([*lines, ""]), "cell", "exec", dont_inherit=True)
            return lines
        except SyntaxError as error:
            i = (error.lineno or 0) - 1
            line = lines[i].strip() if 0 <= i < len(lines) else ""
            if not NO_PYTHON.match(line):
                raise
            indent, _, _ = lines[i].partition(line)
            code = LINE_IS_CODE.sub("", line) if LINE_IS_CODE.match(line) else "pass"
            while lines[i].endswith("\\") and i + 1 < len(lines):  # a shell command of several lines
                lines[i], i = "", i + 1
            lines[i] = indent + code


def _of_cell(lines: Sequence[str], number: int) -> list[Line]:
    """Return a cell, each statement in a `with`. A line that begins inside a string keeps its indent."""
    tree, end, starts = ast.parse("\n".join(lines)), 0, set()
    for node in tree.body:
        start = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
        if start > end:  # not the second of a line
            starts.add(start)
        end = node.end_lineno or start
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)]
    inside = {i for node in strings for i in range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    found = []
    for i, text in enumerate(lines if starts else (), 1):
        texts = ["with __statement__():"] * (i in starts) + [text if i in inside else f"    {text}"]
        found += [Line(text, f"cell {number}, line {i}") for text in texts]
    return found


def _with_start(start: Line, lines: Sequence[Line]) -> list[Line]:
    """Return lines after a start, before which only imports from __future__ may stand."""
    lines, found = list(lines), []
    with suppress(SyntaxError, ValueError):  # the file says so when it is run
        nodes = ast.walk(ast.parse("\n".join(line.text for line in lines)))
        found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    for node in found:
        for i in range(node.lineno - 1, node.end_lineno or 0):
            lines[i] = lines[i]._replace(text=f"{' ' * node.col_offset}pass")
    return [*(Line(ast.unparse(node)) for node in found), start, *lines]


def reworded(report: BackpropReport, source: Source) -> BackpropReport:
    """Return a report that names places in the notebook or text, and what in it did not run."""
    places = dict(enumerate(source.places, 1))

    def place(number: str) -> str:
        return places.get(int(number)) or f"line {number}"

    def words(text: str) -> str:
        return LINE.sub(lambda found: found[1] + place(found[2]), text)

    if not source.places:
        return report
    if report.listing is not None:
        report = replace(report, listing=replace(report.listing, places=tuple(source.places)))
    raised = [f"{place(number)} ({message})" for number, message in dict.fromkeys(_raised(source.file))]
    not_run = _listed([*source.left_out, *raised])
    notes = [f"not run: {not_run}"] if not_run else []
    found = [replace(one, message=words(one.message), evidence=words(one.evidence)) for one in report.diagnoses]
    if report.verdict == "error":  # which is shown without notes
        found[0] = replace(found[0], message="; ".join([found[0].message, *notes]))
    return replace(report, diagnoses=tuple(found), notes=(*map(words, report.notes), *notes))


def _raised(file: Path) -> Iterator[tuple[str, str]]:
    """Yield line and message of the exceptions that the file's run has written down."""
    written = Path(f"{file}.raised")
    if not written.is_file():
        return
    with written.open(encoding="utf-8", errors="replace") as stream:
        for line in stream.read(100_000).splitlines():
            number, _, message = line.partition(" ")
            if re.fullmatch(r"[0-9]{1,9}", number):
                yield number, message


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f", and {more} more" if more > 0 else "")
