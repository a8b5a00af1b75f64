"""The process that runs a file: finds its training step, and evaluates its loss and gradient where the judge asks."""

import ast
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from . import loops, replay, search, state
from .messages import receive, send


def described(step: search.Step) -> dict[str, Any]:
    """Return a step in words."""
    return {
        "line": step.program.loop.line,
        "parameters": [state.written(path) for path in step.theta],
        "losses": [ast.unparse(loss.value) for loss in step.losses],
        "gradients": [gradient.words for gradient in step.gradients],
    }


def losses(step: search.Step, loss: int, flat: np.ndarray, entries: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the loss at flat, with one size added to one entry, for each pair of them."""
    ends, values = np.cumsum([a.size for a in step.theta.values()])[:-1], []
    for entry, size in zip(entries, sizes, strict=True):
        point = flat.copy()
        point[int(entry)] += size
        parts = zip(step.theta.items(), np.split(point, ends), strict=True)
        theta = {path: part.reshape(a.shape) for (path, a), part in parts}
        values.append(replay.number(step.program, step.losses[loss], theta))
    return np.array(values)


def answer(step: search.Step, message: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Answer one question about a step: its gradient at one point, or its loss at many."""
    if message["ask"] == "data":
        found = search.data_of(step.program, step.theta)
        return [np.array([a.dtype.kind in "iub"]) for a in found] + found
    if message["ask"] == "losses":
        return [losses(step, message["loss"], *arrays)]
    theta = dict(zip(step.theta, arrays, strict=True))
    gradient, scope = step.gradients[message["gradient"]], step.program.loop.scope
    if message["how"] == "by small rate":
        return gradient.by_small_rate(theta) if gradient.by_small_rate else []
    if message["how"] == "without the last class":
        step.program.loop.scope = state.copied(scope or {})
        _without_last_class(step.program.loop.scope)
    try:
        return gradient.at(theta)
    finally:
        step.program.loop.scope = scope


def _without_last_class(scope: dict[str, Any]) -> None:
    """Set the largest of each array of whole numbers to 0."""
    for value in scope.values():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size and value.max() > 1:
            value[value == value.max()] = 0


def main() -> None:
    """Run the file that the command line names, and answer questions about it until the given seconds are over."""
    file, seconds = sys.argv[1:]
    threading.Thread(target=_end_late, args=(float(seconds) + 5,), daemon=True).start()
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # what the file prints is thrown away
        os.dup2(nowhere, number)
    sys.argv = [file]
    sys.path.append(str(FilePath(file).parent.resolve()))  # last: a file named random.py is nobody else's random
    tree = ast.parse(FilePath(file).read_bytes())
    module, seen, error = loops.run(tree, file)
    steps = search.steps(module, tree, seen)
    words = "" if error is None else f"{type(error).__name__}: {error} (line {_line(error, file)})"
    shapes = [np.empty(a.shape) for step in steps for a in step.theta.values()]
    sizes = sorted({n for loop in seen for _, a in state.arrays(loop.scope or {}) for n in np.shape(a) if n > 1})
    send(answers, {"steps": [described(step) for step in steps], "error": words, "sizes": sizes}, shapes)
    while True:
        try:
            message, arrays = receive(questions)
        except EOFError:
            os._exit(0)
        try:
            send(answers, {"error": ""}, answer(steps[message["step"]], message, arrays))
        except Exception as raised:
            send(answers, {"error": f"{type(raised).__name__}: {raised}"})


def _line(error: BaseException, file: str) -> int:
    """Return the last line of the file that an error passed."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _end_late(seconds: float) -> None:
    """End this process if nobody has."""
    time.sleep(seconds)
    os._exit(1)
