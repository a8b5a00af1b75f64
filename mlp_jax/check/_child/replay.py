"""Run statements of a file again, from the variables of a loop's first round and from other parameters."""

import ast
import copy
import random
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from . import state
from .loops import CELLS, OBSERVE, Loop, View
from .state import Path

Theta = Mapping[Path, np.ndarray]


class Nested(Exception):
    """Raised if a replayed statement would run the loop that it belongs to."""


class Program(NamedTuple):
    """A file that was run: its module, the functions, classes and modules in it, and one of its loops."""

    module: dict[str, Any]
    definitions: dict[str, Any]
    loop: Loop


@dataclass(frozen=True)
class Expression:
    """An expression, evaluated after some statements; both are the file's own."""

    statements: Sequence[ast.stmt]
    value: ast.expr

    @cached_property
    def code(self) -> tuple[types.CodeType, types.CodeType]:
        """The statements and the value, compiled."""
        return self.compiled(self.statements)

    def compiled(self, statements: Sequence[ast.stmt]) -> tuple[types.CodeType, types.CodeType]:
        """Return other statements and the value, compiled."""
        once = ast.parse("for __once__ in (0,): pass").body[0]  # so that the body may say continue or break
        assert isinstance(once, ast.For)
        once.body = list(statements) or once.body
        body = ast.fix_missing_locations(ast.Module([once], []))
        value = ast.fix_missing_locations(ast.Expression(copy.deepcopy(self.value)))
        return compile(body, "<checked>", "exec"), compile(value, "<checked>", "eval")


def program_of(module: dict[str, Any], loop: Loop) -> Program:
    """Return the program of a loop."""
    data = state.data_of(module)
    definitions = {name: value for name, value in module.items() if name not in data}

    def observe(index: int, local: Mapping[str, Any] | None) -> None:
        if index == loop.index and local is not None:
            raise Nested

    return Program(module, definitions | {OBSERVE: observe}, loop)


def run(
    program: Program, expression: Expression, theta: Theta | None = None, numbers: Mapping[Path, float] | None = None
) -> tuple[dict[str, Any], Any]:
    """Return the variables after an expression, and its value.

    Args:
      program: the file and its loop, from whose variables it starts.
      expression: what is run.
      theta: arrays that replace those at their paths.
      numbers: floats that do.
    """
    module, definitions, loop = program
    view = loop.view or View({})
    scope = state.copied(view.scope)
    for path, array in (theta or {}).items():
        state.put(scope, path, array)
    for path, number in (numbers or {}).items():
        state.bind(scope, path, number)
    for cell, value in zip(view.cells, scope.pop(CELLS, ()), strict=True):
        cell.cell_contents = value
    module.clear()
    module.update(definitions | scope)  # the functions of the file look their names up here
    if view.generators is not None:
        np.random.set_state(view.generators[0])
        random.setstate(view.generators[1])
    rewrite = loop.rewrite
    if rewrite is None:
        statements, value = expression.code
    else:
        statements, value = expression.compiled([new for old in expression.statements for new in rewrite(old)])
    with np.errstate(all="ignore"):
        exec(statements, module)
        return state.data_of(module), eval(value, module)


NOTHING = ast.Constant(None)


def after(
    program: Program,
    statements: Sequence[ast.stmt],
    theta: Theta | None = None,
    numbers: Mapping[Path, float] | None = None,
) -> dict[str, Any]:
    """Return the variables after some statements."""
    return run(program, Expression(statements, NOTHING), theta, numbers)[0]


def number(program: Program, expression: Expression, theta: Theta | None = None) -> float:
    """Return the value of an expression if it is one float, else NaN, also if it raises."""
    try:
        value = run(program, expression, theta)[1]
        return float(state.as_floats(value).reshape(())) if state.is_number(value) else float("nan")
    except Exception:
        return float("nan")
