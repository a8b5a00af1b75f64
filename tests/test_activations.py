import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from oracles import DTYPES, FLOOR, ULP
from problems import quick

import mlp_jax
from mlp_jax import Activation
from mlp_jax.activations import ACTIVATIONS

ORDERS = (0, 1, 2)
ORDER_IDS = ("value", "first", "second")
JIT = {"jit": functools.cache(jax.jit), "eager": lambda f: f}
PEERS = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "selu": jax.nn.selu,
    "mish": jax.nn.mish,
    "sin": jnp.sin,
}
all_names = pytest.mark.parametrize("name", ACTIVATIONS)
all_orders = pytest.mark.parametrize("order", ORDERS, ids=ORDER_IDS)
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)
# An eager call is one compiled program, so the plain command leaves `jax.jit` of it to the slow tests.
with_and_without_jit = pytest.mark.parametrize("variant", quick(JIT, "eager"))


def ours(name: str, order: int):
    record = ACTIVATIONS[name]
    return (record.value, record.derivative, record.second_derivative)[order]


def by_autodiff(f, order: int):
    """The elementwise derivative of f of that order by jax.grad."""
    for _ in range(order):
        f = jax.grad(f)
    return jax.vmap(f)


@functools.cache
def points(name: str, order: int, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    saturated, largest = {"float32": (110, 38), "float64": (760, 307)}[dtype]
    smallest = -36 if dtype == "float32" else -300
    one_sided = np.concatenate(
        [
            np.logspace(smallest, -6, 40),
            np.logspace(-6, 1, 60),
            np.arange(1, 41),
            [9.01, 17.3, 36.7, 80, 87.3, 88.7, 100, 700, 708.4, 745.1],
            np.logspace(2, 4, 15),
            np.logspace(4, largest, 20),
        ]
    )
    dense = [rng.uniform(-b, b, 120) for b in (3, 20, saturated, 1e4)]
    near_roots = np.resize([0, *oracles.roots(name, order)][-2:], 80) + rng.uniform(-0.6, 0.6, 80)
    z = np.concatenate([one_sided, -one_sided, [0.0], *dense, near_roots]).astype(dtype)
    return np.fmod(z, 1e4) if name == "sin" else z


@functools.cache
def truth(name: str, order: int, dtype: str) -> oracles.Truth:
    return oracles.truth_of(oracles.ACTIVATIONS[name][order], points(name, order, dtype))


@functools.cache
def bound(name: str, order: int, dtype: str) -> np.ndarray:
    """8 ulp of the truth; more in the tails of gelu, whose exponent is z^2 / 2 or 2u; 8 ulp of 1 near roots."""
    z, exact = points(name, order, dtype).astype(np.float64), truth(name, order, dtype)
    if name == "sin":
        return np.full(z.shape, 8 * ULP[dtype])
    in_tail = np.clip(z if order == 2 else np.minimum(z, 0), -50, 50)
    cubic = 0.7978845608 * np.abs(in_tail + 0.044715 * in_tail**3)
    tail = {"gelu": in_tail**2, "gelu_tanh": 4 * cubic}.get(name, 0)
    near_root = np.any([np.abs(z - root) <= 0.5 for root in (np.inf, *oracles.roots(name, order))], axis=0)
    return np.where(near_root, 8 * ULP[dtype], oracles.relative_bound(exact, dtype, tail + 8))


def worst(implementation, name: str, order: int, dtype: str) -> float:
    """The largest error of any implementation of an activation, in units of its bound."""
    with oracles.precision(dtype):
        actual = implementation(jnp.asarray(points(name, order, dtype)))
        assert actual.dtype == dtype
        return oracles.worst_ratio(actual, truth(name, order, dtype), bound(name, order, dtype))


@all_names
@pytest.mark.parametrize("order", (1, 2), ids=ORDER_IDS[1:])
def test_the_oracles_are_each_others_derivatives(name, order):
    with mp.workdps(oracles.DIGITS):
        below, this = oracles.ACTIVATIONS[name][order - 1 : order + 1]
        for z in map(mp.mpf, ("-7.5", "-1.25", "0.375", "3")):
            assert mp.almosteq(mp.diff(below, z), this(z), 1e-25, 1e-25)


@with_and_without_jit
@all_dtypes
@all_orders
@all_names
def test_every_digit_is_right_over_the_whole_range(name, order, dtype, variant):
    assert worst(variant(ours(name, order)), name, order, dtype) <= 1


@with_and_without_jit
@all_dtypes
@all_names
def test_the_pair_is_as_accurate_as_its_parts(name, dtype, variant):
    pair = variant(ACTIVATIONS[name].pair)
    assert worst(lambda z: pair(z)[0], name, 0, dtype) <= 1
    assert worst(lambda z: pair(z)[1], name, 1, dtype) <= 1


@all_dtypes
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_bound_rejects_autodiff_of_jax_nn(name, dtype):
    assert worst(by_autodiff(PEERS[name], 1), name, 1, dtype) > 1


TEXTBOOK = {
    "tanh": (lambda z: 1 - jnp.tanh(z) ** 2, 10.0),
    "sigmoid": (lambda z: jax.nn.sigmoid(z) * (1 - jax.nn.sigmoid(z)), 18.0),
}


@pytest.mark.parametrize(("name", "textbook", "z"), [(k, *v) for k, v in TEXTBOOK.items()], ids=TEXTBOOK)
def test_the_bound_rejects_the_textbooks_forms(name, textbook, z):
    assert worst(textbook, name, 1, "float32") > 1
    ours, theirs = (float(f(jnp.float32(z))) for f in (ACTIVATIONS[name].derivative, textbook))
    assert abs(theirs - ours) > 0.99 * ours > 0  # not one digit is left: it is 0, or what tanh is off by


@all_names
def test_hand_derivatives_agree_with_autodiff(float64, name):
    z = jnp.concatenate([jnp.linspace(-5, 5, 101) + 1e-3, jnp.array([1e-9, -1e-9])])  # no kink
    value = ACTIVATIONS[name].value
    both_ways = jax.jit(lambda z: [(ours(name, order)(z), by_autodiff(value, order)(z)) for order in (1, 2)])
    for by_hand, expected in both_ways(z):
        np.testing.assert_allclose(by_hand, expected, rtol=1e-12, atol=1e-12)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(ACTIVATIONS.keys() - {"selu", "mish"})), st.floats(-87, 87, width=32, allow_subnormal=False)
)
def test_symmetries(name, z):  # selu and mish have none
    """s(-z) = 1 - s(z) and its like: f(z) - f(-z) and the derivatives' parity, from the formulas alone."""
    record, z = ACTIVATIONS[name], np.float32(z)
    odd_part = {"softplus": z, "silu": z, "gelu": z, "gelu_tanh": z, "relu": z, "leaky_relu": 1.01 * z}
    (plus, d_plus), (minus, d_minus) = (record.pair(jnp.asarray(s * z)) for s in (1, -1))
    slack = 8 * ULP["float32"] * max(1, abs(z))
    if name in odd_part:
        assert abs(plus - minus - odd_part[name]) <= slack
        assert z == 0 or abs(d_plus + d_minus - (1.01 if name == "leaky_relu" else 1)) <= 8 * ULP["float32"]
    else:
        assert abs(plus + minus - (name == "sigmoid")) <= slack
        assert d_plus == d_minus


