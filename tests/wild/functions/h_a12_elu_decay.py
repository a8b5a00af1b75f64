import numpy as np

WEIGHT_DECAY = 0.05


def elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def elu_slope(z):
    return np.where(z > 0, 1.0, np.exp(np.minimum(z, 0)))


def cross_entropy(logits, labels):
    """Mean negative log likelihood and its derivative by the logits."""
    n = logits.shape[0]
    m = logits.max(axis=1, keepdims=True)
    lse = m + np.log(np.exp(logits - m).sum(axis=1, keepdims=True))
    value = float(np.mean(lse[:, 0] - logits[np.arange(n), labels]))
    slope = np.exp(logits - lse)
    slope[np.arange(n), labels] -= 1
    return value, slope / n


def loss_and_gradients(params, x, labels):
    h, tape = x, []
    for W, b in params[:-1]:
        z = h @ W + b
        tape.append((h, z))
        h = elu(z)
    W_out, b_out = params[-1]
    data_loss, d = cross_entropy(h @ W_out + b_out, labels)
    penalty = WEIGHT_DECAY * sum(np.sum(W * W) for W, _ in params)

    grads = [(h.T @ d + WEIGHT_DECAY * W_out, d.sum(axis=0))]
    upstream = d @ W_out.T
    for (W, b), (h_in, z) in zip(reversed(params[:-1]), reversed(tape)):
        d = upstream * elu_slope(z)
        grads.append((h_in.T @ d + WEIGHT_DECAY * W, d.sum(axis=0)))
        upstream = d @ W.T
    return data_loss + penalty, grads[::-1]
