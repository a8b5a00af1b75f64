"""Softmax regression on Gaussian classes with one covariance, against the true posterior.

C = 4 classes in D = 5 dimensions, priors 0.4, 0.3, 0.2, 0.1, means the first four unit vectors, covariance S with
S_ij = 0.5^|i - j|. By Bayes' rule the true posterior is softmax(W^T x + b) with w_k = S^-1 mu_k and
b_k = log prior_k - mu_k^T S^-1 mu_k / 2 (linear discriminant analysis), up to what all classes share, so differences to
the last class are compared. Softmax regression, which knows none of this, minimises cross-entropy on n examples by
Newton's method from zero, in float64. Its divergence from the true posterior is the mean of KL over fresh examples.
"""

from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import linalg, stats
from threadpoolctl import threadpool_limits

import mlp_jax
from experiments.frame.claims import at_most, equals
from experiments.frame.numbers import NotMeasuredError, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, largest, mean
from experiments.tasks import generator

FORMULA = (
    r"P(k \mid x) = \mathrm{softmax}_k(W^\top x + b), \qquad "
    r"\mathbb{E} \, \mathrm{KL} \approx \frac{(C - 1)(D + 1)}{2 n}"
)
PRIORS = np.array([0.4, 0.3, 0.2, 0.1])
MEANS = np.eye(4, 5)
COVARIANCE = 0.5 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
FREE = (MEANS.shape[0] - 1) * (MEANS.shape[1] + 1)  # parameters that the posterior depends on


@dataclass(frozen=True)
class Config:
    """The number of examples is varied, the task is held fixed."""

    examples: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000, 100_000)
    runs: int = 200  # at each number of examples
    newton_steps: int = 8
    fresh: int = 10_000  # examples on which the divergence is measured


FULL = Config()
QUICK = Config(examples=(1_000,), runs=24)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, np.ndarray]:
    """Fit softmax regression to every number of examples, many times.

    Returns:
      The "divergence" from the true posterior, the "weight error", relative L2, and the largest entry of the "gradient"
      that is left (examples, runs); and how far the linear posterior is from Bayes' rule.
    """
    rng, found = generator(key), []
    with threadpool_limits(1), ThreadPool() as pool:  # a run is a thread: such small products gain nothing from two
        for i, examples in enumerate(config.examples):
            progress(sum(config.examples[:i]) / sum(config.examples))
            found.append(pool.map(partial(fit_and_compare, examples, config), rng.spawn(config.runs)))
    divergence, weight_error, gradient = np.moveaxis(np.array(found), 2, 0)
    return {
        "examples": np.array(config.examples),
        "divergence": divergence,
        "weight error": weight_error,
        "gradient": gradient,
        "posterior error": np.array(posterior_error()),
    }


def over_theory(n: Numbers, examples: int) -> Statistic:
    """Return the divergence over (C - 1)(D + 1) / 2n, for a number of examples."""
    return mean(2 * examples * n["divergence"][n.at(examples=examples)] / FREE)


def tolerance(n: Numbers, examples: int) -> float:
    """Return three standard errors, and (C - 1)(D + 1) / n for the next term in 1 / n."""
    ratios = 2 * examples * n["divergence"][n.at(examples=examples)] / FREE
    return float(3 * ratios.std(ddof=1) / np.sqrt(len(ratios)) + FREE / examples)


def power(n: Numbers, name: str) -> Statistic:
    """Return the slope of the logarithms over n, fitted to run i at every n: its mean over runs."""
    if len(n["examples"]) < 2:
        raise NotMeasuredError("one number of examples has no slope: run without --quick")
    return mean(np.polyfit(np.log(n["examples"]), np.log(n[name]), 1)[0])


@at_most(
    1e-12,
    "The posterior of Gaussian classes with one covariance is a softmax of linear functions.",
    source="derived: the quadratic terms cancel",
    how="softmax of the linear functions against Bayes' rule on the densities, 1,000 points: largest difference; "
    "rounding of exponents of about 100 in float64",
    must=True,
)
def posterior(n: Numbers) -> Statistic:
    return exact(n["posterior error"])


@at_most(
    1e-10,
    "Newton's method has found the minimum of cross-entropy.",
    source="derived: the gradient is 0 there; 1e-10 is 1e-7 of the distance to the truth",
    how="the largest entry of the gradient after {n.config.newton_steps} steps",
)
def converged(n: Numbers) -> Statistic:
    return largest(n["gradient"])


@equals(
    1,
    "After {examples:,} examples the expected divergence from the true posterior is (C - 1)(D + 1) / 2n.",
    within=tolerance,
    examples=(1_000, 3_000, 10_000, 30_000, 100_000),
    source="derived: half the number of free parameters over n, as 2n KL tends to chi-squared of so many",
    how="divergence over theory's; three standard errors, and (C - 1)(D + 1) / n for the next term in 1 / n",
)
def KL(n: Numbers, examples: int) -> Statistic:
    return over_theory(n, examples)


