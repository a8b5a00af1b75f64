import dataclasses
import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from latex2mathml.converter import convert
from scipy import stats

import mlp_jax
from experiments.frame import claims, plots
from experiments.frame.numbers import Numbers, measured
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


@pytest.fixture
def retraced():
    """What was traced with the right thing is traced again with the wrong one, and the other way round."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def fallen(module, n):
    return {one.name for one in claims.all_judged(module, n) if one.verdict == "does not hold"}


@pytest.mark.parametrize("module", MEASUREMENTS)
def test_derivations_in_latex_can_be_shown(module):
    assert "<math" in convert(module.FORMULA)


# ---- the mathematics


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
    n = Numbers({"worst": np.stack([staircase + 3, staircase + 4])}, probabilities.QUICK)
    assert claims.judged(probabilities.slope, n)[0].statistic.value == pytest.approx(1)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 3.4028235e38), ("float64", 1.7976931348623157e308)])
def test_bisection_finds_where_exp_overflows(dtype, limit):
    assert probabilities.largest_finite(probabilities.naive, 3, dtype) == pytest.approx(math.log(limit), abs=1e-5)


@pytest.mark.parametrize(
    ("start", "quadratic", "cross_entropy"), [("half right", 0.09396, 0.0116), ("saturated", 0.20285, 0.0120)]
)
def test_one_neuron_ends_at_the_known_numbers(start, quadratic, cross_entropy):
    assert one_neuron.output(start, "squared error") == pytest.approx(quadratic, abs=5e-6)
    assert one_neuron.output(start, "squared error") == pytest.approx(one_neuron.PUBLISHED[start], abs=5e-3)
    assert one_neuron.output(start, "cross-entropy") == pytest.approx(cross_entropy, abs=5e-5)
    assert one_neuron.output_by_gradient_flow(start) == pytest.approx(cross_entropy, rel=0.02)


def test_weights_of_linear_discriminant_analysis():
    x = np.random.default_rng(0).normal(size=(4, 5))
    log_density = [stats.multivariate_normal(m, bayes.COVARIANCE).logpdf(x) for m in bayes.MEANS]
    log_joint = np.transpose(log_density) + np.log(bayes.PRIORS)[None, :]
    np.testing.assert_allclose(bayes.with_one(x) @ bayes.lda(), log_joint[:, :-1] - log_joint[:, -1:], rtol=1e-12)


def test_gaussian_classes_have_their_moments():
    x, labels = bayes.drawn(np.random.default_rng(0), 40_000)
    np.testing.assert_allclose(np.bincount(labels) / len(x), bayes.PRIORS, atol=0.01)
    of_first = x[labels == 0, :-1]
    np.testing.assert_allclose(of_first.mean(axis=0), bayes.MEANS[0], atol=0.03)
    np.testing.assert_allclose(np.cov(of_first.T), bayes.COVARIANCE, atol=0.05)


def test_expected_ties_of_two_classes():
    # the gap of two normal logits is the size of a normal variable of variance 2
    n = Numbers({}, dataclasses.replace(inference.FULL, classes=2))
    density = 2 * stats.norm.pdf(0, scale=math.sqrt(2))
    assert inference.expected_changes(n, 0.1) == pytest.approx(1e6 * density / 0.1 * 2**-25 / 2)


def test_calibration_error_of_two_bins():
    p, right = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7]]), np.array([True, False, False])
    bins = calibration.reliability(p, np.array([[0.6, 0.4], [0.6, 0.4], [0.5, 0.5]]), right)
    n = Numbers({"bins after": bins[None]}, dataclasses.replace(calibration.QUICK, examples=3))
    assert calibration.calibration_error(n, "after") == pytest.approx((0.6 + 0.7) / 3)
    assert calibration.calibration_error(n, "after", against="truth") == pytest.approx((0.4 + 0.2) / 3)
    assert calibration.sampling(n) == pytest.approx((math.sqrt(0.32) + math.sqrt(0.21)) * math.sqrt(2 / math.pi) / 3)


@pytest.mark.slow
def test_squared_error_after_softmax_by_hand_is_its_gradient(float64):
    z, labels = 3 * jax.random.normal(jax.random.key(0), (5, 4)), jnp.array([0, 1, 2, 3, 0])
    by_hand = softmax_squared_error.logits_gradient(z, labels)
    np.testing.assert_allclose(by_hand, jax.grad(softmax_squared_error)(z, labels), rtol=1e-10, atol=1e-18)


@pytest.mark.slow
def test_newton_finds_the_minimum_of_cross_entropy(float64):
    x, labels = np.random.default_rng(0).standard_normal((50, 3)), np.arange(50) % 3
    theta, left = bayes.softmax_regression(x, labels, 3, 10)
    logits = np.concatenate([x @ theta, np.zeros((50, 1))], axis=1)
    slope = x.T @ mlp_jax.cross_entropy.logits_gradient(logits, labels)[:, :-1]
    assert max(np.max(np.abs(slope)), np.max(np.abs(left))) < 1e-14


@pytest.mark.slow
def test_the_bias_of_the_posterior_is_needed(monkeypatch):
    assert bayes.posterior_error() <= 1e-12
    without = bayes.lda()
    without[-1] = 0
    monkeypatch.setattr(bayes, "lda", lambda: without)
    assert bayes.posterior_error() > 0.01


def test_epochs_count_to_the_goal():
    """Ten epochs, of which squared error needs four times as many as cross-entropy from a lead of 10."""
    config = trainings.Config(epochs=10, rates=(0.1, 1.0), seeds=3)
    first = {("cross-entropy", 10): 2, ("squared error", 10): 8, ("cross-entropy", 20): 3, ("squared error", 20): 11}
    accuracy = np.zeros((2, 2, 2, 3, 10))
    for (loss, lead), epoch in first.items():
        accuracy[list(trainings.LOSSES).index(loss), lead // 20, 1, :, epoch - 1 :] = 0.96
    n = Numbers(
        {"loss": np.array(list(trainings.LOSSES)), "lead": np.array([10, 20]), "rate": np.array(config.rates)}
        | {"validation": accuracy, "test": accuracy},
        config,
    )
    assert trainings.best_rates(n).tolist() == [[1, 1], [1, 0]]
    assert claims.judged(trainings.epochs_over_cross_entropy, n)[0].statistic.value == 4
    assert fallen(trainings, n) == set()


# ---- a wrong thing is seen: each wrong softmax or gradient has the claims that fall

SMALL = {
    probabilities: probabilities.Config(batches=2, rows=1000, exact_rows=3),
    gradient: gradient.Config(classes=3, rows=2),
    trainings: trainings.Config(epochs=1, rates=(1.0,), seeds=1),
    bayes: bayes.Config(examples=(500,), runs=3, fresh=500),
    inference: inference.Config(rows=1000, timed_rows=100, repeats=2),
    calibration: calibration.Config(examples=2000, seeds=10),
}
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
@pytest.mark.parametrize("module", SMALL)
def test_identities_and_counts_hold_and_the_picture_is_drawn(module):
    n = measured(module, SMALL[module])
    assert [one.name for one in claims.all_judged(module, n) if one.must and one.verdict != "holds"] == []
    figure = plots.drawn(module, n)
    assert (figure is None) == (module is inference)
    plots.plt.close(figure)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of numbers that are not finite: wrong on purpose
@pytest.mark.parametrize("wrong", WRONG_SOFTMAX)
def test_a_wrong_softmax_is_seen(monkeypatch, wrong):
    softmax, falls = WRONG_SOFTMAX[wrong]
    monkeypatch.setattr(mlp_jax, "softmax", softmax)
    assert falls <= fallen(probabilities, measured(probabilities, SMALL[probabilities]))


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
def test_a_wrong_gradient_is_seen(monkeypatch, float64, wrong, hessian_too):
    z, y = np.array([3.0, -1.0, 4.0, 0.5]), 1
    monkeypatch.setattr(gradient, "cross_entropy", wrong)
    gradients, hessian = map(np.asarray, jax.jit(lambda z, y: gradient.derivatives(z, y))(z, jnp.array(y)))
    assert np.max(np.abs(gradients / exact.gradient(z, y) - 1)) > 1e-14
    assert (np.max(np.abs(hessian - exact.hessian(z))) > 1e-14) == hessian_too


@pytest.mark.slow
def test_a_softmax_that_changes_the_order_is_seen(monkeypatch, retraced):
    monkeypatch.setattr(mlp_jax, "softmax", lambda z: jax.nn.softmax(z**2))
    assert {"changed", "worse"} <= fallen(inference, measured(inference, SMALL[inference]))


@pytest.mark.slow
def test_calibration_without_its_temperature_is_seen(monkeypatch):
    monkeypatch.setattr(calibration, "fitted_temperature", lambda z, labels: 1.0)
    n = measured(calibration, SMALL[calibration])
    assert fallen(calibration, n) >= {"temperature", "ECE_after", "threshold"}
