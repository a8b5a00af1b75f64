"""The gradient by hand against jax.grad and finite differences, for every activation and depth.

Real digits, random weights and biases. Leaf by leaf with jax.grad in both dtypes; along random directions with central
differences of the loss in float64, but for those that cross a kink of relu.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import mlp_jax
from experiments.protocol import Claim, Finding, Progress
from mlp_jax import Activation, Params, autodiff, backprop, datasets
from mlp_jax.activations import ACTIVATIONS

FORMULA = r"\delta_l = (\delta_{l+1} W_{l+1}^\top) * \varphi'(z_l), \qquad \mathrm{d}W_l = h_{l-1}^\top \delta_l"
CAPTION = "The gradient by hand against jax.grad: the worst parameter, over the depth. They differ by rounding alone."
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Config:
    """The network's depth, its activation and the dtype are varied, the rest is held fixed."""

    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    depths: tuple[int, ...] = (1, 2, 3, 8, 32)  # hidden layers
    width: int = 32
    batch: int = 64
    seeds: int = 5
    directions: int = 10  # along which finite differences are taken


FULL = Config()
QUICK = Config(activations=("sigmoid", "tanh", "relu"), depths=(1, 8), seeds=1, directions=5)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Compare with jax.grad, leaf by leaf, in both dtypes, and with central differences in float64."""
    errors: dict[str, dict[str, list[float]]] = {name: {} for name in (*DTYPES, "whole float32", "finite differences")}
    kinks = 0
    for i, name in enumerate(config.activations):
        progress(i / len(config.activations))
        rows = [_errors_at(config, jax.random.fold_in(key, depth), ACTIVATIONS[name], depth) for depth in config.depths]
        for kind, values in errors.items():
            values[name] = [row[kind] for row in rows]
        kinks += sum(int(row["kinks"]) for row in rows)
    worst = {kind: max(max(row) for row in values.values()) for kind, values in errors.items()}
    networks = f"{len(config.activations)} activations, depths {config.depths}, {config.seeds} seed(s) each: the worst"
    claims = (
        Claim(
            "float64",
            "By hand and by jax.grad every parameter's gradient is the same, in float64.",
            "<=",
            1e-12,
            "rounding: unit roundoff 1.1e-16, times the operations of 33 layers",
            worst["float64"],
            f"relative L2 error of a leaf; {networks}",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "float32",
            "Every parameter's gradient is the same, in float32.",
            "<=",
            1e-3,
            "rounding: unit roundoff 6e-8, and at depth 32 a leaf can be a cancelling sum",
            worst["float32"],
            f"relative L2 error of a leaf; {networks}",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "float32 whole",
            "The whole gradient, as one vector, is the same, in float32.",
            "<=",
            5e-6,
            "rounding: unit roundoff 6e-8, times the operations of 33 layers",
            worst["whole float32"],
            f"relative L2 error of the whole gradient; {networks}",
            seeds=config.seeds,
            exact=True,
        ),
        Claim(
            "finite differences",
            "Central differences of the loss, which know no chain rule, agree with it.",
            "<=",
            1e-6,
            "their own error, eps^(2/3) of the loss's size (Nocedal & Wright, 2006, sec. 8.1), over a small slope",
            worst["finite differences"],
            f"float64, step eps^(1/3) of the parameters' norm, {config.directions} random directions; "
            f"{kinks} directions that cross a kink of relu left out; {networks}",
            seeds=config.seeds,
            exact=True,
        ),
    )
    return Finding(claims, {"depths": list(config.depths), "errors": errors, "kinks": kinks})


def _errors_at(config: Config, key: jax.Array, phi: Activation, depth: int) -> dict[str, float]:
    """The worst errors over seeds at one depth. Rooms run op by op, so that all depths share their programs."""
    sizes = (64, *depth * (config.width,), 10)
    found: dict[str, float] = {"kinks": 0}
    for seed in range(config.seeds):
        for dtype in DTYPES:
            with jax.enable_x64(dtype == "float64"):
                x, labels = map(jnp.asarray, digits(config.batch, dtype))
                params = mlp_jax.init_params(
                    jax.random.fold_in(key, seed), sizes, phi, bias_init=jax.nn.initializers.normal(0.5), dtype=dtype
                )
                _, by_hand = backprop.room(params, x, labels, phi)
                _, by_autodiff = autodiff.room(params, x, labels, phi)
                pairs = zip(jax.tree.leaves(by_hand), jax.tree.leaves(by_autodiff), strict=True)
                errors = {dtype: max(relative_error(a, b) for a, b in pairs)}
                errors[f"whole {dtype}"] = relative_error(by_hand, by_autodiff)
                if dtype == "float64":
                    error, kinks = _finite_difference_error(params, by_hand, x, labels, phi, config.directions, seed)
                    errors["finite differences"] = error
                    found["kinks"] += kinks
            for name, error in errors.items():
                found[name] = max(found.get(name, 0.0), error)
    return found


def _finite_difference_error(
    params: Params, gradients: Params, x: Any, labels: Any, phi: Activation, directions: int, seed: int
) -> tuple[float, int]:
    """Relative L2 error of <g, v> over random directions v, without those that cross a kink; and their number."""
    theta, unravel = ravel_pytree(params)
    g = ravel_pytree(gradients)[0]
    rng = np.random.default_rng(seed)
    by_hand, differences = [], []
    for _ in range(directions):
        v = rng.standard_normal(theta.shape)
        h = np.cbrt(np.finfo(float).eps) * np.linalg.norm(theta) / np.linalg.norm(v)
        (up, signs_up), (down, signs_down) = (
            _loss_and_signs(unravel(theta + step * v), x, labels, phi) for step in (h, -h)
        )
        if phi.name in ("relu", "leaky_relu") and signs_up != signs_down:
            continue
        by_hand.append(float(g @ v))
        differences.append((up - down) / (2 * h))
    error = relative_error(np.array(differences), np.array(by_hand)) if by_hand else 0.0
    return error, directions - len(by_hand)


def _loss_and_signs(params: Params, x: Any, labels: Any, phi: Activation) -> tuple[float, bytes]:
    """The loss, and which units are on."""
    logits, trace = mlp_jax.forward_with_trace.room(params, x, phi)
    signs = b"".join(np.packbits(np.asarray(z) > 0).tobytes() for z in trace.z[:-1])
    return float(mlp_jax.cross_entropy(logits, labels)), signs


def digits(count: int | None, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The first digits of the training split, or all of them."""
    dataset = datasets.load_digits(dtype=np.dtype(dtype))
    if count is None:
        x, labels = map(np.concatenate, zip(dataset.train, dataset.validation, dataset.test, strict=True))
        return x, labels
    return dataset.train.x[:count], dataset.train.labels[:count]


