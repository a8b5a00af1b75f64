"""The network that a training step is meant to be, where its loss is of none that is known or not of the declared one.

A file that forgets the logarithm still computes hidden layers, outputs and an error. So of all networks that its
parameters and data can make, it is meant to be the one whose numbers are found most often among those that it computes.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlp_jax.check._differences.layouts import Linear, Recognised, Script, in_rows, readings, targets, without
from mlp_jax.check._differences.running import Running, data
from mlp_jax.check._networks.chain import Pass, backward
from mlp_jax.check._networks.elementwise import ACTIVATIONS, Elementwise
from mlp_jax.check._networks.judgement import forward_pass
from mlp_jax.check._networks.networks import OUTPUTS, REDUCTIONS, Network, Output, words
from mlp_jax.check._networks.problems import Problem, network_of

SAME = 1e-9  # relative distance of numbers
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
    trial, _, asked = script
    own = network_of(asked.settings)
    activations: Sequence[Elementwise] = [own.phi] if "activation" in asked.declared else [*ACTIVATIONS.values()]
    outputs: Sequence[Output] = [own.output] if "loss" in asked.declared else OUTPUTS
    numbers = np.unique(np.concatenate([np.zeros(1), *(np.abs(a).ravel() for a in seen)]))
    best, most = None, 0.0
    for reading in sorted(itertools.islice(_readings(run, script), MOST_READINGS), key=_unlikely):

        def of(network: Network, draw: int = 0, reading: _Reading = reading) -> Pass:
            theta = {leaf.name: leaf.theta for leaf in trial.draws[draw]}
            return forward_pass(Problem("a draw", in_rows(reading.layers, theta), reading.x, reading.y), network)

        phi = max(activations, key=lambda phi: _hidden(of(Network(phi, outputs[0])), numbers))
        for output, reduction in itertools.product(outputs, REDUCTIONS):
            network = Network(phi, output, reduction, without=without(reading.layers))
            s = of(network)
            share = _hidden(s, numbers) + _last(s, output, numbers)
            if share > most:
                passes = tuple(of(network, draw) for draw in range(len(trial.draws)))
                best = Recognised(words(network, len(reading.layers)), network, reading.layers, passes)
                most = share
    return best


def _readings(run: Running, script: Script) -> Iterator[_Reading]:
    found = data(run, script.trial.numbers[0])
    for layers, x in readings(script.trial.step.shapes, found):
        theta = {leaf.name: leaf.theta for leaf in script.trial.draws[0]}
        for y in targets(found, len(x), in_rows(layers, theta)[-1][1].size):
            yield _Reading(layers, x, y)


def _unlikely(reading: _Reading) -> int:
    """Return how unlikely targets are: labels are likelier than numbers, and inputs are the targets of autoencoders."""
    return reading.y.ndim + np.array_equal(reading.x, reading.y)


def _hidden(s: Pass, numbers: np.ndarray) -> float:
    """Return how many of the hidden layers' values a step computes, 1 for a whole layer."""
    return sum(_share(a, numbers) for a in (*s.z[1:], *s.h[1:]))


def _last(s: Pass, output: Output, numbers: np.ndarray) -> float:
    """Return how much of outputs, loss and delta_L a step computes, 1 for all of one."""
    outputs = s.p if output.o is None else output.o.value(s.z[-1])
    return sum(_share(a, numbers) for a in (outputs, np.array(backward(s)[0]), s.loss.output(s)))


def _share(a: np.ndarray, numbers: np.ndarray) -> float:
    """Return the share of an array's numbers that are among others, or minus them; whole ones tell nothing."""
    told = np.abs(a[a != np.round(a)])
    i = np.searchsorted(numbers, told * (1 - SAME))
    near = numbers[np.minimum(i, len(numbers) - 1)]
    return float(np.mean(np.abs(near - told) <= SAME * told)) if told.size else 0.0
