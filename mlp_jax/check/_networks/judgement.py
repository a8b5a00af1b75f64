"""Is an answer right? Each leaf of each problem next to the chain rule in float64, and how finely it agrees.

A leaf is right at a precision with unit eps when

    |error| <= max(tolerance * |expected|, K * eps * |S|)

S is the size that the leaf's terms have: the backward pass of absolute values, with every factor that can be small by
saturation, p - one_hot(y) and phi'(z), set to 1. The textbook forms p - y and 1 - h^2 lose digits there, by
cancellation, and are no mistake for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mlp_jax.check._child.functions import Answer as Answer
from mlp_jax.check._networks.chain import Gradients, Pass, backward, forward
from mlp_jax.check._networks.networks import Network, head_of
from mlp_jax.check._networks.problems import Precision, Problem
from mlp_jax.check._rules.comparison import GradientReport, compare_gradients
from mlp_jax.check._tolerance import TABLE, rounding
from mlp_jax.network import Layer

Level = Precision | Literal[""]  # the finest precision at which a leaf is right; "" where it is wrong
PRECISIONS: tuple[Precision, ...] = ("float64", "float32", "float16", "bfloat16")  # each coarser than the one before
MATCH = 1e-5  # known mistakes are 1e-3 and more apart at the problems, and rounding in float32 is below
MATCH_16_BITS = 3e-2
PARTLY = 1e-2  # relative, of numbers in float64 whose error may be the rounding of float32
SUBGRADIENTS = (0.0, 1.0, 0.5)  # what phi' may be at a kink


@dataclass(frozen=True)
class Judged:
    """One problem, answered and judged.

    Attributes:
      problem: the network and the batch.
      answer: what the function gave.
      s: the forward pass.
      expected: loss and gradients by the chain rule, in float64.
      levels: for each layer those of its weight's and its bias's gradients.
      loss_error: |loss - expected| / |expected|; NaN if the function gives no loss.
      held: the coarsest precision that holds every number of the function.
      subgradient: what phi' is at the kink, where that is not the library's 0.
    """

    problem: Problem
    answer: Answer
    s: Pass
    expected: tuple[float, Gradients]
    levels: tuple[tuple[Level, ...], ...]
    loss_error: float
    held: Precision
    subgradient: float | None = None

    @property
    def answered(self) -> bool:
        """Whether there are gradients to compare."""
        return not self.answer.failure

    @property
    def right(self) -> bool:
        """Whether every leaf is right."""
        return self.answered and all(level for layer in self.levels for level in layer)

    @property
    def loss(self) -> float:
        """The loss that the function gives, or NaN."""
        return float("nan") if self.answer.loss is None else self.answer.loss

    @property
    def loss_right(self) -> bool:
        """Whether the loss is: where logits are huge, textbook forms give inf or a clipped loss, and may."""
        return self.problem.extreme or self.has_loss

    @property
    def has_loss(self) -> bool:
        """Whether the loss, if there is one, is that of the network, where logits are huge too."""
        loss = self.answer.loss
        return loss is None or loss_is_right(loss, self.expected[0], self.s, self.held)


def forward_pass(problem: Problem, network: Network, weights: np.ndarray | None = None) -> Pass:
    """Return the right forward pass of a problem, whose examples may have weights in the loss, (B,)."""
    layers = enumerate(problem.params, 1)
    m = tuple(int((problem.depth, l) not in network.without) for l, _ in layers)
    params = [(W, m_l * b) for (W, b), m_l in zip(problem.params, m, strict=True)]
    head = head_of(network, len(problem.x), len(params[-1][1]), weights)
    return forward(params, problem.x, problem.labels, network.phi, head)._replace(m=m)


def term_sizes(s: Pass) -> Gradients:
    """Return S for every leaf."""
    z = np.abs(s.z[-1])
    delta = s.loss.r * (1 + z.max(axis=1, keepdims=True)) * np.ones_like(z)
    sizes: Gradients = []
    for l in range(s.L, 0, -1):
        sizes.insert(0, (np.abs(s.h[l - 1]).T @ delta, delta.sum(axis=0)))
        if l > 1:
            delta = delta @ np.abs(s.W[l]).T * np.maximum(1, np.abs(s.dphi[l - 1]))
    return sizes


def held_in(answers: Sequence[Answer]) -> Precision:
    """Return the coarsest precision that holds every number of the answers: what was computed in it fits in it."""
    return held_by([leaf for answer in answers for leaf in leaves(answer.gradients)])


def held_by(arrays: Sequence[Any]) -> Precision:
    """Return the coarsest precision that holds every number of some arrays; float64 where they say nothing."""
    arrays = [np.asarray(array) for array in arrays]
    if not any(np.any(array[np.isfinite(array.astype(float))]) for array in arrays):
        return "float64"
    for precision in reversed(PRECISIONS):
        rounded = [array.astype(precision).astype(float) for array in arrays]
        pairs = zip(rounded, arrays, strict=True)
        if all(np.array_equal(a, b.astype(float), equal_nan=True) for a, b in pairs):
            return precision
    return "float64"


def coarser(one: Precision, other: Precision) -> Precision:
    """Return the coarser of two precisions."""
    return max(one, other, key=PRECISIONS.index)


def judge(problem: Problem, answer: Answer, network: Network, held: Precision) -> Judged:
    """Judge one answer, of a function whose numbers are held in that precision."""
    s = forward_pass(problem, network)
    expected = backward(s)
    sizes = term_sizes(s)
    judged = _judged(problem, answer, s, expected, sizes, held)
    if judged.right or not judged.answered or not any((z_l == 0).any() for z_l in s.z[1:-1]):
        return judged
    for value in SUBGRADIENTS:  # a unit exactly at its kink has more than one right derivative
        at_kink = s._replace(dphi=(None, *(np.where(s.z[l] == 0, value, s.dphi[l]) for l in range(1, s.L))))
        other = _judged(problem, answer, s, (expected[0], backward(at_kink)[1]), sizes, held, value)
        if other.right:
            return other
    return judged


def plain(judged: Sequence[Judged]) -> list[Judged]:
    """Return the answered problems at which nothing overflows; all answered ones if there is no other."""
    answered = [one for one in judged if one.answered]
    return [one for one in answered if not one.problem.extreme] or answered


def compared(one: Judged) -> GradientReport:
    """Compare an answer with what is expected, leaf by leaf."""
    actual, expected = (tuple(Layer(*pair) for pair in pairs) for pairs in (one.answer.gradients, one.expected[1]))
    return compare_gradients(actual, expected)


def judge_all(tried: Sequence[Problem], answers: Sequence[Answer], network: Network) -> list[Judged]:
    """Judge all answers of a function."""
    held = held_in(answers)
    return [judge(problem, answer, network, held) for problem, answer in zip(tried, answers, strict=True)]


def are_right(judged: Sequence[Judged]) -> bool:
    """Return whether the loss and all gradients are right at some problems."""
    return all(one.right and one.loss_right for one in judged)


def _judged(
    problem: Problem,
    answer: Answer,
    s: Pass,
    expected: tuple[float, Gradients],
    sizes: Gradients,
    held: Precision,
    subgradient: float | None = None,
) -> Judged:
    whole = norm(expected[1])
    levels: tuple[tuple[Level, ...], ...] = ()
    loss_error = float("inf")
    if not answer.failure:
        levels = tuple(
            tuple(level(a, e, S, whole, coarser(held, held_by([a]))) for a, e, S in zip(*pairs, strict=True))
            for pairs in zip(answer.gradients, expected[1], sizes, strict=True)
        )
        loss_error = float("nan") if answer.loss is None else abs(answer.loss - expected[0]) / (abs(expected[0]) or 1.0)
    return Judged(problem, answer, s, expected, levels, loss_error, held, subgradient)


def level(actual: Any, expected: np.ndarray, size: np.ndarray, whole: float, held: Precision) -> Level:
    """Return the finest precision at which a leaf is right, or ""."""
    actual = np.asarray(actual)
    if actual.shape != expected.shape:
        return ""
    actual = actual.astype(float)
    if not np.isfinite(actual).all():
        return ""
    error = float(np.linalg.norm(actual - expected))
    scale, terms = float(np.linalg.norm(expected)) or whole, float(np.linalg.norm(size))
    for precision in PRECISIONS:
        is_rounding = error <= rounding(precision, terms)
        coarse = PRECISIONS.index(precision) <= PRECISIONS.index(held)  # its own dtype says that it is no finer
        is_partly = precision == "float32" and is_rounding and error <= PARTLY * scale  # some of it computed in float32
        if (coarse and (error <= TABLE[precision].leaf * scale or is_rounding)) or is_partly:
            return precision
    return ""


def distance(actual: Any, expected: Any, whole: float) -> float:
    """Return the relative L2 distance of two leaves; by `whole` where the second is zero, inf for other shapes."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    if actual.shape != expected.shape:
        return float("inf")
    size = float(np.linalg.norm(expected)) or whole
    error = float(np.linalg.norm(actual - expected)) / (size if size and np.isfinite(size) else 1.0)
    return error if np.isfinite(error) else float("inf")


