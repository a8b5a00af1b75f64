"""Where does a backward pass go wrong? Where another value makes the gradients right.

A value is at fault if all gradients become right when the right value stands in its place and nothing else changes. So
each expression's values are replaced by the quantities that they can be, one after another, and the file is run again.
If several mistakes were made, the value that makes most gradients right stays, and the next is looked for.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.recording import Event, Place
from mlp_jax.check._lines import readings
from mlp_jax.check._lines.quantities import DIAGONAL
from mlp_jax.check._lines.readings import Fit, Reading, Table

MOST_FAULTS = 4
SCALED = ("B ", "1/B ", "-")  # multiples that are tried
Right = tuple[bool, ...]  # of the loss and each leaf
Replaced = dict[int, list[np.ndarray]]


class Played(NamedTuple):
    """A recorded run on one problem; of one that fails there is nothing.

    Attributes:
      right: whether the loss, if it is judged, and each leaf are right.
      leaves: what was judged.
      places: of the expressions whose values were seen.
      events: these values.
      are_shaped: whether all leaves have the right shapes.
    """

    right: Right = ()
    leaves: Sequence[np.ndarray] = ()
    places: Sequence[Place] = ()
    events: Sequence[Event] = ()
    are_shaped: bool = True


Play = Callable[[int, Replaced, bool], Played]  # (problem, replacements, whether the values are wanted)


class Value(NamedTuple):
    """An expression's values.

    Attributes:
      number: of its place.
      place: where it stands.
      seen: its values on each problem.
      fits: what they can be.
      names: what they are.
      begins: whether the first of several is a quantity.
      is_root: whether it is no part of another expression with values: what a statement gives.
    """

    number: int
    place: Place
    seen: list[list[np.ndarray]]
    fits: list[Fit]
    names: list[Reading]
    begins: bool
    is_root: bool


class Fault(NamedTuple):
    """A value that is wrong.

    Attributes:
      value: the smallest expression at fault.
      shown: what is marked: that, or what made its value.
      parts: the expressions with values in the whole value of its statement.
      reading: what is right in its place.
    """

    value: Value
    shown: Value
    parts: list[Value]
    reading: Reading


def values(played: Sequence[Played], tables: Sequence[Table]) -> list[Value]:
    """Return the expressions whose values were seen on all problems, in the order of the first."""
    by_place: list[dict[int, list[np.ndarray]]] = [{} for _ in played]
    for of, run in zip(by_place, played, strict=True):
        for event in run.events:
            of.setdefault(event.place, []).append(event.value)
    places = {number: played[0].places[number] for number in by_place[0] if all(number in of for of in by_place)}
    found = []
    for number, place in places.items():
        seen = [of[number] for of in by_place]
        fits = readings.fits(seen, tables)
        names = readings.names(seen, fits, tables)
        begins = not names and len(seen[0]) > 1 and _begins(seen, tables)
        is_root = not any(contains(other, place) for other in places.values() if other != place)
        found.append(Value(number, place, seen, fits, names, begins, is_root))
    return found


def _begins(seen: Sequence[list[np.ndarray]], tables: Sequence[Table]) -> bool:
    first = [values[:1] for values in seen]
    return any(not name.factor for name in readings.names(first, readings.fits(first, tables), tables))


def contains(outer: Place, inner: Place) -> bool:
    """Return whether an expression is another, or a part of it."""
    starts = (outer.line, outer.column) <= (inner.line, inner.column)
    ends = (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
    return starts and ends and outer.statement == inner.statement and outer.is_after == inner.is_after


def roots(found: Sequence[Value]) -> list[Value]:
    """Return what the statements give."""
    return [value for value in found if value.is_root]


def faults(play: Play, tables: Sequence[Table], until: float) -> list[Fault]:
    """Return the values at fault, those that make most gradients right first.

    Args:
      play: runs the file.
      tables: of each problem.
      until: when to stop.
    """
    marked: list[Fault] = []
    trial = _begun(play, tables, [{} for _ in tables], until)
    while trial.right and not all(trial.right) and len(marked) < MOST_FAULTS and time.monotonic() < until:
        found = values(trial.played, tables)
        shown = roots(found)
        ways = (partial(_of_other_shapes, trial, shown), partial(_cures, trial, shown))
        are_shaped = all(run.are_shaped for run in trial.played)
        cures: list[_Cure] = next(filter(None, (way() for way in (reversed(ways) if are_shaped else ways))), [])
        if not cures:
            break
        for cure in sorted(cures, key=lambda cure: -cure.gain):  # of equals the first stays the first
            gain = _gain(trial, cure.value, cure.reading)
            if gain and len(marked) < MOST_FAULTS:
                fault, number, reading = _fault(trial, cure._replace(gain=gain), found)
                held = [{**of, number: values} for of, values in zip(trial.held, reading.expected, strict=True)]
                marked.append(fault)
                trial = _begun(play, tables, held, until)
    return marked


class _Trial(NamedTuple):
    """What replacements are tried in: those that stay, the runs with them, and what is right then."""

    play: Play
    tables: Sequence[Table]
    held: Sequence[Replaced]
    played: Sequence[Played]
    right: Right
    until: float


class _Cure(NamedTuple):
    """A reading that makes leaves right in the place of a value, and how many."""

    value: Value
    reading: Reading
    gain: int


def _begun(play: Play, tables: Sequence[Table], held: Sequence[Replaced], until: float) -> _Trial:
    played = [play(i, of, True) for i, of in enumerate(held)]
    return _Trial(play, tables, held, played, _both([run.right for run in played]), until)


def _both(flags: Sequence[Right]) -> Right:
    return tuple(map(all, zip(*flags, strict=True))) if all(flags) else ()


def _gain(trial: _Trial, value: Value, reading: Reading) -> int:
    """Return how many more leaves are right with a reading in the place of a value; 0 if others become wrong."""
    flags = trial.right
    for i, held in enumerate(trial.held):
        after = trial.play(i, {**held, value.number: reading.expected[i]}, False).right
        flags = after if i == 0 else _both([flags, after])
        lost = any(a and not b for a, b in zip(trial.right, flags, strict=False))
        if lost or sum(flags) <= sum(trial.right):
            return 0
    return sum(flags) - sum(trial.right)


def _reach(trial: _Trial, value: Value) -> int:
    """Return how many wrong leaves a value has to do with: those that change if it does."""
    moved = [1.1 * a + 0.1 for a in value.seen[0]]
    before, after = trial.played[0].leaves, trial.play(0, {**trial.held[0], value.number: moved}, False).leaves
    if len(before) != len(after):
        return len(trial.right)
    pairs = zip(before, after, trial.right, strict=False)
    return sum(not is_right and not np.array_equal(a, b, equal_nan=True) for a, b, is_right in pairs)


def _ordered(trial: _Trial, found: Sequence[Value]) -> list[tuple[Value, int]]:
    """Return the values that reach wrong leaves, and how many: the unknown first, and those that reach the most."""
    reach = [(value, _reach(trial, value)) for value in found]
    unknown = [pair for pair in reach if _is_unknown(pair[0])]
    known = [pair for pair in reversed(reach) if not _is_unknown(pair[0])]
    return [pair for part in (unknown, known) for pair in sorted(part, key=lambda pair: -pair[1]) if pair[1]]


def _cures(trial: _Trial, found: Sequence[Value]) -> list[_Cure]:
    """Return the readings that make leaves right, the likeliest first, up to the first that makes all right.

    Plain quantities come before multiples. Of values that are nothing known the first is the likeliest, since it is
    made of right ones; of known ones the last.
    """
    ordered = _ordered(trial, found)
    cures: list[_Cure] = []
    wrong = len(trial.right) - sum(trial.right)
    for is_plain in (True, False):
        for value, reach in ordered:
            most = max((cure.gain for cure in cures), default=0)
            if reach < most:
                continue
            for reading in _candidates(value, trial.tables, is_plain):
                if time.monotonic() > trial.until:
                    return cures
                gain = _gain(trial, value, reading)
                if gain:
                    cures.append(_Cure(value, reading, gain))
                if gain == wrong:
                    return cures
    return cures


def _fault(trial: _Trial, cure: _Cure, found: Sequence[Value]) -> tuple[Fault, int, Reading]:
    """Return a fault, and what has to stay in which place from now on."""
    root = cure.value
    parts = [value for value in found if contains(root.place, value.place) and value is not root]
    value, reading = _smallest(trial, cure, parts)
    inside = [part for part in parts if contains(value.place, part.place)]
    shown = _suspect(found, inside) or _made(found, value, reading) or value
    return Fault(value, shown, parts, reading), value.number, reading


def _of_other_shapes(trial: _Trial, found: Sequence[Value]) -> list[_Cure]:
    """Return gradients of other shapes that make leaves right in the place of values."""
    cures: list[_Cure] = []
    for value, _ in _ordered(trial, found):
        for reading in readings.in_other_shapes(value.seen, trial.tables, only_gradients=True):
            if time.monotonic() > trial.until:
                return cures
            gain = _gain(trial, value, reading)
            if gain:
                cures.append(_Cure(value, reading, gain))
                break
    return cures


def _is_unknown(value: Value) -> bool:
    """Return whether a value is something, and nothing that is known."""
    return not _is_plain(value) and any(a.any() for a in value.seen[0])


def _is_plain(value: Value) -> bool:
    """Return whether a value, or the first of several, is a quantity and no multiple of it."""
    return value.begins or any(not name.factor for name in value.names)


def _candidates(value: Value, tables: Sequence[Table], is_plain: bool) -> Iterator[Reading]:
    """Yield what a value could be meant to be, plain or as a multiple; what it is is not tried."""
    plain = [name for name in value.names if not name.factor]
    known = {name.way[:3] for name in plain}
    if not is_plain and any(name.is_gradient for name in plain):
        return
    for fit in value.fits:
        stream = fit.streams[0]
        if stream.along and not (is_plain and readings.rates(value.seen, fit)):
            continue
        if stream.way[:3] not in known and (is_plain or stream.is_gradient):
            for factor in ("",) if is_plain else SCALED:
                yield readings.reading(value.seen, fit, factor, tables)


def _smallest(trial: _Trial, cure: _Cure, parts: Sequence[Value]) -> tuple[Value, Reading]:
    """Return the smallest part of a statement's value that is at fault as well, and what is right there."""
    ways: list[Callable[[Value, Sequence[Table]], Iterator[Reading]]] = [partial(_candidates, is_plain=True)]
    if readings.multiple(cure.value.seen, cure.reading) is None:  # else its shapes are right
        ways.append(_in_other_shapes)
    for others in ways:
        for value in sorted(parts, key=_width):
            for other in others(value, trial.tables):
                if time.monotonic() > trial.until:
                    return cure.value, cure.reading
                if _gain(trial, value, other) == cure.gain:
                    return value, other
    return cure.value, cure.reading


