"""Trained networks on disk: safetensors, with metadata that holds all that a prediction on new data needs.

The tensors are `layers.0.weight` (fan_in, fan_out), `layers.0.bias` (fan_out,), and so on. The metadata are texts:
`activation`, the JSON of `mean`, `scale`, `classes` and `features`, `label`, and the `version` that wrote the file. A
network that predicts values has no classes, and the JSON of `target_mean` and `target_scale`. One of a table has the
JSON of its `columns`: how they become features. One whose x is clipped has the JSON of `clip`.
"""

import json
import math
import os
import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mlp_jax import _doors
from mlp_jax._extras import needs
from mlp_jax._files import atomic_write
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.datasets._columns import Column, Kind
from mlp_jax.network import Layer, Params

NEEDED = ("activation", "mean", "scale", "classes")  # without these no prediction means anything
OF_VALUES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "target_mean": ("a finite number", np.isfinite),
    "target_scale": ("a finite number above 0", lambda scale: (scale > 0) & np.isfinite(scale)),
}
FIELDS = (*NEEDED, "features", "label", "columns", "clip", *OF_VALUES)
OF_JSON = ("mean", "scale", "classes", "features", "columns", "clip")
A_CLIP = ("a finite number above 0", lambda clip: (clip > 0) & np.isfinite(clip))
CURE = "copy the file again whole, or train again"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network and how to use it: x is standardised as (x - mean) / scale, class i is called classes[i].

    Attributes:
      params: of the network, whose first layer takes D features and whose last gives C logits.
      activation: the name of the hidden layers' activation.
      mean: finite numbers of shape (), (1,) or (D,).
      scale: numbers above 0, of such a shape. A column that was constant in training has scale inf.
      classes: C different names; empty if the network predicts a value, which is target_mean + target_scale * output.
      features: the D different names of a table's columns; empty if it has none.
      label: the name of a table's label column; empty if it has none.
      target_mean: a finite number; 0 for classes.
      target_scale: a number above 0; 1 for classes.
      columns: how a table's columns become the D features; empty if they are the features.
      clip: a number above 0, beyond which x is clipped smoothly (see `standardise`); inf if it is not.
    """

    params: Params
    activation: str
    mean: np.ndarray
    scale: np.ndarray
    classes: tuple[str, ...]
    features: tuple[str, ...] = ()
    label: str = ""
    target_mean: float = 0.0
    target_scale: float = 1.0
    columns: tuple[Column, ...] = ()
    clip: float = math.inf


def save_model(path: str | os.PathLike[str], model: Model, version: str) -> None:
    """Write a model. A failure leaves no file, or the old one.

    Args:
      path: the .safetensors file to write or replace.
      model: the network and how to use it.
      version: of the library that writes it.

    Raises:
      OSError: if the file cannot be written.
      ModuleNotFoundError: if safetensors is missing.
    """
    with needs("safetensors", "cli", "a model file"):
        from safetensors.numpy import save

    tensors = {
        f"layers.{i}.{name}": np.asarray(value)
        for i, layer in enumerate(model.params)
        for name, value in layer._asdict().items()
    }
    texts = {"format": "mlp_jax", "version": version, "activation": model.activation, "label": model.label}
    values = {"mean": model.mean.tolist(), "scale": model.scale.tolist()}
    values |= {"classes": model.classes, "features": model.features}
    if model.columns:
        values["columns"] = [column._asdict() for column in model.columns]
    if model.clip < math.inf:
        values["clip"] = model.clip
    if not model.classes:
        values |= {name: getattr(model, name) for name in OF_VALUES}
    with atomic_write(path, "wb") as file:
        file.write(save(tensors, texts | {name: json.dumps(value) for name, value in values.items()}))


def load_model(
    path: str | os.PathLike[str],
    *,
    activation: str | None = None,
    mean: Any = None,
    scale: Any = None,
    classes: Sequence[str] | None = None,
) -> Model:
    """Read and check a model.

    Args:
      path: the .safetensors file.
      activation: replaces the activation in the file's metadata.
      mean: replaces the mean there: a number, or one per feature.
      scale: replaces the scale there: a number, or one per feature.
      classes: replaces the names of the classes there.

    Raises:
      ValueError: if the file is damaged or lacks metadata that is not given, or if an argument does not fit it.
      OSError: if the file cannot be read.
      ModuleNotFoundError: if safetensors is missing.
    """
    tensors, metadata = _read(path)
    params = _layers(path, tensors)
    given = {"activation": activation, "mean": mean, "scale": scale, "classes": classes}
    texts = {name: metadata.get(name) for name in FIELDS}
    parsed = {name: _parsed(path, name, texts[name]) for name in (*OF_JSON, *OF_VALUES)}
    found = texts | parsed | {name: value for name, value in given.items() if value is not None}
    if missing := [name for name in NEEDED if found[name] is None]:
        flags = ", ".join(f"--{name}" for name in missing)
        raise _doors.mistake(path, f"metadata with {', '.join(missing)}", "none", f"give {flags}")
    features, width = params[0].weight.shape[0], params[-1].weight.shape[1]
    has_values = any(found[name] is not None for name in OF_VALUES)
    if has_values and width != 1:
        raise _doors.mistake(f"{path}, target_scale", "one output, as values have", f"{width} outputs", CURE)
    if not has_values:
        found |= {"target_mean": 0.0, "target_scale": 1.0}
    at = {name: (f"{path}, {name}", CURE) if given.get(name) is None else (name, "correct it") for name in FIELDS}
    _doors.check_choice(at["activation"][0], found["activation"], ACTIVATIONS, at["activation"][1])
    names = [] if found["features"] is None else found["features"]
    columns = _columns(at["columns"], found["columns"], names, features)
    return Model(
        params,
        found["activation"],
        _numbers(at["mean"], found["mean"], features, "finite numbers", np.isfinite),
        _numbers(at["scale"], found["scale"], features, "numbers above 0", lambda scale: scale > 0),
        _names(at["classes"], found["classes"], (0 if has_values else width,)),
        _names(at["features"], names, (len(columns),) if columns else (0, features)),
        found["label"] or "",
        columns=columns,
        clip=math.inf if found["clip"] is None else _numbers(at["clip"], found["clip"], 1, *A_CLIP).item(),
        **{name: _numbers(at[name], found[name], 1, *good).item() for name, good in OF_VALUES.items()},
    )


def _columns(at: tuple[str, str], value: Any, names: Any, features: int) -> tuple[Column, ...]:
    """Return the columns of a table, which have the names of the features, and `features` features in all."""
    if value is None:
        return ()
    where, cure = at
    if not isinstance(value, list) or not all(map(_is_column, value)):
        raise _doors.mistake(where, "how each column is prepared", reprlib.repr(value), cure)
    columns = tuple(Column(**{**of, "values": tuple(of["values"])}) for of in value)
    if [column.name for column in columns] != names or sum(column.width for column in columns) != features:
        got = f"{sum(column.width for column in columns)} of {len(columns)} columns"
        raise _doors.mistake(where, f"{features} features of the columns {reprlib.repr(names)}", got, cure)
    return columns


def _is_column(of: Any) -> bool:
    """Return whether parsed JSON is a `Column`: its names and types, a finite fill, and different texts."""
    if not isinstance(of, dict) or of.keys() != set(Column._fields) or of["kind"] not in get_args(Kind):
        return False
    types = {"name": str, "fill": float, "is_marked": bool, "values": list}
    if not all(type(of[name]) is wanted for name, wanted in types.items()) or not np.isfinite(of["fill"]):
        return False
    are_texts = all(isinstance(text, str) for text in of["values"]) and len(set(of["values"])) == len(of["values"])
    return are_texts and bool(of["values"]) == (of["kind"] == "category")


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file."""
    with needs("safetensors", "cli", "a model file"):
        from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise _doors.mistake(path, "a .safetensors file", "a folder" if Path(path).is_dir() else "nothing there")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in list(file.keys())}, file.metadata() or {}
    except (SafetensorError, AttributeError) as error:  # the latter for a type that numpy lacks
        raise _doors.mistake(path, "a safetensors file", f"one that cannot be read ({error})", CURE) from error


