"""Forward passes alone: the forward gradient, how far it scatters, and what that costs.

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
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.tasks import spirals
from experiments.why_forward.networks import initial
from mlp_jax import datasets

FORMULA = (
    r"\hat g = (\nabla L \cdot v)\, v, \qquad \mathrm{E}\, \hat g = \nabla L, \qquad "
    r"\mathrm{E} \lVert \hat g \rVert^2 = (d + 2) \lVert \nabla L \rVert^2 \; \text{(normal } v\text{)}, \;\; "
    r"d \lVert \nabla L \rVert^2 \; \text{(signs)}"
)
CAPTION = (
    "The mean square of the forward gradient, over the number of parameters: lines by theory, points measured. It is "
    "right on average, and d times too long."
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


FULL = Config()
QUICK = Config(hidden=(4,), chunks=20, epochs=3, rates=(0.3, 0.01, 0.001), seeds=3)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Draw forward gradients of small networks, then train digits with them."""
    of_moments, of_training = jax.random.split(key)
    x, labels = jax.jit(spirals, static_argnums=1)(of_moments, 64)
    moments: dict[str, list[Any]] = {name: [] for name in EXTRA}
    for i, hidden in enumerate(config.hidden):
        progress(0.6 * i / len(config.hidden))
        theta = np.random.default_rng(hidden).standard_normal(parameters(hidden)).astype(np.float32)
        keys = jax.random.split(of_moments, config.chunks)
        for name, found in over_runs(partial(_moments, config.draws, hidden), (keys,), (theta, x, labels)).items():
            moments[name].append(found)
    progress(0.6)
    trained = _trainings(config, of_training)
    return Finding((*_of_moments(config, moments), *_of_training(config, trained)), _data(config, moments, trained))


AVERAGED = (100, 1_000, 10_000)  # draws
EXTRA = {"normal": 2, "signs": 0}  # E |ghat|^2 / |grad|^2 is d plus this


def parameters(hidden: int) -> int:
    """The number of parameters d of a network 2-h-2."""
    return 5 * hidden + 2


def _moments(
    draws: int, hidden: int, key: jax.Array, theta: jax.Array, x: jax.Array, labels: jax.Array
) -> dict[str, dict[str, jax.Array]]:
    """Means over many directions of each kind, over |grad|^2."""

    def loss(theta: jax.Array) -> jax.Array:
        W1, b1, W2, b2 = jnp.split(theta, np.cumsum([2 * hidden, hidden, 2 * hidden]))
        params = (mlp_jax.Layer(W1.reshape(2, hidden), b1), mlp_jax.Layer(W2.reshape(hidden, 2), b2))
        return mlp_jax.cross_entropy(mlp_jax.forward(params, x, mlp_jax.tanh), labels)

    def of(v: jax.Array) -> dict[str, jax.Array]:
        ghat = jax.vmap(lambda v: jax.jvp(loss, (theta,), (v,))[1] * v)(v)
        squares = jnp.sum(ghat**2, axis=1)
        means = [ghat[:n].mean(axis=0) for n in AVERAGED if n <= draws]
        return {
            "square": jnp.mean(squares) / jnp.sum(grad**2),
            "cosine": jnp.mean((ghat @ grad) ** 2 / squares) / jnp.sum(grad**2),
            "bias": jnp.array([jnp.sum((mean - grad) ** 2) for mean in means]) / jnp.sum(grad**2),
        }

    grad = jax.grad(loss)(theta)
    v = jax.random.normal(key, (draws, len(theta)), theta.dtype)
    return {"normal": of(v), "signs": of(jnp.sign(v))}


