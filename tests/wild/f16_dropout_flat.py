import numpy as np

np.random.seed(12)

# datos: dos lunas hechas a mano
n = 100
ang = np.random.rand(n) * np.pi
luna1 = np.c_[np.cos(ang), np.sin(ang)]
luna2 = np.c_[1 - np.cos(ang), 0.4 - np.sin(ang)]
X = np.vstack([luna1, luna2]) + 0.1 * np.random.randn(2 * n, 2)
y = np.r_[np.zeros(n), np.ones(n)].astype(int)
Y = np.eye(2)[y]

n_oculta = 32
keep = 0.7
alfa = 0.3

W1 = np.random.randn(2, n_oculta) * 0.7
b1 = np.zeros((1, n_oculta))
W2 = np.random.randn(n_oculta, 2) * 0.25
b2 = np.zeros((1, 2))

for epoca in range(600):
    # --- hacia adelante ---
    z1 = X @ W1 + b1
    a1 = np.maximum(z1, 0)
    mascara = np.random.rand(*a1.shape) < keep
    a1 = a1 * mascara / keep
    z2 = a1 @ W2 + b2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))
    prob = e / e.sum(axis=1, keepdims=True)
    perdida = -np.sum(Y * np.log(prob + 1e-12)) / len(X)

    # --- hacia atras ---
    dz2 = (prob - Y) / len(X)
    dW2 = a1.T @ dz2
    db2 = dz2.sum(axis=0, keepdims=True)
    da1 = dz2 @ W2.T
    dz1 = da1 * (a1 > 0)
    dW1 = X.T @ dz1
    db1 = dz1.sum(axis=0, keepdims=True)

    # --- actualizar ---
    W1 -= alfa * dW1
    b1 -= alfa * db1
    W2 -= alfa * dW2
    b2 -= alfa * db2

    if epoca % 100 == 0:
        print('epoca', epoca, 'perdida', perdida)

# prueba sin dropout
pred = np.argmax(np.maximum(X @ W1 + b1, 0) @ W2 + b2, axis=1)
print('exactitud', (pred == y).mean())
