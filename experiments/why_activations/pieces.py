"""How many linear pieces a random ReLU network has, on a line and in the plane.

With ReLU a network is linear in pieces: wherever a neuron turns on or off, the slope changes. Along a random line
x = u + t v, for all real t, every breakpoint is found by propagation: on each piece all pre-activations are affine in
t, so their zeros are exact up to rounding, in float64. Weights are He's, normal, biases normal with standard deviation
1, 16 inputs. In the plane the first layer's neurons are lines: every region between lines in general position has a
vertex, so the regions are counted exactly as the patterns around all vertices.
"""

from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments import tasks
from experiments.frame.claims import equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, largest, mean
from experiments.why_activations.shared import furthest

FORMULA = (
    r"\mathbb{E} \, \# \mathrm{pieces} = 1 + \sum_l d_l, \qquad "
    r"\# \mathrm{regions} = 1 + d_1 + \frac{d_1 (d_1 - 1)}{2}"
)

Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Config:
    """Width and depth are varied, the rest is held fixed."""

    nets: tuple[tuple[int, int], ...] = ((8, 400), (16, 2000), (32, 400), (64, 200), (128, 200))  # width, how many
    depths: tuple[int, ...] = (1, 2, 3)
    inputs: int = 16
    lines: tuple[int, ...] = (3, 10)  # in the plane
    arrangements: int = 20


FULL = Config()
QUICK = Config(nets=((16, 100), (128, 8)), arrangements=5)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Count pieces on lines, "pieces, width d" (depths, networks), and "regions" in the plane (lines, arrangements)."""
    rng = tasks.generator(key)
    pieces = {}
    for i, (width, nets) in enumerate(config.nets):
        progress(i / len(config.nets))
        counts = [
            1 + len(breakpoints(*random_line(rng, config.inputs), he_weights(rng, config.inputs, depth * (width,))))
            for depth in config.depths
            for _ in range(nets)
        ]
        pieces[f"pieces, width {width}"] = np.reshape(counts, (len(config.depths), nets))
    drawn = [[(rng.normal(size=(2, n)), rng.normal(size=n)) for _ in range(config.arrangements)] for n in config.lines]
    return pieces | {
        "width": np.array([width for width, _ in config.nets]),
        "depth": np.array(config.depths),
        "lines": np.array(config.lines),
        "regions": np.array([[regions_of_lines(W, b) for W, b in row] for row in drawn]),
    }


@equals(
    0,
    "With one hidden layer every neuron turns once on a line: 1 + n pieces, in every network.",
    within=0,
    source="derived: an affine function of t has one zero",
    how="pieces less 1 + n, the worst of all networks, widths {n[width]}",
    must=True,
)
def one_layer_on_a_line(n: Numbers) -> Statistic:
    one_layer = n.at(depth=1)
    return largest([np.abs(n[f"pieces, width {width}"][one_layer] - 1 - width).max() for width in n["width"]])


@equals(
    1,
    "With {depth} hidden layers of {width} a random network has 1 + the number of its neurons linear pieces on a line, "
    "no more than with one.",
    depth=(2, 3),
    width=(16, 128),
    within=0.02,
    source="Hanin & Rolnick (2019), Kogan, Jananthan & Kepner (2025): as the width grows; derived: Kac-Rice",
    how="(pieces - 1) / neurons; at finite width up to 2 % are allowed",
)
def pieces_of(n: Numbers, depth: int, width: int) -> Statistic:
    return mean((n[f"pieces, width {width}"][n.at(depth=depth)] - 1) / (width * depth))


in_the_plane = partial(
    equals,
    within=0,
    source="Zaslavsky (1975): 1 + n + n (n - 1) / 2 for n lines in general position",
    how="{n.config.arrangements} random layers, the one furthest from it",
    must=True,
)


@in_the_plane(7, "A hidden layer of 3 ReLUs cuts the plane into 7 regions.")
def regions_of_3_lines(n: Numbers) -> float:
    return furthest(n["regions"][n.at(lines=3)], 7)


@in_the_plane(56, "A hidden layer of 10 ReLUs cuts the plane into 56 regions.")
def regions_of_10_lines(n: Numbers) -> float:
    return furthest(n["regions"][n.at(lines=10)], 56)


def picture(n: Numbers) -> Figure:
    """Draw the mean number of pieces over neurons, with 1 + n and the most that is possible."""
    figure, axes = panels(figsize=(6.5, 4.4))
    pieces = np.array([n[f"pieces, width {width}"].mean(axis=1) for width in n["width"]])
    for i, depth in enumerate(n["depth"]):
        color, neurons = ("#0072b2", "#009e73", "#d55e00")[i], depth * n["width"]
        label = f"{depth} hidden layer{'s' if depth > 1 else ''}"
        axes.plot(neurons, pieces[:, i], "os^"[i], ms=7, mfc="none", mew=1.5, color=color, label=label)
        if depth > 1:
            most = (1.0 + n["width"]) ** depth
            axes.plot(neurons, most, ":", color=color, lw=1.5, label=f"the most that {depth} layers can make")
    ends = np.array([6, 500])
    axes.plot(ends, 1 + ends, "-", color="black", lw=1, label="1 + number of neurons")
    axes.set(xscale="log", yscale="log", xlabel="neurons", ylabel="linear pieces on a line", ylim=(5, 3e6))
    axes.set_title("Linear pieces of random ReLU networks, mean")
    axes.legend(loc="upper left")
    return figure


def random_line(rng: np.random.Generator, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a point and a direction."""
    return rng.normal(size=inputs), rng.normal(size=inputs)


