"""What is known of a gradient at one point, before it is judged, and what is found about each of its leaves."""

from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.comparison import compare_gradients
from mlp_jax.check._rules.leaf_slopes import Differences, Seen
from mlp_jax.check._rules.problem import Problem
from mlp_jax.check._rules.rule_checks import Arrays, norm


class Point(NamedTuple):
    """A gradient in question at one point.

    Attributes:
      problem: the function and its gradients.
      differences: of the function.
      x: the point, a list of real arrays.
      actual: the gradient in question, like x.
      rounding: for each leaf, how far autodiff may be off.
      tight: the relative error that a leaf may have.
      rng: for directions and points around.
    """

    problem: Problem
    differences: Differences
    x: Arrays
    actual: Arrays
    rounding: list[float]
    tight: float
    rng: np.random.Generator

    @property
    def expected(self) -> Arrays | None:
        """The gradient by autodiff, or None."""
        return self.problem.expected


class Leaf(NamedTuple):
    """What was found about one leaf.

    Attributes:
      verdict: right, wrong or undecided.
      why: in words, if it is not right.
      reference: what the gradient should be, or None if only differences know.
      error: of the reference, relative.
      seen: the slopes by finite differences.
      by: the gradient in question, at the point of these slopes.
    """

    verdict: str
    why: str
    reference: np.ndarray | None
    error: float
    seen: Seen
    by: np.ndarray


def relative(rounding: float, e: np.ndarray) -> float:
    """Return what rounding allows an error to be, relative to a leaf."""
    size = norm([e]) if np.isfinite(e).all() else 0.0
    return 10 * rounding / size if size else 0.0


def is_close(a: np.ndarray, e: np.ndarray, tolerance: float) -> bool:
    """Whether a leaf is right, as `compare_gradients` has it."""
    return bool(compare_gradients([a], [e], min(tolerance, 1e300)))
