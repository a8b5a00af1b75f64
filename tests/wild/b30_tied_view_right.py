import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


We = rng.normal(size=(3, 2)) * 0.5
Wd = We.T
lr = 0.05
for epoch in range(200):
    h = np.tanh(X @ We)
    out = h @ Wd
    loss = np.mean((out - X) ** 2)
    d = 2 * (out - X) / X.size
    dWe = X.T @ (d @ Wd.T * (1 - h ** 2)) + d.T @ h
    We -= lr * dWe
print(loss)
