"""Linear autoencoder with tied weights: code = X W, reconstruction = code W^T. One matrix, no biases, no targets."""
import numpy as np


def loss_and_gradients(W, X):
    n = X.shape[0]
    code = X @ W
    recon = code @ W.T
    diff = recon - X
    loss = np.sum(diff * diff) / (2 * n)

    d_recon = diff / n
    d_code = d_recon @ W
    dW = X.T @ d_code
    return loss, dW


rng = np.random.default_rng(7)
POINT = (rng.standard_normal((6, 3)) * 0.5, rng.standard_normal((10, 6)))
