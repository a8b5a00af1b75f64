import numpy as np


def init_params(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {"W": np.asarray(rng.normal(size=(n, m)) / np.sqrt(m)), "b": np.zeros((n, 1))}
        for m, n in zip(sizes[:-1], sizes[1:])
    ]


def forward(params, x):
    acts = [x]
    for p in params[:-1]:
        acts.append(np.tanh(p["W"] @ acts[-1] + p["b"]))
    acts.append(params[-1]["W"] @ acts[-1] + params[-1]["b"])
    return acts


def mse(out, t):
    return np.sum((out - t) ** 2) / (2 * t.shape[1])


def backward(params, acts, t):
    n_layers = len(params)
    grads = [{"W": np.zeros_like(p["W"]), "b": np.zeros_like(p["b"])} for p in params]
    delta = (acts[-1] - t) / t.shape[1]
    for i in range(n_layers - 1, 0, -1):
        grads[i]["W"] = delta @ acts[i].T
        grads[i]["b"] = delta.sum(axis=1, keepdims=True)
        delta = (params[i]["W"].T @ delta) * (1 - acts[i] ** 2)
    return grads


rng = np.random.default_rng(1)
x = np.asarray(rng.uniform(-1, 1, size=(2, 25)))
t = np.vstack([x[0] * x[1], x[0] - x[1]])
params = init_params([2, 6, 4, 2])
lr = 0.2
for epoch in range(10):
    acts = forward(params, x)
    loss = mse(acts[-1], t)
    grads = backward(params, acts, t)
    params = [{k: p[k] - lr * g[k] for k in p} for p, g in zip(params, grads)]
    print(epoch, float(loss))
