"""Checkpoints: a run on disk, from which it goes on to the same bits as if it had never been interrupted.

Orbax writes them in the background, each as a folder that gets its name when it is complete. So a process can be killed
at any moment, and the last complete checkpoint stays. A checkpoint holds the arrays of the run's state and of what was
measured, the digest of their bytes, and what decides the run, by name: a run of anything else is refused.
"""

import errno
import hashlib
import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from mlp_jax import _doors
from mlp_jax._extras import needs
from mlp_jax._files import atomic_write, remove_unfinished

UNFINISHED = ".orbax-checkpoint-tmp"  # in the name of a checkpoint that is being written
DAMAGED = "damaged"  # the new name of a checkpoint that could not be read begins so: it is never deleted
RUN = "run.json"  # in the folder: what decides the run


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often `train` saves a run.

    Attributes:
      folder: of one run; it is made if it does not exist.
      every: epochs from one checkpoint to the next; the last epoch is saved too.
      last: how many checkpoints are kept.
      resume: whether to go on from the last checkpoint, if there is one. Without it a folder with some is an error.
      about: more that decides the run, as texts by name. Of an optimizer only the shapes of its state and its
        hyperparameters are compared, and of your own functions nothing: what decides them can be said here.

    Raises:
      ValueError, TypeError: if a count is below 1.
    """

    folder: str | Path
    every: int = 1
    last: int = 3
    resume: bool = False
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("every", "last"):
            object.__setattr__(self, name, _doors.as_whole_number(name, getattr(self, name), at_least=1))


class Saved(NamedTuple):
    """A checkpoint that was read: the number of epochs done, the run's state, and what was measured by epoch."""

    epochs: int
    state: PyTree
    measured: PyTree


class Writer(NamedTuple):
    """Functions of an open folder.

    Attributes:
      read: read(like) -> the last complete checkpoint, or None; like(epochs) has the shapes of (state, measured).
      save: save(epochs, state, measured) starts to write a checkpoint; the one before is complete then.
    """

    read: Callable[[Callable[[int], PyTree]], Saved | None]
    save: Callable[[int, PyTree, PyTree], None]


def as_checkpoint(value: Any) -> Checkpoint:
    """Return a `Checkpoint`; a path becomes the folder of one that goes on."""
    if isinstance(value, str | Path):
        return Checkpoint(value, resume=True)
    if not isinstance(value, Checkpoint):
        raise TypeError(f"checkpoint: expected a folder or a Checkpoint, got {type(value).__name__}")
    return value


def digest_of(*arrays: PyTree) -> str:
    """Return a digest of the bytes, shapes and dtypes of arrays."""
    digest = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(arrays)):
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).view(np.uint8).data if leaf.size else b"")
    return digest.hexdigest()


