"""Backprop with another example's hidden values: what the stored forward values are worth.

The gradient of an untrained and a trained network on all training digits, once as it is and once with every h_{l-1}
taken from another example, all else right: the cosine of the two over all weights, mean over several shifts of the
batch, whose order is random. It is compared with a prediction that knows only the mean of h and how far h and delta
scatter about their means: with h = m + r, m the mean over the B examples, dW = m D^T + r^T delta, D the sum of delta.
Under a random permutation the first part stays, the second has mean 0 and the mean square
|r|^2 |delta - mean|^2 / (B - 1), so that

    cos = <m D^T, dW> / (|dW| sqrt(|m D^T|^2 + |r|^2 |delta - mean|^2 / (B - 1))).

Pixels standardised one by one (mean 0) or raw (0 to 1). And what need not be kept: z, since phi' follows from h for
sigmoid and tanh, and from one bit a unit for relu.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.tasks import as_drawn
from experiments.why_forward.networks import initial
from mlp_jax import Activation, Params, datasets
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.backpropagation import BackwardTrace, backprop_with_trace, linear_gradient

FORMULA = (
    r"\mathrm{d}W_l = h_{l-1}^\top \delta_l = m D^\top + (h_{l-1} - m)^\top \delta_l, \qquad "
    r"m = \frac{1}{B} \sum_i h_{l-1,i}, \quad D = \sum_i \delta_{l,i}"
)
CAPTION = (
    "The gradient with another example's hidden values against the true one: the cosine is what the mean of the hidden "
    "values leaves of it, and nothing where that is 0."
)
PIXELS = ("standardised", "raw")
WHEN = ("start", "trained")


@dataclass(frozen=True)
class Config:
    """Activation, pixels and training are varied, the network is held fixed."""

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu")
    pixels: tuple[str, ...] = PIXELS
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 20  # of Adam
    learning_rate: float = 3e-3
    batch_size: int = 32
    shifts: int = 100  # of the batch, a seed
    seeds: int = 20


FULL = Config()
QUICK = Config(activations=("tanh",), pixels=("standardised",), epochs=3, shifts=30, seeds=4)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Take the gradient with another example's h before and after training, and without z."""
    cells = [(pixels, name) for pixels in config.pixels for name in config.activations]
    found: dict[str, dict[str, np.ndarray]] = {}
    shifts, kept = [], []
    with jax.enable_x64(True):
        keys = jax.random.split(key, config.seeds)
        for i, (pixels, name) in enumerate(cells):
            progress(i / len(cells))
            phi = ACTIVATIONS[name]
            params = initial(key, (64, *config.hidden, 10), phi, (config.seeds,))
            results = over_runs(partial(_run, config, phi), (keys, params), digits(pixels))
            for moment, when in enumerate(WHEN):
                found[f"{name} {pixels} {when}"] = {what: values[:, moment] for what, values in results.items()}
            shifts.append(results["shifts"].max())
            kept.append(results["kept"].max())
    return Finding(
        (*_cosines(config, found), *_exact(config, max(shifts), max(kept))),
        {name: {what: result[what] for what in ("cosine", "predicted")} for name, result in found.items()},
    )


