"""Why forward: the helpers against brute force and closed forms, and claims that fall when something is wrong."""

from dataclasses import replace
from itertools import permutations

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

import mlp_jax
from experiments.frame import claims
from experiments.frame.numbers import Numbers, measured
from experiments.why_forward import alignment, euler, feedback, forward_gradient, networks, stored_values
from mlp_jax import Layer

matplotlib.use("svg")

KEY = jax.random.key(0)


def fallen(module, n):
    return {one.name for one in claims.all_judged(module, n) if one.verdict == "does not hold"}


def drawn(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


# ---- stored values


@pytest.mark.slow
def test_predicted_cosine_is_that_of_all_permutations(float64):
    """First and second moments over all 120 orders of five examples, two layers."""
    hs, deltas = drawn((5, 3), (5, 4)), drawn((5, 4), (5, 2), seed=1)
    hs = [h + 0.5 for h in hs]
    dW = np.concatenate([(h.T @ delta).ravel() for h, delta in zip(hs, deltas, strict=True)])
    other = [
        np.concatenate([(h[list(order)].T @ delta).ravel() for h, delta in zip(hs, deltas, strict=True)])
        for order in permutations(range(5))
    ]
    expected = np.mean([v @ dW for v in other]) / np.sqrt(dW @ dW * np.mean([v @ v for v in other]))
    assert stored_values.predicted_cosine(hs, deltas) == pytest.approx(expected, rel=1e-12)


def test_over_all_shifts_only_the_mean_is_left(float64):
    hs, deltas = drawn((6, 3), (6, 4)), drawn((6, 4), (6, 2), seed=1)
    assert stored_values.error_of_shifts(hs, deltas) <= 1e-13


def test_cosine_and_relative_error():
    a, b = [np.array([[1.0, 0.0]]), np.array([[0.0]])], [np.array([[1.0, 0.0]]), np.array([[1.0]])]
    assert float(stored_values.cosine(a, b)) == pytest.approx(0.5**0.5)
    assert float(stored_values.relative_error(b, [2 * v for v in b])) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_derivative_from_output(name, float64):
    z = np.linspace(-3, 3, 21).reshape(3, 7)
    phi = mlp_jax.activations.ACTIVATIONS[name]
    found = stored_values.derivative_from_output(name, np.asarray(phi(jnp.asarray(z))))
    np.testing.assert_allclose(found, phi.derivative(jnp.asarray(z)), rtol=1e-12)


@pytest.mark.slow
def test_a_wrong_derivative_from_the_output_is_found(monkeypatch):
    config = replace(stored_values.QUICK, activations=("tanh",), hidden=(8,), epochs=1, shifts=2, seeds=2)
    assert "outputs_are_enough" not in fallen(stored_values, measured(stored_values, config))
    monkeypatch.setattr(stored_values, "derivative_from_output", lambda activation, h: 1 - h)
    assert "outputs_are_enough" in fallen(stored_values, measured(stored_values, config))


# ---- alignment


@pytest.mark.parametrize("b, degrees", [([1, 0], 0), ([0, 2], 90), ([3, 3], 45), ([-1, 0], 180), ([0, 0], 90)])
def test_angle(b, degrees):
    both = np.array([[1.0, 0.0], b])
    assert feedback.angle_of(both @ both.T) == pytest.approx(degrees, abs=1e-6)


@pytest.mark.slow
def test_products_are_of_the_rule_and_of_backprop(float64):
    params = networks.initial(KEY, (4, 5, 6, 3), mlp_jax.tanh)
    x, labels = drawn((8, 4))[0], np.arange(8) % 3
    of = (params, x, labels, mlp_jax.tanh)
    way = feedback.feedback_for(feedback.FA, KEY, params)
    _, ours = feedback.gradient_by(way, *of, mlp_jax.cross_entropy)
    _, true = mlp_jax.backprop(*of)
    layers = zip(ours[:-1], true[:-1], strict=True)
    expected = [[[np.vdot(a.weight, b.weight) for b in each] for a in each] for each in layers]
    np.testing.assert_allclose(feedback.products(way, *of), expected, rtol=1e-12)


def test_feedback_is_as_long_as_the_way_it_replaces():
    params = networks.initial(KEY, (5, 6, 7, 3), mlp_jax.tanh, (2,))
    norm, W = np.linalg.norm, [np.asarray(layer.weight) for layer in params]
    for rule in feedback.RULES:
        s, B, C = feedback.feedback_for(rule, KEY, params)
        assert (s == (rule == feedback.BP)).all()
        for run in range(2):
            of_B = [norm(b[run]) for b in B]
            of_C = [norm(c[run]) for c in C]
            assert of_B == pytest.approx(
                [norm(W[1][run]), norm(W[2][run])] if rule == feedback.FA else [0, 0], rel=1e-5
            )
            ways = [norm(W[1][run] @ W[2][run]), norm(W[2][run])]
            assert of_C == pytest.approx(ways if rule == feedback.DFA else [0, 0], rel=1e-5)


@pytest.mark.slow
def test_the_rules_by_hand(float64):
    """Every rule against its formula in numpy, two hidden layers."""
    params = networks.initial(KEY, (4, 5, 6, 3), mlp_jax.tanh)
    x, labels = drawn((8, 4))[0], np.arange(8) % 3
    (W1, _), (W2, _), (W3, _) = ([np.asarray(a) for a in layer] for layer in params)
    h1 = np.tanh(x @ W1)
    h2 = np.tanh(h1 @ W2)
    p = np.exp(h2 @ W3) / np.exp(h2 @ W3).sum(axis=1, keepdims=True)
    delta3 = (p - np.eye(3)[labels]) / 8
    for rule in feedback.RULES:
        drawn_once = feedback.feedback_for(rule, KEY, params)
        _, found = feedback.gradient_by(drawn_once, params, x, labels, mlp_jax.tanh, mlp_jax.cross_entropy)
        _, (B1, B2), (C1, C2) = drawn_once
        back2 = dict(zip(feedback.RULES, (delta3 @ W3.T, delta3 @ B2, delta3 @ C2, 0 * h2), strict=True))[rule]
        delta2 = back2 * (1 - h2**2)
        back1 = dict(zip(feedback.RULES, (delta2 @ W2.T, delta2 @ B1, delta3 @ C1, 0 * h1), strict=True))[rule]
        delta1 = back1 * (1 - h1**2)
        for layer, dW in zip(found, (x.T @ delta1, h1.T @ delta2, h2.T @ delta3), strict=True):
            np.testing.assert_allclose(layer.weight, dW, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_wrong_feedback_is_found(monkeypatch):
    """Without phi' the pass is not backprop; with other random matrices the two alignments are not the same."""
    right = alignment.feedback_for

    def wrong():
        n = Numbers({name: np.asarray(value) for name, value in alignment.differences(KEY).items()}, alignment.FULL)
        exact = (alignment.one_hidden_layer, alignment.weights_as_feedback)
        return {claim.name for claim in exact if claims.judged(claim, n)[0].verdict != "holds"}

    assert wrong() == set()
    with monkeypatch.context() as patch:
        other = jax.random.key(1)
        patch.setattr(
            alignment,
            "feedback_for",
            lambda rule, key, params: right(rule, key if rule == feedback.FA else other, params),
        )
        assert wrong() == {"one_hidden_layer"}
    monkeypatch.setattr(
        alignment,
        "feedback_for",
        lambda rule, key, params: right(rule, key, params)._replace(s=np.float64(0.99 * (rule == feedback.BP))),
    )
    assert wrong() == {"weights_as_feedback"}


# ---- Euler's identities


@pytest.mark.slow
def test_euler_by_hand(float64):
    """One unit a layer, so that all is a product of numbers; tanh fails where relu holds."""
    params = tuple(Layer(np.array([W]), np.array([b])) for W, b in ([[[2.0]], [0.5]], [[[3.0, -1.0]], [0.1, 0.2]]))
    found = euler._gradients(params, jnp.array([[1.0], [2.0]]), jnp.array([0, 1]))
    assert euler.euler_error(params, *found["relu"]) <= 1e-15
    assert euler.euler_error(params, *found["tanh"]) >= 1e-3


def test_differences():
    layers = tuple(Layer(np.full((1, n), 2.0), np.zeros(n)) for n in (1, 3, 2))
    np.testing.assert_array_equal(euler.differences(layers), [8, -4])


@pytest.mark.slow
def test_a_wrong_gradient_breaks_euler_and_the_drift(monkeypatch):
    config = replace(euler.QUICK, depths=(3,), width=5, batch=8, seeds=1, hidden=(4, 4), examples=16, time=1.0)
    exact = {"Euler", "Euler_with_biases", "Euler_for_tanh", "drift_accounted_for"}
    assert fallen(euler, measured(euler, config)) & exact == set()
    right, trace = euler.backprop, euler.backprop_with_trace

    def wrong(gradients):
        return (gradients[0]._replace(weight=1.001 * gradients[0].weight), *gradients[1:])

    def wrong_backprop(*arguments):
        loss, gradients = right(*arguments)
        return loss, wrong(gradients)

    def wrong_trace(*arguments):
        s = trace(*arguments)
        return s._replace(gradients=wrong(s.gradients))

    monkeypatch.setattr(euler, "backprop", wrong_backprop)
    monkeypatch.setattr(euler, "backprop_with_trace", wrong_trace)
    jax.clear_caches()  # of the right ones
    assert fallen(euler, measured(euler, config)) & exact == exact - {"Euler_for_tanh"}


# ---- forward gradient


@pytest.mark.slow
def test_moments_of_directions():
    """The law behind the claims, by numpy: E |(g . v) v|^2 is d + 2 or d for |g| = 1."""
    rng = np.random.default_rng(0)
    for extra, v in ((2, rng.standard_normal((400_000, 5))), (0, rng.choice([-1.0, 1.0], (400_000, 5)))):
        ghat = v[:, :1] * v
        assert np.mean(np.sum(ghat**2, axis=1)) == pytest.approx(5 + extra, rel=0.02)
    assert forward_gradient.EXTRA == {"normal": 2, "signs": 0}


@pytest.mark.slow
def test_forward_gradient_is_the_gradient_on_average(float64):
    params = networks.initial(KEY, (2, 2), mlp_jax.tanh)
    x, labels = drawn((6, 2))[0], np.arange(6) % 2
    of = (params, x, labels, mlp_jax.tanh, mlp_jax.cross_entropy)
    keys = jax.random.split(KEY, 20_000)
    losses, ghat = jax.jit(jax.vmap(lambda key: forward_gradient.forward_gradient(key, *of)))(keys)
    loss, grad = mlp_jax.backprop(params, x, labels, mlp_jax.tanh)
    length = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(grad)))
    np.testing.assert_allclose(losses, loss)
    for a, b in zip(jax.tree.leaves(ghat), jax.tree.leaves(grad), strict=True):
        np.testing.assert_allclose(a.mean(axis=0), b, atol=0.05 * length)


