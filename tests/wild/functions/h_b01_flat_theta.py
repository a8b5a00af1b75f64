"""
One-output network for a regression, all the weights in one flat vector theta
(so that it can be handed to an optimiser such as L-BFGS).
"""
import numpy as np

D, H = 4, 5
SIZE = H * D + H + H + 1


def unroll(theta):
    k = H * D
    return theta[:k].reshape(H, D), theta[k:k + H], theta[k + H:k + 2 * H], theta[-1]


def loss_and_gradients(theta, X, target, weight):
    """Weighted mean of squared errors; `weight` is one non-negative number per row."""
    V, c, w, c0 = unroll(theta)
    hidden = np.tanh(X @ V.T + c)
    pred = hidden @ w + c0
    resid = pred - target
    total = weight.sum()
    loss = 0.5 * np.sum(weight * resid ** 2) / total

    r = weight * resid / total
    back = np.outer(r, w) * (1 - hidden ** 2)
    grad = np.concatenate([(back.T @ X).ravel(), back.sum(axis=0), hidden.T @ r, [r.sum()]])
    return loss, grad


_rng = np.random.RandomState(12)
POINT = (
    0.6 * _rng.randn(SIZE),
    _rng.randn(9, D),
    _rng.randn(9) * 2 + 1,
    _rng.rand(9) + 0.1,
)
