# Brier score = squared distance between softmax probabilities and the one-hot label, averaged over the batch
import numpy as np

PARAMS = "dict"


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def softmax(z):
    ez = np.exp(z - z.max(axis=1, keepdims=True))
    return ez / ez.sum(axis=1, keepdims=True)


def loss_and_gradients(params, x, labels):
    N = x.shape[0]
    h = sigmoid(x @ params["W1"] + params["b1"])
    p = softmax(h @ params["W2"] + params["b2"])
    t = np.zeros_like(p)
    t[np.arange(N), labels] = 1
    loss = np.sum((p - t) ** 2) / N

    dp = 2 * (p - t) / N
    dz2 = dp * p * (1 - p)            # through the softmax
    dh = dz2 @ params["W2"].T
    dz1 = dh * h * (1 - h)            # through the sigmoid

    grads = {}
    grads["W2"] = h.T @ dz2
    grads["b2"] = dz2.sum(axis=0)
    grads["W1"] = x.T @ dz1
    grads["b1"] = dz1.sum(axis=0)
    return loss, grads
