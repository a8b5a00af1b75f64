"""What activations do: the counts and closed forms behind the claims, and that a wrong one is seen."""

import inspect

import jax
import jax.numpy as jnp
import latex2mathml.converter
import mpmath
import numpy as np
import pytest

import mlp_jax
from experiments import why_activations
from experiments.why_activations import collapse, mnist1d, mnist_linear, pieces, regions, saturation, which
from mlp_jax import Layer
from mlp_jax.datasets import Examples

RNG = np.random.default_rng


def xor_and_friends(d):
    x = (np.arange(2**d)[:, None] >> np.arange(d)) & 1
    return x.astype(float), x.sum(axis=1) % 2


def test_every_measurement_has_its_words():
    for module in why_activations.MEASUREMENTS:
        assert latex2mathml.converter.convert(module.FORMULA).startswith("<math")
        assert module.CAPTION and inspect.cleandoc(module.__doc__).count("\n") > 2


# ---- one matrix


def test_collapsed_multiplies_weights_and_collects_biases():
    rng = RNG(0)
    params = tuple(Layer(rng.normal(size=(4, 4)), rng.normal(size=4)) for _ in range(3))
    x = rng.normal(size=(5, 4))
    h = x
    for weight, bias in params:
        h = h @ weight + bias
    weight, bias = collapse.collapsed(params)
    np.testing.assert_allclose(x @ weight + bias, h, rtol=1e-12)


def test_share_unexplained_is_0_for_affine_maps_and_1_for_what_is_orthogonal_to_them():
    x = np.linspace(-1, 1, 101)[:, None]
    Q = np.linalg.qr(collapse.with_ones(x))[0]
    assert collapse.share_unexplained(Q, 3 * x - 2) < 1e-14
    assert collapse.share_unexplained(Q, x**2) == pytest.approx(1)


@pytest.mark.parametrize("d, share", [(2, 3 / 4), (3, 3 / 4), (4, 11 / 16), (5, 11 / 16)])
def test_best_linear_accuracy_on_parity(d, share):
    x, y = xor_and_friends(d)
    assert collapse.best_linear_accuracy(d) == share
    assert collapse.best_count_threshold(x, y) == share


@pytest.mark.parametrize("d", [2, 3])
def test_all_threshold_functions_are_found(d):
    x, y = xor_and_friends(d)
    best, count = collapse.best_threshold_function(x, y, collapse.LARGEST_WEIGHT[d])
    assert (best, count) == (collapse.best_linear_accuracy(d), collapse.THRESHOLD_FUNCTIONS[d])
    assert collapse.best_threshold_function(x, x[:, 0], 1)[0] == 1  # one bit is a threshold function


def test_linear_models_learn_what_is_linear():
    x, y = xor_and_friends(3)
    assert collapse.least_squares_error(x, y) == pytest.approx(1 / 4, abs=1e-14)
    assert collapse.least_squares_error(x, x[:, 1]) == pytest.approx(0, abs=1e-14)
    assert collapse.least_cross_entropy(x, y, RNG(0).normal(size=4)) == pytest.approx(np.log(2), abs=1e-14)
    majority = (x.sum(axis=1) + x[:, 0] * 0 >= 2).astype(int)
    assert collapse.least_cross_entropy(x, majority, np.zeros(4), steps=8) < 0.1


# ---- pieces and regions


def test_breakpoints_are_where_a_fine_grid_sees_patterns_change():
    rng = RNG(1)
    u, v = pieces.random_line(rng, 4)
    layers = pieces.he_weights(rng, 4, (6, 6))
    found = pieces.breakpoints(u, v, layers)
    t = np.tan(np.linspace(-np.pi / 2, np.pi / 2, 200_001)[1:-1])
    h, patterns = u + t[:, None] * v, []
    for W, b in layers:
        z = h @ W + b
        h = np.maximum(z, 0)
        patterns.append(z > 0)
    changes = np.any(np.diff(np.concatenate(patterns, axis=1), axis=0), axis=1)
    assert len(found) == changes.sum()
    assert np.all(changes[np.searchsorted(t, found) - 1])


def test_one_layer_turns_once_a_neuron():
    rng = RNG(2)
    assert len(pieces.breakpoints(*pieces.random_line(rng, 3), pieces.he_weights(rng, 3, (50,)))) == 50


@pytest.mark.parametrize("n, regions_", [(2, 4), (3, 7), (4, 11), (10, 56)])
def test_regions_of_lines(n, regions_):
    rng = RNG(n)
    assert pieces.most_regions(n) == regions_
    assert pieces.regions_of_lines(rng.normal(size=(2, n)), rng.normal(size=n)) == regions_


def test_best_line_is_found():
    x = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert regions.best_line_accuracy(x, np.array([0, 0, 1, 1])) == 3 / 4
    assert regions.best_line_accuracy(x, np.array([0, 1, 0, 1])) == 1
    rng = RNG(3)
    x, labels = rng.normal(size=(12, 2)), rng.integers(2, size=12)
    directions = np.stack([f(np.linspace(0, 2 * np.pi, 3000)) for f in (np.cos, np.sin)])
    s = x @ directions
    tried = max(np.max(np.sum((s > s[i]) == labels[:, None], axis=0)) for i in range(12))
    assert regions.best_line_accuracy(x, labels) >= tried / 12


