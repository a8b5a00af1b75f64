"""How the signal and the gradient change from layer to layer: sigmoid, tanh and ReLU at initialisation.

Backwards: the network of Nielsen (2015, ch. 5), 784-30-30-30-30-10 sigmoids with weights of variance 1 / fan_in and
biases of variance 1. The gradient is that of the mean cross-entropy (one sigmoid per output) over the first 1,000
training images of MNIST, pixels in [0, 1]. The norms of its bias parts in the hidden layers are compared. Without
MNIST, as in a quick run, the images are digits.

Forwards: the singular values of one square weight matrix, which is tanh's Jacobian at 0 (Glorot & Bengio, 2010), and
the mean square of ReLU layers, zero biases, with weights of variance 2 / fan_in and 1 / fan_in (He et al., 2015). Its
mean over networks is ruled by a few large ones, so the factor of every single layer is averaged.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_least, equals
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, mean
from experiments.runs_at_once import over_runs
from experiments.why_activations.shared import COLORS, LABELS, furthest
from mlp_jax import Layer, Loss, Params, datasets, relu, sigmoid, tanh

FORMULA = (
    r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \quad "
    r"\max \mathrm{sigmoid}' = \tfrac{1}{4}, \quad \max \tanh' = 1, \quad "
    r"\mathbb{E} |h_{l+1}|^2 = \tfrac{1}{2} \, \mathrm{fan\_in} \, \mathrm{Var} \, W \; \mathbb{E} |h_l|^2"
)
NIELSEN = (0.003, 0.017, 0.070, 0.285)  # first hidden layer to last
HIDDEN = {"sigmoid": (sigmoid, 1.0, 1.0), "tanh": (tanh, 1.0, 0.1), "relu": (relu, 2.0, 0.1)}  # variances, biases

one_sigmoid_an_output = Loss(
    lambda z, t: jnp.mean(jnp.sum(jax.nn.softplus(z) - t * z, axis=1)),
    lambda z, t: (jax.nn.sigmoid(z) - t) / len(z),
    name="binary_cross_entropy",
)


@dataclass(frozen=True)
class Config:
    """The activation and the weights' variance are varied."""

    networks: int = 100  # for the gradients
    images: int = 1000
    width: int = 1000  # of the matrix whose singular values are taken
    matrices: int = 5
    depth: int = 30  # of the ReLU networks
    relu_networks: int = 200
    relu_width: int = 100
    mnist: bool = True


FULL = Config()
QUICK = Config(networks=20, width=100, matrices=3, relu_networks=10, mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray | NotMeasured]:
    """Measure the largest slopes, gradients backwards, singular values, and mean squares forwards.

    Returns:
      "largest slope" of sigmoid and tanh; "norms" of the bias gradients, on MNIST or digits (activations, networks,
      hidden layers); mean singular values, "normalised" and "standard" (matrices,); and the "mean squares" of ReLU
      layers for each variance, 2 and 1 / fan_in (variances, networks, layers).
    """
    rng = tasks.generator(key)
    dataset, reason = tasks.mnist_or_reason(config.mnist)
    norms = _gradient_norms(config, rng, dataset or datasets.load_digits())
    found: dict[str, np.ndarray | NotMeasured] = {"norms, MNIST": norms}
    if dataset is None:
        found = {"norms, MNIST": NotMeasured(reason), "norms, digits": norms}
    progress(0.3)
    normalised, standard = (
        np.array([mean_singular_value(rng, config.width, variance) for _ in range(config.matrices)])
        for variance in (1.0, 1 / 3)
    )
    progress(0.7)
    seed, shape = rng.integers(2**31), (config.relu_networks, config.relu_width, config.depth)
    squares = [mean_squares(np.random.default_rng(seed), *shape, variance) for variance in (2.0, 1.0)]
    with jax.enable_x64(True):
        slopes = np.asarray(_largest_slopes())
    return found | {
        "largest slope": slopes,
        "normalised": normalised,
        "standard": standard,
        "mean squares": np.array(squares),
    }


@jax.jit
def _largest_slopes() -> jax.Array:
    z = jnp.linspace(-40, 40, 80_001)
    return jnp.stack([jnp.max(phi.derivative(z)) for phi in (sigmoid, tanh)])


