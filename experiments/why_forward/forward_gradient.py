"""Moments of the forward gradient, and digits trained with it.

One forward pass with jax.jvp gives the slope grad . v along a direction v, and ghat = (grad . v) v is the gradient on
average (Baydin et al., 2022). Moments over many v, standard normal and random signs, on the gradient of a network's
loss (2-h-2 tanh, 64 points of two spirals). Then digits trained by gradient descent with ghat in place of the
gradient, and with the gradient itself: every learning rate of one grid, the best by validation error.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference, exact, farthest, mean
from experiments.runs_at_once import over_runs
from experiments.tasks import generator, spirals
from experiments.why_forward.networks import errors, initial, is_right, keys, shared_by_runs
from mlp_jax import datasets

FORMULA = (
    r"\hat g = (\nabla L \cdot v)\, v, \qquad \mathrm{E}\, \hat g = \nabla L, \qquad "
    r"\mathrm{E} \lVert \hat g \rVert^2 = (d + 2) \lVert \nabla L \rVert^2 \; \text{(normal } v\text{)}, \;\; "
    r"d \lVert \nabla L \rVert^2 \; \text{(signs)}"
)


@dataclass(frozen=True)
class Config:
    """The number of parameters, the direction's distribution and the learning rate are varied."""

    hidden: tuple[int, ...] = (1, 2, 4, 9)  # d = 5 h + 2: 7, 12, 22, 47
    chunks: int = 100  # independent, for the interval
    draws: int = 10_000  # of v in a chunk
    width: int = 32  # 64-32-10 on digits: d = 2,410
    rates: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
    epochs: int = 20
    batch_size: int = 32
    seeds: int = 10
    examples: int | None = None  # of the training digits; a multiple of the batches compiles faster


FULL = Config()
QUICK = Config(hidden=(1,), chunks=40, epochs=2, rates=(0.3, 0.01), seeds=3, examples=1248)

