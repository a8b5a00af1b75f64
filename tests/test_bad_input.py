"""Every public function with bad input: an error that names the argument, what was expected, and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlp_jax as m
from mlp_jax import Layer

pytestmark = pytest.mark.usefixtures("no_annotation_checks")

KEY = jax.random.key(0)
PARAMS = tuple(Layer(jnp.ones((fan_in, fan_out)), jnp.ones(fan_out)) for fan_in, fan_out in ((3, 4), (4, 2)))
X = np.ones((5, 3), np.float32)
Y = np.array([0, 1, 0, 1, 1])
NAN_X = np.where(np.eye(5, 3) > 0, np.nan, X)

# What networks, gradients, evaluation and training have in common: (params, x, targets, words of the message)
COMMON = {
    "x of rank 1": (PARAMS, X[0], Y, ["x: expected", "(B, 3)", "(3,)", "x[None, :]"]),
    "x of rank 3": (PARAMS, X[None], Y, ["x: expected", "(B, 3)", "(1, 5, 3)"]),
    "x too wide": (PARAMS, np.ones((5, 7)), Y, ["x: expected", "(B, 3)", "(5, 7)"]),
    "empty batch": (PARAMS, X[:0], Y[:0], ["x: expected", "at least one example", "(0, 3)"]),
    "x not finite": (PARAMS, NAN_X, Y, ["x: expected finite numbers", "nan", "x[0, 0]"]),
    "x too large for float32": (PARAMS, 1e300 * X.astype(float), Y, ["x: expected finite numbers", "inf"]),
    "x complex": (PARAMS, 1j * X, Y, ["x: expected real numbers", "complex"]),
    "x text": (PARAMS, "images", Y, ["x: expected an array of numbers", "'images'"]),
    "no params": ((), X, Y, ["params: expected a tuple of Layer"]),
    "params of one array": ((PARAMS[0].weight,), X, Y, ["params[0]: expected Layer(weight, bias)"]),
    "weight of rank 1": ((Layer(jnp.ones(3), jnp.ones(3)),), X, Y, ["params[0].weight: expected", "(3,)"]),
    "layers do not fit": (PARAMS[:1] + PARAMS[:1], X, Y, ["params[1].weight: expected (4, fan_out)", "(3, 4)"]),
    "bias does not fit": ((PARAMS[0]._replace(bias=jnp.ones((1, 4))),), X, Y, ["params[0].bias: expected (4,)"]),
    "integer params": (
        jax.tree.map(lambda a: a.astype(int), PARAMS), X, Y, ["params[0].weight: expected one floating dtype", "int32"],
    ),
    "two dtypes": (
        (PARAMS[0], jax.tree.map(lambda a: a.astype(jnp.bfloat16), PARAMS[1])), X, Y,
        ["params[1].weight: expected one floating dtype", "float32", "bfloat16"],
    ),
}  # fmt: skip
TARGETS = {
    "label too large": (np.array([0, 1, 2, 1, 1]), ["targets", "[0, 2)", "got 2", "[2]"]),
    "label -1": (np.array([0, 1, -1, 1, 1]), ["targets", "[0, 2)", "got -1"]),
    "label that int32 would wrap": (np.array([0, 1, 2**32, 1, 1]), ["targets", "[0, 2)", "got 4294967296"]),
    "floating labels": (Y.astype(float), ["targets: expected integer labels (5,)", "float32", "astype(int)"]),
    "too few labels": (Y[:4], ["targets: expected integer labels (5,)", "(4,)"]),
    "labels of rank 2": (Y[:, None], ["targets: expected integer labels (5,)", "(5, 1)"]),
    "boolean labels": (Y > 0, ["targets: expected real numbers", "bool"]),
    "floats of another width": (np.ones((5, 3)), ["targets: expected", "(5, 2)", "(5, 3)"]),
    "floats not finite": (np.full((5, 2), np.inf), ["targets: expected finite numbers", "inf"]),
    "probabilities that sum to 2": (np.ones((5, 2)), ["targets", "sum to 1", "2.0"]),
    "negative probabilities": (np.tile([1.5, -0.5], (5, 1)), ["targets: expected probabilities", "-0.5"]),
}
FUNCTIONS = {
    "forward": lambda params, x, t: m.forward(params, x),
    "forward_with_trace": lambda params, x, t: m.forward_with_trace(params, x),
    "backprop": m.backprop,
    "backprop_with_trace": m.backprop_with_trace,
    "autodiff": m.autodiff,
    "evaluate": m.evaluate,
    "train": lambda params, x, t: m.train(KEY, params, (x, t), epochs=1),
    "train, validation": lambda params, x, t: m.train(KEY, PARAMS, (X, Y), validation=(x, t), epochs=1),
}
TAKES_TARGETS = [name for name in FUNCTIONS if "forward" not in name]


def assert_says(words, function, *args, **kwargs):
    with pytest.raises((ValueError, TypeError)) as error:
        function(*args, **kwargs)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("case", COMMON)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_params_and_x(function, case):
    if function == "train, validation" and not case.startswith(("x", "empty")):
        pytest.skip("the parameters are those of the training set")
    params, x, targets, words = COMMON[case]
    assert_says(words, FUNCTIONS[function], params, x, targets)


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("function", TAKES_TARGETS)
def test_targets(function, case):
    targets, words = TARGETS[case]
    assert_says(words, FUNCTIONS[function], PARAMS, X, targets)


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("function", [m.cross_entropy, m.cross_entropy.logits_gradient], ids=["value", "gradient"])
def test_targets_of_cross_entropy(function, case):
    targets, words = TARGETS[case]
    assert_says(words, function, np.ones((5, 2), np.float32), targets)


@pytest.mark.parametrize("case", [case for case in TARGETS if "probabilities" not in case])
@pytest.mark.parametrize("function", [m.squared_error, m.squared_error.logits_gradient], ids=["value", "gradient"])
def test_targets_of_squared_error(function, case):
    targets, words = TARGETS[case]
    assert_says(words, function, np.ones((5, 2), np.float32), targets)


@pytest.mark.parametrize(
    "logits, words",
    [
        (1.0, ["logits: expected (..., C)", "()"]),
        (np.ones((3, 0)), ["logits: expected (..., C) with at least one class", "(3, 0)"]),
        (1j * np.ones(3), ["logits: expected real numbers", "complex"]),
        (["a", "b"], ["logits: expected an array of numbers"]),
    ],
    ids=["scalar", "no classes", "complex", "text"],
)
@pytest.mark.parametrize("function", [m.softmax, m.log_softmax, m.predict])
def test_logits(function, logits, words):
    assert_says(words, function, logits)


@pytest.mark.parametrize("logits", [np.ones(2), np.ones((0, 2))], ids=["vector", "empty batch"])
@pytest.mark.parametrize("loss", m.LOSSES.values(), ids=lambda loss: loss.name)
def test_logits_of_losses(loss, logits):
    assert_says(["logits: expected (B, C)", "at least one example", str(logits.shape)], loss, logits, Y[:0])


@pytest.mark.parametrize(
    "sizes, words",
    [
        ((3,), ["sizes: expected at least", "(3,)"]),
        ((3, 0, 2), ["sizes[1]: expected a whole number of at least 1", "0"]),
        ((3, -1), ["sizes[1]", "-1"]),
        ((3, 2.0), ["sizes[1]: expected a whole number", "2.0"]),
        ((3, True), ["sizes[1]: expected a whole number", "True"]),
        (32, ["sizes: expected a tuple of widths", "32"]),
        ("32", ["sizes: expected a tuple of widths", "'32'"]),
    ],
    ids=str,
)
def test_sizes(sizes, words):
    assert_says(words, m.init_params, KEY, sizes)


@pytest.mark.parametrize("bad", ["relu", jnp.tanh, None, m.cross_entropy], ids=["name", "function", "None", "loss"])
@pytest.mark.parametrize(
    "function",
    [
        lambda phi: m.init_params(KEY, (3, 2), phi),
        lambda phi: m.forward(PARAMS, X, phi),
        lambda phi: m.forward_with_trace(PARAMS, X, phi),
        lambda phi: m.backprop(PARAMS, X, Y, phi),
        lambda phi: m.autodiff(PARAMS, X, Y, phi),
        lambda phi: m.evaluate(PARAMS, X, Y, phi),
        lambda phi: m.train(KEY, PARAMS, (X, Y), activation=phi),
    ],
    ids=["init_params", "forward", "forward_with_trace", "backprop", "autodiff", "evaluate", "train"],
)
def test_activation(function, bad):
    assert_says(["activation: expected a record such as mlp_jax.relu"], function, bad)


@pytest.mark.parametrize("bad", ["cross_entropy", jnp.mean, m.relu], ids=["name", "function", "activation"])
@pytest.mark.parametrize(
    "function",
    [
        lambda loss: m.backprop(PARAMS, X, Y, loss=loss),
        lambda loss: m.autodiff(PARAMS, X, Y, loss=loss),
        lambda loss: m.evaluate(PARAMS, X, Y, loss=loss),
        lambda loss: m.train(KEY, PARAMS, (X, Y), loss=loss),
    ],
    ids=["backprop", "autodiff", "evaluate", "train"],
)
def test_loss(function, bad):
    assert_says(["loss: expected a record such as mlp_jax.cross_entropy"], function, bad)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((Y.astype(float), 2, 0.1), ["labels: expected integer labels (B,)", "float32"]),
        ((Y, 1, 0.1), ["labels: expected labels in [0, 1)", "got 1"]),
        ((Y, 2.5, 0.1), ["classes: expected a whole number", "2.5"]),
        ((Y, 2, 1.5), ["amount: expected a number in [0, 1]", "1.5"]),
        ((Y, 2, [0.1, 0.2]), ["amount: expected one number in [0, 1]", "(2,)"]),
        ((Y, 2, np.nan), ["amount: expected a number in [0, 1]", "nan"]),
    ],
    ids=["floating labels", "label too large", "classes", "amount", "amounts", "NaN"],
)
def test_smooth_labels(arguments, words):
    assert_says(words, m.smooth_labels, *arguments)


def test_good_input_of_every_function_passes():
    """The table can fail to fail: the same calls with good input raise nothing."""
    for function in FUNCTIONS.values():
        function(PARAMS, X, Y)
        function(PARAMS, X.tolist(), jnp.asarray(Y))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_narrow_labels_are_right_with_many_classes(dtype):
    """A comparison with class 300 in 8 bits would wrap round."""
    z, y = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32), np.array([3, 7])
    for function in (m.cross_entropy, m.cross_entropy.logits_gradient, m.squared_error):
        np.testing.assert_array_equal(function(z, y.astype(dtype)), function(z, y))
        np.testing.assert_array_equal(jax.jit(function)(z, y.astype(dtype)), jax.jit(function)(z, y))
    assert np.isnan(jax.jit(m.cross_entropy)(z[:, :201], np.array([-56, 3], np.int8)))


def test_lists_are_taken_as_parameters_everywhere():
    """The result is a tuple of `Layer`s, whatever the parameters came in."""
    lists = [(layer.weight.tolist(), layer.bias.tolist()) for layer in PARAMS]
    expected = FUNCTIONS["train"](PARAMS, X, Y)
    for function in FUNCTIONS.values():
        function(lists, X, Y)
    actual = m.train(KEY, [list(layer) for layer in PARAMS], (X, Y), epochs=1)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True))


@pytest.mark.parametrize("bad", [None, 0, jax.random.split(KEY, 3), np.ones(2)], ids=["None", "int", "keys", "floats"])
@pytest.mark.parametrize("function", [lambda k: m.init_params(k, (3, 2)), lambda k: m.train(k, PARAMS, (X, Y))])
def test_key(function, bad):
    assert_says(["key: expected one key, such as jax.random.key(0)"], function, bad)


@pytest.mark.parametrize("bad", [[0, 1, 2, 1, 1], [0, -1, 0, 1, 1]], ids=["too large", "-1"])
@pytest.mark.parametrize("gradient", [m.backprop, m.autodiff])
@pytest.mark.parametrize("loss", m.LOSSES.values(), ids=lambda loss: loss.name)
def test_under_jit_a_bad_label_is_never_a_plausible_number(loss, gradient, bad):
    value, gradients = jax.jit(lambda y: gradient(PARAMS, X, y, loss=loss))(jnp.array(bad))
    assert all(bool(jnp.isnan(leaf).all()) for leaf in (value, gradients[-1].bias))
