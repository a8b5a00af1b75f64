"""Training against a plain Python loop, and what is promised about traces, seeds, vmap, optimisers and errors."""

import gc
import weakref
from functools import partial
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from problems import quick

import mlp_jax
from mlp_jax import Layer, _programs, autodiff, backprop, evaluate, forward, init_params, train
from mlp_jax.training import _engine, _evaluation, _recipe

KEY = jax.random.key(7)
SIZES = (3, 5, 4)  # the smallest with a hidden layer and more than two classes
N = 11  # not a multiple of 4: the last batch is short


def examples(n=N, seed=0):
    """Points x (n, 3) and labels in [0, 4) that softmax regression can learn."""
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return x, (x[:, 0] > x[:, 1]) + 2 * (x[:, 2] > 0)


def network(sizes=SIZES, seed=0, dtype=None):
    """Weights of variance 1 / fan_in, by NumPy: nothing to compile."""
    normal, dtype = np.random.default_rng(seed).normal, np.dtype(dtype or "float32")
    arrays = [(normal(size=(a, b)) / a**0.5, normal(size=b) / 2) for a, b in pairwise(sizes)]
    return tuple(Layer(jnp.asarray(w.astype(dtype)), jnp.asarray(b.astype(dtype))) for w, b in arrays)


def copies(tree):
    return jax.tree.map(np.array, tree)


def row(tree, i):
    return jax.tree.map(lambda a: a[i], tree)


def stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


assert_close = partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-6)


# The order of an epoch is jax.random's permutation, found faster

ORDERS = jax.jit(jax.vmap(_engine.epoch_order, in_axes=(0, None, None)), static_argnums=2)


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("n", [1, 11, 1626], ids=lambda n: f"{n} examples")  # from 1626 on: two rounds
def test_the_order_of_an_epoch_is_a_permutation_of_jax_random(n, x64):
    with jax.enable_x64(x64):
        keys = jax.random.split(KEY, 2)
        orders = ORDERS(keys, 5, n)
        for key, order in zip(keys, orders, strict=True):
            np.testing.assert_array_equal(order, jax.random.permutation(jax.random.fold_in(key, 5), n))
        assert orders.dtype == jnp.arange(1).dtype


# Training is the loop of the textbook

MOMENTUM = optax.sgd(0.3, momentum=0.9)
value_and_gradient = jax.jit(autodiff)


@jax.jit
def momentum_step(gradient, state, params):
    updates, state = MOMENTUM.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


class Epoch:
    """What the plain loop measures in an epoch."""

    def __init__(self, params, losses, validation):
        self.params, self.validation = params, validation
        self.mean_over_examples = np.mean(np.concatenate(losses))
        self.mean_of_batch_means = np.mean([batch[0] for batch in losses])


def plain_loop(params, data, validation, epochs, batch_size, shuffle=True, drop_rest=False):
    """Minibatch gradient descent by numpy slices, one optax step after another."""
    x, labels = data
    n, state, measured = len(x), MOMENTUM.init(params), []
    for i in range(epochs):
        order, losses = np.arange(n), []
        if shuffle:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(KEY, i), n))
        for start in range(0, n - n % batch_size if drop_rest else n, batch_size):
            batch = order[start : start + batch_size]
            loss, gradient = value_and_gradient(params, x[batch], labels[batch])
            params, state = momentum_step(gradient, state, params)
            losses.append(np.full(len(batch), loss))
        measured.append(Epoch(params, losses, evaluate(params, *validation)))
    return measured


LOOPS = {
    "divisible": (12, 4, True, "float64"),
    "divisible, in order, float32": (12, 4, False, "float32"),
    "short last batch": (11, 4, True, "float64"),
    "short last batch, float32": (11, 4, True, "float32"),
    "batch_size above N": (11, 16, True, "float64"),
    "batch_size is N": (11, 11, True, "float64"),
}


