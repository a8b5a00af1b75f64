"""Are the gradients of a file's training step those of the loss that the file itself computes?

The parameters are drawn several times, at a size at which no mistake hides. Central differences give the slopes of the
loss, and their errors. An entry at a kink is not judged at that draw.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlp_jax.check._child.gradients import UPDATE
from mlp_jax.check._child.rounds import drawn
from mlp_jax.check._differences import facts, layouts, running
from mlp_jax.check._differences.layouts import Recognised, Script
from mlp_jax.check._differences.running import Ended, Failed, Running, Step, View
from mlp_jax.check._differences.slopes import SMALLER, STEP, Slopes, slopes
from mlp_jax.check._differences.trial import SAMPLED, Leaf, Trial, is_right, is_wrong
from mlp_jax.check._networks import recognition
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Asked, Precision
from mlp_jax.check._networks.report import NO_POWER, BackpropReport
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison, compare_gradients

DRAWS = 3
FEW = 6  # entries of a leaf by which loss and gradient are chosen
MOST_ENTRIES = 2000  # of all parameters, up to which each is judged at the first draw
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
    trial = tried(run, _chosen(run, group, rng), rng)
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
        later = _trial(run, *trial.numbers, rng, draws=1, most=FEW, view="later")
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


def tried(
    run: Running, numbers: tuple[int, int, int], rng: np.random.Generator, most: int | None = None
) -> Trial:  # fmt: skip
    """Compare a step's gradient with the slopes of its loss, at several draws; the numbers are of `Trial`.

    Args:
      run: the file.
      numbers: of the step, its loss and its gradient.
      rng: draws.
      most: entries of a leaf, next to one direction of all of it; None for the usual number.
    """
    return _looked_at_again(run, _trial(run, *numbers, rng, most=most))


def cannot_tell(trial: Trial) -> Diagnosis:
    """Say that differences cannot tell."""
    reason = f"differences of {trial.loss} cannot tell: kinks, or numbers that are not finite"
    return Diagnosis("undecided", reason, f"too few entries of {', '.join(trial.undecided())} could be judged")


def _chosen(run: Running, group: Sequence[int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the numbers of a step, its loss and its gradient: the first of which the fewest parameters are wrong."""
    choices = [
        (i, j, k) for i in group for k in range(len(run.steps[i].gradients)) for j in range(len(run.steps[i].losses))
    ]
    works: dict[tuple[int, int, int], int] = {}
    reason = ""
    for choice in choices:
        try:
            trial = _trial(run, *choice, np.random.default_rng(rng.integers(2**32)), draws=1, most=FEW)
        except Ended:
            raise
        except Failed as error:
            reason = reason or str(error)
            continue
        works[choice] = len(trial.wrong()) + len(trial.undecided())
        if not works[choice]:
            break
    if not works:
        raise Failed(reason)
    return min(works, key=lambda choice: works[choice])


def _trial(
    run: Running,
    i: int,
    j: int,
    k: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
    most: int | None = None,
    view: View = "",
) -> Trial:
    step, judged = run.steps[i], []
    precision: Precision = "float64"
    for number in range(1 if step.point else draws):
        theta = list(step.point) or list(drawn(step.shapes, rng).values())
        flat = np.concatenate([a.ravel() for a in theta])
        value, again = running.losses(run, i, j, flat, np.zeros(2), np.zeros(2), view)
        if not np.isfinite(value):
            raise Failed(f"its loss is {value}")
        if value != again:
            raise Failed("its loss is another number at every call, as it draws numbers that cannot be drawn again")
        if number == 0 and np.float32(value) == value:
            precision = "float32"
        if value and np.float16(value) == value and np.float16(value) != round(value):
            raise Failed("its loss is a number of 16 bits, too coarse for differences")
        gradient = running.gradient(run, i, k, theta, view)
        if step.point and not _is_same(gradient, running.gradient(run, i, k, theta, view)):
            raise Failed("two calls with the same arguments give different gradients")
        at, along = _entries(step, number, rng, most), _along(theta, rng)
        starts = _starts(step)
        entries = [start + indices for start, indices in zip(starts, at, strict=False)]
        entries.append(len(flat) + np.arange(len(along)))
        h = STEP[precision]
        found = _slopes_at(run, i, j, flat, np.concatenate(entries), h, precision, view, _in_all(along))
        if not found.values.any() and np.isfinite(found.errors).all() and any(g.any() for g in gradient):
            raise Failed("its loss does not change by small steps of its parameters: is it rounded?")
        judged.append(tuple(_leaves(step, theta, gradient, at, along, found)))
    return Trial(step, (i, j, k), precision, tuple(judged))