LEFT_OF_SELU = 1.0507009873554805 * 1.6732632423543772
KINKS = {"relu": (0.0, 0.0), "leaky_relu": (0.01, 0.0), "selu": (LEFT_OF_SELU, LEFT_OF_SELU)}  # phi' and phi''


@with_and_without_jit
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize(("name", "first", "second"), [(k, *v) for k, v in KINKS.items()], ids=KINKS)
def test_the_kink_takes_the_derivatives_from_the_left(name, first, second, zero, variant):
    record = ACTIVATIONS[name]
    for derivative in (record.derivative, lambda z: record.pair(z)[1], jax.grad(record.value)):
        assert variant(derivative)(jnp.float32(zero)) == np.float32(first)
    for derivative in (record.second_derivative, jax.grad(jax.grad(record.value))):
        assert variant(derivative)(jnp.float32(zero)) == np.float32(second)


@all_dtypes
def test_nan_gives_nan(dtype):
    values = jax.jit(lambda z: [(f(z), f.pair(z)[0]) for f in ACTIVATIONS.values()])
    with oracles.precision(dtype):
        is_nan = np.isnan(values(jnp.array([jnp.nan, 1.0], dtype)))
    assert is_nan[..., 0].all() and not is_nan[..., 1].any()


@pytest.mark.parametrize("dtype", ["bfloat16", *DTYPES])
@all_names
def test_dtype_and_shape_are_kept(float64, name, dtype):
    record, z = ACTIVATIONS[name], jax.ShapeDtypeStruct((2, 0, 3), dtype)
    functions = (record, record.value, record.derivative, record.second_derivative, record.pair)
    for result in jax.tree.leaves(jax.eval_shape(lambda z: [f(z) for f in functions], z)):
        assert (result.dtype, result.shape) == (z.dtype, z.shape)


