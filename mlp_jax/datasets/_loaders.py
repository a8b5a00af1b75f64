"""Data sets: digits, MNIST, MNIST-1D and the user's own table or NPZ, read, checked, split and scaled.

N is the number of examples, D of features, C of classes.
"""

import importlib.util
import math
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlp_jax._doors import check_choice, did_you_mean, mistake
from mlp_jax._extras import needs
from mlp_jax.datasets._columns import Column, features, fitted, sentinels
from mlp_jax.datasets._labels import Task, are_values, class_names, encode_labels, target_values
from mlp_jax.datasets._mnist import MNIST_CURE, MNIST_MIRRORS, Log, read_mnist
from mlp_jax.datasets._scaling import Scaling, Statistics, mean_and_scale, standardise, statistics
from mlp_jax.datasets._user_files import NPZ_CURE, TABLES, FilePath, Raw, listed, read_npz, read_table

Array = NDArray[Any]

DIGITS = tuple("0123456789")


class Examples(NamedTuple):
    """Some examples: `x` (N, D) numbers and `labels` (N,) int32 in [0, C), or standardised values (N, 1)."""

    x: Array
    labels: Array


Splits = tuple[Examples, Examples, Examples]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits, and what a prediction on new data needs.

    Attributes:
      name: of the data set or its file.
      train: examples whose x is already (raw - mean) / scale, as in the other splits.
      validation: examples to choose settings by.
      test: examples to measure the error on.
      classes: `classes[i]` is the name of label i; empty if the labels are values to regress on.
      mean: of the training split, float64 of shape () for images and (D,) for tables.
      scale: its standard deviation, likewise; inf if that is 0.
      features: the names of a table's columns; empty for other data.
      label: the name of a table's label column; empty for other data.
      target_mean: of the training split's values, which are standardised as (value - mean) / scale; 0 for classes.
      target_scale: their standard deviation; 1 for classes.
      columns: how a table's columns were prepared, before they were scaled; empty for other data.
      clip: c, beyond which x is clipped smoothly, as z / sqrt(1 + (z / c)^2); inf if it is not.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]
    mean: Array
    scale: Array
    features: tuple[str, ...] = ()
    label: str = ""
    target_mean: float = 0.0
    target_scale: float = 1.0
    columns: tuple[Column, ...] = ()
    clip: float = math.inf

    @property
    def outputs(self) -> int:
        """The width C of the logits: the number of classes, or 1 for values."""
        return len(self.classes) or 1


def load(
    name_or_path: FilePath,
    label: str | None = None,
    *,
    task: Task = "auto",
    columns: Mapping[str, str] | None = None,
    scaling: Scaling = "standard",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
    log: Log | None = None,
) -> Dataset:
    """Load 'digits', 'mnist', 'mnist1d', or the user's own table (.csv, .tsv, .txt, .xlsx, .parquet) or .npz.

    Args:
      name_or_path: a name, or the path of a file.
      label: a table's label column; by default the last.
      task: "classification", "regression", or "auto", for a file: numbers that are not all whole are regression. Whole
        numbers with more than 20 values are an error, as they may be either.
      columns: for a table, the kinds of some columns: "number", "category", "date", or "drop" to leave one out. By
        default they are found out.
      scaling: "standard", by mean and standard deviation of the training split; or "robust", each column by its median
        and interquartile range there, then clipped smoothly at 3, so that outliers do no harm.
      seed: chooses the splits of digits, CSV and NPZ. MNIST and MNIST-1D have published splits.
      dtype: a floating type for x.
      log: called with a line of text when a download starts, and with what was found out about a table.

    Raises:
      ValueError: if the name is unknown or the contents are wrong.
      OSError: if a file cannot be read or downloaded.
      ModuleNotFoundError: if a library that ships the data is missing.

    Example:
      >>> load("digits").train.x.shape
      (1259, 64)
    """
    name = os.fspath(name_or_path)
    suffix = Path(name).suffix.lower()
    check_choice("scaling", scaling, get_args(Scaling))
    for argument, value in (("label", label), ("columns", columns or None)):
        if value is not None and suffix not in TABLES:
            raise mistake(argument, "none, since this is no table", f"{value!r} for {name!r}", "leave it out")
    if suffix in TABLES:
        return load_table(name, label, task=task, columns=columns, scaling=scaling, seed=seed, dtype=dtype, log=log)
    if suffix == ".npz":
        return load_npz(name, task=task, scaling=scaling, seed=seed, dtype=dtype)
    if name == "digits":
        return load_digits(scaling=scaling, seed=seed, dtype=dtype)
    if name == "mnist":
        return load_mnist(scaling=scaling, dtype=dtype, log=log)
    if name == "mnist1d":
        return load_mnist1d(scaling=scaling, dtype=dtype)
    known = ("digits", "mnist", "mnist1d")
    expected = f"{listed(known)} or the path of a {', '.join(TABLES)} or .npz file"
    raise mistake("data set", expected, repr(name), did_you_mean(name.lower(), known))


