"""How far numbers of a precision may be off: one table for all checks.

Two things are allowed, whichever is larger: a share of the size of what is right, and rounding, which is the unit
roundoff times K times the size that the terms have of which a number is made.
"""

from typing import NamedTuple

import ml_dtypes


class Tolerance(NamedTuple):
    """What is allowed in one precision.

    Attributes:
      leaf: relative L2 error of a gradient; known mistakes are 1e-3 and more.
      loss: relative error of a loss; log(p + 1e-8) is no mistake.
      slope: relative error of an entry beside a difference of the loss.
      K: units in the last place, of the size of the terms; textbook forms stay below a fifth of it.
    """

    leaf: float
    loss: float
    slope: float
    K: int


TABLE = {
    "float64": Tolerance(1e-9, 1e-6, 1e-6, 16),
    "float32": Tolerance(1e-4, 1e-4, 1e-3, 16),
    "float16": Tolerance(3e-2, 3e-2, 3e-2, 2),
    "bfloat16": Tolerance(3e-2, 3e-2, 3e-2, 2),
}
TOLERANCES = {precision: tolerance.leaf for precision, tolerance in TABLE.items()}


def rounding(precision: str, size: float) -> float:
    """Return the error that rounding may make: unit roundoff times K times the size of the terms."""
    return TABLE[precision].K * float(ml_dtypes.finfo(precision).eps) * size
