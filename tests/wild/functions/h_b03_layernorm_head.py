import numpy as np

EPS = 1e-5


def relu(u):
    return u * (u > 0)


def loss_and_gradients(params, x, targets_onehot):
    """ Linear -> LayerNorm -> ReLU -> Linear -> softmax cross-entropy """
    n = x.shape[0]

    z = x @ params['lin1']['W'] + params['lin1']['b']
    mu = z.mean(axis=-1, keepdims=True)
    var = z.var(axis=-1, keepdims=True)
    rstd = 1.0 / np.sqrt(var + EPS)
    norm = (z - mu) * rstd
    u = norm * params['ln']['gamma'] + params['ln']['beta']
    h = relu(u)
    logits = h @ params['lin2']['W'] + params['lin2']['b']
    logits -= logits.max(axis=-1, keepdims=True)
    probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    loss = -(targets_onehot * np.log(probs)).sum() / n

    dlogits = (probs - targets_onehot) / n
    grads = {'lin2': {'W': h.T @ dlogits, 'b': dlogits.sum(0)}}
    du = (dlogits @ params['lin2']['W'].T) * (u > 0)
    grads['ln'] = {'gamma': (du * norm).sum(0), 'beta': du.sum(0)}
    dnorm = du * params['ln']['gamma']
    dz = rstd * (dnorm - dnorm.mean(axis=-1, keepdims=True))
    grads['lin1'] = {'W': x.T @ dz, 'b': dz.sum(0)}
    return loss, grads


def _point(seed=5):
    g = np.random.default_rng(seed)
    params = {
        'lin1': {'W': g.normal(size=(5, 6)) * 0.5, 'b': g.normal(size=6) * 0.3},
        'ln': {'gamma': 1 + 0.2 * g.normal(size=6), 'beta': 0.2 * g.normal(size=6)},
        'lin2': {'W': g.normal(size=(6, 3)) * 0.5, 'b': g.normal(size=3) * 0.3},
    }
    return params, g.normal(size=(8, 5)), np.eye(3)[g.integers(0, 3, 8)]


POINT = _point()
