"""The child process that runs a file, and what it can be asked. Nothing that it says is executed here."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from mlp_jax.check._child import messages, recording
from mlp_jax.check._child.entry import CONSTANTS
from mlp_jax.check._child.functions import Answer
from mlp_jax.check._child.recording import Event, Place, Replacements
from mlp_jax.check._differences import processes
from mlp_jax.check._differences.running import CHANGED, Ended, Failed, Point, Recorded, Running, Step, text

FOLDER = Path(__file__).parents[1]
ENVIRONMENT = {
    "JAX_ENABLE_X64": "1",  # so that jax.numpy keeps the arrays' float64
    "JAX_PLATFORMS": "cpu",
    "MPLBACKEND": "agg",  # a plot that is shown does not wait for someone to close it
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
}
START = """import sys; sys.path.insert(0, sys.argv.pop(1))
__import__("_child.limits").limits.go_on_in_a_child()
__import__("_child.child").child.main()"""
LONGEST_NAME = 80  # characters of a name in a report
MOST_STEPS, MOST_CHOICES, MOST_PARAMETERS, MOST_SIZES = 20, 20, 1000, 1000
LARGEST_SIZE = 2**40


@contextmanager
def running(file: Path, seconds: float, source: bytes | None = None, function: str = "") -> Iterator[Running]:
    """Run a file in a child process, which ends with the context, or after some seconds.

    Args:
      file: its path.
      seconds: that it may take.
      source: its code, if it is already read.
      function: the name of the one that is judged; empty for that of the contract, or its own training loop.
    """
    source = file.read_bytes() if source is None else source
    if 8 * len(source) > messages.MOST_BYTES:
        raise Failed(f"expected at most {messages.MOST_BYTES // 8:,} bytes of code, got {len(source):,}")
    command = [sys.executable, "-P", "-c", START, str(FOLDER), str(file), str(seconds), function]
    python = [Path(sys.executable), Path(os.__file__), Path(np.__file__), FOLDER / "_child"]
    child = processes.start(command, os.environ | ENVIRONMENT, [*python, file.parent, file, Path()])
    deadline = time.monotonic() + seconds
    questions: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()
    over: list[Ended] = []

    def ask(question: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        message, values = heard(question, arrays)
        if message.get("error"):
            raise Failed(text(message["error"]))
        return values

    def call(
        name: str, layers: Sequence[Any], x: np.ndarray, labels: np.ndarray, layout: str, form: str
    ) -> Answer:  # fmt: skip
        question = {"ask": "call", "function": name, "layout": layout, "form": form}
        message, values = heard(question, [*(a for pair in layers for a in pair), x, labels])
        if message.get("error"):
            raise Failed(text(message["error"]))
        try:
            return _answer(message, values, len(layers))
        except Exception as error:
            raise Failed(CHANGED) from error

    def record(
        question: Mapping[str, Any],
        arrays: Sequence[np.ndarray],
        replaced: Replacements | None = None,
        events: bool = True,
    ) -> Recorded:
        others = replaced or {}
        counts = [(place, len(values)) for place, values in others.items()]
        own = [*arrays, *(value for values in others.values() for value in values)]
        message, values = heard({**question, "replaced": counts, "events": events}, own)
        if message.get("error") and not (events and message.get("numbers")):
            raise Failed(text(message["error"]))
        try:
            return _recorded(message, values, question)
        except Exception as error:
            raise Failed(CHANGED) from error

    def heard(question: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> tuple[dict[str, Any], list[np.ndarray]]:
        if not over:
            questions.put((question, arrays))
            answer = _waited_for(answers, child.popen, deadline)
            if isinstance(answer, tuple):
                return answer
            if answer is None:
                over.append(
                    Ended(f"no answer within {seconds:g} s: an endless loop, or slow? --time-limit sets the limit")
                )
            else:
                over.append(Ended(f"it ended the process that ran it{_status(child.popen)}"))
        raise over[0]

    talk = threading.Thread(target=_talk, args=(child.popen, questions, answers), daemon=True)
    talk.start()
    try:
        message, arrays = heard({}, [np.frombuffer(source, np.uint8)])
        try:
            run = _running(message, arrays, ask, child.user)._replace(call=call, record=record)
        except Exception as error:
            raise Failed(CHANGED) from error
        yield run
    finally:
        processes.end(child)
        questions.put(None)
        talk.join(1.0)


def _talk(child: subprocess.Popen[bytes], questions: "SimpleQueue[Any]", answers: "SimpleQueue[Any]") -> None:
    """Exchange questions for answers, or errors, until a question is None.

    It has a thread of its own, as a process that cannot be ended may hold a pipe open for ever.
    """
    assert child.stdin is not None and child.stdout is not None  # they are pipes
    while (question := questions.get()) is not None:
        try:
            messages.send(child.stdin, *question)
            answers.put(messages.receive(child.stdout))
        except Exception as error:
            answers.put(error)
    for stream in (child.stdin, child.stdout):
        with suppress(OSError):  # what was not yet written to the child is lost with it
            stream.close()


def _waited_for(answers: "SimpleQueue[Any]", child: subprocess.Popen[bytes], deadline: float) -> Any:
    """Return an answer, an error if the child has ended, even if its pipes are open, or None if it is late."""
    while True:
        remaining = deadline - time.monotonic()
        with suppress(Empty):
            answer = answers.get(timeout=max(0.0, min(remaining, 0.5)))
            return answer if child.poll() is None else EOFError()
        if remaining <= 0:
            return None
        if child.poll() is not None:
            return EOFError()


def _status(child: subprocess.Popen[bytes]) -> str:
    """Say how a child ended, if it does within a moment."""
    with suppress(subprocess.TimeoutExpired):
        code = child.wait(1.0)
        names = {number.value: number.name for number in signal.Signals}
        return f", with status {code}" if code > 0 else f", by {names.get(-code, f'signal {-code}')}" if code else ""
    return ""


def _line(number: Any) -> int:
    """Return what a child says is the number of a line."""
    return min(max(int(number), 0), LARGEST_SIZE)


def _answer(message: Mapping[str, Any], values: Sequence[np.ndarray], depth: int) -> Answer:
    """Return what a child's message says that a function answers; raise any exception if it says nothing."""
    failure = text(message["failure"])
    if failure:
        return Answer(failure=failure)
    loss, *leaves = values
    if len(leaves) != 2 * depth:
        raise ValueError("leaves")
    shapes = [((int(l), str(kind)[:1]), text(said)) for (l, kind), said in message["misshapen"][: 2 * depth]]
    notes, changed = (tuple(map(text, message[name][:MOST_CHOICES])) for name in ("notes", "changed"))
    pairs = list(zip(leaves[::2], leaves[1::2], strict=True))
    return Answer(float(loss.reshape(())) if message["has_loss"] else None, pairs, "", shapes, notes, changed)


