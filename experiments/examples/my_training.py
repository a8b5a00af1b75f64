# one hidden layer with ReLU, and a yes or no at the end
import numpy as np


def model_init(n_x, n_h):
    rng = np.random.default_rng(1)
    return dict(W1=rng.standard_normal((n_h, n_x)) * np.sqrt(2 / n_x), b1=np.zeros((n_h, 1)),
                W2=rng.standard_normal((1, n_h)) * np.sqrt(1 / n_h), b2=np.zeros((1, 1)))


def linear_forward(A, W, b):
    return W @ A + b


def run(p, X):
    Z1 = linear_forward(X, p["W1"], p["b1"])
    A1 = np.maximum(0, Z1)
    Z2 = linear_forward(A1, p["W2"], p["b2"])
    A2 = 1 / (1 + np.exp(-Z2))
    return Z1, A1, A2


def cost(A2, Y):
    return -np.mean(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))


def grads(p, X, Y):
    m = X.shape[1]
    Z1, A1, A2 = run(p, X)
    dZ2 = 1 / m * (A2 - Y)
    dW2 = dZ2 @ A1.T
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dA1 = p["W2"].T @ dZ2
    dZ1 = dA1 * (Z1 > 0)
    dW1 = 1 / m * dZ1 @ X.T
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)
    return dict(dW1=dW1, db1=db1, dW2=dW2, db2=db2)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    X = rng.random((12, 30))
    Y = (X.sum(axis=0, keepdims=True) > 6).astype(float)
    p = model_init(12, 6)
    for it in range(1000):
        g = grads(p, X, Y)
        for k in p:
            p[k] = p[k] - 0.1 * g["d" + k]
        if it % 250 == 0:
            print(it, cost(run(p, X)[2], Y))
