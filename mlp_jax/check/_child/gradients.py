"""What may be the gradient of a training step: arrays that it subtracts, results of calls, or the update itself."""

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import replay, state
from .replay import Expression, Program, Theta
from .rounds import are_multiples, calls, has_changed, kept, subtracted, updates
from .state import Path

FEW = 1e-3  # of the rate: so small that an update is as if all of it used the old weights
UPDATE = "before - after"  # the words for an update whose learning rate is not known
ROUNDING = 1e-13  # an update of this size, relative to its parameter, is 0


class Rate(NamedTuple):
    """A learning rate: its words, its value, and (theta, factor) -> the variables after a round at factor times it."""

    words: str
    value: Callable[[], float]
    run: Callable[[Theta, float], dict[str, Any]]


class Gradient(NamedTuple):
    """What may be the gradient: its words, and theta -> an array for each parameter.

    `by_small_rate` is the same, read from the update of a small learning rate; None if it is not read from an update.
    """

    words: str
    at: Callable[[Theta], list[np.ndarray]]
    by_small_rate: Callable[[Theta], list[np.ndarray]] | None = None


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
        found.append(Gradient(UPDATE, lambda theta: list(updates(program, theta).values())))
    return found


def _downhill(program: Program, theta: Theta, gradient: Gradient) -> Gradient:
    """Return a gradient with the sign that the update has: what climbs is not right."""
    changes = updates(program, theta).values()
    along = sum(float(np.sum(g * u)) for g, u in zip(gradient.at(theta), changes, strict=True) if g.shape == u.shape)
    if not along < 0:
        return gradient
    return Gradient(f"-({gradient.words})", lambda theta: [-g for g in gradient.at(theta)])


def _of_rate(rate: Rate, factor: float) -> Callable[[Theta], list[np.ndarray]]:
    def gradient(theta: Theta) -> list[np.ndarray]:
        updates = subtracted(theta, rate.run(theta, factor))
        return [update / (factor * rate.value()) for update in updates.values()]

    return gradient


def standing(program: Program, theta: Theta) -> Gradient | None:
    """Return the arrays that a round leaves and whose multiples, by one factor, it subtracts, if there are."""
    body = program.loop.body
    after = replay.after(program, body, theta)
    places = {
        path: state.as_floats(a) for path, a in (*state.arrays(after), *state.numbers(after)) if path not in theta
    }
    known_momenta = momenta(program, theta)
    found: dict[Path, dict[Path, float]] = {}
    for path, update in subtracted(theta, after).items():
        if np.isfinite(update).all() and np.abs(update).max() > ROUNDING * np.abs(theta[path]).max():
            ratios = {place: _ratio(update, g) for place, g in places.items() if place not in known_momenta}
            found[path] = {place: ratio for place, ratio in ratios.items() if ratio is not None}
    if program.loop.later is not None and any(len(of_places) > 1 for of_places in found.values()):
        for path, of_places in _multiples_later(program, theta, found).items():
            found[path] = of_places or found[path]
    factors = [factor for of_places in found.values() for factor in of_places.values()]
    for factor in sorted(set(factors), key=factors.count, reverse=True):
        chosen = {
            path: place
            for path, of_places in found.items()
            for place, ratio in reversed(of_places.items())  # the first stays
            if _is_close(ratio, factor)
        }
        if len(chosen) == len(found):
            words = ", ".join(("-" if factor < 0 else "") + state.written(place) for place in chosen.values())
            return Gradient(words, partial(_standing_at, program, chosen, factor))
    return None


def _multiples_later(
    program: Program, theta: Theta, found: Mapping[Path, Mapping[Path, float]]
) -> dict[Path, dict[Path, float]]:
    """Return which of the arrays of which updates are multiples are so in a later round too.

    In the first another one can be equal, as an output less a target that is 0.
    """
    loop = program.loop
    later = program._replace(loop=dataclasses.replace(loop, view=loop.later))
    try:
        after = replay.after(later, loop.body, theta)
        changes = subtracted(theta, after)
        return {
            path: {
                place: ratio
                for place, ratio in of_places.items()
                if _is_close(_ratio(changes[path], state.as_floats(state.get(after, place))), ratio)
            }
            for path, of_places in found.items()
        }
    except Exception:  # it takes what is gone by now, such as the rest of a generator
        return {}


