"""Early divergence against a plain NumPy loop: which epoch, step, quantity, layer and example went bad first."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from problems import quick

import mlp_jax
from mlp_jax import Divergence, Layer, autodiff, backprop, find_divergence, squared_error, train
from mlp_jax.training import _divergence, _engine, _recipe

KEY = jax.random.key(3)
N, BATCH, STEPS = 11, 4, 3  # the third step of an epoch has 3 examples
SIZES = (2, 3, 3, 2)


# An activation and a loss that can fail on every way: exp overflows above 88.7; both derivatives have a hole


def slope(z):
    return jnp.where(z < -50, jnp.nan, jnp.exp(z))


def loss_slope(z, t):
    return jnp.where(t == 1000, jnp.nan, squared_error.logits_gradient(z, t))


fragile = mlp_jax.Activation(jnp.exp, slope, name="fragile")
fragile_loss = mlp_jax.Loss(squared_error.value, loss_slope, name="fragile_loss")


# The oracle: gradient descent in numpy


class Found(NamedTuple):
    epoch: int
    step: int
    quantity: str
    layer: int | None
    example: int | None
    count: int
    value: float


def plain_loop(params, data, rate, epochs, batch_size=BATCH, shuffle=True):
    """Return the first number that is not finite in the first step that leaves one behind, or None."""
    (x, t), n = data, len(data[0])
    for epoch in range(epochs):
        order = np.arange(n)
        if shuffle and batch_size < n:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(KEY, epoch), n))
        for step, start in enumerate(range(0, n, batch_size)):
            batch = order[start : start + batch_size]
            with np.errstate(all="ignore"):
                params, loss, events = plain_step(params, x[batch], t[batch], np.float32(rate))
            if np.isfinite(loss) and all(np.isfinite(leaf).all() for layer in params for leaf in layer):
                continue
            quantity, layer, values = next(event for event in events if not np.isfinite(event[2]).all())
            rows = []
            if quantity in ("z", "h", "loss", "delta") and values.ndim:
                rows = [i for i in range(len(batch)) if not np.isfinite(values[i]).all()]
            bad = next(value for value in values.ravel() if not np.isfinite(value))
            return Found(epoch + 1, step + 1, quantity, layer, batch[rows[0]] if rows else None, len(rows), bad)
    return None


def plain_step(params, x, t, rate):
    """Return the parameters after one step, its loss, and (quantity, layer, values) in the order of computation."""
    h, derivatives, events, L = [x], [], [], len(params)
    for l, (weight, bias) in enumerate(params, 1):
        z = h[-1] @ weight + bias
        events.append(("z", l, z))
        if l < L:
            h.append(np.exp(z))
            derivatives.append(np.where(z < -50, np.float32(np.nan), np.exp(z)))
            events.append(("h", l, h[-1]))
    losses = ((z - t) ** 2).sum(axis=1)
    events += [("loss", None, losses), ("loss", None, losses.mean())]
    delta = np.where(t == 1000, np.float32(np.nan), 2 * (z - t) / np.float32(len(x)))
    gradients = []
    for l in range(L, 0, -1):
        events.append(("delta", l, delta))
        gradients.insert(0, [h[l - 1].T @ delta, delta.sum(axis=0)])
        if l > 1:
            delta = delta @ params[l - 1][0].T * derivatives[l - 2]
    updates = [[-rate * gradient for gradient in layer] for layer in gradients]
    after = [[p + u for p, u in zip(*both, strict=True)] for both in zip(params, updates, strict=True)]
    for quantity, tree in (("gradient", gradients), ("update", updates), ("parameter", after)):
        events += [(quantity, l, leaf) for l, layer in enumerate(tree, 1) for leaf in layer]
    return after, losses.mean(), events


def network(seed=0, scale=0.5):
    normal = np.random.default_rng(seed).normal
    shapes = pairwise(SIZES)
    return [[normal(0, scale, (a, b)).astype("f"), normal(0, 0.1, b).astype("f")] for a, b in shapes]


def examples(seed=0):
    return tuple(np.random.default_rng(seed).normal(size=(2, N, 2)).astype("f"))


def layers(params, dtype="float32"):
    return tuple(Layer(*(jnp.asarray(leaf, dtype) for leaf in layer)) for layer in params)


def search(params, data, rate, dtype="float32", **settings):
    defaults = dict(epochs=10**6, batch_size=BATCH, activation=fragile, loss=fragile_loss, optimizer=optax.sgd)
    return find_divergence(
        KEY, layers(params, dtype), data, hyperparameters={"learning_rate": rate}, **defaults | settings
    )


def outcome(found):
    """What the oracle knows, and that the words say it."""
    if found is None:
        return None
    assert found.total_step == (found.epoch - 1) * STEPS + found.step or found.total_step == found.epoch
    for part in (
        f"epoch {found.epoch}, step {found.step} of ",
        f"(step {found.total_step:,} in all)",
        f"{found.value}",
    ):
        assert part in str(found)
    assert (f"in example x[{found.example}]" in str(found)) == (found.example is not None)
    assert (f"and {found.count - 1} more of its batch" in str(found)) == (found.count > 1)
    return Found(*(getattr(found, name) for name in Found._fields))


def assert_same(found, expected):
    np.testing.assert_equal(outcome(found)[:-1], expected[:-1])
    np.testing.assert_equal(found.value, float(expected.value))  # NaN is NaN


# One example is poisoned: the run goes bad in the step that meets it


def poisoned(example, x=None, t=None, first=1, second=None, last=None, all_targets=None):
    """A network and data whose numbers overflow at one example; what is not given is harmless."""
    params, (inputs, targets) = network(), examples()
    params[0] = [np.outer([1, 0], np.full(3, first)).astype("f"), np.zeros(3, "f")]  # z_1 = first x_0
    inputs[:, 0] = 0
    if x is not None:
        inputs[example, 0] = x
    if all_targets is not None:
        targets[:] = all_targets
    if t is not None:
        targets[example, 1] = t
    if second is not None:
        params[1][0][:] = second
    if last is not None:
        params[-1] = [np.full((3, 2), last, "f"), np.zeros(2, "f")]
    return params, (inputs, targets)


POISONS = {  # quantity, layer, and what makes it go bad
    "z_1": ("z", 1, dict(x=3e38, first=2)),
    "z_1 to -inf": ("z", 1, dict(x=3e38, first=-2)),
    "z_3": ("z", 3, dict(x=80, first=0, last=3e38, all_targets=0)),
    "h_1": ("h", 1, dict(x=100)),
    "h_2": ("h", 2, dict(x=20, second=1)),
    "loss": ("loss", None, dict(t=1e25)),
    "loss of no single example": ("loss", None, dict(all_targets=1.1e19)),
    "delta_3": ("delta", 3, dict(t=1000)),
    "delta_1": ("delta", 1, dict(x=-60)),
    "gradient": ("gradient", 1, dict(x=1e25, first=0, t=1e18)),
    "update": ("update", 3, dict(t=1e18, all_targets=0, last=0, rate=1e25)),
}
ORDER = np.asarray(jax.random.permutation(jax.random.fold_in(KEY, 0), N))
PLACES = {"first step": 1, "second step": 6, "short last step": 9}  # in that order
VARIANTS = {
    "backprop": {},
    "autodiff": dict(gradient=autodiff),
    "in order": dict(shuffle=False),
    "batch_size is N": dict(batch_size=N),
    "batch_size above N": dict(batch_size=16),
    "bfloat16": dict(dtype="bfloat16"),
}


@pytest.mark.parametrize("settings", quick(VARIANTS, "backprop"))
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("quantity", "layer", "poison"), POISONS.values(), ids=POISONS)
def test_the_poisoned_example_is_named(quantity, layer, poison, place, settings):
    if settings.get("gradient") is autodiff and (quantity == "delta" or poison.get("first") == -2):
        pytest.skip("autodiff asks for no derivative by hand: nothing goes bad")
    rate = poison.get("rate", 1e-3)
    params, data = poisoned(ORDER[place], **{name: value for name, value in poison.items() if name != "rate"})
    order = {name: settings[name] for name in ("batch_size", "shuffle") if name in settings}
    found, expected = search(params, data, rate, **settings), plain_loop(params, data, rate, 1, **order)
    assert_same(found, expected)
    assert (found.quantity, found.layer) == (quantity, layer)


def test_the_largest_inputs_and_the_cure_are_in_the_words():
    params, data = poisoned(ORDER[6], x=-3e38, first=2)
    words = str(search(params, data, rate=1e-3))
    assert words.startswith(
        "epoch 1, step 2 of 3 (step 2 in all): z_1 is the first that is not finite, -inf, in example"
    )
    assert words.endswith("; largest |x| there 3e+38, |W_1| 2; try a smaller learning rate than 0.001")
    words = str(search(*poisoned(ORDER[1], x=3e38, first=2), rate=1e-3))
    assert words.endswith("no update came before: look at the scale of x and of the first parameters")


# Nobody is poisoned: the learning rate is too large


RUNS = [(seed, rate) for seed in range(12) for rate in (0.001, 0.03, 0.1, 0.3, 1.0, 10.0, 1e10, 1e30)]


def test_diverging_runs_are_those_of_the_plain_loop():
    """96 runs, most of which diverge, in every step of an epoch and in several epochs."""
    seen = set()
    for seed, rate in RUNS:
        params, data = network(seed), examples(seed)
        expected, found = plain_loop(params, data, rate, 15), search(params, data, rate, epochs=15)
        assert (found is None) == (expected is None)
        if expected is not None:
            assert_same(found, expected)
            seen |= {
                expected.quantity,
                f"step {expected.step}",
                "epoch 2 or later" if expected.epoch > 1 else "epoch 1",
            }
            assert expected.example is None or expected.example != (expected.step - 1) * BATCH  # not its place
        else:
            seen.add("finite")
    steps, epochs = {"step 1", "step 2", "step 3"}, {"epoch 1", "epoch 2 or later"}
    assert seen == {"finite", "h", "delta", "update"} | steps | epochs


@pytest.mark.slow
def test_the_run_is_made_again_to_the_bit():
    """The state before the bad epoch is what `train` leaves after as many, and a walk by steps is an epoch."""
    params, data, rate = layers(network(2)), tuple(map(jnp.asarray, examples(2))), {"learning_rate": jnp.float32(0.1)}
    recipe = _recipe.Recipe(
        optimizer=optax.sgd, hyperparameters=rate, batch_size=BATCH, activation=fragile, loss=fragile_loss
    )
    inputs, static = (KEY, data, recipe.traced(jnp.float32)), recipe.static
    state = _engine.init_state(params, rate, static=static, keep="last")
    watched = _divergence._finite_leaves(state[:2])
    walk = _divergence.first_bad_epoch(_divergence._start(state), inputs, watched, 10**6, static=static)
    bad_epoch = plain_loop(network(2), examples(2), 0.1, 100).epoch
    assert walk.done == bad_epoch > 10
    result = train(
        *(KEY, params, data),
        **dict(optimizer=optax.sgd, hyperparameters=rate, epochs=bad_epoch, batch_size=BATCH),
        **dict(activation=fragile, loss=fragile_loss, record=lambda params, x, targets: params),
    )
    np.testing.assert_array_equal(np.isfinite(result.history.train_loss), np.arange(bad_epoch) < bad_epoch - 1)
    at_epoch = [jax.tree.map(lambda leaf, i=i: leaf[i], result.recorded) for i in range(bad_epoch)]
    chex.assert_trees_all_equal(walk.before.params, at_epoch[-2])
    by_steps, _ = _divergence.first_bad_step(state, inputs, watched, static=static)
    chex.assert_trees_all_equal((by_steps.after[0], by_steps.done), (at_epoch[0], jnp.int32(STEPS)))


# A gradient of one's own, and optimisers


def scripted(script, params, x, targets, activation, loss):
    """At the example that is marked, the loss and every gradient are as written; elsewhere 0 and as written."""
    is_there = jnp.any(x == script["mark"])
    value = jnp.where(is_there, script["loss"], script["loss elsewhere"])
    return value, jax.tree.map(lambda p: jnp.full_like(p, jnp.where(is_there, script["gradient"], 0)), params)


SCRIPTS = {  # the loss and the gradient at the mark, the rate, and quantity, layer and value
    "loss": (dict(loss=jnp.inf), 1, ("loss", None, np.inf)),
    "gradient": (dict(gradient=jnp.nan), 1, ("gradient", 1, np.nan)),
    "update": (dict(gradient=1e20), 1e30, ("update", 1, -np.inf)),
    "parameter": (dict(gradient=-1), 3e38, ("parameter", 2, np.inf)),
    "optimizer state": (dict(gradient=1e25), 1e-3, ("optimizer state", "[0].total_squares[0].weight", np.inf)),
    "nothing": (dict(gradient=1e10), 1e-3, None),
    "the mean of the losses alone": (dict([("loss elsewhere", 2e38), ("loss", 2e38)]), 1, (None, None, None)),
}


class SumOfSquares(NamedTuple):
    total_squares: tuple
    best: jax.Array


def sgd_with_squares(learning_rate):
    """Descent that also adds up the squares of its gradients, and starts with an inf that means nothing yet."""

    def update(gradients, state, params=None):
        total = jax.tree.map(lambda total, g: total + g**2, state.total_squares, gradients)
        return gradients, SumOfSquares(total, state.best)

    def init(params):
        return SumOfSquares(jax.tree.map(jnp.zeros_like, params), jnp.array(jnp.inf))

    return optax.chain(optax.GradientTransformation(init, update), optax.sgd(learning_rate))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("script", "rate", "expected"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_gradient_of_your_own(script, rate, expected, place):
    x, labels = np.zeros((N, 2), "f"), np.zeros(N, int)
    x[ORDER[place]] = 7
    script = {"mark": 7.0, "loss": 0.0, "loss elsewhere": 0.0, "gradient": 0.0} | script
    params = (Layer(jnp.zeros((2, 3)), jnp.zeros(3)), Layer(jnp.full((3, 2), 1e38), jnp.zeros(2)))
    found = find_divergence(
        *(KEY, params, (x, labels)),
        **dict(optimizer=sgd_with_squares, epochs=5, batch_size=BATCH),
        gradient=Partial(scripted, jax.tree.map(jnp.float32, script)),
        hyperparameters={"learning_rate": rate},
    )
    if expected is None:
        assert found is None
        return
    step = None if expected[0] is None else place // BATCH + 1
    actual = found.epoch, found.step, found.total_step, found.quantity, found.layer, found.value, found.example
    np.testing.assert_equal(actual, (1, step, step, *expected, None))
    if step is None:
        assert "none of its steps is bad" in str(found)


@pytest.mark.slow
def test_the_overflow_of_adam_and_the_leaf_of_a_network_of_your_own():
    """The loss is the 8th power of the base."""

    def power(params, x, activation):
        return (x * params["base"]) ** 4

    def gradient(params, x, targets, activation, loss):
        return jax.value_and_grad(lambda params: loss(power(params, x, activation), targets))(params)

    data = np.ones((3, 1)), np.zeros((3, 1))
    run = partial(find_divergence, KEY, data=data, gradient=gradient, forward=power, loss=squared_error)
    found = run({"base": jnp.array(1e3)}, optimizer=optax.adam(1e-3))
    assert (found.quantity, found.layer) == ("optimizer state", "[0].nu['base']")
    found = run({"base": jnp.array(1e3)}, optimizer=optax.sgd(1e20))
    assert (found.quantity, found.layer, found.step) == ("update", "['base']", 1)
    found = run({"base": jnp.array(1e5)}, optimizer=optax.sgd(1e-3))
    assert (found.quantity, found.example, found.count) == ("loss", 0, 3)


@pytest.mark.slow
def test_autodiff_is_blamed_for_its_own_derivative():
    """The root of relu: autodiff multiplies 0 by the root's inf, by hand it is 0."""
    root = mlp_jax.Activation(
        lambda z: jnp.sqrt(jnp.maximum(z, 0)), lambda z: jnp.where(z > 0, 0.5 / jnp.sqrt(jnp.where(z > 0, z, 1)), 0)
    )
    params, data = network(), examples()
    run = partial(search, params, data, 1e-3, activation=root, loss=squared_error, epochs=3)
    assert run() is None
    found = run(gradient=autodiff)
    assert (found.epoch, found.step, found.quantity, found.layer) == (1, 1, "delta", 2)


