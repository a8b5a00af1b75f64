"""Slopes of a function by central differences, with the error of each, and which of them span a kink.

    (f(x + t v) - f(x - t v)) / 2 t = <grad f, v> + t^2 (third derivative) / 6 + rounding eps |f| / t

The sum of both errors is least near t = eps^(1/3) (Nocedal & Wright, 2006, section 8.1). A difference that spans a kink
(of relu, |x|, max, sort, ...) is no derivative. Whether one was crossed is read off the branches that f took at both
ends, and off the bend of f there: a branch that changes without bending f, such as the maximum that softmax subtracts,
is none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mlp_jax import _doors, _xla
from mlp_jax.check._rules.jaxpr_interpreter import branch_decisions, equations, float_dtype

ENTRIES = 2**23  # of intermediate values that many evaluations at once may hold
POINTS = np.array([-1, -0.5, 0, 0.5, 1])  # in steps t


@contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Compute in float64, on the CPU, with full matrix products: where a reference is as exact as it can be."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]), jax.default_matmul_precision("highest"):
        yield


def split_floats(tree: Any) -> tuple[list[np.ndarray], Callable[[Any], Any]]:
    """Return the leaves that are floats, in float64, and the function that puts such leaves back into the tree."""
    if _doors.is_traced(tree):
        raise TypeError("arguments: expected values that can be read, got tracers; call it outside of jit")
    leaves, structure = jax.tree.flatten(tree)
    is_float = [is_kind(leaf, jnp.floating) for leaf in leaves]
    kept = [None if floating else _on_cpu(leaf) for floating, leaf in zip(is_float, leaves, strict=True)]

    def rebuild(floats: Any) -> Any:
        rest = iter(floats)
        merged = [next(rest) if f else leaf for f, leaf in zip(is_float, kept, strict=True)]
        return jax.tree.unflatten(structure, merged)

    floats = [np.asarray(leaf).astype(np.float64) for f, leaf in zip(is_float, leaves, strict=True) if f]
    return floats, rebuild


def is_kind(leaf: Any, kind: Any) -> bool:
    """Whether a leaf is an array, or a number, of that kind of dtype."""
    dtype = getattr(leaf, "dtype", type(leaf) if isinstance(leaf, float | complex) else bool)
    return bool(jnp.issubdtype(dtype, kind))


def _on_cpu(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) and is_kind(leaf, jnp.integer) else leaf


class Slopes(NamedTuple):
    """Directional derivatives <grad f, v_k> by central differences, for each of K directions.

    Attributes:
      slope: (K,), (f(x + t v) - f(x - t v)) / 2 t.
      error: (K,), how far it may be off: by truncation, which halving t shows, and by rounding, eps |f| / t.
      kink: (K,), whether f has a kink or a jump between the two points, so that there is no derivative.
      left: (K,), the slope before x.
      right: (K,), the slope after x: at a kink every convention gives a value between the two.
      value: f(x).
    """

    slope: np.ndarray
    error: np.ndarray
    kink: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: float


def directional_differences(
    f: Callable[[Any], Any], params: Any, directions: Any, *, step: float | None = None
) -> Slopes:
    """Return <grad f, v_k> by central differences, for K directions at once; cheap for networks of any size.

    Args:
      f: params -> scalar, as for `central_differences`.
      params: a pytree; leaves that are floats are varied, others kept.
      directions: like params, each leaf that is a float with an axis more in front, K directions. An entry that is 0 is
        not moved.
      step: the length of t v over max(1, mean |x| where v is not 0). None as for `central_differences`.

    Returns:
      `Slopes`, arrays (K,).

    Raises:
      ValueError, TypeError: as for `central_differences`, and for directions that do not fit.

    Example:
      >>> slopes = directional_differences(lambda x: jnp.sum(x**2), np.array([1.0, 2.0]), np.array([[0.0, 1.0]]))
      >>> print(slopes.slope.round(6))
      [4.]
    """
    with float64_on_cpu():
        leaves, _, scalar = scalar_function("directional_differences", f, params, step)
        stacked, _ = split_floats(directions)
        shapes = [v.shape[1:] for v in stacked]
        if shapes != [leaf.shape for leaf in leaves] or len({v.shape[0] for v in stacked}) != 1:
            expected = ", ".join(f"(K, {str(leaf.shape)[1:]}" for leaf in leaves)
            raise _doors.mistake("directions", expected, ", ".join(str(v.shape) for v in stacked) or "no floats")
        return slopes_along(scalar, leaves, step=step)(stacked, scales(leaves, stacked))


def scalar_function(
    where: str, f: Callable[[Any], Any], params: Any, step: float | None
) -> tuple[list[np.ndarray], Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the float leaves of params, how to put them back, and f as a function of them; or raise."""
    _doors.check_function(f"{where}: f", f)
    if step is not None:
        _doors.check_positive(f"{where}: step", step)
    if any(is_kind(leaf, jnp.complexfloating) for leaf in jax.tree.leaves(params)):
        raise TypeError(f"{where}: params: expected real numbers, got complex ones; split them into two real leaves")
    leaves, rebuild = split_floats(params)
    if not sum(leaf.size for leaf in leaves):
        raise _doors.mistake(f"{where}: params", "a pytree with floats in it", "none", "give floats, not integers")

    def scalar(floats: Any) -> Any:
        return f(rebuild(floats))

    out = jax.eval_shape(scalar, leaves)
    if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise _doors.mistake(f"{where}: f", "a real scalar", str(out), "give a loss, such as a sum")
    return leaves, rebuild, scalar


