import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


W1 = rng.normal(size=(3, 8)) * 0.5
W2 = rng.normal(size=(8, 1)) * 0.5
lr = 0.01
for epoch in range(300):
    a1 = np.tanh(X @ W1)
    p = sigmoid(a1 @ W2)
    error = np.sum((p - y) ** 2)
    loss = error / len(X)
    dz2 = 2 * (p - y) * p * (1 - p)      # not / len(X)
    dW2 = a1.T @ dz2
    dW1 = X.T @ (dz2 @ W2.T * (1 - a1 ** 2))
    W1 -= lr * dW1
    W2 -= lr * dW2
    if epoch % 50 == 0: print(loss)
