"""Run a file's functions with every value seen, and, if asked, with another value in the place of one.

Each expression that is read becomes a call of `SEEN` with the number of its place in the code. The functions keep
their identity, globals and closures, since only their code objects are exchanged.
"""

import ast
import builtins
import copy
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from . import state

SEEN = "__mlp_jax_seen__"
MOST_EVENTS, MOST_NUMBERS = 20_000, 2_000_000  # that are kept of a run
EXPRESSIONS = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript, ast.Attribute, ast.Name, ast.IfExp, ast.Compare)


class Place(NamedTuple):
    """An expression of a file whose values are seen, or what a statement has changed.

    Attributes:
      line: its first line.
      column: where it begins, in bytes.
      end_line: its last line.
      end_column: where it ends.
      statement: the first line of its statement.
      is_after: whether its value is seen after the statement.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    statement: int
    is_after: bool

    @property
    def ends(self) -> tuple[int, int, int, int]:
        """Where it begins and ends."""
        return self[:4]


class Event(NamedTuple):
    """A value that was seen: the number of its place, and a copy."""

    place: int
    value: np.ndarray


# Of a place, its values in the order in which they are seen; an empty array leaves one as it is.
Replacements = Mapping[int, Sequence[np.ndarray]]


class Recorder(NamedTuple):
    """What records.

    Attributes:
      places: their numbers.
      events: of the last run.
      begin: begins a run; its argument stands in the place of what is seen.
      rewrite: the same for a statement that is run outside of the file's functions; begins a run again.
      end: gives the functions their own code again.
    """

    places: dict[Place, int]
    events: list[Event]
    begin: Callable[[Replacements], None]
    rewrite: Callable[[ast.stmt], list[ast.stmt]]
    end: Callable[[], None]


def recorder(tree: ast.Module, file: str) -> Recorder:
    """Record the values of a file's functions from now on.

    Args:
      tree: the file's code.
      file: its path, as its functions know it.
    """
    places: dict[Place, int] = {}
    events: list[Event] = []
    counts: dict[int, int] = {}
    replaced: dict[int, Sequence[np.ndarray]] = {}
    room = [MOST_NUMBERS]

    def again() -> None:
        events.clear()
        counts.clear()
        room[0] = MOST_NUMBERS

    def rewrite(statement: ast.stmt) -> list[ast.stmt]:
        again()
        return rewritten([statement], places)

    def begin(replacements: Replacements) -> None:
        again()
        replaced.clear()
        replaced.update(replacements)

    def seen(place: int, value: Any, is_after: bool = False) -> Any:
        array = _as_array(value)
        if array is None:
            return value
        n = counts.get(place, 0)
        counts[place] = n + 1
        if len(events) < MOST_EVENTS and array.size <= room[0]:
            room[0] -= array.size
            events.append(Event(place, np.array(array, float)))
        others = replaced.get(place, ())
        if n < len(others) and (others[n].size or not array.size):
            return _in_place_of(value, others[n], is_after)
        return value

    def end() -> None:
        for function, code in own:
            function.__code__ = code
        vars(builtins).pop(SEEN, None)

    codes = {_key(code): code for code in _codes(compile(ast.Module(rewritten(tree.body, places), []), file, "exec"))}
    functions = [f for f in gc.get_objects() if type(f) is FunctionType and f.__code__.co_filename == file]
    own = [(function, function.__code__) for function in functions]
    for function, code in own:
        function.__code__ = codes.get(_key(code), code)
    vars(builtins)[SEEN] = seen
    return Recorder(places, events, begin, rewrite, end)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _key(code: CodeType) -> tuple[Any, ...]:
    return code.co_qualname, code.co_firstlineno, code.co_freevars


def _as_array(value: Any) -> np.ndarray | None:
    """Return a value as an array of numbers, if it is one."""
    if isinstance(value, float):
        return np.asarray(value)
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value) if value.dtype.kind in "fb" or (value.dtype.kind in "iu" and value.ndim) else None
    if state.is_array(value) or state.is_list_of_numbers(value):
        return state.as_floats(value)
    return None


def _in_place_of(value: Any, other: np.ndarray, is_after: bool) -> Any:
    """Return other numbers as a value of the same kind; what a statement has changed is changed in place again."""
    if isinstance(value, np.ndarray):
        if is_after and value.shape == other.shape:
            value[...] = other
            return value
        return other.astype(value.dtype if value.dtype.kind in "fiu" else float)
    if isinstance(value, list):
        return other.tolist()
    return state.of_library(value, other)


class _Rewriter(ast.NodeTransformer):
    """Puts calls of `SEEN` around expressions, and after statements that change something in place."""

    def __init__(self, places: dict[Place, int]) -> None:
        self.places = places
        self.statement = 0

    def seen(self, node: ast.expr, value: ast.expr, is_after: bool = False) -> ast.Call:
        end = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        place = Place(node.lineno, node.col_offset, *end, self.statement, is_after)
        number = self.places.setdefault(place, len(self.places))
        arguments = [ast.Constant(number), value, *[ast.Constant(True)] * is_after]
        call = ast.Call(ast.Name(SEEN, ast.Load()), arguments, [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.pattern):  # holds no expression that could be a call
            return node
        if isinstance(node, ast.stmt):
            return self._statement(node)
        if isinstance(node, ast.Call):
            node.func = self._called(node.func)
            node.args = [self.visit(part) for part in node.args]
            node.keywords = [self.visit(part) for part in node.keywords]
        else:
            self.generic_visit(node)
        if isinstance(node, EXPRESSIONS) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return self.seen(node, node)
        return node

    def _called(self, function: ast.expr) -> ast.expr:
        """Visit the object of a method that is called; the function itself is no number."""
        if isinstance(function, ast.Attribute):
            function.value = self.visit(function.value)
            return function
        return function if isinstance(function, ast.Name) else self.visit(function)

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        outer, self.statement = self.statement, node.lineno
        changed = _changed(node)  # before its parts are rewritten
        self.generic_visit(node)
        after = [self._after(read, target) for read, target in changed]
        self.statement = outer
        return [node, *after]

    def _after(self, read: ast.expr, target: ast.expr) -> ast.stmt:
        """Return a statement that sees what has changed; a name is bound again, as not all values change in place."""
        seen = self.seen(target, read, is_after=True)
        if isinstance(target, ast.Name):
            return ast.copy_location(ast.Assign([ast.Name(target.id, ast.Store())], seen), target)
        return ast.copy_location(ast.Expr(seen), target)


def _changed(node: ast.stmt) -> list[tuple[ast.expr, ast.expr]]:
    """Return what a statement changes in place, or is one of several that it binds, each with its target."""
    if isinstance(node, ast.AugAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign):
        parts = [part for target in node.targets for part in getattr(target, "elts", [target])]
        are_several = any(isinstance(target, ast.Tuple | ast.List) for target in node.targets)
        targets = [part for part in parts if are_several or isinstance(part, ast.Subscript)]
    else:
        return []
    reads = [(target.value if isinstance(target, ast.Subscript) else target, target) for target in targets]
    return [(_as_read(base), target) for base, target in reads if isinstance(base, ast.Name | ast.Attribute)]


def _as_read(target: ast.expr) -> ast.expr:
    read = copy.deepcopy(target)
    for node in ast.walk(read):
        if hasattr(node, "ctx"):
            node.ctx = ast.Load()
    return read


def rewritten(statements: Sequence[ast.stmt], places: dict[Place, int]) -> list[ast.stmt]:
    """Return statements in which the values of expressions are seen; their places are added to those known."""
    body = ast.Module([copy.deepcopy(statement) for statement in statements], [])
    return ast.fix_missing_locations(_Rewriter(places).visit(body)).body
