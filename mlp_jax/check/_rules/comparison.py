"""Compare two gradients, leaf by leaf, and say in words where and how they differ.

Of each leaf, with a = actual and e = expected as vectors:

    relative error = |a - e| / |e|        cosine = <a, e> / (|a| |e|)        norm ratio = |a| / |e|

A leaf is right when its relative error is within the tolerance: by the coarser of the two dtypes 1e-9 in float64,
1e-4 in float32, 3e-2 in 16 bits, and never below the error that the reference itself has. A leaf whose expected value
is zero is judged against the norm of the whole gradient. One number for all leaves together would hide a small one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf, isfinite, nan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from mlp_jax import _doors
from mlp_jax.check import _rendering as rendering
from mlp_jax.check._rendering import LEAF_COLUMNS, Page, Report, Table
from mlp_jax.check._tolerance import TOLERANCES

ABSENT = object()  # stands for a leaf that one of two trees lacks; None stands for zero


@dataclass(frozen=True)
class LeafComparison:
    """One leaf of a gradient, compared with what was expected.

    Attributes:
      name: its place in the pytree, such as `layers[1].weight`.
      shape: of the actual leaf; None if it is missing.
      dtype: of the actual leaf.
      relative_error: |a - e| / |e|; if e is zero, |a| over the norm of the whole expected gradient.
      cosine: of the angle between the two; NaN if one is zero.
      norm_ratio: |a| / |e|.
      max_error: the largest |a_i - e_i|.
      index: of that entry.
      actual: a_i there.
      expected: e_i there.
      tolerance: what the relative error may be.
      ok: whether it is.
      problem: what is wrong, in words; empty for a leaf that is right.
    """

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    relative_error: float = inf
    cosine: float = nan
    norm_ratio: float = nan
    max_error: float = inf
    index: tuple[int, ...] | None = None
    actual: float | complex = nan
    expected: float | complex = nan
    tolerance: float = 0.0
    ok: bool = False
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a number that is not finite becomes null."""
        return {name: rendering.json_value(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, repr=False)
class GradientReport(Report):
    """What `compare_gradients` found; true if the gradients agree, so `assert report, report` is a test.

    Attributes:
      leaves: the comparisons, in the order of the pytree.
      reference_error: the expected gradient's own relative error, as the caller knows it.
      notes: what is worth knowing and not wrong, such as another dtype.
      errors: |a - e| of the worst leaf, for a heat map; None if no leaf can be compared.
    """

    leaves: tuple[LeafComparison, ...]
    reference_error: float = 0.0
    notes: tuple[str, ...] = ()
    errors: np.ndarray | None = field(default=None, compare=False)

    @property
    def ok(self) -> bool:
        """Whether every leaf is right."""
        return all(leaf.ok for leaf in self.leaves)

    @property
    def worst(self) -> LeafComparison | None:
        """The leaf that is furthest from right, by its error over its tolerance."""
        return max(self.leaves, key=_badness, default=None)

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if self.worst is None:
            return "right: there is no leaf to compare"
        if self.ok:
            return (
                f"right: {_count(len(self.leaves), 'leaf')} within tolerance; "
                f"worst {self.worst.name}, relative error {self.worst.relative_error:.1e}"
            )
        wrong = sum(not leaf.ok for leaf in self.leaves)
        return f"wrong: {wrong} of {_count(len(self.leaves), 'leaf')}; worst {self.worst.name}: {self.worst.problem}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "reference_error": rendering.json_value(self.reference_error),
            "notes": list(self.notes),
            "leaves": [leaf.to_dict() for leaf in self.leaves],
        }

    def page(self) -> Page:
        """Return what the report shows: a table of the leaves, and in HTML a heat map of the worst."""
        maps = []
        if self.errors is not None and self.worst is not None and not self.ok:
            maps.append((f"|actual - expected| of {self.worst.name}", self.errors))
        tables = [Table("", LEAF_COLUMNS, rendering.leaf_rows(self.leaves))]
        return Page(self.verdict, self.ok, (), tables, self.notes, maps)


