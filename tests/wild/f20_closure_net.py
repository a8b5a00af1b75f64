import numpy as np

rng = np.random.default_rng(2024)


def reseau(n_in, n_h):
    """Return (forward, loss, backward, step) sharing their parameters through a closure."""
    W1 = rng.normal(0, 0.6, (n_in, n_h))
    W2 = rng.normal(0, 0.6, (n_h, n_h))
    W3 = rng.normal(0, 0.6, (n_h, 1))
    b1, b2, b3 = np.zeros(n_h), np.zeros(n_h), np.zeros(1)
    params = [W1, b1, W2, b2, W3, b3]
    memo = {}

    def forward(x):
        h1 = np.tanh(x @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        p = 1 / (1 + np.exp(-(h2 @ W3 + b3)))
        memo.update(x=x, h1=h1, h2=h2, p=p)
        return p

    def loss(x, y):
        p = forward(x)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    def backward(y):
        x, h1, h2, p = memo["x"], memo["h1"], memo["h2"], memo["p"]
        d3 = (p - y) / len(y)
        d2 = (d3 @ W3.T) * (1 - h2 * h2)
        d1 = (d2 @ W2) * (1 - h1 * h1)
        return [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]

    def step(grads, eta):
        norm = np.sqrt(sum((g ** 2).sum() for g in grads))
        scale = 1.0 if norm < 1e3 else 1e3 / norm
        for q, g in zip(params, grads):
            q -= eta * scale * g

    return forward, loss, backward, step, params


x = rng.normal(size=(150, 4))
y = ((x[:, 0] + x[:, 1] * x[:, 2]) > 0).astype(float)[:, None]

forward, loss, backward, step, params = reseau(4, 7)


def entrainer(n=600, eta=0.5):
    for k in range(n):
        l = loss(x, y)
        if k % 100 == 0:
            print(k, l)
        step(backward(y), eta)
    print("fini:", loss(x, y))


if __name__ == "__main__":
    entrainer()
