"""A door and a room: every public array function checks each argument once and is one compiled program."""

import inspect
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_bad_input import COTANGENTS, NAN_X, PARAMS, TANGENTS, X, Y

import mlp_jax as m
from mlp_jax import _doors
from mlp_jax.derivatives import by_autodiff

pytestmark = pytest.mark.usefixtures("no_annotation_checks")

KEYS = [jax.random.key(0), jax.random.key(1)]
NAMESPACES = {"mlp_jax": m, "losses": m.losses, "derivatives": m.derivatives, "derivatives.by_autodiff": by_autodiff}
DOORS = {  # every public function with a room, by its place; what stands in several places counts once
    f"{place}.{name}": function
    for place, namespace in NAMESPACES.items()
    for name, function in vars(namespace).items()
    if hasattr(function, "room") and not name.startswith("_") and (place == "mlp_jax" or name not in vars(m))
}
LOSS_FUNCTIONS = {
    f"{loss.name}.{name}": function
    for loss in m.losses.LOSSES.values()
    for name, function in {
        "__call__": loss.__call__,
        "value": loss.value,
        "logits_gradient": loss.logits_gradient,
        "pair": loss.pair,
        "logits_hessian_product": loss.logits_hessian_product,
    }.items()
}
ACTIVATION_FUNCTIONS = {
    f"{phi.name}.{name}": function
    for phi in m.activations.ACTIVATIONS.values()
    for name, function in {
        "__call__": phi.__call__,
        "value": phi.value,
        "derivative": phi.derivative,
        "second_derivative": phi.second_derivative,
    }.items()
}
OTHERS = {  # checked by a recipe, and jitted by themselves
    "mlp_jax.evaluate": m.evaluate,
    "mlp_jax.train": lambda key, params, x, targets: m.train(key, params, (x, targets), epochs=1),
}
ALL = DOORS | LOSS_FUNCTIONS | ACTIVATION_FUNCTIONS | OTHERS


