"""The text of expressions, and the plain numbers in them by which a value is multiplied or divided."""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.recording import Place

CLOSE = 1e-9  # relative distance of a factor from a number in the code
Ends = tuple[int, int, int, int]  # of an expression, as Python's parser counts


class Span(NamedTuple):
    """A part of a source: from a line and a column up to a line and a column, in characters; lines count from 1."""

    line: int
    column: int
    end_line: int
    end_column: int


def span(ends: Ends, lines: Sequence[str]) -> Span:
    """Return the span of an expression, whose columns are counted in bytes."""
    line, column, end_line, end_column = ends
    start, end = (
        len(lines[i - 1].encode()[:n].decode(errors="ignore")) for i, n in ((line, column), (end_line, end_column))
    )
    return Span(line, start, end_line, end)


def text(part: Span, lines: Sequence[str]) -> str:
    """Return the source of a span, on one line."""
    if part.line == part.end_line:
        return lines[part.line - 1][part.column : part.end_column]
    inner = lines[part.line : part.end_line - 1]
    whole = [lines[part.line - 1][part.column :], *inner, lines[part.end_line - 1][: part.end_column]]
    return " ".join(line.strip() for line in whole)


def node_at(tree: ast.Module, place: Place) -> ast.expr | None:
    """Return the expression at a place; of what a statement changes in place, the value that it is changed by."""
    for node in ast.walk(tree):
        if place.is_after and isinstance(node, ast.Assign | ast.AugAssign) and node.lineno == place.statement:
            return node.value
        if isinstance(node, ast.expr) and ends(node) == place.ends:
            return node
    return None


def ends(node: ast.expr) -> Ends:
    """Return where an expression begins and ends."""
    end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return node.lineno, node.col_offset, end_line, end_column


def argument_at(tree: ast.Module, place: Place) -> ast.expr | None:
    """Return the constant that the only call of a function gives to an argument that an expression in it uses.

    It is a whole number or None, such as an axis: of a plain factor the expression itself may be wrong.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    within = [node for node in functions if node.lineno <= place.line <= (node.end_lineno or node.lineno)]
    node = node_at(tree, place)
    if not within or node is None:
        return None
    function = within[-1]
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    calls = [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function.name
    ]
    if len(calls) != 1:
        return None
    given = dict(zip((argument.arg for argument in function.args.args), calls[0].args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in calls[0].keywords if keyword.arg}
    constants = [
        value
        for name, value in given.items()
        if name in names and isinstance(value, ast.Constant) and isinstance(value.value, int | None)
    ]
    return constants[0] if len(constants) == 1 else None


def reads(tree: ast.Module) -> set[Ends]:
    """Return the expressions that only read a variable, an attribute or an entry."""
    return {ends(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)}


def loop_that_sets(tree: ast.Module, statement: int) -> ast.expr | None:
    """Return over what a later loop runs that sets entries of what an assignment in a line makes, if there is one."""
    made = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and node.lineno == statement]
    names = {name for node in made for target in node.targets for name in _names(target)}
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For) and node.lineno > statement):
        inside = list(ast.walk(loop))
        targets = [target for node in inside if isinstance(node, ast.Assign) for target in node.targets]
        targets += [node.target for node in inside if isinstance(node, ast.AugAssign)]
        if any(isinstance(target, ast.Subscript) and names & _names(target.value) for target in targets):
            return loop.iter
    return None


def _names(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def factor_at(node: ast.expr | None, arrays: Sequence[Place], factor: float) -> ast.expr | None:
    """Return the plain number in a product or quotient that is the likeliest to make it a multiple of what is right.

    Args:
      node: the product.
      arrays: the places of arrays, which are no plain numbers.
      factor: by which it is too large; inf if it depends on the problem.
    """
    numbers = list(_numbers(node, 1, {place.ends for place in arrays}))
    for part, power in numbers:
        values = [c.value for c in ast.walk(part) if isinstance(c, ast.Constant) and isinstance(c.value, int | float)]
        if any(value and abs(value**power - factor) < CLOSE * factor for value in values):
            return part
    sizes = (factor, 1 / factor)
    if factor < np.inf and not any(size > 2.5 and abs(size - round(size)) < CLOSE * size for size in sizes):
        return None  # it is no number of examples, classes or features
    named = [part for part, _ in numbers if not isinstance(part, ast.Constant)]
    return named[-1] if named else None


def _numbers(node: ast.expr | None, power: int, arrays: set[Ends]) -> Iterator[tuple[ast.expr, int]]:
    """Yield the plain numbers by which a product is multiplied, or divided, with 1 or -1."""
    if node is not None and not _has_array(node, arrays):
        yield node, power
    elif isinstance(node, ast.UnaryOp):
        yield from _numbers(node.operand, power, arrays)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.MatMult):
        yield from _numbers(node.left, power, arrays)
        yield from _numbers(node.right, -power if isinstance(node.op, ast.Div) else power, arrays)


def _has_array(node: ast.expr, arrays: set[Ends]) -> bool:
    return any(isinstance(part, ast.expr) and ends(part) in arrays for part in ast.walk(node))
