"""Skip-gram with negative sampling. The params hold two embedding tables, looked up by word ids."""
import numpy as np


def sigmoid(s):
    return 1.0 / (1.0 + np.exp(-s))


def loss_and_gradients(params, center, context, negatives):
    """center, context: (B,) ids; negatives: (B, K) ids."""
    E_in, E_out = params["in"], params["out"]
    B = len(center)
    vc = E_in[center]                        # (B, d)
    vo = E_out[context]                      # (B, d)
    vn = E_out[negatives]                    # (B, K, d)

    pos = sigmoid(np.sum(vc * vo, axis=1))
    neg = sigmoid(-np.einsum("bd,bkd->bk", vc, vn))
    loss = -(np.log(pos).sum() + np.log(neg).sum()) / B

    g_pos = (pos - 1) / B                    # d loss / d (vc . vo)
    g_neg = (1 - neg) / B                    # d loss / d (vc . vn)

    d_in = np.zeros_like(E_in)
    d_out = np.zeros_like(E_out)
    d_in[center] += g_pos[:, None] * vo + np.einsum("bk,bkd->bd", g_neg, vn)
    d_out[context] += g_pos[:, None] * vc
    d_out[negatives] += g_neg[:, :, None] * vc[:, None, :]
    return loss, {"in": d_in, "out": d_out}


_g = np.random.default_rng(1)
POINT = (
    {"in": _g.normal(size=(9, 4)) * 0.7, "out": _g.normal(size=(9, 4)) * 0.7},
    np.array([1, 3, 3, 0, 5, 8, 1]),
    np.array([2, 4, 2, 1, 6, 7, 0]),
    _g.integers(0, 9, size=(7, 3)),
)
