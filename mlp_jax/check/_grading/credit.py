"""The rule by which a report becomes points.

With n parts, the loss if it is compared and each gradient, of which k are right at every draw and on every problem with
as many layers as the one that is shown, a file that is not correct gets

    points * k / n                if nothing else is wrong
    points * k / n * (1 - 1/4)    if something else is wrong: an argument is changed, two calls differ, a shape,
                                  another network than was asked for, a problem without an answer; also if
                                  differences cannot tell

A correct file gets all points, and one that could not be checked none; nor does one whose network is not recognised, if
one was asked for. A gradient that differences cannot judge is not credited, so a person has to look at an undecided
file.
"""

import math
from dataclasses import replace
from typing import Any

from mlp_jax import _doors
from mlp_jax.check._networks.report import BackpropReport, Credit, Part

ALL_ELSE = 0.25  # of the points of what is right, for all else
ALL_ELSE_NAME = "all else: arguments, repeated calls, shapes, the network asked for, an answer to each problem"
# Codes of mistakes that are neither in the loss nor in a gradient.
BESIDE = frozenset(("convention", "mutates_input", "nondeterministic", "exception", "labels", "batch_one", "undecided"))
RULE = (
    "correct gets all points. Else the loss, if it is compared, and each gradient count alike; a part gets its share "
    "if it is right everywhere; a quarter of that is taken if anything else is wrong or undecided. What cannot be "
    "checked, or shows no network that was asked for, gets none"
)


def graded(report: BackpropReport, points: float) -> BackpropReport:
    """Return a report with its credit, by the rule of this module; a correct file gets all `points`."""
    return replace(report, credit=credit(report, points))


def credit(report: BackpropReport, points: float) -> Credit:
    """Return the score of a report, and the parts that it is made of."""
    is_correct, judged = report.verdict == "correct", report.right_everywhere
    if report.verdict == "error" or not judged:
        return Credit(points if is_correct else 0.0, points, (), "" if is_correct else RULE)
    reached = sum(is_correct or right for right in judged.values()) / len(judged)
    share = (1 - ALL_ELSE) * points / len(judged)
    parts = [
        Part(name, is_correct or right, share * (is_correct or right), share) for name, right in judged.items()
    ]  # fmt: skip
    all_else = is_correct or is_all_else_right(report)
    parts.append(Part(ALL_ELSE_NAME, all_else, ALL_ELSE * points * reached * all_else, ALL_ELSE * points))
    if is_correct:
        return Credit(points, points, tuple(parts))
    return Credit(min(math.fsum(part.score for part in parts), points), points, tuple(parts), RULE)


def is_all_else_right(report: BackpropReport) -> bool:
    """Return whether a wrong report is wrong by its loss and gradients only."""
    codes = {one.code for one in report.diagnoses}
    return report.verdict == "wrong" and not all(report.right_everywhere.values()) and not codes & BESIDE


def as_points(name: str, value: Any) -> float:
    """Return the points of a correct file as a float.

    Raises:
      TypeError: if it is no number.
      ValueError: if it is not finite, or not above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: expected a number, got {_doors.describe(value)}; points=10")
    _doors.check_positive(name, value)
    return float(value)
