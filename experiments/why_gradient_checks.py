"""How strong are the checks that people use?

On the table of known mistakes, at the point where homework starts and at a better one, each usual rule and ours: how
many mistakes pass, and how often correct code is rejected. And each reference's error against mpmath.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.check_rules import NAMES, RULES, Point, arrays_of, differences, loss
from experiments.protocol import Claim, Finding, Result, median_and_interval
from mlp_jax import ACTIVATIONS, Activation, Layer
from mlp_jax.diagnosis.judgement import flat, forward_pass, term_sizes
from mlp_jax.diagnosis.mistake_table import MISTAKES
from mlp_jax.diagnosis.mistakes import Gradients, Pass, backward, broken
from mlp_jax.diagnosis.power import power_of_ours
from mlp_jax.diagnosis.problems import Problem, Settings

Progress = Callable[[float], None]
POINTS = {"homework's start": (0.01, 0.0), "a good point": (None, 0.5)}  # sizes of weights (1 / sqrt fan_in), biases


@dataclass(frozen=True)
class Config:
    """The settings: rules, points and activations are varied, the network is held fixed."""

    activations: tuple[str, ...] = ("tanh", "sigmoid", "relu")
    widths: tuple[int, ...] = (5, 7, 7, 4)
    batch: int = 8
    seeds: int = 10
    nets: int = 5  # whose differences are held against mpmath
    steps: int = 41  # step sizes of the differences


FULL = Config()
QUICK = Config(seeds=2, nets=2)

QUESTION = "How strong are the gradient checks that people use?"
ANSWER = (
    "Weak where homework starts, at weights of 0.01 randn and zero biases: there jax.test_util lets {jax_float32:.0%} "
    "of the known mistakes pass in float32 and {jax_float64:.0%} in float64, PyTorch's gradcheck {PyTorch:.0%}, and "
    "rules strict enough to see more reject correct code: CS231n's {CS231n:.0%} of it, one ratio of norms "
    "{norm_ratio:.0%}. At a good point the worst of them lets {good_point:.1%} pass: the point decides. At the "
    "command's own points {ours:.0%} pass. Central differences in float64 are at best {best_float64:.0e} off, the "
    "complex step and autodiff {complex_step:.0e}."
)


# What is claimed of each at the homework's start: the share of known mistakes that pass or, from a half on, of correct
# passes that are rejected.
AT_LEAST = {"jax float32": 0.25, "jax float64": 0.05, "PyTorch": 0.05, "CS231n": 0.5, "norm ratio": 0.5}


def _draw(config: Config, seed: int, weight: float | None, bias: float) -> Problem:
    rng = np.random.default_rng(seed)
    params = [
        ((1 / np.sqrt(a) if weight is None else weight) * rng.standard_normal((a, b)), bias * rng.standard_normal(b))
        for a, b in pairwise(config.widths)
    ]
    x = rng.standard_normal((config.batch, config.widths[0]))
    return Problem("drawn", params, x, rng.permutation(np.arange(config.batch) % config.widths[-1]))


def _point(config: Config, seed: int, phi: Activation, kind: str) -> Point:
    problem = _draw(config, seed, *POINTS[kind])
    s = forward_pass(problem, Settings(phi.name))
    with jax.enable_x64(True):
        arrays = arrays_of(problem, jnp.float64)
        steps = {h: np.asarray(differences(phi, *arrays, h)) for h in (1e-5, 1e-6, 1e-7)}
    return Point(problem, phi, s, backward(s), steps, term_sizes(s))


def strength(config: Config, key: jax.Array, progress: Progress) -> Finding:
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
    at_good = _problem_pass(_draw(config, seed, *POINTS["a good point"]), point.phi)
    right = flat(backward(at_good)[1])
    wrong = []
    for mistake in MISTAKES:
        if mistake.of_gradient and mistake.code != "convention":
            there, here = (broken(mistake, s) for s in (at_good, point.s))
            if there and here and not np.allclose(flat(there[1]), right, rtol=1e-9, atol=1e-12):
                wrong.append(here[1])
    return wrong


def _problem_pass(problem: Problem, phi: Activation) -> Pass:
    return forward_pass(problem, Settings(phi.name))


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
            "a prototype with 27 mistakes",
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
        claims.append(Claim(name, statement, "<=", bound, "the same prototype", worst, reason, seeds=config.seeds))
    escaped, alarms = _ours(config)
    for name, statement, measured_by_us in (
        ("ours", "At the points of mlp-jax check no known mistake passes.", escaped),
        ("ours rejects", "There correct code is not rejected.", alarms),
    ):
        claims.append(Claim(name, statement, "<=", 0.0, "the table itself", measured_by_us, activations))
    return claims


def _ours(config: Config) -> tuple[float, float]:
    """The share of known mistakes that the command lets pass, and of correct passes that it rejects."""
    powers = [power_of_ours(Settings(name)) for name in config.activations]
    escaped = sum(len(power["escaped"]) for power in powers) / sum(power["known"] for power in powers)
    correct = (partial(_backprop, ACTIVATIONS[name]) for name in config.activations)
    reports = [mlp_jax.check_backprop(*pair) for pair in zip(correct, config.activations, strict=True)]
    return escaped, float(np.mean([not report for report in reports]))


def _backprop(phi: Activation, params: Any, x: Any, labels: Any) -> Any:
    """The library's own backward pass, as the command takes it."""
    return mlp_jax.backprop(tuple(Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in params), x, labels, phi)


