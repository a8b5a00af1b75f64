"""Find out how a function is written, and which network it computes, from what it answers."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mlp_jax.check._networks.chain import backward
from mlp_jax.check._networks.elementwise import ACTIVATIONS, OTHERS
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.judgement import Answer, Judged, distance, forward_pass, leaves
from mlp_jax.check._networks.networks import (
    EVALUATIONS,
    LOSSES,
    OUTPUTS,
    REDUCTIONS,
    Network,
    fitted,
    in_words,
    reduction_of,
    words,
)
from mlp_jax.check._networks.problems import FORMS, LAYOUTS, Asked, Precision, Problem, Settings, network_of, problems

Ask = Callable[[Problem, str, str], Answer]  # (problem, layout, form) -> what the function answers
DEPTHS = (3, 2, 4, 5, 1)
SAME = 1e-6  # relative distance of a loss from its prediction
SAME_32_BITS = 1e-4


class Function(NamedTuple):
    """A function as it was judged.

    Attributes:
      network: that it computes.
      settings: how it is written.
      precision: of its numbers.
      point: the only problem, if its author gives one.
      name: in its file.
    """

    network: Network
    settings: Settings
    precision: Precision
    point: Problem | None = None
    name: str = ""


class Written(NamedTuple):
    """How a function is written: settings under which it answers, what there is to say, or why it never answers."""

    settings: Settings
    notes: tuple[str, ...] = ()
    convention: str = ""
    failure: str = ""


def written(
    ask: Ask, settings: Settings, declared: Collection[str], seed: int, point: Problem | None = None
) -> Written:
    """Return settings under which a function answers: as asked, or with another layout, form or depth."""
    first = ""
    forms = [(settings.layout, settings.params)]
    forms += [(layout, form) for layout in LAYOUTS for form in FORMS if (layout, form) not in forms]
    depths: Sequence[int] = (settings.layers,) if settings.layers else DEPTHS
    tried = [(way, depth, i) for depth in depths for i in (0, 1) for way in forms]  # the second has all widths equal
    for (layout, form), depth, i in tried if not point else [(forms[0], depths[0], 0)]:
        problem = point or problems(depth, seed)[i]
        answer = ask(problem, layout, form)
        first = first or answer.failure
        is_first = (layout, form, depth, i) == (*forms[0], depths[0], 0)
        if answer.failure or not (point or is_first or _has_shapes(answer, problem)):
            continue
        found = replace(settings, layout=layout, params=form)
        if not settings.layers and not point and not _answers_elsewhere(ask, found, depth, seed):
            found = replace(found, layers=depth)
        return _worded(found, settings, declared, first)
    return Written(settings, failure=first)


def _has_shapes(answer: Answer, problem: Problem) -> bool:
    """Return whether the weights' gradients have as many entries as the weights."""
    return all(np.size(dW) == W.size for (dW, _), (W, _) in zip(answer.gradients, problem.params, strict=True))


def _answers_elsewhere(ask: Ask, settings: Settings, depth: int, seed: int) -> bool:
    others = [problems(other, seed)[0] for other in DEPTHS if other != depth]
    return any(not ask(problem, settings.layout, settings.params).failure for problem in others)


def _worded(found: Settings, settings: Settings, declared: Collection[str], failure: str) -> Written:
    changed = {
        n: getattr(found, n) for n in ("layout", "params", "layers") if getattr(found, n) != getattr(settings, n)
    }
    against = " and ".join(f"{name.upper()} = {value!r}" for name, value in changed.items() if name in declared)
    told = {"layout": "its layout is {}", "params": "params is a {} for it", "layers": "it is written for {} layers"}
    notes = tuple(told[name].format(value) for name, value in changed.items() if name not in declared)
    return Written(found, notes, f"it fails as asked, and not with {against}: set that; {failure}" if against else "")


def apart(first: Answer, second: Answer) -> float:
    """Return how far two answers are apart, relative, the worst leaf; inf if one of them failed."""
    if second.failure:
        return float("inf")
    worst = 0.0
    for one, two in zip(leaves(first.gradients), leaves(second.gradients), strict=True):
        one, two = (np.asarray(leaf, float) for leaf in (one, two))
        if one.shape != two.shape:
            return float("inf")
        if not np.array_equal(one, two, equal_nan=True):
            worst = max(worst, float(np.linalg.norm(one - two) / (np.linalg.norm(two) or 1)))
    return worst


def against(own: Network, asked: Asked) -> list[str]:
    """Return the declared settings that a network does not meet; a loss that a file declares names its kind alone."""
    asked_for = network_of(asked.settings)
    kind = asked_for.output.words.split(", ")[1]
    is_loss = replace(own, phi=asked_for.phi) == asked_for if "loss" in asked.exactly else kind in own.output.words
    met = {"activation": own.phi is asked_for.phi, "loss": is_loss}
    return [name for name, is_met in met.items() if name in asked.declared and not is_met]


