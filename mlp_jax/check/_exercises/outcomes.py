"""What a written file computes at a small problem, to see that planted mistakes neither cancel nor mask each other.

The file is run here: it was written by `writing`, and holds nothing but NumPy.
"""

from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np

from mlp_jax.check._exercises.pieces import Network
from mlp_jax.check._exercises.writing import Spot, assembled
from mlp_jax.check._networks.judgement import distance
from mlp_jax.check._networks.problems import probes

APART = 1e-6  # relative, of loss and gradients


def are_apart(of: Network, spots: Sequence[Spot]) -> bool:
    """Return whether every selection of some mistakes, also none, gives other numbers, and raises no error."""
    with np.errstate(all="ignore"):
        return _are_apart(of, spots)


def _are_apart(of: Network, spots: Sequence[Spot]) -> bool:
    selections = chain.from_iterable(combinations(spots, count) for count in range(len(spots) + 1))
    found = [outcome(of, selection) for selection in selections]
    pairs = combinations(found, 2)
    return all(one is not None and other is not None and distance(one, other, 1.0) > APART for one, other in pairs)


def outcome(of: Network, spots: Sequence[Spot]) -> np.ndarray | None:
    """Return loss and gradients of a file with mistakes, as one vector; None if it raises or is not finite."""
    names: dict[str, Any] = {"__name__": "exercise"}
    try:
        exec(assembled(of, spots, "").text, names)
        found = _of_script(names) if of.style == "classes" else _of_function(names, of)
    except (ValueError, IndexError, TypeError, KeyError):
        return None
    vector = np.concatenate([np.ravel(np.asarray(array, float)) for array in found])
    return vector if np.isfinite(vector).all() else None


def _of_script(names: dict[str, Any]) -> list[Any]:
    layers = [layer for layer in names["layers"] if hasattr(layer, "dW")]
    return [names["loss"], *(array for layer in layers for array in (layer.dW, layer.db))]


def _of_function(names: dict[str, Any], of: Network) -> list[Any]:
    problem = probes(of.layers)[0]
    if of.style != "columns":
        loss, gradients = names["loss_and_gradients"](problem.params, problem.x, problem.labels)
        return [loss, *(array for pair in gradients for array in pair)]
    arrays = {f"{name}{l}": array.T if name == "W" else array[:, None]
              for l, pair in enumerate(problem.params, 1) for name, array in zip("Wb", pair, strict=True)}  # fmt: skip
    loss, gradients = names["loss_and_gradients"](arrays, problem.x.T, problem.labels)
    return [loss, *(gradients[f"d{name}"] for name in arrays)]
