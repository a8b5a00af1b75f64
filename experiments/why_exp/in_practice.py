"""Networks trained with each normaliser: test error, log-loss and calibration, beside exp's.

Relu networks on digits (64-64-10) and MNIST-1D (40-100-100-10), Adam, batches of 128, the same initial parameters and
the same batches for all normalisers of a seed. The learning rate of each is chosen by the same rule: the lowest mean
over seeds of the final log-loss on validation data; since who wins depends on the rule, the error on validation data is
tried as a second rule. Log-loss takes p as at least 1e-6, since sparsemax gives exact zeros; the calibration error (Guo
et al., 2017) has 15 equal bins of confidence. The number of epochs was fixed beforehand; no run stops early.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import mlp_jax
from experiments.intervals import mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs
from experiments.why_exp.normalisers import NORMALISERS
from mlp_jax import Activation, Loss, datasets

FORMULA = (
    r"\text{log-loss} = -\frac{1}{N} \sum_n \log p_{y_n}, \qquad"
    r" \text{ECE} = \sum_b \frac{n_b}{N} \left| \text{accuracy}_b - \text{confidence}_b \right|"
)
CAPTION = (
    "Test error and log-loss of each normaliser less exp's, with the same seeds and batches: right of 0 exp is better."
)


DATA = {"digits": "digits", "mnist1d": "MNIST-1D"}
METRICS = {"log-loss": "log-loss", "error": "error", "calibration": "expected calibration error"}
RULES = ("log-loss", "error")  # on validation data, by which the rate is chosen


@dataclass(frozen=True)
class Config:
    """The normaliser is varied; network, data, batches and seeds are held fixed."""

    hidden: dict[str, tuple[int, ...]]  # of each data set that is used
    epochs: dict[str, int]  # of 10 and 29 steps: what fits in four minutes
    seeds: int = 20
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    batch: int = 128
    floor: float = 1e-6  # of p in the log-loss
    bins: int = 15


FULL = Config({"digits": (64,), "mnist1d": (100, 100)}, {"digits": 200, "mnist1d": 100})
QUICK = Config({"digits": (64,)}, {"digits": 50}, seeds=2, rates=(1e-2,), batch=1259)  # all: one step to compile


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Train with every normaliser, choose each one's learning rate, and take the differences to exp seed by seed."""
    results: dict[str, Any] = {}
    for i, name in enumerate(config.hidden):
        progress(i / 5)  # MNIST-1D takes four times as long as digits
        data = datasets.load(name)
        on_validation, on_test = (
            {metric: array.reshape(config.seeds, len(NORMALISERS), -1) for metric, array in scored.items()}
            for scored in (
                scores(config, p, examples.labels)
                for p, examples in zip(trained(config, data, key), (data.validation, data.test), strict=True)
            )
        )
        results[name] = {rule: chosen(config, on_validation[rule], on_test) for rule in RULES}
    return Finding(claims(config, results), results)


def trained(config: Config, data: datasets.Dataset, key: jax.Array) -> Any:
    """Train every normaliser at every rate and seed; return p of validation and test data.

    The axes of p are seed; normaliser and rate, the rate varying faster; example; class.
    """
    sizes = (data.train.x.shape[1], *config.hidden[data.name], 10)
    which = jnp.repeat(jnp.arange(len(NORMALISERS)), len(config.rates))
    rates = jnp.tile(jnp.asarray(config.rates), len(NORMALISERS))

    def run(key: jax.Array, which: Any, rates: Any, train: Any, held_out: Any) -> Any:
        of_params, of_batches = jax.random.split(key)
        params = mlp_jax.init_params(of_params, sizes, mlp_jax.relu)

        def one(setting: Any) -> Any:
            i, rate = setting
            result = mlp_jax.train(
                of_batches,
                params,
                train,
                optimizer=optax.adam,
                hyperparameters={"learning_rate": rate},
                epochs=config.epochs[data.name],
                batch_size=config.batch,
                gradient=Partial(_gradient_of, i),
            )
            logits = [mlp_jax.forward(result.params, x, mlp_jax.relu) for x in held_out]
            return [jax.lax.switch(i, [n.probabilities for n in NORMALISERS.values()], z) for z in logits]

        return jax.lax.map(one, (which, rates))

    held_out = (data.validation.x, data.test.x)
    return over_runs(run, (jax.random.split(key, config.seeds),), (which, rates, tuple(data.train), held_out))


def _gradient_of(i: Any, params: Any, x: Any, labels: Any, activation: Activation, loss: Loss) -> Any:
    """The gradient, by hand, of the i-th normaliser's loss; i is traced, so that one program trains them all."""
    losses = [normaliser.loss for normaliser in NORMALISERS.values()]
    chosen = Loss(
        lambda z, labels: jax.lax.switch(i, [loss.value for loss in losses], z, labels),
        lambda z, labels: jax.lax.switch(i, [loss.logits_gradient for loss in losses], z, labels),
    )
    return mlp_jax.backprop(params, x, labels, activation, chosen)


