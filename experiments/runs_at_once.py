"""Many runs as one program: vmapped over seeds and settings, and shared out over the devices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.sweeps import over_devices, padded


def over_runs(run: Callable[..., Any], runs: tuple[Any, ...], shared: tuple[Any, ...] = (), at_once: int = 0) -> Any:
    """Return run(*one of runs, *shared) for every entry of the leading axis of runs, as numpy arrays.

    Data that all runs share are arguments, and no constants of the program. Where the runs do not divide evenly over
    the devices, some are repeated and dropped. The same function on the same shapes is compiled once. A device vmaps
    `at_once` runs, or all of its runs if that is 0.
    """
    count = len(jax.tree.leaves(runs)[0])
    devices = tuple(jax.devices()[:count])
    runs = jax.tree.map(_on_host, runs)  # from a device each shape would compile a program that shares it out
    results = _on_devices(run, devices, at_once, padded(runs, len(devices) * max(1, at_once)), shared)
    return jax.tree.map(lambda a: np.asarray(a)[:count], results)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _on_devices(run: Callable[..., Any], devices: tuple[jax.Device, ...], at_once: int, runs: Any, shared: Any) -> Any:
    return over_devices(run, devices, at_once)(runs, shared)


def _on_host(a: Any) -> Any:
    return a if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray(a)


def first_epoch(accuracy: np.ndarray, goal: float) -> np.ndarray:
    """Return the first epoch that reaches a goal, (runs,) of accuracy (runs, epochs); one more than there are, if none.

    >>> first_epoch(np.array([[0.5, 0.9, 0.8], [0.1, 0.2, 0.3]]), 0.9)
    array([2, 4])
    """
    reached = accuracy >= goal
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1]) + 1


class Tuned(NamedTuple):
    """The runs at the learning rate that was chosen.

    Attributes:
      rate: the learning rate.
      results: what the runs at that rate returned, seeds first.
      scores: the mean score of each rate that was tried.
    """

    rate: float
    results: Any
    scores: list[float]


def at_best_rate(
    run: Callable[..., Any],
    keys: Any,
    rates: Sequence[float],
    score: Callable[[Any], np.ndarray],
    shared: tuple[Any, ...] = (),
) -> Tuned:
    """Run every seed at every rate, run(key, rate, *shared), and return the seeds at the best rate.

    The keys are those of JAX, or numbers of runs in NumPy, which compile nothing.

    The rule: the rate whose mean score over the seeds is lowest; score(results) -> one number a run, from validation
    data. A run whose score is not finite counts as infinitely bad.
    """
    grid = keys[np.tile(np.arange(len(keys)), len(rates))], np.repeat(np.asarray(rates, float), len(keys))
    results = over_runs(run, grid, shared)
    by_rate = np.asarray(score(results), float).reshape(len(rates), len(keys))
    scores = np.where(np.isfinite(by_rate), by_rate, np.inf).mean(axis=1)
    best = int(np.argmin(scores))
    chosen = jax.tree.map(lambda a: a.reshape(len(rates), len(keys), *a.shape[1:])[best], results)
    return Tuned(float(rates[best]), chosen, scores.tolist())
