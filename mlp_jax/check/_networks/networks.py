"""Networks that people write: an activation, an output with its loss, a reduction, biases or none, an L2 term.

The loss of all of them is L = r S + k Q + c, with S the sum over the examples of the loss of the output, and Q the sum
of the squared weights. So a few losses tell which network a function computes: for each activation and output, r, k
and c follow from three of them, and the others say whether that is true.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlp_jax.check._networks.chain import FORMULAS, Gradients, Head, Pass, forward
from mlp_jax.check._networks.elementwise import ACTIVATIONS, OTHERS, Elementwise, identity, sigmoid, tanh

Rows = Callable[[Pass], np.ndarray]
EVALUATIONS = 7  # of the loss, for three numbers r, k and c
FIT = 1e-8  # relative, of the losses


class Output(NamedTuple):
    """An output and the loss of one example, as functions of a pass.

    Attributes:
      words: such as "linear outputs, squared error".
      losses: the losses of the examples, (B,).
      delta: their derivatives in z_L, (B, C).
      formulas: loss and derivative in letters.
      plain: the derivatives in the outputs, if they are others.
      diagonal: plain times the diagonal of the outputs' Jacobian, if that is another thing than delta.
      name: in the settings, if it is one of them.
      o: the activation of the outputs; None for softmax.
    """

    words: str
    losses: Rows
    delta: Rows
    formulas: tuple[str, str]
    plain: Rows | None = None
    diagonal: Rows | None = None
    name: str = ""
    o: Elementwise | None = None


def _squared(o: Elementwise) -> Output:
    """Return the squared error of outputs o(z_L)."""

    def error(s: Pass) -> np.ndarray:
        return np.asarray(o.value(s.z[-1]) - s.Y)

    def losses(s: Pass) -> np.ndarray:
        return np.asarray((error(s) ** 2).sum(axis=1))

    def delta(s: Pass) -> np.ndarray:
        return np.asarray(2 * error(s) * o.derivative(s.z[-1]))

    if o is identity:
        formulas = ("sum_j (z_j - t_j)^2", "2 (z_L - t)")
        return Output("linear outputs, squared error", losses, delta, formulas, name="squared_error", o=o)
    formulas = ("sum_j (o_j - t_j)^2", f"2 (o - t) * {o.name}'(z_L)")
    return Output(f"{in_words(o)} outputs, squared error", losses, delta, formulas, lambda s: 2 * error(s), o=o)


def _log_sum(s: Pass) -> np.ndarray:
    m = s.z[-1].max(axis=1)
    return np.asarray(m + np.log(np.sum(np.exp(s.z[-1] - m[:, None]), axis=1)))


def _cross_entropy_delta(s: Pass) -> np.ndarray:
    """Return p sum(Y) - Y, without the cancellation of p - 1: 1 - p is the sum of the other p."""
    Y, others = s.Y, s.p @ (1 - np.eye(s.C))
    return np.asarray(s.p * (Y.sum(axis=1, keepdims=True) - Y) - Y * others)


def _softmax_squared(s: Pass) -> np.ndarray:
    e = 2 * (s.p - s.Y)
    return np.asarray(s.p * (e - (e * s.p).sum(axis=1, keepdims=True)))


def _binary(s: Pass) -> np.ndarray:
    z, Y = s.z[-1], s.Y
    return np.asarray((Y * np.logaddexp(0, -z) + (1 - Y) * np.logaddexp(0, z)).sum(axis=1))


def _binary_delta(s: Pass) -> np.ndarray:
    return np.asarray(sigmoid.value(s.z[-1]) - s.Y)


def in_words(phi: Elementwise) -> str:
    """Return the name of an activation, for people."""
    return {"identity": "linear", "silu": "swish", "gelu_tanh": "gelu (tanh)"}.get(phi.name, phi.name.replace("_", " "))


OUTPUTS = (
    Output(
        "softmax outputs, cross-entropy",
        lambda s: ((_log_sum(s)[:, None] - s.z[-1]) * s.Y).sum(axis=1),
        _cross_entropy_delta,
        ("-log p_y", "(p - one_hot(y))"),
        lambda s: -s.Y / s.p,
        lambda s: -s.Y * (1 - s.p),
        name="cross_entropy",
    ),
    _squared(identity),
    Output(
        "sigmoid outputs, binary cross-entropy",
        _binary,
        _binary_delta,
        ("-sum_j (t_j log o_j + (1 - t_j) log(1 - o_j))", "(o - t)"),
        lambda s: _binary_delta(s) / sigmoid.derivative(s.z[-1]),
        lambda s: _binary_delta(s) * sigmoid.derivative(s.z[-1]),
        o=sigmoid,
    ),
    *map(_squared, (sigmoid, tanh)),
    Output(
        "softmax outputs, squared error",
        lambda s: ((s.p - s.Y) ** 2).sum(axis=1),
        _softmax_squared,
        ("sum_j (p_j - t_j)^2", "p * (e - sum_j e_j p_j), with e = 2 (p - t)"),
        lambda s: 2 * (s.p - s.Y),
        lambda s: 2 * (s.p - s.Y) * s.p * (1 - s.p),
    ),
)
LOSSES = {output.name: output for output in OUTPUTS if output.name}
MEAN = "mean over the batch"
REDUCTIONS: dict[str, Callable[[int, int], float]] = {  # of B examples with C outputs
    MEAN: lambda B, C: 1 / B,
    "sum": lambda B, C: 1.0,
    "half of the sum": lambda B, C: 0.5,
    "half of the mean over the batch": lambda B, C: 0.5 / B,
    "mean over all entries": lambda B, C: 1 / (B * C),
    "half of the mean over all entries": lambda B, C: 0.5 / (B * C),
}
PER_B = {
    MEAN: " / B",
    "sum": "",
    "half of the sum": " / 2",
    "half of the mean over the batch": " / 2B",
    "mean over all entries": " / BC",
    "half of the mean over all entries": " / 2BC",
}


@dataclass(frozen=True)
class Network:
    """A network, for batches of any size.

    Attributes:
      phi: the activation of the hidden layers.
      output: the output, and the loss of an example.
      reduction: the name of r in L = r S, or r itself.
      k: of the L2 term k |W|^2, or of k / B |W|^2.
      k_per_example: whether it is the latter.
      c: a constant in the loss.
      without: the layers without bias, as (number of layers, layer).
    """

    phi: Elementwise
    output: Output
    reduction: str | float = MEAN
    k: float = 0.0
    k_per_example: bool = False
    c: float = 0.0
    without: frozenset[tuple[int, int]] = frozenset()


def factor(reduction: str | float, B: int, C: int) -> float:
    """Return r."""
    return REDUCTIONS[reduction](B, C) if isinstance(reduction, str) else reduction


def reduction_of(r: float, B: int, C: int) -> str | float:
    """Return the name of a factor, or the factor."""
    named = (name for name, value in REDUCTIONS.items() if abs(r - value(B, C)) <= 1e-6 * r)
    return next(named, r)


def words(network: Network, layers: int = 2, weights: np.ndarray | None = None) -> str:
    """Say in one line which network it is, of how many layers, and whether its examples have weights, (B,)."""
    k = f"{network.k:.6g}{' / B' * network.k_per_example}"
    parts = [
        *([in_words(network.phi)] if layers > 1 else []),
        network.output.words,
        _reduction(network.reduction, weights),
        *(["some biases absent"] if network.without else []),
        *([f"L2 term {k} |W|^2"] if network.k else []),
        *([f"and a constant {network.c:.6g}"] if network.c else []),
    ]
    return ", ".join(parts)


def _reduction(reduction: str | float, weights: np.ndarray | None) -> str:
    if isinstance(reduction, str):
        return reduction
    if weights is not None and abs(reduction * weights.sum() - 1) < 1e-6:
        return "mean over the examples by weight"
    return f"{reduction:.6g} times the {'sum' if weights is None else 'weighted sum'}"


def formula(rule: str, network: Network) -> str:
    """Return the right formula of a rule of the chain."""
    reduction = network.reduction
    if rule == "loss":
        over = f"{reduction} of" if isinstance(reduction, str) else f"{reduction:.6g} times the sum of"
        return f"loss = {over} {network.output.formulas[0]}"
    if rule == "output":
        delta = network.output.formulas[1]
        over = PER_B[reduction] if isinstance(reduction, str) else f" * {reduction:.6g}"
        if over.startswith(" / 2") and delta.startswith("2 "):
            delta, over = delta[2:], over.replace("2", "", 1) if over != " / 2" else ""
        return f"delta_L = {delta}{over}"
    return FORMULAS[rule]


def head_of(network: Network, B: int, C: int, weights: np.ndarray | None = None) -> Head:
    """Return the head for a batch of B examples with C outputs, which may have weights, (B,)."""
    r, w, output = factor(network.reduction, B, C), np.ones(1) if weights is None else weights, network.output

    def rows(f: Rows, w: np.ndarray = w) -> Rows:
        return lambda s: r * w[:, None] * f(s)

    return Head(
        lambda s: float(r * np.sum(w * output.losses(s))),
        rows(output.delta),
        rows(output.plain) if output.plain else None,
        rows(output.diagonal) if output.diagonal else None,
        None if weights is None else rows(output.delta, np.ones(1)),
        r,
        network.k / (B if network.k_per_example else 1),
        network.c,
    )


class Fitted(NamedTuple):
    """An activation and an output that explain losses, with the r, k and c that they need."""

    phi: Elementwise
    output: Output
    r: float
    k: float
    c: float
    residual: float
    y: np.ndarray
    weights: np.ndarray | None


@np.errstate(all="ignore")
def fitted(
    L: np.ndarray,
    params: Sequence[Gradients],
    x: np.ndarray,
    targets: Sequence[np.ndarray],
    masks: Sequence[np.ndarray] = (),
    tolerance: float | None = None,
) -> Iterator[Fitted]:
    """Yield what explains losses: L = r S + k Q + c at each params, x and one of the targets.

    Args:
      L: the losses, at least `EVALUATIONS` of them.
      params: for each loss [(W_1, b_1), ...].
      x: (B, D).
      targets: labels (B,) or arrays (B, C).
      masks: weights of the examples, (B,), that may be in the loss.
      tolerance: relative, of the losses; None for float64.
    """
    Q = np.array([sum(float((W**2).sum()) for W, _ in pairs) for pairs in params])
    nothing = head_of(Network(identity, OUTPUTS[1]), len(x), 1)
    for phi in (*ACTIVATIONS.values(), *OTHERS) if len(params[0]) > 1 else (identity,):
        passes = [forward(pairs, x, np.zeros(len(x), int), phi, nothing) for pairs in params]
        same = [] if phi in (sigmoid, tanh, identity) else [_squared(phi)]
        for y in targets:
            for output in (*OUTPUTS, *same):
                rows = np.stack([output.losses(s._replace(y=y)) for s in passes])
                for weights in (None, *masks):
                    numbers = _numbers(L, rows.sum(axis=1) if weights is None else rows @ weights, Q, tolerance or FIT)
                    if numbers is not None:
                        yield Fitted(phi, output, *numbers, y, weights)


def _matter(found: np.ndarray, columns: Sequence[np.ndarray], L: np.ndarray) -> bool:
    """Return whether each number is needed for the losses, and the first for a thousandth of their changes."""
    shares = [
        abs(number) * (np.ptp(column) / np.ptp(L) if np.ptp(column) else 1 / np.abs(L).max()) if np.ptp(L) else 0.0
        for number, column in zip(found, columns, strict=True)
    ]
    return shares[0] > 1e-3 and min(shares) > 1e-6


def _numbers(
    L: np.ndarray, S: np.ndarray, Q: np.ndarray, tolerance: float
) -> tuple[float, float, float, float] | None:  # fmt: skip
    """Return r, k and c of L = r S + k Q + c, if it holds, and how nearly; with as few of them as it needs."""
    if not np.isfinite(S).all():
        return None
    allowed, one = tolerance * np.abs(L).max(), np.ones_like(L)
    for columns in ([S], [S, Q], [S, one], [S, Q, one]):
        n, A = len(columns), np.stack(columns, axis=1)
        few = A[:n] if n < 3 else A
        try:
            found = np.linalg.solve(few, L[:n]) if n < 3 else np.linalg.lstsq(few, L, rcond=None)[0]
        except np.linalg.LinAlgError:
            continue
        if abs(A[-1] @ found - L[-1]) <= allowed and found[0] > 0 and _matter(found, columns, L):
            residual = float(np.abs(A @ found - L).max())
            if residual <= allowed:
                r, *rest = (float(number) for number in found)
                k = rest[0] if n > 1 and columns[1] is Q else 0.0
                return r, k, rest[-1] if columns[-1] is one else 0.0, residual
    return None