@pytest.mark.parametrize(
    ("n", "batch_size", "shuffle", "dtype"), quick(LOOPS, "short last batch", "divisible, in order, float32")
)
def test_train_is_the_plain_loop(n, batch_size, shuffle, dtype):
    with jax.enable_x64(dtype == "float64"):
        data, validation, params = examples(n), examples(n, seed=1), network(dtype=dtype)
        settings = dict(epochs=3, batch_size=batch_size, shuffle=shuffle)
        result = train(KEY, params, data, validation, optimizer=MOMENTUM, **settings)
        loop = plain_loop(params, data, validation, **settings)
        expected = mlp_jax.TrainResult(
            loop[-1].params,
            mlp_jax.History(
                np.array([epoch.mean_over_examples for epoch in loop]),
                np.array([epoch.validation.loss for epoch in loop]),
                np.array([epoch.validation.accuracy for epoch in loop]),
            ),
            None,
        )
        error = 1e-12 if dtype == "float64" else 1e-5
        chex.assert_trees_all_close(result._replace(state=None), expected, rtol=error, atol=error)
        chex.assert_trees_all_equal_dtypes(result.params, params)


@pytest.mark.parametrize("mistake", ["drops the short last batch", "takes the mean of batch means"])
def test_a_wrong_loop_is_told_apart(mistake, run):
    drop_rest = mistake == "drops the short last batch"
    loop = plain_loop(run.params, run.data, run.data, epochs=3, batch_size=4, drop_rest=drop_rest)
    wrong = [epoch.mean_over_examples if drop_rest else epoch.mean_of_batch_means for epoch in loop]
    assert np.all(abs(run.result.history.train_loss - np.array(wrong)) > 1e-4)  # 10 times the tolerance above
    if drop_rest:
        distances = jax.tree.map(lambda a, b: np.max(abs(a - b)), *copies((run.result.params, loop[-1].params)))
        assert max(jax.tree.leaves(distances)) > 1e-3


def counting_gradient(counts, x, targets, activation, loss):
    """An update that adds, with optax.sgd(1), the one-hot ids of the examples in the batch."""
    return jnp.zeros(()), -jnp.sum(jax.nn.one_hot(x[:, 0].astype(int), len(counts)), axis=0)


def constant_forward(params, x, activation):
    return jnp.zeros((len(x), 1))


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (11, 4), (11, 1), (1, 4)])
def test_every_example_is_used_exactly_once_an_epoch(n, batch_size):
    ids = np.arange(n)[:, None]
    result = train(
        KEY,
        jnp.zeros(n),
        (ids, np.zeros(n, int)),
        optimizer=optax.sgd(1.0),
        epochs=3,
        batch_size=batch_size,
        gradient=counting_gradient,
        forward=constant_forward,
        record=lambda counts, x, targets: counts,
    )
    chex.assert_trees_all_equal(result.recorded, np.outer([1, 2, 3], np.ones(n)).astype("float32"))


# Seeds, chunks, and what the caller keeps


class Run:
    """One run on 11 examples in batches of 4, for the tests that compare others with it."""

    def __init__(self):
        self.params, self.data = network(), examples()
        self.before = copies((self.params, self.data))
        self.result = self.again()

    def again(self, key=KEY, **settings):
        defaults = dict(validation=self.data, optimizer=MOMENTUM, epochs=3, batch_size=4)
        return train(key, self.params, self.data, **defaults | settings)

    def full_batches(self, **settings):
        """A smaller program, for what has nothing to do with batches."""
        return self.again(**dict(batch_size=N, validation=None) | settings)


@pytest.fixture(scope="module")
def run():
    return Run()


@pytest.fixture(scope="module")
def full(run):
    return run.full_batches()


def test_the_same_key_gives_the_same_bits(run):
    chex.assert_trees_all_equal(run.again(), run.result)


def test_another_key_gives_another_run(run):
    assert not np.allclose(run.again(jax.random.key(8)).history.train_loss, run.result.history.train_loss, rtol=1e-4)


