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
lr, batch = 0.05, 20
for epoch in range(100):
    perm = rng.permutation(len(X))
    running_loss = 0.0
    for s in range(0, len(X), batch):
        xb, yb = X[perm[s:s + batch]], y[perm[s:s + batch]]
        a1 = np.tanh(xb @ W1 + b1)
        p = sigmoid(a1 @ W2 + b2)
        loss = -np.mean(yb * np.log(p) + (1 - yb) * np.log(1 - p))
        running_loss += loss * len(xb)
        dz2 = p - yb                # forgot / len(xb)
        dW2 = a1.T @ dz2
        db2 = dz2.sum(0, keepdims=True)
        dz1 = dz2 @ W2.T * (1 - a1 ** 2)
        dW1 = xb.T @ dz1
        db1 = dz1.sum(0, keepdims=True)
        W1 -= lr * dW1; b1 -= lr * db1
        W2 -= lr * dW2; b2 -= lr * db2
    print(epoch, running_loss / len(X))
