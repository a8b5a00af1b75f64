import numpy as np

def sigmoid(z):
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))

def computeCost(theta, X, y, lam):
    m = y.size
    h = sigmoid(X @ theta)
    J = -(y @ np.log(h) + (1 - y) @ np.log(1 - h)) / m
    J += lam / (2 * m) * np.sum(theta[1:] ** 2)
    return J

def computeGrad(theta, X, y, lam):
    m = y.size
    h = sigmoid(X @ theta)
    grad = X.T @ (h - y) / m
    grad[1:] += lam / m * theta[1:]
    return grad

def accuracy(theta, X, y):
    return np.mean((X @ theta > 0) == (y > 0.5))

rng = np.random.RandomState(5)
X = rng.randn(200, 6).astype(np.float32)
true = np.array([1.5, -2, 0, 0, 1, 0.5], dtype=np.float32)
y = (X @ true + 2.0 * rng.randn(200) > 0).astype(np.float32)
X = np.hstack([np.ones((200, 1), np.float32), X])
Xtr, ytr, Xval, yval = X[:150], y[:150], X[150:], y[150:]

best = None
for lam in [0.0, 1.0, 10.0]:
    theta = np.zeros(7, dtype=np.float32)
    for i in range(300):
        theta = theta - 0.3 * computeGrad(theta, Xtr, ytr, lam)
        if i % 100 == 0:
            print('lambda %4.1f  iter %3d  J=%.4f  J_val=%.4f' % (
                lam, i, computeCost(theta, Xtr, ytr, lam), computeCost(theta, Xval, yval, 0)))
    acc = accuracy(theta, Xval, yval)
    if best is None or acc > best[0]:
        best = (acc, lam)
print('best validation accuracy %.3f at lambda %g' % best)
