import jax.numpy as jnp
import numpy as np


def linear(name):
    def fwd(p, x):
        def bwd(g):
            return g @ p[name + '.w'].T, {name + '.w': x.T @ g, name + '.b': g.sum(0)}
        return x @ p[name + '.w'] + p[name + '.b'], bwd
    return fwd


def silu():
    def fwd(p, x):
        s = 1 / (1 + jnp.exp(-x))
        def bwd(g):
            return g * (s + x * s * (1 - s)), {}
        return x * s, bwd
    return fwd


def huber(pred, target, delta=1.0):
    r = pred[:, 0] - target
    small = jnp.abs(r) <= delta
    loss = jnp.mean(jnp.where(small, 0.5 * r ** 2, delta * (jnp.abs(r) - 0.5 * delta)))
    def bwd():
        return (jnp.where(small, r, delta * jnp.sign(r)) / r.shape[0])[:, None]
    return loss, bwd


def run(net, p, x, target):
    tape = []
    for f in net:
        x, back = f(p, x)
        tape.append(back)
    loss, back = huber(x, target)
    g, grads = back(), {}
    for b in reversed(tape):
        g, gp = b(g)
        grads.update(gp)
    return loss, grads


rng = np.random.default_rng(2)
net = [linear('l1'), silu(), linear('l2'), silu(), linear('out')]
sizes = {'l1': (3, 10), 'l2': (10, 8), 'out': (8, 1)}
p = {}
for k, (i, o) in sizes.items():
    p[k + '.w'] = jnp.asarray(rng.normal(size=(i, o)) / np.sqrt(i))
    p[k + '.b'] = jnp.zeros(o)

X = rng.normal(size=(64, 3))
T = X[:, 0] * X[:, 1] + 2 * X[:, 2] + rng.standard_t(2, size=64)
X, T = jnp.asarray(X), jnp.asarray(T)

# sgd, with decoupled weight decay on the matrices
lr, wd = 0.1, 1e-2
for step in range(61):
    loss, grads = run(net, p, X, T)
    for k in p:
        if k.endswith('.w'):
            p[k] = p[k] * (1 - lr * wd)
        p[k] = p[k] - lr * grads[k]
    if step % 20 == 0:
        print(step, float(loss))
