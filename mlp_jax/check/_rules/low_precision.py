"""Compare a rule in the dtype of its arguments with the same rule in float64.

In a dtype of unit roundoff u, the gradient of an exact rule is off by

    K (C + u (1 + log2 N) T)

C is how far the gradient moves if every argument moves by u, relatively (the rounding of intermediate values);
N is the number of terms that an entry may be the sum of, and T the size of that sum if the signs of the terms were
random (the rounding of sums in pairs: Higham, 2002, section 4.2). K allows for what these two do not count.
"""

from collections.abc import Callable
from math import log2
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.check._rules.jaxpr_interpreter import coarsest
from mlp_jax.check._rules.problem import compiled
from mlp_jax.check._rules.rule import Rule, gradient_of
from mlp_jax.check._rules.rule_checks import Arrays, norm
from mlp_jax.check._rules.rule_report import UNDECIDED, Notebook, whole_message
from mlp_jax.check._tolerance import TABLE

DRAWS = 3  # of signs and of moves
DTYPES = ("float32", "bfloat16", "float16")


class Expected(NamedTuple):
    """The gradient of a rule in float64, and how far that in a coarser dtype may be off.

    Attributes:
      dtype: such as "float16".
      cotangent: numbers that the dtype holds exactly.
      gradient: for each leaf, in float64.
      allowed: for each leaf, the norm of the error.
    """

    dtype: str
    cotangent: Arrays
    gradient: Arrays
    allowed: list[float]


def expected(rule: Rule, dtype: str, rng: np.random.Generator) -> Expected:
    """Return the gradient of a rule that was found right, and how far it may be off in a dtype that holds its x.

    Args:
      rule: the rule.
      dtype: such as "float16".
      rng: for the cotangent, signs and moves.
    """
    shapes = jax.eval_shape(rule.plain, rule.x)
    cotangent = [np.round(32 * rng.standard_normal(out.shape)) / 32 + 1 / 64 for out in shapes]
    gradient = compiled(gradient_of(rule))
    here = gradient(rule.x, cotangent)
    return Expected(dtype, cotangent, here, rounding(gradient, here, rule.x, cotangent, dtype, rng))


def rounding(
    gradient: Callable[[Arrays, Arrays], Arrays],
    here: Arrays,
    x: Arrays,
    cotangent: Arrays,
    dtype: str,
    rng: np.random.Generator,
) -> list[float]:
    """Return for each leaf how far the gradient of an exact rule may be off in a dtype: the formula above.

    Args:
      gradient: (x, cotangent) -> the gradient, in float64.
      here: that at the point.
      x: the arguments, which the dtype holds exactly.
      cotangent: the same.
      dtype: such as "float16".
      rng: for signs and moves.
    """
    info = jnp.finfo(dtype)
    u, K = float(info.eps) / 2, TABLE[dtype].K
    moved = [
        gradient([leaf * (1 + u * rng.choice([-1.0, 1.0], leaf.shape)) for leaf in x], cotangent) for _ in range(DRAWS)
    ]
    signed = [gradient(x, [c * rng.choice([-1.0, 1.0], c.shape) for c in cotangent]) for _ in range(DRAWS)]
    terms = max(2, sum(c.size for c in cotangent))
    allowed = []
    for i, g in enumerate(here):
        C = max(norm([m[i] - g]) for m in moved)
        T = max(norm([g]), *(norm([s[i]]) for s in signed))
        least = float(info.smallest_subnormal) * g.size**0.5
        allowed.append(K * (C + u * (1 + log2(terms)) * T + least))
    return allowed


def dtype_of(leaves: Arrays) -> str:
    """Return the coarsest dtype of some arrays."""
    return coarsest(jnp.finfo(leaf.dtype).dtype.name for leaf in leaves)


