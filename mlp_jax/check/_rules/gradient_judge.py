"""A gradient beside two references, autodiff and finite differences, each of which may itself be off.

Finite differences along random directions in every leaf see any mistake that is not tiny; autodiff sees the rest.
Where a gradient differs from autodiff, finite differences decide, entry by entry: at a kink every slope between those
of its two sides is a convention, and elsewhere it may be autodiff that is wrong.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _xla
from mlp_jax._doors import first_line
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison, compare_gradients, leaf_name
from mlp_jax.check._rules.finite_differences import Slopes, is_kind, scales, slopes_along
from mlp_jax.check._rules.jaxpr_interpreter import RULES, equations
from mlp_jax.check._rules.rule_checks import Arrays, norm
from mlp_jax.check._rules.rule_report import Notebook

DIRECTIONS = 3  # random ones, for each leaf
ENTRIES = 64  # of a leaf that are looked at one by one, at most
SMALL = 8  # up to this size a leaf is looked at entry by entry from the start
SLOPE_TOLERANCE = 1e-6  # how close finite differences must come, beyond their own error; they have nine digits
COARSE_SLOPE_TOLERANCE = 3e-2  # in less than float64


class Judgement(NamedTuple):
    """A gradient beside two references."""

    comparison: GradientReport | None
    differences: GradientReport
    reference_error: float
    skipped: int


class _Leaf(NamedTuple):
    """Slopes of one leaf along some directions: by the gradient, and by finite differences."""

    projections: np.ndarray
    slopes: Slopes
    entries: np.ndarray  # the flat index of the entry, -1 for a direction of many


def judge(
    book: Notebook,
    loss: Callable[[Arrays], Any],
    x: Arrays,
    names: list[str],
    actual: Arrays,
    expected: Arrays | None,
    rounding: list[float],
    rng: np.random.Generator,
) -> Judgement:
    """Compare a gradient with finite differences of the loss and, where there is one, with autodiff's.

    Where autodiff and the gradient differ, finite differences decide, entry by entry: at a kink every slope between
    those of the two sides is a convention, and elsewhere it may be autodiff that is wrong.

    Args:
      book: where the findings go.
      loss: of a list of arrays.
      x: the point.
      names: of the leaves.
      actual: the gradient in question.
      expected: the gradient by autodiff, or None.
      rounding: for each leaf, how far autodiff moves when x is rounded.
      rng: for the directions.
    """
    measure = slopes_along(loss, x)
    coarse = book.precision != "float64"
    rtol = COARSE_SLOPE_TOLERANCE if coarse else SLOPE_TOLERANCE
    leaves = [_along(measure, x, actual, i, _directions(actual[i], rng)) for i in range(len(x))]
    disagree = [_disagreement(a, e, book.tolerance) for a, e in zip(actual, expected or actual, strict=True)]
    worst = int(np.argmax([_mismatch(leaf, rtol) for leaf in leaves]))
    for i, (leaf, differs) in enumerate(zip(leaves, disagree, strict=True)):
        if (differs.size or i == worst) and actual[i].size > SMALL:
            chosen = differs[:ENTRIES]
            if not chosen.size:
                others = rng.choice(actual[i].size, min(ENTRIES, actual[i].size), replace=False)
                chosen = np.unique([*others[1:], int(np.argmax(np.abs(actual[i])))])
            leaves[i] = _joined(leaf, _along(measure, x, actual, i, [_one_hot(x[i], int(k)) for k in chosen]))
    skipped = sum(int(np.sum(_in_kink(leaf))) for leaf in leaves)
    if skipped:
        book.notes.append(
            f"left out {skipped} of the entries and directions: they meet a kink of the function, where every slope "
            "between those of its two sides is a convention"
        )
    errors = [_error(leaf) for leaf in leaves]
    comparison = None
    if expected is not None:
        comparison = _beside_autodiff(book, names, actual, expected, leaves, disagree, rounding, errors, rtol)
    differences = compare_gradients(
        {name: leaf.projections for name, leaf in zip(names, leaves, strict=True)},
        {name: _expected_slopes(leaf) for name, leaf in zip(names, leaves, strict=True)},
        rtol,
        [10 * error for error in errors],
    )
    return Judgement(comparison, differences, max((error for error in errors if error < 1), default=0.0), skipped)


def _directions(actual: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return unit vectors: all entries of a small leaf; of a large one some at random, and the gradient's own."""
    if actual.size <= SMALL:
        return [_one_hot(actual, k) for k in range(actual.size)]
    found = [rng.standard_normal(actual.shape) for _ in range(DIRECTIONS)]
    if np.isfinite(actual).all() and actual.any():
        found.append(actual / np.abs(actual).max())
    return [v / np.linalg.norm(v) for v in found]


def _one_hot(like: np.ndarray, k: int) -> np.ndarray:
    v = np.zeros(like.size)
    v[k] = 1
    return v.reshape(like.shape)


