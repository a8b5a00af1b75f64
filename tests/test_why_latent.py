import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latex2mathml.converter import convert

import mlp_jax
from experiments import why_latent
from experiments.frame import claims
from experiments.frame.numbers import measured
from experiments.why_latent import layers, least_squares, networks, probes, random_features, rank, same_pixels


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("module", why_latent.MEASUREMENTS)
def test_formulas_are_shown(module):
    assert convert(module.FORMULA).startswith("<math")


def fallen(module, n):
    return {one.name for one in claims.all_judged(module, n) if one.verdict not in ("holds", "not run")}


# ---- layers


def test_share_between_classes_is_1_where_each_class_is_one_point_and_0_where_all_have_the_same_mean(rng):
    labels = np.arange(20) % 10
    h = rng.standard_normal((10, 3))
    vectors = np.stack([h[labels], np.concatenate([h, -h])])
    np.testing.assert_allclose(layers.between_share(vectors, labels), [1, 0], atol=1e-12)


def test_share_between_classes_of_normal_classes_is_that_of_their_variances(rng):
    labels = np.repeat(np.arange(10), 2000)
    h = 2 * rng.standard_normal((10, 30))[labels] + rng.standard_normal((20000, 30))
    between = 2 * np.sqrt(np.var(h.reshape(10, 2000, 30).mean(axis=1), axis=0).sum() / 4)
    assert np.isclose(layers.between_share(h, labels), between**2 / (between**2 + 30), atol=0.01)


def test_a_plane_keeps_the_distances_of_vectors_that_lie_in_one(rng):
    points = rng.standard_normal((50, 2))
    directions = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    found = layers.plane(points @ directions.T + 3)
    distances, expected = (np.linalg.norm(p[:, None] - p[None, :], axis=-1) for p in (found, points))
    ratio = distances[0, 1] / expected[0, 1]
    np.testing.assert_allclose(distances, ratio * expected, atol=1e-12)


def test_a_turn_is_undone(rng):
    points, labels = rng.standard_normal((60, 2)), np.arange(60) % 10
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])  # a rotation and a mirror
    np.testing.assert_allclose(layers.turned(points @ turn, points, labels), points, atol=1e-12)


def test_a_split_has_every_example_once(rng):
    x, labels = np.arange(10.0)[:, None], np.arange(10)
    order = np.stack([rng.permutation(10) for _ in range(3)])
    (first, _), (rest, rest_labels) = networks.split(order, x, labels, first=7)
    assert first.shape == (3, 7, 1) and rest.shape == (3, 3, 1)
    assert np.sort(np.concatenate([first, rest], axis=1)[..., 0]).tolist() == [list(range(10))] * 3
    assert rest[..., 0].tolist() == rest_labels.tolist()


@pytest.mark.slow
def test_latents_are_those_of_the_library_and_the_last_network_has_learnt():
    _, (x, labels), params = networks.trained(jax.random.key(0), 2, 10)
    first, last = (jax.tree.map(lambda a, time=time: a[:, time], params) for time in (0, -1))
    for network in (first, last):
        expected = mlp_jax.forward_with_trace(jax.tree.map(lambda a: a[1], network), x[1])[1].h
        for h, h_of_library in zip(networks.latents(network, x), expected, strict=True):
            np.testing.assert_allclose(h[1], h_of_library, rtol=1e-4, atol=1e-4)
    untrained, trained = (
        probes.wrong(network[-1], networks.latents(network, x)[-1], labels) for network in (first, last)
    )
    assert (untrained > 0.7).all() and (trained < 0.1).all()


# ---- rank


def test_relative_singular_values():
    np.testing.assert_allclose(rank.spectrum(np.diag([1.0, 4.0, 2.0])), [1, 0.5, 0.25])


def test_probabilities_of_taylor_softmax_sum_to_1(rng):
    p = np.exp(rank.log_taylor_softmax(rng.standard_normal((5, 7))))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p > 0).all()


