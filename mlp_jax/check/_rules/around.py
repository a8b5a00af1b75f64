"""Judge a gradient at a kink, or if autodiff and finite differences disagree, by the gradients at nearby points.

Near the point, f is smooth. Finite differences show there which gradient is right: that of autodiff, or that of the
rule. The gradient at the point must be a mixture of these (see `mixtures`).
"""

from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.leaf_slopes import AGREES, CONTRADICTS, KINK, Seen, say, sizes, unseen
from mlp_jax.check._rules.mixtures import mixture
from mlp_jax.check._rules.point import Leaf, Point, is_close, relative
from mlp_jax.check._rules.rule_checks import Arrays
from mlp_jax.check._rules.rule_report import RIGHT, UNDECIDED, WRONG
from mlp_jax.check._rules.samples import (
    COARSE,
    NEARER,
    Samples,
    View,
    gradient_at,
    on_their_own,
    places_around,
    samples_along,
    samples_at,
    scaled,
    sides_of,
)

PAIRS = 3  # of opposite points
MORE_PAIRS = 24  # before autodiff is said to be off, or a rule at a kink
FEWER_PAIRS = 12  # the same for many entries
MANY = 100_000
JUMPS = "the function jumps at this point, so that it has no slope there"
MOST_KINKS = 20_000  # entries that are looked at


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
    if leaf.verdict != UNDECIDED or point.expected is None or point.problem.autodiff is None:
        return None
    a, e = point.actual[i], point.expected[i]
    same = all(is_close(point.problem.autodiff(x)[i], e, 0.1) for x in places[:2])
    far = not is_close(a, e, COARSE) and say(at_point[i], e, point.differences.tolerance) not in (CONTRADICTS, KINK)
    return Leaf(WRONG, "", e, relative(point.rounding[i], e), at_point[i], a) if same and far else None


def mixed_leaves(
    point: Point, at_point: dict[int, Seen], places: list[Arrays], trusted: dict[int, str], units: Arrays
) -> tuple[dict[int, Leaf], list[str]]:
    """Judge whether the gradient at the point is a mixture of the confirmed gradients nearby."""
    view, samples = scaled(point, places, trusted, units)
    theirs, notes = _autodiff(point, view, samples)
    known = samples.near.mean(axis=0) if theirs is None else theirs
    target = view.vector(point.actual)
    with np.errstate(all="ignore"):
        allowed = (
            COARSE if theirs is None else max(point.tight, *map(relative, point.rounding, point.expected or ())) / 10
        )
        far = ~(np.abs(target - known) <= allowed)
    kinks = _at_kinks(point, view, samples, places, units, known, target, far)
    should_be = np.where(kinks.entries & np.isfinite(target), kinks.nearest, known) * view.scale
    if theirs is not None and kinks.verdict == RIGHT and kinks.entries.any():
        notes.append(f"on a kink, autodiff follows another convention than the rule; entries: {kinks.entries.sum()}")
    parts = zip(trusted, np.split(should_be, view.ends), np.split(kinks.entries, view.ends), strict=True)
    return {
        i: _leaf(
            point,
            at_point[i],
            i,
            part.reshape(units[i].shape) / view.units[i],
            of_leaf,
            kinks.verdict,
            theirs is not None,
        )
        for i, part, of_leaf in parts
    }, notes


class Kinks(NamedTuple):
    """What is found at the entries in which the gradients nearby jump.

    Attributes:
      entries: (d,), those at which the gradient is not the known one.
      nearest: (d,), the nearest mixture; elsewhere what is known.
      verdict: right, wrong or undecided.
    """

    entries: np.ndarray
    nearest: np.ndarray
    verdict: str


def _at_kinks(
    point: Point,
    view: View,
    samples: Samples,
    places: list[Arrays],
    units: Arrays,
    known: np.ndarray,
    target: np.ndarray,
    far: np.ndarray,
) -> Kinks:
    """Compare a gradient, the target (d,), with the mixtures of the samples where it is far from what is known."""
    entries, outside, nearest, verdict = np.zeros_like(far), np.zeros_like(far), known.copy(), RIGHT
    finite, kinks = np.isfinite(target), np.flatnonzero(samples.jumps)
    if not (far & finite)[kinks].any():
        return Kinks(entries, nearest, verdict)
    if len(far) <= MANY:
        samples = samples_at(point, view, [*places, *places_around(point, units, MORE_PAIRS)])
        kinks = np.flatnonzero(samples.jumps)
    entries[kinks] = far[kinks]
    near, sides, noise = samples.near[:, kinks], samples.sides[:, kinks], samples.noise[kinks]
    nearest[kinks] = np.clip(target[kinks], near.min(axis=0), near.max(axis=0))
    outside[kinks] = ~(np.abs(nearest[kinks] - target[kinks]) <= noise)
    if len(far) > MANY:  # more samples, of some entries
        kinks = _some(kinks, far[kinks], point.rng)
        more = list(places_around(point, view.units, FEWER_PAIRS))
        near = np.stack([*samples.near[:, kinks], *(gradient_at(point, view, x)[kinks] for x in more)])
        sides = np.stack([*samples.sides[:, kinks], *(sides_of(point, view, x)[kinks] for x in more)])
        noise = samples.noise[kinks]
    low, high, own = on_their_own(sides, near)
    outside[kinks] = own & ~(np.maximum(low - target[kinks], target[kinks] - high) <= noise)
    nearest[kinks] = np.where(own, np.clip(target[kinks], low, high), target[kinks])
    shared, jump = kinks[~own], (high - low)[~own]
    if (far & finite)[shared].any():
        mixed = mixture(
            np.where(finite, target, known)[shared] / jump,
            near[:, ~own] / jump,
            lambda v: [sample / jump for sample in samples_along(point, view, shared, v * jump)],
            noise[~own] / jump,
        )
        verdict = mixed.verdict
        nearest[shared] = mixed.nearest * jump if verdict == WRONG else target[shared]
    return Kinks(entries, nearest, WRONG if (far & outside).any() else verdict)


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
    if may_be(theirs, samples_at(point, view, list(places_around(point, units, pairs)))):
        return theirs, []
    return None, ["autodiff of the plain function is off at this point, by finite differences around it"]


def may_be(gradient: np.ndarray, samples: Samples) -> bool:
    """Whether a gradient equals the samples in smooth entries, and is not far from them in entries that jump."""
    spread = np.where(samples.jumps, 2 * np.ptp(samples.near, axis=0), 0)
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(gradient - samples.near.mean(axis=0)) <= COARSE + spread))
