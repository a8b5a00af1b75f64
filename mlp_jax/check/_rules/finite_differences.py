"""Slopes of a function by central differences, with the error of each, and which of them stand on a kink.

    D(t) = (f(x + t v) - f(x - t v)) / 2 t = <grad f, v> + t^2 (third derivative) / 6 + rounding eps |f| / t

D(t) and D(t / 2) give (4 D(t / 2) - D(t)) / 3, without the t^2 (Richardson, 1911). No single t serves all functions
(Nocedal & Wright, 2006, section 8.1), so t is tried at several sizes, and a slope is known as well as two agree.
Where f has a kink (relu, |x|, max, sort, ...) or a jump, the slopes before and after x do not meet as t shrinks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mlp_jax import _doors, _xla
from mlp_jax.check._rules.jaxpr_interpreter import equations, float_dtype

ENTRIES = 2**23  # of intermediate values that many evaluations at once may hold
POINTS = np.array([-1, -0.5, 0, 0.5, 1])  # in steps t
POWERS = np.array([1 / 6, 1 / 5, 1 / 4, 1 / 3])  # t is eps to these, in units of scale; each pair is looked at
SMALLER = 1e-5  # of the scale, for a function that changes much faster than x


@contextmanager
def float64_on_cpu() -> Iterator[None]:
    """Compute in float64, on the CPU, with full matrix products, so that a reference is as exact as it can be."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]), jax.default_matmul_precision("highest"):
        yield


@contextmanager
def fresh_caches(f: Callable[[Any], Any], x: Any) -> Iterator[None]:
    """Forget what JAX has traced, before and after, if f holds constants of numpy in 64 bits.

    JAX keeps the trace of a product with such a constant, and would take it for both 32 and 64 bits.
    """
    with float64_on_cpu():
        try:
            consts = jax.make_jaxpr(f)(x).consts
            holds = any(isinstance(c, np.ndarray) and c.dtype.itemsize == 8 for c in consts)
        except Exception as error:
            holds = "same dtypes" in str(error)
    if holds:
        jax.clear_caches()
    try:
        yield
    finally:
        if holds:
            jax.clear_caches()


def split_floats(tree: Any) -> tuple[list[np.ndarray], Callable[[Any], Any]]:
    """Return the leaves that are floats, in float64, and the function that puts such leaves back into the tree.

    A complex leaf becomes a real one with an axis more, at the end, for the real and the imaginary part.
    """
    if _doors.is_traced(tree):
        raise TypeError("arguments: expected values that can be read, got tracers; call it outside of jit")
    leaves, structure = jax.tree.flatten(tree)
    is_float = [is_kind(leaf, jnp.inexact) for leaf in leaves]
    is_complex = [is_kind(leaf, jnp.complexfloating) for leaf in leaves]
    kept = [None if floating else _on_cpu(leaf) for floating, leaf in zip(is_float, leaves, strict=True)]

    def rebuild(floats: Any) -> Any:
        rest = iter(floats)
        merged = [as_given(next(rest), c) if f else leaf for f, c, leaf in zip(is_float, is_complex, kept, strict=True)]
        return jax.tree.unflatten(structure, merged)

    return [as_reals(leaf) for f, leaf in zip(is_float, leaves, strict=True) if f], rebuild


def as_reals(leaf: Any) -> np.ndarray:
    """Return a leaf as real numbers in float64, a complex one with its two parts on a last axis."""
    array = np.asarray(leaf)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
    return array.astype(np.float64)


def as_given(leaf: Any, is_complex: bool) -> Any:
    """Return a leaf of real numbers as what it stands for."""
    return leaf[..., 0] + 1j * leaf[..., 1] if is_complex else leaf


def is_kind(leaf: Any, kind: Any) -> bool:
    """Whether a leaf is an array, or a number, of that kind of dtype."""
    dtype = getattr(leaf, "dtype", type(leaf) if isinstance(leaf, float | complex) else bool)
    return bool(jnp.issubdtype(dtype, kind))