def check_low_precision(book: Notebook, rule: Rule, expected: Expected, originals: Arrays) -> None:
    """Compare the rule in the dtype of its arguments, on their device, with itself in float64."""
    dtype = expected.dtype
    if _is_beyond(expected.gradient, dtype):
        book.find(dtype, f"not run in {dtype}, which cannot hold the gradient", "", UNDECIDED)
        return
    try:
        shapes = jax.eval_shape(rule.plain, originals)
        rule.plain(originals)
    except Exception as error:
        why = f"not run in {dtype}, which the function does not take: {whole_message(error)}"
        book.find(dtype, why, "", UNDECIDED)
        return

    def run() -> Arrays:
        cotangent = [jnp.asarray(c, out.dtype) for c, out in zip(expected.cotangent, shapes, strict=True)]
        with _runs_on(originals):
            return [np.asarray(g, float) for g in jax.jit(gradient_of(rule))(originals, cotangent)]

    found = book.attempt(dtype, f"the rule in {dtype}", run)
    if found is None:
        return
    wrong = _beyond_rounding(rule.names, found, expected)
    if wrong:
        with jax.default_matmul_precision("highest"):
            if not _beyond_rounding(rule.names, run(), expected):
                book.notes.append(
                    f"in {dtype}, {wrong}; with jax.default_matmul_precision('highest') it is right, so low matmul "
                    "precision (TF32 or bfloat16 passes) explains it"
                )
                wrong = ""
    caught, kinds = seen(expected.gradient, expected.allowed)
    book.find(
        dtype,
        wrong and f"in {dtype}, {wrong}",
        f"the same in {dtype}, within rounding, which still shows {caught} of {kinds} kinds of mistakes",
    )


def _is_beyond(gradient: Arrays, dtype: str) -> bool:
    """Whether a gradient has numbers that the dtype cannot hold."""
    return any(float(np.max(np.abs(g), initial=0.0)) > float(jnp.finfo(dtype).max) for g in gradient)


def _beyond_rounding(names: list[str], found: Arrays, expected: Expected) -> str:
    """Return in words how a gradient is off by more than rounding, or nothing."""
    for name, g, e, most in zip(names, found, expected.gradient, expected.allowed, strict=True):
        far, size = norm([g - e]), norm([e]) or 1.0
        if not np.isfinite(g).all():
            return f"{name} is not finite; float64 gives numbers of size {np.abs(e).max():.1e}"
        if not far <= most:
            return f"{name} is off by {far / size:.1e} of its size; rounding explains {most / size:.0e}"
    return ""


def _runs_on(leaves: Arrays) -> Any:
    """Return a context that runs computations on the device of some arrays."""
    devices = {d for leaf in leaves if isinstance(leaf, jax.Array) for d in leaf.devices()}
    return jax.default_device(devices.pop() if len(devices) == 1 else None)


# ---- what a tolerance still sees

Mistake = Callable[[Arrays], Arrays]


def _each(change: Callable[[Any], Any]) -> Mistake:
    return lambda gradient: [change(g) for g in gradient]


def _without_largest(g: Any) -> Any:
    flat = jnp.ravel(g)
    return jnp.where(jnp.arange(flat.size) == jnp.argmax(jnp.abs(flat)), 0, flat).reshape(g.shape)


def _every_other(g: Any) -> Any:
    return g * (jnp.arange(g.size) % 2 == 1).reshape(g.shape)


GRADIENT_MISTAKES: dict[str, Mistake] = {  # of a gradient, whatever its function
    "sign": _each(lambda g: -g),
    "twice": _each(lambda g: 2 * g),
    "half": _each(lambda g: g / 2),
    "nothing": _each(lambda g: 0 * g),
    "mean for a sum": _each(lambda g: g / max(2, g.size)),
    "largest entry missing": _each(_without_largest),
    "every other entry missing": _each(_every_other),
    "shifted by one": _each(lambda g: jnp.roll(jnp.ravel(g), 1).reshape(g.shape)),
    "reversed": _each(lambda g: jnp.ravel(g)[::-1].reshape(g.shape)),
    "absolute values": _each(jnp.abs),
    "a constant added": _each(lambda g: g + jnp.mean(jnp.abs(g))),
    "one percent off": _each(lambda g: 1.01 * g),
}


def seen(gradient: Arrays, allowed: list[float]) -> tuple[int, int]:
    """Return how many kinds of mistakes are farther off than allowed, and how many change the gradient at all."""
    caught = changed = 0
    for mistake in GRADIENT_MISTAKES.values():
        far = [norm([np.asarray(m, float) - g]) for m, g in zip(mistake(gradient), gradient, strict=True)]
        size = [norm([g]) for g in gradient]
        if any(f > 1e-3 * s for f, s in zip(far, size, strict=True)):
            changed += 1
            caught += any(f > a for f, a in zip(far, allowed, strict=True))
    return caught, changed