def compare_gradients(
    actual: Any, expected: Any, tolerance: float | None = None, reference_error: float | Sequence[float] = 0.0
) -> GradientReport:
    """Compare two gradients of any pytree, leaf by leaf.

    Args:
      actual: the gradient in question, a pytree of arrays (JAX, numpy, nested lists are containers).
      expected: the gradient that is trusted, of the same structure.
      tolerance: the relative L2 error that a leaf may have. None goes by the coarser dtype of the two: 1e-9 in
        float64, which leaves rounding a factor of a thousand and more and no mistake anything; 1e-4 in float32,
        since a leaf can be a sum that cancels; 3e-2 in 16 bits.
      reference_error: the relative error that `expected` itself has, for finite differences say, of all leaves or
        of each in turn; the tolerance is never below it.

    Returns:
      A `GradientReport`: true if all leaves are right. Another structure or shape is part of it, not an error.

    Raises:
      ValueError, TypeError: for a tolerance or a reference error that is no number of at least 0, or under jit,
        if values cannot be read.

    Example:
      >>> report = compare_gradients({"W": jnp.array([2.0, 4.0])}, {"W": jnp.array([1.0, 2.0])})
      >>> report.ok, report.leaves[0].norm_ratio
      (False, 2.0)
    """
    errors: list[Any] = list(reference_error) if isinstance(reference_error, list | tuple) else [reference_error]
    for name, value in (("tolerance", tolerance or 0.0), *(("reference_error", error) for error in errors)):
        if isinstance(value, bool) or not isinstance(value, float | int | np.number) or not 0 <= float(value) < inf:
            raise _doors.mistake(f"compare_gradients: {name}", "a finite number of at least 0", repr(value))
    if _doors.is_traced((actual, expected)):
        raise TypeError("compare_gradients: expected values that can be read, got tracers; call it outside of jit")
    pairs, notes = _paired(actual, expected)
    hosts = [(name, _host(a), _host(e)) for name, a, e in pairs if a is not ABSENT and e is not ABSENT]
    whole = _norm(np.array([norm for _, _, e in hosts if e is not None and isfinite(norm := _norm(e))]))
    of_leaf = errors * len(hosts) if len(errors) == 1 else [*errors, *[0.0] * (len(hosts) - len(errors))]
    leaves = tuple(_compare(*host, whole, tolerance, float(error)) for host, error in zip(hosts, of_leaf, strict=False))
    unpaired = tuple(_unpaired(name, a, e) for name, a, e in pairs if a is ABSENT or e is ABSENT)
    for name, a, e in hosts:
        if a is not None and e is not None and a.dtype != e.dtype and "U" not in (a.dtype.kind, e.dtype.kind):
            notes.append(f"{name}: dtype {a.dtype}, expected {e.dtype}")
    report = GradientReport(leaves + unpaired, float(max(errors, default=0.0)), tuple(notes))
    for leaf, (_, a, e) in zip(leaves, hosts, strict=True):
        if leaf is report.worst and a is not None and e is not None and leaf.index is not None:
            return replace(report, errors=_errors(a, e))
    return report


def leaf_name(path: tuple[Any, ...]) -> str:
    """Return the place of a leaf: `layers[1].weight` in a sequence of layers, `encoder.W` in nested dicts."""
    name = ""
    for i, key in enumerate(path):
        match key:
            case SequenceKey(idx=index) | FlattenedIndexKey(key=index):
                name += f"layers[{index}]" if i == 0 and len(path) > 1 else f"[{index}]"
            case GetAttrKey(name=part) | DictKey(key=part):
                name += f".{part}" if name else str(part)
            case _:
                name += str(key)
    return name or "gradient"


def _flat(tree: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """Return the leaves with their paths, None being a leaf, and the structure."""
    return jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: node is None)


def _paired(actual: Any, expected: Any) -> tuple[list[tuple[str, Any, Any]], list[str]]:
    """Return (name, actual leaf, expected leaf), ABSENT if one tree has no such leaf, and notes."""
    (actual_leaves, actual_tree), (expected_leaves, expected_tree) = _flat(actual), _flat(expected)
    if _same_skeleton(actual_tree, expected_tree):
        pairs = [(leaf_name(path), a, e) for (_, a), (path, e) in zip(actual_leaves, expected_leaves, strict=True)]
        notes = [] if actual_tree == expected_tree else ["the containers differ in type (tuples for lists, say)"]
        return pairs, notes
    rest = {jax.tree_util.keystr(path): (leaf_name(path), leaf) for path, leaf in actual_leaves}
    pairs = [(leaf_name(path), rest.pop(jax.tree_util.keystr(path), ("", ABSENT))[1], e) for path, e in expected_leaves]
    return pairs + [(name, a, ABSENT) for name, a in rest.values()], ["the structures differ"]


def _same_skeleton(a: Any, b: Any) -> bool:
    """Whether two structures differ only in which kind of sequence holds what."""
    kinds = [node.node_data() for node in (a, b)]
    if kinds[0] is None or kinds[1] is None:
        return kinds[0] is None and kinds[1] is None
    sequences = all(isinstance(kind[0], type) and issubclass(kind[0], tuple | list) for kind in kinds)
    if not sequences and kinds[0] != kinds[1]:
        return False
    children = a.children(), b.children()
    return len(children[0]) == len(children[1]) and all(map(_same_skeleton, *children))


def _host(leaf: Any) -> np.ndarray | None:
    """Return a leaf as a numpy array of numbers; None for no leaf, or one that holds no gradient."""
    if leaf is None or getattr(leaf, "dtype", None) == jax.dtypes.float0:
        return None
    try:
        array = np.asarray(leaf.detach().cpu() if hasattr(leaf, "detach") else leaf)
        return array if jnp.issubdtype(array.dtype, jnp.number) else np.asarray(array, float)
    except (TypeError, ValueError, RuntimeError):
        return np.asarray(str(leaf)[:40])


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(complex if jnp.issubdtype(array.dtype, jnp.complexfloating) else float, copy=False)


