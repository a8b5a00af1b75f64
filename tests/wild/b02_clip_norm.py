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
    a1 = np.tanh(X @ W1)
    loss = np.sum((a1 @ W2 - 3 * y) ** 2)
    d2 = 2 * (a1 @ W2 - 3 * y)
    dW2 = a1.T @ d2
    dW1 = X.T @ (d2 @ W2.T * (1 - a1 ** 2))
    norm = np.sqrt(np.sum(dW1 ** 2) + np.sum(dW2 ** 2))
    if norm > 5.0:
        dW1 *= 5.0 / norm
        dW2 *= 5.0 / norm
    W1 -= lr * dW1
    W2 -= lr * dW2
print(loss)