LIKELIHOOD = "derived: estimates by maximum likelihood have a variance of order 1/n"


@equals(
    -1,
    "The divergence from the true posterior falls like 1/n.",
    within=0.05,
    source=LIKELIHOOD,
    how="slope of the logarithms over n; 0.05 for the least n and chance",
)
def KL_slope(n: Numbers) -> Statistic:
    return power(n, "divergence")


@equals(
    -0.5,
    "The learned weights come to those of linear discriminant analysis like 1 / sqrt(n).",
    within=0.05,
    source=LIKELIHOOD,
    how="slope of the logarithms over n; 0.05 for the least n and chance",
)
def weight_slope(n: Numbers) -> Statistic:
    return power(n, "weight error")


def picture(n: Numbers) -> Figure:
    """Draw the divergence over the number of examples, and theory."""
    figure, axes = panels()
    examples = n["examples"]
    axes.plot(examples, FREE / (2 * examples), color="black", ls="--", lw=1, label="theory, (C − 1)(D + 1) / 2n")
    found = [mean(divergence) for divergence in n["divergence"]]
    values = np.array([one.value for one in found])
    low, high = np.array([one.interval for one in found]).T
    label = "measured, mean and 95 % interval"
    axes.errorbar(examples, values, (values - low, high - values), fmt="o", color="tab:blue", capsize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="examples n", ylabel="KL from the true posterior (nats)")
    axes.set_title("Softmax regression on Gaussian classes")
    axes.legend(loc="upper right")
    return figure


def lda() -> np.ndarray:
    """Return the weights (D + 1, C - 1) of the true posterior, the bias last: differences to the last class."""
    w = np.linalg.solve(COVARIANCE, MEANS.T)
    b = np.log(PRIORS) - np.sum(MEANS.T * w, axis=0) / 2
    theta = np.vstack([w, b])
    return theta[:, :-1] - theta[:, -1:]


def posterior_error() -> float:
    """Return the largest difference between the softmax of linear functions and Bayes' rule, within 4 of the origin."""
    x = np.random.default_rng(0).uniform(-4, 4, (1000, MEANS.shape[1]))
    log_joint = [
        np.log(p) + stats.multivariate_normal(m, COVARIANCE).logpdf(x) for p, m in zip(PRIORS, MEANS, strict=True)
    ]
    joint = np.exp(log_joint - np.max(log_joint, axis=0))
    by_rule = (joint / joint.sum(axis=0)).T
    return float(np.max(np.abs(softmax(lda(), with_one(x)) - by_rule)))


def with_one(x: np.ndarray) -> np.ndarray:
    """Return the examples with a last feature 1, whose weight is the bias."""
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def softmax(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) of logits x theta, and 0 for the last class."""
    with jax.enable_x64(True):
        return np.asarray(mlp_jax.softmax(np.concatenate([x @ theta, np.zeros((len(x), 1))], axis=1)))


def drawn(rng: np.random.Generator, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples (N, D + 1) of the Gaussian classes, with a last feature 1, and their labels."""
    labels = rng.choice(len(PRIORS), examples, p=PRIORS)
    noise = rng.standard_normal((examples, MEANS.shape[1])) @ np.linalg.cholesky(COVARIANCE).T
    return with_one(MEANS[labels] + noise), labels


def fit_and_compare(examples: int, config: Config, rng: np.random.Generator) -> Any:
    """Fit new examples; return the divergence, the relative L2 error of the weights, and the gradient that is left."""
    truth = lda()
    theta, gradient = softmax_regression(*drawn(rng, examples), len(PRIORS), config.newton_steps)
    fresh, _ = drawn(rng, config.fresh)
    p, q = softmax(truth, fresh), softmax(theta, fresh)
    divergence = np.mean(np.sum(p * np.log(p / q), axis=1))
    return divergence, np.linalg.norm(theta - truth) / np.linalg.norm(truth), np.max(np.abs(gradient))


def softmax_regression(x: np.ndarray, labels: np.ndarray, classes: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Minimise cross-entropy by Newton's method from zero; return the weights (D, C - 1) and the last gradient.

    The gradient is the mean of x (p - y)^T, the Hessian that of x x^T times diag(p) - p p^T.
    """
    y, free, features = np.eye(classes)[labels, :-1], classes - 1, np.ascontiguousarray(x.T)
    theta = np.zeros((x.shape[1], free))
    for _ in range(steps):
        p = softmax(theta, x)[:, :-1]
        p_x = (p.T[:, None] * features).reshape(-1, len(x))  # all products of a p_i and an x_a
        hessian = linalg.block_diag(*np.split(p_x @ x, free)) - p_x @ p_x.T
        step = np.linalg.solve(hessian, (x.T @ (p - y)).T.ravel())
        theta = theta - step.reshape(free, -1).T
    return theta, x.T @ (softmax(theta, x)[:, :-1] - y) / len(x)
