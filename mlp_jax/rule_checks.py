"""The laws that every derivative obeys, whatever its function.

A derivative here is a function of lists of arrays, (x, element) -> (f(x), image), linear in the element: a
vector-Jacobian product takes a cotangent to the gradient, a Jacobian-vector product a tangent to the change of f.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mlp_jax.rule_report import Notebook

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


def check_laws(book: Notebook, derive: Derivative, x: Arrays, elements: tuple[Arrays, Arrays], kind: str) -> None:
    """Check that a derivative gives the same every time, zero for zero, and is linear in its element, which it uses."""
    first, second = elements
    one, two, again = derive(x, first)[1], derive(x, second)[1], derive(x, first)[1]
    zero = derive(x, [0 * e for e in first])[1]
    mixed = derive(x, [2.5 * a - 0.75 * b for a, b in zip(first, second, strict=True)])[1]
    size = norm(one) + norm(two)
    changed = distance(again, one, 0.0)
    book.find(
        "deterministic",
        changed and f"the same input gives another result the second time, by {changed}: keep no state in the rule",
        "the same result again",
    )
    left = norm(zero)
    book.find(
        "zero",
        ""
        if left == 0
        else f"a {kind} of zeros gives a result of size {left:.2g}: every term needs the {kind} as a factor",
        f"a {kind} of zeros gives zeros",
    )
    ignored = size > 0 and not distance(one, two, 0.0)
    book.find(
        f"{kind} used",
        f"two {kind}s give the same result: multiply by the {kind}" if ignored else "",
        f"another {kind} gives another result",
    )
    expected = [2.5 * np.asarray(a) - 0.75 * np.asarray(b) for a, b in zip(one, two, strict=True)]
    bent = distance(mixed, expected, 10 * book.tolerance, size)
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
