import numpy as np


def init(rng, n_in, n_hid, n_out):
    return {
        "W1": rng.normal(size=(n_in, n_hid)) / np.sqrt(n_in),
        "b1": np.zeros(n_hid),
        "W2": rng.normal(size=(n_hid, n_out)) / np.sqrt(n_hid),
        "b2": np.zeros(n_out),
    }


def compute(p, X, y, reg):
    # forward
    z1 = X.dot(p["W1"]) + p["b1"]
    a1 = np.tanh(z1)
    scores = a1.dot(p["W2"]) + p["b2"]
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    e = np.exp(shifted)
    probs = e / np.sum(e, axis=1, keepdims=True)

    N = X.shape[0]
    data_loss = -np.sum(np.log(probs[np.arange(N), y])) / N
    reg_loss = reg * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
    loss = data_loss + reg_loss

    # backward
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads["W2"] = a1.T.dot(dscores) + 2 * reg * p["W2"]
    grads["b2"] = dscores.sum(axis=0)
    da1 = dscores.dot(p["W2"].T)
    dz1 = da1 * (1 - a1 * a1)
    grads["W1"] = X.T.dot(dz1) + reg * p["W1"]
    grads["b1"] = dz1.sum(axis=0)
    return loss, grads


if __name__ == "__main__":
    rng = np.random.default_rng(9)
    X = rng.normal(size=(45, 6))
    y = rng.integers(0, 4, size=45)
    params = init(rng, 6, 9, 4)
    history = []
    for t in range(100):
        loss, grads = compute(params, X, y, reg=0.02)
        history.append(loss)
        for name in params:
            params[name] -= 0.2 * grads[name]
    print(history[0], "->", history[-1])