def momenta(program: Program, theta: Theta) -> list[Path]:
    """Return the arrays of which a round keeps a share, other than the parameters."""
    scope, after = program.loop.scope, replay.after(program, program.loop.body, theta)
    changed = [path for path, _ in state.arrays(scope) if path not in theta and has_changed(scope, after, path)]
    before = {path: state.as_floats(state.get(scope, path)) for path in changed}
    found = kept(program, before, np.random.default_rng(0))
    return [path for path in found if not _adds_up(program, theta, path)]


def _adds_up(program: Program, theta: Theta, path: Path) -> bool:
    """Return whether a round adds to an array, of which nothing decays as of a momentum: a gradient never set to 0."""
    before = state.as_floats(state.get(program.loop.scope, path))
    plain, moved = (
        state.as_floats(state.get(replay.after(program, program.loop.body, {**theta, path: before + by}), path))
        for by in (0.0, 1.0)
    )
    return bool(np.allclose(moved - plain, 1.0, rtol=0, atol=1e-9))


def _standing_at(program: Program, chosen: Mapping[Path, Path], factor: float, theta: Theta) -> list[np.ndarray]:
    """Return the arrays, with the sign that makes their multiples be subtracted."""
    after, sign = replay.after(program, program.loop.body, theta), np.sign(factor)
    return [
        sign * state.as_floats(state.get(after, chosen[path])) if path in chosen else update / abs(factor)
        for path, update in subtracted(theta, after).items()
    ]


def returned(program: Program, theta: Theta) -> Iterator[Gradient]:
    """Yield the results of calls in the step that hold an array for each parameter, and not its new value."""
    new = [theta[path] - update for path, update in updates(program, theta).items()]
    for i, statement in enumerate(program.loop.body):
        for call in calls(statement):
            expression = Expression(program.loop.body[:i], call)
            try:
                value = replay.run(program, expression, theta)[1]
                places = fitting(theta, value)
                found = values_in(value, places or ())
            except Exception:
                continue
            if places is not None and not all(np.allclose(a, b, rtol=1e-12) for a, b in zip(found, new, strict=True)):

                def gradient(
                    theta: Theta, expression: Expression = expression, places: Sequence[Path] = places
                ) -> list[np.ndarray]:
                    return values_in(replay.run(program, expression, theta)[1], places)

                yield Gradient(ast.unparse(call), gradient)


def fitting(theta: Theta, value: Any) -> list[Path] | None:
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


def values_in(value: Any, places: Sequence[Path]) -> list[np.ndarray]:
    """Return the arrays at places that `fitting` found in a value."""
    return [state.as_floats(state.get({"value": value}, place)) for place in places]


def named(program: Program, theta: Theta) -> Iterator[Gradient]:
    """Yield variables that the step makes: one that holds an array for each parameter, or one of each one's name."""
    before = program.loop.scope
    after = replay.after(program, program.loop.body, theta)
    for name, value in after.items():
        inside = fitting(theta, value) if name not in before else None
        if inside is not None:
            yield Gradient(name, partial(_values_at, program, [(("name", name), *place[1:]) for place in inside]))
    new = [
        (path, np.shape(a))
        for path, a in state.arrays(after)
        if path not in theta and (_is_absent(before, path) or has_changed(before, after, path))
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


def _is_close(ratio: float | None, other: float) -> bool:
    return ratio is not None and abs(ratio - other) <= 1e-6 * abs(other)


def rate_of(program: Program, theta: Theta) -> Rate | None:
    """Return the learning rate: the number to which a round's update is proportional.

    It is a variable, an attribute, a number in the step's code, or a default of a function of the file. If the update
    is proportional to none, it is the one to which it is where that is small, as for weights that are updated early.
    """
    for size, tolerance in ((1.0, 1e-6), (FEW, 1e-3)):
        for rate in (*_variables(program), *_literals(program), *_defaults(program)):
            try:
                whole, half = (subtracted(theta, rate.run(theta, factor)) for factor in (size, size / 2))
            except Exception:
                continue
            if any(update.any() for update in half.values()) and are_multiples(whole, half, 2.0, tolerance):
                return rate
    return None


def _number_at(program: Program, path: Path) -> float:
    return float(state.as_floats(state.get(program.loop.scope, path)).reshape(()))


def _variables(program: Program) -> Iterator[Rate]:
    for path, _ in state.numbers(program.loop.scope):

        def run(theta: Theta, factor: float, path: Path = path) -> dict[str, Any]:
            return replay.after(program, program.loop.body, theta, {path: factor * _number_at(program, path)})

        yield Rate(state.written(path), partial(_number_at, program, path), run)


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

        yield Rate(f"{value:g}", partial(float, value), run)


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

            yield Rate(f"{name}'s default {value:g}", partial(float, value), run)
