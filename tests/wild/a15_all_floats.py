import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


xs, ts = X[:, 0], 2 * X[:, 0] + 1
w, b = 0.1, 0.0
lr = 0.1
for epoch in range(100):
    pred = w * xs + b
    loss = np.mean((pred - ts) ** 2)
    dw = 2 * np.mean((pred - ts) * xs)
    db = np.mean(pred - ts)       # forgot the 2
    w -= lr * dw
    b -= lr * db
print(w, b)
