"""What a measurement recorded: named arrays of raw numbers, and all that is needed to measure them again."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

Progress = Callable[[float], None]

PACKAGES = ("mlp_jax", "jax", "jaxlib", "optax", "numpy")


class NotMeasured(NamedTuple):
    """What `measure` returns in place of an array: why there is none, and what to do about it."""

    reason: str


class NotMeasuredError(LookupError):
    """A claim or a picture needs a number that this run did not measure; the message says why."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of one measurement.

    Attributes:
      arrays: by name, raw: per seed or run, not yet averaged. Coordinates of their axes are arrays too.
      config: the configuration, a frozen dataclass.
      missing: names that were not measured, and why.
      seed: the seed of all randomness.
      seconds: how long it took.
      versions: of Python and of the packages.
      device: on what.
    """

    arrays: Mapping[str, np.ndarray]
    config: Any
    missing: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    def __getitem__(self, name: str) -> np.ndarray:
        """Return an array.

        Raises:
          NotMeasuredError: if this run left it out.
          KeyError: if no run has it.
        """
        if name in self.missing:
            raise NotMeasuredError(self.missing[name])
        return self.arrays[name]

    def at(self, **coordinate: Any) -> int:
        """Return the index of a value along its axis.

        >>> n = Numbers({"pieces": np.array([2, 32, 64])}, config=None)
        >>> n.at(pieces=64)
        2

        Raises:
          NotMeasuredError: if this run left the value out.
        """
        ((name, value),) = coordinate.items()
        (found,) = np.nonzero(self[name] == value)
        if len(found) != 1:
            raise NotMeasuredError(f"this run has no {name} = {value}: run without --quick")
        return int(found[0])


def measured(module: ModuleType, config: Any, seed: int = 0, progress: Progress = lambda share: None) -> Numbers:
    """Carry out one measurement. Its key depends on the seed and its name, and not on what else is run."""
    start = time.perf_counter()
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name_of(module).encode()))
    values = module.measure(config, key, progress)
    missing = {name: value.reason for name, value in values.items() if isinstance(value, NotMeasured)}
    return Numbers(
        arrays={name: np.asarray(value) for name, value in values.items() if name not in missing},
        config=config,
        missing=missing,
        seed=seed,
        seconds=time.perf_counter() - start,
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
        device=f"{jax.devices()[0].device_kind}, {platform.system()} on {os.cpu_count()} cores of {platform.machine()}",
    )


def name_of(module: ModuleType) -> str:
    """Return a measurement's or question's name: the last part of its module's."""
    return module.__name__.rsplit(".", 1)[-1]


def write(path: Path, numbers: Numbers) -> None:
    """Write the arrays as path.npz, at full precision, and then the rest as path.json; each is whole or not there.

    Raises:
      TypeError: for an array of objects.
    """
    if objects := [name for name, array in numbers.arrays.items() if array.dtype == object]:
        raise TypeError(f"{path.name}: expected arrays of numbers or strings, got objects in {objects}")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "seed": numbers.seed,
        "seconds": round(numbers.seconds, 3),
        "device": numbers.device,
        "versions": dict(numbers.versions),
        "config": dataclasses.asdict(numbers.config),
        "missing": dict(numbers.missing),
    }
    part = _file(path, "part")
    with part.open("wb") as file:
        np.savez_compressed(file, **dict[str, Any](numbers.arrays))
    part.replace(_file(path, "npz"))
    part.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(_file(path, "json"))


def read(path: Path, config: type) -> Numbers:
    """Return what `write` wrote, its configuration as a dataclass of this type."""
    about = json.loads(_file(path, "json").read_text(encoding="utf-8"))
    with np.load(_file(path, "npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Numbers(**{**about, "arrays": arrays, "config": _as_config(config, about["config"])})


def exists(path: Path) -> bool:
    """Return whether `write` has come to its end there."""
    return _file(path, "json").exists()


def remove(path: Path) -> None:
    """Remove what `write` wrote, the end first."""
    _file(path, "json").unlink(missing_ok=True)
    _file(path, "npz").unlink(missing_ok=True)


def _file(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")  # the name may have dots


def _as_config(kind: type, values: Mapping[str, Any]) -> Any:
    """Return a configuration of a type from values of JSON; what it holds are of the types of its defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    return kind(
        **{
            name: _as_config(type(defaults[name]), value)
            if dataclasses.is_dataclass(defaults[name]) and value
            else _as_tuples(value)
            for name, value in values.items()
        }
    )


def _as_tuples(value: Any) -> Any:
    """Return values of JSON with tuples in place of lists, as configurations have them."""
    if isinstance(value, list):
        return tuple(_as_tuples(entry) for entry in value)
    if isinstance(value, dict):
        return {name: _as_tuples(entry) for name, entry in value.items()}
    return value
