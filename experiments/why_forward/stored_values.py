"""Backprop with another example's hidden values.

The gradient of an untrained and a trained network on all training digits, once as it is and once with every h_{l-1}
taken from another example, all else right: the cosine of the two over all weights, mean over several shifts of the
batch, whose order is random. It is compared with a prediction that knows only the mean of h and how far h and delta
scatter about their means: with h = m + r, m the mean over the B examples, dW = m D^T + r^T delta, D the sum of delta.
Under a random permutation the first part stays, the second has mean 0 and the mean square
|r|^2 |delta - mean|^2 / (B - 1), so that

    cos = <m D^T, dW> / (|dW| sqrt(|m D^T|^2 + |r|^2 |delta - mean|^2 / (B - 1))).

Pixels are standardised one by one (mean 0) or raw (0 to 1). And what need not be kept: z, since phi' follows from h for
sigmoid and tanh, and from one bit per unit for relu.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import Because, at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest, mean
from experiments.runs_at_once import over_runs
from experiments.tasks import as_drawn
from experiments.why_forward.networks import initial
from mlp_jax import Activation, Params, datasets
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.backpropagation import backprop_with_trace

FORMULA = (
    r"\mathrm{d}W_l = h_{l-1}^\top \delta_l = m D^\top + (h_{l-1} - m)^\top \delta_l, \qquad "
    r"m = \frac{1}{B} \sum_i h_{l-1,i}, \quad D = \sum_i \delta_{l,i}"
)
WHEN = ("untrained", "trained")
Matrices = Sequence[np.ndarray]


@dataclass(frozen=True)
class Config:
    """Activation, pixels and training are varied, the network is held fixed."""

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu")
    pixels: tuple[str, ...] = ("standardised", "raw")
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 20  # of Adam; 0 measures untrained networks only
    learning_rate: float = 3e-3
    batch_size: int = 32
    shifts: int = 100  # of the batch, per seed
    seeds: int = 20


FULL = Config()
QUICK = Config(activations=("tanh",), pixels=("standardised",), hidden=(64,), epochs=0, shifts=10, seeds=4)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Take the gradient with another example's h before and after training, and without z.

    Returns:
      The cosine to the true gradient and its prediction, "cosine" and "predicted", and the errors of what is exact,
      "shifts" and "kept", each (pixels, activations, when, seeds).
    """
    when = WHEN if config.epochs else WHEN[:1]
    cells = [(pixels, name) for pixels in config.pixels for name in config.activations]
    found = []
    for i, (pixels, name) in enumerate(cells):
        progress(i / len(cells))
        phi = ACTIVATIONS[name]
        with jax.enable_x64(True):
            params = initial(key, (64, *config.hidden, 10), phi, (config.seeds,))
            cosines, *traces = over_runs(partial(_traces, config, phi), (params,), digits(pixels), at_once=1)
        for at in np.ndindex(cosines.shape):
            params, gradients, hs, deltas = jax.tree.map(lambda a, at=at: a[at], traces)
            found.append((cosines[at], predicted_cosine(hs, deltas), *exact_errors(phi, params, gradients, hs, deltas)))
    shape = len(config.pixels), len(config.activations), config.seeds, len(when)
    names = ("cosine", "predicted", "shifts", "kept")
    arrays = np.transpose(np.reshape(found, (*shape, len(names))), (4, 0, 1, 3, 2))
    return dict(zip(names, arrays, strict=True)) | {
        "pixels": np.array(config.pixels),
        "activation": np.array(config.activations),
        "when": np.array(when),
    }


NETWORK = "hidden layers {n.config.hidden}, float64, all training digits, {n.config.shifts} shifts per seed"
COSINE: dict[str, Any] = {
    "how": f"cosine of all weights' gradients; trained by {{n.config.epochs}} epochs of Adam; {NETWORK}",
    "when": WHEN,
}
EVERY = "the worst leaf of {n.config.activations}, before and after training"


@at_most(
    0.02,
    "In every network the cosine is what the mean of h predicts.",
    source="derived: first and second moments of a random permutation",
    how="the largest gap between the means over seeds; the ratio of moments is not the mean of ratios; " + NETWORK,
)
def cosine_by_the_mean_of_h(n: Numbers) -> Statistic:
    return largest(abs(np.mean(n["cosine"] - n["predicted"], axis=-1)))


