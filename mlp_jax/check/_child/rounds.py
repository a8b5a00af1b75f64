"""One round of a loop from other parameters: what it changes, and what depends on what."""

import ast
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from . import replay, state
from .replay import Expression, Program, Theta
from .state import Path

K = TypeVar("K", bound=Hashable)


def drawn(shapes: Mapping[K, tuple[int, ...]], rng: np.random.Generator) -> dict[K, np.ndarray]:
    """Return parameters of a size at which no mistake hides."""
    fans = {name: max(shape) if len(shape) == 2 and min(shape) > 1 else 4 for name, shape in shapes.items()}
    return {name: rng.standard_normal(shape) / np.sqrt(fans[name]) for name, shape in shapes.items()}


def shapes_of(theta: Theta) -> dict[Path, tuple[int, ...]]:
    """Return the shapes of parameters."""
    return {path: a.shape for path, a in theta.items()}


def updates(program: Program, theta: Theta) -> dict[Path, np.ndarray]:
    """Return theta - theta after one round, for each parameter."""
    return subtracted(theta, replay.after(program, program.loop.body, theta))


def subtracted(theta: Theta, after: state.Scope) -> dict[Path, np.ndarray]:
    """Return theta minus the parameters in some variables."""
    return {path: a - state.as_floats(state.get(after, path)) for path, a in theta.items()}


def has_changed(before: state.Scope, after: state.Scope, path: Path) -> bool:
    try:
        a, b = (state.as_floats(state.get(scope, path)) for scope in (before, after))
    except Exception:
        return False
    return a.size > 0 and a.shape == b.shape and not np.array_equal(a, b)


def is_shuffled(before: state.Scope, after: state.Scope, path: Path) -> bool:
    """Return whether an array has the same numbers in another order, as data do before an epoch."""
    a, b = (np.sort(state.as_floats(state.get(scope, path)), axis=None) for scope in (before, after))
    return bool(np.array_equal(a, b))


def are_multiples(a: Theta, b: Theta, factor: float = 1.0, tolerance: float = 1e-6) -> bool:
    """Return whether a is factor times b."""
    return all(
        np.allclose(a[path], factor * b[path], rtol=tolerance, atol=1e-9 * abs(factor) * np.abs(b[path]).max(initial=0))
        for path in b
    )


def kept(program: Program, theta: dict[Path, np.ndarray], rng: np.random.Generator) -> dict[Path, np.ndarray]:
    """Return the arrays whose values after a round depend on those before: an update does, a new value does not.

    Numbers that are not finite hide what they depend on, so such arrays are kept.
    """
    body, base = program.loop.body, drawn(shapes_of(theta), rng)
    kept: dict[Path, np.ndarray] = {}
    if not theta:
        return kept
    plain = replay.after(program, body, base)
    for path, a in theta.items():
        moved = replay.after(program, body, {**base, path: base[path] + rng.standard_normal(a.shape)})
        one, two = (state.as_floats(state.get(after, path)) for after in (plain, moved))
        is_new = np.isfinite(one).all() and np.array_equal(one, two)
        if one.shape == two.shape == a.shape and not is_new:
            kept[path] = a
    return kept


def depends(program: Program, loss: Expression, theta: Theta, path: Path, rng: np.random.Generator) -> bool:
    """Return whether an expression depends on a parameter."""
    moved = {**theta, path: theta[path] + 1e-3 * rng.standard_normal(theta[path].shape)}
    a, b = (replay.number(program, loss, point) for point in (theta, moved))
    return bool(np.isfinite(a) and np.isfinite(b) and abs(a - b) > 1e-13 * abs(a))


def until_update(program: Program, parameters: Sequence[Path]) -> Sequence[ast.stmt]:
    """Return the statements of the step before the first that changes a parameter."""
    body, before = program.loop.body, program.loop.scope
    for count in range(1, len(body) + 1):
        after = replay.after(program, body[:count])
        if any(has_changed(before, after, path) for path in parameters):
            return body[: count - 1]
    return body


def calls(*trees: ast.AST) -> list[ast.Call]:
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
