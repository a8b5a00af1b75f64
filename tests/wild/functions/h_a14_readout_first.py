"""value_and_grads for a relu net; the gradients come out in the order in which they are found,
from the readout down to the first layer, biases as rows (1, n)."""
import numpy as np


def value_and_grads(params, inputs, classes):
    n = inputs.shape[0]
    signals, z = [inputs], None
    for W, b in params:
        z = signals[-1] @ W + b
        signals.append(np.maximum(z, 0.0))

    # the last layer is linear
    top = z - z.max(axis=1, keepdims=True)
    prob = np.exp(top)
    prob /= prob.sum(axis=1, keepdims=True)
    value = -np.sum(np.log(prob[np.arange(n), classes])) / n

    back = prob
    back[np.arange(n), classes] -= 1.0
    back *= 1.0 / n

    out = []
    depth = len(params)
    while depth > 0:
        depth -= 1
        W, _ = params[depth]
        out.append((signals[depth].T @ back, back.sum(axis=0, keepdims=True)))
        back = (back @ W.T) * (signals[depth] > 0)
    return value, out
