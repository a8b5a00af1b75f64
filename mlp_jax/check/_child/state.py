"""The variables of a program: its arrays of floats, found wherever they stand, copied and replaced.

A path leads to an array as the program's code does: `net.W1`, `params[0][1]`, `parameters['W1']`.
"""

import copy
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

DEEPEST = 6  # steps of a path
MOST_ENTRIES = 1000  # of a container that are looked at
ATOMS = (str, bytes, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)

Path = tuple[tuple[str, Any], ...]
Scope = Mapping[str, Any]


def data_of(scope: Scope) -> dict[str, Any]:
    """Return the variables that are no functions, classes or modules."""
    return {
        name: value
        for name, value in scope.items()
        if not name.startswith("__") and (isinstance(value, str | bytes) or not isinstance(value, ATOMS))
    }


def is_array(value: Any) -> bool:
    """Return whether a value is an array of floats, of NumPy or of a library whose arrays become NumPy's."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f"
    return hasattr(value, "__array__") and "float" in str(getattr(value, "dtype", ""))


def is_list_of_numbers(value: Any, kind: Any = float) -> bool:
    """Return whether a value is a list of numbers of a kind, or a list of such lists of one length."""
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(entry, kind) for entry in value):
        return True
    return all(is_list_of_numbers(entry, kind) for entry in value) and len({np.shape(entry) for entry in value}) == 1


def is_number(value: Any) -> bool:
    """Return whether a value is one float."""
    return isinstance(value, float | np.floating) or (is_array(value) and np.size(value) == 1)


def as_floats(value: Any) -> np.ndarray:
    """Return an array of floats as NumPy's, in float64."""
    return np.asarray(value.detach() if hasattr(value, "detach") else value, np.float64)


def arrays(scope: Scope, views: bool = True) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of every float and array of floats, each array once; without views, each memory once."""
    seen: set[int] = set()
    yielded: list[Any] = []

    def walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
        if isinstance(value, ATOMS) or len(path) > DEEPEST or (id(value) in seen and not isinstance(value, float)):
            return
        if isinstance(value, float):  # not each once: equal floats can be one object
            yield path, value
        elif is_array(value) or is_list_of_numbers(value):
            seen.update(_lists_of(value))
            if views or not any(_is_part(value, other) or _is_part(other, value) for other in yielded):
                yielded.append(value)
                yield path, value
        elif isinstance(value, Mapping | list | tuple) or _attributes(value):
            seen.add(id(value))
            for step, entry in _entries(value)[:MOST_ENTRIES]:
                yield from walk((*path, step), entry)

    for name, value in data_of(scope).items():
        yield from walk((("name", name),), value)


def _lists_of(value: Any) -> Iterator[int]:
    """Yield the identity of an array, or of a list and the lists in it."""
    yield id(value)
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, list):
            yield from _lists_of(entry)


def numbers(scope: Scope) -> Iterator[tuple[Path, float]]:
    """Yield path and value of every float that is a variable or an attribute of one."""
    for name, value in data_of(scope).items():
        path: Path = (("name", name),)
        entries = [(path, value)]
        entries += [((*path, ("attr", attribute)), entry) for attribute, entry in _attributes(value).items()]
        for where, entry in entries:
            if is_number(entry) and np.ndim(entry) == 0:
                yield where, float(as_floats(entry).reshape(()))


def _entries(value: Any) -> list[tuple[tuple[str, Any], Any]]:
    if isinstance(value, Mapping):
        return [(("key", key), entry) for key, entry in value.items()]
    if isinstance(value, list | tuple):
        return [(("key", i), entry) for i, entry in enumerate(value)]
    return [(("attr", name), entry) for name, entry in _attributes(value).items()]


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's own attributes, those in slots too."""
    if isinstance(value, ATOMS) or is_array(value):
        return {}
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})


def _is_part(value: Any, other: Any) -> bool:
    """Return whether an array is a view of memory that another one has."""
    are_arrays = isinstance(value, np.ndarray) and isinstance(other, np.ndarray)
    return are_arrays and value.base is not None and np.may_share_memory(value, other)


def written(path: Path) -> str:
    """Return a path as code.

    >>> written((("name", "net"), ("attr", "layers"), ("key", 0), ("key", "W")))
    "net.layers[0]['W']"
    """
    (_, name), *steps = path
    return str(name) + "".join(f".{step}" if kind == "attr" else f"[{step!r}]" for kind, step in steps)


def get(scope: Any, path: Path) -> Any:
    """Return the value at a path."""
    value = scope
    for kind, step in path:
        value = getattr(value, step) if kind == "attr" else value[step]
    return value


def put(scope: dict[str, Any], path: Path, new: np.ndarray) -> None:
    """Replace the array at a path; where it can change, it changes in place, so that its other names see it."""
    old = get(scope, path)
    if isinstance(old, np.ndarray):
        old[...] = new
    elif isinstance(old, list):
        _fill(old, new)
    else:
        bind(scope, path, of_library(old, new))


def _fill(old: list[Any], new: np.ndarray) -> None:
    for i, entry in enumerate(old):
        if isinstance(entry, list):
            _fill(entry, new[i])
        else:
            old[i] = float(new[i])


def of_library(old: Any, new: np.ndarray) -> Any:
    """Return numbers as an array of the library that another array is of."""
    if isinstance(old, float | np.floating):
        return type(old)(new)
    if type(old).__module__.startswith("torch"):
        import torch

        return torch.as_tensor(new, dtype=old.dtype)
    import jax.numpy as jnp

    return jnp.asarray(new)


def bind(scope: Any, path: Path, new: Any) -> None:
    """Put another object at a path. A tuple cannot change, so it is replaced by another tuple."""
    *before, (kind, step) = path
    parent = get(scope, tuple(before))
    if kind == "attr":
        setattr(parent, step, new)
    elif isinstance(parent, tuple):
        entries = (*parent[:step], new, *parent[step + 1 :])
        bind(scope, tuple(before), type(parent)(*entries) if hasattr(parent, "_fields") else entries)
    else:
        parent[step] = new


def copied(scope: Scope) -> dict[str, Any]:
    """Return copies of the variables, with NumPy's arrays in float64. What cannot be copied is shared.

    Views of one memory stay views of one.
    """
    memo: dict[int, Any] = {}
    for value in _numpy_arrays(scope):
        memo[id(value)] = _view(value, memo)
    new = {}
    for name, value in scope.items():
        try:
            new[name] = copy.deepcopy(value, memo)
        except Exception:
            new[name] = value
    return new


def _numpy_arrays(value: Any, depth: int = 0) -> Iterator[np.ndarray]:
    """Yield NumPy's arrays of floats in variables, the views among them too."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            yield value
    elif depth <= DEEPEST and (isinstance(value, Mapping | list | tuple) or _attributes(value)):
        for _, entry in _entries(value)[:MOST_ENTRIES]:
            yield from _numpy_arrays(entry, depth + 1)


def _view(value: np.ndarray, memo: dict[int, Any]) -> np.ndarray:
    """Return a copy of an array in float64; of a view, the view of a copy of what it views."""
    base = value
    while isinstance(base.base, np.ndarray):
        base = base.base
    if base is value or base.dtype != np.float64 or value.dtype != np.float64 or not base.flags.c_contiguous:
        return memo.get(id(value), np.array(value, np.float64))
    new = memo.setdefault(id(base), np.array(base))
    offset = value.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return np.ndarray(value.shape, np.float64, new, offset, value.strides)
