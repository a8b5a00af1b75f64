import numpy as np


def loss_and_gradients(params, x, labels):
    h = [x]
    for W, b in params[:-1]:
        h.append(np.tanh(h[-1] @ W + b))
    W, b = params[-1]
    z = h[-1] @ W + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    B = len(x)
    loss = -np.mean(np.log(p[np.arange(B), labels]))
    delta = p.copy()
    delta[np.arange(B), labels] -= 1
    gradients = []
    for l in reversed(range(len(params))):
        gradients.insert(0, (h[l].T @ delta / B, delta.sum(axis=0) / B))
        delta = (delta @ params[l][0].T) * (1 - np.tanh(h[l]) ** 2)
    return loss, gradients
