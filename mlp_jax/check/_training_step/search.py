"""Find the loop that trains: its parameters, what may be its loss, and where its gradient stands.

One round of a training loop takes parameters theta to theta - rate * gradient(theta). So the parameters are the arrays
that a round changes and on which its loss depends. Their gradients are arrays that the round leaves and whose
multiples, by one rate, it subtracts; if there are none, the gradient is (theta - theta after) / rate.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import replay, state
from .loops import Loop
from .replay import Expression, Program, Theta
from .state import Path

LOSS_WORDS = re.compile(r"loss|cost|err|objective|criterion|nll|mse|sse|energy|xent|entropy|\bJ\b", re.IGNORECASE)
FEW = 1e-3  # of the rate: so small that an update is as if all of it used the old weights
MOST_LOSSES = 8


class Rate(NamedTuple):
    """A learning rate: its words, its value, and (theta, factor) -> the variables after a round at factor times it."""

    words: str
    value: float
    run: Callable[[Theta, float], dict[str, Any]]


class Step(NamedTuple):
    """A training step.

    Attributes:
      program: the file, and the loop whose round is the step.
      theta: the parameters of its first round.
      losses: what may be its loss, the likeliest first.
      sources: where the gradients of parameters stand after a round; of the others the update tells it.
      factor: the update over the gradients that stand.
      rate: the learning rate, if no gradients stand and it was found.
    """

    program: Program
    theta: dict[Path, np.ndarray]
    losses: list[Expression]
    sources: dict[Path, Path]
    factor: float
    rate: Rate | None


def steps(module: dict[str, Any], tree: ast.Module, loops: Sequence[Loop]) -> list[Step]:
    """Return the training steps of a file: those of most parameters first, then the inner before the outer."""
    found = []
    for loop in loops:
        try:
            step = step_of(replay.program_of(module, loop), tree)
        except Exception:  # whatever the file's statements raise: this loop is no step that can be repeated
            step = None
        if step is not None:
            found.append(step)
    return sorted(found, key=lambda step: (-sum(a.size for a in step.theta.values()), -step.program.loop.order))


def step_of(program: Program, tree: ast.Module) -> Step | None:
    """Return the training step that a round of a loop is, or None."""
    before, body = program.loop.scope or {}, program.loop.body
    after = replay.after(program, body)
    changed = [path for path, _ in state.arrays(before) if _changed(before, after, path)]
    theta = {
        path: state.as_floats(a).copy()
        for path, a in state.arrays(before)
        if path in changed or (changed and _is_updated(path, changed, tree if len(path) > 1 else body))
    }
    rng = np.random.default_rng(0)
    points = [drawn(theta, rng) for _ in range(2)]
    if not theta or _same(updates(program, points[0]), updates(program, points[1])):
        return None
    losses = []
    for loss in expressions(program, tree, list(theta)):
        needs = [path for path in theta if depends(program, loss, points[0], path, rng)]
        if 2 * len(needs) >= len(theta):
            losses.append((loss, needs))
        if len(losses) == MOST_LOSSES:
            break
    theta = {path: a for path, a in theta.items() if any(path in needs for _, needs in losses)}
    if not theta:
        return None
    point = {path: points[0][path] for path in theta}
    sources, factor = sources_of(program, point)
    rate = None if sources else rate_of(program, point)
    return Step(program, theta, [loss for loss, _ in losses], sources, factor, rate)


def _is_updated(path: Path, changed: Sequence[Path], code: ast.AST | Sequence[ast.stmt]) -> bool:
    """Return whether code updates an array that a round has not changed: its gradient may be 0, rightly or not.

    Its neighbour in a list or dict has changed, or it stands on both sides of an assignment, as in W = W - dW.
    """
    *container, (kind, step) = path
    if kind == "key":
        return any(other[:-1] == tuple(container) for other in changed)
    for node in (node for part in (code if isinstance(code, Sequence) else [code]) for node in ast.walk(part)):
        targets: list[ast.expr] = []
        if isinstance(node, ast.AugAssign):
            targets = [node.target]
        if isinstance(node, ast.Assign):
            known = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.Name | ast.Attribute)}
            targets = [target for target in node.targets if ast.unparse(target) in known]
        wanted = ast.Name if kind == "name" else ast.Attribute
        if any(isinstance(target, wanted) and _name_of(target) == step for target in targets):
            return True
    return False


def drawn(theta: Theta, rng: np.random.Generator) -> dict[Path, np.ndarray]:
    """Return parameters of the same shapes and of a size at which no mistake hides."""
    fans = {path: max(a.shape) if a.ndim == 2 and min(a.shape) > 1 else 4 for path, a in theta.items()}
    return {path: rng.standard_normal(a.shape) / np.sqrt(fans[path]) for path, a in theta.items()}


def updates(program: Program, theta: Theta) -> dict[Path, np.ndarray]:
    """Return theta - theta after one round, for each parameter."""
    return subtracted(theta, replay.after(program, program.loop.body, theta))


def subtracted(theta: Theta, after: state.Scope) -> dict[Path, np.ndarray]:
    """Return theta minus the parameters in some variables."""
    return {path: a - state.as_floats(state.get(after, path)) for path, a in theta.items()}


def _changed(before: state.Scope, after: state.Scope, path: Path) -> bool:
    try:
        a, b = (state.as_floats(state.get(scope, path)) for scope in (before, after))
    except Exception:
        return False
    return a.size > 0 and a.shape == b.shape and not np.array_equal(a, b)


def _same(a: Theta, b: Theta, factor: float = 1.0, tolerance: float = 1e-6) -> bool:
    """Return whether a is factor times b."""
    return all(
        np.allclose(a[path], factor * b[path], rtol=tolerance, atol=1e-9 * abs(factor) * np.abs(b[path]).max(initial=0))
        for path in b
    )


def depends(program: Program, loss: Expression, theta: Theta, path: Path, rng: np.random.Generator) -> bool:
    """Return whether an expression depends on a parameter."""
    moved = {**theta, path: theta[path] + 1e-3 * rng.standard_normal(theta[path].shape)}
    a, b = (replay.number(program, loss, point) for point in (theta, moved))
    return bool(np.isfinite(a) and np.isfinite(b) and abs(a - b) > 1e-13 * abs(a))


# ---- what may be the loss


def expressions(program: Program, tree: ast.Module, parameters: Sequence[Path]) -> list[Expression]:
    """Return what may be the loss, the likeliest first.

    It is a number that the step leaves, or a call in the file whose names are known before the parameters change, or a
    call of another function of the file with the first arguments of a call in the step.
    """
    before, body = program.loop.scope or {}, program.loop.body
    forward = until_update(program, parameters)
    found: dict[str, Expression] = {}
    for statements in (forward, body):
        for path, value in state.numbers(replay.after(program, statements)):
            if np.isfinite(value) and not _is_number_at(before, path, value):
                words = state.written(path)
                found.setdefault(words, Expression(statements, ast.parse(words, mode="eval").body))
    calls = [(forward, call) for call in (*_calls(tree), *_alike(program, _calls(*body)))]
    for i, statement in enumerate(program.loop.after):  # what is computed after the loop, to be printed
        calls += [([*forward, *program.loop.after[:i]], call) for call in _calls(statement)]
    for statements, call in calls:
        words = ast.unparse(call)
        if words not in found and np.isfinite(replay.number(program, Expression(statements, call))):
            found[words] = Expression(statements, call)
    own = {name.name for name in ast.walk(tree) if isinstance(name, ast.FunctionDef)}

    def likelihood(words: str) -> tuple[bool, bool]:
        value = found[words].value
        of_library = isinstance(value, ast.Call) and _name_of(value.func) not in own
        return LOSS_WORDS.search(words) is None, of_library

    return [found[words] for words in sorted(found, key=likelihood)]


def until_update(program: Program, parameters: Sequence[Path]) -> Sequence[ast.stmt]:
    """Return the statements of the step before the first that changes a parameter."""
    body, before = program.loop.body, program.loop.scope or {}
    for count in range(1, len(body) + 1):
        after = replay.after(program, body[:count])
        if any(_changed(before, after, path) for path in parameters):
            return body[: count - 1]
    return body


def _is_number_at(scope: state.Scope, path: Path, value: float) -> bool:
    try:
        return bool(state.get(scope, path) == value)
    except Exception:
        return False


def _calls(*trees: ast.AST) -> list[ast.Call]:
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _alike(program: Program, calls: Sequence[ast.Call]) -> Iterator[ast.Call]:
    """Yield calls of other functions, or of the same object's methods, with the first arguments of a call."""
    functions = [name for name, value in program.definitions.items() if hasattr(value, "__code__")]
    for call in calls:
        if call.keywords or any(isinstance(argument, ast.Starred) for argument in call.args):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in functions:
            for name in functions:
                yield from _called(program.definitions[name], ast.Name(name, ast.Load()), call.args)
        elif isinstance(call.func, ast.Attribute):
            try:
                owner = type(replay.run(program, Expression(program.loop.body, call.func.value))[1])
            except Exception:
                continue
            for name, method in vars(owner).items():
                if hasattr(method, "__code__"):
                    yield from _called(method, ast.Attribute(call.func.value, name, ast.Load()), call.args, own=1)


