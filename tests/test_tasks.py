"""The experiments' tasks: what they draw is what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import tasks
from mlp_jax import datasets


def test_parity_of_two_bits_is_exclusive_or():
    x, labels = tasks.parity(2)
    assert {(*map(int, row), int(label)) for row, label in zip(x, labels, strict=True)} == {
        (0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)
    }  # fmt: skip
    assert len(np.unique(tasks.parity(5)[0], axis=0)) == 32


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 2, 3, 8])
def test_sawtooth_is_linear_between_its_corners(pieces):
    corners = tasks.sawtooth(jnp.arange(pieces + 1) / pieces, pieces)
    np.testing.assert_allclose(corners, np.arange(pieces + 1) % 2, atol=1e-6)
    middles = tasks.sawtooth((jnp.arange(pieces) + 0.5) / pieces, pieces)
    np.testing.assert_allclose(middles, 0.5, atol=1e-6)


def test_spirals_wind_around_each_other():
    x, labels = tasks.spirals(np.random.default_rng(0), 1000, noise=0.0)
    radius, angle = np.linalg.norm(x, axis=1), np.arctan2(x[:, 1], x[:, 0])
    np.testing.assert_allclose(np.cos(angle), np.cos(3 * np.pi * radius + np.pi * labels), atol=1e-9)
    assert radius.max() <= 1 and np.bincount(labels).tolist() == [500, 500]


@pytest.mark.slow
def test_gaussian_classes_have_their_moments():
    means, scale = jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.array([[1.0, 0.0], [0.5, 0.5]])
    x, labels = tasks.gaussian_classes(jax.random.key(1), 40_000, means, scale, jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(jnp.mean(labels), 0.75, atol=0.01)
    for label in (0, 1):
        drawn = np.asarray(x)[np.asarray(labels) == label]
        np.testing.assert_allclose(drawn.mean(axis=0), means[label], atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), scale @ scale.T, atol=0.05)


def test_scaling_is_undone():
    digits = datasets.load_digits()
    raw = tasks.as_drawn(digits, digits.train)
    np.testing.assert_allclose(raw, np.round(raw), atol=1e-5)
    assert raw.min() > -1e-5 and raw.max() < 16 + 1e-5


def test_without_mnist_there_is_a_reason_and_a_cure(monkeypatch):
    assert tasks.mnist_or_reason(False) == (None, "a quick run does without MNIST: run without --quick")

    def no_network():
        raise ConnectionError("no mirror")

    monkeypatch.setattr(tasks.datasets, "load_mnist", no_network)
    dataset, reason = tasks.mnist_or_reason(True)
    assert dataset is None and "no mirror" in reason and "MLP_JAX_DATA" in reason
