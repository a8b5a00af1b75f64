"""Lines offered for the end of a file that has no loop: they hold its own names, and with them it is judged."""

import ast
import json

import pytest
from commands import run
from problems import quick

from mlp_jax.check import _files
from mlp_jax.check._networks.template import LINES
from mlp_jax.check._rendering import PASTE
from mlp_jax.check._templates import candidates

CLASS = """
class Net:
    def __init__(self, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.W = [rng.standard_normal((a, b)) for a, b in zip(sizes, sizes[1:])]
        self.b = [np.zeros(b) for b in sizes[1:]]

    def forward(self, x):
        self.h = [x]
        for i, (W, b) in enumerate(zip(self.W, self.b)):
            z = self.h[-1] @ W + b
            self.h.append(np.tanh(z) if i < len(self.W) - 1 else z)
        e = np.exp(self.h[-1])
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def loss(self, y):
        return -np.mean(np.log(self.p[np.arange(len(y)), y]))

    def backward(self, y):
        d = self.p.copy()
        d[np.arange(len(y)), y] -= 1
        d /= len(y)
        self.dW, self.db = [], []
        for i in range(len(self.W) - 1, -1, -1):
            self.dW.insert(0, self.h[i].T @ d)
            self.db.insert(0, d.sum(axis=0))
            d = d @ self.W[i].T * (1 - self.h[i] ** 2)
"""
STEP_METHOD = """
    def step(self, lr):
        for W, b, dW, db in zip(self.W, self.b, self.dW, self.db):
            W -= lr * dW
            b -= lr * db
"""
TRAIN = """
class NeuralNetwork:
    def __init__(self, input_size, hidden_size, output_size, learning_rate=0.5):
        r = np.random.RandomState(1)
        self.weights1 = r.randn(input_size, hidden_size)
        self.weights2 = r.randn(hidden_size, output_size)
        self.learning_rate = learning_rate

    def feedforward(self, X):
        self.layer1 = sigmoid(X @ self.weights1)
        return sigmoid(self.layer1 @ self.weights2)

    def train(self, X, y, epochs):
        for _ in range(epochs):
            out = self.feedforward(X)
            loss = np.sum((out - y) ** 2) / len(X)
            d2 = 2 * (out - y) / len(X) * out * (1 - out)
            d1 = d2 @ self.weights2.T * self.layer1 * (1 - self.layer1)
            self.weights2 -= self.learning_rate * self.layer1.T @ d2
            self.weights1 -= self.learning_rate * X.T @ d1
"""
SIGMOID = "def sigmoid(z):\n    return 1 / (1 + np.exp(-z))\n"
WITH_PARAMS = """
class Classifier:
    def __init__(self, input_dim=6, hidden_dim=7, num_classes=4):
        rng = np.random.default_rng(0)
        self.params = {"W1": rng.standard_normal((input_dim, hidden_dim)), "b1": np.zeros(hidden_dim),
                       "W2": rng.standard_normal((hidden_dim, num_classes)), "b2": np.zeros(num_classes)}

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        h = np.maximum(X @ W1 + b1, 0)
        scores = h @ W2 + b2
        if y is None:
            return scores
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean()
        p[np.arange(len(y)), y] -= 1
        d = p / len(y)
        dh = d @ W2.T * (h > 0)
        return loss, {"W1": X.T @ dh, "b1": dh.sum(axis=0), "W2": h.T @ d, "b2": d.sum(axis=0)}
"""
LAYERS = """
class Linear:
    def __init__(self, n_in, n_out, rng):
        self.W, self.b = rng.standard_normal((n_in, n_out)), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, grad):
        self.dW, self.db = self.x.T @ grad, grad.sum(axis=0)
        return grad @ self.W.T

    def update(self, lr):
        self.W -= lr * self.dW
        self.b -= lr * self.db


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y ** 2)

    def update(self, lr):
        pass


class Network:
    def __init__(self, LAYERS):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, output, target):
        return np.mean(np.sum((output - target) ** 2, axis=1))

    def backward(self, output, target):
        grad = 2 * (output - target) / len(target)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)

    def update(self, lr):
        for layer in self.layers:
            layer.update(lr)
"""
FACTORY = """
def make_network(seed=0):
    rng = np.random.default_rng(seed)
    return Network(Linear(5, 6, rng), Tanh(), Linear(6, 2, rng))
"""
COLUMNS = """
def forward_propagation(X, parameters):
    A1 = np.tanh(parameters["W1"] @ X + parameters["b1"])
    A2 = sigmoid(parameters["W2"] @ A1 + parameters["b2"])
    return A2, {"A1": A1, "A2": A2}

def compute_cost(A2, Y):
    m = Y.shape[1]
    return -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m

def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    dZ2 = cache["A2"] - Y
    dZ1 = parameters["W2"].T @ dZ2 * (1 - cache["A1"] ** 2)
    return {"dW1": dZ1 @ X.T / m, "db1": dZ1.sum(axis=1, keepdims=True) / m,
            "dW2": dZ2 @ cache["A1"].T / m, "db2": dZ2.sum(axis=1, keepdims=True) / m}
"""
INITIALISER = """
def initialize_parameters(n_x, n_h, n_y):
    r = np.random.RandomState(2)
    return {"W1": r.randn(n_h, n_x), "b1": np.zeros((n_h, 1)), "W2": r.randn(n_y, n_h), "b2": np.zeros((n_y, 1))}

def update_parameters(parameters, grads, learning_rate=0.5):
    return {k: v - learning_rate * grads["d" + k] for k, v in parameters.items()}
"""
STEP = """
def loss(params, x, t):
    W1, b1, W2, b2 = params
    return 0.5 * np.mean(np.sum((np.tanh(x @ W1 + b1) @ W2 + b2 - t) ** 2, axis=1))

def step(params, x, t, lr):
    W1, b1, W2, b2 = params
    h = np.tanh(x @ W1 + b1)
    d = (h @ W2 + b2 - t) / len(x)
    d1 = d @ W2.T * (1 - h ** 2)
    grads = x.T @ d1, d1.sum(axis=0), h.T @ d, d.sum(axis=0)
    return [p - lr * g for p, g in zip(params, grads)]
"""
IN_PLACE = """
def sgd_step(params, x, y, lr):
    h = np.maximum(x @ params["W1"] + params["b1"], 0)
    z = h @ params["W2"] + params["b2"]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[np.arange(len(y)), y]))
    p[np.arange(len(y)), y] -= 1
    d = p / len(y)
    d1 = d @ params["W2"].T * (h > 0)
    params["W2"] -= lr * h.T @ d
    params["b2"] -= lr * d.sum(axis=0)
    params["W1"] -= lr * x.T @ d1
    params["b1"] -= lr * d1.sum(axis=0)
    return loss
"""
NAMED_TUPLE = """
from typing import NamedTuple

class Weights(NamedTuple):
    w_hidden: np.ndarray
    b_hidden: np.ndarray
    w_out: np.ndarray
    b_out: float

def mse(weights, x, y):
    return np.mean((np.tanh(x @ weights.w_hidden + weights.b_hidden) @ weights.w_out + weights.b_out - y) ** 2)

def step(weights, x, y, rate):
    h = np.tanh(x @ weights.w_hidden + weights.b_hidden)
    d = 2 * (h @ weights.w_out + weights.b_out - y) / len(y)
    d1 = d[:, None] * weights.w_out * (1 - h ** 2)
    return Weights(weights.w_hidden - rate * x.T @ d1, weights.b_hidden - rate * d1.sum(axis=0),
                   weights.w_out - rate * h.T @ d, weights.b_out - rate * d.sum())
"""
SEPARATE = """
def forward(x, W1, b1, W2, b2):
    h = np.tanh(x @ W1 + b1)
    return h, h @ W2 + b2

def loss_of(out, y):
    return np.mean((out - y) ** 2)

def backward(x, y, W1, b1, W2, b2):
    h, out = forward(x, W1, b1, W2, b2)
    d = 2 * (out - y) / out.size
    dW2, db2 = h.T @ d, d.sum(axis=0)
    d1 = d @ W2.T * (1 - h ** 2)
    dW1, db1 = x.T @ d1, d1.sum(axis=0)
    return dW1, db1, dW2, db2
"""
GRADIENTS = """
def objective(x, y, layers):
    for i, (W, b) in enumerate(layers):
        x = x @ W + b
        x = np.tanh(x) if i < len(layers) - 1 else x
    return np.mean(np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(y)), y])

def gradients(x, y, layers):
    hs = [x]
    for i, (W, b) in enumerate(layers):
        z = hs[-1] @ W + b
        hs.append(np.tanh(z) if i < len(layers) - 1 else z)
    d = np.exp(hs[-1]) / np.exp(hs[-1]).sum(axis=1, keepdims=True)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    grads = []
    for i in reversed(range(len(layers))):
        grads.insert(0, (hs[i].T @ d, d.sum(axis=0)))
        d = d @ layers[i][0].T * (1 - hs[i] ** 2)
    return grads
"""
LIST = LAYERS.replace("LAYERS", "layers")
# code; words of its own that the lines hold; and what is replaced by what to make it wrong.
FILES = {
    "class": (
        CLASS + STEP_METHOD,
        "Net([4, 5, 3]) net.forward(x) net.loss(y) net.step(0.1)",
        "(1 - self.h[i] ** 2)",
        "1",
    ),
    "class without a step": (CLASS, "net.W net.dW net.b net.db", "d /= len(y)", "pass"),
    "class that trains": (SIGMOID + TRAIN, "NeuralNetwork(4, 5, 3) net.train(x, y, 3)", "* out * (1 - out)", ""),
    "class with params": (WITH_PARAMS, "Classifier() loss, grads = net.loss(x, y) net.params[k]", "* (h > 0)", ""),
    "layers and a factory": (
        LAYERS.replace("LAYERS", "*layers") + FACTORY,
        "make_network() (8, 5) net.update(0.1)",
        "grad.sum(axis=0)",
        "grad.mean(axis=0)",
    ),
    "layers in a list": (LIST, "Network([Linear(4, 5, rng), Tanh(), Linear(5, 3, rng)])", "grad * (1", "grad * (2"),
    "forward and backward": (
        SIGMOID + COLUMNS + INITIALISER,
        "initialize_parameters(4, 5, 1) (4, 8) cache forward_propagation update_parameters(parameters, grads)",
        '(1 - cache["A1"] ** 2)',
        "1",
    ),
    "forward and backward only": (SIGMOID + COLUMNS, "W1=(5, 4) grads['d' + k]", 'cache["A2"] - Y', "Y"),
    "step": (STEP, "loss_ = loss(params, x, y) params = step(params, x, y, 0.1)", "(1 - h ** 2)", "1"),
    "step in place": (IN_PLACE, "loss = sgd_step(params, x, y, 0.1)", "* (h > 0)", ""),
    "step of a named tuple": (NAMED_TUPLE, "weights = Weights(* mse(weights, x, y) step(", "d = 2 *", "d = 3 *"),
    "separate weights": (SEPARATE, "W1, b1, W2, b2 = backward(x, y, W1, b1, W2, b2)", "(1 - h ** 2)", "1"),
    "gradients by another name": (
        GRADIENTS,
        "objective(x, y, layers) gradients(x, y, layers)",
        "(1 - hs[i]",
        "(2 - hs[i]",
    ),
}


