import numpy as np


def loss_and_gradients(params, x, labels, reg=0.05):
    """Multiclass hinge loss (Weston-Watkins, margin 1) on an ELU net of two hidden layers.

    Returns the loss and a flat list [dW1, db1, dW2, db2, dW3, db3]."""
    elu = lambda t: np.where(t > 0, t, np.expm1(np.minimum(t, 0)))
    (W1, b1), (W2, b2), (W3, b3) = params
    num_train = x.shape[0]

    a1 = elu(x.dot(W1) + b1)
    a2 = elu(a1.dot(W2) + b2)
    scores = a2.dot(W3) + b3

    correct = scores[np.arange(num_train), labels]
    margins = np.maximum(0, scores - correct[:, np.newaxis] + 1.0)
    margins[np.arange(num_train), labels] = 0
    loss = np.sum(margins) / num_train + reg * sum(np.sum(W * W) for W, _ in params)

    dscores = np.zeros_like(scores)
    dscores[margins > 0] = 1
    dscores[np.arange(num_train), labels] -= np.sum(margins > 0, axis=1)
    dscores /= num_train

    # elu'(t) = 1 for t > 0, exp(t) = elu(t) + 1 otherwise
    d2 = dscores.dot(W3.T) * np.where(a2 > 0, 1, a2 + 1)
    d1 = d2.dot(W2.T) * np.where(a1 > 0, 1, a1 + 1)
    return loss, [x.T.dot(d1) + 2 * reg * W1, d1.sum(axis=0),
                  a1.T.dot(d2) + 2 * reg * W2, d2.sum(axis=0),
                  a2.T.dot(dscores) + 2 * reg * W3, dscores.sum(axis=0)]
