"""Judge a function that returns a loss and the gradients of layers, on problems of our own, in the network that it is.

Which network that is follows from its losses (`recognition`). Its gradients are right if they are those of that network
by the chain rule. If the losses are those of no known network, they are compared with differences of the losses.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlp_jax import _doors
from mlp_jax.check._differences import facts
from mlp_jax.check._differences import judge as by_differences
from mlp_jax.check._differences.in_memory import running_function
from mlp_jax.check._differences.running import Failed, Running
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._networks import recognition
from mlp_jax.check._networks.chain import Gradients
from mlp_jax.check._networks.fingerprints import Diagnosis, where
from mlp_jax.check._networks.judgement import (
    PRECISIONS,
    Answer,
    Judged,
    coarser,
    held_in,
    judge,
    loss_is_right,
)
from mlp_jax.check._networks.matching import Found, diagnose, neighbour
from mlp_jax.check._networks.networks import Network, words
from mlp_jax.check._networks.power import power, power_of_ours
from mlp_jax.check._networks.problems import (
    LAYOUTS,
    OWN_POINT,
    Asked,
    Precision,
    Problem,
    Settings,
    network_of,
    point_of,
    problems,
)
from mlp_jax.check._networks.recognition import Ask, asked_parts
from mlp_jax.check._networks.report import NO_POWER, BackpropReport, Verdict
from mlp_jax.check._rules.comparison import GradientReport, compare_gradients
from mlp_jax.network import Layer

AT_DRAWS = "beside differences of the loss"
AGAIN = 1e-6  # relative distance of two calls with the same arguments
RIGHT_ELSEWHERE = "right wherever it answers"
NOT_EVERY_CLASS = {"a class without examples", "one label for all", "a batch of one"}


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
    under = _judged(tried, answers, network_of(settings))
    what = What("wrong") if again > AGAIN else _what(ask, asked, under, seed)
    if what.network:
        under = _judged(tried, answers, what.network)
    changed = dict.fromkeys(name for answer in answers for name in answer.changed)
    found = [*_random(again), *(_changed(name) for name in changed if name != "params"), *what.found]
    found += [] if what.network is None or any(one.code == "nonfinite" for one in found) else _extreme(under, asked)
    found += [_changed("params")] if "params" in changed else []  # the rest may follow from it
    found += _shapes(under)
    found += _failures(under, found)
    if written.convention:
        found.insert(0, Diagnosis("convention", written.convention, "the arguments of the function"))
    coarsest = _precision(under, what.trial)
    if asked.precision and PRECISIONS.index(coarsest) > PRECISIONS.index(asked.precision):
        message = f"its numbers are {coarsest}, and {asked.precision} was asked for"
        found.append(Diagnosis("precision", message, "every gradient"))
    verdict = what.verdict if len(found) == len(what.found) else "wrong"
    if len(found) == 1 and found[0].evidence.endswith(RIGHT_ELSEWHERE):
        verdict = "undecided"
    if verdict == "correct":
        count = f"on {len(under)} problem{'s' * (len(under) > 1)}"
        remarks = _remarks(under) if what.network else []
        nearly = f"{count}, {by_differences.correct(what.trial).evidence} of the first" if what.trial else count
        found = [Diagnosis("correct", "loss and every gradient are right", "", nearly), *remarks]
    return _report(verdict, found, what, under, asked, seed, written.notes)


def at_point(
    asked: Asked, form: str, layers: Gradients, x: np.ndarray, labels: np.ndarray
) -> tuple[Asked, Problem] | None:
    """Return somebody's own point as a problem, with the layout that it has; None if it is none of layers.

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


def _judged(tried: Sequence[Problem], answers: Sequence[Answer], network: Network) -> list[Judged]:
    held = held_in(answers)
    return [judge(problem, answer, network, held) for problem, answer in zip(tried, answers, strict=True)]


def _plain(under: Sequence[Judged]) -> list[Judged]:
    answered = [one for one in under if one.answered]
    return [one for one in answered if not one.problem.extreme] or answered


def _are_right(judged: Sequence[Judged]) -> bool:
    return all(one.right and one.loss_right for one in judged)


