"""A results.json for Gradescope in any case: also after a wrong flag, a crash, an interrupt, or when time runs out."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mlp_jax.check._grading import gradescope
from mlp_jax.check._grading.credit import as_points

FLAG = "--gradescope"
POINTS = 10.0  # of a submission, if nothing else is said


@contextmanager
def result_in_any_case(arguments: Sequence[str]) -> Iterator[None]:
    """Write a result that says "no result yet" first, and after an exception the reason.

    Args:
      arguments: of the command line, which need not be right. Without --gradescope nothing is written.
    """
    path, start = result_of(arguments), time.monotonic()
    if path is None:
        yield
        return
    points, unfinished = points_of(arguments), b""
    with suppress(OSError):  # the command says why its result cannot be written
        gradescope.write(path, gradescope.no_result(gradescope.UNFINISHED, points))
        unfinished = path.read_bytes()
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            if path.read_bytes() == unfinished:  # else its result is there
                gradescope.write(path, gradescope.no_result(reason_of(error), points, time.monotonic() - start))
        raise


def result_of(arguments: Sequence[str]) -> Path | None:
    """Return the results.json that a command line names; None if it names none, or a file of another kind."""
    name = value_of(arguments, FLAG)
    return Path(name) if arguments[:1] == ["check"] and name.endswith(gradescope.SUFFIX) else None


def points_of(arguments: Sequence[str]) -> float:
    """Return the points that a command line names, if they are good."""
    try:
        return as_points("points", float(value_of(arguments, "--points")))
    except ValueError:
        return POINTS


def value_of(arguments: Sequence[str], flag: str) -> str:
    """Return the value of a flag; empty if it is not there.

    >>> value_of(["check", "a.py", "--points", "5"], "--points"), value_of(["--points=5"], "--points")
    ('5', '5')
    """
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    found = [after if one == flag else one[len(flag) + 1 :] for one, after in pairs if one.split("=")[0] == flag]
    return found[-1] if found else ""


def reason_of(error: BaseException) -> str:
    """Say in words why there is no result."""
    if isinstance(error, SystemExit):
        return f"the command line cannot be read: mlp-jax {' '.join(sys.argv[1:])}"
    if isinstance(error, KeyboardInterrupt):
        return "the autograder was interrupted"
    return f"{type(error).__name__}: {error}"
