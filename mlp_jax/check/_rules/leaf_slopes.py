"""Slopes of one leaf of a gradient by finite differences, and what they say of a gradient.

    <g, v_k> compared with D_k = (L(x + t v_k) - L(x - t v_k)) / 2 t and the error of D_k

A gradient agrees if it is within an error that is small. It contradicts the differences if it is far outside. Otherwise
the differences cannot see it, or the function has a kink.
"""

from collections.abc import Callable
from functools import partial, reduce
from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.check._rules.finite_differences import Slopes, joined, scales, slopes_along
from mlp_jax.check._rules.jaxpr_interpreter import float_dtype
from mlp_jax.check._rules.rule_checks import Arrays

SMALL = 8  # up to this size a leaf is looked at entry by entry
SIGHT = 3e-2  # the relative error at which differences still see whether autodiff is right
ROUNDING = 1e-13  # of the size of f: a slope that small is zero

AGREES, CONTRADICTS, UNSEEN, KINK = "agrees", "contradicts", "unseen", "kink"

Loss = Callable[..., Any]


class Seen(NamedTuple):
    """Slopes of one leaf.

    Attributes:
      directions: v_k, K arrays like the leaf.
      slopes: D_k, arrays (K,).
      reach: (K,), the length of a step along v_k that is as long as x.
    """

    directions: list[np.ndarray]
    slopes: Slopes
    reach: np.ndarray


class Differences(NamedTuple):
    """Finite differences of a function at any point, by one program.

    Attributes:
      of: (x, i, gradient, entries, steps) -> the slopes of leaf i at x, along some directions and at some entries of a
        large leaf, by steps of the usual size times `steps`.
      tolerance: how close a gradient must come, relatively, beyond the error of the differences.
      eps: of the coarsest float that the function computes in.
    """

    of: Callable[..., Seen]
    tolerance: float
    eps: float


def differences_of(
    loss: Loss, longer: tuple[Loss, ...], x: Arrays, data: tuple[Any, ...], rng: np.random.Generator, tolerance: float
) -> Differences:
    """Return the finite differences of a function; what more turns of its loops change is part of their error."""
    measure, measure_longer = slopes_along(loss, x, data=data), [slopes_along(one, x, data=data) for one in longer[-1:]]
    chunk = max(1, min(8, 2**22 // sum(leaf.size for leaf in x)))  # directions at once

    def of(x: Arrays, i: int, gradient: np.ndarray, entries: list[int], steps: float = 1.0) -> Seen:
        directions = _directions(x[i], gradient, rng)
        if x[i].size > SMALL:
            directions += [_one_hot(x[i], k) for k in entries]
        found, reach = [], []
        for start in range(0, len(directions), chunk):
            part = directions[start : start + chunk]
            padded = np.stack([*part, *[part[0]] * (chunk - len(part))])
            keys = [padded if j == i else np.zeros((chunk, *leaf.shape)) for j, leaf in enumerate(x)]
            sizes = steps * scales(x, keys)
            slopes = measure(keys, sizes, x)
            for one in measure_longer:
                further = one(keys, sizes, x)
                slopes = further._replace(error=further.error + np.abs(further.slope - slopes.slope))
            found.append(Slopes._make([*(values[: len(part)] for values in slopes[:-1]), slopes.value]))
            reach.append(sizes[: len(part), 0] / steps)
        slopes = reduce(partial(joined, how=lambda a, b: np.concatenate([a, b])), found)
        return Seen(directions, slopes, np.concatenate(reach))

    return Differences(of, tolerance, float(jnp.finfo(float_dtype(jax.make_jaxpr(loss)(x, *data).jaxpr)).eps))


def along(seen: Seen, gradient: np.ndarray) -> np.ndarray:
    """Return <gradient, v_k>, (K,)."""
    with np.errstate(all="ignore"):
        return np.array([np.sum(v * gradient) for v in seen.directions])


def say(seen: Seen, gradient: np.ndarray, tolerance: float, is_only: bool = False) -> str:
    """Return what differences say of a gradient: agrees, contradicts, kink, or unseen, if they cannot see it.

    Args:
      seen: the slopes.
      gradient: of the same leaf.
      tolerance: as `Differences` has it.
      is_only: whether there is no autodiff, so that differences have to see more than the first digits.
    """
    s, ours = seen.slopes, along(seen, gradient)
    if s.kink.any():
        return KINK
    with np.errstate(all="ignore"):
        far = np.abs(ours - s.slope)
        size = np.maximum(np.abs(ours), np.abs(s.slope))
        allowed = 3 * s.error + tolerance * np.max(_sure(s) * seen.reach, initial=0.0) / seen.reach
        if not np.all((far <= allowed) | (s.error > 0.1 * far)):
            return CONTRADICTS
        sharp = s.error <= (10 * tolerance if is_only else SIGHT) * size
        zero = (ours == 0) if is_only else np.abs(ours) * seen.reach <= ROUNDING * s.size
        zero &= s.error * seen.reach <= (1e-6 if is_only else 1e-5) * s.size
        flat = s.flat & (ours == 0) & (not is_only)
        clear = (sharp | zero | flat) & (far <= allowed + np.where(flat, inf, 0))
    single = np.array([np.count_nonzero(v) == 1 for v in seen.directions])
    return AGREES if clear[single].all() and (clear.any() or not clear.size) else UNSEEN


def unseen(seen: Seen) -> str:
    """Return in words what differences could not see."""
    s = seen.slopes
    k = int(np.argmax(s.error / np.maximum(np.abs(s.slope), 1e-300)))
    return f"finite differences cannot see it: {s.slope[k]:.3g} with an error of {s.error[k]:.1g}"


def _sure(slopes: Slopes) -> np.ndarray:
    """Return the sizes of those slopes that are known."""
    size = np.abs(slopes.slope)
    return np.where(slopes.error <= SIGHT * size, size, 0)


def _directions(x: np.ndarray, gradient: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return all entries of a small leaf; of a large one some directions at random, and the gradient's own.

    Entries are moved in proportion to their own size, so that each counts whatever its units, and once all alike.
    """
    if x.size <= SMALL:
        return [_one_hot(x, k) for k in range(x.size)]
    S = sizes(x)
    found = [S * rng.standard_normal(x.shape), S * rng.standard_normal(x.shape), rng.standard_normal(x.shape)]
    with np.errstate(all="ignore"):
        own = S * S * (gradient / np.abs(gradient).max())
    if np.isfinite(own).all() and own.any():
        found.append(own)
    return [v / np.abs(v).max() for v in found]


def sizes(x: np.ndarray) -> np.ndarray:
    """Return the size of every entry, and for one that is 0 that of the others, or 1."""
    size = np.abs(x)
    mean = float(size.mean()) if x.size else 0.0
    return np.where(size > 0, size, mean or 1.0)


def _one_hot(like: np.ndarray, k: int) -> np.ndarray:
    v = np.zeros(like.size)
    v[k] = 1
    return v.reshape(like.shape)
