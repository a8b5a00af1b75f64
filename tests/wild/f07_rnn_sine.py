"""
Predicting the next value of a noisy sine with a vanilla RNN.
Homework 5 -- no frameworks allowed.
"""
import numpy as np

rng = np.random.default_rng(42)
T = 6            # length of a window
H = 8            # hidden units


def make_windows(n=60):
    series = np.sin(np.arange(n + T + 1) * 0.35) + 0.05 * rng.standard_normal(n + T + 1)
    xs = [series[i:i + T] for i in range(n)]
    ys = [series[i + 1:i + T + 1] for i in range(n)]
    return np.array(xs), np.array(ys)


def init_params():
    return {
        "U": rng.standard_normal((H, 1)) * 0.5,
        "W": rng.standard_normal((H, H)) * 0.3,
        "V": rng.standard_normal((1, H)) * 0.5,
        "b": np.zeros((H, 1)),
        "c": np.zeros((1, 1)),
    }


def forward(p, x):
    s = {-1: np.zeros((H, 1))}
    o = {}
    for t in range(T):
        s[t] = np.tanh(p["U"] * x[t] + p["W"] @ s[t - 1] + p["b"])
        o[t] = p["V"] @ s[t] + p["c"]
    return s, o


def loss(p, x, y):
    _, o = forward(p, x)
    return 0.5 * sum(float((o[t][0, 0] - y[t]) ** 2) for t in range(T))


def bptt(p, x, y):
    s, o = forward(p, x)
    g = {k: np.zeros_like(v) for k, v in p.items()}
    ds_next = np.zeros((H, 1))
    for t in reversed(range(T - 1)):
        do = o[t] - y[t]
        g["V"] += do @ s[t].T
        g["c"] += do
        ds = p["V"].T @ do + ds_next
        dz = (1 - s[t] ** 2) * ds
        g["U"] += dz * x[t]
        g["W"] += dz @ s[t - 1].T
        g["b"] += dz
        ds_next = p["W"].T @ dz
    return g


def train(p, xs, ys, lr=0.02, epochs=20):
    for ep in range(epochs):
        for x, y in zip(xs, ys):
            grads = bptt(p, x, y)
            for k in p:
                p[k] -= lr * grads[k]
        if ep % 5 == 0 or ep == epochs - 1:
            print("epoch", ep, "loss", sum(loss(p, x, y) for x, y in zip(xs, ys)) / len(xs))


if __name__ == "__main__":
    xs, ys = make_windows()
    params = init_params()
    train(params, xs, ys)
