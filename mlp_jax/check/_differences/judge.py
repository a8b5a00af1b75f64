"""Are the gradients of a file's training step those of the loss that the file itself computes?

The parameters are drawn several times, at a size at which no mistake hides. Central differences give the slopes of the
loss, and their errors. An entry at a kink is not judged at that draw.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlp_jax.check._child.gradients import UPDATE
from mlp_jax.check._differences import facts, layouts, running
from mlp_jax.check._differences.comparing import FEW, chosen, compared, tried
from mlp_jax.check._differences.layouts import Recognised, Script
from mlp_jax.check._differences.running import Failed, Running, Step
from mlp_jax.check._differences.trial import Leaf, Trial, is_wrong
from mlp_jax.check._networks import recognition
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Asked
from mlp_jax.check._networks.report import NO_POWER, BackpropReport
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison, compare_gradients

RATE = "/ rate"  # in the words for a gradient that is read from an update
MOST_ROWS = 50  # of the table of parameters
LONGEST = 1500  # characters of a diagnosis' texts
RANK = ("correct", "undecided", "wrong")


def judged(run: Running, asked: Asked, seed: int = 0) -> BackpropReport:
    """Judge the training steps of a file that runs: the worst verdict of all its models.

    Args:
      run: the file; it has a step.
      asked: what is asked of it.
      seed: draws the parameters.

    Returns:
      The report.

    Raises:
      Failed: if the file gave no answer in time, or its step cannot be repeated.
    """
    with np.errstate(all="ignore"):
        reports = [_report(run, group, asked, seed) for group in _groups(run.steps)]
    return max(reports, key=lambda report: RANK.index(report.verdict))


def _groups(steps: Sequence[Step]) -> list[list[int]]:
    """Return the numbers of the steps, in groups that have parameters in common: one step of each is judged."""
    groups: list[list[int]] = []
    for i, step in enumerate(steps):
        same = [group for group in groups if set(step.shapes) & set(steps[group[0]].shapes)]
        if same:
            same[0].append(i)
        else:
            groups.append([i])
    return groups


def _report(run: Running, group: Sequence[int], asked: Asked, seed: int) -> BackpropReport:
    rng = np.random.default_rng(seed)
    trial = tried(run, chosen(run, group, rng), rng)
    wrong, undecided = trial.wrong(), trial.undecided()
    known = layouts.recognised(trial, run, rng)
    found = facts.facts(trial, run) if wrong else facts.of_labels(trial, run)
    if known is not None and found and found[0].code == "unexplained":
        found = facts.named(found, layouts.explained(known, trial), len(trial.draws))
    later_wrong: Sequence[str] = ()
    if not found and not undecided:
        found, later_wrong = _of_later_round(run, trial, rng)
    verdict: Any = "wrong" if found else "undecided" if undecided else "correct"
    if run.error and trial.gradient == UPDATE and not trial.step.later:  # a round that it does not finish itself
        verdict = "wrong"
        found = [Diagnosis("exception", run.error, "the first round of its loop", "so it does not train")]
    elif trial.gradient == UPDATE and len(found) == 1 and found[0].code == "scale" and wrong == list(trial.step.shapes):
        verdict = "undecided"
        found = [replace(found[0], code="undecided", message=f"{found[0].message}, or this is the learning rate")]
    elif facts.is_clipped(trial):
        verdict = "undecided"
        reason = "what differs has one size, which no entry exceeds: clipped by value?"
        found = [Diagnosis("undecided", reason, ", ".join(wrong), "it cannot be judged where it is clipped")]
    elif facts.is_shortened(trial):
        verdict = "undecided"
        reason = (
            "the gradient has the right direction and is shorter, by another factor at each draw: clipped by its norm?"
        )
        found = [Diagnosis("undecided", reason, "every parameter", "it cannot be judged where it is clipped")]
    elif verdict == "undecided":
        found = [cannot_tell(trial)]
    elif verdict == "correct" and trial.step.unused:
        verdict = "undecided"
        names = ", ".join(trial.step.unused)
        reason = f"{trial.loss} does not depend on {names}, which a round updates: does the forward pass leave it out?"
        found = [Diagnosis("undecided", reason, names, f"all else is right: {', '.join(trial.step.shapes)}")]
    if known is not None and recognition.against(known.network, asked):
        found.append(recognition.convention(known.network, asked, verdict == "correct"))
        verdict = "wrong"
    if verdict == "correct":
        found = [correct(trial)]
    shown = trial.draws[0]
    if len(shown) > MOST_ROWS:  # the wrong first
        shown = tuple(sorted(shown, key=lambda leaf: not is_wrong(leaf, trial)))[:MOST_ROWS]
    return BackpropReport(
        verdict=verdict,
        diagnoses=tuple(map(_short, found)),
        loss={},
        gradients=table(shown, trial),
        problem="at your own point" if trial.step.point else "at random parameters",
        power=NO_POWER,
        precision=trial.precision,
        notes=(
            *_notes(trial, known),
            *run.notes,
            *([f"its own run ended with {run.error}"] if run.error else []),
            *(f"it calls {name}" for name in run.calls),
            *([] if trial.step.point else [f"--seed {seed} draws the same parameters"]),
        ),
        settings=None,
        basis=(
            "its own point alone" if trial.step.point else f"{len(trial.draws)} draws of its parameters",
            *asked.basis,
        ),
        uses_autodiff=bool(run.calls),
        subject=Script(trial, known, asked),
        right_everywhere=trial.right() | dict.fromkeys(later_wrong, False),
    )


def _of_later_round(run: Running, trial: Trial, rng: np.random.Generator) -> tuple[list[Diagnosis], list[str]]:
    """Say if a step that is right in its first round is wrong in a later one: state that is kept, or another batch.

    Returns:
      What is wrong, and the names of the parameters.
    """
    number = trial.step.later
    if not number:
        return [], []
    try:
        later = compared(run, *trial.numbers, rng, draws=1, most=FEW, view="later")
    except Failed:  # it takes what is gone by now, such as the rest of a generator
        return [], []
    wrong = facts.facts(later, run) if later.wrong() else []
    if not wrong or (RATE in trial.gradient and all(one.code == "scale" for one in wrong)):  # a schedule of the rate
        return [], []
    message = (
        f"it is right in the first round of its loop, and wrong in round {number}: is something added to what another "
        f"round left, or is the batch of another size? {wrong[0].message}"
    )
    return [replace(wrong[0], message=message), *wrong[1:]], later.wrong()


def cannot_tell(trial: Trial) -> Diagnosis:
    """Say that differences cannot tell."""
    reason = f"differences of {trial.loss} cannot tell: kinks, or numbers that are not finite"
    return Diagnosis("undecided", reason, f"too few entries of {', '.join(trial.undecided())} could be judged")


def _short(found: Diagnosis) -> Diagnosis:
    """Return a diagnosis whose texts are at most so long that they fit on a screen."""
    message, where, evidence = (running.text(s, LONGEST) for s in (found.message, found.where, found.evidence))
    return replace(found, message=message, where=where, evidence=evidence)


def correct(trial: Trial) -> Diagnosis:
    """Say that the gradients are right, and how nearly."""
    largest = max(leaf.size for draw in trial.draws for leaf in draw)
    worst = max(
        float(np.max(np.abs(leaf.found - leaf.expected), initial=0) / (max(leaf.size, 1e-3 * largest) or 1))
        for draw in trial.draws
        for leaf in draw
    )
    of_file = "" if trial.step.point else "the loss that the file computes, "
    at = "its own point" if trial.step.point else f"{len(trial.draws)} draws of its parameters"
    return Diagnosis("correct", f"the gradients are those of {of_file}{trial.loss}", "", f"to {worst:.0e} at {at}")


def _notes(trial: Trial, known: Recognised | None) -> list[str]:
    step = trial.step
    judged, total = sum(len(leaf.at) for leaf in trial.draws[0]), sum(int(np.prod(s)) for s in step.shapes.values())
    return [
        f"the network: {known.words}" if known else "the network is not recognised",
        *([f"the step is a round of the loop in line {step.line}"] if step.line else []),
        *([f"its loss is {trial.loss}, and its gradient {trial.gradient}"] if step.line else []),
        f"the reference is central differences of that loss, for {judged:,} of {total:,} entries at the first of "
        f"{len(trial.draws)} draws"
        if not step.point
        else f"the reference is central differences of that loss, for {judged:,} of {total:,} entries",
    ]


def table(draw: Sequence[Leaf], trial: Trial) -> GradientReport:
    """Return the comparison of each leaf's judged entries."""
    rows: list[LeafComparison] = []
    for leaf in draw:
        wrong = is_wrong(leaf, trial)
        same_shape = leaf.actual.shape == leaf.theta.shape
        actual: Any = leaf.found if same_shape else leaf.actual
        (row,) = compare_gradients([actual], [leaf.expected if same_shape else np.zeros(leaf.theta.shape)]).leaves
        index = row.index
        if same_shape and index is not None:
            index = tuple(int(n) for n in np.unravel_index(int(leaf.at[index[0]]), leaf.theta.shape))
        rows.append(replace(row, name=leaf.name, shape=leaf.actual.shape, index=index, ok=not wrong,
                            problem=(row.problem or "wrong") if wrong else ""))  # fmt: skip
    return GradientReport(tuple(rows))
