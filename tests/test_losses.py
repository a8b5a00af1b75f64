import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp
from oracles import DTYPES, ULP
from problems import quick

import mlp_jax
from mlp_jax import (
    Loss,
    cross_entropy,
    log_softmax,
    predict,
    smooth_labels,
    softmax,
    squared_error,
)
from mlp_jax.derivatives import by_autodiff, softmax_jacobian
from mlp_jax.losses import LOSSES, softmax_jvp, weighted, with_weights

CLASSES = (2, 10, 100, 1000)
SCALES = (1e-3, 1.0, 30.0, 1e3, 1e4)
JIT = {"jit": jax.jit, "eager": lambda f: f}
inf, nan = float("inf"), float("nan")

# An eager call is one compiled program, so the plain command leaves `jax.jit` of it to the slow tests.
with_and_without_jit = pytest.mark.parametrize("variant", quick(JIT, "eager"))
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)
law = settings(derandomize=True, max_examples=40, deadline=None)


@functools.cache
def one_by_one(f):
    """Of a function of batches, the function of every example on its own."""
    return jax.vmap(lambda z, t: f(z[None], t[None]))


def with_one_hot(f):
    return lambda z, y: f(z, jax.nn.one_hot(y, z.shape[-1], dtype=z.dtype))


def gradient_of(f):
    return lambda z, y: one_by_one(jax.grad(lambda z, y: f(z, y).sum()))(z, y)[:, 0]


def by_hand(f):
    return lambda z, y: one_by_one(f)(z, y)[:, 0]


optax_loss = optax.softmax_cross_entropy_with_integer_labels
OURS = {  # implementation of (logits, labels), and which of the oracles.ClassifierTruths it should be
    "softmax": (lambda z, y: softmax(z), "softmax"),
    "log_softmax": (lambda z, y: log_softmax(z), "log_softmax"),
    "loss": (one_by_one(cross_entropy), "loss"),
    "loss of one-hot": (one_by_one(with_one_hot(cross_entropy)), "loss"),
    "loss with its gradient": (one_by_one(lambda z, y: cross_entropy.pair(z, y)[0]), "loss"),
    "gradient": (by_hand(cross_entropy.logits_gradient), "gradient"),
    "gradient of one-hot": (by_hand(with_one_hot(cross_entropy.logits_gradient)), "gradient"),
    "gradient by autodiff": (gradient_of(cross_entropy), "gradient"),
}
PEERS = {
    "jax.nn.softmax": (lambda z, y: jax.nn.softmax(z), "softmax"),
    "jax.nn.log_softmax": (lambda z, y: jax.nn.log_softmax(z), "log_softmax"),
    "optax": (optax_loss, "loss"),
    "grad of jax.nn.log_softmax": (gradient_of(with_one_hot(lambda z, q: -q * jax.nn.log_softmax(z))), "gradient"),
    "grad of optax": (gradient_of(optax_loss), "gradient"),
}
TABLES = {"ours": OURS, "peers": PEERS}
GRADIENT, SQUARED_ERROR_GRADIENT = jax.grad(cross_entropy.value), jax.grad(squared_error.value)
compiled = functools.cache(jax.jit)


@functools.cache
def example(classes: int, scale: float, kind: str, dtype: str):
    """Logits, labels and their truths: about 400 logits, at least two examples."""
    batch = max(2, 400 // classes)
    rng = np.random.default_rng([classes, int(1000 * scale)])
    logits = (scale * rng.normal(size=(batch, classes))).astype(dtype)
    labels = logits.argmax(axis=1) if kind == "argmax" else rng.integers(classes, size=batch)
    return logits, labels, oracles.classifier_truths(logits, labels)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(table: str, logits, labels):
    return {name: implementation(logits, labels) for name, (implementation, _) in TABLES[table].items()}


@functools.cache
def worst(table: str, classes: int, scale: float, kind: str, dtype: str) -> dict[str, float]:
    """Every row's largest error in units of (max_j |z_j - max z| + 8) ulp of the truth."""
    logits, labels, truths = example(classes, scale, kind, dtype)
    spread = logits.max(axis=1).astype(np.float64) - logits.min(axis=1)
    with oracles.precision(dtype):
        results = evaluate(table, logits, labels)
    ratios = {}
    for name, (_, truth) in TABLES[table].items():
        exact = getattr(truths, truth)
        factor = np.reshape(spread + 8, (-1,) + (1,) * (exact.hi.ndim - 1))
        assert results[name].dtype == dtype
        ratios[name] = oracles.worst_ratio(results[name], exact, oracles.relative_bound(exact, dtype, factor))
    return ratios


@all_dtypes
@pytest.mark.parametrize("kind", ["random", "argmax"])
@pytest.mark.parametrize("classes", [*CLASSES[:-1], pytest.param(CLASSES[-1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("quantity", OURS)
def test_every_digit_is_right(quantity, classes, kind, dtype):
    ratios = {scale: worst("ours", classes, scale, kind, dtype)[quantity] for scale in SCALES}
    assert max(ratios.values()) <= 1, ratios


@all_dtypes
@pytest.mark.parametrize("peer", [name for name in PEERS if name != "jax.nn.softmax"])
def test_the_bound_rejects_the_peers(peer, dtype):
    assert worst("peers", 10, 30.0, "argmax", dtype)[peer] > 1


def near_0(z: float) -> float:
    """log(1 + exp(-z)), the loss of label 0 at logits [z, 0]."""
    with mp.workdps(oracles.DIGITS):
        return float(mp.log1p(mp.exp(-mp.mpf(z))))


EPS = np.float32(2.0**-23)
SMALL_LOSSES = {
    "float64, 40": ("float64", 40.0, 4.248354255291589e-18),
    "float64, 37.4": ("float64", 37.42994775023705, 5.551115123125776e-17),
    "float32, 1 - log 2 eps": ("float32", float(np.float32(1 - np.log(2 * EPS))), None),
    "float32, 1 - log eps": ("float32", float(np.float32(1 - np.log(EPS))), None),
}


@pytest.mark.parametrize("quantity", [name for name in OURS if name != "softmax"])
@pytest.mark.parametrize(("dtype", "z", "expected"), SMALL_LOSSES.values(), ids=SMALL_LOSSES)
def test_losses_near_0_that_others_lose(dtype, z, expected, quantity):
    expected = expected or near_0(z)
    with oracles.precision(dtype):
        actual = np.ravel(evaluate("ours", np.array([[z, 0]], dtype), np.array([0]))[quantity])
    truth = {"log_softmax": [-expected, -z], "gradient": [-expected, expected]}.get(quantity.split()[0], [expected])
    np.testing.assert_allclose(actual, truth, rtol=(z + 8) * ULP[dtype])  # exp(-z) is log1p(exp(-z)) in every digit


@pytest.mark.parametrize(("dtype", "z", "expected"), SMALL_LOSSES.values(), ids=SMALL_LOSSES)
def test_the_gradient_of_log_softmax_near_0(dtype, z, expected):
    expected = expected or near_0(z)
    with oracles.precision(dtype):
        slope = compiled(jax.grad(lambda z: log_softmax(z)[0]))(np.array([z, 0], dtype))
    np.testing.assert_allclose(slope, [expected, -expected], rtol=(z + 8) * ULP[dtype])


@all_dtypes
@pytest.mark.parametrize("v", [1, 1e4, 1e6, 1e8])
def test_two_equal_logits_lose_log_2(v, dtype):
    with oracles.precision(dtype):
        loss = compiled(cross_entropy)(np.array([[v, v]], dtype), np.array([1]))
    np.testing.assert_allclose(loss, np.log(2), rtol=8 * ULP[dtype])


# Laws. Logits are eighths, so that adding a whole number to them is exact.


@st.composite
def batches(draw):
    """Logits (3, C) and labels (3,), C from a few sizes to spare compilations."""
    classes = draw(st.sampled_from([2, 5]))
    eighths = draw(st.lists(st.integers(-320, 320), min_size=3 * classes, max_size=3 * classes))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=3, max_size=3))
    return np.reshape(np.float32(eighths) / 8, (3, classes)), np.array(labels)


@law
@given(batches())
def test_probabilities_sum_to_1(batch):
    z, _ = batch
    p = np.asarray(compiled(softmax)(z), np.float64)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=z.shape[1] * ULP["float32"])
    np.testing.assert_allclose(compiled(log_softmax)(z), np.log(p), rtol=1e-5, atol=1e-6)


@law
@given(batches(), st.integers(-1000, 1000))
def test_shifting_all_logits_changes_nothing(batch, shift):
    z, y = batch
    for f in map(compiled, (softmax, log_softmax, predict)):
        np.testing.assert_array_equal(f(z + np.float32(shift)), f(z))
    for f in map(compiled, (cross_entropy, cross_entropy.logits_gradient)):
        np.testing.assert_array_equal(f(z + np.float32(shift), y), f(z, y))


@law
@given(batches())
def test_the_order_of_the_logits_is_kept(batch):
    z, _ = batch
    order = np.sign(z[:, :, None] - z[:, None, :])
    for f in (softmax, log_softmax):
        kept = np.asarray(f(z))
        if f is softmax:
            np.testing.assert_array_equal(np.sign(kept[:, :, None] - kept[:, None, :]), order)
        else:  # two log-probabilities can be closer than their rounding
            assert np.all(order * (kept[:, :, None] - kept[:, None, :]) >= 0)
    np.testing.assert_array_equal(predict(z), z.argmax(axis=1))


@law
@given(batches())
def test_the_gradient_of_an_example_sums_to_0(batch):
    z, y = batch
    for gradient in (GRADIENT, cross_entropy.logits_gradient):
        delta = np.asarray(compiled(gradient)(z, y), np.float64)
        slack = (z.shape[1] + 8) * ULP["float32"] * np.abs(delta).sum(axis=1)
        assert np.all(np.abs(delta.sum(axis=1)) <= slack + 1e-30)


@law
@given(batches())
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(batch):
    z, y = batch
    for loss in LOSSES.values():
        each, rows = (compiled(one_by_one(f))(z, y) for f in (loss, loss.logits_gradient))
        np.testing.assert_allclose(compiled(loss)(z, y), np.mean(each), rtol=1e-6)
        np.testing.assert_allclose(compiled(loss.logits_gradient)(z, y), rows[:, 0] / len(y), rtol=1e-6)


@law
@given(batches(), st.floats(0, 1, width=32))
def test_smooth_labels(batch, amount):
    z, y = batch
    q = np.asarray(smooth_labels(y, z.shape[1], amount))
    expected = (1 - amount) * np.eye(z.shape[1])[y] + amount / z.shape[1]
    np.testing.assert_allclose(q, expected, atol=4 * ULP["float32"])
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=4 * ULP["float32"])


@law
@given(batches())
def test_squared_error_is_its_definition(batch):
    z, y = batch
    one_hot = np.eye(z.shape[1], dtype=np.float32)[y]
    values = np.roll(z, 1, axis=0)
    for target, t in ((y, one_hot), (one_hot, one_hot), (values, values)):
        difference = z.astype(np.float64) - t
        np.testing.assert_allclose(compiled(squared_error)(z, target), (difference**2).sum(axis=1).mean(), rtol=1e-6)
        for gradient in (squared_error.logits_gradient, SQUARED_ERROR_GRADIENT):
            np.testing.assert_allclose(compiled(gradient)(z, target), 2 * difference / len(z), rtol=1e-6)


@jax.jit
def loss_and_gradients(z, q):
    loss, by_autodiff = jax.value_and_grad(cross_entropy)(z, q)
    return loss, by_autodiff, cross_entropy.logits_gradient(z, q)


@all_dtypes
@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_probability_targets(scale, classes, dtype):
    """Loss -sum_j q_j log p_j, of positive terms, and gradient (p - q) / B, which may cancel: absolute accuracy."""
    z, _, truths = example(classes, scale, "random", dtype)
    q = np.random.default_rng(0).dirichlet(np.ones(classes), len(z)).astype(dtype)
    p, log_p = (part.hi + part.lo for part in (truths.softmax, truths.log_softmax))
    total = q.astype(np.float64).sum(axis=1, keepdims=True)
    with oracles.precision(dtype):
        loss, *gradients = loss_and_gradients(z, q)
    spread = np.ptp(z, axis=1).max()
    np.testing.assert_allclose(loss, -(q * log_p).sum(axis=1).mean(), rtol=(spread + 8) * ULP[dtype])
    for gradient in gradients:
        np.testing.assert_allclose(gradient, (p * total - q) / len(z), rtol=0, atol=16 * ULP[dtype] / len(z))


# Second derivatives


def columns_by_jvp(z):
    """The Jacobian of softmax from its products with every e_k."""
    e = jnp.broadcast_to(jnp.eye(z.shape[-1], dtype=z.dtype), (*z.shape, z.shape[-1]))
    return jax.vmap(softmax_jvp, (None, -2), -1)(z, e)


def textbook_jacobian(z):
    p = jax.nn.softmax(z)
    return jax.vmap(jnp.diag)(p) - p[:, :, None] * p[:, None, :]


SOFTMAX_JACOBIANS = {"softmax_jacobian": softmax_jacobian, "softmax_jvp": columns_by_jvp, "textbook": textbook_jacobian}


@functools.cache
def near_one_hot(dtype: str):
    """Logits up to 50 or 300 apart, and the Jacobians of their softmax, with 1 - p_j as the sum of the others."""
    z = np.random.default_rng(0).uniform(-1, 1, (4, 5)) * [[1], [5], [12], [25]]
    z = (z * {"float32": 1, "float64": 6}[dtype]).astype(dtype)
    exact = []
    with mp.workdps(oracles.DIGITS):
        for row in z:
            e = [mp.exp(mp.mpf(float(entry))) for entry in row]
            p = [entry / mp.fsum(e) for entry in e]
            others = [mp.fsum(p[:j] + p[j + 1 :]) for j in range(len(p))]
            exact += [p[j] * (others[j] if j == k else -p[k]) for j in range(len(p)) for k in range(len(p))]
        return z, oracles.as_truth(exact, (4, 5, 5))


def worst_of_jacobian(name: str, dtype: str) -> float:
    z, exact = near_one_hot(dtype)
    with oracles.precision(dtype):
        actual = compiled(SOFTMAX_JACOBIANS[name])(z)
    assert actual.dtype == dtype
    spread = np.ptp(z, axis=1)[:, None, None].astype(np.float64)
    return oracles.worst_ratio(actual, exact, oracles.relative_bound(exact, dtype, 2 * (spread + 8)))


@all_dtypes
@pytest.mark.parametrize("name", ["softmax_jacobian", "softmax_jvp"])
def test_every_digit_of_the_jacobian_of_softmax_is_right(name, dtype):
    assert worst_of_jacobian(name, dtype) <= 1


@all_dtypes
def test_the_bound_rejects_the_textbook_jacobian_of_softmax(dtype):
    assert worst_of_jacobian("textbook", dtype) > 1


@pytest.mark.parametrize("shape", [(4,), pytest.param((3, 4), marks=pytest.mark.slow), (2, 3, 4)], ids=str)
def test_the_jacobian_of_softmax_of_any_shape(shape):
    rng = np.random.default_rng(0)
    z, r = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    J = np.asarray(compiled(softmax_jacobian)(z))
    twin = np.asarray(compiled(by_autodiff.softmax_jacobian)(z))
    assert J.shape == twin.shape == (*shape, 4)
    np.testing.assert_allclose(J, twin, rtol=0, atol=2 * ULP["float32"])
    np.testing.assert_array_equal(J, np.swapaxes(J, -1, -2))
    np.testing.assert_allclose(J.sum(axis=-1), 0, atol=ULP["float32"])
    np.testing.assert_allclose(compiled(softmax_jvp)(z, r), np.einsum("...jk,...k->...j", J, r), atol=4e-7)


@pytest.mark.parametrize("f", [softmax_jacobian, by_autodiff.softmax_jacobian], ids=["hand", "autodiff"])
def test_the_jacobian_of_softmax_of_nan_is_nan(f):
    assert np.isnan(compiled(f)(np.array([nan, 0, 1, 2], np.float32))).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_can_be_pickled(loss):
    assert pickle.loads(pickle.dumps(loss)) == loss


TARGETS_OF_HESSIANS = {
    "labels": np.array([0, 2, 1]),
    "probabilities": np.array([[0.5, 0.25, 0.25], [0, 0, 1], [0.125, 0.75, 0.125]]),
    "probabilities that sum to 1.005": 1.005 * np.array([[0.5, 0.25, 0.25], [0, 0, 1], [0.125, 0.75, 0.125]]),
}


@functools.partial(jax.jit, static_argnums=0)
def hessian_product_by_autodiff(loss, z, t, r):
    return jax.jvp(jax.grad(lambda z: loss(z, t)), (z,), (r,))[1]


@pytest.mark.parametrize("targets", TARGETS_OF_HESSIANS.values(), ids=TARGETS_OF_HESSIANS)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_hessian_product_in_the_logits(float64, loss, targets):
    z, r = np.random.default_rng(0).normal(size=(2, 3, 3))
    expected = hessian_product_by_autodiff(loss, z, targets, r)
    actual = compiled(loss.logits_hessian_product)(z, targets, r)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)
    if loss is cross_entropy:
        total = targets.sum(axis=1, keepdims=True) if targets.ndim == 2 else 1
        np.testing.assert_allclose(actual, total * softmax_jvp(z, jnp.asarray(r)) / 3, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("logits", "targets"),
    [([[nan, 0], [1, 0]], [0, 1]), ([[1, 0], [1, 0]], [2, 1]), ([[1, 0], [1, 0]], [[1.5, -0.5], [0.0, 1]])],
    ids=["nan of a logit", "label of C", "negative probability"],
)
def test_the_hessian_product_of_a_bad_example_is_nan(logits, targets):
    z, t, r = np.array(logits, np.float32), np.array(targets), np.ones((2, 2), np.float32)
    t = t if t.dtype == int else t.astype(np.float32)
    is_nan = np.isnan(compiled(cross_entropy.logits_hessian_product)(z, t, r))
    np.testing.assert_array_equal(is_nan, [[True] * 2, [False] * 2])


PREDICTIONS = {
    "one vector": ([0.5, 2, 1], 1),
    "batch": ([[0.5, 2, 1], [3, 2, 1]], [1, 0]),
    "two axes": ([[[0.0, 1], [1, 0]]], [[1, 0]]),
    "tie": ([1.0, 3, 3], 1),
    "nan": ([[0.0, nan], [0, 1]], [-1, 1]),
    "infinite": ([[-inf, 0], [0, inf], [-inf, -inf]], [1, 1, 0]),
    "integers": ([3, 5], 1),
}


@with_and_without_jit
@pytest.mark.parametrize(("logits", "expected"), PREDICTIONS.values(), ids=PREDICTIONS)
def test_predict(logits, expected, variant):
    classes = variant(predict)(np.array(logits))
    assert jnp.issubdtype(classes.dtype, jnp.integer)
    np.testing.assert_array_equal(classes, expected)


def test_leading_axes_are_batches():
    z = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for f in map(compiled, (softmax, log_softmax)):
        rows = np.stack([f(row) for row in z.reshape(6, 4)])
        np.testing.assert_allclose(f(z), rows.reshape(z.shape), rtol=8 * ULP["float32"])


# Conventions. A loss of label 0 and every entry of its gradient, by hand:

NOT_FINITE = {
    "nan of the label": ([nan, 0], nan, [nan, nan]),
    "nan of a rival": ([0, nan], nan, [nan, nan]),
    "nan of the one class": ([nan], nan, [nan]),
    "a rival ruled out": ([0, -inf], 0, [0, 0]),
    "one rival of two ruled out": ([0, 0, -inf], np.log(2), [-0.5, 0.5, 0]),
    "the label ruled out": ([-inf, 0], inf, [nan, nan]),
    "all ruled out": ([-inf, -inf], nan, [nan, nan]),
    "inf of the label": ([inf, 0], 0, [0, 0]),
    "inf of a rival": ([0, inf], inf, [nan, nan]),
    "inf of both": ([inf, inf], nan, [nan, nan]),
    "one class": ([3], 0, [0]),
}


@with_and_without_jit
@pytest.mark.parametrize(("logits", "loss", "gradient"), NOT_FINITE.values(), ids=NOT_FINITE)
def test_logits_that_are_not_finite(logits, loss, gradient, variant):
    z, y = np.array([logits], np.float32), np.array([0])
    np.testing.assert_allclose(variant(cross_entropy.value)(z, y), loss, rtol=1e-6)
    np.testing.assert_allclose(variant(cross_entropy.logits_gradient)(z, y), [gradient], rtol=1e-6)
    for both, one in zip(variant(cross_entropy.pair)(z, y), (loss, [gradient]), strict=True):
        np.testing.assert_allclose(both, one, rtol=1e-6)


DISTRIBUTIONS_NOT_FINITE = {
    "nan": ([nan, 0], [nan, nan]),
    "ruled out": ([-inf, 0, 0], [0, 0.5, 0.5]),
    "inf": ([inf, 0], [nan, nan]),
    "one class": ([3], [1]),
}


@pytest.mark.parametrize(("logits", "expected"), DISTRIBUTIONS_NOT_FINITE.values(), ids=DISTRIBUTIONS_NOT_FINITE)
def test_softmax_of_logits_that_are_not_finite(logits, expected):
    z = np.array(logits, np.float32)
    np.testing.assert_allclose(compiled(softmax)(z), expected)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(compiled(log_softmax)(z), np.log(expected), rtol=1e-6)


@pytest.mark.parametrize("gradient", [cross_entropy.logits_gradient, GRADIENT], ids=["by hand", "autodiff"])
def test_a_class_ruled_out_changes_nothing_for_the_others(gradient):
    z, y = np.array([[0.5, 2, 1], [3, 2, 1]], np.float32), np.array([2, 1])
    ruled_out = np.insert(z, 3, -inf, axis=1)
    np.testing.assert_allclose(compiled(cross_entropy)(ruled_out, y), compiled(cross_entropy)(z, y), rtol=1e-6)
    expected = np.insert(compiled(gradient)(z, y), 3, 0, axis=1)
    np.testing.assert_allclose(compiled(gradient)(ruled_out, y), expected, rtol=1e-6)


BAD_UNDER_JIT = {
    "label of -1": [0, -1, 1],
    "label of C": [0, 2, 1],
    "label of a million": [0, 10**6, 1],
    "negative probability": [[1.0, 0], [1.5, -0.5], [0, 1]],
    "sum of 1.1": [[1.0, 0], [0.5, 0.6], [0, 1]],
    "nan of a probability": [[1.0, 0], [nan, 1], [0, 1]],
}
BAD_PAIRS = {
    f"{loss.name}, {name}": (loss, targets)
    for name, targets in BAD_UNDER_JIT.items()
    for loss in ((cross_entropy,) if "probability" in name or "sum" in name else LOSSES.values())
}


