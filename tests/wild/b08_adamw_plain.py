import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


params = {"W1": rng.normal(size=(3, 8)) * 0.5, "b1": np.zeros(8), "W2": rng.normal(size=(8, 1)) * 0.5, "b2": np.zeros(1)}
m = {k: np.zeros_like(v) for k, v in params.items()}
v = {k: np.zeros_like(p) for k, p in params.items()}
lr, beta1, beta2, eps, wd = 0.01, 0.9, 0.999, 1e-8, 0.01
t = 0
for epoch in range(200):
    t += 1
    h = np.maximum(0, X @ params["W1"] + params["b1"])
    p = sigmoid(h @ params["W2"] + params["b2"])
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / len(X)
    dh = d @ params["W2"].T * (h > 0)
    grads = {"W1": X.T @ dh, "b1": dh.sum(0), "W2": h.T @ d, "b2": d.sum(0)}
    for k in params:
        m[k] = beta1 * m[k] + (1 - beta1) * grads[k]
        v[k] = beta2 * v[k] + (1 - beta2) * grads[k] ** 2
        mhat, vhat = m[k] / (1 - beta1 ** t), v[k] / (1 - beta2 ** t)
        params[k] -= lr * (mhat / (np.sqrt(vhat) + eps) + wd * params[k])
print(loss)
