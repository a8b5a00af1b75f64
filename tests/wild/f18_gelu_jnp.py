import jax.numpy as jnp
import numpy as np
from jax import config, jit

config.update("jax_enable_x64", True)

C = np.sqrt(2 / np.pi)


@jit
def gelu(x):
    return 0.5 * x * (1 + jnp.tanh(C * (x + 0.044715 * x ** 3)))


@jit
def gelu_prime(x):
    t = jnp.tanh(C * (x + 0.044715 * x ** 3))
    dt = (1 - t ** 2) * C * (1 + 3 * 0.044715 * x ** 2)
    return 0.5 * (1 + t) + 0.5 * x * dt


class GeluNet:
    def __init__(self, dims, seed=0):
        r = np.random.RandomState(seed)
        self.Ws = [jnp.array(r.randn(o, i) / np.sqrt(i)) for i, o in zip(dims, dims[1:])]
        self.bs = [jnp.zeros((o, 1)) for o in dims[1:]]

    def forward(self, X):
        self.A, self.Z = [X], []
        for k in range(len(self.Ws)):
            self.Z.append(self.Ws[k] @ self.A[-1] + self.bs[k])
            self.A.append(gelu(self.Z[-1]) if k < len(self.Ws) - 1 else self.Z[-1])
        return self.A[-1]

    def cost(self, logits, Y):
        # binary cross entropy straight from the logits
        return jnp.mean(jnp.log(1 + jnp.exp(logits)) - Y * logits)

    def backward(self, Y):
        m = Y.shape[1]
        dZ = (1 / (1 + jnp.exp(-self.A[-1])) - Y) / m
        dWs, dbs = [], []
        for k in reversed(range(len(self.Ws))):
            dWs.insert(0, dZ @ self.A[k].T)
            dbs.insert(0, jnp.sum(dZ, axis=1, keepdims=True))
            if k:
                dZ = (self.Ws[k].T @ dZ) * gelu_prime(self.Z[k - 1])
        return dWs, dbs

    def update(self, dWs, dbs, lr):
        self.Ws = [W - lr * d for W, d in zip(self.Ws, dWs)]
        self.bs = [b - lr * d for b, d in zip(self.bs, dbs)]


def main():
    r = np.random.RandomState(4)
    X = jnp.array(r.randn(2, 70))
    Y = jnp.array((X[0] * X[1] > 0).astype(float)).reshape(1, -1)
    net = GeluNet([2, 8, 8, 1])
    for i in range(100):
        out = net.forward(X)
        if i % 25 == 0:
            print("step", i, "cost", float(net.cost(out, Y)))
        net.update(*net.backward(Y), lr=0.5)
    print("final cost", float(net.cost(net.forward(X), Y)))


if __name__ == "__main__":
    main()
