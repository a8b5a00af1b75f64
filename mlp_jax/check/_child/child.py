"""The process that runs a file: finds its training step, and evaluates its loss and gradient where the judge asks."""

import ast
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from . import entry, functions, gradients, limits, loops, recording, replay, search, seen, state
from .messages import receive, send


def described(step: search.Step) -> dict[str, Any]:
    """Return a step in words."""
    is_point = step.program.loop.index < 0
    return {
        "line": step.program.loop.line,
        "is_point": is_point,
        "later": 0 if step.program.loop.later is None else step.program.loop.later.round,
        "parameters": [state.written(path) for path in step.theta],
        "unused": [state.written(path) for path in step.unused],
        "losses": ["the loss that it returns"] if is_point else [ast.unparse(loss.value) for loss in step.losses],
        "gradients": [gradient.words for gradient in step.gradients],
    }


def losses(
    step: search.Step, loss: int, flat: np.ndarray, entries: np.ndarray, sizes: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Return the loss at flat moved by each size, along the entry or direction of that number."""
    ends, values = np.cumsum([a.size for a in step.theta.values()])[:-1], []
    for i, size in zip(entries, sizes, strict=True):
        parts = zip(step.theta.items(), np.split(moved(flat, int(i), size, directions), ends), strict=True)
        theta = {path: part.reshape(a.shape) for (path, a), part in parts}
        values.append(replay.number(step.program, step.losses[loss], theta))
    return np.array(values)


def moved(flat: np.ndarray, i: int, size: float, directions: np.ndarray) -> np.ndarray:
    """Return flat with a size added to entry i, or along a direction, whose numbers follow those of the entries."""
    if i >= flat.size:
        return flat + size * directions[i - flat.size]
    point = flat.copy()
    point[i] += size
    return point


def answer_of_call(
    function: Any, message: Mapping[str, Any], arrays: Sequence[np.ndarray]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return what a function of (params, x, labels) answers, as a message."""
    *params, x, labels = arrays
    layers = list(zip(params[::2], params[1::2], strict=True))
    found = functions.call(function, layers, x, labels.astype(int), message["layout"], message["form"])
    leaves = [np.asarray(leaf, float) for pair in found.gradients for leaf in pair]
    fields = {name: getattr(found, name) for name in ("failure", "notes", "changed")}
    fields["misshapen"] = found.shapes
    return {**fields, "error": "", "has_loss": found.loss is not None}, [np.array(found.loss or 0.0), *leaves]


def answer(step: search.Step, message: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Answer one question about a step: its gradient at one point, or its loss at many."""
    if message["ask"] == "data":
        found = search.data_of(step.program, step.theta)
        return [np.array([a.dtype.kind in "iub"]) for a in found] + found
    loop, first = step.program.loop, step.program.loop.view
    loop.view = _view(step, message["view"])
    try:
        if message["ask"] == "losses":
            return [losses(step, message["loss"], *arrays)]
        theta, gradient = dict(zip(step.theta, arrays, strict=True)), step.gradients[message["gradient"]]
        if message["ask"] == "gradient by small rate":
            return gradient.by_small_rate(theta) if gradient.by_small_rate else []
        return gradient.at(theta)
    finally:
        loop.view = first


def _view(step: search.Step, words: str) -> loops.View | None:
    """Return the variables that a question is about: of the first round, of a later one, or with fewer classes.

    In a later round momenta are 0, as in the first: some take the gradient where the momentum leads (Nesterov, 1983).
    """
    loop = step.program.loop
    view = loop.later if words == "later" else loop.view
    if view is None or not words:
        return view
    scope = state.copied(view.scope)
    if words == "without the last class":
        _without_last_class(scope)
    for path in gradients.momenta(step.program, step.theta) if words == "later" else ():
        with suppress(Exception):  # it is another thing by now
            state.put(scope, path, np.zeros_like(state.as_floats(state.get(scope, path))))
    return view._replace(scope=scope)


def _without_last_class(scope: dict[str, Any]) -> None:
    """Set the largest of each array of whole numbers to 0."""
    for value in scope.values():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size and value.max() > 1:
            value[value == value.max()] = 0


def answered(
    found: entry.Found, message: Mapping[str, Any], arrays: Sequence[np.ndarray]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Answer one question about a file, as a message."""
    if message["ask"] == "call":
        return answer_of_call(found.functions[message["function"]], message, arrays)
    return {"error": ""}, answer(found.steps[message["step"]], message, arrays)


def recorded(
    found: entry.Found, record: recording.Recorder, message: Mapping[str, Any], arrays: Sequence[np.ndarray]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Answer one question with its values recorded, and others in the place of some; they follow the arrays."""
    numbers = [number for number, count in message["replaced"] for _ in range(count)]
    own, others = arrays[: len(arrays) - len(numbers)], arrays[len(arrays) - len(numbers) :]
    replaced: dict[int, list[np.ndarray]] = {}
    for number, other in zip(numbers, others, strict=True):
        replaced.setdefault(number, []).append(other)
    for step in found.steps:
        if step.program.loop.index >= 0:
            step.program.loop.rewrite = record.rewrite
    record.begin(replaced)
    try:
        fields, values = answered(found, message, own)
    except Exception as raised:  # what was seen before is told too
        fields, values = {"error": _words(raised)}, []
    events, places = (record.events, list(record.places)) if message["events"] else ([], [])
    said = {"own": len(values), "numbers": [event.place for event in events], "places": places}
    return fields | said, [*values, *(event.value for event in events)]


def main() -> None:
    """Run the file that the command line names, and answer questions about it until the given seconds are over."""
    file, seconds, wanted = sys.argv[1:]
    limits.limit(float(seconds))
    threading.Thread(target=_end_late, args=(float(seconds) + 5,), daemon=True).start()
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # what the file prints is thrown away
        os.dup2(nowhere, number)
    sys.argv = [file]
    sys.path.pop(0)  # where this module was found
    sys.path.append(str(FilePath(file).parent.resolve()))  # last: a file named random.py is nobody else's random
    _, (source,) = receive(questions)  # by the judge, as another file could have changed this one
    tree, mistake = entry.parsed(source.astype(np.uint8).tobytes())
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]  # the file is not to find them by their names
    calls, looks = seen.watch(file)
    found = entry.found(tree, file, wanted)
    sizes = sorted({n for scope in found.scopes for _, a in state.arrays(scope) for n in np.shape(a) if n > 1})
    thetas = [a for step in found.steps for a in step.theta.values()]
    form, layers, x, labels = found.point or ("", (), np.zeros(0), np.zeros(0))
    first = {
        "steps": [described(step) for step in found.steps],
        "mistake": mistake,
        "defined": [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)],
        "functions": list(found.functions),
        "constants": found.constants,
        "form": form,
        "error": "" if found.error is None else _words(found.error),
        "line": 0 if found.error is None else _line(found.error, file),
        "sizes": sizes,
        "calls": calls,
        "looks": looks,
    }
    send(answers, first, [*thetas, *(a for pair in layers for a in pair), x, labels])
    record: recording.Recorder | None = None
    while True:
        try:
            message, arrays = receive(questions)
        except EOFError:
            os._exit(0)
        try:
            if "replaced" in message:
                record = record or recording.recorder(tree, file)
                send(answers, *recorded(found, record, message, arrays))
            else:
                send(answers, *answered(found, message, arrays))
        except Exception as raised:
            send(answers, {"error": _words(raised)})


def _words(error: BaseException) -> str:
    """Return an error's kind and words, of which a report shows a line or two."""
    return f"{type(error).__name__}: {error}"[:1000]


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