def scores(config: Config, p: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return log-loss, error and calibration error over examples; p (..., N, C), labels (N,)."""
    p_y = np.take_along_axis(p, labels.reshape(*(p.ndim - 2) * (1,), -1, 1), axis=-1)[..., 0]
    right = np.argmax(p, axis=-1) == labels
    return {
        "log-loss": -np.mean(np.log(np.maximum(p_y.astype(float), config.floor)), axis=-1),
        "error": 1 - np.mean(right, axis=-1),
        "calibration": calibration_error(np.max(p, axis=-1), right, config.bins),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> np.ndarray:
    """Return the sum over equal bins of (share of examples in the bin) |accuracy - confidence|, over the last axis."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [np.abs(np.mean((bin_of == b) * (right - confidence.astype(float)), axis=-1)) for b in range(bins)]
    return np.sum(gaps, axis=0)


def chosen(config: Config, rule: np.ndarray, on_test: dict[str, np.ndarray]) -> dict[str, Any]:
    """Choose each normaliser's rate by the lowest mean over seeds, and compare its test scores with exp's.

    The axes are seed, normaliser and rate. A run whose score is not finite counts as infinitely bad.
    """
    best = np.argmin(np.where(np.isfinite(rule), rule, np.inf).mean(axis=0), axis=1)
    names = list(NORMALISERS)
    at_best = {
        metric: {name: values[:, i, best[i]] for i, name in enumerate(names)} for metric, values in on_test.items()
    }
    return {
        "rates": {name: config.rates[best[i]] for i, name in enumerate(names)},
        "means": {metric: {name: float(v.mean()) for name, v in rows.items()} for metric, rows in at_best.items()},
        "differences": {
            metric: {name: mean_and_interval(v - rows["exp"]) for name, v in rows.items() if name != "exp"}
            for metric, rows in at_best.items()
        },
    }


def claims(config: Config, results: dict[str, Any]) -> tuple[Claim, ...]:
    """That exp is not beaten, for each data set, metric and rule; and what was published of Taylor's."""
    default = "the usual choice since Bridle, 1990, to be tested here"
    published = "de Brébisson & Vincent, 2016: lower than softmax's on MNIST and CIFAR-10, with convolutional networks"
    made = []
    for data, title in DATA.items():
        for rule, metrics, suffix, also in (
            ("log-loss", tuple(METRICS), "", ""),
            ("error", ("error",), " by error", ", with learning rates chosen by error"),
        ):
            result = results.get(data, {}).get(rule)
            for metric in metrics:
                rivals = result and result["differences"][metric]
                best = rivals and min(rivals, key=lambda name: rivals[name][0])
                made.append(
                    claim(
                        config, f"{data} {metric}{suffix}",
                        f"On {title} no other normaliser has a lower mean test {METRICS[metric]} than exp{also}.", ">=",
                        default, rivals and rivals[best],
                        f"of the best of the six others, {best}, less exp's{means(result, metric, best)}; the interval "
                        "does not allow for its having been picked from six", rule,
                    )
                )  # fmt: skip
            made.append(
                claim(
                    config, f"{data} taylor{suffix}", f"On {title} Taylor's test error is no higher than exp's{also}.",
                    "<=", published, result and result["differences"]["error"]["taylor"],
                    f"its error less exp's{means(result, 'error', 'taylor')}", rule,
                )
            )  # fmt: skip
    return tuple(made)


def means(result: dict[str, Any] | None, metric: str, name: str | None) -> str:
    """The two means behind a difference, in words."""
    if result is None or name is None:
        return ""
    ours, of_exp = result["means"][metric][name], result["means"][metric]["exp"]
    rates = result["rates"]
    return f" ({ours:.4f} at {rates[name]:g} and {of_exp:.4f} at {rates['exp']:g})"


def claim(
    config: Config, name: str, statement: str, relation: Any, source: str, difference: Any, what: str, rule: str
) -> Claim:
    """A claim on a paired difference to exp, which is not run where there is none."""
    if difference is None:
        reason = "a quick run does without MNIST-1D: run without --quick"
        return Claim(name, statement, relation, 0.0, source, None, "", explanation=reason)
    mean, interval = difference
    reason = f"{what}; paired by seed; final, rate of {config.rates} by mean validation {rule}"
    return Claim(name, statement, relation, 0.0, source, mean, reason, interval, config.seeds)


def picture(data: dict[str, Any]) -> Figure:
    """For every data set, the differences to exp in error and log-loss, under both rules."""
    figure, axes = plt.subplots(len(data), 2, figsize=(7.2, 0.6 + 2.5 * len(data)), layout="constrained", squeeze=False)
    names = [name for name in NORMALISERS if name != "exp"]
    y = np.arange(len(names))
    marks = {"log-loss": ("o", "tab:blue", -0.13), "error": ("s", "tab:orange", 0.13)}
    for row, (name, results) in zip(axes, data.items(), strict=True):
        for panel, metric, factor, unit in zip(
            row, ("error", "log-loss"), (100, 1), ("test error, % points", "test log-loss, nats"), strict=True
        ):
            for rule, (marker, color, shift) in marks.items():
                differences = results[rule]["differences"][metric]
                mean = factor * np.array([differences[name][0] for name in names])
                bars = np.abs(factor * np.array([differences[name][1] for name in names]).T - mean)
                panel.errorbar(
                    mean, y + shift, xerr=bars, fmt=marker, ms=4, color=color, label=f"rate by validation {rule}"
                )
            panel.axvline(0, color="black", lw=0.8)
            panel.set_yticks(y, names if metric == "error" else [])
            panel.set_xlabel(f"{DATA[name]}: {unit}, less exp's", fontsize=9)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            panel.invert_yaxis()
            panel.grid(alpha=0.3)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8.5)
    return figure
