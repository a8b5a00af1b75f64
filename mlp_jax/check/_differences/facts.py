"""What the errors of a wrong gradient look like, from its numbers alone: shapes, factors, signs, and terms of theta."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlp_jax.check._differences import running
from mlp_jax.check._differences.running import Failed, Running
from mlp_jax.check._differences.trial import Leaf, Trial, is_right
from mlp_jax.check._networks.chain import FORMULAS, PER_LAYER, Mistake
from mlp_jax.check._networks.fingerprints import Diagnosis, layers_in_words
from mlp_jax.check._networks.judgement import distance

FIT = 1e-5  # relative L2 distance of numbers that are the same


def facts(trial: Trial, run: Running) -> list[Diagnosis]:
    """Say what is wrong, the most telling first."""
    wrong = trial.wrong()
    right = [name for name in trial.step.shapes if name not in wrong]
    place = f"wrong: {', '.join(wrong)}" + (f"; right: {', '.join(right)}" if right else "; every parameter is wrong")
    if _is_right_by_small_rate(trial, run):
        message = "it uses weights that it has already updated: take every gradient before the first update"
        evidence = f"the gradient is {trial.gradient}: right for a small rate, and wrong for the file's own"
        return [Diagnosis("stale_weights", message, place, evidence)]
    found: dict[str, dict[str, str]] = {}
    for name in wrong:
        code, words = _of_leaf(trial.leaves(name), run.sizes)
        found.setdefault(code, {})[name] = words
    order = ["shape", "bias_gradient", "nonfinite", "zero_gradient", "sign", "scale", "regularised", "unexplained"]
    diagnoses = []
    for code in sorted(found, key=order.index):
        named = found[code]
        if len(named) == len(wrong) and len(set(named.values())) == 1:  # all in the same way
            of_some = f"each of {', '.join(wrong)}" if len(wrong) > 1 else wrong[0]
            named = {of_some if right else "every gradient": named[wrong[0]]}
        message = "; ".join(f"{name} {words}" for name, words in named.items())
        diagnoses.append(Diagnosis(code, message, place, f"compared with differences of {trial.loss}"))
    return diagnoses


def named(found: Sequence[Diagnosis], explained: tuple[Mistake, float] | None, draws: int) -> list[Diagnosis]:
    """Put the known mistake that explains a gradient, if there is one, in the place of what is unexplained."""
    if explained is None:
        return list(found)
    mistake, apart = explained
    layers = "" if mistake.layers is None else f", in {layers_in_words(sorted(mistake.layers))}"
    right = "; ".join(FORMULAS[rule] for rule in mistake.rules if rule in PER_LAYER)
    message = f"it {mistake.name}{layers}" + (f". Right is: {right}" if right else "")
    evidence = f"equals a backward pass that does so to {apart:.0e} at {draws} draws"
    return [replace(found[0], code=mistake.code, message=message, evidence=evidence), *found[1:]]


def is_shortened(trial: Trial) -> bool:
    """Return whether each draw's gradient is what is right times a factor below 1 of its own, as after clipping."""
    factors = []
    for draw in trial.draws:
        found, right = (np.concatenate([getattr(leaf, name) for leaf in draw]) for name in ("found", "expected"))
        if not right.any() or not np.isfinite(found).all():
            return False
        factor = float(np.vdot(right, found) / np.vdot(right, right))
        if not 0 < factor < 1 or distance(found, factor * right, 1.0) > FIT:
            return False
        factors.append(factor)
    return max(factors) - min(factors) > FIT


def is_clipped(trial: Trial) -> bool:
    """Return whether what is wrong has one size that no entry exceeds, and is larger without: clipped by value."""
    sizes, is_any = [], False
    for leaf in (leaf for draw in trial.draws for leaf in draw):
        if leaf.actual.shape != leaf.theta.shape:
            return False
        off = ~is_right(leaf, trial)
        is_any |= bool(off.any())
        grows = np.abs(leaf.expected[off]) > np.abs(leaf.found[off])
        if not (grows & (leaf.expected[off] * leaf.found[off] > 0)).all():
            return False
        sizes += list(np.abs(leaf.found[off]))
    return is_any and bool(np.ptp(sizes) <= FIT * max(sizes))