def _gradient_norms(config: Config, rng: np.random.Generator, dataset: tasks.Dataset) -> np.ndarray:
    """Return the norms of the bias gradients (activations, networks, hidden layers)."""
    x = tasks.as_drawn(dataset, dataset.train)[: config.images]
    x = (x / (255 if dataset.name == "mnist" else 16)).astype(np.float32)
    targets = np.eye(10, dtype=np.float32)[dataset.train.labels[: config.images]]
    sizes = (x.shape[1], 30, 30, 30, 30, 10)
    params = [drawn(rng, config.networks, sizes, variance, biases) for _, variance, biases in HIDDEN.values()]

    def run(*arguments: Any) -> jax.Array:
        *params, x, targets = arguments
        gradients = [
            mlp_jax.backprop(net, x, targets, phi, one_sigmoid_an_output)[1]
            for net, (phi, _, _) in zip(params, HIDDEN.values(), strict=True)
        ]
        return jnp.stack([jnp.stack([jnp.linalg.norm(layer.bias) for layer in net[:-1]]) for net in gradients])

    return np.swapaxes(over_runs(run, tuple(params), (x, targets)), 0, 1)


def drawn(rng: np.random.Generator, networks: int, sizes: tuple[int, ...], variance: float, biases: float) -> Params:
    """Draw many networks at once: normal weights of variance / fan_in, and normal biases of a standard deviation."""
    normal: Any = rng.normal  # in float64: JAX takes them in its own default
    return tuple(
        Layer(
            normal(0, np.sqrt(variance / fan_in), (networks, fan_in, fan_out)), normal(0, biases, (networks, fan_out))
        )
        for fan_in, fan_out in pairwise(sizes)
    )


def mean_singular_value(rng: np.random.Generator, n: int, variance: float) -> float:
    """Return the mean singular value of a square matrix with uniform entries of variance / n."""
    limit = np.sqrt(3 * variance / n)
    return float(np.mean(np.linalg.svd(rng.uniform(-limit, limit, (n, n)), compute_uv=False)))


def mean_squares(rng: np.random.Generator, networks: int, n: int, depth: int, variance: float) -> np.ndarray:
    """Return the mean squares of h_0 ... h_L, networks by layers, of ReLU networks of width n without biases."""
    h = rng.normal(size=(networks, 1, n))
    found = [np.mean(h**2, axis=(1, 2))]
    for _ in range(depth):
        h = np.maximum(h @ rng.normal(0, np.sqrt(variance / n), (networks, n, n)), 0)
        found.append(np.mean(h**2, axis=(1, 2)))
    return np.stack(found, axis=1)


def norms(n: Numbers) -> np.ndarray:
    """Return the norms of the bias gradients on MNIST, or on digits if MNIST was left out."""
    return n["norms, digits" if "norms, MNIST" in n.missing else "norms, MNIST"]


def factor(norms: np.ndarray, phi: str) -> Statistic:
    """Return by how much the gradient grows per layer: the geometric mean over networks and layers."""
    of_phi = norms[list(HIDDEN).index(phi)]
    value, _, seeds, ends = mean(np.log(of_phi[:, -1] / of_phi[:, 0]) / (of_phi.shape[1] - 1))
    low, high = np.exp(ends or ())
    return Statistic(float(np.exp(value)), "geometric mean", seeds, (float(low), float(high)))


slope = partial(
    equals,
    within=1e-15,
    how="the largest of 80,001 points from -40 to 40, 0 among them, float64, up to rounding",
    must=True,
)


@slope(0.25, "sigmoid' is 1/4 at 0 and smaller elsewhere.", source="derived: s' = s (1 - s)")
def slope_of_sigmoid(n: Numbers) -> float:
    return float(n["largest slope"][0])


@slope(1, "tanh' is 1 at 0 and smaller elsewhere.", source="derived: tanh' = 1 - tanh^2")
def slope_of_tanh(n: Numbers) -> float:
    return float(n["largest slope"][1])


FACTOR = "(last / first hidden layer)^(1/3)"
hardly_changes = partial(
    equals, 1, within=0.3, how=f"{FACTOR}; 0.3: narrow layers of 30, and inputs that are all positive"
)


@equals(
    (NIELSEN[-1] / NIELSEN[0]) ** (1 / (len(NIELSEN) - 1)),
    "In a sigmoid network the gradient shrinks by a factor of 4 to 5 per layer on average.",
    within=0.5,
    source=f"Nielsen (2015), ch. 5: {', '.join(map(str, NIELSEN))}, first to last hidden layer of one network",
    how=f"{FACTOR}; from 4 to 5, as far as one network and rounded numbers say",
)
def Nielsen_s_factor(n: Numbers) -> Statistic:
    return factor(n["norms, MNIST"], "sigmoid")


@at_least(
    2,
    "It shrinks by more than 2 per layer on average.",
    source="sigmoid' <= 1/4, and weights of variance 1 / fan_in keep the size of what they carry",
    how=FACTOR,
)
def sigmoid_factor(n: Numbers) -> Statistic:
    return factor(norms(n), "sigmoid")


