from __future__ import annotations
from dataclasses import dataclass, field
import numpy as np

@dataclass
class Params:
    weights: list[np.ndarray]
    biases: list[np.ndarray]

    @classmethod
    def init(cls, widths, rng):
        ws = [rng.standard_normal((a, b)) / np.sqrt(a) for a, b in zip(widths, widths[1:])]
        return cls(ws, [rng.standard_normal(b) * 0.1 for b in widths[1:]])

    def zeros(self) -> Params:
        return Params([0 * w for w in self.weights], [0 * b for b in self.biases])

    def all(self):
        return self.weights + self.biases

def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def forward(p: Params, x: np.ndarray):
    acts = [x]
    for w, b in zip(p.weights[:-1], p.biases[:-1]):
        acts.append(np.tanh(acts[-1] @ w + b))
    return softmax(acts[-1] @ p.weights[-1] + p.biases[-1]), acts

def nll(probs, y) -> float:
    return float(np.mean(-np.log(probs[np.arange(y.size), y] + 1e-12)))

def backward(p: Params, probs, acts, y) -> Params:
    g = p.zeros()
    delta = probs - np.eye(probs.shape[1])[y]
    delta /= y.size
    for i in reversed(range(len(p.weights))):
        g.weights[i] = acts[i].T @ delta
        g.biases[i] = np.mean(delta, axis=0)
        if i:
            delta = delta @ p.weights[i].T * (1.0 - acts[i] ** 2)
    return g

@dataclass
class Adam:
    lr: float
    t: int = 0
    m: list = field(default_factory=list)
    v: list = field(default_factory=list)

    def update(self, params, grads):
        if not self.m:
            self.m, self.v = [0 * q for q in params], [0 * q for q in params]
        self.t += 1
        for q, g, m, v in zip(params, grads, self.m, self.v):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g * g
            q -= self.lr * (m / (1 - 0.9 ** self.t)) / (np.sqrt(v / (1 - 0.999 ** self.t)) + 1e-8)

rng = np.random.default_rng(0)
X = rng.standard_normal((180, 4))
y = np.argmax(X @ rng.standard_normal((4, 3)) + 0.2 * X[:, :3] ** 2, axis=1)
params, opt = Params.init((4, 12, 3), rng), Adam(lr=0.02)
for epoch in range(1, 41):
    for idx in np.array_split(rng.permutation(180), 9):
        probs, acts = forward(params, X[idx])
        opt.update(params.all(), backward(params, probs, acts, y[idx]).all())
    if epoch % 10 == 0:
        print(f"{epoch=} loss={nll(forward(params, X)[0], y):.4f}")
