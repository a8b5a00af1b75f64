"""Gradient of the quadratic cost C = 1/(2n) * sum_x ||a(x) - y||^2 for a net of sigmoids."""
import numpy as np

LOSS = "squared_error"


def sigma(z):
    return 1.0 / (1.0 + np.exp(-z))


def compute_gradients(params, x, labels):
    n = x.shape[0]
    a = [x]
    for W, b in params:
        a.append(sigma(a[-1] @ W + b))

    y = np.zeros_like(a[-1])
    y[np.arange(n), labels] = 1

    grads = {}
    # equation (BP1)
    delta = (a[-1] - y) * a[-1] * (1 - a[-1])
    for l in range(len(params), 0, -1):
        # (BP3), (BP4)
        grads["db%d" % l] = delta.sum(axis=0) / n
        grads["dW%d" % l] = a[l - 1].T @ delta / n
        if l > 1:
            # (BP2)
            W = params[l - 1][0]
            delta = (delta @ W.T) * a[l - 1] * (1 - a[l - 1])
    return grads
