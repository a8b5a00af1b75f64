"""Whether a gradient at a kink is a convention: a mixture of the gradients around.

Where f is not differentiable, its gradients at points nearby have limits, and their convex hull is the generalised
gradient (Clarke, 1983). relu has the limits 0 and 1 at 0, and any number between them is a convention; of max(x, y) at
a tie they are (1, 0) and (0, 1), so that (1, 1) is none. If f is smooth, there is only one limit, whatever branch
the code takes at the point itself. The hull is known by samples, in the spirit of gradient sampling (Burke, Lewis &
Overton, 2005).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlp_jax.check._rules.rule_report import RIGHT, UNDECIDED, WRONG

ROUNDS = 8
FAR = 0.5  # of the spread along several entries: their hull is known by samples only


class Mixture(NamedTuple):
    """The point of the hull that is nearest to a vector.

    Attributes:
      nearest: (d,).
      verdict: right inside of the hull, wrong if far outside, and undecided between.
    """

    nearest: np.ndarray
    verdict: str


def mixture(
    target: np.ndarray,
    samples: np.ndarray,
    sample_along: Callable[[np.ndarray], list[np.ndarray]],
    tolerance: np.ndarray,
) -> Mixture:
    """Return the point of the hull of samples nearest to the target; take more samples towards the target.

    Args:
      target: (d,).
      samples: (n, d).
      sample_along: a direction (d,) -> samples at points on that way, ahead and behind.
      tolerance: (d,), how near is near enough, for each entry.

    Example:
      >>> ends = np.eye(2)  # of max(x, y)
      >>> mixture(np.array([0.25, 0.75]), ends, lambda v: [], np.full(2, 1e-6)).verdict
      'right'
      >>> mixture(np.array([1.0, 1.0]), ends, lambda v: [], np.full(2, 1e-6)).verdict
      'wrong'
    """
    nearest = _nearest(target, samples)
    for _ in range(ROUNDS):
        away = target - nearest
        off = np.abs(away) > tolerance
        if not off.any():
            return Mixture(nearest, RIGHT)
        samples = np.stack([*samples, *sample_along(away)])
        along = samples @ away
        ahead = float(np.dot(target, away) - along.max())
        if ahead > 0.5 * np.dot(away, away):
            is_far = off.sum() == 1 or ahead > FAR * np.ptp(along)
            return Mixture(nearest, WRONG if is_far else UNDECIDED)
        nearest = _nearest(target, samples)
    return Mixture(nearest, UNDECIDED)


def _nearest(target: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return sum w_i s_i nearest to the target, with w_i >= 0 that add up to 1."""
    from scipy.optimize import nnls  # takes a quarter of a second, and only kinks need it

    scale = np.abs(samples).max() or 1.0
    A = np.concatenate([samples.T / scale, np.full((1, len(samples)), 1e3)])
    Q, R = np.linalg.qr(A)
    w, _ = nnls(R, Q.T @ np.append(target / scale, 1e3))
    return (w / (w.sum() or 1.0)) @ samples
