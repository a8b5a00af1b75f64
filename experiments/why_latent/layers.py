"""Every layer's latent vectors in the plane, before, during and after training.

A 64-64-64-64-10 ReLU network learns digits: Adam at 1e-3, batches of 32. All numbers are of the 549 digits that it
does not train on, and so are all points, 300 of them a panel; every seed draws its own split. The picture is one
network, the first: the two directions along which a layer's latent vectors vary most (principal components), turned
within that plane so that classes lie as nearly as they can where they lie in the row below. The number beside it is the
share of a layer's variance that lies between the classes: the scatter of the ten class means over that of all vectors,
0 where classes have the same mean and 1 where each class is one point.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.why_latent.networks import SIZES, digits, latents, split, trained
from mlp_jax import Params

FORMULA = r"\frac{\mathrm{tr}\,S_B}{\mathrm{tr}\,S_T} = \frac{\sum_n |\mu_{y_n} - \mu|^2}{\sum_n |h_n - \mu|^2}"
CAPTION = (
    "Digits that the network has not seen, a point each, coloured by class, with the class's name at its mean: the "
    "pixels, then what each hidden layer makes of them, before, during and after training. In percent the share of "
    "variance between classes. Training pulls the classes apart, most in the last layer."
)


@dataclass(frozen=True)
class Config:
    """The layer and the time are varied, the rest is held fixed."""

    seeds: int = 20
    epochs: int = 40
    during: int = 2  # epochs, for the middle row of the picture


FULL = Config()
QUICK = Config(seeds=4, epochs=15, during=1)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train networks, record every layer's share of variance between classes, and keep the first one's vectors."""
    x, labels = digits()
    keys = jax.random.split(key, config.seeds)
    times = (0, config.during, config.epochs)
    shares, vectors, held_out = over_runs(Partial(run, times), (keys,), (x, labels))
    last_rise = mean_and_interval(shares[:, -1, -1] - shares[:, 0, -1])
    over_input = mean_and_interval(shares[:, -1, -1] - shares[:, -1, 0])
    steps = np.diff(shares[:, -1].mean(axis=0))
    how = f"held-out digits, {'-'.join(map(str, SIZES))} ReLU, {config.epochs} epochs"
    claims = (
        Claim(
            "rise by training",
            "Training raises the share of variance between classes in the last hidden layer.",
            ">=",
            0.0,
            "Papyan, Han & Donoho, 2020: variability within classes collapses; any rise is enough here",
            last_rise[0],
            f"after minus before; {how}",
            last_rise[1],
            config.seeds,
        ),
        Claim(
            "rise over the layers",
            "After training the last hidden layer has a larger share of variance between classes than the pixels.",
            ">=",
            0.0,
            "expected: training separates the classes; any rise is enough here",
            over_input[0],
            f"last hidden layer minus input; {how}",
            over_input[1],
            config.seeds,
        ),
        Claim(
            "smallest rise from layer to layer",
            "After training the share between classes rises from each layer to the next.",
            ">=",
            0.0,
            "He & Su, 2023 (not checked): each layer separates the data further",
            float(steps.min()),
            f"the smallest step of the mean over seeds; {how}",
            seeds=config.seeds,
        ),
    )
    first = planes([[h[0] for h in row] for row in vectors], held_out[0])
    return Finding(claims, first | {"times": list(times), "shares": shares[0][list(times)]})


def run(times: tuple[int, ...], key: jax.Array, x: jax.Array, labels: jax.Array) -> Any:
    """Train one network, and look at the digits held out.

    Returns:
      Every layer's share of variance between classes, before training and after each epoch (1 + epochs, layers); every
      layer's vectors at some times, in epochs; the labels.
    """
    of_split, of_params = jax.random.split(key)
    data, (x, labels) = split(of_split, x, labels)
    params = mlp_jax.init_params(of_params, SIZES)
    recorded = trained(key, params, data, max(times), lambda params, *_: params).recorded
    networks = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), params, recorded)

    def shares_of(params: Params) -> jax.Array:
        return jnp.stack([between_share(h, labels) for h in latents(params, x)])

    vectors = [latents(jax.tree.map(lambda a, time=time: a[time], networks), x) for time in times]
    return jax.lax.map(shares_of, networks), vectors, labels


