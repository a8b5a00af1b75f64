"""Compare the gradient of a training step with the slopes of its loss, at several draws of its parameters."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlp_jax.check._child.rounds import drawn
from mlp_jax.check._differences import running
from mlp_jax.check._differences.running import Ended, Failed, Running, Step, View
from mlp_jax.check._differences.slopes import SMALLER, STEP, Slopes, slopes
from mlp_jax.check._differences.trial import SAMPLED, Leaf, Trial, is_right
from mlp_jax.check._networks.problems import Precision

DRAWS = 3
FEW = 6  # entries of a leaf by which loss and gradient are chosen
MOST_ENTRIES = 2000  # of all parameters, up to which each is judged at the first draw


def tried(
    run: Running, numbers: tuple[int, int, int], rng: np.random.Generator, most: int | None = None
) -> Trial:  # fmt: skip
    """Compare a step's gradient with the slopes of its loss, at several draws; the numbers are of `Trial`.

    Args:
      run: the file.
      numbers: of the step, its loss and its gradient.
      rng: draws.
      most: entries of a leaf, next to one direction of all of it; None for the usual number.
    """
    return _looked_at_again(run, compared(run, *numbers, rng, most=most))


def chosen(run: Running, group: Sequence[int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the numbers of a step, its loss and its gradient: the first of which the fewest parameters are wrong."""
    choices = [
        (i, j, k) for i in group for k in range(len(run.steps[i].gradients)) for j in range(len(run.steps[i].losses))
    ]
    works: dict[tuple[int, int, int], int] = {}
    reason = ""
    for choice in choices:
        try:
            trial = compared(run, *choice, np.random.default_rng(rng.integers(2**32)), draws=1, most=FEW)
        except Ended:
            raise
        except Failed as error:
            reason = reason or str(error)
            continue
        works[choice] = len(trial.wrong()) + len(trial.undecided())
        if not works[choice]:
            break
    if not works:
        raise Failed(reason)
    return min(works, key=lambda choice: works[choice])


def compared(
    run: Running,
    i: int,
    j: int,
    k: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
    most: int | None = None,
    view: View = "",
) -> Trial:
    """Compare a gradient with slopes; the numbers i, j and k are those of the step, its loss and its gradient."""
    step, judged = run.steps[i], []
    precision: Precision = "float64"
    for number in range(1 if step.point else draws):
        theta = list(step.point) or list(drawn(step.shapes, rng).values())
        flat = np.concatenate([a.ravel() for a in theta])
        value, again = running.losses(run, i, j, flat, np.zeros(2), np.zeros(2), view)
        if not np.isfinite(value):
            raise Failed(f"its loss is {value}")
        if value != again:
            raise Failed("its loss is another number at every call, as it draws numbers that cannot be drawn again")
        if number == 0 and np.float32(value) == value:
            precision = "float32"
        if value and np.float16(value) == value and np.float16(value) != round(value):
            raise Failed("its loss is a number of 16 bits, too coarse for differences")
        gradient = running.gradient(run, i, k, theta, view)
        if step.point and not _is_same(gradient, running.gradient(run, i, k, theta, view)):
            raise Failed("two calls with the same arguments give different gradients")
        at, along = _entries(step, number, rng, most), _along(theta, rng)
        starts = _starts(step)
        entries = [start + indices for start, indices in zip(starts, at, strict=False)]
        entries.append(len(flat) + np.arange(len(along)))
        h = STEP[precision]
        found = _slopes_at(run, i, j, flat, np.concatenate(entries), h, precision, view, _in_all(along))
        if not found.values.any() and np.isfinite(found.errors).all() and any(g.any() for g in gradient):
            raise Failed("its loss does not change by small steps of its parameters: is it rounded?")
        judged.append(tuple(_leaves(step, theta, gradient, at, along, found)))
    return Trial(step, (i, j, k), precision, tuple(judged))


def _is_same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True) for a, b in zip(one, other, strict=True))


