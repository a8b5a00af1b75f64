"""Run a file again on two problems, with its values recorded and some replaced, and say which leaves are right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._child.functions import Answer
from mlp_jax.check._child.recording import Event
from mlp_jax.check._differences.layouts import Recognised, Script, in_rows
from mlp_jax.check._differences.running import Failed, Recorded, Running
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._lines import intention
from mlp_jax.check._lines.values import Play, Played, Replaced
from mlp_jax.check._networks import recognition
from mlp_jax.check._networks.chain import Head, Pass, backward
from mlp_jax.check._networks.judgement import distance, forward_pass, judge
from mlp_jax.check._networks.networks import MEAN, REDUCTIONS, Network
from mlp_jax.check._networks.problems import Precision, Problem, probes, problems
from mlp_jax.check._networks.recognition import Function

DEPTH = 3  # of networks for functions that take any
RIGHT = {"float64": 1e-7, "float32": 1e-3}  # relative L2 distance of a leaf
Record = Callable[[Problem, Replaced, bool], Recorded]  # (problem, replacements, whether the values are wanted)


class Player(NamedTuple):
    """A file that can be run again.

    Attributes:
      play: runs it on one of the problems.
      passes: the right passes there.
      network: what they are passes of.
      precision: of the file's numbers.
      meant: the network, in words, if that is not what the file's loss says: then it has to explain all gradients.
      without_the_last_class: runs a script with labels in which the last class does not occur.
    """

    play: Play
    passes: tuple[Pass, ...]
    network: Network
    precision: Precision
    meant: str = ""
    without_the_last_class: Callable[[], Sequence[Event]] | None = None


def of_file(run: Running, subject: Function | Script, seed: int, is_right: bool) -> Player | None:
    """Return what was judged in a file that runs in a child process; None if it is no network.

    Args:
      run: the file.
      subject: what was judged.
      seed: draws the problems.
      is_right: whether its gradients were found to be right; else its network is guessed if it is not known.
    """
    if isinstance(subject, Function):
        return of_function(partial(_record, run, subject), subject, seed)
    return of_script(run, subject, is_right)


def _record(run: Running, subject: Function, problem: Problem, replaced: Replaced, events: bool) -> Recorded:
    """Call a function of a file, recorded."""
    settings = subject.settings
    question = {"ask": "call", "function": subject.name, "layout": settings.layout, "form": settings.params}
    return _recorded(run, question, [*(a for pair in problem.params for a in pair), problem.x, problem.labels],
                     replaced, events)  # fmt: skip


def _recorded(
    run: Running, question: Mapping[str, Any], arrays: Sequence[np.ndarray], replaced: Replaced, events: bool = True
) -> Recorded:
    assert run.record is not None  # a file that runs in a child has it
    return run.record(question, arrays, replaced, events)


def of_function(record: Record, subject: Function, seed: int) -> Player:
    """Return a function that can be run again, on two problems at which it answers, if there are such.

    If its gradients are right for a loss with a more usual factor, its loss is what is wrong.

    Args:
      record: runs it on a problem.
      subject: what it is.
      seed: draws the problems.
    """
    depth = subject.settings.layers or DEPTH
    pairs = zip(problems(depth, seed), probes(depth), strict=False)  # all widths different, and all equal
    ways: Sequence[Sequence[Problem]] = [[subject.point]] if subject.point else list(pairs)
    players = [_of_problems(record, subject, way) for way in ways]
    i = next((i for i, player in enumerate(players) if player.play(0, {}, False).right), 0)
    for reduction in usual(subject.network):
        network = replace(subject.network, reduction=reduction)
        other = _of_problems(record, subject._replace(network=network), ways[i])
        if all(other.play(0, {}, False).right[1:]):
            return other
    return players[i]


def _of_problems(record: Record, subject: Function, tried: Sequence[Problem]) -> Player:
    network, _, precision, *_ = subject

    def play(i: int, replaced: Replaced, events: bool) -> Played:
        try:
            recorded = record(tried[i], replaced, events)
        except Failed:
            return Played()
        answer = recorded.answer or Answer(failure="none")
        if answer.failure:
            return Played(places=recorded.places, events=recorded.events)
        one = judge(tried[i], answer, network, precision)
        right = (one.loss_right, *(bool(level) for pair in one.levels for level in pair))
        leaves = (np.array(one.loss), *(leaf for pair in answer.gradients for leaf in pair))
        return Played(right, leaves, recorded.places, recorded.events, not answer.shapes)

    return Player(play, tuple(forward_pass(problem, network) for problem in tried), network, precision)


def of_script(run: Running, script: Script, is_right: bool) -> Player | None:
    """Return a training step as a file that can be run again, at the draws of its trial; None if it is no network.

    If its gradients are right for a loss with a more usual factor, or for the one that is meant, its loss is what is
    wrong.
    """
    trial, known, asked = script
    meant = None
    if not is_right and (known is None or recognition.against(known.network, asked)):
        events = _recorded(run, _question_of_gradient(trial), _theta(trial, 0), {}).events
        meant = intention.intended(run, script, [event.value for event in events])
    of = meant or known
    if of is None:
        return None
    own = of.passes[:2]
    ways = [of._replace(passes=own)] * bool(meant)
    for reduction in usual(of.network):
        passes = tuple(s._replace(loss=_scaled(s.loss, REDUCTIONS[reduction](s.B, s.C) / s.loss.r)) for s in own)
        ways.append(of._replace(network=replace(of.network, reduction=reduction), passes=passes))
    player = _of_gradients(run, trial, of._replace(passes=own))
    for way in ways:
        right = _of_gradients(run, trial, way).play(0, {}, False).right
        if right and all(right):
            player = _of_loss(run, trial, way)
            break
    return player._replace(meant=meant.words if meant else "")


def usual(network: Network) -> tuple[str, ...]:
    """Return the reductions that are likelier to be meant than that of a network's loss."""
    if not isinstance(network.reduction, str):
        return tuple(REDUCTIONS)
    is_cross_entropy = network.output.name == "cross_entropy" and network.reduction != MEAN
    return (MEAN,) if is_cross_entropy else ()


