"""The settings of a sweep's runs: a grid or a list, checked, completed by defaults, and grouped by shape.

Seeds, the gain and hyperparameters are traced: one program serves all their values. Widths, activation, batch size and
the number of examples are static: each combination is a group of runs with its own program.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlp_jax import _doors
from mlp_jax.activations import ACTIVATIONS, Activation
from mlp_jax.network import Layer, Params
from mlp_jax.training._recipe import Recipe, Static

SEEDS = ("seed", "init_seed", "order_seed", "subset_seed")
SHAPES = ("examples", "hidden", "activation", "batch_size")
NAMES = (*SEEDS, "gain", *SHAPES)

Setting = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """The static part of a run; runs of one shape share a compiled program."""

    sizes: tuple[int, ...]
    examples: int
    epochs: int
    dtype: str
    static: Static


class Run(NamedTuple):
    """The traced part of a run, or of many, stacked: seeds uint32, gain and hyperparameters in the network's dtype."""

    init_seed: Any
    order_seed: Any
    subset_seed: Any
    gain: Any
    hyperparameters: dict[str, Any] | None


class Group(NamedTuple):
    """The runs of one shape: their indices in the sweep, and their traced parts, stacked."""

    shape: Shape
    indices: tuple[int, ...]
    runs: Run

    @property
    def one(self) -> Run:
        """The shapes and dtypes of one run."""
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((), a.dtype), self.runs)


class Plan(NamedTuple):
    """The plan of a group: chunks of `chunk` runs, distributed over devices, with `at_once` vmapped on each."""

    devices: tuple[jax.Device, ...]
    at_once: int
    chunk: int
    starts: range


def expanded(runs: Any) -> list[Setting]:
    """Return one mapping per run: the product of a grid, its last name fastest, or the list as it is.

    >>> expanded({"seed": range(2), "learning_rate": [0.1, 0.2]})[:2]
    [{'seed': 0, 'learning_rate': 0.1}, {'seed': 0, 'learning_rate': 0.2}]
    """
    if isinstance(runs, Mapping):
        values = [_values(name, of_name) for name, of_name in runs.items()]
        return [dict(zip(runs, run, strict=True)) for run in itertools.product(*values)]
    if isinstance(runs, str) or not isinstance(runs, Sequence):
        raise TypeError(f"runs: expected a grid, a mapping of lists, or a list of mappings, got {type(runs).__name__}")
    for i, run in enumerate(runs):
        if not isinstance(run, Mapping):
            raise TypeError(f"runs[{i}]: expected a mapping such as {{'seed': 0}}, got {type(run).__name__}")
    if not runs:
        raise _doors.mistake("runs", "at least one run", "an empty list")
    return [dict(run) for run in runs]


def _values(name: str, values: Any) -> list[Any]:
    """Return the values of one name of a grid; an array's values become Python's own."""
    if isinstance(values, str | Activation) or not hasattr(values, "__iter__") or getattr(values, "shape", None) == ():
        raise TypeError(f"runs[{name!r}]: expected a list of values, got {values!r}; write [{values!r}]")
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    if not values:
        raise _doors.mistake(f"runs[{name!r}]", "at least one value", "none", f"leave {name} out, or give it a value")
    return values


def completed(runs: Any, defaults: Setting, hyperparameters: Any, optimizer: Any, examples: int) -> tuple[Setting, ...]:
    """Return the full settings of every run, its own completed by the shared ones, or raise."""
    shared = hyperparameters or {}
    if not isinstance(shared, Mapping):
        raise TypeError(f"hyperparameters: expected numbers by name, got {type(shared).__name__}")
    taken = _taken(optimizer)
    return tuple(
        _completed(f"runs[{i}]", run, defaults, shared, taken, examples) for i, run in enumerate(expanded(runs))
    )


def _taken(optimizer: Any) -> Sequence[str] | None:
    """Return the names of a factory's hyperparameters: none for a ready transformation, None if it takes any name."""
    if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
        return ()
    parameters = inspect.signature(optimizer).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return None if takes_any else [parameter.name for parameter in parameters]


