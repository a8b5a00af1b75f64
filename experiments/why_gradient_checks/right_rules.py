"""Thirty right rules of the kinds that people write, to see which mistakes in them a checker finds.

A rule is (f, forward, backward) of a `jax.custom_vjp`: f(*x), forward(*x) = (f(*x), residuals), and
backward(residuals, cotangent) = the gradients.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mlp_jax.check.mistakes import GRADIENT_MISTAKES

DTYPES = ("float64", "float32", "bfloat16")

Rule = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]  # f, forward, backward
Build = Callable[[], Rule]
Draw = Callable[[np.random.Generator], np.ndarray]

RULES: dict[str, tuple[Rule, Callable[[np.random.Generator], tuple[Any, ...]]]] = {}


def rule(*draw: Draw) -> Callable[[Build], Build]:
    """Return a decorator that puts a rule into the table; draw gives its arguments."""

    def add(build: Build) -> Build:
        RULES[build.__name__] = build(), lambda rng: tuple(d(rng) for d in draw)
        return build

    return add


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Draw:
    """Return a draw of normal numbers."""
    return lambda rng: shift + scale * rng.standard_normal(shape)


def positive(*shape: int) -> Draw:
    """Return a draw of numbers between 0.5 and 2."""
    return lambda rng: rng.uniform(0.5, 2, shape)


def spd(n: int) -> Draw:
    """Return a draw of a well-conditioned symmetric positive definite matrix."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        A = rng.standard_normal((n, n))
        return A @ A.T / n + 2 * np.eye(n)

    return draw


def elementwise(f: Callable[..., Any], slope: Callable[..., Any]) -> Rule:
    """Return a rule by its slope."""
    return f, lambda x: (f(x), x), lambda x, c: (c * slope(x),)


def by_arguments(f: Callable[..., Any], backward: Callable[..., Any]) -> Rule:
    """Return a rule whose residuals are its arguments."""
    return f, lambda *a: (f(*a), a), backward


# ---- elementwise


@rule(normal(7))
def sine() -> Rule:
    return elementwise(jnp.sin, jnp.cos)


@rule(normal(7))
def tanh() -> Rule:
    return elementwise(jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2)


@rule(normal(7))
def relu() -> Rule:
    return elementwise(lambda x: jnp.maximum(x, 0), lambda x: (x > 0).astype(x.dtype))


@rule(normal(7))
def softplus() -> Rule:
    return elementwise(lambda x: jnp.logaddexp(x, 0), lambda x: 1 / (1 + jnp.exp(-x)))


@rule(normal(7))
def gelu() -> Rule:
    def slope(x: Any) -> Any:
        phi = jnp.exp(-x * x / 2) / np.sqrt(2 * np.pi).astype(x.dtype)
        return 0.5 * (1 + lax.erf(x / np.sqrt(2).astype(x.dtype))) + x * phi

    return elementwise(lambda x: 0.5 * x * (1 + lax.erf(x / np.sqrt(2).astype(x.dtype))), slope)


@rule(positive(7))
def logarithm() -> Rule:
    return elementwise(jnp.log, lambda x: 1 / x)


@rule(positive(7))
def power() -> Rule:
    return elementwise(lambda x: x**1.5, lambda x: 1.5 * jnp.sqrt(x))


@rule(normal(5), normal(5))
def product() -> Rule:
    return by_arguments(lambda x, y: x * y, lambda r, c: (c * r[1], c * r[0]))


@rule(normal(5), positive(5))
def quotient() -> Rule:
    return by_arguments(lambda x, y: x / y, lambda r, c: (c / r[1], -c * r[0] / r[1] ** 2))


@rule(normal(6), normal(6))
def huber() -> Rule:
    return by_arguments(
        lambda x, y: jnp.where(jnp.abs(x - y) < 1, (x - y) ** 2 / 2, jnp.abs(x - y) - 0.5),
        lambda r, c: (c * jnp.clip(r[0] - r[1], -1, 1), -c * jnp.clip(r[0] - r[1], -1, 1)),
    )


# ---- reductions


@rule(normal(9))
def mean() -> Rule:
    return by_arguments(jnp.mean, lambda r, c: (jnp.full_like(r[0], c / r[0].size),))


@rule(normal(4, 5))
def sum_of_rows() -> Rule:
    return by_arguments(lambda x: jnp.sum(x, axis=1), lambda r, c: (jnp.broadcast_to(c[:, None], r[0].shape),))


