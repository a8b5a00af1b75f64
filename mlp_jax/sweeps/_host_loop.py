"""A sweep: many runs of `train`, over seeds and settings, in a few compiled programs on all devices.

Runs of equal shapes are a group with one program, called for one chunk of runs after another. Seeds, gains,
hyperparameters and data are the program's arguments. No run affects another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import PyTree

from mlp_jax import _doors
from mlp_jax._types import ArrayLike
from mlp_jax.sweeps import _folder
from mlp_jax.sweeps._memory import planned
from mlp_jax.sweeps._program import program_of, result_of_one
from mlp_jax.sweeps._result import SweepResult
from mlp_jax.sweeps._settings import Group, Setting, Shape, chunk_of, completed, grouped, zeros
from mlp_jax.training._engine import TrainResult
from mlp_jax.training._recipe import Recipe, Traced, as_examples_of, as_partial, check_keywords, takes_recipe


@takes_recipe
def sweep(
    runs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    data: tuple[ArrayLike, ArrayLike],
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    hidden: Sequence[int] = (128,),
    classes: int | None = None,
    dtype: DTypeLike | None = None,
    folder: str | Path | None = None,
    memory: float | int | None = None,
    log: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **recipe: Any,
) -> SweepResult:
    """Train many networks, over a grid or a list of settings, in a few compiled programs on all devices.

    JAX takes a CPU as one device. `jax.config.update("jax_num_cpu_devices", cores)`, called before JAX does anything
    else, makes it one device per core, and runs are distributed over them. `mlp-jax sweep` does so by itself.

    A run may set, by name:

    - `seed` (default 0): key_params, key_order = split(key(seed)); the first draws the parameters, the second orders
      the examples, as `mlp-jax train --seed` does. `init_seed` and `order_seed` set one of them only.
    - `gain` (default 1): multiplies the drawn weights, not the biases.
    - `examples` (default all): the number to train on, drawn without replacement by `subset_seed` (default `seed`).
    - `hidden`, `activation` (a record or its name), `batch_size`: instead of the arguments of those names.
    - every hyperparameter of the optimizer's factory: learning_rate, weight_decay, b1, ...

    Runs of equal hidden, activation, batch_size, examples and names of hyperparameters share one compiled program. All
    other settings are traced, so a second sweep with other values, or other data of that shape, compiles nothing.

    A run gives what `train` gives, except for rounding, since vmap computes sums in another order. On digits the
    losses of 10 epochs at 64-64-10 differ by a relative 1e-6 in float32 and 2e-15 in float64. Unstable training
    magnifies the difference: with up to two hidden layers and ten times Adam's usual rate, to 0.1 and 4e-11. A run that
    diverges does not affect the others.

    Args:
      runs: a grid, {"seed": range(20), "learning_rate": [1e-4, 1e-3]}, whose product is taken, the last name fastest;
        or a list with one mapping per run.
      data: (x, targets), as `train` takes them; all runs share one copy on each device.
      validation: (x, targets) to measure after every epoch; None, the default, measures nothing.
      hidden: widths of the hidden layers; () is softmax regression.
      classes: C; the default is the targets' width, or the largest label of data and validation, plus 1.
      dtype: the parameters' dtype; None is jax.numpy's default float.
      folder: a folder for finished chunks of runs, each written atomically, without pickle, under a hash of all that
        decides its numbers. The same call loads finished chunks, with equal bits, and computes the rest. Chunks depend
        on the list of runs and on `memory`. Set `memory` if free memory varies, or finished chunks will not be found
        again. Other files in the folder are not touched. A function is identified by the file that defines it; a change
        in that file's imports is not noticed. A lambda, a function defined in a function and a ready transformation are
        errors. Without a folder an interrupt loses all runs, and with one only those of the current chunk.
      memory: bytes for the runs in progress and all results together; the default is half of the free memory. It
        decides how many runs train at once.
      log: log(line), called with lines about the groups of runs and the estimate of their memory.
      progress: progress(runs done, runs in all), called after each chunk. A CPU has about twenty chunks if there are
        enough runs; a GPU runs as many at once as its memory holds.
      recipe: how to train, by the names of `Recipe`, as for `train`. `activation` may be a name. Runs that do not set
        `activation`, `batch_size` or a hyperparameter take it from here. `forward` gets the parameters that
        `init_params` draws. The default optimizer is Adam's factory at 1e-3, so runs may set
        `learning_rate`.

    Returns:
      A `SweepResult` with settings, histories, parameters and records of all runs in numpy arrays.

    Raises:
      ValueError, TypeError: as `train`, and if `runs` is empty, a name is unknown, a value has the wrong type,
        `examples` exceeds the data, the results do not fit in memory, `folder` is a file, or a folder is given and a
        function cannot be identified.

    Example:
      >>> x = jnp.array([[-1.0], [1.0]]); labels = jnp.array([0, 1])
      >>> grid = {"seed": range(3), "learning_rate": [1e-3, 1e-1]}
      >>> result = sweep(grid, (x, labels), hidden=(), epochs=50)
      >>> result.settings[1]["learning_rate"], result.history.train_loss.shape
      (0.1, (6, 50))
      >>> bool(result.run(1).history.train_loss[-1] < result.run(0).history.train_loss[-1])
      True
    """
    if _doors.is_traced((data, validation, recipe, runs)):
        raise _doors.mistake("sweep", "to be called outside jit and vmap", "traced values", "vmap train instead")
    check_keywords("sweep", recipe)
    for name, function in (("log", log), ("progress", progress)):
        if function is not None:
            _doors.check_function(name, function)
    if memory is not None:
        _doors.check_positive("memory", float(memory))
    path = None if folder is None else _folder.opened(folder)
    network = _doors.as_float_dtype("dtype", dtype)
    keywords: dict[str, Any] = {field.name: field.default for field in fields(Recipe)} | recipe
    extra = getattr(keywords["loss"], "extra_columns", 0)  # `Recipe` checks the loss below
    width, examples, classes = _sizes_of(data, validation, classes, extra)
    defaults = {"hidden": hidden} | {name: keywords[name] for name in ("activation", "batch_size")}
    settings = completed(runs, defaults, keywords["hyperparameters"], keywords["optimizer"], examples)

    def shape_of(run: Setting, recipe: Recipe) -> Shape:
        return Shape((width, *run["hidden"], classes), run["examples"], recipe.epochs, str(network), recipe.static)

    groups = grouped(settings, shape_of, keywords)
    shape = groups[0].shape
    of_network = (zeros(shape), keywords["forward"], shape.static.activation, shape.static.loss)
    _, data = as_examples_of("data", data, *of_network)
    if validation is not None:
        _, validation = as_examples_of("validation", validation, *of_network, width)
    traced = Traced(None, *(as_partial(keywords[name]) for name in Traced._fields[1:]))
    shared = (data, validation, traced)
    plans = planned(groups, shared, memory, log or (lambda line: None))
    names = _folder.names(groups, plans, shared) if path else [[""] * len(plan.starts) for plan in plans]
    done, results = 0, []
    for group, plan, of_chunks in zip(groups, plans, names, strict=True):
        program, run_shapes = program_of(group, plan, shared), result_of_one(group, shared)
        result = _empty(len(group.indices), run_shapes)
        for start, name in zip(plan.starts, of_chunks, strict=True):
            chunk = _folder.load(path, name, _empty(plan.chunk, run_shapes)) if path else None
            if chunk is None:
                chunk = jax.device_get(program(chunk_of(group, start, plan.chunk)))
                if path:
                    _folder.save(path, name, chunk)
            done += _fill(result, start, chunk)
            if progress is not None:
                progress(done, len(settings))
        results.append(result)
    return _assembled(settings, groups, results)


def _sizes_of(data: Any, validation: Any, classes: Any, extra: int) -> tuple[int, int, int]:
    """Return the width of x, the number of examples, and C, from shapes less `extra` columns and the largest label."""
    class_counts = [1]
    for name, examples in (("data", data), ("validation", validation)):
        if examples is None and name == "validation":
            continue
        if not isinstance(examples, tuple | list) or len(examples) != 2:
            raise TypeError(f"{name}: expected (x, targets), got {type(examples).__name__}")
        targets = _doors.as_array(f"{name} targets", examples[1])
        if targets.ndim == 2:
            class_counts.append(targets.shape[1] - extra)
        elif targets.ndim == 1 and targets.size and jnp.issubdtype(targets.dtype, jnp.integer):
            class_counts.append(int(np.max(targets)) + 1)
    x = _doors.as_examples(data[0], None, "data x")
    classes = max(class_counts) if classes is None else _doors.as_whole_number("classes", classes, at_least=1)
    return x.shape[1], x.shape[0], classes


def _empty(count: int, run_shapes: PyTree) -> PyTree:
    """Return empty arrays for the results of `count` runs."""
    return jax.tree.map(lambda a: np.empty((count, *a.shape), a.dtype), run_shapes)


def _fill(results: PyTree, start: int, chunk: PyTree) -> int:
    """Copy a chunk to its place, without its padding, and return its number of runs."""
    for into, new in zip(jax.tree.leaves(results), jax.tree.leaves(chunk), strict=True):
        place = into[start : start + len(new)]
        place[...] = new[: len(place)]
    return len(place)


def _assembled(settings: Sequence[Setting], groups: Sequence[Group], results: Sequence[TrainResult]) -> SweepResult:
    """Return the groups' results as one `SweepResult`, with histories in the order of the runs."""
    order = np.argsort(np.concatenate([group.indices for group in groups]))
    history = jax.tree.map(lambda *parts: np.concatenate(parts)[order], *(result.history for result in results))
    return SweepResult(
        tuple(settings),
        history,
        tuple(group.indices for group in groups),
        tuple(result.params for result in results),
        tuple(result.recorded for result in results),
    )
