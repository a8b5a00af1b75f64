"""The last latent vector's width bounds the rank of all log-probabilities.

Random 16-32-d-C tanh networks, weights normal with variance 1/fan_in and biases standard normal, C = 50 classes,
N = 200 random inputs; d is varied. The N x C matrix of log p is H W + 1 b^T - c 1^T, with c the log of softmax's
denominator: rank d, one more for the output bias, one more for c. Its singular values, in float64, say whether the
bound holds and whether it is reached; Taylor softmax, whose probabilities are no exponentials, does not obey it (after
Yang et al., 2018).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from experiments.tasks import generator
from mlp_jax import Layer

FORMULA = r"\log p = H W + \mathbf{1} b^\top - c\,\mathbf{1}^\top, \qquad \mathrm{rank}\,(\log p) \le d + 2"
CAPTION = (
    "Singular values of the matrix of log-probabilities, 200 inputs and 50 classes, over the largest. With softmax "
    "they fall to rounding after d + 2, dotted, however deep the network; with Taylor softmax they do not."
)


@dataclass(frozen=True)
class Config:
    """The width of the last hidden layer is varied, the rest is held fixed."""

    widths: tuple[int, ...] = (2, 8, 32)
    classes: int = 50
    examples: int = 200
    networks: int = 5  # of each width


FULL = Config()
QUICK = Config(networks=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Take the singular values of the log-probabilities of random networks."""
    spectra: dict[str, list[np.ndarray]] = {"softmax": [], "softmax without bias": [], "Taylor softmax": []}
    rng = generator(key)
    for i, d in enumerate(config.widths):
        z = [logits(config, rng, d) for _ in range(config.networks)]
        spectra["softmax"].append(np.stack([spectrum(log_softmax(with_bias)) for with_bias, _ in z]))
        spectra["softmax without bias"].append(np.stack([spectrum(log_softmax(without)) for _, without in z]))
        spectra["Taylor softmax"].append(np.stack([spectrum(log_taylor_softmax(with_bias)) for with_bias, _ in z]))
        progress((i + 1) / len(config.widths))

    def at(name: str, extra: int) -> list[float]:
        """The singular value number d + extra of every network, over the largest."""
        return [float(s[d + extra - 1]) for d, many in zip(config.widths, spectra[name], strict=True) for s in many]

    networks = len(config.widths) * config.networks
    how = f"float64, d in {config.widths}, {config.examples} inputs, {config.classes} classes, {networks} networks"
    rounding = "1e-12, for rounding: unit roundoff 1.1e-16 and the size of the matrix"
    claims = (
        Claim(
            "rank",
            "The matrix of log-probabilities has rank d + 2 at most.",
            "<=",
            1e-12,
            "derived, after Yang et al., 2018: d, one for the output bias, one for the denominator",
            max(at("softmax", 3)),
            f"singular value d + 3 over the largest, the worst; {rounding}; {how}",
            seeds=networks,
            exact=True,
        ),
        Claim(
            "rank without bias",
            "Without an output bias it has rank d + 1 at most.",
            "<=",
            1e-12,
            "derived: d, and one for the denominator",
            max(at("softmax without bias", 2)),
            f"singular value d + 2 over the largest, the worst; {rounding}; {how}",
            seeds=networks,
            exact=True,
        ),
        Claim(
            "rank is reached",
            "The bound is reached: d + 2 singular values are far above rounding.",
            ">=",
            1e-6,
            "derived: H, 1 and c are linearly independent but by accident",
            min(at("softmax", 2)),
            f"singular value d + 2 over the largest, the worst; 1e-6 is a billion times rounding; {how}",
            seeds=networks,
            exact=True,
        ),
        Claim(
            "Taylor softmax",
            "Taylor softmax, (1 + z + z^2/2) over its sum, breaks the bound.",
            ">=",
            1e-6,
            "derived: log (1 + z + z^2/2) is not linear in z",
            min(at("Taylor softmax", 3)),
            f"singular value d + 3 over the largest, the worst; {how}",
            seeds=networks,
            exact=True,
        ),
    )
    first = {name: [many[0] for many in by_width] for name, by_width in spectra.items()}
    return Finding(claims, {"widths": list(config.widths), "spectra": first})


def logits(config: Config, rng: np.random.Generator, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) of a random network whose last hidden layer has d units, with and without the output bias."""
    sizes = (16, 32, d, config.classes)
    drawn = [(rng.standard_normal((n, m)) / np.sqrt(n), rng.standard_normal(m)) for n, m in pairwise(sizes)]
    x = rng.standard_normal((config.examples, sizes[0]))
    with jax.enable_x64(True):
        params = tuple(Layer(jnp.asarray(weight), jnp.asarray(bias)) for weight, bias in drawn)
        z = np.asarray(mlp_jax.forward(params, x, mlp_jax.tanh))
    return z, z - drawn[-1][1]


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Of every row, by the library."""
    with jax.enable_x64(True):
        return np.asarray(mlp_jax.log_softmax(jnp.asarray(z)))


def log_taylor_softmax(z: np.ndarray) -> np.ndarray:
    """The log of (1 + z + z^2/2) over its sum, of every row (de Brébisson & Vincent, 2016)."""
    f = 1 + z + z**2 / 2
    return np.log(f / f.sum(axis=1, keepdims=True))


def spectrum(matrix: np.ndarray) -> np.ndarray:
    """The singular values over the largest, in falling order."""
    s = np.linalg.svd(matrix, compute_uv=False)
    return s / s[0]


def picture(data: dict[str, Any]) -> Figure:
    """Singular values of the log-probabilities: a panel a width."""
    figure, panels = plt.subplots(1, len(data["widths"]), figsize=(7.5, 3.4), layout="constrained", sharey=True)
    for i, (axes, d) in enumerate(zip(panels, data["widths"], strict=True)):
        for name, style in {"Taylor softmax": "o", "softmax": "s"}.items():
            values = np.maximum(np.array(data["spectra"][name][i], float), 1e-18)
            axes.plot(
                np.arange(1, len(values) + 1), values, style, ms=3, label=name,
                color={"softmax": "tab:blue", "Taylor softmax": "tab:orange"}[name],
            )  # fmt: skip
        axes.axvline(d + 2.5, color="black", ls=":", lw=1.2)
        axes.set(yscale="log", xlabel="number of the singular value", title=f"last layer d = {d}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("singular value of log p, relative")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False
    )
    return figure
