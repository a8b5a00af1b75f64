import numpy as np

rng = np.random.default_rng(21)

# two kinds of signal: slow and fast wave, length 16, float32
n = 96
kind = rng.integers(0, 2, n)
t = np.arange(16)
sig = np.sin(2*np.pi*t*(1 + 2*kind[:, None])/16 + rng.uniform(0, 6, (n, 1))) + 0.3*rng.normal(size=(n, 16))
sig = sig.astype(np.float32)
kind = kind.astype(np.float32)

w = 0.5*rng.normal(size=(6, 5)).astype(np.float32)     # 6 filters of width 5
c = np.zeros(6, dtype=np.float32)
v = 0.3*rng.normal(size=(6*6,)).astype(np.float32)
d = np.float32(0.0)


def net(sig, w, c, v, d):
    cols = np.stack([sig[:, i:i + 12] for i in range(5)], axis=-1)       # n, 12, 5
    z = cols @ w.T + c                                                   # n, 12, 6
    a = np.maximum(z, 0)
    pooled = a.reshape(len(sig), 6, 2, 6).mean(axis=2)                   # average pooling
    feat = pooled.reshape(len(sig), -1)
    prob = 1/(1 + np.exp(-(feat @ v + d)))
    return prob, (cols, z, feat)


def bce(prob, y):
    return -np.mean(y*np.log(prob) + (1 - y)*np.log(1 - prob))


def backprop(prob, y, saved, v):
    cols, z, feat = saved
    dout = (prob - y)/len(y)
    dv = feat.T @ dout
    dd = dout.sum()
    dpool = np.outer(dout, v).reshape(len(y), 6, 6)
    da = np.repeat(dpool, 2, axis=1)
    dz = da*(z > 0)
    dw = np.einsum('ntf,ntk->fk', dz, cols)
    dc = dz.sum(axis=(0, 1))
    return dw, dc, dv, dd


lr = 0.3
for epoch in range(31):
    order = rng.permutation(n)
    for i in range(0, n, 24):
        j = order[i:i + 24]
        prob, saved = net(sig[j], w, c, v, d)
        dw, dc, dv, dd = backprop(prob, kind[j], saved, v)
        w -= lr*dw
        c -= lr*dc
        v -= lr*dv
        d -= lr*dd
    lr *= 0.97
    if epoch % 10 == 0:
        prob, _ = net(sig, w, c, v, d)
        print(f'{epoch:3d}  loss {bce(prob, kind):.4f}  acc {np.mean((prob > 0.5) == kind):.3f}')
