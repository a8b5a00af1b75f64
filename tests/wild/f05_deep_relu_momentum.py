#!/usr/bin/env python3
import numpy as np

SIZES = [8, 24, 16, 12, 4]
LR, MU, BATCH, EPOCHS = 0.05, 0.9, 32, 30


def make_spirals(n, k, dim, rng):
    """k noisy classes living on random directions of a dim-dimensional space"""
    centers = rng.normal(size=(k, dim))
    labels = rng.integers(0, k, size=n)
    return centers[labels] + 0.7 * rng.normal(size=(n, dim)), labels


def init(rng):
    params = []
    for fan_in, fan_out in zip(SIZES[:-1], SIZES[1:]):
        params.append([rng.normal(size=(fan_in, fan_out)) * np.sqrt(2.0 / fan_in),
                       np.zeros(fan_out)])
    return params


def loss_and_grads(params, x, labels):
    acts = [x]
    for i, (w, b) in enumerate(params):
        z = acts[-1] @ w + b
        acts.append(z if i == len(params) - 1 else np.maximum(z, 0))

    logits = acts[-1] - acts[-1].max(axis=1, keepdims=True)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(len(x))
    loss = -logp[rows, labels].mean()

    g = np.exp(logp)
    g[rows, labels] -= 1.0
    g /= len(x)
    grads = [None] * len(params)
    for i in range(len(params) - 1, -1, -1):
        grads[i] = [acts[i].T @ g, g.sum(axis=0)]
        if i > 0:
            g = g @ params[i][0].T
            g[acts[i] <= 0] = 0.0
    return loss, grads


def main():
    rng = np.random.default_rng(0)
    x, labels = make_spirals(320, SIZES[-1], SIZES[0], rng)
    params = init(rng)
    vel = [[np.zeros_like(w), np.zeros_like(b)] for w, b in params]
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x))
        total = 0.0
        for s in range(0, len(x), BATCH):
            idx = order[s:s + BATCH]
            loss, grads = loss_and_grads(params, x[idx], labels[idx])
            total += loss * len(idx)
            for layer, v, g in zip(params, vel, grads):
                for j in (0, 1):
                    v[j] = MU * v[j] - LR * g[j]
                    layer[j] += v[j]
        if epoch % 5 == 0:
            print(f"epoch {epoch:2d}  loss {total / len(x):.4f}")
    print(f"final loss {total / len(x):.4f}")


if __name__ == "__main__":
    main()