def test_the_arguments_stay_usable(run):
    chex.assert_trees_all_equal(copies((run.params, run.data)), run.before)
    chex.assert_tree_all_finite(run.result.params)  # not donated by the runs that came after it


def test_progress_reports_every_epoch_once_and_changes_no_bit(run):
    reports = []
    result = run.again(progress=lambda done, history: reports.append((done, history)))
    chex.assert_trees_all_equal(result, run.result)
    assert [done for done, _ in reports] == [1, 2, 3]
    joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *(history for _, history in reports))
    chex.assert_trees_all_equal(joined, result.history)


def test_progress_comes_at_least_fifty_times_in_equal_chunks():
    reports = []
    settings = dict(epochs=402, batch_size=16, record=lambda params, x, targets: params[0].bias[0])
    arguments = (KEY, network((3, 4)), examples())
    result = train(*arguments, progress=lambda done, history: reports.append((done, history)), **settings)
    assert [done for done, _ in reports] == list(range(6, 403, 6))
    assert {history.train_loss.shape for _, history in reports} == {(6,)}
    chex.assert_trees_all_equal(result, train(*arguments, **settings))


# Going on, and the best epoch


@pytest.mark.parametrize("keep", ["last", "best"])
def test_two_halves_are_the_whole(run, keep):
    settings = dict(keep=keep, optimizer=MOMENTUM, batch_size=4)
    first = train(KEY, run.params, run.data, run.data, epochs=1, **settings)
    before = copies(first.state)
    second = train(KEY, first.state, run.data, run.data, epochs=2, **settings)
    whole = train(KEY, run.params, run.data, run.data, epochs=3, **settings)
    chex.assert_trees_all_equal(second.state, whole.state)
    chex.assert_trees_all_equal(second.params, whole.params)
    chex.assert_trees_all_equal(copies(first.state), before)  # not donated
    assert second.history.train_loss.tolist() == whole.history.train_loss[1:].tolist()


def test_the_best_epoch_is_kept():
    """At a rate so large that the loss goes up and down."""
    settings = dict(optimizer=optax.sgd, hyperparameters={"learning_rate": 1.0}, epochs=12, batch_size=4)

    def every(params, x, targets):
        return params

    result = train(KEY, network(), examples(), examples(seed=1), keep="best", record=every, **settings)
    i = int(np.argmin(result.history.validation_loss))
    assert 0 < i < 11 and result.state.best.epoch == i + 1
    assert result.state.best.loss == result.history.validation_loss[i]
    chex.assert_trees_all_equal(result.params, row(result.recorded, i))
    chex.assert_trees_all_equal(result.state.params, row(result.recorded, -1))
    last = train(KEY, network(), examples(), examples(seed=1), **settings)
    chex.assert_trees_all_equal(last.params, result.state.params)


# Compilation


def test_train_traces_once_a_batch_shape(run):
    gradient = chex.assert_max_traces(backprop, n=2)  # 4 examples and the last 3
    x, labels = run.data
    for i in range(3):
        train(
            jax.random.key(i),
            network(seed=i),
            (x + i, labels[::-1]),
            optimizer=optax.sgd,
            hyperparameters={"learning_rate": 0.1 * i},
            epochs=2,
            batch_size=4,
            gradient=gradient,
        )
    with pytest.raises(AssertionError, match="traced > 2 times"):
        train(KEY, network(), (x, labels), epochs=2, batch_size=5, gradient=gradient)


