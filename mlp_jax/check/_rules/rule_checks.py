"""The laws that every derivative obeys, whatever its function.

A derivative here is a function of lists of arrays, (x, element) -> (f(x), image), linear in the element: a
vector-Jacobian product takes a cotangent to the gradient, a Jacobian-vector product a tangent to the change of f.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _xla
from mlp_jax.check._rules.finite_differences import is_kind
from mlp_jax.check._rules.jaxpr_interpreter import equations
from mlp_jax.check._rules.rule_report import Notebook

Arrays = list[Any]
Derivative = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]


def norm(arrays: Arrays) -> float:
    """Return the L2 norm of all entries."""
    return float(np.linalg.norm([np.linalg.norm(np.asarray(a, float)) for a in arrays]))


def distance(actual: Arrays, expected: Arrays, tolerance: float, scale: float | None = None) -> str:
    """Return the relative distance of two lists in words, or nothing where it is within tolerance."""
    if all(np.array_equal(a, e, equal_nan=True) for a, e in zip(actual, expected, strict=True)):
        return ""
    scale = norm(expected) if scale is None else scale
    far = norm([np.asarray(a, float) - np.asarray(e, float) for a, e in zip(actual, expected, strict=True)])
    return "" if far <= tolerance * scale else f"{far / scale if scale else np.inf:.1e} of its size"


class Images(NamedTuple):
    """What a derivative makes of `elements` at one point, and of the first once more."""

    one: Arrays
    two: Arrays
    mixed: Arrays  # of MIX[0] one + MIX[1] two
    zero: Arrays
    again: Arrays


MIX = (2.5, -0.75)


def elements(one: Arrays, two: Arrays) -> list[Arrays]:
    """Return the elements whose images are compared, from two that are random."""
    return [one, two, [MIX[0] * a + MIX[1] * b for a, b in zip(one, two, strict=True)], [0 * a for a in one]]


def images(book: Notebook, derive: Derivative, x: Arrays, eager: Arrays, chosen: list[Arrays]) -> Images | None:
    """Return the images of the chosen elements, and check on the way that jit and vmap change nothing.

    One program gives them all at once; only where that differs from the eager result is each computed alone.
    """
    batched, tolerance = _xla.jit_without_ynn(jax.vmap(derive)), book.loose
    stacked = [np.stack([leaf] * len(chosen)) for leaf in x], [np.stack(es) for es in zip(*chosen, strict=True)]
    rows = book.attempt("vmap", "the rule under vmap", lambda: batched(*stacked)[1])
    if rows is not None and not distance([row[0] for row in rows], eager, tolerance):
        book.find("jit", "", "the same under jit")
        book.find("vmap", "", "the same under vmap")
        again = batched(*stacked)[1]
        return Images._make([*([row[i] for row in rows] for i in range(len(chosen))), [row[0] for row in again]])
    alone = _xla.jit_without_ynn(derive)
    single = book.attempt("jit", "the rule under jit", lambda: [alone(x, element)[1] for element in chosen])
    if single is None:
        return None
    off = distance(single[0], eager, tolerance)
    book.find("jit", off and f"another result under jit, by {off}", "the same under jit")
    if rows is not None:
        off = distance([row[0] for row in rows], single[0], tolerance)
        book.find("vmap", off and f"another result under vmap, by {off}", "the same under vmap")
    return Images._make([*single, alone(x, chosen[0])[1]])


def check_compiler(book: Notebook, f: Callable[..., Any], arguments: tuple[Any, ...], jaxpr: Any, eager: Any) -> None:
    """Note it if XLA's fusion changes f(*arguments), a pair of which `eager` is the result operation by operation.

    The fusion concerns matrix products only. Without it the program must be right, or the compiler is not to blame.
    """
    if not any(eqn.primitive.name == "dot_general" for eqn in equations(jaxpr)):
        return

    def off(jit: Callable[..., Any]) -> str:
        pairs = zip(jit(f)(*arguments), eager, strict=True)
        with np.errstate(all="ignore"):  # numbers of any size
            return next(filter(None, (distance(_floats(a), _floats(e), book.loose) for a, e in pairs)), "")

    try:
        far = off(_xla.jit_with_ynn)
        is_to_blame = far and not off(_xla.jit_without_ynn)
    except Exception:  # under jit it raises, which is a finding of its own
        return
    if is_to_blame:
        book.notes.append(
            f"the compiler is at fault: XLA's YNNPACK fusion, on by default for CPU since jaxlib 0.10.2, makes a "
            f"program of {book.subject} that is off by {far}; mlp_jax turns the fusion off on the versions of jaxlib "
            f"that it knows, and whoever runs {book.subject} without it has to set XLA_FLAGS={_xla.FLAG}"
        )


def _floats(tree: Any) -> Arrays:
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(tree) if is_kind(leaf, jnp.floating)]


def check_laws(book: Notebook, images: Images, kind: str, linear: bool) -> None:
    """Check that a derivative gives the same every time, zero for zero, uses its element, and is linear in it."""
    size = norm(images.one) + norm(images.two)
    changed = distance(images.again, images.one, 0.0)
    book.find(
        "deterministic",
        changed and f"the same input gives another result the second time, by {changed}: keep no state in the rule",
        "the same result again",
    )
    left = norm(images.zero)
    more = f"a {kind} of zeros gives a result of size {left:.2g}: every term needs the {kind} as a factor"
    book.find("zero", more if left else "", f"a {kind} of zeros gives zeros")
    ignored = size > 0 and not distance(images.one, images.two, 0.0)
    book.find(
        f"{kind} used",
        f"two {kind}s give the same result: multiply by the {kind}" if ignored else "",
        f"another {kind} gives another result",
    )
    if linear:
        pairs = zip(images.one, images.two, strict=True)
        bent = distance(images.mixed, [MIX[0] * a + MIX[1] * b for a, b in pairs], book.loose, size)
        book.find(
            "linear",
            bent and f"not linear in the {kind}, by {bent}: each term must hold it once, as a factor",
            f"linear in the {kind}",
        )


def copies(tree: Any) -> Any:
    """Return a pytree with copies of its numpy arrays."""
    return jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, tree)


def check_inputs(book: Notebook, before: Any, after: Any) -> None:
    """Check that no numpy array of a pytree has changed."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    changed = sum(
        isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in pairs
    )
    problem = f"{changed} of the arrays given were changed in place: write into a copy" if changed else ""
    book.find("inputs kept", problem, "the arrays given are unchanged")
