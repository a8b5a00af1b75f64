"""`mlp-jax predict`: apply a trained network to new data, and write its predictions as CSV."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.command_line._jax_settings import keep_compiled_programs


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
      data: a table with the columns that it was trained on, an .npz with x, or digits, mnist or mnist1d, whose
        test examples are used. If the data have labels, the accuracy is printed.
      output: the CSV to write, in UTF-8; by default it is printed.
      probabilities: add a column with the probability of every class.
      overwrite: replace the output if it exists.
      activation: the hidden layers' activation, if the file lacks it.
      mean: what to subtract from the data, one number or one per column, if the file lacks it.
      scale: what to divide by after that, one number or one per column, if the file lacks it.
      classes: the names of the classes, if the file lacks them.
    """
    import jax

    keep_compiled_programs()
    jax.config.update("jax_enable_x64", True)  # a float64 network is applied as such; float32 stays float32
    import mlp_jax
    from mlp_jax import datasets
    from mlp_jax._doors import mistake
    from mlp_jax._files import atomic_write, check_output, write_csv
    from mlp_jax.datasets import _model_file

    check_output(output, overwrite, inputs=(model, data))
    network = _model_file.load_model(model, activation=activation, mean=mean, scale=scale, classes=classes)
    if output is None:
        check_encoding(network.classes)
    if probabilities and not network.classes:
        raise mistake("probabilities", "a model of classes", f"{model}, which predicts values", "leave it out")
    x, labels = read_data(data, network)
    fan_in, dtype = network.params[0].weight.shape[0], network.params[0].weight.dtype
    if x.shape[1] != fan_in:
        raise mistake(data, f"the {fan_in} features that {model} was trained on", x.shape[1])
    x = datasets.standardise(x, network.mean, network.scale, dtype, clip=network.clip)
    logits = mlp_jax.forward(network.params, x, mlp_jax.activations.ACTIVATIONS[network.activation])
    is_good = (~np.isnan(logits) if network.classes else np.isfinite(logits)).all(axis=1)
    if not is_good.all():  # no class, and never the last one
        got = f"NaN or infinity for row {is_good.argmin()} of {data} (counted from 0)"
        raise mistake(model, "finite logits", got)
    header = ["prediction"]
    predicted: Any
    if network.classes:
        predicted = np.asarray(mlp_jax.predict(logits))
        rows: list[Sequence[Any]] = [[network.classes[i]] for i in predicted]
    else:
        predicted = network.target_mean + network.target_scale * np.asarray(logits, np.float64)[:, 0]
        rows = [[f"{value:.7g}"] for value in predicted]  # float32 has seven digits
    if probabilities:
        header += [f"probability {name}" for name in network.classes]
        rows = [[*row, *p] for row, p in zip(rows, np.asarray(mlp_jax.softmax(logits)).tolist(), strict=True)]
    if output is None:
        write_csv(sys.stdout, header, rows)
    else:
        with atomic_write(output) as file:
            write_csv(file, header, rows)
        print(f"wrote {output}: {len(rows):,} predictions")
    if labels is not None:
        measured = accuracy_of(predicted, labels, network.classes) if network.classes else errors_of(predicted, labels)
        print(measured, file=sys.stderr if output is None else sys.stdout)


def accuracy_of(indices: np.ndarray, labels: Sequence[str], classes: Sequence[str]) -> str:
    """Return the accuracy in words, over the examples whose label is a class, whatever its case or number format."""
    from mlp_jax.datasets._labels import matched

    known = matched(labels, classes)
    others = [label for label, i in zip(labels, known, strict=True) if i < 0]
    if not others:
        return f"accuracy {100 * np.mean(indices == known):.2f} %"
    of_others = f"{len(others):,} of {len(labels):,} labels are no class that it knows, such as {others[0]!r}"
    is_known = known >= 0
    if not is_known.any():
        return f"no accuracy: {of_others}"
    return f"accuracy {100 * np.mean((indices == known)[is_known]):.2f} % of the others: {of_others}"


def errors_of(values: np.ndarray, labels: Sequence[str]) -> str:
    """Return RMSE and R2 in words, over the examples whose label is a number."""
    from mlp_jax.command_line._measures import fit_of
    from mlp_jax.datasets._labels import as_numbers

    truths = as_numbers(labels)
    known = np.isfinite(truths)
    others = f"{(~known).sum():,} of {len(labels):,} labels are no number, such as {labels[int(known.argmin())]!r}"
    if not known.any():
        return f"no RMSE: {others}"
    words = fit_of(float(np.mean((values - truths)[known] ** 2)), float(np.var(truths[known])))
    return words if known.all() else f"{words} of the others: {others}"


def check_encoding(names: Sequence[str]) -> None:
    """Check that standard output can hold every class name: a CSV with replaced characters is wrong."""
    from mlp_jax._doors import mistake

    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        "".join(names).encode(encoding)
    except UnicodeEncodeError as error:
        expected, got = (
            "an encoding that holds every class name",
            f"{encoding}, which lacks {error.object[error.start]!r}",
        )
        raise mistake("standard output", expected, got, "give --output FILE, which is UTF-8") from None


def read_data(data: str, network: Any) -> tuple[np.ndarray, Sequence[str] | None]:
    """Return raw x and the labels' texts, if there are any, of a file or of a named data set's test examples."""
    from mlp_jax import datasets
    from mlp_jax._doors import mistake
    from mlp_jax.datasets import _columns, _user_files

    ending = Path(data).suffix.lower()
    if ending in _user_files.TABLES:
        texts = [column.name for column in network.columns if column.kind == "category"]
        raw = _user_files.read_table(data, network.features or None, network.label or None, texts)
        columns = network.columns or [_columns.Column(name, "number") for name in raw.columns]
        x, lines = _columns.prepared(columns, raw.columns, data)
        if not network.columns and lines:
            raise mistake(data, "a number in each cell", lines[0], "fill it in")
        for line in lines:
            print(line, file=sys.stderr)
        return x, raw.labels
    if ending == ".npz":
        raw = _user_files.read_npz(data)
        assert raw.x is not None
        return raw.x, raw.labels
    dataset = datasets.load(data, dtype=np.float64, log=partial(print, file=sys.stderr))
    x = np.where(np.isfinite(dataset.scale), dataset.test.x * dataset.scale, 0) + dataset.mean
    return x, [dataset.classes[i] for i in dataset.test.labels]
