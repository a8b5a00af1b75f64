"""Which quantities the values of an expression are: the values are seen one after another, as its line runs.

An expression has the values of a quantity if its stream is that of the quantity, times a factor, on every problem.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._lines.streams import Stream, Table, Way
from mlp_jax.check._networks.chain import Pass

RATE = 1e-6  # relative distance of updates, and of their rates
NOTHING = np.zeros(0)  # in the place of a value that is not to be replaced


class Reading(NamedTuple):
    """What an expression's values are, or what they should be.

    Attributes:
      name: in words.
      way: which stream they are.
      factor: the words for a factor; empty for 1.
      expected: on each problem, the right values, in the shapes of those seen; an empty array for one that is nothing.
      is_gradient: whether it is of the backward pass.
    """

    name: str
    way: Way
    factor: str
    expected: tuple[list[np.ndarray], ...]
    is_gradient: bool = False

    @property
    def words(self) -> str:
        """The name with the factor."""
        return ", ".join(_times(self.factor, name) if name != "..." else name for name in self.name.split(", "))

    @property
    def is_whole(self) -> bool:
        """Whether there is a right value for all that were seen."""
        return all(a.size for values in self.expected for a in values)


def _times(factor: str, name: str) -> str:
    is_product = name[0].isdigit() or (" - " in name and not name.endswith("^T"))
    return f"{factor}({name})" if factor and is_product else f"{factor}{name}"


# By which people's values differ from the quantities, for B examples and C outputs; the plainest first.
FACTORS: dict[str, Callable[[float, float], float]] = {
    "": lambda B, C: 1.0,
    "-": lambda B, C: -1.0,
    "B ": lambda B, C: B,
    "1/B ": lambda B, C: 1 / B,
    "2 ": lambda B, C: 2.0,
    "1/2 ": lambda B, C: 0.5,
    "C ": lambda B, C: C,
    "-B ": lambda B, C: -B,
    "-1/B ": lambda B, C: -1 / B,
    "2/B ": lambda B, C: 2 / B,
    "B/2 ": lambda B, C: B / 2,
    "BC ": lambda B, C: B * C,
    "BC/2 ": lambda B, C: B * C / 2,
}


def factor(words: str, s: Pass) -> float:
    """Return a factor of `FACTORS` for a pass."""
    return FACTORS[words](s.B, s.C)


class Fit(NamedTuple):
    """A stream on each problem that has the size and the shapes of values, and which of the values it is for."""

    streams: tuple[Stream, ...]
    kept: tuple[list[bool], ...]


def fits(seen: Sequence[Sequence[np.ndarray]], tables: Sequence[Table]) -> list[Fit]:
    """Return what an expression's values can be, by their number and shapes.

    A loop over the layers may go one layer too far, so that the last value of each round is nothing.

    Args:
      seen: its values on each problem.
      tables: of each problem.
    """
    found: list[Fit] = []
    known: set[Way] = set()
    for rounds in ("all", "but the last", "but the last of each example"):
        kept = [_kept(rounds, len(values), table.s.B) for values, table in zip(seen, tables, strict=True)]
        if not all(map(any, kept)):
            continue
        by_way: list[dict[Way, Stream]] = []
        for values, keep, table in zip(seen, kept, tables, strict=True):
            own = list(itertools.compress(values, keep))
            size = sum(a.size for a in own)
            by_way.append({stream.way: stream for stream in table.streams.get(size, ()) if _fits(own, stream.units)})
        for way in by_way[0]:
            if way not in known and all(way in of for of in by_way):
                known.add(way)
                found.append(Fit(tuple(of[way] for of in by_way), tuple(kept)))
    return found


def _kept(rounds: str, n: int, B: int) -> list[bool]:
    if rounds == "all":
        return [True] * n
    if rounds == "but the last":
        return [True] * (n - 1) + [False] if n > 1 else []
    length = n // B if n % B == 0 and B > 1 else 0
    return [i % length < length - 1 for i in range(n)] if length > 1 else []


def names(seen: Sequence[Sequence[np.ndarray]], found: Sequence[Fit], tables: Sequence[Table]) -> list[Reading]:
    """Return what an expression's values are: the quantities, times a factor, that they are on every problem."""
    pairs = [(fit, words) for fit in found if (words := _factor(seen, fit, tables)) is not None]
    read = [reading(seen, fit, words, tables) for fit, words in pairs]
    plain = [*FACTORS]
    read = [one for one in read if one.is_whole] or read
    first = min((plain.index(one.factor) for one in read), default=0)
    return [one for one in read if plain.index(one.factor) == first]