def test_programs_of_old_optimizers_are_freed(run, monkeypatch):
    monkeypatch.setattr(_programs, "RECIPES", 2)  # to be quick
    of_init, of_run = (
        _programs.jit_of(["static", "keep"]),
        _programs.jit_of(["static", "epochs"], donate_argnames="state"),
    )
    monkeypatch.setattr(_engine, "init_state", of_init(_engine.init_state.__wrapped__))
    monkeypatch.setattr(_engine, "_run_jit_donating", of_run(_engine.run_epochs))
    held = []
    for i in range(4):
        optimizer = optax.sgd(0.1 * i)
        held.append(weakref.ref(optimizer.update))
        train(KEY, network(), run.data, optimizer=optimizer, epochs=1, batch_size=7)
        del optimizer
    gc.collect()
    assert [of() is not None for of in held] == [False, False, True, True]


TRACED_ONCE = {
    "forward": lambda params, x, labels: forward(params, x),
    "cross_entropy": lambda params, x, labels: mlp_jax.cross_entropy(x, labels % 3),
    "backprop": lambda params, x, labels: backprop(params, x, labels),
    "autodiff": lambda params, x, labels: autodiff(params, x, labels),
    "evaluate": lambda params, x, labels: evaluate(params, x, labels),
}


@pytest.mark.parametrize("function", TRACED_ONCE.values(), ids=TRACED_ONCE)
def test_other_values_trace_nothing_again(function):
    chex.clear_trace_counter()
    once = jax.jit(chex.assert_max_traces(function, n=1))
    for seed in range(3):
        chex.assert_tree_all_finite(once(network(seed=seed), *map(jnp.asarray, examples(seed=seed))))


@pytest.mark.parametrize(("n", "epochs"), [(16384, 2), (2048, 2000)], ids=["8 times the data", "1000 times the epochs"])
def test_the_program_does_not_grow_with(n, epochs):
    """Sizes of one kind: multiples of both batches, whose permutation JAX sorts in as many rounds."""

    def size(n, epochs):
        data, params = tuple(map(jnp.asarray, examples(n))), network()
        recipe = _recipe.Recipe(optimizer=MOMENTUM, batch_size=4)
        static, traced = recipe.static, recipe.traced(jnp.float32)
        state = mlp_jax.training.TrainState(params, MOMENTUM.init(params), jnp.zeros((), jnp.int32))
        program = jax.jit(_engine.run_epochs, static_argnames=("static", "epochs"))
        return len(program.lower(state, KEY, data, data, traced, static, epochs).as_text())

    assert size(n, epochs) == pytest.approx(size(2048, 2), rel=0.01)


# jit and vmap


def test_train_under_jit_is_train(run, full):
    @jax.jit
    def compiled(key, params, data):
        return train(key, params, data, optimizer=MOMENTUM, epochs=3, batch_size=N)

    assert_close(compiled(KEY, run.params, run.data), full)


def random_feedback(feedback, params, x, targets, activation, loss):
    """Feedback alignment (Lillicrap et al., 2016): a fixed random matrix (C, d_1) in the place of W_2^T."""
    trace = mlp_jax.backprop_with_trace(params, x, targets, activation, loss)
    (h_0, h_1), (derivative,), delta_2 = trace.forward.h, trace.forward.derivative, trace.delta[1]
    delta_1 = (delta_2 @ feedback) * derivative
    return trace.loss, tuple(Layer(h.T @ d, d.sum(axis=0)) for h, d in ((h_0, delta_1), (h_1, delta_2)))


def project(direction, params, x, targets):
    return params[0].weight @ direction


def run_from_key(key, data):
    return train(key, init_params(key, (3, 4)), data, optimizer=MOMENTUM, epochs=3, batch_size=8)


def run_at_rate(rate, params, data):
    hyperparameters = {"learning_rate": rate, "b1": 0.8}
    return train(KEY, params, data, optimizer=optax.adam, hyperparameters=hyperparameters, epochs=3, batch_size=16)


def run_with_feedback(feedback, direction, params, data):
    gradient, record = Partial(random_feedback, feedback), Partial(project, direction)
    return train(KEY, params, data, epochs=3, batch_size=16, gradient=gradient, record=record)