def checked(path, code):
    path.write_text(f"import numpy as np\n\n{code}", encoding="utf-8")
    return _files.check_file(path, _files.Asking(seconds=20, seed=0, template=True))


@pytest.mark.parametrize("code, words, old, new", quick(FILES, "class", "step"))
def test_a_file_is_judged_with_the_lines_offered_for_it(code, words, old, new, tmp_path):
    path = tmp_path / "file.py"
    report = checked(path, code)
    assert report.verdict == "error"
    assert 3 < len(report.template.splitlines()) <= candidates.MOST_LINES
    assert [word for word in words.split() if word not in report.template] == []
    assert checked(path, f"{code}\n{report.template}").verdict == "correct"
    assert old in code
    assert checked(path, f"{code.replace(old, new)}\n{report.template}").verdict == "wrong"


@pytest.mark.slow
def test_lines_are_offered_for_a_file_with_a_mistake(tmp_path):
    code, words, old, new = FILES["class"]
    report = checked(tmp_path / "file.py", code.replace(old, new))
    assert [word for word in words.split() if word not in report.template] == []


@pytest.mark.parametrize("code", ["", "def f(a):\n    return a\n", "class Empty:\n    pass\n"])
def test_a_file_of_no_known_kind_is_offered_the_contract(code, tmp_path):
    assert checked(tmp_path / "file.py", code).template == LINES["function"]


