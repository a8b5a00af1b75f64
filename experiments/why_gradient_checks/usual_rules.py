"""The usual rules on the table of known mistakes: how many pass, and how often correct code is rejected.

At the point where homework starts, weights of 0.01 randn and zero biases, and at a good one, weights of size
1 / sqrt(fan_in) and biases of 0.5 randn. The rule of `mlp-jax check` is tried at its own points, too, with a backward
pass in NumPy as correct code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, largest, median
from experiments.why_gradient_checks.rules import (
    GOOD,
    NAMES,
    POINTS,
    RULES,
    START,
    TRIED,
    Point,
    arrays_of,
    differences,
    draw,
    seeds_of,
)
from mlp_jax import Activation
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.check.mistakes import (
    Gradients,
    Settings,
    backward,
    broken,
    flat,
    forward_pass,
    network_of,
    power_of_ours,
    term_sizes,
)

FORMULA = r"\frac{\lVert g - \hat g \rVert}{\lVert g \rVert + \lVert \hat g \rVert} \le \varepsilon"
USUAL = ("jax float32", "jax float64", "PyTorch", "CS231n", "norm ratio")


@dataclass(frozen=True)
class Config:
    """Rules, points and activations are varied, the network is held fixed."""

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu")
    widths: tuple[int, ...] = (5, 7, 7, 4)
    batch: int = 8
    seeds: int = 10


FULL = Config()
QUICK = Config(activations=("tanh",), seeds=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Try each rule on each known mistake and on the correct pass, at each point.

    Returns:
      "passed" (points, rules, seeds, activations, mistakes): 1 if the rule lets it pass, 0 if not, and -1 if it is no
      mistake for this activation. "rejected" (points, rules, seeds, activations): whether the correct pass is rejected.
      For the command at its own points, how many mistakes are known and escape, and whether it rejects correct code,
      (activations,) each.
    """
    shape = (len(POINTS), len(RULES), config.seeds, len(config.activations))
    passed = np.full((*shape, len(TRIED)), -1, np.int8)
    rejected = np.zeros(shape, bool)
    for s, seed in enumerate(np.asarray(seeds_of(key, config.seeds))):
        progress(s / config.seeds)
        for a, name in enumerate(config.activations):
            points = {kind: point(config, int(seed), ACTIVATIONS[name], kind) for kind in POINTS}
            for k, kind in enumerate(POINTS):
                wrong = _wrong(points[GOOD], points[kind])
                for r, accepts in enumerate(RULES.values()):
                    rejected[k, r, s, a] = not accepts(points[kind].right[1], points[kind])
                    for m, gradients in wrong.items():
                        passed[k, r, s, a, m] = accepts(gradients, points[kind])
    powers = [power_of_ours(network_of(Settings(name))) for name in config.activations]
    return {
        "point": list(POINTS),
        "rule": list(RULES),
        "mistake": [f"{mistake.code}: {mistake.name}" for mistake in TRIED],
        "passed": passed,
        "rejected": rejected,
        "ours known": [power["known"] for power in powers],
        "ours escaped": [len(power["escaped"]) for power in powers],
        "ours rejected": [not mlp_jax.check_backprop(partial(textbook, name), name) for name in config.activations],
    }


def shares(n: Numbers, what: str, point: str, rule: str) -> np.ndarray:
    """Return the share that a rule lets pass, or rejects, for every seed (seeds,)."""
    values = n[what][n.at(point=point), n.at(rule=rule)]
    values = values.reshape(len(values), -1)
    return np.mean(values == 1, axis=1, where=values >= 0)


HOW = "{n.config.activations}, widths {n.config.widths}, a batch of {n.config.batch}"
SOURCE = "ours: a lower bound, rounded down"


@at_least(0.25, "At the homework's start jax.test_util in float32 lets known mistakes pass.", source=SOURCE, how=HOW)
def jax_float32(n: Numbers) -> Statistic:
    return median(shares(n, "passed", START, "jax float32"))


@at_least(0.05, "At the homework's start jax.test_util in float64 lets known mistakes pass.", source=SOURCE, how=HOW)
def jax_float64(n: Numbers) -> Statistic:
    return median(shares(n, "passed", START, "jax float64"))


@at_least(0.05, "At the homework's start PyTorch's gradcheck lets known mistakes pass.", source=SOURCE, how=HOW)
def PyTorch(n: Numbers) -> Statistic:
    return median(shares(n, "passed", START, "PyTorch"))


@at_least(0.5, "At the homework's start CS231n's 1e-4 rejects correct code.", source=SOURCE, how=HOW)
def CS231n(n: Numbers) -> Statistic:
    return median(shares(n, "rejected", START, "CS231n"))


