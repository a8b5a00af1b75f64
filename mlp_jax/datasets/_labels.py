"""Labels as their author means them: classes of one spelling each, or values to regress on; never one for the other."""

import math
import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlp_jax._doors import check_choice, mistake
from mlp_jax.datasets._user_files import MISSING, listed, to_number

Array = NDArray[Any]
Task = Literal["auto", "classification", "regression"]

MOST_WHOLE = 20  # different whole numbers that are classes without a question: more than the ten digits
FEWEST = 20  # examples; of fewer, each may have a class of its own
CLASSES = "if these are classes, give --task classification, in Python task='classification'"
REGRESSION = "if they are values to predict, --task regression, in Python task='regression'"


def are_values(labels: Sequence[str], task: Task = "auto") -> bool:
    """Return whether labels are values to regress on: if the task says so, or if they are numbers and not all whole.

    Raises:
      ValueError: if the task is unknown.

    Example:
      >>> are_values(["1.5", "2"]), are_values(["1", "2"]), are_values(["1", "2"], task="regression")
      (True, False, True)
    """
    check_choice("task", task, get_args(Task))
    if task != "auto":
        return task == "regression"
    numbers = [meaning(text) for text in {label.strip() for label in labels} if text.lower() not in MISSING]
    are_numbers = all(isinstance(number, float) and math.isfinite(number) for number in numbers)
    return are_numbers and not all(number.is_integer() for number in numbers if isinstance(number, float))


def target_values(labels: Sequence[str], name: str = "labels") -> Array:
    """Return the numbers that labels are, (N, 1) in float64.

    Args:
      labels: the texts of all examples.
      name: of the labels, for the error.

    Raises:
      ValueError: if one is missing or no finite number, or all are equal.

    Example:
      >>> target_values(["1.5", " 2"]).tolist()
      [[1.5], [2.0]]
    """
    values = as_numbers(labels)
    if not np.isfinite(values).all():
        i = int(np.isfinite(values).argmin())
        is_missing = labels[i].strip().lower() in MISSING
        cure = "fill it in or remove the row" if is_missing else f"correct it; {CLASSES}"
        raise mistake(name, "a finite number for each example", f"{labels[i]!r} for example {i} (from 0)", cure)
    if (values == values[0]).all():
        raise mistake(
            name, "at least two different values", f"only {listed([labels[0].strip()])}", "add rows of others"
        )
    return values[:, None]


def as_numbers(labels: Sequence[str]) -> Array:
    """Return labels as numbers, (N,) in float64. A label that is not a number becomes NaN."""
    values = (meaning(label.strip()) for label in labels)
    return np.array([value if isinstance(value, float) else math.nan for value in values], np.float64)


def class_names(labels: Sequence[str], name: str = "labels", *, task: Task = "auto") -> tuple[str, ...]:
    """Return the different labels, in numerical order if all are integers, else in that of their characters.

    Spaces around a label are no part of it.

    Args:
      labels: the texts of all examples.
      name: of the labels, for the error.
      task: "classification" if whole numbers with more than 20 values are classes. With others they are an error, as
        they may be amounts. More than half as many texts as examples are an error too, as they may be names.

    Raises:
      ValueError: if there is only one class; if all labels are numbers but some are not integers, which calls for
        regression; if a label is missing; if labels differ only in case or in the form of a number; or, with "auto", if
        they may be no classes.

    Example:
      >>> class_names(["10", "9", "9 "]), class_names(["10", "9", "b"])
      (('9', '10'), ('10', '9', 'b'))
    """
    check_choice("task", task, get_args(Task))
    stripped = [label.strip() for label in labels]
    texts = sorted(set(stripped))
    missing = next((text for text in texts if text.lower() in MISSING), None)
    if missing is not None:
        got = f"{missing!r} for {stripped.count(missing):,} of {len(labels):,} examples"
        raise mistake(name, "a label for each example", got, "remove these rows, or rename the class if it is one")
    if len(texts) < 2:
        raise mistake(name, "at least two classes", f"only {listed(texts)}", "add rows of another")
    spellings: dict[Hashable, list[str]] = {}
    for text in texts:
        spellings.setdefault(meaning(text), []).append(text)
    several = next((alike for alike in spellings.values() if len(alike) > 1), None)
    if several is not None:
        raise mistake(name, "one spelling of each class", listed(several), "write them alike")
    numbers = {text: value for value, (text,) in spellings.items() if isinstance(value, float)}
    if len(numbers) < len(texts):
        odd = [text for text in texts if text not in numbers]
        if task == "auto" and len(odd) < len(numbers) and not all(value.is_integer() for value in numbers.values()):
            got = f"numbers, and {listed(odd, 3)}, which are none"
            raise mistake(name, "values to predict, or classes", got, f"correct these, or remove the rows; {CLASSES}")
        if task == "auto" and 2 * len(texts) > len(labels) >= FEWEST:
            got = f"{len(texts):,} different ones for {len(labels):,} examples, such as {listed(texts, 3)}"
            raise mistake(name, "labels that examples share", got, f"name another label column; {CLASSES}")
        decorated = [text for text in texts if re.search(r"\d", text)]
        if task == "auto" and len(texts) > MOST_WHOLE and 2 * len(decorated) > len(texts):
            got = f"{len(texts):,} different texts with numbers, such as {listed(decorated, 3)}"
            cure = f"if they are values to predict, write plain numbers; {CLASSES}"
            raise mistake(name, f"at most {MOST_WHOLE} classes with numbers in their names", got, cure)
        return tuple(texts)
    fraction = next((text for text in texts if not numbers[text].is_integer()), None)
    if fraction is not None:
        cure = f"name another label column; {REGRESSION}"
        raise mistake(name, "classes (texts or integers)", f"{fraction!r}: these labels look continuous", cure)
    if task == "auto" and len(texts) > MOST_WHOLE:
        got = f"{len(texts):,} different whole numbers for {len(labels):,} examples: they may be amounts"
        raise mistake(name, f"at most {MOST_WHOLE} different whole numbers", got, f"{CLASSES}; {REGRESSION}")
    return tuple(sorted(texts, key=lambda text: numbers[text]))


def encode_labels(labels: Sequence[str], classes: Sequence[str], name: str = "labels") -> Array:
    """Return each label's index in `classes`, (N,) int32. Spaces around a label are no part of it.

    Args:
      labels: the texts of all examples.
      classes: the different texts.
      name: of the labels, for the error.

    Raises:
      ValueError: if a label is not one of the classes.

    Example:
      >>> encode_labels(["b", "a "], ["a", "b"])
      array([1, 0], dtype=int32)
    """
    index = {text: i for i, text in enumerate(classes)}
    stripped = [label.strip() for label in labels]
    unknown = next((text for text in stripped if text not in index), None)
    if unknown is not None:
        raise mistake(name, f"one of the classes {listed(classes)}", repr(unknown), "correct it or train again")
    return np.array([index[text] for text in stripped], np.int32)


def matched(labels: Sequence[str], classes: Sequence[str]) -> Array:
    """Return each label's index in `classes` whatever its case or number format, (N,) int32; -1 for no class."""
    index = {meaning(text): i for i, text in enumerate(classes)}
    return np.array([index.get(meaning(label.strip()), -1) for label in labels], np.int32)


def meaning(text: str) -> Hashable:
    """Return what a label means: its number if it is one, else its characters whatever their case."""
    try:
        return to_number(text)
    except ValueError:
        return unicodedata.normalize("NFKC", text).casefold()
