"""Where does a backward pass go wrong? Where another value makes the gradients right.

A value is at fault if all gradients become right when the right value stands in its place and nothing else changes. So
each expression's values are replaced by the quantities that they can be, one after another, and the file is run again.
If several mistakes were made, the value that makes most gradients right stays, and the next is looked for.
"""

import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.recording import Event, Place
from mlp_jax.check._lines import readings
from mlp_jax.check._lines.expressions import Ends
from mlp_jax.check._lines.quantities import DIAGONAL
from mlp_jax.check._lines.readings import NOTHING, Fit, Reading, Table

MOST_FAULTS = 4
SCALED = ("B ", "1/B ", "-")  # multiples that are tried
Right = tuple[bool, ...]  # of the loss and each leaf
Replaced = dict[int, list[np.ndarray]]
Seen = Sequence[Sequence[np.ndarray]]  # values on each problem


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
      begins: the numbers of the quantities that the first of several is.
      is_root: whether it is no part of another expression with values: what a statement gives.
      is_read: whether it only reads a variable.
    """

    number: int
    place: Place
    seen: list[list[np.ndarray]]
    fits: list[Fit]
    names: list[Reading]
    begins: frozenset[int]
    is_root: bool
    is_read: bool


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


def values(played: Sequence[Played], tables: Sequence[Table], reads: Set[Ends]) -> list[Value]:
    """Return the expressions whose values were seen on all problems, in the order of the first.

    Args:
      played: the runs, one for each problem.
      tables: of each problem.
      reads: the expressions of the file that only read a variable.
    """
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
        begins = _begins(seen, tables) if not names and len(seen[0]) > 1 else frozenset[int]()
        is_root = not any(contains(other, place) for other in places.values() if other != place)
        is_read = place.ends in reads and not place.is_after
        found.append(Value(number, place, seen, fits, names, begins, is_root, is_read))
    return found


def _begins(seen: Sequence[list[np.ndarray]], tables: Sequence[Table]) -> frozenset[int]:
    """Return the numbers of the quantities that the first values are: the first of all, or of each example."""
    found: set[int] = set()
    for rounds in ([1] * len(tables), [table.s.B for table in tables]):
        if all(len(values) % B == 0 for values, B in zip(seen, rounds, strict=True)):
            first = [values[:: len(values) // B] for values, B in zip(seen, rounds, strict=True)]
            names = readings.names(first, readings.fits(first, tables), tables)
            found |= {name.way.quantity for name in names if not name.factor}
    return frozenset(found)


def contains(outer: Place, inner: Place) -> bool:
    """Return whether an expression is another, or a part of it."""
    starts = (outer.line, outer.column) <= (inner.line, inner.column)
    ends = (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
    return starts and ends and outer.statement == inner.statement and outer.is_after == inner.is_after


def roots(found: Sequence[Value]) -> list[Value]:
    """Return what the statements give."""
    return [value for value in found if value.is_root]


def faults(play: Play, tables: Sequence[Table], reads: Set[Ends], until: float) -> tuple[list[Fault], bool]:
    """Return the values at fault, those that make most gradients right first, and whether all gradients become right.

    Args:
      play: runs the file.
      tables: of each problem.
      reads: the expressions of the file that only read a variable.
      until: when to stop.
    """
    marked: list[Fault] = []
    trial = _begun(play, tables, [{} for _ in tables], until)
    while trial.right and not all(trial.right) and len(marked) < MOST_FAULTS and time.monotonic() < until:
        found = values(trial.played, tables, reads)
        shown = roots(found)
        ways = (partial(_of_other_shapes, trial, shown), partial(_cures, trial, shown))
        are_shaped = all(run.are_shaped for run in trial.played)
        cures: list[_Cure] = next(filter(None, (way() for way in (reversed(ways) if are_shaped else ways))), [])
        if not cures:
            break
        for cure in sorted(cures, key=lambda cure: -cure.gain):  # of equals the first stays the first
            gain = _gain(trial, cure.value, cure.reading)
            if gain and len(marked) < MOST_FAULTS:
                fault = _fault(trial, cure._replace(gain=gain), found)
                pairs = zip(trial.held, fault.reading.expected, strict=True)
                held = [{**of, fault.value.number: values} for of, values in pairs]
                marked.append(fault)
                trial = _begun(play, tables, held, until)
    return marked, bool(trial.right) and all(trial.right)


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


def _reach(trial: _Trial, value: Value, moved: Sequence[bool] | None = None) -> int:
    """Return how many wrong leaves a value has to do with: those that change if it does, or some of several do."""
    some = [True] * len(value.seen[0]) if moved is None else moved
    others = [
        np.where(np.isfinite(a), 1.1 * a + 0.1, 0.1) if is_moved else a
        for a, is_moved in zip(value.seen[0], some, strict=True)
    ]
    before, after = trial.played[0].leaves, trial.play(0, {**trial.held[0], value.number: others}, False).leaves
    if len(before) != len(after):
        return len(trial.right)
    pairs = zip(before, after, trial.right, strict=False)
    return sum(not is_right and not np.array_equal(a, b, equal_nan=True) for a, b, is_right in pairs)


def _ordered(trial: _Trial, found: Sequence[Value]) -> list[tuple[Value, int]]:
    """Return the values that reach wrong leaves, and how many: the unknown first, and those that reach the most."""
    reach = [(value, _reach(trial, value)) for value in found]
    reach = [pair for pair in reach if pair[1]]
    unknown = [pair for pair in reach if _is_unknown(trial, pair[0])]
    known = [pair for pair in reversed(reach) if pair not in unknown]
    return [pair for part in (unknown, known) for pair in sorted(part, key=lambda pair: -pair[1])]


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


def _fault(trial: _Trial, cure: _Cure, found: Sequence[Value]) -> Fault:
    """Return the fault that is cured: the smallest part of a statement's value, in the statement that it comes from."""
    if not _is_right(cure):
        cure = _smallest(trial, cure, _made_of(found, cure.value))
    source = _source(trial, cure, found)
    if source.value is not cure.value:
        cure = _smallest(trial, source, _made_of(found, source.value))
    parts = _parts(found, next(root for root in roots(found) if contains(root.place, cure.value.place)))
    shown = _suspect(found, _parts(found, cure.value)) or cure.value
    return Fault(cure.value, shown, parts, cure.reading)


