"""What a wrong gradient looks like by itself: which layers, and of each leaf whether it is a multiple or zero, say.

This is for gradients that no known mistake explains: the nearest known one is named, with its distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlp_jax.diagnosis.judgement import Judged, distance, flat, leaves, match_tolerance
from mlp_jax.diagnosis.mistake_table import MISTAKES
from mlp_jax.diagnosis.mistakes import Mistake, broken, formula
from mlp_jax.diagnosis.problems import Settings

NEAR = 0.3  # a nearest mistake that is further away says nothing


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


def where(judged: Judged) -> str:
    """Say which layers are wrong, and which step to look at."""
    wrong = {kind: [l for l, levels in enumerate(judged.levels, 1) if not levels[i]] for i, kind in enumerate("Wb")}
    layers = sorted({*wrong["W"], *wrong["b"]})
    right = [l for l in range(1, len(judged.levels) + 1) if l not in layers]
    if not layers:
        return ""
    if len(layers) == len(judged.levels) and wrong["W"] and wrong["b"]:
        return "every layer is wrong: look at delta_L first"
    if layers == wrong["W"] == wrong["b"] == list(range(1, len(layers) + 1)):
        step = f"look at the step from delta_{len(layers) + 1} to delta_{len(layers)}"
        return f"{layers_in_words(right)} {_are(right)} right, {layers_in_words(layers)} {_are(layers)} wrong: {step}"
    kinds = [f"d {kind}_l in {layers_in_words(wrong[kind])}" for kind in "Wb" if wrong[kind]]
    conclusion = "" if len(kinds) == 2 else ": delta_l is right, look at what is made of it"
    return f"wrong in {' and '.join(kinds)}, all else is right{conclusion}"


def layers_in_words(numbers: Sequence[int]) -> str:
    """Return "layer 1" or "layers 1, 2 and 3"."""
    words = [str(number) for number in numbers]
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"layer{'s' * (len(words) > 1)} {listed}"


def _are(numbers: Sequence[int]) -> str:
    return "is" if len(numbers) == 1 else "are"


def fingerprints(shown: Judged, judged: Sequence[Judged], settings: Settings) -> list[Diagnosis]:
    """Say what each wrong leaf looks like by itself."""
    expected = {
        (l, kind): leaf
        for l, pair in enumerate(shown.expected[1], 1)
        for kind, leaf in zip("Wb", pair, strict=True)
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    tolerance = match_tolerance(shown)
    for l, (pair, levels) in enumerate(zip(shown.answer.gradients, shown.levels, strict=True), 1):
        for kind, actual, level in zip("Wb", pair, levels, strict=True):
            if not level:
                code, words = _fingerprint((l, kind), np.asarray(actual, float), expected, shown, tolerance)
                found.setdefault(code, []).append(f"d {kind}_{l} {words}")
    evidence = f"compared leaf by leaf, on {shown.problem.name}"
    known = [Diagnosis(code, "; ".join(words), where(shown), evidence) for code, words in found.items() if code]
    if "" in found:
        nearest, apart = _nearest(shown, settings)
        right = "; ".join(dict.fromkeys(formula(rule, settings.loss) for rule in nearest.rules))
        near = f"; the nearest is that it {nearest.name}, {apart:.2g} apart" if apart < NEAR else ""
        message = f"no known mistake gives just these numbers{near}. Right is: {right}"
        evidence = f"on {shown.problem.name}: {'; '.join(found[''])}"
        evidence += "".join(_implied_derivative(one) for one in judged if one.s.B == 1)
        known.append(Diagnosis(nearest.code, message, where(shown), evidence))
    return known


def _implied_derivative(one: Judged) -> str:
    """Read phi'(z_l) off d b_l = delta_l of a batch of one, where all above l is right and l is not."""
    wrong = [l for l, levels in enumerate(one.levels, 1) if not levels[1]]
    if not wrong or wrong[-1] == one.s.L:
        return ""
    l = wrong[-1]
    dh = one.expected[1][l][1] @ one.s.W[l + 1].T
    db = np.asarray(one.answer.gradients[l - 1][1], float)
    if db.shape != dh.shape:
        return ""
    taken = db / dh
    j = int(np.argmax(np.abs(taken - one.s.dphi[l][0])))
    return (
        f"; read off a batch of one, phi'(z_{l}) is taken as {taken[j]:.4g} at z = {one.s.z[l][0, j]:.4g}, "
        f"h = {one.s.h[l][0, j]:.4g}, and is {one.s.dphi[l][0, j]:.4g}"
    )


