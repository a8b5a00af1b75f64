"""Where does a backward pass go wrong? Where another value makes the gradients right.

A value is at fault if all gradients become right when the right value stands in its place and nothing else changes. So
each expression's values are replaced by the quantities that they can be, one after another, and the file is run again.
If several mistakes were made, the value that makes most gradients right stays, and the next is looked for.
"""

import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from typing import NamedTuple

from mlp_jax.check._lines import readings
from mlp_jax.check._lines.expressions import Ends
from mlp_jax.check._lines.quantities import DIAGONAL
from mlp_jax.check._lines.readings import Reading
from mlp_jax.check._lines.sources import belongs_elsewhere, source_of
from mlp_jax.check._lines.streams import Table
from mlp_jax.check._lines.trials import Cure, Trial, begun, gain_of, reach_of
from mlp_jax.check._lines.values import Play, Value, contains, is_same, parts_of, roots, values

MOST_FAULTS = 4
SCALED = ("B ", "1/B ", "-")  # multiples that are tried


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


def faults(play: Play, tables: Sequence[Table], reads: Set[Ends], until: float) -> tuple[list[Fault], bool]:
    """Return the values at fault, those that make most gradients right first, and whether all gradients become right.

    Args:
      play: runs the file.
      tables: of each problem.
      reads: the expressions of the file that only read a variable.
      until: when to stop.
    """
    marked: list[Fault] = []
    trial = begun(play, tables, [{} for _ in tables], until)
    while trial.right and not all(trial.right) and len(marked) < MOST_FAULTS and time.monotonic() < until:
        found = values(trial.played, tables, reads)
        shown = roots(found)
        ways = (partial(_of_other_shapes, trial, shown), partial(_cures, trial, shown))
        are_shaped = all(run.are_shaped for run in trial.played)
        cures: list[Cure] = next(filter(None, (way() for way in (reversed(ways) if are_shaped else ways))), [])
        if not cures:
            break
        for cure in sorted(cures, key=lambda cure: -cure.gain):  # of equals the first stays the first
            gain = gain_of(trial, cure.value, cure.reading)
            if gain and len(marked) < MOST_FAULTS:
                fault = _fault(trial, cure._replace(gain=gain), found)
                pairs = zip(trial.held, fault.reading.expected, strict=True)
                held = [{**of, fault.value.number: values} for of, values in pairs]
                marked.append(fault)
                trial = begun(play, tables, held, until)
    return marked, bool(trial.right) and all(trial.right)


def _ordered(trial: Trial, found: Sequence[Value]) -> list[tuple[Value, int]]:
    """Return the values that reach wrong leaves, and how many: the unknown first, and those that reach the most."""
    reach = [(value, reach_of(trial, value)) for value in found]
    reach = [pair for pair in reach if pair[1]]
    unknown = [pair for pair in reach if _is_unknown(trial, pair[0])]
    known = [pair for pair in reversed(reach) if pair not in unknown]
    return [pair for part in (unknown, known) for pair in sorted(part, key=lambda pair: -pair[1])]


def _cures(trial: Trial, found: Sequence[Value]) -> list[Cure]:
    """Return the readings that make leaves right, the likeliest first, up to the first that makes all right.

    Plain quantities come before multiples. Of values that are nothing known the first is the likeliest, since it is
    made of right ones; of known ones the last.
    """
    ordered = _ordered(trial, found)
    cures: list[Cure] = []
    wrong = len(trial.right) - sum(trial.right)
    for is_plain in (True, False):
        for value, reach in ordered:
            most = max((cure.gain for cure in cures), default=0)
            if reach < most:
                continue
            for reading in _candidates(value, trial.tables, is_plain):
                if time.monotonic() > trial.until:
                    return cures
                gain = gain_of(trial, value, reading)
                if gain:
                    cures.append(Cure(value, reading, gain))
                if gain == wrong:
                    return cures
    return cures


def _fault(trial: Trial, cure: Cure, found: Sequence[Value]) -> Fault:
    """Return the fault that is cured: the smallest part of a statement's value, in the statement that it comes from."""
    if not belongs_elsewhere(cure):
        cure = _smallest(trial, cure, _made_of(found, cure.value))
    source = source_of(trial, cure, found)
    if source.value is not cure.value:
        cure = _smallest(trial, source, _made_of(found, source.value))
    parts = parts_of(found, next(root for root in roots(found) if contains(root.place, cure.value.place)))
    shown = _suspect(found, parts_of(found, cure.value)) or cure.value
    return Fault(cure.value, shown, parts, cure.reading)


def _made_of(found: Sequence[Value], whole: Value) -> list[Value]:
    """Return the parts of a value; of one that its statement changes, what it is changed by and its parts."""
    if not whole.place.is_after:
        return parts_of(found, whole)
    return [value for value in found if value.place.statement == whole.place.statement and not value.place.is_after]


def _of_other_shapes(trial: Trial, found: Sequence[Value]) -> list[Cure]:
    """Return gradients of other shapes that make leaves right in the place of values."""
    cures: list[Cure] = []
    for value in (value for value in found if reach_of(trial, value)):
        for reading in readings.in_other_shapes(value.seen, trial.tables, only_gradients=True):
            if time.monotonic() > trial.until:
                return cures
            gain = gain_of(trial, value, reading)
            if gain:
                cures.append(Cure(value, reading, gain))
                break
    return cures


def _is_unknown(trial: Trial, value: Value) -> bool:
    """Return whether a value is something, and nothing that is known, or only the first of several that count."""
    plain = [name for name in value.names if not name.factor]
    if plain:
        rest = [not e.size for e in plain[0].expected[0]]
        return any(rest) and reach_of(trial, value, rest) > 0
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


def _smallest(trial: Trial, cure: Cure, parts: Sequence[Value]) -> Cure:
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
                if gain_of(trial, value, other) == cure.gain:
                    return Cure(value, other, cure.gain)
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


def _width(value: Value) -> tuple[int, int]:
    place = value.place
    return place.end_line - place.line, place.end_column - place.column
