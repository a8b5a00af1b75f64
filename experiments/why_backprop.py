"""Is the gradient that we derive by hand the gradient?

On real digits it is `jax.grad`'s to rounding, for every activation and depth, and finite differences confirm both;
two trainings that differ only in who computed the gradient stay together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Result, median_and_interval
from mlp_jax import ACTIVATIONS, Activation, Params, autodiff, backprop, datasets

Progress = Callable[[float], None]
DTYPES = {"float32": jnp.float32, "float64": jnp.float64}


@dataclass(frozen=True)
class Config:
    """The settings; the network's depth, its activation and the dtype are varied, the rest is held fixed."""

    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    depths: tuple[int, ...] = (1, 2, 3, 8, 32)  # hidden layers
    width: int = 32
    batch: int = 64
    seeds: int = 5
    directions: int = 10  # along which finite differences are taken
    trainings: int = 20  # pairs of trainings, each with its own seed
    steps: tuple[int, ...] = (1, 10, 100, 1000)
    examples: int = 256  # of every full-batch step
    learning_rate: float = 0.1


FULL = Config()
QUICK = Config(seeds=1, directions=5, trainings=5)

QUESTION = "Is the gradient that we derive by hand the gradient?"
ANSWER = (
    f"Yes: on real digits, for every activation and up to {FULL.depths[-1]} hidden layers, no parameter's gradient "
    "differs from jax.grad's by more than {float64:.0e} of its size in float64 and {float32:.0e} in float32, and "
    "finite differences agree within {finite_differences:.0e}. Two trainings that differ only in who computed the "
    f"gradient are {{float64_apart:.0e}} apart after {FULL.steps[-1]:,} steps in float64, and {{float32_apart:.0e}} in "
    "float32."
)


