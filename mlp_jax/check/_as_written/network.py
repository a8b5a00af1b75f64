"""Which network and loss does a file compute? Recognised by its numbers, and the mistakes that explain its gradient.

A network of linear layers is tried in every layout that fits the shapes of the parameters, with every activation,
output and loss below. With S the sum of the examples' losses, perhaps weighted by a mask, and Q the sum of squared
weights, it is the file's if loss = r S + k Q with the same r and k wherever it was evaluated: r is the reduction, and k
the L2 term.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

import numpy as np

from mlp_jax.check._as_written import conversation
from mlp_jax.check._as_written.conversation import Running
from mlp_jax.check._as_written.trial import Trial
from mlp_jax.check._diagnosis.judgement import distance
from mlp_jax.check._diagnosis.mistake_table import MISTAKES
from mlp_jax.check._diagnosis.mistakes import (
    FORWARD,
    PER_LAYER,
    Elementwise,
    Gradients,
    Head,
    Mistake,
    Pass,
    at_layers,
    broken,
    forward,
)
from mlp_jax.check._training_step.rounds import drawn

Rows = Callable[[Pass], np.ndarray]
CROSS_ENTROPY = "softmax outputs, cross-entropy"
EVALUATIONS = 6  # of the loss, for two numbers r and k
MOST_LAYOUTS = 4
FIT = 1e-8  # relative, of the losses
MATCH = 1e-5  # relative L2 distance of a leaf


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))


def _swish_derivative(z: np.ndarray) -> np.ndarray:
    s = _sigmoid(z)
    return s + z * s * (1 - s)


def _normal(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.vectorize(math.erf, otypes=[float])(z / math.sqrt(2))))


def _leaky(slope: float) -> Elementwise:
    return Elementwise(
        f"leaky relu with slope {slope:g}", lambda z: np.where(z > 0, z, slope * z), lambda z: np.where(z > 0, 1, slope)
    )


def _tanh_gelu(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))))


def _tanh_gelu_derivative(z: np.ndarray) -> np.ndarray:
    a = math.sqrt(2 / math.pi)
    t = np.tanh(a * (z + 0.044715 * z**3))
    return np.asarray(0.5 * (1 + t) + 0.5 * z * (1 - t * t) * a * (1 + 3 * 0.044715 * z * z))


IDENTITY = Elementwise("linear", lambda z: z, np.ones_like)
SIGMOID = Elementwise("sigmoid", _sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z))
TANH = Elementwise("tanh", np.tanh, lambda z: 1 - np.tanh(z) ** 2)
RELU = Elementwise("relu", lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0)
ACTIVATIONS = (
    SIGMOID, TANH, RELU, *map(_leaky, (0.01, 0.05, 0.1, 0.2)),
    Elementwise("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z: np.exp(np.minimum(z, 0))),
    Elementwise("softplus", lambda z: np.logaddexp(z, 0), _sigmoid),
    Elementwise("swish", lambda z: z * _sigmoid(z), _swish_derivative),
    Elementwise("gelu", lambda z: z * _normal(z),
                lambda z: _normal(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)),
    Elementwise("gelu (tanh)", _tanh_gelu, _tanh_gelu_derivative),
    Elementwise("sin", np.sin, np.cos),
    IDENTITY,
)  # fmt: skip


class Output(NamedTuple):
    """An output and a loss: its words, and functions of a pass.

    Attributes:
      words: such as "linear outputs, squared error".
      losses: the losses of the examples, (B,).
      delta: their derivatives in z_L, (B, C).
      plain: those in the outputs, if they are others.
      diagonal: plain times the diagonal of the outputs' Jacobian, if that is another thing than delta.
    """

    words: str
    losses: Rows
    delta: Rows
    plain: Rows | None = None
    diagonal: Rows | None = None


def _squared(o: Elementwise) -> Output:
    """Return the squared error of outputs o(z_L)."""

    def error(s: Pass) -> np.ndarray:
        return np.asarray(o.value(s.z[-1]) - s.Y)

    def losses(s: Pass) -> np.ndarray:
        return np.asarray((error(s) ** 2).sum(axis=1))

    def delta(s: Pass) -> np.ndarray:
        return np.asarray(2 * error(s) * o.derivative(s.z[-1]))

    plain = None if o is IDENTITY else lambda s: 2 * error(s)
    return Output(f"{o.name} outputs, squared error", losses, delta, plain)


def _softmax_squared(s: Pass) -> np.ndarray:
    e = 2 * (s.p - s.Y)
    return np.asarray(s.p * (e - (e * s.p).sum(axis=1, keepdims=True)))


def _binary(s: Pass) -> np.ndarray:
    z, Y = s.z[-1], s.Y
    return np.asarray((Y * np.logaddexp(0, -z) + (1 - Y) * np.logaddexp(0, z)).sum(axis=1))


def _binary_delta(s: Pass) -> np.ndarray:
    return _sigmoid(s.z[-1]) - s.Y


OUTPUTS = (
    Output(
        CROSS_ENTROPY,
        lambda s: -(s.Y * np.log(s.p)).sum(axis=1),
        lambda s: s.p * s.Y.sum(axis=1, keepdims=True) - s.Y,
        lambda s: -s.Y / s.p,
        lambda s: -s.Y * (1 - s.p),
    ),
    Output(
        "sigmoid outputs, binary cross-entropy",
        _binary,
        _binary_delta,
        lambda s: _binary_delta(s) / SIGMOID.derivative(s.z[-1]),
        lambda s: _binary_delta(s) * SIGMOID.derivative(s.z[-1]),
    ),
    *map(_squared, (IDENTITY, SIGMOID, TANH)),
    Output(
        "softmax outputs, squared error",
        lambda s: ((s.p - s.Y) ** 2).sum(axis=1),
        _softmax_squared,
        lambda s: 2 * (s.p - s.Y),
        lambda s: 2 * (s.p - s.Y) * s.p * (1 - s.p),
    ),
)


def _head(output: Output, r: float, weights: np.ndarray | None) -> Head:
    """Return the loss r sum_i w_i L_i of an output, and its derivatives."""
    w = np.ones(1) if weights is None else weights

    def rows(f: Rows, w: np.ndarray = w) -> Rows:
        return lambda s: r * w[:, None] * f(s)

    return Head(
        lambda s: float(r * np.sum(w * output.losses(s))),
        rows(output.delta),
        rows(output.plain) if output.plain else None,
        rows(output.diagonal) if output.diagonal else None,
        None if weights is None else rows(output.delta, np.ones(1)),
    )


def _of_head(field: str) -> Rows:
    """Return the rule of a head's field; it does not fit where the head has none."""

    def rule(s: Pass) -> np.ndarray:
        function = getattr(s.loss, field)
        if function is None:
            raise ValueError(field)
        return np.asarray(function(s))

    return rule


