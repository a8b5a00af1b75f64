"""What kind of mistake explains a wrong gradient: the known mistake whose broken backward pass gives the same.

First the whole table, each mistake made everywhere, then in one layer alone, in several, and then one mistake for each
rule of the chain; where none fits, fingerprints say what each wrong leaf looks like by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._networks.chain import (
    PER_LAYER,
    RIGHT,
    Gradients,
    Mistake,
    Pass,
    at_layers,
    broken,
    together,
)
from mlp_jax.check._networks.fingerprints import Diagnosis, factor_in_words, fingerprints, layers_in_words, where
from mlp_jax.check._networks.judgement import Judged, distance, flat, leaves, match_tolerance, norm
from mlp_jax.check._networks.mistakes import mistakes_of
from mlp_jax.check._networks.networks import Network, formula, reduction_of

MOST_TOGETHER = 3  # mistakes that are named together


class Match(NamedTuple):
    """A mistake that gives the user's numbers.

    Attributes:
      mistake: the mistake.
      t: its fitted parameter, if it has one.
      distance: the worst relative L2 distance of a leaf, over the problems.
      problems: how many it explains.
      loss_too: whether the loss is explained as well.
    """

    mistake: Mistake
    t: float | None
    distance: float
    problems: int
    loss_too: bool


class Found(NamedTuple):
    """What is wrong, the most likely first, and whether known mistakes explain all of it."""

    diagnoses: list[Diagnosis]
    is_known: bool


def diagnose(judged: Sequence[Judged], network: Network) -> Found:
    """Return what explains the wrong ones among plain answers."""
    wrong = [one for one in judged if not one.right]
    found: list[Diagnosis] = []
    losses_right = all(one.loss_right for one in judged)
    explained = None
    if wrong:
        shown = wrong[0]
        explained = _match(shown, judged, network)
        if explained:
            found += _diagnoses(explained, shown, network)
            losses_right = losses_right or explained.loss_too
        else:
            found += fingerprints(shown, judged, network)
    is_known = not wrong or explained is not None
    if not losses_right:
        (loss,), loss_is_known = _loss(judged, network)
        is_known &= loss_is_known
        if wrong and not explained and loss.code == "loss_value":
            formulas = "; ".join(formula(rule, network) for rule in ("affine", "hidden", "loss"))
            message = (
                f"loss and gradients both differ: look at the forward pass and the loss first. Right is: {formulas}"
            )
            return Found([replace(loss, message=message), *found], False)
        found.append(loss)
    return Found(found, is_known)


def _match(shown: Judged, judged: Sequence[Judged], network: Network) -> Match | None:
    """Return the simplest known mistake that gives all answers."""
    table = [mistake for mistake in mistakes_of(network) if mistake.of_gradient]
    for candidates, comparable in _stages(table, shown, judged):
        matches = [match for mistake in candidates if (match := _try(mistake, shown, comparable)) is not None]
        if matches:
            return min(
                matches, key=lambda m: (not m.loss_too, m.mistake.parameter is not None, -m.problems, m.distance)
            )
    return None


def _stages(
    table: Sequence[Mistake], shown: Judged, judged: Sequence[Judged]
) -> Iterator[tuple[Sequence[Mistake], Sequence[Judged]]]:
    """Yield ever less simple explanations, and the problems that they have to explain."""
    yield table, judged
    same_depth = [one for one in judged if one.problem.depth == shown.problem.depth]
    local = [mistake for mistake in table if any(rule in PER_LAYER for rule in mistake.rules)]
    layers = range(shown.s.L, 0, -1)
    yield [at_layers(mistake, l) for l in layers for mistake in local], same_depth
    groups = [set(range(1, shown.s.L)), set(range(2, shown.s.L + 1)), set(range(2, shown.s.L))]
    several = [at_layers(mistake, *group) for group in groups if len(group) > 1 for mistake in local]
    yield several, same_depth
    yield _one_in_each_slot(table, shown), judged


def _one_in_each_slot(table: Sequence[Mistake], shown: Judged) -> list[Mistake]:
    """Return the combinations with one mistake for each rule at most that give the shown gradients, the fewest first.

    The last layer's leaves tell delta_L and the rules for d W and d b; then the others tell the way back.
    """
    fixed = [mistake for mistake in table if mistake.parameter is None and _spoils(mistake, shown)]
    slots = {rule: [m for m in fixed if set(m.rules) - {"loss"} == {rule}] for rule in ("output", *PER_LAYER)}
    s, tolerance = shown.s, match_tolerance(shown)
    last_W, last_b = shown.answer.gradients[-1]
    found: list[tuple[Mistake, ...]] = []
    for output in _none_or(slots["output"]):
        delta = _rule("output", output)(s)
        fits_W = [m for m in _none_or(slots["dW"]) if _fits(_rule("dW", m), s, delta, last_W, tolerance)]
        fits_b = [m for m in _none_or(slots["db"]) if _fits(_rule("db", m), s, delta, last_b, tolerance)]
        ways = product(fits_W, fits_b, _none_or(slots["dh"]), _none_or(slots["delta"])) if fits_W and fits_b else ()
        found += [tuple(m for m in (output, *way) if m is not None) for way in ways]
    return [together(chosen) for chosen in sorted(found, key=len) if 1 < len(chosen) <= MOST_TOGETHER]


def _spoils(mistake: Mistake, shown: Judged) -> bool:
    """Whether a mistake changes anything here: 1 - h^2 is right for tanh."""
    result = broken(mistake, shown.s)
    return result is None or distance(flat(result[1]), flat(shown.expected[1]), 1.0) > 1e-9


def _none_or(mistakes: Sequence[Mistake]) -> list[Mistake | None]:
    return [None, *mistakes]


def _rule(name: str, mistake: Mistake | None) -> Callable[..., Any]:
    return getattr(RIGHT, name) if mistake is None else mistake.rules[name]


def _fits(rule: Callable[..., Any], s: Pass, delta: np.ndarray, actual: Any, tolerance: float) -> bool:
    """Whether a rule for d W or d b gives the last layer's leaf."""
    try:
        return distance(actual, rule(s, s.L, delta), 1.0) <= tolerance
    except (ValueError, IndexError):
        return False


