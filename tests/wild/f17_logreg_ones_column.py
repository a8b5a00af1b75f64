import numpy as np

# hours studied, hours slept, passed?
RAW = """
0.5 7.0 0
0.8 5.5 0
1.0 8.0 0
1.3 6.0 0
1.8 7.5 0
1.9 4.0 0
2.2 8.0 1
2.3 5.0 0
2.7 6.5 1
3.0 4.5 0
3.1 7.0 1
3.3 8.0 1
3.6 5.0 1
4.0 6.0 1
4.4 4.0 0
4.8 7.0 1
5.0 6.5 1
5.5 5.5 1
"""

lam = 0.3


def load():
    table = np.array([[float(v) for v in line.split()] for line in RAW.strip().splitlines()])
    feats = table[:, :2]
    feats = (feats - feats.mean(axis=0)) / feats.std(axis=0)
    X = np.hstack([np.ones((len(feats), 1)), feats])
    return X, table[:, 2]


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def costFunction(theta, X, y):
    """regularised cost and gradient; theta[0] is not penalised"""
    m = len(y)
    h = sigmoid(X.dot(theta))
    J = (-y.dot(np.log(h)) - (1 - y).dot(np.log(1 - h))) / m
    J += lam / (2 * m) * np.sum(theta[1:] ** 2)
    grad = X.T.dot(h - y) / m
    grad[1:] += lam / m * theta[1:]
    return J, grad


def gradientDescent(X, y, alpha=0.5, tol=1e-7):
    theta = np.zeros(X.shape[1])
    J_old = np.inf
    J, grad = costFunction(theta, X, y)
    iters = 0
    while J_old - J > tol:
        theta = theta - alpha * grad
        J_old = J
        J, grad = costFunction(theta, X, y)
        iters += 1
    return theta, J, iters


X, y = load()
theta, J, iters = gradientDescent(X, y)
print("converged after", iters, "iterations, J =", J)
print("theta:", theta)
print("accuracy:", np.mean((sigmoid(X.dot(theta)) > 0.5) == y))
