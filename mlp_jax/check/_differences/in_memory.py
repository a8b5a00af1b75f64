"""Functions of this process, which can be asked as a file that runs in a child process can."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlp_jax.check._child import child, search, state
from mlp_jax.check._child.functions import Answer
from mlp_jax.check._differences.running import Failed, Running, Step


def running_steps(steps: Sequence[search.Step], fixed: bool = False, words: str = "") -> Running:
    """Return steps in this process as a file that runs.

    Args:
      steps: what can be repeated.
      fixed: whether they are judged at their own parameters alone.
      words: for the loss; empty for its code.
    """
    described = [
        Step(
            0,
            {state.written(path): a.shape for path, a in step.theta.items()},
            (words,) if words else tuple(ast.unparse(loss.value) for loss in step.losses),
            tuple(gradient.words for gradient in step.gradients),
            tuple(step.theta.values()) if fixed else (),
        )
        for step in steps
    ]

    def ask(question: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        try:
            return child.answer(steps[question["step"]], question, arrays)
        except Exception as error:
            raise Failed(f"{type(error).__name__}: {error}") from error

    scopes = [step.program.loop.scope for step in steps]
    sizes = {n for scope in scopes for _, a in state.arrays(scope) for n in np.shape(a) if n > 1}
    return Running(tuple(described), sizes=tuple(sorted(sizes)), ask=ask)


def running_function(
    answer: Callable[[list[tuple[np.ndarray, np.ndarray]]], Answer],
    params: Sequence[tuple[np.ndarray, np.ndarray]],
    arrays: Sequence[np.ndarray],
    is_fixed: bool = False,
) -> Running:
    """Return a function of layers as a file with one step.

    Args:
      answer: params -> its answer.
      params: [(W_1, b_1), ...], for their shapes.
      arrays: what else it is given.
      is_fixed: whether it is judged at these parameters alone.
    """
    shapes = {f"{kind}_{l}": a.shape for l, pair in enumerate(params, 1) for kind, a in zip("Wb", pair, strict=True)}
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]

    def answered(flat: np.ndarray) -> Answer:
        parts = [a.reshape(s) for a, s in zip(np.split(flat, sizes), shapes.values(), strict=True)]
        found = answer(list(zip(parts[::2], parts[1::2], strict=True)))
        if found.failure or found.loss is None:
            raise Failed(found.failure or "it gives no loss")
        return found

    def ask(question: Mapping[str, Any], values: Sequence[np.ndarray]) -> list[np.ndarray]:
        if question["ask"] == "data":
            return [np.array(a.dtype.kind in "iu") for a in arrays] + list(arrays)
        if question["ask"] == "losses":
            theta, entries, moves, directions = values
            points = (child.moved(theta, int(i), size, directions) for i, size in zip(entries, moves, strict=True))
            return [np.array([answered(flat).loss for flat in points])]
        if question["ask"] != "gradient":
            return []
        pairs = answered(np.concatenate([np.ravel(a) for a in values])).gradients
        return [np.asarray(leaf, float) for pair in pairs for leaf in pair]

    point = tuple(a for pair in params for a in pair) if is_fixed else ()
    steps = (Step(0, shapes, ("the loss that it returns",), ("the gradients",), point),)
    return Running(steps, ask=ask)
