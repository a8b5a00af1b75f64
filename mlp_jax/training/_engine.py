"""Training: minibatch gradient descent as one compiled program, driven by any optax optimiser.

A run is a pure function of (state, key, data, hyperparameters): `run_epochs` scans over epochs, an epoch scans
over its minibatches, and data are arguments, so nothing is compiled again for other data, keys or
hyperparameters. `train` is the thin host loop around it. Both can be vmapped over keys, parameters,
hyperparameters and data.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from mlp_jax import _doors
from mlp_jax._doors import ArrayLike
from mlp_jax.activations import Activation, relu
from mlp_jax.backpropagation import backprop
from mlp_jax.losses import Loss, cross_entropy
from mlp_jax.network import forward as plain_forward
from mlp_jax.training._batches import epoch_order, scan_batches
from mlp_jax.training._evaluation import Evaluation, evaluate_batches
from mlp_jax.training._recipe import (
    Examples,
    Functions,
    Settings,
    checked_examples,
    checked_hyperparameters,
    checked_settings,
)

ADAM = optax.adam(1e-3)  # Kingma & Ba (2015); 1e-3 is their setting, which trains most small networks


class History(NamedTuple):
    """What a run measured, one entry an epoch.

    Attributes:
      train_loss: the mean over examples of the losses seen during the epoch, while the parameters changed.
      validation_loss, validation_accuracy: after the epoch, on the validation set; None without one.
    """

    train_loss: Float[Array, " epochs"]
    validation_loss: Float[Array, " epochs"] | None
    validation_accuracy: Float[Array, " epochs"] | None


class TrainState(NamedTuple):
    """All that changes while training: parameters, the optimiser's state, and the epochs done."""

    params: PyTree
    optimizer_state: PyTree
    epoch: Int[Array, ""]


class TrainResult(NamedTuple):
    """The final parameters, the history by epoch, and what `record` returned, stacked by epoch."""

    params: PyTree
    history: History
    recorded: PyTree


