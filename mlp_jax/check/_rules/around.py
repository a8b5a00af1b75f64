"""Judge a gradient at a kink, or if autodiff and finite differences disagree, by the gradients at nearby points.

Near the point, f is smooth. Finite differences show there which gradient is right: that of autodiff, or that of the
rule. The gradient at the point must be a mixture of these (see `mixtures`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.leaf_slopes import AGREES, CONTRADICTS, KINK, Seen, say, sizes, unseen
from mlp_jax.check._rules.mixtures import mixture
from mlp_jax.check._rules.point import Leaf, Point, is_close, relative
from mlp_jax.check._rules.rule_checks import Arrays, norm
from mlp_jax.check._rules.rule_report import RIGHT, UNDECIDED, WRONG

PAIRS = 3  # of opposite points
MORE_PAIRS = 24  # before autodiff is said to be off, or a rule at a kink
FEWER_PAIRS = 12  # the same for many entries
MANY = 100_000
NEARER = 0.1  # of the usual steps, so that they stay on their side of a kink at the point
JUMPS = "the function jumps at this point, so that it has no slope there"
COARSE = 1e-3  # tolerance of a mixture: gradients nearby differ by the curvature of f
MOST_KINKS = 20_000  # entries that are looked at
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


def around(point: Point, at_point: dict[int, Seen]) -> tuple[dict[int, Leaf], list[str]]:
    """Judge some leaves, given their slopes at the point, by the gradients nearby; return the leaves and notes."""
    x, differences = point.x, point.differences
    units = [3 * differences.eps**0.2 * sizes(leaf) for leaf in x]
    places = list(places_around(point, units, PAIRS))
    found = {i: _undecided(point, seen, i, JUMPS) for i, seen in at_point.items() if seen.slopes.jump.any()}
    leaves = [i for i in at_point if i not in found]
    if not places:
        why = "the function is not finite around this point"
        return found | {i: _undecided(point, at_point[i], i, why) for i in leaves}, []
    said = {i: whom_to_trust(point, places, i) for i in leaves}
    found |= {i: leaf for i, leaf in said.items() if isinstance(leaf, Leaf)}
    trusted = {i: who for i, who in said.items() if isinstance(who, str)}
    found |= {i: leaf for i in found if (leaf := _by_autodiff_only(point, places, found[i], at_point, i)) is not None}
    if not trusted:
        return found, []
    mixed, notes = mixed_leaves(point, at_point, places, trusted, units)
    return found | mixed, notes


def _undecided(point: Point, seen: Seen, i: int, why: str) -> Leaf:
    return Leaf(UNDECIDED, why, None, 0.0, seen, point.actual[i])


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


def whom_to_trust(point: Point, places: list[Arrays], i: int) -> str | Leaf:
    """Return the gradient of a leaf that differences confirm nearby, "autodiff" or "rule", or a verdict if neither."""
    problem, differences = point.problem, point.differences
    gradients = {"autodiff": problem.autodiff, "rule": problem.rule}
    said: dict[str, list[str]] = {who: [] for who, gradient in gradients.items() if gradient is not None}
    enough, is_only = min(2, len(places)), problem.autodiff is None
    for x in places:
        of_leaf = {who: gradient(x)[i] for who, gradient in gradients.items() if gradient is not None}
        seen = differences.of(x, i, of_leaf["rule"], [], NEARER)
        for who, g in of_leaf.items():
            said[who].append(say(seen, g, differences.tolerance, is_only))
        for who, words in said.items():
            if words.count(AGREES) >= enough and CONTRADICTS not in words:
                return who
        if said["rule"][-1] == CONTRADICTS and all(words.count(CONTRADICTS) >= enough for words in said.values()):
            return Leaf(WRONG, "", None, 0.0, seen, of_leaf["rule"])
    return Leaf(UNDECIDED, unseen(seen), None, 0.0, seen, of_leaf["rule"])


def _by_autodiff_only(point: Point, places: list[Arrays], leaf: Leaf, at_point: dict[int, Seen], i: int) -> Leaf | None:
    """Return that a leaf is wrong if differences see neither, and autodiff is far from it and the same around."""
    if leaf.verdict != UNDECIDED or i not in at_point or point.expected is None or point.problem.autodiff is None:
        return None
    a, e = point.actual[i], point.expected[i]
    same = all(is_close(point.problem.autodiff(x)[i], e, 0.1) for x in places[:2])
    far = not is_close(a, e, COARSE) and say(at_point[i], e, point.differences.tolerance) not in (CONTRADICTS, KINK)
    return Leaf(WRONG, "", e, relative(point.rounding[i], e), at_point[i], a) if same and far else None


def mixed_leaves(
    point: Point, at_point: dict[int, Seen], places: list[Arrays], trusted: dict[int, str], units: Arrays
) -> tuple[dict[int, Leaf], list[str]]:
    """Judge whether the gradient at the point is a mixture of the confirmed gradients nearby."""
    view, samples = _scaled(point, places, trusted, units)
    theirs, notes = _autodiff(point, view, samples)
    known = samples.near.mean(axis=0) if theirs is None else theirs
    target = view.vector(point.actual)
    finite = np.isfinite(target)
    with np.errstate(all="ignore"):
        allowed = (
            COARSE if theirs is None else max(point.tight, *map(relative, point.rounding, point.expected or ())) / 10
        )
        far = ~(np.abs(target - known) <= allowed)
    jumps, outside, nearest, verdict = np.zeros_like(far), np.zeros_like(far), known.copy(), RIGHT
    kinks = np.flatnonzero(samples.jumps)
    if (far & finite)[kinks].any():
        if len(far) <= MANY:
            samples = _samples(point, view, [*places, *places_around(point, units, MORE_PAIRS)])
            kinks = np.flatnonzero(samples.jumps)
        jumps[kinks] = far[kinks]
        low, high, noise = samples.near[:, kinks].min(axis=0), samples.near[:, kinks].max(axis=0), samples.noise[kinks]
        nearest[kinks] = np.clip(target[kinks], low, high)
        outside[kinks] = ~(np.abs(nearest[kinks] - target[kinks]) <= noise)
        near, sides = samples.near[:, kinks], samples.sides[:, kinks]
        if len(far) > MANY:  # more samples, of some entries
            kinks = _some(kinks, far[kinks], point.rng)
            more = list(places_around(point, view.units, FEWER_PAIRS))
            near = np.stack([*samples.near[:, kinks], *(view.vector(_trusted(point, x, trusted))[kinks] for x in more)])
            sides = np.stack([*samples.sides[:, kinks], *(_sides(x, point.x, trusted)[kinks] for x in more)])
            noise = samples.noise[kinks]
        low, high, own = on_their_own(sides, near)
        outside[kinks] = own & ~(np.maximum(low - target[kinks], target[kinks] - high) <= noise)
        nearest[kinks] = np.where(own, np.clip(target[kinks], low, high), target[kinks])
        shared, jump = kinks[~own], (high - low)[~own]
        if (far & finite)[shared].any():
            mixed = mixture(
                np.where(finite, target, known)[shared] / jump,
                near[:, ~own] / jump,
                lambda v: [sample / jump for sample in _samples_along(point, view, shared, v * jump)],
                noise[~own] / jump,
            )
            verdict = mixed.verdict
            nearest[shared] = mixed.nearest * jump if verdict == WRONG else target[shared]
    verdict = WRONG if (far & outside).any() else verdict
    should_be = np.where(jumps & finite, nearest, known) * view.scale
    if theirs is not None and verdict == RIGHT and jumps.any():
        notes.append(f"on a kink, autodiff follows another convention than the rule; entries: {jumps.sum()}")
    parts = zip(trusted, np.split(should_be, view.ends), np.split(jumps, view.ends), strict=True)
    return {
        i: _leaf(point, at_point[i], i, part.reshape(units[i].shape) / view.units[i], jump, verdict, theirs is not None)
        for i, part, jump in parts
    }, notes


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


def _scaled(point: Point, places: list[Arrays], trusted: dict[int, str], units: Arrays) -> tuple[View, Samples]:
    """Return leaves as one vector, each in units of the gradients around, and these."""
    ends = np.cumsum([units[i].size for i in trusted])[:-1]
    near = [NEARER * unit for unit in units]
    view = View(trusted, near, np.ones(sum(units[i].size for i in trusted)), ends)
    sizes = [norm([part]) / max(1, part.size) ** 0.5 or 1.0 for part in np.split(_near(point, view, places), ends, 1)]
    counts = [units[i].size for i in trusted]
    view = view._replace(scale=np.repeat(sizes, counts))
    return view, _samples(point, view, places)


def _near(point: Point, view: View, places: list[Arrays]) -> np.ndarray:
    """Return the gradients (n, d) at a tenth of the distance of some places."""
    way = ([x + NEARER * (y - x) for x, y in zip(point.x, place, strict=True)] for place in places)
    return np.stack([view.vector(_trusted(point, x, view.trusted)) for x in way])


def _samples(point: Point, view: View, places: list[Arrays]) -> Samples:
    """Return the gradients near the point on the way to some places, compared with those at the places."""
    near = _near(point, view, places)
    far = np.stack([view.vector(_trusted(point, x, view.trusted)) for x in places])
    sides = np.stack([_sides(x, point.x, view.trusted) for x in places])
    return Samples(near, sides, *jumping(near, far))


def _some(kinks: np.ndarray, far: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return at most MOST_KINKS kinks, first those at which the gradient differs from autodiff."""
    order = rng.permutation(len(kinks))
    order = order[np.argsort(~far[order], kind="stable")]
    return np.sort(kinks[order[:MOST_KINKS]])


