"""Training: minibatch gradient descent as one compiled program, driven by any optax optimiser.

A run is a pure function of (state, key, data, hyperparameters). `run_epochs` scans over epochs, and an epoch scans
over its minibatches. Data are arguments, so nothing is compiled again for other data, keys or hyperparameters.
`train` is the thin host loop around `run_epochs`. Both can be vmapped over keys, parameters, hyperparameters and data.
"""

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from mlp_jax import _doors
from mlp_jax._programs import jit_of
from mlp_jax._types import ArrayLike
from mlp_jax._version import __version__
from mlp_jax.training._batches import epoch_order, scan_batches
from mlp_jax.training._checkpoints import Checkpoint, Saved, as_checkpoint, digest_of, opened
from mlp_jax.training._evaluation import evaluate_batches
from mlp_jax.training._recipe import Examples, Recipe, Static, Traced, as_examples_of, dtype_of, recipe_of, takes_recipe


class History(NamedTuple):
    """The measurements of a run, one entry per epoch.

    Attributes:
      train_loss: the mean over examples of the losses seen during the epoch, while the parameters changed.
      validation_loss, validation_accuracy: after the epoch, on the validation set; None without a set.
    """

    train_loss: Float[Array, " epochs"]
    validation_loss: Float[Array, " epochs"] | None
    validation_accuracy: Float[Array, " epochs"] | None


class Best(NamedTuple):
    """The parameters after the epoch with the least loss on validation data, that loss, and that epoch (from 1)."""

    params: PyTree
    loss: Float[Array, ""]
    epoch: Int[Array, ""]


class TrainState(NamedTuple):
    """The state of training, all that it needs to go on.

    Attributes:
      params: the parameters.
      optimizer_state: of the optimiser.
      epoch: the number of epochs done.
      best: the best parameters so far; None if the last ones are kept.
    """

    params: PyTree
    optimizer_state: PyTree
    epoch: Int[Array, ""]
    best: Best | None = None


class TrainResult(NamedTuple):
    """The result of a run.

    Attributes:
      params: the parameters after the last epoch, or with keep="best" after the best one.
      history: by epoch.
      recorded: what `record` returned, stacked by epoch.
      state: where `train` can go on; None for a run of a sweep.
    """

    params: PyTree
    history: History
    recorded: PyTree
    state: TrainState | None = None


RunFor = Callable[[int, TrainState], tuple[TrainState, tuple[History, PyTree]]]


