"""The usual rules on the table of known mistakes: how many pass, and how often correct code is rejected.

At the point where homework starts, weights of 0.01 randn and zero biases, and at a good one, weights of size
1 / sqrt(fan_in) and biases of 0.5 randn; and the rule of `mlp-jax check` at its own points.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.why_gradient_checks.rules import NAMES, POINTS, RULES, Point, arrays_of, differences, draw
from mlp_jax import Activation, Layer
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.check.mistakes import (
    MISTAKES,
    Gradients,
    Pass,
    Problem,
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
CAPTION = "What the usual rules let pass, and what correct code they reject, at two points."


@dataclass(frozen=True)
class Config:
    """Rules, points and activations are varied, the network is held fixed."""

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu")
    widths: tuple[int, ...] = (5, 7, 7, 4)
    batch: int = 8
    seeds: int = 10


FULL = Config()
QUICK = Config(activations=("tanh",), seeds=2)

# What is claimed of each at the homework's start: the share of known mistakes that pass or, from a half on, of correct
# passes that are rejected.
AT_LEAST = {"jax float32": 0.25, "jax float64": 0.05, "PyTorch": 0.05, "CS231n": 0.5, "norm ratio": 0.5}


def _point(config: Config, seed: int, phi: Activation, kind: str) -> Point:
    problem = draw(config.widths, config.batch, seed, kind)
    s = forward_pass(problem, network_of(Settings(phi.name)))
    with jax.enable_x64(True):
        arrays = arrays_of(problem, jnp.float64)
        steps = {h: np.asarray(differences(phi, *arrays, h)) for h in (1e-5, 1e-6, 1e-7)}
    return Point(problem, phi, s, backward(s), steps, term_sizes(s))


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Count, for each rule and point, the known mistakes that pass and the correct passes that are rejected."""
    seeds = [int(seed) for seed in jax.random.randint(key, (config.seeds,), 0, 2**31 - 1)]
    passed = {kind: {rule: [] for rule in RULES} for kind in POINTS}  # type: dict[str, dict[str, list[float]]]
    rejected = {kind: {rule: [] for rule in RULES} for kind in POINTS}  # type: dict[str, dict[str, list[float]]]
    known = 0
    for i, seed in enumerate(seeds):
        progress(i / len(seeds))
        for kind in POINTS:
            points = [_point(config, seed, ACTIVATIONS[name], kind) for name in config.activations]
            wrong = [(gradients, point) for point in points for gradients in _wrong(config, seed, point)]
            known = len(wrong) // len(points)
            for rule, accepts in RULES.items():
                passed[kind][rule].append(float(np.mean([accepts(gradients, point) for gradients, point in wrong])))
                rejected[kind][rule].append(float(np.mean([not accepts(point.right[1], point) for point in points])))
    return Finding(
        tuple(_claims_of_strength(config, passed, rejected)), {"known": known, "passed": passed, "rejected": rejected}
    )


def _wrong(config: Config, seed: int, point: Point) -> list[Gradients]:
    """The gradients of the known mistakes that differ from a correct pass at all, as the good point shows."""
    at_good = _problem_pass(draw(config.widths, config.batch, seed, "a good point"), point.phi)
    right = flat(backward(at_good)[1])
    wrong = []
    for mistake in MISTAKES:
        if mistake.of_gradient and mistake.code != "convention":
            there, here = (broken(mistake, s) for s in (at_good, point.s))
            if there and here and not np.allclose(flat(there[1]), right, rtol=1e-9, atol=1e-12):
                wrong.append(here[1])
    return wrong


def _problem_pass(problem: Problem, phi: Activation) -> Pass:
    return forward_pass(problem, network_of(Settings(phi.name)))


def _claims_of_strength(config: Config, passed: Any, rejected: Any) -> list[Claim]:
    start, good = POINTS
    activations = f"{', '.join(config.activations)}; {'-'.join(map(str, config.widths))}, a batch of {config.batch}"
    measured = {
        rule: median_and_interval((passed if at_least < 0.5 else rejected)[start][rule])
        for rule, at_least in AT_LEAST.items()
    }
    claims = [
        Claim(
            rule,
            f"At the homework's start {NAMES[rule]} "
            + ("lets known mistakes pass." if at_least < 0.5 else "rejects correct code."),
            ">=",
            at_least,
            "ours: a lower bound, rounded down",
            measured[rule][0],
            f"the share {'that passes' if at_least < 0.5 else 'of correct passes'}; {activations}",
            measured[rule][1],
            config.seeds,
        )
        for rule, at_least in AT_LEAST.items()
    ]
    for name, statement, shares in (
        ("good point", "At a good point each of these rules lets few known mistakes pass.", passed),
        ("good point rejects", "At a good point none of them rejects correct code.", rejected),
    ):
        worst = max(float(np.median(shares[good][rule])) for rule in AT_LEAST)
        bound = 0.05 if shares is passed else 0.0
        reason = f"the median over seeds, of the worst rule; {activations}"
        claims.append(Claim(name, statement, "<=", bound, "ours: an upper bound", worst, reason, seeds=config.seeds))
    escaped, alarms = _ours(config)
    for name, statement, measured_by_us in (
        ("ours", "At the points of mlp-jax check no known mistake passes.", escaped),
        ("ours rejects", "There correct code is not rejected.", alarms),
    ):
        claims.append(Claim(name, statement, "<=", 0.0, "the table itself", measured_by_us, activations, exact=True))
    return claims


def _ours(config: Config) -> tuple[float, float]:
    """The share of known mistakes that the command lets pass, and of correct passes that it rejects."""
    powers = [power_of_ours(network_of(Settings(name))) for name in config.activations]
    escaped = sum(len(power["escaped"]) for power in powers) / sum(power["known"] for power in powers)
    correct = (partial(_backprop, ACTIVATIONS[name]) for name in config.activations)
    reports = [mlp_jax.check_backprop(*pair) for pair in zip(correct, config.activations, strict=True)]
    return escaped, float(np.mean([not report for report in reports]))


def _backprop(phi: Activation, params: Any, x: Any, labels: Any) -> Any:
    """The library's own backward pass, as the command takes it."""
    return mlp_jax.backprop(tuple(Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in params), x, labels, phi)


def picture(data: dict[str, Any]) -> Figure:
    """What each rule lets pass and rejects, at both points."""
    figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    rows = np.arange(len(RULES))[::-1]
    styles = {("homework's start", "passed"): "tab:red", ("homework's start", "rejected"): "tab:purple",
              ("a good point", "passed"): "tab:orange", ("a good point", "rejected"): "tab:blue"}  # fmt: skip
    words = {"passed": "wrong code passes", "rejected": "correct code is rejected"}
    for i, ((kind, what), color) in enumerate(styles.items()):
        shares = [100 * float(np.mean(data[what][kind][rule])) for rule in RULES]
        bars = axes.barh(rows + 0.3 - 0.2 * i, shares, 0.2, color=color, label=f"{kind}: {words[what]}")
        axes.bar_label(
            bars, [f"{share:.0f}" if share >= 0.5 else f"{share:.1g}" for share in shares], fontsize=7, padding=2
        )
    axes.set_yticks(rows, [NAMES.get(rule, rule) for rule in RULES])
    axes.set(xlabel=f"% of {data['known']} known mistakes, or of correct passes", xlim=(0, 109))
    axes.set_title("What the usual rules let pass")
    axes.legend(fontsize=8, loc="lower right")
    return figure
