"""`mlp-jax sweep`: train networks over seeds and settings, and choose a setting by validation."""

import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from mlp_jax.command_line._common import (
    OPTIMIZERS,
    default_epochs,
    describe_data,
    interrupted,
    keep_compiled_programs,
    optimizer_factory,
    use_all_cores,
)


class Row(NamedTuple):
    """One setting over its seeds.

    Attributes:
      setting: its values by name.
      first: the index of its first run; the others follow.
      accuracy: on the validation set, in percent, (seeds, epochs).
      loss: on the validation set, the median after the last epoch.
      diverged: how many runs did.
    """

    setting: dict[str, Any]
    first: int
    accuracy: np.ndarray
    loss: float
    diverged: int


def sweep(
    *,
    data: str = "digits",
    seeds: int = 10,
    learning_rate: tuple[float, ...] = (1e-3,),
    hidden: Annotated[tuple[tuple[int, ...], ...], tyro.conf.UseAppendAction] = (),
    activation: tuple[str, ...] = ("relu",),
    batch_size: tuple[int, ...] = (32,),
    gain: tuple[float, ...] = (1.0,),
    examples: tuple[int, ...] = (),
    weight_decay: tuple[float, ...] = (),
    optimizer: str = "adam",
    epochs: int | None = None,
    loss: str = "cross_entropy",
    gradient: Literal["backprop", "autodiff"] = "backprop",
    split_seed: int = 0,
    label: str | None = None,
    dtype: Literal["float32", "float64"] = "float32",
    folder: Path = Path("mlp-jax-sweep"),
    memory: float | None = None,
) -> None:
    """Train networks over seeds and all combinations of the settings given, and choose one by validation.

    Finished runs are kept in a folder, so that after Ctrl-C the same command goes on. At the end the folder gets
    table.csv and table.npz with a row for each run, and plot.svg.

    Args:
      data: digits, mnist, mnist1d, or the path of a .csv or .npz file.
      seeds: how many; seed i draws the parameters and orders the examples as `train --seed i` does.
      learning_rate: the optimiser's, one or several; it stays as it is, as by `train --schedule constant`.
      hidden: the widths of the hidden layers, by default 128 128; repeat the flag for several networks.
      activation: one or several of identity, sigmoid, tanh, relu, leaky_relu, softplus, silu, gelu, gelu_tanh, sin.
      batch_size: examples a step, one or several.
      gain: what the initial weights are multiplied by, one or several.
      examples: train on so many, drawn by the seed, one or several; by default all.
      weight_decay: adamw's, one or several; by default 1e-4.
      optimizer: adam, adamw, sgd, or momentum (0.9, Nesterov's).
      epochs: passes over the training data; by default as many as make 2,000 steps, and at least 10.
      loss: cross_entropy or squared_error.
      gradient: derived by hand, or by jax.grad.
      split_seed: draws the train, validation and test examples of digits and of files.
      label: the name of a CSV's label column; by default the last.
      dtype: of parameters and data.
      folder: where finished runs, tables and plot are kept.
      memory: GB that may be used; by default half of what is free.
    """
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    use_all_cores()
    keep_compiled_programs()
    import mlp_jax
    from mlp_jax import _doors, datasets

    given = {"hidden": hidden or ((128, 128),), "activation": activation, "learning_rate": learning_rate}
    given |= {"batch_size": batch_size, "gain": gain, "examples": examples, "weight_decay": weight_decay}
    grid = checked_grid(given)
    _doors.check_choice("loss", loss, mlp_jax.losses.LOSSES)
    _doors.check_choice("optimizer", optimizer, OPTIMIZERS)
    if weight_decay and optimizer != "adamw":
        raise _doors.mistake("weight-decay", "it with --optimizer adamw alone", optimizer)
    _doors.as_whole_number("seeds", seeds, at_least=1)
    _doors.as_whole_number("epochs", 1 if epochs is None else epochs, at_least=1)
    _doors.check_seed("split-seed", split_seed)
    _doors.check_positive("memory", 1.0 if memory is None else memory)
    check_folder(folder)
    dataset = datasets.load(data, label, seed=split_seed, dtype=np.dtype(dtype), log=print)
    print(f"finished runs are kept in {folder}")
    describe_data(dataset)
    fewest = min([len(dataset.train.x), *examples])
    epochs = default_epochs(fewest, max(batch_size)) if epochs is None else epochs
    words = f"; {folder} keeps what is finished, and the same command goes on from there"
    signal.signal(signal.SIGINT, partial(interrupted, words=words))
    run: dict[str, Any] = dict(
        optimizer=optimizer_factory(optimizer),
        loss=mlp_jax.losses.LOSSES[loss],
        gradient=getattr(mlp_jax, gradient),
    )
    with progress_bar() as progress:
        result = mlp_jax.sweep(
            {**grid, "seed": range(seeds)},
            dataset.train,
            dataset.validation,
            **run,
            epochs=epochs,
            classes=len(dataset.classes),
            dtype=dtype,
            folder=folder,
            memory=None if memory is None else memory * 1e9,
            log=print,
            progress=progress,
        )
    rows = summary(result, list(grid), seeds)
    best = best_of(rows)
    varied = [name for name, values in grid.items() if len(values) > 1]
    show(rows, best, varied)
    show_test(result, best, varied, dataset.test, mlp_jax.losses.LOSSES[loss])
    if (diverged := np.flatnonzero(result.table()["diverged_epoch"])).size:
        show_divergence(result, int(diverged[0]), dataset, epochs, dtype, run)
    result.write_csv(folder / "table.csv")
    result.write_npz(folder / "table.npz")
    written = [folder / "table.csv", folder / "table.npz"]
    try:
        from mlp_jax.command_line._sweep_plot import plot
    except ModuleNotFoundError as error:
        print(f"no plot: it needs {error.name}: pip install 'mlp_jax[experiments]'")
    else:
        plot(folder / "plot.svg", rows, varied)
        written.append(folder / "plot.svg")
    print(f"wrote {', '.join(map(str, written))}")


