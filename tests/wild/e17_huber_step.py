"""Purely functional: no argument is changed. The target is one real number per row, Huber loss."""
from typing import NamedTuple

import numpy as np

DELTA = 1.0


class Params(NamedTuple):
    w_hidden: np.ndarray      # (D, H)
    b_hidden: np.ndarray      # (H,)
    w_out: np.ndarray         # (H,)
    b_out: float


def predict(params, x):
    return np.tanh(x @ params.w_hidden + params.b_hidden) @ params.w_out + params.b_out


def huber(params, x, y):
    r = np.abs(predict(params, x) - y)
    return np.mean(np.where(r <= DELTA, 0.5 * r ** 2, DELTA * (r - 0.5 * DELTA)))


def step(params, x, y, lr):
    hidden = np.tanh(x @ params.w_hidden + params.b_hidden)
    residual = hidden @ params.w_out + params.b_out - y
    d_pred = np.clip(residual, -DELTA, DELTA) / y.shape[0]
    d_pre = d_pred[:, None] * params.w_out[None, :] * (1 - hidden ** 2)
    return Params(
        w_hidden=params.w_hidden - lr * (x.T @ d_pre),
        b_hidden=params.b_hidden - lr * d_pre.sum(axis=0),
        w_out=params.w_out - lr * (hidden.T @ d_pred),
        b_out=params.b_out - lr * d_pred.sum(),
    )

rng = np.random.default_rng(0)
x, y = rng.standard_normal((8, 4)), rng.standard_normal(8)
params = Params(*map(rng.standard_normal, [(4, 5), (5,), (5,), ()]))
for _ in range(3):
    loss = huber(params, x, y)
    params = step(params, x, y, 0.1)
