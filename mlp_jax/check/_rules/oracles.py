"""Gradients that owe nothing to backpropagation or autodiff, each with an estimate of its own error.

    central differences   (f(x + t e_j) - f(x - t e_j)) / 2 t     any function; about 9 digits
    complex step          Im f(x + i t e_j) / t                   analytic functions; all digits

Entries at a kink of f have no derivative. They are counted, and left out of a comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _doors, _xla
from mlp_jax.check._rules.comparison import GradientReport, compare_gradients
from mlp_jax.check._rules.finite_differences import float64_on_cpu, in_scales, mapped, scalar_function, slopes_along

COMPLEX_STEP = 1e-20  # its square is far below rounding, so that the truncation error is, too


@dataclass(frozen=True)
class Reference:
    """A gradient and how well it is known.

    Attributes:
      value: f(params).
      gradient: like params, in float64; a leaf of other numbers than floats has none (dtype float0).
      error: like gradient, how far an entry may be off.
      kinks: like gradient, whether an entry has no derivative, since f has a kink or a jump there.
    """

    value: float
    gradient: Any
    error: Any
    kinks: Any

    @property
    def skipped(self) -> int:
        """How many entries have no derivative."""
        return sum(int(np.sum(leaf)) for leaf in jax.tree.leaves(self.kinks) if leaf.dtype == bool)

    @property
    def relative_error(self) -> float:
        """The L2 norm of the errors over that of the gradient, without the entries that have no derivative."""
        leaves = self._known()
        size, error = (float(np.linalg.norm(np.concatenate([pair[i] for pair in leaves]))) for i in (0, 1))
        return error / size if size else 0.0 if error == 0 else 1.0

    def compare(self, actual: Any, tolerance: float | None = None) -> GradientReport:
        """Compare a gradient with this one by `compare_gradients`, leaving out what has no derivative.

        The tolerance of a leaf is never below three times the error of this reference there.

        Args:
          actual: a gradient like `gradient`.
          tolerance: as for `compare_gradients`.
        """
        whole = float(np.linalg.norm([np.linalg.norm(gradient) for gradient, _ in self._known()]))
        errors = [
            3 * float(np.linalg.norm(error)) / (float(np.linalg.norm(gradient)) or whole or 1.0)
            for gradient, error in self._known()
        ]
        expected = self.gradient
        if self.skipped and str(jax.tree.structure(actual)) == str(jax.tree.structure(expected)):
            expected = jax.tree.map(_filled, expected, self.kinks, actual)
        return compare_gradients(actual, expected, tolerance, [min(error, 1e300) for error in errors])

    def _known(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (gradient, error) of each leaf, flat, of the entries that have a derivative."""
        trees = (jax.tree.leaves(tree) for tree in (self.gradient, self.error, self.kinks))
        return [
            (np.asarray(g[~kink], float), np.asarray(error[~kink], float)) if kink.dtype == bool else (np.zeros(0),) * 2
            for g, error, kink in zip(*trees, strict=True)
        ]


def _filled(expected: np.ndarray, kinks: np.ndarray, actual: Any) -> np.ndarray:
    if kinks.dtype != bool or np.shape(actual) != expected.shape:
        return expected
    return np.where(kinks, np.asarray(actual), expected)


