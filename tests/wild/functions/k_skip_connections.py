import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss_and_gradients(params, x, labels):
    """in -> relu -> [relu block with skip] -> one logit per class, each with its own sigmoid (one against the rest)"""
    Win, bin_ = params[0]
    Wres, bres = params[1]
    Wout, bout = params[2]

    h = np.maximum(0, x @ Win + bin_)
    r = np.maximum(0, h @ Wres + bres)
    z = (h + r) @ Wout + bout
    p = sigmoid(z)
    t = (labels[:, None] == np.arange(z.shape[1])).astype(float)
    loss = np.mean(np.sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))), axis=1))

    dz = (p - t) / len(x)
    dWout = (h + r).T @ dz
    dbout = dz.sum(axis=0)

    dr = dz @ Wout.T
    dr = dr * (r > 0)
    dWres = h.T @ dr
    dbres = dr.sum(axis=0)

    dh = dr @ Wres.T
    dh = dh * (h > 0)
    dWin = x.T @ dh
    dbin = dh.sum(axis=0)

    return loss, (dWin, dbin, dWres, dbres, dWout, dbout)