def load_digits(*, scaling: Scaling = "standard", seed: int = 0, dtype: DTypeLike = np.float32) -> Dataset:
    """Load scikit-learn's digits: 1,797 real 8x8 images (Alpaydin and Kaynak, 1998), offline.

    A permutation by `seed` chooses 70 % train, 10 % validation and 20 % test. All pixels share one mean and scale.

    Raises:
      ModuleNotFoundError: if scikit-learn is missing.
    """
    digits = _digits()
    splits = _split(digits, split_indices(len(digits.x), seed, "digits"))
    return _scaled("digits", splits, DIGITS, scaling, images=True, dtype=dtype)


def load_mnist(
    *,
    scaling: Scaling = "standard",
    dtype: DTypeLike = np.float32,
    cache: FilePath | None = None,
    mirrors: Sequence[str] = MNIST_MIRRORS,
    log: Log | None = None,
) -> Dataset:
    """Load MNIST: 70,000 images of 28x28 pixels (LeCun, Cortes and Burges, 1998).

    The last 10,000 of the 60,000 are validation, the official 10,000 test. All pixels share one mean and scale.
    Arguments and errors are those of `read_mnist`.
    """
    files = read_mnist(cache, mirrors, log)
    train, test = (
        _paired(files[f"{part}-images-idx3-ubyte"], files[f"{part}-labels-idx1-ubyte"], part)
        for part in ("train", "t10k")
    )
    return _scaled("mnist", (*_cut(train, 6), test), DIGITS, scaling, images=True, dtype=dtype)


def load_mnist1d(*, scaling: Scaling = "standard", dtype: DTypeLike = np.float32) -> Dataset:
    """Make MNIST-1D (Greydanus and Kobak, 2020) by its package's published procedure, settings and seed.

    D is 40. Of the package's 4,000 training examples the last 400 are validation; its 1,000 others are test. All
    features share one mean and scale. The package reseeds the global random states of Python and numpy; they are put
    back.

    Raises:
      ModuleNotFoundError: if the package is missing.
    """
    with needs("mnist1d", "data", "the data set 'mnist1d'"):
        from mnist1d.data import get_dataset_args, make_dataset
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        made = make_dataset(get_dataset_args())
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
    train, test = Examples(made["x"], made["y"]), Examples(made["x_test"], made["y_test"])
    return _scaled("mnist1d", (*_cut(train, 10), test), DIGITS, scaling, images=True, dtype=dtype)


def load_table(
    path: FilePath,
    label: str | None = None,
    *,
    task: Task = "auto",
    columns: Mapping[str, str] | None = None,
    scaling: Scaling = "standard",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
    log: Log | None = None,
) -> Dataset:
    """Load a table with a header row: .csv, .tsv, .txt, .xlsx or .parquet.

    A permutation by `seed` chooses 70 % train, 10 % validation and 20 % test, of each class. Numbers stay numbers,
    dates become days, and texts one column for each value; what is missing becomes the median, and is marked. Then each
    column has its mean and scale. All of this is read off the training examples alone. Blank lines are ignored, and so
    are spaces after a separator.

    Args:
      path: the file.
      label: the column of the classes or values; by default the last.
      task: as for `load`, and so are columns, scaling, seed, dtype and log.
      columns: see there.
      scaling: see there.
      seed: see there.
      dtype: see there.
      log: see there.

    Raises:
      ValueError: if the contents are wrong, with column, line and value.
      OSError: if the file cannot be read.
      ModuleNotFoundError: if pandas, or what it needs for Excel or Parquet, is missing.
    """
    kinds = columns or {}
    raw = read_table(path, label=label, texts=[name for name, kind in kinds.items() if kind == "category"])
    say = log or (lambda line: None)
    if raw.found:
        say(f"{Path(path).name} has {raw.found}")
    of_task = _task_of(raw, path, task)
    rows = split_indices(len(of_task.labels), seed, str(path), of_task.strata)
    chosen, lines = fitted(raw.columns, rows[0], kinds, str(path))
    of_values = () if of_task.classes else sentinels(of_task.labels[:, 0])
    for line in (*lines, *(f"column {raw.label!r}: {words}" for words in of_values)):
        say(line)
    xs, of_train = _scaled_columns(chosen, raw.columns, rows, str(path), scaling, dtype)
    train, validation, test = (Examples(x, of_task.labels[of]) for x, of in zip(xs, rows, strict=True))
    splits = (train, validation, test)
    dataset = _dataset(Path(path).name, splits, of_task.classes, of_train, dtype)
    return replace(dataset, columns=chosen, features=tuple(column.name for column in chosen), label=raw.label)


