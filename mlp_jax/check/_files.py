"""Check files in parallel: by a function that returns a loss and gradients, or by the loop in which they train."""

import ast
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import decode_source
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlp_jax import _doors
from mlp_jax.check import _sources
from mlp_jax.check._child.entry import FUNCTION
from mlp_jax.check._child.functions import Answer, one_line
from mlp_jax.check._differences import conversation
from mlp_jax.check._differences import judge as script
from mlp_jax.check._differences.running import Failed, Running
from mlp_jax.check._lines import listing, playing
from mlp_jax.check._networks import judge as functions
from mlp_jax.check._networks.problems import Asked, Precision, Problem, Settings
from mlp_jax.check._networks.report import BackpropReport
from mlp_jax.check._networks.template import LINES
from mlp_jax.check._templates import candidates

MOST_TIMES = 2  # as long as the check itself, to look for the statement that is wrong
LEAST = 10.0  # seconds that it may take
MOST_READ = 100_000  # bytes of a file's code for which lines are looked for
MARK = "read it before you believe the verdict"
UNUSUAL = re.compile(
    rb"\b(?:os\.(?:write|read|fdopen|dup2?|pipe|fork|kill|_exit)|_getframe|f_globals|f_back|tb_frame|__globals__|__code__"
    rb"|__closure__|sys\.modules|gc\.get_\w+|inspect|ctypes|threading\.enumerate|settrace|setprofile|addaudithook)\b|/proc/"
)


class Asking(NamedTuple):
    """How files are checked.

    Attributes:
      given: settings that stand over those in the files, by name.
      seconds: that a file's code may take.
      seed: draws problems and parameters; None draws it, for each file.
      function: the name of the one that is judged; empty for that of the contract, or the training loop.
      strict: whether an overflow at extreme points is wrong.
      precision: the coarsest in which numbers may be; None accepts every one.
      ours: whether a file's own POINT is left aside.
      template: whether to look for lines that would train by a file with nothing to judge.
      lines: whether to say of each statement what its value is, and which is wrong.
    """

    given: Mapping[str, Any] = {}
    seconds: float = 20.0
    seed: int | None = None
    function: str = ""
    strict: bool = False
    precision: Precision | None = None
    ours: bool = False
    template: bool = False
    lines: bool = False


class NothingToJudge(Failed):
    """A file ran to its end, and has neither a function of the contract nor a loop that trains."""