@takes_recipe
def train(
    key: Array,
    params: PyTree | TrainState,
    data: tuple[ArrayLike, ArrayLike],
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    keep: Literal["last", "best"] = "last",
    checkpoint: Checkpoint | str | Path | None = None,
    progress: Callable[[int, History], None] | None = None,
    **recipe: Any,
) -> TrainResult:
    """Train a network; the whole run is one compiled program.

    Args:
      key: a key of `jax.random`, which orders the examples. Epoch i uses fold_in(key, i).
      params: the parameters to start from, as `init_params` gives them; or the `state` of a result, to go on from. They
        stay usable. With the same key and data, two runs of 5 epochs give the bits of one of 10.
      data: (x, targets), x (N, D) and targets labels (N,) or floats (N, C).
      validation: (x, targets) to measure after every epoch; None, the default, measures nothing.
      keep: "last", or "best", the parameters after the epoch with the least loss on `validation`.
      checkpoint: a `Checkpoint`, which says where and how often the run is saved; or a folder, to which each epoch is
        saved, and from which the run goes on. A run that was interrupted ends with the same bits. Needs Orbax. Not
        under vmap or jit.
      progress: progress(epochs done, the `History` of the epochs since the last call), called on the host between
        compiled chunks of epochs. All chunks have one length, at most a fiftieth of the run. If it raises, the run is
        saved first, if it has a checkpoint. Not under vmap or jit.
      recipe: how to train, by the names of `Recipe`: optimizer, hyperparameters, epochs, batch_size, activation, loss,
        gradient, forward, shuffle, record.

    Returns:
      `TrainResult(params, history, recorded, state)`.

    Raises:
      ValueError, TypeError: if the data do not fit the network, are empty or not finite, a label is outside [0, C) or
        not an integer, the recipe is wrong (see `Recipe`), the gradient's result does not look like the parameters, or
        the checkpoint is of another run.
      OSError: if a checkpoint cannot be written.
      ModuleNotFoundError: if there is to be a checkpoint, and Orbax is missing.

    Example:
      >>> from mlp_jax import init_params
      >>> x = jnp.array([[-1.0], [1.0]]); labels = jnp.array([0, 1])
      >>> params = init_params(jax.random.key(0), (1, 2))
      >>> result = train(jax.random.key(1), params, (x, labels), optimizer=optax.sgd(1.0), epochs=50)
      >>> bool(result.history.train_loss[-1] < 0.05)
      True
    """
    _doors.check_key(key)
    run = recipe_of("train", recipe)
    if progress is not None:
        _doors.check_function("progress", progress)
    _doors.check_choice("keep", keep, ("last", "best"))
    if keep == "best" and validation is None:
        raise _doors.mistake("keep", "'last' without validation data", "'best'", "give validation")
    network = (run.forward, run.activation, run.loss)
    start, params = (params, params.params) if isinstance(params, TrainState) else (None, params)
    params, data = as_examples_of("data", data, params, *network)
    if validation is not None:
        _, validation = as_examples_of("validation", validation, params, *network, data[0].shape[1])
    static, traced = run.static, run.traced(dtype_of(params))

    if start is not None:
        _check_start(start, traced, static)
    state = init_state(params, traced.hyperparameters, start, static=static, keep=keep)
    arguments = (key, data, validation, traced)
    is_traced = _doors.is_traced((state, arguments))
    for name, value in (("progress", progress), ("checkpoint", checkpoint)):
        if is_traced and value is not None:
            raise ValueError(f"{name}: expected None under jit or vmap, which have no numbers to report")

    def run_for(epochs: int, state: TrainState) -> tuple[TrainState, tuple[History, PyTree]]:
        with _doors.compiling(("activation", "loss", "gradient", "forward", "record")):
            return (_run_jit if is_traced else _run_jit_donating)(state, *arguments, static=static, epochs=epochs)

    def like(epochs: int) -> Any:
        return jax.eval_shape(partial(run_epochs, static=static, epochs=epochs), state, *arguments)

    if checkpoint is None:
        chunk = run.epochs if progress is None else _divisor(run.epochs, at_most=max(1, run.epochs // 50))
        state, measured = _in_chunks(run_for, state, None, range(chunk, run.epochs + 1, chunk), progress)
    else:
        chosen, decides = as_checkpoint(checkpoint), _decides(run, keep, state, arguments)
        state, measured = _checkpointed(run_for, like, state, chosen, decides, run.epochs, progress)
    history, recorded = measured
    return TrainResult(state.params if state.best is None else state.best.params, history, recorded, state)


def _checkpointed(
    run_for: RunFor,
    like: Callable[[int], PyTree],
    state: TrainState,
    checkpoint: Checkpoint,
    decides: Mapping[str, str],
    epochs: int,
    progress: Callable[[int, History], None] | None,
) -> tuple[TrainState, tuple[History, PyTree]]:
    """Run on from the last checkpoint, if there is one, and save. `like(n)` has the shapes of a run of n epochs."""
    every = checkpoint.every
    chunk = _divisor(every, at_most=max(1, epochs // 50) if progress else every)
    with opened(checkpoint, decides) as writer:
        saved = writer.read(like)
        state = state if saved is None else saved.state
        stops, saves = ([*range(step, epochs, step), epochs] for step in (chunk, every))
        return _in_chunks(run_for, state, saved, stops, progress, writer.save, saves)


def _in_chunks(
    run_for: RunFor,
    state: TrainState,
    saved: Saved | None,
    stops: Sequence[int],
    progress: Callable[[int, History], None] | None,
    save: Callable[[int, TrainState, PyTree], None] | None = None,
    saves: Container[int] = (),
) -> tuple[TrainState, tuple[History, PyTree]]:
    """Run from one stop to the next, and report and save there; also save when `progress` raises, as on Ctrl-C."""
    done, chunks = (0, []) if saved is None else (saved.epochs, [saved.measured])

    def joined() -> tuple[History, PyTree]:
        if len(chunks) > 1:  # on the host, since XLA would compile a program for each number of chunks
            chunks[:] = [jax.tree.map(lambda *a: np.concatenate(a), *chunks)]
        return chunks[0]

    for stop in stops:
        if stop <= done:
            continue
        state, measured = run_for(stop - done, state)
        chunks.append(measured)
        done = stop
        try:
            if progress is not None:
                progress(done, measured[0])
        except BaseException:
            if save is not None:
                save(done, state, joined())
            raise
        if save is not None and done in saves:
            save(done, state, joined())
    return state, jax.tree.map(jnp.asarray, joined())


def _decides(run: Recipe, keep: str, state: TrainState, arguments: tuple[Any, ...]) -> dict[str, str]:
    """Return what decides a run, as texts by name."""
    key, data, validation, traced = arguments
    params, optimizer_state = (" ".join(jax.tree.leaves(_kinds(tree))) for tree in state[:2])
    return {
        "version": __version__,
        "network": params,
        "initial parameters": digest_of(state.params),
        "optimizer": optimizer_state,
        "hyperparameters": str({name: float(value) for name, value in (traced.hyperparameters or {}).items()}),
        "epochs": str(run.epochs),
        "batch_size": str(run.batch_size),
        "activation": run.activation.name,
        "loss": run.loss.name,
        "shuffle": str(bool(run.shuffle)),
        "keep": keep,
        "key": str(jax.random.key_data(key).tolist()),
        "data": digest_of(data),
        "validation": digest_of(validation),
    }


def run_epochs(
    state: TrainState,
    key: Array,
    data: Examples,
    validation: Examples | None,
    traced: Traced,
    static: Static,
    epochs: int,
) -> tuple[TrainState, tuple[History, PyTree]]:
    """Train for a number of epochs, as the pure function that `train` compiles."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, tuple[History, PyTree]]:
        state, train_loss = one_epoch(state, key, data, traced, static)
        measured = None
        if validation is not None:
            measured = evaluate_batches(state.params, *validation, traced.forward, static.activation, static.loss)
        if state.best is not None and measured is not None:
            now = Best(state.params, measured.loss, state.epoch)
            state = state._replace(best=jax.tree.map(partial(jnp.where, now.loss < state.best.loss), now, state.best))
        recorded = None if traced.record is None else traced.record(state.params, *data)
        return state, (History(train_loss, *(measured or (None, None))), recorded)

    return jax.lax.scan(epoch, state, length=epochs)


_run_jit = jit_of(["static", "epochs"])(run_epochs)
_run_jit_donating = jit_of(["static", "epochs"], donate_argnames="state")(run_epochs)


def one_epoch(
    state: TrainState,
    key: Array,
    data: Examples,
    traced: Traced,
    static: Static,
) -> tuple[TrainState, Float[Array, ""]]:
    """Make one pass over the data, a step per batch, and return the mean of the losses seen."""
    x, targets = data
    order = order_of_epoch(key, state.epoch, x.shape[0], static)

    def step(carry: tuple[PyTree, PyTree], batch: Int[Array, " B"] | slice) -> tuple[tuple[PyTree, PyTree], Array]:
        return train_step(*carry, x[batch], targets[batch], traced, static)

    (params, optimizer_state), loss = scan_batches(
        step, (state.params, state.optimizer_state), order, static.batch_size
    )
    return state._replace(params=params, optimizer_state=optimizer_state, epoch=state.epoch + 1), loss


def order_of_epoch(key: Array, epoch: Int[Array, ""], examples: int, static: Static) -> Int[Array, " N"]:
    """Return the order of an epoch's examples, which is range(N) without shuffling or in a full batch."""
    is_shuffled = static.shuffle and static.batch_size < examples
    return epoch_order(key, epoch, examples) if is_shuffled else jnp.arange(examples)


def train_step(
    params: PyTree,
    optimizer_state: PyTree,
    x: Float[Array, "B D"],
    targets: Array,
    traced: Traced,
    static: Static,
) -> tuple[tuple[PyTree, PyTree], Float[Array, ""]]:
    """Compute one gradient and apply one update."""
    activation, loss = static.activation, static.loss
    result = traced.gradient(params, x, targets, activation=activation, loss=loss)
    _doors.check_gradients(result, params)
    value, gradients = result
    update = transformation_of(static.optimizer, traced.hyperparameters).update
    more = {
        "value": value,
        "grad": gradients,
        "value_fn": lambda params: loss.value(traced.forward(params, x, activation=activation), targets),
        "grad_fn": lambda params, _: traced.gradient(params, x, targets, activation=activation, loss=loss)[1],
    }
    updates, optimizer_state = update(gradients, optimizer_state, params, **_taken_by(update, more))
    return (optax.apply_updates(params, updates), optimizer_state), value


def _taken_by(function: Callable[..., Any], named: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a function names, and with **kwargs all but grad_fn, which optax.lbfgs refuses."""
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in named.items() if name in parameters or (takes_all and name != "grad_fn")}


def transformation_of(
    optimizer: Any, hyperparameters: dict[str, Array] | None
) -> optax.GradientTransformationExtraArgs:
    """Return a ready transformation unchanged, or a factory's transformation for its hyperparameters."""
    return optax.with_extra_args_support(optimizer if hyperparameters is None else optimizer(**hyperparameters))


@jit_of(["static", "keep"])
def init_state(
    params: PyTree,
    hyperparameters: dict[str, Array] | None,
    start: TrainState | None = None,
    *,
    static: Static,
    keep: str,
) -> TrainState:
    """Return a state to start at, of copies, which can be donated while the caller's arrays stay usable."""
    state = start
    if state is None:
        transformation = transformation_of(static.optimizer, hyperparameters)
        state = TrainState(params, transformation.init(params), jnp.zeros((), jnp.int32))
    if keep == "last":
        state = state._replace(best=None)
    elif state.best is None:
        dtype = jnp.promote_types(dtype_of(params), jnp.float32)  # of a mean over examples
        state = state._replace(best=Best(state.params, jnp.array(jnp.inf, dtype), state.epoch))
    return jax.tree.map(jnp.copy, state)


def _check_start(start: TrainState, traced: Traced, static: Static) -> None:
    """Check that a state to go on from is one of the run's optimiser."""
    init = transformation_of(static.optimizer, traced.hyperparameters).init
    if _kinds(jax.eval_shape(init, start.params)) != _kinds(start.optimizer_state):
        raise _doors.mistake("params", "a state of this run's optimizer", "another's", "give the optimizer of that run")


def _kinds(tree: PyTree) -> PyTree:
    """Return the dtype and shape of each leaf, as text."""
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)


def _divisor(number: int, at_most: int) -> int:
    """Return the largest divisor of `number` up to `at_most`, since chunks of one length share a program."""
    return next(d for d in range(at_most, 0, -1) if number % d == 0)
