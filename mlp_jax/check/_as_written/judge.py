"""Are the gradients of a file's training step those of the loss that the file itself computes?

The parameters are drawn several times, at a size at which no mistake hides. Central differences give the slopes of the
loss, and their errors. An entry at a kink is not judged at that draw.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.check._as_written import conversation, facts, network
from mlp_jax.check._as_written.conversation import Failed, Running, Step
from mlp_jax.check._as_written.network import Network
from mlp_jax.check._as_written.slopes import SMALLER, STEP, Slopes, slopes
from mlp_jax.check._as_written.trial import SAMPLED, Leaf, Trial, is_right, is_wrong
from mlp_jax.check._diagnosis.backprop_check import NO_POWER
from mlp_jax.check._diagnosis.fingerprints import Diagnosis
from mlp_jax.check._diagnosis.report import BackpropReport
from mlp_jax.check._gradient_check.comparison import GradientReport, LeafComparison, compare_gradients
from mlp_jax.check._training_step.rounds import drawn

DRAWS = 3
FEW = 6  # entries of a leaf by which loss and gradient are chosen
MOST_ENTRIES = 2000  # of all parameters, up to which each is judged at the first draw
UPDATE = "before - after"  # a gradient read from an update whose learning rate is not known
RANK = ("correct", "undecided", "wrong")


def judged(file: Path, seconds: float, seed: int | None = None) -> BackpropReport:
    """Run a file, and judge the training step that it repeats.

    Args:
      file: its path.
      seconds: that its code may take.
      seed: draws the parameters; None draws the seed.

    Returns:
      The report.

    Raises:
      Failed: if the file gave no answer in time, or no training step was found.
    """
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    with conversation.running(file, seconds) as run:
        if run.steps:
            reports = [_report(run, group, seed) for group in _groups(run.steps)]
            return max(reports, key=lambda report: RANK.index(report.verdict))
        ended = f"its own run ended with {run.error}, and " if run.error else ""
        raise Failed(f"{ended}it has no loop that was seen to train: a round that subtracts a gradient from parameters")


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


def _report(run: Running, group: Sequence[int], seed: int) -> BackpropReport:
    rng = np.random.default_rng(seed)
    trial = _looked_at_again(run, _trial(run, *_chosen(run, group, rng), rng))
    wrong, undecided = trial.wrong(), trial.undecided()
    known = network.recognised(trial, run, rng)
    found = facts.facts(trial, run) if wrong else facts.of_labels(trial, run)
    if known is not None and found and found[0].code == "unexplained":
        found = facts.named(found, network.explained(known, trial), len(trial.draws))
    verdict: Any = "wrong" if found else "undecided" if undecided else "correct"
    if trial.gradient == UPDATE and len(found) == 1 and found[0].code == "scale" and wrong == list(trial.step.shapes):
        verdict = "undecided"
        found = [replace(found[0], code="undecided", message=f"{found[0].message}, or this is the learning rate")]
    elif facts.is_shortened(trial):
        verdict = "undecided"
        reason = (
            "the gradient has the right direction and is shorter, by another factor at each draw: clipped by its norm?"
        )
        found = [Diagnosis("undecided", reason, "every parameter", "it cannot be judged where it is clipped")]
    elif verdict == "undecided":
        reason = f"differences of {trial.loss} cannot tell: kinks, or numbers that are not finite"
        found = [Diagnosis("undecided", reason, f"too few entries of {', '.join(undecided)} could be judged")]
    if verdict == "correct":
        found = [_correct(trial)]
    shown = trial.draws[0]
    return BackpropReport(
        verdict=verdict,
        diagnoses=tuple(found),
        loss={},
        gradients=_table(shown, trial),
        problem="at random parameters",
        power=NO_POWER,
        precision=trial.precision,
        reference_error=max((float(np.max(leaf.error, initial=0) / (leaf.size or 1)) for leaf in shown), default=0.0),
        notes=(*_notes(trial, known), f"--seed {seed} draws the same parameters"),
        settings=None,
    )


def _chosen(run: Running, group: Sequence[int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the numbers of a step, its loss and its gradient: the first that agree at a few entries, or the first."""
    choices = [
        (i, j, k) for i in group for k in range(len(run.steps[i].gradients)) for j in range(len(run.steps[i].losses))
    ]
    works = None
    for choice in choices:
        try:
            trial = _trial(run, *choice, np.random.default_rng(rng.integers(2**32)), draws=1, most=FEW)
        except Failed:
            continue
        works = choice if works is None else works
        if not trial.wrong() and not trial.undecided():
            return choice
    if works is None:
        raise Failed("its training step cannot be repeated from other parameters")
    return works