SEEDS = range(3)
KEYS = jax.random.split(KEY, 3)
SUBSETS = stack(examples(16, seed) for seed in SEEDS)
MATRICES = stack(network((4, 5), seed)[0].weight for seed in SEEDS)
DIRECTIONS = stack(network((4, 5), seed)[0].bias for seed in SEEDS)
VMAPS = {  # function, the rows of its first arguments, the others
    "keys, initial params and subsets of the data": (run_from_key, (KEYS, SUBSETS), ()),
    "learning rates": (run_at_rate, (np.array([0.001, 0.01, 0.1]),), (network((3, 4)), examples())),
    "feedback and record": (run_with_feedback, (MATRICES, DIRECTIONS), (network(), examples())),
}


@pytest.mark.parametrize(("function", "rows", "shared"), quick(VMAPS, "feedback and record"))
def test_every_row_of_a_vmap_is_its_single_run(function, rows, shared):
    axes = (0,) * len(rows) + (None,) * len(shared)
    together = jax.jit(jax.vmap(function, axes))(*rows, *shared)
    singles = stack(jax.jit(function)(*row(rows, i), *shared) for i in range(3))
    assert_close(together, singles)
    assert not np.allclose(singles.params[0].weight[0], singles.params[0].weight[1], rtol=1e-3)


# Optimisers


def strict_optimizer():
    """Descent whose update is NaN unless it is handed the loss, its gradient and the loss as a function."""

    def update(updates, state, params, *, value, grad, value_fn, **_):
        chex.assert_trees_all_equal_shapes_and_dtypes(params, updates, grad)
        same = jnp.isclose(value_fn(params), value, rtol=1e-6)
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(grad), strict=True):
            same &= jnp.all(a == b)
        return jax.tree.map(lambda g: jnp.where(same, -0.3 * g, jnp.nan), updates), state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


OPTIMIZERS = {
    "sgd": optax.sgd(0.3),
    "momentum, Nesterov": optax.sgd(0.3, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.1),
    "adam with a schedule": optax.adam(optax.cosine_decay_schedule(0.1, decay_steps=30)),
    "adamw": optax.adamw(0.1),
    "lbfgs": optax.lbfgs(),
    "polyak_sgd": optax.polyak_sgd(),
    "schedule_free_sgd": optax.contrib.schedule_free_sgd(1.0),
    "adam, reduce_on_plateau": optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau(patience=3)),
    "your own": strict_optimizer(),
}


@pytest.mark.parametrize("optimizer", quick(OPTIMIZERS, "adam", "lbfgs", "your own"))
def test_every_optimizer_lowers_the_loss(optimizer):
    """Softmax regression: no hidden layer."""
    params, data = network((3, 4)), examples(24)
    before = copies(params)
    result = train(KEY, params, data, optimizer=optimizer, epochs=30, batch_size=24)
    chex.assert_tree_all_finite((result.params, result.history))
    assert result.history.train_loss[-1] < 0.6 * result.history.train_loss[0]
    chex.assert_trees_all_equal(copies(params), before)


def test_hyperparameters_give_the_run_of_the_ready_transformation(run, full):
    result = run.full_batches(optimizer=partial(optax.sgd, momentum=0.9), hyperparameters={"learning_rate": 0.3})
    assert_close(result, full)


# Gradients, networks, records


def test_autodiff_gives_the_run_of_backprop(run, full):
    assert_close(run.full_batches(gradient=autodiff), full)


def test_a_gradient_of_your_own_is_used(run, full):
    def half(params, x, targets, activation, loss):
        value, gradient = backprop(params, x, targets, activation, loss)
        return value, jax.tree.map(lambda g: g / 2, gradient)

    result = run.full_batches(gradient=half, optimizer=optax.sgd(0.6, momentum=0.9))
    assert_close(result._replace(state=None), full._replace(state=None))  # whose momenta are twice as large


def residual(params, x, activation=mlp_jax.tanh):
    h = x @ params["in"]
    for weight in params["blocks"]:
        h = h + activation(h @ weight)
    return h @ params["out"]