def agreement(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Compare with jax.grad, leaf by leaf, in both dtypes, and with central differences in float64."""
    errors: dict[str, dict[str, list[float]]] = {name: {} for name in (*DTYPES, "whole float32", "finite differences")}
    kinks = 0
    for i, name in enumerate(config.activations):
        progress(i / len(config.activations))
        rows = [_errors_at(config, jax.random.fold_in(key, depth), ACTIVATIONS[name], depth) for depth in config.depths]
        for kind, values in errors.items():
            values[name] = [row[kind] for row in rows]
        kinks += sum(int(row["kinks"]) for row in rows)
    worst = {kind: max(max(row) for row in values.values()) for kind, values in errors.items()}
    networks = f"{len(config.activations)} activations, depths {config.depths}, {config.seeds} seed(s) each: the worst"
    claims = (
        Claim(
            "float64",
            "By hand and by jax.grad every parameter's gradient is the same, in float64.",
            "<=",
            1e-12,
            "rounding: unit roundoff 1.1e-16, times the operations of 33 layers",
            worst["float64"],
            f"relative L2 error of a leaf; {networks}",
            seeds=config.seeds,
        ),
        Claim(
            "float32",
            "Every parameter's gradient is the same, in float32.",
            "<=",
            1e-3,
            "rounding: unit roundoff 6e-8, and at depth 32 a leaf can be a cancelling sum",
            worst["float32"],
            f"relative L2 error of a leaf; {networks}",
            seeds=config.seeds,
        ),
        Claim(
            "float32 whole",
            "The whole gradient, as one vector, is the same, in float32.",
            "<=",
            5e-6,
            "rounding: unit roundoff 6e-8, times the operations of 33 layers",
            worst["whole float32"],
            f"relative L2 error of the whole gradient; {networks}",
            seeds=config.seeds,
        ),
        Claim(
            "finite differences",
            "Central differences of the loss, which know no chain rule, agree with it.",
            "<=",
            1e-6,
            "their own error, eps^(2/3) of the loss's size (Nocedal & Wright, 2006, sec. 8.1), over a small slope",
            worst["finite differences"],
            f"float64, step eps^(1/3) of the parameters' norm, {config.directions} random directions; "
            f"{kinks} directions that cross a kink of relu left out; {networks}",
            seeds=config.seeds,
        ),
    )
    return Finding(claims, {"depths": list(config.depths), "errors": errors, "kinks": kinks})


def _errors_at(config: Config, key: jax.Array, phi: Activation, depth: int) -> dict[str, float]:
    """The worst errors over seeds at one depth."""
    sizes = (64, *depth * (config.width,), 10)
    found: dict[str, float] = {"kinks": 0}
    for seed in range(config.seeds):
        for dtype in DTYPES:
            with jax.enable_x64(dtype == "float64"):
                x, labels = _digits(config.batch, dtype)
                params = mlp_jax.init_params(
                    jax.random.fold_in(key, seed), sizes, phi, bias_init=jax.nn.initializers.normal(0.5), dtype=dtype
                )
                _, by_hand = backprop(params, x, labels, phi)
                _, by_autodiff = autodiff(params, x, labels, phi)
                pairs = zip(jax.tree.leaves(by_hand), jax.tree.leaves(by_autodiff), strict=True)
                errors = {dtype: max(relative_error(a, b) for a, b in pairs)}
                errors[f"whole {dtype}"] = relative_error(by_hand, by_autodiff)
                if dtype == "float64":
                    error, kinks = _finite_difference_error(params, by_hand, x, labels, phi, config.directions, seed)
                    errors["finite differences"] = error
                    found["kinks"] += kinks
            for name, error in errors.items():
                found[name] = max(found.get(name, 0.0), error)
    return found


def _finite_difference_error(
    params: Params, gradients: Params, x: Any, labels: Any, phi: Activation, directions: int, seed: int
) -> tuple[float, int]:
    """Relative L2 error of <g, v> over random directions v, without those that cross a kink; and their number."""
    theta, unravel = ravel_pytree(params)
    g = ravel_pytree(gradients)[0]
    rng = np.random.default_rng(seed)
    by_hand, differences = [], []
    for _ in range(directions):
        v = rng.standard_normal(theta.shape)
        h = np.cbrt(np.finfo(float).eps) * np.linalg.norm(theta) / np.linalg.norm(v)
        (up, signs_up), (down, signs_down) = (
            _loss_and_signs(unravel(theta + step * v), x, labels, phi) for step in (h, -h)
        )
        if phi.name in ("relu", "leaky_relu") and signs_up != signs_down:
            continue
        by_hand.append(float(g @ v))
        differences.append((up - down) / (2 * h))
    error = relative_error(np.array(differences), np.array(by_hand)) if by_hand else 0.0
    return error, directions - len(by_hand)


def _loss_and_signs(params: Params, x: Any, labels: Any, phi: Activation) -> tuple[float, bytes]:
    """The loss, and which units are on."""
    logits, trace = mlp_jax.forward_with_trace(params, x, phi)
    signs = b"".join(np.packbits(np.asarray(z) > 0).tobytes() for z in trace.z[:-1])
    return float(mlp_jax.cross_entropy(logits, labels)), signs


def trainings(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train pairs of networks from the same parameters, one with each gradient, and measure how far apart they get.

    A pair is one pytree: both see the same batches in one compiled program, and `record` measures their distance.
    """
    steps = max(config.steps)
    distances: dict[str, list[list[float]]] = {}
    disagreements: dict[str, list[int]] = {}
    for i, dtype in enumerate(DTYPES):
        progress(i / len(DTYPES))
        with jax.enable_x64(dtype == "float64"):
            train = _digits(config.examples, dtype)
            test = _digits(None, dtype)[0]

            def run_pair(key: jax.Array, train: Any = train, test: Any = test, dtype: str = dtype) -> Any:
                params = mlp_jax.init_params(key, (64, 32, 10), mlp_jax.tanh, dtype=dtype)
                result = mlp_jax.train(
                    key,
                    (params, params),
                    train,
                    optimizer=optax.sgd(config.learning_rate),
                    epochs=steps,
                    batch_size=config.examples,
                    activation=mlp_jax.tanh,
                    gradient=_gradient_of_pair,
                    forward=_forward_of_first,
                    record=_distance,
                )
                first, second = (
                    mlp_jax.predict(mlp_jax.forward(params, test, mlp_jax.tanh)) for params in result.params
                )
                return result.recorded, jnp.sum(first != second)

            keys = jax.random.split(key, config.trainings)
            apart, different = jax.jit(jax.vmap(run_pair))(keys)
            distances[dtype] = np.asarray(apart, float).tolist()
            disagreements[dtype] = np.asarray(different).tolist()

    reason = (
        f"relative L2 distance of the parameters, median of {config.trainings} seeds, 64-32-10 tanh, full batches of "
        f"{config.examples} digits, gradient descent at {config.learning_rate}"
    )
    claims = []
    for dtype, first in (("float64", 1e-15), ("float32", 1e-6)):
        for step in config.steps:
            median, interval = median_and_interval([row[step - 1] for row in distances[dtype]])
            claims.append(
                Claim(
                    name=f"{dtype} apart" + ("" if step == steps else f" after {step}"),
                    statement=f"After {step:,} step{'s' * (step > 1)} the two trainings agree to rounding, in {dtype}.",
                    relation="<=",
                    expected=first * step,
                    source=f"rounding: ten times the unit roundoff, about {first:g}, added at every step",
                    measured=median,
                    reason=reason,
                    interval=interval,
                    seeds=config.trainings,
                )
            )
    claims.append(
        Claim(
            "predictions that differ",
            f"After {steps:,} steps the two networks predict the same class for every digit.",
            "<=",
            0,
            "rounding is far smaller than the gap between logits",
            float(max(disagreements["float64"])),
            f"float64, all 1,797 digits, the worst of {config.trainings} pairs",
            seeds=config.trainings,
        )
    )
    marks = sorted({round(10**e) for e in np.linspace(0, np.log10(steps), 60)} | set(config.steps))
    data = {
        "steps": marks,
        "distances": {dtype: [[row[s - 1] for s in marks] for row in rows] for dtype, rows in distances.items()},
    }
    return Finding(tuple(claims), data)


FINDINGS: tuple[Callable[[Config, jax.Array, Progress], Finding], ...] = (agreement, trainings)


def _gradient_of_pair(pair: Any, x: Any, labels: Any, activation: Activation, loss: Any) -> Any:
    (value, by_hand), (_, by_autodiff) = (
        gradient(params, x, labels, activation, loss)
        for gradient, params in zip((backprop, autodiff), pair, strict=True)
    )
    return value, (by_hand, by_autodiff)


def _forward_of_first(pair: Any, x: Any, activation: Activation) -> jax.Array:
    return mlp_jax.forward(pair[0], x, activation)


def _distance(pair: Any, x: Any, labels: Any) -> jax.Array:
    first, second = (ravel_pytree(params)[0] for params in pair)
    return jnp.linalg.norm(first - second) / jnp.linalg.norm(second)


def _digits(count: int | None, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The first digits of the training split, or all of them."""
    dataset = datasets.load_digits(dtype=np.dtype(dtype))
    if count is None:
        x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, dataset.test, strict=True))
        return x, labels
    return dataset.train.x[:count], dataset.train.labels[:count]


def relative_error(actual: Any, expected: Any) -> float:
    """The relative L2 error of two pytrees, each taken as one vector."""
    a, b = (
        np.concatenate([np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(tree)]) for tree in (actual, expected)
    )
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def plot(result: Result) -> Figure:
    """Left: hand against jax.grad over depth. Right: two trainings, one with each gradient, over steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    steps = result.data["steps"]
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        for i, errors in enumerate(result.data["errors"][dtype].values()):
            label = f"{dtype}, one line an activation" if i == 0 else None
            left.plot(result.data["depths"], errors, "o-", ms=3, lw=1, alpha=0.7, color=color, label=label)
        if dtype == "float64":
            worst = np.max(list(result.data["errors"]["finite differences"].values()), axis=0)
            left.plot(
                result.data["depths"],
                worst,
                "s--",
                ms=3,
                lw=1,
                color="tab:green",
                label="finite differences, worst activation",
            )
        rows = np.array(result.data["distances"][dtype])
        right.plot(steps, np.median(rows, axis=0), color=color, label=f"{dtype}, median and range of {len(rows)} pairs")
        right.fill_between(steps, rows.min(axis=0), rows.max(axis=0), color=color, alpha=0.2, lw=0)
        roundoff = float(jnp.finfo(dtype).eps) / 2
        for axes, x, ha, va in ((left, 0.99, "right", "top"), (right, 0.01, "left", "bottom")):
            axes.axhline(roundoff, color=color, ls=":", lw=1)
            at = {"xy": (x, roundoff), "xycoords": ("axes fraction", "data"), "ha": ha, "va": va}
            axes.annotate(f"unit roundoff {roundoff:.0e}", **at, fontsize=8, color=color)
    left.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="relative L2 difference")
    left.set_title("Gradient by hand against jax.grad, worst parameter")
    left.set_xticks(result.data["depths"], map(str, result.data["depths"]))
    left.minorticks_off()
    right.set(xscale="log", xlabel="steps of gradient descent")
    right.set_title("Parameters of two trainings, one with each gradient")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="center left")
    return figure
