"""The recipe of a run: everything except its key, parameters and data, in one frozen record that is checked once."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, PyTree

from mlp_jax import _doors
from mlp_jax.activations import Activation, relu
from mlp_jax.backpropagation import autodiff, backprop
from mlp_jax.losses import Loss, cross_entropy, targets_of
from mlp_jax.network import forward as plain_forward

F = TypeVar("F", bound=Callable[..., Any])
Optimizer: TypeAlias = optax.GradientTransformation | Callable[..., optax.GradientTransformation]
Examples = tuple[Array, Array]  # x (N, D) and targets: labels (N,) or floats (N, C)

ADAM = partial(optax.adam, learning_rate=1e-3)  # Kingma & Ba (2015); 1e-3 is their setting


@dataclass(frozen=True)
class Static:
    """The static part of a recipe; a change compiles another program."""

    activation: Activation
    loss: Loss
    optimizer: Any
    batch_size: int
    shuffle: bool


class Traced(NamedTuple):
    """The traced part of a recipe, the arguments of the compiled program.

    Attributes:
      hyperparameters: of the optimiser's factory, by name; None if the optimiser is a ready transformation.
      gradient, forward, record: the injected functions as `Partial`s, pytrees whose arrays are arguments.
    """

    hyperparameters: dict[str, Array] | None
    gradient: Partial
    forward: Partial
    record: Partial | None


@dataclass(frozen=True)
class Recipe:
    """The settings of a run. `train`, `sweep` and `find_divergence` take these fields as keywords.

    Attributes:
      optimizer: an optax transformation, or a factory such as `optax.adam` whose hyperparameters then are traced. The
        default is the factory of Adam at a learning rate of 1e-3, which trains most small networks. To try several
        rates give the factory: a ready transformation compiles one program per object, of about 7 MB, since optax's
        objects have no equality. The programs of the last 32 recipes are kept.
      hyperparameters: numbers for a factory by argument name, such as {"learning_rate": 1e-3}. One program serves all
        values, and they can be vmapped over. Give other arguments to the factory, as in
        `functools.partial(optax.sgd, nesterov=True)`.
      epochs: passes over the data.
      batch_size: examples per step. The default is 32: small batches learn most from an epoch. The remainder of an
        epoch is one smaller step with the mean over its own examples, so that every example counts once.
      activation: phi, passed to `gradient` and `forward`.
      loss: a `Loss`, passed to `gradient`.
      gradient: gradient(params, x, targets, activation=, loss=) -> (loss, gradients): `backprop`, `autodiff`, or your
        own. The arrays of a `jax.tree_util.Partial` are arguments, so they may differ from run to run.
      forward: forward(params, x, activation=) -> logits, for the metrics, and for optimisers that evaluate the loss. A
        network other than the MLP needs its own gradient too; its params may be any pytree.
      shuffle: if True, every epoch sees the examples in a new order, permuted on the device. Full batches are
        never shuffled, since their mean does not depend on the order.
      record: record(params, x, targets) -> any pytree, called on the training data after every epoch, inside the
        compiled program.

    Raises:
      ValueError, TypeError: if a count is below 1, a function cannot be called, the factory does not take the
        hyperparameters, or `gradient` is this library's while `forward` is not.

    Example:
      >>> Recipe(epochs=3).batch_size
      32
    """

    optimizer: Optimizer = ADAM
    hyperparameters: Mapping[str, Any] | None = None
    epochs: int = 10
    batch_size: int = 32
    activation: Activation = relu
    loss: Loss = cross_entropy
    gradient: Callable[..., tuple[Array, PyTree]] = backprop
    forward: Callable[..., Array] = plain_forward
    shuffle: bool = True
    record: Callable[[PyTree, Array, Array], PyTree] | None = None

    def __post_init__(self) -> None:
        _doors.check_record("activation", self.activation, Activation)
        _doors.check_record("loss", self.loss, Loss)
        for name in ("gradient", "forward"):
            _doors.check_function(name, getattr(self, name))
        if self.record is not None:
            _doors.check_function("record", self.record)
        if not is_plain(self.forward) and getattr(self.gradient, "func", self.gradient) in (backprop, autodiff):
            expected, got = "the gradient of your own forward", "one of mlp_jax.forward"
            cure = "give gradient(params, x, targets, activation, loss) -> (loss, gradients)"
            raise _doors.mistake("gradient", expected, got, cure)
        object.__setattr__(self, "batch_size", _doors.as_whole_number("batch_size", self.batch_size, at_least=1))
        object.__setattr__(self, "epochs", _doors.as_whole_number("epochs", self.epochs, at_least=1))
        _check_hyperparameters(self.hyperparameters, self.optimizer)

    @property
    def static(self) -> Static:
        """The static part of the recipe."""
        return Static(self.activation, self.loss, self.optimizer, self.batch_size, bool(self.shuffle))

    def traced(self, dtype: Any) -> Traced:
        """Return the traced part of the recipe, with hyperparameters as arrays in `dtype`."""
        hyperparameters = None
        if not isinstance(self.optimizer, optax.GradientTransformation):
            named = self.hyperparameters or {}
            hyperparameters = {
                name: _doors.as_number(f"hyperparameters[{name!r}]", value, dtype) for name, value in named.items()
            }
            result = self.optimizer(**hyperparameters)
            if not isinstance(result, optax.GradientTransformation):
                raise TypeError(f"optimizer: expected a factory of optax transformations, got {type(result).__name__}")
        gradient, forward, record = map(as_partial, (self.gradient, self.forward, self.record))
        return Traced(hyperparameters, gradient, forward, record)


def recipe_of(function: str, keywords: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a function's keywords, or raise if a keyword is unknown."""
    check_keywords(function, keywords)
    return Recipe(**keywords)


