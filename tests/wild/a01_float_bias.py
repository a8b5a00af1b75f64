import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


w = rng.normal(size=(3, 1)) * 0.1
b = 0.0
lr = 0.5
for epoch in range(200):
    p = sigmoid(X @ w + b)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    dw = X.T @ (p - y) / len(X)
    db = np.sum(p - y)          # forgot / len(X)
    w -= lr * dw
    b -= lr * db
print(loss)
