import numpy as np

rng = np.random.default_rng(0)
sizes = [4, 6, 6, 6, 6]
L = len(sizes) - 1
weights = [rng.standard_normal((sizes[i], sizes[i + 1])) * np.sqrt(2.0 / sizes[i]) for i in range(L)]
biases = [np.zeros(sizes[i + 1]) for i in range(L)]


def relu(z):
    return np.maximum(z, 0)


def relu_prime(z):
    return (z > 0).astype(float)


def softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


X = rng.standard_normal((50, 4))
labels = rng.integers(0, 6, 50)
T = np.eye(6)[labels]

lr = 0.05
for step in range(100):
    acts = [X]
    zs = []
    for l in range(L):
        z = acts[-1] @ weights[l] + biases[l]
        zs.append(z)
        if l < L - 1:
            acts.append(relu(z))
        else:
            acts.append(softmax(z))

    loss = -np.sum(T * np.log(acts[-1] + 1e-12)) / len(X)

    dW = [None] * L
    db = [None] * L
    delta = (acts[-1] - T) / len(X)
    for l in reversed(range(L)):
        dW[l] = acts[l].T @ delta
        db[l] = delta.sum(axis=0)
        if l > 0:
            delta = (delta @ weights[l].T) * relu_prime(zs[l])

    for l in range(L):
        weights[l] -= lr * dW[l]
        biases[l] -= lr * db[l]

    if step % 25 == 0:
        print(step, loss)
