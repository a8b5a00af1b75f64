"""What a run takes, checked at the door: its settings, functions, examples and hyperparameters."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, PyTree

from mlp_jax import _doors
from mlp_jax.activations import Activation
from mlp_jax.backpropagation import autodiff, backprop
from mlp_jax.losses import Loss, cross_entropy
from mlp_jax.network import Layer
from mlp_jax.network import forward as plain_forward

Examples = tuple[Array, Array]  # x (N, D) and targets: labels (N,) or floats (N, C)


class Functions(NamedTuple):
    """The injected behaviour, as `Partial`s: pytrees whose arrays are arguments of the compiled program."""

    gradient: Partial
    forward: Partial
    record: Partial | None


@dataclass(frozen=True)
class Settings:
    """What is static in a run: other values compile another program."""

    activation: Activation
    loss: Loss
    optimizer: Any
    batch_size: int
    shuffle: bool


def as_partial(function: Callable[..., Any]) -> Partial:
    """Return a function as a pytree whose arrays are arguments of the compiled program."""
    return function if isinstance(function, Partial) else Partial(function)


def is_plain(forward: Callable[..., Any]) -> bool:
    """Whether it is this library's forward, perhaps inside a Partial or jit."""
    return inspect.unwrap(getattr(forward, "func", forward)) is inspect.unwrap(plain_forward)


def checked_settings(
    activation: Any,
    loss: Any,
    optimizer: Any,
    batch_size: Any,
    shuffle: Any,
    epochs: Any,
    gradient: Any,
    forward: Any,
    record: Any,
    progress: Any,
) -> tuple[Settings, Functions, int]:
    """Return what is static in a run, its functions and its epochs, or raise."""
    _doors.check_record("activation", activation, Activation)
    _doors.check_record("loss", loss, Loss)
    _doors.check_function("gradient", gradient)
    _doors.check_function("forward", forward)
    _doors.check_function("record", record or plain_forward)
    _doors.check_function("progress", progress or plain_forward)
    if not is_plain(forward) and getattr(gradient, "func", gradient) in (backprop, autodiff):
        expected, got = "the gradient of your own forward", "one of mlp_jax.forward"
        cure = "give gradient(params, x, targets, activation, loss) -> (loss, gradients)"
        raise _doors.mistake("gradient", expected, got, cure)
    batch_size = _doors.as_whole_number("batch_size", batch_size, at_least=1)
    functions = Functions(as_partial(gradient), as_partial(forward), record and as_partial(record))
    settings = Settings(activation, loss, optimizer, batch_size, bool(shuffle))
    return settings, functions, _doors.as_whole_number("epochs", epochs, at_least=1)


def checked_examples(
    prefix: str,
    data: Any,
    params: PyTree,
    forward: Partial,
    activation: Activation,
    loss: Loss,
    width: int | None = None,
) -> tuple[PyTree, tuple[Array, Array]]:
    """Return params and (x, targets) as arrays that fit each other and the loss, or raise."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        got = f"{type(data).__name__} of length {len(data)}" if isinstance(data, tuple | list) else type(data).__name__
        raise TypeError(f"{prefix.strip()}: expected (x, targets), got {got}")
    plain = is_plain(forward)
    if plain:
        params = tuple(Layer(*layer) for layer in _doors.as_params(params))
        width = params[0].weight.shape[0]
    dtype = jnp.result_type(*jax.tree.leaves(params))
    x = _doors.as_inputs(data[0], width, dtype, name=f"{prefix}x")
    if plain:
        classes = params[-1].bias.shape[0]
    else:
        logits = jax.eval_shape(lambda params, x: forward(params, x, activation=activation), params, x)
        if getattr(logits, "ndim", None) != 2:
            raise _doors.mistake("forward", "it to return logits (B, C)", logits)
        classes = logits.shape[1]
    targets = _doors.as_targets(data[1], x.shape[0], classes, dtype, name=f"{prefix}targets")
    if loss is cross_entropy and targets.ndim == 2:
        _doors.check_probabilities(data[1])
    return params, (x, targets)


def checked_hyperparameters(hyperparameters: Any, optimizer: Any, params: PyTree) -> dict[str, Array] | None:
    """Return the hyperparameters as arrays in the parameters' dtype, or None for a ready transformation."""
    if isinstance(optimizer, optax.GradientTransformation):
        if hyperparameters:
            expected, got = "a factory such as optax.adam to take them", "a ready transformation"
            raise _doors.mistake("hyperparameters", expected, got, "give optimizer=optax.adam, not optax.adam(...)")
        return None
    if not callable(optimizer):
        raise TypeError(f"optimizer: expected an optax transformation or a factory, got {type(optimizer).__name__}")
    if hyperparameters is not None and not isinstance(hyperparameters, Mapping):
        raise TypeError(f"hyperparameters: expected numbers by name, got {type(hyperparameters).__name__}")
    named = dict(hyperparameters or {})
    try:
        inspect.signature(optimizer).bind(**named)
    except TypeError as error:
        raise _doors.mistake("hyperparameters", "what the optimizer's factory takes", f"{named} ({error})") from None
    dtype = jnp.result_type(*jax.tree.leaves(params))
    arrays = {name: _doors.as_number(f"hyperparameters[{name!r}]", value, dtype) for name, value in named.items()}
    made = optimizer(**arrays)
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(f"optimizer: expected a factory of optax transformations, got one of {type(made).__name__}")
    return arrays
