"""Recognise the network that a script computes, and try the known mistakes in it.

The parameters of a script are arrays under its own names, and its data are among its arrays. So every way in which they
make layers, from inputs of a fitting width, is tried, until the losses are those of a network (`networks`).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from mlp_jax.check._child.rounds import drawn
from mlp_jax.check._differences import running
from mlp_jax.check._differences.running import Running
from mlp_jax.check._differences.trial import Trial
from mlp_jax.check._networks.chain import (
    FORWARD,
    PER_LAYER,
    Gradients,
    Mistake,
    Pass,
    at_layers,
    broken,
)
from mlp_jax.check._networks.judgement import distance, forward_pass
from mlp_jax.check._networks.mistakes import mistakes_of
from mlp_jax.check._networks.networks import EVALUATIONS, Fitted, Network, fitted, reduction_of, words
from mlp_jax.check._networks.problems import Asked, Problem

MOST_LAYOUTS = 4
MATCH = 1e-5  # relative L2 distance of a leaf


class Linear(NamedTuple):
    """A layer: the names of weight and bias, whether the weight is (fan_out, fan_in), and where it holds the bias."""

    weight: str
    bias: str | None
    transposed: bool
    folded: str


class Recognised(NamedTuple):
    """A network that a script computes: its words, the network, its layers, and its passes at the draws of a trial."""

    words: str
    network: Network
    layers: tuple[Linear, ...]
    passes: tuple[Pass, ...]


class Script(NamedTuple):
    """A training step as it was judged: its trial, the network that it computes, if it is known, and what was asked."""

    trial: Trial
    known: Recognised | None
    asked: Asked


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


def recognised(trial: Trial, run: Running, rng: np.random.Generator) -> Recognised | None:
    """Return the network that a trial's script computes, or None."""
    i, j, _ = trial.numbers
    shapes = trial.step.shapes
    points = [drawn(shapes, rng) for _ in range(EVALUATIONS)]
    flats = [np.concatenate([a.ravel() for a in point.values()]) for point in points]
    L = np.array([running.losses(run, i, j, flat, np.zeros(1), np.zeros(1))[0] for flat in flats])
    data = running.data(run, i)
    for layers, x in readings(shapes, data) if np.isfinite(L).all() else ():
        params = [in_rows(layers, point) for point in points]
        C = params[0][-1][1].size
        masks = [a for a, _ in data if a.shape == (len(x),) and 0 <= a.min() < a.max()]
        fit = next(fitted(L, params, x, list(targets(data, len(x), C)), masks), None)
        if fit is not None:
            return _recognised(trial, layers, x, fit)
    return None


def _recognised(trial: Trial, layers: tuple[Linear, ...], x: np.ndarray, fit: Fitted) -> Recognised:
    thetas = [in_rows(layers, {leaf.name: leaf.theta for leaf in draw}) for draw in trial.draws]
    C = thetas[0][-1][1].size
    r = reduction_of(fit.r, len(x), C) if fit.weights is None else fit.r
    network = Network(fit.phi, fit.output, r, fit.k, c=fit.c, without=without(layers))
    passes = tuple(forward_pass(Problem("a draw", theta, x, fit.y), network, fit.weights) for theta in thetas)
    return Recognised(words(network, len(layers), fit.weights), network, layers, passes)


def without(layers: Sequence[Linear]) -> frozenset[tuple[int, int]]:
    """Return the layers without bias, as a `Network` has them."""
    return frozenset((len(layers), l) for l, layer in enumerate(layers, 1) if not (layer.bias or layer.folded))


def readings(
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


def targets(data: Sequence[tuple[np.ndarray, bool]], B: int, C: int) -> Iterator[np.ndarray]:
    for a, whole in data:
        if whole and a.shape == (B,) and C > 1 and a.min() >= 0 and a.max() < C:
            yield a.astype(int)
        for t in (a, a.T) if a.ndim == 2 else (a.reshape(-1, 1), a.reshape(1, -1)):
            if t.shape == (B, C):
                yield t


def explained(known: Recognised, trial: Trial) -> tuple[Mistake, float] | None:
    """Return the known mistake that gives a trial's gradients in its network, and how nearly, if there is one."""
    given = []
    for draw in trial.draws:
        if any(leaf.actual.shape != leaf.theta.shape for leaf in draw):
            return None
        given.append(in_rows(known.layers, {leaf.name: leaf.actual for leaf in draw}))
    table = [
        mistake
        for mistake in mistakes_of(known.network, known.passes[0].loss.unweighted is not None)
        if mistake.of_gradient and mistake.parameter is None and not any(rule in FORWARD for rule in mistake.rules)
    ]
    local = [mistake for mistake in table if any(rule in PER_LAYER for rule in mistake.rules)]
    in_one = [at_layers(mistake, l) for l in range(len(known.layers), 0, -1) for mistake in local]
    for mistake in (*table, *in_one):
        pairs_of = zip(known.passes, given, strict=True)
        worst = max(_distance(mistake, s, pairs, known.layers) for s, pairs in pairs_of)
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