AVERAGED = (100, 1_000, 10_000)  # draws
EXTRA = {"normal": 2, "signs": 0}  # E |ghat|^2 / |grad|^2 is d plus this


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Draw forward gradients of small networks, then train digits with them.

    Returns:
      Over |grad|^2: the mean "square" of ghat, its squared "cosine" to the gradient (kinds, networks, chunks), and the
      square of the "bias" of means of some draws (kinds, networks, chunks, draws). Of the trainings "validation error"
      and "test error" (methods, rates, seeds).
    """
    of_moments, of_training = keys(key, 2)
    rng = generator(of_moments)
    x, labels = spirals(rng, 64)
    found = []
    for i, hidden in enumerate(config.hidden):
        progress(0.6 * i / len(config.hidden))
        theta = np.random.default_rng(hidden).standard_normal(parameters(hidden)).astype(np.float32)
        along = partial(jax.jit(partial(slopes, hidden)), x, labels, theta)
        found.append([moments(config, rng, along, len(theta)) for _ in range(config.chunks)])
    progress(0.6)
    return {
        "kind": np.array(list(EXTRA)),
        "d": np.array([parameters(hidden) for hidden in config.hidden]),
        **{name: np.moveaxis(np.array([[one[name] for one in row] for row in found]), 2, 0) for name in found[0][0]},
        "method": np.array(METHODS),
        "rate": np.array(config.rates),
        **_trainings(config, of_training),
    }


def parameters(hidden: int) -> int:
    """Return the number of parameters d of a network 2-h-2."""
    return 5 * hidden + 2


def worst(ratios: np.ndarray) -> Statistic:
    """Return the mean ratio that is farthest from 1, of ratios (..., chunks)."""
    rows = ratios.reshape(-1, ratios.shape[-1])
    return mean(rows[np.argmax(np.abs(rows.mean(axis=1) - 1))])


DRAWS = "the d and directions that are farthest off; {n.config.chunks} times {n.config.draws:,} draws"


@equals(
    1,
    "For directions of kind {kind}, E |ghat|^2 is d + 2 (normal) or d (signs) times |grad|^2.",
    within=0.01,
    kind=tuple(EXTRA),
    source="derived: moments of v; Baydin et al. (2022) introduce ghat",
    how="over what is expected, " + DRAWS + "; 1 % is some four standard errors, and tells d + 2 from d",
)
def square(n: Numbers, kind: str) -> Statistic:
    return worst(n["square"][n.at(kind=kind)] / (n["d"] + EXTRA[kind])[:, None])


@equals(
    1,
    "The forward gradient's squared cosine to the gradient is 1 / d on average.",
    within=0.01,
    source="derived: (u . v)^2 / |v|^2 summed over an orthonormal basis of u is 1",
    how="times d, " + DRAWS,
)
def cosine_of_the_forward_gradient(n: Numbers) -> Statistic:
    return worst(n["cosine"] * n["d"][:, None])


@equals(
    1,
    "The mean of N forward gradients is sqrt((d + 1) / N) of the gradient's length off it.",
    within=0.2,
    source="derived: unbiased, with variance (d + 1) |grad|^2 for normal v, (d - 1) |grad|^2 for signs",
    how="root mean square over {n.config.chunks} means of N = 100, 1,000 and 10,000 draws, over that number; a few per "
    "cent of sampling error",
)
def unbiased(n: Numbers) -> Statistic:
    N = np.array(AVERAGED[: n["bias"].shape[-1]])
    variance = n["d"] + np.array([[extra - 1] for extra in EXTRA.values()])
    return farthest(np.sqrt(n["bias"].mean(axis=2) * N / variance[:, :, None]), 1)


def best(n: Numbers, method: str) -> int:
    """Return the index of the learning rate with the lowest mean validation error."""
    return int(n["validation error"][n.at(method=method)].mean(axis=1).argmin())


def test_errors(n: Numbers, method: str, rate: int) -> np.ndarray:
    """Return the test errors of a method at a learning rate (seeds,)."""
    return n["test error"][n.at(method=method), rate]


TRAINED = (
    "64-{n.config.width}-10 tanh, {n.config.epochs} epochs of gradient descent, batches of {n.config.batch_size}, the "
    "rate of {n.config.rates} with the lowest mean validation error"
)


@at_least(
    10,
    "With forward gradients digits need a learning rate at least ten times as small as with backprop.",
    source="derived: on a quadratic it has to fall by up to d + 2 = 2,412",
    how="backprop's best rate over the best for forward gradients; " + TRAINED,
)
def rate_of_forward_gradient(n: Numbers) -> Statistic:
    return exact(n["rate"][best(n, "backprop")] / n["rate"][best(n, "forward gradient")])


@at_least(
    0.5,
    "At backprop's learning rate forward gradients learn nothing.",
    source="derived: steps are sqrt(d + 2) times too long; chance is an error of 0.9",
    how="test error; " + TRAINED,
)
def error_at_backprop_s_rate(n: Numbers) -> Statistic:
    return mean(test_errors(n, "forward gradient", best(n, "backprop")))


@at_least(
    0,
    "At its own best rate it is behind backprop after as many steps.",
    source="derived: each step brings about 1 / d as much",
    how="test error of forward gradients minus backprop's, paired by seed; " + TRAINED,
)
def cost_of_forward_gradient(n: Numbers) -> Statistic:
    methods = ("forward gradient", "backprop")
    return difference(*(test_errors(n, method, best(n, method)) for method in methods))


def picture(n: Numbers) -> Figure:
    """Draw the second moment's ratio over d, with the lines of theory."""
    figure, axes = panels(figsize=(6.0, 4.4))
    ds = np.linspace(0, 1.1 * n["d"].max(), 2)
    for name, color, marker, label in (
        ("normal", "tab:blue", "o", "normal directions"),
        ("signs", "tab:orange", "s", "random signs"),
    ):
        axes.plot(ds, ds + EXTRA[name], "-", lw=1, color=color, label=f"theory: d{' + 2' if EXTRA[name] else ''}")
        measured = n["square"][n.at(kind=name)].mean(axis=1)
        axes.plot(n["d"], measured, marker, ms=6, color=color, mfc="none", label=f"measured, {label}")
    axes.set(xlabel="number of parameters d", ylabel="E |ĝ|² / |∇L|²", xlim=(0, ds[-1]), ylim=(0, None))
    axes.set_title("How long a forward gradient is")
    axes.legend(loc="upper left")
    return figure