def _what(ask: Ask, asked: Asked, under: Sequence[Judged], seed: int) -> What:
    """Say which network the answers are of, and whether the gradients are those of its loss."""
    plain, asked_for = _plain(under), network_of(asked.settings)
    tried, answers = [one.problem for one in plain], [one.answer for one in plain]
    no_loss = answers[0].loss is None
    if _are_right(plain):
        return What("correct", network=asked_for, notes=_assumed(asked_for) if no_loss else [])
    one_only = [one for one in plain if not (one.right and one.loss_right)]
    if len(plain) > 1 and [one.problem.name for one in one_only] == ["a batch of one"]:
        return What("wrong", [_batch_one(one_only[0])], asked_for)
    own = recognition.by_gradients(plain) if no_loss else recognition.by_losses(ask, asked.settings, tried, seed)
    if own is None:
        return _of_unknown(ask, asked, plain, seed)
    of_own = _judged(tried, answers, own)
    against = recognition.against(own, asked)
    if _are_right(of_own) and not against:
        return What("correct", network=own, notes=_assumed(own) if no_loss else [])
    convention = [recognition.convention(own, asked, _are_right(of_own))] if against else []
    if against:
        as_asked = diagnose(plain, asked_for)
        one_known = as_asked.is_known and len(as_asked.diagnoses) == 1
        if one_known or (not _are_right(of_own) and all(one.right for one in plain)):  # the loss alone is not as asked
            return What("wrong", as_asked.diagnoses, asked_for)
    if _are_right(of_own):
        return What("wrong", convention, own)
    near = neighbour(of_own, own) if own != asked_for else None  # its mistakes have names of their own
    if near is not None:
        return What("wrong", [near, *convention], own)
    as_own = diagnose(of_own, own)
    if not as_own.is_known and own != asked_for and diagnose(plain, asked_for).is_known:
        return What("wrong", diagnose(plain, asked_for).diagnoses, asked_for)
    return What("wrong", [*as_own.diagnoses, *convention], own)


def _of_unknown(ask: Ask, asked: Asked, plain: Sequence[Judged], seed: int) -> What:
    """Compare with differences of the losses, as they are those of no known network."""
    asked_for, losses = network_of(asked.settings), [one.answer.loss for one in plain]
    as_asked = diagnose(plain, asked_for)
    if losses[0] is None:
        return _without_loss(as_asked, asked)
    all_asked = {"activation", "loss"} <= asked.declared
    if (as_asked.is_known and all_asked) or not np.isfinite(np.array(losses, float)).all():
        return What("wrong", as_asked.diagnoses, asked_for)
    trials = []
    for one in plain:
        try:
            trials.append(_by_differences(ask, asked.settings, one.problem, seed, is_whole=one is plain[0]))
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
    return by_differences.tried(run, (0, 0, 0), rng, None if is_whole else 0), run


def _assumed(network: Network) -> list[str]:
    return [f"it gives no loss: assuming {words(network)}"]


def failed(reason: str, settings: Settings | None) -> BackpropReport:
    """Return the report on a function that could not be asked."""
    diagnosis = Diagnosis("exception", reason, "everywhere", "it could not be checked")
    return BackpropReport("error", (diagnosis,), {}, GradientReport(()), "", NO_POWER, "float64", (), settings)


def _random(again: float) -> list[Diagnosis]:
    if again <= AGAIN:
        return []
    message = (
        "two calls with the same arguments give different gradients: it keeps state from call to call, or draws random "
        "numbers"
    )
    far = f"a second call with the same arguments is {again:.1g} away, relative"
    return [Diagnosis("nondeterministic", message, "everywhere", far)]


def _batch_one(one: Judged) -> Diagnosis:
    message = (
        "it is wrong for a batch of one example alone: a squeeze, or a sum over the wrong axis? Right is: "
        "d b_l = sum over the batch of delta_l"
    )
    return Diagnosis("batch_one", message, where(one), "right on all other problems")


def _changed(name: str) -> Diagnosis:
    """Say that an argument was changed in place."""
    cure = "let the caller update the weights" if name == "params" else "work on a copy"
    return Diagnosis("mutates_input", f"it changes {name} in place: {cure}", name, f"{name} differ after the call")


