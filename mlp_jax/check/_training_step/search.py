"""Find the loop that trains: its parameters, what may be its loss, and where its gradient stands.

One round of a training loop takes parameters theta to theta - rate * gradient(theta). So the parameters are the arrays
that a round changes and on which its loss depends. Their gradients are arrays that the round leaves and whose
multiples, by one rate, it subtracts; if there are none, the gradient is (theta - theta after) / rate.
"""

import ast
import copy
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import replay, state
from .loops import Loop
from .replay import Expression, Program, Theta
from .state import Path

LOSS_WORDS = re.compile(r"loss|cost|err|objective|criterion|nll|mse|sse|energy|xent|entropy|\bJ\b", re.IGNORECASE)
FEW = 1e-3  # of the rate: so small that an update is as if all of it used the old weights
ROUNDING = 1e-13  # an update of this size, relative to its parameter, is 0
LARGEST_DATA, MOST_DATA = 20_000, 30  # entries of an array that is sent to the judge, and how many are
MOST_LOSSES = 6
TELLING = ("print", "append", "write", "format", "round", "float", "str", "info", "log")  # calls that are given a loss
MOST_TURNS = 8


class Rate(NamedTuple):
    """A learning rate: its words, its value, and (theta, factor) -> the variables after a round at factor times it."""

    words: str
    value: float
    run: Callable[[Theta, float], dict[str, Any]]


class Gradient(NamedTuple):
    """What may be the gradient: its words, and theta -> an array for each parameter.

    `by_small_rate` is the same, read from the update of a small learning rate; None if it is not read from an update.
    """

    words: str
    at: Callable[[Theta], list[np.ndarray]]
    by_small_rate: Callable[[Theta], list[np.ndarray]] | None = None


class Step(NamedTuple):
    """A training step.

    Attributes:
      program: the file, and the loop whose round is the step.
      theta: the parameters of its first round.
      losses: what may be its loss, the likeliest first.
      gradients: what may be its gradient, the likeliest first.
    """

    program: Program
    theta: dict[Path, np.ndarray]
    losses: list[Expression]
    gradients: list[Gradient]


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
    sizes = {id(step): sum(a.size for a in step.theta.values()) for step in found}
    large = [step for step in found if 2 * sizes[id(step)] >= max(sizes.values())]  # an outer loop may have momenta too
    return sorted(large, key=lambda step: -step.program.loop.order)


def turns(loop: Loop) -> Iterator[Loop]:
    """Yield a loop, and the same beginning at another statement: it may compute the gradient of the next round."""
    for first in range(min(len(loop.body), MOST_TURNS)):
        yield dataclasses.replace(loop, body=[*loop.body[first:], *loop.body[:first]])


def step_of(program: Program, tree: ast.Module) -> Step | None:
    """Return the training step that a round of a loop is, or None."""
    before, body = program.loop.scope or {}, program.loop.body
    after = replay.after(program, body)
    for name, value in before.items():  # b = 0 becomes a float by its first update
        if type(value) is int and type(after.get(name)) in (float, np.float64):
            before[name] = float(value)
    arrays = list(state.arrays(before, views=False))
    changed = [path for path, _ in arrays if _changed(before, after, path)]
    theta = {
        path: state.as_floats(a).copy()
        for path, a in arrays
        if path in changed or (changed and _is_updated(path, changed, tree if len(path) > 1 else body))
    }
    rng = np.random.default_rng(0)
    theta = _kept(program, theta, rng)
    if not theta:
        return None
    point = drawn(theta, rng)
    losses: list[tuple[Expression, list[Path]]] = []
    for offered in (expressions, added_up):
        for loss in offered(program, tree, changed) if not losses else ():
            needs = [path for path in theta if depends(program, loss, point, path, rng)]
            if needs and len(losses) < MOST_LOSSES:
                losses.append((loss, needs))
    most = max((len(needs) for _, needs in losses), default=0)
    losses = [(loss, needs) for loss, needs in losses if 2 * len(needs) > most]
    theta = {path: a for path, a in theta.items() if any(path in needs for _, needs in losses)}
    points = [drawn(theta, rng) for _ in range(2)]
    if not theta or _same(updates(program, points[0]), updates(program, points[1])):
        return None
    gradients = gradients_of(program, points[0])
    return Step(program, theta, [loss for loss, _ in losses], gradients) if gradients else None


