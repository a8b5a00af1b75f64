"""Is the gradient right and what does it cost: counts and theory, and claims that fall when they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlp_jax
from experiments.frame import claims
from experiments.frame.numbers import Numbers, measured
from experiments.why_backprop import agreement, beyond, cost, trainings, vanishing
from mlp_jax import Activation, sigmoid, tanh
from mlp_jax.activations import ACTIVATIONS

TINY_AGREEMENT = agreement.Config(activations=("tanh",), depths=(2,), width=4, batch=8, seeds=2, directions=3)
TINY_TRAININGS = trainings.Config(trainings=4, steps=(1, 10))


def verdicts(module, n):
    return {one.name: one.verdict for one in claims.all_judged(module, n)}


def fallen(module, n):
    return {name for name, verdict in verdicts(module, n).items() if verdict not in ("holds", "not run")}


# ---- agreement and trainings


@pytest.fixture(scope="module")
def numbers():
    return {agreement: measured(agreement, TINY_AGREEMENT, 3), trainings: measured(trainings, TINY_TRAININGS, 3)}


@pytest.mark.slow
def test_a_small_run_holds_its_claims(numbers):
    assert {module: fallen(module, n) for module, n in numbers.items()} == {agreement: set(), trainings: set()}


@pytest.mark.slow
def test_same_seed_same_numbers(numbers):
    again, other = (measured(agreement, TINY_AGREEMENT, seed) for seed in (3, 4))
    for name, array in numbers[agreement].arrays.items():
        np.testing.assert_array_equal(again[name], array)
    assert (other["by hand"] != again["by hand"]).any()


@pytest.mark.slow
def test_a_wrong_gradient_is_found(monkeypatch):
    """With a bias gradient that is 1 % off, every claim about gradients and about float64 trainings falls."""

    def wrong(params, x, labels, *rest):
        loss, gradients = agreement.autodiff(params, x, labels, *rest)
        return loss, tuple(layer._replace(bias=1.01 * layer.bias) for layer in gradients)

    jax.clear_caches()
    for module, config in ((agreement, TINY_AGREEMENT), (trainings, TINY_TRAININGS)):
        monkeypatch.setattr(module, "backprop", wrong)
        expected = {"float64", "float32", "float32_whole", "finite_differences"}
        expected = expected if module is agreement else {"apart_float64_1", "apart_float64_10"}
        assert expected <= fallen(module, measured(module, config))
    jax.clear_caches()


@pytest.mark.slow
def test_kinks_are_counted_and_left_out(float64):
    """At a step that crosses kinks, relu's directions are left out and those of tanh are not."""
    x, labels = agreement.digits(8, "float64")
    rng = np.random.default_rng(0)
    for name in ("relu", "tanh"):
        params = [(np.zeros((1, 64, 4)), np.zeros((1, 4))), (rng.standard_normal((1, 4, 10)), np.zeros((1, 10)))]
        directions = jax.tree.map(lambda leaf: rng.standard_normal((1, 5, *leaf.shape[1:])), params)
        drawn = [(params, directions)]  # every z_1 is exactly 0
        ((by_hand, _),) = agreement._gradients(ACTIVATIONS[name], [params], x, labels)
        (measured,) = agreement._slopes(ACTIVATIONS[name], drawn, [by_hand], x, labels)
        by_hand, differences, crosses = map(np.asarray, measured)
        assert crosses.sum() == (5 if name == "relu" else 0)
        arrays = {"by hand": by_hand[None, None], "by differences": differences[None, None],
                  "crosses": crosses[None, None]}  # fmt: skip
        assert agreement.difference_errors(Numbers(arrays, agreement.FULL)).max() <= 1e-6


def gradients():
    """Numbers of two activations, two depths and three seeds by which every claim holds."""
    errors = np.full((2, 2, 2, 3), 1e-15)
    errors[0] = 1e-7
    slopes = np.random.default_rng(0).standard_normal((2, 2, 3, 4))
    return {"dtype": np.array(agreement.DTYPES), "worst leaf": errors, "whole": errors.copy(), "by hand": slopes,
            "by differences": slopes * (1 + 1e-9), "crosses": np.zeros_like(slopes)}  # fmt: skip


