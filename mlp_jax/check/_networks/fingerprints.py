"""What a wrong gradient looks like by itself: which layers, and of each leaf whether it is a multiple or zero, say.

This is for gradients that no known mistake explains: the nearest known one is named, with its distance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp_jax.check._networks.chain import Mistake, broken
from mlp_jax.check._networks.judgement import Judged, distance, flat, leaves, match_tolerance, norm
from mlp_jax.check._networks.mistakes import mistakes_of
from mlp_jax.check._networks.networks import Network, formula

NEAR = 0.1  # a nearest mistake that is further away says nothing
EXACT = 1e-9  # of phi'
ROUGH = 3e-2  # relative error up to which a gradient is right, but for its digits


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
    if wrong["W"] == wrong["b"] == layers and len(layers) == len(judged.levels):
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


def fingerprints(shown: Judged, judged: Sequence[Judged], network: Network) -> list[Diagnosis]:
    """Say what each wrong leaf looks like by itself."""
    out_of_place = _out_of_place(shown)
    if out_of_place:
        return [out_of_place]
    expected = {
        (l, kind): leaf
        for l, pair in enumerate(shown.expected[1], 1)
        for kind, leaf in zip("Wb", pair, strict=True)
    }  # fmt: skip
    found: dict[str, list[str]] = {}
    tolerance = match_tolerance(shown)
    ratio = _common_factor(shown)
    if ratio is not None:
        message = f"all that is wrong is {factor_in_words(ratio, shown.s.B, shown.s.C)} times what is right"
        others = [_common_factor(one) for one in judged if not one.right]
        if any(other is not None and abs(other - ratio) > tolerance * abs(ratio) for other in others):
            message += (
                " on this problem, and another factor on others: clipped by its norm, or divided by a wrong size?"
            )
        return [Diagnosis("scale", message, where(shown), f"on {shown.problem.name}")]
    for l, (pair, levels) in enumerate(zip(shown.answer.gradients, shown.levels, strict=True), 1):
        for kind, actual, level in zip("Wb", pair, levels, strict=True):
            if not level:
                code, words = _fingerprint((l, kind), np.asarray(actual, float), expected, shown, tolerance)
                found.setdefault(code, []).append(f"d {kind}_{l} {words}")
    evidence = f"compared leaf by leaf, on {shown.problem.name}"
    known = [
        Diagnosis(code, "; ".join(words) + _formula(code, network), where(shown), evidence)
        for code, words in found.items() if code
    ]  # fmt: skip
    if "" in found:
        known.append(_unexplained(shown, judged, network, "; ".join(found[""])))
    return known


def _formula(code: str, network: Network) -> str:
    rule = {"bias_gradient": "db", "transposed": "dW"}.get(code)
    return f". Right is: {formula(rule, network)}" if rule else ""


def _out_of_place(shown: Judged) -> Diagnosis | None:
    """Say if the right leaves stand in another order."""
    given, right, tolerance = shown.answer.gradients, shown.expected[1], match_tolerance(shown)

    def equal(pairs: Sequence[tuple[Any, Any]]) -> bool:
        return all(distance(a, e, 1.0) <= tolerance for a, e in zip(leaves(pairs), leaves(right), strict=True))

    if len(given) > 1 and equal(given[::-1]):
        message = "the gradients are in reverse order, the last layer first: insert each at the front, or reverse them"
        return Diagnosis("wrong_layer", f"{message}. Right is: [(dW_1, db_1), ..., (dW_L, db_L)]", "the list")
    if equal([(dW, db) for db, dW in given]):
        return Diagnosis("shape", "dW and db have changed places. Right is: (dW_l, db_l)", "every pair")
    return None


def _unexplained(shown: Judged, judged: Sequence[Judged], network: Network, words: str) -> Diagnosis:
    """Say where to look, when no known mistake gives these numbers."""
    evidence = f"on {shown.problem.name}: {words}" + "".join(_implied_derivative(one) for one in judged if one.s.B == 1)
    pairs = zip(leaves(shown.answer.gradients), leaves(shown.expected[1]), strict=True)
    is_rough = max(distance(a, e, norm(shown.expected[1])) for a, e in pairs) < ROUGH
    if is_rough and not any(_is_wrong_function(one) for one in judged):
        message = "every leaf is right to some digits and no more: rounded numbers, or differences of a poor step size?"
        return Diagnosis("precision", message, where(shown), evidence)
    nearest, apart = _nearest(shown, network)
    near = ""
    if apart <= match_tolerance(shown):
        others = (one for one in judged if one is not shown)
        other = next((one for one in others if _differs(nearest, one)), shown)
        near = f"; on {shown.problem.name} it {nearest.name}, but not on {other.problem.name}"
    elif apart < NEAR:
        near = f"; the nearest is that it {nearest.name}, {apart:.2g} apart"
    code, rule = _place(shown)
    return Diagnosis(
        code,
        f"no known mistake gives just these numbers{near}. Right is: {formula(rule, network)}",
        where(shown),
        evidence,
    )


def _differs(mistake: Mistake, one: Judged) -> bool:
    result = broken(mistake, one.s)
    if result is None or len(flat(result[1])) != len(flat(one.answer.gradients)):
        return True
    return distance(flat(one.answer.gradients), flat(result[1]), 1.0) > match_tolerance(one)


def _place(shown: Judged) -> tuple[str, str]:
    """Return the code and the rule of the place where the first wrong step is."""
    W, b = ([l for l, levels in enumerate(shown.levels, 1) if not levels[i]] for i in (0, 1))
    if not W:
        return "bias_gradient", "db"
    if not b:
        return "wrong_input", "dW"
    return ("wrong_activation_derivative", "delta") if max(b) < shown.s.L else ("softmax_gradient", "output")


def _taken_derivative(one: Judged) -> tuple[int, np.ndarray] | None:
    """Read phi'(z_l) off d b_l = delta_l of a batch of one, where all above l is right and l is not."""
    wrong = [l for l, levels in enumerate(one.levels, 1) if not levels[1]]
    if one.s.B > 1 or not wrong or wrong[-1] == one.s.L:
        return None
    l = wrong[-1]
    dh = one.expected[1][l][1] @ one.s.W[l + 1].T
    db = np.asarray(one.answer.gradients[l - 1][1], float)
    return (l, db / dh) if db.shape == dh.shape else None


