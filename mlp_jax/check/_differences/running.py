"""What can be judged, as functions to ask: a file in a child process, or functions of this one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from mlp_jax.check._child.functions import Answer
from mlp_jax.check._child.recording import Event, Place
from mlp_jax.check._child.search import LARGEST_DATA, MOST_DATA

View = Literal["", "later", "without the last class"]
LONGEST_TEXT = 300  # of what a file says, in a report
CHANGED = "it changed the answer of the process that ran it"


class Step(NamedTuple):
    """A training step of a file.

    Attributes:
      line: of the loop whose round it is.
      shapes: of the parameters, by their names in the file.
      losses: the expressions that may be its loss, the likeliest first.
      gradients: the words for what may be its gradient, the likeliest first.
      point: the only parameters at which it is judged; empty if they are drawn.
      later: the number of the later round that was kept; 0 for none.
      unused: the names of what is updated as the parameters are, and on which the loss does not depend.
    """

    line: int
    shapes: dict[str, tuple[int, ...]]
    losses: tuple[str, ...]
    gradients: tuple[str, ...]
    point: tuple[np.ndarray, ...] = ()
    later: int = 0
    unused: tuple[str, ...] = ()


Point = tuple[str, list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]  # form, layers, x and labels


class Recorded(NamedTuple):
    """An answer of a run whose values were recorded.

    Attributes:
      answer: of a function; None for a step.
      values: of a step.
      places: of the expressions whose values were seen.
      events: the place of each value, and the value, in the order in which they were seen.
    """

    answer: Answer | None
    values: list[np.ndarray]
    places: Sequence[Place]
    events: Sequence[Event]


class Running(NamedTuple):
    """A file that runs.

    Attributes:
      steps: its training steps, or what it returns at its own point.
      ask: (question, arrays) -> arrays; raises `Failed`.
      call: (function, layers, x, labels, layout, form) -> what a function of it answers; raises `Failed`.
      record: (question, arrays, replacements, whether to give the events) -> an answer of a recorded run.
      functions: of (params, x, labels) that may be its backward pass, the likeliest first.
      constants: its settings, such as ACTIVATION, by their names in small letters.
      point: form, layers, x and labels of its own point, if that is one of layers.
      sizes: of its arrays.
      mistake: why it is no Python code; empty if it is.
      defined: the names of its functions and methods.
      error: that ended its own run; empty if none did.
      calls: functions of libraries that it calls for gradients.
      notes: on how it ran.
    """

    steps: tuple[Step, ...]
    ask: Callable[[Mapping[str, Any], Sequence[np.ndarray]], list[np.ndarray]]
    call: Callable[..., Answer] | None = None
    record: Callable[..., Recorded] | None = None
    functions: tuple[str, ...] = ()
    constants: Mapping[str, Any] = {}
    point: Point | None = None
    sizes: tuple[int, ...] = ()
    mistake: str = ""
    defined: tuple[str, ...] = ()
    error: str = ""
    calls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """Return what a child says as text for a report: short, and without what could control a terminal."""
    words = value if isinstance(value, str) else repr(value)
    if len(words) > longest:
        words = f"{words[: longest - 23]}...{words[-20:]}"
    return "".join(character if character.isprintable() else " " for character in words)


class Failed(Exception):
    """The child gave no answer, for a reason in one line."""


class Ended(Failed):
    """The child will give no answer any more."""


def gradient(run: Running, step: int, number: int, theta: Sequence[np.ndarray], view: View = "") -> list[np.ndarray]:
    """Return a step's gradient at theta.

    Args:
      run: the file.
      step: the step's number.
      number: the gradient's.
      theta: the parameters.
      view: the variables from which the step starts: of the first round, of a later one, or those of the first with
        the last class of the labels replaced by class 0.
    """
    values = run.ask({"ask": "gradient", "step": step, "gradient": number, "view": view}, theta)
    if len(values) != len(theta):
        raise Failed(CHANGED)
    return values


def by_small_rate(run: Running, step: int, number: int, theta: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a step's gradient from its update by a small learning rate; nothing if it is not read from an update."""
    values = run.ask({"ask": "gradient by small rate", "step": step, "gradient": number, "view": ""}, theta)
    if len(values) not in (0, len(theta)):
        raise Failed(CHANGED)
    return values


def losses(
    run: Running,
    step: int,
    loss: int,
    theta: np.ndarray,
    entries: np.ndarray,
    sizes: np.ndarray,
    view: View = "",
    directions: np.ndarray | None = None,
) -> np.ndarray:
    """Return a step's loss at theta with one entry moved, for each entry and size.

    Args:
      run: the file.
      step: the step's number.
      loss: the loss's number.
      theta: all parameters as one vector.
      entries: the numbers of entries of theta, in any shape; those of directions follow them.
      sizes: how far to move each.
      view: as for `gradient`.
      directions: (number, size of theta).
    """
    along = np.zeros((0, theta.size)) if directions is None else directions
    arrays = [theta, entries.ravel(), sizes.ravel(), along]
    values = run.ask({"ask": "losses", "step": step, "loss": loss, "view": view}, arrays)
    if len(values) != 1 or values[0].size != sizes.size:
        raise Failed(CHANGED)
    return values[0].reshape(sizes.shape)


def data(run: Running, step: int) -> list[tuple[np.ndarray, bool]]:
    """Return arrays that a step may take as data, each with whether it holds whole numbers."""
    values = run.ask({"ask": "data", "step": step}, [])
    half = len(values) // 2
    if len(values) % 2 or half > MOST_DATA or not all(a.ndim in (1, 2) and 0 < a.size <= LARGEST_DATA for a in values):
        raise Failed(CHANGED)
    return [(array, bool(kind.any())) for kind, array in zip(values[:half], values[half:], strict=True)]