@rule(normal(4, 5))
def maximum_of_rows() -> Rule:
    return by_arguments(
        lambda x: jnp.max(x, axis=1),
        lambda r, c: (c[:, None] * (r[0] == jnp.max(r[0], axis=1, keepdims=True)),),
    )


@rule(normal(8))
def norm() -> Rule:
    return by_arguments(jnp.linalg.norm, lambda r, c: (c * r[0] / jnp.linalg.norm(r[0]),))


@rule(normal(8))
def variance() -> Rule:
    return by_arguments(jnp.var, lambda r, c: (2 * c * (r[0] - jnp.mean(r[0])) / r[0].size,))


@rule(normal(3, 4))
def logsumexp() -> Rule:
    return by_arguments(
        lambda x: jax.nn.logsumexp(x, axis=1), lambda r, c: (c[:, None] * jax.nn.softmax(r[0], axis=1),)
    )


@rule(positive(5))
def cumulative_product() -> Rule:
    def backward(r: Any, c: Any) -> Any:
        (x,) = r
        return (jnp.flip(jnp.cumsum(jnp.flip(c * jnp.cumprod(x)))) / x,)

    return by_arguments(jnp.cumprod, backward)


# ---- linear algebra


@rule(normal(3, 4), normal(4, 2))
def matrix_product() -> Rule:
    return by_arguments(lambda A, B: A @ B, lambda r, c: (c @ r[1].T, r[0].T @ c))


@rule(spd(4), normal(4))
def solve() -> Rule:
    def backward(r: Any, c: Any) -> Any:
        A, b = r
        y = jnp.linalg.solve(A.T, c)
        return -jnp.outer(y, jnp.linalg.solve(A, b)), y

    return by_arguments(jnp.linalg.solve, backward)


@rule(spd(4))
def inverse() -> Rule:
    def backward(r: Any, c: Any) -> Any:
        B = jnp.linalg.inv(r[0])
        return (-B.T @ c @ B.T,)

    return by_arguments(jnp.linalg.inv, backward)


@rule(spd(4))
def log_determinant() -> Rule:
    return by_arguments(lambda A: jnp.linalg.slogdet(A)[1], lambda r, c: (c * jnp.linalg.inv(r[0]).T,))


@rule(normal(4), normal(4, 4))
def quadratic_form() -> Rule:
    return by_arguments(lambda x, A: x @ A @ x, lambda r, c: (c * (r[1] + r[1].T) @ r[0], c * jnp.outer(r[0], r[0])))


# ---- networks


@rule(normal(3, 5))
def softmax() -> Rule:
    def backward(p: Any, c: Any) -> Any:
        return (p * (c - jnp.sum(p * c, axis=1, keepdims=True)),)

    def f(z: Any) -> Any:
        return jax.nn.softmax(z, axis=1)

    return f, lambda z: (f(z),) * 2, backward


@rule(normal(4, 3))
def cross_entropy() -> Rule:
    def of_labels(z: Any) -> Any:
        return jax.nn.one_hot(jnp.array([0, 2, 1, 1], np.int32), 3, dtype=z.dtype)

    def f(z: Any) -> Any:
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.sum(of_labels(z) * z, axis=1))

    return by_arguments(f, lambda r, c: (c * (jax.nn.softmax(r[0], axis=1) - of_labels(r[0])) / 4,))


@rule(normal(3, 6), positive(6), normal(6))
def layer_norm() -> Rule:
    def parts(x: Any) -> Any:
        mean = jnp.mean(x, axis=1, keepdims=True)
        std = jnp.sqrt(jnp.mean((x - mean) ** 2, axis=1, keepdims=True) + 1e-3)
        return (x - mean) / std, std

    def backward(r: Any, c: Any) -> Any:
        x, gain, _ = r
        n, std = parts(x)
        d = c * gain[None]
        dx = (d - jnp.mean(d, axis=1, keepdims=True) - n * jnp.mean(d * n, axis=1, keepdims=True)) / std
        return dx, jnp.sum(c * n, axis=0), jnp.sum(c, axis=0)

    return by_arguments(lambda x, gain, shift: parts(x)[0] * gain[None] + shift[None], backward)


