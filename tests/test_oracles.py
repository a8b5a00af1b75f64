"""The references are as exact as they say, know their own error, see kinks, and refuse what they cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from problems import problem, relative_error

import mlp_jax
from mlp_jax.check import central_differences, complex_step, high_precision
from mlp_jax.check._rules.finite_differences import float64_on_cpu, scales, slopes_along
from mlp_jax.check._rules.jaxpr_interpreter import float_dtype, undecorated

BOTH_LOSSES = (mlp_jax.cross_entropy, mlp_jax.squared_error)


@pytest.fixture(scope="module")
def tanh_net():
    """The network of the known numbers, and its exact gradient."""
    with jax.enable_x64(True):
        net = problem((5, 7, 7, 4), 8)
    return net, high_precision(*net).gradient


@pytest.mark.parametrize(
    ("step", "at_most"), [(None, 5e-10), pytest.param(1e-4, 1e-8, marks=pytest.mark.slow)], ids=["default", "1e-4"]
)
def test_central_differences_are_accurate_and_know_their_error(float64, tanh_net, step, at_most):
    net, exact = tanh_net
    reference = central_differences(net.loss_at, net.params, step=step)
    error = relative_error(reference.gradient, exact)
    assert error <= at_most
    assert error <= reference.relative_error <= 100 * at_most
    assert reference.skipped == 0
    assert reference.value == pytest.approx(float(net.loss_at(net.params)))


def test_a_step_too_small_says_so(tanh_net):
    net, exact = tanh_net
    reference = central_differences(net.loss_at, net.params, step=1e-9)
    error = relative_error(reference.gradient, exact)
    assert 1e-7 <= error <= reference.relative_error <= 1e-3


def test_complex_step_is_exact_to_rounding(tanh_net):
    net, exact = tanh_net

    def loss(params):  # in operations that take complex numbers
        h = net.x
        for W, b in params[:-1]:
            h = jnp.tanh(h @ W + b[None])
        z = h @ params[-1].weight + params[-1].bias[None]
        return jnp.mean(jnp.log(jnp.sum(jnp.exp(z), axis=1)) - z[jnp.arange(8), net.targets])

    reference = complex_step(loss, net.params)
    assert relative_error(reference.gradient, exact) <= 1e-15
    assert reference.relative_error <= 1e-14
    assert reference.compare(exact)


@pytest.mark.parametrize("name", mlp_jax.activations.ACTIVATIONS)
def test_high_precision_agrees_with_backprop(float64, name):
    loss = BOTH_LOSSES[len(name) % 2]
    net = problem((3, 4, 2), 3, mlp_jax.activations.ACTIVATIONS[name], loss)
    reference = high_precision(*net)
    value, gradients = mlp_jax.backprop(*net)
    np.testing.assert_allclose(float(value), reference.value, rtol=1e-14)
    report = reference.compare(gradients, tolerance=1e-13)
    assert report, report
    wrong = tuple(mlp_jax.Layer(W, b * (1 + 1e-12)) for W, b in gradients)
    assert not reference.compare(wrong, tolerance=1e-13)


def test_high_precision_takes_probabilities(float64):
    net = problem((3, 4, 2), 3)
    q = mlp_jax.smooth_labels(net.targets, 2, 0.1)
    reference = high_precision(net.params, net.x, q, net.activation)
    assert reference.compare(mlp_jax.backprop(net.params, net.x, q, net.activation)[1], tolerance=1e-13)


def test_high_precision_of_saturated_units_is_beyond_float64(float64):
    params = (mlp_jax.Layer(jnp.array([[40.0]]), jnp.zeros(1)), mlp_jax.Layer(jnp.array([[1.0, -1.0]]), jnp.zeros(2)))
    gradient = high_precision(params, [[1.0]], np.array([0]), mlp_jax.tanh, digits=60).gradient
    assert gradient[0].bias[0] == pytest.approx(-8 * np.exp(-80) / (1 + np.exp(2)), rel=1e-14)  # tanh'(z) = 4 exp(-2 z)


SLOW = {"softmax's maximum, two tied", "sort", "cond", "scan", "huge parameters", "callback"}
SLOW |= {"where at 0", "relu close to 0", "top_k, tied", "cummax, tied", "clip", "remainder", "relu in a cond"}


def table(cases):
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in cases]
    )


SMOOTH = {
    "sum of squares": (lambda x: jnp.sum(x**2), np.array([1.0, -2.0])),
    "softmax's maximum, all tied": (lambda x: jax.nn.logsumexp(x), np.zeros(3)),
    "softmax's maximum, two tied": (lambda x: jax.nn.log_softmax(x)[0], np.array([1.0, 1.0, 0.0])),
    "relu close to 0": (lambda x: jnp.sum(jax.nn.relu(x)), np.array([1e-7, 1.0])),
    "relu away from 0": (lambda x: jnp.sum(jax.nn.relu(x)), np.array([-0.1, 0.1])),
    "tiny parameters": (lambda x: jnp.sum(jnp.sin(x * 1e10)), np.array([0.5e-10, 1e-10])),
    "huge parameters": (lambda x: jnp.sum(jnp.sin(x * 1e-10)), np.array([0.5e10, 1e10])),
    "small weights, large scale": (lambda x: jnp.sum(jnp.exp(x)), np.array([1e-8, 1e-9])),
    "zero gradient": (lambda x: jnp.sum(0 * x), np.ones(2)),
    "a step too small to see": (lambda x: jnp.sum(jnp.log1p((1 + x**2) - 1)), np.array([1e-9, 2e-9])),
    "callback": (lambda x: jnp.sum(jax.pure_callback(np.sin, x, x)), np.array([0.0, 1.0])),
    "loop": (lambda x: lax.while_loop(lambda c: jnp.sum(c) < 100, lambda c: 2 * c, x)[0], np.array([1.0, 2.0])),
    "float32 inside": (lambda x: jnp.sum(jnp.sin(x.astype(np.float32))), np.array([0.5, 1.0])),
    "sort": (lambda x: jnp.sort(x)[0] ** 2, np.array([2.0, 1.0])),
    "cond": (lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x[0]), np.array([1.0])),
    "scan": (lambda x: lax.scan(lambda c, a: (jnp.tanh(c + a), None), 0.0, x)[0], np.array([1.0, 0.5])),
}
EXACT = {
    "sum of squares": [2, -4],
    "softmax's maximum, all tied": [1 / 3] * 3,
    "softmax's maximum, two tied": [1 - 1 / (2 + np.exp(-1)), -1 / (2 + np.exp(-1)), -1 / (1 + 2 * np.e)],
    "relu away from 0": [0, 1],
    "relu close to 0": [1, 1],
    "tiny parameters": 1e10 * np.cos([0.5, 1]),
    "huge parameters": 1e-10 * np.cos([0.5, 1]),
    "small weights, large scale": [1 + 1e-8, 1 + 1e-9],
    "zero gradient": [0, 0],
    "a step too small to see": [2e-9, 4e-9],
    "callback": np.cos([0, 1]),
    "loop": [64, 0],
    "float32 inside": np.cos([0.5, 1]),
    "sort": [0, 2],
    "cond": np.cos([1]),
    "scan": [(1 - np.tanh(np.tanh(1) + 0.5) ** 2) * (1 - np.tanh(1) ** 2), 1 - np.tanh(np.tanh(1) + 0.5) ** 2],
}


ROUNDING = {
    "relu close to 0": 1e-5,
    "float32 inside": 1e-3,
    "a step too small to see": 0.1,
}  # where it leaves less than seven digits


@table(SMOOTH)
def test_central_differences_of(name):
    reference = central_differences(*SMOOTH[name])
    report = reference.compare(np.asarray(EXACT[name], float))
    assert report, report
    assert reference.skipped == 0
    assert reference.relative_error <= ROUNDING.get(name, 1e-7)
    exact = np.asarray(EXACT[name], float)
    assert not reference.compare(1.1 * exact + 0.1 * (np.max(np.abs(exact)) or 1))


KINKS = {
    "relu at 0": (lambda x: jnp.sum(jax.nn.relu(x)), [0.0, 1.0], [True, False]),
    "where at 0": (lambda x: jnp.sum(jnp.where(x > 0, x, 0.01 * x)), [0.0, -1.0], [True, False]),
    "|x| at 0": (lambda x: jnp.sum(jnp.abs(x)), [1.0, 0.0], [False, True]),
    "max, tied": (lambda x: jnp.max(x), [1.0, 1.0, 0.0], [True, True, False]),
    "sort, tied": (lambda x: jnp.sort(x)[0], [1.0, 1.0, 2.0], [True, True, False]),
    "top_k, tied": (lambda x: lax.top_k(x, 1)[0][0], [1.0, 1.0, 0.0], [True, True, False]),
    "cummax, tied": (lambda x: jnp.sum(lax.cummax(x)), [1.0, 1.0], [True, True]),
    "max pooling, tied": (
        lambda x: jnp.sum(lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "VALID")),
        [1.0, 1.0, 3.0, 2.0],
        [True, True, False, False],
    ),
    "clip": (lambda x: jnp.sum(lax.clamp(0.0, x, 1.0)), [1.0, 0.5], [True, False]),
    "round": (lambda x: jnp.sum(jnp.round(x)), [0.5, 1.0], [True, False]),
    "to integers": (lambda x: jnp.sum(x.astype(int).astype(float)), [1.0, 1.5], [True, False]),
    "remainder": (lambda x: jnp.sum(x % 1.0), [1.0, 0.5], [True, False]),
    "relu in a scan": (
        lambda x: lax.scan(lambda c, a: (c + jax.nn.relu(a), None), 0.0, x)[0],
        [0.0, 1.0],
        [True, False],
    ),
    "relu in a cond": (lambda x: lax.cond(x[1] > 0, jax.nn.relu, jnp.cos, x[0]), [0.0, 1.0], [True, False]),
    "relu in a checkpoint": (lambda x: jnp.sum(jax.checkpoint(jax.nn.relu)(x)), [0.0, 1.0], [True, False]),
    "loop's length": (lambda x: lax.while_loop(lambda c: c < 8, lambda c: 2 * c, x[0]), [1.0, 0.0], [True, False]),
    "not a number": (lambda x: jnp.sum(jnp.log(x)), [0.0, 1.0], [True, True]),
}


@table(KINKS)
def test_kinks_are_seen_and_skipped(name):
    f, x, kinks = KINKS[name]
    reference = central_differences(f, np.array(x))
    assert reference.kinks.tolist() == kinks
    assert reference.skipped == sum(kinks)
    assert np.isfinite(reference.relative_error)
    anything = np.where(kinks, 7.0, reference.gradient)
    assert reference.compare(anything)
    assert not reference.compare(anything + 0.1) or all(kinks)


def test_kinks_of_a_relu_network_are_counted(float64):
    net = problem((8, 6, 4), 32, mlp_jax.relu)
    exact = jax.jit(jax.grad(net.loss_at))(net.params)
    reference = central_differences(net.loss_at, net.params, step=1e-2)
    assert reference.skipped > 3
    assert reference.compare(exact)
    assert (
        relative_error(reference.gradient, exact) > 1e-5
    )  # without the skipping, it would be off by more than it says
    assert reference.relative_error < 1e-2


def test_params_may_hold_integers_and_none():
    params = {"n": np.array([3]), "nothing": None, "x": jnp.ones(2), "scalar": 2.0}
    reference = central_differences(lambda p: p["scalar"] * jnp.sum(p["x"] ** p["n"][0]), params)
    assert reference.gradient["n"].dtype == jax.dtypes.float0
    assert reference.gradient["nothing"] is None
    report = reference.compare({"n": None, "nothing": None, "x": np.full(2, 6.0), "scalar": 2.0})
    assert report, report


def slopes_of(f, leaves, directions):
    with float64_on_cpu():
        return slopes_along(f, leaves)(directions, scales(leaves, directions))


def test_slopes_along_several_directions():
    leaves = [np.array([1.0, 2.0]), np.array([[3.0]])]
    directions = [np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[[0.0]], [[0.0]], [[2.0]]])]
    slopes = slopes_of(lambda p: jnp.sum(p[0] ** 2) * p[1][0, 0], leaves, directions)
    np.testing.assert_allclose(slopes.slope, [6, 12, 28], rtol=1e-8)
    assert slopes.value == 15
    assert np.all(slopes.error < 1e-6) and not slopes.kink.any()


@pytest.mark.parametrize("f, is_jump", [(jax.nn.relu, False), (lambda x: (x > 0) * 1.0, True)], ids=["relu", "a step"])
def test_a_jump_is_a_kink_and_a_kink_need_not_be_a_jump(f, is_jump):
    slopes = slopes_of(lambda p: jnp.sum(f(p[0])), [np.zeros(1)], [np.ones((1, 1))])
    assert slopes.kink[0] and slopes.jump[0] == is_jump


@jax.custom_vjp
def twice(x):
    return 2 * x


twice.defvjp(lambda x: (2 * x, None), lambda _, ct: (5 * ct,))


@jax.custom_jvp
def thrice(x):
    return 3 * x


thrice.defjvp(lambda primals, tangents: (3 * primals[0], 7 * tangents[0]))

PLACES = {
    "itself": lambda f: f,
    "under jit": jax.jit,
    "in a checkpoint": jax.checkpoint,
    "in a scan": lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, length=1)[0],
    "in a cond": lambda f: lambda x: lax.cond(x > 0, f, f, x),
    "in a loop of known length": lambda f: lambda x: lax.fori_loop(0, 1, lambda _, c: f(c), x),
}


@pytest.mark.parametrize("place", PLACES)
def test_undecorated_takes_away_every_rule(place):
    f = PLACES[place](lambda x: thrice(twice(x)))
    assert jax.grad(f)(1.0) == 35
    assert jax.jit(jax.value_and_grad(undecorated(f)))(1.0) == (6, 6)


def test_undecorated_keeps_structure_and_arguments():
    f = undecorated(lambda p, n: {"a": (p["x"] * n, None)})
    assert f({"x": 2.0}, 3) == {"a": (6.0, None)}


@pytest.mark.parametrize(
    ("f", "dtype"),
    [
        (lambda x: x * np.float32(2), "float64"),
        (lambda x: jnp.zeros(2, np.float32) + x, "float64"),
        (lambda x: x.astype(np.float32) * 2, "float32"),
        (lambda x: jax.jit(lambda x: x.astype(jnp.bfloat16))(x).astype(float), "bfloat16"),
        (lambda x: lax.scan(lambda c, _: (c.astype(np.float16).astype(float), None), x, length=2)[0], "float16"),
    ],
    ids=["constant", "array of constants", "float32", "bfloat16 under jit", "float16 in a scan"],
)
def test_float_dtype(f, dtype):
    with float64_on_cpu():
        assert float_dtype(jax.make_jaxpr(f)(np.ones(2)).jaxpr) == dtype


@pytest.mark.parametrize(
    ("f", "x", "words"),
    [
        (lambda x: jnp.sum(jnp.abs(x)), [1.0, -2.0], "use central_differences"),
        (lambda x: jnp.sum((x * jnp.conj(x)).real), [1.0, -2.0], "use central_differences"),
        (lambda x: jnp.sum(jax.nn.sigmoid(x).real), [1.0, -2.0], "use central_differences"),
        (lambda x: jnp.sum(lax.max(x, 0.0)), [1.0, -2.0], "f does not take complex numbers"),
    ],
    ids=["abs", "conj", "real part", "a comparison of reals"],
)
def test_complex_step_refuses_what_is_not_analytic(f, x, words):
    with pytest.raises(ValueError, match=f"complex_step: f: expected an analytic function, got .*{words}"):
        complex_step(f, np.array(x))


@pytest.mark.parametrize("oracle", [central_differences, complex_step])
@pytest.mark.parametrize(
    ("f", "params", "words"),
    [
        (jnp.sum, np.array([1, 2]), "a pytree with floats in it, got none; give floats"),
        (jnp.sum, np.zeros((0, 2)), "a pytree with floats in it"),
        (jnp.sum, np.array([1j]), "expected real numbers, got complex ones"),
        (lambda x: x, np.ones(2), "f: expected a real scalar, got"),
        (lambda x: (x, x), 1.0, "f: expected a real scalar, got"),
        (lambda x: 1j * x, 1.0, "f: expected a real scalar, got"),
        (3, 1.0, "f: expected a function, got"),
    ],
    ids=["integers", "empty", "complex", "vector", "tuple", "complex value", "no function"],
)
def test_bad_input(no_annotation_checks, oracle, f, params, words):
    with pytest.raises((ValueError, TypeError), match=words) as raised:
        oracle(f, params)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("step", [0.0, -1.0, np.inf, np.nan])
def test_bad_step(step):
    with pytest.raises(ValueError, match="step: expected a finite number above 0"):
        central_differences(jnp.sum, np.ones(2), step=step)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation": mlp_jax.Activation(jnp.exp, jnp.exp)}, "activation: expected one of identity, sigmoid"),
        ({"loss": mlp_jax.Loss(jnp.sum, jnp.sum, "own")}, "loss: expected one of cross_entropy"),
        ({"digits": 10}, "digits: expected a whole number of at least 17"),
        ({"targets": np.array([5])}, "targets: expected labels in"),
    ],
    ids=["activation", "loss", "digits", "labels"],
)
def test_bad_input_of_high_precision(settings, words):
    arguments = {"params": (mlp_jax.Layer(jnp.eye(2), jnp.zeros(2)),), "x": np.ones((1, 2)), "targets": np.array([0])}
    with pytest.raises(ValueError, match=words):
        high_precision(**arguments | settings)
