"""Why stack layers: the written networks, the theory of linear ones, and claims that fall when they should."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import quad

import mlp_jax
from experiments import tasks
from experiments.frame import claims
from experiments.frame.numbers import Numbers, measured
from experiments.why_depth import approximation, deeper, exact_nets, finding, linear_dynamics, separation
from mlp_jax import Layer


def in_numpy(params, x):
    """The ReLU network, without the library."""
    h = np.asarray(x)[:, None]
    for weight, bias in params[:-1]:
        h = np.maximum(h @ weight + bias[None, :], 0)
    return (h @ params[-1].weight + params[-1].bias[None, :])[:, 0]


def verdicts(module, n):
    return {one.name: one.verdict for one in claims.all_judged(module, n)}


def fallen(module, n):
    return {name for name, verdict in verdicts(module, n).items() if verdict not in ("holds", "not run")}


X = np.arange(2**12 + 1) / 2**12


@pytest.mark.parametrize("units", [1, 2, 7])
def test_best_shallow_square_alternates_between_its_bounds(units):
    error = in_numpy(exact_nets.shallow_square(units), X) - X**2
    best = 1 / (8 * (units + 0.5) ** 2)
    extremes = error[np.abs(error) > 0.99 * best]
    assert np.max(np.abs(error)) <= best * (1 + 1e-12)
    assert np.count_nonzero(np.diff(np.sign(extremes))) == 2 * units + 1  # of as many sign changes as can be


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_square_of_equal_pieces(pieces):
    error = in_numpy(exact_nets.shallow_square_of_pieces(pieces), np.arange(20 * pieces + 1) / (20 * pieces))
    error -= (np.arange(20 * pieces + 1) / (20 * pieces)) ** 2
    assert np.max(np.abs(error)) == pytest.approx(1 / (8 * pieces**2), rel=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_deep_square_has_chords_of_the_square(layers):
    knots = np.arange(2**layers + 1) / 2**layers
    params = exact_nets.deep_square(layers)
    np.testing.assert_array_equal(in_numpy(params, X), np.interp(X, knots, knots**2))
    assert exact_nets.hidden_units(params) == 3 * layers


@pytest.mark.parametrize("folds", [(2,), (2, 2, 2), (4, 2), (1, 8), (16,)])
def test_sawtooth_net_is_the_task(folds):
    expected = np.asarray(tasks.sawtooth(jnp.asarray(X), int(np.prod(folds))))
    np.testing.assert_array_equal(in_numpy(exact_nets.sawtooth_net(folds), X), expected)
    spare = exact_nets.on_symmetric_inputs(exact_nets.sawtooth_net(folds, width=17))
    np.testing.assert_array_equal(in_numpy(spare, 2 * X - 1), expected)


@pytest.mark.parametrize("depth", finding.WIDTHS)
def test_every_size_holds_every_sawtooth(depth):
    sizes = (1, *depth * (finding.WIDTHS[depth],), 1)
    for k in finding.FULL.ks:
        params = finding.exact_weights(depth, k)
        assert [layer.weight.shape for layer in params] == list(pairwise(sizes))
        expected = np.asarray(tasks.sawtooth(jnp.asarray(X), 2**k))
        np.testing.assert_array_equal(in_numpy(params, 2 * X - 1), expected)
    count = sum(a.size for layer in params for a in layer)
    assert count == {1: 451, 2: 438, 4: 430, 8: 414}[depth]


def test_sawtooth_spreads_evenly():
    x = (np.arange(512) + 0.5) / 512
    for k in (1, 4):
        assert np.mean((np.asarray(tasks.sawtooth(jnp.asarray(x), 2**k)) - 0.5) ** 2) == pytest.approx(1 / 12, rel=0.01)


def test_shallow_units_is_the_least_number():
    for error in (0.1, 4.0**-6, 1e-8):
        n = separation.shallow_units(error)
        assert approximation.optimum(n) <= error < approximation.optimum(n - 1)


def test_search_finds_the_optimum_of_one_unit():
    assert approximation._search(1) == pytest.approx(1 / 18, rel=1e-3)


@pytest.mark.parametrize("L", [2, 3, 8])
def test_half_time_and_solution_agree(L):
    s, start = 1.5, 1e-3
    t = linear_dynamics.half_time(L, s, start)
    by_u = quad(lambda u: 1 / (L * u ** (2 - 2 / L) * (s - u)), start, s / 2, epsrel=1e-10, limit=200)[0]
    assert t == pytest.approx(by_u, rel=1e-7)
    assert linear_dynamics.solution(np.array([0, t]), L, np.array([s]), start)[1] == pytest.approx(s / 2, rel=1e-8)
    if L == 2:
        assert t == pytest.approx(np.log(s / start - 1) / (2 * s), rel=1e-10)


def test_half_times_that_others_have_found():
    """Of s = 3 from 1e-3 with 3 and 5 layers, by an independent integration."""
    for L, expected in ((2, 1.3343), (3, 3.1363), (5, 6.9990)):
        assert linear_dynamics.half_time(L, 3.0, 1e-3) == pytest.approx(expected, abs=1e-4)


def test_lag_predicts_euler():
    """The scalar recursion of gradient descent comes to half as late as derived."""
    L, s, start, h = 3, 1.0, 1e-2, 1e-3
    a, t, ts, us = start ** (1 / L), 0.0, [0.0], [start]
    while a**L < s / 2:
        a, t = a + h * a ** (L - 1) * (s - a**L), t + h
        ts.append(t)
        us.append(a**L)
    late = linear_dynamics.crossing(np.array(ts), np.array(us), s / 2) - linear_dynamics.half_time(L, s, start)
    assert late == pytest.approx(h / 2 * linear_dynamics.lag((s / 2) ** (1 / L), L, s, start), rel=0.01)


def test_crossing():
    assert linear_dynamics.crossing(np.array([0.0, 1, 2]), np.array([0.0, 1, 3]), 2) == 1.5


def test_a_wrong_deep_square_is_found(monkeypatch):
    """With one weight off by one part in 2^40, and with a fold that is none, the claims fall."""
    tiny = separation.Config(layers=(1, 2, 3, 4, 5, 12), folds=3, grid=2**13)
    assert fallen(separation, measured(separation, tiny)) == set()

    def off(layers):
        *hidden, last = exact_nets.deep_square(layers)
        return *hidden, last._replace(weight=last.weight * (1 + 2.0**-40))

    def unfolded(folds):
        first, *rest = exact_nets.sawtooth_net(folds)
        return first._replace(bias=0 * first.bias), *rest

    monkeypatch.setattr(separation, "deep_square", off)
    monkeypatch.setattr(separation, "sawtooth_net", unfolded)
    wrong = fallen(separation, measured(separation, tiny))
    assert wrong == {"units_for_squares", "pieces", "units_for_a_sawtooth"}


@pytest.mark.slow
def test_a_wrong_dynamics_is_found(monkeypatch):
    """A training at another rate than it says falls."""
    tiny = linear_dynamics.Config(depths=(2, 3), rates=(4e-3, 2e-3))
    assert fallen(linear_dynamics, measured(linear_dynamics, tiny)) == set()
    sgd = optax.sgd
    monkeypatch.setattr(optax, "sgd", lambda learning_rate: sgd(1.05 * learning_rate))
    jax.clear_caches()
    wrong = fallen(linear_dynamics, measured(linear_dynamics, tiny))
    assert {"order_in_the_rate", "deviation", "half_times"} <= wrong


@pytest.mark.slow
def test_a_wrong_construction_is_found(monkeypatch):
    tiny = approximation.Config(units=(1, 4), searched=(1,), trained=(4,), seeds=2, rates=(1e-2,), steps=2)
    assert fallen(approximation, measured(approximation, tiny)) == set()

    def chords(units):  # not lowered: twice the error
        first, last = exact_nets.shallow_square(units)
        return first, last._replace(bias=0 * last.bias)

    monkeypatch.setattr(approximation, "shallow_square", chords)
    monkeypatch.setattr(approximation, "_search", lambda n: 0.9 * approximation.optimum(n))
    assert fallen(approximation, measured(approximation, tiny)) == {"construction", "search"}


def trainings():
    """Numbers by which all claims of a measurement hold."""
    c, error = approximation.FULL, approximation.optimum(np.array(approximation.FULL.trained))[:, None]
    approximate = {
        "units": np.array(c.units), "best": approximation.optimum(c.units),
        "of pieces": 1 / (8 * np.array(c.units) ** 2), "searched": np.array(c.searched),
        "found": approximation.optimum(c.searched), "trained": np.array(c.trained),
        "rate": np.full(4, 1e-3), "error": error * np.array([[2], [8], [32], [128]]) * np.linspace(0.9, 1.1, 20),
    }  # fmt: skip
    mse = np.full((4, 6, 20), 1 / 12)
    mse[:, 0] = 1e-6
    found = {
        "depth": np.array(finding.FULL.depths), "pieces": 2.0 ** np.array(finding.FULL.ks), "mse": mse,
        "exact": np.zeros((4, 6)), "near": np.full(20, 1e-5), "near, small rate": np.full(20, 1e-5),
    }  # fmt: skip
    accuracy = np.full((3, 6, 10), 0.95) + 0.001 * np.arange(10)
    accuracy[0, -1] = 0.1
    accuracies = {"kind": np.array(deeper.FULL.kinds), "depth": np.array(deeper.FULL.depths), "test": accuracy,
                  "train": accuracy.copy()}  # fmt: skip
    return {approximation: approximate, finding: found, deeper: accuracies}


CHANGES = [
    (approximation, "best", lambda a: a * (1 + 1e-8), {"construction"}),
    (approximation, "of pieces", lambda a: a * np.arange(1, 10), {"pieces_of_a_skip", "rate_of_the_best"}),
    (approximation, "found", lambda a: 0.99 * a, {"search"}),
    (approximation, "found", lambda a: 1.1 * a, {"search_arrives"}),
    (approximation, "error", lambda a: a * np.array([[0.1], [1], [1], [1]]), {"trained_is_no_better"}),
    (approximation, "error", lambda a: a * np.array([[1], [1], [1], [0.05]]), {"trained_ratio", "trained_rate"}),
    (finding, "mse", lambda a: np.where(np.arange(6)[:, None] == 5, 1e-6, a), {"found_64", "plateau"}),
    (finding, "mse", lambda a: np.where(np.arange(6)[:, None] == 4, 1e-6, a), {"found_32"}),
    (finding, "mse", lambda a: np.full_like(a, 1 / 12), {"found_2"}),
    (finding, "exact", lambda a: a + 1e-9, {"exact_weights_error"}),
    (finding, "near, small rate", lambda a: a + 1, {"near_at_small_steps"}),
    (finding, "near", lambda a: a + 1, {"near_exact_weights"}),
    (deeper, "test", lambda a: a[[1, 0, 2]], {"sigmoid_loses", "ReLU_loses"}),
    (deeper, "train", lambda a: a[[1, 0, 2]], {"sigmoid_loses_in_training", "ReLU_loses_in_training"}),
    (
        deeper,
        "test",
        lambda a: np.where(np.arange(6)[:, None] == 5, 0.5, a),
        {"sigmoid_loses", "ReLU_loses", "skips_lose"},
    ),
]


@pytest.mark.parametrize(
    "module, name, change, falls", CHANGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_changed_numbers_turn_their_claims(module, name, change, falls):
    arrays = trainings()[module]
    assert fallen(module, Numbers(arrays, module.FULL)) == set()
    changed = Numbers({**arrays, name: change(arrays[name])}, module.FULL)
    assert falls == fallen(module, changed)
    assert verdicts(module, changed).get("near_exact_weights", "differs") in ("differs", "holds")


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, config",
    [
        (finding, finding.Config(depths=(2,), ks=(1, 6), seeds=1, steps=2)),
        (
            deeper,
            deeper.Config(kinds=("sigmoid", "sigmoid with skips"), depths=(1, 2), seeds=2, rates=(1e-3,), epochs=1),
        ),
    ],
    ids=["finding", "deeper"],
)
def test_a_small_run_holds_what_must_hold(module, config):
    n = measured(module, config)
    assert [one.name for one in claims.all_judged(module, n) if one.must and one.verdict != "holds"] == []


@pytest.mark.slow
def test_stacked_layers_are_the_network(float64):
    """Without skips the scan is `mlp_jax.forward`, and its gradient is backprop's; with skips it adds h."""
    params = jax.tree.map(
        lambda a: a[0].astype(float), deeper._starts(np.random.default_rng(0), 1, (5, 4, 3), 4, "ReLU")
    )
    plain = (params.first, *(Layer(*(a[i] for a in params.hidden)) for i in range(3)), params.last)
    x, labels = jax.random.normal(jax.random.key(1), (6, 5)), jnp.arange(6) % 3
    logits = deeper.forward(0.0, params, x, mlp_jax.sigmoid)
    np.testing.assert_allclose(logits, mlp_jax.forward(plain, x, mlp_jax.sigmoid), rtol=1e-12)
    _, by_scan = deeper.gradient(0.0, params, x, labels, mlp_jax.sigmoid, mlp_jax.cross_entropy)
    _, by_hand = mlp_jax.backprop(plain, x, labels, mlp_jax.sigmoid)
    np.testing.assert_allclose(by_scan.hidden.weight[1], by_hand[2].weight, rtol=1e-9)
    still = params._replace(hidden=jax.tree.map(jnp.zeros_like, params.hidden))  # relu(0) = 0: skips pass h on
    h = jnp.maximum(x @ params.first.weight + params.first.bias[None, :], 0)
    expected = h @ params.last.weight + params.last.bias[None, :]
    np.testing.assert_allclose(deeper.forward(1.0, still, x, mlp_jax.relu), expected, rtol=1e-12)


def test_starts_near_the_exact_weights_are_near_and_the_random_ones_are_not():
    config = finding.Config(depths=(4,), ks=(6,), seeds=2)
    starts, pieces, rates = finding._runs(config, np.random.default_rng(0), 4)
    exact = finding.exact_weights(4, 6)
    assert pieces.tolist() == [64] * 6
    assert rates.tolist() == pytest.approx([3e-3] * 4 + [1e-5] * 2)
    for of_runs, of_exact in zip(jax.tree.leaves(starts), jax.tree.leaves(exact), strict=True):
        distance = np.abs(np.asarray(of_runs[2:]) - of_exact[None]).max()
        assert distance <= 1e-3 * 5 * np.abs(of_exact).max()
    np.testing.assert_array_equal(starts[0].weight[2:4], starts[0].weight[4:])  # the same starts at both rates
    assert np.all(np.abs(starts[1].bias[:2]) <= 1 / np.sqrt(11))
