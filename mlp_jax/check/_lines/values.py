"""The expressions of a recorded file with their values, and what these are."""

from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.recording import Event, Place
from mlp_jax.check._lines import readings
from mlp_jax.check._lines.expressions import Ends
from mlp_jax.check._lines.readings import Fit, Reading
from mlp_jax.check._lines.streams import Table

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


def parts_of(found: Sequence[Value], whole: Value) -> list[Value]:
    """Return the expressions with values in another."""
    return [value for value in found if contains(whole.place, value.place) and value is not whole]


def is_same(one: Value, other: Value) -> bool:
    """Return whether two expressions have the same values."""
    return len(one.seen[0]) == len(other.seen[0]) and all(map(np.array_equal, one.seen[0], other.seen[0]))
