import numpy as np


def one_step(x, h, Wxh, Whh, bh):
    return np.tanh(x @ Wxh + h @ Whh + bh)


def loss_and_gradients(params, xs, ys, mask):
    """
    Vanilla RNN over a padded batch, back-propagation through time.
    xs: (T, B, V) one-hot inputs    ys: (T, B) next character    mask: (T, B), 1 for real characters
    params: [[Wxh, Whh, bh], [Why, by]]
    """
    (Wxh, Whh, bh), (Why, by) = params
    T, B = ys.shape
    count = mask.sum()
    hs = {-1: np.zeros((B, Whh.shape[0]))}
    ps = {}
    loss = 0.0
    for t in range(T):
        hs[t] = one_step(xs[t], hs[t - 1], Wxh, Whh, bh)
        scores = hs[t] @ Why + by
        ps[t] = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
        loss -= np.sum(mask[t] * np.log(ps[t][np.arange(B), ys[t]])) / count

    dWxh, dWhh, dbh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(bh)
    dWhy, dby = np.zeros_like(Why), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        dy = np.copy(ps[t])
        dy[np.arange(B), ys[t]] -= 1
        dy *= mask[t][:, None] / count
        dWhy += hs[t].T @ dy
        dby += dy.sum(axis=0)
        dh = dy @ Why.T + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw.sum(axis=0)
        dWxh += xs[t].T @ dhraw
        dWhh += hs[t - 1].T @ dhraw
        dhnext = dhraw @ Whh.T
    return loss, [[dWxh, dWhh, dbh], [dWhy, dby]]


np.random.seed(3)
_V, _H, _T, _B = 5, 6, 7, 3
_tokens = np.random.randint(0, _V, (_T + 1, _B))
_len = np.array([7, 4, 6])
POINT = (
    [[np.random.randn(_V, _H) * 0.5, np.random.randn(_H, _H) * 0.4, np.random.randn(_H) * 0.2],
     [np.random.randn(_H, _V) * 0.5, np.random.randn(_V) * 0.2]],
    np.eye(_V)[_tokens[:-1]],
    _tokens[1:],
    (np.arange(_T)[:, None] < _len[None, :]).astype(float),
)