def _kept(program: Program, theta: dict[Path, np.ndarray], rng: np.random.Generator) -> dict[Path, np.ndarray]:
    """Return the arrays whose values after a round depend on those before: an update does, a new value does not."""
    body, base = program.loop.body, drawn(theta, rng)
    kept: dict[Path, np.ndarray] = {}
    if not theta:
        return kept
    plain = replay.after(program, body, base)
    for path, a in theta.items():
        moved = replay.after(program, body, {**base, path: base[path] + rng.standard_normal(a.shape)})
        one, two = (state.as_floats(state.get(after, path)) for after in (plain, moved))
        if one.shape == two.shape == a.shape and not np.array_equal(one, two, equal_nan=True):
            kept[path] = a
    return kept


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
            parts = [part for target in node.targets for part in getattr(target, "elts", [target])]
            targets = [part for part in parts if ast.unparse(part) in known]
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

    It is a number that the step leaves, unless it adds up losses or another one is made of it; or an expression in the
    file whose names are known before the parameters change; or a call of a function that the file calls elsewhere, with
    the first arguments of a call in the step.
    """
    body = program.loop.body
    forward = until_update(program, parameters)
    found: dict[str, Expression] = {}
    for statements in (forward, body):
        for path, value in state.numbers(replay.after(program, statements)):
            if np.isfinite(value) and path not in parameters:
                words = state.written(path)
                found.setdefault(words, Expression(statements, ast.parse(words, mode="eval").body))
    for words in _parts(body, found):
        del found[words]
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    called = {_name_of(call.func) for call in _calls(tree)}
    alike = [call for call in _alike(program, _calls(*body)) if _name_of(call.func) in called]
    calls = [(forward, expression) for expression in (*_told(tree, own), *alike)]
    for i, statement in enumerate(program.loop.after):  # what is computed after the loop, to be printed
        calls += [([*forward, *program.loop.after[:i]], expression) for expression in _told(statement, own)]
    for statements, call in calls:
        words = ast.unparse(call)
        if words not in found and np.isfinite(replay.number(program, Expression(statements, call))):
            found[words] = Expression(statements, call)

    def likelihood(words: str) -> tuple[bool, bool]:
        value = found[words].value
        of_library = isinstance(value, ast.Call) and _name_of(value.func) not in own
        return LOSS_WORDS.search(words) is None, of_library

    return [found[words] for words in sorted(found, key=likelihood)]


def added_up(program: Program, tree: ast.Module, parameters: Sequence[Path]) -> list[Expression]:
    """Return what the step adds to a number, as in total += loss of an example: its loss, if there is no other."""
    found = []
    for i, statement in enumerate(program.loop.body):
        if isinstance(statement, ast.AugAssign):
            expression = Expression(program.loop.body[:i], statement.value)
            if np.isfinite(replay.number(program, expression)):
                found.append(expression)
    return found


def _parts(body: Sequence[ast.stmt], found: Collection[str]) -> set[str]:
    """Return the numbers that add up others, round by round, or of which another number is made."""
    parts: set[str] = set()
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, ast.AugAssign):
            parts.add(ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = ast.unparse(node.targets[0])
            used = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.Name | ast.Attribute)}
            is_made = isinstance(node.value, ast.BinOp) and target in found
            parts |= {target} if target in used else used - {target} if is_made else set()
    return parts & set(found)


def _told(tree: ast.AST, own: Collection[str]) -> list[ast.expr]:
    """Return what code prints or appends, and its calls of the file's own functions that are no terms of a sum."""
    nodes = list(ast.walk(tree))
    told = [node.value for node in nodes if isinstance(node, ast.FormattedValue)]
    for call in _calls(tree):
        if _name_of(call.func) in TELLING:
            told += call.args
    terms = {
        id(term) for node in nodes if isinstance(node, ast.BinOp | ast.UnaryOp) for term in ast.iter_child_nodes(node)
    }
    return told + [call for call in _calls(tree) if _name_of(call.func) in own and id(call) not in terms]


