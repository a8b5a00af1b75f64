"""Linear probes: how well a linear classifier reads the class off each layer's latent vectors.

A 64-64-64-64-10 ReLU network learns digits: Adam at 1e-3, batches of 32. A probe (Alain & Bengio, 2016) is softmax
regression on one layer's vectors of the training digits, a network without hidden layers that we train ourselves (Adam
at 1e-2); the vectors are centred and scaled to a mean square of 1 by the training digits. Probes of all layers are
trained alike, of the network at initialisation and after training. Errors are on the 549 digits held out; every seed
draws its own split.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.why_latent.networks import SIZES, Examples, digits, error, latents, split, trained

FORMULA = r"\min_{W, b}\ -\frac{1}{N} \sum_n \log \mathrm{softmax}(h_l(x_n)\,W + b)_{y_n}"
CAPTION = (
    "The error of a linear probe on each layer, on digits held out: one line a network, thick the mean. In trained "
    "networks the class gets easier to read off from layer to layer; random layers lose some of it."
)


@dataclass(frozen=True)
class Config:
    """The layer is varied, and whether the network is trained; the rest is held fixed."""

    seeds: int = 20
    epochs: int = 40  # of the network
    probe_epochs: int = 40
    probe_rate: float = 1e-2  # Adam's; ten times the network's: one layer, whose loss is convex


FULL = Config()
QUICK = Config(seeds=4, epochs=15, probe_epochs=15)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train networks and the probes of all their layers."""
    keys = jax.random.split(key, config.seeds)
    errors = over_runs(Partial(errors_of_probes, config), (keys,), digits())
    pixels, random, learnt = errors["pixels"], errors["random"], errors["trained"]
    gain = mean_and_interval(pixels - learnt[:, -1])
    loss = mean_and_interval(random[:, -1] - pixels)
    by_layer = np.concatenate([pixels[:, None], learnt], axis=1).mean(axis=0, dtype=float)
    apart = mean_and_interval(learnt[:, -1] - errors["network"])
    how = f"held-out digits, {'-'.join(map(str, SIZES))} ReLU, {config.epochs} epochs, probes {config.probe_epochs}"
    claims = (
        Claim(
            "gain by training",
            "In a trained network a probe errs less on the last hidden layer than on the pixels.",
            ">=",
            0.0,
            "Alain & Bengio, 2016: the error falls with depth; no table for such a network",
            gain[0],
            f"error on pixels minus that on the last hidden layer, same seed; {how}",
            gain[1],
            config.seeds,
        ),
        Claim(
            "largest rise from layer to layer",
            "In trained networks the probe's mean error falls from each layer to the next.",
            "<=",
            0.0,
            "Alain & Bengio, 2016: it falls monotonically",
            float(np.diff(by_layer).max().round(9)),
            f"the largest step of the mean over seeds; {how}",
            seeds=config.seeds,
        ),
        Claim(
            "loss by random layers",
            "In a network at initialisation a probe errs no less on the last hidden layer than on the pixels.",
            ">=",
            0.0,
            "expected: as many random features as pixels can lose much and gain little",
            loss[0],
            f"error on the last hidden layer minus that on the pixels, same seed; {how}",
            loss[1],
            config.seeds,
        ),
        Claim(
            "probe and network",
            "A probe on the last hidden layer errs as often as the network, whose last layer is such a classifier.",
            "=",
            0.0,
            "derived: both are softmax regression on the same vectors",
            apart[0],
            f"error of the probe minus the network's, same seed; half a point for the two ways to train it; {how}",
            apart[1],
            config.seeds,
            tolerance=0.005,
        ),
    )
    return Finding(claims, errors)


def errors_of_probes(config: Config, key: jax.Array, x: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """The held-out errors of a seed's network and of the probes on its pixels and hidden layers."""
    of_split, of_params, of_probes = jax.random.split(key, 3)
    data, held_out = split(of_split, x, labels)
    params = mlp_jax.init_params(of_params, SIZES)
    result = trained(key, params, data, config.epochs).params
    vectors = [latents(network, examples[0]) for network in (params, result) for examples in (data, held_out)]
    random = (jnp.stack(vectors[0]), jnp.stack(vectors[1]))  # (layers, N, d)
    learnt = (jnp.stack(vectors[2][1:]), jnp.stack(vectors[3][1:]))
    h, h_held_out = (jnp.concatenate(pair) for pair in zip(random, learnt, strict=True))
    errors = jax.vmap(lambda h, h_held_out: probe_error(config, of_probes, (h, data[1]), (h_held_out, held_out[1])))(
        h, h_held_out
    )
    layers = len(SIZES) - 2
    return {
        "pixels": errors[0],
        "random": errors[1 : 1 + layers],
        "trained": errors[1 + layers :],
        "network": error(result, held_out),
    }


def probe_error(config: Config, key: jax.Array, data: Examples, held_out: Examples) -> jax.Array:
    """The held-out error of softmax regression on vectors h (N, d)."""
    (h, labels), (h_held_out, labels_held_out) = data, held_out
    center = h.mean(axis=0, keepdims=True)
    scale = jnp.sqrt(jnp.mean((h - center) ** 2))
    probe = mlp_jax.init_params(key, (h.shape[1], SIZES[-1]), mlp_jax.activations.identity)
    result = mlp_jax.train(
        key, probe, ((h - center) / scale, labels), optimizer=optax.adam(config.probe_rate), epochs=config.probe_epochs
    )
    return error(result.params, ((h_held_out - center) / scale, labels_held_out))


def picture(data: dict[str, Any]) -> Figure:
    """The probe's error by layer, in trained networks and at initialisation."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    pixels = np.array(data["pixels"], float)[:, None]
    for name, label, color in (
        ("random", "at initialisation", "tab:orange"),
        ("trained", "after training", "tab:blue"),
    ):
        errors = 100 * np.concatenate([pixels, np.array(data[name], float)], axis=1)
        layers = np.arange(errors.shape[1])
        axes.plot(layers, errors.T, color=color, lw=0.6, alpha=0.35)
        axes.plot(layers, errors.mean(axis=0), "o-", color=color, lw=2.5, label=label)
    names = ["pixels", *(f"hidden {l}" for l in layers[1:])]
    axes.set_xticks(layers, names)
    axes.set(ylim=(0, None), xlabel="layer that the probe reads", ylabel="error of the probe, %")
    axes.set_title("What a linear classifier can read off each layer")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper left")
    return figure
