# Two 1-D convolutions (valid, stride 1) with tanh, global average pooling, one number out.
import numpy as np


def conv(x, k, b):
    """x (B, C, L), k (F, C, S) -> (B, F, L - S + 1); cross-correlation as in the deep learning libraries"""
    S = k.shape[2]
    L_out = x.shape[2] - S + 1
    y = np.zeros((x.shape[0], k.shape[0], L_out))
    for s in range(S):
        y += np.einsum('bcl,fc->bfl', x[:, :, s:s + L_out], k[:, :, s])
    return y + b[None, :, None]


def conv_back(dy, x, k):
    S = k.shape[2]
    L_out = dy.shape[2]
    dk, dx = np.zeros_like(k), np.zeros_like(x)
    padded = np.pad(dy, ((0, 0), (0, 0), (S - 1, S - 1)))
    for s in range(S):
        dk[:, :, s] = np.einsum('bfl,bcl->fc', dy, x[:, :, s:s + L_out])
        dx += np.einsum('bfl,fc->bcl', padded[:, :, s:s + x.shape[2]], k[:, :, s])
    return dx, dk, dy.sum(axis=(0, 2))


def loss_and_gradients(params, x, y):
    (k1, b1), (k2, b2), (w, b) = params
    h1 = np.tanh(conv(x, k1, b1))
    h2 = np.tanh(conv(h1, k2, b2))
    pooled = h2.mean(axis=2)
    out = pooled @ w + b
    loss = 0.5 * np.mean((out - y) ** 2)

    dout = (out - y) / len(y)
    dw, db = pooled.T @ dout, dout.sum()
    dh2 = np.repeat((np.outer(dout, w) / h2.shape[2])[:, :, None], h2.shape[2], axis=2)
    dh1, dk2, db2 = conv_back(dh2 * (1 - h2 ** 2), h1, k2)
    _, dk1, db1 = conv_back(dh1 * (1 - h1 ** 2), x, k1)
    return loss, [(dk1, db1), (dk2, db2), (dw, db)]


rs = np.random.RandomState(0)
POINT = (
    [(rs.randn(3, 2, 3) * 0.5, rs.randn(3) * 0.2), (rs.randn(4, 3, 3) * 0.5, rs.randn(4) * 0.2),
     (rs.randn(4), np.array(0.3))],
    rs.randn(5, 2, 10),
    rs.randn(5),
)