def _called(function: Any, name: ast.expr, arguments: Sequence[ast.expr], own: int = 0) -> Iterator[ast.Call]:
    count = function.__code__.co_argcount - own - len(function.__defaults__ or ())
    if 0 <= count <= len(arguments):
        yield ast.Call(*copy.deepcopy((name, list(arguments[:count]), [])))


# ---- where the gradient is


def sources_of(program: Program, theta: Theta) -> tuple[dict[Path, Path], float]:
    """Return where the gradients stand that a round subtracts, times one factor, and that factor.

    They are empty if a parameter that the round changes has none.
    """
    after = replay.after(program, program.loop.body, theta)
    standing = {path: state.as_floats(a) for path, a in (*state.arrays(after), *state.numbers(after))}
    found: dict[Path, dict[Path, float]] = {}
    for path, update in subtracted(theta, after).items():
        if update.any():
            ratios = {place: _ratio(update, g) for place, g in standing.items() if place not in theta}
            found[path] = {place: ratio for place, ratio in ratios.items() if ratio is not None}
    factors = [factor for of_places in found.values() for factor in of_places.values()]
    for factor in sorted(set(factors), key=factors.count, reverse=True):
        chosen = {
            path: place
            for path, of_places in found.items()
            for place, ratio in reversed(of_places.items())  # the first stays
            if abs(ratio - factor) <= 1e-6 * abs(factor)
        }
        if len(chosen) == len(found):
            return chosen, factor
    return {}, 1.0


