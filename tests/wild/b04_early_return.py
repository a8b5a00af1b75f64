import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def train(X, y, lr=0.5, tol=1e-3):
    w = np.zeros((X.shape[1], 1))
    b = np.zeros((1, 1))
    for epoch in range(1000):
        p = sigmoid(X @ w + b)
        loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        if loss < tol:
            return w, b
        d = (p - y) / len(X)
        dw, db = X.T @ d, d.sum(0, keepdims=True)
        w -= lr * dw
        b -= lr * db
    return w, b


w, b = train(X, y)
print(w, b)