def _parts(found: Sequence[Value], whole: Value) -> list[Value]:
    return [value for value in found if contains(whole.place, value.place) and value is not whole]


def _made_of(found: Sequence[Value], whole: Value) -> list[Value]:
    """Return the parts of a value; of one that its statement changes, what it is changed by and its parts."""
    if not whole.place.is_after:
        return _parts(found, whole)
    return [value for value in found if value.place.statement == whole.place.statement and not value.place.is_after]


def _of_other_shapes(trial: _Trial, found: Sequence[Value]) -> list[_Cure]:
    """Return gradients of other shapes that make leaves right in the place of values."""
    cures: list[_Cure] = []
    for value in (value for value in found if _reach(trial, value)):
        for reading in readings.in_other_shapes(value.seen, trial.tables, only_gradients=True):
            if time.monotonic() > trial.until:
                return cures
            gain = _gain(trial, value, reading)
            if gain:
                cures.append(_Cure(value, reading, gain))
                break
    return cures


def _is_unknown(trial: _Trial, value: Value) -> bool:
    """Return whether a value is something, and nothing that is known, or only the first of several that count."""
    plain = [name for name in value.names if not name.factor]
    if plain:
        rest = [not e.size for e in plain[0].expected[0]]
        return any(rest) and _reach(trial, value, rest) > 0
    return not value.begins and any(a.any() for a in value.seen[0])


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


def _smallest(trial: _Trial, cure: _Cure, parts: Sequence[Value]) -> _Cure:
    """Return the smallest part of a value that is at fault as well, and what is right there.

    If a factor is all that is wrong, its shapes are right, and so are the parts that are quantities.
    """
    ways: list[Callable[[Value, Sequence[Table]], Iterator[Reading]]] = [partial(_candidates, is_plain=True)]
    if readings.multiples(cure.value.seen, cure.reading) is None:
        ways.append(_in_other_shapes)
    else:
        parts = [part for part in parts if all(name.factor for name in part.names)]
    for others in ways:
        for value in sorted(parts, key=_width):
            for other in others(value, trial.tables):
                if time.monotonic() > trial.until:
                    return cure
                if _gain(trial, value, other) == cure.gain:
                    return _Cure(value, other, cure.gain)
    return cure


