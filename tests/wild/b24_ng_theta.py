import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


Xb = np.c_[np.ones(60), X]
t = 2 * X[:, 0] + 1
theta = np.zeros(4)
alpha, m = 0.05, len(t)
J_history = []
for it in range(400):
    h = Xb @ theta
    gradient = Xb.T @ (h - t)
    theta = theta - (alpha / m) * gradient
    J_history.append(1 / (2 * m) * np.sum((Xb @ theta - t) ** 2))
print(J_history[-1])