def pairs():
    steps = np.array([1, 10, 100, 1000])
    distance = np.stack([np.full((20, 1), 1e-7), np.full((20, 1), 1e-16)]) * steps
    return {"dtype": np.array(agreement.DTYPES), "step": steps, "distance": distance, "differ": np.zeros((2, 20))}


@pytest.mark.parametrize(
    "module, arrays, name, change, falls",
    [
        (agreement, gradients, "worst leaf", lambda a: a * np.array([1e5, 1])[:, None, None, None], {"float32"}),
        (agreement, gradients, "worst leaf", lambda a: a * np.array([1, 1e4])[:, None, None, None], {"float64"}),
        (agreement, gradients, "whole", lambda a: 100 * a, {"float32_whole"}),
        (agreement, gradients, "by differences", lambda a: 1.001 * a, {"finite_differences"}),
        (trainings, pairs, "distance", lambda a: a + np.array([0, 5e-15])[:, None, None], {"apart_float64_1"}),
        (trainings, pairs, "distance", lambda a: a + np.array([5e-6, 0])[:, None, None], {"apart_float32_1"}),
        (trainings, pairs, "differ", lambda a: a + 1, {"predictions_that_differ"}),
    ],
    ids=["float32", "float64", "whole", "differences", "float64 trainings", "float32 trainings", "predictions"],
)  # fmt: skip
def test_changed_numbers_turn_their_claims(module, arrays, name, change, falls):
    made = arrays()
    assert fallen(module, Numbers(made, module.FULL)) == set()
    assert fallen(module, Numbers({**made, name: change(made[name])}, module.FULL)) == falls


# ---- cost


def test_operations_by_hand():
    expected = [2.0126, 2.3997, 2.5688, 2.9444]
    np.testing.assert_allclose([cost.expected_ratio(sizes) for sizes in cost.NETWORKS], expected, atol=5e-5)


def test_the_median_round_counts(monkeypatch):
    seconds = iter([1.0, 2.0, 30.0, 1.0, 3.0, 10.0, 2.0, 80.0, 40.0])
    monkeypatch.setattr(cost, "_seconds", lambda program, arguments: next(seconds))
    programs = tuple(lambda: None for _ in range(3))
    times = cost.times_over_first(programs, (), rounds=3)
    assert np.median(times, axis=1).tolist() == [3.0, 20.0]


@pytest.mark.slow
def test_operations_are_counted_and_more_of_them_fail_the_claim(monkeypatch):
    def verdict():
        arrays = {
            "network": np.array(["784-128-10"]),
            "operations": np.array([cost.counted_ratios((784, 128, 10), 64)]),
        }
        return claims.judged(cost.operations, Numbers(arrays, cost.FULL))[0].verdict

    assert verdict() == "holds"

    def with_input_gradient(params, x, labels):
        return mlp_jax.backprop(params, x, labels), jax.grad(lambda x: cost._loss(params, x, labels))(x)

    monkeypatch.setattr(cost, "backprop", with_input_gradient)
    assert verdict() == "does not hold"


@pytest.mark.slow
def test_all_programs_give_the_same_gradient():
    programs, arguments = cost.programs_of((4, 6, 3), 16, 2, np.random.default_rng(0))
    _, by_backprop, forward_mode, differences = (np.asarray(program(*arguments)) for program in programs)
    assert by_backprop.shape == (2, forward_mode.size)
    np.testing.assert_allclose(by_backprop[0], forward_mode, atol=1e-2)  # at another theta, 1e-3 away
    assert np.median(np.abs(differences - forward_mode)) < 1e-3  # a few cross a kink


