"""Check somebody's backward pass: try it on problems, judge its answers, say what is wrong with it.

`asking` runs the function, in this process or in a child of its own; `report` judges what came back.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import numpy as np

from mlp_jax import _doors
from mlp_jax.activations import Activation
from mlp_jax.check._diagnosis.asking import Answers, ask, source_of, uses_autodiff
from mlp_jax.check._diagnosis.fingerprints import Diagnosis, where
from mlp_jax.check._diagnosis.judgement import (
    PRECISIONS,
    Judged,
    held_in,
    judge,
    loss_is_right,
    reference,
)
from mlp_jax.check._diagnosis.matching import diagnose
from mlp_jax.check._diagnosis.power import power, power_of_ours
from mlp_jax.check._diagnosis.problems import Problem, Settings, point_of, problems
from mlp_jax.check._diagnosis.report import BackpropReport
from mlp_jax.check._gradient_check.comparison import GradientReport, compare_gradients
from mlp_jax.losses import Loss
from mlp_jax.network import Layer

NO_POWER: dict[str, Any] = {"known": 0, "caught": 0, "escaped": []}  # no known mistake was tried


def check_backprop(
    loss_and_gradients: Callable[[Any, np.ndarray, np.ndarray], Any],
    activation: str | Activation = "tanh",
    *,
    loss: str | Loss = "cross_entropy",
    layers: int | None = None,
    layout: str = "rows",
    params: str = "list",
    point: tuple[Any, Any, Any] | None = None,
) -> BackpropReport:
    """Check a backward pass that somebody wrote by hand, and say what is wrong with it.

    The network is h_0 = x, z_l = h_{l-1} W_l + b_l, h_l = activation(z_l) for the hidden layers, the last layer
    linear; the loss is the mean softmax cross-entropy in nats.

    Args:
      loss_and_gradients: loss_and_gradients(params, x, labels) -> (loss, [(dW_1, db_1), ...]). params is a list of
        (weight, bias), weight (fan_in, fan_out) and bias (fan_out,); x (B, D); labels (B,) integers; all of them
        fresh numpy arrays, in float64. It may return numpy, jax.numpy or torch arrays, or lists.
      activation: of the hidden layers, a record or its name; tanh by default, whose derivative hides no mistake.
      loss: cross_entropy, or squared_error: the mean over B of sum_j (z_j - one_hot(y)_j)^2.
      layers: the only depth that it is written for; None tries 1 to 5.
      layout: "rows"; "columns" for x (D, B), weight (fan_out, fan_in), bias (fan_out, 1); "torch" for x (B, D),
        weight (fan_out, fan_in).
      params: "list", or "dict" for W1, b1, ... in, and the same names or dW1, db1, ... out.
      point: (params, x, labels) of your own, to check there and nowhere else; the report then says which known
        mistakes that point cannot tell from a correct pass.

    Returns:
      A `BackpropReport`: true where the backward pass is correct.

    Raises:
      ValueError, TypeError: for settings that are not known, or a point that does not fit them. What is wrong with
        the function is in the report.

    Example:
      >>> from mlp_jax import Layer, backprop, tanh
      >>> def mine(params, x, labels):
      ...     layers = tuple(Layer(W, b) for W, b in params)
      ...     loss, gradients = backprop(layers, x, labels, tanh)
      ...     return loss, [(dW, len(x) * db) for dW, db in gradients]
      >>> report = check_backprop(mine)
      >>> report.verdict, report.diagnoses[0].code
      ('wrong', 'bias_gradient')
    """
    _doors.check_function("loss_and_gradients", loss_and_gradients)
    names: list[Any] = [getattr(given, "name", given) for given in (activation, loss)]  # records have one
    settings = Settings(names[0], names[1], layers, layout, params)
    tried = problems_for(settings, point)
    with jax.enable_x64(True):
        answers = ask(loss_and_gradients, tried, settings)
    return report(answers, tried, settings, uses_autodiff(source_of(loss_and_gradients)))


def problems_for(settings: Settings, point: Any = None) -> list[Problem]:
    """Return the problems, or the user's own point alone."""
    return problems(settings) if point is None else [point_of(point, settings)]