@rule(normal(3, 4), normal(5, 4), normal(5, 2))
def attention() -> Rule:
    def weights(q: Any, k: Any) -> Any:
        return jax.nn.softmax(q @ k.T / 2, axis=1)

    def backward(r: Any, c: Any) -> Any:
        q, k, v = r
        p = weights(q, k)
        dp = c @ v.T
        ds = p * (dp - jnp.sum(p * dp, axis=1, keepdims=True)) / 2
        return ds @ k, ds.T @ q, p.T @ c

    return by_arguments(lambda q, k, v: weights(q, k) @ v, backward)


@rule(normal(8), normal(3))
def convolution() -> Rule:
    def backward(r: Any, c: Any) -> Any:
        x, w = r
        return jnp.convolve(c, w, mode="full"), jnp.correlate(x, c, mode="valid")

    return by_arguments(lambda x, w: jnp.correlate(x, w, mode="valid"), backward)


# ---- scans and implicit functions


@rule(normal(6), normal(1, scale=0.3))
def leaky_sum() -> Rule:
    def f(x: Any, a: Any) -> Any:
        return lax.scan(lambda s, x: (a[0] * s + x,) * 2, jnp.zeros((), x.dtype), x)[1]

    def backward(r: Any, c: Any) -> Any:
        x, a = r
        s = f(x, a)
        d = jnp.flip(lax.scan(lambda d, c: (a[0] * d + c,) * 2, jnp.zeros((), x.dtype), jnp.flip(c))[1])
        return d, jnp.sum(d[1:] * s[:-1])[None]

    return by_arguments(f, backward)


@rule(normal(4), normal(4))
def euler_steps() -> Rule:
    """x' = -x + w, twenty steps of 0.1."""

    def f(x: Any, w: Any) -> Any:
        return lax.fori_loop(0, 20, lambda _, x: x + 0.1 * (w - x), x)

    return by_arguments(f, lambda r, c: (c * 0.9**20, c * (1 - 0.9**20)))


@rule(positive(4))
def cube_root() -> Rule:
    def f(a: Any) -> Any:
        return lax.fori_loop(0, 30, lambda _, x: (2 * x + a / x**2) / 3, jnp.ones_like(a))

    return f, lambda a: (f(a),) * 2, lambda x, c: (c / (3 * x**2),)


def mistaken(right: tuple[Any, ...], mistake: str | None) -> tuple[Any, ...]:
    """Return gradients with a mistake of `GRADIENT_MISTAKES`, or none."""
    if mistake is None:
        return right
    return tuple(a.astype(b.dtype) for a, b in zip(GRADIENT_MISTAKES[mistake](list(right)), right, strict=True))


def with_mistake(rule: Rule, mistake: str | None) -> Callable[..., Any]:
    """Return a custom_vjp whose backward pass has a mistake of `GRADIENT_MISTAKES`, or none."""
    f, forward, backward = rule

    ruled = jax.custom_vjp(lambda *x: f(*x))
    ruled.defvjp(lambda *x: forward(*x), lambda r, c: mistaken(backward(r, c), mistake))
    return ruled


def arguments(name: str, dtype: str, seed: int = 0) -> tuple[Any, ...]:
    """Return arguments of a rule: arrays of numpy in float64, and of JAX in another dtype."""
    drawn = RULES[name][1](np.random.default_rng([seed, len(name)]))
    return drawn if dtype == "float64" else tuple(jnp.asarray(x, dtype) for x in drawn)


def is_one(name: str, mistake: str) -> bool:
    """Whether a mistake changes the gradient of a rule at all: the sign of zeros, say, does not."""
    with jax.enable_x64(True):
        x = tuple(map(jnp.asarray, arguments(name, "float64")))
        value, right = jax.vjp(with_mistake(RULES[name][0], None), *x)
        c = jax.tree.map(lambda v: jnp.asarray(np.random.default_rng(1).standard_normal(v.shape)), value)
        pairs = zip(jax.vjp(with_mistake(RULES[name][0], mistake), *x)[1](c), right(c), strict=True)
        return any(np.linalg.norm(wrong - g) > 1e-3 * np.linalg.norm(g) for wrong, g in pairs)


def runs(name: str, dtype: str) -> bool:
    """Whether a function takes a dtype at all: linear algebra of JAX does not take bfloat16."""
    try:
        RULES[name][0][0](*map(jnp.asarray, arguments(name, dtype)))
    except (NotImplementedError, TypeError):  # older and newer versions of JAX
        return False
    return True
