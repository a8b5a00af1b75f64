import numpy as np


class Dense:
    def __init__(self, n_in, n_out):
        limit = np.sqrt(6 / (n_in + n_out))
        self.weights = np.random.uniform(-limit, limit, (n_in, n_out))
        self.bias = np.zeros((1, n_out))

    def forward(self, inp):
        self.inp = inp
        return inp @ self.weights + self.bias

    def backward(self, grad_out):
        self.grad_weights = self.inp.T @ grad_out
        self.grad_bias = grad_out.sum(axis=0, keepdims=True)
        return grad_out @ self.weights.T

    def apply(self, lr):
        self.weights -= lr * self.grad_weights
        self.bias -= lr * self.grad_bias


class ELU:
    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, inp):
        self.inp = inp
        self.out = np.where(inp > 0, inp, self.alpha * (np.exp(np.minimum(inp, 0)) - 1))
        return self.out

    def backward(self, grad_out):
        return grad_out * np.where(self.inp > 0, 1.0, self.alpha * np.exp(self.out))

    def apply(self, lr):
        pass


class MeanSquaredError:
    def forward(self, pred, target):
        self.pred, self.target = pred, target
        return ((pred - target) ** 2).mean()

    def backward(self):
        return 2 * (self.pred - self.target) / self.pred.size


class Sequential:
    def __init__(self, *layers):
        self.layers = layers
        self.criterion = MeanSquaredError()

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train_step(self, x, y, lr):
        loss = self.criterion.forward(self.forward(x), y)
        grad = self.criterion.backward()
        for layer in self.layers[::-1]:
            grad = layer.backward(grad)
        for layer in self.layers:
            layer.apply(lr)
        return loss


def build():
    np.random.seed(33)
    return Sequential(Dense(3, 16), ELU(), Dense(16, 16), ELU(), Dense(16, 2))


def dataset(n=120):
    x = np.random.randn(n, 3)
    y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 1] * x[:, 2]], axis=1)
    return x, y


if __name__ == "__main__":
    model = build()
    x, y = dataset()
    for epoch in range(401):
        loss = model.train_step(x, y, lr=0.05)
        if epoch % 100 == 0:
            print("epoch:", epoch, "loss:", loss)