def train(
    key: Array,
    params: PyTree,
    data: tuple[ArrayLike, ArrayLike],
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation] = ADAM,
    epochs: int = 10,
    batch_size: int = 32,
    activation: Activation = relu,
    loss: Loss = cross_entropy,
    gradient: Callable[..., tuple[Array, PyTree]] = backprop,
    forward: Callable[..., Array] = plain_forward,
    shuffle: bool = True,
    record: Callable[[PyTree, Array, Array], PyTree] | None = None,
    hyperparameters: Mapping[str, ArrayLike] | None = None,
    progress: Callable[[int, History], None] | None = None,
) -> TrainResult:
    """Train a network; the whole run is one compiled program.

    Args:
      key: a key of `jax.random`; it orders the examples. Epoch i uses fold_in(key, i).
      params: the parameters to start from, as `init_params` gives them. They stay usable.
      data: (x, targets), x (N, D) and targets labels (N,) or floats (N, C).
      validation: the same, measured after every epoch; None measures nothing.
      optimizer: an optax transformation, Adam at 1e-3 by default (one trace per object, since they have no
        equality); or a factory such as `optax.adam`, whose hyperparameters then come as traced values.
      epochs: passes over the data.
      batch_size: examples a step, 32 by default: small batches learn most from an epoch. The rest of an epoch
        is one smaller step with the mean over its own examples, so that every example counts once.
      activation: phi, handed to gradient and forward.
      loss: handed to gradient.
      gradient: gradient(params, x, targets, activation=, loss=) -> (loss, gradients): `backprop`, `autodiff`,
        or your own. A `jax.tree_util.Partial`'s arrays are arguments, so they may differ from run to run.
      forward: forward(params, x, activation=) -> logits, for the metrics and for optimisers that evaluate
        the loss. Another network than the MLP needs its own gradient too; its params may be any pytree.
      shuffle: whether every epoch sees the examples in a new order (a permutation made on the device). Full
        batches are never shuffled: their mean does not depend on the order.
      record: record(params, x, targets) -> any pytree, run on the training data after every epoch, inside the
        compiled program.
      hyperparameters: for a factory, numbers by argument name: {"learning_rate": 1e-3}. They are traced: one
        compilation for all values, and something to vmap over. What is no number goes into the factory:
        `functools.partial(optax.sgd, nesterov=True)`.
      progress: progress(epochs done, the `History` of the epochs since the last call), called on the host
        between compiled chunks of epochs, all of one length, a fiftieth of the run or less. Not under vmap or jit.

    Returns:
      `TrainResult(params, history, recorded)`.

    Raises:
      ValueError, TypeError: for data that do not fit the network or are not finite, labels outside [0, C) or
        not integers, an empty data set, counts below 1, hyperparameters the factory does not take, and a
        gradient whose result does not look like the parameters.

    Example:
      >>> from mlp_jax import init_params
      >>> x = jnp.array([[-1.0], [1.0]]); labels = jnp.array([0, 1])
      >>> params = init_params(jax.random.key(0), (1, 2))
      >>> result = train(jax.random.key(1), params, (x, labels), optimizer=optax.sgd(1.0), epochs=50)
      >>> bool(result.history.train_loss[-1] < 0.05)
      True
    """
    _doors.check_key(key)
    settings, functions, epochs = checked_settings(
        activation, loss, optimizer, batch_size, shuffle, epochs, gradient, forward, record, progress
    )
    params, data = checked_examples("data ", data, params, functions.forward, activation, loss)
    if validation is not None:
        width = data[0].shape[1]
        _, validation = checked_examples("validation ", validation, params, functions.forward, activation, loss, width)
    hyperparameters = checked_hyperparameters(hyperparameters, optimizer, params)

    state = init_state(params, hyperparameters, settings)
    chunk = epochs if progress is None else _divisor(epochs, at_most=max(1, epochs // 50))
    arguments = (key, data, validation, hyperparameters, functions)
    run = _run_jit_donating
    if _doors.is_traced((state, arguments)):
        run = _run_jit
        if progress is not None:
            raise ValueError("progress: expected none under jit or vmap, where there are no numbers to report")
    chunks = []
    for done in range(chunk, epochs + 1, chunk):
        state, measured = run(state, *arguments, settings, chunk)
        chunks.append(measured)
        if progress is not None:
            progress(done, measured[0])
    history, recorded = chunks[0] if len(chunks) == 1 else jax.tree.map(lambda *a: jnp.concatenate(a), *chunks)
    return TrainResult(state.params, history, recorded)


def run_epochs(
    state: TrainState,
    key: Array,
    data: Examples,
    validation: Examples | None,
    hyperparameters: dict[str, Array] | None,
    functions: Functions,
    settings: Settings,
    epochs: int,
) -> tuple[TrainState, tuple[History, PyTree]]:
    """Train for a number of epochs: the pure function that `train` compiles. It checks and donates nothing."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, tuple[History, PyTree]]:
        state, train_loss = _epoch(state, key, data, hyperparameters, functions, settings)
        measured: Evaluation | tuple[None, None] = (None, None)
        if validation is not None:
            measured = evaluate_batches(
                state.params, *validation, functions.forward, settings.activation, settings.loss
            )
        recorded = None if functions.record is None else functions.record(state.params, *data)
        return state, (History(train_loss, *measured), recorded)

    return jax.lax.scan(epoch, state, length=epochs)


_run_jit = jax.jit(run_epochs, static_argnames=("settings", "epochs"))
_run_jit_donating = jax.jit(run_epochs, static_argnames=("settings", "epochs"), donate_argnames="state")


def _epoch(
    state: TrainState,
    key: Array,
    data: Examples,
    hyperparameters: dict[str, Array] | None,
    functions: Functions,
    settings: Settings,
) -> tuple[TrainState, Float[Array, ""]]:
    """One pass over the data, a step a batch; returns the mean of the losses that it saw."""
    x, targets = data
    order = order_of_epoch(key, state.epoch, x.shape[0], settings)

    def step(carry: tuple[PyTree, PyTree], batch: Int[Array, " B"] | slice) -> tuple[tuple[PyTree, PyTree], Array]:
        return train_step(*carry, x[batch], targets[batch], hyperparameters, functions, settings)

    (params, optimizer_state), loss = scan_batches(
        step, (state.params, state.optimizer_state), order, settings.batch_size
    )
    return TrainState(params, optimizer_state, state.epoch + 1), loss


def order_of_epoch(key: Array, epoch: Int[Array, ""], examples: int, settings: Settings) -> Int[Array, " N"]:
    """Return the order in which an epoch sees its examples: as they are without shuffling, or in a full batch."""
    is_shuffled = settings.shuffle and settings.batch_size < examples
    return epoch_order(key, epoch, examples) if is_shuffled else jnp.arange(examples)


def train_step(
    params: PyTree,
    optimizer_state: PyTree,
    x: Float[Array, "B D"],
    targets: Array,
    hyperparameters: dict[str, Array] | None,
    functions: Functions,
    settings: Settings,
) -> tuple[tuple[PyTree, PyTree], Float[Array, ""]]:
    """One gradient and one update."""
    activation, loss = settings.activation, settings.loss
    result = functions.gradient(params, x, targets, activation=activation, loss=loss)
    _doors.check_gradients(result, params)
    value, gradients = result
    updates, optimizer_state = transformation_of(settings.optimizer, hyperparameters).update(
        gradients,
        optimizer_state,
        params,
        value=value,
        grad=gradients,
        value_fn=lambda params: loss(functions.forward(params, x, activation=activation), targets),
    )
    return (optax.apply_updates(params, updates), optimizer_state), value


def transformation_of(
    optimizer: Any, hyperparameters: dict[str, Array] | None
) -> optax.GradientTransformationExtraArgs:
    """Return what a ready transformation is, or what a factory makes of its hyperparameters."""
    return optax.with_extra_args_support(optimizer if hyperparameters is None else optimizer(**hyperparameters))


@partial(jax.jit, static_argnames="settings")
def init_state(params: PyTree, hyperparameters: dict[str, Array] | None, settings: Settings) -> TrainState:
    """A state of copies, so that it can be donated: the caller's arrays stay usable."""
    transformation = transformation_of(settings.optimizer, hyperparameters)
    state = TrainState(params, transformation.init(params), jnp.zeros((), jnp.int32))
    return jax.tree.map(jnp.copy, state)


def _divisor(number: int, at_most: int) -> int:
    """The largest divisor of a number up to a bound, so that all chunks are alike and one program serves all."""
    return next(d for d in range(at_most, 0, -1) if number % d == 0)