def check_keywords(function: str, keywords: Mapping[str, Any]) -> None:
    """Check that a function's keywords are fields of a recipe."""
    known = [field.name for field in fields(Recipe)]
    for name in keywords:
        if name not in known:
            cure = _doors.did_you_mean(name, known) or "known keywords are " + ", ".join(known)
            raise TypeError(f"{function}: got an unexpected keyword {name!r}; {cure}")


def takes_recipe(function: F) -> F:
    """Show a `Recipe`'s fields instead of **recipe in a function's signature, for help and completion."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    of_recipe = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(Recipe)
        if f.name not in signature.parameters
    ]
    function.__signature__ = signature.replace(parameters=[*own, *of_recipe])  # type: ignore[attr-defined]  # functions can
    return function


def as_partial(function: Callable[..., Any] | None) -> Any:
    """Return a function as a pytree whose arrays are arguments of the compiled program; None stays None."""
    return function if function is None or isinstance(function, Partial) else Partial(function)


def is_plain(forward: Callable[..., Any]) -> bool:
    """Return whether a forward pass is this library's, perhaps inside a Partial or jit."""
    return inspect.unwrap(getattr(forward, "func", forward)) is inspect.unwrap(plain_forward)


def _check_hyperparameters(hyperparameters: Any, optimizer: Any) -> None:
    """Check that `optimizer` is an optimiser, and that a factory takes the hyperparameters' names."""
    if isinstance(optimizer, optax.MultiSteps):
        cure = "call its .gradient_transformation()"
        raise TypeError(f"optimizer: expected an optax transformation or a factory, got optax.MultiSteps; {cure}")
    if isinstance(optimizer, optax.GradientTransformation):
        if hyperparameters:
            expected, got = "a factory such as optax.adam to take them", "a ready transformation"
            raise _doors.mistake("hyperparameters", expected, got, "give optimizer=optax.adam, not optax.adam(...)")
        return
    if not callable(optimizer):
        raise TypeError(f"optimizer: expected an optax transformation or a factory, got {type(optimizer).__name__}")
    if hyperparameters is not None and not isinstance(hyperparameters, Mapping):
        raise TypeError(f"hyperparameters: expected numbers by name, got {type(hyperparameters).__name__}")
    named = dict(hyperparameters or {})
    try:
        inspect.signature(optimizer).bind(**named)
    except TypeError as error:
        raise _doors.mistake("hyperparameters", "arguments of the optimizer's factory", f"{named} ({error})") from None


def as_examples_of(
    name: str,
    data: Any,
    params: PyTree,
    forward: Callable[..., Any],
    activation: Activation,
    loss: Loss,
    width: int | None = None,
) -> tuple[PyTree, Examples]:
    """Check (x, targets) against a network and a loss, once, and return params and examples.

    Args:
      name: "data", "validation", or "" for arguments that are called x and targets.
      data: (x, targets).
      params: as `init_params` gives them, or any pytree if `forward` is not this library's.
      forward: forward(params, x, activation=) -> logits.
      activation: phi.
      loss: the `Loss`, which checks float targets.
      width: D, if it is known and `forward` is not this library's.
    """
    is_optimizer = isinstance(data, optax.GradientTransformation)
    if is_optimizer or not isinstance(data, tuple | list) or len(data) != 2:
        got = f"{type(data).__name__} of length {len(data)}" if isinstance(data, tuple | list) else type(data).__name__
        raise TypeError(f"{name}: expected (x, targets), got {got}" + "; give it as optimizer=..." * is_optimizer)
    x_name, targets_name = f"{name} x".strip(), f"{name} targets".strip()
    if is_plain(forward):
        params = _doors.as_params(params)
        width, classes, dtype = params[0].weight.shape[0], params[-1].bias.shape[0], params[0].weight.dtype
        x = _doors.as_inputs(data[0], width, dtype, name=x_name)
    else:
        dtype = dtype_of(params)
        x = _doors.as_inputs(data[0], width, dtype, name=x_name)
        logits = jax.eval_shape(lambda params, x: forward(params, x, activation=activation), params, x)
        if getattr(logits, "ndim", None) != 2:
            raise _doors.mistake("forward", "it to return logits (B, C)", logits)
        classes = logits.shape[1]
    targets = targets_of(loss, data[1], x.shape[0], classes, dtype, targets_name)
    return params, (_on_device(x), _on_device(targets))


def _on_device(array: Any) -> Array:
    """Return a JAX array, moved to the device if it is on the host."""
    return array if isinstance(array, jax.Array) else jax.device_put(array)


def dtype_of(params: PyTree) -> Any:
    """Return the dtype of a network."""
    return jnp.result_type(*jax.tree.leaves(params))
