import numpy as np


def grad_fn(params, x, y):
    (W1, b1), (W2, b2) = params
    B = x.shape[0]

    z1 = x @ W1 + b1
    h = np.tanh(z1)
    o = h @ W2 + b2
    e = np.exp(o - o.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    loss = np.mean(-np.log(p[np.arange(B), y]))

    do = p.copy()
    do[np.arange(B), y] -= 1
    do /= B
    dW2 = h.T @ do
    db2 = do.sum(axis=0)

    dz1 = (1 - h ** 2) * (do @ W2.T)
    dW1 = x.T @ dz1 / B
    db1 = dz1.sum(axis=0) / B

    return loss, dW1, db1, dW2, db2
