"""Every layer's latent vectors in the plane, before, during and after training.

A 64-64-64-64-10 ReLU network learns digits: Adam at 1e-3, batches of 32. All numbers are of the 549 digits that it
does not train on, and so are all points, 300 of them per panel. Every seed draws its own split. The picture is of one
network, the first. It shows the two directions along which a layer's latent vectors vary most (principal components),
turned within that plane so that classes lie as near as possible to where they lie in the row below. The number in a
panel is the share of a layer's variance that lies between the classes: the scatter of the ten class means over that of
all vectors. It is 0 if all classes have the same mean and 1 if each class is one point.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.frame.claims import at_least
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference, smallest
from experiments.why_latent.networks import latents, trained

FORMULA = r"\frac{\mathrm{tr}\,S_B}{\mathrm{tr}\,S_T} = \frac{\sum_n |\mu_{y_n} - \mu|^2}{\sum_n |h_n - \mu|^2}"


@dataclass(frozen=True)
class Config:
    """The layer and the time are varied, the rest is held fixed."""

    seeds: int = 20
    epochs: int = 40
    during: int = 2  # epochs, for the middle row of the picture


FULL = Config()
QUICK = Config(seeds=4, epochs=15, during=1)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Train networks on digits, and look at the digits held out.

    Returns:
      "share" of variance between classes, of every layer before training and after each epoch (seeds, 1 + epochs,
      layers). Of the first network the "labels" (N,) and the planes of its vectors, "pixels" (N, 2) and, at each
      "epoch" of the picture, "hidden" (epochs, layers, N, 2).
    """
    _, (x, labels), params = trained(key, config.seeds, config.epochs)
    times = [0, config.during, config.epochs]
    vectors = [latents(jax.tree.map(lambda a, i=i: a[i], params), x[i][None]) for i in range(config.seeds)]
    shares = [[between_share(h, of_seed) for h in layers] for layers, of_seed in zip(vectors, labels, strict=True)]
    pixels, *hidden = vectors[0]
    return {
        "epoch": np.array(times),
        "share": np.array([np.stack(np.broadcast_arrays(*of_seed), axis=-1) for of_seed in shares]),
        "labels": labels[0],
        "pixels": plane(pixels[0]),
        "hidden": np.array([[plane(h[time]) for h in hidden] for time in times]),
    }


HOW = "held-out digits, 64-64-64-64-10 ReLU, {n.config.epochs} epochs"


@at_least(
    0,
    "Training raises the share of variance between classes in the last hidden layer.",
    source="Papyan, Han & Donoho, 2020: variability within classes collapses; any rise is enough here",
    how="after minus before; " + HOW,
)
def rise_by_training(n: Numbers) -> Statistic:
    return difference(n["share"][:, -1, -1], n["share"][:, 0, -1])


@at_least(
    0,
    "After training the last hidden layer has a larger share of variance between classes than the pixels.",
    source="expected: training separates the classes; any rise is enough here",
    how="last hidden layer minus input; " + HOW,
)
def rise_over_the_layers(n: Numbers) -> Statistic:
    return difference(n["share"][:, -1, -1], n["share"][:, -1, 0])


@at_least(
    0,
    "After training the share between classes rises from each layer to the next.",
    source="He & Su, 2023 (not checked): each layer separates the data further",
    how="steps of the mean over seeds; " + HOW,
)
def smallest_rise_from_layer_to_layer(n: Numbers) -> Statistic:
    return smallest(np.diff(n["share"][:, -1].mean(axis=0)))


COLORS = ("#332288", "#88CCEE", "#117733", "#DDAA33", "#CC6677", "#222222", "#AA4499", "#EE7733", "#44AA99", "#882255")
DRAWN = 300  # points per panel
DPI = 120  # of the points, which without antialiasing take little space


def picture(n: Numbers) -> Figure:
    """Draw a grid of planes: a row for each time, a column for each layer."""
    labels, shares = n["labels"], n["share"][0, n["epoch"]]
    rows = list(n["hidden"])
    for i in reversed(range(len(rows) - 1)):
        rows[i] = [turned(points, onto, labels) for points, onto in zip(rows[i], rows[i + 1], strict=True)]
    figure, grid = panels(len(rows), 1 + len(rows[0]), figsize=(7.5, 5.8), dpi=DPI)
    _draw(grid[0, 0], n["pixels"], labels, shares[0, 0])
    grid[0, 0].set_title("pixels", fontsize=10)
    for axes in grid[1:, 0]:
        axes.axis("off")
    handles = [Line2D([], [], marker="o", ls="", ms=6, color=color) for color in COLORS]
    grid[1, 0].legend(handles, range(10), title="digit", ncols=2, loc="upper center", frameon=False)
    for i, epoch in enumerate(n["epoch"].tolist()):
        for l, points in enumerate(rows[i], start=1):
            _draw(grid[i, l], points, labels, shares[i, l])
            if i == 0:
                grid[i, l].set_title(f"hidden layer {l}", fontsize=10)
        grid[i, -1].yaxis.set_label_position("right")
        words = f"after {epoch} epoch{'s' * (epoch > 1)}" if epoch else "before training"
        grid[i, -1].set_ylabel(words, fontsize=10)
    return figure


def _draw(axes: Any, points: np.ndarray, labels: np.ndarray, share: float) -> None:
    points, labels = points[:DRAWN], labels[:DRAWN]
    axes.scatter(*points.T, s=6, c=[COLORS[c] for c in labels], lw=0, antialiased=False, rasterized=True)
    means = np.stack([points[labels == c].mean(axis=0) for c in range(10)])
    axes.scatter(*means.T, s=95, c=COLORS, edgecolors="white", lw=0.8, clip_on=False)
    for c, mean in enumerate(means):
        axes.annotate(str(c), mean, ha="center", va="center_baseline", fontsize=8, color="white", weight="bold")
    axes.annotate(f"{share:.0%}", (0.97, 0.03), xycoords="axes fraction", ha="right", va="bottom")
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_color("0.8")


def between_share(h: np.ndarray, labels: np.ndarray, classes: int = 10) -> np.ndarray:
    """Return tr S_B / tr S_T of vectors h (..., N, d): the share of variance between the means of the classes (...)."""
    is_class = np.eye(classes, dtype=h.dtype)[labels]
    of_class = is_class.sum(axis=0)[:, None]  # examples
    means = (is_class.T @ h) / np.maximum(of_class, 1)
    center = h.mean(axis=-2, keepdims=True)
    between = np.sum(of_class * (means - center) ** 2, axis=(-2, -1))
    return between / np.sum((h - center) ** 2, axis=(-2, -1))


def plane(h: np.ndarray) -> np.ndarray:
    """Return vectors h (N, d) along their first two principal components, over the spread along the first: (N, 2)."""
    centred = h - h.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(h))
    return centred @ directions[:, :-3:-1] / np.sqrt(variances[-1])


def turned(points: np.ndarray, onto: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return points turned or mirrored in their plane, so that class means lie near the others' (Procrustes)."""
    means, others = (np.stack([p[labels == c].mean(axis=0) for c in np.unique(labels)]) for p in (points, onto))
    u, _, v = np.linalg.svd(means.T @ others)
    return points @ u @ v