# ---- signal and gradient


@pytest.mark.slow
def test_derivative_bounds_and_mean_singular_value():
    assert float(mpmath.diff(lambda z: 1 / (1 + mpmath.exp(-z)), 0)) == pytest.approx(0.25)
    assert saturation.mean_singular_value(RNG(0), 150, 1.0) == pytest.approx(8 / (3 * np.pi), rel=0.03)


def test_mean_squares_halve_without_the_factor_2():
    he, lecun = (saturation.mean_squares(RNG(0), 3, 20, 10, variance) for variance in (2.0, 1.0))
    np.testing.assert_allclose(lecun[:, -1], he[:, -1] / 2**10, rtol=1e-12)
    ratios = saturation.mean_squares(RNG(1), 300, 50, 4, 2.0)
    assert (ratios[:, 1:] / ratios[:, :-1]).mean() == pytest.approx(1, abs=0.05)


# ---- MNIST and MNIST-1D


def test_linear_counts():
    scores, labels = np.array([[1.0, -1], [-1, 1], [1, -1], [-2, -1]]), np.array([0, 0, 1, 1])
    assert mnist_linear.wrong(scores, labels) == 2
    assert mnist_linear.counts_of_zero(scores, labels) == [1, 1, 1]


def test_darkness_takes_the_nearest_mean():
    train = Examples(np.repeat(10.0 * np.arange(10), 2)[:, None], np.repeat(np.arange(10), 2))
    test = Examples(np.array([[0.0], [14.0], [93.0]]), np.array([0, 1, 8]))
    assert mnist_linear.right_by_darkness(train, test) == 2


@pytest.mark.slow
def test_uniform_params_are_within_1_over_sqrt_fan_in():
    params = mnist1d.uniform_params(jax.random.key(0), (16, 100, 4))
    for layer, bound in zip(params, (1 / 4, 1 / 10), strict=True):
        for leaf in layer:
            assert 0.8 * bound < np.abs(leaf).max() <= bound


@pytest.mark.slow
def test_residual_forward_adds_from_the_second_layer_on():
    rng = RNG(0)
    W = [rng.normal(size=(3, 3)) for _ in range(3)]
    x = rng.normal(size=(2, 3))
    h = np.maximum(x @ W[0], 0)
    expected = (h + np.maximum(h @ W[1], 0)) @ W[2]
    params = tuple(Layer(jnp.asarray(weight), jnp.zeros(3)) for weight in W)
    np.testing.assert_allclose(mnist1d.residual_forward(params, jnp.asarray(x)), expected, rtol=1e-4, atol=1e-5)


def test_first_epoch():
    validation = np.array([[0.1, 0.6, 0.4, 0.7], [0.1, 0.2, 0.3, 0.4]])
    assert which.first_epoch(validation, 0.5).tolist() == [2, 5]


# ---- claims can fail


def verdicts(module, config):
    return {claim.name: claim.verdict for claim in module.measure(config, jax.random.key(0), lambda share: None).claims}


def wrong_order(params):
    return np.asarray(params[-1].weight @ params[0].weight), np.asarray(params[0].bias)


TINY = collapse.Config(depths=(1, 3), width=8, examples=50, seeds=1, bits=(2, 3), enumerated=(2, 3))


@pytest.mark.slow
def test_collapse_claims_fall_where_something_is_wrong(monkeypatch):
    assert set(verdicts(collapse, TINY).values()) == {"holds"}
    with monkeypatch.context() as patch:  # a product in the wrong order
        patch.setattr(collapse, "collapsed", wrong_order)
        assert verdicts(collapse, TINY)["one matrix"] == "does not hold"
    with monkeypatch.context() as patch:  # not all threshold functions
        patch.setattr(collapse, "LARGEST_WEIGHT", {2: 1, 3: 1})
        assert verdicts(collapse, TINY)["all threshold functions"] == "does not hold"
    with monkeypatch.context() as patch:  # a network that has activations
        patch.setattr(collapse, "ACTIVATIONS", collapse.ACTIVATIONS | {"identity": mlp_jax.tanh})
        assert verdicts(collapse, TINY)["one matrix"] == "does not hold"


@pytest.mark.slow
def test_pieces_claims_fall_where_breakpoints_are_missed(monkeypatch):
    config = pieces.Config(nets=((16, 40),), claimed=(16,), arrangements=2)
    assert verdicts(pieces, config)["one layer on a line"] == "holds"
    whole = pieces.breakpoints
    monkeypatch.setattr(pieces, "breakpoints", lambda *arguments: whole(*arguments)[1:-1])
    fallen = verdicts(pieces, config)
    assert fallen["one layer on a line"] == fallen["pieces of 2 x 16"] == "does not hold"


@pytest.mark.slow
def test_a_linear_network_with_activations_leaves_the_straight_line(monkeypatch):
    config = regions.Config(seeds=1, examples=100, validation=100, shown=(50, 200), rates=(0.03,))
    monkeypatch.setattr(regions, "ACTIVATIONS", regions.ACTIVATIONS | {"identity": mlp_jax.relu})
    assert verdicts(regions, config)["straight line"] == "does not hold"