@np.errstate(all="ignore")  # wrong passes overflow, divide by 0 and take the log of 0
def report(answers: Answers, problems: Sequence[Problem], settings: Settings, autodiff: bool = False) -> BackpropReport:
    """Judge the answers."""
    held = held_in(answers.answers)
    judged = [judge(problem, answer, settings, held) for problem, answer in zip(problems, answers.answers, strict=True)]
    diagnoses = tuple(_diagnoses(judged, answers, settings))
    answered = [one for one in judged if one.answered]
    bad = any(not one.right or not one.loss_right for one in judged) or bool(answers.changed) or _random(answers)
    unknown = not answered and answers.settings is None
    verdict: Literal["correct", "wrong", "error"] = "error" if unknown else "wrong" if bad else "correct"
    shown = next((one for one in judged if one.answered and not (one.right and one.loss_right)), None)
    shown = shown or next(iter(answered), None)
    levels = [level for one in answered if not one.problem.extreme for pair in one.levels for level in pair if level]
    precision = max([held, *levels], key=PRECISIONS.index)
    return BackpropReport(
        verdict=verdict,
        diagnoses=diagnoses,
        loss={} if shown is None else {
            "actual": shown.answer.loss, "expected": shown.expected[0], "relative_error": shown.loss_error
        },
        gradients=GradientReport(()) if shown is None else _by_terms(_compare(shown), shown),
        problem="" if shown is None else f"{shown.problem.name} ({shown.problem.shape})",
        power=power_of_ours(settings) if len(problems) > 1 else power(problems, settings),
        precision=precision,
        reference_error=max(one.reference_error for one in judged),
        notes=tuple(_notes(judged, settings)),
        settings=settings,
        uses_autodiff=autodiff,
        errors={} if shown is None or not bad else _errors(shown),
    )  # fmt: skip


def failed(reason: str, settings: Settings | None) -> BackpropReport:
    """Return the report on a function that could not be asked."""
    diagnosis = Diagnosis("exception", reason, "everywhere", "it could not be checked")
    return BackpropReport("error", (diagnosis,), {}, GradientReport(()), "", NO_POWER, "float64", 0.0, (), settings)


def warm_up(settings: Settings) -> None:
    """Compile the reference, while a child process is busy."""
    for problem in problems_for(settings):
        reference(problem, settings)


def _random(answers: Answers) -> bool:
    return answers.again > 1e-6


def _diagnoses(judged: Sequence[Judged], answers: Answers, settings: Settings) -> list[Diagnosis]:
    """Return everything that is wrong, the most likely cause first; `correct` where nothing is."""
    failed = [one for one in judged if not one.answered]
    answered = [one for one in judged if one.answered]
    if not answered or answers.settings:
        return [_failure(failed[0], answers, settings)]
    found: list[Diagnosis] = []
    if _random(answers):
        message = (
            "two calls with the same arguments give different gradients: it keeps state from call to call, or draws "
            "random numbers"
        )
        far = f"a second call with the same arguments is {answers.again:.1g} away, relative"
        found.append(Diagnosis("nondeterministic", message, "everywhere", far))
    found += [_changed(name) for name in answers.changed if name != "params"]  # the rest may follow from it
    one_only = [one for one in answered if one.problem.name == "a batch of one" and not one.right]
    if one_only and all(one.right for one in answered if one.problem.name != "a batch of one"):
        message = (
            "it is wrong for a batch of one example alone: a squeeze, or a sum over the wrong axis? Right is: "
            "d b_l = sum over the batch of delta_l"
        )
        found.append(Diagnosis("batch_one", message, where(one_only[0]), "right on all other problems"))
    elif not found or found[0].code != "nondeterministic":
        found += diagnose(judged, settings)
    if all(diagnosis.code != "nonfinite" for diagnosis in found):
        found += _not_finite([one for one in answered if not one.right])
    found += [_changed(name) for name in answers.changed if name == "params"]
    if failed:
        guessed = bool(found) and found[0].code == "batch_one"  # what it raises elsewhere says more
        found.insert(0 if guessed else len(found), _failure(failed[0], answers, settings, judged))
    if not found and any(not one.right for one in answered):  # at extreme points alone
        one = next(one for one in answered if not one.right)
        message = f"it is right elsewhere, and wrong with {one.problem.name} by more than rounding explains"
        found.append(Diagnosis("precision", message, where(one), one.problem.name))
    if not found:
        count = f"on {len(judged)} problem{'s' * (len(judged) > 1)}"
        found.append(Diagnosis("correct", "loss and every gradient are right", "", count))
        found += _remarks(answered)
    return found


def _changed(name: str) -> Diagnosis:
    """Say that an argument was changed in place."""
    cure = "let the caller update the weights" if name == "params" else "work on a copy"
    return Diagnosis("mutates_input", f"it changes {name} in place: {cure}", name, f"{name} differ after the call")


