"""A sweep: many runs of `train`, over seeds and settings, as few compiled programs on all devices.

Runs of equal shapes are a group with one program, called for one chunk of runs after another. Seeds, gains,
hyperparameters and data are its arguments. Whatever a run does, it does to itself alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from mlp_jax import _doors
from mlp_jax._doors import ArrayLike
from mlp_jax.activations import Activation, relu
from mlp_jax.backpropagation import backprop
from mlp_jax.losses import Loss, cross_entropy
from mlp_jax.network import forward as plain_forward
from mlp_jax.sweeps import _folder as folder_of_chunks
from mlp_jax.sweeps._memory import planned
from mlp_jax.sweeps._program import program_of, result_of_one
from mlp_jax.sweeps._result import SweepResult
from mlp_jax.sweeps._settings import Group, Setting, Shape, chunk_of, completed, grouped, zeros
from mlp_jax.training import _recipe
from mlp_jax.training._engine import TrainResult
from mlp_jax.training._recipe import Settings


def sweep(
    runs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    data: tuple[ArrayLike, ArrayLike],
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    optimizer: optax.GradientTransformation | Callable[..., optax.GradientTransformation] = optax.adam,
    epochs: int = 10,
    batch_size: int = 32,
    hidden: Sequence[int] = (128,),
    activation: Activation | str = relu,
    loss: Loss = cross_entropy,
    gradient: Callable[..., tuple[Array, PyTree]] = backprop,
    forward: Callable[..., Array] = plain_forward,
    shuffle: bool = True,
    record: Callable[[PyTree, Array, Array], PyTree] | None = None,
    hyperparameters: Mapping[str, ArrayLike] | None = None,
    classes: int | None = None,
    dtype: DTypeLike | None = None,
    folder: str | Path | None = None,
    memory: float | int | None = None,
    report: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SweepResult:
    """Train many networks, over a grid or a list of settings, as few compiled programs on all devices.

    JAX takes a CPU as one device. `jax.config.update("jax_num_cpu_devices", cores)`, before anything else is done with
    JAX, makes it one for each core, over which the runs are shared out; `mlp-jax sweep` does so by itself.

    A run may set, by name:

    - `seed` (default 0): with key_params, key_order = split(key(seed)) it draws the parameters by the one and orders
      the examples by the other, as `mlp-jax train --seed` does. `init_seed` and `order_seed` do each alone.
    - `gain` (default 1): multiplies the weights that were drawn, not the biases.
    - `examples` (default all): train on so many, drawn without replacement by `subset_seed` (default `seed`).
    - `hidden`, `activation` (a record or its name), `batch_size`: over the arguments of those names.
    - every hyperparameter of the optimizer's factory: learning_rate, weight_decay, b1, ...

    Runs of equal hidden, activation, batch_size, examples and names of hyperparameters share one compiled program, in
    which all else is traced: a second sweep with other values, or other data of that shape, compiles nothing.

    A run equals what `train` gives for it alone but for rounding: vmap has the same sums and matrix products computed
    in another order. Measured on digits, the losses of 10 epochs at 64-64-10 differ by a relative 1e-6 in float32 and
    2e-15 in float64. Where training is unstable it magnifies that: with up to two hidden layers and ten times Adam's
    usual rate to 0.1 and 4e-11. Runs do not touch each other at all, also where one diverges.

    Args:
      runs: a grid, {"seed": range(20), "learning_rate": [1e-4, 1e-3]}, whose product is taken, the last name fastest;
        or a list with one mapping for each run.
      data: (x, targets), as `train` takes them; all runs share one copy on each device.
      validation: the same, measured after every epoch; None measures nothing.
      optimizer: a factory, `optax.adam` by default, whose hyperparameters the runs set; or a ready transformation.
      epochs: passes over a run's examples.
      batch_size: examples a step.
      hidden: widths of the hidden layers; () is softmax regression.
      activation: phi.
      loss: as `train`; so are gradient, forward and shuffle. A `Partial`'s arrays are shared by all runs.
      gradient: as `train`.
      forward: as `train`; it gets the parameters that `init_params` draws.
      shuffle: as `train`.
      record: as `train`, record(params, x, targets) after every epoch, with the run's own examples.
      hyperparameters: those that all runs share, unless a run sets its own.
      classes: C; by default the targets' width, or the largest label of data and validation, plus 1.
      dtype: of the parameters; None is jax.numpy's default float.
      folder: where each finished chunk of runs is written at once, atomically, without pickle, under a hash of all
        that decides its numbers; the same call again loads what is there instead of computing it, with equal bits
        (other runs are other chunks; where memory is scarce, give `memory`, since it cuts them). Other
        files in it are left alone. Functions are known by the file that defines them, so lambdas, functions made in
        functions and ready transformations are an error; changes in what that file imports go unseen. Without a
        folder an interrupt loses all runs; with one it loses those at work.
      memory: bytes that the runs at work and all results may take together; by default half of what is free. It
        decides how many runs are at work at once.
      report: is called with lines of text: how the runs are grouped, and the estimate of their memory.
      progress: progress(runs done, runs in all), called after each chunk, on a CPU about twenty times where runs
        suffice; a GPU takes as many runs at once as its memory holds.

    Returns:
      `SweepResult`, which holds settings, histories, parameters and records of all runs in numpy arrays.

    Raises:
      ValueError, TypeError: as `train`; and for an empty list, an unknown name, a value that is none, more examples
        than there are, results that do not fit in memory, a folder that is a file, or a function that a folder cannot
        tell from another.

    Example:
      >>> x = jnp.array([[-1.0], [1.0]]); labels = jnp.array([0, 1])
      >>> grid = {"seed": range(3), "learning_rate": [1e-3, 1e-1]}
      >>> result = sweep(grid, (x, labels), hidden=(), epochs=50)
      >>> result.settings[1]["learning_rate"], result.history.train_loss.shape
      (0.1, (6, 50))
      >>> bool(result.run(1).history.train_loss[-1] < result.run(0).history.train_loss[-1])
      True
    """
    if _doors.is_traced((data, validation, hyperparameters, runs)):
        raise _doors.mistake("sweep", "to be called outside jit and vmap", "traced values", "vmap train instead")
    static, functions, epochs = _recipe.checked_settings(
        relu, loss, optimizer, batch_size, shuffle, epochs, gradient, forward, record, progress
    )
    _doors.check_function("report", report or print)
    if memory is not None:
        _doors.check_positive("memory", float(memory))
    path = None if folder is None else folder_of_chunks.opened(folder)
    dtype = str(jnp.zeros((), dtype).dtype)
    x, classes = _x_and_classes(data, validation, classes, dtype)
    defaults = {"hidden": hidden, "activation": activation, "batch_size": batch_size}
    settings = completed(runs, defaults, hyperparameters, optimizer, len(x))

    def shape_of(run: Setting) -> Shape:
        sizes = (x.shape[1], *run["hidden"], classes)
        of_run = Settings(run["activation"], loss, optimizer, run["batch_size"], static.shuffle)
        return Shape(sizes, run["examples"], epochs, dtype, of_run)

    groups = grouped(settings, shape_of, optimizer)
    first = groups[0].shape
    of_network = (zeros(first), functions.forward, first.settings.activation, loss)
    _, data = _recipe.checked_examples("data ", (x, data[1]), *of_network)
    if validation is not None:
        _, validation = _recipe.checked_examples("validation ", validation, *of_network, x.shape[1])
    shared = (data, validation, functions)
    plans = planned(groups, shared, memory, report or (lambda line: None))
    names = folder_of_chunks.names(groups, plans, shared) if path else [[""] * len(plan.starts) for plan in plans]
    done, held = 0, []
    for group, plan, of_chunks in zip(groups, plans, names, strict=True):
        program, one = program_of(group, plan, shared), result_of_one(group, shared)
        results = _empty(len(group.indices), one)
        for start, name in zip(plan.starts, of_chunks, strict=True):
            chunk = folder_of_chunks.load(path, name, _empty(plan.chunk, one)) if path else None
            if chunk is None:
                chunk = jax.device_get(program(chunk_of(group, start, plan.chunk)))
                if path:
                    folder_of_chunks.save(path, name, chunk)
            done += _fill(results, start, chunk)
            if progress is not None:
                progress(done, len(settings))
        held.append(results)
    return _assembled(settings, groups, held)


def _x_and_classes(data: Any, validation: Any, classes: Any, dtype: str) -> tuple[Array, int]:
    """Return x in the network's dtype, and C."""
    known = []
    for name, examples in (("data", data), ("validation", validation)):
        if examples is None and name == "validation":
            continue
        if not isinstance(examples, tuple | list) or len(examples) != 2:
            raise TypeError(f"{name}: expected (x, targets), got {type(examples).__name__}")
        targets = _doors.as_array(f"{name} targets", examples[1])
        is_labels = targets.ndim == 1 and targets.size and jnp.issubdtype(targets.dtype, jnp.integer)
        known.append(int(np.max(targets)) + 1 if is_labels else targets.shape[1] if targets.ndim == 2 else 1)
    x = _doors.as_inputs(data[0], None, dtype, name="data x")
    return x, max(1, *known) if classes is None else _doors.as_whole_number("classes", classes, at_least=1)


def _empty(count: int, one: PyTree) -> PyTree:
    """Return room for the results of so many runs."""
    return jax.tree.map(lambda a: np.empty((count, *a.shape), a.dtype), one)


def _fill(results: PyTree, start: int, chunk: PyTree) -> int:
    """Copy a chunk to its place, without what only filled it up; return its number of runs."""
    for into, new in zip(jax.tree.leaves(results), jax.tree.leaves(chunk), strict=True):
        place = into[start : start + len(new)]
        place[...] = new[: len(place)]
    return len(place)


def _assembled(settings: Sequence[Setting], groups: Sequence[Group], held: Sequence[TrainResult]) -> SweepResult:
    """Return the groups' results as one, the histories in the order of the runs."""
    order = np.argsort(np.concatenate([group.indices for group in groups]))
    history = jax.tree.map(lambda *parts: np.concatenate(parts)[order], *(results.history for results in held))
    return SweepResult(
        tuple(settings),
        history,
        tuple(group.indices for group in groups),
        tuple(results.params for results in held),
        tuple(results.recorded for results in held),
    )
