"""How many linear pieces a random ReLU network has, on a line and in the plane.

With ReLU a network is linear in pieces: wherever a neuron turns on or off, the slope changes. Along a random line
x = u + t v, for all real t, every breakpoint is found by propagation: on each piece all pre-activations are affine in
t, so their zeros are exact up to rounding, in float64. Weights are He's, normal, biases normal with standard deviation
1, 16 inputs. In the plane the first layer's neurons are lines: every region between lines in general position has a
vertex, so the regions are counted exactly as the patterns around all vertices.
"""

from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress

FORMULA = (
    r"\mathbb{E} \, \# \mathrm{pieces} = 1 + \sum_l d_l, \qquad "
    r"\# \mathrm{regions} = 1 + d_1 + \frac{d_1 (d_1 - 1)}{2}"
)
CAPTION = (
    "Linear pieces of random ReLU networks along a line: one more for each neuron, whatever the depth, and far below "
    "what the same neurons could make."
)
COLORS = {1: "#0072b2", 2: "#009e73", 3: "#d55e00"}

Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Config:
    """Width and depth are varied, the rest is held fixed."""

    nets: tuple[tuple[int, int], ...] = ((8, 400), (16, 2000), (32, 400), (64, 200), (128, 200))  # width, how many
    depths: tuple[int, ...] = (1, 2, 3)
    inputs: int = 16
    claimed: tuple[int, ...] = (16, 128)  # widths
    lines: tuple[int, ...] = (3, 10)  # in the plane
    arrangements: int = 20


FULL = Config()
QUICK = Config(nets=((16, 220), (128, 15)), arrangements=5)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count pieces on lines, and regions in the plane."""
    rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    counts: dict[str, dict[int, list[int]]] = {}
    for i, (width, nets) in enumerate(config.nets):
        progress(i / len(config.nets))
        counts[str(width)] = {
            depth: [len(breakpoints(*random_line(rng, config.inputs), he_weights(rng, config.inputs, depth * (width,))))
                    + 1 for _ in range(nets)]
            for depth in config.depths
        }  # fmt: skip
    claims = [
        Claim(
            "one layer on a line",
            "With one hidden layer every neuron turns once on a line: 1 + n pieces, in every network.",
            "=",
            0,
            "derived: an affine function of t has one zero",
            max(abs(n - 1 - int(width)) for width, by_depth in counts.items() for n in by_depth[1]),
            f"pieces less 1 + n, the worst of widths {', '.join(counts)} and all networks",
            exact=True,
        )
    ]
    for width in config.claimed:
        for depth in config.depths[1:]:
            ratio, interval = mean_and_interval([(n - 1) / (width * depth) for n in counts[str(width)][depth]])
            claims.append(
                Claim(
                    f"pieces of {depth} x {width}",
                    f"With {depth} hidden layers of {width} a random network has 1 + the number of its neurons linear "
                    "pieces on a line, no more than with one.",
                    "=",
                    1,
                    "Hanin & Rolnick (2019), Kogan, Jananthan & Kepner (2025): as the width grows; derived: Kac-Rice",
                    ratio,
                    f"(pieces - 1) / neurons, mean of {len(counts[str(width)][depth])} networks; at finite width up to "
                    "2 % are allowed",
                    interval,
                    len(counts[str(width)][depth]),
                    0.02,
                )
            )
    for n in config.lines:
        found = [regions_of_lines(rng.normal(size=(2, n)), rng.normal(size=n)) for _ in range(config.arrangements)]
        claims.append(
            Claim(
                f"regions of {n} lines",
                f"A hidden layer of {n} ReLUs cuts the plane into {most_regions(n)} regions.",
                "=",
                most_regions(n),
                "Zaslavsky (1975): 1 + n + n (n - 1) / 2 for n lines in general position",
                max(found, key=lambda count: abs(count - most_regions(n))),
                f"{config.arrangements} random layers, the one furthest from it",
                exact=True,
            )
        )
    mean = {width: {d: float(np.mean(row)) for d, row in by_depth.items()} for width, by_depth in counts.items()}
    return Finding(tuple(claims), {"mean": mean})


def random_line(rng: np.random.Generator, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """A point and a direction."""
    return rng.normal(size=inputs), rng.normal(size=inputs)


def he_weights(rng: np.random.Generator, inputs: int, widths: tuple[int, ...]) -> Weights:
    """Weights of variance 2 / fan_in and biases of variance 1."""
    sizes = (inputs, *widths)
    return [
        (rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)), rng.normal(size=fan_out))
        for fan_in, fan_out in pairwise(sizes)
    ]


def breakpoints(u: np.ndarray, v: np.ndarray, layers: Weights) -> np.ndarray:
    """All t where a neuron turns on or off along u + t v, sorted.

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
    """One point inside every piece; the outer pieces are unbounded."""
    if len(ends) == 2:
        return np.zeros(1)
    inner = ends[1:-1]
    return np.concatenate([[inner[0] - 1], (inner[:-1] + inner[1:]) / 2, [inner[-1] + 1]])


def regions_of_lines(W: np.ndarray, b: np.ndarray) -> int:
    """Into how many regions the lines x W + b = 0, W (2, n), cut the plane: the sign patterns around all vertices."""
    patterns = set()
    for i, j in combinations(range(len(b)), 2):
        vertex = np.linalg.solve(W[:, [i, j]].T, -b[[i, j]])
        signs = vertex @ W + b > 0
        for signs[i] in (False, True):
            for signs[j] in (False, True):
                patterns.add(signs.tobytes())
    return len(patterns)


def most_regions(n: int) -> int:
    """C(n, 0) + C(n, 1) + C(n, 2)."""
    return sum(comb(n, k) for k in range(3))


def picture(data: dict[str, Any]) -> Figure:
    """Pieces over neurons, with 1 + n and the most that is possible."""
    figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
    widths = np.array([int(width) for width in data["mean"]])
    for depth, color in COLORS.items():
        mean = [by_depth[str(depth)] for by_depth in data["mean"].values()]
        label = f"{depth} hidden layer{'s' * (depth > 1)}"
        axes.plot(depth * widths, mean, "os^"[depth - 1], ms=7, mfc="none", mew=1.5, color=color, label=label)
        if depth > 1:
            most = (1 + widths) ** depth
            axes.plot(depth * widths, most, ":", color=color, lw=1.5, label=f"the most that {depth} layers can make")
    n = np.array([6, 500])
    axes.plot(n, 1 + n, "-", color="black", lw=1, label="1 + number of neurons")
    axes.set(xscale="log", yscale="log", xlabel="neurons", ylabel="linear pieces on a line", ylim=(5, 3e6))
    axes.set_title("Linear pieces of random ReLU networks, mean")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8.5, loc="upper left")
    return figure
