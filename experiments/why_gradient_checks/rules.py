"""The rules by which people accept a gradient: JAX's, PyTorch's, two courses', and ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.test_util import check_vjp

import mlp_jax
from mlp_jax import Activation, Layer
from mlp_jax.check.mistakes import MISTAKES, Gradients, Pass, Problem, caught, flat

POINTS = {"homework's start": (0.01, 0.0), "a good point": (None, 0.5)}  # sizes of weights (1 / sqrt fan_in), biases
START, GOOD = POINTS
TRIED = [mistake for mistake in MISTAKES if mistake.of_gradient and mistake.code != "convention"]

Rule = Callable[[Any, "Point"], bool]


@dataclass(frozen=True)
class Point:
    """A network and a batch, with all that the rules need."""

    problem: Problem
    phi: Activation
    s: Pass
    right: tuple[float, Gradients]
    by_differences: Mapping[float, np.ndarray]  # step size -> the gradient by central differences, flat
    sizes: Gradients


def accepted_by_jax(gradients: Gradients, point: Point, dtype: str) -> bool:
    """jax.test_util.check_vjp with its defaults: one random direction, step 1e-4, tolerances 2e-3 or 1e-5 by dtype."""
    x, labels, params = arrays_of(point.problem, dtype)
    given = [(W.astype(dtype), b.astype(dtype)) for W, b in gradients]

    def f(params: Any) -> np.ndarray:
        return np.asarray(loss(point.phi, x, labels, params))

    with jax.enable_x64(dtype == "float64"), np.errstate(all="ignore"):  # wrong gradients overflow
        try:
            check_vjp(f, lambda params: (f(params), lambda c: (jax.tree.map(lambda g: c * g, given),)), (params,))
        except AssertionError:
            return False
    return True


def accepted_by_pytorch(gradients: Gradients, point: Point) -> bool:
    """torch.autograd.gradcheck with its defaults, entry by entry: |a - n| <= 1e-5 + 1e-3 |n|, step 1e-6, float64."""
    a, n = flat(gradients), point.by_differences[1e-6]
    return bool(np.all(np.abs(a - n) <= 1e-5 + 1e-3 * np.abs(n)))


def accepted_by_cs231n(gradients: Gradients, point: Point) -> bool:
    """CS231n's notes: |a - n| / max(|a| + |n|, 1e-8) below 1e-4 at every entry, step 1e-5, float64."""
    a, n = flat(gradients), point.by_differences[1e-5]
    return bool(np.all(np.abs(a - n) < 1e-4 * np.maximum(np.abs(a) + np.abs(n), 1e-8)))


def accepted_by_norm_ratio(gradients: Gradients, point: Point) -> bool:
    """One ratio over all parameters, |a - n| / (|a| + |n|) below 2e-7, step 1e-7, float64, as courses have it."""
    a, n = flat(gradients), point.by_differences[1e-7]
    return bool(np.linalg.norm(a - n) < 2e-7 * (np.linalg.norm(a) + np.linalg.norm(n)))


def accepted_by_ours(gradients: Gradients, point: Point) -> bool:
    """Leaf by leaf in float64, relative L2 error 1e-9, as `mlp-jax check` judges."""
    return not caught((point.right[0], gradients), point.right, point.s, point.sizes)


RULES: dict[str, Rule] = {
    "jax float32": partial(accepted_by_jax, dtype="float32"),
    "jax float64": partial(accepted_by_jax, dtype="float64"),
    "PyTorch": accepted_by_pytorch,
    "CS231n": accepted_by_cs231n,
    "norm ratio": accepted_by_norm_ratio,
    "leaf by leaf": accepted_by_ours,
}


NAMES = {
    "jax float32": "jax.test_util in float32",
    "jax float64": "jax.test_util in float64",
    "PyTorch": "PyTorch's gradcheck",
    "CS231n": "CS231n's 1e-4",
    "norm ratio": "one ratio of norms, 2e-7",
    "leaf by leaf": "ours, leaf by leaf",
}


@partial(jax.jit, static_argnums=0)
def loss(phi: Activation, x: Any, labels: Any, params: Any) -> jax.Array:
    """Return the loss of a network."""
    return mlp_jax.cross_entropy(mlp_jax.forward(tuple(Layer(*layer) for layer in params), x, phi), labels)


@partial(jax.jit, static_argnums=0)
def differences(phi: Activation, x: Any, labels: Any, params: Any, h: Any) -> jax.Array:
    """Return the gradient by central differences of step h, entry by entry, flat."""
    theta, unravel = ravel_pytree(params)

    def along(direction: Any) -> jax.Array:
        up, down = (loss(phi, x, labels, unravel(theta + t * direction)) for t in (h, -h))
        return (up - down) / (2 * h)

    return jax.lax.map(along, jnp.eye(theta.size, dtype=theta.dtype), batch_size=64)


def arrays_of(problem: Problem, dtype: str) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Return x, labels and params in a dtype."""
    params = [(W.astype(dtype), b.astype(dtype)) for W, b in problem.params]
    return problem.x.astype(dtype), problem.labels, params


@partial(jax.jit, static_argnums=1)
def seeds_of(key: jax.Array, count: int) -> jax.Array:
    """Return seeds for NumPy's generator."""
    return jax.random.randint(key, (count,), 0, 2**31 - 1)


def draw(widths: Sequence[int], batch: int, seed: int, kind: str) -> Problem:
    """Draw a network and a batch at one kind of point."""
    weight, bias = POINTS[kind]
    rng = np.random.default_rng(seed)
    params = [
        ((1 / np.sqrt(a) if weight is None else weight) * rng.standard_normal((a, b)), bias * rng.standard_normal(b))
        for a, b in pairwise(widths)
    ]
    x = rng.standard_normal((batch, widths[0]))
    return Problem("drawn", params, x, rng.permutation(np.arange(batch) % widths[-1]))
