"""What of a file can be judged: a function of the contract, the training step in its loop, or another function."""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from . import functions, loops, points, search

FUNCTION = "loss_and_gradients"
CONSTANTS = ("activation", "loss", "layers", "layout", "params")  # settings that a file may hold, in capitals
LIKELY = re.compile("backprop|backward|grad|step|loss|train", re.IGNORECASE)
MOST_FUNCTIONS = 5
ARGUMENTS = 3  # params, x, labels


class Found(NamedTuple):
    """What of a file can be judged.

    Attributes:
      steps: training steps, or what a function returns at the file's own point.
      functions: of (params, x, labels) that may be its backward pass, by name, the likeliest first.
      constants: settings in the file.
      point: the file's own, if it is one of layers.
      error: that ended the file's run, if one did.
      scopes: the variables that were seen.
    """

    steps: Sequence[search.Step] = ()
    functions: Mapping[str, Callable[..., Any]] = {}
    constants: Mapping[str, Any] = {}
    point: tuple[str, list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray] | None = None
    error: BaseException | None = None
    scopes: Sequence[Mapping[str, Any]] = ()


def parsed(code: bytes) -> tuple[ast.Module, str]:
    """Return code as a tree, or an empty one and why it is no Python code."""
    try:
        return ast.parse(code), ""
    except SyntaxError as error:
        mistake = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except ValueError as error:
        mistake = f"expected Python code in UTF-8, got {error}"
    except (RecursionError, MemoryError, SystemError):
        mistake = "its code is nested too deeply for Python"
    return ast.Module([], []), mistake


def found(tree: ast.Module, file: str, wanted: str) -> Found:
    """Run a file, and return what can be judged.

    Args:
      tree: its code.
      file: its path.
      wanted: the name of the function that is to be judged; empty for that of the contract, if the file has it.
    """
    if wanted or FUNCTION in _names(tree):
        return _of_function(tree, file, wanted or FUNCTION)
    steps: list[search.Step] = []
    for patience in loops.PATIENCE:
        module, began, error = loops.run(tree, file, patience)
        steps = search.steps(module, tree, began)
        if steps or not isinstance(error, loops.EnoughSeen):  # else it may have prepared its data all the time
            break
    error = None if isinstance(error, loops.EnoughSeen) else error
    module[loops.OBSERVE] = lambda *_: None  # its functions are called as they are from now on
    likely = {} if steps or error is not None else _likely(module)
    return Found(steps, likely, _constants(module), error=error, scopes=[loop.scope for loop in began])


def _names(tree: ast.Module) -> set[str]:
    """Return the names that a file's outermost statements bind."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            nodes = list(ast.walk(statement))
            names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}  # in an if, or a try
            names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    return names


def _of_function(tree: ast.Module, file: str, name: str) -> Found:
    """Import a file as a module, whose training is not run, and return its function."""
    module = ModuleType("checked")
    module.__file__ = file
    sys.modules["checked"] = module
    try:
        exec(compile(tree, file, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        return Found(error=error)
    function, constants = getattr(module, name, None), _constants(vars(module))
    if not callable(function):
        got = "none" if function is None else type(function).__name__
        return Found(error=ValueError(f"{name}: expected a function, got {got}"))
    value = getattr(module, "POINT", None)
    if value is None:
        return Found((), {name: function}, constants)
    point = functions.layers_of_point(value)
    try:
        steps = [points.step_at(function, value)]
    except Exception as error:
        return Found((), {name: function}, constants, point, error)
    return Found(steps, {name: function}, constants, point, scopes=[step.program.loop.scope for step in steps])


def _constants(module: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's settings. A value of another kind than text or number is given as its text, which is refused."""
    values = {name: module[name.upper()] for name in CONSTANTS if name.upper() in module}
    return {name: value if isinstance(value, str | int | None) else repr(value)[:80] for name, value in values.items()}


def _likely(module: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Return a module's own functions of three arguments, those with a likely name first."""
    own = {
        name: function
        for name, function in module.items()
        if isinstance(function, FunctionType) and function.__module__ in (None, "__main__") and _takes(function)
    }
    likely = sorted(own, key=lambda name: LIKELY.search(name) is None)
    return {name: own[name] for name in likely[:MOST_FUNCTIONS]}


def _takes(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(*[None] * ARGUMENTS)
    except (TypeError, ValueError):
        return False
    return True
