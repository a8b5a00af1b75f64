"""Robust regression: softplus MLP + Huber loss, jax.numpy only as a fast numpy.

(I wanted to do the derivatives myself to make sure I understand them.)
"""
import numpy as onp
import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)

DELTA = 0.5


def softplus(z):
    return jnp.logaddexp(z, 0.0)


def dsoftplus(z):
    return 1.0 / (1.0 + jnp.exp(-z))


def predict(theta, x):
    (w1, b1), (w2, b2) = theta
    return softplus(x @ w1.T + b1) @ w2.T + b2


def huber(r):
    a = jnp.abs(r)
    return jnp.where(a <= DELTA, 0.5 * r ** 2, DELTA * (a - 0.5 * DELTA))


def objective(theta, x, y):
    return jnp.sum(huber(predict(theta, x) - y)) / y.shape[0]


@jax.jit
def gradients(theta, x, y):
    (w1, b1), (w2, b2) = theta
    z = x @ w1.T + b1
    h = softplus(z)
    r = h @ w2.T + b2 - y
    dr = jnp.clip(r, -DELTA, DELTA) / y.shape[0]
    dz = (dr @ w2) * dsoftplus(z)
    return ((dz.T @ x, dz.sum(0)), (dr.T @ h, dr.sum(0)))


def toy(seed=0, n=90):
    rng = onp.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 2))
    y = x[:, :1] ** 2 - x[:, 1:] + 0.1 * rng.normal(size=(n, 1))
    y[::15] += 8.0          # outliers
    theta = ((0.7 * rng.normal(size=(12, 2)), onp.zeros(12)),
             (0.4 * rng.normal(size=(1, 12)), onp.zeros(1)))
    return jnp.asarray(x), jnp.asarray(y), jax.tree_util.tree_map(jnp.asarray, theta)


if __name__ == "__main__":
    x, y, theta = toy()
    for k in range(400):
        if k % 100 == 0:
            print(k, float(objective(theta, x, y)))
        lr = 0.2 / (1 + 0.002 * k)
        theta = jax.tree_util.tree_map(lambda t, g: t - lr * g, theta, gradients(theta, x, y))
    print("final", float(objective(theta, x, y)))
