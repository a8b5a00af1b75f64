"""How the signal and the gradient change from layer to layer: sigmoid, tanh and ReLU at initialisation.

Backwards: the network of Nielsen (2015, ch. 5), 784-30-30-30-30-10 sigmoids with weights of variance 1 / fan_in and
biases of variance 1; the gradient of the mean cross-entropy (one sigmoid an output) over the first 1,000 training
images, pixels in [0, 1], and the norms of its bias parts in the hidden layers. A quick run takes digits for MNIST.
Forwards: the singular values of one square weight matrix, which is tanh's Jacobian at 0 (Glorot & Bengio, 2010), and
the mean square of ReLU layers, zero biases, with weights of variance 2 / fan_in and 1 / fan_in (He et al., 2015). Its
mean over networks is ruled by rare large ones, so the factor of every single layer is averaged.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import pi
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments import tasks
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from mlp_jax import Layer, Loss, Params, datasets, relu, sigmoid, tanh

FORMULA = (
    r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \quad "
    r"\max \mathrm{sigmoid}' = \tfrac{1}{4}, \quad \max \tanh' = 1, \quad "
    r"\mathbb{E} |h_{l+1}|^2 = \tfrac{1}{2} \, \mathrm{fan\_in} \, \mathrm{Var} \, W \; \mathbb{E} |h_l|^2"
)
CAPTION = (
    "At initialisation. Left: the bias gradient in each hidden layer, median over networks. Right: the mean square of "
    "ReLU layers with weights of variance 2 / fan_in and 1 / fan_in, with theory's lines."
)
NIELSEN = (0.003, 0.017, 0.070, 0.285)  # first hidden layer to last
HIDDEN = {"sigmoid": (sigmoid, 1.0, 1.0), "tanh": (tanh, 1.0, 0.1), "relu": (relu, 2.0, 0.1)}  # variances, biases
COLORS = {"sigmoid": "#0072b2", "tanh": "#009e73", "relu": "#d55e00"}

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
QUICK = Config(networks=20, width=200, matrices=5, relu_networks=50, mnist=False)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """The two derivatives, gradients backwards, singular values, and mean squares forwards."""
    rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    norms, mnist_missing = _gradient_norms(config, rng)
    progress(0.3)
    singular = {
        name: [mean_singular_value(rng, config.width, variance) for _ in range(config.matrices)]
        for name, variance in (("normalised", 1.0), ("standard", 1 / 3))
    }
    progress(0.7)
    seed = rng.integers(2**31)
    squares = {
        name: mean_squares(np.random.default_rng(seed), config.relu_networks, config.relu_width, config.depth, variance)
        for name, variance in (("he", 2.0), ("lecun", 1.0))
    }
    claims = (
        *_derivative_claims(),
        *_gradient_claims(config, norms, mnist_missing),
        *_singular_value_claims(config, singular),
        *_mean_square_claims(config, squares),
    )
    data = {
        "norms": {name: np.median(rows, axis=0) for name, rows in norms.items()},
        "mnist": not mnist_missing,
        "squares": {name: rows[:, :: max(1, config.depth // 30)][:40] for name, rows in squares.items()},
        "means": {name: rows.mean(axis=0) for name, rows in squares.items()},
    }
    return Finding(claims, data)


def _derivative_claims() -> list[Claim]:
    with jax.enable_x64(True):
        z = jnp.linspace(-40, 40, 80_001)
        largest = {phi.name: float(jnp.max(phi.derivative(z))) for phi in (sigmoid, tanh)}
    return [
        Claim(f"slope of {name}", f"{name}' is {words} at 0 and smaller elsewhere.", "=", bound, f"derived: {identity}",
              largest[name], "the largest of 80,001 points from -40 to 40, 0 among them, float64, up to rounding",
              tolerance=1e-15, exact=True)
        for name, bound, words, identity in (
            ("sigmoid", 0.25, "1/4", "s' = s (1 - s)"), ("tanh", 1.0, "1", "tanh' = 1 - tanh^2"))
    ]  # fmt: skip


def _gradient_norms(config: Config, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], str]:
    """The norms of the bias gradients, networks by hidden layers, of every activation; and why not on MNIST."""
    dataset, reason = tasks.mnist_or_reason(config.mnist)
    dataset = dataset or datasets.load_digits()
    x = tasks.as_drawn(dataset, dataset.train)[: config.images]
    x = (x / (255 if dataset.name == "mnist" else 16)).astype(np.float32)
    targets = np.eye(10, dtype=np.float32)[dataset.train.labels[: config.images]]
    found = {}
    for name, (phi, variance, biases) in HIDDEN.items():
        params = drawn(rng, config.networks, (x.shape[1], 30, 30, 30, 30, 10), variance, biases)

        def run(params: Params, x: Any, targets: Any, phi: Any = phi) -> jax.Array:
            _, gradients = mlp_jax.backprop(params, x, targets, phi, one_sigmoid_an_output)
            return jnp.stack([jnp.linalg.norm(layer.bias) for layer in gradients[:-1]])

        found[name] = over_runs(run, (params,), (x, targets))
    return found, reason


def drawn(rng: np.random.Generator, networks: int, sizes: tuple[int, ...], variance: float, biases: float) -> Params:
    """Many networks at once: normal weights of variance / fan_in, and normal biases of a standard deviation."""
    return tuple(
        Layer(
            jnp.asarray(rng.normal(0, np.sqrt(variance / fan_in), (networks, fan_in, fan_out)), jnp.float32),
            jnp.asarray(rng.normal(0, biases, (networks, fan_out)), jnp.float32),
        )
        for fan_in, fan_out in pairwise(sizes)
    )


def _gradient_claims(config: Config, norms: dict[str, np.ndarray], mnist_missing: str) -> list[Claim]:
    hidden = len(NIELSEN)
    published = (NIELSEN[-1] / NIELSEN[0]) ** (1 / (hidden - 1))
    logs = {name: np.log(rows[:, -1] / rows[:, 0]) / (hidden - 1) for name, rows in norms.items()}
    factor = {}
    for name, log_factor in logs.items():
        mean, (low, high) = mean_and_interval(log_factor)
        factor[name] = float(np.exp(mean)), (float(np.exp(low)), float(np.exp(high)))
    how = f"geometric mean of (last / first hidden layer)^(1/3) over {config.networks} networks"
    return [
        Claim(
            "Nielsen's factor",
            "In a sigmoid network the gradient shrinks by a factor of 4 to 5 a layer on average.",
            "=",
            published,
            f"Nielsen (2015), ch. 5: {', '.join(map(str, NIELSEN))} from the first hidden layer to the last, one "
            "network; their geometric mean",
            None if mnist_missing else factor["sigmoid"][0],
            f"{how}; from 4 to 5, as far as one network and rounded numbers say",
            None if mnist_missing else factor["sigmoid"][1],
            config.networks,
            0.5,
            mnist_missing,
        ),
        Claim(
            "sigmoid factor",
            "It shrinks by more than 2 a layer on average.",
            ">=",
            2,
            "sigmoid' <= 1/4, and weights of variance 1 / fan_in keep the size of what they carry",
            factor["sigmoid"][0],
            f"{how}, on {'digits' if mnist_missing else 'MNIST'}",
            factor["sigmoid"][1],
            config.networks,
        ),
        *(
            Claim(
                f"{name} factor",
                f"In a {'ReLU' if name == 'relu' else name} network with its own initialisation it hardly changes.",
                "=",
                1,
                source,
                factor[name][0],
                f"{how}; 0.3: narrow layers of 30, and inputs that are all positive",
                factor[name][1],
                config.networks,
                0.3,
            )
            for name, source in (
                ("tanh", "Glorot & Bengio (2010): weights of variance 2 / (fan_in + fan_out), slopes up to 1"),
                ("relu", "He et al. (2015): weights of variance 2 / fan_in"),
            )
        ),
    ]


def mean_singular_value(rng: np.random.Generator, n: int, variance: float) -> float:
    """Of a square matrix with uniform entries of variance / n."""
    limit = np.sqrt(3 * variance / n)
    return float(np.mean(np.linalg.svd(rng.uniform(-limit, limit, (n, n)), compute_uv=False)))


def _singular_value_claims(config: Config, singular: dict[str, list[float]]) -> list[Claim]:
    claims = []
    for name, variance, words in (("normalised", 1.0, "0.8"), ("standard", 1 / 3, "0.5")):
        mean, interval = mean_and_interval(singular[name])
        claims.append(
            Claim(
                f"{name} singular value",
                f"The singular values of a tanh layer's Jacobian at 0, with the {name} initialisation, n Var W = "
                f"{variance:.2g}, average 8 / (3 pi) sqrt(n Var W).",
                "=",
                8 / (3 * pi) * variance**0.5,
                f"derived: the quarter-circle law; Glorot & Bengio (2010), sec. 4.2.2: about {words}",
                mean,
                f"mean singular value of {config.matrices} matrices, {config.width} x {config.width}; 1 %",
                interval,
                config.matrices,
                0.01 * 8 / (3 * pi) * variance**0.5,
            )
        )
    return claims


def mean_squares(rng: np.random.Generator, networks: int, n: int, depth: int, variance: float) -> np.ndarray:
    """The mean squares of h_0 ... h_L, networks by layers, of ReLU networks of width n without biases."""
    h = rng.normal(size=(networks, 1, n))
    found = [np.mean(h**2, axis=(1, 2))]
    for _ in range(depth):
        h = np.maximum(h @ rng.normal(0, np.sqrt(variance / n), (networks, n, n)), 0)
        found.append(np.mean(h**2, axis=(1, 2)))
    return np.stack(found, axis=1)


def _mean_square_claims(config: Config, squares: dict[str, np.ndarray]) -> list[Claim]:
    claims = []
    for name, factor, words in (
        ("he", 1.0, "With weights of variance 2 / fan_in a ReLU layer keeps the mean square of its input."),
        ("lecun", 0.5, "With variance 1 / fan_in it keeps half of it."),
    ):
        ratios = np.asarray(squares[name][:, 1:] / squares[name][:, :-1], float).mean(axis=1)
        mean, interval = mean_and_interval(ratios)
        source = "He et al. (2015); derived: half of a symmetric z is cut off"
        reason = f"factor per layer, mean of {config.depth} layers of {config.relu_width} and networks; 2 %"
        seeds, tolerance = config.relu_networks, 0.02 * factor
        claims.append(
            Claim(f"{name} mean square", words, "=", factor, source, mean, reason, interval, seeds, tolerance)
        )
    falls = np.max(np.abs(squares["lecun"][:, -1] / squares["he"][:, -1] / 2.0**-config.depth - 1))
    claims.append(
        Claim(
            "power of two",
            f"Without the factor 2 the mean square falls as 2^-L: after {config.depth} layers to "
            f"{2.0**-config.depth:.1e} of it.",
            "=",
            2.0**-config.depth,
            "He et al. (2015); derived: relu(c z) = c relu(z), so every layer passes the factor 1/2 on",
            float((1 + falls) * 2.0**-config.depth),
            "mean square with variance 1 / fan_in over that with 2 / fan_in, same random numbers, the worst network",
            seeds=config.relu_networks,
            tolerance=1e-10 * 2.0**-config.depth,
            exact=True,
        )
    )
    return claims


def picture(data: dict[str, Any]) -> Figure:
    """Gradients backwards and mean squares forwards."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.8), layout="constrained")
    layers = np.arange(1, 5)
    for name, norms in data["norms"].items():
        left.plot(layers, norms, "o-", color=COLORS[name], label="ReLU" if name == "relu" else name)
    if data["mnist"]:
        left.plot(layers, NIELSEN, "kx", ms=8, label="Nielsen (2015), sigmoid")
    left.set(yscale="log", xlabel="hidden layer", ylabel="norm of the bias gradient", xticks=layers)
    left.set_title("Backwards: the gradient", fontsize=11)
    left.legend(fontsize=8, loc="lower right")
    for name, color, label in (("he", "#d55e00", "variance 2 / fan_in"), ("lecun", "#555555", "variance 1 / fan_in")):
        for i, row in enumerate(data["squares"][name]):
            right.plot(row, color=color, lw=0.5, alpha=0.3, rasterized=True, label=label if i == 0 else None)
        depth = np.arange(len(data["means"][name]))
        right.plot(depth, (1.0 if name == "he" else 0.5) ** depth, "--", color="black", lw=1.2)
    right.set(yscale="log", xlabel="layer", ylabel="mean square of a ReLU layer")
    right.set_title("Forwards: the signal (dashed: 1 and $2^{-l}$)", fontsize=11)
    for handle in right.legend(fontsize=8, loc="lower left").get_lines():
        handle.set(alpha=1, lw=2)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure
