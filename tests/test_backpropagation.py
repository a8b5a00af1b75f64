"""The gradient by hand against autodiff, finite differences, high precision, and numbers worked on paper."""

import dataclasses
from itertools import product
from operator import attrgetter

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_vjp
from problems import leaf_errors, problem, relative_error

import mlp_jax
from mlp_jax import Layer, autodiff, backprop, backprop_with_trace
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.backpropagation import activation_backward, linear_backward, linear_gradient, loss_backward
from mlp_jax.check._networks import chain as mistakes
from mlp_jax.check._networks.networks import head_of
from mlp_jax.check.mistakes import MISTAKES, Settings, network_of
from mlp_jax.losses import LOSSES

DEPTHS, WIDTHS, BATCHES = (1, 2, 3, 8, 32), (1, 16, 512), (1, 33, 1024)  # depth: hidden layers
PAIRS = list(product(ACTIVATIONS.values(), LOSSES.values()))
# The plain command's share: every activation and every loss at the size of other tests, other depths with one pair.
SIZES, BATCH = (4, 6, 5, 3), 8
DEEP = [(12,) + depth * (16,) + (5,) for depth in (1, 8)]
SOME = [(phi, loss, SIZES, BATCH) for phi, loss in PAIRS if mlp_jax.tanh is phi or loss is mlp_jax.cross_entropy]
SOME += [(mlp_jax.tanh, mlp_jax.cross_entropy, sizes, 33) for sizes in DEEP]
# Every activation and loss at every depth, where each depth meets every width with every batch twice at least.
SHAPES = list(product(WIDTHS, BATCHES))
EVERY = [
    (*pair, (12,) + depth * (width,) + (5,), batch)
    for i, pair in enumerate(PAIRS)
    for k, depth in enumerate(DEPTHS)
    for width, batch in [SHAPES[(i + k) % len(SHAPES)]]
]


def name_of(value):
    return getattr(value, "name", str(value))


def assert_agree(activation, loss, sizes, batch, of=lambda f: f):
    for dtype, per_leaf, whole in (
        (jnp.float64, 1e-12, 1e-12),
        (jnp.float32, 1e-3 if len(sizes) > 30 else 1e-4, 5e-6),
    ):
        with jax.enable_x64(dtype == jnp.float64):
            p = problem(sizes, batch, activation, loss, dtype)
            (loss_hand, by_hand), (loss_auto, by_autodiff) = of(backprop)(*p), of(autodiff)(*p)
            chex.assert_trees_all_equal_structs(by_hand, by_autodiff)
            chex.assert_trees_all_equal_shapes_and_dtypes(by_hand, by_autodiff)
            assert loss_hand.dtype == loss_auto.dtype == dtype
            assert relative_error(loss_hand, loss_auto) <= per_leaf
            errors = leaf_errors(by_hand, by_autodiff)
            if 1 in sizes and dtype == jnp.float32:
                errors = [min(error, 25 * share) for error, share in zip(errors, errors_of_terms(p, of), strict=True)]
            assert max(errors) <= per_leaf
            assert relative_error(by_hand, by_autodiff) <= whole


def errors_of_terms(p, of):
    """A leaf of width 1 is one sum over the batch, which can cancel by chance: its error over the size of its terms."""
    trace, by_autodiff = of(backprop_with_trace)(*p), of(autodiff)(*p)[1]
    terms = [
        leaf
        for h, delta in zip(trace.forward.h, trace.delta, strict=True)
        for leaf in linear_gradient(jnp.abs(h), jnp.abs(delta))
    ]
    leaves = zip(jax.tree.leaves(trace.gradients), jax.tree.leaves(by_autodiff), terms, strict=True)
    return [float(jnp.linalg.norm(a - b) / jnp.linalg.norm(size)) for a, b, size in leaves]


@pytest.mark.parametrize("activation, loss, sizes, batch", SOME, ids=name_of)
def test_hand_agrees_with_autodiff(activation, loss, sizes, batch):
    assert_agree(activation, loss, sizes, batch)


@pytest.mark.slow
@pytest.mark.parametrize("activation, loss, sizes, batch", EVERY, ids=name_of)
def test_hand_agrees_with_autodiff_everywhere(activation, loss, sizes, batch):
    """Op by op, without the door: layers of one width share what is compiled."""
    assert_agree(activation, loss, sizes, batch, of=attrgetter("room"))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=name_of)
def test_softmax_regression_has_no_hidden_layer(float64, loss):
    p = problem((7, 5), 11, loss=loss)
    assert max(leaf_errors(backprop(*p)[1], autodiff(*p)[1])) <= 1e-12


@pytest.mark.parametrize("activation, loss", PAIRS, ids=name_of)
def test_hand_agrees_with_finite_differences(float64, activation, loss):
    assert_finite_differences_agree(backprop, problem(SIZES, BATCH, activation, loss))


def assert_finite_differences_agree(gradient, p):
    """`check_vjp` compares with central differences of the loss along random directions: no autodiff."""

    def with_rule(params):
        loss, gradients = gradient(params, *p[1:])
        return loss, lambda cotangent: (jax.tree.map(lambda leaf: cotangent * leaf, gradients),)

    check_vjp(p.loss_at, with_rule, (p.params,), atol=1e-7, rtol=1e-7, eps=1e-5)


def test_worked_on_paper():
    """One example, sizes 2-2-2, one unit off, two equal logits: every number is exact in binary."""
    params = (
        Layer(jnp.array([[1.0, 1.0], [1.0, -1.0]]), jnp.array([0.0, 0.5])),
        Layer(jnp.array([[1.0, 2.0], [1.0, 3.0]]), jnp.array([3.0, 0.0])),
    )
    trace = backprop_with_trace(params, jnp.array([[1.0, 2.0]]), jnp.array([0]))
    np.testing.assert_array_equal(trace.forward.z[0], [[1 + 2, 1 - 2 + 0.5]])  # x W_1 + b_1 = (3, -0.5)
    np.testing.assert_array_equal(trace.forward.h[1], [[3, 0]])  # relu
    np.testing.assert_array_equal(trace.forward.z[1], [[3 * 1 + 3, 3 * 2]])  # (6, 6)
    np.testing.assert_allclose(trace.loss, np.log(2), rtol=1e-7)  # p = (1/2, 1/2), y = 0
    np.testing.assert_array_equal(trace.delta[1], [[-0.5, 0.5]])  # p - one_hot(y)
    np.testing.assert_array_equal(trace.gradients[1].weight, [[3 * -0.5, 3 * 0.5], [0, 0]])  # h_1^T delta_2
    np.testing.assert_array_equal(trace.gradients[1].bias, [-0.5, 0.5])
    np.testing.assert_array_equal(trace.delta[0], [[-0.5 + 1, 0]])  # (delta_2 W_2^T = (0.5, 1)) * (1, 0)
    np.testing.assert_array_equal(trace.gradients[0].weight, [[0.5, 0], [1, 0]])  # x^T delta_1
    np.testing.assert_array_equal(trace.gradients[0].bias, [0.5, 0])


def assert_rule(rule, f, *primals):
    """A local rule against `jax.vjp` of the step that it belongs to, for a random cotangent."""
    out, vjp = jax.vjp(jax.jit(f), *primals)
    cotangent = jnp.asarray(np.random.default_rng(9).standard_normal(out.shape), out.dtype)
    for actual, expected in zip(rule(cotangent), vjp(cotangent), strict=True):
        assert relative_error(actual, expected) <= 1e-14


def test_rule_of_the_linear_map(float64):
    W, b, h = map(jnp.asarray, map(np.random.default_rng(0).standard_normal, ((4, 3), (3,), (5, 4))))
    assert_rule(
        lambda delta: (*linear_gradient(h, delta), linear_backward(W, delta)),
        lambda W, b, h: h @ W + b[None, :],
        W,
        b,
        h,
    )


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=name_of)
def test_rule_of_the_activation(float64, activation):
    z = jnp.asarray(np.random.default_rng(0).standard_normal((50, 20)))
    for derivative in (activation.derivative(z), activation.pair(z)[1]):
        assert_rule(lambda dh, d=derivative: (activation_backward(d, dh),), activation.value, z)


@pytest.mark.parametrize("targets", ["labels", "floats"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=name_of)
def test_rule_of_the_loss(float64, loss, targets):
    z = jnp.asarray(np.random.default_rng(0).standard_normal((50, 20)))
    t = jnp.arange(50) % 20 if targets == "labels" else jax.nn.softmax(jnp.cos(z))
    assert_rule(lambda cotangent: (cotangent * loss_backward(loss, z, t)[1],), lambda z: loss(z, t), z)


def test_every_delta_is_the_derivative_in_z(float64):
    p = problem(SIZES, BATCH)
    trace = backprop_with_trace(*p)

    def loss_of_shifts(shifts):  # z_l + shift_l: the derivative in the shift is delta_l
        h = p.x
        for layer, shift in zip(p.params, shifts, strict=True):
            z = h @ layer.weight + layer.bias[None, :] + shift
            h = p.activation(z)
        return p.loss(z, p.targets)

    expected = jax.grad(loss_of_shifts)([jnp.zeros_like(z) for z in trace.forward.z])
    assert max(leaf_errors(trace.delta, expected)) <= 1e-13
    assert relative_error(trace.gradients, backprop(*p)[1]) == 0


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64], ids=lambda d: d.__name__)
def test_dtype_is_kept(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        p = problem((4, 6, 3), 8, dtype=dtype)
        for gradient in (backprop, autodiff):
            loss, gradients = jax.eval_shape(lambda *arrays, g=gradient: g(*arrays, p.activation, p.loss), *p[:3])
            assert {leaf.dtype for leaf in (loss, *jax.tree.leaves(gradients))} == {jnp.dtype(dtype)}


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [backprop, autodiff])
def test_jit_vmap_and_plain_agree(float64, gradient):
    p, q = (problem((4, 6, 3), 8, seed=seed) for seed in (0, 1))
    jitted = jax.jit(gradient, static_argnames=("activation", "loss"))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), p[:3], q[:3])
    batched = jax.vmap(lambda *args: gradient(*args, p.activation, p.loss))(*stacked)
    for i, one in enumerate((p, q)):
        plain = gradient(*one)
        assert relative_error(jitted(*one), plain) <= 1e-14
        assert relative_error(jax.tree.map(lambda leaf, i=i: leaf[i], batched), plain) <= 1e-14


@pytest.mark.parametrize("gradient", [backprop, autodiff])
def test_one_trace_for_changing_data(gradient):
    counted = jax.jit(chex.assert_max_traces(gradient, n=1), static_argnames=("activation", "loss"))
    for seed in range(3):
        counted(*problem((4, 6, 3), 8, dtype=jnp.float32, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("activation, shift", [(mlp_jax.sigmoid, 30), (mlp_jax.tanh, 15)], ids=["sigmoid", "tanh"])
def test_ours_is_the_nearer_one_where_units_saturate(float64, activation, shift):
    p = problem((3, 4, 3), 5, activation)
    saturated = p._replace(params=(p.params[0]._replace(bias=p.params[0].bias + shift), p.params[1]))
    for q in (p, saturated):
        expected = mlp_jax.check.high_precision(*q).gradient
        assert max(leaf_errors(backprop(*q)[1], expected)) <= 1e-13
    assert max(leaf_errors(autodiff(*saturated)[1], expected)) >= 1e-6


def with_mistake(mistake):
    """A backward pass of the table of known mistakes, as a function of this library's signature."""

    def gradient(params, x, targets, activation, loss):
        layers = [(np.asarray(W), np.asarray(b)) for W, b in params]
        network = network_of(Settings(activation.name, loss.name))
        head = head_of(network, len(x), len(layers[-1][1]))
        s = mistakes.forward(layers, np.asarray(x), np.asarray(targets), network.phi, head)
        value, gradients = mistakes.backward(s) if mistake is None else mistakes.broken(mistake, s)
        return jnp.asarray(value), tuple(Layer(jnp.asarray(dW), jnp.asarray(db)) for dW, db in gradients)

    return gradient


KNOWN = [m for m in MISTAKES if m.of_gradient and m.code not in ("convention", "regularised")]
KNOWN = [
    m for m in KNOWN if m.name not in ("uses tanh'(z) for phi'(z)", "uses 1 - h^2, the derivative of tanh, for phi'(z)")
]
KNOWN = [m for m in KNOWN if "over the units for d b_l" not in m.name]  # it does not fit


@pytest.mark.parametrize("mistake", KNOWN[::4], ids=lambda mistake: mistake.name)
def test_broken_backward_pass_is_rejected(float64, mistake):
    p = problem((5, 5, 5, 5, 5), 8)
    _, wrong = with_mistake(mistake)(*p)
    assert max(leaf_errors(wrong, autodiff(*p)[1])) > 1e-4
    with pytest.raises(AssertionError):
        assert_finite_differences_agree(with_mistake(mistake), p)


def test_the_pass_that_is_broken_is_right_when_whole(float64):
    p = problem((5, 5, 5, 5, 5), 8)
    assert max(leaf_errors(with_mistake(None)(*p)[1], autodiff(*p)[1])) <= 1e-12
    assert_finite_differences_agree(with_mistake(None), p)


def test_broken_rule_is_rejected(float64):
    W, b, h = jnp.arange(9.0).reshape(3, 3), jnp.ones(3), jnp.cos(jnp.arange(9.0).reshape(3, 3))
    with pytest.raises(AssertionError):
        assert_rule(lambda delta: (delta @ W,), lambda h: h @ W, h)  # W for W^T
    with pytest.raises(AssertionError):
        assert_rule(lambda delta: (delta.T @ h, delta.sum(0)), lambda W, b: h @ W + b[None, :], W, b)  # dW^T


def test_squared_error_of_labels_is_that_of_one_hot_targets(float64):
    p = problem((4, 6, 3), 8)._replace(loss=mlp_jax.squared_error)
    one_hot = p._replace(targets=jax.nn.one_hot(p.targets, 3))
    chex.assert_trees_all_close(backprop(*p), backprop(*one_hot), rtol=1e-14)


@pytest.mark.parametrize(
    ("record", "derivative", "arguments"),
    [
        (mlp_jax.Activation(jnp.sin, jnp.cos), "derivative", [jnp.ones(1)]),
        (
            mlp_jax.Loss(lambda z, t: jnp.sum(z), lambda z, t: z),
            "logits_gradient",
            [jnp.ones((1, 1)), jnp.ones((1, 1))],
        ),
    ],
    ids=["activation", "loss"],
)
def test_the_default_pair_follows_what_it_is_made_of(record, derivative, arguments):
    other = dataclasses.replace(record, **{derivative: lambda z, *_: 7 * z})
    assert other.pair(*arguments)[1] == 7
    again = dataclasses.replace(record)
    assert again == record != other and hash(again) == hash(record), "jit takes equal records for one"