def arguments_of(function, batch=5, seed=0):
    """Good arguments of a public function by name, of shapes that depend on the batch."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape, dtype="float32")

    def layers():
        return tuple(m.Layer(normal(a, b), normal(b)) for a, b in ((3, 4), (4, 2)))

    labels = rng.integers(0, 2, batch)
    good = {
        "key": KEYS[seed], "sizes": (3, batch, 2), "params": layers(), "tangent": layers(),
        "x": normal(batch, 3), "z": jax.device_put(normal(batch, 3)), "logits": normal(batch, 2), "r": normal(batch, 2),
        "cotangent": normal(batch, 2), "targets": labels, "labels": labels, "classes": 2, "amount": 0.1 + 0.01 * seed,
        "weights": np.abs(normal(batch)),
    }  # fmt: skip
    names = inspect.signature(function).parameters
    return {name: value for name, value in good.items() if name in names}


def call(function, batch=5, seed=0):
    arguments = arguments_of(function, batch, seed)
    if not arguments or ("x" in arguments and "params" not in arguments):  # elementwise, of an argument of any name
        return function(arguments_of(lambda z: z, batch, seed)["z"])
    return function(**arguments)


@pytest.fixture
def compiled():
    """A list that grows by one entry with every program that is compiled, or loaded from the cache of programs."""
    programs = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            programs.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield programs
    jax.monitoring.unregister_event_duration_listener(listen)


def test_the_table_holds_all_doors():
    assert {"mlp_jax.backprop", "losses.softmax_jvp", "derivatives.logits_jvp"} <= set(DOORS)
    assert len(DOORS) == 10 + 2 + 11 + 11


@pytest.mark.parametrize(("batch", "name"), list(enumerate(ALL, 20)), ids=list(ALL))
def test_one_program_at_a_new_shape_and_none_at_the_next_call(batch, name, compiled):
    jax.block_until_ready(call(ALL[name], batch))
    assert 1 <= len(compiled) <= 2, len(compiled)
    del compiled[:]
    jax.block_until_ready(call(ALL[name], batch, seed=1))
    assert not compiled


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3, 4, 5, 6, 7, 8)], ids=str)
def test_parameters_take_one_program_for_any_number_of_layers(sizes, compiled):
    normal = jax.nn.initializers.normal
    for seed in range(3):
        m.init_params(jax.random.key(seed), sizes, weight_init=normal(0.125))
    assert len(compiled) <= 2  # the other is that of `key`
    drawn = [m.init_params(jax.random.key(0), sizes, weight_init=normal(scale))[0].weight for scale in (0.125, 0.25)]
    np.testing.assert_array_equal(2 * drawn[0], drawn[1])  # equal code, other settings: another initialiser


def test_two_initialisers_of_a_user_are_two():
    class Constant:
        def __init__(self, value):
            self.value = value

        def draw(self, key, shape, dtype):
            return jnp.full(shape, self.value, dtype)

    drawn = [m.init_params(KEYS[0], (1, 1), weight_init=Constant(c).draw)[0].weight for c in (1, 2)]
    assert np.ravel(drawn).tolist() == [1, 2]


def test_a_room_without_its_door_would_compile_many(compiled):
    """The count can fail."""
    jax.block_until_ready(call(partial(m.backprop.room, activation=m.tanh, loss=m.cross_entropy), batch=6))
    assert len(compiled) > 5


@pytest.mark.parametrize("gradient", [m.backprop, m.autodiff], ids=["backprop", "autodiff"])
def test_an_eager_call_takes_at_most_a_millisecond_more_than_a_jitted_one(gradient):
    rng = np.random.default_rng(0)
    params = m.init_params(jax.random.key(0), (20, 32, 3))
    x, y = jnp.asarray(rng.standard_normal((64, 20)), jnp.float32), jnp.asarray(rng.integers(0, 3, 64))
    fastest = {}
    for name, f in {"eager": gradient, "jitted": jax.jit(gradient)}.items():
        seconds = []
        for _ in range(50):
            start = time.perf_counter()
            jax.block_until_ready(f(params, x, y))
            seconds.append(time.perf_counter() - start)
        fastest[name] = min(seconds)
    assert fastest["eager"] < fastest["jitted"] + 1e-3


# Each argument of each function, with everything that it must refuse: (value, words of the message).


class Unhashable:
    __hash__ = None

    def __call__(self, *values):
        return values[0]


BAD = {
    "params": [
        ((), "params: expected a tuple"), (None, "params: expected a tuple"), ("W", "params: expected a tuple"),
        (PARAMS[:1] * 2, "params[1].weight: expected"), (({"weight": X},), "params[0]: expected Layer"),
        (((X, np.ones(2)),), "params[0].bias: expected"), (jax.tree.map(lambda a: 1j * a, PARAMS), "real numbers"),
    ],
    "x": [
        (X[0], "x: expected (B, 3)"), (X[:, :2], "x: expected (B, 3)"), (X[:0], "at least one example"),
        (NAN_X, "x: expected finite numbers"), (1j * X, "x: expected real"), ("x", "x: expected an array of numbers"),
        (None, "x: expected"),
    ],
    "targets": [
        (Y + 1, "targets: expected labels in [0, 2)"), (Y - 1, "targets: expected labels in [0, 2)"),
        (Y.astype(float), "labels.astype(int)"), (Y[:4], "targets: expected"), (Y[:, None], "targets: expected"),
        (np.full((5, 2), np.nan), "targets: expected finite"), ("y", "targets: expected an array"), (None, "targets"),
    ],
    "labels": [(Y + 1, "labels: expected labels in [0, 2)"), (Y.astype(float), "labels: expected integer labels")],
    "logits": [
        (1.0, "logits: expected ("), (np.ones((5, 0)), "logits: expected ("), ("z", "logits: expected an array"),
        (1j * np.ones((5, 2)), "logits: expected real numbers"), (None, "logits: expected"),
    ],
    "r": [(value, words[0].replace("cotangent", "r")) for case, (value, words) in COTANGENTS.items()
          if case != "infinite"],
    "tangent": [(value, words[0].split(":")[0]) for value, words in TANGENTS.values()],
    "cotangent": [(value, words[0]) for value, words in COTANGENTS.values()],
    "activation": [
        ("relu", "activation: expected a record"), (jnp.tanh, "activation: expected a record"),
        (m.Activation(Unhashable(), jnp.cos), "activation: expected functions that can be hashed"),
    ],
    "loss": [
        ("squared", "loss: expected a record"), (m.relu, "loss: expected a record"),
        (m.Loss(Unhashable(), Unhashable()), "loss: expected functions that can be hashed"),
    ],
    "key": [(0, "key: expected one key"), (None, "key: expected one key")],
    "sizes": [((3,), "sizes: expected at least"), ((3, 0), "sizes[1]"), (3, "sizes: expected a tuple")],
    "weight_init": [("he", "weight_init: expected a function")],
    "bias_init": [(0, "bias_init: expected a function")],
    "classes": [(2.5, "classes: expected a whole number"), (0, "classes: expected a whole number")],
    "weights": [([[1.0]], "weights: expected one for each example"), ([-1.0] * 5, "weights: expected finite weights")],
    "amount": [(2, "amount: expected a number in [0, 1]"), ([0.1], "amount: expected one number")],
    "z": [("z", "z: expected an array of numbers"), (1j, "z: expected real numbers")],
}  # fmt: skip
CHECKED = DOORS | {name: f for name, f in LOSS_FUNCTIONS.items()} | {"relu": m.relu, "mlp_jax.evaluate": m.evaluate}
PAIRS = [
    (name, argument)
    for name, function in CHECKED.items()
    for argument in (inspect.signature(function).parameters if name != "relu" else ["z"])
    if argument not in ("dtype", "forward")
]


@pytest.mark.parametrize(("name", "argument"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_bad_input_is_refused_by_name(name, argument):
    function = CHECKED[name]
    good = arguments_of(function)
    for value, words in BAD[argument]:
        with pytest.raises((ValueError, TypeError)) as error:
            function(**{**good, argument: value})
        assert words in str(error.value) and "\n" not in str(error.value)


NUMPY = {
    "activation": m.Activation(np.tanh, np.cos, np.sin),
    "loss": m.Loss(lambda z, t: np.asarray(z), lambda z, t: np.asarray(z), "", None, lambda z, t, r: np.asarray(z)),
    "weight_init": lambda key, shape, dtype: np.asarray(key),
    "bias_init": lambda key, shape, dtype: np.asarray(key),
}


COMPILED = [
    (name, argument)
    for name, argument in PAIRS
    if argument in NUMPY and (name, argument) != ("mlp_jax.init_params", "activation")  # it only chooses weight_init
]


@pytest.mark.parametrize(("name", "argument"), COMPILED, ids=[" ".join(pair) for pair in COMPILED])
def test_a_function_that_cannot_be_compiled_is_refused_by_name(name, argument):
    function = CHECKED[name]
    with pytest.raises(TypeError, match=rf"{argument}.*: expected functions in jax\.numpy") as error:
        function(**{**arguments_of(function), argument: NUMPY[argument]})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [int, complex, "int32", "foo", object], ids=str)
def test_parameters_have_a_floating_dtype(dtype):
    with pytest.raises(TypeError, match="dtype: expected a floating dtype"):
        m.init_params(KEYS[0], (3, 2), dtype=dtype)


def test_missing_and_unknown_arguments_name_the_function():
    with pytest.raises(TypeError, match="backprop: missing a required argument: 'targets'"):
        m.backprop(PARAMS, X)
    with pytest.raises(TypeError, match="train: got an unexpected keyword 'epoch'; did you mean 'epochs'"):
        m.train(jax.random.key(0), PARAMS, (X, Y), epoch=3)
    with pytest.raises(TypeError, match=r"validation: expected \(x, targets\), .* give it as optimizer="):
        m.train(jax.random.key(0), PARAMS, (X, Y), optax.sgd(0.1))
    with pytest.raises(TypeError, match=r"gradient.*: expected functions in jax\.numpy"):
        m.train(jax.random.key(0), PARAMS, (X, Y), gradient=lambda params, x, y, **_: (float(np.asarray(x)), params))
    with pytest.raises(TypeError, match="progress: expected a function, got int"):
        m.train(jax.random.key(0), PARAMS, (X, Y), progress=0)


# Values are looked at once.

READERS = {
    "backprop": lambda x, y: m.backprop(PARAMS, x, y),
    "hessian_vector_product": lambda x, y: m.derivatives.hessian_vector_product(PARAMS, x, y, PARAMS),
    "evaluate": lambda x, y: m.evaluate(PARAMS, x, y),
    "train": lambda x, y: m.train(jax.random.key(0), PARAMS, (x, y), epochs=1),
    "find_divergence": lambda x, y: m.find_divergence(jax.random.key(0), PARAMS, (x, y), epochs=1),
    "sweep": lambda x, y: m.sweep({"seed": [0]}, (x, y), hidden=(4,), epochs=1),
}


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize("name", READERS)
def test_the_values_of_x_are_read_once(name, kind, monkeypatch):
    read, check_values = [], _doors.check_values

    def reading(name, is_good, array, expected):
        if not _doors.is_traced(array):
            read.append(name)
        check_values(name, is_good, array, expected)

    monkeypatch.setattr(_doors, "check_values", reading)
    READERS[name](kind(X), kind(Y))
    assert [name for name in read if name in ("x", "data x")] == ["data x" if "data x" in read else "x"]
    assert sum("targets" in name for name in read) == 1
    assert len(read) <= 2 + 4  # x, targets, and at most the four arrays of a tangent


def test_a_later_change_of_the_users_array_changes_nothing():
    x = X.copy()
    trace = m.forward_with_trace(PARAMS, x)[1]
    x[:] = 7
    np.testing.assert_array_equal(trace.h[0], X)


def test_the_signature_shows_the_recipe():
    parameters = inspect.signature(m.train).parameters
    assert parameters["epochs"].default == 10 and parameters["batch_size"].kind is inspect.Parameter.KEYWORD_ONLY
    assert set(inspect.signature(m.find_divergence).parameters) <= set(parameters)
