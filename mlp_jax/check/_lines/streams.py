"""Streams of numbers: what the quantities of a right pass are in the orders in which people's lines compute them.

A loop over the layers gives delta_3, delta_2, ...; one over the examples gives delta_2 row by row; one over the units
gives its entries. All are streams: what a quantity is in some layers, in an order.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._lines.quantities import Quantity, quantities
from mlp_jax.check._networks.chain import Pass
from mlp_jax.check._networks.networks import Output
from mlp_jax.check._networks.problems import Precision

SAME: dict[Precision, float] = {"float64": 1e-8}  # relative L2 distance of values
SAME_COARSE = 1e-4  # in other types
MOST_ROUNDS = 3  # times that a step may compute the same, such as the forward pass for its loss again


class Way(NamedTuple):
    """A way in which a quantity can be a stream: its number, its layers, transposed or not, and in which order."""

    quantity: int
    layers: tuple[int, ...]
    transposed: bool
    order: str


class Stream(NamedTuple):
    """Numbers in the order in which an expression has them.

    Attributes:
      way: which they are.
      name: in words.
      units: the arrays of which it is made.
      along: for updated parameters, the arrays against which they are moved.
      is_gradient: whether it is of the backward pass.
    """

    way: Way
    name: str
    units: Sequence[np.ndarray]
    along: Sequence[np.ndarray] = ()
    is_gradient: bool = False


class Table(NamedTuple):
    """What a right pass computes.

    Attributes:
      s: the pass.
      streams: by their size.
      whole: those in which each quantity stands once, by their way.
      tolerance: relative L2 distance of values that are the same.
    """

    s: Pass
    streams: dict[int, list[Stream]]
    whole: dict[Way, Stream]
    tolerance: float


def table(s: Pass, output: Output, precision: Precision = "float64") -> Table:
    """Return the streams of a pass with an output, next to values of a precision."""
    streams: dict[int, list[Stream]] = {}
    whole = {}
    for i, quantity in enumerate(quantities(s, output)):
        for stream in _streams(i, quantity, s.B):
            streams.setdefault(sum(unit.size for unit in stream.units), []).append(stream)
            if not (stream.way.order or stream.along):
                whole[stream.way] = stream
    return Table(s, streams, whole, SAME.get(precision, SAME_COARSE))


def _streams(i: int, quantity: Quantity, B: int) -> Iterator[Stream]:
    known = sorted(quantity.values)
    windows = [tuple(known[a:b]) for a, b in itertools.combinations(range(len(known) + 1), 2)]
    windows += [window[::-1] for window in windows if len(window) > 1]
    axes = quantity.values[known[0]].ndim if known else 0
    for layers, transposed in itertools.product(windows, (False, True) if axes > 1 else (False,)):
        rows, mark = [quantity.values[l] for l in layers], "^T" * transposed
        name = _listed([_with_mark(quantity.words(l), mark) for l in layers])
        whole = [_transposed(a, transposed) for a in rows]

        def stream(
            order: str,
            units: Sequence[np.ndarray],
            along: Sequence[np.ndarray] = (),
            layers: tuple[int, ...] = layers,
            transposed: bool = transposed,
            name: str = name,
        ) -> Stream:
            return Stream(Way(i, layers, transposed, order), name, units, along, quantity.is_gradient)

        if quantity.along is not None:
            yield stream("", whole, [_transposed(quantity.along[l], transposed) for l in layers])
            continue
        yield stream("", whole)
        for rounds in range(2, MOST_ROUNDS + 1):
            yield stream(f"{rounds} times", whole * rounds)
        if not quantity.per_example:
            yield stream("each", whole * B)
            if len(layers) > 1:  # else that is the same
                yield stream("all", [a for a in whole for _ in range(B)])
        elif not transposed or axes > 2:  # else one example's numbers are a vector
            if len(layers) > 1 or axes > 2:  # else it is the whole, row by row
                yield stream("by example", [_transposed(a[n], transposed) for n in range(B) for a in rows])
            if quantity.sum:
                sums = [_transposed(a[: n + 1].sum(axis=0), transposed) for n in range(B) for a in rows]
                so_far = _listed([quantity._replace(name=quantity.sum).words(l) + mark for l in layers])
                yield stream("so far", sums, name=f"{so_far} so far")


def _transposed(a: np.ndarray, transposed: bool) -> np.ndarray:
    return np.swapaxes(a, -1, -2) if transposed else a


def _with_mark(name: str, mark: str) -> str:
    return f"({name}){mark}" if mark and " - " in name else f"{name}{mark}"


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, ..., {names[-1]}"
