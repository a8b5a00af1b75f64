import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


W1 = rng.normal(size=(3, 8)) * 0.5
W2 = rng.normal(size=(8, 1)) * 0.5
for epoch in range(100):
    a1 = np.tanh(X @ W1)
    p = sigmoid(a1 @ W2)
    d = (p - y) / len(X)
    dW2 = a1.T @ d
    dW1 = X.T @ (d @ W2.T * (1 - a1 ** 2))
    W1 -= 0.1 * dW1
    W2 -= 0.1 * dW2
print("final loss:", -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
