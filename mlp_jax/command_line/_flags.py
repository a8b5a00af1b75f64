"""The flags that `train` and `sweep` share: documented, checked, and turned into data and functions here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import tyro

OPTIMIZERS = ("adam", "adamw", "sgd", "momentum")


@dataclass(frozen=True)
class Flags:
    """Flags of `train` and `sweep`.

    Attributes:
      data: digits, mnist, mnist1d, or the path of a table (.csv, .tsv, .txt, .xlsx, .parquet) or of an .npz file.
      label: the name of a table's label column; by default the last.
      task: classification or regression; auto takes texts and few whole numbers for classes, numbers that are not all
        whole for values to regress on, and asks about others.
      columns: the kinds of some of a table's columns, such as zip=category id=drop; others are number and date.
      split_seed: draws the train, validation and test examples of digits and of files.
      epochs: passes over the training data; by default at least 10, and at least 2,000 steps.
      optimizer: adam, adamw, sgd, or momentum (0.9, Nesterov's).
      loss: cross_entropy or squared_error; by default cross_entropy for classes and squared_error for values.
      gradient: backprop is derived by hand, autodiff is jax.grad.
      dtype: of parameters and data.
    """

    data: str = "digits"
    label: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    columns: tuple[str, ...] = ()
    split_seed: int = 0
    epochs: int | None = None
    optimizer: str = "adam"
    loss: str | None = None
    gradient: Literal["backprop", "autodiff"] = "backprop"
    dtype: Literal["float32", "float64"] = "float32"


Shared = Annotated[Flags, tyro.conf.arg(name="")]  # the flags of a parameter, without its name before them


def check_flags(flags: Flags, weight_decay: Sequence[float]) -> None:
    """Check the shared flags, and that the optimizer takes a weight decay, if one is given."""
    from mlp_jax import _doors, losses

    if flags.loss is not None:
        _doors.check_choice("loss", flags.loss, losses.LOSSES)
    _doors.check_choice("optimizer", flags.optimizer, OPTIMIZERS)
    if weight_decay and flags.optimizer != "adamw":
        raise ValueError(f"--weight-decay needs --optimizer adamw, got {flags.optimizer}")
    if flags.epochs is not None:
        _doors.as_whole_number("epochs", flags.epochs, at_least=1)
    _doors.check_seed("split-seed", flags.split_seed)


def load_data(flags: Flags, scaling: Literal["standard", "robust"] = "standard") -> Any:
    """Return the data set in the flags' dtype, and print its sizes."""
    from mlp_jax import datasets
    from mlp_jax.datasets._user_files import listed

    dtype = np.dtype(flags.dtype)
    columns = kinds_of(flags.columns)
    options: dict[str, Any] = dict(task=flags.task, columns=columns, scaling=scaling, seed=flags.split_seed)
    dataset = datasets.load(flags.data, flags.label, **options, dtype=dtype, log=print)
    print(
        f"data {dataset.name}: {len(dataset.train.x):,} train, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test examples, {dataset.train.x.shape[1]} features, "
        f"{f'{len(dataset.classes)} classes' if dataset.classes else 'values'}"
    )
    name = repr(dataset.label) if dataset.label else "labels"
    if dataset.columns and dataset.classes:
        print(f"task classification on {name}: {listed(dataset.classes, 6)}")
        absent = np.flatnonzero(np.bincount(dataset.test.labels, minlength=dataset.outputs) == 0)
        if absent.size:
            print(f"no test example is of the rare classes {listed([dataset.classes[i] for i in absent], 6)}")
    if not dataset.classes:
        mean, scale = (f"{number:g}" for number in (dataset.target_mean, dataset.target_scale))
        words = "" if flags.task == "regression" else ", since not all of its numbers are whole"
        print(f"task regression on {name}{words}: mean {mean}, standard deviation {scale}")
    return dataset


def kinds_of(columns: Sequence[str]) -> dict[str, str]:
    """Return the kinds of columns by name.

    >>> kinds_of(["zip=category", "a=b=drop"])
    {'zip': 'category', 'a=b': 'drop'}
    """
    from mlp_jax._doors import mistake

    pairs = [text.rpartition("=") for text in columns]
    for text, (name, _, kind) in zip(columns, pairs, strict=True):
        if not name or not kind:
            raise mistake("columns", "NAME=KIND, such as zip=category", repr(text))
    kinds = {name: kind for name, _, kind in pairs}
    if len(kinds) < len(pairs):
        raise mistake("columns", "one kind for each column", f"two in {' '.join(columns)}", "name each column once")
    return kinds


def loss_of(flags: Flags, dataset: Any) -> Any:
    """Return the loss: by default that of the data's task."""
    from mlp_jax import _doors, losses

    if dataset.classes:
        return losses.LOSSES[flags.loss or "cross_entropy"]
    if flags.loss == "cross_entropy":
        raise _doors.mistake("loss", "squared_error for values", "cross_entropy", "leave --loss out")
    return losses.squared_error


def epochs_of(epochs: int | None, examples: int, batch_size: int) -> int:
    """Return the number of epochs: as given, or those of 2,000 steps, and at least 10."""
    steps = -(-examples // batch_size)  # per epoch
    return max(10, -(-2000 // steps)) if epochs is None else epochs


def optimizer_of(flags: Flags) -> Callable[..., Any]:
    """Return the optax factory of the optimizer."""
    import optax

    momentum = partial(optax.sgd, momentum=0.9, nesterov=True)
    return {"adam": optax.adam, "adamw": optax.adamw, "sgd": optax.sgd, "momentum": momentum}[flags.optimizer]