def _norm(array: np.ndarray) -> float:
    """The L2 norm, without overflow or underflow; 0 for what is no number."""
    if array.dtype.kind == "U" or array.size == 0:
        return 0.0
    size = np.abs(_wide(array).ravel())
    largest = float(size.max())
    scale = 1.0 if 1e-100 < largest < 1e100 or largest == 0 or not isfinite(largest) else largest
    return float(scale * np.linalg.norm(size / scale))


def _tolerance(dtype: Any) -> float:
    if not jnp.issubdtype(dtype, jnp.inexact):
        return TOLERANCES["float64"]
    return TOLERANCES.get(jnp.finfo(dtype).dtype.name, 3e-2)


def _eps(dtype: Any) -> float:
    return float(jnp.finfo(dtype if jnp.issubdtype(dtype, jnp.inexact) else float).eps)


def _unpaired(name: str, a: Any, e: Any) -> LeafComparison:
    """Return the comparison of a leaf that the other side has no place for."""
    if a is ABSENT:
        return LeafComparison(name, None, "none", problem="missing")
    host = _host(a)
    problem = "unexpected: there is no such leaf in the expected gradient"
    return LeafComparison(
        name, None if host is None else host.shape, str(getattr(host, "dtype", "none")), problem=problem
    )


def _compare(
    name: str, a: np.ndarray | None, e: np.ndarray | None, whole: float, tolerance: float | None, reference_error: float
) -> LeafComparison:
    """Compare one leaf; `whole` is the norm of the whole expected gradient."""
    leaf = LeafComparison(name, None if a is None else a.shape, "none" if a is None else a.dtype.name)
    if a is None or e is None:
        if not any(side is not None and (side.dtype.kind == "U" or np.any(side)) for side in (a, e)):
            return replace(leaf, relative_error=0.0, max_error=0.0, ok=True)  # no leaf is as good as zeros
        return replace(
            leaf, problem="missing: expected numbers, got None" if a is None else "unexpected: expected None"
        )
    for values, what in ((a, "expected"), (e, "the expected gradient: expected")):
        if values.dtype.kind == "U":
            return replace(leaf, problem=f"{what} an array of numbers, got {values}")
    if a.shape != e.shape:
        return replace(leaf, problem=f"shape {a.shape}, expected {e.shape}")
    allowed = max(_tolerance(a.dtype), _tolerance(e.dtype)) if tolerance is None else float(tolerance)
    leaf = replace(leaf, tolerance=max(allowed, reference_error))
    if a.size == 0:
        return replace(leaf, relative_error=0.0, max_error=0.0, ok=True)
    for values, whose in ((e, "the expected gradient"), (a, "it")):
        bad = ~np.isfinite(_wide(values))
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            first = f"the first {values[index]} at {index}"
            problem = f"{whose} is not finite: {bad.sum()} of {bad.size} entries, {first}"
            return replace(leaf, index=index, actual=_item(a, index), expected=_item(e, index), problem=problem)
    return _measure(leaf, a, e, whole)


def _measure(leaf: LeafComparison, a: np.ndarray, e: np.ndarray, whole: float) -> LeafComparison:
    """Compare two leaves of finite numbers."""
    error = _errors(a, e)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    norm, expected_norm, size = _norm(a), _norm(e), _norm(error)
    scale = expected_norm or whole
    # with nothing but zeros expected there is no scale: rounding of numbers of size 1 is then allowed
    relative = size / scale if scale else 0.0 if size <= _eps(a.dtype) else inf
    ok = relative <= leaf.tolerance
    measure = "of its size" if expected_norm else "of the whole gradient (the leaf is expected to be zero)"
    cosine = nan
    if norm and expected_norm:
        cosine = float(np.vdot(_wide(e) / expected_norm, _wide(a) / norm).real)
    return replace(
        leaf,
        relative_error=relative,
        cosine=cosine,
        norm_ratio=norm / expected_norm if expected_norm else inf if norm else 1.0,
        max_error=float(error[index]),
        index=index,
        actual=_item(a, index),
        expected=_item(e, index),
        ok=ok,
        problem="" if ok else f"off by {relative:.2g} {measure}, allowed {leaf.tolerance:.0e}",
    )


def _errors(a: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return |a - e|, entry by entry."""
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(_wide(a) - _wide(e)))


def _item(array: np.ndarray, index: tuple[int, ...]) -> float | complex:
    return _wide(array)[index].item()


def _badness(leaf: LeafComparison) -> float:
    if leaf.ok:
        return leaf.relative_error / leaf.tolerance if leaf.tolerance else 0.0
    return leaf.relative_error / leaf.tolerance if leaf.tolerance and isfinite(leaf.relative_error) else inf


def _count(number: int, noun: str) -> str:
    plural = {"leaf": "leaves"}.get(noun, noun + "s")
    return f"{number} {noun if number == 1 else plural}"
