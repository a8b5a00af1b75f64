# Fitting y = sin(3x) + x/2 with one hidden layer and Adam.
# Post on my blog: "Adam in 15 lines"
import numpy as np


class Adam:
    def __init__(self, params, lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.b1, self.b2, self.eps = lr, beta1, beta2, eps
        self.m = {k: np.zeros_like(p) for k, p in params.items()}
        self.v = {k: np.zeros_like(p) for k, p in params.items()}
        self.t = 0

    def step(self, params, grads):
        self.t += 1
        for k in params:
            self.m[k] = self.b1 * self.m[k] + (1 - self.b1) * grads[k]
            self.v[k] = self.b2 * self.v[k] + (1 - self.b2) * grads[k] ** 2
            mhat = self.m[k] / (1 - self.b1 ** self.t)
            vhat = self.v[k] / (1 - self.b2 ** self.t)
            params[k] -= self.lr * mhat / (np.sqrt(vhat) + self.eps)


def forward(params, x):
    h = np.tanh(x @ params["W1"] + params["b1"])
    return h @ params["W2"] + params["b2"], h


def mse(pred, y):
    return np.mean((pred - y) ** 2)


def backward(params, x, y, pred, h):
    n = x.shape[0]
    d_pred = 2.0 * (pred - y) / n
    d_h = (d_pred @ params["W2"].T) * (1.0 - h ** 2)
    return {
        "W2": h.T @ d_pred / n,
        "b2": d_pred.sum(axis=0) / n,
        "W1": x.T @ d_h / n,
        "b1": d_h.sum(axis=0) / n,
    }


def setup():
    rng = np.random.RandomState(7)
    x = np.linspace(-2, 2, 64).reshape(-1, 1)
    y = np.sin(3 * x) + 0.5 * x + 0.05 * rng.randn(64, 1)
    params = {
        "W1": rng.randn(1, 20),
        "b1": rng.randn(20) * 0.1,
        "W2": rng.randn(20, 1) / np.sqrt(20),
        "b2": np.zeros(1),
    }
    return x, y, params


if __name__ == "__main__":
    x, y, params = setup()
    opt = Adam(params)
    for it in range(1001):
        pred, h = forward(params, x)
        if it % 100 == 0:
            print(it, "mse =", round(mse(pred, y), 5))
        opt.step(params, backward(params, x, y, pred, h))
