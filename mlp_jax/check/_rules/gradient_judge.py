"""Compare a gradient with two references, autodiff and finite differences, each of which may be wrong.

Autodiff differentiates the code and not the function. At a point with a branch of its own, or through a search or an
iteration, all of its digits can be wrong. Finite differences see the function, but no tiny error. A gradient is right
if both confirm it, wrong if one refutes it and the other does not object, and undecided if neither can see. If f has a
kink at the point, or the two disagree, the gradients `around` decide.
"""

from math import inf
from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.around import around
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison, compare_gradients
from mlp_jax.check._rules.leaf_slopes import AGREES, ROUNDING, UNSEEN, Seen, along, differences_of, say, unseen
from mlp_jax.check._rules.point import Leaf, Point, is_close, relative
from mlp_jax.check._rules.problem import Problem
from mlp_jax.check._rules.rule_checks import Arrays, norm
from mlp_jax.check._rules.rule_report import RIGHT, UNDECIDED, WRONG, Notebook
from mlp_jax.check._rules.samples import COARSE
from mlp_jax.check._tolerance import TABLE

SOLVER = 1e-5  # what the slopes of a function that iterates are taken to be good for
ENTRIES = 64  # of a large leaf that are looked at one by one, at most
FEW_ENTRIES = 4  # of a very large one
BUDGET = 2**24  # numbers in directions of single entries


class Judgement(NamedTuple):
    """A gradient compared with two references."""

    comparison: GradientReport | None
    differences: GradientReport
    reference_error: float
    skipped: int


def judge(
    book: Notebook,
    problem: Problem,
    x: Arrays,
    names: list[str],
    actual: Arrays,
    rng: np.random.Generator,
    tolerance: float | None = None,
) -> Judgement | None:
    """Compare a gradient with finite differences and autodiff, write down what they say, and return the numbers.

    Args:
      book: takes the findings.
      problem: the function and its gradients.
      x: the point.
      names: of the leaves.
      actual: the gradient in question, at x.
      rng: for directions and points around.
      tolerance: relative, of each leaf; None for that of the precision.
    """
    if not np.isfinite(problem.value(x)):
        book.find("finite", f"the function is not finite at this point: {problem.value(x)}", "", UNDECIDED)
        return None
    tight = book.tolerance if tolerance is None else tolerance
    coarse = max(TABLE[book.precision].slope, tight, SOLVER if problem.iterates else 0.0)
    leaves, notes = _judged(problem, x, actual, rng, tight, coarse)
    if problem.stopped is not None and any(leaf.verdict != RIGHT for leaf in leaves) and _is_autodiff(problem, actual):
        by_constants, more = _judged(problem._replace(loss=problem.stopped, longer=()), x, actual, rng, tight, coarse)
        if all(leaf.verdict == RIGHT for leaf in by_constants):
            leaves, notes = by_constants, [*more, "what passes through stop_gradient counts as a constant"]
    book.notes.extend(notes)
    return _written(book, names, actual, leaves, tight, coarse)


def _is_autodiff(problem: Problem, actual: Arrays) -> bool:
    """Whether a gradient is that of autodiff, for which what passes through `stop_gradient` is a constant."""
    return problem.expected is not None and bool(compare_gradients(actual, problem.expected, COARSE))


def _judged(
    problem: Problem, x: Arrays, actual: Arrays, rng: np.random.Generator, tight: float, coarse: float
) -> tuple[list[Leaf], list[str]]:
    """Return what is found about every leaf, and notes."""
    differences = differences_of(problem.loss, problem.longer, x, problem.data, rng, coarse)
    point = Point(problem, differences, x, actual, _rounding(problem, x, rng), tight, rng)
    found = {i: _at_the_point(point, i) for i in range(len(x))}
    rest = {i: seen for i, seen in found.items() if isinstance(seen, Seen)}
    by_others, notes = around(point, rest) if rest else ({}, [])
    leaves = {i: leaf for i, leaf in found.items() if isinstance(leaf, Leaf)} | by_others
    return [leaves[i] for i in range(len(x))], notes


def _at_the_point(point: Point, i: int) -> Leaf | Seen:
    """Return what differences and autodiff say of a leaf at the point, or the slopes if points around must decide."""
    a, differences = point.actual[i], point.differences
    e = None if point.expected is None else point.expected[i]
    seen = differences.of(point.x, i, a, [] if e is None else _apart(a, e, point.tight))
    ours = say(seen, a, differences.tolerance, is_only=e is None)
    if e is None:
        if ours == UNSEEN:
            return Leaf(UNDECIDED, unseen(seen), None, 0.0, seen, a)
        return Leaf(RIGHT, "", None, 0.0, seen, a) if ours == AGREES else seen
    leaf = Leaf(RIGHT, "", e, relative(point.rounding[i], e), seen, a)
    if not is_close(a, e, max(point.tight, leaf.error)) and _is_noise(point, i, e):  # as good as 0, next to f's size
        nothing = ROUNDING * float(np.min(seen.slopes.size / seen.reach, initial=inf))
        leaf = leaf._replace(error=max(leaf.error, relative(nothing, e)))
    if is_close(a, e, max(point.tight, leaf.error)):
        return leaf if ours == AGREES else seen
    theirs = say(seen, e, differences.tolerance)
    return leaf._replace(verdict=WRONG) if theirs == AGREES and np.isfinite(e).all() else seen


def _is_noise(point: Point, i: int, e: np.ndarray) -> bool:
    """Whether the gradient of a leaf by autodiff is what cancels: it is another at points nearby, all within 1 %."""
    x, autodiff = point.x, point.problem.autodiff
    places = ([leaf * (1 + 1e-2 * point.rng.uniform(-1, 1, leaf.shape)) for leaf in x] for _ in range(3))
    return autodiff is not None and any(norm([autodiff(place)[i] - e]) > 0.1 * norm([e]) for place in places)