def between_share(h: jax.Array, labels: jax.Array, classes: int = 10) -> jax.Array:
    """tr S_B / tr S_T of vectors h (N, d): the part of their variance that lies between the means of the classes."""
    is_class = jax.nn.one_hot(labels, classes, dtype=h.dtype)
    means = (is_class.T @ h) / jnp.maximum(is_class.sum(axis=0), 1)[:, None]
    center = h.mean(axis=0, keepdims=True)
    return jnp.sum((means[labels] - center) ** 2) / jnp.sum((h - center) ** 2)


# ---- picture


def planes(vectors: list[list[np.ndarray]], labels: np.ndarray) -> dict[str, Any]:
    """The planes of one network's layers, vectors[time][layer], and the labels: those of the points that are drawn."""
    rows = [[plane(h) for h in row] for row in vectors]
    for i in reversed(range(len(rows) - 1)):
        rows[i] = [turned(points, onto, labels) for points, onto in zip(rows[i], rows[i + 1], strict=True)]
    return {
        "labels": labels[:DRAWN].tolist(),
        "input": rows[0][0][:DRAWN].round(3).tolist(),  # the same at all times
        "hidden": [[points[:DRAWN].round(3).tolist() for points in row[1:]] for row in rows],
    }


def plane(h: np.ndarray) -> np.ndarray:
    """Vectors h (N, d) along their first two principal components, over the spread along the first: (N, 2)."""
    centred = h - h.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(h))
    return centred @ directions[:, :-3:-1] / np.sqrt(variances[-1])


def turned(points: np.ndarray, onto: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Points turned or mirrored in their plane, their class means as near to the others' as can be (Procrustes)."""
    means, others = (np.stack([p[labels == c].mean(axis=0) for c in np.unique(labels)]) for p in (points, onto))
    u, _, v = np.linalg.svd(means.T @ others)
    return points @ u @ v


COLORS = ("#332288", "#88CCEE", "#117733", "#DDAA33", "#CC6677", "#222222", "#AA4499", "#EE7733", "#44AA99", "#882255")


DRAWN = 300  # points a panel
DPI = 120  # of the points, which without antialiasing take little space


def picture(data: dict[str, Any]) -> Figure:
    """A grid of planes: a row a time, a column a layer."""
    labels = np.array(data["labels"])
    hidden = len(data["hidden"][0])
    figure, grid = plt.subplots(3, 1 + hidden, figsize=(7.5, 5.8), layout="constrained", dpi=DPI)
    shares = np.array(data["shares"], float)
    _draw(grid[0, 0], data["input"], labels, shares[0, 0])
    grid[0, 0].set_title("pixels", fontsize=10)
    for axes in grid[1:, 0]:
        axes.axis("off")
    handles = [Line2D([], [], marker="o", ls="", ms=6, color=color) for color in COLORS]
    grid[1, 0].legend(handles, range(10), title="digit", ncols=2, loc="upper center", fontsize=9, frameon=False)
    words = [f"after {n} epoch{'s' * (n > 1)}" if n else "before training" for n in data["times"]]
    for i, row in enumerate(data["hidden"]):
        for l, points in enumerate(row, start=1):
            _draw(grid[i, l], points, labels, shares[i, l])
            if i == 0:
                grid[i, l].set_title(f"hidden layer {l}", fontsize=10)
        grid[i, -1].yaxis.set_label_position("right")
        grid[i, -1].set_ylabel(words[i], fontsize=10)
    return figure


def _draw(axes: Any, points: Any, labels: np.ndarray, share: float) -> None:
    points = np.array(points, float)
    axes.scatter(*points.T, s=6, c=[COLORS[c] for c in labels], lw=0, antialiased=False, rasterized=True)
    means = np.stack([points[labels == c].mean(axis=0) for c in range(10)])
    axes.scatter(*means.T, s=95, c=COLORS, edgecolors="white", lw=0.8, clip_on=False)
    for c, mean in enumerate(means):
        axes.annotate(str(c), mean, ha="center", va="center_baseline", fontsize=8, color="white", weight="bold")
    axes.annotate(f"{share:.0%}", (0.97, 0.03), xycoords="axes fraction", ha="right", va="bottom", fontsize=9)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_color("0.8")
