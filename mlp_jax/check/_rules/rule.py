"""A rule in question as a function of a list of real arrays, and the gradient that it gives."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from mlp_jax.check._rules.rule_checks import Arrays, Derivative

FORWARD_ENTRIES = 4096  # of the arguments: up to here a Jacobian-vector product is taken for every entry


class Rule(NamedTuple):
    """A function and its derivative in question.

    Attributes:
      plain: x -> f(x), a list of real arrays, with its rule.
      target: x -> what the rule should be the derivative of, f itself if nothing else is said.
      derive: (x, element) -> (f(x), its image).
      by_tangents: whether the element is a tangent; else it is a cotangent.
      x: the point.
      names: of the leaves of x.
    """

    plain: Callable[[Arrays], Arrays]
    target: Callable[[Arrays], Arrays]
    derive: Derivative
    by_tangents: bool
    x: Arrays
    names: list[str]

    @property
    def element(self) -> str:
        """What the derivative is linear in."""
        return "tangent" if self.by_tangents else "cotangent"

    def of_itself(self, x: Arrays) -> tuple[Arrays, Arrays]:
        """Return f(x), and the image of x or, of a cotangent, that of f(x)."""
        return self.derive(x, x if self.by_tangents else self.plain(x))

    @property
    def is_small(self) -> bool:
        """Whether forward mode may take a direction for every entry."""
        return sum(leaf.size for leaf in self.x) <= FORWARD_ENTRIES


def derivative_of(plain: Callable[[Arrays], Arrays], by_tangents: bool) -> Derivative:
    """Return (x, element) -> (f(x), image): the Jacobian-vector or the vector-Jacobian product."""

    def derive(x: Arrays, element: Arrays) -> tuple[Arrays, Arrays]:
        if by_tangents:
            return jax.jvp(plain, (x,), (element,))
        value, pull = jax.vjp(plain, x)
        return value, pull(element)[0]

    return derive


def gradient_of(rule: Rule) -> Callable[[Arrays, Arrays], Arrays]:
    """Return (x, cotangent) -> the gradient of sum(cotangent * f) by the rule."""
    if not rule.by_tangents:
        return lambda x, cotangent: rule.derive(x, cotangent)[1]
    return partial(forward if rule.is_small else reverse, rule.derive)


def forward(derive: Derivative, x: Arrays, cotangent: Arrays) -> Arrays:
    """Return the gradient of sum(cotangent * f) by one Jacobian-vector product for each entry."""
    flat, unravel = ravel_pytree(x)

    def slope(tangent: Any) -> Any:
        image = derive(x, unravel(tangent))[1]
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, image, strict=True))

    return unravel(jax.lax.map(slope, np.eye(flat.size), batch_size=min(256, flat.size)))


def reverse(derive: Derivative, x: Arrays, cotangent: Arrays) -> Arrays:
    """Return the gradient of sum(cotangent * f) by transposing the Jacobian-vector product."""

    def slope(tangents: Arrays) -> Any:
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, derive(x, tangents)[1], strict=True))

    return jax.linear_transpose(slope, x)(1.0)[0]