def _apart(a: np.ndarray, e: np.ndarray, tight: float) -> list[int]:
    """Return the flat indices of the entries that differ most."""
    with np.errstate(all="ignore"):
        far = np.nan_to_num(np.abs(a - e).ravel(), nan=inf)
    count = min(ENTRIES, max(FEW_ENTRIES, BUDGET // max(1, e.size)), e.size)
    order = np.argpartition(-far, count - 1)[:count] if count else np.zeros(0, int)
    order = order[np.argsort(-far[order], kind="stable")]
    size = norm([e[np.isfinite(e)]]) / max(1, e.size) ** 0.5
    return [int(k) for k in order if far[k] > tight * size]


def _rounding(problem: Problem, x: Arrays, rng: np.random.Generator) -> list[float]:
    """Return for each leaf how far autodiff moves when the last digits of x change, or its loops go on."""
    if problem.autodiff is None or problem.expected is None:
        return [0.0] * len(x)
    moves = []
    if problem.longer_autodiff is not None:
        moves.append([norm([a - b]) for a, b in zip(problem.expected, problem.longer_autodiff(x), strict=True)])
    for _ in range(3):
        moved = problem.autodiff([leaf * (1 + 1e-12 * rng.choice([-1, 1], leaf.shape)) for leaf in x])
        moves.append([_move(a, b) for a, b in zip(problem.expected, moved, strict=True)])
    return [float(move) for move in np.max(moves, axis=0)]


def _move(a: np.ndarray, b: np.ndarray) -> float:
    """Return how far b is from a, without the entries that jump: these are on a kink, and not rounded."""
    with np.errstate(all="ignore"):
        small = np.abs(b - a) <= 1e-2 * np.maximum(np.abs(a), np.abs(b))
    return norm([(b - a)[small]])


def _written(
    book: Notebook, names: list[str], actual: Arrays, judged: list[Leaf], tight: float, coarse: float
) -> Judgement:
    """Write down what was found, and return the tables."""
    known = [i for i, leaf in enumerate(judged) if leaf.reference is not None]
    comparison = None
    if known:
        comparison = compare_gradients(
            {names[i]: actual[i] for i in known},
            {names[i]: judged[i].reference for i in known},
            tight,
            [min(judged[i].error, 1e300) for i in known],
        )
    skipped = sum(int(leaf.seen.slopes.kink.sum()) for leaf in judged)
    differences = _compared_with_differences(names, judged, coarse)
    undecided = [f"{name}: {leaf.why}" for name, leaf in zip(names, judged, strict=True) if leaf.verdict == UNDECIDED]
    if undecided:
        book.find("undecided", "; ".join(undecided), "", UNDECIDED)
    if comparison is not None:
        worst = comparison.worst
        problem = "" if comparison or worst is None else f"not the gradient by autodiff: {describe(worst)}"
        book.find("autodiff", problem, f"the gradient by autodiff, within {tight:.0e}")
    worst = differences.worst
    problem = "" if differences or worst is None else f"not the slope of the function: {describe(worst)}"
    errors = [error for leaf in judged if (error := _error(leaf.seen)) < 1]
    reference_error = max(errors, default=0.0)
    book.find("finite differences", problem, f"the slopes of the function, to {reference_error:.0e}")
    if skipped:
        book.notes.append(
            f"left out {skipped} of the entries and directions: they meet a kink of the function, and there every "
            "mixture of the gradients around is a convention"
        )
    return Judgement(comparison, differences, reference_error, skipped)


def _compared_with_differences(names: list[str], judged: list[Leaf], rtol: float) -> GradientReport:
    ours, theirs, errors = {}, {}, []
    for name, leaf in zip(names, judged, strict=True):
        s, slope = leaf.seen.slopes, along(leaf.seen, leaf.by)
        unclear = s.kink | (s.error > 0.1 * np.maximum(np.abs(slope), np.abs(s.slope))) | (leaf.verdict == UNDECIDED)
        if leaf.verdict == RIGHT and leaf.reference is not None:  # a kink that several entries share
            unclear = unclear | (np.abs(slope - s.slope) > 10 * s.error + rtol * norm([s.slope]))
        ours[name], theirs[name] = slope, np.where(unclear, slope, s.slope)
        errors.append(10 * min(_error(leaf.seen), 1e300))
    return compare_gradients(ours, theirs, rtol, errors)


def _error(seen: Seen) -> float:
    """Return the relative error of the finite differences of a leaf."""
    sound = np.isfinite(seen.slopes.error)
    error, size = norm([seen.slopes.error[sound]]), norm([seen.slopes.slope[sound]])
    return error / size if size else float(error > 0)


def describe(leaf: LeafComparison) -> str:
    """Return what is wrong with a leaf, and what to look for."""
    if leaf.norm_ratio == 0:
        return f"{leaf.name} is zero: a term is missing"
    if leaf.norm_ratio > 1e9:
        return f"{leaf.name} is expected to be zero: {leaf.actual:.6g} at {leaf.index}"
    factor = leaf.norm_ratio if leaf.cosine > 0 else -leaf.norm_ratio
    if max(0.0, 1 - leaf.cosine**2) ** 0.5 <= 1e-2 * abs(factor - 1):
        sign = " and that sign" if factor < 0 else ""
        return f"{leaf.name} is {factor:.6g} times what it should be: look for that factor{sign}"
    where = f", worst at {leaf.index}: {leaf.actual:.6g} for {leaf.expected:.6g}" if leaf.index else ""
    return f"{leaf.name}: {leaf.problem}{where}"