def residual_gradient(params, x, targets, activation, loss):
    return jax.value_and_grad(lambda params: loss(residual(params, x, activation), targets))(params)


def test_a_residual_network_with_params_in_a_dict():
    data, (first, *blocks, last) = examples(24), (layer.weight for layer in network((3, 5, 5, 5, 4)))
    params = {"in": first, "blocks": blocks, "out": last}
    functions = dict(activation=mlp_jax.tanh, forward=residual)
    settings = dict(validation=data, optimizer=strict_optimizer(), epochs=20, batch_size=24)
    result = train(KEY, params, data, gradient=residual_gradient, **settings, **functions)
    chex.assert_trees_all_equal_structs(result.params, params)
    history, measured = result.history, evaluate(result.params, *data, **functions)
    assert_close((history.validation_loss[-1], history.validation_accuracy[-1]), tuple(measured))
    assert measured.loss < 0.6 * history.train_loss[0]
    assert_close(history.train_loss[1:], history.validation_loss[:-1])  # full batches: before and after a step


def test_record_sees_the_params_after_every_epoch_and_the_training_data():
    data = examples()

    def record(params, x, targets):
        return {"params": params, "sum": jnp.sum(x), "labels": targets}

    settings = dict(optimizer=optax.sgd(0.1), epochs=3, batch_size=N, record=record)
    result = train(KEY, network(), data, **settings)
    before = copies(network())
    for i in range(3):  # with full batches an epoch is a step
        loss, gradient = value_and_gradient(before, *data)
        after = row(copies(result.recorded["params"]), i)
        assert_close(after, jax.tree.map(lambda p, g: p - 0.1 * g, before, copies(gradient)))
        assert_close(result.history.train_loss[i], loss)
        before = after
    chex.assert_trees_all_equal(before, result.params)
    assert_close(result.recorded["sum"], np.full(3, data[0].sum(), "float32"))
    chex.assert_trees_all_equal(result.recorded["labels"], np.tile(data[1], (3, 1)).astype("int32"))


def test_what_was_not_asked_for_is_none():
    result = train(KEY, network((3, 4)), examples(), epochs=2, batch_size=16)
    assert result.history.train_loss.shape == (2,)
    assert result[1][1:] == (None, None)
    assert result.recorded is None


# Targets and dtypes

TARGETS = {
    "labels": (mlp_jax.squared_error, lambda labels: labels, True),
    "values": (mlp_jax.squared_error, lambda labels: np.eye(4)[labels] - 0.25, False),
    "probabilities": (mlp_jax.cross_entropy, lambda labels: mlp_jax.smooth_labels(labels, 4, 0.1), False),
}


@pytest.mark.parametrize(("loss", "make", "are_classes"), TARGETS.values(), ids=TARGETS)
def test_train_takes_targets_that_are(loss, make, are_classes):
    x, labels = examples(24)
    data = x, make(labels)
    result = train(KEY, network((3, 4)), data, data, optimizer=optax.sgd(0.1), epochs=20, batch_size=24, loss=loss)
    assert result.history.validation_loss[-1] < 0.8 * result.history.validation_loss[0]
    assert np.all(np.isnan(result.history.validation_accuracy) != are_classes)


PRECISIONS = {
    "bfloat16": ("bfloat16", OPTIMIZERS["adam"], None),
    "bfloat16, hyperparameters": ("bfloat16", optax.adam, {"learning_rate": 0.1}),
    "float64, hyperparameters": ("float64", optax.adam, {"learning_rate": 0.1}),
}