def _completed(
    where: str, run: Setting, defaults: Setting, shared: Mapping[str, Any], taken: Sequence[str] | None, examples: int
) -> Setting:
    for name in run:
        if name not in NAMES and taken is not None and name not in taken:
            known = [*NAMES, *taken]
            expected = f"names among {', '.join(NAMES)}" + f", and the optimizer's {', '.join(taken)}" * bool(taken)
            cure = _doors.did_you_mean(str(name), known) or "give a factory such as optax.adam" * (not taken)
            raise _doors.mistake(where, expected, repr(name), cure)
    seed = run.get("seed", 0)
    of_run: Setting = {name: run.get(name, seed) for name in SEEDS} | {"gain": 1.0, "examples": examples} | defaults
    of_run |= {name: value for name, value in run.items() if name in NAMES}
    numbers = {**shared, **{name: value for name, value in run.items() if name not in NAMES}}
    for name in SEEDS:
        _doors.check_seed(f"{where}[{name!r}]", of_run[name])
    number = _doors.as_whole_number(f"{where}['examples']", of_run["examples"], at_least=1)
    if number > examples:
        raise _doors.mistake(f"{where}['examples']", f"at most the {examples} examples of the data", number)
    return of_run | {
        "gain": _number(f"{where}['gain']", of_run["gain"]),
        "hidden": _widths(f"{where}['hidden']", of_run["hidden"]),
        "activation": _activation(f"{where}['activation']", of_run["activation"]),
        "batch_size": _doors.as_whole_number(f"{where}['batch_size']", of_run["batch_size"], at_least=1),
        **{name: _number(f"{where}[{name!r}]", value) for name, value in numbers.items()},
    }


def _number(where: str, value: Any) -> float:
    """Return a finite number, and not a bool, since every setting outside `NAMES` is traced."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _doors.mistake(where, "a finite number", repr(value), _doors.NOT_A_NUMBER)
    return number


def _widths(where: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError(f"{where}: expected a tuple of widths such as (64, 64), got {value!r}")
    return tuple(_doors.as_whole_number(where, width, at_least=1) for width in value)


def _activation(where: str, value: Any) -> Activation:
    if isinstance(value, str):
        _doors.check_choice(where, value, ACTIVATIONS)
        return ACTIVATIONS[value]
    _doors.check_record("activation", value, Activation)
    return value


def grouped(
    settings: Sequence[Setting], shape_of: Callable[[Setting, Recipe], Shape], keywords: Mapping[str, Any]
) -> list[Group]:
    """Return the groups of equal shape and equal names of hyperparameters, in the order of their first runs.

    Args:
      settings: the full settings of every run.
      shape_of: (the settings of a run, its recipe) -> its shape.
      keywords: the keywords of the recipe that all runs share.
    """
    indices: dict[tuple[Any, ...], list[int]] = {}
    for i, setting in enumerate(settings):
        names = tuple(sorted(set(setting) - set(NAMES)))
        indices.setdefault((*(setting[name] for name in SHAPES), names), []).append(i)
    groups = []
    for (*_, names), members in indices.items():
        first = settings[members[0]]
        of_run = {name: first[name] for name in ("activation", "batch_size")}
        of_run["hyperparameters"] = {name: first[name] for name in names}
        recipe = Recipe(**{**keywords, **of_run})
        shape = shape_of(first, recipe)
        groups.append(Group(shape, tuple(members), _stacked([settings[i] for i in members], names, shape)))
        recipe.traced(shape.dtype)  # checks the factory's transformation
    return groups


def _stacked(settings: Sequence[Setting], names: Sequence[str], shape: Shape) -> Run:
    dtype = jnp.dtype(shape.dtype)

    def floats(name: str) -> np.ndarray:
        with np.errstate(over="ignore"):
            column = np.array([setting[name] for setting in settings]).astype(dtype)
        if not np.isfinite(column.astype(float)).all():
            worst = max((setting[name] for setting in settings), key=abs)
            raise _doors.mistake(name, f"a finite number in {shape.dtype}", worst)
        return column

    init, order, subset = (np.array([setting[name] for setting in settings], np.uint32) for name in SEEDS[1:])
    is_ready = isinstance(shape.static.optimizer, optax.GradientTransformation)
    return Run(init, order, subset, floats("gain"), None if is_ready else {name: floats(name) for name in names})


def zeros(shape: Shape) -> Params:
    """Return parameters of a shape that cost no memory, for the checks of `train`."""
    zero = np.zeros((), jnp.dtype(shape.dtype))
    return tuple(
        Layer(np.broadcast_to(zero, (a, b)), np.broadcast_to(zero, (b,)))  # type: ignore[arg-type]  # of numpy, since JAX would fill them
        for a, b in itertools.pairwise(shape.sizes)
    )


def chunk_of(group: Group, start: int, length: int) -> Run:
    """Return `length` runs of a group from `start`, wrapping around at the end."""
    return jax.tree.map(lambda a: a.take(range(start, start + length), mode="wrap"), group.runs)
