"""How strong is a check? How many of the known mistakes it would catch at its points, and which escape."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._diagnosis.judgement import caught, forward_pass, term_sizes
from mlp_jax.check._diagnosis.mistake_table import MISTAKES
from mlp_jax.check._diagnosis.mistakes import Gradients, Mistake, Pass, backward, broken
from mlp_jax.check._diagnosis.problems import Problem, Settings, probes, problems


class Point(NamedTuple):
    """A forward pass, what is right there, and the size of the terms that it is made of."""

    s: Pass
    right: tuple[float, Gradients]
    sizes: Gradients


@np.errstate(all="ignore")
def power(tried: Sequence[Problem], settings: Settings) -> dict[str, Any]:
    """Return how many of the known mistakes would be caught at these problems, and which escape.

    Known are those that differ from a correct pass at all, at problems drawn anew.
    """
    table = [mistake for mistake in MISTAKES if mistake.belongs_to(settings.loss)]
    fresh = [problem for depth in {problem.depth for problem in tried} for problem in probes(depth)]
    drawn, points = (_points(where, settings) for where in (fresh, tried))
    known = [mistake for mistake in table if _is_caught(mistake, drawn)]
    escaped = [mistake.name for mistake in known if not _is_caught(mistake, points)]
    return {"known": len(known), "caught": len(known) - len(escaped), "escaped": escaped}


@cache
def power_of_ours(settings: Settings) -> dict[str, Any]:
    """Return the power of the library's own problems."""
    return power(problems(settings), settings)


def _points(tried: Sequence[Problem], settings: Settings) -> list[Point]:
    plain = [problem for problem in tried if not problem.extreme] or tried
    passes = [forward_pass(problem, settings) for problem in plain]
    return [Point(s, backward(s), term_sizes(s)) for s in passes]


def _is_caught(mistake: Mistake, points: Sequence[Point]) -> bool:
    """Whether a mistake raises, or gives another gradient or loss, at one of the points."""
    for s, right, sizes in points:
        result = broken(mistake, s)
        if result is None or caught(result, right, s, sizes):
            return True
    return False