def test_the_rank_bound_holds_and_falls_if_probabilities_are_no_exponentials(monkeypatch):
    config = dataclasses.replace(rank.QUICK, widths=(3,), networks=1)
    assert fallen(rank, measured(rank, config)) == set()
    monkeypatch.setattr(rank, "log_softmax", rank.log_taylor_softmax)
    assert fallen(rank, measured(rank, config)) == {"rank", "rank_without_bias"}
    monkeypatch.setattr(rank, "log_taylor_softmax", lambda z: z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))
    assert fallen(rank, measured(rank, config)) >= {"taylor_softmax"}


# ---- random features


@pytest.mark.parametrize("features", [None, 12])
def test_least_squares_by_normal_equations_is_least_squares(rng, features):
    x, labels = rng.standard_normal((400, 10)).astype(np.float32), rng.integers(0, 10, 400)
    x[np.arange(400), labels] += 2
    R = None if features is None else rng.choice([-1.0, 1.0], (features, 10)).astype(np.float32)
    h = np.concatenate([x if R is None else np.hstack([x, np.maximum(x @ R.T, 0)]), np.ones((400, 1))], axis=1)
    weights = np.linalg.lstsq(h, 2.0 * np.eye(10)[labels] - 1, rcond=None)[0]
    expected = np.argmax(h @ weights, axis=1) != labels
    assert 0 < expected.mean() < 0.9
    raw = (lambda x: x) if R is None else partial(random_features.with_random_features, R)
    examples = mlp_jax.datasets.Examples(x, labels)
    (found,) = least_squares.wrong_images(raw, examples, examples)
    assert np.mean(found != expected) <= 0.01


@pytest.mark.slow
def test_random_features_stay_as_they_are():
    params = mlp_jax.init_params(jax.random.key(0), (4, 3, 2))
    x, labels = jnp.ones((5, 4)), jnp.arange(5) % 2
    stay, learn = (
        random_features.gradient_where_it_learns(learns, params, x, labels, mlp_jax.relu, mlp_jax.cross_entropy)[1]
        for learns in (jnp.array(0.0), jnp.array(1.0))
    )
    assert not stay[0].weight.any() and not stay[0].bias.any()
    assert stay[1].bias.any()
    assert learn[0].weight.any()


# ---- probes


@pytest.mark.slow
def test_a_probe_reads_off_what_is_linear_and_nothing_else(rng):
    labels = np.arange(400) % 10
    visible = np.eye(10)[labels] + 0.1 * rng.standard_normal((400, 10))
    h = np.float32(np.stack([visible, rng.standard_normal((400, 10))]))[None]
    config = dataclasses.replace(probes.QUICK, seeds=1, probe_epochs=20)
    data, held_out = (h[:, :, :300], labels[None, :300]), (h[:, :, 300:], labels[None, 300:])
    ((found, missed),) = probes.errors_of_probes(config, jax.random.key(0), data, held_out)
    assert found == 0
    assert missed > 0.7


# ---- same pixels


@pytest.mark.slow
def test_learnt_features_are_ahead_where_one_direction_matters(rng):
    x = np.float32(rng.standard_normal((3000, 20)))
    labels = (np.abs(x[:, 0]) > 0.7) * 1  # no linear function of the inputs
    train, test = (mlp_jax.datasets.Examples(x[part], labels[part]) for part in (slice(2000), slice(2000, 3000)))
    config = same_pixels.Config(widths=(8,), most=16, epochs=300)
    errors = same_pixels.errors_of(config, jax.random.key(0), train, test)
    assert [len(errors[name]) for name in same_pixels.MEASURED] == [2, 1, 1]
    assert errors["learnt"][0] < errors["random"][0] - 0.05
    assert errors["network"][0] == pytest.approx(errors["learnt"][0], abs=0.05)


def test_without_mnist_nothing_is_claimed_of_it():
    n = measured(same_pixels, same_pixels.QUICK)
    assert {one.verdict for one in claims.all_judged(same_pixels, n)} == {"not run"}
