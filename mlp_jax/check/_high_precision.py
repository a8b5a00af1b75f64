"""The gradient of a whole small network by the chain rule in 50 digits: the truth to compare with."""

from typing import Any

import jax
import numpy as np

from mlp_jax import _doors, network
from mlp_jax._types import ArrayLike
from mlp_jax.activations import ACTIVATIONS, Activation, relu
from mlp_jax.backpropagation import as_examples
from mlp_jax.check._rules.finite_differences import float64_on_cpu
from mlp_jax.check._rules.oracles import Reference
from mlp_jax.losses import LOSSES, Loss, cross_entropy


def high_precision(
    params: Any,
    x: ArrayLike,
    targets: ArrayLike,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
    digits: int = 50,
) -> Reference:
    """Return loss and gradient of a whole network by mpmath, rounded to float64 at the end: the truth to compare with.

    Slow (thousands of multiplications a second), so for small networks and batches.

    Args:
      params: the layers, as for `backprop`.
      x: examples, (B, D).
      targets: labels (B,), probabilities or values (B, C), as for `backprop`.
      activation: one of `ACTIVATIONS`.
      loss: one of `LOSSES`.
      digits: decimal digits of the computation. 50 leave float64's 16 untouched by any cancellation in a network of
        usual size.

    Returns:
      A `Reference` whose error is half a unit in the last place.

    Raises:
      ValueError, TypeError: as `backprop`, and for an activation or a loss of your own, whose formula mpmath has not.

    Example:
      >>> params = (network.Layer(jnp.eye(2), jnp.zeros(2)),)
      >>> reference = high_precision(params, [[1.0, 1.0]], jnp.array([0]))
      >>> print(reference.value, reference.gradient[0].bias)  # log 2, p - one_hot(y)
      0.6931471805599453 [-0.5  0.5]
    """
    from mpmath import mp

    from mlp_jax.check import _mpmath_network as mpmath_network

    digits = _doors.as_whole_number("digits", digits, at_least=17)
    for name, record, known in (("activation", activation, ACTIVATIONS), ("loss", loss, LOSSES)):
        _doors.check_record(name, record, Activation if name == "activation" else Loss)
        if known.get(record.name) is not record:
            raise _doors.mistake(name, f"one of {', '.join(known)}", f"a record of your own, {record.name!r}")
    with float64_on_cpu():
        checked = as_examples(params=params, x=x, targets=targets, activation=activation, loss=loss)
        layers, t = checked["params"], checked["targets"]
        if t.ndim == 1:
            t = jax.nn.one_hot(t, layers[-1].bias.shape[0])
    with mp.workdps(digits):
        value, exact = mpmath_network.loss_and_gradient(
            [(np.asarray(w), np.asarray(b)) for w, b in layers],
            np.asarray(checked["x"]),
            np.asarray(t),
            activation.name,
            loss.name,
        )
        gradient = tuple(network.Layer._make(np.array(leaf, dtype=float) for leaf in layer) for layer in exact)
        value = float(value)
    error = jax.tree.map(lambda g: np.spacing(np.abs(g)) / 2, gradient)
    return Reference(value, gradient, error, jax.tree.map(lambda g: np.zeros(g.shape, bool), gradient))