@pytest.mark.parametrize(("dtype", "optimizer", "hyperparameters"), PRECISIONS.values(), ids=PRECISIONS)
def test_params_keep_their_dtype(dtype, optimizer, hyperparameters):
    with jax.enable_x64(dtype == "float64"):
        params, data = network((3, 4), dtype=dtype), examples(24)
        settings = dict(epochs=20, batch_size=32, hyperparameters=hyperparameters)
        result = train(KEY, params, data, data, optimizer=optimizer, **settings)
        chex.assert_trees_all_equal_dtypes(result.params, params)
        chex.assert_tree_all_finite((result.params, result.history))
        assert {leaf.dtype for leaf in result.history[:2]} == {np.dtype("float64" if dtype == "float64" else "float32")}
        assert result.history.train_loss[-1] < 0.6 * result.history.train_loss[0]


# Evaluation


def measured_by_numpy(params, x, labels):
    z = x @ np.asarray(params[0].weight, float) + np.asarray(params[0].bias, float)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(x)), labels]
    return mlp_jax.Evaluation(losses.mean(), np.mean(z.argmax(axis=1) == labels))


@pytest.mark.parametrize("n", [8, 9], ids=lambda n: f"{n} examples, 4 at a time")
def test_evaluate_is_the_exact_mean(n, monkeypatch):
    monkeypatch.setattr(_evaluation, "EVALUATION_BATCH", 4)  # read when traced: every n is a new shape in this file
    data = tuple(a[:n] for a in examples(9, seed=2))
    with jax.enable_x64(True):
        params = network((3, 4), dtype="float64")
        actual, expected = evaluate(params, *data), measured_by_numpy(params, *data)
    np.testing.assert_allclose(actual.loss, expected.loss, rtol=1e-12)
    np.testing.assert_allclose(actual.accuracy, expected.accuracy, rtol=1e-7)


def test_evaluate_is_the_exact_mean_over_more_than_one_batch_of_its_own():
    params, data = network((3, 4)), examples(2 * _evaluation.EVALUATION_BATCH + 3)
    assert_close(copies(tuple(evaluate(params, *data))), tuple(measured_by_numpy(params, *data)))


def test_logits_that_are_nan_are_no_right_answer():
    params = (Layer(jnp.array([[1.0, jnp.inf]]), jnp.zeros(2)),)  # 0 * inf is NaN
    assert evaluate(params, np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1])).accuracy == 0.25


def test_float_targets_have_no_accuracy():
    measured = evaluate(network((3, 4)), examples()[0], np.zeros((N, 4)), loss=mlp_jax.squared_error)
    assert np.isnan(measured.accuracy)
    assert np.isfinite(measured.loss)


# Errors


def returning(make):
    """A gradient function with a wrong result."""
    return lambda params, x, targets, activation, loss: make(*backprop(params, x, targets, activation, loss))