def load_npz(
    path: FilePath,
    *,
    task: Task = "auto",
    scaling: Scaling = "standard",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Dataset:
    """Load an NPZ file of `x` (N, ...) numbers and `labels` (N,) integers, booleans, strings or real values.

    A permutation by `seed` chooses 70 % train, 10 % validation and 20 % test, of each class. If x has two axes it is a
    table, and each column has its mean and scale. If x has more axes it is images with one mean and scale, flattened to
    (N, D). `task` and `scaling` are those of `load`.

    Raises:
      ValueError: if the contents are wrong.
      OSError: if the file cannot be read.
    """
    raw = read_npz(path)
    of_task = _task_of(raw, path, task)
    rows = split_indices(len(of_task.labels), seed, str(path), of_task.strata)
    assert raw.x is not None  # of an NPZ
    splits = _split(Examples(raw.x, of_task.labels), rows)
    return _scaled(Path(path).name, splits, of_task.classes, scaling, images=raw.images, dtype=dtype)


def split_indices(
    count: int, seed: int = 0, name: str = "data", strata: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return the rows of train (70 %), validation (10 %) and test (20 %), by a permutation.

    With strata, each split holds them in proportion. The k-th row of a stratum of n, in the permuted order, has the
    rank (k + 1/2) / n, and the rows are cut in the order of their ranks (Neyman, 1934, samples strata in proportion).

    Args:
      count: the number of rows.
      seed: chooses the permutation.
      name: of the data, for the error.
      strata: (N,) integers, such as the labels of classes.

    Raises:
      ValueError: if a split would be empty (fewer than 10 rows), or the seed is not an integer >= 0.

    Example:
      >>> [len(rows) for rows in split_indices(1797)]
      [1259, 179, 359]
      >>> [int((rows >= 90).sum()) for rows in split_indices(100, strata=np.arange(100) >= 90)]
      [7, 1, 2]
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise mistake("seed", "an integer >= 0", repr(seed), "change it")
    if count < 10:
        expected = "at least 10 rows, so that train (70 %), validation (10 %) and test (20 %) each have one"
        raise mistake(name, expected, count, "add rows")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    if strata is not None:
        rank = np.empty(count)
        for stratum in np.unique(strata):
            chosen = order[strata[order] == stratum]
            rank[chosen] = (np.arange(len(chosen)) + 0.5) / len(chosen)
        order = order[np.argsort(rank[order], kind="stable")]
    train, validation, test = np.split(order, [count - count // 10 - count // 5, count - count // 5])
    return train, validation, test


def _digits() -> Examples:
    """Read the table that scikit-learn ships, without importing scikit-learn, which takes longer than a training."""
    package = importlib.util.find_spec("sklearn")
    folder = Path(package.submodule_search_locations[0]) if package and package.submodule_search_locations else Path()
    table = folder / "datasets" / "data" / "digits.csv.gz"
    if not table.exists():
        with needs("scikit-learn", "data", "the data set 'digits'"):
            from sklearn import datasets
        digits = datasets.load_digits()
        return Examples(digits.data, digits.target)
    rows = np.loadtxt(table, delimiter=",", encoding="utf-8")
    return Examples(rows[:, :-1], rows[:, -1].astype(int))


def _paired(images: Array, labels: Array, part: str) -> Examples:
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        expected = "images of shape (N, height, width) and labels of shape (N,)"
        raise mistake(f"MNIST's {part} files", expected, f"{images.shape} and {labels.shape}", MNIST_CURE)
    return Examples(images.reshape(len(images), -1), labels)


class _Labels(NamedTuple):
    """The labels of a file: indices of `classes`, or values (N, 1) if there are none."""

    labels: Array
    classes: tuple[str, ...]

    @property
    def strata(self) -> Array | None:
        """What each split should hold in proportion: the classes."""
        return self.labels if self.classes else None


def _task_of(raw: Raw, path: FilePath, task: Task) -> _Labels:
    if raw.labels is None:
        raise mistake(path, "an array 'labels'", "only 'x'", NPZ_CURE)
    where = f"{path}, column {raw.label!r}" if raw.label else f"{path}, labels"
    if are_values(raw.labels, task):
        return _Labels(target_values(raw.labels, where), ())
    classes = class_names(raw.labels, where, task=task)
    return _Labels(encode_labels(raw.labels, classes, where), classes)


def _scaled_columns(
    columns: Sequence[Column],
    table: Mapping[str, Array],
    rows: Sequence[Array],
    where: str,
    scaling: Scaling,
    dtype: DTypeLike,
) -> tuple[list[Array], Statistics]:
    """Return x (N, D) of each split, and the statistics of the first, by which all are scaled.

    One column after another, since all of them in float64 would need several times the memory of x.
    """
    width = sum(column.width for column in columns)
    xs, mean, scale = [np.empty((len(of), width), dtype) for of in rows], np.empty(width), np.empty(width)
    start, clip = 0, math.inf
    for column, (raw, _) in zip(columns, features(columns, table, where), strict=True):
        own = slice(start, start + column.width)
        mean[own], scale[own], clip = statistics(raw[rows[0]], scaling)
        scaled = standardise(raw, mean[own], scale[own], dtype, f"{where}, column {column.name!r}", clip)
        for x, of in zip(xs, rows, strict=True):
            x[:, own] = scaled[of]
        start = own.stop
    return xs, Statistics(mean, scale, clip)


def _split(examples: Examples, rows: tuple[Array, Array, Array]) -> Splits:
    train, validation, test = rows
    return _take(examples, train), _take(examples, validation), _take(examples, test)


def _cut(examples: Examples, parts: int) -> tuple[Examples, Examples]:
    """Cut the examples into `parts` equal parts; return all but the last, and the last."""
    size = len(examples.x) - len(examples.x) // parts
    return _take(examples, slice(size)), _take(examples, slice(size, None))


def _take(examples: Examples, rows: Array | slice) -> Examples:
    return Examples(examples.x[rows], examples.labels[rows])


def _scaled(
    name: str, splits: Splits, classes: tuple[str, ...], scaling: Scaling, *, images: bool, dtype: DTypeLike
) -> Dataset:
    """Return a data set whose x are scaled by the statistics of the training split."""
    of_train = statistics(splits[0].x, scaling, images=images)
    mean, scale, clip = of_train
    train, validation, test = (Examples(standardise(x, mean, scale, dtype, clip=clip), labels) for x, labels in splits)
    return _dataset(name, (train, validation, test), classes, of_train, dtype)


def _dataset(name: str, splits: Splits, classes: tuple[str, ...], of_train: Statistics, dtype: DTypeLike) -> Dataset:
    """Return a data set of splits whose x are scaled; values to regress on are standardised."""
    of_values = (np.zeros(1), np.ones(1)) if classes else mean_and_scale(splits[0].labels, images=False)
    if not np.isfinite(of_values[1]).all():
        got = f"only {of_values[0][0]:g} among the training examples"
        raise mistake(f"{name}, labels", "at least two different values", got, "add rows of others")
    train, validation, test = (
        Examples(x, labels.astype(np.int32) if classes else standardise(labels, of_values[0], of_values[1], dtype))
        for x, labels in splits
    )
    dataset = Dataset(name, train, validation, test, classes, of_train.mean, of_train.scale, clip=of_train.clip)
    return replace(dataset, target_mean=of_values[0].item(), target_scale=of_values[1].item())