def test_tries_are_few_and_the_first_that_is_correct_is_returned():
    code = f"import numpy as np\n{SEPARATE}"
    tried = []
    first = candidates.template(ast.parse(code), lambda lines: tried.append(lines) or "error")
    assert len(tried) == candidates.MOST_TRIES and first == tried[0]
    assert candidates.template(ast.parse(code), lambda lines: "correct" if lines == tried[2] else "wrong") == tried[2]
    assert candidates.template(ast.parse(code), lambda lines: "error" if lines == tried[0] else "wrong") == tried[1]


def test_the_command_prints_the_lines_of_one_file_and_not_of_many(tmp_path):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"import numpy as np\n{CLASS}{STEP_METHOD}", encoding="utf-8")
    done = run("check", tmp_path / "a.py")
    first, sentence, *lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "") and first.endswith("a loop that is seen to train, got none")
    assert sentence == PASTE and lines[2] == "net = Net([4, 5, 3])" and len(lines) == candidates.MOST_LINES
    assert json.loads(run("check", tmp_path / "a.py", "--json").stdout)["template"].splitlines() == lines
    assert PASTE not in run("check", tmp_path).stderr


@pytest.mark.parametrize("kind", LINES)
def test_the_lines_of_a_kind_are_few_and_are_python(kind):
    assert len(LINES[kind].splitlines()) <= candidates.MOST_LINES
    compile(LINES[kind], kind, "exec")
