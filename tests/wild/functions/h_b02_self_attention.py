"""Single-head self attention followed by a linear probe, in jax.numpy, backward pass by hand."""
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def attention(p, x):
    q = jnp.einsum("btd,dk->btk", x, p["wq"])
    k = jnp.einsum("btd,dk->btk", x, p["wk"])
    v = jnp.einsum("btd,dk->btk", x, p["wv"])
    s = jnp.einsum("bik,bjk->bij", q, k) / jnp.sqrt(q.shape[-1])
    a = jax.nn.softmax(s, axis=-1)
    return q, k, v, a, jnp.einsum("bij,bjk->bik", a, v)


def loss_and_gradients(p, x, y):
    q, k, v, a, ctx = attention(p, x)
    out = ctx @ p["wo"]
    diff = out - y
    loss = jnp.mean(diff ** 2)

    dout = 2.0 * diff / diff.size
    dwo = jnp.einsum("btk,btm->km", ctx, dout)
    dctx = dout @ p["wo"].T
    da = jnp.einsum("bik,bjk->bij", dctx, v)
    dv = jnp.einsum("bij,bik->bjk", a, dctx)
    ds = a * (da - jnp.sum(da * a, axis=-1, keepdims=True))
    ds = ds / jnp.sqrt(q.shape[-1])
    dq = jnp.einsum("bij,bjk->bik", ds, k)
    dk = jnp.einsum("bij,bik->bjk", ds, q)
    proj = lambda g: jnp.einsum("btd,btk->dk", x, g)
    return loss, {"wq": proj(dq), "wk": proj(dk), "wv": proj(dv), "wo": dwo}


r = np.random.default_rng(21)
POINT = (
    {"wq": r.normal(size=(4, 3)), "wk": r.normal(size=(4, 3)),
     "wv": r.normal(size=(4, 3)), "wo": r.normal(size=(3, 2))},
    r.normal(size=(2, 5, 4)),
    r.normal(size=(2, 5, 2)),
)
