import numpy as np


def sigm(a):
    return 1.0 / (1.0 + np.exp(-a))


class TiedAutoencoder:
    """x -> s(xW + c) -> s(hW' + d); the decoder shares W with the encoder."""

    def __init__(self, n_visible, n_hidden, seed=1):
        r = np.random.RandomState(seed)
        lim = 4 * np.sqrt(6.0 / (n_visible + n_hidden))
        self.W = r.uniform(-lim, lim, (n_visible, n_hidden))
        self.hbias = np.zeros(n_hidden)
        self.vbias = np.zeros(n_visible)
        self.cache = dict(W=0.0, hbias=0.0, vbias=0.0)

    def encode(self, x):
        return sigm(x @ self.W + self.hbias)

    def decode(self, h):
        return sigm(h @ self.W.T + self.vbias)

    def cost(self, x):
        r = self.decode(self.encode(x))
        L = -np.sum(x * np.log(r) + (1 - x) * np.log(1 - r), axis=1)
        return np.mean(L)

    def gradient(self, x):
        h = self.encode(x)
        r = self.decode(h)
        L_vbias = (r - x) / x.shape[0]
        L_hbias = (L_vbias @ self.W) * h * (1 - h)
        return dict(W=x.T @ L_hbias + L_vbias.T @ h,
                    hbias=L_hbias.sum(0),
                    vbias=L_vbias.sum(0))

    def rmsprop(self, grads, lr, rho=0.9):
        for k, g in grads.items():
            self.cache[k] = rho * self.cache[k] + (1 - rho) * g * g
            p = getattr(self, k)
            p -= lr * g / (np.sqrt(self.cache[k]) + 1e-6)


if __name__ == '__main__':
    r = np.random.RandomState(0)
    patterns = (r.rand(5, 16) > 0.5).astype(float)
    data = patterns[r.randint(0, 5, 100)]
    flip = r.rand(*data.shape) < 0.03
    data = np.where(flip, 1 - data, data)
    train, held_out = data[:80], data[80:]

    ae = TiedAutoencoder(16, 6)
    for epoch in range(41):
        r.shuffle(train)
        for i in range(0, len(train), 20):
            ae.rmsprop(ae.gradient(train[i:i + 20]), lr=0.01)
        if epoch % 10 == 0:
            print('epoch', epoch, 'train', ae.cost(train), 'held out', ae.cost(held_out))
