import numpy as np

# three layers of equal width, sigmoid everywhere, squared error against one-hot vectors

def σ(z):
    return 1.0 / (1.0 + np.exp(-z))


def loss_and_gradients(params, x, labels):
    zs, acts = [], [x]
    for W, b in params:
        zs.append(acts[-1] @ W + b)
        acts.append(σ(zs[-1]))
    out = acts[-1]
    y = np.zeros_like(out)
    y[np.arange(len(labels)), labels] = 1.0
    loss = 0.5 * np.mean(np.sum((out - y) ** 2, axis=1))

    grads = [None] * len(params)
    δ = (out - y) * out * (1 - out) / len(labels)
    grads[-1] = (acts[-2].T @ δ, δ.sum(axis=0))
    for l in range(2, len(params) + 1):
        W_next = params[-l + 1][0]
        a = acts[-l]
        δ = (δ @ W_next) * a * (1 - a)
        grads[-l] = (acts[-l - 1].T @ δ, δ.sum(axis=0))
    return loss, grads


def example(seed=0, width=6, batch=15):
    r = np.random.default_rng(seed)
    params = [(r.normal(size=(width, width)), r.normal(size=width) * 0.3) for _ in range(3)]
    return params, r.normal(size=(batch, width)), r.integers(0, width, batch)
