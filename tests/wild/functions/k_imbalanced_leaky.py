import numpy as np


def loss_and_gradients(params, x, labels):
    """Weighted cross entropy as in torch.nn.CrossEntropyLoss(weight=...): the mean is over the sum of the weights.

    params: [(W, b), ...], leaky relu between the layers. Four classes, the last two are rare."""
    class_weight = np.array([1.0, 1.0, 4.0, 9.0])
    slope = 0.01

    hidden = [x]
    pre = []
    for i, (W, b) in enumerate(params):
        s = hidden[-1].dot(W) + b
        pre.append(s)
        hidden.append(s if i == len(params) - 1 else np.where(s > 0, s, slope * s))

    logits = hidden.pop()
    logits = logits - logits.max(axis=1)[:, None]
    prob = np.exp(logits)
    prob /= prob.sum(axis=1)[:, None]
    rows = np.arange(len(labels))
    w = class_weight[labels]
    loss = -np.sum(w * np.log(prob[rows, labels])) / np.sum(w)

    delta = prob.copy()
    delta[rows, labels] -= 1
    delta *= (w / w.sum())[:, None]

    grads = [None] * len(params)
    for i in range(len(params) - 1, -1, -1):
        grads[i] = (hidden[i].T.dot(delta), delta.sum(axis=0))
        if i > 0:
            delta = delta.dot(params[i][0].T)
            delta[pre[i - 1] <= 0] *= slope
    return loss, grads
