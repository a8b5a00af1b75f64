"""What kind of mistake explains a wrong gradient: the known mistake whose broken backward pass gives the same.

First the whole table, each mistake made everywhere, then in one layer alone, then two together; where none fits,
what each wrong leaf looks like by itself: a multiple, the transpose, zero, another leaf's value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.activations import ACTIVATIONS
from mlp_jax.check_problems import Settings
from mlp_jax.judgement import Judged, distance, forward_pass
from mlp_jax.losses import LOSSES
from mlp_jax.mistake_table import MISTAKES
from mlp_jax.mistakes import PER_LAYER, Gradients, Mistake, at_layer, backward, both, broken, formula

MATCH = 1e-5  # known mistakes are 1e-3 and more apart at the problems, rounding in float32 is below
MATCH_16_BITS = 3e-2


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is wrong, or worth knowing.

    Attributes:
      code: its kind, such as "scale" or "transposed".
      message: what is done, and what it should be, with the formula.
      where: which layers, and the step to look at.
      evidence: the numbers that say so.
    """

    code: str
    message: str
    where: str = ""
    evidence: str = ""


class Match(NamedTuple):
    """A mistake that gives the user's numbers.

    Attributes:
      mistake: the mistake.
      t: its fitted parameter, if it has one.
      distance: the worst relative L2 distance of a leaf, over the problems.
      count: on how many problems.
      loss_too: whether the loss is explained as well.
    """

    mistake: Mistake
    t: float | None
    distance: float
    count: int
    loss_too: bool


def applies(mistake: Mistake, settings: Settings) -> bool:
    """Whether a mistake belongs to this loss."""
    return mistake.loss in (None, settings.loss)


def is_of_gradient(mistake: Mistake) -> bool:
    """Whether it changes a gradient, and not the loss alone."""
    return tuple(mistake.rules) != ("loss",)


def diagnose(judged: Sequence[Judged], settings: Settings) -> list[Diagnosis]:
    """Return what explains the wrong answers, the most likely first."""
    plain = [one for one in judged if one.answered and not one.problem.extreme]
    wrong = [one for one in plain if not one.right]
    found: list[Diagnosis] = []
    losses_right = all(one.loss_right for one in plain)
    if wrong or not losses_right:
        convention = _convention(plain, settings)
        if convention:
            return [convention]
    if wrong:
        shown = wrong[0]
        explained = _match(shown, plain, settings)
        if explained:
            found.append(_diagnosis(explained, shown, settings))
            losses_right = losses_right or explained.loss_too
        else:
            found += _fingerprints(shown, settings)
    if not losses_right:
        found.append(_loss(plain, settings))
    return found


def _convention(judged: Sequence[Judged], settings: Settings) -> Diagnosis | None:
    """Whether all answers, loss and gradients, are right for another activation or the other loss."""
    others = [replace(settings, activation=name) for name in ACTIVATIONS if name != settings.activation]
    others += [replace(settings, loss=name) for name in LOSSES if name != settings.loss]
    others += [replace(one, loss=name) for one in others[: len(ACTIVATIONS) - 1] for name in LOSSES if name != settings.loss]
    for other in others:
        worst = 0.0
        for one in judged:
            loss, gradients = backward(forward_pass(one.problem, other))
            worst = max(worst, _apart(one, gradients), abs(loss - one.answer.loss) / abs(loss))
            if not worst <= _match_tolerance(one):
                break
        else:
            changed = {
                name.upper(): getattr(other, name)
                for name in ("activation", "loss")
                if getattr(other, name) != getattr(settings, name)
            }
            what = " and ".join(changed.values())
            cure = " and ".join(f'{name} = "{value}"' for name, value in changed.items())
            return Diagnosis(
                "convention",
                f"a correct network with {what}, where {settings.activation} and {settings.loss} were asked: set {cure}",
                "everywhere",
                f"loss and all gradients equal it to {worst:.0e} on {len(judged)} problems",
            )
    return None


