"""Linear probes: how well a linear classifier reads the class off each layer's latent vectors.

A 64-64-64-64-10 ReLU network learns digits: Adam at 1e-3, batches of 32. A probe (Alain & Bengio, 2016) is softmax
regression on one layer's vectors of the training digits, a network without hidden layers that we train ourselves (Adam
at 1e-2). The vectors are centred and scaled to a mean square of 1 by the training digits. Probes of all layers are
trained alike, on the network at initialisation and after training. Errors are on the 549 digits held out; every seed
draws its own split.
"""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference, largest, mean
from experiments.runs_at_once import over_runs
from experiments.why_latent.networks import SIZES, Examples, keys_of, latents, parts_of, starts, trained
from mlp_jax import Layer, Params

FORMULA = r"\min_{W, b}\ -\frac{1}{N} \sum_n \log \mathrm{softmax}(h_l(x_n)\,W + b)_{y_n}"


@dataclass(frozen=True)
class Config:
    """The layer is varied, and whether the network is trained; the rest is held fixed."""

    seeds: int = 20
    epochs: int = 40  # of the network
    probe_epochs: int = 40
    probe_rate: float = 1e-2  # Adam's; ten times the network's: one layer, whose loss is convex


FULL = Config()
QUICK = Config(seeds=4, epochs=15, probe_epochs=15)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train networks and the probes of all their layers.

    Returns:
      Held-out errors: of the "network" and of the probes on "pixels" (seeds,), and of the probes on hidden layers at
      initialisation, "random", and after training, "trained" (seeds, layers).
    """
    data, held_out, params = trained(key, config.seeds, config.epochs)
    first, last = (jax.tree.map(lambda a, time=time: a[:, time], params) for time in (0, -1))
    vectors = [
        np.stack([*latents(first, x), *latents(last, x)[1:]], axis=1) for x in (data[0], held_out[0])
    ]  # (seeds, 1 + 2 layers, N, d)
    errors = errors_of_probes(config, key, (vectors[0], data[1]), (vectors[1], held_out[1]))
    layers = len(SIZES) - 2
    return {
        "network": wrong(last[-1], vectors[1][:, -1], held_out[1]),
        "pixels": errors[:, 0],
        "random": errors[:, 1 : 1 + layers],
        "trained": errors[:, 1 + layers :],
    }


HOW = "held-out digits, 64-64-64-64-10 ReLU, {n.config.epochs} epochs, probes {n.config.probe_epochs}"


@at_least(
    0,
    "In a trained network a probe errs less on the last hidden layer than on the pixels.",
    source="Alain & Bengio, 2016: the error falls with depth; no table for such a network",
    how="error on pixels minus that on the last hidden layer, same seed; " + HOW,
)
def gain_by_training(n: Numbers) -> Statistic:
    return difference(n["pixels"], n["trained"][:, -1])


@at_least(
    0,
    "In a trained network a probe makes fewer errors on the last hidden layer than on the pixels.",
    source="Alain & Bengio, 2016: the error falls with depth; no table for such a network",
    how="the share of the errors on pixels that is gone; " + HOW,
)
def fewer_errors(n: Numbers) -> Statistic:
    return mean(1 - n["trained"][:, -1] / n["pixels"])


@at_most(
    0,
    "In trained networks the probe's mean error falls from each layer to the next.",
    source="Alain & Bengio, 2016: it falls monotonically",
    how="steps of the mean over seeds; " + HOW,
)
def largest_rise_from_layer_to_layer(n: Numbers) -> Statistic:
    return largest(np.diff(_by_layer(n, "trained").mean(axis=0)))


@at_least(
    0,
    "In a network at initialisation a probe errs no less on the last hidden layer than on the pixels.",
    source="expected: as many random features as pixels can lose much and gain little",
    how="error on the last hidden layer minus that on the pixels, same seed; " + HOW,
)
def loss_by_random_layers(n: Numbers) -> Statistic:
    return difference(n["random"][:, -1], n["pixels"])


@equals(
    0,
    "A probe on the last hidden layer errs as often as the network, whose last layer is such a classifier.",
    within=0.005,
    source="derived: both are softmax regression on the same vectors",
    how="error of the probe minus the network's, same seed; half a point for the two ways to train it; " + HOW,
)
def probe_and_network(n: Numbers) -> Statistic:
    return difference(n["trained"][:, -1], n["network"])


def picture(n: Numbers) -> Figure:
    """Draw the probe's error by layer, in trained networks and at initialisation."""
    figure, axes = panels(figsize=(6.5, 4.0))
    for name, label, color in (
        ("random", "at initialisation", "tab:orange"),
        ("trained", "after training", "tab:blue"),
    ):
        errors = 100 * _by_layer(n, name)
        layers = np.arange(errors.shape[1])
        axes.plot(layers, errors.T, color=color, lw=0.6, alpha=0.35)
        axes.plot(layers, errors.mean(axis=0), "o-", color=color, lw=2.5, label=label)
    axes.set_xticks(layers, ["pixels", *(f"hidden {l}" for l in layers[1:])])
    axes.set(ylim=(0, None), xlabel="layer that the probe reads", ylabel="error of the probe, %")
    axes.set_title("What a linear classifier can read off each layer")
    axes.legend(loc="upper left")
    return figure


def _by_layer(n: Numbers, name: str) -> np.ndarray:
    """Return the errors on the pixels and on each hidden layer (seeds, 1 + layers)."""
    return np.concatenate([n["pixels"][:, None], n[name]], axis=1, dtype=float)


def errors_of_probes(config: Config, key: jax.Array, data: Examples, held_out: Examples) -> np.ndarray:
    """Return the held-out errors (seeds, kinds) of softmax regression on vectors (seeds, kinds, N, d)."""
    (h, labels), (h_held_out, labels_held_out) = data, held_out
    center = h.mean(axis=2, keepdims=True)
    scale = np.sqrt(np.mean((h - center) ** 2, axis=(2, 3), keepdims=True))
    *_, of_probes = parts_of(keys_of(key, config.seeds))
    probe = starts(of_probes, (h.shape[-1], SIZES[-1]), mlp_jax.activations.identity)
    runs = (of_probes, probe, (h - center) / scale, labels)
    (fitted,) = over_runs(partial(_fitted, config), runs)
    return wrong(fitted, (h_held_out - center) / scale, labels_held_out[:, None])


def _fitted(config: Config, key: jax.Array, probe: Params, h: jax.Array, labels: jax.Array) -> Params:
    def fit(h: jax.Array) -> Params:
        optimizer = optax.adam(config.probe_rate)
        return mlp_jax.train(key, probe, (h, labels), optimizer=optimizer, epochs=config.probe_epochs).params

    return jax.vmap(fit)(h)


def wrong(layer: Layer, h: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share of vectors h (..., N, d) that a linear classifier gets wrong (...)."""
    return np.mean(np.argmax(h @ layer.weight + layer.bias[..., None, :], axis=-1) != labels, axis=-1)