def _trial(
    run: Running, i: int, j: int, k: int, rng: np.random.Generator, draws: int = DRAWS, most: int | None = None
) -> Trial:
    step, judged, precision = run.steps[i], [], "float64"
    for number in range(draws):
        theta = list(drawn(step.shapes, rng).values())
        flat = np.concatenate([a.ravel() for a in theta])
        value, again = conversation.losses(run, i, j, flat, np.zeros(2), np.zeros(2))
        if value != again:
            raise Failed("its loss is another number at every call, as it draws numbers that cannot be drawn again")
        if number == 0 and np.float32(value) == value:
            precision = "float32"
        gradient = conversation.gradient(run, i, k, theta)
        at = _entries(step, number, rng, most)
        found = _slopes(run, i, j, flat, at, precision)
        judged.append(tuple(_leaves(step, theta, gradient, at, found)))
    return Trial(step, (i, j, k), precision, tuple(judged))


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
            if trial.precision == "float64" and len(again):
                found = _slopes_at(run, i, j, flat, starts[leaf.name] + leaf.at[again], SMALLER)
                values, errors = leaf.expected.copy(), leaf.error.copy()
                values[again], errors[again] = found.values, found.errors
                good = np.isfinite(values) & np.isfinite(errors)
                leaf = replace(leaf, at=leaf.at[good], expected=values[good], error=errors[good])
            leaves.append(leaf)
        draws.append(tuple(leaves))
    return replace(trial, draws=tuple(draws))


def _entries(step: Step, draw: int, rng: np.random.Generator, most: int | None) -> list[np.ndarray]:
    """Return the entries of each parameter that are judged: all at the first draw if they are few, else some."""
    sizes = [int(np.prod(shape)) for shape in step.shapes.values()]
    most = most or (max(sizes) if draw == 0 and sum(sizes) <= MOST_ENTRIES else SAMPLED)
    return [np.sort(rng.permutation(size)[:most]) for size in sizes]


def _starts(step: Step) -> np.ndarray:
    """Return the number of each parameter's first entry in the vector of all."""
    return np.cumsum([0, *(int(np.prod(shape)) for shape in step.shapes.values())])


def _slopes(run: Running, i: int, j: int, flat: np.ndarray, at: Sequence[np.ndarray], precision: str) -> Slopes:
    entries = np.concatenate([start + indices for start, indices in zip(_starts(run.steps[i]), at, strict=False)])
    return _slopes_at(run, i, j, flat, entries, STEP[precision], precision)


def _slopes_at(
    run: Running, i: int, j: int, flat: np.ndarray, entries: np.ndarray, h: float, precision: str = "float64"
) -> Slopes:
    def losses(sizes: np.ndarray) -> np.ndarray:
        return conversation.losses(run, i, j, flat, np.repeat(entries, sizes.shape[1]), sizes)

    return slopes(losses, len(entries), h, precision)


def _leaves(
    step: Step, theta: Sequence[np.ndarray], gradient: Sequence[np.ndarray], at: Sequence[np.ndarray], found: Slopes
) -> Sequence[Leaf]:
    ends = np.cumsum([len(indices) for indices in at])[:-1]
    values, errors = np.split(found.values, ends), np.split(found.errors, ends)
    leaves = []
    for name, a, g, indices, value, error in zip(step.shapes, theta, gradient, at, values, errors, strict=True):
        good = np.isfinite(error) & np.isfinite(value)
        leaves.append(Leaf(name, a, g, indices[good], value[good], error[good], len(indices)))
    return leaves


def _correct(trial: Trial) -> Diagnosis:
    worst = max(
        float(np.max(np.abs(leaf.found - leaf.expected), initial=0) / (leaf.size or 1))
        for draw in trial.draws
        for leaf in draw
    )
    message = f"the gradients are those of the loss that the file computes, {trial.loss}"
    return Diagnosis("correct", message, "", f"to {worst:.0e} at {len(trial.draws)} draws of its parameters")


def _notes(trial: Trial, known: Network | None) -> list[str]:
    step = trial.step
    judged, total = sum(len(leaf.at) for leaf in trial.draws[0]), sum(int(np.prod(s)) for s in step.shapes.values())
    return [
        f"the network: {known.words}" if known else "the network is not recognised",
        f"the step is a round of the loop in line {step.line}",
        f"its loss is {trial.loss}, and its gradient {trial.gradient}",
        f"the reference is central differences of that loss, for {judged:,} of {total:,} entries at the first of "
        f"{len(trial.draws)} draws, in {trial.precision}",
    ]


def _table(draw: Sequence[Leaf], trial: Trial) -> GradientReport:
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
