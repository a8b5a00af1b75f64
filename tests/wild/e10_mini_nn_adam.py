import numpy as np

class Dense:
    def __init__(self, n_in, n_out, rng):
        self.W = rng.normal(0, np.sqrt(2 / n_in), size=(n_in, n_out))
        self.b = np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, grad):
        self.dW = self.x.T @ grad
        self.db = grad.sum(axis=0)
        return grad @ self.W.T

class LeakyReLU:
    slope = 0.1
    def forward(self, x):
        self.neg = x < 0
        return np.where(self.neg, self.slope * x, x)
    def backward(self, grad):
        return np.where(self.neg, self.slope * grad, grad)

class SoftmaxCrossEntropy:
    def forward(self, z, y):
        z = z - z.max(axis=1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.p, self.y = np.exp(logp), y
        return -logp[np.arange(len(y)), y].mean()
    def backward(self):
        g = self.p.copy()
        g[np.arange(len(self.y)), self.y] -= 1.0
        return g / len(self.y)

class Adam:
    def __init__(self, layers, lr=0.01):
        self.slots = [[l, k, 0.0, 0.0] for l in layers if hasattr(l, 'W') for k in 'Wb']
        self.lr, self.t = lr, 0
    def step(self):
        self.t += 1
        for slot in self.slots:
            l, k, m, v = slot
            g = getattr(l, 'd' + k)
            slot[2:] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g ** 2
            mh, vh = m / (1 - 0.9 ** self.t), v / (1 - 0.999 ** self.t)
            setattr(l, k, getattr(l, k) - self.lr * mh / (np.sqrt(vh) + 1e-8))

rng = np.random.default_rng(0)
centers = rng.normal(0, 2.0, size=(4, 2))
Y = rng.integers(0, 4, 240)
X = centers[Y] + rng.normal(0, 0.6, size=(240, 2))

net = [Dense(2, 16, rng), LeakyReLU(), Dense(16, 12, rng), LeakyReLU(), Dense(12, 4, rng)]
criterion = SoftmaxCrossEntropy()
opt = Adam(net)

def run(out):
    for layer in net:
        out = layer.forward(out)
    return out

for epoch in range(30):
    for idx in np.array_split(rng.permutation(len(X)), 8):
        criterion.forward(run(X[idx]), Y[idx])
        grad = criterion.backward()
        for layer in reversed(net):
            grad = layer.backward(grad)
        opt.step()
    if epoch % 5 == 0:
        print(epoch, criterion.forward(run(X), Y), (run(X).argmax(1) == Y).mean())
