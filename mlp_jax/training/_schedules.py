"""Factors of the learning rate over a run, as functions of the share t of its steps that are done, in [0, 1]."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

CYCLES = 15  # of coslog4, whose four waves end at t = 1/15, 3/15, 7/15 and 1


def constant(t: Any) -> Any:
    """Return 1."""
    return jnp.ones_like(t)


def cosine(t: Any) -> Any:
    """Return (1 + cos(pi t)) / 2, which falls from 1 to 0 (Loshchilov & Hutter, 2017)."""
    return (1 + jnp.cos(jnp.pi * t)) / 2


def coslog4(t: Any) -> Any:
    """Return (1 - cos(2 pi log2(1 + 15 t))) / 2: four waves from 0 to 1 to 0, each twice as long as the last.

    Holzmüller, Grinsztajn & Steinwart (2024): a run ends four times at a rate of 0, and its best end is kept.
    """
    return (1 - jnp.cos(2 * jnp.pi * jnp.log2(1 + CYCLES * t))) / 2


SCHEDULES: dict[str, Callable[[Any], Any]] = {"constant": constant, "cosine": cosine, "coslog4": coslog4}


def rate_of(schedule: str, learning_rate: Any, steps: Any) -> Callable[[Any], Any]:
    """Return the learning rate as a function of the number of steps done, for an optimizer of optax."""
    return lambda step: learning_rate * SCHEDULES[schedule](jnp.minimum(step / steps, 1))
