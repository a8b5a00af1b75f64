"""Whether a known mistake is one in a network: 1 - h^2 for phi'(z) is right for tanh."""

import functools

import numpy as np

from mlp_jax.check._networks.chain import backward, broken
from mlp_jax.check._networks.judgement import distance, flat, forward_pass
from mlp_jax.check._networks.mistakes import MISTAKES
from mlp_jax.check._networks.problems import Settings, network_of, probes

SAME = 1e-9  # relative distance of gradients


@functools.cache
def mistakes_of(activation: str, loss: str) -> frozenset[str]:
    """Return the names of the known mistakes that change the loss or the gradients of a network."""
    network = network_of(Settings(activation=activation, loss=loss))
    s = forward_pass(probes(3)[1], network)  # all widths are equal, so that the shapes of every mistake fit
    right = backward(s)
    found = set()
    for mistake in MISTAKES:
        result = broken(mistake, s)
        is_other = result is None or abs(result[0] - right[0]) > SAME or _apart(result[1], right[1])
        if mistake.belongs_to(network.output.name) and is_other:
            found.add(mistake.name)
    return frozenset(found)


def _apart(one: list[tuple[np.ndarray, np.ndarray]], other: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return not distance(flat(one), flat(other), 1.0) <= SAME
