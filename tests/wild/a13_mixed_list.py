import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


net = {"w": rng.normal(size=(3, 1)) * 0.1, "b": 0.0, "g": 1.0}
lr = 0.5
for epoch in range(200):
    z = X @ net["w"] + net["b"]
    p = sigmoid(net["g"] * z)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / len(X)
    grads = {"w": net["g"] * X.T @ d, "b": d.sum(), "g": (d * X @ net["w"]).sum() if False else (d * z).mean()}
    for k in net:
        net[k] = net[k] - lr * grads[k]
print(loss)
