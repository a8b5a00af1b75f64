"""Run a file as its author does, and keep the variables at the start of the first round of each loop.

A training loop shows how the functions of a file belong together: what is called with what, and in which shapes.
"""

import ast
import copy
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import state

SECONDS = 1.5  # after the first loop has begun
OBSERVE = "__observe__"
CELLS = "__cells__"


class EnoughSeen(BaseException):
    """Ends the file's run; no `except Exception` of the file catches it."""


@dataclass
class Loop:
    """A loop of a file.

    Attributes:
      index: its number among the file's loops.
      line: its first line.
      body: its statements.
      after: the statements that follow it in its block.
      order: the number of loops that began before it.
      scope: the variables when its first round began; None if it never did.
      cells: the variables of functions that were defined in functions; scope[CELLS] holds their values.
      generators: the states of NumPy's and Python's global random numbers then.
      rounds: how many rounds were seen.
    """

    index: int
    line: int
    body: Sequence[ast.stmt]
    after: Sequence[ast.stmt]
    order: int = 0
    scope: dict[str, Any] | None = None
    cells: Sequence[Any] = ()
    generators: tuple[Any, Any] | None = None
    rounds: int = 0


def cells_of(module: Mapping[str, Any]) -> list[Any]:
    """Return the variables of a module's functions that were defined in other functions, each once."""
    cells: dict[int, Any] = {}
    functions = [value for name, value in module.items() if hasattr(value, "__closure__") and name != OBSERVE]
    while functions:
        for cell in functions.pop().__closure__ or ():
            with suppress(ValueError):  # it is empty yet
                if id(cell) not in cells and hasattr(cell.cell_contents, "__closure__"):
                    functions.append(cell.cell_contents)
                cells[id(cell)] = cell
    return [cell for cell in cells.values() if _is_full(cell)]


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def observed(tree: ast.Module) -> tuple[ast.Module, list[Loop]]:
    """Return the code with a call at the start of each loop's body, and its loops."""
    tree = copy.deepcopy(tree)
    loops: list[Loop] = []
    for block in list(_blocks(tree)):
        for i, statement in enumerate(block):
            if isinstance(statement, ast.For | ast.While):
                body, after = copy.deepcopy((statement.body, block[i + 1 :]))
                body = [_NoReturn().visit(part) for part in body]
                call = ast.parse(f"{OBSERVE}({len(loops)}, locals())").body[0]
                statement.body.insert(0, ast.copy_location(call, statement.body[0]))
                loops.append(Loop(len(loops), statement.lineno, body, after))
    return ast.fix_missing_locations(tree), loops


class _NoReturn(ast.NodeTransformer):
    """Ends a round where the function of its loop would return."""

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(ast.Break(), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node


def _blocks(tree: ast.AST) -> list[list[ast.stmt]]:
    blocks = (getattr(node, name, None) for node in ast.walk(tree) for name in ("body", "orelse", "finalbody"))
    return [block for block in blocks if isinstance(block, list)]


def run(tree: ast.Module, filename: str) -> tuple[dict[str, Any], list[Loop], BaseException | None]:
    """Run a file until its loops are seen; return its module, the loops that began, and the error that ended it."""
    code, loops = observed(tree)
    module: dict[str, Any] = {"__name__": "__main__", "__file__": filename}
    began: list[float] = []

    def observe(index: int, local: Mapping[str, Any]) -> None:
        now, loop = time.monotonic(), loops[index]
        loop.rounds += 1
        if loop.scope is None:
            loop.order = len(began)
            began.append(now)
            loop.generators = (np.random.get_state(), random.getstate())
            loop.cells = cells_of(module)
            values = [cell.cell_contents for cell in loop.cells]
            loop.scope = state.copied({**state.data_of(module), **state.data_of(local), CELLS: values})
        elif now - began[0] > SECONDS:
            raise EnoughSeen

    module[OBSERVE] = observe
    error: BaseException | None = None
    try:
        exec(compile(code, filename, "exec"), module)
    except EnoughSeen:
        pass
    except (Exception, SystemExit) as raised:
        error = raised
    return module, [loop for loop in loops if loop.scope is not None], error