def slopes(hidden: int, x: jax.Array, labels: jax.Array, theta: jax.Array, v: jax.Array) -> jax.Array:
    """Return the slopes (N,) of the loss of a network 2-h-2 along directions (N, d), by one forward pass for each."""

    def loss(theta: jax.Array) -> jax.Array:
        W1, b1, W2, b2 = jnp.split(theta, np.cumsum([2 * hidden, hidden, 2 * hidden]))
        params = (mlp_jax.Layer(W1.reshape(2, hidden), b1), mlp_jax.Layer(W2.reshape(hidden, 2), b2))
        return mlp_jax.cross_entropy(mlp_jax.forward(params, x, mlp_jax.tanh), labels)

    return jax.vmap(lambda v: jax.jvp(loss, (theta,), (v,))[1])(v)


def moments(config: Config, rng: np.random.Generator, along: Any, d: int) -> dict[str, np.ndarray]:
    """Return means over many directions of each kind, over |grad|^2; the gradient has the slopes along the axes."""
    normal = rng.standard_normal((config.draws, d), np.float32)
    each = np.asarray(along(np.concatenate([np.eye(d, dtype=np.float32), normal, np.sign(normal)])), float)
    grad, v = each[:d], np.stack([normal, np.sign(normal)])
    ghat = each[d:].reshape(len(EXTRA), -1, 1) * v
    squares, size = np.sum(ghat**2, axis=2), grad @ grad
    means = np.stack([ghat[:, :n].mean(axis=1) for n in AVERAGED if n <= config.draws], axis=1)
    return {
        "square": squares.mean(axis=1) / size,
        "cosine": np.mean((ghat @ grad) ** 2 / squares, axis=1) / size,
        "bias": np.sum((means - grad) ** 2, axis=2) / size,
    }


# ---- training


def forward_gradient(
    key: jax.Array, params: Any, x: jax.Array, targets: jax.Array, activation: Any, loss: Any
) -> tuple[jax.Array, Any]:
    """Return the loss and ghat = (grad . v) v. The bits of the loss, new at every step, give a new v."""
    theta, unravel = ravel_pytree(params)

    def of(theta: jax.Array) -> jax.Array:
        return loss(mlp_jax.forward(unravel(theta), x, activation), targets)

    step = jax.lax.bitcast_convert_type(of(theta).astype(jnp.float32), jnp.uint32)
    v = jax.random.normal(jax.random.fold_in(key, step), theta.shape, theta.dtype)
    value, slope = jax.jvp(of, (theta,), (v,))
    return value, unravel(slope * v)


def backprop(key: jax.Array, *arguments: Any, **named: Any) -> tuple[jax.Array, Any]:
    """Return the loss and the gradient, which needs no key."""
    return mlp_jax.backprop(*arguments, **named)


METHODS = ("backprop", "forward gradient")


def gradient_by(method: jax.Array, *arguments: Any, **named: Any) -> tuple[jax.Array, Any]:
    """Return the loss and the gradient or ghat, by the index of the method."""
    functions = [partial(function, **named) for function in (backprop, forward_gradient)]
    return jax.lax.switch(method, functions, *arguments)


def _train(
    config: Config, seed: Any, params: Any, rate: Any, key: jax.Array, x: Any, labels: Any, *held_out: Any
) -> jax.Array:
    """Return which of the digits held out are right after training by each method (methods, N)."""
    key = jax.random.split(key, config.seeds)[seed]

    def by(method: jax.Array) -> jax.Array:
        result = mlp_jax.train(
            key,
            params,
            (x, labels),
            optimizer=optax.sgd,
            hyperparameters={"learning_rate": rate},
            epochs=config.epochs,
            batch_size=config.batch_size,
            activation=mlp_jax.tanh,
            gradient=Partial(gradient_by, method, key),
            shuffle=False,  # their order is random
        )
        return is_right(result.params, mlp_jax.tanh, *held_out)

    return jax.lax.map(by, jnp.arange(len(METHODS)))


def _trainings(config: Config, key: jax.Array) -> dict[str, np.ndarray]:
    """Return the errors of every method, rate and seed."""
    dataset = datasets.load_digits()
    rates, seeds = np.indices((len(config.rates), config.seeds)).reshape(2, -1)
    params = initial(key, (64, config.width, 10), mlp_jax.tanh, (config.seeds,))
    runs = seeds, jax.tree.map(lambda a: a[seeds], params), np.asarray(config.rates, np.float32)[rates]
    right = over_runs(partial(_train, config), runs, (key, *shared_by_runs(dataset, config.examples)))
    right = np.moveaxis(right, 1, 0).reshape(len(METHODS), len(config.rates), config.seeds, -1)
    return dict(zip(("validation error", "test error"), errors(right, dataset), strict=True))
