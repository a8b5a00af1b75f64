"""Compiled programs that are freed again: those of the last few recipes are kept.

`jax.jit` keeps a program for every value of a static argument, and so one of several megabytes for each
`optax.adam(rate)`, since optax's objects have no equality. Here each value has a `jax.jit` of its own in a cache of
bounded length. What leaves the cache is freed, with all that it refers to.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, wraps
from typing import Any, TypeVar

import jax

F = TypeVar("F", bound=Callable[..., Any])
RECIPES = 32  # more than the settings that people try in turn; a program of `train` is about 7 MB


def jit_of(static: Sequence[str], **options: Any) -> Callable[[F], F]:
    """Return the decorator like `jax.jit` with static arguments, whose programs for old ones are freed.

    Args:
      static: the names of static arguments, which are given by name.
      **options: of `jax.jit`.

    Example:
      >>> @jit_of(["n"])
      ... def power(x, n):
      ...     return x**n
      >>> float(power(3.0, n=2))
      9.0
    """

    def decorate(function: F) -> F:
        @lru_cache(maxsize=RECIPES)
        def program(**fixed: Any) -> Any:
            return jax.jit(partial(function, **fixed), **options)

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            fixed = {name: named.pop(name) for name in static}
            return program(**fixed)(*arguments, **named)

        return call  # type: ignore[return-value]  # of the same signature

    return decorate