X, LABELS = examples()
BAD = {  # changed arguments, the error, and what its words must hold
    "gradient is not a pair": (
        dict(gradient=returning(lambda loss, grads: grads[0].bias)),
        TypeError,
        r"gradient: expected .*\(loss, gradients\), got",
    ),
    "gradient of another structure": (
        dict(gradient=returning(lambda loss, grads: (loss, list(grads)))),
        ValueError,
        "gradient: expected .*structure of params.* got",
    ),
    "gradient of other shapes": (
        dict(gradient=returning(lambda loss, grads: (loss, jax.tree.map(jnp.transpose, grads)))),
        ValueError,
        r"gradient: expected float32 of shape \(3, 5\) at params\[0\]\.weight, got float32 of shape \(5, 3\)",
    ),
    "gradient with a loss for every example": (
        dict(gradient=returning(lambda loss, grads: (jnp.full(N, loss), grads))),
        ValueError,
        "gradient: expected a scalar loss, got",
    ),
    "gradient is no function": (dict(gradient=0.1), TypeError, "gradient: expected a function, got float"),
    "backprop of a network of one's own": (
        dict(forward=residual),
        ValueError,
        r"gradient: expected the gradient of your own forward, got one of mlp_jax.forward",
    ),
    "forward is no function": (dict(forward="mlp"), TypeError, "forward: expected a function, got str"),
    "hyperparameters for a ready transformation": (
        dict(optimizer=MOMENTUM, hyperparameters={"learning_rate": 0.1}),
        ValueError,
        "hyperparameters: expected a factory .*, got a ready transformation",
    ),
    "unknown hyperparameter": (
        dict(optimizer=optax.sgd, hyperparameters={"learning_rate": 0.1, "rate": 0.1}),
        ValueError,
        "hyperparameters: expected .*, got .*unexpected keyword argument 'rate'",
    ),
    "missing hyperparameter": (
        dict(optimizer=optax.sgd, hyperparameters={"momentum": 0.1}),
        ValueError,
        "hyperparameters: expected .*, got .*missing .*'learning_rate'",
    ),
    "hyperparameter is several numbers": (
        dict(optimizer=optax.sgd, hyperparameters={"learning_rate": [0.1, 0.2]}),
        ValueError,
        r"hyperparameters\['learning_rate'\]: expected one number, got shape \(2,\); vmap",
    ),
    "optimizer is a number": (dict(optimizer=0.1), TypeError, "optimizer: expected .* got float"),
    "no epochs": (dict(epochs=0), ValueError, "epochs: expected .*at least 1, got 0"),
    "half epochs": (dict(epochs=2.5), TypeError, r"epochs: expected a whole number, got float.*2\.5"),
    "batches of none": (dict(batch_size=0), ValueError, "batch_size: expected .*at least 1, got 0"),
    "activation by name": (dict(activation="relu"), TypeError, "activation: expected .* got"),
    "loss is no record": (dict(loss=optax.l2_loss), TypeError, "loss: expected .* got"),
    "validation of another width": (
        dict(validation=(X[:, :2], LABELS)),
        ValueError,
        r"validation x: expected \(B, 3\).* got shape \(11, 2\)",
    ),
    "keep of another name": (dict(keep="first"), ValueError, "keep: expected one of last, best, got 'first'"),
    "the best of nothing": (
        dict(keep="best"),
        ValueError,
        "keep: expected 'last' without validation data, got 'best'; give validation",
    ),
    "the state of another optimizer": (
        dict(params=mlp_jax.training.TrainState(network(), (), jnp.zeros((), jnp.int32))),
        ValueError,
        "params: expected a state of this run's optimizer, got another's",
    ),
    "data without targets": (dict(data=X), TypeError, r"data: expected \(x, targets\), got"),
    "labels out of range": (
        dict(data=(X, LABELS + 1)),
        ValueError,
        r"data targets: expected labels in \[0, 4\), got 4 at data targets\[\d+\]",
    ),
    "as many labels as are not there": (dict(data=(X, LABELS[1:])), ValueError, r"data targets: expected .* got .*10"),
    "labels as floats": (
        dict(data=(X, LABELS * 1.0)),
        ValueError,
        "data targets: expected integer labels .* got float",
    ),
    "no data": (dict(data=(X[:0], LABELS[:0])), ValueError, r"data x: expected .*at least one example, got .*\(0, 3\)"),
    "x that is not finite": (
        dict(data=(np.where(np.arange(3) == 2, np.nan, X), LABELS)),
        ValueError,
        r"data x: expected finite numbers, got nan at data x\[0, 2\]",
    ),
}


@pytest.mark.parametrize(("changed", "error", "words"), BAD.values(), ids=BAD)
@pytest.mark.usefixtures("no_annotation_checks")
def test_the_error_says_what_is_wrong_with(changed, error, words):
    arguments = dict(key=KEY, params=network(), data=(X, LABELS), epochs=1, batch_size=N) | changed
    with pytest.raises(error, match=words):
        train(**arguments)


@pytest.mark.usefixtures("no_annotation_checks")
def test_labels_out_of_range_give_nan_where_they_cannot_be_read():
    measured = jax.jit(evaluate)(network((3, 4)), X, LABELS + 1)
    assert np.isnan(measured.loss)
