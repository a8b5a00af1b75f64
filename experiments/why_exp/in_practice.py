"""Networks trained with each normaliser: test error, log-loss and calibration, next to exp's.

Relu networks on digits (64-64-10) and MNIST-1D (40-100-100-10), Adam, batches of 128, the same initial parameters and
the same batches for all normalisers of a seed. The learning rate of each is chosen by the same rule: the lowest mean
over seeds of the final log-loss on validation data. Who wins depends on the rule, so the error on validation data is
tried as a second rule. Log-loss takes p as at least 1e-6, since sparsemax gives exact zeros; the calibration error (Guo
et al., 2017) has 15 equal bins of confidence. The number of epochs was fixed beforehand; no run stops early.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import mlp_jax
from experiments.frame.claims import at_least, at_most
from experiments.frame.numbers import NotMeasured, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, difference
from experiments.runs_at_once import over_runs
from experiments.why_exp.normalisers import NORMALISERS
from mlp_jax import Activation, Loss, datasets

FORMULA = (
    r"\text{log-loss} = -\frac{1}{N} \sum_n \log p_{y_n}, \qquad"
    r" \text{ECE} = \sum_b \frac{n_b}{N} \left| \text{accuracy}_b - \text{confidence}_b \right|"
)
DATA = {"digits": "digits", "MNIST-1D": "mnist1d"}
METRICS = ("log-loss", "error", "calibration error")
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
QUICK = Config({}, {})  # compiling the training of seven normalisers takes longer than all other quick measurements


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Train with every normaliser at every learning rate.

    Returns:
      "digits validation", "digits test" and the same of MNIST-1D: final scores (metrics, seeds, normalisers, rates).
    """
    shape = len(METRICS), config.seeds, len(NORMALISERS), len(config.rates)
    measured: dict[str, Any] = {
        "metric": np.array(METRICS),
        "normaliser": np.array(list(NORMALISERS)),
        "rate": np.array(config.rates),
    }
    for i, (title, name) in enumerate(DATA.items()):
        progress(i / 5)  # MNIST-1D takes four times as long as digits
        found: list[Any] = 2 * [NotMeasured(f"this run trains nothing on {title}: run without --quick")]
        if name in config.hidden:
            data = datasets.load(name)
            labels = data.validation.labels, data.test.labels
            found = [
                scores(config, p, y).reshape(shape) for p, y in zip(trained(config, data, key), labels, strict=True)
            ]
        measured |= {f"{title} validation": found[0], f"{title} test": found[1]}
    return measured


def trained(config: Config, data: datasets.Dataset, key: jax.Array) -> Any:
    """Train every normaliser at every rate and seed; return p of validation and test data.

    The axes of p are seed; normaliser and rate, the rate varying faster; example; class.
    """
    sizes = (data.train.x.shape[1], *config.hidden[data.name], 10)
    which = np.repeat(np.arange(len(NORMALISERS)), len(config.rates))
    rates = np.tile(np.array(config.rates, np.float32), len(NORMALISERS))

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
    """Return the gradient, by hand, of the i-th normaliser's loss; i is traced, so that one program trains them all."""
    losses = [normaliser.loss for normaliser in NORMALISERS.values()]
    chosen = Loss(
        lambda z, labels: jax.lax.switch(i, [loss.value for loss in losses], z, labels),
        lambda z, labels: jax.lax.switch(i, [loss.logits_gradient for loss in losses], z, labels),
    )
    return mlp_jax.backprop(params, x, labels, activation, chosen)


