"""Every public function with bad input: an error that names the argument, what was expected, and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlp_jax as m
from mlp_jax import Layer, derivatives
from mlp_jax.derivatives import by_autodiff

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
TAKE_TARGETS = [
    "input_gradient", "hessian_vector_product", "gauss_newton_vector_product",
    "per_example_gradients", "per_example_gradient_norms",
]  # fmt: skip
TAKES_TARGETS = [name for name in FUNCTIONS if "forward" not in name]

MODULES = {"by hand": derivatives, "by autodiff": by_autodiff}
DERIVATIVES = {  # function of (module, params, x, targets)
    "logits_jvp": lambda d, params, x, t: d.logits_jvp(params, x, PARAMS),
    "logits_vjp": lambda d, params, x, t: d.logits_vjp(params, x, jnp.ones((5, 2))),
    "logits_jacobian": lambda d, params, x, t: d.logits_jacobian(params, x),
    "logits_input_jacobian": lambda d, params, x, t: d.logits_input_jacobian(params, x),
    "fisher_vector_product": lambda d, params, x, t: d.fisher_vector_product(params, x, PARAMS),
    "input_gradient": lambda d, params, x, t: d.input_gradient(params, x, t),
    "per_example_gradients": lambda d, params, x, t: d.per_example_gradients(params, x, t),
    "per_example_gradient_norms": lambda d, params, x, t: d.per_example_gradient_norms(params, x, t),
    "hessian_vector_product": lambda d, params, x, t: d.hessian_vector_product(params, x, t, PARAMS),
    "gauss_newton_vector_product": lambda d, params, x, t: d.gauss_newton_vector_product(params, x, t, PARAMS),
}
ALONG = {  # function of (module, tangent)
    "logits_jvp": lambda d, v: d.logits_jvp(PARAMS, X, v),
    "fisher_vector_product": lambda d, v: d.fisher_vector_product(PARAMS, X, v),
    "hessian_vector_product": lambda d, v: d.hessian_vector_product(PARAMS, X, Y, v),
    "gauss_newton_vector_product": lambda d, v: d.gauss_newton_vector_product(PARAMS, X, Y, v),
}
V = (jax.tree.map(np.asarray, PARAMS[0]), jax.tree.map(np.asarray, PARAMS[1]))
LAYERS = "tangent: expected 2 times Layer(weight, bias), as in params"
WEIGHT = "tangent[0].weight: expected float32 of shape (3, 4), as params[0].weight"
TANGENTS = {
    "too few layers": (V[:1], [LAYERS, "1 of them"]),
    "too many layers": (V + V[:1], [LAYERS, "3 of them"]),
    "a layer of one array": ((V[0], V[1].weight), [LAYERS, "tuple"]),
    "a flat vector": (np.ones(26, np.float32), [LAYERS, "ndarray of shape (26,)"]),
    "no layers": (None, [LAYERS, "NoneType"]),
    "a weight transposed": ((V[0]._replace(weight=V[0].weight.T), V[1]), [WEIGHT, "float32 of shape (4, 3)"]),
    "a bias too long": (
        (V[0], V[1]._replace(bias=np.ones(3, np.float32))),
        ["tangent[1].bias: expected float32 of shape (2,), as params[1].bias", "float32 of shape (3,)"],
    ),
    "integers": (
        (V[0]._replace(weight=np.ones((3, 4), np.int32)), V[1]),
        [WEIGHT, "int32", "jnp.asarray(tangent[0].weight, 'float32')"],
    ),
    "bfloat16": (
        (V[0]._replace(weight=jnp.ones((3, 4), jnp.bfloat16)), V[1]),
        [WEIGHT, "bfloat16", "jnp.asarray(tangent[0].weight, 'float32')"],
    ),
    "infinite once in float32": (
        (V[0]._replace(weight=np.full((3, 4), 1e300)), V[1]), ["tangent[0].weight: expected finite numbers", "inf"],
    ),
    "NaN": (
        (V[0]._replace(bias=np.full(4, np.nan, np.float32)), V[1]), ["tangent[0].bias: expected finite numbers", "nan"],
    ),
    "text": ((V[0]._replace(weight="ones"), V[1]), ["tangent[0].weight: expected an array of numbers", "'ones'"]),
}  # fmt: skip
U = "cotangent: expected float32 of shape (5, 2), as the logits"
COTANGENTS = {
    "one example's": (np.ones(2, np.float32), [U, "float32 of shape (2,)"]),
    "transposed": (np.ones((2, 5), np.float32), [U, "float32 of shape (2, 5)"]),
    "integers": (np.ones((5, 2), np.int32), [U, "int32", "jnp.asarray(cotangent, 'float32')"]),
    "infinite": (np.full((5, 2), np.inf, np.float32), ["cotangent: expected finite numbers", "inf"]),
    "bfloat16": (jnp.ones((5, 2), jnp.bfloat16), [U, "bfloat16", "jnp.asarray(cotangent, 'float32')"]),
    "text": ("ones", ["cotangent: expected an array of numbers", "'ones'"]),
}
of_modules = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


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


@of_modules
@pytest.mark.parametrize("function", DERIVATIVES)
def test_params_x_and_targets_of_derivatives(function, module):
    for params, x, targets, words in COMMON.values():
        assert_says(words, DERIVATIVES[function], module, params, x, targets)
    if function in TAKE_TARGETS:
        for targets, words in TARGETS.values():
            assert_says(words, DERIVATIVES[function], module, PARAMS, X, targets)


@of_modules
@pytest.mark.parametrize("case", TANGENTS)
@pytest.mark.parametrize("function", ALONG)
def test_tangent(function, case, module):
    tangent, words = TANGENTS[case]
    assert_says(words, ALONG[function], module, tangent)


@of_modules
def test_tangent_and_cotangent_of_float64(float64, module):
    """Even there: a direction is never rounded on the way."""
    words = ["float64", "'float32')"]
    v = (V[0]._replace(weight=np.ones((3, 4))), V[1])
    params = jax.tree.map(jnp.asarray, V)
    assert_says([WEIGHT, *words], module.logits_jvp, params, X, v)
    assert_says([U, *words], module.logits_vjp, params, X, np.ones((5, 2)))


@of_modules
@pytest.mark.parametrize("case", COTANGENTS)
def test_cotangent(case, module):
    cotangent, words = COTANGENTS[case]
    assert_says(words, module.logits_vjp, PARAMS, X, cotangent)


@pytest.mark.parametrize("case", [case for case in COTANGENTS if case != "infinite"])
def test_direction_of_softmax(case):
    r, words = COTANGENTS[case]
    words = [word.replace("cotangent", "r") for word in words]
    assert_says(words, m.losses.softmax_jvp, np.ones((5, 2), np.float32), r)


def test_hessian_product_without_a_second_derivative():
    cube = m.Activation(lambda z: z**3, lambda z: 3 * z**2, name="cube")
    words = [
        "activation: expected",
        "second_derivative",
        "'cube' without",
        "mlp_jax.Activation(..., second_derivative=",
    ]
    assert_says(words, m.derivatives.hessian_vector_product, PARAMS, X, Y, PARAMS, cube)
    jax.eval_shape(lambda: m.derivatives.gauss_newton_vector_product(PARAMS, X, Y, PARAMS, cube))


@pytest.mark.parametrize("product", [m.derivatives.hessian_vector_product, m.derivatives.gauss_newton_vector_product])
def test_products_without_the_hessian_of_the_loss(product):
    own = m.Loss(m.squared_error.value, m.squared_error.logits_gradient, name="own")
    words = ["loss: expected", "logits_hessian_product", "'own' without", "mlp_jax.Loss(..., logits_hessian_product="]
    assert_says(words, product, PARAMS, X, Y, PARAMS, loss=own)


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
@pytest.mark.parametrize(
    "function",
    [m.softmax, m.log_softmax, m.predict, m.derivatives.softmax_jacobian, by_autodiff.softmax_jacobian],
    ids=["softmax", "log_softmax", "predict", "softmax_jacobian", "softmax_jacobian by autodiff"],
)
def test_logits(function, logits, words):
    assert_says(words, function, logits)


@pytest.mark.parametrize("logits", [np.ones(2), np.ones((0, 2))], ids=["vector", "empty batch"])
@pytest.mark.parametrize("loss", m.losses.LOSSES.values(), ids=lambda loss: loss.name)
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
@pytest.mark.parametrize("loss", m.losses.LOSSES.values(), ids=lambda loss: loss.name)
def test_under_jit_a_bad_label_is_never_a_plausible_number(loss, gradient, bad):
    value, gradients = jax.jit(lambda y: gradient(PARAMS, X, y, loss=loss))(jnp.array(bad))
    assert all(bool(jnp.isnan(leaf).all()) for leaf in (value, gradients[-1].bias))
