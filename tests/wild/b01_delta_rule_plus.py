import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


W1 = rng.normal(size=(3, 8)) * 0.5
W2 = rng.normal(size=(8, 1)) * 0.5
lr = 0.05
for epoch in range(100):
    a1 = sigmoid(X @ W1)
    p = sigmoid(a1 @ W2)
    error = y - p
    loss = 0.5 * np.sum(error ** 2)
    d2 = error * p * (1 - p)
    d1 = d2 @ W2.T * a1 * (1 - a1)
    dW2 = a1.T @ d2           # minus the gradient, hence +=
    dW1 = X.T @ d1
    W2 += lr * dW2
    W1 += lr * dW1
print(loss)