def _in_other_shapes(value: Value, tables: Sequence[Table]) -> Iterator[Reading]:
    return readings.in_other_shapes(value.seen, tables, only_gradients=False)


def _suspect(found: Sequence[Value], parts: Sequence[Value]) -> Value | None:
    """Return the part that is the diagonal of softmax's Jacobian, or where the function that it calls returns it."""
    for part in parts:
        if any(name.name == DIAGONAL for name in part.names):
            same = [value for value in found if value.place.statement != part.place.statement and is_same(value, part)]
            return same[0] if same else part
    return None


def _source(trial: _Trial, cure: _Cure, found: Sequence[Value]) -> _Cure:
    """Return the statement in which wrong values are at fault, of those that have them.

    A variable is read that was set, and a function returns what its call gives. So the value at fault is that of the
    statement that computes it, and of several the one with the fewest other values: the call, if another call of the
    function is right; what the function returns, if the line that calls it calls others too. Of several with as many it
    is the first. Zeros were set last where they were not changed. A value that is right, or was at first, but not here,
    is at fault where a statement should have changed it, or only reads it; in a function, where it is its argument.
    """
    value, reading, is_right = cure.value, cure.reading, _is_right(cure)
    is_zero = not any(a.any() for a in value.seen[0])
    order = {other.number: i for i, other in enumerate(found)}

    def likeliest(other: Value) -> tuple[int, int, int]:
        n, i = 0 if is_zero or other.is_read else len(other.seen[0]), order[other.number]
        is_passed = 2 * other.place.is_after + other.is_read
        return -is_passed if is_right else other.is_read, n, -i if is_zero else i

    is_given = is_right and not value.is_root  # as an argument, or as a part of a product
    others = [other for other in found if (other.is_read and not other.is_root if is_given else other.is_root)]
    others = [other for other in others if other.place.statement != value.place.statement]
    if is_right:  # what adds up to it is right too
        others = [other for other in others if len(other.seen[0]) <= len(value.seen[0])]
    if is_zero:
        others = [other for other in others if order[other.number] < order[value.number]]
    for other in sorted([*others, value], key=likeliest):
        right = reading if other is value else _put(other.seen, value.seen, reading)
        is_late = time.monotonic() > trial.until
        if right and (other is value or (not is_late and _gain(trial, other, right) == cure.gain)):
            return _Cure(other, right, cure.gain)
    return cure


def _is_right(cure: _Cure) -> bool:
    """Return whether a value is something right, or was so at first, that does not belong where it is."""
    value, way = cure.value, cure.reading.way
    plain = [name for name in value.names if not name.factor]
    whole = [name.way for name in plain if name.is_whole]
    first = value.begins | {name.way.quantity for name in plain if not name.is_whole}
    is_elsewhere = any(not (value.is_root and other[:2] == way[:2]) for other in whole)
    return is_elsewhere or (bool(first) and way.quantity not in first)


def _put(all_values: Seen, some: Seen, right: Reading) -> Reading | None:
    """Return a reading of values among which are those of another reading that are wrong, in their order; else None."""
    expected = []
    for values, wrong, cured in zip(all_values, some, right.expected, strict=True):
        pairs = [(a, e) for a, e in zip(wrong, cured, strict=True) if e.size and not _equal(a, e)]
        put = []
        for value in values:
            is_next = bool(pairs) and _equal(value, pairs[0][0])
            put.append(pairs.pop(0)[1] if is_next else NOTHING)
        if pairs:
            return None
        expected.append(put)
    return right._replace(expected=tuple(expected))


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def is_same(one: Value, other: Value) -> bool:
    """Return whether two expressions have the same values."""
    return len(one.seen[0]) == len(other.seen[0]) and all(map(np.array_equal, one.seen[0], other.seen[0]))


def _width(value: Value) -> tuple[int, int]:
    place = value.place
    return place.end_line - place.line, place.end_column - place.column