def relative_error(actual: Any, expected: Any) -> float:
    """The relative L2 error of two pytrees, each taken as one vector."""
    a, b = (
        np.concatenate([np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(tree)]) for tree in (actual, expected)
    )
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def picture(data: dict[str, Any]) -> Figure:
    """The worst leaf's error of every activation over depth."""
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    for dtype, color in {"float32": "tab:orange", "float64": "tab:blue"}.items():
        for i, errors in enumerate(data["errors"][dtype].values()):
            label = f"{dtype}, one line an activation" if i == 0 else None
            axes.plot(data["depths"], errors, "o-", ms=3, lw=1, alpha=0.7, color=color, label=label)
        roundoff = float(jnp.finfo(dtype).eps) / 2
        axes.axhline(roundoff, color=color, ls=":", lw=1)
        axes.annotate(
            f"unit roundoff {roundoff:.0e}", (0.99, roundoff), xycoords=("axes fraction", "data"), ha="right", va="top",
            fontsize=8, color=color,
        )  # fmt: skip
    worst = np.max(list(data["errors"]["finite differences"].values()), axis=0)
    axes.plot(data["depths"], worst, "s--", ms=3, lw=1, color="tab:green", label="finite differences, worst activation")
    axes.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="relative L2 difference")
    axes.set_title("Gradient by hand against jax.grad, worst parameter")
    axes.set_xticks(data["depths"], map(str, data["depths"]))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left")
    return figure
