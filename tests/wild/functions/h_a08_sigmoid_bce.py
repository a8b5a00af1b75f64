import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_and_gradients(params, x, y):
    W1, b1 = params["W1"], params["b1"]
    W2, b2 = params["W2"], params["b2"]
    W3, b3 = params["W3"], params["b3"]
    batch_size = x.shape[0]

    a1 = sigmoid(x @ W1 + b1)
    a2 = sigmoid(a1 @ W2 + b2)
    a3 = sigmoid(a2 @ W3 + b3)

    t = np.zeros((batch_size, a3.shape[1]))
    t[np.arange(batch_size), y] = 1
    loss = -np.sum(t * np.log(a3) + (1 - t) * np.log(1 - a3)) / batch_size

    delta3 = (a3 - t) / batch_size
    delta2 = (delta3 @ W3.T) * a2 * (1 - a2)
    delta1 = (delta2 @ W2) * a1 * (1 - a1)

    return loss, {
        "W1": x.T @ delta1, "b1": delta1.sum(axis=0),
        "W2": a1.T @ delta2, "b2": delta2.sum(axis=0),
        "W3": a2.T @ delta3, "b3": delta3.sum(axis=0),
    }
