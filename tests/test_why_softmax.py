import dataclasses
import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import mlp_jax
from experiments.why_softmax import (
    MEASUREMENTS,
    bayes,
    calibration,
    exact,
    gradient,
    inference,
    one_neuron,
    probabilities,
    trainings,
)
from experiments.why_softmax.losses import softmax_squared_error


def silent(share):
    pass


@pytest.fixture
def retraced():
    """What was traced with the right thing is traced anew with the wrong one, and the other way round."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def verdicts(module, config):
    return {claim.name: claim.verdict for claim in module.measure(config, jax.random.key(0), silent).claims}


def test_exact_softmax_and_its_derivatives():
    z = [0.0, math.log(3)]
    assert [float(p) for p in exact.softmax(z)] == pytest.approx([0.25, 0.75])
    assert exact.gradient(z, 1) == pytest.approx([0.25, -0.25])
    assert exact.hessian(z) == pytest.approx(np.array([[0.1875, -0.1875], [-0.1875, 0.1875]]))
    with mpmath.workdps(exact.DIGITS):  # 1 - p is not lost
        assert exact.gradient([0.0, 100.0], 1)[1] == pytest.approx(-math.exp(-100))
    assert exact.relative_errors(np.array([[0.25, 0.75 * (1 + 1e-15)]]), np.array([z]))[0] == pytest.approx(
        [0, 1e-15], abs=3e-16
    )


def test_gap_bins_and_slopes():
    worst = probabilities.worst_of(np.array([0.5, 2.5, 2.7, 90.0]), np.array([1.0, 2.0, 5.0, 7.0]))
    assert worst[[0, 1, 2, 87]].tolist() == [1, 0, 5, 7]
    staircase = 2.0 ** np.floor(np.log2(np.arange(88) + 0.5).clip(0))
    assert probabilities.slope_over_octaves(staircase + 3) == pytest.approx(1)


def test_bisection_finds_where_exp_overflows():
    def by_numpy(z):
        with np.errstate(all="ignore"):
            e = np.exp(z)
            return e / e.sum()

    assert probabilities.largest_finite(by_numpy, 3, "float32") == pytest.approx(math.log(3.4028235e38), abs=1e-5)
    assert probabilities.largest_finite(by_numpy, 3, "float64") == pytest.approx(math.log(1.7976931348623157e308))


@pytest.mark.parametrize(("start", "quadratic", "cross_entropy"), [(0, 0.09396, 0.0116), (1, 0.20285, 0.0120)])
def test_one_neuron_ends_at_the_known_numbers(start, quadratic, cross_entropy):
    w, b, published = list(one_neuron.NEURON.values())[start]
    assert one_neuron.output(w, b, quadratic=True) == pytest.approx(quadratic, abs=5e-6)
    assert one_neuron.output(w, b, quadratic=True) == pytest.approx(published, abs=5e-3)
    assert one_neuron.output(w, b, quadratic=False) == pytest.approx(cross_entropy, abs=5e-5)
    assert one_neuron.output_by_gradient_flow(w + b) == pytest.approx(cross_entropy, rel=0.02)


def test_epochs_to_the_goal():
    accuracy = np.array([[0.5, 0.96, 0.94], [0.95, 0.2, 0.1], [0.1, 0.2, 0.3]])
    assert trainings.first_epoch(accuracy, trainings.GOAL).tolist() == [2, 1, 4]


def test_weights_of_linear_discriminant_analysis():
    x = np.random.default_rng(0).normal(size=(4, 5))
    z = np.c_[x, np.ones(4)] @ bayes.lda()
    log_density = [stats.multivariate_normal(m, bayes.COVARIANCE).logpdf(x) for m in bayes.MEANS]
    log_joint = np.transpose(log_density) + np.log(bayes.PRIORS)[None, :]
    np.testing.assert_allclose(z, log_joint[:, :-1] - log_joint[:, -1:], rtol=1e-12)


def test_expected_ties_of_two_classes():
    # the gap of two normal logits is the size of a normal variable of variance 2
    config = dataclasses.replace(inference.FULL, classes=2)
    density = 2 * stats.norm.pdf(0, scale=math.sqrt(2))
    assert inference.expected_changes(0.1, config) == pytest.approx(1e6 * density / 0.1 * 2**-25 / 2)


def test_derivations_in_latex_can_be_shown():
    converter = pytest.importorskip("latex2mathml.converter")
    for module in MEASUREMENTS:
        assert "<math" in converter.convert(module.FORMULA)


@pytest.mark.slow
def test_squared_error_after_softmax_by_hand_is_its_gradient(float64):
    z, labels = 3 * jax.random.normal(jax.random.key(0), (5, 4)), jnp.array([0, 1, 2, 3, 0])
    by_hand = softmax_squared_error.logits_gradient(z, labels)
    np.testing.assert_allclose(by_hand, jax.grad(softmax_squared_error)(z, labels), rtol=1e-10, atol=1e-18)


# ---- a wrong thing is seen: each wrong softmax or gradient has the claims that fall

SMALL = probabilities.Config(batches=2, rows=1000, exact_rows=3)
WRONG_SOFTMAX = {
    "no shift": (lambda z: jnp.exp(z) / jnp.sum(jnp.exp(z), axis=-1, keepdims=True), {"finite", "shift", "positive"}),
    "a shift too large": (
        lambda z: jax.nn.softmax(z - 60) * (jnp.max(z, axis=-1, keepdims=True) - z < 60),
        {"positive", "rounding"},
    ),
    "a little too large": (lambda z: jax.nn.softmax(z) * (1 + 2e-6), {"sum", "rounding"}),
    "the other way round": (lambda z: jax.nn.softmax(-z), {"order", "rounding"}),
    "from logs": (lambda z: jnp.exp(z - jax.nn.logsumexp(z, axis=-1, keepdims=True)), {"rounding", "shift"}),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of numbers that are not finite: wrong on purpose
@pytest.mark.parametrize("wrong", WRONG_SOFTMAX)
def test_a_wrong_softmax_is_seen(monkeypatch, retraced, wrong):
    softmax, falls = WRONG_SOFTMAX[wrong]
    monkeypatch.setattr(mlp_jax, "softmax", softmax)
    found = verdicts(probabilities, SMALL)
    assert falls <= {name for name, verdict in found.items() if verdict == "does not hold"}


@pytest.mark.slow
def test_the_right_softmax_passes():
    found = verdicts(probabilities, SMALL)
    assert {name for name, verdict in found.items() if verdict != "holds"} <= {"slope"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "hessian_too"),
    [
        (mlp_jax.squared_error, True),
        (mlp_jax.Loss(mlp_jax.cross_entropy, lambda z, y: jax.nn.softmax(z)), False),
        (mlp_jax.Loss(mlp_jax.cross_entropy, lambda z, y: jax.grad(softmax_squared_error)(z, y)), False),
    ],
    ids=["squared error", "p without - y", "of another loss"],
)
def test_a_wrong_gradient_is_seen(monkeypatch, retraced, wrong, hessian_too):
    right = gradient.derivative_errors(jax.random.key(0), gradient.Config(classes=4, rows=2))
    monkeypatch.setattr(gradient, "cross_entropy", wrong)
    config = gradient.Config(classes=4, rows=3)  # another shape: traced anew
    of_gradient, of_hessian = gradient.derivative_errors(jax.random.key(0), config)
    assert max(right) <= 1e-14 < of_gradient
    assert (of_hessian > 1e-14) == hessian_too


@pytest.mark.slow
def test_the_bias_of_the_posterior_is_needed(monkeypatch):
    assert bayes.posterior_error() <= 1e-12
    without = bayes.lda()
    without[-1] = 0
    monkeypatch.setattr(bayes, "lda", lambda: without)
    assert bayes.posterior_error() > 0.01


@pytest.mark.slow
def test_newton_finds_the_minimum_of_cross_entropy(float64):
    x = jax.random.normal(jax.random.key(0), (50, 3))
    labels = jnp.arange(50) % 3
    theta, left = bayes.softmax_regression(x, labels, 3, 10)
    slope = jax.grad(lambda theta: mlp_jax.cross_entropy(bayes.logits(theta, x), labels))(theta)
    assert max(jnp.max(jnp.abs(slope)), jnp.max(jnp.abs(left))) < 1e-14


@pytest.mark.slow
def test_a_softmax_that_changes_the_order_is_seen(monkeypatch, retraced):
    config = inference.Config(rows=1000, timed_rows=100, repeats=2)
    monkeypatch.setattr(mlp_jax, "softmax", lambda z: jax.nn.softmax(z**2))
    found = verdicts(inference, config)
    assert {found["changed"], found["worse"]} == {"does not hold"}


@pytest.mark.slow
def test_calibration_without_its_temperature_is_seen(monkeypatch):
    config = calibration.Config(examples=2000, seeds=10)
    assert set(verdicts(calibration, config).values()) == {"holds"}
    monkeypatch.setattr(calibration, "fitted_temperature", lambda z, labels: jnp.ones((), z.dtype))
    found = verdicts(calibration, config)
    assert {found[name] for name in ("temperature", "ECE after", "threshold")} == {"does not hold"}
