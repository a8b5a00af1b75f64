"""Softmax regression on Gaussian classes with one covariance, against the true posterior.

C = 4 classes in D = 5 dimensions, priors 0.4, 0.3, 0.2, 0.1, means the first four unit vectors, covariance S with
S_ij = 0.5^|i - j|. By Bayes' rule the true posterior is softmax(W^T x + b) with w_k = S^-1 mu_k and
b_k = log prior_k - mu_k^T S^-1 mu_k / 2 (linear discriminant analysis), up to what all classes share, so differences to
the last class are compared. Softmax regression, which knows none of this, minimises cross-entropy on n examples by
Newton's method from zero, in float64. Its divergence from the true posterior is the mean of KL over fresh examples.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import mlp_jax
from experiments import tasks
from experiments.frame.claims import at_most, equals
from experiments.frame.numbers import NotMeasuredError, Numbers, Progress
from experiments.frame.plots import panels
from experiments.frame.statistics import Statistic, exact, largest, mean
from experiments.runs_at_once import over_runs

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
    runs: int = 200  # at each number of examples, a multiple of those that go side by side
    side_by_side: int = 8
    newton_steps: int = 10
    fresh: int = 10_000  # examples on which the divergence is measured


FULL = Config()
QUICK = Config(examples=(1_000,), runs=24)


def measure(config: Config, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Fit softmax regression to every number of examples, many times.

    Returns:
      The "divergence" from the true posterior, the "weight error", relative L2, and the largest entry of the "gradient"
      that is left (examples, runs); and how far the linear posterior is from Bayes' rule.
    """
    found = []
    with jax.enable_x64(True):
        for i, examples in enumerate(config.examples):
            progress(sum(config.examples[:i]) / sum(config.examples))
            keys = jax.random.split(jax.random.fold_in(key, examples), config.runs)
            run = partial(fit_one_after_another, n=examples, config=config)
            groups = keys.reshape(config.side_by_side, -1)
            results = over_runs(run, (groups,), (MEANS, np.linalg.cholesky(COVARIANCE), PRIORS, lda()))
            found.append([np.ravel(result) for result in results])
    divergence, weight_error, gradient = np.moveaxis(np.array(found), 1, 0)
    return {
        "examples": np.array(config.examples),
        "divergence": divergence,
        "weight error": weight_error,
        "gradient": gradient,
        "posterior error": posterior_error(),
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
    with jax.enable_x64(True):
        z = np.concatenate([np.concatenate([x, np.ones((len(x), 1))], axis=1) @ lda(), np.zeros((len(x), 1))], axis=1)
        by_softmax = np.asarray(mlp_jax.softmax(z))
    return float(np.max(np.abs(by_softmax - by_rule)))


def with_one(x: Any) -> Any:
    """Return the examples with a last feature 1, whose weight is the bias."""
    return jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)


def logits(theta: jax.Array, x: jax.Array) -> jax.Array:
    """Return the logits (N, C), 0 for the last class."""
    return jnp.concatenate([x @ theta, jnp.zeros((len(x), 1), x.dtype)], axis=1)


def fit_one_after_another(keys: jax.Array, *task: jax.Array, n: int, config: Config) -> Any:
    """Return what `fit_and_compare` does for every key; only one run's examples are in memory."""
    return jax.lax.map(lambda key: fit_and_compare(key, *task, n=n, config=config), keys)


def fit_and_compare(
    key: jax.Array, means: jax.Array, scale: jax.Array, priors: jax.Array, truth: jax.Array, *, n: int, config: Config
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fit n examples; return the divergence, the relative L2 error of the weights, and the gradient that is left."""
    x, labels = tasks.gaussian_classes(key, n + config.fresh, means, scale, priors)
    x, fresh = with_one(x[:n]), with_one(x[n:])
    theta, gradient = softmax_regression(x, labels[:n], len(priors), config.newton_steps)
    log_p, log_q = (mlp_jax.log_softmax(logits(t, fresh)) for t in (truth, theta))
    divergence = jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=1))
    return divergence, jnp.linalg.norm(theta - truth) / jnp.linalg.norm(truth), jnp.max(jnp.abs(gradient))


def softmax_regression(x: jax.Array, labels: jax.Array, classes: int, steps: int) -> tuple[jax.Array, jax.Array]:
    """Minimise cross-entropy by Newton's method from zero; return the weights (D, C - 1) and the last gradient.

    The gradient is the mean of x (p - y)^T, the Hessian that of x x^T times diag(p) - p p^T.
    """
    y = jax.nn.one_hot(labels, classes, dtype=x.dtype)
    free, features = classes - 1, x.shape[1]

    def gradient_and_probabilities(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = mlp_jax.softmax(logits(theta, x))
        return (x.T @ (p - y)[:, :free]) / len(x), p[:, :free]

    def newton(theta: jax.Array, _: None) -> tuple[jax.Array, None]:
        gradient, p = gradient_and_probabilities(theta)
        S = p[:, :, None] * (jnp.eye(free)[None] - p[:, None, :])
        hessian = jnp.einsum("na,nb,nij->iajb", x, x, S) / len(x)
        step = jnp.linalg.solve(hessian.reshape(theta.size, theta.size), gradient.T.ravel())
        return theta - step.reshape(free, features).T, None

    theta, _ = jax.lax.scan(newton, jnp.zeros((features, free), x.dtype), length=steps)
    return theta, gradient_and_probabilities(theta)[0]
