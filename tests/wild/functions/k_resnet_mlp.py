import numpy as np


def logsumexp(a):
    m = a.max(1, keepdims=True)
    return m + np.log(np.exp(a - m).sum(1, keepdims=True))


def loss_and_gradients(params, x, labels):
    # params = [stem, block1, block2, head], each (W, b). block: h + tanh(h W + b). Loss is summed over the batch.
    (Ws, bs), (Wa, ba), (Wb, bb), (Wh, bh) = params
    h0 = np.tanh(x @ Ws + bs)
    f1 = np.tanh(h0 @ Wa + ba)
    h1 = h0 + f1
    f2 = np.tanh(h1 @ Wb + bb)
    h2 = h1 + f2
    logits = h2 @ Wh + bh
    lp = logits - logsumexp(logits)
    loss = -lp[np.arange(x.shape[0]), labels].sum()

    g = np.exp(lp)
    g[np.arange(x.shape[0]), labels] -= 1
    gWh, gbh = h2.T @ g, g.sum(0)
    gh2 = g @ Wh.T
    gf2 = gh2 * (1 - f2 ** 2)
    gWb, gbb = h1.T @ gf2, gf2.sum(0)
    gh1 = gh2 + gf2 @ Wb.T
    gf1 = gh1 * (1 - f1 ** 2)
    gWa, gba = h0.T @ gf1, gf1.sum(0)
    gh0 = gh1 + gf1 @ Wa.T
    gs = gh0 * (1 - h0 ** 2)
    gWs, gbs = x.T @ gs, gs.sum(0)
    return loss, [(gWs, gbs), (gWa, gba), (gWb, gbb), (gWh, gbh)]
