"""The error of each reference gradient, against mpmath: differences of every step size, complex step, autodiff.

Small tanh networks at a good point, in float64 and float32, entry by entry.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.intervals import median_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.why_gradient_checks.rules import arrays_of, differences, draw, loss

FORMULA = (
    r"\frac{f(\theta + h v) - f(\theta - h v)}{2h} = \langle \nabla f, v \rangle + O(h^2) + O(\varepsilon |f| / h)"
)
CAPTION = "The error of differences over their step: rounding to the left, truncation to the right of eps^(1/3)."


@dataclass(frozen=True)
class Config:
    """The step and the dtype are varied, the network is held fixed."""

    widths: tuple[int, ...] = (5, 7, 7, 4)
    batch: int = 8
    nets: int = 5
    steps: int = 41  # step sizes of the differences


FULL = Config()
QUICK = Config(nets=2)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Hold differences of every step size, the complex step and autodiff against mpmath, on small tanh networks."""
    steps = np.logspace(-11, 0, config.steps)
    errors: dict[str, list[list[float]]] = {"float64": [], "float32": []}
    others: dict[str, list[float]] = {"complex step": [], "autodiff float64": [], "autodiff float32": []}
    for net in range(config.nets):
        progress(net / config.nets)
        seed = int(jax.random.randint(jax.random.fold_in(key, net), (), 0, 2**31 - 1))
        problem = draw(config.widths, config.batch, seed, "a good point")
        with jax.enable_x64(True):
            x, labels, params = arrays_of(problem, jnp.float64)
            exact = np.asarray(ravel_pytree(mlp_jax.check.high_precision(params, x, labels, mlp_jax.tanh).gradient)[0])
            imaginary = mlp_jax.check.complex_step(partial(_loss_by_log_sum_exp, x, labels), params).gradient
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
            Claim(f"optimum {dtype}", f"{dtype}: the best step over eps^(1/3) is near 1, its log10 near 0.", "=", 0,
                  theory, float(np.log10(steps[best] / eps ** (1 / 3))), "within a factor of 10: the constant depends "
                  "on f", seeds=config.nets, tolerance=1)
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
                  "relative L2 error of the whole gradient, the worst net", seeds=config.nets, exact=True)
        )  # fmt: skip
    return claims


def picture(data: dict[str, Any]) -> Figure:
    """The error of each reference over the step."""
    figure, axes = plt.subplots(figsize=(6.5, 4.4), layout="constrained")
    steps = data["steps"]
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        curves = np.array(data["errors"][dtype])
        axes.plot(
            steps, np.median(curves, axis=0), "o-", ms=3, lw=1, color=color, label=f"central differences, {dtype}"
        )
        axes.axvline(float(np.finfo(dtype).eps) ** (1 / 3), color=color, ls=":", lw=1)
        autodiff = float(np.median(data["others"][f"autodiff {dtype}"]))
        axes.axhline(autodiff, color=color, ls="--", lw=1, label=f"autodiff, {dtype}")
    axes.axhline(float(np.median(data["others"]["complex step"])), color="tab:green", label="complex step")
    axes.set(
        xscale="log", yscale="log", xlabel="step h (dotted: eps^(1/3))", ylabel="relative L2 error", ylim=(1e-17, 1e4)
    )
    axes.set_title("Error of each reference against mpmath, tanh network")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper right")
    return figure
