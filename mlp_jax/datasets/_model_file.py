"""Trained networks on disk: safetensors, with all that a prediction on new data needs as metadata.

The tensors are `layers.0.weight` (fan_in, fan_out), `layers.0.bias` (fan_out,), and so on. The metadata are texts:
`activation`, the JSON of `mean`, `scale`, `classes` and `features`, `label`, and the `version` that wrote them.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax import _doors
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.network import Layer, Params

NEEDED = ("activation", "mean", "scale", "classes")  # without these no prediction means anything


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network and how to use it: x is standardised as (x - mean) / scale, class i is called classes[i].

    `features` are the names of a table's columns and `label` that of its labels, where it has names.
    """

    params: Params
    activation: str
    mean: np.ndarray
    scale: np.ndarray
    classes: tuple[str, ...]
    features: tuple[str, ...] = ()
    label: str = ""


def save_model(path: str | os.PathLike[str], model: Model, version: str) -> None:
    """Write a model, first under a temporary name beside its own, so that a crash leaves no half of a file.

    Raises:
      OSError: if the folder cannot be written to.
      ModuleNotFoundError: if safetensors is not installed.
    """
    from safetensors.numpy import save

    tensors = {
        f"layers.{i}.{name}": np.asarray(value)
        for i, layer in enumerate(model.params)
        for name, value in layer._asdict().items()
    }
    metadata = {
        "format": "mlp_jax",
        "version": version,
        "activation": model.activation,
        "mean": json.dumps(model.mean.tolist()),
        "scale": json.dumps(model.scale.tolist()),
        "classes": json.dumps(model.classes),
        "features": json.dumps(model.features),
        "label": model.label,
    }
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(tensors, metadata))
        os.umask(umask := os.umask(0))  # the only way to read it: mkstemp's files are their owner's alone
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load_model(path: str | os.PathLike[str], **given: Any) -> Model:
    """Read a model; what is given (activation, mean, scale, classes) replaces the file's metadata.

    Raises:
      ValueError: if the file is not safetensors, its tensors are no chain of layers, or neither metadata nor
        arguments say what a prediction needs.
      OSError: if it cannot be read.
      ModuleNotFoundError: if safetensors is not installed.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise _doors.mistake(path, "a .safetensors file", "a folder" if Path(path).is_dir() else "nothing there")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata = file.metadata() or {}
    except SafetensorError as error:
        got, cure = f"one that cannot be read ({error})", "copy it again whole, or train anew"
        raise _doors.mistake(path, "a safetensors file", got, cure) from error
    count = len({name.rsplit(".", 1)[0] for name in tensors})
    names = [f"layers.{i}.{part}" for i in range(count) for part in ("weight", "bias")]
    if not tensors or set(names) != set(tensors):
        raise ValueError(f"{path}: expected the tensors layers.0.weight, layers.0.bias, ..., got {sorted(tensors)}")
    params = _doors.as_params([(tensors[w], tensors[b]) for w, b in zip(names[::2], names[1::2], strict=True)])
    known = {name: metadata[name] for name in ("activation", "label") if name in metadata}
    known |= {name: json.loads(metadata[name]) for name in ("mean", "scale", "classes", "features") if name in metadata}
    known |= {name: value for name, value in given.items() if value is not None}
    if missing := [name for name in NEEDED if name not in known]:
        flags = ", ".join(f"--{name}" for name in missing)
        raise ValueError(f"{path}: expected metadata with {', '.join(missing)}, got none; give {flags}")
    model = Model(
        params=tuple(Layer(*layer) for layer in params),
        activation=known["activation"],
        mean=np.asarray(known["mean"], np.float64),
        scale=np.asarray(known["scale"], np.float64),
        classes=tuple(known["classes"]),
        features=tuple(known.get("features", ())),
        label=known.get("label", ""),
    )
    _doors.check_choice("activation", model.activation, ACTIVATIONS)
    if len(model.classes) != params[-1][1].shape[0]:
        raise ValueError(
            f"{path}: expected a name for each of the {params[-1][1].shape[0]} classes, got {len(model.classes)}"
        )
    return model
