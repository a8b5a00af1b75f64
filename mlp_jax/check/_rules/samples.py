"""Gradients at points near the one in question, as vectors, and which of their entries jump."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.point import Point
from mlp_jax.check._rules.rule_checks import Arrays, norm

NEARER = 0.1  # of the usual steps, so that they stay on their side of a kink at the point
COARSE = 1e-3  # tolerance of a mixture: gradients nearby differ by the curvature of f
JUMP = 0.5  # of the spread of gradients is still there at a tenth of the distance, unless it is curvature


class View(NamedTuple):
    """Leaves as one vector, entries in units of x and each leaf in units of its size.

    Attributes:
      trusted: for each leaf, by its number, which gradient is right nearby: "autodiff" or "rule".
      units: for each leaf of x, how far its entries are moved.
      scale: (d,), the size of the gradients around.
      ends: the positions in a vector (d,) at which the leaves end.
    """

    trusted: dict[int, str]
    units: Arrays
    scale: np.ndarray
    ends: np.ndarray

    def vector(self, gradient: Arrays) -> np.ndarray:
        """Return a gradient as a vector."""
        return np.concatenate([(self.units[i] * gradient[i]).ravel() for i in self.trusted]) / self.scale


class Samples(NamedTuple):
    """Gradients near the point, as vectors.

    Attributes:
      near: (n, d).
      sides: (n, d), on which side of the point each entry was.
      jumps: (d,), whether the gradient differs by more than the curvature of f.
      noise: (d,), by how much curvature may blur a jump.
    """

    near: np.ndarray
    sides: np.ndarray
    jumps: np.ndarray
    noise: np.ndarray


def places_around(point: Point, units: Arrays, pairs: int) -> Iterator[Arrays]:
    """Yield pairs of opposite points near x at which the function is finite; single points at an edge of its domain."""
    found = 0
    for j, way in enumerate(ways(sum(unit.size for unit in units), 2 * pairs, point.rng)):
        parts = _parts(way, units)
        pair = [x for sign in (1, -1) if (x := _place(point, units, [sign * v for v in parts])) is not None]
        if len(pair) == 2 or (pair and not found and j == 2 * pairs - 1):
            yield from pair
            found += 2
        if found >= 2 * pairs:
            return


def ways(size: int, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield directions (size,) that tell apart which entries share a kink.

    First all entries have the same sign. Then the signs are the digits of a number that each entry has for itself, so
    that any two differ in some direction. Each is followed by one of the same signs in which the longer move is the
    shorter.

    Example:
      >>> [way.round(1).tolist() for way in ways(2, 4, np.random.default_rng(0))]
      [[0.6, 0.5], [0.9, 1.0], [0.5, -0.9], [1.0, -0.6]]
    """
    codes, digits = rng.permutation(size), max(1, (size - 1).bit_length())
    lengths: np.ndarray = np.ones(size)
    signs: np.ndarray = np.ones(size)
    for j in range(count):
        lengths = 1.5 - lengths if j % 2 else rng.uniform(0.5, 1, size)
        digit = j // 2 - 1
        if j >= 2 and j % 2 == 0:
            signs = 1.0 - 2 * (codes >> digit & 1) if digit < digits else rng.choice([-1.0, 1.0], size)
        yield lengths * signs


def _place(point: Point, units: Arrays, way: Arrays) -> Arrays | None:
    """Return a point on a way from x, if the function is finite there."""
    with np.errstate(all="ignore"):
        x = [leaf + unit * v for leaf, unit, v in zip(point.x, units, way, strict=True)]
    return x if np.isfinite(point.problem.value(x)) else None


def _parts(flat: np.ndarray, like: Arrays) -> Arrays:
    parts = np.split(flat, np.cumsum([leaf.size for leaf in like])[:-1])
    return [part.reshape(leaf.shape) for part, leaf in zip(parts, like, strict=True)]


