"""Find the loop that trains: its parameters, what may be its loss, and where its gradient stands.

One round of a training loop takes parameters theta to theta - rate * gradient(theta). So the parameters are the arrays
that a round changes and on which its loss depends. Their gradients are arrays that the round leaves and whose
multiples, by one rate, it subtracts; if there are none, the gradient is (theta - theta after) / rate.
"""

import ast
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from . import replay, state
from .gradients import UPDATE, Gradient, gradients_of, standing
from .loops import Loop
from .losses import added_up, expressions
from .replay import Expression, Program, Theta
from .rounds import (
    are_multiples,
    calls,
    depends,
    drawn,
    has_changed,
    is_shuffled,
    kept,
    name_of,
    shapes_of,
    until_update,
    updates,
)
from .state import Path

LARGEST_DATA, MOST_DATA = 20_000, 30  # entries of an array that is sent to the judge, and how many are
MOST_LOSSES = 6
MOST_TURNS = 8
NOTHING = 1e-9  # of the largest update: a gradient that is 0 but for rounding, as of a bias before a normalisation


class Step(NamedTuple):
    """A training step.

    Attributes:
      program: the file, and the loop whose round is the step.
      theta: the parameters of its first round.
      losses: what may be its loss, the likeliest first.
      gradients: what may be its gradient, the likeliest first.
      unused: what a round updates as it does the parameters, and on which the loss does not depend.
    """

    program: Program
    theta: dict[Path, np.ndarray]
    losses: list[Expression]
    gradients: list[Gradient]
    unused: Sequence[Path] = ()


def steps(module: dict[str, Any], tree: ast.Module, loops: Sequence[Loop]) -> list[Step]:
    """Return the training steps of a file that have most of its parameters, the inner loops before the outer."""
    found = []
    for loop in loops:
        for turned in turns(loop):
            try:
                step = step_of(replay.program_of(module, turned), tree)
            except Exception:  # whatever the file's statements raise: this loop is no step that can be repeated
                step = None
            if step is not None:
                found.append(step)
                break
    found = [step for step in found if step.gradients[0].words != UPDATE] or found  # else it may be any sum
    sizes = {id(step): sum(a.size for a in step.theta.values()) for step in found}
    large = [step for step in found if 2 * sizes[id(step)] >= max(sizes.values())]  # an outer loop may have momenta too
    return sorted(large, key=lambda step: -step.program.loop.order)


def turns(loop: Loop) -> Iterator[Loop]:
    """Yield a loop, and the same beginning at another statement: it may compute the gradient of the next round."""
    for first in range(min(len(loop.body), MOST_TURNS)):
        yield dataclasses.replace(loop, body=[*loop.body[first:], *loop.body[:first]])


def step_of(program: Program, tree: ast.Module) -> Step | None:
    """Return the training step that a round of a loop is, or None."""
    before, body = program.loop.scope, program.loop.body
    after = replay.after(program, body)
    for name, value in before.items():  # b = 0 becomes a float by its first update
        if type(value) is int and type(after.get(name)) in (float, np.float64):
            before[name] = float(value)
    arrays = list(state.arrays(before, views=False))
    changed = [path for path, _ in arrays if has_changed(before, after, path) and not is_shuffled(before, after, path)]
    theta = {
        path: state.as_floats(a).copy()
        for path, a in arrays
        if path in changed or (changed and _is_updated(path, changed, tree if len(path) > 1 else body))
    }
    rng = np.random.default_rng(0)
    theta = kept(program, theta, rng)
    if not theta:
        return None
    point = drawn(shapes_of(theta), rng)
    losses: list[tuple[Expression, list[Path]]] = []
    for offered in (expressions, added_up):
        for loss in offered(program, tree, changed) if not losses else ():
            needs = [path for path in theta if depends(program, loss, point, path, rng)]
            if needs and len(losses) < MOST_LOSSES:
                losses.append((loss, needs))
    most = max((len(needs) for _, needs in losses), default=0)
    losses = [(loss, needs) for loss, needs in losses if 2 * len(needs) > most]
    all_kept = theta
    theta = {path: a for path, a in theta.items() if any(path in needs for _, needs in losses)}
    points = [drawn(shapes_of(theta), rng) for _ in range(2)]
    if not theta or are_multiples(updates(program, points[0]), updates(program, points[1])):
        return None
    gradients = gradients_of(program, points[0])
    if not gradients:
        return None
    return Step(program, theta, [loss for loss, _ in losses], gradients, _unused(program, theta, all_kept, rng))