@contextmanager
def opened(checkpoint: Checkpoint, decides: Mapping[str, str]) -> Iterator[Writer]:
    """Open the folder of a run, and wait at the end until all is written.

    Args:
      checkpoint: the folder, and how to write to it.
      decides: what decides the run, as texts by name.

    Raises:
      ValueError: if the folder holds another run, or something else, or checkpoints while `resume` is False.
      OSError: if it cannot be written.
      ModuleNotFoundError: if Orbax is missing.
    """
    with needs("orbax-checkpoint", "checkpoint", "a checkpoint"):
        import orbax.checkpoint as ocp
    folder = Path(checkpoint.folder).absolute()
    _claim(folder, checkpoint, dict(checkpoint.about) | dict(decides))
    for path in folder.glob(f"*{UNFINISHED}*"):  # of a process that was killed
        _remove(path)

    def save(epochs: int, state: PyTree, measured: PyTree) -> None:
        leaves = [np.array(leaf) for leaf in jax.tree.leaves((state, measured))]  # copies, as a run donates its own
        arrays, about = ocp.args.StandardSave(_by_number(leaves)), ocp.args.JsonSave({"digest": digest_of(leaves)})
        wait()
        with _named(folder):
            checkpointer.save(folder / str(epochs), args=ocp.args.Composite(arrays=arrays, about=about))

    def wait() -> None:
        with _named(folder):
            checkpointer.wait_until_finished()
            for epochs in _complete(folder)[checkpoint.last :]:
                shutil.rmtree(folder / str(epochs))

    def read(like: Callable[[int], PyTree]) -> Saved | None:
        for epochs in _complete(folder):
            leaves, tree = jax.tree.flatten(like(epochs))
            shapes = _by_number([jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=_here()) for a in leaves])
            arguments = ocp.args.Composite(arrays=ocp.args.StandardRestore(shapes), about=ocp.args.JsonRestore())
            try:
                found = checkpointer.restore(folder / str(epochs), args=arguments)
                leaves = [found.arrays[name] for name in shapes]
                if found.about["digest"] != digest_of(leaves):
                    raise ValueError("its bytes are not those that were written")
            except Exception as error:  # damaged files make the libraries raise almost anything
                _put_aside(folder / str(epochs), error)
            else:
                return Saved(epochs, *jax.tree.unflatten(tree, leaves))
        return None

    with _quiet():
        checkpointer = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
        try:
            yield Writer(read, save)
        finally:
            try:
                wait()
            finally:
                with suppress(Exception):  # an error of writing has been raised before
                    checkpointer.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Orbax, which reports each step of its work, and errors twice."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _remove(path: Path) -> None:
    """Remove a folder, into which a thread of a save that failed may still be writing."""
    for wait in (0.1, 0.5):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(wait)
    shutil.rmtree(path)


def _complete(folder: Path) -> list[int]:
    """Return the epochs of the complete checkpoints in a folder, the last first."""
    return sorted((int(path.name) for path in folder.iterdir() if path.name.isdigit()), reverse=True)


def _claim(folder: Path, checkpoint: Checkpoint, decides: dict[str, str]) -> None:
    """Make the folder with what decides the run, or check that it is the folder of this run."""
    path = folder / RUN
    if folder.is_dir():
        remove_unfinished(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            json.dump(decides, file, indent=1)
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        expected, got = "an empty folder, or one with the checkpoints of this run", f"{folder}, with other things"
        raise _doors.mistake("checkpoint", expected, got, "give another") from None
    for name in decides | kept:
        if kept.get(name) != decides.get(name):
            where, cure = f"{folder}, {name}", "give that, or another folder"
            raise _doors.mistake(where, f"{kept.get(name)}, as of its run", f"{decides.get(name)}", cure)
    if not checkpoint.resume and _complete(folder):
        raise _doors.mistake("checkpoint", "a new folder", f"{folder}, with checkpoints", "resume it")


def _put_aside(path: Path, error: Exception) -> None:
    """Rename a checkpoint that cannot be read, and say so."""
    endings = ("", *(f"-{i}" for i in range(1, 2 + len(list(path.parent.iterdir())))))
    names = (path.with_name(f"{DAMAGED}-{path.name}{ending}") for ending in endings)
    aside = path.rename(next(name for name in names if not name.exists()))
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    warnings.warn(f"{path} cannot be read ({reason}); it is now {aside.name}", RuntimeWarning, stacklevel=3)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Name the folder in an error of writing, and the last complete checkpoint."""
    try:
        yield
    except Exception as error:  # Orbax raises what its libraries do
        number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        reason = reason or " ".join(str(error).split())[-200:]
        complete = _complete(folder)
        kept = f"the checkpoint of epoch {complete[0]}" if complete else "no checkpoint"
        raise OSError(number or errno.EIO, f"{reason}; {kept} is complete", str(folder)) from error


def _by_number(leaves: list[Any]) -> dict[str, Any]:
    """Return leaves by names that sort as they do."""
    return {f"{i:04}": leaf for i, leaf in enumerate(leaves)}


def _here() -> jax.sharding.Sharding:
    return jax.sharding.SingleDeviceSharding(jax.devices()[0])
