"""Least squares on MNIST: a linear classifier on given features, solved exactly."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import blas, solve

from experiments.tasks import as_drawn
from mlp_jax.datasets import Dataset, Examples

RIDGE = 1e-6  # of the mean diagonal of the normal equations


def on_used_pixels(dataset: Dataset) -> tuple[Examples, Examples]:
    """Return all 60,000 training images and the test images, on the pixels that 600 training images use, over 255."""
    parts = (dataset.train, dataset.validation, dataset.test)
    x, x_validation, x_test = (as_drawn(dataset, part) for part in parts)
    x = np.concatenate([x, x_validation])
    used = (np.rint(x) > 0).sum(axis=0) >= 600
    labels = np.concatenate([dataset.train.labels, dataset.validation.labels])
    return (
        Examples(np.asarray(x[:, used] / 255, np.float32), labels),
        Examples(np.asarray(x_test[:, used] / 255, np.float32), dataset.test.labels),
    )


def targets_of(labels: np.ndarray) -> np.ndarray:
    """Return a target of 1 for the class of each example, and -1 for the nine others."""
    return np.where(np.arange(10)[None, :] == labels[:, None], np.float32(1), np.float32(-1))


def wrong_images(
    features: Callable[[np.ndarray], np.ndarray], train: Examples, test: Examples, widths: tuple[int, ...] = ()
) -> np.ndarray:
    """Return which test images least squares gets wrong, on a constant and the first so many features (widths, N).

    Without widths it is solved once, on all features. The normal equations are summed up in float32, with centred
    features, and solved in float64.
    """
    mean = features(train.x[:2000]).mean(axis=0)  # any shift near the mean will do: the constant undoes it
    size = 1 + len(mean)
    gram, moments = np.zeros((size, size), np.float32, order="F"), np.zeros((size, 10))
    for part in np.array_split(np.arange(len(train.x)), 12):
        h = _with_constant(features(train.x[part]) - mean)
        gram = blas.ssyrk(1.0, h.T, beta=1.0, c=gram, overwrite_c=True)  # its upper triangle
        moments += h.T @ targets_of(train.labels[part])
    h_test = _with_constant(features(test.x) - mean)
    wrong = []
    for k in [1 + width for width in widths] or [size]:
        matrix = gram[:k, :k].astype(np.float64)
        matrix[np.diag_indices(k)] += RIDGE * np.trace(matrix) / k
        weights = solve(matrix, moments[:k], lower=False, assume_a="pos", overwrite_a=True)
        wrong.append(np.argmax(h_test[:, :k] @ weights, axis=1) != test.labels)
    return np.stack(wrong)


def _with_constant(h: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(h), 1), np.float32), h], axis=1)