def _on_cpu(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) and is_kind(leaf, jnp.integer) else leaf


class Slopes(NamedTuple):
    """Directional derivatives <grad f, v_k> by central differences, for each of K directions.

    Attributes:
      slope: (K,), (4 D(t / 2) - D(t)) / 3.
      error: (K,), how far it may be off: what another t gives, and rounding, eps |f| / t.
      kink: (K,), whether f has a kink or a jump there, so that there is no derivative.
      jump: (K,), whether it is a jump.
      size: (K,), the largest |f| on the way, which the slope may be compared with if v is as long as x.
      flat: (K,), whether f is constant near x, and not farther away: flat, or a staircase.
      value: f(x).
    """

    slope: np.ndarray
    error: np.ndarray
    kink: np.ndarray
    jump: np.ndarray
    size: np.ndarray
    flat: np.ndarray
    value: float


def joined(a: Slopes, b: Slopes, how: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Slopes:
    """Return slopes made of two at the same point, array by array."""
    return Slopes._make([*(how(u, v) for u, v in zip(a[:-1], b[:-1], strict=True)), a.value])


def _where(better: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(better, b, a)


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
    f: Callable[..., Any],
    leaves: list[np.ndarray],
    direction: Callable[[Any], list[jax.Array]] = list,
    step: float | None = None,
    data: tuple[Any, ...] = (),
) -> Callable[..., Slopes]:
    """Return a function: (keys, scales) -> the slopes of f(leaves, *data), along direction(key).

    One program measures them all, for as many keys as the first time. The scales (K, S) are those of `scales`, and
    tried in turn until something is seen; a given `step` takes only the last.
    """
    jaxpr = jax.make_jaxpr(f)(leaves, *data).jaxpr
    eps = float(jnp.finfo(float_dtype(jaxpr)).eps)
    widest = max([1, *(prod(getattr(v.aval, "shape", ())) for eqn in equations(jaxpr) for v in eqn.outvars)])
    steps = eps**POWERS if step is None else step * np.array([1, 0.25])

    @_xla.jit_without_ynn
    def points(leaves: list[jax.Array], data: tuple[Any, ...], keys: Any, ts: jax.Array) -> jax.Array:
        def at(key: Any, t: jax.Array) -> jax.Array:
            return f([leaf + t * d for leaf, d in zip(leaves, direction(key), strict=True)], *data)

        def line(key_and_ts: tuple[Any, jax.Array]) -> jax.Array:
            key, ts = key_and_ts
            return mapped(lambda t: at(key, t), ts, widest)

        return mapped(line, (keys, ts), POINTS.size * len(steps) * widest)

    def measure(keys: Any, scale: np.ndarray, leaves: list[np.ndarray]) -> Slopes:
        t = scale[:, None] * steps
        F = points(leaves, data, keys, (t[..., None] * POINTS).reshape(len(t), -1))
        return _analysed(np.asarray(F, float).reshape(*t.shape, POINTS.size), t, eps)

    def measure_in_several_scales(keys: Any, scales: np.ndarray, leaves: list[np.ndarray] = leaves) -> Slopes:
        if step is not None:
            return measure(keys, scales[:, -1], leaves)
        best = measure(keys, scales[:, 0], leaves)
        smaller = SMALLER * scales[:, 0]
        for scale in (*scales.T[1:], smaller):
            with np.errstate(all="ignore"):
                flat = best.slope == 0  # steps may be too small to see anything
                unseen = flat | (best.error > 1e-5 * np.abs(best.slope))
            if not unseen[~best.kink].any() and (scale is not smaller or not unseen.any()):
                continue  # larger steps cannot resolve a kink
            other = measure(keys, scale, leaves)
            smaller_error = (
                unseen & (other.error < best.error) & ~((other.slope == 0) & ((best.slope != 0) | best.flat))
            )
            better = smaller_error | (flat & ~best.flat & (other.error <= 0.1 * np.abs(other.slope)))
            best = joined(best, other, partial(_where, better))
        return best

    return measure_in_several_scales


def scales(leaves: list[np.ndarray], directions: list[np.ndarray]) -> np.ndarray:
    """Return sizes of x (K, 3), over the length of each direction, that steps are in proportion to.

    The first is the mean size of the entries that are moved, the second that of their leaves, the third at least 1.
    """
    count = len(directions[0])
    own, moved, length, size = np.zeros((4, count))
    for leaf, v in zip(leaves, directions, strict=True):
        flat = np.abs(v.reshape(count, -1))
        own += [np.abs(leaf.ravel())[row > 0].sum() for row in flat]
        moved += np.count_nonzero(flat, axis=1)
        length = np.hypot(length, np.linalg.norm(flat, axis=1))
        size = np.maximum(size, flat.any(axis=1) * np.mean(np.abs(leaf)) if leaf.size else 0.0)
    return in_scales(own / np.maximum(moved, 1), size) / np.where(length, length, 1)[:, None]


def in_scales(own: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return what steps are in proportion to (K, 3), for parameters of their own size, in leaves of some size."""
    size = np.where(size > 0, size, 1)
    own = np.where(own > 0, own, size)
    return np.stack([own, np.maximum(own, size), np.maximum(own, 1)], axis=1)


def mapped(function: Callable[[Any], Any], keys: Any, widest: int) -> Any:
    """Map over the leading axis, as many at once as memory allows; one by one if there is no batching rule."""
    count = jax.tree.leaves(keys)[0].shape[0]
    try:
        jax.eval_shape(jax.vmap(function), keys)
    except Exception:
        return lax.map(function, keys)
    batch = max(1, ENTRIES // widest)
    return jax.vmap(function)(keys) if count <= batch else lax.map(function, keys, batch_size=batch)


def _analysed(F: np.ndarray, t: np.ndarray, eps: float) -> Slopes:
    """Return slopes from the values F (K, T, 5) of f at x + POINTS t v; t (K, T) falls along its last axis."""
    with np.errstate(all="ignore"):
        minus, half_minus, here, half_plus, plus = np.moveaxis(F, -1, 0)
        slope = (4 * (half_plus - half_minus) / t - (plus - minus) / (2 * t)) / 3
        left, right = (4 * half_minus - minus - 3 * here) / -t, (4 * half_plus - plus - 3 * here) / t
        fourth = np.abs(minus - 4 * half_minus + 6 * here - 4 * half_plus + plus)  # of a smooth f it is noise
        rounding, bend = 4 * eps * np.abs(F).max(axis=-1) / t, np.abs(right - left)
        # neighbours in t: of a smooth f the larger t gives the less noise, and bends vanish with t
        error = np.abs(slope[:, :-1] - slope[:, 1:]) + np.maximum(rounding, fourth / (8 * t))[:, :-1]
        sides = np.maximum(np.abs(left), np.abs(right))[:, 1:]
        bent = (bend[:, 1:] > 0.5 * bend[:, :-1]) & (bend[:, 1:] > 1e-6 * sides + 20 * rounding[:, 1:])
        bent |= ~np.isfinite(F).all(axis=-1)[:, 1:]
        constant = F.max(axis=-1) == F.min(axis=-1)
        flat = constant[:, 1:] & ~constant.all(axis=1, keepdims=True)
        error = np.where(flat, np.maximum(error, np.abs(slope).max(axis=1, keepdims=True)), error)
        error = np.where(bent | ~np.isfinite(error), np.inf, error)
    kink, rows = bent.all(axis=1), np.arange(len(F))
    with np.errstate(all="ignore"):
        jump = kink & (bend[:, 1:] > 2 * bend[:, :-1]).all(axis=1)  # like 1 / t
    best = np.where(kink, bent.shape[1] - 1, np.argmin(error, axis=1))
    size = np.abs(F).max(axis=(1, 2))
    slope, error, flat = (a[rows, best] for a in (slope, error, flat))
    return Slopes(slope, error, kink, jump, size, flat, float(F[0, 0, 2]))
