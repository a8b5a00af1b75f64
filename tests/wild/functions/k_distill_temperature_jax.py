import jax
import jax.numpy as jnp


def loss_and_gradients(params, x, labels, temperature=2.5):
    """Cross entropy of the softened softmax; softsign hidden units."""
    activations = [x]
    for W, b in params[:-1]:
        z = jnp.dot(activations[-1], W) + b
        activations.append(z / (1.0 + jnp.abs(z)))
    W, b = params[-1]
    logits = (jnp.dot(activations[-1], W) + b) / temperature
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    loss = -jnp.mean(jnp.sum(targets * log_probs, axis=-1))

    delta = (jnp.exp(log_probs) - targets) / x.shape[0]
    grads = []
    for layer in range(len(params) - 1, -1, -1):
        a = activations[layer]
        grads.append((jnp.dot(a.T, delta), jnp.sum(delta, axis=0)))
        if layer > 0:
            # d softsign / dz = 1 / (1 + |z|)^2 = (1 - |a|)^2
            delta = jnp.dot(delta, params[layer][0].T) * (1.0 - jnp.abs(a)) ** 2
    return loss, grads[::-1]