OF_OUTPUT = (
    Mistake("missing_activation_derivative", "leaves out the derivative of the output's activation",
            {"output": _of_head("plain")}),
    Mistake("softmax_gradient", "takes the diagonal of the output's Jacobian alone, o (1 - o)",
            {"output": _of_head("diagonal")}),
    Mistake("scale", "counts every example alike, though the loss weights them, as a mask does",
            {"output": _of_head("unweighted")}),
)  # fmt: skip


class Linear(NamedTuple):
    """A layer: the names of weight and bias, whether the weight is (fan_out, fan_in), and where it holds the bias."""

    weight: str
    bias: str | None
    transposed: bool
    folded: str


class Network(NamedTuple):
    """A network that a file computes: its words, its layers, its passes at the draws of a trial, and its L2 term k."""

    words: str
    layers: tuple[Linear, ...]
    passes: tuple[Pass, ...]
    k: float


def layouts(shapes: dict[str, tuple[int, ...]], width: int, transposed: bool) -> Iterator[tuple[Linear, ...]]:
    """Yield the ways in which parameters make layers, from inputs of a width."""
    if not shapes:
        yield ()
    for name, shape in shapes.items():
        if len(shape) != 2:
            continue
        fan_in, fan_out = shape[::-1] if transposed else shape
        if fan_in not in (width, width + 1):
            continue
        others = {other: s for other, s in shapes.items() if other != name}
        fits = [other for other, s in others.items() if math.prod(s) == fan_out and sum(n > 1 for n in s) <= 1]
        folds = ("",) if fan_in == width else ("first", "last")
        for folded in folds:
            for bias in [*fits[:2], None] if not folded else [None]:
                rest = {other: s for other, s in others.items() if other != bias}
                for above in layouts(rest, fan_out, transposed):
                    yield (Linear(name, bias, transposed, folded), *above)


