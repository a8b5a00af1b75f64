"""How a file is written: what its author calls things, and which of several equal ways is taken."""

import random
from typing import NamedTuple


class School(NamedTuple):
    """What an author calls the quantities of a layer."""

    z: str
    h: str
    delta: str
    dh: str


SCHOOLS = (School("z", "h", "delta", "dh"), School("Z", "A", "dZ", "dA"), School("s", "a", "d", "da"))


class Form(NamedTuple):
    """The choices of one file.

    Attributes:
      school: the names.
      is_general: whether layers are a loop, for any depth.
      has_functions: whether phi and phi' are functions of their own.
      has_softmax: whether softmax is a function of its own.
      dh_first: whether the way back comes before d W and d b.
      has_comments: whether forward and backward pass are named.
    """

    school: School = SCHOOLS[0]
    is_general: bool = False
    has_functions: bool = False
    has_softmax: bool = False
    dh_first: bool = False
    has_comments: bool = True


def drawn_form(seed: int) -> Form:
    """Draw a form; the same for the same seed."""
    rng = random.Random(f"form {seed}")
    return Form(rng.choice(SCHOOLS), *(rng.random() < 0.5 for _ in range(5)))