def until_update(program: Program, parameters: Sequence[Path]) -> Sequence[ast.stmt]:
    """Return the statements of the step before the first that changes a parameter."""
    body, before = program.loop.body, program.loop.scope or {}
    for count in range(1, len(body) + 1):
        after = replay.after(program, body[:count])
        if any(_changed(before, after, path) for path in parameters):
            return body[: count - 1]
    return body


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


def data_of(program: Program, theta: Theta) -> list[np.ndarray]:
    """Return the arrays that a step may take as data: variables and arguments of its calls that stay as they are."""
    rng = np.random.default_rng(0)
    one, other = (_arrays_at(program, drawn(theta, rng)) for _ in range(2))
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
    for argument in (argument for call in _calls(*program.loop.body) for argument in call.args):
        with suppress(Exception):
            values[ast.unparse(argument)] = replay.run(program, Expression(forward, argument), theta)[1]
    found = {}
    for words, value in values.items():
        array = np.asarray(value) if state.is_array(value) or state.is_list_of_numbers(value) else value
        is_data = isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.ndim in (1, 2)
        if is_data and 1 <= array.size <= LARGEST_DATA:
            found[words] = array
    return found


# ---- where the gradient is


def gradients_of(program: Program, theta: Theta) -> list[Gradient]:
    """Return what may be the gradient, the likeliest first.

    If the round subtracts multiples, by one factor, of arrays that it leaves, these are the gradient, and nothing else
    is. Another optimiser, such as Adam, subtracts something else: then it is a call's result, or variables, with an
    array of its shape for each parameter. If there is neither, it is the update over the learning rate.
    """
    stands = standing(program, theta)
    found = [stands] if stands is not None else [*returned(program, theta), *named(program, theta)]
    found = [_downhill(program, theta, gradient) for gradient in found]
    rate = rate_of(program, theta)
    if rate is not None:
        update = _of_rate(rate, 1.0)
        found.append(Gradient(f"(before - after) / rate, with the rate {rate.words}", update, _of_rate(rate, FEW)))
    if not found:
        found.append(Gradient("before - after", lambda theta: list(updates(program, theta).values())))
    return found


def _downhill(program: Program, theta: Theta, gradient: Gradient) -> Gradient:
    """Return a gradient with the sign that the update has: what climbs is not right."""
    changes = updates(program, theta).values()
    along = sum(float(np.sum(g * u)) for g, u in zip(gradient.at(theta), changes, strict=True) if g.shape == u.shape)
    if along >= 0:
        return gradient
    return Gradient(f"-({gradient.words})", lambda theta: [-g for g in gradient.at(theta)])


def _of_rate(rate: Rate, factor: float) -> Callable[[Theta], list[np.ndarray]]:
    def gradient(theta: Theta) -> list[np.ndarray]:
        updates = subtracted(theta, rate.run(theta, factor))
        return [update / (factor * rate.value) for update in updates.values()]

    return gradient


def standing(program: Program, theta: Theta) -> Gradient | None:
    """Return the arrays that a round leaves and whose multiples, by one factor, it subtracts, if there are."""
    body = program.loop.body
    after = replay.after(program, body, theta)
    places = {
        path: state.as_floats(a) for path, a in (*state.arrays(after), *state.numbers(after)) if path not in theta
    }
    before = {path: state.as_floats(a) for path, a in state.arrays(program.loop.scope or {}) if path in places}
    momenta = _kept(program, before, np.random.default_rng(0))  # they add up gradients, and are none
    found: dict[Path, dict[Path, float]] = {}
    for path, update in subtracted(theta, after).items():
        if np.abs(update).max() > ROUNDING * np.abs(theta[path]).max():
            ratios = {place: _ratio(update, g) for place, g in places.items() if place not in momenta}
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
            words = ", ".join(("-" if factor < 0 else "") + state.written(place) for place in chosen.values())
            return Gradient(words, partial(_standing_at, program, chosen, factor))
    return None