def _is_right_by_small_rate(trial: Trial, run: Running) -> bool:
    """Return whether the gradient is read from updates, and is right if the learning rate is small."""
    i, _, k = trial.numbers
    for draw in trial.draws:
        small = running.by_small_rate(run, i, k, [leaf.theta for leaf in draw])
        for leaf, g in zip(draw, small, strict=False):
            if g.shape != leaf.theta.shape or distance(g.ravel()[leaf.at], leaf.expected, 1.0) > 1e-2:
                return False
    return bool(small)


def _of_leaf(leaves: list[Leaf], sizes: tuple[int, ...]) -> tuple[str, str]:
    """Return the code and the words for a leaf, from all its draws."""
    first = leaves[0]
    if first.actual.shape != first.theta.shape:
        is_bias = first.theta.ndim == 1 or 1 in first.theta.shape
        words = f"has shape {first.actual.shape}, and its parameter {first.theta.shape}"
        if is_bias and first.actual.size == 1:
            return "bias_gradient", f"{words}: it is one sum over all entries"
        return "shape", words
    found, right = (np.concatenate([getattr(leaf, name) for leaf in leaves]) for name in ("found", "expected"))
    if not len(found) or distance(found, right, 1.0) < FIT:  # what is wrong was not sampled
        along = float(np.vdot(first.actual, first.along))
        return "unexplained", f"has slope {along:.4g} along a random direction, and the loss {first.slope:.4g}"
    theta = np.concatenate([leaf.theta.ravel()[leaf.at] for leaf in leaves])
    if not np.isfinite(found).all():
        return "nonfinite", "is not finite"
    if not found.any():
        return "zero_gradient", "is zero"
    factor = float(np.vdot(right, found) / np.vdot(right, right)) if right.any() else 0.0
    if abs(factor) > FIT and abs(factor - 1) > FIT and distance(found, factor * right, 1.0) < FIT:
        return ("sign" if abs(factor + 1) < FIT else "scale"), f"is {_in_words(factor, sizes)}"
    (a, b), *_ = np.linalg.lstsq(np.stack([right, theta], axis=1), found, rcond=None)
    if abs(a) > FIT and distance(found, a * right + b * theta, 1.0) < FIT and abs(b) > FIT:
        if abs(a - 1) < FIT:
            much = "too much" if b > 0 else "too little"
            return "regularised", f"contains {abs(b):.6g} times the parameter itself {much}: an L2 term"
        return "scale", (
            f"is {_in_words(float(a), sizes)}, but for {abs(b):.6g} times the parameter itself: "
            "the factor is not on the L2 term"
        )
    return "unexplained", f"is off by {distance(found, right, 1.0):.2g}, relative"


def _in_words(factor: float, sizes: tuple[int, ...]) -> str:
    """Name a factor; of one that is a size of the file's arrays, or 1 over it, say so."""
    for n in sizes:
        for value, words in ((n, f"{n}"), (1 / n, f"1/{n}")):
            if abs(factor - value) < FIT * value:
                return f"{words} times what is right, and {n} is a size of its arrays"
    return f"{factor:.6g} times what is right"


def of_labels(trial: Trial, run: Running) -> list[Diagnosis]:
    """Say if a step fails once the last class does not occur among the labels."""
    i, _, k = trial.numbers
    try:
        running.gradient(run, i, k, [leaf.theta for leaf in trial.draws[0]], "without the last class")
    except Failed as error:
        message = f"it fails where the last class does not occur among the labels: {error}"
        return [Diagnosis("labels", message, "the labels", "right where every class occurs")]
    return []