@at_least(0.5, "At the homework's start one ratio of norms, 2e-7, rejects correct code.", source=SOURCE, how=HOW)
def norm_ratio(n: Numbers) -> Statistic:
    return median(shares(n, "rejected", START, "norm ratio"))


@at_most(
    0.05,
    "At a good point each of these rules lets few known mistakes pass.",
    source="ours: an upper bound",
    how="the median over seeds, of the worst rule; " + HOW,
)
def good_point(n: Numbers) -> Statistic:
    return largest([np.median(shares(n, "passed", GOOD, rule)) for rule in USUAL])


@at_most(
    0,
    "At a good point none of them rejects correct code.",
    source="ours: an upper bound",
    how="the median over seeds, of the worst rule; " + HOW,
)
def good_point_rejects(n: Numbers) -> Statistic:
    return largest([np.median(shares(n, "rejected", GOOD, rule)) for rule in USUAL])


@at_most(0, "At the points of mlp-jax check no known mistake passes.", source="the table itself", must=True)
def ours(n: Numbers) -> Statistic:
    return exact(n["ours escaped"].sum() / n["ours known"].sum())


@at_most(0, "There correct code is not rejected.", source="the table itself", must=True)
def ours_rejects(n: Numbers) -> Statistic:
    return exact(n["ours rejected"].mean())


def picture(n: Numbers) -> Figure:
    """Draw what each rule lets pass and rejects, at both points."""
    figure, axes = panels(figsize=(7.5, 4.6))
    rows = np.arange(len(RULES))[::-1]
    colors = {(START, "passed"): "tab:red", (START, "rejected"): "tab:purple", (GOOD, "passed"): "tab:orange",
              (GOOD, "rejected"): "tab:blue"}  # fmt: skip
    words = {"passed": "wrong code passes", "rejected": "correct code is rejected"}
    for i, ((kind, what), color) in enumerate(colors.items()):
        percent = [100 * shares(n, what, kind, rule).mean() for rule in RULES]
        bars = axes.barh(rows + 0.3 - 0.2 * i, percent, 0.2, color=color, label=f"{kind}: {words[what]}")
        labels = [f"{share:.0f}" if share >= 0.5 else f"{share:.1g}" for share in percent]
        axes.bar_label(bars, labels, fontsize=7, padding=2)
    axes.set_yticks(rows, [NAMES[rule] for rule in RULES])
    known = np.sum(np.any(n["passed"] >= 0, axis=(0, 1, 2, 3)))
    axes.set(xlabel=f"% of {known} known mistakes, or of correct passes", xlim=(0, 109))
    axes.set_title("What the usual rules let pass")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def point(config: Config, seed: int, phi: Activation, kind: str) -> Point:
    """Return a network and a batch at one kind of point, with all that the rules need."""
    problem = draw(config.widths, config.batch, seed, kind)
    s = forward_pass(problem, network_of(Settings(phi.name)))
    with jax.enable_x64(True):
        steps = {h: np.asarray(differences(phi, *arrays_of(problem, "float64"), h)) for h in (1e-5, 1e-6, 1e-7)}
    return Point(problem, phi, s, backward(s), steps, term_sizes(s))


def _wrong(good: Point, here: Point) -> dict[int, Gradients]:
    """Return the gradients of the known mistakes that differ from a correct pass at all, as the good point shows."""
    right, wrong = flat(good.right[1]), {}
    for m, mistake in enumerate(TRIED):
        there, gradients = (broken(mistake, one.s) for one in (good, here))
        if there and gradients and not np.allclose(flat(there[1]), right, rtol=1e-9, atol=1e-12):
            wrong[m] = gradients[1]
    return wrong


def textbook(name: str, params: Any, x: Any, labels: Any) -> tuple[float, Gradients]:
    """Return loss and gradients by a backward pass as a textbook has it, in NumPy."""
    functions: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
        "tanh": (np.tanh, lambda h: 1 - h**2),
        "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda h: h * (1 - h)),
        "relu": (lambda z: np.maximum(z, 0), lambda h: (h > 0) * 1.0),
    }
    phi, of_h = functions[name]
    h = [x]
    for W, b in params[:-1]:
        h.append(phi(h[-1] @ W + b))
    z = h[-1] @ params[-1][0] + params[-1][1]
    log_p = z - z.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    rows = np.arange(len(x))
    delta = np.exp(log_p)
    delta[rows, labels] -= 1
    delta /= len(x)
    gradients: Gradients = []
    for l in reversed(range(len(params))):
        gradients.insert(0, (h[l].T @ delta, delta.sum(0)))
        if l:
            delta = (delta @ params[l][0].T) * of_h(h[l])
    return -log_p[rows, labels].mean(), gradients