def _match(shown: Judged, judged: Sequence[Judged], settings: Settings) -> Match | None:
    """Return the simplest known mistake that gives all answers."""
    table = [mistake for mistake in MISTAKES if applies(mistake, settings) and is_of_gradient(mistake)]
    for candidates, comparable in _stages(table, shown, judged):
        matches = [match for mistake in candidates if (match := _try(mistake, shown, comparable)) is not None]
        if matches:
            return min(matches, key=lambda m: (not m.loss_too, m.mistake.parameter is not None, -m.count, m.distance))
    return None


def _stages(
    table: Sequence[Mistake], shown: Judged, judged: Sequence[Judged]
) -> Iterator[tuple[Sequence[Mistake], Sequence[Judged]]]:
    """Yield ever less simple explanations, and the problems that they have to explain."""
    yield table, judged
    same_depth = [one for one in judged if one.problem.depth == shown.problem.depth]
    local = [mistake for mistake in table if any(rule in PER_LAYER for rule in mistake.rules)]
    layers = range(shown.s.L, 0, -1)
    yield [at_layer(mistake, l) for l in layers for mistake in local], same_depth
    groups = [set(range(1, shown.s.L)), set(range(2, shown.s.L + 1)), set(range(2, shown.s.L))]
    several = [replace(mistake, layers=tuple(group)) for group in groups if len(group) > 1 for mistake in local]
    yield several, same_depth
    fixed = [mistake for mistake in table if "loss" not in mistake.rules and mistake.parameter is None]
    pairs = [both(a, b) for a, b in combinations(fixed, 2) if not a.rules.keys() & b.rules.keys()]
    yield pairs, judged


def _try(mistake: Mistake, shown: Judged, judged: Sequence[Judged]) -> Match | None:
    """Return the match, if the mistake explains the shown problem and no other contradicts it."""
    t = _fit(mistake, shown) if mistake.parameter else None
    worst, count, loss_too = 0.0, 0, True
    for one in (shown, *(one for one in judged if one is not shown)):
        result = broken(mistake, one.s, t)
        if result is None:  # its shapes do not fit, so the user's would not either
            return None
        worst = max(worst, _apart(one, result[1]))
        if not worst <= _match_tolerance(one):
            return None
        count += 1
        loss_too &= bool(abs(result[0] - one.answer.loss) <= 1e-4 * abs(result[0]))
    return Match(mistake, t, worst, count, loss_too)


def _match_tolerance(one: Judged) -> float:
    return MATCH_16_BITS if one.held in ("float16", "bfloat16") else MATCH


def _apart(one: Judged, gradients: Gradients) -> float:
    """The worst relative L2 distance of a leaf of the answer from other gradients."""
    whole = float(np.sqrt(sum(np.sum(np.square(leaf)) for pair in gradients for leaf in pair)))
    return max(
        distance(a, e, whole)
        for pair, other in zip(one.answer.gradients, gradients, strict=True)
        for a, e in zip(pair, other, strict=True)
    )


def _flat(gradients: Sequence[tuple[Any, Any]]) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for pair in gradients for leaf in pair])


def _fit(mistake: Mistake, shown: Judged) -> float:
    """Return the parameter t with which the mistake comes nearest to the answer, by Gauss-Newton."""
    assert mistake.parameter is not None
    t = mistake.parameter[1]
    actual = _flat(shown.answer.gradients)
    for _ in range(8):
        here, there = broken(mistake, shown.s, t), broken(mistake, shown.s, t * 1.001 + 1e-6)
        if here is None or there is None or actual.shape != _flat(here[1]).shape:
            break
        slope = (_flat(there[1]) - _flat(here[1])) / (t * 0.001 + 1e-6)
        with np.errstate(all="ignore"):
            step = float(slope @ (actual - _flat(here[1])) / (slope @ slope))
        if not np.isfinite(step):
            break
        t += step
        if abs(step) <= 1e-13 * abs(t):
            break
    return t


