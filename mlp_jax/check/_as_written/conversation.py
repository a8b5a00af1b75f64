"""The child process that runs a file, and what it can be asked. Nothing that it says is executed here."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mlp_jax.check._diagnosis import files
from mlp_jax.check._training_step import messages

How = Literal["", "by small rate", "without the last class"]
FOLDER = Path(__file__).parents[1]
START = """import sys; sys.path.insert(0, sys.argv.pop(1))
import _training_step.child as child; sys.path.pop(0); child.main()"""


class Step(NamedTuple):
    """A training step of a file.

    Attributes:
      line: of the loop whose round it is.
      shapes: of the parameters, by their names in the file.
      losses: the expressions that may be its loss, the likeliest first.
      gradients: the words for what may be its gradient, the likeliest first.
    """

    line: int
    shapes: dict[str, tuple[int, ...]]
    losses: tuple[str, ...]
    gradients: tuple[str, ...]


class Running(NamedTuple):
    """A file that runs.

    Attributes:
      steps: its training steps.
      sizes: of its arrays.
      error: that ended its own run; empty if none did.
      ask: (question, arrays) -> arrays; raises `Failed`.
    """

    steps: tuple[Step, ...]
    sizes: tuple[int, ...]
    error: str
    ask: Callable[[Mapping[str, Any], Sequence[np.ndarray]], list[np.ndarray]]


class Failed(Exception):
    """The child gave no answer, for a reason in one line; `late` if its time was over."""

    late = False


@contextmanager
def running(file: Path, seconds: float) -> Iterator[Running]:
    """Run a file in a child process, which ends with the context, or after some seconds."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", START, str(FOLDER), str(file), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | files.ENVIRONMENT,
        start_new_session=True,
    )
    assert child.stdin is not None and child.stdout is not None  # they are pipes
    streams, late = (child.stdin, child.stdout), threading.Event()

    def stop() -> None:
        late.set()
        files.end(child)

    def heard() -> tuple[dict[str, Any], list[np.ndarray]]:
        try:
            return messages.receive(streams[1])
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            failure = Failed(f"it ended the process that ran it{_status(child, late.is_set())}")
            if late.is_set():
                failure = Failed(f"no answer within {seconds:g} s: an endless loop? --time-limit sets the limit")
                failure.late = True
            raise failure from error

    def ask(question: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        with suppress(OSError):  # then it cannot answer either
            messages.send(streams[0], question, arrays)
        message, values = heard()
        if message.get("error"):
            raise Failed(str(message["error"]))
        return values

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        message, arrays = heard()
        try:
            run = _running(message, arrays, ask)
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise Failed("it changed the answer of the process that ran it") from error
        yield run
    finally:
        timer.cancel()
        files.end(child)


def _status(child: subprocess.Popen[bytes], late: bool) -> str:
    """Say how a child ended, if it does within a moment."""
    with suppress(subprocess.TimeoutExpired):
        code = child.wait(0.0 if late else 1.0)
        return f", with status {code}" if code > 0 else f", by {signal.Signals(-code).name}" if code < 0 else ""
    return ""


def _running(message: Mapping[str, Any], arrays: Sequence[np.ndarray], ask: Any) -> Running:
    shapes = iter(arrays)
    steps = tuple(
        Step(
            int(step["line"]),
            {str(name): next(shapes).shape for name in step["parameters"]},
            tuple(map(str, step["losses"])),
            tuple(map(str, step["gradients"])),
        )
        for step in message["steps"]
    )
    return Running(steps, tuple(int(size) for size in message["sizes"]), str(message["error"]), ask)


def gradient(run: Running, step: int, number: int, theta: Sequence[np.ndarray], how: How = "") -> list[np.ndarray]:
    """Return a step's gradient at theta.

    Args:
      run: the file.
      step: the step's number.
      number: the gradient's.
      theta: the parameters.
      how: "by small rate" reads it from the update of a small learning rate, and is nothing if it is not read from an
        update; "without the last class" has the last class of the labels replaced by the first.
    """
    return run.ask({"ask": "gradient", "step": step, "gradient": number, "how": how}, theta)


def losses(run: Running, step: int, loss: int, theta: np.ndarray, entries: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return a step's loss at theta with one entry moved, for each entry and size.

    Args:
      run: the file.
      step: the step's number.
      loss: the loss's number.
      theta: all parameters as one vector.
      entries: the numbers of entries of theta, in any shape.
      sizes: how far to move each.
    """
    (values,) = run.ask({"ask": "losses", "step": step, "loss": loss}, [theta, entries.ravel(), sizes.ravel()])
    if values.size != sizes.size:
        raise Failed("it changed the answer of the process that ran it")
    return values.reshape(sizes.shape)


def data(run: Running, step: int) -> list[tuple[np.ndarray, bool]]:
    """Return arrays that a step may take as data, each with whether it holds whole numbers."""
    values = run.ask({"ask": "data", "step": step}, [])
    half = len(values) // 2
    return [(array, bool(kind.any())) for kind, array in zip(values[:half], values[half:], strict=True)]