def in_rows(layers: Sequence[Linear], arrays: dict[str, np.ndarray]) -> Gradients:
    """Return parameters or their gradients as [(W (fan_in, fan_out), b (fan_out,)), ...]; an absent bias is 0."""
    pairs = []
    for weight, bias, transposed, folded in layers:
        W = arrays[weight].T if transposed else arrays[weight]
        b = np.zeros(W.shape[1]) if bias is None else arrays[bias].reshape(-1)
        if folded:
            W, b = (W[1:], W[0]) if folded == "first" else (W[:-1], W[-1])
        pairs.append((W, b))
    return pairs


def recognised(trial: Trial, run: Running, rng: np.random.Generator) -> Network | None:
    """Return the network that a trial's file computes, or None."""
    i, j, _ = trial.numbers
    shapes = trial.step.shapes
    points = [drawn(shapes, rng) for _ in range(EVALUATIONS)]
    flats = [np.concatenate([a.ravel() for a in point.values()]) for point in points]
    L = np.array([conversation.losses(run, i, j, flat, np.zeros(1), np.zeros(1))[0] for flat in flats])
    data = conversation.data(run, i)
    for layers, x in _readings(shapes, data) if np.isfinite(L).all() else ():
        params = [in_rows(layers, point) for point in points]
        Q = np.array([sum(float((W**2).sum()) for W, _ in pairs) for pairs in params])
        C = params[0][-1][1].size
        masks = [a for a, _ in data if a.shape == (len(x),) and 0 <= a.min() < a.max()]
        for phi in ACTIVATIONS if len(layers) > 1 else (IDENTITY,):
            with np.errstate(all="ignore"):
                passes = [forward(pairs, x, np.zeros(len(x), int), phi, "squared_error") for pairs in params]
                of_phi = [] if phi in (SIGMOID, TANH, IDENTITY) else [_squared(phi)]
                for y, output in product(_targets(data, len(x), C), (*OUTPUTS, *of_phi)):
                    rows = np.stack([output.losses(s._replace(y=y)) for s in passes])
                    for weights in (None, *masks):
                        found = _fitted(L, rows.sum(axis=1) if weights is None else rows @ weights, Q)
                        if found is not None:
                            return _network(trial, layers, x, y, phi, output, weights, *found)
    return None


def _network(
    trial: Trial,
    layers: tuple[Linear, ...],
    x: np.ndarray,
    y: np.ndarray,
    phi: Elementwise,
    output: Output,
    weights: np.ndarray | None,
    r: float,
    k: float,
) -> Network:
    head = _head(output, r, weights)
    thetas = [in_rows(layers, {leaf.name: leaf.theta for leaf in draw}) for draw in trial.draws]
    passes = tuple(forward(theta, x, y, phi, head) for theta in thetas)
    hidden = f"{phi.name}, " if len(layers) > 1 else ""
    reduction = _reduction(r, *passes[0].z[-1].shape)
    if weights is not None:
        mean = abs(r * weights.sum() - 1) < 1e-6
        reduction = "mean over the examples by weight" if mean else f"{r:.6g} times the weighted sum"
    term = f", L2 term {k:.6g} |W|^2" if k else ""
    biases = "" if all(layer.bias or layer.folded for layer in layers) else ", some biases absent"
    return Network(f"{hidden}{output.words}, {reduction}{biases}{term}", layers, passes, k)