def test_the_two_gelus_are_told_apart(float64):
    z = jnp.linspace(-10, 10, 10001)
    np.testing.assert_allclose(
        jnp.max(jnp.abs(mlp_jax.activations.gelu(z) - mlp_jax.activations.gelu_tanh(z))), 4.7e-4, rtol=0.02
    )


@all_names
def test_records_are_static_arguments(name):
    record = ACTIVATIONS[name]
    assert record == record and hash(record) == hash(record) and record.name == name
    assert [other for other in ACTIVATIONS.values() if other == record] == [record]
    applied = jax.jit(lambda activation, z: activation(z), static_argnums=0)
    z = jnp.array([-1.5, 0.5])
    np.testing.assert_allclose(applied(record, z), record(z), rtol=8 * ULP["float32"])


def test_calling_a_record_takes_plain_numbers():
    assert float(mlp_jax.relu(2.0)) == 2
    np.testing.assert_array_equal(mlp_jax.relu(np.array([-1.0, 3.0])), [0, 3])


def cube(z):
    return z**3


def test_a_users_own_activation_works_in_forward_and_backprop(float64):
    own = Activation(cube, lambda z: 3 * z**2)
    rng, labels = np.random.default_rng(0), np.array([0, 1, 1, 0, 1, 0])
    params = tuple(mlp_jax.Layer(rng.normal(size=shape), np.zeros(shape[1])) for shape in ((3, 5), (5, 4), (4, 2)))
    x = 0.5 * rng.normal(size=(6, 3))
    h = x
    for weight, bias in params[:-1]:
        h = (h @ weight + bias[None, :]) ** 3
    np.testing.assert_allclose(mlp_jax.forward(params, x, own), h @ params[-1].weight, rtol=1e-12)
    compiled = functools.partial(jax.jit, static_argnames="activation")
    by_hand, expected = (compiled(f)(params, x, labels, activation=own) for f in (mlp_jax.backprop, mlp_jax.autodiff))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14), by_hand, expected)


NAMES = {
    "of the function": (Activation(cube, cube), "cube"),
    "of a lambda": (Activation(lambda z: z, cube), "<lambda>"),
    "none": (Activation(functools.partial(cube), cube), "activation"),
    "given": (Activation(cube, cube, name="own"), "own"),
}


@pytest.mark.parametrize(("record", "name"), NAMES.values(), ids=NAMES)
def test_default_names(record, name):
    assert record.name == name


def test_defaults_of_a_users_own_record():
    own = Activation(cube, lambda z: 3 * z**2)
    assert own.second_derivative is None
    assert tuple(map(float, own.pair(jnp.asarray(2.0)))) == (8, 12)


def test_floor_is_a_normal_number():
    assert all(FLOOR[dtype] * ULP[dtype] > np.finfo(dtype).smallest_normal for dtype in DTYPES)