def _shapes(under: Sequence[Judged]) -> list[Diagnosis]:
    """Say which gradients have the right numbers in another shape than their parameter; an axis of length 1 differs."""
    for one in under:
        levels = {
            (l, kind): level for l, pair in enumerate(one.levels, 1) for kind, level in zip("Wb", pair, strict=True)
        }
        pairs = enumerate(zip(one.answer.gradients, one.problem.params, strict=True) if one.answered else (), 1)
        has_size = {
            (l, kind) for l, (g, a) in pairs for kind, dg, p in zip("Wb", g, a, strict=True) if dg.shape == p.shape
        }
        words = [f"d {kind}_{l} {said}{': the numbers are right' if levels[l, kind] else ''}"
                 for (l, kind), said in one.answer.shapes if (l, kind) in has_size]  # fmt: skip
        if words:
            return [Diagnosis("shape", "; ".join(words), "the shapes", "a gradient has the shape of its parameter")]
    return []


def _failures(under: Sequence[Judged], found: list[Diagnosis]) -> list[Diagnosis]:
    """Say which problems have no answer, and why."""
    failed = [one for one in under if not one.answered]
    if not failed:
        return []
    if found and found[0].code == "batch_one":  # what it raises elsewhere says more
        found.pop(0)
    text, place = failed[0].answer.failure, f"{failed[0].problem.name} ({failed[0].problem.shape})"
    names = {one.problem.name for one in failed}
    if names == {"a batch of one"}:
        return [Diagnosis("batch_one", f"it fails for a batch of one example alone: {text}", place)]
    if names <= NOT_EVERY_CLASS:
        message = f"it fails where not every class occurs among the labels: {text}"
        return [Diagnosis("labels", message, place, "right where every class occurs")]
    if not found and all(_has_equal_widths(one) != (one in failed) for one in under):
        return []  # as of a residual network
    listed = ", ".join(sorted(names)[:4]) + ", ..." * (len(names) > 4)
    return [Diagnosis("exception", text, place, f"no answer for: {listed}; {RIGHT_ELSEWHERE}" if not found else
                      f"no answer for: {listed}")]  # fmt: skip


def _has_equal_widths(one: Judged) -> bool:
    return len({W.shape for W, _ in one.problem.params}) == 1


def _extreme(under: Sequence[Judged], asked: Asked) -> list[Diagnosis]:
    """Say what is wrong at extreme points alone; what is not finite there is a remark unless it is judged strictly."""
    wrong = [one for one in under if one.answered and one.problem.extreme and not one.right]
    not_finite = _not_finite(wrong)
    if not_finite and asked.strict:
        return not_finite
    finite = [one for one in wrong if not _not_finite([one]) and _has_loss_of(one)]
    if not finite or not _are_right(_plain(under)):
        return []
    message = f"it is right elsewhere, and wrong with {finite[0].problem.name} by more than rounding explains"
    return [Diagnosis("precision", message, where(finite[0]), finite[0].problem.name)]


def _has_loss_of(one: Judged) -> bool:
    """Return whether a loss is that of the network also where it may not be, as of a log or an activation clipped."""
    loss = one.answer.loss
    return loss is None or loss_is_right(loss, one.expected[0], one.s, one.held)


def _not_finite(wrong: Sequence[Judged]) -> list[Diagnosis]:
    for one in wrong:
        for l, pair in enumerate(one.answer.gradients, 1):
            for kind, leaf in zip("Wb", pair, strict=True):
                if not np.isfinite(np.asarray(leaf, float)).all():
                    cure = {
                        "logits in the thousands": "exp overflows: subtract each row's maximum first, exp(z - max z)",
                        "saturated units": "something is divided by phi'(z), which is 0 here, or exp overflows",
                    }.get(one.problem.name, "look for a division by 0, log 0 or an exp that overflows")
                    text = f"d {kind}_{l} is not finite with {one.problem.name}: {cure}"
                    return [Diagnosis("nonfinite", text, f"layer {l}", one.problem.name)]
    return []