def _diagnosis(match: Match, shown: Judged, settings: Settings) -> Diagnosis:
    mistake = match.mistake
    parameter = f" (t, the {mistake.parameter[0]}, is {match.t:.6g})" if mistake.parameter else ""
    layers = "" if mistake.layers is None else f", in layer{'s' * (len(list(mistake.layers)) > 1)} "
    layers += "" if mistake.layers is None else " and ".join(map(str, sorted(mistake.layers)))
    right = "; ".join(dict.fromkeys(formula(rule, settings.loss) for rule in mistake.rules))
    return Diagnosis(
        mistake.code,
        f"it {mistake.name}{parameter}{layers}. Right is: {right}",
        where(shown),
        f"equals a backward pass that does so to {match.distance:.0e} on {match.count} problem"
        + "s" * (match.count != 1),
    )


def where(judged: Judged) -> str:
    """Say which layers are wrong, and which step to look at."""
    L = len(judged.levels)
    wrong = [l for l, levels in enumerate(judged.levels, 1) if not all(levels)]
    kinds = {kind for levels in judged.levels for kind, level in zip(("weight", "bias"), levels, strict=True) if not level}
    if not wrong:
        return ""
    only = "" if len(kinds) == 2 else f" in their {'weights' if kinds == {'weight'} else 'biases'} alone"
    names = _layers(wrong)
    right = [l for l in range(1, L + 1) if l not in wrong]
    if not right:
        if only:
            return f"every layer is wrong{only}: delta_l is right, look at d {'W' if kinds == {'weight'} else 'b'}_l"
        return "every layer is wrong: look at delta_L first" if L > 1 else f"layer 1 is wrong{only}"
    if wrong == list(range(1, len(wrong) + 1)) and not only:
        l = len(wrong)
        verb = "is" if len(right) == 1 else "are"
        return f"{_layers(right)} {verb} right, {names} wrong: look at the step from delta_{l + 1} to delta_{l}"
    return f"{names} wrong{only}, {_layers(right)} right: look at d W_l and d b_l there, not at delta_l"


