"""`grade`: the points of a function, for graders that work in the notebook itself, such as nbgrader."""

import sys
from collections.abc import Callable
from typing import Any

from mlp_jax import _doors
from mlp_jax.activations import Activation
from mlp_jax.check._child.functions import one_line
from mlp_jax.check._differences.running import text
from mlp_jax.check._grading.credit import as_points, graded
from mlp_jax.check._grading.hints import LEVELS, Hints, told
from mlp_jax.check._grading.quiet import quiet
from mlp_jax.check._in_memory import as_asked, check_backprop, check_point
from mlp_jax.check._networks import judge
from mlp_jax.check._networks.report import BackpropReport
from mlp_jax.losses import Loss

LONGEST_LINE = 2000


def grade(
    loss_and_gradients: Callable[..., Any],
    points: float = 10,
    activation: str | Activation | None = None,
    *,
    loss: str | Loss | None = None,
    layers: int | None = None,
    layout: str | None = None,
    params: str | None = None,
    point: tuple[Any, ...] | None = None,
    strict: bool = False,
    seed: int = 0,
    hints: Hints = "full",
) -> float:
    """Return the points of a backward pass, and print what is wrong with it.

    A correct one gets all points. Otherwise there are n parts: the loss, if it is compared, and each gradient. The k of
    them that are right on every problem give points * k / n, less a quarter of that if anything else is wrong or
    undecided. A function that cannot be judged, because it raises or calls sys.exit, gets 0.

    nbgrader takes the value as the score if it is the last expression of a cell, and gives 0 to a cell that writes to
    the error stream. So nothing is written there while the function is judged, neither by it nor by a library.
    Declare the activation and the loss: what is not declared is not asked for, so that a right gradient of another
    network would get all points. The function runs in this process, without a sandbox, and only the grader limits its
    time.

    Args:
      loss_and_gradients: as for `check_backprop`. Whatever is wrong with it is a matter of the score, and raises
        nothing.
      points: of a correct one; a finite number above 0.
      activation: of the hidden layers, a record or its name; None asks for none.
      loss: cross_entropy or squared_error; None asks for none.
      layers: the only depth that it is written for; None tries 1 to 5.
      layout: rows, columns or torch; None takes the one in which it answers.
      params: list or dict; None takes the one in which it answers.
      point: (params, *arguments), to check there and nowhere else.
      strict: whether an exp that overflows at logits in the thousands is wrong; a remark by default.
      seed: draws the problems; fixed by default, so that the same code gets the same score.
      hints: what is printed. "none": the verdict and the score; "where": also which layers are right and wrong;
        "full": everything.

    Returns:
      The score, a float in [0, points].

    Raises:
      ValueError, TypeError: for settings, points or a point that are not good.

    Example:
      >>> import mlp_jax
      >>> def mine(params, x, labels):
      ...     layers = tuple(mlp_jax.Layer(W, b) for W, b in params)
      ...     return mlp_jax.backprop(layers, x, labels, mlp_jax.tanh)
      >>> mlp_jax.grade(mine, 10, "tanh", loss="cross_entropy", hints="none")
      CORRECT
      score: 10 of 10 points
      correct: loss and every gradient are right
      10.0
    """
    points = as_points("points", points)
    _doors.check_choice("hints", hints, LEVELS)
    _doors.check_seed("seed", seed)
    settings: dict[str, Any] = {
        "activation": activation, "loss": loss, "layers": layers, "layout": layout, "params": params, "strict": strict
    }  # fmt: skip
    check_point(as_asked(**settings), point)
    report = told(graded(_report(loss_and_gradients, settings | {"point": point, "seed": seed}), points), hints)
    assert report.credit is not None  # it is graded
    print(_printable(str(report)))
    return float(report.credit.score)


def _report(function: Callable[..., Any], settings: dict[str, Any]) -> BackpropReport:
    """Check a function quietly; what it does to the check is its mistake, for the settings are good."""
    try:
        with quiet():
            return check_backprop(function, **settings)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return judge.failed(f"it cannot be judged: {_in_words(error)}", None)


def _in_words(error: BaseException) -> str:
    try:
        return one_line(error)
    except Exception:  # its own message fails
        return type(error).__name__


def _printable(words: str) -> str:
    """Return words that can be printed here, in which nothing controls a terminal."""
    lines = "\n".join(text(line, LONGEST_LINE) for line in words.split("\n"))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return lines.encode(encoding, "backslashreplace").decode(encoding)
