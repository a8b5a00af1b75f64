"""Expressions of NumPy in the letters of the formulas, and their translations into other ways of writing.

An expression is text in rows: h_prev (B, fan_in), W (fan_in, fan_out), delta (B, fan_out). `in_columns` transposes it,
and `of_one_example` writes it for one example, whose arrays are vectors. `spelled` puts in the names of a file.
"""

import ast
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ARRAYS_OF_EXAMPLES = {"x", "h_prev", "h_below", "h", "z", "z_prev", "delta", "dh", "slope_prev"}  # (B, ...)
REDUCTIONS = ("sum", "mean", "max")


class Unknown(Exception):
    """An expression has no meaning in a way of writing: it needs a letter, or the whole batch, that is not there."""


@functools.cache
def in_columns(text: str) -> str:
    """Return the transpose of an expression, for arrays that are all stored transposed."""
    return _text(_rewritten(_tree(text), _transposed))


@functools.cache
def of_one_example(text: str) -> str:
    """Return an expression for one example.

    Raises:
      Unknown: if it mixes examples.
    """
    return _text(_rewritten(_tree(text), _of_one))


def spelled(text: str, letters: Mapping[str, str], functions: Mapping[str, Callable[..., str]]) -> str:
    """Return an expression with letters and functions of letters replaced by what they are called in a file.

    Args:
      text: the expression.
      letters: the text of each letter, which may hold other letters.
      functions: of the text of arguments, the text of a call.

    Raises:
      Unknown: if a letter is not known.
    """

    def replaced(node: ast.AST) -> ast.AST:
        match node:
            case ast.Call(func=ast.Name(id=name), args=args) if name in functions:
                return _tree(functions[name](*map(ast.unparse, args)))
            case ast.Name(id=name) if name in letters and letters[name] != name:
                return _tree(letters[name])
            case ast.Name(id=name) if name not in letters and name not in functions and name not in KNOWN:
                raise Unknown(name)
        return node

    return _text(_rewritten(_tree(text), replaced))


def difference(wrong: str, right: str) -> tuple[int, int]:
    """Return start and end of the smallest part of a wrong statement in which it differs from the right one."""
    node = _difference(_statement(wrong), _statement(right))
    start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None)
    return (0, len(wrong)) if end is None else (start, min(end, len(wrong)))


KNOWN = {"np", "sum", "len", "range", "sigmoid", "softmax", "activation", "derivative", "W", "b"}


def _tree(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def _text(tree: Any) -> str:
    return ast.unparse(tree).replace("'", '"')


def _rewritten(node: Any, rule: Callable[[Any], Any]) -> Any:
    """Return a tree in which a rule has replaced every node, the leaves first."""
    if isinstance(node, list):
        return [_rewritten(part, rule) for part in node]
    if not isinstance(node, ast.AST):
        return node
    return rule(type(node)(**{name: _rewritten(value, rule) for name, value in ast.iter_fields(node)}))


def _transposed(node: Any) -> Any:
    match node:
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            return ast.BinOp(right, ast.MatMult(), left)
        case ast.Call(func=ast.Attribute(attr="outer"), args=[one, other]):
            return ast.Call(node.func, [other, one], [])
        case ast.Call(func=ast.Attribute(attr="argmax")) | ast.Call(func=ast.Name(id="softmax")):
            return ast.Call(node.func, node.args, _other_axes(node.keywords))
        case ast.Call(func=ast.Attribute(attr=name)) if name in REDUCTIONS and node.keywords:
            keywords = _other_axes(node.keywords)
            is_bias = len(keywords) == 1 and keywords[0].value.value == 1  # (fan_out,) in rows, (fan_out, 1) in columns
            return ast.Call(node.func, node.args, keywords + [_keepdims()] * is_bias)
        case ast.Subscript(value=ast.Attribute(attr="shape") as shape, slice=ast.Constant(value=int() as axis)):
            return ast.Subscript(shape, ast.Constant(1 - axis), node.ctx)
        case ast.Subscript(value=ast.Name() as array, slice=index):
            return ast.Subscript(array, ast.Tuple([ast.Slice(), index], ast.Load()), node.ctx)
    return node


def _other_axes(keywords: Sequence[Any]) -> list[Any]:
    def other(value: Any) -> Any:
        return ast.Constant(None if value.value is None else 1 - value.value)

    return [ast.keyword(key.arg, other(key.value) if key.arg == "axis" else key.value) for key in keywords]


def _keepdims() -> ast.keyword:
    return ast.keyword("keepdims", ast.Constant(True))


def _of_one(node: Any) -> Any:
    match node:
        case ast.BinOp(left=ast.Attribute(value=array, attr="T"), op=ast.MatMult(), right=right):
            return ast.Call(_tree("np.outer"), [array, right], [])
        case ast.BinOp(left=left, op=ast.MatMult(), right=ast.Attribute(value=array, attr="T")):
            return ast.BinOp(array, ast.MatMult(), left)
        case ast.Call(
            func=ast.Attribute(value=array, attr="sum"), keywords=[ast.keyword(arg="axis", value=ast.Constant(value=0))]
        ):
            return array
        case ast.Call(func=ast.Attribute(value=array, attr="mean"), keywords=[ast.keyword(arg="axis")]):
            return ast.BinOp(array, ast.Div(), ast.Name("B", ast.Load()))
        case ast.Call(keywords=[ast.keyword(arg="axis", value=ast.Constant(value=1)), *_]):
            return ast.Call(node.func, node.args, [])
        case ast.Call(keywords=[ast.keyword(arg="axis"), *_]):
            raise Unknown("an axis of examples")
        case ast.Subscript(value=ast.Name(id=name)) if name in ARRAYS_OF_EXAMPLES:
            raise Unknown("other examples")
    return node


def _statement(text: str) -> Any:
    return ast.parse(text + " pass" * text.endswith(":")).body[0]


def _difference(wrong: Any, right: Any) -> Any:
    """Return the smallest node of one tree in which it differs from another, or None if a list or a word differs."""
    if type(wrong) is not type(right):
        return wrong
    differs = []
    for (_, one), (_, other) in zip(ast.iter_fields(wrong), ast.iter_fields(right), strict=True):
        ones, others = (part if isinstance(part, list) else [part] for part in (one, other))
        if len(ones) != len(others):
            return wrong
        pairs = zip(ones, others, strict=True)
        differs += [pair for pair in pairs if _dump(pair[0]) != _dump(pair[1])]
    if len(differs) != 1 or not isinstance(differs[0][0], ast.expr | ast.keyword):
        return wrong
    return _difference(*differs[0])


def _dump(node: Any) -> str:
    return ast.dump(node) if isinstance(node, ast.AST) else repr(node)