def central_differences(f: Callable[[Any], Any], params: Any, *, step: float | None = None) -> Reference:
    """Return the gradient of f by central differences, entry by entry: d f / d x_j = (f(x_j + t) - f(x_j - t)) / 2 t.

    Truncation costs t^2 f''' / 6 and rounding eps |f| / t; the sum is least near t = eps^(1/3) (Nocedal & Wright,
    2006, section 8.1). Steps from eps^(1/6) to eps^(1/3) are tried, in units of |x_j|, and if these see nothing, of the
    size of the leaf, of max(1, |x_j|) and of less than |x_j|. All runs in float64 on the CPU, twenty evaluations per
    entry and unit, many at once.

    Args:
      f: params -> scalar, a function that JAX can trace. What it computes in float32 costs half of the digits, and
        the step goes by that.
      params: a pytree; leaves that are floats are varied, others kept.
      step: t over max(1, |x_j|). None is the choice above.

    Returns:
      A `Reference`: the gradient, the error of each entry, and which entries sit on a kink.

    Raises:
      ValueError, TypeError: if f does not return a real scalar, params hold complex numbers or no floats, or the
        step is not above 0. What f itself raises is passed on.

    Example:
      >>> reference = central_differences(lambda x: jnp.sum(x**3), np.array([1.0, 2.0]))
      >>> print(reference.gradient.round(6), reference.skipped, reference.relative_error < 1e-8)
      [ 3. 12.] 0 True
    """
    with float64_on_cpu():
        leaves, rebuild, scalar = scalar_function("central_differences", f, params, step)
        sizes = np.array([leaf.size for leaf in leaves])
        ends = np.cumsum(sizes)

        def one_hot(k: jax.Array) -> list[jax.Array]:
            starts = zip(leaves, ends - sizes, strict=True)
            return [(jnp.arange(leaf.size) == k - start).astype(float).reshape(leaf.shape) for leaf, start in starts]

        own = np.abs(np.concatenate([leaf.ravel() for leaf in leaves]))
        size = np.repeat([np.mean(np.abs(leaf)) if leaf.size else 0 for leaf in leaves], sizes)
        slopes = slopes_along(scalar, leaves, one_hot, step)(np.arange(ends[-1]), in_scales(own, size))

    def like_params(values: np.ndarray) -> Any:
        parts = np.split(values, ends[:-1])
        return _without_others(rebuild([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]))

    return Reference(slopes.value, *(like_params(values) for values in (slopes.slope, slopes.error, slopes.kink)))


def complex_step(f: Callable[[Any], Any], params: Any) -> Reference:
    """Return the gradient of an analytic f by the complex step, d f / d x_j = Im f(x + i t e_j) / t with t = 1e-20.

    Nothing is subtracted, so nothing cancels: the error is that of evaluating f (Squire & Trapp, 1998; Martins,
    Sturdza & Alonso, 2003). It holds only if f is a complex function with a derivative: |x|, conj, real parts and
    comparisons are none, and such an f is found out by central differences and refused.

    Args:
      f: params -> scalar, of operations that take complex numbers.
      params: a pytree; leaves that are floats are varied, others kept.

    Returns:
      A `Reference` with errors about 1e-15 of the gradient.

    Raises:
      ValueError, TypeError: if f is not analytic or does not take complex numbers, and as `central_differences`.

    Example:
      >>> print(complex_step(lambda x: jnp.sum(jnp.exp(x)), np.array([0.0])).gradient)
      [1.]
    """
    check = central_differences(f, params)
    with float64_on_cpu():
        leaves, rebuild, _ = scalar_function("complex_step", f, params, None)
        sizes = [leaf.size for leaf in leaves]

        def slope(k: jax.Array) -> jax.Array:
            ends = np.cumsum([0, *sizes])[:-1]
            moved = [
                leaf + 1j * COMPLEX_STEP * (jnp.arange(leaf.size) == k - start).reshape(leaf.shape)
                for leaf, start in zip(leaves, ends, strict=True)
            ]
            return jnp.imag(f(rebuild(moved))) / COMPLEX_STEP

        try:
            slopes = np.asarray(_xla.jit_without_ynn(lambda ks: mapped(slope, ks, max(sizes)))(np.arange(sum(sizes))))
        except Exception as reason:
            raise _not_analytic(f"f does not take complex numbers: {_doors.first_line(reason)}") from reason
    parts = np.split(slopes, np.cumsum(sizes)[:-1])
    gradient = _without_others(rebuild([p.reshape(leaf.shape) for p, leaf in zip(parts, leaves, strict=True)]))
    scale = float(np.linalg.norm(slopes)) / max(1, len(slopes)) ** 0.5
    error = jax.tree.map(lambda g: 8 * 2.0**-52 * (np.abs(g) + scale) if g.dtype == float else g, gradient)
    report = check.compare(gradient, tolerance=1e-4)
    if not report:
        raise _not_analytic(f"{report.worst.name if report.worst else 'gradient'} is another by central differences")
    return Reference(check.value, gradient, error, jax.tree.map(lambda g: np.zeros(g.shape, bool), gradient))


def _not_analytic(why: str) -> ValueError:
    return _doors.mistake("complex_step: f", "an analytic function", why, "use central_differences")


def _without_others(tree: Any) -> Any:
    """Return a tree of numpy arrays, float0 for those leaves that are not a reference's own."""
    own = (np.dtype(float), np.dtype(bool))
    return jax.tree.map(
        lambda leaf: leaf if getattr(leaf, "dtype", None) in own else np.zeros(np.shape(leaf), jax.dtypes.float0), tree
    )