def _try(mistake: Mistake, shown: Judged, judged: Sequence[Judged]) -> Match | None:
    """Return the match, if the mistake explains the shown problem and no other contradicts it."""
    t = _fit(mistake, shown) if mistake.parameter else None
    worst, count, loss_too = 0.0, 0, True
    for one in (shown, *(one for one in judged if one is not shown)):
        result = broken(mistake, one.s, t)
        if result is None:  # its shapes do not fit, so the user's would not either
            return None
        worst = max(worst, _apart(one, result[1]))
        if not worst <= match_tolerance(one):
            return None
        count += 1
        loss = one.answer.loss
        loss_too &= loss is None or bool(abs(result[0] - loss) <= 1e-4 * abs(result[0]))
    return Match(mistake, t, worst, count, loss_too)


def _apart(one: Judged, gradients: Gradients) -> float:
    """The worst relative L2 distance of a leaf of the answer from other gradients."""
    whole = norm(gradients)
    pairs = zip(leaves(one.answer.gradients), leaves(gradients), strict=True)
    return max(0.0 if _overflow(a) and _overflow(e) else distance(a, e, whole) for a, e in pairs)


def _overflow(leaf: Any) -> bool:
    return not np.isfinite(np.asarray(leaf, float)).all()


def _fit(mistake: Mistake, shown: Judged) -> float:
    """Return the parameter t with which the mistake comes nearest to the answer, by Gauss-Newton."""
    assert mistake.parameter is not None
    t = mistake.parameter[1]
    actual = flat(shown.answer.gradients)
    for _ in range(8):
        here, there = broken(mistake, shown.s, t), broken(mistake, shown.s, t * 1.001 + 1e-6)
        if here is None or there is None or actual.shape != flat(here[1]).shape:
            break
        slope = (flat(there[1]) - flat(here[1])) / (t * 0.001 + 1e-6)
        step = float(slope @ (actual - flat(here[1])) / (slope @ slope))
        if not np.isfinite(step):
            break
        t += step
        if abs(step) <= 1e-13 * abs(t):
            break
    return t


def _diagnoses(match: Match, shown: Judged, network: Network) -> list[Diagnosis]:
    """Return a diagnosis for each mistake that the match is made of."""
    parts = match.mistake.parts or (match.mistake,)
    count = f"on {match.problems} problem{'s' * (match.problems != 1)}"
    evidence = f"equals a backward pass that does so to {match.distance:.0e} {count}"
    if len(parts) > 1:
        evidence = f"with {len(parts)} mistakes together it equals a backward pass to {match.distance:.0e} {count}"
    return [
        Diagnosis(part.code, _message(part, match.t, network), where(shown) if i == 0 else "", evidence)
        for i, part in enumerate(parts)
    ]


def _message(mistake: Mistake, t: float | None, network: Network) -> str:
    parameter = f" (t, the {mistake.parameter[0]}, is {t:.6g})" if mistake.parameter else ""
    layers = "" if mistake.layers is None else f", in {layers_in_words(sorted(mistake.layers))}"
    right = "; ".join(dict.fromkeys(formula(rule, network) for rule in mistake.rules))
    return f"it {mistake.name}{parameter}{layers}. Right is: {right}"