def _leaf(
    point: Point, seen: Seen, i: int, reference: np.ndarray, jumps: np.ndarray, verdict: str, by_autodiff: bool
) -> Leaf:
    """Compare a leaf with its reference; `verdict` is that of the entries at a kink."""
    a, error = point.actual[i], COARSE
    if by_autodiff and point.expected is not None:
        reference = np.where(jumps.reshape(a.shape), reference, point.expected[i])
        error = COARSE if verdict == WRONG and jumps.any() else relative(point.rounding[i], point.expected[i])
    says, why = RIGHT if is_close(a, reference, max(point.tight, error)) else WRONG, ""
    if says == RIGHT and verdict == UNDECIDED and jumps.any():
        says, why = UNDECIDED, "at a kink of the function, it is far from the gradients around that were seen"
    return Leaf(says, why, reference, error, seen, a)


def _trusted(point: Point, x: Arrays, trusted: dict[int, str]) -> Arrays:
    """Return the gradients at some point that are believed."""
    problem, whose = point.problem, set(trusted.values())
    autodiff = problem.autodiff(x) if "autodiff" in whose and problem.autodiff is not None else []
    rule = problem.rule(x) if "rule" in whose else autodiff
    return [autodiff[i] if trusted.get(i) == "autodiff" else g for i, g in enumerate(rule)]


