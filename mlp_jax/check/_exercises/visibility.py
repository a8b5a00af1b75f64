"""How visible is a known mistake in training? A small network learns digits by the broken chain, with several seeds.

`python -m mlp_jax.check._exercises.visibility` measures all mistakes and writes levels.json next to this module.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlp_jax.check._exercises.effect import mistakes_of
from mlp_jax.check._exercises.wrong_lines import WRONG
from mlp_jax.check._networks.chain import RIGHT, Mistake, Rules, backward, broken, forward
from mlp_jax.check._networks.elementwise import ACTIVATIONS
from mlp_jax.check._networks.mistakes import MISTAKES
from mlp_jax.check._networks.networks import LOSSES, Network, head_of

RECORD = Path(__file__).with_name("levels.json")
SEEDS = 20
EPOCHS = 10
BATCH = 32
RATE = 0.1
SHALLOW, DEEP = (64, 32, 10), (64, 32, 32, 10)  # the second for what needs two hidden layers


class Data(NamedTuple):
    """Digits: (B, 64) and labels (B,), for training and test."""

    x: np.ndarray
    labels: np.ndarray
    x_test: np.ndarray
    labels_test: np.ndarray


class Run(NamedTuple):
    """What is seen of one training.

    Attributes:
      first: the loss that the first step prints.
      last: the mean of the losses that the last epoch prints; NaN if one is not finite.
      accuracy: on the test set, after it.
    """

    first: float
    last: float
    accuracy: float


def digits() -> Data:
    """Return the data."""
    from mlp_jax import datasets

    loaded = datasets.load_digits(dtype=np.float64)
    return Data(*(np.asarray(array) for part in (loaded.train, loaded.test) for array in part))


def setting(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the activation and the widths with which a mistake is measured: tanh and one hidden layer, if they do."""
    only = {wrong.activation for wrong in WRONG.get(name, ())} or {None}
    fits = (a for a in ("tanh", "sigmoid", "relu") if None in only or a in only)
    activation = next(a for a in fits if name in mistakes_of(a, "cross_entropy"))
    return activation, DEEP if name in NEEDS_DEEP else SHALLOW


NEEDS_DEEP = (
    "takes phi' at z_{l-1}, of the layer below",
    "goes back through the weights of the layer above",
    "goes back through the last layer's weights at every layer",
)


def trained(
    mistake: Mistake | None, activation: str, widths: Sequence[int], seed: int, data: Data, epochs: int = EPOCHS
) -> Run | None:
    """Train by SGD with a broken chain.

    Args:
      mistake: what is broken; None for the right chain.
      activation: of the hidden layers.
      widths: (D, d_1, ..., C).
      seed: draws weights and batches.
      data: the digits.
      epochs: how many.

    Returns:
      What is seen, or None if the shapes of the mistake do not fit, so that the code raises an error.
    """
    network = Network(ACTIVATIONS[activation], LOSSES["cross_entropy"])
    rng = np.random.default_rng(seed)
    params = [(rng.standard_normal((m, n)) / np.sqrt(m), np.zeros(n)) for m, n in pairwise(widths)]
    rules = mistake.wrong_rules() if mistake else RIGHT
    losses: list[float] = []
    count = len(data.x)
    with np.errstate(all="ignore"):
        for _ in range(epochs):
            order = rng.permutation(count)
            for start in range(0, count - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                head = head_of(network, BATCH, widths[-1])
                s = forward(params, data.x[rows], data.labels[rows], network.phi, head)
                result = broken(mistake, s) if mistake else backward(s)
                if result is None:
                    return None
                losses.append(result[0])
                params = [(W - RATE * dW, b - RATE * db) for (W, b), (dW, db) in zip(params, result[1], strict=True)]
        correct = _accuracy(params, network, rules, data)
    last = float(np.mean(losses[-(count // BATCH) :]))
    return Run(losses[0], last if np.isfinite(last) else float("nan"), correct)


def _accuracy(params: list[tuple[np.ndarray, np.ndarray]], network: Network, rules: Rules, data: Data) -> float:
    head = head_of(network, len(data.x_test), 10)
    s = forward(params, data.x_test, data.labels_test, network.phi, head, rules)
    return float(np.mean(s.z[-1].argmax(axis=1) == data.labels_test))


def measure(name: str, seeds: Sequence[int] = range(SEEDS)) -> list[Run | None]:
    """Return the runs of a mistake, one for each seed."""
    mistake = next(one for one in MISTAKES if one.name == name)
    activation, widths = setting(name)
    data = digits()
    return [trained(mistake, activation, widths, seed, data) for seed in seeds]


def measure_right(activation: str, widths: Sequence[int], seeds: Sequence[int] = range(SEEDS)) -> list[Run]:
    """Return the runs of the right chain."""
    data = digits()
    runs = [trained(None, activation, widths, seed, data) for seed in seeds]
    return [run for run in runs if run is not None]


def key(activation: str, widths: Sequence[int]) -> str:
    """Return how a setting is called in the record."""
    return f"{activation} {'-'.join(map(str, widths))}"


def _columns(runs: Sequence[Run | None]) -> Mapping[str, list[float | None]] | None:
    """Return runs as columns of numbers, NaN as None; None if the code raises."""
    good = [run for run in runs if run is not None]
    if len(good) < len(runs):
        return None
    columns = zip(Run._fields, zip(*good, strict=True), strict=True)
    return {name: [None if np.isnan(v) else float(f"{v:.4g}") for v in values] for name, values in columns}


def main() -> None:
    """Measure all known mistakes, and write the record."""
    names = [mistake.name for mistake in MISTAKES]
    settings = {name: setting(name) for name in names}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        rights = {key(*of): pool.submit(measure_right, *of) for of in sorted(set(settings.values()))}
        runs = {}
        for name, found in zip(names, pool.map(measure, names), strict=True):
            runs[name] = {"setting": key(*settings[name]), "runs": _columns(found)}
            print(name, file=sys.stderr)
        record = {
            "training": {"seeds": SEEDS, "epochs": EPOCHS, "batch": BATCH, "learning rate": RATE, "data": "digits"},
            "right": {name: _columns(future.result()) for name, future in rights.items()},
            "mistakes": runs,
        }
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
