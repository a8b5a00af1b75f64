"""The laws that every derivative obeys, whatever its function.

A derivative here is a function of lists of arrays, (x, element) -> (f(x), image), linear in the element: a
vector-Jacobian product takes a cotangent to the gradient, a Jacobian-vector product a tangent to the change of f.
"""

import ctypes
import sys
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
SAFE = 1e-200  # squares between this and its inverse lose nothing
Derivative = Callable[[Arrays, Arrays], tuple[Arrays, Arrays]]


def norm(arrays: Arrays) -> float:
    """Return the L2 norm of all entries, without overflow."""
    flat = [np.asarray(a, float).ravel() for a in arrays]
    with np.errstate(all="ignore"):
        square = sum(float(np.dot(a, a)) for a in flat)
        if SAFE < square < 1 / SAFE:
            return square**0.5
        largest = max((float(np.max(np.abs(a), initial=0.0)) for a in flat), default=0.0)
        scale = largest if 0 < largest < np.inf else 1.0
        return float(scale * np.linalg.norm([np.linalg.norm(a / scale) for a in flat]))


def distance(actual: Arrays, expected: Arrays, tolerance: float, scale: float | None = None) -> str:
    """Return the relative distance of two lists in words, or nothing if it is within tolerance."""
    if all(_same(np.asarray(a), np.asarray(e)) for a, e in zip(actual, expected, strict=True)):
        return ""
    scale = norm(expected) if scale is None else scale
    far = norm([np.asarray(a, float) - np.asarray(e, float) for a, e in zip(actual, expected, strict=True)])
    return "" if far <= tolerance * scale else f"{far / scale if scale else np.inf:.1e} of its size"


def _same(a: np.ndarray, e: np.ndarray) -> bool:
    """Whether two arrays are equal, NaN to NaN."""
    return a.shape == e.shape and bool(np.all((a == e) | ((a != a) & (e != e))))


class Images(NamedTuple):
    """What a derivative makes of each `element` at one point.

    Attributes:
      of: k -> the image of element k.
      again: () -> the image of the first, computed once more.
    """

    of: Callable[[int], Arrays]
    again: Callable[[], Arrays]


LARGE = 2**20  # entries: more of them are not stacked
MIXES = ((1.0, 0.0), (0.0, 1.0), (2.5, -0.75), (0.0, 0.0))


def element(one: Arrays, two: Arrays, k: int) -> Arrays:
    """Return the k-th element whose image is looked at: the first, the second, a mixture of these, and zero."""
    a, b = MIXES[k]
    return [a * v + b * w for v, w in zip(one, two, strict=True)]


def images(book: Notebook, derive: Derivative, x: Arrays, eager: Arrays, one: Arrays, two: Arrays) -> Images | None:
    """Return the images of the elements made of two, and check on the way that jit and vmap change nothing.

    One program gives them all at once. Only if that differs from the eager result, each has its own run.
    """
    batched, tolerance = _xla.jit_without_ynn(jax.vmap(derive)), book.loose
    is_large = sum(leaf.size for leaf in x) > LARGE
    if is_large:
        stacked = [leaf[None] for leaf in x], [leaf[None] for leaf in one]
    else:
        batch = [element(one, two, k) for k in range(len(MIXES))]
        stacked = [np.stack([leaf] * len(batch)) for leaf in x], [np.stack(es) for es in zip(*batch, strict=True)]
    rows = book.attempt("vmap", "the rule under vmap", lambda: batched(*stacked)[1])
    if rows is not None and not is_large and not distance([row[0] for row in rows], eager, tolerance):
        book.find("jit", "", "the same under jit")
        book.find("vmap", "", "the same under vmap")
        return Images(lambda k: [row[k] for row in rows], lambda: [row[0] for row in batched(*stacked)[1]])
    program = _xla.jit_without_ynn(derive)
    single = book.attempt("jit", "the rule under jit", lambda: program(x, one)[1])
    if single is None:
        return None
    off = distance(single, eager, tolerance)
    book.find("jit", off and f"another result under jit, by {off}", "the same under jit")
    if rows is not None:
        off = distance([row[0] for row in rows], single, tolerance)
        book.find("vmap", off and f"another result under vmap, by {off}", "the same under vmap")
    return Images(lambda k: program(x, element(one, two, k))[1] if k else single, lambda: program(x, one)[1])


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
    """Check that a derivative gives the same every time, zero for zero, and if it is linear, that and its element."""
    one, left = images.of(0), norm(images.of(3))
    changed = distance(images.again(), one, 0.0)
    book.find(
        "deterministic",
        changed and f"the same input gives another result the second time, by {changed}: keep no state in the rule",
        "the same result again",
    )
    more = f"a {kind} of zeros gives a result of size {left:.2g}: every term needs the {kind} as a factor"
    book.find("zero", more if left else "", f"a {kind} of zeros gives zeros")
    if not linear:  # two elements may be clipped alike
        return
    two = images.of(1)
    size = norm(one) + norm(two)
    ignored = size > 0 and not distance(one, two, 0.0)
    book.find(
        f"{kind} used",
        f"two {kind}s give the same result: multiply by the {kind}" if ignored else "",
        f"another {kind} gives another result",
    )
    bent = distance(images.of(2), element(one, two, 2), book.loose, size)
    book.find(
        "linear",
        bent and f"not linear in the {kind}, by {bent}: each term must hold it once, as a factor",
        f"linear in the {kind}",
    )


def give_memory_back(x: Arrays) -> None:
    """Let the C library return free memory if a rule is large: glibc keeps freed arrays of less than 32 MiB."""
    if sys.platform == "linux" and sum(leaf.size for leaf in x) > LARGE:
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


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