def references(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Hold differences of every step size, the complex step and autodiff against mpmath, on small tanh networks."""
    steps = np.logspace(-11, 0, config.steps)
    errors: dict[str, list[list[float]]] = {"float64": [], "float32": []}
    others: dict[str, list[float]] = {"complex step": [], "autodiff float64": [], "autodiff float32": []}
    for net in range(config.nets):
        progress(net / config.nets)
        seed = int(jax.random.randint(jax.random.fold_in(key, net), (), 0, 2**31 - 1))
        problem = _draw(config, seed, *POINTS["a good point"])
        with jax.enable_x64(True):
            x, labels, params = arrays_of(problem, jnp.float64)
            exact = np.asarray(ravel_pytree(mlp_jax.high_precision(params, x, labels, mlp_jax.tanh).gradient)[0])
            imaginary = mlp_jax.complex_step(partial(_loss_by_log_sum_exp, x, labels), params).gradient
            others["complex step"].append(_error(ravel_pytree(imaginary)[0], exact))
        for dtype in errors:
            with jax.enable_x64(dtype == "float64"):
                arrays = arrays_of(problem, jnp.dtype(dtype))
                by_step = [np.asarray(differences(mlp_jax.tanh, *arrays, jnp.asarray(h, dtype))) for h in steps]
                errors[dtype].append([_error(g, exact) for g in by_step])
                x, labels, params = arrays
                gradient = jax.grad(partial(loss, mlp_jax.tanh, x, labels))(params)
                others[f"autodiff {dtype}"].append(_error(ravel_pytree(gradient)[0], exact))
    data = {"steps": steps.tolist(), "errors": errors, "others": others}
    return Finding(tuple(_claims_of_references(config, steps, errors, others)), data)


def _loss_by_log_sum_exp(x: Any, labels: Any, params: Any) -> Any:
    """The loss of a tanh network in analytic operations alone."""
    h = x
    for W, b in params[:-1]:
        h = jnp.tanh(h @ W + b[None, :])
    z = h @ params[-1][0] + params[-1][1][None, :]
    return jnp.mean(jnp.log(jnp.sum(jnp.exp(z), axis=1)) - z[jnp.arange(len(labels)), labels])


def _error(actual: Any, expected: Any) -> float:
    return float(np.linalg.norm(np.asarray(actual, float) - expected) / np.linalg.norm(expected))


def _claims_of_references(config: Config, steps: np.ndarray, errors: Any, others: Any) -> list[Claim]:
    theory = "error h^2 |f'''| / 6 + eps |f| / h (Nocedal & Wright, 2006, sec. 8.1)"
    claims = []
    for dtype, rows in errors.items():
        curve = np.median(rows, axis=0)
        best = int(np.argmin(curve))
        eps = float(np.finfo(dtype).eps)
        left = (steps > steps[best] / 1e4) & (steps < steps[best] / 10)
        right = (steps > steps[best] * 10) & (steps < 0.1) if dtype == "float64" else (steps > 2e-2) & (steps < 0.3)
        for side, mask, slope in (("rounding", left, -1.0), ("truncation", right, 2.0)):
            fitted = [float(np.polyfit(np.log(steps[mask]), np.log(np.array(row)[mask]), 1)[0]) for row in rows]
            what = f"{dtype}: below the best step the error falls like 1 / h" if slope < 0 else (
                f"{dtype}: above it the error grows like h^2")  # fmt: skip
            claims.append(
                Claim(f"{side} {dtype}", f"{what}.", "=", slope, theory, *median_and_interval(fitted)[:1], "a slope in "
                      "the logarithms", median_and_interval(fitted)[1], config.nets, 0.15)
            )  # fmt: skip
        claims.append(
            Claim(f"optimum {dtype}", f"{dtype}: the best step is near eps^(1/3).", "=", eps ** (1 / 3), theory,
                  float(steps[best]), "within a factor of 10: the constant depends on f", seeds=config.nets,
                  tolerance=9 * eps ** (1 / 3))
        )  # fmt: skip
        claims.append(
            Claim(f"best {dtype}", f"{dtype}: even then differences are far worse than autodiff.", ">=",
                  100 * float(np.median(others[f"autodiff {dtype}"])), "autodiff's own error, measured, times 100",
                  float(curve[best]), "relative L2 error of the whole gradient, median", seeds=config.nets)
        )  # fmt: skip
    for name, identifier in (("complex step", "complex step"), ("autodiff float64", "autodiff")):
        claims.append(
            Claim(identifier, f"The {name} is right to rounding." if "step" in name else "Autodiff in float64 is, too.",
                  "<=", 1e-14, "unit roundoff 1.1e-16, times the operations of three layers", max(others[name]),
                  "relative L2 error of the whole gradient, the worst net", seeds=config.nets)
        )  # fmt: skip
    return claims


FINDINGS: tuple[Callable[[Config, jax.Array, Progress], Finding], ...] = (strength, references)


def plot(result: Result) -> Figure:
    """Left: what each rule lets pass and rejects, at both points. Right: the error of differences over their step."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    rows = np.arange(len(RULES))[::-1]
    styles = {("homework's start", "passed"): "tab:red", ("homework's start", "rejected"): "tab:purple",
              ("a good point", "passed"): "tab:orange", ("a good point", "rejected"): "tab:blue"}  # fmt: skip
    words = {"passed": "wrong code passes", "rejected": "correct code is rejected"}
    for i, ((kind, what), color) in enumerate(styles.items()):
        shares = [100 * float(np.mean(result.data[what][kind][rule])) for rule in RULES]
        bars = left.barh(rows + 0.3 - 0.2 * i, shares, 0.2, color=color, label=f"{kind}: {words[what]}")
        left.bar_label(
            bars, [f"{share:.0f}" if share >= 0.5 else f"{share:.1g}" for share in shares], fontsize=7, padding=2
        )
    left.set_yticks(rows, [NAMES.get(rule, rule) for rule in RULES])
    left.set(xlabel=f"% of {result.data['known']} known mistakes, or of correct passes", xlim=(0, 109))
    left.set_title("What the usual rules let pass")
    left.legend(fontsize=8, loc="lower right")
    steps = result.data["steps"]
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        curves = np.array(result.data["errors"][dtype])
        right.plot(
            steps, np.median(curves, axis=0), "o-", ms=3, lw=1, color=color, label=f"central differences, {dtype}"
        )
        right.axvline(float(np.finfo(dtype).eps) ** (1 / 3), color=color, ls=":", lw=1)
        autodiff = float(np.median(result.data["others"][f"autodiff {dtype}"]))
        right.axhline(autodiff, color=color, ls="--", lw=1, label=f"autodiff, {dtype}")
    right.axhline(float(np.median(result.data["others"]["complex step"])), color="tab:green", label="complex step")
    right.set(
        xscale="log", yscale="log", xlabel="step h (dotted: eps^(1/3))", ylabel="relative L2 error", ylim=(1e-17, 1e4)
    )
    right.set_title("Error of each reference against mpmath, tanh network")
    right.grid(alpha=0.3)
    right.legend(fontsize=8, loc="upper right")
    return figure
