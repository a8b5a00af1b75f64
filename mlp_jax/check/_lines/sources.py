"""The statement in which a wrong value is at fault, of those that compute it, return it and read it."""

import time
from collections.abc import Sequence

import numpy as np

from mlp_jax.check._lines.readings import NOTHING, Reading
from mlp_jax.check._lines.trials import Cure, Trial, gain_of
from mlp_jax.check._lines.values import Seen, Value


def source_of(trial: Trial, cure: Cure, found: Sequence[Value]) -> Cure:
    """Return the statement in which wrong values are at fault, of those that have them.

    A variable is read that was set, and a function returns what its call gives. So the value at fault is that of the
    statement that computes it, and of several the one with the fewest other values: the call, if another call of the
    function is right; what the function returns, if the line that calls it calls others too. Of several with as many it
    is the first. Zeros were set last where they were not changed. A value that is right, or was at first, but not here,
    is at fault where a statement should have changed it, or only reads it; in a function, where it is its argument.
    """
    value, reading, is_right = cure.value, cure.reading, belongs_elsewhere(cure)
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
        if right and (other is value or (not is_late and gain_of(trial, other, right) == cure.gain)):
            return Cure(other, right, cure.gain)
    return cure


def belongs_elsewhere(cure: Cure) -> bool:
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