def _autodiff(point: Point, view: View, samples: Samples) -> tuple[np.ndarray | None, list[str]]:
    """Return autodiff's gradient at the point, None if it is off there, and notes."""
    if point.expected is None:
        return None, []
    if "rule" in view.trusted.values():
        return None, ["autodiff of the plain function is off; finite differences confirm the rule"]
    theirs = view.vector(point.expected)
    if may_be(theirs, samples):
        return theirs, []
    units, pairs = [unit / NEARER for unit in view.units], MORE_PAIRS if len(theirs) <= MANY else FEWER_PAIRS
    if may_be(theirs, _samples(point, view, list(places_around(point, units, pairs)))):
        return theirs, []
    return None, ["autodiff of the plain function is off at this point, by finite differences around it"]


def _samples_along(point: Point, view: View, entries: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """Return the gradients of some entries ahead and behind, in a direction of these entries."""
    whole = np.zeros(len(view.scale))
    whole[entries] = v / np.abs(v).max()
    steps = dict(zip(view.trusted, np.split(whole, view.ends), strict=True))
    way = [steps[i].reshape(u.shape) if i in steps else 0 * u for i, u in enumerate(view.units)]
    pair = [_place(point, view.units, [sign * d for d in way]) for sign in (1, -1)]
    both = [view.vector(_trusted(point, x, view.trusted))[entries] for x in pair if x is not None]
    return [sample for sample in both if np.isfinite(sample).all()]


def _sides(place: Arrays, x: Arrays, trusted: dict[int, str]) -> np.ndarray:
    """Return on which side of x a point is, for every entry."""
    return np.concatenate([np.sign(place[i] - x[i]).astype(np.int8).ravel() for i in trusted])


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


def may_be(gradient: np.ndarray, samples: Samples) -> bool:
    """Whether a gradient equals the samples in smooth entries, and is not far from them in entries that jump."""
    spread = np.where(samples.jumps, 2 * np.ptp(samples.near, axis=0), 0)
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(gradient - samples.near.mean(axis=0)) <= COARSE + spread))