def _of_moments(config: Config, moments: dict[str, list[Any]]) -> list[Claim]:
    draws = config.chunks * config.draws
    ds = [parameters(hidden) for hidden in config.hidden]
    words = {"normal": "standard normal directions", "signs": "directions of random signs"}
    claims = []
    for name, found in moments.items():
        expected = [d + EXTRA[name] for d in ds]
        claims.append(
            _worst(
                f"square, {name}",
                f"For {words[name]} E |ghat|^2 is {'d + 2' if EXTRA[name] else 'd'} times |grad|^2.",
                [chunk["square"] / e for chunk, e in zip(found, expected, strict=True)],
                "derived: moments of v; Baydin et al. (2022) introduce ghat",
                f"over what is expected, at the d of {ds} that is furthest off; {draws:,} draws; 1 % is some four "
                "standard errors, and tells d + 2 from d",
                0.01,
            )
        )
    claims.append(
        _worst(
            "cosine of the forward gradient",
            "The forward gradient's squared cosine to the gradient is 1 / d on average.",
            [d * chunk["cosine"] for found in moments.values() for chunk, d in zip(found, ds, strict=True)],
            "derived: (u . v)^2 / |v|^2 summed over an orthonormal basis of u is 1",
            f"times d, at the d of {ds} and directions that are furthest off; {draws:,} draws",
            0.01,
        )
    )
    falls = [
        np.sqrt(chunk["bias"].mean(axis=0)[i] * n / (d + EXTRA[name] - 1))
        for name, found in moments.items()
        for chunk, d in zip(found, ds, strict=True)
        for i, n in enumerate(AVERAGED[: chunk["bias"].shape[1]])
    ]
    claims.append(
        Claim(
            "unbiased",
            "The mean of N forward gradients is sqrt((d + 1) / N) of the gradient's length off it.",
            "=",
            1.0,
            "derived: unbiased, with variance (d + 1) |grad|^2 for normal v, (d - 1) |grad|^2 for signs",
            float(max(falls, key=lambda ratio: abs(ratio - 1))),
            f"root mean square over {config.chunks} means of N = 100, 1,000 and 10,000 draws, over that number, the "
            f"furthest off; d of {ds}; a few per cent of sampling error",
            seeds=config.chunks,
            tolerance=0.2,
        )
    )
    return claims


def _worst(name: str, statement: str, ratios: list[Any], source: str, reason: str, tolerance: float) -> Claim:
    """A claim that ratios are 1, of the one furthest off."""
    ratio = max(ratios, key=lambda ratio: abs(ratio.mean() - 1))
    mean, interval = mean_and_interval(ratio)
    return Claim(name, statement, "=", 1.0, source, mean, reason, interval, len(ratio), tolerance)


# ---- training


def forward_gradient(
    key: jax.Array, params: Any, x: jax.Array, targets: jax.Array, activation: Any, loss: Any
) -> tuple[jax.Array, Any]:
    """The loss and ghat = (grad . v) v. The bits of the loss, another number at every step, make v another one."""
    theta, unravel = ravel_pytree(params)

    def of(theta: jax.Array) -> jax.Array:
        return loss(mlp_jax.forward(unravel(theta), x, activation), targets)

    step = jax.lax.bitcast_convert_type(of(theta).astype(jnp.float32), jnp.uint32)
    v = jax.random.normal(jax.random.fold_in(key, step), theta.shape, theta.dtype)
    value, slope = jax.jvp(of, (theta,), (v,))
    return value, unravel(slope * v)


def backprop(key: jax.Array, *arguments: Any, **named: Any) -> tuple[jax.Array, Any]:
    """The loss and the gradient, which needs no key."""
    return mlp_jax.backprop(*arguments, **named)


METHODS = {"backprop": backprop, "forward gradient": forward_gradient}


def _train(
    config: Config, gradient: Any, key: Any, params: Any, rate: Any, train: Any, validation: Any, test: Any
) -> dict[str, jax.Array]:
    result: Any = mlp_jax.train(
        key,
        params,
        train,
        validation,
        optimizer=optax.sgd,
        hyperparameters={"learning_rate": rate},
        epochs=config.epochs,
        batch_size=config.batch_size,
        activation=mlp_jax.tanh,
        gradient=Partial(gradient, key),
        shuffle=False,  # their order is random
    )
    accuracy = mlp_jax.evaluate(result.params, test[0], test[1], mlp_jax.tanh).accuracy
    return {"validation error": 1 - result.history.validation_accuracy[-1], "test error": 1 - accuracy}