def _unused(program: Program, theta: Theta, all_kept: Theta, rng: np.random.Generator) -> list[Path]:
    """Return what is updated next to the parameters, by the same rate, although the loss does not depend on it."""
    if len(theta) == len(all_kept):
        return []
    point = drawn(shapes_of(all_kept), rng)
    if standing(program, point) is None:
        return []
    sizes = {path: float(np.abs(update).max()) for path, update in updates(program, point).items()}
    return [path for path in all_kept if path not in theta and sizes[path] > NOTHING * max(sizes.values())]


def _is_updated(path: Path, changed: Sequence[Path], code: ast.AST | Sequence[ast.stmt]) -> bool:
    """Return whether code updates an array that a round has not changed: its gradient may be 0, rightly or not.

    Its neighbour in a list or dict has changed, or that of another layer, as params[1]["W"] next to params[0]["W"], or
    it stands on both sides of an assignment, as in W = W - dW.
    """
    if any(_without_numbers(other) == _without_numbers(path) for other in changed):
        return True
    *container, (kind, step) = path
    if kind == "key":
        return any(other[:-1] == tuple(container) for other in changed)
    for node in (node for part in (code if isinstance(code, Sequence) else [code]) for node in ast.walk(part)):
        targets: list[ast.expr] = []
        if isinstance(node, ast.AugAssign):
            targets = [node.target]
        if isinstance(node, ast.Assign):
            known = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.Name | ast.Attribute)}
            parts = [part for target in node.targets for part in getattr(target, "elts", [target])]
            targets = [part for part in parts if ast.unparse(part) in known]
        wanted = ast.Name if kind == "name" else ast.Attribute
        if any(isinstance(target, wanted) and name_of(target) == step for target in targets):
            return True
    return False


def _without_numbers(path: Path) -> list[tuple[str, Any]]:
    return [(kind, "" if isinstance(step, int) else step) for kind, step in path]


def data_of(program: Program, theta: Theta) -> list[np.ndarray]:
    """Return the arrays that a step may take as data: variables and arguments of its calls that stay as they are."""
    rng = np.random.default_rng(0)
    one, other = (_arrays_at(program, drawn(shapes_of(theta), rng)) for _ in range(2))
    found: list[np.ndarray] = []
    for words, array in one.items():
        is_fixed = words in other and np.array_equal(array, other[words])
        if is_fixed and not any(np.array_equal(array, known) for known in found):
            found.append(array)
    return found[:MOST_DATA]


def _arrays_at(program: Program, theta: Theta) -> dict[str, np.ndarray]:
    """Return the arrays of one or two axes, of a usual size, among variables and arguments of calls, by their words."""
    forward = until_update(program, list(theta))
    values = replay.after(program, forward, theta)
    for argument in (argument for call in calls(*program.loop.body) for argument in call.args):
        with suppress(Exception):
            values[ast.unparse(argument)] = replay.run(program, Expression(forward, argument), theta)[1]
    found = {}
    for words, value in values.items():
        array = np.asarray(value) if state.is_array(value) or state.is_list_of_numbers(value, int | float) else value
        is_data = isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.ndim in (1, 2)
        if is_data and 1 <= array.size <= LARGEST_DATA:
            found[words] = array
    return found
