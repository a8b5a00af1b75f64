"""What softmax and cross-entropy learn is the Bayes posterior, where classes are Gaussian with one covariance.

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
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

import mlp_jax
from experiments import tasks
from experiments.intervals import Interval, mean_and_interval
from experiments.protocol import Claim, Finding, Progress
from experiments.runs_at_once import over_runs

FORMULA = (
    r"P(k \mid x) = \mathrm{softmax}_k(W^\top x + b), \qquad "
    r"\mathbb{E} \, \mathrm{KL} \approx \frac{(C - 1)(D + 1)}{2 n}"
)
CAPTION = "Softmax regression comes as close to the true posterior as theory says, however many examples there are."

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
QUICK = Config(examples=(1_000, 10_000), runs=48)


def measure(config: Config, key: jax.Array, progress: Progress) -> Finding:
    """Fit softmax regression to every number of examples, many times."""
    divergence, weight_error, residual = [], [], 0.0
    with jax.enable_x64(True):
        for i, examples in enumerate(config.examples):
            progress(sum(config.examples[:i]) / sum(config.examples))
            keys = jax.random.split(jax.random.fold_in(key, examples), config.runs)
            run = partial(fit_one_after_another, n=examples, config=config)
            groups = keys.reshape(config.side_by_side, -1)
            results = over_runs(run, (groups,), (MEANS, np.linalg.cholesky(COVARIANCE), PRIORS, lda()))
            kl, error, gradient = (np.ravel(result) for result in results)
            divergence.append(kl)
            weight_error.append(error)
            residual = max(residual, float(gradient.max()))
    n = np.array(config.examples)
    ratios = [mean_and_interval(2 * n_i * kl / FREE) for n_i, kl in zip(n, divergence, strict=True)]
    setting = f"n from {n[0]:,} to {n[-1]:,}, {config.runs} runs at each"
    claims = (
        Claim(
            "posterior",
            "The posterior of Gaussian classes with one covariance is a softmax of linear functions.",
            "<=",
            1e-12,
            "derived: the quadratic terms cancel",
            posterior_error(),
            "softmax of the linear functions against Bayes' rule on the densities, 1,000 points: largest difference; "
            "rounding of exponents of about 100 in float64",
            exact=True,
        ),
        Claim(
            "converged",
            "Newton's method has found the minimum of cross-entropy.",
            "<=",
            1e-10,
            "derived: the gradient is 0 there; 1e-10 is 1e-7 of the distance to the truth",
            residual,
            f"the largest entry of the gradient after {config.newton_steps} steps; {setting}",
            seeds=config.runs,
        ),
        *(ratio_claim(n_i, *ratio, config) for n_i, ratio in zip(config.examples, ratios, strict=True)),
        slope_claim("KL slope", "The divergence from the true posterior falls like 1/n.", -1, n, divergence, setting),
        slope_claim(
            "weight slope",
            "The learned weights come to those of linear discriminant analysis like 1 / sqrt(n).",
            -0.5,
            n,
            weight_error,
            setting,
        ),
    )
    data = {
        "examples": n,
        "divergence": [mean_and_interval(kl) for kl in divergence],
        "weight_error": [mean_and_interval(error) for error in weight_error],
    }
    return Finding(claims, data)


def lda() -> np.ndarray:
    """The weights (D + 1, C - 1) of the true posterior, the bias last: differences to the last class."""
    w = np.linalg.solve(COVARIANCE, MEANS.T)
    b = np.log(PRIORS) - np.sum(MEANS.T * w, axis=0) / 2
    theta = np.vstack([w, b])
    return theta[:, :-1] - theta[:, -1:]


def posterior_error() -> float:
    """The largest difference between the softmax of linear functions and Bayes' rule, within 4 of the origin."""
    x = np.random.default_rng(0).uniform(-4, 4, (1000, MEANS.shape[1]))
    log_joint = [
        np.log(p) + stats.multivariate_normal(m, COVARIANCE).logpdf(x) for p, m in zip(PRIORS, MEANS, strict=True)
    ]
    joint = np.exp(log_joint - np.max(log_joint, axis=0))
    by_rule = (joint / joint.sum(axis=0)).T
    with jax.enable_x64(True):
        by_softmax = np.asarray(mlp_jax.softmax(logits(jnp.asarray(lda()), with_one(jnp.asarray(x)))))
    return float(np.max(np.abs(by_softmax - by_rule)))


def with_one(x: Any) -> Any:
    """The examples with a last feature 1, whose weight is the bias."""
    return jnp.concatenate([x, jnp.ones((len(x), 1), x.dtype)], axis=1)


def logits(theta: jax.Array, x: jax.Array) -> jax.Array:
    """The logits (N, C), 0 for the last class."""
    return jnp.concatenate([x @ theta, jnp.zeros((len(x), 1), x.dtype)], axis=1)


def fit_one_after_another(keys: jax.Array, *task: jax.Array, n: int, config: Config) -> Any:
    """What `fit_and_compare` returns for every key; only one run's examples are in memory."""
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


def ratio_claim(n: int, ratio: float, interval: Interval, config: Config) -> Claim:
    """The expected divergence is that of theory."""
    error = (interval[1] - interval[0]) / 2 / stats.t.ppf(0.975, config.runs - 1)
    return Claim(
        f"KL {n}",
        f"After {n:,} examples the expected divergence from the true posterior is (C - 1)(D + 1) / 2n.",
        "=",
        1,
        "derived: half the number of free parameters over n, as 2n KL tends to chi-squared of so many",
        ratio,
        "divergence over theory's, mean; three standard errors, and (C - 1)(D + 1) / n for the next term in 1 / n",
        interval,
        config.runs,
        3 * error + FREE / n,
    )


def slope_claim(
    name: str, statement: str, expected: float, n: np.ndarray, values: list[np.ndarray], setting: str
) -> Claim:
    """A power law in n: the slope of the logarithms, fitted to run i at every n."""
    slopes = np.polyfit(np.log(n), np.log(values), 1)[0]
    slope, interval = mean_and_interval(slopes)
    return Claim(
        name,
        statement,
        "=",
        expected,
        "derived: estimates by maximum likelihood have a variance of order 1/n",
        slope,
        f"slope of the logarithms over n, mean over runs; {setting}; 0.05 for the least n and chance",
        interval,
        len(slopes),
        0.05,
    )


def picture(data: dict[str, Any]) -> Figure:
    """The divergence over the number of examples, and theory."""
    figure, axes = plt.subplots(figsize=(6.5, 4.0), layout="constrained")
    n = np.array(data["examples"])
    axes.plot(n, FREE / (2 * n), color="black", ls="--", lw=1, label="theory, (C − 1)(D + 1) / 2n")
    mean = np.array([value for value, _ in data["divergence"]])
    low, high = np.array([interval for _, interval in data["divergence"]]).T
    axes.errorbar(
        n,
        mean,
        (mean - low, high - mean),
        fmt="o",
        color="tab:blue",
        capsize=4,
        label="measured, mean and 95 % interval",
    )
    axes.set(xscale="log", yscale="log", xlabel="examples n", ylabel="KL from the true posterior (nats)")
    axes.set_title("Softmax regression on Gaussian classes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="upper right")
    return figure