def _pairs(seen: Sequence[Sequence[np.ndarray]], fit: Fit) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return on each problem the values that a fit is for, and its stream."""
    return [
        (_flat(list(itertools.compress(values, keep))), _flat(stream.units))
        for values, stream, keep in zip(seen, *fit, strict=True)
    ]


def rates(seen: Sequence[Sequence[np.ndarray]], fit: Fit) -> list[float]:
    """Return the rate by which values are updated parameters, the same on every problem; nothing if there is none."""
    found: list[float] = []
    for (a, e), stream in zip(_pairs(seen, fit), fit.streams, strict=True):
        g = _flat(stream.along)
        rate = float((e - a) @ g) / (float(g @ g) or 1.0)
        if not rate or np.linalg.norm(e - a - rate * g) > RATE * np.linalg.norm(e - a):
            return []
        found.append(rate)
    return found if np.ptp(found) <= RATE * abs(found[0]) else []


def _factor(seen: Sequence[Sequence[np.ndarray]], fit: Fit, tables: Sequence[Table]) -> str | None:
    """Return the plainest factor by which values are a stream on every problem; of updates, if they go downhill."""
    if fit.streams[0].along:
        moves = rates(seen, fit)
        return "" if moves and moves[0] > 0 else None
    found = [*FACTORS]
    with np.errstate(all="ignore"):
        for (a, e), table in zip(_pairs(seen, fit), tables, strict=True):
            size = float(e @ e)
            c = float(a @ e) / size if size else np.nan
            if not np.linalg.norm(a - c * e) <= table.tolerance * abs(c) * np.sqrt(size):
                return None
            found = [words for words in found if np.isclose(c, factor(words, table.s), 10 * table.tolerance, 0)]
    return found[0] if found else None


def reading(seen: Sequence[Sequence[np.ndarray]], fit: Fit, words: str, tables: Sequence[Table]) -> Reading:
    """Return what values should be, if they are to be a stream times a factor."""
    rate = abs(rates(seen, fit)[0]) if fit.streams[0].along else 0.0
    expected = []
    for values, stream, keep, table in zip(seen, *fit, tables, strict=True):
        flat = factor(words, table.s) * _flat(stream.units)
        if stream.along:
            flat = flat - rate * _flat(stream.along)
        parts = iter(_split(flat, list(itertools.compress(values, keep))))
        expected.append([next(parts) if is_kept else NOTHING for is_kept in keep])
    stream = fit.streams[0]
    return Reading(stream.name, stream.way, words, tuple(expected), stream.is_gradient)


def multiples(seen: Sequence[Sequence[np.ndarray]], right: Reading) -> list[float] | None:
    """Return the factors by which values are too large, on each problem; None if they are no multiple."""
    found = []
    for values, expected in zip(seen, right.expected, strict=True):
        kept = [(a, e) for a, e in zip(values, expected, strict=True) if e.size]
        if any(a.shape != e.shape for a, e in kept):
            return None
        a, e = (_flat(side) for side in zip(*kept, strict=True))
        c = float(a @ e) / (float(e @ e) or 1.0)
        if not c or not np.linalg.norm(a - c * e) <= RATE * np.linalg.norm(a):  # or it is not finite
            return None
        found.append(c)
    return found


def factor_of(multiples: Sequence[float], passes: Sequence[Pass]) -> str:
    """Return factors that differ by problem in words, such as "B "; empty if they have none."""
    for words in FACTORS:
        if np.allclose(multiples, [factor(words, s) for s in passes], rtol=RATE, atol=0):
            return words
    return ""


def in_other_shapes(
    seen: Sequence[Sequence[np.ndarray]], tables: Sequence[Table], only_gradients: bool
) -> Iterator[Reading]:  # fmt: skip
    """Yield what values could be meant to be if their shapes are wrong too: a quantity for each value."""
    for way, stream in tables[0].whole.items():
        streams = [table.whole[way] for table in tables if way in table.whole]
        over = {len(values) - len(of.units) for values, of in zip(seen, streams, strict=False)}
        is_counted = len(streams) == len(tables) and (over == {0} or (over == {1} and len(stream.units) > 1))
        if not is_counted or (only_gradients and not stream.is_gradient):
            continue
        for shape in (_same, _column, _row) if stream.units[0].ndim == 1 else (_same,):
            expected = tuple([*map(shape, of.units), *[NOTHING] * max(over)] for of in streams)
            if any(a.shape != b.shape for a, b in zip(expected[0], seen[0], strict=True) if a.size):
                yield Reading(stream.name, way, "", expected, stream.is_gradient)


def _same(a: np.ndarray) -> np.ndarray:
    return a


def _column(a: np.ndarray) -> np.ndarray:
    return a[:, None]


def _row(a: np.ndarray) -> np.ndarray:
    return a[None]


def _fits(values: Sequence[np.ndarray], units: Sequence[np.ndarray]) -> bool:
    """Return whether values are whole units, or parts of them along their last axes."""
    if len(values) == len(units):
        return all(_is_shape(value, unit) for value, unit in zip(values, units, strict=True))
    part, whole = _shape(values[0]), _shape(units[0])
    return len(values) > len(units) and part == whole[len(whole) - len(part) :]


def _is_shape(value: np.ndarray, unit: np.ndarray) -> bool:
    """Return whether a value has the shape of a unit, or of one with other axes of length 1."""
    return value.shape == unit.shape if value.ndim == unit.ndim else _shape(value) == _shape(unit)


def _shape(a: np.ndarray) -> tuple[int, ...]:
    return tuple(n for n in a.shape if n > 1)


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.ravel() for a in arrays])


def _split(flat: np.ndarray, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    ends = np.cumsum([a.size for a in values])[:-1]
    return [part.reshape(a.shape) for part, a in zip(np.split(flat, ends), values, strict=True)]
