"""Which network gives the answers to plain problems, and are the gradients those of its loss?

If the losses are those of no known network, the gradients are compared with differences of the losses.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._differences import comparing, facts
from mlp_jax.check._differences import judge as by_differences
from mlp_jax.check._differences.in_memory import running_function
from mlp_jax.check._differences.running import Failed, Running
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._networks import findings, recognition
from mlp_jax.check._networks.chain import Gradients
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.judgement import Answer, Judged, are_right, judge_all, plain
from mlp_jax.check._networks.matching import Found, diagnose, neighbour
from mlp_jax.check._networks.networks import Network, words
from mlp_jax.check._networks.problems import OWN_POINT, Asked, Problem, Settings, network_of
from mlp_jax.check._networks.recognition import Ask, asked_parts
from mlp_jax.check._networks.report import Verdict


class What(NamedTuple):
    """What the answers to plain problems are.

    Attributes:
      verdict: on them.
      found: what is wrong.
      network: that the function computes; None if it is not known.
      trial: the comparison with differences, if it is not.
      notes: what is worth knowing.
    """

    verdict: Verdict
    found: Sequence[Diagnosis] = ()
    network: Network | None = None
    trial: Trial | None = None
    notes: Sequence[str] = ()


def what(ask: Ask, asked: Asked, under: Sequence[Judged], seed: int) -> What:
    """Say which network the answers are of, and whether the gradients are those of its loss.

    Args:
      ask: calls the function.
      asked: what is asked of it.
      under: all problems, judged as the network that is asked for.
      seed: draws other problems.
    """
    judged, asked_for = plain(under), network_of(asked.settings)
    tried, answers = [one.problem for one in judged], [one.answer for one in judged]
    no_loss = answers[0].loss is None
    if are_right(judged):
        return What("correct", network=asked_for, notes=_assumed(asked_for) if no_loss else [])
    wrong = [one for one in judged if not are_right([one])]
    if len(judged) > 1 and [one.problem.name for one in wrong] == ["a batch of one"]:
        is_explained = findings.needs_every_class(under)  # which no batch of one has
        return What("wrong", [] if is_explained else [findings.batch_of_one(wrong[0])], asked_for)
    own = recognition.by_gradients(judged) if no_loss else recognition.by_losses(ask, asked.settings, tried, seed)
    if own is None:
        return _of_unknown(ask, asked, judged, seed)
    of_own = judge_all(tried, answers, own)
    is_right, against = are_right(of_own), recognition.against(own, asked)
    if is_right and not against:
        return What("correct", network=own, notes=_assumed(own) if no_loss else [])
    convention = [recognition.convention(own, asked, is_right)] if against else []
    as_asked = diagnose(judged, asked_for) if against else None
    if as_asked:
        is_one = as_asked.is_known and len(as_asked.diagnoses) == 1
        is_loss_alone = not is_right and all(one.right for one in judged)
        if is_one or is_loss_alone:
            return What("wrong", as_asked.diagnoses, asked_for)
    if is_right:
        return What("wrong", convention, own)
    near = neighbour(of_own, own) if own != asked_for else None  # its mistakes have names of their own
    if near is not None:
        return What("wrong", [near, *convention], own)
    as_own = diagnose(of_own, own)
    if not as_own.is_known and own != asked_for:
        as_asked = as_asked or diagnose(judged, asked_for)
        if as_asked.is_known:
            return What("wrong", as_asked.diagnoses, asked_for)
    return What("wrong", [*as_own.diagnoses, *convention], own)


def _of_unknown(ask: Ask, asked: Asked, judged: Sequence[Judged], seed: int) -> What:
    """Compare with differences of the losses, as they are those of no known network."""
    asked_for, losses = network_of(asked.settings), [one.answer.loss for one in judged]
    as_asked = diagnose(judged, asked_for)
    if losses[0] is None:
        return _without_loss(as_asked, asked)
    all_asked = {"activation", "loss"} <= asked.declared
    if (as_asked.is_known and all_asked) or not np.isfinite(np.array(losses, float)).all():
        return What("wrong", as_asked.diagnoses, asked_for)
    trials = []
    for one in judged:
        try:
            trials.append(_by_differences(ask, asked.settings, one.problem, seed, is_whole=one is judged[0]))
        except Failed as error:
            return What("undecided", [Diagnosis("undecided", str(error), where="the loss")])
    for trial, run in trials:
        found = facts.facts(trial, run) if trial.wrong() else []
        if found:
            is_named = as_asked.is_known and as_asked.diagnoses[0].code != "convention"
            better = as_asked.diagnoses if is_named or all_asked else found
            return What("wrong", better, asked_for if better is not found else None, trial)
    first = trials[0][0]
    if first.undecided():
        return What("undecided", [by_differences.cannot_tell(first)], None, first)
    unmet = [part for name, part in asked_parts(asked).items() if name in asked.exactly]
    right = "the gradients are right for the loss that it computes"
    if unmet and all_asked:
        wrong = Diagnosis("convention", f"{right}, and {words(asked_for)} was asked for", "everywhere")
        return What("wrong", [wrong, *as_asked.diagnoses[:1]], asked_for)
    if unmet:
        message = f"{right}; whether it is that of {' and '.join(unmet)} is not seen"
        return What("undecided", [Diagnosis("undecided", message, "everywhere")], None, first)
    return What("correct", (), None, first)


def _without_loss(as_asked: Found, asked: Asked) -> What:
    """Say what gradients are that come without a loss, and are those of no known network."""
    asked_for = network_of(asked.settings)
    if "loss" in asked.declared:
        return What("wrong", as_asked.diagnoses, asked_for, notes=_assumed(asked_for))
    reason = "it gives no loss, and its gradients are those of no network and loss that is known"
    if as_asked.is_known:
        reason += f"; if it is {words(asked_for)}, {as_asked.diagnoses[0].message}"
    return What("undecided", [Diagnosis("undecided", reason, "every gradient", "return (loss, gradients)")])


def _by_differences(
    ask: Ask, settings: Settings, problem: Problem, seed: int, is_whole: bool
) -> tuple[Trial, Running]:  # fmt: skip
    """Compare gradients with differences of the losses: of entries at draws, or along one direction of each leaf."""

    def answer(params: Gradients) -> Answer:
        return ask(problem._replace(params=params), settings.layout, settings.params)

    at_point = not is_whole or problem.name == OWN_POINT
    run = running_function(answer, problem.params, (problem.x, problem.labels), at_point)
    rng = np.random.default_rng([seed, 2])
    return comparing.tried(run, (0, 0, 0), rng, None if is_whole else 0), run


def _assumed(network: Network) -> list[str]:
    return [f"it gives no loss: assuming {words(network)}"]
