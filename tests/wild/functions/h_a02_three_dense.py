# 3-layer fully connected classifier, gradients derived on paper (see notebook p. 14)
import numpy as np


def relu_mask(z):
    return (z > 0).astype(z.dtype)


def loss_and_gradients(p, X, y):
    N = len(y)

    # ---- forward
    Z1 = X.dot(p["W1"]) + p["b1"]
    H1 = np.maximum(0, Z1)
    Z2 = H1.dot(p["W2"]) + p["b2"]
    H2 = np.maximum(0, Z2)
    scores = H2.dot(p["W3"]) + p["b3"]

    scores = scores - np.max(scores, axis=1, keepdims=True)
    log_norm = np.log(np.sum(np.exp(scores), axis=1))
    loss = np.mean(log_norm - scores[range(N), y])

    # ---- backward
    dscores = np.exp(scores - log_norm[:, None])
    dscores[range(N), y] -= 1.0
    dscores = dscores / N

    dW3 = H2.T.dot(dscores)
    db3 = dscores.sum(0)
    dH2 = dscores.dot(p["W3"].T)
    dZ2 = dH2 * relu_mask(Z1)
    dW2 = H1.T.dot(dZ2)
    db2 = dZ2.sum(0)
    dH1 = dZ2.dot(p["W2"].T)
    dZ1 = dH1 * relu_mask(Z1)
    dW1 = X.T.dot(dZ1)
    db1 = dZ1.sum(0)

    return loss, {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}
