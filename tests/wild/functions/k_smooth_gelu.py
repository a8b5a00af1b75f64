import numpy as np

C = np.sqrt(2 / np.pi)


def gelu(u):
    return 0.5 * u * (1 + np.tanh(C * (u + 0.044715 * u ** 3)))


def gelu_grad(u):
    t = np.tanh(C * (u + 0.044715 * u ** 3))
    return 0.5 * (1 + t) + 0.5 * u * (1 - t * t) * C * (1 + 3 * 0.044715 * u * u)


def loss_and_gradients(params, x, labels, smoothing=0.1):
    W1, b1, W2, b2 = params['W1'], params['b1'], params['W2'], params['b2']
    u = x @ W1 + b1
    h = gelu(u)
    z = h @ W2 + b2
    z = z - z.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    B, K = z.shape
    q = np.full((B, K), smoothing / K)
    q[np.arange(B), labels] += 1 - smoothing
    loss = -(q * logp).sum() / B

    dz = (np.exp(logp) - q) / B
    du = dz @ W2.T * gelu_grad(u)
    return loss, {'W1': x.T @ du, 'b1': du.sum(0), 'W2': h.T @ dz, 'b2': dz.sum(0)}


def init_params(rng, d=7, h=11, k=5):
    return {'W1': rng.normal(size=(d, h)) / np.sqrt(d), 'b1': np.zeros(h),
            'W2': rng.normal(size=(h, k)) / np.sqrt(h), 'b2': np.zeros(k)}
