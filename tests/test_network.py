import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.nn import initializers
from problems import quick

import mlp_jax
from mlp_jax import Layer, forward, forward_with_trace, init_params
from mlp_jax.activations import ACTIVATIONS

JIT = {"jit": lambda f: jax.jit(f, static_argnums=2), "eager": lambda f: f}
SIZES = {"no hidden": (3, 2), "one hidden": (3, 5, 2), "three hidden": (3, 5, 4, 6, 2), "widths of 1": (1, 1, 1)}
DTYPES = ("bfloat16", "float32", "float64")
# An eager call is one compiled program, so the plain command leaves `jax.jit` of it to the slow tests.
with_and_without_jit = pytest.mark.parametrize("variant", quick(JIT, "eager"))
all_sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def network(sizes, dtype="float64", batch=7):
    """Parameters with biases that are not 0, and examples."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
    params = tuple(Layer(draw(*shape), draw(shape[1])) for shape in itertools.pairwise(sizes))
    return params, draw(batch, sizes[0])


def by_loop(params, x, activation):
    """h and z of every layer in numpy's float64, unit by unit."""
    hs, zs = [np.asarray(x, np.float64)], []
    for i, (weight, bias) in enumerate(params):
        weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
        z = np.zeros((len(x), len(bias)))
        for example, unit in np.ndindex(*z.shape):
            z[example, unit] = bias[unit] + sum(hs[-1][example, j] * weight[j, unit] for j in range(len(weight)))
        zs.append(z)
        if i < len(params) - 1:
            hs.append(np.asarray(activation.value(jnp.asarray(z))))
    return hs, zs


@all_dtypes
@all_sizes
def test_shapes_and_dtypes(float64, sizes, dtype):
    params = jax.eval_shape(functools.partial(init_params, sizes=sizes, dtype=dtype), jax.random.key(0))
    assert isinstance(params, tuple) and all(isinstance(layer, Layer) for layer in params)
    assert [layer.weight.shape for layer in params] == list(itertools.pairwise(sizes))
    assert [layer.bias.shape for layer in params] == [(size,) for size in sizes[1:]]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(("x64", "dtype"), [(False, "float32"), (True, "float64")])
def test_the_default_dtype_is_that_of_jax(x64, dtype):
    with jax.enable_x64(x64):
        ((weight, bias),) = init_params(jax.random.key(0), (3, 2))
    assert weight.dtype == bias.dtype == jnp.dtype(dtype)
    assert np.all(np.asarray(bias) == 0) and np.all(np.asarray(weight) != 0)


def test_every_draw_has_its_own_key():
    """Were a key used twice, equal shapes would get equal numbers."""
    normal = initializers.normal(1.0)
    draw = functools.partial(init_params, sizes=(1, 8, 8, 8, 8), weight_init=normal, bias_init=normal)
    numbers = [np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(draw(jax.random.key(i)))]) for i in (0, 0, 1)]
    np.testing.assert_array_equal(numbers[0], numbers[1])
    assert len(set(numbers[0])) == len(numbers[0])
    assert not set(numbers[0]) & set(numbers[2])


