import numpy as np


def loss_and_gradients(params, x, labels, keep_prob=0.75):
    W1, b1, W2, b2, W3, b3 = [params[k] for k in ('W1', 'b1', 'W2', 'b2', 'W3', 'b3')]
    rng = np.random.RandomState(2024)      # same masks every call, so the cost can be compared between runs
    m = x.shape[0]

    Z1 = x @ W1 + b1
    A1 = np.maximum(Z1, 0)
    D1 = rng.rand(*A1.shape) < keep_prob
    A1 = A1 * D1 / keep_prob
    Z2 = A1 @ W2 + b2
    A2 = np.maximum(Z2, 0)
    D2 = rng.rand(*A2.shape) < keep_prob
    A2 = A2 * D2 / keep_prob
    Z3 = A2 @ W3 + b3
    Z3 = Z3 - np.max(Z3, axis=1, keepdims=True)
    A3 = np.exp(Z3) / np.sum(np.exp(Z3), axis=1, keepdims=True)
    cost = -np.mean(np.log(A3[np.arange(m), labels]))

    onehot = np.eye(A3.shape[1])[labels]
    dZ3 = (A3 - onehot) / m
    dW3 = A2.T @ dZ3
    db3 = np.sum(dZ3, axis=0)
    dA2 = dZ3 @ W3.T * D2
    dZ2 = dA2 * (Z2 > 0)
    dW2 = A1.T @ dZ2
    db2 = np.sum(dZ2, axis=0)
    dA1 = dZ2 @ W2.T * D1
    dZ1 = dA1 * (Z1 > 0)
    dW1 = x.T @ dZ1
    db1 = np.sum(dZ1, axis=0)
    return cost, {'W1': dW1, 'b1': db1, 'W2': dW2, 'b2': db2, 'W3': dW3, 'b3': db3}