def he_weights(rng: np.random.Generator, inputs: int, widths: tuple[int, ...]) -> Weights:
    """Return weights of variance 2 / fan_in and biases of variance 1."""
    sizes = (inputs, *widths)
    return [
        (rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)), rng.normal(size=fan_out))
        for fan_in, fan_out in pairwise(sizes)
    ]


def breakpoints(u: np.ndarray, v: np.ndarray, layers: Weights) -> np.ndarray:
    """Return all t where a neuron turns on or off along u + t v, sorted.

    On every piece the layer's input is at + slope t; ends are the pieces' ends, from -inf to inf.
    """
    at, slope = u[None, :], v[None, :]
    ends = np.array([-np.inf, np.inf])
    for W, b in layers:
        at, slope = at @ W + b, slope @ W
        with np.errstate(divide="ignore", invalid="ignore"):
            zeros = -at / slope
        inside = (zeros > ends[:-1, None]) & (zeros < ends[1:, None])
        refined = np.sort(np.concatenate([ends, zeros[inside]]))
        t = points_between(refined)
        piece = np.searchsorted(ends, t) - 1
        on = at[piece] + slope[piece] * t[:, None] > 0
        at, slope, ends = at[piece] * on, slope[piece] * on, refined
    return ends[1:-1]


def points_between(ends: np.ndarray) -> np.ndarray:
    """Return one point inside every piece; the outer pieces are unbounded."""
    if len(ends) == 2:
        return np.zeros(1)
    inner = ends[1:-1]
    return np.concatenate([[inner[0] - 1], (inner[:-1] + inner[1:]) / 2, [inner[-1] + 1]])


def regions_of_lines(W: np.ndarray, b: np.ndarray) -> int:
    """Count the regions of the plane between the lines x W + b = 0, W (2, n): the sign patterns around all vertices."""
    patterns = set()
    for i, j in combinations(range(len(b)), 2):
        vertex = np.linalg.solve(W[:, [i, j]].T, -b[[i, j]])
        signs = vertex @ W + b > 0
        for signs[i] in (False, True):
            for signs[j] in (False, True):
                patterns.add(signs.tobytes())
    return len(patterns)