def _along(
    measure: Callable[[Any, np.ndarray], Slopes], x: Arrays, actual: Arrays, i: int, directions: list[np.ndarray]
) -> _Leaf:
    """Return the slopes along directions in leaf i, in chunks of one size, so that one program measures them all."""
    chunk = max(4, min(32, 2**22 // sum(leaf.size for leaf in x)))
    parts = []
    for start in range(0, len(directions), chunk):
        part = directions[start : start + chunk]
        padded = np.stack([*part, *[part[0]] * (chunk - len(part))])
        keys = [padded if j == i else np.zeros((chunk, *leaf.shape)) for j, leaf in enumerate(x)]
        slopes = measure(keys, scales(x, keys))
        parts.append([values[: len(part)] for values in slopes[:5]])
    arrays = [np.concatenate(values) for values in zip(*parts, strict=True)] or [np.zeros(0)] * 5
    projections = np.array([np.vdot(v, np.asarray(actual[i], float)) for v in directions])
    entries = np.array(
        [int(np.argmax(v)) if np.count_nonzero(v) == 1 and v.max() == 1 else -1 for v in directions], int
    )
    slope, error, kink, left, right = arrays
    return _Leaf(projections, Slopes(slope, error, kink.astype(bool), left, right, 0.0), entries)


def _joined(a: _Leaf, b: _Leaf) -> _Leaf:
    slopes = [np.concatenate(pair) for pair in zip(a.slopes[:5], b.slopes[:5], strict=True)]
    projections, entries = np.concatenate([a.projections, b.projections]), np.concatenate([a.entries, b.entries])
    return _Leaf(projections, Slopes._make([*slopes, 0.0]), entries)


def _in_kink(leaf: _Leaf) -> np.ndarray:
    """Where f has a kink and the gradient may be a convention there.

    Of one entry it has to lie among the slopes of the two sides, none and both: units that switch on count with any
    share from 0 to 1. Along a direction of many entries, conventions mix freely.
    """
    s = leaf.slopes
    with np.errstate(invalid="ignore"):
        sides = np.stack([s.left, s.right, s.left + s.right, 0 * s.left])
        slack = 1e-4 * np.abs(sides).max(axis=0)
        outside = (leaf.projections < sides.min(axis=0) - slack) | (leaf.projections > sides.max(axis=0) + slack)
    return s.kink & ~(outside & (leaf.entries >= 0))


def _expected_slopes(leaf: _Leaf) -> np.ndarray:
    """Return the slopes by finite differences; in a kink, where they decide nothing, those of the gradient."""
    return np.where(_in_kink(leaf), leaf.projections, leaf.slopes.slope)


def _allowed(leaf: _Leaf, rtol: float) -> np.ndarray:
    size = np.linalg.norm(leaf.slopes.slope[~leaf.slopes.kink]) if leaf.slopes.slope.size else 0.0
    return np.where(leaf.slopes.kink, 0.0, 10 * leaf.slopes.error) + rtol * size


def _mismatch(leaf: _Leaf, rtol: float) -> float:
    """Return how far finite differences are from the gradient, in units of what is allowed; inf if all is kinks."""
    if leaf.slopes.slope.size == 0:
        return 0.0
    kink = _in_kink(leaf)
    if kink.all():
        return np.inf
    with np.errstate(all="ignore"):
        far = np.abs(leaf.projections - leaf.slopes.slope) / (_allowed(leaf, rtol) + 1e-300)
    return float(np.nan_to_num(far[~kink], nan=np.inf).max())


def _error(leaf: _Leaf) -> float:
    """Return the relative error of the finite differences of a leaf."""
    sound = ~leaf.slopes.kink
    error, size = (float(np.linalg.norm(values[sound])) for values in (leaf.slopes.error, leaf.slopes.slope))
    return min(error / size if size else float(error > 0), 1e300)


def _disagreement(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the flat indices of the entries that differ, the worst first."""
    with np.errstate(all="ignore"):
        far = np.nan_to_num(np.abs(actual - expected).ravel(), nan=np.inf)
    size = np.linalg.norm(expected[np.isfinite(expected)]) / max(1, actual.size) ** 0.5
    order = np.argsort(-far, kind="stable")
    return order[far[order] > tolerance * size]


def _beside_autodiff(
    book: Notebook,
    names: list[str],
    actual: Arrays,
    expected: Arrays,
    leaves: list[_Leaf],
    disagree: list[np.ndarray],
    rounding: list[float],
    errors: list[float],
    rtol: float,
) -> GradientReport:
    """Compare with autodiff, but for the entries where finite differences excuse the gradient."""
    settled, conventions, off = [], 0, 0
    for a, e, leaf, differs in zip(actual, expected, leaves, disagree, strict=True):
        known = {int(k): j for j, k in enumerate(leaf.entries) if k >= 0}
        at = np.array([k for k in differs if int(k) in known], int)
        j = np.array([known[int(k)] for k in at], int)
        kink = _in_kink(leaf)[j]
        with np.errstate(all="ignore"):
            allowed = _allowed(leaf, rtol)[j]
            right = np.abs(leaf.projections[j] - leaf.slopes.slope[j]) <= allowed
            wrong = ~(np.abs(e.ravel()[at] - leaf.slopes.slope[j]) <= allowed)
        excused = kink | (right & wrong & ~leaf.slopes.kink[j])
        conventions, off = conventions + int(kink.sum()), off + int((excused & ~kink).sum())
        if excused.all() and at.size == ENTRIES:  # a sample of many, all of which are excused
            at, excused = differs, np.ones(differs.size, bool)
        flat = e.ravel().copy()
        flat[at[excused]] = a.ravel()[at[excused]]
        settled.append(flat.reshape(e.shape))
    if conventions:
        book.notes.append(f"on a kink, autodiff follows another convention than the rule; entries: {conventions}")
    if off:
        book.notes.append(
            f"autodiff of the plain function is off, where finite differences bear out the rule; entries: {off}"
        )
    whole = norm([e[np.isfinite(e)] for e in settled])
    reference = [
        min(10 * r, error * (norm([e]) or whole)) / (norm([e]) or whole or 1.0) if np.isfinite(e).all() else 0.0
        for r, e, error in zip(rounding, settled, errors, strict=True)
    ]
    ours, theirs = (dict(zip(names, tree, strict=True)) for tree in (actual, settled))
    return compare_gradients(ours, theirs, book.tolerance, reference)


def describe(leaf: LeafComparison) -> str:
    """Return what is wrong with a leaf, and what to look for."""
    if leaf.norm_ratio == 0:
        return f"{leaf.name} is zero: a term is missing"
    if leaf.norm_ratio == inf:
        return f"{leaf.name} is expected to be zero: {leaf.actual:.6g} at {leaf.index}"
    factor = leaf.norm_ratio if leaf.cosine > 0 else -leaf.norm_ratio
    if max(0.0, 1 - leaf.cosine**2) ** 0.5 <= 1e-2 * abs(factor - 1):
        sign = " and that sign" if factor < 0 else ""
        return f"{leaf.name} is {factor:.6g} times what it should be: look for that factor{sign}"
    where = f", worst at {leaf.index}: {leaf.actual:.6g} for {leaf.expected:.6g}" if leaf.index else ""
    return f"{leaf.name}: {leaf.problem}{where}"


def find_gradient(book: Notebook, judgement: Judgement, jaxpr: Any) -> None:
    """Write down what the references say of a function, whose jaxpr tells whether autodiff is beyond doubt.

    Where the gradient is autodiff's and no rule inside of the function can be wrong, it is finite differences that err:
    at ties that several entries share, through iterations that stop early, or where gradients are stopped on purpose.
    """
    comparison, differences = judgement.comparison, judgement.differences
    agrees = comparison is not None and comparison.ok
    if comparison is not None:
        worst = comparison.worst
        problem = "" if comparison or worst is None else f"not the gradient by autodiff: {describe(worst)}"
        book.find("autodiff", problem, f"the gradient by autodiff, within {book.tolerance:.0e}")
    worst = differences.worst
    problem = (
        "" if differences or worst is None else f"not the slope of the function: {describe(replace(worst, index=None))}"
    )
    names = {eqn.primitive.name for eqn in equations(jaxpr)}
    if problem and agrees and ("stop_gradient" in names or names.isdisjoint(RULES)):
        book.notes.append(f"finite differences are off, autodiff bears out the rule: {problem}")
        return
    if problem and agrees:
        problem += "; autodiff of the plain function has the same, so look into the rules inside of it"
    book.find("finite differences", problem, f"the slopes of the function, to {judgement.reference_error:.0e}")


def by_autodiff(
    book: Notebook, gradient: Callable[[Arrays], Arrays], x: Arrays, rng: np.random.Generator
) -> tuple[Arrays | None, list[float]]:
    """Return the gradient by autodiff and its rounding, or None, with a note that says why there is none."""
    compiled = _xla.jit_without_ynn(gradient)
    try:
        value = [np.asarray(leaf, float) for leaf in compiled(x)]
    except Exception as error:
        book.notes.append(
            f"autodiff cannot differentiate the function itself ({first_line(error)}): finite differences decide alone"
        )
        return None, [0.0] * len(x)
    return value, _rounding(compiled, x, value, rng)


def _rounding(gradient: Callable[[Arrays], Arrays], x: Arrays, value: Arrays, rng: np.random.Generator) -> list[float]:
    """Return for each leaf how far a gradient moves when the last digits of x are changed."""
    moves = []
    for _ in range(3):
        moved = gradient([leaf * (1 + 1e-12 * rng.choice([-1, 1], leaf.shape)) for leaf in x])
        moves.append([norm([np.asarray(b, float) - a]) for a, b in zip(value, moved, strict=True)])
    return [float(move) for move in np.nan_to_num(np.max(moves, axis=0), posinf=0.0)]


def float_names(tree: Any) -> list[str]:
    """Return the names of those leaves that are floats."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [leaf_name(path) for path, leaf in leaves if is_kind(leaf, jnp.floating)]


def eps_of(dtype: str) -> float:
    """Return the distance from 1 to the next float."""
    return float(jnp.finfo(dtype).eps)
