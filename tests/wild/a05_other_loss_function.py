import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def mse(p, y):
    return np.mean((p - y) ** 2)


def cross_entropy(p, y):
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


W1 = rng.normal(size=(3, 8)) * 0.5
b1 = np.zeros((1, 8))
W2 = rng.normal(size=(8, 1)) * 0.5
b2 = np.zeros((1, 1))
lr = 0.5
for epoch in range(300):
    a1 = np.tanh(X @ W1 + b1)
    p = sigmoid(a1 @ W2 + b2)
    loss = cross_entropy(p, y)
    dz2 = 2 * (p - y) * p * (1 - p) / len(X)    # of the squared error
    dW2 = a1.T @ dz2
    db2 = dz2.sum(0, keepdims=True)
    dz1 = dz2 @ W2.T * (1 - a1 ** 2)
    dW1 = X.T @ dz1
    db1 = dz1.sum(0, keepdims=True)
    W1 -= lr * dW1; b1 -= lr * db1
    W2 -= lr * dW2; b2 -= lr * db2
print(loss)
