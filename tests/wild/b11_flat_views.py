import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


theta = rng.normal(size=3 * 8 + 8) * 0.5
W1 = theta[:24].reshape(3, 8)
W2 = theta[24:].reshape(8, 1)
grad = np.zeros_like(theta)
lr = 0.1
for epoch in range(100):
    a1 = np.tanh(X @ W1)
    p = sigmoid(a1 @ W2)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / len(X)
    grad[24:] = (a1.T @ d).ravel()
    grad[:24] = (X.T @ (d @ W2.T * (1 - a1 ** 2))).ravel()
    theta -= lr * grad
print(loss)
