"""The command line: `mlp-jax check`, `train` and `predict`, the same as `python -m mlp_jax`.

It parses, calls the library, and prints. A user's mistake is one line on the error stream and exit status 2.
"""

import csv
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

OPTIMIZERS = ("adam", "adamw", "sgd", "momentum")


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
    import mlp_jax
    from mlp_jax import datasets, model_file, user_files, validation

    validation.choice("activation", activation, mlp_jax.ACTIVATIONS)
    validation.choice("loss", loss, mlp_jax.LOSSES)
    validation.choice("optimizer", optimizer, OPTIMIZERS)
    if weight_decay is not None:
        validation.positive("weight-decay", weight_decay)
        if optimizer != "adamw":
            raise validation.mistake("weight-decay", "it with --optimizer adamw alone", optimizer)
    for width in hidden:
        validation.whole_number("hidden", width, at_least=1)
    validation.whole_number("epochs", 1 if epochs is None else epochs, at_least=1)
    validation.whole_number("batch-size", batch_size, at_least=1)
    validation.positive("learning-rate", learning_rate)
    validation.seed("seed", seed)
    validation.seed("split-seed", split_seed)
    validation.fraction("label-smoothing", label_smoothing)
    user_files.check_output(output, overwrite)
    dataset = datasets.load(data, label, seed=split_seed, dtype=np.dtype(dtype), report=print)
    classes = len(dataset.classes)
    sizes = (dataset.train.x.shape[1], *hidden, classes)
    phi, loss_record = mlp_jax.ACTIVATIONS[activation], mlp_jax.LOSSES[loss]
    key_params, key_run = jax.random.split(jax.random.key(seed))
    params = mlp_jax.init_params(key_params, sizes, phi, dtype=dtype)
    print(
        f"data {dataset.name}: {len(dataset.train.x):,} train, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test examples, {sizes[0]} features, {classes} classes"
    )
    count = sum(a * b + b for a, b in pairwise(sizes))
    print(f"network {'-'.join(map(str, sizes))} {activation}, {count:,} parameters")

    targets: Any = dataset.train.labels
    if label_smoothing:
        targets = mlp_jax.smooth_labels(targets, classes, label_smoothing)
    steps = -(-len(dataset.train.x) // batch_size)  # an epoch
    epochs = max(10, -(-2000 // steps)) if epochs is None else epochs
    rate = optax.cosine_decay_schedule(learning_rate, epochs * steps) if schedule == "cosine" else learning_rate
    keywords = {} if weight_decay is None else {"weight_decay": weight_decay}
    start = time.perf_counter()
    with progress_bar(epochs, len(dataset.train.x)) as progress:
        result = mlp_jax.train(
            key_run,
            params,
            (dataset.train.x, targets),
            validation=dataset.validation,
            optimizer=optimizer_factory(optimizer)(rate, **keywords),
            epochs=epochs,
            batch_size=batch_size,
            activation=phi,
            loss=loss_record,
            gradient={"backprop": mlp_jax.backprop, "autodiff": mlp_jax.autodiff}[gradient],
            progress=progress,
        )
        jax.block_until_ready(result)
    seconds = time.perf_counter() - start
    print(f"trained {epochs} epochs in {seconds:.1f} s, compilation included")
    bad = np.flatnonzero(~np.isfinite(np.asarray(result.history.train_loss)))
    if bad.size:
        print(
            f"diverged: the training loss is not finite from epoch {bad[0] + 1} on; nothing is written; "
            f"try a smaller --learning-rate than {learning_rate:g}",
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
        model_file.save_model(output, model_file.Model(result.params, activation, **fields), mlp_jax.__version__)
        print(f"wrote {output}")


def predict(
    model: Path,
    data: str,
    /,
    *,
    output: Path | None = None,
    probabilities: bool = False,
    overwrite: bool = False,
    activation: str | None = None,
    mean: tuple[float, ...] | None = None,
    scale: tuple[float, ...] | None = None,
    classes: tuple[str, ...] | None = None,
) -> None:
    """Apply a trained network to new data, and write its predictions as CSV.

    Args:
      model: the .safetensors file that `train --output` wrote.
      data: a .csv with the columns that it was trained on, an .npz with x, or digits, mnist or mnist1d, whose
        test examples are then taken. Where labels are present, the accuracy is printed.
      output: the CSV to write; by default it is printed.
      probabilities: whether to add a column with the probability of every class.
      overwrite: whether an output that exists may be replaced.
      activation: for a file that does not say: the hidden layers' activation.
      mean: for a file that does not say: what to subtract from the data, one number or one a column.
      scale: for a file that does not say: what to divide by then.
      classes: for a file that does not say: the names of the classes.
    """
    import jax

    jax.config.update("jax_enable_x64", True)  # a float64 network is applied as such; float32 stays float32
    import mlp_jax
    from mlp_jax import datasets, model_file, user_files
    from mlp_jax.validation import mistake

    user_files.check_output(output, overwrite, inputs=(model, data))
    given = {"activation": activation, "mean": mean, "scale": scale, "classes": classes}
    network = model_file.load_model(model, **given)
    x, labels = read_data(data, network.features, network.label)
    fan_in, dtype = network.params[0].weight.shape[0], network.params[0].weight.dtype
    if x.shape[1] != fan_in:
        raise mistake(data, f"the {fan_in} features that {model} was trained on", x.shape[1])
    x = datasets.standardise(x, network.mean, network.scale, dtype)
    logits = mlp_jax.forward(network.params, x, mlp_jax.ACTIVATIONS[network.activation])
    indices = np.asarray(mlp_jax.predict(logits))
    if (indices < 0).any():  # -1: never the last class
        raise mistake(model, "finite logits", f"NaN for row {indices.argmin()} of {data} (counted from 0)")
    predicted = [network.classes[i] for i in indices]
    rows: list[Sequence[Any]] = [[name] for name in predicted]
    header = ["prediction"]
    if probabilities:
        header += [f"probability {name}" for name in network.classes]
        rows = [[*row, *p] for row, p in zip(rows, np.asarray(mlp_jax.softmax(logits)).tolist(), strict=True)]
    if output is None:
        write_csv(sys.stdout, header, rows)
    else:
        with output.open("w", encoding="utf-8", newline="") as file:
            write_csv(file, header, rows)
        print(f"wrote {output}: {len(rows):,} predictions")
    if labels is not None:
        accuracy = np.mean([name == label for name, label in zip(predicted, labels, strict=True)])
        print(f"accuracy {100 * accuracy:.2f} %", file=sys.stderr if output is None else sys.stdout)


def read_data(data: str, features: Sequence[str], label: str) -> tuple[np.ndarray, Sequence[str] | None]:
    """Return raw x and, where present, the labels' texts, of a file or of a named data set's test examples."""
    from mlp_jax import datasets, user_files

    if data.lower().endswith(".csv"):
        raw = user_files.read_csv(data, features or None, label or None)
        return raw.x, raw.labels
    if data.lower().endswith(".npz"):
        raw = user_files.read_npz(data)
        return raw.x, raw.labels
    dataset = datasets.load(data, dtype=np.float64, report=partial(print, file=sys.stderr))
    x = np.where(np.isfinite(dataset.scale), dataset.test.x * dataset.scale, 0) + dataset.mean
    return x, [dataset.classes[i] for i in dataset.test.labels]


def write_csv(file: Any, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a header and rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def optimizer_factory(name: str) -> Callable[..., Any]:
    """Return the optax factory of that name."""
    import optax

    momentum = partial(optax.sgd, momentum=0.9, nesterov=True)
    return {"adam": optax.adam, "adamw": optax.adamw, "sgd": optax.sgd, "momentum": momentum}[name]


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


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that cannot show a character shows another
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, interrupted)
    try:
        tyro, *_ = map(import_module, ("tyro", "rich", "safetensors"))
    except ModuleNotFoundError as error:
        sys.exit(_fail(f"the command line needs {error.name}: pip install 'mlp_jax[cli]'"))
    try:
        from mlp_jax.diagnosis.command import check

        tyro.extras.subcommand_cli_from_dict(
            {"check": check, "train": train, "predict": predict},
            prog="mlp-jax",
            description="Check hand-written backward passes, and train multilayer perceptrons by one.",
        )
    except BrokenPipeError:  # nobody reads on, as in `mlp-jax predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(_fail(f"{error.filename}: {error.strerror}" if error.filename else str(error)))
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        sys.exit(_fail(str(error)))


def interrupted(signal_number: int, frame: Any) -> None:
    """End at once, also inside a library that would swallow a KeyboardInterrupt; show the cursor that a bar hides."""
    print("\x1b[?25h" if sys.stderr.isatty() else "", end="", file=sys.stderr)
    print("\ninterrupted", file=sys.stderr, flush=True)
    os._exit(130)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