def slopes_along(
    f: Callable[[Any], Any],
    leaves: list[np.ndarray],
    direction: Callable[[Any], list[jax.Array]] = list,
    step: float | None = None,
) -> Callable[[Any, np.ndarray], Slopes]:
    """Return a function: (keys, scales) -> the slopes of f, a function of a list of arrays, along direction(key).

    One program measures them all, for as many keys as the first time. The scales (K, 2) are those of `scales`.
    """
    jaxpr = jax.make_jaxpr(f)(leaves).jaxpr
    eps = float(jnp.finfo(float_dtype(jaxpr)).eps)
    widest = max([1, *(prod(getattr(v.aval, "shape", ())) for eqn in equations(jaxpr) for v in eqn.outvars)])
    decided = branch_decisions(f)

    def at(leaves: list[jax.Array], key: Any, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        return decided([leaf + t * d for leaf, d in zip(leaves, direction(key), strict=True)])

    @_xla.jit_without_ynn
    def points(leaves: list[jax.Array], keys: Any, ts: jax.Array) -> tuple[jax.Array, jax.Array]:
        def line(key_and_ts: tuple[Any, jax.Array]) -> tuple[jax.Array, jax.Array]:
            key, ts = key_and_ts
            return mapped(lambda t: at(leaves, key, t), ts, 1)

        return mapped(line, (keys, ts), 10 * widest)

    def measure(keys: Any, scales: np.ndarray) -> Slopes:
        t = eps ** (1 / 3) * scales if step is None else step * scales[:, :1]
        F, branches = points(leaves, keys, (t[:, :, None] * POINTS).reshape(len(t), -1))
        shape = (*t.shape, POINTS.size)
        return _analysed(np.asarray(F, float).reshape(shape), np.asarray(branches).reshape(shape), t, eps)

    return measure


def scales(leaves: list[np.ndarray], directions: list[np.ndarray]) -> np.ndarray:
    """Return two sizes of x (K, 2), over the length of each direction, that steps are in proportion to.

    The first is for parameters of size 1 or more, the second for those of their own size, however small.
    """
    count = len(directions[0])
    own, moved, length, size = np.zeros((4, count))
    for leaf, v in zip(leaves, directions, strict=True):
        flat = np.abs(v.reshape(count, -1))
        own += (flat > 0) @ np.abs(leaf.ravel())
        moved += np.count_nonzero(flat, axis=1)
        length = np.hypot(length, np.linalg.norm(flat, axis=1))
        size = np.maximum(size, flat.any(axis=1) * np.mean(np.abs(leaf)) if leaf.size else 0.0)
    own = own / np.maximum(moved, 1)
    size = np.maximum(own, size)
    return np.stack([np.maximum(1, own), np.where(size > 0, size, 1)], axis=1) / np.where(length, length, 1)[:, None]


def mapped(function: Callable[[Any], Any], keys: Any, widest: int) -> Any:
    """Map over the leading axis, as many at once as memory allows; one by one where there is no batching rule."""
    count = jax.tree.leaves(keys)[0].shape[0]
    try:
        jax.eval_shape(jax.vmap(function), keys)
    except Exception:
        return lax.map(function, keys)
    batch = max(1, ENTRIES // widest)
    return jax.vmap(function)(keys) if count <= batch else lax.map(function, keys, batch_size=batch)


def _analysed(F: np.ndarray, branches: np.ndarray, t: np.ndarray, eps: float) -> Slopes:
    """Return slopes from the values F (K, 2, 5) of f at x + POINTS t v, and the branches taken there."""
    with np.errstate(all="ignore"):
        minus, half_minus, here, half_plus, plus = np.moveaxis(F, -1, 0)
        slope, finer = (plus - minus) / (2 * t), (half_plus - half_minus) / t
        left, right = (here - half_minus) / (t / 2), (half_plus - here) / (t / 2)
        # of a smooth f the difference of the one-sided slopes halves with t, and the slope stays
        bend = np.abs((plus - 2 * here + minus) / t - 2 * (right - left))
        noise = 4 * eps * np.abs(F).max(axis=-1) / t
        error = 2 * np.abs(slope - finer) + noise
        bent = np.maximum(bend, np.abs(slope - finer)) > 10 * noise + 1e-6 * np.maximum(np.abs(left), np.abs(right))
        kink = np.any(branches != branches[..., :1], axis=-1) & bent | ~np.isfinite(F).all(axis=-1)
        flat = F.max(axis=-1) == F.min(axis=-1)  # a step too small to see anything, if another sees something
        error = np.where(kink | (flat & ~flat.all(axis=1, keepdims=True)), np.inf, error)
        best = np.argmin(error, axis=1)  # where two sound steps disagree, the shorter is right
        disagree = np.isfinite(error).all(axis=1) & (np.abs(slope[:, 0] - slope[:, -1]) > 3 * error.sum(axis=1))
        best = np.where(disagree | kink.all(axis=1), np.argmin(t, axis=1), best)
    rows = np.arange(len(best))
    slope, error, kink, left, right = (values[rows, best] for values in (slope, error, kink, left, right))
    return Slopes(slope, error, kink, left, right, float(here.flat[0]))
