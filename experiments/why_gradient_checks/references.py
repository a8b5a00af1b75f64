"""The error of each reference gradient, against mpmath: differences of every step size, complex step, autodiff.

Small tanh networks at a good point, in float64 and float32. The error is that of the whole gradient, relative, L2.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import mlp_jax
from experiments.frame.claims import at_least, at_most, equals
from experiments.frame.numbers import Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, largest, slope
from experiments.why_gradient_checks.rules import GOOD, arrays_of, differences, draw, loss, seeds_of

FORMULA = (
    r"\frac{f(\theta + h v) - f(\theta - h v)}{2h} = \langle \nabla f, v \rangle + O(h^2) + O(\varepsilon |f| / h)"
)
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Config:
    """The step and the dtype are varied, the network is held fixed."""

    widths: tuple[int, ...] = (5, 7, 7, 4)
    batch: int = 8
    nets: int = 5
    steps: int = 41  # step sizes of the differences


FULL = Config()
QUICK = Config(nets=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Return the errors of differences (dtypes, nets, steps), autodiff (dtypes, nets) and complex step (nets,)."""
    steps = np.logspace(-11, 0, config.steps)
    by_differences = np.zeros((len(DTYPES), config.nets, config.steps))
    by_complex_step, by_autodiff = np.zeros(config.nets), np.zeros((len(DTYPES), config.nets))
    for net, seed in enumerate(np.asarray(seeds_of(key, config.nets))):
        progress(net / config.nets)
        problem = draw(config.widths, config.batch, int(seed), GOOD)
        x, labels, params = arrays_of(problem, "float64")
        exact = _flat(mlp_jax.check.high_precision(params, x, labels, mlp_jax.tanh).gradient)
        imaginary = mlp_jax.check.complex_step(partial(_loss_by_log_sum_exp, x, labels), params)
        by_complex_step[net] = _error(_flat(imaginary.gradient), exact)
        for d, dtype in enumerate(DTYPES):
            with jax.enable_x64(dtype == "float64"):
                arrays = arrays_of(problem, dtype)
                by_step = [np.asarray(differences(mlp_jax.tanh, *arrays, np.asarray(h, dtype))) for h in steps]
                by_differences[d, net] = [_error(gradient, exact) for gradient in by_step]
                by_autodiff[d, net] = _error(_flat(_gradient(*arrays)), exact)
    return {
        "dtype": list(DTYPES),
        "step": steps,
        "differences": by_differences,
        "complex step": by_complex_step,
        "autodiff": by_autodiff,
    }


def errors(n: Numbers, what: str, dtype: str) -> np.ndarray:
    """Return the errors of differences (nets, steps), or of autodiff (nets,), in a dtype."""
    return n[what][n.at(dtype=dtype)]


def least(n: Numbers, dtype: str) -> int:
    """Return the index of the step at which the median error of differences is smallest."""
    return int(np.argmin(np.median(errors(n, "differences", dtype), axis=0)))


def log_slope(n: Numbers, dtype: str, steps: np.ndarray) -> Statistic:
    """Return the slope of log error over log step, at these steps."""
    return slope(np.log(n["step"][steps]), np.log(errors(n, "differences", dtype)[:, steps]))


THEORY = "error h^2 |f'''| / 6 + eps |f| / h (Nocedal & Wright, 2006, sec. 8.1)"


@equals(
    -1,
    "{dtype}: below the best step the error falls like 1 / h.",
    within=0.15,
    dtype=DTYPES,
    source=THEORY,
    how="a slope in the logarithms",
)
def rounding(n: Numbers, dtype: str) -> Statistic:
    h = n["step"][least(n, dtype)]
    return log_slope(n, dtype, (n["step"] > h / 1e4) & (n["step"] < h / 10))


@equals(
    2,
    "{dtype}: above it the error grows like h^2.",
    within=0.15,
    dtype=DTYPES,
    source=THEORY,
    how="a slope in the logarithms",
)
def truncation(n: Numbers, dtype: str) -> Statistic:
    low, high = {"float64": (10 * n["step"][least(n, dtype)], 0.1), "float32": (2e-2, 0.3)}[dtype]
    return log_slope(n, dtype, (n["step"] > low) & (n["step"] < high))


@equals(
    0,
    "{dtype}: the best step over eps^(1/3) is near 1, its log10 near 0.",
    within=1,
    dtype=DTYPES,
    source=THEORY,
    how="of the median error; within a factor of 10: the constant depends on f",
)
def optimum(n: Numbers, dtype: str) -> Statistic:
    return exact(np.log10(n["step"][least(n, dtype)] / np.finfo(dtype).eps ** (1 / 3)))


@at_least(
    lambda n, dtype: 100 * np.median(errors(n, "autodiff", dtype)),
    "{dtype}: even then differences are far worse than autodiff.",
    dtype=DTYPES,
    source="autodiff's own error, measured, times 100",
    how="relative L2 error of the whole gradient, median over the networks",
)
def best(n: Numbers, dtype: str) -> Statistic:
    return exact(np.median(errors(n, "differences", dtype), axis=0)[least(n, dtype)])


ROUNDING = "unit roundoff 1.1e-16, times the operations of three layers"
HOW = "relative L2 error of the whole gradient"


@at_most(1e-14, "The complex step is right to rounding.", source=ROUNDING, how=HOW, must=True)
def complex_step(n: Numbers) -> Statistic:
    return largest(n["complex step"])


@at_most(1e-14, "Autodiff in float64 is, too.", source=ROUNDING, how=HOW, must=True)
def autodiff(n: Numbers) -> Statistic:
    return largest(errors(n, "autodiff", "float64"))


def picture(n: Numbers) -> Figure:
    """Draw the error of each reference over the step."""
    figure, axes = panels(figsize=(6.5, 4.4))
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        curve = np.median(errors(n, "differences", dtype), axis=0)
        axes.plot(n["step"], curve, "o-", ms=3, lw=1, color=color, label=f"central differences, {dtype}")
        axes.axvline(float(np.finfo(dtype).eps) ** (1 / 3), color=color, ls=":", lw=1)
        axes.axhline(np.median(errors(n, "autodiff", dtype)), color=color, ls="--", lw=1, label=f"autodiff, {dtype}")
    axes.axhline(np.median(n["complex step"]), color="tab:green", label="complex step")
    axes.set(
        xscale="log", yscale="log", xlabel="step h (dotted: eps^(1/3))", ylabel="relative L2 error", ylim=(1e-17, 1e4)
    )
    axes.set_title("Error of each reference against mpmath, tanh network")
    axes.legend(fontsize=8, loc="upper right")
    return figure


def _loss_by_log_sum_exp(x: Any, labels: Any, params: Any) -> Any:
    """Return the loss of a tanh network by analytic operations only."""
    h = x
    for W, b in params[:-1]:
        h = jnp.tanh(h @ W + b[None, :])
    z = h @ params[-1][0] + params[-1][1][None, :]
    return jnp.mean(jnp.log(jnp.sum(jnp.exp(z), axis=1)) - z[jnp.arange(len(labels)), labels])


@jax.jit
def _gradient(x: Any, labels: Any, params: Any) -> Any:
    return jax.grad(lambda params: loss(mlp_jax.tanh, x, labels, params))(params)


def _flat(gradient: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(gradient)])


def _error(actual: Any, expected: Any) -> float:
    return float(np.linalg.norm(np.asarray(actual, float) - expected) / np.linalg.norm(expected))
