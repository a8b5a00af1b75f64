import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latex2mathml.converter import convert

from experiments.why_backprop import beyond, cost, vanishing
from mlp_jax import Activation, backprop, relu, sigmoid, tanh


@pytest.mark.parametrize("module", [beyond, cost, vanishing])
def test_formulas_are_shown(module):
    assert convert(module.FORMULA).startswith("<math")


# ---- cost


def test_operations_by_hand():
    expected = [2.0126, 2.3997, 2.5688, 2.9444]
    np.testing.assert_allclose([cost.expected_ratio(sizes) for sizes in cost.NETWORKS], expected, atol=5e-5)


def test_the_median_round_counts(monkeypatch):
    seconds = iter([1.0, 2.0, 30.0, 1.0, 3.0, 10.0, 2.0, 80.0, 40.0])
    monkeypatch.setattr(cost, "_seconds", lambda program, arguments: next(seconds))
    programs = tuple(lambda: None for _ in range(3))
    assert cost.times_over_first(programs, (), rounds=3) == [3.0, 20.0]


@pytest.mark.slow
def test_operations_are_counted_and_more_of_them_fail_the_claim(monkeypatch):
    sizes = (784, 128, 10)
    right = cost._claim_of_operations(sizes, cost.counted_ratios(sizes, 64))
    assert right.verdict == "holds"

    def with_input_gradient(params, x, labels):
        return backprop(params, x, labels), jax.grad(lambda x: cost._loss(params, x, labels))(x)

    monkeypatch.setattr(cost, "backprop", with_input_gradient)
    assert cost._claim_of_operations(sizes, cost.counted_ratios(sizes, 64)).verdict == "does not hold"


@pytest.mark.slow
def test_all_programs_give_the_same_gradient():
    programs, arguments = cost.programs_of((4, 6, 3), 16, 2, jax.random.key(0))
    _, by_backprop, forward_mode, differences = (np.asarray(program(*arguments)) for program in programs)
    exact = np.asarray(cost.programs_of((4, 6, 3), 16, 2, jax.random.key(0))[0][2](*arguments))
    assert by_backprop.shape == (2, exact.size)
    np.testing.assert_allclose(by_backprop[0], forward_mode, atol=1e-3)
    assert np.median(np.abs(differences - forward_mode)) < 1e-3  # a few cross a kink


# ---- beyond


def test_operations_beyond_the_gradient_by_hand():
    theory = [beyond.expected_ratios(sizes) for sizes in beyond.COUNTED]
    np.testing.assert_allclose(
        [[ratios[beyond.HESSIAN], ratios[beyond.NORMS]] for ratios in theory],
        [[1.5156, 0.5083], [1.9196, 0.5851], [2.0557, 0.6117], [2.3208, 0.6993], [2.5019, 0.6560]],
        atol=5e-5,
    )


@pytest.mark.parametrize(
    ("what", "factor", "failed"), [(None, 1, 0), (beyond.HESSIAN, 1.03, 5), (beyond.NORMS, 2.1, 6)]
)
def test_other_counts_fail_the_claims(what, factor, failed):
    theory = [beyond.expected_ratios(sizes) for sizes in beyond.COUNTED]
    counted = [{name: ratio * (factor if name == what else 1) for name, ratio in row.items()} for row in theory]
    verdicts = [claim.verdict for claim in beyond._claims_of_operations(theory, counted)]
    assert verdicts.count("does not hold") == failed and len(verdicts) == 11


@pytest.mark.slow
def test_what_is_counted_and_timed_is_what_is_named():
    arguments = beyond._arguments(jax.random.key(0), (4, 6, 5, 3), 8)
    gradient, *others = jax.jit(lambda *given: [f(*given) for f in beyond.functions().values()])(*arguments)
    product, norms, formed = others
    assert jax.tree.structure(product) == jax.tree.structure(gradient[1])
    np.testing.assert_allclose(norms, formed, rtol=1e-5)


# ---- vanishing


def test_squares_of_a_normal_number(float64):
    assert np.isclose(vanishing.expected_square(lambda z: z, 0.7), 0.7)
    assert np.isclose(vanishing.expected_square(lambda z: z**2, 2.0), 12)  # E z^4 = 3 q^2
    assert np.isclose(vanishing.expected_square(lambda z: jnp.maximum(z, 0), 0.7), 0.35)


@pytest.mark.parametrize(
    ("weight_variance", "q", "chi"), [(1.0, 0.19359, 0.75903), (1.9, 0.65711, 1.02845), (4.0, 2.19549, 1.34240)]
)
def test_fixed_points_of_tanh(weight_variance, q, chi):
    assert np.isclose(vanishing.fixed_point(tanh, weight_variance, 0.05), q, atol=1e-5)
    assert np.isclose(vanishing.chi_at(tanh, weight_variance, 0.05), chi, atol=1e-5)


def test_critical_variances():
    assert np.isclose(vanishing.critical_variance(tanh, 0.05), 1.7610, atol=1e-4)
    assert np.isclose(vanishing.critical_variance(tanh, 0.3), 2.5051, atol=1e-4)
    critical = vanishing.critical_variance(sigmoid, 0.05)
    assert np.isclose(vanishing.chi_at(sigmoid, critical, 0.05), 1)
    assert vanishing.critical_variance(relu, 0.05) == 2


def test_a_sigmoid_layer_near_0_passes_a_sixteenth():
    assert np.isclose(vanishing.chi_at(sigmoid, 1e-3, 1e-3), 1e-3 / 16, rtol=1e-3)


def test_slopes_become_chi_and_wrong_ones_fail():
    config = vanishing.Config(networks=3)
    layers = np.arange(config.depth)
    noise = 0.01 * np.random.default_rng(0).standard_normal((3, config.depth))
    kind = {"activation": "tanh", "name": "LeCun", "weight_variance": 1.0, "chi": 0.8}
    right = vanishing._claim_of_chi(config, kind | {"logs": layers * -np.log10(0.8) + noise})
    wrong = vanishing._claim_of_chi(config, kind | {"logs": layers * -np.log10(0.84) + noise})
    assert (right.verdict, wrong.verdict) == ("holds", "does not hold")


@pytest.mark.slow
def test_networks_follow_theory_and_a_wrong_derivative_does_not():
    config = dataclasses.replace(vanishing.QUICK, depth=40, width=96, settled=10, top=5, networks=3)
    no_derivative = Activation(tanh.value, jnp.ones_like, name="tanh")

    def verdict(activation):
        keys = jax.random.split(jax.random.key(0), config.networks)
        logs = np.array([vanishing.log_norms(config, key, activation, 1.0) for key in keys])
        kind = {"activation": "tanh", "name": "LeCun", "weight_variance": 1.0, "logs": logs}
        return vanishing._claim_of_chi(config, kind | {"chi": vanishing.chi_at(tanh, 1.0, 0.05)}).verdict

    assert verdict(tanh) == "holds"
    assert verdict(no_derivative) == "does not hold"