def _remarks(under: Sequence[Judged]) -> list[Diagnosis]:
    """Say where correct code overflows or loses digits."""
    answered = [one for one in under if one.answered]
    extreme = [one for one in answered if one.problem.extreme]
    overflow = _not_finite(extreme)
    finite = [one for one in extreme if not _not_finite([one])]
    lossy = [(one, one.answer.loss) for one in extreme if one.answer.loss is not None and not _has_loss_of(one)]
    off = [one.problem.name for one in finite if one.held == "float64" and not _compare(one).ok]
    rough = [one for one in answered if not one.problem.extreme and one.held == "float64" and not _compare(one).ok]
    remarks = []
    if rough:
        worst = max(leaf.relative_error for one in rough for leaf in _compare(one).leaves)
        remarks.append(f"the numbers are float64 and right to {worst:.0e} alone: float32 inside, a small term, or "
                       "differences for derivatives?")  # fmt: skip
    elif off:
        known = {"tanh": "1 - tanh(z)^2 and p - 1", "sigmoid": "h (1 - h) and p - 1"}
        forms = known.get(answered[0].s.phi.name, "p - 1")
        remarks.append(f"gradients lose digits with {' and '.join(off)}: {forms} cancel there")
    if lossy:
        values = ", ".join(f"{loss:.4g} for {one.expected[0]:.4g}" for one, loss in lossy)
        cure = "log p underflows; -log p_y = log(sum of exp(z - max z)) + max z - z_y keeps it"
        remarks.append(f"the loss is {values} with {lossy[0][0].problem.name}: {cure}")
    stands = "a remark: the verdict stands"
    found = [replace(one, evidence=f"{stands}; --strict makes it wrong") for one in overflow]
    return [*found, *([Diagnosis("precision", "; ".join(remarks), "", stands)] if remarks else [])]


def _precision(under: Sequence[Judged], trial: Trial | None) -> Precision:
    """Return the coarsest precision in which the gradients are right, or held, or that of the loss of differences."""
    answered = [one for one in under if one.answered]
    held = held_in([one.answer for one in answered])
    if trial is not None:
        return coarser(held, trial.precision)
    levels = [level for one in answered if not one.problem.extreme for pair in one.levels for level in pair if level]
    return max([held, *levels], key=PRECISIONS.index)  # type: ignore[list-item]  # levels are precisions


def _report(
    verdict: Verdict,
    found: Sequence[Diagnosis],
    what: What,
    under: Sequence[Judged],
    asked: Asked,
    seed: int,
    notes: Sequence[str],
) -> BackpropReport:
    answered = [one for one in under if one.answered]
    shown = next((one for one in answered if not (one.right and one.loss_right)), answered[0])
    is_known, settings = what.network is not None, asked.settings
    tried = [one.problem for one in under]
    network, loss = what.network or network_of(settings), shown.answer.loss
    losses = {} if loss is None else {"actual": loss, "expected": shown.expected[0], "relative_error": shown.loss_error}
    table = _by_terms(_compare(shown), shown) if is_known else GradientReport(())
    strength: dict[str, object] = NO_POWER
    if is_known:
        strength = power_of_ours(network, settings.layers, seed) if len(under) > 1 else power(tried, network)
    depths = sorted({problem.depth for problem in tried})
    layers = f"{depths[0]} to {depths[-1]} layers" if len(depths) > 1 else f"{depths[0]} layer{'s' * (depths[0] > 1)}"
    points = f"{len(tried)} problems with {layers}" if len(tried) > 1 else f"{tried[0].name} alone"
    points += f", of which it answers {len(answered)}" if len(answered) < len(tried) else ""
    read = next((answer.notes for answer in (one.answer for one in answered) if answer.notes), ())
    return BackpropReport(
        verdict=verdict,
        diagnoses=tuple(found),
        loss=losses if is_known else {},
        gradients=table if what.trial is None or is_known else by_differences.table(what.trial.draws[0], what.trial),
        problem=f"{shown.problem.name} ({shown.problem.shape})" if what.trial is None or is_known else AT_DRAWS,
        power=strength,
        precision=_precision(under, what.trial),
        notes=(
            f"the network: {words(network, depths[-1])}" if is_known else "the network is not recognised",
            *what.notes,
            *read,
            *notes,
            *_notes(under, settings),
        ),
        settings=settings,
        basis=(points, *asked.basis),
        errors={} if verdict == "correct" or not is_known else _errors(shown),
    )


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


def _compare(one: Judged) -> GradientReport:
    """Compare an answer leaf by leaf."""
    actual, expected = (tuple(Layer(*pair) for pair in pairs) for pairs in (one.answer.gradients, one.expected[1]))
    return compare_gradients(actual, expected)


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