def _is_same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True) for a, b in zip(one, other, strict=True))


def _along(theta: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Return a random direction of length 1 for each parameter."""
    directions = [rng.standard_normal(a.shape) for a in theta]
    return [u / (np.linalg.norm(u) or 1.0) for u in directions]


def _in_all(directions: Sequence[np.ndarray]) -> np.ndarray:
    """Return directions of the parameters as directions of all, (parameters, size of all)."""
    ends = np.cumsum([u.size for u in directions])
    rows = np.zeros((len(directions), ends[-1]))
    for row, u, end in zip(rows, directions, ends, strict=True):
        row[end - u.size : end] = u.ravel()
    return rows


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
            if len(again):
                h = SMALLER[trial.precision]
                found = _slopes_at(run, i, j, flat, starts[leaf.name] + leaf.at[again], h, trial.precision)
                values, errors = leaf.expected.copy(), leaf.error.copy()
                clear = again[~found.is_coarse]
                values[clear], errors[clear] = found.values[~found.is_coarse], found.errors[~found.is_coarse]
                good = np.isfinite(values) & np.isfinite(errors)
                leaf = replace(leaf, at=leaf.at[good], expected=values[good], error=errors[good])
            leaves.append(leaf)
        draws.append(tuple(leaves))
    return replace(trial, draws=tuple(draws))


def _entries(step: Step, draw: int, rng: np.random.Generator, most: int | None) -> list[np.ndarray]:
    """Return the entries of each parameter that are judged: all at the first draw if they are few, else some."""
    sizes = [int(np.prod(shape)) for shape in step.shapes.values()]
    if most is None:
        most = max(sizes) if draw == 0 and sum(sizes) <= MOST_ENTRIES else SAMPLED
    return [np.sort(rng.permutation(size)[:most]) for size in sizes]


def _starts(step: Step) -> np.ndarray:
    """Return the number of each parameter's first entry in the vector of all."""
    return np.cumsum([0, *(int(np.prod(shape)) for shape in step.shapes.values())])


def _slopes_at(
    run: Running,
    i: int,
    j: int,
    flat: np.ndarray,
    entries: np.ndarray,
    h: float,
    precision: str = "float64",
    view: View = "",
    directions: np.ndarray | None = None,
) -> Slopes:
    def losses(sizes: np.ndarray) -> np.ndarray:
        return running.losses(run, i, j, flat, np.repeat(entries, sizes.shape[1]), sizes, view, directions)

    return slopes(losses, len(entries), h, precision)


def _leaves(
    step: Step,
    theta: Sequence[np.ndarray],
    gradient: Sequence[np.ndarray],
    at: Sequence[np.ndarray],
    along: Sequence[np.ndarray],
    found: Slopes,
) -> Sequence[Leaf]:
    ends = np.cumsum([len(indices) for indices in at])
    values = np.split(found.values, ends)
    errors = np.split(np.where(found.is_coarse, np.inf, found.errors), ends)
    leaves = []
    for n, (name, a, g, indices) in enumerate(zip(step.shapes, theta, gradient, at, strict=True)):
        good = np.isfinite(errors[n]) & np.isfinite(values[n])
        judged = indices[good], values[n][good], errors[n][good], len(indices)
        leaves.append(Leaf(name, a, g, *judged, along[n], float(values[-1][n]), float(errors[-1][n])))
    return leaves


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
