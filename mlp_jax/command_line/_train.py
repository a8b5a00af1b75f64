"""`mlp-jax train`: train a network, and say how well it does on data that it has not seen."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlp_jax.command_line._common import (
    OPTIMIZERS,
    default_epochs,
    describe_data,
    keep_compiled_programs,
    optimizer_factory,
)


def train(
    *,
    data: str = "digits",
    hidden: tuple[int, ...] = (128, 128),
    activation: str = "relu",
    epochs: int | None = None,
    batch_size: int = 32,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    schedule: Literal["cosine", "constant"] = "cosine",
    weight_decay: float | None = None,
    label_smoothing: float = 0.0,
    loss: str = "cross_entropy",
    gradient: Literal["backprop", "autodiff"] = "backprop",
    seed: int = 0,
    split_seed: int = 0,
    label: str | None = None,
    dtype: Literal["float32", "float64"] = "float32",
    output: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Train a network, and say how well it does on data that it has not seen.

    Args:
      data: digits, mnist, mnist1d, or the path of a .csv or .npz file.
      hidden: the widths of the hidden layers; none for softmax regression.
      activation: identity, sigmoid, tanh, relu, leaky_relu, softplus, silu, gelu, gelu_tanh or sin.
      epochs: passes over the training data; by default as many as make 2,000 steps, and at least 10.
      batch_size: examples a step.
      optimizer: adam, adamw, sgd, or momentum (0.9, Nesterov's).
      learning_rate: the optimiser's, at the start.
      schedule: cosine lets the learning rate fall to 0 along half a cosine (Loshchilov & Hutter, 2017), which
        gains half a percent on MNIST; constant leaves it as it is.
      weight_decay: adamw's; by default 1e-4.
      label_smoothing: the share of every label that is spread over all classes.
      loss: cross_entropy or squared_error.
      gradient: derived by hand, or by jax.grad.
      seed: draws the parameters and orders the examples.
      split_seed: draws the train, validation and test examples of digits and of files.
      label: the name of a CSV's label column; by default the last.
      dtype: of parameters and data.
      output: where to write the trained network, a .safetensors file.
      overwrite: whether an output that exists may be replaced.
    """
    import jax
    import optax

    jax.config.update("jax_enable_x64", dtype == "float64")
    keep_compiled_programs()
    import mlp_jax
    from mlp_jax import _doors, _files, datasets
    from mlp_jax.datasets import _model_file

    _doors.check_choice("activation", activation, mlp_jax.activations.ACTIVATIONS)
    _doors.check_choice("loss", loss, mlp_jax.losses.LOSSES)
    _doors.check_choice("optimizer", optimizer, OPTIMIZERS)
    if weight_decay is not None:
        _doors.check_positive("weight-decay", weight_decay)
        if optimizer != "adamw":
            raise _doors.mistake("weight-decay", "it with --optimizer adamw alone", optimizer)
    for width in hidden:
        _doors.as_whole_number("hidden", width, at_least=1)
    _doors.as_whole_number("epochs", 1 if epochs is None else epochs, at_least=1)
    _doors.as_whole_number("batch-size", batch_size, at_least=1)
    _doors.check_positive("learning-rate", learning_rate)
    _doors.check_seed("seed", seed)
    _doors.check_seed("split-seed", split_seed)
    _doors.as_fraction("label-smoothing", label_smoothing)
    _files.check_output(output, overwrite)
    dataset = datasets.load(data, label, seed=split_seed, dtype=np.dtype(dtype), log=print)
    classes = len(dataset.classes)
    sizes = (dataset.train.x.shape[1], *hidden, classes)
    phi, loss_record = mlp_jax.activations.ACTIVATIONS[activation], mlp_jax.losses.LOSSES[loss]
    key_params, key_run = jax.random.split(jax.random.key(seed))
    params = mlp_jax.init_params(key_params, sizes, phi, dtype=dtype)
    describe_data(dataset)
    count = sum(a * b + b for a, b in pairwise(sizes))
    print(f"network {'-'.join(map(str, sizes))} {activation}, {count:,} parameters")

    targets: Any = dataset.train.labels
    if label_smoothing:
        targets = mlp_jax.smooth_labels(targets, classes, label_smoothing)
    epochs = default_epochs(len(dataset.train.x), batch_size) if epochs is None else epochs
    steps = -(-len(dataset.train.x) // batch_size)  # an epoch
    rate = optax.cosine_decay_schedule(learning_rate, epochs * steps) if schedule == "cosine" else learning_rate
    keywords = {} if weight_decay is None else {"weight_decay": weight_decay}
    run: dict[str, Any] = dict(
        optimizer=optimizer_factory(optimizer)(rate, **keywords),
        epochs=epochs,
        batch_size=batch_size,
        activation=phi,
        loss=loss_record,
        gradient=getattr(mlp_jax, gradient),
    )
    start = time.perf_counter()
    with progress_bar(epochs, len(dataset.train.x)) as progress:
        examples = (dataset.train.x, targets)
        result = mlp_jax.train(key_run, params, examples, validation=dataset.validation, progress=progress, **run)
        jax.block_until_ready(result)
    seconds = time.perf_counter() - start
    print(f"trained {epochs} epochs in {seconds:.1f} s, compilation included")
    numbers = (result.params, result.history.train_loss)
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(numbers)):
        found = mlp_jax.find_divergence(key_run, params, examples, **run) or "a number is not finite"
        print(
            f"diverged: {found}; nothing is written; --learning-rate was {learning_rate:g}",
            file=sys.stderr,
        )
        sys.exit(1)
    for name in ("train", "validation", "test"):
        x, labels = getattr(dataset, name)
        measured = mlp_jax.evaluate(result.params, x, labels, activation=phi, loss=loss_record)
        print(f"{name} loss {measured.loss:.4f}")
        print(f"{name} accuracy {100 * measured.accuracy:.2f} %")
    if output is not None:
        fields = {name: getattr(dataset, name) for name in ("mean", "scale", "classes", "features", "label")}
        _model_file.save_model(output, _model_file.Model(result.params, activation, **fields), mlp_jax.__version__)
        print(f"wrote {output}")


@contextmanager
def progress_bar(epochs: int, examples: int) -> Iterator[Callable[[int, Any], None]]:
    """Yield a function for `train`'s progress that draws a bar on the error stream, or nothing if nobody looks."""
    import jax
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, history: jax.block_until_ready(history) and None  # Ctrl-C is heard between chunks
        return
    columns = (TextColumn("epoch {task.completed}/{task.total}"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("compiling", total=epochs)
        clock = [(0, 0.0)]  # (epochs done, seconds) at the last two reports: the first includes compilation

        def report(done: int, history: Any) -> None:
            loss, validation_loss, accuracy = (float(np.asarray(values)[-1]) for values in history)
            (before, then), now = clock[-1], time.perf_counter()
            clock.append((done, now))
            text = f"loss {loss:.4f} validation {validation_loss:.4f} {100 * accuracy:.2f} %"  # fits 80 columns
            if before:
                text += f" {(done - before) * examples / (now - then):,.0f} examples/s"
            bar.update(task, completed=done, description=text)

        yield report