def _layers(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"layer{'s' * (len(words) > 1)} {listed}"


def _fingerprints(shown: Judged, settings: Settings) -> list[Diagnosis]:
    """Say what each wrong leaf looks like by itself."""
    expected = {
        (l, kind): leaf
        for l, pair in enumerate(shown.expected[1], 1)
        for kind, leaf in zip("Wb", pair, strict=True)
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    tolerance = _match_tolerance(shown)
    for l, (pair, levels) in enumerate(zip(shown.answer.gradients, shown.levels, strict=True), 1):
        for kind, actual, level in zip("Wb", pair, levels, strict=True):
            if not level:
                code, words = _fingerprint((l, kind), np.asarray(actual, float), expected, shown, tolerance)
                found.setdefault(code, []).append(f"d {kind}_{l} {words}")
    evidence = f"no known mistake, and no two of them, give these numbers; the problem: {shown.problem.name}"
    known = [Diagnosis(code, "; ".join(words), where(shown), evidence) for code, words in found.items() if code]
    if "" in found:
        nearest, apart = _nearest(shown, settings)
        right = "; ".join(dict.fromkeys(formula(rule, settings.loss) for rule in nearest.rules))
        message = f"no known mistake gives just these numbers; the nearest is that it {nearest.name}. Right is: {right}"
        evidence = f"{apart:.2g} apart from it, relative, on {shown.problem.name}; {'; '.join(found[''])}"
        known.append(Diagnosis(nearest.code, message, where(shown), evidence))
    return known


def _nearest(shown: Judged, settings: Settings) -> tuple[Mistake, float]:
    """Return the known mistake whose gradient is nearest to the answer, and how far it is, relative."""
    actual = _flat(shown.answer.gradients)
    table = [mistake for mistake in MISTAKES if applies(mistake, settings) and is_of_gradient(mistake)]
    apart = []
    for mistake in table:
        result = broken(mistake, shown.s, _fit(mistake, shown) if mistake.parameter else None)
        apart.append(distance(actual, _flat(result[1]), 1.0) if result else np.inf)
    nearest = int(np.argmin(apart))
    return table[nearest], float(apart[nearest])


def _fingerprint(
    place: tuple[int, str], actual: np.ndarray, expected: dict[tuple[int, str], np.ndarray], shown: Judged, tolerance: float
) -> tuple[str, str]:
    right, bias = expected[place], place[1] == "b"
    if actual.shape != right.shape:
        if actual.ndim == 2 and actual.T.shape == right.shape and distance(actual.T, right, 0) <= tolerance:
            return "transposed", f"has shape {actual.shape}: it is the transpose of what is right, of shape {right.shape}"
        if actual.size == right.size and distance(actual.reshape(right.shape), right, 0) <= tolerance:
            return "shape", f"has the right numbers and shape {actual.shape}, expected {right.shape}"
        return "shape", f"has shape {actual.shape}, expected {right.shape}"
    if not np.isfinite(actual).all():
        return "nonfinite", f"holds {(~np.isfinite(actual)).sum()} entries that are not finite"
    if not actual.any():
        return "zero_gradient", "is zero"
    ratio = float(np.vdot(right, actual) / np.vdot(right, right)) if right.any() else 0.0
    if ratio and distance(actual, ratio * right, 0) <= tolerance:
        kind = "sign" if abs(ratio + 1) <= tolerance else "bias_gradient" if bias else "scale"
        return kind, f"is {_factor(ratio, shown)} times what is right"
    if actual.ndim == 2 and actual.shape[0] == actual.shape[1] and distance(actual.T, right, 0) <= tolerance:
        return "transposed", "is the transpose of what is right"
    for (l, kind), other in expected.items():
        if (l, kind) != place and actual.shape == other.shape and distance(actual, other, 0) <= tolerance:
            return "wrong_layer", f"is what is right for d {kind}_{l}"
    differs = np.abs(actual - right) > tolerance * np.abs(right).max()
    count = f"{differs.sum()} of {differs.size} entries differ" if not differs.all() else "differs in every entry"
    return ("bias_gradient" if bias else ""), f"{count}, relative error {distance(actual, right, 1.0):.2g}"


def _factor(ratio: float, shown: Judged) -> str:
    """Name a factor, if it is one that is known."""
    B, C = shown.s.B, shown.s.C
    names: dict[str, float] = {"B": B, "1/B": 1 / B, "C": C, "1/C": 1 / C, "B C": B * C, "2": 2, "1/2": 0.5, "-1": -1}
    for name, value in names.items():
        if abs(ratio - value) <= 1e-5 * abs(value):
            return f"{name} = {value:.6g}" if name in ("B", "1/B", "C", "1/C", "B C") else name
    return f"{ratio:.6g}"


def _loss(judged: Sequence[Judged], settings: Settings) -> Diagnosis:
    """Say what is wrong with the loss."""
    shown = next(one for one in judged if not one.loss_right)
    actual, expected = shown.answer.loss, shown.expected[0]
    location = f"the loss; on {shown.problem.name} it is {actual:.6g}, expected {expected:.6g}"
    for mistake in MISTAKES:
        if not applies(mistake, settings) or is_of_gradient(mistake):
            continue
        t = _fit_of_loss(mistake, shown) if mistake.parameter else None
        results = [broken(mistake, one.s, t) for one in judged]
        errors = [abs(r[0] - one.answer.loss) / abs(r[0]) for r, one in zip(results, judged, strict=True) if r]
        if len(errors) == len(judged) and max(errors) <= _match_tolerance(shown):
            parameter = f" (t is {t:.6g})" if t is not None else ""
            message = f"it {mistake.name}{parameter}. Right is: {formula('loss', settings.loss)}"
            return Diagnosis(mistake.code, message, location, f"equals it on {len(judged)} problems")
    if not np.isfinite(actual):
        message = f"the loss is {actual}. Right is: {formula('loss', settings.loss)}"
        return Diagnosis("nonfinite", message, location)
    return Diagnosis("loss_value", f"the loss is another number. Right is: {formula('loss', settings.loss)}", location)


def _fit_of_loss(mistake: Mistake, shown: Judged) -> float:
    """Return t for a term t * (...) that is added to the loss."""
    result = broken(mistake, shown.s, 1.0)
    term = (result[0] if result else np.inf) - shown.expected[0]
    return float((shown.answer.loss - shown.expected[0]) / term)