def _along(theta: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Return a random direction of length 1 for each parameter."""
    directions = [rng.standard_normal(a.shape) for a in theta]
    return [u / (np.linalg.norm(u) or 1.0) for u in directions]


def _in_all(directions: Sequence[np.ndarray]) -> np.ndarray:
    """Return directions of the parameters as directions of all, (parameters, size of all)."""
    ends = np.cumsum([u.size for u in directions])
    rows = np.zeros((len(directions), ends[-1]))
    for row, u, end in zip(rows, directions, ends, strict=True):
        row[end - u.size : end] = u.ravel()
    return rows


def _looked_at_again(run: Running, trial: Trial) -> Trial:
    """Take the slopes of wrong entries once more by smaller steps, between which fewer kinks lie."""
    i, j, _ = trial.numbers
    starts = dict(zip(trial.step.shapes, _starts(trial.step), strict=False))
    draws = []
    for draw in trial.draws:
        flat, leaves = np.concatenate([leaf.theta.ravel() for leaf in draw]), []
        for leaf in draw:
            again = (
                np.flatnonzero(~is_right(leaf, trial)) if leaf.actual.shape == leaf.theta.shape else np.array([], int)
            )
            if len(again):
                h = SMALLER[trial.precision]
                found = _slopes_at(run, i, j, flat, starts[leaf.name] + leaf.at[again], h, trial.precision)
                values, errors = leaf.expected.copy(), leaf.error.copy()
                clear = again[~found.is_coarse]
                values[clear], errors[clear] = found.values[~found.is_coarse], found.errors[~found.is_coarse]
                good = np.isfinite(values) & np.isfinite(errors)
                leaf = replace(leaf, at=leaf.at[good], expected=values[good], error=errors[good])
            leaves.append(leaf)
        draws.append(tuple(leaves))
    return replace(trial, draws=tuple(draws))


def _entries(step: Step, draw: int, rng: np.random.Generator, most: int | None) -> list[np.ndarray]:
    """Return the entries of each parameter that are judged: all at the first draw if they are few, else some."""
    sizes = [int(np.prod(shape)) for shape in step.shapes.values()]
    if most is None:
        most = max(sizes) if draw == 0 and sum(sizes) <= MOST_ENTRIES else SAMPLED
    return [np.sort(rng.permutation(size)[:most]) for size in sizes]


def _starts(step: Step) -> np.ndarray:
    """Return the number of each parameter's first entry in the vector of all."""
    return np.cumsum([0, *(int(np.prod(shape)) for shape in step.shapes.values())])


def _slopes_at(
    run: Running,
    i: int,
    j: int,
    flat: np.ndarray,
    entries: np.ndarray,
    h: float,
    precision: str = "float64",
    view: View = "",
    directions: np.ndarray | None = None,
) -> Slopes:
    def losses(sizes: np.ndarray) -> np.ndarray:
        return running.losses(run, i, j, flat, np.repeat(entries, sizes.shape[1]), sizes, view, directions)

    return slopes(losses, len(entries), h, precision)


def _leaves(
    step: Step,
    theta: Sequence[np.ndarray],
    gradient: Sequence[np.ndarray],
    at: Sequence[np.ndarray],
    along: Sequence[np.ndarray],
    found: Slopes,
) -> Sequence[Leaf]:
    ends = np.cumsum([len(indices) for indices in at])
    values = np.split(found.values, ends)
    errors = np.split(np.where(found.is_coarse, np.inf, found.errors), ends)
    leaves = []
    for n, (name, a, g, indices) in enumerate(zip(step.shapes, theta, gradient, at, strict=True)):
        good = np.isfinite(errors[n]) & np.isfinite(values[n])
        judged = indices[good], values[n][good], errors[n][good], len(indices)
        leaves.append(Leaf(name, a, g, *judged, along[n], float(values[-1][n]), float(errors[-1][n])))
    return leaves
