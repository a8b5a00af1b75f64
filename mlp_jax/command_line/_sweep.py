"""`mlp-jax sweep`: train networks over seeds and settings, and choose a setting by validation."""

import hashlib
import json
import math
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from mlp_jax._interrupt import interrupted
from mlp_jax.command_line._flags import Flags, Shared, check_flags, epochs_of, load_data, loss_of, optimizer_of
from mlp_jax.command_line._jax_settings import keep_compiled_programs, use_all_cores
from mlp_jax.command_line._measures import fit_of
from mlp_jax.command_line._progress import progress_bars
from mlp_jax.command_line._sweep_table import Measure, Row, best_of, in_words, measure_of, show, spread, summary


def sweep(
    flags: Shared,
    *,
    seeds: int = 10,
    learning_rate: tuple[float, ...] = (1e-3,),
    hidden: Annotated[tuple[tuple[int, ...], ...], tyro.conf.UseAppendAction] = (),
    activation: tuple[str, ...] = ("relu",),
    batch_size: tuple[int, ...] = (32,),
    gain: tuple[float, ...] = (1.0,),
    examples: tuple[int, ...] = (),
    weight_decay: tuple[float, ...] = (),
    folder: Path = Path("mlp-jax-sweep"),
    memory: float | None = None,
) -> None:
    """Train networks over seeds and all combinations of the given settings, and choose one by validation.

    Finished runs are kept in a folder: after Ctrl-C the same command goes on, and may add runs. At the end the folder
    gets table.csv and table.npz with a row per run, and plot.svg.

    Args:
      flags: shared with `train`.
      seeds: how many; seed i draws the parameters and orders the examples as `train --seed i` does.
      learning_rate: the optimizer's, one or several; constant, as with `train --schedule constant`.
      hidden: the widths of the hidden layers, by default 128 128; repeat the flag for several networks.
      activation: one or several of identity, sigmoid, tanh, relu, leaky_relu, softplus, silu, gelu, gelu_tanh,
        selu, mish, sin.
      batch_size: examples per step, one or several.
      gain: factor of the initial weights, one or several.
      examples: how many training examples to use, drawn by the seed, one or several; by default all.
      weight_decay: adamw's, one or several; by default 1e-4.
      folder: where finished runs, tables and plot are kept.
      memory: GB that may be used; by default half of what is free.
    """
    import jax

    jax.config.update("jax_enable_x64", flags.dtype == "float64")
    use_all_cores()
    keep_compiled_programs()
    import mlp_jax
    from mlp_jax import _doors

    given = {"hidden": hidden or ((128, 128),), "activation": activation, "learning_rate": learning_rate}
    given |= {"batch_size": batch_size, "gain": gain, "examples": examples, "weight_decay": weight_decay}
    grid = checked_grid(given)
    check_flags(flags, weight_decay)
    _doors.as_whole_number("seeds", seeds, at_least=1)
    _doors.check_positive("memory", 1.0 if memory is None else memory)
    dataset = load_data(flags)
    loss = loss_of(flags, dataset)
    flags = replace(flags, loss=loss.name)
    measure = measure_of(dataset)
    epochs = epochs_of(flags.epochs, min([len(dataset.train.x), *examples]), max(batch_size))
    claim(folder, request_of(flags, {name: grid.get(name, ["default"]) for name in given}, seeds, epochs, dataset))
    print(f"finished runs are kept in {folder}")
    words = f"; {folder} keeps what is finished, and the same command goes on from there"
    signal.signal(signal.SIGINT, partial(interrupted, words=words))
    run: dict[str, Any] = dict(optimizer=optimizer_of(flags), loss=loss, gradient=getattr(mlp_jax, flags.gradient))
    with progress_bars() as add_bar:
        move = add_bar("run", seeds * math.prod(map(len, grid.values())), "compiling")
        result = mlp_jax.sweep(
            {**grid, "seed": range(seeds)},
            dataset.train,
            dataset.validation,
            **run,
            epochs=epochs,
            classes=dataset.outputs,
            dtype=flags.dtype,
            folder=folder,
            memory=None if memory is None else memory * 1e9,
            log=print,
            progress=lambda done, total: move(done),
        )
    rows = summary(result, list(grid), seeds, measure)
    best = best_of(rows)
    varied = [name for name, values in grid.items() if len(values) > 1]
    show(rows, best, varied, measure)
    show_test(result, best, varied, measure, dataset, loss)
    if (diverged := np.flatnonzero(result.table()["diverged_epoch"])).size:
        show_divergence(result, int(diverged[0]), dataset, epochs, flags.dtype, run)
    result.write_csv(folder / "table.csv")
    result.write_npz(folder / "table.npz")
    written = [folder / "table.csv", folder / "table.npz"]
    try:
        from mlp_jax.command_line._sweep_plot import plot
    except ModuleNotFoundError as error:
        print(f"no plot: it needs {error.name}: pip install 'mlp_jax[experiments]'")
    else:
        plot(folder / "plot.svg", rows, varied, measure)
        written.append(folder / "plot.svg")
    print(f"wrote {', '.join(map(str, written))}")