def _layers(path: str | os.PathLike[str], tensors: dict[str, np.ndarray]) -> Params:
    """Return the tensors as a chain of layers of finite numbers."""
    pairs = [(f"layers.{i}.weight", f"layers.{i}.bias") for i in range(len(tensors) // 2)]
    if not tensors or set(chain(*pairs)) != set(tensors):
        expected = "the tensors layers.0.weight, layers.0.bias, ..."
        raise _doors.mistake(path, expected, reprlib.repr(sorted(tensors)), CURE)
    try:
        params = _doors.as_params([(tensors[weight], tensors[bias]) for weight, bias in pairs])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, {error}; {CURE}") from error
    for name, leaf in zip(chain(*pairs), chain(*params), strict=True):
        if not (finite := np.isfinite(leaf)).all():
            raise _doors.mistake(f"{path}, {name}", "finite numbers", leaf[~finite][0], CURE)
    return tuple(Layer(*layer) for layer in params)


def _parsed(path: str | os.PathLike[str], name: str, text: str | None) -> Any:
    """Return the value of a JSON text, its numbers as floats; None if there is no text."""
    try:
        return json.loads(text or "null", parse_int=float)
    except (ValueError, RecursionError) as error:
        raise _doors.mistake(f"{path}, {name}", "JSON", f"{reprlib.repr(text)} ({error})", CURE) from error


def _numbers(
    at: tuple[str, str], value: Any, count: int, expected: str, good: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return one number, or `count` numbers, as a float64 array."""
    where, cure = at
    array = np.asarray(value, object)
    expected = f"{expected}, one or {count}"
    if array.ndim > 1 or not all(isinstance(number, Real) and not isinstance(number, bool) for number in array.flat):
        raise _doors.mistake(where, expected, reprlib.repr(value), cure)
    if array.shape not in ((), (1,), (count,)):
        raise _doors.mistake(where, expected, f"{len(array)} of them", cure)
    array = array.astype(np.float64)
    if not (is_good := good(array)).all():
        raise _doors.mistake(where, expected, array[~is_good][0], cure)
    return array


def _names(at: tuple[str, str], value: Any, counts: Sequence[int]) -> tuple[str, ...]:
    """Return different texts, as many as one of `counts`."""
    where, cure = at
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        got = reprlib.repr(value)
    elif len(value) not in counts:
        got = f"{len(value)} of them"
    elif len(set(value)) < len(value):
        got = f"{Counter(value).most_common(1)[0][0]!r} twice"
    else:
        return tuple(value)
    raise _doors.mistake(where, f"{' or '.join(map(str, counts))} different texts", got, cure)
