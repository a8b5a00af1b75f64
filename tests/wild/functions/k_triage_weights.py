import numpy as np


def compute_loss_and_grads(params, x, labels):
    '''
    Three-way triage (green, yellow, red). Missing a red is worse, so examples are weighted,
    and the loss is the weighted average of the log losses.
    '''
    cost_of_class = np.array([1., 2., 6.])
    W1, b1 = params["W1"], params["b1"]
    W2, b2 = params["W2"], params["b2"]
    n = labels.shape[0]

    hid = np.tanh(x @ W1 + b1)
    score = hid @ W2 + b2
    score = score - score.max(axis=1, keepdims=True)
    expo = np.exp(score)
    prob = expo / expo.sum(axis=1, keepdims=True)

    weight = cost_of_class[labels]
    logloss = -np.log(prob[np.arange(n), labels])
    loss = np.average(logloss, weights=weight)

    target = np.zeros(prob.shape)
    target[np.arange(n), labels] = 1
    d_score = weight[:, None] * (prob - target) / n
    d_W2 = hid.T @ d_score
    d_b2 = d_score.sum(axis=0)
    d_hid = (d_score @ W2.T) * (1 - hid * hid)
    d_W1 = x.T @ d_hid
    d_b1 = d_hid.sum(axis=0)
    return loss, {"W1": d_W1, "b1": d_b1, "W2": d_W2, "b2": d_b2}