@pytest.mark.parametrize(("loss", "targets"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_targets_that_cannot_be_read_give_nan_not_a_plausible_number(loss, targets):
    z, t = jnp.array([[0.5, -1], [2, 0], [1, 1]]), np.array(targets)
    t = t if t.dtype == int else t.astype(np.float32)
    assert jnp.isnan(jax.jit(loss)(z, t))
    is_nan = np.isnan(jax.jit(loss.logits_gradient)(z, t))
    np.testing.assert_array_equal(is_nan, [[False] * 2, [True] * 2, [False] * 2])
    assert np.isnan(jax.jit(jax.grad(loss))(z, t))[1].all()


TWO_CLASSES = jnp.array([[0.5, -1.0], [2.0, 0.0], [1.0, 1.0], [-3.0, 2.0]])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_weighted_loss_is_that_of_repeated_examples(loss, float64):
    """Weights are whole here, so that an example of weight w can stand there w times; value, gradient and Hessian."""
    z, labels, w = TWO_CLASSES.astype(float), jnp.array([0, 1, 1, 0]), jnp.array([2.0, 0.0, 1.0, 3.0])
    r = jnp.sin(jnp.arange(8.0)).reshape(4, 2)
    t = with_weights(labels, w, classes=2)
    again = np.repeat(np.arange(4), w.astype(int))
    of_all = len(again) / len(w)  # the mean of the weights
    assert weighted(loss)(z, t) == pytest.approx(float(of_all * loss(z[again], labels[again])), rel=1e-13)
    by_hand = weighted(loss).logits_gradient(z, t)
    np.testing.assert_allclose(by_hand, jax.grad(weighted(loss).value)(z, t), rtol=1e-12, atol=1e-16)
    _, hessian_product = jax.jvp(lambda z: weighted(loss).logits_gradient(z, t), (z,), (r,))
    np.testing.assert_allclose(weighted(loss).logits_hessian_product(z, t, r), hessian_product, rtol=1e-10, atol=1e-15)
    plain = loss.logits_gradient(z, labels)
    assert np.abs(by_hand - plain).max() > 0.1  # and not the plain gradient


def test_a_weighted_loss_is_one_record_and_trains():
    assert weighted(cross_entropy) is weighted(cross_entropy) != cross_entropy
    assert weighted(weighted(squared_error)).extra_columns == 2
    x, labels = jnp.array([[-1.0], [1.0], [1.0]]), jnp.array([0, 1, 0])  # the last contradicts the second
    params, keys = mlp_jax.init_params(jax.random.key(0), (1, 2)), jax.random.split(jax.random.key(1))
    for w, expected in (([1.0, 1.0, 0.0], [0, 1, 1]), ([1.0, 0.0, 1.0], [0, 0, 0])):
        data = (x, with_weights(labels, w, classes=2))
        result = mlp_jax.train(keys[0], params, data, loss=weighted(cross_entropy), epochs=60, optimizer=optax.sgd(1.0))
        assert predict(mlp_jax.forward(result.params, x)).tolist() == expected
    swept = mlp_jax.sweep({"seed": [0]}, data, hidden=(), loss=weighted(cross_entropy), epochs=2)
    assert swept.params[0][0].weight.shape == (1, 1, 2)


def test_an_infinite_loss_of_weight_0_counts_for_nothing():
    z, t = jnp.array([[-inf, 0.0], [0.0, 0.0]]), with_weights(jnp.array([0, 1]), [0.0, 2.0], classes=2)
    assert weighted(cross_entropy)(z, t) == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(weighted(cross_entropy).logits_gradient(z, t), [[0, 0], [0.5, -0.5]], rtol=1e-6)


BAD_WEIGHTS = {
    "labels": ([0, 1, 1, 0], r"targets: expected floats \(4, 2 \+ 1\), got int.*with_weights"),
    "no weights": (np.eye(2)[[0, 1, 1, 0]], r"targets: expected floats \(4, 2 \+ 1\), got float.* of shape \(4, 2\)"),
    "a negative weight": (
        [[1.0, 0, 1]] * 3 + [[1.0, 0, -1]],
        r"last column: expected weights, none negative, got -1\.0",
    ),
    "no probabilities": ([[1.0, 1, 1]] * 4, "expected probabilities that sum to 1"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_targets_of_a_weighted_loss_are_named(name):
    targets, words = BAD_WEIGHTS[name]
    with pytest.raises(ValueError, match=words):
        weighted(cross_entropy)(TWO_CLASSES, np.array(targets))


def test_bad_weights_are_named_and_give_nan_under_jit():
    for w, words in (([1.0, -1.0], "weights, none negative"), ([[1.0], [1.0]], r"one for each example, \(B,\)")):
        with pytest.raises(ValueError, match=f"weights: expected .*{words}"):
            with_weights(jnp.array([0, 1]), jnp.array(w), classes=2)
    t = jnp.array([[1.0, 0, 1], [1, 0, -1]])
    assert jnp.isnan(jax.jit(weighted(cross_entropy))(TWO_CLASSES[:2], t))


@pytest.mark.parametrize("label", [-1, 2])
def test_smooth_labels_that_cannot_be_read_give_nan(label):
    q = jax.jit(smooth_labels, static_argnums=1)(np.array([label, 0]), 2, 0.5)
    np.testing.assert_array_equal(q, [[nan, nan], [0.75, 0.25]])


@pytest.mark.parametrize("dtype", ["bfloat16", *DTYPES])
@pytest.mark.parametrize("targets", ["labels", "floats"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_logits_dtype_is_kept(float64, loss, targets, dtype):
    z = jax.ShapeDtypeStruct((3, 2), dtype)
    for other in (jnp.float32, jnp.float64) if targets == "floats" else (jnp.int8, jnp.uint32, jnp.int64):
        t = jax.ShapeDtypeStruct((3, 2) if targets == "floats" else (3,), other)
        for f in (loss, loss.logits_gradient, jax.grad(loss)):
            assert jax.eval_shape(f, z, t).dtype == z.dtype
    assert all(jax.eval_shape(f, z).dtype == z.dtype for f in (softmax, log_softmax))


def test_bfloat16_is_as_accurate_as_it_can_be():
    z, _, _ = example(10, 1.0, "argmax", "float32")
    z, y = jnp.asarray(z, jnp.bfloat16), z.argmax(axis=1)
    low, full = evaluate("ours", z, y), evaluate("ours", z.astype(jnp.float32), y)
    for name, result in low.items():
        assert result.dtype == jnp.bfloat16
        np.testing.assert_allclose(result.astype(jnp.float32), full[name], rtol=8 * 2.0**-7)


def absolute_error(z, t):
    return jnp.mean(jnp.sum(jnp.abs(z - t), axis=1))


def test_a_users_own_loss_works_in_backprop(float64):
    own = Loss(absolute_error, lambda z, t: jnp.sign(z - t) / len(z))
    rng = np.random.default_rng(0)
    params = tuple(mlp_jax.Layer(rng.normal(size=shape), np.zeros(shape[1])) for shape in ((3, 4), (4, 2)))
    x, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    expected = absolute_error(mlp_jax.forward(params, x), t)
    assert own.name == "absolute_error"
    compiled_with = functools.partial(jax.jit, static_argnames="loss")
    by_hand, by_autodiff = (compiled_with(f)(params, x, t, loss=own) for f in (mlp_jax.backprop, mlp_jax.autodiff))
    np.testing.assert_allclose(by_hand[0], expected, rtol=1e-12)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14), by_hand, by_autodiff)


def test_records_are_static_arguments():
    z, y = jnp.array([[0.5, 2.0]]), jnp.array([1])
    applied = jax.jit(lambda loss, z, y: loss(z, y), static_argnums=0)
    for name, loss in LOSSES.items():
        assert loss == loss and hash(loss) == hash(loss) and loss.name == name
        np.testing.assert_allclose(applied(loss, z, y), loss(z, y), rtol=1e-6)
    assert cross_entropy != squared_error
    assert Loss(functools.partial(absolute_error), absolute_error).name == "loss"
    assert Loss(absolute_error, absolute_error, name="own").name == "own"