def _nearest(shown: Judged, settings: Settings) -> tuple[Mistake, float]:
    """Return the known mistake with the nearest gradient among those that spoil the same leaves, and how far it is."""
    actual = flat(shown.answer.gradients)
    spoiled = [not level for levels in shown.levels for level in levels]
    found: list[tuple[bool, float, int, Mistake]] = []
    for i, mistake in enumerate(MISTAKES):
        result = None
        if mistake.belongs_to(settings.loss) and mistake.of_gradient and mistake.parameter is None:
            result = broken(mistake, shown.s)
        if result is not None:
            pairs = zip(leaves(result[1]), leaves(shown.expected[1]), strict=True)
            same = [distance(a, e, 1.0) > 1e-9 for a, e in pairs] == spoiled
            found.append((not same, distance(actual, flat(result[1]), 1.0), i, mistake))
    _, apart, _, mistake = min(found)
    return mistake, apart


def _fingerprint(
    place: tuple[int, str],
    actual: np.ndarray,
    expected: dict[tuple[int, str], np.ndarray],
    shown: Judged,
    tolerance: float,
) -> tuple[str, str]:
    """Return the code and the words for one leaf; no code where there is nothing to see."""
    right, bias = expected[place], place[1] == "b"
    if actual.shape != right.shape:
        if actual.ndim == 2 and actual.T.shape == right.shape and distance(actual.T, right, 0.0) <= tolerance:
            return "transposed", f"has shape {actual.shape}: it is the transpose of what is right"
        if actual.size == right.size and distance(actual.reshape(right.shape), right, 0.0) <= tolerance:
            return "shape", f"has the right numbers and shape {actual.shape}, expected {right.shape}"
        return "shape", f"has shape {actual.shape}, expected {right.shape}"
    if not np.isfinite(actual).all():
        return "nonfinite", f"is not finite in {(~np.isfinite(actual)).sum()} of {actual.size} entries"
    if not actual.any():
        return "zero_gradient", "is zero"
    ratio = float(np.vdot(right, actual) / np.vdot(right, right)) if right.any() else 0.0
    if ratio and distance(actual, ratio * right, 0.0) <= tolerance:
        kind = "sign" if abs(ratio + 1) <= tolerance else "bias_gradient" if bias else "scale"
        return kind, f"is {_factor(ratio, shown)} times what is right"
    if actual.ndim == 2 and actual.shape[0] == actual.shape[1] and distance(actual.T, right, 0.0) <= tolerance:
        return "transposed", "is the transpose of what is right"
    for (l, kind), other in expected.items():
        if (l, kind) != place and actual.shape == other.shape and distance(actual, other, 0.0) <= tolerance:
            return "wrong_layer", f"is what is right for d {kind}_{l}"
    differs = np.abs(actual - right) > tolerance * np.abs(right).max()
    count = f"{differs.sum()} of {differs.size} entries differ" if not differs.all() else "differs in every entry"
    return "", f"{count}, relative error {distance(actual, right, 1.0):.2g}"


def _factor(ratio: float, shown: Judged) -> str:
    """Name a factor, if it is one that is known."""
    B, C = shown.s.B, shown.s.C
    names: dict[str, float] = {"B": B, "1/B": 1 / B, "C": C, "1/C": 1 / C, "B C": B * C, "2": 2, "1/2": 0.5, "-1": -1}
    for name, value in names.items():
        if abs(ratio - value) <= 1e-5 * abs(value):
            return f"{name} = {value:.6g}" if name in ("B", "1/B", "C", "1/C", "B C") else name
    return f"{ratio:.6g}"
