"""How strong is a check? How many of the known mistakes it would catch at its points, and which escape."""

from collections.abc import Sequence
from typing import Any

from mlp_jax.diagnosis.judgement import Judged, caught, forward_pass
from mlp_jax.diagnosis.mistake_table import MISTAKES
from mlp_jax.diagnosis.mistakes import Mistake, Pass, backward, broken
from mlp_jax.diagnosis.problems import Settings, probes


def power(judged: Sequence[Judged], settings: Settings) -> dict[str, Any]:
    """Return how many of the known mistakes would have been caught at these problems, and which escape.

    Known are those that differ from a correct pass at all, at problems drawn anew.
    """
    table = [mistake for mistake in MISTAKES if mistake.belongs_to(settings.loss)]
    depths = {one.problem.depth for one in judged}
    fresh = [forward_pass(problem, settings) for depth in depths for problem in probes(depth)]
    points = [one.s for one in judged if not one.problem.extreme]
    known = [mistake for mistake in table if _is_caught(mistake, fresh)]
    escaped = [mistake.name for mistake in known if not _is_caught(mistake, points)]
    return {"known": len(known), "caught": len(known) - len(escaped), "escaped": escaped}


def _is_caught(mistake: Mistake, points: Sequence[Pass]) -> bool:
    """Whether a mistake raises, or gives another gradient or loss, at one of the points."""
    for s in points:
        result = broken(mistake, s)
        if result is None or caught(result, s, backward(s)):
            return True
    return False