def _scaled(head: Head, c: float) -> Head:
    """Return a head whose loss is c times as large."""
    return head._replace(loss=lambda s: c * head.loss(s), output=lambda s: c * head.output(s), r=c * head.r)


def _of_gradients(run: Running, trial: Trial, known: Recognised) -> Player:
    question = _question_of_gradient(trial)
    wanted = [[leaf for pair in backward(s)[1] for leaf in pair] for s in known.passes]

    def judged(n: int, values: Sequence[np.ndarray]) -> Played:
        shapes = trial.step.shapes.items()
        given = {  # of another shape, numbers that are not right, and change if the values do
            name: a if a.shape == shape else np.full(shape, np.nan_to_num(a).sum())
            for (name, shape), a in zip(shapes, values, strict=True)
        }
        is_other = {name: np.full(shape, a.shape != shape) for (name, shape), a in zip(shapes, values, strict=True)}
        leaves, are_other = (
            [leaf for pair in in_rows(known.layers, arrays) for leaf in pair] for arrays in (given, is_other)
        )
        right = tuple(
            not other.any() and distance(a, e, 1.0) <= _tolerance(trial)
            for a, e, other in zip(leaves, wanted[n], are_other, strict=True)
        )
        return Played(right, leaves, are_shaped=not any(a.any() for a in is_other.values()))

    def without_the_last_class() -> Sequence[Event]:
        return _recorded(run, {**question, "view": "without the last class"}, _theta(trial, 0), {}).events

    play = partial(_played, run, question, partial(_theta, trial), judged)
    return Player(play, known.passes, known.network, trial.precision, without_the_last_class=without_the_last_class)


def _question_of_gradient(trial: Trial) -> dict[str, Any]:
    i, _, k = trial.numbers
    return {"ask": "gradient", "step": i, "gradient": k, "view": ""}


def _theta(trial: Trial, draw: int) -> list[np.ndarray]:
    return [leaf.theta for leaf in trial.draws[draw]]


def _of_loss(run: Running, trial: Trial, known: Recognised) -> Player:
    """Return the loss of a step as what is right or wrong."""
    i, j, _ = trial.numbers
    question = {"ask": "losses", "step": i, "loss": j, "view": ""}

    def theta(n: int) -> list[np.ndarray]:
        flat = np.concatenate([leaf.theta.ravel() for leaf in trial.draws[n]])
        return [flat, np.zeros(1), np.zeros(1), np.zeros((0, flat.size))]

    def judged(n: int, values: Sequence[np.ndarray]) -> Played:
        loss = float(values[0][0])
        return Played((abs(loss - backward(known.passes[n])[0]) <= _tolerance(trial) * abs(loss),), [np.array(loss)])

    play = partial(_played, run, question, theta, judged)
    return Player(play, known.passes, known.network, trial.precision)


def _tolerance(trial: Trial) -> float:
    return RIGHT.get(trial.precision, RIGHT["float32"])


def _played(
    run: Running,
    question: Mapping[str, Any],
    arrays: Callable[[int], list[np.ndarray]],
    judged: Callable[[int, Sequence[np.ndarray]], Played],
    n: int,
    replaced: Replaced,
    events: bool,
) -> Played:
    """Run a step at draw n, and judge what it gives."""
    try:
        recorded = _recorded(run, question, arrays(n), replaced, events)
    except Failed:
        return Played()
    played = judged(n, recorded.values) if recorded.values else Played()  # else it raised
    return played._replace(places=recorded.places, events=recorded.events)
