"""Run a file again on two problems, with its values recorded and some replaced, and say which leaves are right."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.functions import Answer
from mlp_jax.check._child.recording import Event
from mlp_jax.check._differences.layouts import Recognised, in_rows
from mlp_jax.check._differences.running import Failed, Recorded, Running
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._lines.faults import Play, Played, Replaced
from mlp_jax.check._networks.chain import Head, Pass, backward
from mlp_jax.check._networks.judgement import distance, forward_pass, judge
from mlp_jax.check._networks.networks import REDUCTIONS, Network, Output
from mlp_jax.check._networks.problems import Precision, Problem, Settings, probes, problems

MEAN = "mean over the batch"
DEPTH = 3  # of networks for functions that take any
RIGHT = {"float64": 1e-7, "float32": 1e-3}  # relative L2 distance of a leaf


class Function(NamedTuple):
    """A function of a file that was judged.

    Attributes:
      name: its name.
      network: that it computes.
      settings: how it is written.
      precision: of its numbers.
      point: the only problem, if its author gives one.
    """

    name: str
    network: Network
    settings: Settings
    precision: Precision
    point: Problem | None


Script = tuple[Trial, Recognised]  # a training step that was judged, and what was recognised in it


class Player(NamedTuple):
    """A file that can be run again.

    Attributes:
      play: runs it on one of the problems.
      passes: the right passes there.
      output: of the network.
      tried: the problems, of a function.
      without_the_last_class: runs a script with labels in which the last class does not occur.
    """

    play: Play
    passes: tuple[Pass, ...]
    output: Output
    tried: Sequence[Problem] = ()
    without_the_last_class: Callable[[], Sequence[Event]] | None = None


def of_file(run: Running, subject: Function | Script, seed: int) -> Player:
    """Return what was judged in a file that runs in a child process."""
    if not isinstance(subject, Function):
        return of_script(run, *subject)
    settings = subject.settings

    def record(problem: Problem, replaced: Replaced, events: bool) -> Recorded:
        question = {"ask": "call", "function": subject.name, "layout": settings.layout, "form": settings.params}
        arrays = [*(a for pair in problem.params for a in pair), problem.x, problem.labels]
        assert run.record is not None  # a file that runs in a child has it
        return run.record(question, arrays, replaced, events)

    return of_subject(record, subject, seed)


def of_subject(record: Callable[[Problem, Replaced, bool], Recorded], subject: Function, seed: int) -> Player:
    """Return a function that can be run again, on two problems at which it answers, if there are such."""
    depth = subject.settings.layers or DEPTH
    pairs = zip(problems(depth, seed), probes(depth), strict=False)  # all widths different, and all equal
    players = [
        of_function(record, subject.network, tried, subject.precision)
        for tried in ([[subject.point]] if subject.point else pairs)
    ]
    player = next((player for player in players if player.play(0, {}, False).right), players[0])
    for reduction in usual(subject.network):
        network = replace(subject.network, reduction=reduction)
        other = of_function(record, network, player.tried, subject.precision)
        if all(other.play(0, {}, False).right[1:]):
            return other
    return player


def of_function(
    record: Callable[[Problem, Replaced, bool], Recorded],
    network: Network,
    tried: Sequence[Problem],
    precision: Precision,
) -> Player:
    """Return a function of (params, x, labels) as a file that can be run again.

    Args:
      record: runs it on a problem.
      network: that it computes.
      tried: the problems.
      precision: of its numbers.
    """

    def play(i: int, replaced: Replaced, events: bool) -> Played:
        try:
            recorded = record(tried[i], replaced, events)
            answer = recorded.answer or Answer(failure="none")
            one = judge(tried[i], answer, network, precision)
        except Failed:
            return Played((), (), (), ())
        if answer.failure:
            return Played((), (), recorded.places, recorded.events)
        right = (one.loss_right, *(bool(level) for pair in one.levels for level in pair))
        loss = np.array(np.nan if answer.loss is None else answer.loss)
        leaves = (loss, *(leaf for pair in answer.gradients for leaf in pair))
        return Played(right, leaves, recorded.places, recorded.events, not answer.shapes)

    return Player(play, tuple(forward_pass(problem, network) for problem in tried), network.output, tried)


def of_script(run: Running, trial: Trial, known: Recognised) -> Player:
    """Return a training step as a file that can be run again, at the draws of a trial.

    If its gradients are right for a loss with a more usual factor, its loss is what is wrong.
    """
    gradients = _of_gradients(run, trial, known, known.passes[:2])
    for r in map(REDUCTIONS.get, usual(known.network)):
        assert r is not None  # it is one of them
        passes = tuple(s._replace(loss=_scaled(s.loss, r(s.B, s.C) / s.loss.r)) for s in known.passes[:2])
        right = _of_gradients(run, trial, known, passes).play(0, {}, False).right
        if right and all(right):
            return _of_loss(run, trial, known, passes)
    return gradients


def usual(network: Network) -> tuple[str, ...]:
    """Return the reductions that are likelier to be meant than that of a network's loss."""
    if not isinstance(network.reduction, str):
        return tuple(REDUCTIONS)
    is_cross_entropy = network.output.name == "cross_entropy" and network.reduction != MEAN
    return (MEAN,) if is_cross_entropy else ()


