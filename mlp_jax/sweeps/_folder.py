"""A sweep's folder: each finished chunk of runs is a file, named by a hash of all that decides its numbers.

A function is identified by its module, its name, and the whole file that defines it. If that file has changed, a sweep
computes again. The file's imports are not checked.
"""

import functools
import hashlib
import inspect
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import PyTree

from mlp_jax import _doors
from mlp_jax._files import atomic_write, remove_unfinished
from mlp_jax.activations import ACTIVATIONS, GLOROT, HE, LECUN, Activation
from mlp_jax.losses import LOSSES, Loss
from mlp_jax.sweeps._program import Shared
from mlp_jax.sweeps._settings import Group, Plan, chunk_of

CURE = "define it with def at the top level of a file, or leave folder out"
CONFIG = ("jax_default_prng_impl", "jax_threefry_partitionable", "jax_default_matmul_precision", "jax_enable_x64")


def hash_of(*parts: Any) -> str:
    """Return a hash of strings, numbers, bools, None, arrays, and sequences and mappings of them."""
    digest = hashlib.sha256()
    for token in _tokens(parts):
        digest.update(len(token).to_bytes(8, "little") + token)
    return digest.hexdigest()[:32]


def _tokens(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        value = ("dict", *sorted(value.items()))
    if isinstance(value, tuple | list):
        yield f"sequence of {len(value)}".encode()
        for entry in value:
            yield from _tokens(entry)
    elif isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        yield f"array {array.dtype} {array.shape}".encode()
        yield np.ascontiguousarray(array).tobytes()
    else:
        yield f"{type(value).__name__} {value!r}".encode()


def environment(device: Any) -> list[Any]:
    """Return what else decides a sweep's numbers: versions, kind of device, and settings of JAX."""
    library = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py"))))
    versions = [library.hexdigest(), jax.__version__, optax.__version__, np.__version__]
    return [*versions, device.platform, device.device_kind, *(repr(getattr(jax.config, name)) for name in CONFIG)]


def identity(name: str, value: Any) -> Any:
    """Return a function's or record's identity, equal in every process, or raise an error that names the argument.

    The library's records are identified by name, other records by their functions, and a `functools.partial` or
    `jax.tree_util.Partial` by its function and arguments. A function without a name of its own in a file is an error:
    a lambda, a function defined inside another one, or a ready optax transformation.
    """
    if value is None or isinstance(value, bool | int | float | str | np.ndarray | np.generic | jax.Array):
        return value
    if isinstance(value, tuple | list):
        return [identity(name, entry) for entry in value]
    if isinstance(value, Activation | Loss):
        return _identity_of_record(name, value)
    if isinstance(value, optax.GradientTransformation):
        cure = "give a factory and hyperparameters: optimizer=optax.adam, hyperparameters={'learning_rate': 1e-3}"
        raise _doors.mistake(name, "a factory, since folder is given", "a ready transformation", cure)
    if isinstance(value, functools.partial | Partial):
        arguments = [identity(name, list(value.args)), identity(name, sorted(value.keywords.items()))]
        return ["partial", identity(name, value.func), *arguments]
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", "<unnamed>")
    if _named(module, qualified) is not value:  # a method of an object, or a wrapper with another function's name
        raise _doors.mistake(name, "a function that a file defines by name, since folder is given", repr(value), CURE)
    try:
        source = Path(inspect.getsourcefile(inspect.unwrap(value)) or "").read_bytes()
    except (OSError, TypeError):
        source = b""
    if not source:
        raise _doors.mistake(name, "a function that a file defines by name, since folder is given", repr(value), CURE)
    return [module, qualified, hashlib.sha256(source).hexdigest()]


def _named(module: str | None, qualified: str) -> Any:
    """Return a module's attribute of a qualified name, or None."""
    attribute: Any = sys.modules.get(module or "")
    for part in qualified.split("."):
        attribute = getattr(attribute, part, None)
    return attribute


def _identity_of_record(name: str, value: Activation | Loss) -> Any:
    known: dict[str, Any] = {**ACTIVATIONS, **LOSSES}
    if known.get(value.name) is value:
        return value.name
    if isinstance(value, Loss):
        return [value.name, *identity(name, [value.value, value.logits_gradient, value.value_and_logits_gradient])]
    initialiser = value.weight_init
    index = next((i for i, ours in enumerate((LECUN, GLOROT, HE)) if ours is initialiser), None)
    functions = [value.value, value.derivative, value.value_and_derivative]
    return [value.name, *identity(name, functions), index if index is not None else identity(name, initialiser)]


def names(groups: Sequence[Group], plans: Sequence[Plan], shared: Shared) -> list[list[str]]:
    """Return the name of every chunk of every group, a hash of all that decides its numbers."""
    data, validation, traced = shared
    static = groups[0].shape.static
    by_name = traced._asdict() | {"optimizer": static.optimizer, "loss": static.loss}
    known = {name: identity(name, value) for name, value in by_name.items()}
    common = hash_of(known, data, validation, environment(jax.devices()[0]))

    def of_chunk(group: Group, plan: Plan, start: int) -> str:
        sizes, examples, epochs, dtype, static = vars(group.shape).values()
        activation = identity("activation", static.activation)
        of_group = (sizes, examples, epochs, dtype, activation, static.batch_size, static.shuffle, plan.at_once)
        return hash_of(common, of_group, chunk_of(group, start, plan.chunk))

    return [
        [of_chunk(*of_group, start) for start in of_group[1].starts] for of_group in zip(groups, plans, strict=True)
    ]


def opened(folder: Any) -> Path:
    """Make the folder, or remove what killed processes have left in it; raise before any work if that fails."""
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise _doors.mistake("folder", "a folder", f"{path}, a file", "give another name")
    path.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise _doors.mistake("folder", "a folder that can be written to", f"{path} ({error.strerror})") from error
    remove_unfinished(path)
    return path


def save(folder: Path, name: str, tree: PyTree) -> None:
    """Write a chunk's arrays."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    raw = {f"leaf{i}": np.frombuffer(np.ascontiguousarray(leaf).tobytes(), np.uint8) for i, leaf in enumerate(leaves)}
    form = json.dumps([[str(leaf.dtype), leaf.shape] for leaf in leaves])
    with atomic_write(folder / f"{name}.npz", "wb") as file:
        np.savez(file, form=np.array(form), **raw)  # type: ignore[arg-type]  # names are no keywords


def load(folder: Path, name: str, like: PyTree) -> PyTree:
    """Return a chunk's arrays in the form of `like`, or None if the file is missing or damaged."""
    expected, treedef = jax.tree.flatten(like)
    try:
        with (folder / f"{name}.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if json.loads(str(file["form"])) != [[str(leaf.dtype), list(leaf.shape)] for leaf in expected]:
                return None
            raw = [file[f"leaf{i}"].tobytes() for i in range(len(expected))]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
    arrays = (np.frombuffer(data, leaf.dtype).reshape(leaf.shape) for data, leaf in zip(raw, expected, strict=True))
    return jax.tree.unflatten(treedef, arrays)
