"""What else is wrong with a function than its gradients at plain problems, and what is worth knowing of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlp_jax.check._networks.fingerprints import Diagnosis, where
from mlp_jax.check._networks.judgement import Judged, are_right, coarser, compared, plain
from mlp_jax.check._networks.problems import Precision

AGAIN = 1e-6  # relative distance of two calls with the same arguments
NOT_EVERY_CLASS = {"a class without examples", "one label for all", "a batch of one"}


def random(again: float) -> list[Diagnosis]:
    """Say that a function is another one at a second call, whose gradients are so far away, relative."""
    if again <= AGAIN:
        return []
    message = (
        "two calls with the same arguments give different gradients: it keeps state from call to call, or draws random "
        "numbers"
    )
    far = f"a second call with the same arguments is {again:.1g} away, relative"
    return [Diagnosis("nondeterministic", message, "everywhere", far)]


def batch_of_one(one: Judged) -> Diagnosis:
    """Say that a batch of one example is wrong, and no other."""
    message = (
        "it is wrong for a batch of one example alone: a squeeze, or a sum over the wrong axis? Right is: "
        "d b_l = sum over the batch of delta_l"
    )
    return Diagnosis("batch_one", message, where(one), "right on all other problems")


def changed(name: str) -> Diagnosis:
    """Say that an argument was changed in place."""
    cure = "let the caller update the weights" if name == "params" else "work on a copy"
    return Diagnosis("mutates_input", f"it changes {name} in place: {cure}", name, f"{name} differ after the call")


def shapes(under: Sequence[Judged]) -> list[Diagnosis]:
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


def failures(under: Sequence[Judged], is_right: bool) -> list[Diagnosis]:
    """Say which problems have no answer, and why.

    Args:
      under: the problems.
      is_right: whether all else is right.
    """
    failed = _failed(under)
    if not failed:
        return []
    text, place = failed[0].answer.failure, f"{failed[0].problem.name} ({failed[0].problem.shape})"
    names = {one.problem.name for one in failed}
    if names == {"a batch of one"}:
        return [Diagnosis("batch_one", f"it fails for a batch of one example alone: {text}", place)]
    if needs_every_class(under):
        message = f"it fails where not every class occurs among the labels: {text}"
        return [Diagnosis("labels", message, place, "right where every class occurs")]
    if is_right and all(_has_equal_widths(one) != (one in failed) for one in under):
        return []  # as of a residual network
    evidence = f"no answer for: {', '.join(sorted(names)[:4])}{', ...' * (len(names) > 4)}"
    return [Diagnosis("exception", text, place, evidence + "; right wherever it answers" * is_right)]


def needs_every_class(under: Sequence[Judged]) -> bool:
    """Return whether all problems without an answer are some in which not every class occurs."""
    names = {one.problem.name for one in _failed(under)}
    return bool(names) and names <= NOT_EVERY_CLASS


def _failed(under: Sequence[Judged]) -> list[Judged]:
    return [one for one in under if not one.answered]


def _has_equal_widths(one: Judged) -> bool:
    return len({W.shape for W, _ in one.problem.params}) == 1


def at_extremes(under: Sequence[Judged], strict: bool) -> list[Diagnosis]:
    """Say what is wrong at extreme points alone; what is not finite there is a remark unless it is judged strictly."""
    wrong = [one for one in under if one.answered and one.problem.extreme and not one.right]
    not_finite = _not_finite(wrong)
    if not_finite and strict:
        return not_finite
    finite = [one for one in wrong if not _not_finite([one]) and one.has_loss]
    if not finite or not are_right(plain(under)):
        return []
    message = f"it is right elsewhere, and wrong with {finite[0].problem.name} by more than rounding explains"
    return [Diagnosis("precision", message, where(finite[0]), finite[0].problem.name)]


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


def coarse(precision: Precision, asked: Precision | None) -> list[Diagnosis]:
    """Say that numbers are coarser than was asked for."""
    if asked is None or coarser(precision, asked) == asked:
        return []
    return [Diagnosis("precision", f"its numbers are {precision}, and {asked} was asked for", "every gradient")]


def remarks(under: Sequence[Judged]) -> list[Diagnosis]:
    """Say where correct code overflows or loses digits."""
    answered = [one for one in under if one.answered]
    extremes = [one for one in answered if one.problem.extreme]
    overflow = _not_finite(extremes)
    finite = [one for one in extremes if not _not_finite([one])]
    lossy = [(one, one.answer.loss) for one in extremes if one.answer.loss is not None and not one.has_loss]
    off = [one.problem.name for one in finite if one.held == "float64" and not compared(one).ok]
    rough = [one for one in answered if not one.problem.extreme and one.held == "float64" and not compared(one).ok]
    said = []
    if rough:
        worst = max(leaf.relative_error for one in rough for leaf in compared(one).leaves)
        cause = "float32 inside, a small term, or differences for derivatives?"
        said.append(f"the numbers are float64 and right to {worst:.0e} alone: {cause}")
    elif off:
        known = {"tanh": "1 - tanh(z)^2 and p - 1", "sigmoid": "h (1 - h) and p - 1"}
        forms = known.get(answered[0].s.phi.name, "p - 1")
        said.append(f"gradients lose digits with {' and '.join(off)}: {forms} cancel there")
    if lossy:
        values = ", ".join(f"{loss:.4g} for {one.expected[0]:.4g}" for one, loss in lossy)
        cure = "log p underflows; -log p_y = log(sum of exp(z - max z)) + max z - z_y keeps it"
        said.append(f"the loss is {values} with {lossy[0][0].problem.name}: {cure}")
    stands = "a remark: the verdict stands"
    found = [replace(one, evidence=f"{stands}; --strict makes it wrong") for one in overflow]
    return [*found, *([Diagnosis("precision", "; ".join(said), "", stands)] if said else [])]