def check_files(
    paths: Sequence[Path], asking: Asking, report: Callable[[int], None] = lambda done: None
) -> list[BackpropReport]:
    """Check files in parallel, one child process a core.

    Args:
      paths: of Python files and notebooks; `-` is standard input.
      asking: how.
      report: called with the number of files done.

    Returns:
      Their reports, in the order of the files.
    """
    is_made = any(map(_sources.is_made, paths))
    asking = asking._replace(template=len(paths) == 1)
    with (
        tempfile.TemporaryDirectory() if is_made else nullcontext("") as folder,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        sources = [_sources.source(path, Path(folder), i) for i, path in enumerate(paths)]
        codes = [read(source.file) for source in sources]  # all before any runs: none can change another
        waiting = [pool.submit(check_source, *pair, asking) for pair in zip(sources, codes, strict=True)]
        for done, _ in enumerate(as_completed(waiting), 1):
            report(done)
        return [future.result() for future in waiting]


def check_source(source: _sources.Source, code: bytes | None, asking: Asking) -> BackpropReport:
    """Check code that may come from a notebook or standard input."""
    if source.error:
        return functions.failed(source.error, None)
    return _sources.reworded(check_file(source.file, asking, code), source)


def check_file(path: Path, asking: Asking, code: bytes | None = None) -> BackpropReport:
    """Check one file, whose code may be read already; it does not keep the other files from their reports."""
    code = read(path) if code is None else code
    if code is None:
        return functions.failed("not a file" if path.exists() else "no such file", None)
    if path.suffix != ".py":
        ending = path.suffix or "no ending"
        return functions.failed(f"expected a file that ends in .py or .ipynb, got {ending}", None)
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if asking.seed is None else asking.seed
    try:
        with conversation.running(path, asking.seconds, code, asking.function) as run:
            began = time.monotonic()
            report = functions.failed(run.mistake, None) if run.mistake else judged(run, asking, seed, code)
            if asking.lines:
                report = _with_lines(report, run, seed, code, began, began + asking.seconds)
            notes = (*report.notes, *_marks(code))
            is_marked = any(MARK in note for note in notes)
            return replace(report, notes=notes, basis=(*report.basis, *["read its code"] * is_marked))
    except NothingToJudge as error:
        template = _template(path, asking, code) if asking.template else ""
        return replace(functions.failed(str(error), None), template=template)
    except Failed as error:
        return functions.failed(str(error), None)
    except Exception as error:
        return functions.failed(f"its answers cannot be judged: {one_line(error)}", None)


def _with_lines(
    report: BackpropReport, run: Running, seed: int, code: bytes, began: float, end: float
) -> BackpropReport:  # fmt: skip
    """Return a report with a listing of the file, if its network was recognised and the time lasts."""
    now = time.monotonic()
    until = min(now + max(MOST_TIMES * (now - began), LEAST), end - 1.0)
    is_right = report.verdict != "wrong"
    try:
        player = report.subject and playing.of_file(run, report.subject, seed, is_right)
        if player is None:
            return replace(report, notes=(*report.notes, "no listing: the network is not recognised"))
        source = decode_source(code)
        made = listing.listing(player, source, ast.parse(source), is_right, until)
    except Exception as error:  # the verdict stands, whatever its values are
        return replace(report, notes=(*report.notes, f"no listing: {one_line(error)}"))
    meant = [f"the listing is of the network that it may be meant to be: {player.meant}"] if player.meant else []
    return replace(report, listing=made, notes=(*report.notes, *meant))


def _marks(code: bytes) -> list[str]:
    """Name words of a file that a backward pass has no use for, by which it could answer for itself."""
    found = dict.fromkeys(word.decode() for word in UNUSUAL.findall(code))
    return [f"its code says {', '.join(found)}: {MARK}"] if found else []


def _template(path: Path, asking: Asking, code: bytes) -> str:
    """Return lines for the end of a file with which it is judged, as far as they are found in the time that it has."""
    until = time.monotonic() + asking.seconds

    def verdict_of(lines: str) -> str:
        left = until - time.monotonic()
        tried = asking._replace(template=False, seconds=left)
        return "error" if left <= 0 else check_file(path, tried, code + f"\n\n{lines}".encode()).verdict

    if len(code) > MOST_READ:
        return LINES["function"]
    try:
        return candidates.template(ast.parse(code), verdict_of)
    except RecursionError:  # its code is nested deeply
        return LINES["function"]


def judged(run: Running, asking: Asking, seed: int, code: bytes) -> BackpropReport:
    """Judge a file that runs: at its own point, by its function, or by the training step in its loop."""
    constants = {name: value for name, value in run.constants.items() if name not in asking.given}
    try:
        settings = Settings(**constants | dict(asking.given))
    except (ValueError, TypeError) as error:
        return functions.failed(f"a constant of the file, or a flag: {error}", None)
    basis = [f"{', '.join(name.upper() for name in constants)} of the file"] if constants else []
    declared = frozenset(constants | dict(asking.given))
    asked = Asked(settings, declared, frozenset(asking.given), asking.strict, asking.precision, tuple(basis))
    at = functions.at_point(asked, *run.point) if run.point and not asking.ours else None
    if at is None and run.steps and not (asking.ours and run.functions):
        of_functions = [f"--{name}" for name in asking.given if name in ("layers", "layout", "params")]
        if of_functions and not run.functions:
            reason = f"{', '.join(of_functions)}: for files with {FUNCTION}, and it has none; leave them out"
            return functions.failed(reason, None)
        return script.judged(run, asked, seed)
    if at is None and run.functions and run.error:  # its POINT is no good
        raise Failed(run.error)
    reports = [_by_function(run, name, at, asked, seed) for name in run.functions]
    good = [report for report in reports if report.verdict != "error"]
    if not good and not (reports and _is_named(run, asking)):
        is_whole = not (run.error or asking.function or FUNCTION in run.defined)
        raise (NothingToJudge if is_whole else Failed)(_nothing_to_judge(run, code, asking.function))
    return (good or reports)[0]


def _by_function(run: Running, name: str, at: tuple[Asked, Problem] | None, asked: Asked, seed: int) -> BackpropReport:
    def ask(problem: Problem, layout: str, form: str) -> Answer:
        assert run.call is not None  # a file that runs in a child has it
        return run.call(name, problem.params, problem.x, problem.labels, layout, form)

    report = functions.judged(ask, *((at[0], seed, at[1]) if at else (asked, seed)))
    used = [] if name == FUNCTION else [f"its function {name} was judged"]
    called = [f"it calls {function}" for function in run.calls]
    drawn = [] if at or report.verdict == "error" else [f"--seed {seed} draws the same problems"]
    notes = (*report.notes, *used, *run.notes, *called, *drawn)
    subject = report.subject and report.subject._replace(name=name)
    return replace(report, notes=notes, uses_autodiff=bool(run.calls), subject=subject)


def _is_named(run: Running, asking: Asking) -> bool:
    return FUNCTION in run.functions or asking.function in run.functions


def _nothing_to_judge(run: Running, code: bytes, function: str) -> str:
    """Say why nothing of a file can be judged, and what would help."""
    if function or FUNCTION in run.defined or (run.error and FUNCTION.encode() in code):
        return run.error or f"file: expected a function {function or FUNCTION}, got none"
    expected = f"a function {FUNCTION}(params, x, labels), or a loop that is seen to train"
    ended = [f"its own run ended with {run.error}"] if run.error else []
    return "; ".join(
        [str(_doors.mistake("file", expected, "none", _doors.did_you_mean(FUNCTION, run.defined))), *ended]
    )


def read(path: Path) -> bytes | None:
    """Return what a file holds, or None if it cannot be read or is no plain file."""
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def python_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files, and of a folder every Python file and notebook in it, in order."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in _sources.ENDINGS)
        inside = [file for file in found if not _is_hidden(file.relative_to(path))]
        if not inside:
            raise _doors.mistake(path, "a folder with .py files or notebooks", "none")
        yield from inside


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
