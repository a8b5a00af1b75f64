"""Check files in parallel: those that follow the contract, and those that are as their authors wrote them."""

import ast
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from mlp_jax import _doors
from mlp_jax.check._as_written import judge
from mlp_jax.check._as_written.conversation import Failed
from mlp_jax.check._diagnosis import backprop_check, files
from mlp_jax.check._diagnosis.problems import Settings
from mlp_jax.check._diagnosis.report import BackpropReport


def check_files(
    paths: Sequence[Path],
    given: Mapping[str, Any],
    seconds: float,
    seed: int | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> list[BackpropReport]:
    """Check files in parallel, one child process a core.

    Args:
      paths: the files.
      given: settings that stand over those in the files, by name.
      seconds: that a file's code may take.
      seed: draws the parameters at which a file without the contract's function is judged; None draws it.
      report: called with the number of files done.

    Returns:
      Their reports, in the order of the files.
    """
    reports: dict[Path, BackpropReport] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting = {pool.submit(check_file, path, given, seconds, seed): path for path in paths}
        if len(paths) == 1 and follows_contract(paths[0]):  # this core is free meanwhile
            backprop_check.warm_up(Settings(**given))
        for done, future in enumerate(as_completed(waiting), 1):
            reports[waiting[future]] = future.result()
            report(done)
    return [reports[path] for path in paths]


def check_file(path: Path, given: Mapping[str, Any], seconds: float, seed: int | None) -> BackpropReport:
    """Check one file: by its function of the contract if it has one, else by the training step in its own loop."""
    if follows_contract(path) or path.suffix != ".py" or not path.is_file():
        return files.judged(files.run(path, given, seconds))
    try:
        report = judge.judged(path, seconds, seed)
    except Failed as error:
        if error.late:
            return backprop_check.failed(str(error), None)
        return backprop_check.failed(_mistake_in_code(path) or f"{_no_function(path)}; {error}", None)
    if given:
        flags = ", ".join(f"--{name}" for name in given)
        reason = f"{flags}: these flags are for files with {files.FUNCTION}, and it has none; leave them out"
        return backprop_check.failed(reason, None)
    return report


def _mistake_in_code(path: Path) -> str:
    """Return why a file is no Python code, or nothing."""
    try:
        ast.parse(path.read_bytes())
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except ValueError as error:
        return f"expected Python code in UTF-8, got {error}"
    return ""


def _no_function(path: Path) -> str:
    names = [node.name for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.FunctionDef)]
    expected = f"a function {files.FUNCTION}(params, x, labels), or a loop that trains"
    return str(_doors.mistake("file", expected, "none", _doors.did_you_mean(files.FUNCTION, names)))


def follows_contract(path: Path) -> bool:
    """Return whether a file can be read and names the contract's function."""
    try:
        return files.FUNCTION.encode() in path.read_bytes()
    except OSError:
        return False


def python_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files, and of a folder every .py file in it, in order."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [file for file in sorted(path.rglob("*.py")) if not _is_hidden(file.relative_to(path))]
        if not inside:
            raise _doors.mistake(path, "a folder with .py files", "none")
        yield from inside


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)
