# Rede com conexao residual (skip) para regressao
import numpy as np

semente = np.random.RandomState(21)


def gera_dados(n=80):
    X = semente.uniform(-1, 1, (n, 3))
    y = X[:, 0] * X[:, 1] + np.abs(X[:, 2])
    return X, y.reshape(-1, 1)


def inicia(n_ent, n_oculto):
    return dict(
        W0=semente.randn(n_ent, n_oculto) * 0.6,
        b0=np.zeros(n_oculto),
        W1=semente.randn(n_oculto, n_oculto) * 0.3,
        b1=np.zeros(n_oculto),
        W2=semente.randn(n_oculto, 1) * 0.4,
        b2=np.zeros(1),
    )


def propaga(p, X):
    h0 = np.tanh(X @ p["W0"] + p["b0"])
    f = np.tanh(h0 @ p["W1"] + p["b1"])
    h1 = h0 + f          # bloco residual
    saida = h1 @ p["W2"] + p["b2"]
    return h0, f, h1, saida


def custo(p, X, y):
    saida = propaga(p, X)[-1]
    return np.sum((saida - y) ** 2) / (2 * len(X))


def retropropaga(p, X, y):
    h0, f, h1, saida = propaga(p, X)
    g = {}
    d_saida = (saida - y) / len(X)
    g["W2"] = h1.T @ d_saida
    g["b2"] = d_saida.sum(axis=0)
    d_h1 = d_saida @ p["W2"].T
    d_z1 = d_h1 * (1 - f ** 2)
    g["W1"] = h0.T @ d_z1
    g["b1"] = d_z1.sum(axis=0)
    d_h0 = d_z1 @ p["W1"].T
    d_z0 = d_h0 * (1 - h0 ** 2)
    g["W0"] = X.T @ d_z0
    g["b0"] = d_z0.sum(axis=0)
    return g


X, y = gera_dados()
p = inicia(3, 10)

if __name__ == "__main__":
    taxa = 0.3
    for epoca in range(1, 501):
        g = retropropaga(p, X, y)
        for nome in p:
            p[nome] -= taxa * g[nome]
        if epoca % 100 == 0:
            print("epoca", epoca, "custo", custo(p, X, y))
