"""A function at one point: POINT = (params, *arguments), with params of any structure, as a step of one round."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import functions, replay, state
from .gradients import Gradient, fitting, values_in
from .loops import Loop, View
from .replay import Expression, Program, Theta
from .search import Step

BODY = ast.parse("result = function(params, *arguments)").body


def step_at(function: Callable[..., Any], point: Sequence[Any]) -> Step:
    """Return the step whose loss and gradient a function of (params, *arguments) returns.

    Raises:
      ValueError: if it returns something else, in one line.
    """
    params, *arguments = point
    scope = state.copied({"params": _with_floats(params), "arguments": arguments})
    program = Program({}, {"function": function}, Loop(-1, 0, BODY, [], view=View(scope)))
    theta = {path: state.as_floats(a).copy() for path, a in state.arrays({"params": scope["params"]})}
    if not theta:
        raise ValueError("POINT: expected (params, *arguments) with arrays of floats in params, got none")
    after, result = replay.run(program, Expression(BODY, ast.Name("result", ast.Load())), theta)
    if any(not np.array_equal(state.as_floats(state.get(after, path)), a, equal_nan=True) for path, a in theta.items()):
        raise ValueError("it changes params in place: let the caller update the weights")
    for words, at in _readings(result):
        rest = state.get({"result": result}, at)
        places = fitting(theta, rest) or _in_order(theta, rest)
        if places is not None:

            def gradient(theta: Theta, at: state.Path = at, places: Sequence[state.Path] = places) -> list[np.ndarray]:
                return values_in(state.get(replay.after(program, BODY, theta), at), places)

            loss = Expression(BODY, ast.parse(words, mode="eval").body)
            return Step(program, theta, [loss], [Gradient("the gradient that it returns", gradient)])
    given = [np.shape(a) for _, a in state.arrays({"result": result})]
    expected = ", ".join(f"{state.written(path)} {a.shape}" for path, a in theta.items())
    got = f"{functions.in_words(result)} with arrays of the shapes {', '.join(map(str, given)) or 'none'}"
    raise ValueError(f"result: expected (loss, gradients) with a gradient for each of {expected}; got {got}")


def _with_floats(tree: Any) -> Any:
    """Return a structure with its whole numbers, and arrays of them, as floats, so that they are parameters too."""
    kind: Any = type(tree)
    if isinstance(tree, Mapping):
        return kind({key: _with_floats(part) for key, part in tree.items()})
    if isinstance(tree, tuple | list):
        parts = [_with_floats(part) for part in tree]
        return kind(*parts) if hasattr(tree, "_fields") else kind(parts)
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "iu":
        return tree.astype(float)
    return float(tree) if isinstance(tree, int) and not isinstance(tree, bool) else tree


def _readings(result: Any) -> list[tuple[str, state.Path]]:
    """Return words for what may be the loss, and the path to what may be the gradients."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        return []
    ways = [(f"result[{i}]", (("name", "result"), ("key", 1 - i))) for i in (0, 1)]
    return [way for i, way in enumerate(ways) if functions.is_number(result[i])]


def _in_order(theta: Theta, value: Any) -> list[state.Path] | None:
    found = [path for path, _ in state.arrays({"value": value})]
    return found if len(found) == len(theta) else None
