"""How strong is a check? How many of the known mistakes it would catch at its points, and which escape."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._networks.chain import Gradients, Mistake, Pass, backward, broken
from mlp_jax.check._networks.judgement import caught, forward_pass, term_sizes
from mlp_jax.check._networks.mistakes import mistakes_of
from mlp_jax.check._networks.networks import Network
from mlp_jax.check._networks.problems import Problem, probes, problems


class Point(NamedTuple):
    """A forward pass, what is right there, and the size of the terms that it is made of."""

    s: Pass
    right: tuple[float, Gradients]
    sizes: Gradients


@np.errstate(all="ignore")
def power(tried: Sequence[Problem], network: Network) -> dict[str, Any]:
    """Return how many of the known mistakes would be caught at these problems, and which escape.

    Known are those that differ from a correct pass at all, at problems drawn anew.
    """
    table = mistakes_of(network)
    fresh = [problem for depth in {problem.depth for problem in tried} for problem in probes(depth)]
    drawn, points = (_points(where, network) for where in (fresh, tried))
    known = [mistake for mistake in table if _is_caught(mistake, drawn)]
    escaped = [mistake.name for mistake in known if not _is_caught(mistake, points)]
    return {"known": len(known), "caught": len(known) - len(escaped), "escaped": escaped}


@cache
def power_of_ours(network: Network, layers: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Return the power of the library's own problems, of one depth or of all."""
    return power(problems(layers, seed), network)


def _points(tried: Sequence[Problem], network: Network) -> list[Point]:
    plain = [problem for problem in tried if not problem.extreme] or tried
    passes = [forward_pass(problem, network) for problem in plain]
    return [Point(s, backward(s), term_sizes(s)) for s in passes]


def _is_caught(mistake: Mistake, points: Sequence[Point]) -> bool:
    """Whether a mistake raises, or gives another gradient or loss, at one of the points."""
    for s, right, sizes in points:
        result = broken(mistake, s)
        if result is None or caught(result, right, s, sizes):
            return True
    return False