def scores(config: Config, p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the METRICS over examples (metrics, ...); p (..., N, C), labels (N,)."""
    p_y = np.take_along_axis(p, labels.reshape(*(p.ndim - 2) * (1,), -1, 1), axis=-1)[..., 0]
    right = np.argmax(p, axis=-1) == labels
    log_loss = -np.mean(np.log(np.maximum(p_y.astype(float), config.floor)), axis=-1)
    return np.stack([log_loss, 1 - np.mean(right, axis=-1), calibration_error(np.max(p, axis=-1), right, config.bins)])


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> np.ndarray:
    """Return the sum over equal bins of (share of examples in the bin) |accuracy - confidence|, over the last axis."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [np.abs(np.mean((bin_of == b) * (right - confidence.astype(float)), axis=-1)) for b in range(bins)]
    return np.sum(gaps, axis=0)


def less_exp(n: Numbers, data: str, metric: str, rule: str) -> dict[str, Statistic]:
    """Return the test scores of the other normalisers less exp's, each at its own learning rate.

    That is the rate with the lowest mean validation score; a run whose score is not finite counts as infinitely bad.
    """
    tried, test = n[f"{data} validation"][n.at(metric=rule)], n[f"{data} test"][n.at(metric=metric)]
    best = np.argmin(np.where(np.isfinite(tried), tried, np.inf).mean(axis=0), axis=-1)
    scores = {name: test[:, i, best[i]] for i, name in enumerate(n["normaliser"])}
    exp = scores.pop("exp")
    return {name: difference(score, exp) for name, score in scores.items()}


USUAL = "the usual choice since Bridle, 1990, to be tested here"
BEST = (
    "of the best of the six others, less exp's, rates in {n.config.rates}; the interval does not allow for its picking"
)
TAYLOR = "de Brébisson & Vincent, 2016: lower than softmax's on MNIST and CIFAR-10, with convolutional networks"


@at_least(
    0,
    "On {data} no other normaliser has a lower mean test {metric} than exp.",
    source=USUAL,
    how=BEST,
    data=tuple(DATA),
    metric=METRICS,
)
def best_rival(n: Numbers, data: str, metric: str) -> Statistic:
    return min(less_exp(n, data, metric, "log-loss").values())


@at_least(
    0,
    "On {data} no other normaliser has a lower mean test error than exp, with learning rates chosen by error.",
    source=USUAL,
    how=BEST,
    data=tuple(DATA),
)
def best_rival_by_error(n: Numbers, data: str) -> Statistic:
    return min(less_exp(n, data, "error", "error").values())


@at_most(
    0,
    "On {data} Taylor's test error is no higher than exp's, with learning rates chosen by {rule}.",
    source=TAYLOR,
    how="its error less exp's, rates in {n.config.rates}",
    data=tuple(DATA),
    rule=RULES,
)
def taylor(n: Numbers, data: str, rule: str) -> Statistic:
    return less_exp(n, data, "error", rule)["taylor"]


def picture(n: Numbers) -> Figure:
    """Draw the differences to exp in error and log-loss on every data set, under both rules."""
    figure, axes = panels(len(DATA), 2, figsize=(7.2, 5.6), sharey=True)
    marks = {"log-loss": ("o", "C0", -0.13), "error": ("s", "C1", 0.13)}
    for row, data in zip(axes, DATA, strict=True):
        for panel, metric, factor, unit in zip(row, ("error", "log-loss"), (100, 1), ("% points", "nats"), strict=True):
            for rule, (marker, color, shift) in marks.items():
                rivals = less_exp(n, data, metric, rule)
                mean = factor * np.array([rival.value for rival in rivals.values()])
                bars = np.abs(factor * np.array([rival.interval for rival in rivals.values()]).T - mean)
                y, label = np.arange(len(rivals)) + shift, f"rate by validation {rule}"
                panel.errorbar(mean, y, xerr=bars, fmt=marker, ms=4, color=color, label=label)
            panel.axvline(0, color="black", lw=0.8)
            panel.set_yticks(np.arange(len(rivals)), list(rivals))
            panel.set_xlabel(f"{data}: test {metric}, {unit}, less exp's", fontsize=9)
            panel.xaxis.set_major_locator(MaxNLocator(5))
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