def costs():
    parameters = np.array([314, 714, 1898, 5834, 11914])
    passes = np.stack([np.full(5, 3.0), 2.0 * parameters, 1.0 * parameters])[:, :, None] * np.ones(5)
    operations = [2 * [cost.expected_ratio(sizes)] for sizes in cost.NETWORKS]
    return {"network": np.array([*map(cost.written, cost.NETWORKS)]), "operations": np.array(operations),
            "method": np.array(cost.METHODS), "width": np.array(cost.FULL.widths), "parameters": parameters,
            "forward passes": passes}  # fmt: skip


@pytest.mark.parametrize(
    "name, change, falls",
    [
        ("operations", lambda a: a * np.array([1, 1, 1, 1.03])[:, None], {"operations_2_32_32_2"}),
        ("forward passes", lambda a: a * np.array([2, 1, 1])[:, None, None], {"time_of_backprop"}),
        ("forward passes", lambda a: a / np.array([1, 20, 1])[:, None, None], {"forward_mode_over_backprop"}),
        ("forward passes", lambda a: a ** np.array([1, 1, 1.5])[:, None, None], {"growth_of_finite_differences"}),
    ],
)  # fmt: skip
def test_changed_costs_turn_their_claims(name, change, falls):
    made = costs()
    assert fallen(cost, Numbers(made, cost.FULL)) == set()
    assert fallen(cost, Numbers({**made, name: change(made[name])}, cost.FULL)) == falls


# ---- beyond


def test_operations_beyond_the_gradient_by_hand():
    theory = [beyond.expected_ratios(sizes) for sizes in beyond.COUNTED.values()]
    np.testing.assert_allclose(
        [[ratios[beyond.HESSIAN], ratios[beyond.NORMS]] for ratios in theory],
        [[1.5156, 0.5083], [1.9196, 0.5851], [2.0557, 0.6117], [2.3208, 0.6993], [2.5019, 0.6560]],
        atol=5e-5,
    )


@pytest.mark.parametrize(
    "column, factor, failed",
    [(0, 1, 0), (0, 1.03, 5), (1, 2.1, 6)],
    ids=["derived", "more for H v", "more for norms"],
)
def test_other_counts_fail_the_claims(column, factor, failed):
    theory = [beyond.expected_ratios(sizes) for sizes in beyond.COUNTED.values()]
    operations = np.array([[ratios[beyond.HESSIAN], ratios[beyond.NORMS]] for ratios in theory])
    operations[:, column] *= factor
    arrays = {"network": np.array([*beyond.COUNTED]), "operations": operations, "time": np.full((3, 21), 0.9),
              "function": np.array([beyond.HESSIAN, beyond.NORMS, beyond.FORMED])}  # fmt: skip
    judged = claims.all_judged(beyond, Numbers(arrays, beyond.FULL))
    assert [one.verdict for one in judged].count("does not hold") == failed and len(judged) == 13
    slow = Numbers({**arrays, "time": np.full((3, 21), 3.0)}, beyond.FULL)
    assert {"time_of_Hv", "time_of_norms"} <= fallen(beyond, slow)


@pytest.mark.slow
def test_what_is_counted_and_timed_is_what_is_named():
    arguments = beyond._arguments(np.random.default_rng(0), (4, 6, 5, 3), 8)
    gradient, *others = jax.jit(lambda *given: [f(*given) for f in beyond.functions().values()])(*arguments)
    product, norms, formed = others
    assert jax.tree.structure(product) == jax.tree.structure(gradient[1])
    np.testing.assert_allclose(norms, formed, rtol=1e-5)


# ---- vanishing


def test_squares_of_a_normal_number():
    assert np.isclose(vanishing.expected_square(lambda z: z, 0.7), 0.7)
    assert np.isclose(vanishing.expected_square(lambda z: z**2, 2.0), 12)  # E z^4 = 3 q^2
    assert np.isclose(vanishing.expected_square(lambda z: np.maximum(z, 0), 0.7), 0.35)


def test_functions_of_theory_are_the_activations(float64):
    z = np.linspace(-5, 5, 101)
    for name, phi in {"sigmoid": sigmoid, "tanh": tanh}.items():
        np.testing.assert_allclose(vanishing.VALUES[name](z), phi.value(z), rtol=1e-12)
        np.testing.assert_allclose(vanishing.DERIVATIVES[name](z), phi.derivative(z), rtol=1e-12)


