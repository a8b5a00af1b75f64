from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def sigmoid(z: NDArray) -> NDArray:
    return 1.0 / (1.0 + np.exp(-z))


def swish(z: NDArray) -> NDArray:
    return z * sigmoid(z)


def swish_prime(z: NDArray) -> NDArray:
    s = sigmoid(z)
    return s + z * s * (1.0 - s)


@dataclass
class Layer:
    n_in: int
    n_out: int
    rng: np.random.Generator
    W: NDArray = field(init=False)
    b: NDArray = field(init=False)

    def __post_init__(self) -> None:
        self.W = self.rng.normal(0.0, self.n_in ** -0.5, size=(self.n_out, self.n_in))
        self.b = np.zeros((self.n_out, 1))


@dataclass
class Network:
    layers: list[Layer]
    lr: float = 0.5

    def run(self, X: NDArray) -> tuple[list[NDArray], list[NDArray]]:
        pre, post = [], [X]
        for i, layer in enumerate(self.layers):
            z = layer.W @ post[-1] + layer.b
            pre.append(z)
            post.append(sigmoid(z) if i == len(self.layers) - 1 else swish(z))
        return pre, post

    def cost(self, X: NDArray, Y: NDArray) -> float:
        out = self.run(X)[1][-1]
        return float(0.5 * np.sum((out - Y) ** 2) / Y.shape[1])

    def gradients(self, X: NDArray, Y: NDArray) -> list[tuple[NDArray, NDArray]]:
        pre, post = self.run(X)
        m = Y.shape[1]
        result: list[tuple[NDArray, NDArray]] = []
        delta = post[-1] - Y
        for i in range(len(self.layers) - 1, -1, -1):
            result.append((delta @ post[i].T / m, delta.sum(axis=1, keepdims=True) / m))
            if i > 0:
                delta = (self.layers[i].W.T @ delta) * swish_prime(pre[i - 1])
        return result[::-1]

    def fit(self, X: NDArray, Y: NDArray, rounds: int = 400) -> None:
        for r in range(rounds):
            for layer, (gW, gb) in zip(self.layers, self.gradients(X, Y)):
                layer.W -= self.lr * gW
                layer.b -= self.lr * gb
            if r % 100 == 0:
                print(f"round {r}: cost {self.cost(X, Y):.5f}")


def demo() -> tuple[Network, NDArray, NDArray]:
    rng = np.random.default_rng(14)
    X = rng.uniform(-2, 2, size=(2, 100))
    Y = np.vstack([X[0] > X[1] ** 2 - 1, X[0] + X[1] > 0]).astype(float)
    return Network([Layer(2, 10, rng), Layer(10, 6, rng), Layer(6, 2, rng)]), X, Y


if __name__ == "__main__":
    net, X, Y = demo()
    net.fit(X, Y)
    print("final cost", net.cost(X, Y))
