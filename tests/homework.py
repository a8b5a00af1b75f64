"""A backward pass as a student hands it in, wrong and right, and ways to change it."""

from experiments.frame.readme import EXAMPLE

WRONG = EXAMPLE.read_text(encoding="utf-8")
RIGHT = WRONG.replace("1 - np.tanh(h[l]) ** 2", "1 - h[l] ** 2")
START = "    h = [x]\n"


def before_start(line):
    """The right one with another line before its first."""
    return RIGHT.replace(START, f"    {line}\n{START}")


def raising(error):
    """A function that raises an error in the place of an answer."""

    def function(params, x, labels):
        raise error

    return function
