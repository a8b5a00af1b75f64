import numpy as np


def softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def loss_and_gradients(params, x, labels):
    """Tanh MLP with a softmax on top. params = [(W, b), ...], returns (loss, [(dW, db), ...])."""
    B = x.shape[0]
    activations = [x]
    for i, (W, b) in enumerate(params):
        z = activations[-1] @ W + b
        if i < len(params) - 1:
            z = np.tanh(z)
        activations.append(z)

    probs = softmax(activations[-1])
    loss = -np.log(probs[np.arange(B), labels]).mean()

    delta = probs
    delta[np.arange(B), labels] -= 1
    delta /= B

    grads = []
    for i in range(len(params) - 1, -1, -1):
        grads.append((activations[i].T @ delta, delta.sum(axis=0)))
        if i > 0:
            delta = (delta @ params[i][0].T) * (1 - activations[i] ** 2)
    grads.reverse()
    return loss, grads
