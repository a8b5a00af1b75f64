import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


W1 = rng.normal(size=(3, 8)) * 0.5
b1 = np.zeros((1, 8))
W2 = rng.normal(size=(8, 1)) * 0.5
b2 = np.zeros((1, 1))
lr, reg = 0.5, 1e-2
for epoch in range(300):
    a1 = np.tanh(X @ W1 + b1)
    p = sigmoid(a1 @ W2 + b2)
    data_loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    reg_loss = 0.5 * reg * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
    loss = data_loss + reg_loss
    if epoch % 100 == 0:
        print(epoch, loss)
    dz2 = (p - y) / len(X)
    dW2 = a1.T @ dz2            # reg * W2 is missing
    db2 = dz2.sum(0, keepdims=True)
    dz1 = dz2 @ W2.T * (1 - a1 ** 2)
    dW1 = X.T @ dz1
    db1 = dz1.sum(0, keepdims=True)
    W1 -= lr * dW1; b1 -= lr * db1
    W2 -= lr * dW2; b2 -= lr * db2
