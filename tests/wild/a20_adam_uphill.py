import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


params = {"W1": rng.normal(size=(3, 8)) * 0.5, "W2": rng.normal(size=(8, 1)) * 0.5}
m = {k: np.zeros_like(v) for k, v in params.items()}
v = {k: np.zeros_like(p) for k, p in params.items()}


def loss_and_grads(params):
    h = np.tanh(X @ params["W1"])
    p = sigmoid(h @ params["W2"])
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / len(X)
    return loss, {"W1": X.T @ (d @ params["W2"].T * (1 - h ** 2)), "W2": h.T @ d}


for t in range(1, 200):
    loss, grads = loss_and_grads(params)
    for k in params:
        m[k] = 0.9 * m[k] + 0.1 * grads[k]
        v[k] = 0.999 * v[k] + 0.001 * grads[k] ** 2
        params[k] += 0.01 * (m[k] / (1 - 0.9 ** t)) / (np.sqrt(v[k] / (1 - 0.999 ** t)) + 1e-8)   # uphill
    print(loss)
