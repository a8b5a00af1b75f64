"""The gradient of a training step next to the slopes of its loss, at several draws of its parameters.

An entry is right if |g - s| <= t (|s| + 10 S + 1e-5 M) + 4 e, with t the tolerance of slopes, g the file's gradient, s
the slope and e its error, S the root mean square of the leaf's slopes, and M the largest S of all leaves.
"""

from dataclasses import dataclass

import numpy as np

from mlp_jax.check._differences.running import Step
from mlp_jax.check._networks.problems import Precision
from mlp_jax.check._tolerance import TABLE

SAMPLED = 40  # entries of a leaf that are judged where not all are


@dataclass(frozen=True)
class Leaf:
    """One parameter at one draw.

    Attributes:
      name: as the file writes it.
      theta: its values.
      actual: the file's gradient, of any shape.
      at: the entries that were judged, as indices of the flat parameter.
      expected: the slopes there.
      error: their errors.
      asked: how many entries were to be judged.
      along: a random direction of the whole leaf, of length 1.
      slope: the slope along it.
      slope_error: its error; inf if it was not to be taken.
    """

    name: str
    theta: np.ndarray
    actual: np.ndarray
    at: np.ndarray
    expected: np.ndarray
    error: np.ndarray
    asked: int
    along: np.ndarray
    slope: float
    slope_error: float

    @property
    def found(self) -> np.ndarray:
        """The file's gradient at the judged entries; NaN if it has another shape."""
        if self.actual.shape != self.theta.shape:
            return np.full(len(self.at), np.nan)
        return self.actual.ravel()[self.at]

    @property
    def size(self) -> float:
        """The size of an entry: their root mean square; the slope along a random direction has it, too."""
        if not len(self.at):
            return abs(self.slope) if np.isfinite(self.slope_error) else 0.0
        return float(np.sqrt(np.mean(self.expected**2)))


@dataclass(frozen=True)
class Trial:
    """A training step with one of its losses and gradients, judged at some draws.

    Attributes:
      step: the step.
      numbers: of the step, its loss and its gradient.
      precision: of the loss, float64 or float32.
      draws: the parameters at each draw.
    """

    step: Step
    numbers: tuple[int, int, int]
    precision: Precision
    draws: tuple[tuple[Leaf, ...], ...]

    @property
    def loss(self) -> str:
        """The loss, as the file writes it."""
        return self.step.losses[self.numbers[1]]

    @property
    def gradient(self) -> str:
        """Where the gradient was read."""
        return self.step.gradients[self.numbers[2]]

    def wrong(self) -> list[str]:
        """Return the names of the leaves that are wrong at a draw."""
        return [name for name in self.step.shapes if any(is_wrong(leaf, self) for leaf in self.leaves(name))]

    def right(self) -> dict[str, bool]:
        """Return of each leaf whether it could be judged, and is right at every draw."""
        others = {*self.wrong(), *self.undecided()}
        return {name: name not in others for name in self.step.shapes}

    def leaves(self, name: str) -> list[Leaf]:
        """Return a parameter's leaves, one a draw."""
        return [leaf for draw in self.draws for leaf in draw if leaf.name == name]

    def undecided(self) -> list[str]:
        """Return the names of the leaves of which fewer than half of the entries could be judged."""
        return [name for name in self.step.shapes if all(len(leaf.at) < leaf.asked / 2 for leaf in self.leaves(name))]


def is_right(leaf: Leaf, trial: Trial) -> np.ndarray:
    """Return whether each judged entry is right; none is if the leaf has another shape."""
    largest = max(other.size for draw in trial.draws for other in draw)
    tolerance = TABLE[trial.precision].slope * (np.abs(leaf.expected) + 10 * leaf.size + 1e-5 * largest)
    return np.asarray(np.abs(leaf.found - leaf.expected) <= tolerance + 4 * leaf.error)


def is_wrong(leaf: Leaf, trial: Trial) -> bool:
    """Return whether a leaf has another shape than its parameter, or an entry that is not right.

    Where not all entries are judged, the slope along a random direction sees the others.
    """
    if leaf.actual.shape != leaf.theta.shape or not is_right(leaf, trial).all():
        return True
    if not np.isfinite(leaf.slope_error) or len(leaf.at) == leaf.theta.size:
        return False
    size = float(np.abs(leaf.along).max()) * leaf.size * np.sqrt(leaf.theta.size)
    tolerance = TABLE[trial.precision].slope * (abs(leaf.slope) + 10 * size)
    return bool(abs(float(np.vdot(leaf.actual, leaf.along)) - leaf.slope) > tolerance + 4 * leaf.slope_error)