@equals(
    0,
    "With another example's h, standardised pixels, the gradient of {when} tanh networks says nothing of the true one.",
    within=0.1,
    source="derived: only the mean of h survives, and that is about 0; the number is ours",
    **COSINE,
)
def tanh(n: Numbers, when: str) -> Statistic:
    return _cosine(n, "tanh", when)


KEEPS: dict[str, Any] = {
    "source": "derived: only the mean of h survives, and h is not negative; the number is ours",
    "because": Because(
        "training has left less of the gradient to the mean of h, which predicts this cosine", cosine_by_the_mean_of_h
    ),
    **COSINE,
}


@at_least(
    0.3,
    "With another example's h, standardised pixels, the gradient of {when} sigmoid networks keeps a part of the true "
    "one.",
    **KEEPS,
)
def sigmoid(n: Numbers, when: str) -> Statistic:
    return _cosine(n, "sigmoid", when)


@at_least(
    0.3,
    "With another example's h, standardised pixels, the gradient of {when} relu networks keeps a part of the true one.",
    **KEEPS,
)
def relu(n: Numbers, when: str) -> Statistic:
    return _cosine(n, "relu", when)


@at_most(
    1e-10,
    "Averaged over all shifts of the batch, the gradient with another's h is the mean of h times the sum of delta.",
    source="derived: every h meets every delta once",
    how="relative L2 error, float64, 32 examples; a sum of B terms that may cancel; " + EVERY,
    must=True,
)
def mean_over_shifts(n: Numbers) -> Statistic:
    return largest(n["shifts"])


@at_most(
    1e-11,
    "Without any z the gradient is the same: sigmoid and tanh need the output h only, relu one bit per unit.",
    source="derived: s' = h (1 - h), tanh' = 1 - h^2, relu' = 1 where h > 0",
    how="relative L2 error, float64; 1 - h loses the digits that a saturated unit has no use for; " + EVERY,
    must=True,
)
def outputs_are_enough(n: Numbers) -> Statistic:
    return largest(n["kept"])


def _cosine(n: Numbers, activation: str, when: str) -> Statistic:
    return mean(n["cosine"][n.at(pixels="standardised"), n.at(activation=activation), n.at(when=when)])


def picture(n: Numbers) -> Figure:
    """Draw the measured cosine over the predicted one, one point per network."""
    figure, axes = panels(figsize=(6.0, 5.0))
    axes.plot([0, 1], [0, 1], "k-", lw=1)
    colors, markers = {"tanh": "C0", "sigmoid": "C1", "relu": "C2"}, {"untrained": "o", "trained": "^"}
    for (i, pixels), (j, name), (k, when) in product(
        *(enumerate(n[axis]) for axis in ("pixels", "activation", "when"))
    ):
        face = colors[name] if pixels == "standardised" else "none"
        style = {"color": colors[name], "mfc": face, "ms": 5, "mew": 1, "alpha": 0.7}
        axes.plot(n["predicted"][i, j, k], n["cosine"][i, j, k], markers[when], **style)
    for name in n["activation"]:
        axes.plot([], [], "s", color=colors[name], label=name)
    for when, marker in markers.items():
        axes.plot([], [], marker, color="0.4", label=when)
    if "raw" in n["pixels"]:
        axes.plot([], [], "s", color="0.4", mfc="none", label="open: raw pixels")
    axes.set(xlabel="cosine predicted from the mean of h alone", ylabel="cosine measured")
    axes.set_title("Gradient with another example's h against the true one")
    axes.legend(loc="upper left")
    return figure