def _recorded(message: Mapping[str, Any], values: Sequence[np.ndarray], question: Mapping[str, Any]) -> Recorded:
    """Return what a child's message says of a recorded run; raise any exception if it says nothing."""
    own, numbers = int(message["own"]), message["numbers"][: recording.MOST_EVENTS]
    places = [_place(*place) for place in message["places"]]
    events = [Event(int(number), value) for number, value in zip(numbers, values[own:], strict=True)]
    if not all(0 <= event.place < len(places) for event in events):
        raise ValueError("places")
    is_call = question["ask"] == "call" and own > 0
    answer = _answer(message, values[:own], (own - 1) // 2) if is_call else None
    return Recorded(answer, list(values[:own]), places, events)


def _place(*numbers: Any) -> Place:
    """Return what a child says is a place."""
    line, column, end_line, end_column, statement, is_after = numbers
    return Place(_line(line), _line(column), _line(end_line), _line(end_column), _line(statement), bool(is_after))


def _setting(value: Any) -> Any:
    """Return a setting as a file gives it."""
    is_number = value is None or (isinstance(value, int) and abs(value) < LARGEST_SIZE)
    return value if is_number else text(value, LONGEST_NAME)


def _point(form: Any, arrays: list[np.ndarray]) -> Point:
    """Return the point that a child's arrays are."""
    *layers, x, labels = arrays
    are_layers = all(a.ndim in (1, 2) for a in layers) and x.ndim == 2 and labels.ndim == 1
    if form not in ("list", "dict") or not are_layers or not np.isfinite(labels).all():
        raise ValueError("point")
    return form, list(zip(layers[::2], layers[1::2], strict=True)), x, labels.astype(int)


def _running(message: Mapping[str, Any], arrays: Sequence[np.ndarray], ask: Any, user: str) -> Running:
    """Return what a child's first message says; raise any exception if it says nothing."""
    given = iter(arrays)
    steps = []
    for step in message["steps"][:MOST_STEPS]:
        names = [text(name, LONGEST_NAME) for name in step["parameters"]]
        theta = tuple(next(given) for _ in names)
        of_names = {name: a.shape for name, a in zip(names, theta, strict=True)}
        losses, gradients = (tuple(map(text, step[kind][:MOST_CHOICES])) for kind in ("losses", "gradients"))
        is_sound = len(of_names) == len(names) <= MOST_PARAMETERS and all(map(math.prod, of_names.values()))
        if not (is_sound and names and losses and gradients):
            raise ValueError("step")
        point = theta if step["is_point"] else ()
        unused = tuple(text(name, LONGEST_NAME) for name in step["unused"][:MOST_CHOICES])
        steps.append(Step(_line(step["line"]), of_names, losses, gradients, point, _line(step["later"]), unused))
    sizes = tuple(n for n in message["sizes"][:MOST_SIZES] if isinstance(n, int) and 1 < n < LARGEST_SIZE)
    functions = tuple(text(name, LONGEST_NAME) for name in message["functions"][:MOST_CHOICES])
    settings = message["constants"]
    constants = {name: _setting(settings[name]) for name in CONSTANTS if name in settings}
    own_point = _point(message["form"], list(given)) if message["form"] else None
    error, calls = text(message["error"]), tuple(map(text, message["calls"][:MOST_CHOICES]))
    notes = [
        f"it looks into the program that runs it, by {text(name)}: read it before you believe the verdict"
        for name in message["looks"][:3]
    ]
    if processes.is_superuser() and not user:
        notes.append("it ran as the superuser, since the user nobody cannot read it, its folder or Python")
    if user and "PermissionError" in error:
        error = f"{error}, as the user {user}; an ordinary user's check runs it as that user"
    line = _line(message["line"])
    error = f"{error} (line {line})" if error and line else error
    return Running(
        tuple(steps),
        ask,
        functions=functions,
        constants=constants,
        point=own_point,
        sizes=sizes,
        mistake=text(message["mistake"]),
        defined=tuple(text(name, LONGEST_NAME) for name in message["defined"][:MOST_PARAMETERS]),
        error=error,
        calls=calls,
        notes=tuple(notes),
    )
