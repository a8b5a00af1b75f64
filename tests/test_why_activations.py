"""What activations do: the counts and closed forms behind the claims, and claims that fall if a number is wrong."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from latex2mathml import converter
from matplotlib import pyplot

from experiments import why_activations
from experiments.frame import claims, plots
from experiments.frame.numbers import Numbers, measured
from experiments.why_activations import (
    collapse,
    mnist1d,
    mnist1d_sweep,
    mnist_linear,
    pieces,
    regions,
    saturation,
    shared,
    which,
)
from mlp_jax import Layer
from mlp_jax.activations import ACTIVATIONS, GLOROT, HE, LECUN
from mlp_jax.datasets import Examples

RNG = np.random.default_rng


def verdicts(module, n):
    return {one.name: one.verdict for one in claims.all_judged(module, n)}


def xor_and_friends(d):
    x = (np.arange(2**d)[:, None] >> np.arange(d)) & 1
    return x.astype(float), x.sum(axis=1) % 2


@pytest.mark.parametrize("module", why_activations.MEASUREMENTS)
def test_formulas_can_be_shown(module):
    assert converter.convert(module.FORMULA).startswith("<math")


@pytest.mark.parametrize("name", shared.COLORS)
def test_starts_have_the_variance_of_the_librarys_initialisers(name):
    (weight, bias), _ = shared.starts(RNG(0), 5, (30, 20, 2), name)
    assert weight.shape == (5, 30, 20) and not bias.any()
    expected = {LECUN: 1 / 30, GLOROT: 2 / 50, HE: 2 / 30}[ACTIVATIONS[name].weight_init]
    assert weight.var() == pytest.approx(expected, rel=0.1)


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


def test_mean_singular_value():
    assert saturation.mean_singular_value(RNG(0), 60, 1.0) == pytest.approx(8 / (3 * np.pi), rel=0.03)


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


def test_uniform_starts_are_within_1_over_sqrt_fan_in():
    params = mnist1d.uniform_starts(RNG(0), 3, (16, 100, 4))
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


# ---- claims on numbers made by hand


BITS = (2, 3)
COUNTS = np.array([[17, 17, 17], [33, 33, 33], [49, 49, 49]])  # pieces of 1, 2, 3 layers of 16
LATER = np.array([0.0, 0.0, 0.96, 1.0])  # accuracy of a slow run by epochs
MADE = {
    regions: Numbers(
        {
            "activation": np.array(["identity", "sigmoid", "tanh", "relu"]),
            "shown": np.array([1, 2]),
            "points": RNG(0).normal(size=(9, 2)),
            "labels": np.arange(9) % 2,
            "best line": np.array(0.7),
            "accuracy": np.array([0.7, 1, 1, 1])[:, None, None, None] * np.tile([[[0.5]], [[1]]], (4, 1, 8, 2)),
            "right": np.tile([[9], [7]], (4, 1, 8)),
            "pictures": np.zeros((4, 2, 5, 5)),
        },
        regions.Config(examples=10),
    ),
    collapse: Numbers(
        {
            "depth": np.array([1, 30]),
            "unexplained": np.full((4, 3, 2), 0.1),
            "rounding": np.full((3, 2), 1e-15),
            "bits": np.array(BITS),
            "squared error": np.full(2, 0.25),
            "cross-entropy": np.full(2, np.log(2)),
            "reached": np.array([0.75, 0.75]),
            "enumerated": np.array(BITS),
            "best": np.array([0.75, 0.75]),
            "functions": np.array([14, 104]),
            "two ReLUs": np.array(0.0),
        },
        collapse.Config(),
    ),
    pieces: Numbers(
        {
            "pieces, width 16": COUNTS,
            "pieces, width 128": 8 * (COUNTS - 1) + 1,
            "width": np.array([16, 128]),
            "depth": np.array([1, 2, 3]),
            "lines": np.array([3, 10]),
            "regions": np.array([[7, 7], [56, 56]]),
        },
        pieces.Config(),
    ),
    mnist1d: Numbers(
        {
            "network": np.array(["regression", "MLP"]),
            "steps": np.array([5000, 6000]),
            "test accuracy": np.tile([[[0.3, 0.315]], [[0.66, 0.65]]], (1, 3, 1)),
            "train accuracy": np.tile([[0.372], [1]], 3),
        },
        mnist1d.Config(),
    ),
    mnist1d_sweep: Numbers(
        {
            "network": np.array([f"{hidden} {phi}" for hidden in mnist1d_sweep.HIDDEN for phi in ("ReLU", "GELU")]),
            "rate": np.array([0.1]),
            "decay": np.array([0.0, 1.0]),
            "epochs": np.array([50, 100]),
            "validation": np.array([6, 7, 6, 8, 6, 7])[:, None, None, None, None] * np.full((1, 2, 3, 2), 0.1),
            "test": np.tile([0.65, 0.67, 0.65, 0.69, 0.65, 0.68], (2, 4, 1)).T,
        },
        mnist1d_sweep.Config(),
    ),
    mnist_linear: Numbers(
        {
            "darkness": np.array(2225),
            "pixels": np.array(493),
            "wrong": np.array([8668, 1393]),
            "zero": np.array([[5158, 765, 167], [864, 116, 42]]),
            "layers": np.array([1, 2, 3]),
            "step": np.array([1, 10]),
            "gap": np.full(3, 1e-9),
            "losses": np.full((3, 2), 0.1),
            "errors": np.array([1393, 1394, 1390]),
            "one matrix": np.array(1393),
        },
        mnist_linear.Config(),
    ),
    saturation: Numbers(
        {
            "largest slope": np.array([0.25, 1]),
            "norms, MNIST": np.array([[[4.5]], [[1.1]], [[1.2]]]) ** np.arange(4) * np.ones((3, 2, 1)),
            "normalised": np.full(2, saturation.QUARTER_CIRCLE),
            "standard": np.full(2, saturation.QUARTER_CIRCLE / 3**0.5),
            "mean squares": np.array([[[1]], [[0.5]]]) ** np.arange(31) * np.ones((2, 3, 1)),
        },
        saturation.Config(),
    ),
    which: Numbers(
        {
            "task": np.array(["digits", "mnist1d"]),
            "activation": np.array(["sigmoid", "relu"]),
            "rate": np.array([0.1, 0.2]),
            "validation": np.tile([[[0.1 * LATER], [LATER]], [[0.1 + 0 * LATER], [1 + 0 * LATER]]], (2, 1, 1, 3, 1)),
            "test": np.tile([[[[0.0], [0.95]], [[0.1], [0.96]]]], (2, 1, 1, 3)),
        },
        which.Config(),
    ),
}


@pytest.mark.parametrize("module", MADE)
def test_claims_hold_on_such_numbers_and_the_picture_shows_them(module):
    expected = dict.fromkeys(verdicts(module, MADE[module]), "holds")
    assert verdicts(module, MADE[module]) == expected | ({"README": "differs"} if module is mnist1d else {})
    figure = plots.drawn(module, MADE[module])
    assert plots.summary(figure)[0]["lines"][0] > 3
    pyplot.close(figure)


@pytest.mark.parametrize(
    "module, array, at, value, fallen",
    [
        (regions, "right", (0, 1, 3), 8, "straight_line"),
        (regions, "accuracy", (0, 1, slice(None), 1), 0.9, "no_activation"),
        (regions, "accuracy", (2, 1, slice(7), 1), 0.98, "spirals_tanh"),
        (collapse, "rounding", (2, 1), 1e-12, "one_matrix"),
        (collapse, "squared error", 1, 0.24, "linear_squared_error"),
        (collapse, "cross-entropy", 0, 0.7, "linear_cross_entropy"),
        (collapse, "best", 0, 1.0, "XOR_linear_accuracy parity_linear_accuracy"),
        (collapse, "functions", 1, 103, "all_threshold_functions"),
        (collapse, "reached", 1, 0.5, "parity_accuracy_reached"),
        (collapse, "two ReLUs", (), 0.1, "XOR_by_two_ReLUs"),
        (pieces, "pieces, width 16", (0, 2), 15, "one_layer_on_a_line"),
        (pieces, "pieces, width 128", 2, 300, "pieces_of_3_128"),
        (pieces, "regions", (0, 1), 6, "regions_of_3_lines"),
        (pieces, "regions", (1, 0), 57, "regions_of_10_lines"),
        (mnist1d, "test accuracy", (0, slice(None), 1), 0.33, "regression"),
        (mnist1d, "test accuracy", (1, slice(None), 1), 0.6, "MLP README"),  # with no cause left, README falls as well
        (mnist1d, "test accuracy", (1, slice(None), 0), 0.65, "issue_17"),
        (mnist1d, "test accuracy", (1, 0, 0), 0.68, "notebook_reaches_68"),
        (mnist1d, "train accuracy", 0, 0.4, "regression_train"),
        (mnist1d, "train accuracy", 1, 0.9, "MLP_train"),
        (mnist1d_sweep, "test", (3, slice(None), 0), 0.67, "best_network reaches_68_200_200_GELU"),
        (mnist1d_sweep, "test", (2, slice(None), 0), 0.685, "stays_below_68_200_200_ReLU"),
        (mnist1d_sweep, "test", (0, slice(None), 0), 0.677, "GELU_over_ReLU_100_100"),
        (mnist_linear, "darkness", (), 2226, "darkness"),
        (mnist_linear, "pixels", (), 492, "pixels"),
        (mnist_linear, "wrong", 0, 8669, "least_squares_train_count"),
        (mnist_linear, "wrong", 1, 1400, "least_squares_test least_squares_test_count"),
        (mnist_linear, "zero", (0, 2), 1, "zero_false_positives"),
        (mnist_linear, "zero", (1, 1), 1, "zero_test_false_negatives"),
        (mnist_linear, "gap", 1, 1e-5, "gap_of_2"),
        (mnist_linear, "errors", 2, 1399, "errors_of_3"),
        (saturation, "largest slope", 0, 0.26, "slope_of_sigmoid"),
        (saturation, "largest slope", 1, 1.1, "slope_of_tanh"),
        (saturation, "norms, MNIST", 0, 1.0, "Nielsen_s_factor sigmoid_factor"),
        (saturation, "norms, MNIST", (1, slice(None), 3), 9.0, "tanh_factor"),
        (saturation, "norms, MNIST", (2, slice(None), 3), 9.0, "relu_factor"),
        (saturation, "normalised", slice(None), 0.8, "normalised_singular_value"),
        (saturation, "standard", slice(None), 0.5, "standard_singular_value"),
        (saturation, "mean squares", (1, 0, 30), 2.0**-29, "power_of_two lecun_mean_square"),
        (which, "validation", (0, 1, 1), 0.5, "digits_sigmoid_slower"),
        (which, "validation", (1, 1, 1), 0.4, "mnist1d_sigmoid_slower"),
        (which, "test", (0, 1, 1), 0.99, "digits_test_difference"),
        (which, "test", (1, 0, 1), 0.5, "mnist1d_test_difference"),
    ],
)
def test_a_wrong_number_turns_its_claim(module, array, at, value, fallen):
    n = MADE[module]
    arrays = {**n.arrays, array: np.array(n[array], copy=True)}
    arrays[array][at] = value
    new = verdicts(module, dataclasses.replace(n, arrays=arrays))
    assert {name for name, verdict in new.items() if verdict not in ("holds", "differs")} == set(fallen.split())


def test_slower_counts_epochs_at_each_activations_best_rate():
    assert which.slower(MADE[which], "digits").value == 2  # the third epoch of sigmoid less the first of ReLU


def test_without_mnist_the_gradients_are_those_of_digits():
    n = MADE[saturation]
    arrays = {**n.arrays, "norms, digits": n["norms, MNIST"]}
    on_digits = verdicts(saturation, dataclasses.replace(n, arrays=arrays, missing={"norms, MNIST": "no MNIST"}))
    assert on_digits["Nielsen_s_factor"] == "not run" and on_digits["sigmoid_factor"] == "holds"


# ---- measurements


TINY = {
    regions: regions.Config(("identity",), 2, 60, 60, (5, 10), (0.03,), 8),
    collapse: collapse.Config((1, 3), 8, 50, 1, BITS, BITS),
    pieces: pieces.Config(nets=((16, 3), (128, 2)), arrangements=2),
    mnist1d: mnist1d.Config(seeds=2, epochs=1),
    mnist1d_sweep: mnist1d_sweep.Config(("5",), ("relu",), (0.01,), (0.0,), (1,), 1, 1),
    mnist_linear: mnist_linear.Config(layers=(1,), steps=20, mnist=False),
    saturation: saturation.Config(4, 50, 20, 2, 30, 2, 10, mnist=False),
    which: which.Config(("digits",), 1, ("sigmoid", "relu"), (0.01,), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("module", TINY)
def test_a_small_run_keeps_the_identities_and_draws(module, monkeypatch):
    examples = RNG(0).normal(size=(200, 40)), np.arange(200) % 10
    for made in (mnist1d, mnist1d_sweep):  # its own examples take seconds to make
        monkeypatch.setattr(made, "mnist1d_as_drawn", lambda: (examples, examples))
    n = measured(module, TINY[module])
    must = [one.verdict for one in claims.all_judged(module, n) if one.must and one.verdict != "not run"]
    assert set(must) <= {"holds"}
    pyplot.close(plots.drawn(module, n))


@pytest.mark.slow
def test_identities_fall_if_something_is_wrong(monkeypatch):
    def wrong_order(params):
        return params[-1].weight @ params[0].weight, params[0].bias

    with monkeypatch.context() as patch:  # a product in the wrong order
        patch.setattr(collapse, "collapsed", wrong_order)
        assert verdicts(collapse, measured(collapse, TINY[collapse]))["one_matrix"] == "does not hold"
    with monkeypatch.context() as patch:  # not all threshold functions
        patch.setattr(collapse, "LARGEST_WEIGHT", {2: 1, 3: 1})
        assert verdicts(collapse, measured(collapse, TINY[collapse]))["all_threshold_functions"] == "does not hold"
    whole = pieces.breakpoints
    with monkeypatch.context() as patch:  # breakpoints that are missed
        patch.setattr(pieces, "breakpoints", lambda *arguments: whole(*arguments)[1:-1])
        assert verdicts(pieces, measured(pieces, TINY[pieces]))["one_layer_on_a_line"] == "does not hold"
    with monkeypatch.context() as patch:  # a network that has activations
        patch.setattr(regions, "ACTIVATIONS", ACTIVATIONS | {"identity": ACTIVATIONS["relu"]})
        curved = dataclasses.replace(TINY[regions], activations=("identity",), seeds=1, shown=(50, 300))
        assert verdicts(regions, measured(regions, curved))["straight_line"] == "does not hold"
