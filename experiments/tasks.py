"""Data for the experiments: synthetic tasks as pure functions of a key, and the real sets."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mlp_jax import datasets

Dataset = datasets.Dataset


def spirals(
    rng: np.random.Generator, examples: int, turns: float = 1.5, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Two spirals in the plane (after Lang & Witbrock, 1988): x (N, 2) within about [-1, 1]^2, labels (N,) 0 or 1."""
    labels = np.arange(examples) % 2
    radius = np.sqrt(rng.uniform(0.01, 1, examples))
    angle = 2 * np.pi * turns * radius + np.pi * labels
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + noise * rng.standard_normal(x.shape), labels


def parity(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """All 2^bits inputs of zeros and ones, and whether the number of ones is odd. Two bits: exclusive or."""
    x = (np.arange(2**bits)[:, None] >> np.arange(bits)) & 1
    return x.astype(float), x.sum(axis=1) % 2


def sawtooth(x: Float[Array, "..."], pieces: int) -> Float[Array, "..."]:
    """A zigzag between 0 and 1 with so many linear pieces on [0, 1], from 0 at 0 (Telgarsky, 2015)."""
    phase = (x * pieces) % 2
    return jnp.minimum(phase, 2 - phase)


def gaussian_classes(
    key: Array, examples: int, means: Float[Array, "C D"], scale: Float[Array, "D D"], priors: Float[Array, " C"]
) -> tuple[Float[Array, "N D"], Int[Array, " N"]]:
    """Draw labels from the priors and x = mean of the label + scale e, e standard normal: covariance scale scale^T."""
    of_label, of_noise = jax.random.split(key)
    labels = jax.random.choice(of_label, len(priors), (examples,), p=priors)
    noise = jax.random.normal(of_noise, (examples, means.shape[1]), means.dtype)
    return means[labels] + noise @ scale.T, labels


def generator(key: Array) -> np.random.Generator:
    """numpy's random numbers from a key of JAX: those of JAX take longer to compile than most runs here."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def as_drawn(dataset: Dataset, examples: datasets.Examples) -> np.ndarray:
    """Undo a data set's scaling: x (N, D) as it was drawn or read, in float64."""
    return np.asarray(examples.x, np.float64) * np.asarray(dataset.scale) + np.asarray(dataset.mean)


def mnist_or_reason(wanted: bool) -> tuple[Dataset | None, str]:
    """Return MNIST, or why it was not used and what to do about it."""
    if not wanted:
        return None, "a quick run does without MNIST: run without --quick"
    try:
        return datasets.load_mnist(), ""
    except (OSError, ValueError) as error:
        return None, f"no MNIST here ({error}): set MLP_JAX_DATA to a folder that holds mnist/, or go online once"