def asked_parts(asked: Asked) -> dict[str, str]:
    """Return activation and loss that are asked for, in words."""
    asked_for = network_of(asked.settings)
    return {"activation": in_words(asked_for.phi), "loss": words(asked_for, layers=1)}


def convention(own: Network, asked: Asked, is_right: bool) -> Diagnosis:
    """Say which network a function computes, where another one was asked for."""
    asked_for, unmet = network_of(asked.settings), against(own, asked)
    wanted = " and ".join(asked_parts(asked)[name] for name in unmet)
    names = {"activation": own.phi.name, "loss": own.output.name}
    as_set = replace(own, phi=asked_for.phi, output=asked_for.output) == asked_for  # no setting is for the rest
    can_set = all(
        names[name] in known for name, known in (("activation", ACTIVATIONS), ("loss", LOSSES)) if name in unmet
    )
    cure = " and ".join(f'{name.upper()} = "{names[name]}"' for name in unmet) if can_set else ""
    is_cured = bool(cure) and (as_set or "loss" not in asked.exactly)
    what = "it is right for" if is_right else "it computes"
    message = f"{what} {words(own)}, where {wanted} was asked for{f': set {cure}' if is_cured else ''}"
    return Diagnosis("convention", message, "everywhere", "the losses are those of that network")


def by_losses(ask: Ask, settings: Settings, tried: Sequence[Problem], seed: int) -> Network | None:
    """Return the network whose losses a function gives, or None.

    Args:
      ask: calls it.
      settings: how it is written.
      tried: problems at which it answers, the first of which is redrawn; the others have to agree.
      seed: of the draws.
    """

    def loss(problem: Problem) -> float:
        value = ask(problem, settings.layout, settings.params).loss
        return float("nan") if value is None else value

    rng, first = np.random.default_rng([seed, 1]), tried[0]
    points = [_redrawn(first, rng) for _ in range(EVALUATIONS)]
    L = np.array([loss(point) for point in points])
    if not np.isfinite(L).all():
        return None
    without = frozenset(
        (problem.depth, l)
        for problem in {problem.depth: problem for problem in tried}.values()
        for l in range(1, problem.depth + 1)
        if loss(problem) == loss(_moved(problem, l))
    )
    is_32_bits = bool((L.astype(np.float32) == L).all())
    params = [
        [(W, b * ((first.depth, l) not in without)) for l, (W, b) in enumerate(point.params, 1)] for point in points
    ]
    fits = fitted(L, params, first.x, [first.labels], tolerance=SAME_32_BITS if is_32_bits else None)
    B, C = len(first.x), len(first.params[-1][1])
    found = []
    for fit in fits:
        for reduction in dict.fromkeys((reduction_of(fit.r, B, C), fit.r)):
            for k, per_example in ((fit.k, False), (fit.k * B, True)) if fit.k else ((0.0, False),):
                network = Network(fit.phi, fit.output, reduction, k, per_example, fit.c, without)
                found.append((fit.residual, network))
    tolerance = SAME_32_BITS if is_32_bits else SAME
    for _, network in sorted(found, key=lambda pair: pair[0]):
        others = [(loss(problem), backward(forward_pass(problem, network))[0]) for problem in tried[1:3]]
        if all(abs(actual - expected) <= tolerance * abs(expected) for actual, expected in others):
            return network
    return None


def _redrawn(problem: Problem, rng: np.random.Generator) -> Problem:
    params = [
        (rng.standard_normal(W.shape) / np.sqrt(len(W)), 0.5 * rng.standard_normal(b.shape)) for W, b in problem.params
    ]
    return problem._replace(params=params)


def _moved(problem: Problem, l: int) -> Problem:
    """Return a problem with other biases in layer l; an odd step, so that no symmetry of the loss hides it."""
    params = list(problem.params)
    W, b = params[l - 1]
    params[l - 1] = (W, b + 0.3 + 0.1 * np.arange(len(b)))
    return problem._replace(params=params)


def by_gradients(judged: Sequence[Judged]) -> Network | None:
    """Return the network whose gradients plain answers without a loss are, or None."""
    one = judged[0]
    if one.problem.extreme:
        return None
    for phi in (*ACTIVATIONS.values(), *OTHERS):
        for output in OUTPUTS:
            s = forward_pass(one.problem, Network(phi, output, "sum"))
            of_sum = leaves(backward(s)[1])
            for reduction, r in REDUCTIONS.items():
                pairs = zip(leaves(one.answer.gradients), of_sum, strict=True)
                if max(distance(a, r(s.B, s.C) * e, 1.0) for a, e in pairs) < 1e-5:
                    return Network(phi, output, reduction)
    return None
