"""The network that a training step is meant to be, where its loss is of none that is known or not of the declared one.

A file that forgets the logarithm still computes hidden layers, outputs and an error. So of all networks that its
parameters and data can make, it is meant to be the one whose numbers are found most often among those that it computes.
"""

import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from mlp_jax.check._differences.layouts import Linear, Recognised, Script, in_rows, readings, targets, without
from mlp_jax.check._differences.running import Running, data
from mlp_jax.check._networks.chain import Pass, backward
from mlp_jax.check._networks.elementwise import ACTIVATIONS, Elementwise, identity
from mlp_jax.check._networks.judgement import forward_pass
from mlp_jax.check._networks.networks import MEAN, OUTPUTS, REDUCTIONS, Network, Output, words
from mlp_jax.check._networks.problems import Problem, network_of

SAME = 1e-9  # relative distance of numbers
LEAST = 0.99  # of outputs, loss and delta_L one at least is computed, if nobody says which they are
MOST_READINGS = 50  # of layers, inputs and targets that are tried


class _Reading(NamedTuple):
    """What a step's arrays may be: its layers, inputs and targets."""

    layers: tuple[Linear, ...]
    x: np.ndarray
    y: np.ndarray


@np.errstate(all="ignore")
def intended(run: Running, script: Script, seen: Sequence[np.ndarray]) -> Recognised | None:
    """Return the network that a step is meant to be, with its passes at the draws of its trial, or None.

    Args:
      run: the file.
      script: the step; what its author declares is part of the network.
      seen: the values that it computes at the first draw.
    """
    numbers = np.unique(np.concatenate([np.zeros(1), *(np.abs(a).ravel() for a in seen)]))
    tried = sorted(itertools.islice(_readings(run, script), MOST_READINGS), key=_unlikely)
    shares = [_likeliest(script, reading, numbers) for reading in tried]
    share, known = max(shares, key=itemgetter(0), default=(0.0, None))
    return known if share else None


def _likeliest(script: Script, reading: _Reading, numbers: np.ndarray) -> tuple[float, Recognised]:
    """Return the network for layers, inputs and targets of whose values most are computed, and how many layers'."""
    trial, _, asked = script
    layers, x, y = reading
    own = network_of(asked.settings)
    activations: Sequence[Elementwise] = [own.phi] if "activation" in asked.declared else [*ACTIVATIONS.values()]
    outputs: Sequence[Output] = [own.output] if "loss" in asked.declared else OUTPUTS
    thetas = [in_rows(layers, {leaf.name: leaf.theta for leaf in draw}) for draw in trial.draws]

    def of(phi: Elementwise, output: Output, reduction: str) -> Recognised:
        network = Network(phi, output, reduction, without=without(layers))
        passes = tuple(forward_pass(Problem("a draw", theta, x, y), network) for theta in thetas)
        return Recognised(words(network, len(layers)), network, layers, passes)

    def hidden(phi: Elementwise) -> float:
        s = of(phi, outputs[0], MEAN).passes[0]
        return _shares([*s.z[1:], *s.h[1:]], numbers)

    def last(known: Recognised) -> float:
        return _shares([*_last(known.passes[0], known.network.output)], numbers)

    phi = max(activations, key=hidden)
    known = max((of(phi, *pair) for pair in itertools.product(outputs, REDUCTIONS)), key=last)
    told = last(known)
    return hidden(phi) + told if "loss" in asked.declared or told >= LEAST else 0.0, known


def _readings(run: Running, script: Script) -> Iterator[_Reading]:
    found = data(run, script.trial.numbers[0])
    for layers, x in readings(script.trial.step.shapes, found):
        theta = {leaf.name: leaf.theta for leaf in script.trial.draws[0]}
        for y in targets(found, len(x), in_rows(layers, theta)[-1][1].size):
            yield _Reading(layers, x, y)


def _unlikely(reading: _Reading) -> int:
    """Return how unlikely targets are: labels are likelier than numbers, and inputs are the targets of autoencoders."""
    return reading.y.ndim + np.array_equal(reading.x, reading.y)


def _last(s: Pass, output: Output) -> Iterator[np.ndarray]:
    """Yield outputs, if they are not z_L, loss and delta_L."""
    if output.o is not identity:
        yield s.p if output.o is None else output.o.value(s.z[-1])
    yield np.array(backward(s)[0])
    yield s.loss.output(s)


def _shares(arrays: Sequence[np.ndarray], numbers: np.ndarray) -> float:
    return sum(_share(a, numbers) for a in arrays)


def _share(a: np.ndarray, numbers: np.ndarray) -> float:
    """Return the share of an array's numbers that are among others, or minus them; whole ones do not count."""
    told = np.abs(a[a != np.round(a)])
    i = np.searchsorted(numbers, told * (1 - SAME))
    near = numbers[np.minimum(i, len(numbers) - 1)]
    return float(np.sum(np.abs(near - told) <= SAME * told)) / a.size