@pytest.mark.parametrize(
    ("weight_variance", "q", "chi"), [(1.0, 0.19359, 0.75903), (1.9, 0.65711, 1.02845), (4.0, 2.19549, 1.34240)]
)
def test_fixed_points_of_tanh(weight_variance, q, chi):
    assert np.isclose(vanishing.fixed_point("tanh", weight_variance, 0.05), q, atol=1e-5)
    assert np.isclose(vanishing.chi_at("tanh", weight_variance, 0.05), chi, atol=1e-5)


def test_critical_variances():
    assert np.isclose(vanishing.critical_variance("tanh", 0.05), 1.7610, atol=1e-4)
    assert np.isclose(vanishing.critical_variance("tanh", 0.3), 2.5051, atol=1e-4)
    critical = vanishing.critical_variance("sigmoid", 0.05)
    assert np.isclose(vanishing.chi_at("sigmoid", critical, 0.05), 1)
    assert vanishing.critical_variance("relu", 0.05) == 2


def test_a_sigmoid_layer_near_0_passes_a_sixteenth():
    assert np.isclose(vanishing.chi_at("sigmoid", 1e-3, 1e-3), 1e-3 / 16, rtol=1e-3)


def lines(config, chi=None):
    """Log norms of networks that follow theory, or another chi for tanh with LeCun's weights."""
    n = Numbers({}, config)
    noise = np.random.default_rng(0).standard_normal((3, 3, config.networks, config.depth)) * 1e-3
    theory = np.array([[vanishing.expected(n, a, k) for k in vanishing.KINDS] for a in config.activations])
    theory[1, 0] = chi or theory[1, 0]
    logs = -np.log10(theory)[:, :, None, None] * np.arange(config.depth) + noise
    return {"activation": np.array(config.activations), "kind": np.array(vanishing.KINDS), "log norm": logs}


def test_slopes_become_chi_and_wrong_ones_fail():
    config = vanishing.Config(networks=3)
    assert fallen(vanishing, Numbers(lines(config), config)) == set()
    assert fallen(vanishing, Numbers(lines(config, 0.84), config)) == {"chi_tanh_LeCun"}


@pytest.mark.slow
def test_the_scan_gives_the_deltas_of_backprop(float64):
    config = vanishing.Config(depth=5, width=6, batch=3)
    logs = vanishing.log_norms(config, np.random.default_rng(0), tanh, 1.3)
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((5, 6, 6)) * np.sqrt(1.3 / 6), rng.standard_normal((5, 6)) * np.sqrt(0.05)
    x, direction = rng.standard_normal((2, 3, 6))
    loss = mlp_jax.Loss(lambda z, t: jnp.mean(jnp.sum(z * t, axis=1)), lambda z, t: t / z.shape[0], name="direction")
    params = tuple(mlp_jax.Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in zip(weight, bias, strict=True))
    trace = mlp_jax.backprop_with_trace(params, x, jnp.asarray(direction), tanh, loss)
    expected = [np.log10(np.mean(np.sum(np.asarray(delta) ** 2, axis=1))) for delta in trace.delta]
    np.testing.assert_allclose(logs, expected, rtol=1e-9)


@pytest.mark.slow
def test_networks_follow_theory_and_a_wrong_derivative_does_not():
    config = vanishing.Config(depth=40, width=96, settled=10, top=5, networks=3)
    no_derivative = Activation(tanh.value, jnp.ones_like, name="tanh")
    expected = vanishing.chi_at("tanh", 1.0, 0.05)
    for activation, is_right in ((tanh, True), (no_derivative, False)):
        rng = np.random.default_rng(0)
        logs = np.array([vanishing.log_norms(config, rng, activation, 1.0) for _ in range(3)])[:, 10:35]
        chi = np.mean(10.0 ** -np.polyfit(np.arange(25), logs.T, 1)[0])
        assert (abs(chi / expected - 1) < 0.03) == is_right
