"""Judge a function that returns a loss and the gradients of layers, on problems of our own, in the network that it is.

Which network that is follows from its losses (`recognition`). Its gradients are right if they are those of that network
by the chain rule (`verdict`). What else is wrong with it, `findings` say.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlp_jax import _doors
from mlp_jax.check._differences import judge as by_differences
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._networks import findings, recognition
from mlp_jax.check._networks.chain import Gradients
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.judgement import PRECISIONS, Judged, coarser, compared, held_in, judge_all, plain
from mlp_jax.check._networks.networks import words
from mlp_jax.check._networks.power import power, power_of_ours
from mlp_jax.check._networks.problems import (
    LAYOUTS,
    Asked,
    Precision,
    Problem,
    Settings,
    network_of,
    point_of,
    problems,
)
from mlp_jax.check._networks.recognition import Ask, Function
from mlp_jax.check._networks.report import NO_POWER, BackpropReport, Verdict
from mlp_jax.check._networks.verdict import What, what
from mlp_jax.check._rules.comparison import GradientReport

AT_DRAWS = "next to differences of the loss"


@np.errstate(all="ignore")  # wrong passes overflow, divide by 0 and take the log of 0
def judged(ask: Ask, asked: Asked, seed: int = 0, point: Problem | None = None) -> BackpropReport:
    """Judge a function.

    Args:
      ask: calls it.
      asked: what is asked of it.
      seed: draws the problems.
      point: the only problem, if its author gives one.

    Returns:
      The report.
    """
    written = recognition.written(ask, asked.settings, asked.declared, seed, point)
    settings = written.settings
    if written.failure:
        return failed(written.failure, settings)
    asked = asked._replace(settings=settings)
    tried = [point] if point else problems(settings.layers, seed)
    answers = [ask(problem, settings.layout, settings.params) for problem in tried]
    again = max(
        recognition.apart(a, ask(problem, settings.layout, settings.params))
        for problem, a in zip(tried, answers, strict=True)
        if not a.failure
    )
    under = judge_all(tried, answers, network_of(settings))
    found = findings.random(again)
    of = What("wrong") if found else what(ask, asked, under, seed)
    if of.network:
        under = judge_all(tried, answers, of.network)
    precision = _precision(under, of.trial)
    changed = dict.fromkeys(name for answer in answers for name in answer.changed)
    found += [*(findings.changed(name) for name in changed if name != "params"), *of.found]
    if of.network and all(one.code != "nonfinite" for one in found):
        found += findings.at_extremes(under, asked.strict)
    if "params" in changed:  # what stands before may be why
        found.append(findings.changed("params"))
    found += findings.shapes(under)
    is_right = of.verdict == "correct" and not found
    found += findings.failures(under, is_right)
    if written.convention:
        found.insert(0, Diagnosis("convention", written.convention, "the arguments of the function"))
    found += findings.coarse(precision, asked.precision)
    verdict = of.verdict if len(found) == len(of.found) else "wrong"
    if is_right and [one.code for one in found] == ["exception"]:  # it is right wherever it answers
        verdict = "undecided"
    if verdict == "correct":
        count = f"on {len(under)} problem{'s' * (len(under) > 1)}"
        nearly = f"{count}, {by_differences.correct(of.trial).evidence} of the first" if of.trial else count
        found = [Diagnosis("correct", "loss and every gradient are right", "", nearly)]
        found += findings.remarks(under) if of.network else []
    return _report(verdict, found, of, under, precision, asked, seed, written.notes)


def at_point(
    asked: Asked, form: str, layers: Gradients, x: np.ndarray, labels: np.ndarray
) -> tuple[Asked, Problem] | None:
    """Return somebody's own point as a problem, with the layout that it has; None if it is no list of layers.

    Raises:
      ValueError: for weights that are not finite, or a depth that was not asked for.
    """
    settings = asked.settings
    layouts = [settings.layout] if "layout" in asked.declared else [settings.layout, *LAYOUTS]
    for layout in layouts:
        problem = point_of(layers, x, labels, layout, network_of(settings))
        if problem is not None:
            if settings.layers not in (None, problem.depth):
                raise _doors.mistake("point", f"{settings.layers} layers, as the settings say", problem.depth)
            written = replace(settings, layout=layout, params=form)
            return asked._replace(settings=written, declared=asked.declared | {"layout", "params"}), problem
    return None


def failed(reason: str, settings: Settings | None) -> BackpropReport:
    """Return the report on a function that could not be asked."""
    diagnosis = Diagnosis("exception", reason, "everywhere", "it could not be checked")
    return BackpropReport("error", (diagnosis,), {}, GradientReport(()), "", NO_POWER, "float64", (), settings)


def _precision(under: Sequence[Judged], trial: Trial | None) -> Precision:
    """Return the coarsest precision in which the gradients are right, or held, or that of the loss of differences."""
    answered = [one for one in under if one.answered]
    held = held_in([one.answer for one in answered])
    if trial is not None:
        return coarser(held, trial.precision)
    levels = [level for one in answered if not one.problem.extreme for pair in one.levels for level in pair if level]
    return max([held, *levels], key=PRECISIONS.index)


def _report(
    verdict: Verdict,
    found: Sequence[Diagnosis],
    of: What,
    under: Sequence[Judged],
    precision: Precision,
    asked: Asked,
    seed: int,
    notes: Sequence[str],
) -> BackpropReport:
    settings, trial = asked.settings, of.trial
    answered = [one for one in under if one.answered]
    shown = next((one for one in answered if not (one.right and one.loss_right)), answered[0])
    tried = [one.problem for one in under]
    depths = sorted({problem.depth for problem in tried})
    layers = f"{depths[0]} to {depths[-1]} layers" if len(depths) > 1 else f"{depths[0]} layer{'s' * (depths[0] > 1)}"
    points = f"{len(tried)} problems with {layers}" if len(tried) > 1 else f"{tried[0].name} alone"
    points += f", of which it answers {len(answered)}" if len(answered) < len(tried) else ""
    read = next((answer.notes for answer in (one.answer for one in answered) if answer.notes), ())
    problem, table, losses, strength = f"{shown.problem.name} ({shown.problem.shape})", GradientReport(()), {}, NO_POWER
    if of.network is not None:
        table, loss = _by_terms(compared(shown), shown), shown.answer.loss
        if loss is not None:
            losses = {"actual": loss, "expected": shown.expected[0], "relative_error": shown.loss_error}
        is_ours = len(under) > 1
        strength = power_of_ours(of.network, settings.layers, seed) if is_ours else power(tried, of.network)
    elif trial is not None:
        problem, table = AT_DRAWS, by_differences.table(trial.draws[0], trial)
    return BackpropReport(
        verdict=verdict,
        diagnoses=tuple(found),
        loss=losses,
        gradients=table,
        problem=problem,
        power=strength,
        precision=precision,
        notes=(
            f"the network: {words(of.network, depths[-1])}" if of.network else "the network is not recognised",
            *of.notes,
            *read,
            *notes,
            *_notes(under, settings),
        ),
        settings=settings,
        basis=(points, *asked.basis),
        errors=_errors(shown) if of.network and verdict != "correct" else {},
        subject=of.network and Function(of.network, settings, precision, None if len(tried) > 1 else tried[0]),
        right_everywhere=_right_everywhere(shown, under, table, of, asked),
    )


def _right_everywhere(
    shown: Judged, under: Sequence[Judged], table: GradientReport, of: What, asked: Asked
) -> dict[str, bool]:
    """Say of the loss, if there is one, and of each leaf whether it is right on all problems of the depth shown.

    Of a network that is not recognised nothing is said if one was asked for: its gradients are those of something else.
    """
    if of.network is None:
        return of.trial.right() if of.trial and not {"activation", "loss"} & asked.exactly else {}
    same = [one for one in plain(under) if one.problem.depth == shown.problem.depth] or [shown]
    loss = {} if shown.answer.loss is None else {"loss": all(one.loss_right for one in same)}
    levels = zip(*([level for pair in one.levels for level in pair] for one in same), strict=True)
    return loss | {leaf.name: all(of_leaf) for leaf, of_leaf in zip(table.leaves, levels, strict=True)}


def _notes(judged: Sequence[Judged], settings: Settings) -> list[str]:
    values = {one.subgradient for one in judged if one.subgradient is not None}
    phi = judged[0].s.phi.name
    notes = [
        f"{phi}'(0) is {value:g} here, and another number in this library: both are subgradients" for value in values
    ]
    if settings.layout != "rows" or settings.params == "dict":
        ours = "the table and the formulas are in rows: x (B, D), W (fan_in, fan_out), the transpose of yours"
        names = "layers[0].weight and layers[0].bias are those of W1 and b1"
        notes.append("; ".join([ours] * (settings.layout != "rows") + [names] * (settings.params == "dict")))
    return notes


def _by_terms(compared: GradientReport, one: Judged) -> GradientReport:
    """The same, with the verdicts of the judgement: what rounding of a leaf's terms explains is right."""
    levels = [level for pair in one.levels for level in pair]
    leaves = [
        replace(leaf, ok=bool(level), problem="" if level else leaf.problem or "more than rounding explains")
        for leaf, level in zip(compared.leaves, levels, strict=True)
    ]
    return replace(compared, leaves=tuple(leaves))


def _errors(one: Judged) -> dict[str, np.ndarray]:
    """Return |actual - expected| over the largest |expected|, for every leaf that can be compared."""
    return {
        f"layers[{l}].{name}": np.abs(np.asarray(actual, float) - expected) / (np.abs(expected).max() or 1.0)
        for l, (pair, right) in enumerate(zip(one.answer.gradients, one.expected[1], strict=True))
        for name, actual, expected in zip(("weight", "bias"), pair, right, strict=True)
        if np.shape(actual) == expected.shape and np.isfinite(np.asarray(actual, float)).all()
    }