def _trainings(config: Config, key: jax.Array) -> dict[str, Any]:
    dataset = datasets.load_digits()
    shared = tuple(dataset.train), tuple(dataset.validation), tuple(dataset.test)
    rates, seeds = np.indices((len(config.rates), config.seeds)).reshape(2, -1)
    params = initial(key, (64, config.width, 10), mlp_jax.tanh, (config.seeds,))
    keys = jax.random.split(key, config.seeds)[seeds]
    grid = keys, jax.tree.map(lambda a: a[seeds], params), np.asarray(config.rates, np.float32)[rates]
    found = {name: over_runs(partial(_train, config, gradient), grid, shared) for name, gradient in METHODS.items()}
    return {
        name: {what: values.reshape(len(config.rates), config.seeds) for what, values in results.items()}
        for name, results in found.items()
    }


def scores(results: dict[str, np.ndarray]) -> np.ndarray:
    """The mean validation error at every learning rate."""
    return results["validation error"].mean(axis=1)


def _of_training(config: Config, trained: dict[str, Any]) -> list[Claim]:
    errors = {name: results["test error"] for name, results in trained.items()}
    best = {name: int(scores(results).argmin()) for name, results in trained.items()}
    of_backprop, of_forward = (config.rates[best[name]] for name in METHODS)
    d = 65 * config.width + (config.width + 1) * 10
    reason = (
        f"64-{config.width}-10 tanh, d = {d:,}, {config.epochs} epochs of gradient descent in batches of "
        f"{config.batch_size}, the learning rate of {config.rates} with the lowest mean validation error"
    )
    failed, failed_interval = mean_and_interval(errors["forward gradient"][best["backprop"]])
    at_best = [errors[name][best[name]] for name in METHODS]
    error, interval = mean_and_interval(at_best[1] - at_best[0])
    return [
        Claim(
            "rate of forward gradient",
            "With forward gradients digits need a learning rate at least ten times as small as with backprop.",
            ">=",
            10.0,
            f"derived: on a quadratic it has to fall by up to d + 2 = {d + 2:,}",
            of_backprop / of_forward,
            f"backprop's best rate {of_backprop:g} over the best for forward gradients, {of_forward:g}; {reason}",
            seeds=config.seeds,
        ),
        Claim(
            "error at backprop's rate",
            "At backprop's learning rate forward gradients learn nothing.",
            ">=",
            0.5,
            "derived: steps are sqrt(d + 2) times too long; chance is an error of 0.9",
            failed,
            f"test error at {of_backprop:g}; {reason}",
            failed_interval,
            config.seeds,
        ),
        Claim(
            "cost of forward gradient",
            "At its own best rate it is behind backprop after as many steps.",
            ">=",
            0.0,
            "derived: each step brings about 1 / d as much",
            error,
            f"test error of forward gradients minus backprop's, paired by seed; {reason}",
            interval,
            config.seeds,
        ),
    ]


def _data(config: Config, moments: dict[str, list[Any]], trained: dict[str, Any]) -> dict[str, Any]:
    square = {name: [mean_and_interval(chunk["square"]) for chunk in found] for name, found in moments.items()}
    return {
        "d": [parameters(hidden) for hidden in config.hidden],
        "square": {name: [mean for mean, _ in rows] for name, rows in square.items()},
        "interval": {name: [interval for _, interval in rows] for name, rows in square.items()},
        "rates": config.rates,
        "validation error": {name: scores(results) for name, results in trained.items()},
        "test error": {name: results["test error"].mean(axis=1) for name, results in trained.items()},
    }


def picture(data: dict[str, Any]) -> Figure:
    """The second moment's ratio over d, with the lines of theory."""
    figure, axes = plt.subplots(figsize=(6.0, 4.4), layout="constrained")
    ds = np.linspace(0, 1.1 * max(data["d"]), 2)
    for name, color, marker, label in (
        ("normal", "tab:blue", "o", "normal directions"),
        ("signs", "tab:orange", "s", "random signs"),
    ):
        axes.plot(ds, ds + EXTRA[name], "-", lw=1, color=color, label=f"theory: d{' + 2' if EXTRA[name] else ''}")
        axes.plot(data["d"], data["square"][name], marker, ms=6, color=color, mfc="none", label=f"measured, {label}")
    axes.set(
        xlabel="number of parameters d",
        ylabel="E |ĝ|² / |∇L|²",
        title="How long a forward gradient is",
        xlim=(0, ds[-1]),
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