def _ratio(update: np.ndarray, g: np.ndarray) -> float | None:
    """Return c if update = c g, where g may be broadcast, else None."""
    try:
        if not g.any() or np.broadcast_shapes(g.shape, update.shape) != update.shape:
            return None
    except ValueError:
        return None
    g = np.broadcast_to(g, update.shape)
    c = float(np.vdot(g, update) / np.vdot(g, g))
    return c if c and np.allclose(c * g, update, rtol=1e-6, atol=1e-9 * np.abs(update).max()) else None


def rate_of(program: Program, theta: Theta) -> Rate | None:
    """Return the learning rate: the number to which a round's update is proportional where it is small.

    It is a variable, an attribute, a number in the step's code, or a default of a function of the file.
    """
    for rate in (*_variables(program), *_literals(program), *_defaults(program)):
        try:
            tiny, half = (subtracted(theta, rate.run(theta, factor)) for factor in (FEW, FEW / 2))
        except Exception:
            continue
        if any(update.any() for update in half.values()) and _same(tiny, half, 2.0, tolerance=1e-3):
            return rate
    return None


def _variables(program: Program) -> Iterator[Rate]:
    for path, value in state.numbers(program.loop.scope or {}):

        def run(theta: Theta, factor: float, path: Path = path, value: float = value) -> dict[str, Any]:
            return replay.after(program, program.loop.body, theta, {path: factor * value})

        yield Rate(state.written(path), value, run)


def _literals(program: Program) -> Iterator[Rate]:
    nodes = [node for statement in program.loop.body for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    values: list[Any] = [node.value for node in nodes if type(node.value) in (int, float) and node.value]
    for value in dict.fromkeys(values):
        equal = [node for node in nodes if type(node.value) is type(value) and node.value == value]

        def run(theta: Theta, factor: float, equal: Any = equal, value: Any = value) -> dict[str, Any]:
            try:
                for node in equal:
                    node.value = factor * value
                return replay.after(program, program.loop.body, theta)
            finally:
                for node in equal:
                    node.value = value

        yield Rate(f"{value:g}", float(value), run)


def _defaults(program: Program) -> Iterator[Rate]:
    named = list(program.definitions.items())
    named += [entry for _, owner in named if isinstance(owner, type) for entry in vars(owner).items()]
    for name, function in named:
        if not hasattr(function, "__code__"):
            continue
        defaults = function.__defaults__ or ()
        for i, value in enumerate(defaults):
            if type(value) not in (int, float) or not value:
                continue

            def run(
                theta: Theta, factor: float, function: Any = function, defaults: Any = defaults, i: int = i
            ) -> dict[str, Any]:
                try:
                    function.__defaults__ = (*defaults[:i], factor * defaults[i], *defaults[i + 1 :])
                    return replay.after(program, program.loop.body, theta)
                finally:
                    function.__defaults__ = defaults

            yield Rate(f"{name}'s default {value:g}", float(value), run)