def moments(scale=1.0):
    """Numbers of forward gradients as theory has them, or longer."""
    c, d = forward_gradient.FULL, np.array([forward_gradient.parameters(h) for h in forward_gradient.FULL.hidden])
    noise = 1 + 0.001 * np.linspace(-1, 1, c.chunks)
    extra = np.array([*forward_gradient.EXTRA.values()])[:, None]
    bias = ((d + extra - 1)[:, :, None, None] / np.array(forward_gradient.AVERAGED)) * np.ones((c.chunks, 1))
    error = np.full((2, len(c.rates), c.seeds), 0.9) + 0.001 * np.arange(c.seeds)
    error[0, 1], error[1, 5] = error[0, 1] - 0.88, error[1, 5] - 0.6
    return Numbers(
        {"kind": np.array([*forward_gradient.EXTRA]), "d": d, "square": scale * (d + extra)[:, :, None] * noise,
         "cosine": 1 / d[:, None] * noise * np.ones((2, 1, 1)), "bias": bias, "rate": np.array(c.rates),
         "method": np.array([*forward_gradient.METHODS]), "validation error": error, "test error": error}, c,
    )  # fmt: skip


def test_biased_draws_are_found():
    """Ten per cent too long is not within one."""
    assert fallen(forward_gradient, moments()) == set()
    assert fallen(forward_gradient, moments(1.1)) == {"square_normal", "square_signs"}


# ---- networks


def test_variance_of_the_weights():
    for phi, variance in ((mlp_jax.relu, 2 / 300), (mlp_jax.tanh, 2 / 500)):
        (W, b), _ = networks.initial(KEY, (300, 200, 2), phi, (3,), bias=0.5)
        assert W.shape == (3, 300, 200) and b.shape == (3, 200)
        assert np.var(W) == pytest.approx(variance, rel=0.03)
        assert np.std(b) == pytest.approx(0.5, rel=0.1)