def _is_wrong_function(one: Judged) -> bool:
    """Return whether phi' is right for some z and not for others, as if it were floored or clipped: no lost digits."""
    found = _taken_derivative(one)
    if found is None:
        return False
    l, taken = found
    errors = np.abs(taken - one.s.dphi[l][0])
    return bool(errors.min() < EXACT and errors.max() > 1e3 * EXACT)


def _implied_derivative(one: Judged) -> str:
    """Say what phi'(z_l) is taken as, if that can be read off."""
    found = _taken_derivative(one)
    if found is None:
        return ""
    l, taken = found
    j = int(np.argmax(np.abs(taken - one.s.dphi[l][0])))
    return (
        f"; read off a batch of one, phi'(z_{l}) is taken as {taken[j]:.4g} at z = {one.s.z[l][0, j]:.4g}, "
        f"h = {one.s.h[l][0, j]:.4g}, and is {one.s.dphi[l][0, j]:.4g}"
    )


def _nearest(shown: Judged, network: Network) -> tuple[Mistake, float]:
    """Return the known mistake with the nearest gradient among those that spoil the same leaves, and how far it is."""
    actual = flat(shown.answer.gradients)
    spoiled = [not level for levels in shown.levels for level in levels]
    found: list[tuple[bool, float, int, Mistake]] = []
    for i, mistake in enumerate(mistakes_of(network)):
        result = None
        if mistake.of_gradient and mistake.parameter is None:
            result = broken(mistake, shown.s)
        if result is not None:
            pairs = zip(leaves(result[1]), leaves(shown.expected[1]), strict=True)
            spoils = [distance(a, e, 1.0) > 1e-9 for a, e in pairs]
            if not any(spoils):  # no mistake here
                continue
            same = spoils == spoiled
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
        return _fingerprint_of_shape(place, actual, right, shown, tolerance)
    if not np.isfinite(actual).all():
        return "nonfinite", f"is not finite in {(~np.isfinite(actual)).sum()} of {actual.size} entries"
    if not actual.any():
        return "zero_gradient", "is zero"
    ratio = float(np.vdot(right, actual) / np.vdot(right, right)) if right.any() else 0.0
    if ratio and distance(actual, ratio * right, 0.0) <= tolerance:
        kind = "sign" if abs(ratio + 1) <= tolerance else "bias_gradient" if bias else "scale"
        return kind, f"is {factor_in_words(ratio, shown.s.B, shown.s.C)} times what is right"
    if actual.ndim == 2 and actual.shape[0] == actual.shape[1] and distance(actual.T, right, 0.0) <= tolerance:
        return "transposed", "is the transpose of what is right"
    for (l, kind), other in expected.items():
        if (l, kind) != place and actual.shape == other.shape and distance(actual, other, 0.0) <= tolerance:
            return "wrong_layer", f"is what is right for d {kind}_{l}"
    is_near = distance(actual, right, 0.0) <= 10 * tolerance
    for array, words, code in () if is_near else _known_arrays(place, expected, shown):
        t = (
            float(np.vdot(array, actual - right) / (np.vdot(array, array) or 1.0))
            if array.shape == right.shape
            else 0.0
        )
        if t and distance(actual, right + t * array, 0.0) <= tolerance:
            return code, f"contains {abs(t):.6g} {words} too {'much' if t > 0 else 'little'}"
    differs = np.abs(actual - right) > tolerance * np.abs(right).max()
    count = f"{differs.sum()} of {differs.size} entries differ" if not differs.all() else "differs in every entry"
    return "", f"{count}, relative error {distance(actual, right, 1.0):.2g}"


