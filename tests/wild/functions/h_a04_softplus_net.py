import numpy as np


def softplus(t):
    return np.logaddexp(0.0, t)


def softplus_prime(t):
    return 1.0 / (1.0 + np.exp(-t))


def backprop(layers, batch, targets):
    # forward: remember what goes in and the preactivation of every layer
    ins, pre = [], []
    h = batch
    for k, (W, b) in enumerate(layers):
        ins.append(h)
        pre.append(h @ W + b)
        h = softplus(pre[-1]) if k + 1 < len(layers) else pre[-1]

    shifted = h - h.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.arange(len(targets))
    nll = -np.mean(logp[rows, targets])

    err = np.exp(logp)
    err[rows, targets] -= 1
    err = err / len(targets)

    grads = []
    for k in range(len(layers))[::-1]:
        grads.insert(0, (ins[k].T @ err, err.sum(0)))
        if k:
            err = err @ layers[k][0].T * softplus_prime(pre[k - 1])
    return grads, nll