def checked_grid(values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return what was given, each value once, or raise an error that names the flag."""
    from mlp_jax import _doors
    from mlp_jax.activations import ACTIVATIONS

    for name, of_name in values.items():
        flag = name.replace("_", "-")
        if not of_name and name not in ("examples", "weight_decay"):
            raise _doors.mistake(flag, "at least one value", "none")
        for value in of_name:
            if name == "activation":
                _doors.check_choice(flag, value, ACTIVATIONS)
            elif name == "hidden":
                for width in value:
                    _doors.as_whole_number(flag, width, at_least=1)
            elif name in ("batch_size", "examples"):
                _doors.as_whole_number(flag, value, at_least=1)
            elif name != "weight_decay" or value != 0:
                _doors.check_positive(flag, value)
    return {name: list(dict.fromkeys(of_name)) for name, of_name in values.items() if of_name}


def check_folder(folder: Path) -> None:
    """Raise where the folder is a file, or holds files but none of a sweep: its tables would get between them."""
    from mlp_jax._doors import mistake

    if folder.exists() and not folder.is_dir():
        raise mistake("folder", "a folder", f"{folder}, a file", "give another name")
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    ours = r"[0-9a-f]{32}\.npz|.*\.unfinished"  # the second: cut off by Ctrl-C
    if names and not any(re.fullmatch(ours, name) for name in names):
        raise mistake("folder", "a new folder, or one of a sweep", f"{folder}, with other files", "give a new name")


def summary(result: Any, names: Sequence[str], seeds: int) -> list[Row]:
    """Return a row for each setting, whose runs over the seeds lie next to each other."""
    table, history = result.table(), result.history
    rows = []
    for start in range(0, len(result.settings), seeds):
        runs = slice(start, start + seeds)
        setting = {name: result.settings[start][name] for name in names}
        losses = np.where(np.isfinite(table["validation_loss"][runs]), table["validation_loss"][runs], np.inf)
        diverged = int(np.count_nonzero(table["diverged_epoch"][runs]))
        rows.append(Row(setting, start, 100 * history.validation_accuracy[runs], float(np.median(losses)), diverged))
    return rows


def best_of(rows: Sequence[Row]) -> Row:
    """Return the row of the highest median accuracy after the last epoch; of equal ones that of the lowest loss."""
    return max(rows, key=lambda row: (np.median(row.accuracy[:, -1]), -row.loss))


def in_words(name: str, value: Any) -> str:
    """Return a setting's value as the flag takes it.

    >>> in_words("hidden", (64, 64)), in_words("learning_rate", 0.001)
    ('64 64', '0.001')
    """
    if name == "hidden":
        return " ".join(map(str, value)) or "none"
    return value.name if name == "activation" else f"{value:g}"


def spread(values: np.ndarray) -> str:
    """Return the smallest and the largest of some numbers."""
    return f"{values.min():.2f} to {values.max():.2f}"


def show(rows: Sequence[Row], best: Row, varied: Sequence[str]) -> None:
    """Print a row for each setting, over its seeds, the best by validation marked."""
    from mlp_jax.check._gradient_check.rendering import text_table

    columns = varied or ["learning_rate"]
    header = [name.replace("_", " ") for name in columns]
    header += ["validation accuracy %", "min to max", "validation loss", "diverged", ""]
    lines = []
    for row in rows:
        last = row.accuracy[:, -1]
        cells = [in_words(name, row.setting[name]) for name in columns]
        cells += [
            f"{np.median(last):.2f}",
            spread(last),
            f"{row.loss:.4f}" if row.loss < 1e4 else f"{row.loss:.3g}",
            f"{row.diverged} of {len(last)}",
        ]
        lines.append([*cells, "best" if row is best else ""])
    print(f"\nover {len(best.accuracy)} seeds: medians, and the smallest and largest, after the last epoch")
    print("\n".join(text_table(header, lines, left=("hidden", "activation", ""))))


def show_test(result: Any, best: Row, varied: Sequence[str], test: Any, loss: Any) -> None:
    """Print the test accuracy of the chosen setting alone."""
    import mlp_jax

    accuracies = []
    for i in range(best.first, best.first + len(best.accuracy)):
        phi = result.settings[i]["activation"]
        measured = mlp_jax.evaluate(result.run(i).params, test.x, test.labels, activation=phi, loss=loss)
        accuracies.append(100 * float(measured.accuracy))
    chosen = ", ".join(f"{name.replace('_', ' ')} {in_words(name, best.setting[name])}" for name in varied)
    if varied:
        print(f"\nchosen by the median validation accuracy: {chosen}")
    print(f"test accuracy {np.median(accuracies):.2f} % ({spread(np.array(accuracies))} over {len(accuracies)} seeds)")


def show_divergence(result: Any, i: int, dataset: Any, epochs: int, dtype: str, run: Mapping[str, Any]) -> None:
    """Print where a run that diverged went bad: it is made again, alone."""
    import jax.numpy as jnp

    import mlp_jax
    from mlp_jax.sweeps._program import start
    from mlp_jax.sweeps._settings import NAMES, SEEDS, Run, Shape
    from mlp_jax.training._recipe import Static

    setting, (x, labels) = result.settings[i], map(jnp.asarray, dataset.train)
    activation, batch_size = setting["activation"], setting["batch_size"]
    numbers = {name: value for name, value in setting.items() if name not in NAMES}
    static = Static(activation, run["loss"], run["optimizer"], batch_size, shuffle=True)
    sizes = (x.shape[1], *setting["hidden"], len(dataset.classes))
    init, order, subset = (np.uint32(setting[name]) for name in SEEDS[1:])
    of_run = Run(init, order, subset, setting["gain"], numbers)
    key, params, data = start(of_run, (x, labels), Shape(sizes, setting["examples"], epochs, dtype, static))
    alike = dict(epochs=epochs, batch_size=batch_size, activation=activation, hyperparameters=numbers)
    found = mlp_jax.find_divergence(key, params, data, **run, **alike)
    print(f"run {i} diverged: {found or 'alone it stays finite'}")


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a function for `sweep`'s progress that draws a bar on the error stream, or nothing if nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("run {task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("compiling", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, description="training")