def _readings(
    shapes: dict[str, tuple[int, ...]], data: Sequence[tuple[np.ndarray, bool]]
) -> Iterator[tuple[tuple[Linear, ...], np.ndarray]]:
    """Yield layers and inputs (B, D) that fit one another."""
    seen = set()
    for a, _ in data:
        for x in (a[None],) if a.ndim == 1 else (a, a.T):
            if (x.shape, x.tobytes()) not in seen:
                seen.add((x.shape, x.tobytes()))
                for transposed in (False, True):
                    for layers in islice(layouts(shapes, x.shape[1], transposed), MOST_LAYOUTS):
                        yield layers, x


def _targets(data: Sequence[tuple[np.ndarray, bool]], B: int, C: int) -> Iterator[np.ndarray]:
    for a, whole in data:
        if whole and a.shape == (B,) and C > 1 and a.min() >= 0 and a.max() < C:
            yield a.astype(int)
        for t in (a, a.T) if a.ndim == 2 else (a.reshape(-1, 1), a.reshape(1, -1)):
            if t.shape == (B, C):
                yield t


def _fitted(L: np.ndarray, S: np.ndarray, Q: np.ndarray) -> tuple[float, float] | None:
    """Return r and k of L = r S + k Q, if it holds: from two evaluations, and tried on all."""
    largest = np.abs(L).max()
    determinant = S[0] * Q[1] - S[1] * Q[0]
    with_k = (L[0] * Q[1] - L[1] * Q[0]) / determinant, (S[0] * L[1] - S[1] * L[0]) / determinant
    for r, k in ((L[0] / S[0], 0.0), with_k):
        fits_one = abs(r * S[2] + k * Q[2] - L[2]) <= FIT * largest  # most do not, and all takes longer
        if fits_one and r > 0 and np.abs(r * S + k * Q - L).max() <= FIT * largest:
            return float(r), float(k)
    return None


def _reduction(r: float, B: int, C: int) -> str:
    """Name the factor of a sum over B examples and C outputs."""
    names = {
        "sum": 1.0,
        "half of the sum": 0.5,
        "mean over the batch": 1 / B,
        "half of the mean over the batch": 0.5 / B,
        "mean over all entries": 1 / (B * C),
        "half of the mean over all entries": 0.5 / (B * C),
    }
    return next((name for name, value in names.items() if abs(r - value) <= 1e-6 * value), f"{r:.6g} times the sum")


def explained(network: Network, trial: Trial) -> tuple[Mistake, float] | None:
    """Return the known mistake that gives a trial's gradients in its network, and how nearly, if there is one."""
    given = []
    for draw in trial.draws:
        if any(leaf.actual.shape != leaf.theta.shape for leaf in draw):
            return None
        theta = in_rows(network.layers, {leaf.name: leaf.theta for leaf in draw})
        pairs = in_rows(network.layers, {leaf.name: leaf.actual for leaf in draw})
        given.append([(dW - 2 * network.k * W, db) for (dW, db), (W, _) in zip(pairs, theta, strict=True)])
    loss = "cross_entropy" if CROSS_ENTROPY in network.words else ""
    table = [
        mistake
        for mistake in (*OF_OUTPUT, *MISTAKES)
        if mistake.of_gradient and mistake.parameter is None and not any(rule in FORWARD for rule in mistake.rules)
        and mistake.belongs_to(loss)
    ]  # fmt: skip
    local = [mistake for mistake in table if any(rule in PER_LAYER for rule in mistake.rules)]
    in_one = [at_layers(mistake, l) for l in range(len(network.layers), 0, -1) for mistake in local]
    for mistake in (*table, *in_one):
        pairs_of = zip(network.passes, given, strict=True)
        worst = max(_distance(mistake, s, pairs, network.layers) for s, pairs in pairs_of)
        if worst <= MATCH:
            return mistake, worst
    return None


def _distance(mistake: Mistake, s: Pass, given: Gradients, layers: Sequence[Linear]) -> float:
    """Return the largest relative distance of a leaf from what a mistake gives."""
    result = broken(mistake, s)
    if result is None:
        return math.inf
    distances = []
    for (dW, db), (W, b), layer in zip(result[1], given, layers, strict=True):
        leaves = [(dW, W)] + ([(db, b)] if layer.bias or layer.folded else [])
        distances += [distance(a, e, 1.0) for a, e in leaves]
    return max(distances)