def digits(pixels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the training digits, each pixel with mean 0 and variance 1, or raw, from 0 to 1."""
    dataset = datasets.load_digits(dtype=np.float64)
    raw = as_drawn(dataset, dataset.train)
    if pixels == "raw":
        return raw / 16, dataset.train.labels
    return datasets.standardise(raw, *datasets.mean_and_scale(raw, images=False), np.float64), dataset.train.labels


def _traces(config: Config, phi: Activation, params: Params, x: jax.Array, labels: jax.Array) -> tuple[Any, ...]:
    """Return the cosine, weights, gradients, hidden values and deltas, untrained and trained on a leading axis."""
    networks = [params]
    if config.epochs:
        result = mlp_jax.train(
            jax.random.key(0),  # without shuffling nothing is random
            params,
            (x, labels),
            optimizer=optax.adam(config.learning_rate),
            epochs=config.epochs,
            batch_size=config.batch_size,
            activation=phi,
            shuffle=False,  # their order is random
        )
        networks.append(result.params)
    return jax.lax.map(partial(_trace, config, phi, x, labels), jax.tree.map(lambda *a: jnp.stack(a), *networks))


def _trace(config: Config, phi: Activation, x: jax.Array, labels: jax.Array, params: Params) -> tuple[Any, ...]:
    s = backprop_with_trace(params, x, labels, phi)
    hs, dW = s.forward.h, [weight for weight, _ in s.gradients]

    def cosine_with_shift(k: jax.Array) -> jax.Array:
        """Return the cosine with the hidden values of the example k places before."""
        return cosine(weight_gradients([jnp.roll(h, k, axis=0) for h in hs], s.delta), dW)

    shifts = len(x) * np.arange(1, config.shifts + 1) // (config.shifts + 1)  # none is 0: never itself
    return jnp.mean(jax.lax.map(cosine_with_shift, shifts)), params, s.gradients, hs, s.delta


def exact_errors(
    phi: Activation, params: Params, gradients: Params, hs: Matrices, deltas: Matrices
) -> tuple[float, float]:
    """Return the errors of what is exact: the mean over shifts, of a few examples, and the gradient without z."""
    few = [[a[:32] for a in matrices] for matrices in (hs, deltas)]
    without_z = gradients_from_outputs(params, hs, deltas[-1], phi.name)
    return error_of_shifts(*few), relative_error(without_z, jax.tree.leaves(gradients))


def weight_gradients(hs: Any, deltas: Any) -> list[Any]:
    """Return every dW_l = h_{l-1}^T delta_l."""
    return [h.T @ delta for h, delta in zip(hs, deltas, strict=True)]


def of_means(hs: Matrices, deltas: Matrices) -> Matrices:
    """Return m D^T of every layer, what the mean of h carries."""
    return [np.outer(h.mean(axis=0), delta.sum(axis=0)) for h, delta in zip(hs, deltas, strict=True)]


def predicted_cosine(hs: Matrices, deltas: Matrices) -> float:
    """Return the cosine that the means of h explain, by the formula above, summed over layers."""
    means, dW = of_means(hs, deltas), weight_gradients(hs, deltas)
    rest = sum(spread(h) * spread(delta) / (len(h) - 1) for h, delta in zip(hs, deltas, strict=True))
    return inner(means, dW) / np.sqrt(inner(dW, dW) * (inner(means, means) + rest))


def spread(a: np.ndarray) -> float:
    """Return the sum of squares about the mean over examples."""
    return np.sum((a - a.mean(axis=0)) ** 2)


def error_of_shifts(hs: Matrices, deltas: Matrices) -> float:
    """Return how far the mean gradient over all B shifts of the batch is from m D^T, relative: exactly 0."""
    every = [np.stack([np.roll(h, k, axis=0) for k in range(len(h))]) for h in hs]
    average = [np.einsum("kbi,bj->ij", h, delta) / len(h) for h, delta in zip(every, deltas, strict=True)]
    return relative_error(average, of_means(hs, deltas))


def gradients_from_outputs(params: Params, hs: Matrices, delta: np.ndarray, activation: str) -> Matrices:
    """Return the gradients, leaf by leaf, without any z: phi' from the outputs h of the units."""
    leaves = [hs[-1].T @ delta, delta.sum(axis=0)]
    for below, h, (W, _) in zip(hs[-2::-1], hs[:0:-1], params[:0:-1], strict=True):
        delta = (delta @ W.T) * derivative_from_output(activation, h)
        leaves = [below.T @ delta, delta.sum(axis=0), *leaves]
    return leaves


def derivative_from_output(activation: str, h: np.ndarray) -> np.ndarray:
    """Return phi' from phi, for relu from one bit per unit."""
    if activation == "relu":
        bits = np.packbits(h > 0, axis=1)
        return np.unpackbits(bits, axis=1, count=h.shape[1]).astype(h.dtype)
    return h * (1 - h) if activation == "sigmoid" else 1 - h**2


def inner(a: Any, b: Any) -> Any:
    """Return the inner product of two lists of matrices."""
    return sum((u * v).sum() for u, v in zip(a, b, strict=True))


def cosine(a: Any, b: Any) -> Any:
    """Return the cosine of two lists of matrices, each taken as one vector."""
    return inner(a, b) / (inner(a, a) * inner(b, b)) ** 0.5


def relative_error(actual: Matrices, expected: Matrices) -> float:
    """Return the worst relative L2 error of a leaf."""
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(actual, expected, strict=True))