def _in_other_shapes(value: Value, tables: Sequence[Table]) -> Iterator[Reading]:
    return readings.in_other_shapes(value.seen, tables, only_gradients=False)


def _suspect(found: Sequence[Value], parts: Sequence[Value]) -> Value | None:
    """Return the part that is the diagonal of softmax's Jacobian, or where the function that it calls returns it."""
    for part in parts:
        if any(name.name == DIAGONAL for name in part.names):
            same = [value for value in found if value.place.statement != part.place.statement and is_same(value, part)]
            return same[0] if same else part
    return None


def _made(found: Sequence[Value], value: Value, reading: Reading) -> Value | None:
    """Return the statement that made values that are only read: the first before them that has them.

    There is none if they are something right, other than what should be there in another layout.
    """
    plain = [name for name in value.names if not name.factor and name.is_whole]
    if any(not (value.is_root and name.way[:2] == reading.way[:2]) for name in plain):
        return None
    values = value.seen[0]
    before = roots(list(itertools.takewhile(lambda other: other.number != value.number, found)))
    earlier = (other for other in before if other.place.statement != value.place.statement)
    made = [other for other in earlier if _holds(other.seen[0], values)]
    is_zero = not any(a.any() for a in values)  # as what it began with may be
    return made[-1 if is_zero else 0] if made else None


def _holds(all_values: Sequence[np.ndarray], some: Sequence[np.ndarray]) -> bool:
    """Return whether values follow one another among others."""
    starts = range(len(all_values) - len(some) + 1)
    return any(all(map(np.array_equal, some, all_values[start:])) for start in reversed(starts))


def is_same(one: Value, other: Value) -> bool:
    """Return whether two expressions have the same values."""
    return len(one.seen[0]) == len(other.seen[0]) and all(map(np.array_equal, one.seen[0], other.seen[0]))


def _width(value: Value) -> tuple[int, int]:
    place = value.place
    return place.end_line - place.line, place.end_column - place.column