def _not_finite(wrong: Sequence[Judged]) -> list[Diagnosis]:
    for one in wrong:
        for l, pair in enumerate(one.answer.gradients, 1):
            for kind, leaf in zip("Wb", pair, strict=True):
                if not np.isfinite(np.asarray(leaf, float)).all():
                    cure = {
                        "logits in the thousands": "exp overflows: subtract each row's maximum first, exp(z - max z)",
                        "a unit at z = 0": "something is divided by z or h, which is 0 here",
                        "saturated units": "something is divided by phi'(z), which is 0 here, or exp overflows",
                    }.get(one.problem.name, "look for a division by 0, log 0 or an exp that overflows")
                    text = f"d {kind}_{l} is not finite with {one.problem.name}: {cure}"
                    return [Diagnosis("nonfinite", text, f"layer {l}", one.problem.name)]
    return []


def _failure(one: Judged, answers: Answers, settings: Settings, judged: Sequence[Judged] = ()) -> Diagnosis:
    """Say why a problem has no answer."""
    text, place = one.answer.failure, f"{one.problem.name} ({one.problem.shape})"
    if answers.settings:
        changed = {
            name.upper(): getattr(answers.settings, name)
            for name in ("layers", "layout", "params") if getattr(answers.settings, name) != getattr(settings, name)
        }  # fmt: skip
        cure = " and ".join(f"{name} = {value!r}" for name, value in changed.items())
        return Diagnosis("convention", f"it fails as asked, and is right with {cure}: set that; {text}", place)
    failed = [other for other in judged if not other.answered]
    if [other.problem.name for other in failed] == ["a batch of one"]:
        return Diagnosis("batch_one", f"it fails for a batch of one example alone: {text}", place)
    names = ", ".join(other.problem.name for other in failed[:4]) + ", ..." * (len(failed) > 4)
    return Diagnosis("exception", text, place, f"no answer for: {names}" if failed else "no problem has an answer")


def _remarks(answered: Sequence[Judged]) -> list[Diagnosis]:
    """Say where correct code loses digits."""
    extreme = [one for one in answered if one.problem.extreme]
    lossy = [one for one in extreme if not loss_is_right(one.answer.loss, one.expected[0], one.s, one.held)]
    off = [one.problem.name for one in extreme if one.held == "float64" and not _compare(one).ok]
    rough = [one for one in answered if not one.problem.extreme and one.held == "float64" and not _compare(one).ok]
    remarks = []
    if rough:
        remarks.append("the numbers are float64 and right to about 7 digits: float32 inside, a term of 1e-7, or "
                       "differences for derivatives?")  # fmt: skip
    elif off:
        known = {"tanh": "1 - tanh(z)^2 and p - 1", "sigmoid": "h (1 - h) and p - 1"}
        forms = known.get(answered[0].s.phi.name, "p - 1")
        remarks.append(f"gradients lose digits with {' and '.join(off)}: {forms} cancel there")
    if lossy:
        values = ", ".join(f"{one.answer.loss:.4g} for {one.expected[0]:.4g}" for one in lossy)
        cure = "log p underflows; -log p_y = log(sum of exp(z - max z)) + max z - z_y keeps it"
        remarks.append(f"the loss is {values} with {lossy[0].problem.name}: {cure}")
    return [Diagnosis("precision", "; ".join(remarks), "", "a remark: the verdict stands")] if remarks else []


def _notes(judged: Sequence[Judged], settings: Settings) -> list[str]:
    values = {one.subgradient for one in judged if one.subgradient is not None}
    notes = [
        f"{settings.activation}'(0) is {value:g} here, and 0 in this library: both are subgradients" for value in values
    ]
    if settings.layout != "rows" or settings.params == "dict":
        ours = "the table and the formulas are in rows: x (B, D), W (fan_in, fan_out), the transpose of yours"
        names = "layers[0].weight and layers[0].bias are those of W1 and b1"
        notes.append("; ".join([ours] * (settings.layout != "rows") + [names] * (settings.params == "dict")))
    return notes


def _compare(one: Judged) -> GradientReport:
    """Compare an answer leaf by leaf."""
    actual, expected = (tuple(Layer(*pair) for pair in pairs) for pairs in (one.answer.gradients, one.expected[1]))
    return compare_gradients(actual, expected, reference_error=one.reference_error)


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
