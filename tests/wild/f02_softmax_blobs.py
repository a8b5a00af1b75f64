"""Softmax-Regression auf drei Punktwolken (Uebungsblatt 4, Aufgabe 2)."""
import numpy as np


def erzeuge_daten(n_pro_klasse=40, seed=3):
    rng = np.random.RandomState(seed)
    zentren = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    X = np.vstack([z + rng.randn(n_pro_klasse, 2) for z in zentren])
    t = np.repeat(np.arange(3), n_pro_klasse)
    return X, t


def softmax(A):
    A = A - A.max(axis=1, keepdims=True)
    E = np.exp(A)
    return E / E.sum(axis=1, keepdims=True)


def kosten(W, b, X, t, lam):
    P = softmax(X @ W + b)
    n = X.shape[0]
    daten = -np.log(P[np.arange(n), t]).mean()
    return daten + lam * np.sum(W * W)


def gradient(W, b, X, t, lam):
    n = X.shape[0]
    D = softmax(X @ W + b)
    D[np.arange(n), t] -= 1
    D /= n
    dW = X.T @ D + lam * W
    db = D.sum(axis=0)
    return dW, db


def trainiere(X, t, lam=0.05, eta=0.5, runden=200):
    rng = np.random.RandomState(0)
    W = 0.5 * rng.randn(X.shape[1], 3)
    b = np.zeros(3)
    for r in range(runden):
        dW, db = gradient(W, b, X, t, lam)
        W = W - eta * dW
        b = b - eta * db
        if r % 50 == 0:
            print("Runde %3d  Kosten %.5f" % (r, kosten(W, b, X, t, lam)))
    return W, b


if __name__ == "__main__":
    X, t = erzeuge_daten()
    W, b = trainiere(X, t)
    treffer = np.mean(np.argmax(X @ W + b, axis=1) == t)
    print("Trefferquote:", treffer, " Kosten:", kosten(W, b, X, t, 0.05))
