import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = (X[:, :1] + X[:, 1:2] ** 2 > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


W1 = rng.normal(size=(3, 8)) * 0.5
b1 = np.zeros((1, 8))
W2 = rng.normal(size=(8, 1)) * 0.5
b2 = np.zeros((1, 1))
names = ["W1", "b1", "W2", "b2"]
theta = [W1, b1, W2, b2]
M, S = [np.zeros_like(a) for a in theta], [np.zeros_like(a) for a in theta]
for t in range(1, 201):
    h = np.tanh(X @ theta[0] + theta[1])
    p = sigmoid(h @ theta[2] + theta[3])
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    d = (p - y) / 60
    dz = d @ theta[2].T * (1 - h ** 2)
    grads = [X.T @ dz, dz.sum(0, keepdims=True), h.T @ d, d.sum(0, keepdims=True)]
    for i, g in enumerate(grads):
        M[i] = 0.9 * M[i] + 0.1 * g
        S[i] = 0.999 * S[i] + 0.001 * g * g
        m_hat = M[i] / (1 - 0.9 ** t)
        s_hat = S[i] / (1 - 0.999 ** t)
        theta[i] -= 0.01 * m_hat / (np.sqrt(s_hat) + 1e-8)
print(loss)
