import numpy as np


class Linear:
    def __init__(self, n_in, n_out, rng):
        self.p = {"w": rng.normal(0, 1 / np.sqrt(n_in), (n_in, n_out))}
        self.g = {}

    def __call__(self, x):
        self.x = x
        return x @ self.p["w"]

    def back(self, d):
        self.g["w"] = self.x.T @ d
        return d @ self.p["w"].T


class BatchNorm:
    def __init__(self, n, eps=1e-5, momentum=0.9):
        self.p = {"gamma": np.ones(n), "beta": np.zeros(n)}
        self.g = {}
        self.eps, self.momentum = eps, momentum
        self.run_mean, self.run_var = np.zeros(n), np.ones(n)

    def __call__(self, x):
        mu, var = x.mean(0), x.var(0)
        self.run_mean = self.momentum * self.run_mean + (1 - self.momentum) * mu
        self.run_var = self.momentum * self.run_var + (1 - self.momentum) * var
        self.istd = 1 / np.sqrt(var + self.eps)
        self.xhat = (x - mu) * self.istd
        return self.p["gamma"] * self.xhat + self.p["beta"]

    def back(self, d):
        m = d.shape[0]
        self.g["gamma"] = (d * self.xhat).sum(0)
        self.g["beta"] = d.sum(0)
        dxhat = d * self.p["gamma"]
        return self.istd / m * (m * dxhat - dxhat.sum(0) - self.xhat * (dxhat * self.xhat).sum(0))


class Tanh:
    p, g = {}, {}

    def __call__(self, x):
        self.y = np.tanh(x)
        return self.y

    def back(self, d):
        return d * (1 - self.y ** 2)


class Net:
    def __init__(self, rng):
        self.layers = [Linear(5, 12, rng), BatchNorm(12), Tanh(),
                       Linear(12, 8, rng), BatchNorm(8), Tanh(), Linear(8, 1, rng)]

    def loss(self, x, y):
        for layer in self.layers:
            x = layer(x)
        self.d = x - y
        return 0.5 * np.mean(np.sum(self.d ** 2, axis=1))

    def backward(self):
        d = self.d / len(self.d)
        for layer in reversed(self.layers):
            d = layer.back(d)

    def sgd(self, lr):
        for layer in self.layers:
            for k in layer.p:
                layer.p[k] -= lr * layer.g[k]


if __name__ == "__main__":
    rng = np.random.default_rng(9)
    X = rng.normal(size=(256, 5))
    Y = (X[:, :1] * X[:, 1:2] + np.sin(X[:, 2:3]))
    net = Net(rng)
    for epoch in range(40):
        perm = rng.permutation(256)
        for i in range(0, 256, 32):
            L = net.loss(X[perm[i:i + 32]], Y[perm[i:i + 32]])
            net.backward()
            net.sgd(0.1)
        if epoch % 10 == 0:
            print("epoch", epoch, "batch loss", L)
    print("end", net.loss(X, Y))
