"""What all sides of a workload share: examples, initial parameters, and the order of the examples."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark.workloads import Workload

Array = np.ndarray[Any, Any]

MNIST_EXAMPLES = 60_000


class Problem(NamedTuple):
    """One training problem.

    Attributes:
      x: (N, D) float32.
      labels: (N,) int64.
      params: (weight, bias) of every layer, weight (fan_in, fan_out); with a leading axis where there are many nets.
      order: (N,), the order in which all sides see the examples when they are compared.
      source: where the examples come from.
    """

    x: Array
    labels: Array
    params: list[tuple[Array, Array]]
    order: Array
    source: str


def make(workload: Workload, path: Path) -> str:
    """Write the problem of a workload, and return where its examples come from. Needs JAX: for one side to do.

    Parameters are drawn as `mlp_jax.sweep` draws them, from one seed a network.
    """
    import jax

    import mlp_jax

    if not workload.sizes:
        np.savez(path, source="none", x=np.zeros((1, 1), np.float32), labels=np.zeros(1, np.int64), order=np.arange(1))
        return "none"
    x, labels, source = examples(workload)

    def draw(seed: Any) -> mlp_jax.network.Params:
        key_params, _ = jax.random.split(jax.random.key(seed))
        return mlp_jax.init_params(key_params, workload.sizes, mlp_jax.activations.ACTIVATIONS[workload.activation])

    seeds = jax.numpy.arange(workload.nets)
    params = jax.jit(jax.vmap(draw))(seeds) if workload.nets > 1 else draw(0)
    arrays: dict[str, Any] = {}
    for i, layer in enumerate(params):
        arrays |= {f"weight{i}": np.asarray(layer.weight), f"bias{i}": np.asarray(layer.bias)}
    order = np.arange(len(x)) if workload.full_batch else np.random.default_rng(1).permutation(len(x))
    np.savez(path, x=x, labels=labels, order=order, source=source, **arrays)
    return source


def load(path: Path) -> Problem:
    """Return the problem that `make` wrote."""
    with np.load(path) as file:
        layers = range(sum(name.startswith("weight") for name in file))
        params = [(file[f"weight{i}"], file[f"bias{i}"]) for i in layers]
        return Problem(file["x"], file["labels"], params, file["order"], str(file["source"]))


def examples(workload: Workload) -> tuple[Array, Array, str]:
    """Return x (N, D), labels (N,) and their source: MNIST where it is at hand, and points that have to be learnt."""
    rng = np.random.default_rng(0)
    features, classes = workload.sizes[0], workload.sizes[-1]
    if features == 784:
        mnist = mnist_examples(workload.examples)
        if mnist is not None:
            return *mnist, "MNIST"
    x = rng.normal(size=(workload.examples, features)).astype(np.float32)
    labels = (x @ rng.normal(size=(features, classes))).argmax(axis=1) if features > 2 else (x[:, 0] * x[:, 1] > 0)
    return x, labels.astype(np.int64), "synthetic"


def mnist_examples(count: int) -> tuple[Array, Array] | None:
    """Return MNIST's first images, standardised, and labels; None where the files are not at hand: no download."""
    from mlp_jax.datasets import read_mnist

    try:
        files = read_mnist(mirrors=())
    except ConnectionError:
        return None
    x = files["train-images-idx3-ubyte"][:count].reshape(count, -1).astype(np.float32)
    return (x - x.mean()) / x.std(), files["train-labels-idx1-ubyte"][:count].astype(np.int64)


def units_of_training(workload: Workload) -> float:
    """Return the steps with full batches, and else the share of an epoch of MNIST."""
    return workload.steps if workload.full_batch else workload.examples / MNIST_EXAMPLES


def parameters(sizes: tuple[int, ...]) -> int:
    """Count the weights and biases of a network.

    >>> parameters((2, 32, 32, 2))
    1218
    """
    return sum(a * b + b for a, b in pairwise(sizes))