def leaves(gradients: Sequence[tuple[Any, Any]]) -> list[Any]:
    """Return dW_1, db_1, dW_2, ..."""
    return [leaf for pair in gradients for leaf in pair]


def flat(gradients: Sequence[tuple[Any, Any]]) -> np.ndarray:
    """Return all leaves as one vector."""
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in leaves(gradients)])


def loss_is_right(actual: float, expected: float, s: Pass, held: Precision) -> bool:
    """Whether a loss is right within its tolerance, or the rounding of the logits that it is made of."""
    size = s.loss.r * s.B * (1 + np.abs(s.z[-1]).max()) ** 2
    return bool(abs(actual - expected) <= TABLE[held].loss * abs(expected) + rounding(held, float(size)))


def caught(result: tuple[float, Gradients], right: tuple[float, Gradients], s: Pass, sizes: Gradients) -> bool:
    """Whether another loss or other gradients would be judged wrong, were they given in float64."""
    whole = norm(right[1])
    triples = zip(leaves(result[1]), leaves(right[1]), leaves(sizes), strict=True)
    loss_right = loss_is_right(result[0], right[0], s, "float64")
    return not (loss_right and all(level(a, e, S, whole, "float64") == "float64" for a, e, S in triples))


def norm(gradients: Gradients) -> float:
    """Return the L2 norm of a whole gradient."""
    return float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves(gradients))))


def match_tolerance(one: Judged) -> float:
    """Return how far an answer may be from what explains it, relative, by its precision."""
    return MATCH_16_BITS if one.held in ("float16", "bfloat16") else MATCH