def scaled(point: Point, places: list[Arrays], trusted: dict[int, str], units: Arrays) -> tuple[View, Samples]:
    """Return leaves as one vector, each in units of the gradients around, and these."""
    of_leaves = [units[i].size for i in trusted]
    ends = np.cumsum(of_leaves)[:-1]
    view = View(trusted, [NEARER * unit for unit in units], np.ones(sum(of_leaves)), ends)
    samples = samples_at(point, view, places)
    sizes = [norm([part]) / max(1, part.size) ** 0.5 or 1.0 for part in np.split(samples.near, ends, axis=1)]
    scale = np.repeat(sizes, of_leaves)
    return view._replace(scale=scale), samples._replace(near=samples.near / scale, noise=samples.noise / scale)


def samples_at(point: Point, view: View, places: list[Arrays]) -> Samples:
    """Return the gradients at a tenth of the distance of some places, and what those at the places say of them."""
    way = ([x + NEARER * (y - x) for x, y in zip(point.x, place, strict=True)] for place in places)
    near = np.stack([gradient_at(point, view, x) for x in way])
    far = np.stack([gradient_at(point, view, x) for x in places])
    return Samples(near, np.stack([sides_of(point, view, x) for x in places]), *jumping(near, far))


def gradient_at(point: Point, view: View, x: Arrays) -> np.ndarray:
    """Return the gradient that is believed, at some point, as a vector."""
    problem, whose = point.problem, set(view.trusted.values())
    autodiff = problem.autodiff(x) if "autodiff" in whose and problem.autodiff is not None else []
    rule = problem.rule(x) if "rule" in whose else autodiff
    return view.vector([autodiff[i] if view.trusted.get(i) == "autodiff" else g for i, g in enumerate(rule)])


def samples_along(point: Point, view: View, entries: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of some entries ahead and behind, in a direction of these entries."""
    whole = np.zeros(len(view.scale))
    whole[entries] = v / np.abs(v).max()
    steps = dict(zip(view.trusted, np.split(whole, view.ends), strict=True))
    way = [steps[i].reshape(u.shape) if i in steps else 0 * u for i, u in enumerate(view.units)]
    pair = [_place(point, view.units, [sign * d for d in way]) for sign in (1, -1)]
    both = [gradient_at(point, view, x)[entries] for x in pair if x is not None]
    return [sample for sample in both if np.isfinite(sample).all()]


def sides_of(point: Point, view: View, place: Arrays) -> np.ndarray:
    """Return on which side of x a point is, for every entry."""
    return np.concatenate([np.sign(place[i] - point.x[i]).astype(np.int8).ravel() for i in view.trusted])


def on_their_own(sides: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends (d,) of each entry's interval, and True for entries that jump by their own move only.

    Args:
      sides: (n, d), on which side of x every entry was.
      samples: (n, d), the gradients there.

    Example:
      >>> sides = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])
      >>> relu_and_max = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
      >>> on_their_own(sides, relu_and_max)[2]
      array([ True, False])
    """
    low, high = samples.min(axis=0), samples.max(axis=0)
    slack = 0.1 * (high - low)
    own = np.ones(samples.shape[1], bool)
    for side in (1, -1):
        least = np.where(sides == side, samples, np.inf).min(axis=0)
        most = np.where(sides == side, samples, -np.inf).max(axis=0)
        own &= np.isfinite(least) & (most - least <= slack)
    return low, high, own


def jumping(near: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which entries (d,) of a gradient jump, and how far (d,) curvature blurs that.

    Args:
      near: (n, d), gradients near a point.
      far: (n, d), the same in the same directions, 1 / NEARER times as far.

    Example:
      >>> jump, curvature = np.array([-1.0, 1.0]), np.array([-0.1, 0.1])
      >>> jumping(np.stack([jump, curvature], axis=1), np.stack([jump, 10 * curvature], axis=1))[0]
      array([ True, False])
    """
    small, large = np.ptp(near, axis=0), np.ptp(far, axis=0)
    blur = np.maximum(large - small, 0) * NEARER / (1 - NEARER)
    return (small > JUMP * large) & (small > 1e-9 * np.abs(near).max(axis=0)), COARSE * small + 2 * blur
