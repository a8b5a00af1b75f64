"""A trial: a file is run again with other values in the place of its own."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._lines.readings import Reading
from mlp_jax.check._lines.streams import Table
from mlp_jax.check._lines.values import Play, Played, Replaced, Right, Value


class Trial(NamedTuple):
    """What replacements are tried in: those that stay, the runs with them, and what is right then."""

    play: Play
    tables: Sequence[Table]
    held: Sequence[Replaced]
    played: Sequence[Played]
    right: Right
    until: float


class Cure(NamedTuple):
    """A reading that makes leaves right in the place of a value, and how many."""

    value: Value
    reading: Reading
    gain: int


def begun(play: Play, tables: Sequence[Table], held: Sequence[Replaced], until: float) -> Trial:
    played = [play(i, of, True) for i, of in enumerate(held)]
    return Trial(play, tables, held, played, _both([run.right for run in played]), until)


def _both(flags: Sequence[Right]) -> Right:
    return tuple(map(all, zip(*flags, strict=True))) if all(flags) else ()


def gain_of(trial: Trial, value: Value, reading: Reading) -> int:
    """Return how many more leaves are right with a reading in the place of a value; 0 if others become wrong."""
    flags = trial.right
    for i, held in enumerate(trial.held):
        after = trial.play(i, {**held, value.number: reading.expected[i]}, False).right
        flags = after if i == 0 else _both([flags, after])
        lost = any(a and not b for a, b in zip(trial.right, flags, strict=False))
        if lost or sum(flags) <= sum(trial.right):
            return 0
    return sum(flags) - sum(trial.right)


def reach_of(trial: Trial, value: Value, moved: Sequence[bool] | None = None) -> int:
    """Return how many wrong leaves a value has to do with: those that change if it does, or some of several do."""
    some = [True] * len(value.seen[0]) if moved is None else moved
    others = [
        np.where(np.isfinite(a), 1.1 * a + 0.1, 0.1) if is_moved else a
        for a, is_moved in zip(value.seen[0], some, strict=True)
    ]
    before, after = trial.played[0].leaves, trial.play(0, {**trial.held[0], value.number: others}, False).leaves
    if len(before) != len(after):
        return len(trial.right)
    pairs = zip(before, after, trial.right, strict=False)
    return sum(not is_right and not np.array_equal(a, b, equal_nan=True) for a, b, is_right in pairs)