def _scaled(head: Head, c: float) -> Head:
    """Return a head whose loss is c times as large."""
    return head._replace(loss=lambda s: c * head.loss(s), output=lambda s: c * head.output(s), r=c * head.r)


def _of_gradients(run: Running, trial: Trial, known: Recognised, passes: tuple[Pass, ...]) -> Player:
    i, _, k = trial.numbers
    question = {"ask": "gradient", "step": i, "gradient": k, "view": ""}
    tolerance = RIGHT.get(trial.precision, RIGHT["float32"])
    wanted = [backward(s)[1] for s in passes]

    def play(n: int, replaced: Replaced, events: bool) -> Played:
        assert run.record is not None  # a file that runs in a child has it
        try:
            recorded = run.record(question, [leaf.theta for leaf in trial.draws[n]], replaced, events)
        except Failed:
            return Played((), (), (), ())
        if not recorded.values:  # it raised
            return Played((), (), recorded.places, recorded.events)
        shapes = trial.step.shapes.items()
        given = {
            name: a if a.shape == shape else np.full(shape, np.nan)
            for (name, shape), a in zip(shapes, recorded.values, strict=True)
        }
        leaves = [leaf for pair in in_rows(known.layers, given) for leaf in pair]
        expected = [leaf for pair in wanted[n] for leaf in pair]
        right = tuple(distance(a, e, 1.0) <= tolerance for a, e in zip(leaves, expected, strict=True))
        are_shaped = all(np.isfinite(leaf).any() for leaf in leaves)
        return Played(right, leaves, recorded.places, recorded.events, are_shaped)

    def without_the_last_class() -> Sequence[Event]:
        assert run.record is not None  # a file that runs in a child has it
        theta = [leaf.theta for leaf in trial.draws[0]]
        return run.record({**question, "view": "without the last class"}, theta, {}, True).events

    return Player(play, passes, known.network.output, without_the_last_class=without_the_last_class)


def _of_loss(run: Running, trial: Trial, known: Recognised, passes: tuple[Pass, ...]) -> Player:
    """Return the loss of a step as what is right or wrong."""
    i, j, _ = trial.numbers
    question = {"ask": "losses", "step": i, "loss": j, "view": ""}
    tolerance = RIGHT.get(trial.precision, RIGHT["float32"])

    def play(n: int, replaced: Replaced, events: bool) -> Played:
        assert run.record is not None  # a file that runs in a child has it
        flat = np.concatenate([leaf.theta.ravel() for leaf in trial.draws[n]])
        try:
            arrays = [flat, np.zeros(1), np.zeros(1), np.zeros((0, flat.size))]
            recorded = run.record(question, arrays, replaced, events)
        except Failed:
            return Played((), (), (), ())
        if not recorded.values:  # it raised
            return Played((), (), recorded.places, recorded.events)
        loss = recorded.values[0]
        right = abs(float(loss[0]) - backward(passes[n])[0]) <= tolerance * abs(float(loss[0]))
        return Played((right,), [loss], recorded.places, recorded.events)

    return Player(play, passes, known.network.output)
