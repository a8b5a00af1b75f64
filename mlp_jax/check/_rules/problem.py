"""A function and the gradients of it that are compared: the one in question, and that of autodiff."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mlp_jax import _xla
from mlp_jax.check._rules.jaxpr_interpreter import has_iteration, iterated_longer, stopped_at, undecorated
from mlp_jax.check._rules.rule_checks import Arrays
from mlp_jax.check._rules.rule_report import Notebook, whole_message

Gradient = Callable[[Arrays], Arrays]
Loss = Callable[..., Any]


class Problem(NamedTuple):
    """What is known of a function L and its gradient in question.

    Attributes:
      value: x -> L(x), a number; x is a list of real arrays.
      data: what else L takes. It is an argument, so that no program holds it as a constant.
      loss: (x, *data) -> L(x), for differences.
      longer: the same with some more turns of its loops, if it has any that may be a solver's.
      stopped: the same with what passes through `stop_gradient` kept as it is at the point; None if nothing does.
      iterates: whether the function has a loop that may be a solver's.
      autodiff: x -> the gradient by autodiff, or None.
      expected: that at the point, or None.
      longer_autodiff: the same through more turns of the loops, or None.
      rule: x -> the gradient in question.
    """

    value: Callable[[Arrays], float]
    data: tuple[Any, ...]
    loss: Loss
    longer: tuple[Loss, ...]
    stopped: Loss | None
    iterates: bool
    autodiff: Gradient | None
    expected: Arrays | None
    longer_autodiff: Gradient | None
    rule: Gradient


def problem_of(
    book: Notebook, loss: Loss, data: tuple[Any, ...], rule: Gradient, x: Arrays, keeps_stopped: bool = True
) -> Problem:
    """Return a function and its gradients, as differences should see it, and by autodiff without any rules.

    Args:
      book: takes a note if autodiff cannot differentiate the function.
      loss: (x, *data) -> L(x), which may hold rules of its own.
      data: of any kind.
      rule: x -> the gradient in question.
      x: the point.
      keeps_stopped: whether what passes through `stop_gradient` may be a constant on purpose.
    """
    unruled = undecorated(loss)
    value, autodiff = _xla.jit_without_ynn(unruled), compiled(jax.grad(unruled), *data)
    expected = None
    try:
        expected = autodiff(x)
    except Exception as error:
        why = f"autodiff cannot differentiate the function itself ({whole_message(error)})"
        book.notes.append(f"{why}: only finite differences decide")
    has_autodiff = expected is not None
    iterates = has_iteration(jax.make_jaxpr(unruled)(x, *data).jaxpr)
    longer = _longer(unruled, x, *data) if iterates else ()
    stopped = stopped_at(unruled, x, *data) if keeps_stopped else unruled
    return Problem(
        value=lambda x: float(value(x, *data)),
        data=data,
        loss=unruled,
        longer=longer,
        stopped=None if stopped is unruled else stopped,
        iterates=iterates,
        autodiff=autodiff if has_autodiff else None,
        expected=expected,
        longer_autodiff=compiled(jax.grad(longer[-1]), *data) if longer and has_autodiff else None,
        rule=rule,
    )


def _longer(loss: Loss, x: Arrays, *data: Any) -> tuple[Loss, ...]:
    """Return the function with more turns of its loops, if these converge."""
    longer = [iterated_longer(loss, turns) for turns in (1, 2)]
    a, b, c = (float(value) for value in jax.jit(lambda *args: [f(*args) for f in (loss, *longer)])(x, *data))
    converges = abs(c - b) <= 0.7 * abs(b - a) <= 1e-2 * abs(a)
    return tuple(longer) if converges else ()


def compiled(gradient: Callable[..., Arrays], *data: Any) -> Callable[..., Arrays]:
    """Return a gradient (..., *data) without the data, as one program with numpy's arrays as its result."""
    program = _xla.jit_without_ynn(gradient)
    return lambda *args: [np.asarray(leaf, float) for leaf in program(*args, *data)]