FAN_IN, FAN_OUT = 400, 600
VARIANCE = {"he": 2 / FAN_IN, "glorot": 2 / (FAN_IN + FAN_OUT), "lecun": 1 / FAN_IN}
SCHEME = {
    **dict.fromkeys(("relu", "leaky_relu", "softplus", "silu", "gelu", "gelu_tanh", "mish"), "he"),
    **dict.fromkeys(("sigmoid", "tanh"), "glorot"),
    **dict.fromkeys(("identity", "sin", "selu"), "lecun"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_activation_chooses_the_width_of_the_weights(name):
    (layer,) = init_params(jax.random.key(0), (FAN_IN, FAN_OUT), ACTIVATIONS[name])
    np.testing.assert_allclose(np.var(layer.weight), VARIANCE[SCHEME[name]], rtol=0.05)
    assert abs(np.mean(layer.weight)) < 5 * np.sqrt(VARIANCE[SCHEME[name]] / layer.weight.size)


CUSTOM = {
    "orthogonal": (initializers.orthogonal(), lambda w: np.testing.assert_allclose(w @ w.T, np.eye(8), atol=1e-5)),
    "constant": (initializers.constant(0.5), lambda w: np.testing.assert_array_equal(w, np.full((8, 8), 0.5))),
    "uniform": (initializers.uniform(2.0), lambda w: np.testing.assert_allclose(w.max(), 2, rtol=0.1)),
}


@pytest.mark.parametrize(("weight_init", "check"), CUSTOM.values(), ids=CUSTOM)
def test_custom_initialisers(weight_init, check):
    (layer,) = init_params(jax.random.key(0), (8, 8), weight_init=weight_init, bias_init=initializers.constant(0.1))
    check(np.asarray(layer.weight))
    np.testing.assert_array_equal(layer.bias, np.full(8, 0.1, np.float32))


@with_and_without_jit
@all_sizes
@pytest.mark.parametrize("activation", [mlp_jax.relu, mlp_jax.tanh], ids=["relu", "tanh"])
def test_forward_is_the_definition(float64, activation, sizes, variant):
    params, x = network(sizes)
    _, zs = by_loop(params, x, activation)
    np.testing.assert_allclose(variant(forward)(params, x, activation), zs[-1], rtol=1e-12, atol=1e-13)


@with_and_without_jit
@all_sizes
@pytest.mark.parametrize("activation", [mlp_jax.relu, mlp_jax.activations.gelu], ids=["relu", "gelu"])
def test_the_trace_is_the_definition(float64, activation, sizes, variant):
    params, x = network(sizes)
    hs, zs = by_loop(params, x, activation)
    logits, trace = variant(forward_with_trace)(params, x, activation)
    slopes = [activation.derivative(jnp.asarray(z)) for z in zs[:-1]]
    assert (len(trace.h), len(trace.z), len(trace.derivative)) == (len(params), len(params), len(params) - 1)
    for actual, expected in zip((*trace.h, *trace.z, *trace.derivative), (*hs, *zs, *slopes), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(logits, trace.z[-1])
    np.testing.assert_allclose(logits, forward(params, x, activation), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype_x", DTYPES)
@all_dtypes
def test_the_networks_dtype_is_that_of_its_parameters(float64, dtype, dtype_x):
    params, x = network((3, 5, 4, 2), dtype=dtype)
    for f in (forward, forward_with_trace):
        results = jax.eval_shape(f, params, x.astype(dtype_x))
        assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.05), ("float32", 1e-5)])
def test_lower_precision_is_close_to_float64(float64, dtype, tolerance):
    params, x = network((3, 5, 4, 2), dtype=dtype)
    _, zs = by_loop(params, x, mlp_jax.relu)
    logits = forward(params, x)
    assert logits.dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(np.asarray(logits, np.float64), zs[-1], rtol=tolerance, atol=tolerance)


def test_a_float64_x_is_taken_in_the_parameters_float32(float64):
    params, _ = network((3, 5, 2), dtype="float32")
    x = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(forward(params, x), forward(params, x.astype(np.float32)))


CONTAINERS = {
    "numpy": lambda params: tuple(Layer(*map(np.asarray, layer)) for layer in params),
    "list of tuples": lambda params: [(weight, bias) for weight, bias in params],
    "list of lists of numpy": lambda params: [[np.asarray(leaf) for leaf in layer] for layer in params],
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_other_containers_are_accepted(no_annotation_checks, container):
    params, x = network((3, 5, 2), dtype="float32")
    for f in (forward, forward_with_trace):
        jax.tree.map(np.testing.assert_array_equal, f(container(params), np.asarray(x)), f(params, x))


def test_integers_are_taken_as_floats():
    params, _ = network((3, 5, 2), dtype="float32")
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(forward(params, x), forward(params, x.astype(np.float32)))


def test_vmap_over_stacked_networks_and_a_common_x(float64):
    params, x = network((3, 5, 2))
    networks = [jax.tree.map(lambda leaf: np.asarray(leaf) * scale, params) for scale in (1, -0.5, 2)]  # noqa: B023
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *networks)
    logits = jax.jit(jax.vmap(forward, in_axes=(0, None)))(stacked, x)
    _, trace = jax.jit(jax.vmap(forward_with_trace, in_axes=(0, None)))(stacked, x)
    for i, one in enumerate(networks):
        expected = forward(one, x)
        np.testing.assert_allclose(logits[i], expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(trace.z[-1][i], expected, rtol=1e-12, atol=1e-13)


law = settings(derandomize=True, max_examples=20, deadline=None)


@law
@given(st.permutations(range(5)))
def test_the_order_of_hidden_units_and_of_examples_does_not_matter(order):
    params, x = network((3, 5, 2), "float32", batch=5)
    order = np.array(order)
    (first, last), logits = params, forward(params, x, mlp_jax.tanh)
    shuffled = (Layer(first.weight[:, order], first.bias[order]), Layer(last.weight[order], last.bias))
    np.testing.assert_allclose(forward(shuffled, x, mlp_jax.tanh), logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(forward(params, x[order], mlp_jax.tanh), logits[order], rtol=1e-5, atol=1e-5)


def test_init_params_under_vmap_draws_what_it_draws_alone():
    draw = jax.jit(functools.partial(init_params, sizes=(3, 2)))
    keys = jax.random.split(jax.random.key(0), 2)
    stacked = jax.jit(jax.vmap(draw))(keys)
    for i in range(2):
        for together, alone in zip(jax.tree.leaves(stacked), jax.tree.leaves(draw(keys[i])), strict=True):
            np.testing.assert_allclose(together[i], alone, rtol=1e-6)


@law
@given(st.floats(0.125, 8, width=32))
def test_relu_networks_scale_with_their_input(scale):
    """Without biases, forward(c x) = c forward(x) for c > 0."""
    params = init_params(jax.random.key(0), (3, 5, 4, 2))
    _, x = network((3, 2), dtype="float32")
    np.testing.assert_allclose(forward(params, scale * x), scale * forward(params, x), rtol=1e-4, atol=1e-5)


def test_without_activation_depth_collapses_into_one_layer(float64):
    (first, *rest), x = network((3, 5, 4, 2))
    weight, bias = first
    for layer in rest:
        weight, bias = weight @ layer.weight, bias @ layer.weight + layer.bias
    deep = forward((first, *rest), x, mlp_jax.activations.identity)
    np.testing.assert_allclose(deep, forward((Layer(weight, bias),), x), rtol=1e-12, atol=1e-13)