def _loss(judged: Sequence[Judged], network: Network) -> Found:
    """Say what is wrong with the loss."""
    shown = next(one for one in judged if not one.loss_right)
    actual, expected = shown.loss, shown.expected[0]
    location = f"the loss; on {shown.problem.name} it is {actual:.6g}, expected {expected:.6g}"
    for mistake in mistakes_of(network):
        if mistake.of_gradient:
            continue
        t = _fit_of_loss(mistake, shown) if mistake.parameter else None
        results = [broken(mistake, one.s, t) for one in judged]
        errors = [abs(r[0] - one.loss) / (abs(r[0]) or 1.0) for r, one in zip(results, judged, strict=True) if r]
        if len(errors) == len(judged) and max(errors) <= match_tolerance(shown):
            parameter = f" (t is {t:.6g})" if t is not None else ""
            message = f"it {mistake.name}{parameter}. Right is: {formula('loss', network)}"
            return Found([Diagnosis(mistake.code, message, location, f"equals it on {len(judged)} problems")], True)
    if not np.isfinite(actual):
        message = f"the loss is {actual}. Right is: {formula('loss', network)}"
        return Found([Diagnosis("nonfinite", message, location)], True)
    message = f"the loss is another number. Right is: {formula('loss', network)}"
    return Found([Diagnosis("loss_value", message, location)], False)


def _fit_of_loss(mistake: Mistake, shown: Judged) -> float:
    """Return t for a term t * (...) that is added to the loss."""
    result = broken(mistake, shown.s, 1.0)
    term = (result[0] if result else np.inf) - shown.expected[0]
    return float((shown.loss - shown.expected[0]) / term)


def neighbour(judged: Sequence[Judged], network: Network) -> Diagnosis | None:
    """Say if the gradients of plain answers are those of a neighbouring loss: another reduction, or another L2 term.

    Every gradient is then a g + b W, with one a and b for all of them, and g the gradient without the L2 term.
    """
    one = judged[0]
    found = [factors for each in judged if (factors := _factors(each)) is not None]
    if one.problem.extreme or len(found) < len(judged):
        return None
    a, b = found[0]
    B, C, head = one.s.B, one.s.C, one.s.loss
    evidence = f"every gradient is so on {len(found)} problem{'s' * (len(found) > 1)}"
    k = 2 * head.k
    term = ""
    if abs(b - a * k) > 1e-6 * max(abs(b), abs(k)):
        parts = {
            b == 0: f"the loss has an L2 term {head.k:.6g} |W|^2, and the gradients have not: add {k:.6g} W_l to d W_l",
            k == 0: f"the gradients have an L2 term {b:.6g} W_l, and the loss has none",
        }
        term = parts.get(True, f"the L2 term of the loss is {head.k:.6g} |W|^2, so that of d W_l is {k:.6g} W_l; "
                               f"it is {b:.6g} W_l")  # fmt: skip
    if abs(a - 1) <= 1e-6:
        return Diagnosis("regularised", term, "every weight", evidence) if term else None
    of_loss, of_gradients = (_reduction_in_words(r, B, C) for r in (head.r, a * head.r))
    if a < 0:
        message = "the gradients have the opposite sign: those of minus the loss"
        return Diagnosis("sign", message if a == -1 else f"{message}, times {-a:.6g}", "every gradient", evidence)
    how = f"multiply {'all of them' if k and not term else 'delta_L'} by {factor_in_words(1 / a, B, C)}"
    message = f"the gradients are those of the {of_gradients}, the loss is the {of_loss}: {how}"
    return Diagnosis("scale", "; ".join([message, *([term] if term else [])]), "delta_L", evidence)


def _factors(one: Judged) -> tuple[float, float] | None:
    """Return a and b of a g + b W, if every gradient is that."""
    given, expected = leaves(one.answer.gradients), leaves(one.expected[1])
    if any(np.shape(a) != e.shape for a, e in zip(given, expected, strict=True)):
        return None
    k = one.s.loss.k
    W = np.concatenate([part.ravel() for pair in zip(one.s.W[1:], one.s.b[1:], strict=True)
                        for part in (pair[0], 0 * pair[1])])  # fmt: skip
    actual, g = flat(one.answer.gradients), flat(one.expected[1]) - 2 * k * W
    if not np.isfinite(actual).all():
        return None
    (a, b), *_ = np.linalg.lstsq(np.stack([g, W], axis=1), actual, rcond=None)
    a, b = float(a), 0.0 if abs(b) < 1e-9 * np.abs(actual).max(initial=0) else float(b)
    tolerance = match_tolerance(one)
    return (a, b) if abs(a) > 1e-9 and distance(actual, a * g + b * W, 1.0) <= tolerance else None


def _reduction_in_words(r: float, B: int, C: int) -> str:
    name = reduction_of(r, B, C)
    return name if isinstance(name, str) else f"sum times {name:.6g}"
