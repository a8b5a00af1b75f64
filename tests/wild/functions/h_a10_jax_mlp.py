"""Manual backward pass in jax.numpy. I compared the speed with jax.grad, that is why it exists."""
import jax
import jax.numpy as jnp


def forward(params, x):
    hs = [x]
    *hidden, last = params
    for W, b in hidden:
        hs.append(jnp.tanh(hs[-1] @ W + b))
    return hs, hs[-1] @ last[0] + last[1]


def loss_and_gradients(params, x, labels):
    hs, logits = forward(params, x)
    n, k = logits.shape
    target = jax.nn.one_hot(labels, k)
    logp = jax.nn.log_softmax(logits, axis=-1)
    loss = -jnp.sum(target * logp) / n

    delta = (jnp.exp(logp) - target) / n
    grads = []
    for h, (W, _) in zip(hs[::-1], params[::-1]):
        grads.append((h.T @ delta, delta.sum(0)))
        delta = delta @ W.T
    return loss, grads[::-1]