def _known_arrays(
    place: tuple[int, str], expected: dict[tuple[int, str], np.ndarray], shown: Judged
) -> Iterator[tuple[np.ndarray, str, str]]:  # fmt: skip
    """Yield arrays that may have been added to a gradient, their words, and the code of that mistake."""
    l, kind = place
    own = shown.s.W[l] if kind == "W" else shown.s.b[l]
    yield own, f"{kind}_{l}: an L2 term", "regularised"
    yield np.sign(own), f"sign({kind}_{l}): an L1 term", "regularised"
    yield from ((other, f"d {k}_{m}", "wrong_layer") for (m, k), other in expected.items() if (m, k) != place)


def _common_factor(shown: Judged) -> float | None:
    """Return the one factor of all leaves that are wrong, if there is one."""
    levels = [level for pair in shown.levels for level in pair]
    given, right = leaves(shown.answer.gradients), leaves(shown.expected[1])
    wrong = [(a, e) for a, e, level in zip(given, right, levels, strict=True) if not level and np.any(e)]
    if len(wrong) < 2 or any(np.shape(a) != e.shape for a, e in wrong):
        return None
    ratio = float(np.vdot(wrong[0][1], wrong[0][0]) / np.vdot(wrong[0][1], wrong[0][1]))
    equal = all(distance(a, ratio * e, 1.0) <= match_tolerance(shown) for a, e in wrong)
    return ratio if ratio and np.isfinite(ratio) and equal else None


def _fingerprint_of_shape(
    place: tuple[int, str], actual: np.ndarray, right: np.ndarray, shown: Judged, tolerance: float
) -> tuple[str, str]:
    """Return the code and the words for a leaf of another shape."""
    words = dict(shown.answer.shapes).get(place, f"has shape {actual.shape}, expected {right.shape}")
    if actual.ndim == right.ndim == 2 and distance(actual.T, right, 0.0) <= tolerance:
        return "transposed", f"{words}: it is the transpose of what is right"
    if actual.size == right.size and distance(actual.reshape(right.shape), right, 0.0) <= tolerance:
        return "shape", f"{words}: the numbers are right"
    if place[1] == "b" and actual.size == 1:
        return "bias_gradient", f"{words}: it is one sum over all entries"
    if place[1] == "b" and actual.size == shown.s.B:
        return "bias_gradient", f"{words}: it is summed over the units"
    if place[1] == "b" and actual.size == shown.s.B * right.size:
        return "bias_gradient", f"{words}: it is not summed over the batch"
    return "shape", words


def factor_in_words(ratio: float, B: int, C: int) -> str:
    """Name a factor, if it is one that is known."""
    sizes = {"B": B, "C": C, "2": 2, "2B": 2 * B, "BC": B * C}
    inverse = {f"1/{name}": 1 / size for name, size in sizes.items()}
    known: dict[str, float] = {**sizes, **inverse, "-1": -1}
    return next((name for name, value in known.items() if abs(ratio - value) <= 1e-5 * abs(value)), f"{ratio:.6g}")
