# two hidden layers + linear readout, squared error. Written from the slides of lecture 5.
import numpy as np


def relu(z):
    return np.maximum(z, 0)


def relu_grad(z):
    return np.where(z > 0, 1, 0)


def nn_gradients(params, X, labels):
    W1, b1, W2, b2, W3, b3 = (params[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
    m = X.shape[0]
    z1 = X @ W1 + b1
    a1 = relu(z1)
    z2 = a1 @ W2 + b2
    a2 = relu(z2)
    yhat = a2 @ W3 + b3

    Y = np.eye(yhat.shape[1])[labels]
    J = 1 / (2 * m) * np.sum((yhat - Y) ** 2)

    d3 = (yhat - Y) / m
    d2 = (d3 @ W3.T) * relu_grad(z2)
    d1 = (d2 @ W2.T) * relu_grad(z1)

    grads = {}
    grads["dW3"] = a2.T @ d3
    grads["db3"] = np.sum(d3)
    grads["dW2"] = a1.T @ d2
    grads["db2"] = np.sum(d2)
    grads["dW1"] = X.T @ d1
    grads["db1"] = np.sum(d1)
    return J, grads