def _standing_at(program: Program, chosen: Mapping[Path, Path], factor: float, theta: Theta) -> list[np.ndarray]:
    """Return the arrays, with the sign that makes their multiples be subtracted."""
    after, sign = replay.after(program, program.loop.body, theta), np.sign(factor)
    return [
        sign * state.as_floats(state.get(after, chosen[path])) if path in chosen else update / abs(factor)
        for path, update in subtracted(theta, after).items()
    ]


def returned(program: Program, theta: Theta) -> Iterator[Gradient]:
    """Yield the results of calls in the step that hold an array for each parameter."""
    for i, statement in enumerate(program.loop.body):
        for call in _calls(statement):
            expression = Expression(program.loop.body[:i], call)
            try:
                places = _fitting(theta, replay.run(program, expression, theta)[1])
            except Exception:
                continue
            if places is not None:

                def gradient(
                    theta: Theta, expression: Expression = expression, places: Sequence[Path] = places
                ) -> list[np.ndarray]:
                    value = {"value": replay.run(program, expression, theta)[1]}
                    return [state.as_floats(state.get(value, place)) for place in places]

                yield Gradient(ast.unparse(call), gradient)


def _fitting(theta: Theta, value: Any) -> list[Path] | None:
    """Return where a value holds an array of its shape for each parameter: by name, or in the parameters' order."""
    arrays = [(path, np.shape(a)) for path, a in state.arrays({"value": value})]
    by_name = [
        [path for path, shape in arrays if shape == a.shape and _is_named_for(path[-1][1], parameter[-1][1])]
        for parameter, a in theta.items()
    ]
    if all(len(paths) == 1 for paths in by_name):
        return [path for (path,) in by_name]
    shapes = [a.shape for a in theta.values()]
    for first in range(len(arrays) - len(shapes) + 1):
        window = arrays[first : first + len(shapes)]
        if [shape for _, shape in window] == shapes:
            return [path for path, _ in window]
    return None


def named(program: Program, theta: Theta) -> Iterator[Gradient]:
    """Yield variables that the step makes: one that holds an array for each parameter, or one of each one's name."""
    before = program.loop.scope or {}
    after = replay.after(program, program.loop.body, theta)
    for name, value in after.items():
        inside = _fitting(theta, value) if name not in before else None
        if inside is not None:
            yield Gradient(name, partial(_values_at, program, [(("name", name), *place[1:]) for place in inside]))
    new = [
        (path, np.shape(a))
        for path, a in state.arrays(after)
        if path not in theta and (_is_absent(before, path) or _changed(before, after, path))
    ]
    found = [
        [path for path, shape in new if shape == a.shape and _is_named_for(path[-1][1], parameter[-1][1])]
        for parameter, a in theta.items()
    ]
    for choice in range(max(map(len, found), default=0)):
        places = [paths[choice] for paths in found if choice < len(paths)]
        if len(places) == len(theta):
            yield Gradient(", ".join(map(state.written, places)), partial(_values_at, program, places))


def _values_at(program: Program, places: Sequence[Path], theta: Theta) -> list[np.ndarray]:
    after = replay.after(program, program.loop.body, theta)
    return [state.as_floats(state.get(after, place)) for place in places]


def _is_absent(scope: state.Scope, path: Path) -> bool:
    try:
        state.get(scope, path)
    except Exception:
        return True
    return False


def _is_named_for(name: Any, parameter: Any) -> bool:
    """Return whether a name is a parameter's: the same key, or as dW1, grad_W1 or W1_grad for W1."""
    if not isinstance(name, str) or not isinstance(parameter, str):
        return False
    return name == parameter or (parameter in name and re.search(r"d|g", name.replace(parameter, ""), re.I) is not None)


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
    values: list[Any] = [node.value for node in nodes if type(node.value) is float and node.value]
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
            if type(value) is not float or not value:
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
