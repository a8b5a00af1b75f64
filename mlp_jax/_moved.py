"""Flat names of the last release that now live in a namespace. The next release removes them."""

import warnings
from importlib import import_module
from typing import Any

_MOVED = {
    "activations": "ACTIVATIONS gelu gelu_tanh identity leaky_relu silu sin softplus",
    "backpropagation": "BackwardTrace",
    "check": "Finding LeafComparison Reference central_differences complex_step high_precision",
    "derivatives": (
        "fisher_vector_product gauss_newton_vector_product hessian_vector_product input_gradient "
        "logits_input_jacobian logits_jacobian logits_jvp logits_vjp per_example_gradient_norms "
        "per_example_gradients softmax_jacobian"
    ),
    "losses": "LOSSES softmax_jvp",
    "network": "Trace",
    "training": "TrainState",
}
_PLACES = {name: (namespace, name) for namespace, names in _MOVED.items() for name in names.split()} | {
    "derivatives_by_autodiff": ("derivatives", "by_autodiff")
}


def __getattr__(name: str) -> Any:
    """Return the object of a flat name, and warn with its new place."""
    if name not in _PLACES:
        raise AttributeError(f"module 'mlp_jax' has no attribute {name!r}")
    namespace, new = _PLACES[name]
    warnings.warn(f"mlp_jax.{name} is now mlp_jax.{namespace}.{new}", DeprecationWarning, stacklevel=2)
    return getattr(import_module(f"mlp_jax.{namespace}"), new)