def test_a_step_that_is_finite_by_itself_is_not_explained():
    found = _divergence.describe(None, 3, 2, 45, np.arange(4), None)
    assert found == Divergence(3, 2, 92, words=str(found))
    assert "epoch 3, step 2 of 45 (step 92 in all): not finite in the run, but finite when" in str(found)


@pytest.mark.slow
def test_other_values_trace_nothing_again():
    gradient = chex.assert_max_traces(backprop, n=3)  # by epochs, by steps, and one step apart
    for seed, rate in ((4, 1e10), (5, 1e20)):
        found = search(network(seed)[-1:], (np.ones((N, 3)), examples(seed)[1]), rate, batch_size=N, gradient=gradient)
        assert found.quantity == "loss"


BAD = {
    "x that is not finite": (dict(data=(np.full((N, 2), np.inf), np.zeros(N, int))), "data x: expected finite numbers"),
    "no epochs": (dict(epochs=0), "epochs: expected .*at least 1, got 0"),
    "rate that is not finite": (dict(hyperparameters={"learning_rate": np.inf}), "learning_rate.*finite"),
}


@pytest.mark.parametrize(("changed", "words"), BAD.values(), ids=BAD)
def test_the_error_says_what_is_wrong_with(changed, words):
    arguments = dict(data=(examples()[0], np.zeros(N, int)), optimizer=optax.sgd, hyperparameters={"learning_rate": 1})
    with pytest.raises(ValueError, match=words):
        find_divergence(KEY, layers(network()), **arguments | changed)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap], ids=["jit", "vmap"])
def test_under_a_transformation_it_is_an_error(transform):
    key = jax.random.split(KEY, 2) if transform is jax.vmap else KEY
    with pytest.raises(ValueError, match="find_divergence: expected numbers to read, got arrays under jit or vmap"):
        transform(lambda key: find_divergence(key, layers(network()), (examples()[0], np.zeros(N, int))))(key)