def checked_grid(values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the given values, each once, or raise an error that names the flag."""
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


def request_of(
    flags: Flags, grid: Mapping[str, Sequence[Any]], seeds: int, epochs: int, dataset: Any
) -> dict[str, list[str]]:
    """Return all that decides the runs, by flag: the values as text, and a hash of the data."""
    digest = hashlib.sha256()
    for array in (*dataset.train, *dataset.validation, *dataset.test):
        digest.update(array.tobytes())
    shared = asdict(flags) | {"data": dataset.name, "label": dataset.label, "epochs": epochs}
    values = {name: [value] for name, value in shared.items()} | {**grid, "seeds": range(seeds)}
    texts = {
        name.replace("_", "-"): [
            " ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in of_name
        ]
        for name, of_name in values.items()
    }
    return texts | {"data-sha256": [digest.hexdigest()[:16]]}


def claim(folder: Path, request: Mapping[str, list[str]]) -> None:
    """Make the folder of a sweep, or check that its sweep is the same or has fewer runs: its tables are replaced."""
    from mlp_jax._doors import mistake
    from mlp_jax._files import UNFINISHED, atomic_write

    if folder.exists() and not folder.is_dir():
        raise mistake("folder", "a folder", f"{folder}, a file", "give another name")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweep.json"
    if any(entry.name != path.name and not entry.name.endswith(UNFINISHED) for entry in folder.iterdir()):
        expected = "a new folder, or one of this sweep"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise mistake("folder", expected, f"{folder}, with other files", "give a new name") from None
        for name, values in kept.items():
            if missing := [value for value in values if value not in request.get(name, ())]:
                got = f"{folder}, of a sweep with {name} {', '.join(missing[:5])}{', ...' * (len(missing) > 5)}"
                raise mistake("folder", expected, got, "give another --folder, or the flags of that sweep")
    with atomic_write(path) as file:
        json.dump(request, file, indent=1)


def show_test(result: Any, best: Row, varied: Sequence[str], measure: Measure, dataset: Any, loss: Any) -> None:
    """Print the test accuracy, or RMSE and R2, of the chosen setting only."""
    import mlp_jax

    runs = range(best.first, best.first + len(best.score))
    phis = [result.settings[i]["activation"] for i in runs]
    measured = [
        mlp_jax.evaluate(result.run(i).params, dataset.test.x, dataset.test.labels, phi, loss)
        for i, phi in zip(runs, phis, strict=True)
    ]
    chosen = ", ".join(f"{name.replace('_', ' ')} {in_words(name, best.setting[name])}" for name in varied)
    if varied:
        print(f"\nchosen by the median validation {measure.name}: {chosen}")
    if dataset.classes:
        accuracies = 100 * np.array([of.accuracy for of in measured])
        print(f"test accuracy {np.median(accuracies):.2f} % ({spread(accuracies, 2)} over {len(runs)} seeds)")
        return
    losses, variance = np.array([of.loss for of in measured]), float(np.var(dataset.test.labels, dtype=float))
    words = fit_of(float(np.median(losses)), variance, dataset.target_scale)
    roots = dataset.target_scale * np.sqrt(losses)
    print(f"test {words} (RMSE {roots.min():.4g} to {roots.max():.4g} over {len(runs)} seeds)")


def show_divergence(result: Any, i: int, dataset: Any, epochs: int, dtype: str, run: Mapping[str, Any]) -> None:
    """Repeat one run that diverged, and print where it went bad."""
    import jax.numpy as jnp

    import mlp_jax
    from mlp_jax.sweeps._program import start
    from mlp_jax.sweeps._settings import NAMES, SEEDS, Run, Shape
    from mlp_jax.training._recipe import Static

    setting, (x, labels) = result.settings[i], map(jnp.asarray, dataset.train)
    activation, batch_size = setting["activation"], setting["batch_size"]
    numbers = {name: value for name, value in setting.items() if name not in NAMES}
    static = Static(activation, run["loss"], run["optimizer"], batch_size, shuffle=True)
    sizes = (x.shape[1], *setting["hidden"], dataset.outputs)
    init, order, subset = (np.uint32(setting[name]) for name in SEEDS[1:])
    of_run = Run(init, order, subset, setting["gain"], numbers)
    key, params, data = start(of_run, (x, labels), Shape(sizes, setting["examples"], epochs, dtype, static))
    alike = dict(epochs=epochs, batch_size=batch_size, activation=activation, hyperparameters=numbers)
    found = mlp_jax.find_divergence(key, params, data, **run, **alike)
    print(f"run {i} diverged: {found or 'on its own it stays finite'}")