def digits(pixels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training digits, each pixel with mean 0 and variance 1, or raw, from 0 to 1."""
    dataset = datasets.load_digits(dtype=np.float64)
    raw = as_drawn(dataset, dataset.train)
    if pixels == "raw":
        return raw / 16, dataset.train.labels
    return datasets.standardise(raw, *datasets.mean_and_scale(raw, images=False), np.float64), dataset.train.labels


def _run(
    config: Config, phi: Activation, key: jax.Array, params: Params, x: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
    """What is compared, at initialisation and after training."""
    trained = mlp_jax.train(
        key,
        params,
        (x, labels),
        optimizer=optax.adam(config.learning_rate),
        epochs=config.epochs,
        batch_size=config.batch_size,
        activation=phi,
        shuffle=False,  # their order is random
    ).params
    both = jax.tree.map(lambda *moments: jnp.stack(moments), params, trained)
    return jax.lax.map(lambda params: _compared(config, backprop_with_trace(params, x, labels, phi), params, phi), both)


def _compared(config: Config, s: BackwardTrace, params: Params, phi: Activation) -> dict[str, jax.Array]:
    """The cosine over shifts, its prediction, and the errors of what is exact."""
    hs, deltas = s.forward.h, s.delta
    dW, examples = weight_gradients(hs, deltas), len(hs[0])
    shifts = examples * jnp.arange(1, config.shifts + 1) // (config.shifts + 1)  # none is 0: never itself
    few = [[a[:32] for a in arrays] for arrays in (hs, deltas)]
    return {
        "cosine": jnp.mean(jax.lax.map(lambda k: cosine(weight_gradients(shifted(hs, k), deltas), dW), shifts)),
        "predicted": predicted_cosine(hs, deltas),
        "shifts": error_of_shifts(*few),
        "kept": relative_error(gradients_from_outputs(params, hs, deltas[-1], phi), s.gradients),
    }


def shifted(hs: Any, k: Any) -> list[jax.Array]:
    """The hidden values, each of the example k places before."""
    return [jnp.roll(h, k, axis=0) for h in hs]


def weight_gradients(hs: Any, deltas: Any) -> list[jax.Array]:
    """Every dW_l = h_{l-1}^T delta_l."""
    return [h.T @ delta for h, delta in zip(hs, deltas, strict=True)]


def predicted_cosine(hs: Any, deltas: Any) -> jax.Array:
    """The cosine that the means of h explain, by the formula above, summed over layers."""
    means = [jnp.outer(h.mean(axis=0), delta.sum(axis=0)) for h, delta in zip(hs, deltas, strict=True)]
    rest = sum(spread(h) * spread(delta) / (len(h) - 1) for h, delta in zip(hs, deltas, strict=True))
    dW = weight_gradients(hs, deltas)
    return inner(means, dW) / jnp.sqrt(inner(dW, dW) * (inner(means, means) + rest))


def spread(a: jax.Array) -> jax.Array:
    """The sum of squares about the mean over examples."""
    return jnp.sum((a - a.mean(axis=0)[None, :]) ** 2)


def error_of_shifts(hs: Any, deltas: Any) -> jax.Array:
    """Averaged over all B shifts of the batch, the gradient is m D^T exactly: the relative error."""
    every = jax.lax.map(lambda k: weight_gradients(shifted(hs, k), deltas), jnp.arange(len(hs[0])))
    means = [jnp.outer(h.mean(axis=0), delta.sum(axis=0)) for h, delta in zip(hs, deltas, strict=True)]
    return relative_error([a.mean(axis=0) for a in every], means)


def gradients_from_outputs(params: Params, hs: Any, delta: jax.Array, phi: Activation) -> Params:
    """The gradients without any z: phi' from the outputs h of the units, for relu from one bit a unit."""
    gradients = [linear_gradient(hs[-1], delta)]
    for h_below, h, (W, _) in zip(hs[-2::-1], hs[:0:-1], params[:0:-1], strict=True):
        delta = (delta @ W.T) * _derivative_from_output(phi, h)
        gradients.insert(0, linear_gradient(h_below, delta))
    return tuple(gradients)


def _derivative_from_output(phi: Activation, h: jax.Array) -> jax.Array:
    if phi.name == "relu":
        bits = jnp.packbits(h > 0, axis=1)
        return jnp.unpackbits(bits, axis=1, count=h.shape[1]).astype(h.dtype)
    return h * (1 - h) if phi.name == "sigmoid" else 1 - h**2


def inner(a: Any, b: Any) -> jax.Array:
    """The inner product of two lists of matrices."""
    return sum((jnp.vdot(u, v) for u, v in zip(a, b, strict=True)), jnp.zeros(()))


def cosine(a: Any, b: Any) -> jax.Array:
    """The cosine of two lists of matrices, each taken as one vector."""
    return inner(a, b) / jnp.sqrt(inner(a, a) * inner(b, b))


def relative_error(actual: Any, expected: Any) -> jax.Array:
    """The worst relative L2 error of a leaf."""
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    return jnp.max(jnp.array([jnp.linalg.norm(a - b) / jnp.linalg.norm(b) for a, b in pairs]))


def _cosines(config: Config, found: Any) -> list[Claim]:
    network = f"64-{'-'.join(map(str, config.hidden))}-10, float64, all training digits, {config.shifts} shifts a seed"
    claims = []
    for name in config.activations:
        for when in WHEN:
            result = found[f"{name} standardised {when}"]
            mean, interval = mean_and_interval(result["cosine"])
            about_0 = name == "tanh"
            moment = "at initialisation" if when == "start" else f"after {config.epochs} epochs of Adam"
            claims.append(
                Claim(
                    name if when == "start" else f"{name} trained",
                    f"With another example's h, standardised pixels, the gradient of a {name} network "
                    f"{'says nothing of' if about_0 else 'keeps a part of'} the true one, {moment}.",
                    "=" if about_0 else ">=",
                    0.0 if about_0 else 0.3,
                    f"derived: only the mean of h survives, and {'that is about 0' if about_0 else 'h is not negative'}"
                    "; the number is ours",
                    mean,
                    f"cosine of all weights' gradients, mean over seeds; standardised pixels; {network}",
                    interval,
                    config.seeds,
                    0.1 if about_0 else 0.0,
                    "training has left less of the gradient to the mean of h: the formula, which knows no more, gives "
                    f"{np.mean(result['predicted']):.2f}"
                    if when == "trained" and not about_0
                    else "",
                )
            )
    gaps = {name: abs(np.mean(result["cosine"] - result["predicted"])) for name, result in found.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    claims.append(
        Claim(
            "cosine by the mean of h",
            "In every network the cosine is what the mean of h predicts.",
            "<=",
            0.02,
            "derived: first and second moments of a random permutation",
            float(gaps[worst]),
            f"the largest gap between the means over seeds, of {len(found)} settings: {worst}; the ratio of moments "
            f"is not the mean of ratios; {network}",
            seeds=config.seeds,
        )
    )
    return claims


def _exact(config: Config, shifts: float, kept: float) -> list[Claim]:
    every = f"the worst leaf of {len(config.activations)} activations, before and after training, {config.seeds} seeds"
    return [
        Claim(
            "mean over shifts",
            "Averaged over all shifts of the batch, the gradient with another's h is the mean of h times the sum of "
            "delta.",
            "<=",
            1e-10,
            "derived: every h meets every delta once",
            float(shifts),
            f"relative L2 error, float64, 32 examples; a sum of B terms that may cancel; {every}",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "outputs are enough",
            "Without any z the gradient is the same: sigmoid and tanh need the output h only, relu one bit a unit.",
            "<=",
            1e-11,
            "derived: s' = h (1 - h), tanh' = 1 - h^2, relu' = 1 where h > 0",
            float(kept),
            f"relative L2 error, float64; 1 - h loses the digits that a saturated unit has no use for; {every}",
            seeds=config.seeds,
            exact=True,
        ),
    ]


def picture(data: dict[str, Any]) -> Figure:
    """The measured cosine over the predicted one, one point a network."""
    figure, axes = plt.subplots(figsize=(6.0, 5.0), layout="constrained")
    colors = {"tanh": "tab:blue", "sigmoid": "tab:orange", "relu": "tab:green"}
    axes.plot([0, 1], [0, 1], "k-", lw=1)
    for setting, result in data.items():
        name, pixels, when = setting.split()
        marker = {"start": "o", "trained": "^"}[when]
        face = colors[name] if pixels == "standardised" else "none"
        axes.plot(
            result["predicted"], result["cosine"], marker, ms=5, mew=1, color=colors[name], mfc=face, alpha=0.7
        )  # fmt: skip
    for name, color in colors.items():
        axes.plot([], [], "s", color=color, label=name)
    for marker, label in (("o", "at initialisation"), ("^", "trained")):
        axes.plot([], [], marker, color="0.4", label=label)
    if any("raw" in setting for setting in data):
        axes.plot([], [], "s", color="0.4", mfc="none", label="open: raw pixels")
    axes.set(
        xlabel="cosine predicted from the mean of h alone",
        ylabel="cosine measured",
        title="Gradient with another example's h against the true one",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
