"""Run a file as its author does, and keep the variables at the start of the first round of each loop, and of a later.

A training loop shows how the functions of a file belong together: what is called with what, and in which shapes.
"""

import ast
import copy
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import state

PATIENCE = (0.4, 5.0)  # seconds without a new loop until the run ends; the second if the first was too short
COPYING = 0.3  # seconds for the variables of later rounds; then only those of rounds 2, 4, 8, ... are kept
OBSERVE = "__observe__"
CELLS = "__cells__"


class EnoughSeen(BaseException):
    """Ends the file's run; no `except Exception` of the file catches it."""


class View(NamedTuple):
    """The variables at the start of a round.

    Attributes:
      scope: their values.
      cells: the variables of functions that were defined in functions; scope[CELLS] holds their values.
      generators: the states of NumPy's and Python's global random numbers.
      round: its number.
    """

    scope: dict[str, Any]
    cells: Sequence[Any] = ()
    generators: tuple[Any, Any] | None = None
    round: int = 1


@dataclass
class Loop:
    """A loop of a file.

    Attributes:
      index: its number among the file's loops.
      line: its first line.
      body: its statements.
      after: the statements that follow it in its block, and those that follow a `with` of which this is the body.
      order: the number of loops that began before it.
      view: the variables when its first round began; None if it never did.
      later: those of the last round of its first pass, or of the last that was kept.
      rounds: how many rounds were seen.
      is_over: whether its first pass has ended.
      rewrite: statement -> statement, with what has to run in its place; None for the file's own.
    """

    index: int
    line: int
    body: Sequence[ast.stmt]
    after: Sequence[ast.stmt]
    order: int = 0
    view: View | None = None
    later: View | None = None
    rounds: int = 0
    is_over: bool = False
    rewrite: Callable[[ast.stmt], list[ast.stmt]] | None = None

    @property
    def scope(self) -> dict[str, Any]:
        """The variables of the view."""
        return {} if self.view is None else self.view.scope


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
    """Return the code with a call at the start of each loop's body and at its end, and its loops."""
    tree = copy.deepcopy(tree)
    loops: list[Loop] = []
    for block, rest in _blocks(tree):
        for i, statement in enumerate(block):
            if isinstance(statement, ast.For | ast.While):
                body, after = copy.deepcopy((statement.body, [*block[i + 1 :], *rest]))
                body = [_NoReturn().visit(part) for part in body]
                call = ast.parse(f"{OBSERVE}({len(loops)}, locals())").body[0]
                ended = ast.parse(f"{OBSERVE}({len(loops)}, None)").body[0]
                statement.orelse.append(ast.copy_location(ended, statement))
                statement.body.insert(0, ast.copy_location(call, statement.body[0]))
                loops.append(Loop(len(loops), statement.lineno, body, after))
    return ast.fix_missing_locations(tree), loops


class _NoReturn(ast.NodeTransformer):
    """Ends a round where the function of its loop would return."""

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        return ast.copy_location(ast.Break(), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node


def _blocks(tree: ast.AST) -> list[tuple[list[ast.stmt], list[ast.stmt]]]:
    """Return each block, and the statements that follow it if it is the body of a `with`."""
    found, after = [], dict[int, list[ast.stmt]]()
    for node in ast.walk(tree):  # the outer before the inner
        blocks = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
        for block in (block for block in blocks if isinstance(block, list)):
            rest = after.get(id(node), [])
            found.append((block, rest))
            after |= {id(part): [*block[i:], *rest] for i, part in enumerate(block, 1) if isinstance(part, ast.With)}
    return found


class Ran(NamedTuple):
    """A file's module after its run, the loops that began, and the error that ended it; `EnoughSeen` if nothing did."""

    module: dict[str, Any]
    loops: list[Loop]
    error: BaseException | None


def run(tree: ast.Module, filename: str, patience: float = PATIENCE[0]) -> Ran:
    """Run a file until no new loop has begun for some seconds."""
    code, loops = observed(tree)
    module: dict[str, Any] = {"__name__": "__main__", "__file__": filename}
    began: list[float] = []
    copying: list[float] = []

    def observe(index: int, local: Mapping[str, Any] | None) -> None:
        now, loop = time.monotonic(), loops[index]
        if local is None:
            loop.is_over = True
            return
        loop.rounds += 1
        if loop.view is None:
            loop.order = len(began)
            began.append(now)
            loop.view = viewed(module, local, loop.rounds)
        elif now - began[-1] > patience:
            raise EnoughSeen
        elif not loop.is_over and (sum(copying) < COPYING or loop.rounds & (loop.rounds - 1) == 0):
            loop.later = viewed(module, local, loop.rounds)
            copying.append(time.monotonic() - now)

    module[OBSERVE] = observe
    error: BaseException | None = None
    try:
        exec(compile(code, filename, "exec"), module)
    except (Exception, SystemExit, EnoughSeen) as raised:
        error = raised
    return Ran(module, [loop for loop in loops if loop.view is not None], error)


def viewed(module: Mapping[str, Any], local: Mapping[str, Any], number: int) -> View:
    """Return copies of all variables, at the start of a round."""
    generators, cells = (np.random.get_state(), random.getstate()), cells_of(module)
    values = [cell.cell_contents for cell in cells]
    scope = state.copied({**state.data_of(module), **state.data_of(local), CELLS: values})
    return View(scope, cells, generators, number)