@hardly_changes(
    "In a tanh network with its own initialisation it hardly changes.",
    source="Glorot & Bengio (2010): weights of variance 2 / (fan_in + fan_out), slopes up to 1",
)
def tanh_factor(n: Numbers) -> Statistic:
    return factor(norms(n), "tanh")


@hardly_changes(
    "In a ReLU network with its own initialisation it hardly changes.",
    source="He et al. (2015): weights of variance 2 / fan_in",
)
def relu_factor(n: Numbers) -> Statistic:
    return factor(norms(n), "relu")


QUARTER_CIRCLE = 8 / (3 * pi)
MATRICES = "mean singular value of a matrix, {n.config.width} x {n.config.width}; 1 %"


@equals(
    QUARTER_CIRCLE,
    "The singular values of a tanh layer's Jacobian at 0, with the normalised initialisation, n Var W = 1, average "
    "8 / (3 pi) sqrt(n Var W).",
    within=0.01 * QUARTER_CIRCLE,
    source="derived: the quarter-circle law; Glorot & Bengio (2010), sec. 4.2.2: about 0.8",
    how=MATRICES,
)
def normalised_singular_value(n: Numbers) -> Statistic:
    return mean(n["normalised"])


@equals(
    QUARTER_CIRCLE / 3**0.5,
    "With the standard initialisation, n Var W = 1/3, they average 8 / (3 pi) sqrt(n Var W), too.",
    within=0.01 * QUARTER_CIRCLE / 3**0.5,
    source="derived: the quarter-circle law; Glorot & Bengio (2010), sec. 4.2.2: about 0.5",
    how=MATRICES,
)
def standard_singular_value(n: Numbers) -> Statistic:
    return mean(n["standard"])


mean_square = partial(
    equals,
    source="He et al. (2015); derived: half of a symmetric z is cut off",
    how="factor per layer, mean of {n.config.depth} layers of {n.config.relu_width}; 2 %",
)


def per_layer(squares: np.ndarray) -> Statistic:
    """Return the factor of a layer: the mean over layers, and over networks."""
    return mean((squares[:, 1:] / squares[:, :-1]).mean(axis=1))


@mean_square(1, "With weights of variance 2 / fan_in a ReLU layer keeps the mean square of its input.", within=0.02)
def he_mean_square(n: Numbers) -> Statistic:
    return per_layer(n["mean squares"][0])


@mean_square(0.5, "With variance 1 / fan_in it keeps half of it.", within=0.01)
def lecun_mean_square(n: Numbers) -> Statistic:
    return per_layer(n["mean squares"][1])


@equals(
    lambda n: 2.0**-n.config.depth,
    "Without the factor 2 the mean square falls as 2^-L: after {n.config.depth} layers to {expected:.1e} of it.",
    within=lambda n: 1e-10 * 2.0**-n.config.depth,
    source="He et al. (2015); derived: relu(c z) = c relu(z), so every layer passes the factor 1/2 on",
    how="mean square with variance 1 / fan_in over that with 2 / fan_in, same random numbers, the worst network",
    must=True,
)
def power_of_two(n: Numbers) -> float:
    he, lecun = n["mean squares"][:, :, -1]
    return furthest(lecun / he, 2.0**-n.config.depth)


def picture(n: Numbers) -> Figure:
    """Draw gradients backwards and mean squares forwards."""
    figure, (left, right) = panels(1, 2, figsize=(7.5, 3.8))
    layers = np.arange(1, len(NIELSEN) + 1)
    for name, rows in zip(HIDDEN, norms(n), strict=True):
        left.plot(layers, np.median(rows, axis=0), "o-", color=COLORS[name], label=LABELS[name])
    if "norms, MNIST" not in n.missing:
        left.plot(layers, NIELSEN, "kx", ms=8, label="Nielsen (2015), sigmoid")
    left.set(yscale="log", xlabel="hidden layer", ylabel="norm of the bias gradient", xticks=layers)
    left.set_title("Backwards: the gradient")
    left.legend(fontsize=8, loc="lower right")
    for i, (color, label) in enumerate((("#d55e00", "variance 2 / fan_in"), ("#555555", "variance 1 / fan_in"))):
        lines = right.plot(n["mean squares"][i, :40].T, color=color, lw=0.5, alpha=0.3, rasterized=True)
        lines[0].set_label(label)
        right.plot(0.5 ** (i * np.arange(n.config.depth + 1)), "--", color="black", lw=1.2)
    right.set(yscale="log", xlabel="layer", ylabel="mean square of a ReLU layer")
    right.set_title("Forwards: the signal (dashed: 1 and $2^{-l}$)")
    for handle in right.legend(fontsize=8, loc="lower left").get_lines():
        handle.set(alpha=1, lw=2)
    return figure
