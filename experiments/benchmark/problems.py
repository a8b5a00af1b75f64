"""What all sides of a workload share: examples, initial parameters, and the order of the examples."""

import pickle
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
      params: (weight, bias) of every layer, weight (fan_in, fan_out); with a leading axis if there are many networks.
      order: (N,), the order in which all sides see the examples when they are compared.
    """

    x: Array
    labels: Array
    params: list[tuple[Array, Array]]
    order: Array


def make(workload: Workload, path: Path) -> str:
    """Write the problem of a workload, and return where its examples come from. Needs JAX, so one side does it.

    Parameters are drawn as `mlp_jax.sweep` draws them, from one seed per network.
    """
    import jax

    import mlp_jax

    if not workload.sizes:
        path.write_bytes(pickle.dumps(Problem(np.zeros((1, 1), np.float32), np.zeros(1, np.int64), [], np.arange(1))))
        return "none"
    x, labels, source = examples(workload)

    def draw(seed: Any) -> mlp_jax.network.Params:
        key_params, _ = jax.random.split(jax.random.key(seed))
        return mlp_jax.init_params(key_params, workload.sizes, mlp_jax.activations.ACTIVATIONS[workload.activation])

    seeds = jax.numpy.arange(workload.nets)
    layers = jax.jit(jax.vmap(draw))(seeds) if workload.nets > 1 else draw(0)
    params = [(np.array(layer.weight), np.array(layer.bias)) for layer in layers]
    order = np.arange(len(x)) if workload.full_batch else np.random.default_rng(1).permutation(len(x))
    path.write_bytes(pickle.dumps(Problem(x, labels, params, order)))
    return source


def load(path: Path) -> Problem:
    """Return the problem that `make` wrote."""
    problem: Problem = pickle.loads(path.read_bytes())
    return problem


def examples(workload: Workload) -> tuple[Array, Array, str]:
    """Return x (N, D), labels (N,) and their source: MNIST if it is at hand, else points that can be learnt."""
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
    """Return MNIST's first images, standardised, and labels; None if the files are not at hand. Download nothing."""
    from mlp_jax.datasets import read_mnist

    try:
        files = read_mnist(mirrors=())
    except ConnectionError:
        return None
    x = files["train-images-idx3-ubyte"][:count].reshape(count, -1).astype(np.float32)
    return (x - x.mean()) / x.std(), files["train-labels-idx1-ubyte"][:count].astype(np.int64)


def units_of_training(workload: Workload) -> float:
    """Return the number of steps if the batch is full, else the share of an epoch of MNIST."""
    return workload.steps if workload.full_batch else workload.examples / MNIST_EXAMPLES
