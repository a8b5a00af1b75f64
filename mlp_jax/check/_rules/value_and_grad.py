"""Check a function that returns a loss and its gradient, written by hand, against the loss itself."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _doors, _xla
from mlp_jax.check._rules.arguments import float_names, note_complex
from mlp_jax.check._rules.comparison import compare_gradients
from mlp_jax.check._rules.finite_differences import float64_on_cpu, is_kind, split_floats
from mlp_jax.check._rules.gradient_judge import judge
from mlp_jax.check._rules.jaxpr_interpreter import coarsest, float_dtype
from mlp_jax.check._rules.problem import compiled, problem_of
from mlp_jax.check._rules.rule_checks import Arrays, check_compiler, check_inputs, copies, distance
from mlp_jax.check._rules.rule_report import Notebook, RuleReport, name_of


def check_gradient(
    value_and_grad: Callable[..., Any],
    loss: Callable[..., Any],
    params: Any,
    *args: Any,
    tolerance: float | None = None,
    seed: int = 0,
) -> RuleReport:
    """Check a function that returns a loss and its gradient, written by hand, against the loss itself, at one point.

    The gradient must be that of autodiff through the loss (without any custom rules inside of it) and have the slopes
    of the loss by central differences; as in `check_custom_vjp`, kinks are conventions. The point decides what a check
    can see: choose weights of about 1 / sqrt(fan_in), biases that are not 0 and a batch of several.

    Args:
      value_and_grad: (params, *args) -> (value, gradient like params), in JAX or numpy.
      loss: (params, *args) -> the scalar, written without the gradient, in JAX. If it is in numpy, only finite
        differences decide.
      params: a pytree; leaves that are floats are differentiated, in float64.
      *args: the rest, data say; floats are given in float64.
      tolerance: the relative L2 error that a leaf may have, for a loss that is itself not exact. None is that of the
        precision.
      seed: of the directions.

    Returns:
      A `RuleReport`: true if the gradient was seen to be right.

    Raises:
      TypeError: if the first two are not functions. What they raise is a finding.
      ValueError: if the tolerance is not above 0.

    Example:
      >>> def by_hand(w, x):
      ...     return jnp.sum((x @ w) ** 2), 2 * x.T @ (x @ w)
      >>> check_gradient(by_hand, lambda w, x: jnp.sum((x @ w) ** 2), np.ones(2), np.eye(2)).ok
      True
    """
    _doors.check_function("check_gradient: value_and_grad", value_and_grad)
    _doors.check_function("check_gradient: loss", loss)
    if tolerance is not None:
        _doors.check_positive("check_gradient: tolerance", tolerance)
    if not sum(leaf.size for leaf in split_floats(params)[0]):
        raise _doors.mistake(
            "check_gradient: params", "a pytree with floats in it", "none", "give floats, not integers"
        )
    book, rng = Notebook(name_of(value_and_grad)), np.random.default_rng(seed)
    given = copies((params, args))
    with float64_on_cpu():
        x, rebuild = split_floats(params)
        others, rebuild_others = split_floats(args)

        def at(g: Callable[..., Any], x: Arrays = x) -> Any:
            """Call with JAX's arrays; code that writes into arrays wants numpy's, and gets copies."""
            try:
                with _xla.operation_by_operation():
                    return g(rebuild(list(map(jnp.asarray, x))), *rebuild_others(list(map(jnp.asarray, others))))
            except Exception as error:
                try:
                    return g(*copies((rebuild(x), *rebuild_others(others))))
                except Exception:
                    raise error from None

        result = book.attempt("runs", "the function", lambda: at(value_and_grad))
        plain = book.attempt("loss", "the loss", lambda: float(at(loss)))
        note_complex(book, params)
        if result is None or plain is None:
            return book.report()
        if not _check_result(book, result, rebuild, x):
            return book.report()
        actual = _float_leaves(result[1], rebuild(x))
        of_params = _traceable(book, lambda floats: loss(rebuild(floats), *rebuild_others(others)), x)
        ruled = functools.partial(_call, value_and_grad, rebuild, rebuild_others(others))
        traced, jaxpr = _traced(ruled, x), jax.make_jaxpr(of_params)(x).jaxpr
        dtypes = [leaf.dtype.name for leaf in map(np.asarray, jax.tree.leaves(result)) if is_kind(leaf, jnp.floating)]
        dtypes += [float_dtype(jaxpr), *([float_dtype(traced)] if traced is not None else [])]
        book.precision = coarsest(dtypes)
        off = abs(float(result[0]) - plain)
        wrong = not off <= book.tolerance * abs(plain) + 1e-12  # rounding of terms of size 1 that cancel
        book.find("value", f"the value is {result[0]:.6g}, the loss {plain:.6g}" if wrong else "", "the loss itself")

        def by_numpy(floats: Arrays) -> Arrays:
            return _float_leaves(at(value_and_grad, floats)[1], rebuild(x))

        by_jax = compiled(lambda floats: _packed(ruled(floats)[1], rebuild(x)))
        gradient_at = by_numpy if traced is None else by_jax
        problem = problem_of(book, of_params, (), gradient_at, x)
        judgement = judge(book, problem, x, float_names(params), actual, rng, tolerance)
        again = _float_leaves(at(value_and_grad)[1], rebuild(x))
        changed = distance(again, actual, 0.0)
        book.find("deterministic", changed and f"the same input gives another gradient, by {changed}", "the same again")
        if traced is None:
            book.notes.append("the function is not JAX code: not checked under jit")
        else:
            under_jit = _float_leaves(_xla.jit_without_ynn(ruled)(x)[1], rebuild(x))
            off_jit = distance(under_jit, actual, book.loose)
            book.find("jit", off_jit and f"another gradient under jit, by {off_jit}", "the same under jit")
            check_compiler(book, ruled, (x,), traced, result)
        given_to_it = copies((rebuild(x), rebuild_others(others)))
        kept = copies(given_to_it)
        _quietly(lambda: value_and_grad(given_to_it[0], *given_to_it[1]))
    if traced is not None:
        _check_dtypes(book, value_and_grad, params, args)
    check_inputs(book, (given, kept), ((params, args), given_to_it))
    return book.report(**({} if judgement is None else judgement._asdict()))


def _call(g: Callable[..., Any], rebuild: Callable[[Any], Any], others: tuple[Any, ...], floats: Arrays) -> Any:
    return g(rebuild(floats), *others)


def _check_dtypes(book: Notebook, value_and_grad: Callable[..., Any], params: Any, args: tuple[Any, ...]) -> None:
    """Check that the gradient has the dtypes of the parameters as they were given; nothing is computed for that."""
    of_params = book.attempt(
        "dtype",
        "the function, in the dtypes given,",
        lambda: jax.eval_shape(lambda params: (params, value_and_grad(params, *args)[1]), params),
    )
    if of_params is not None:
        likes, leaves = (jax.tree.leaves(tree, is_leaf=lambda node: node is None) for tree in of_params)
        pairs = [(str(p.dtype), str(g.dtype)) for p, g in zip(likes, leaves, strict=True) if is_kind(p, jnp.floating)]
        wrong = ", ".join(sorted({f"{g} for {p}" for p, g in pairs if g != p}))
        book.find("dtype", wrong and f"the gradient comes as {wrong}: end with .astype", "the dtypes of the parameters")


def _check_result(book: Notebook, result: Any, rebuild: Callable[[Any], Any], x: Arrays) -> bool:
    """Check that the result is a value and a gradient like the parameters."""
    pair = isinstance(result, tuple | list) and len(result) == 2 and np.shape(result[0]) == ()
    if not pair or _quietly(lambda: float(result[0])) is None:
        book.find("structure", "expected a pair (scalar value, gradient)", "")
        return False
    ones = jax.tree.map(
        lambda leaf: leaf if is_kind(leaf, jnp.inexact) else None, rebuild([np.ones_like(v) for v in x])
    )
    leaves = compare_gradients(result[1], ones).leaves
    problems = [f"{leaf.name}: {leaf.problem}" for leaf in leaves if leaf.index is None and not leaf.ok]
    book.find("structure", "; ".join(problems), "a gradient like the parameters")
    return not problems


def _float_leaves(gradient: Any, params: Any) -> Arrays:
    """Return those leaves of a gradient that belong to floats, as real numbers."""
    return [np.asarray(leaf, float) for leaf in _packed(gradient, params)]


def _packed(gradient: Any, params: Any) -> Arrays:
    """Return those leaves of a gradient that belong to floats, and g of a complex z as (Re g, -Im g)."""
    leaves, likes = (jax.tree.leaves(tree, is_leaf=lambda node: node is None) for tree in (gradient, params))
    found = []
    for leaf, like in zip(leaves, likes, strict=True):
        if is_kind(like, jnp.complexfloating):
            g = jnp.asarray(leaf)
            found.append(jnp.stack([g.real, -g.imag], axis=-1))
        elif is_kind(like, jnp.floating):
            found.append(leaf)
    return found


def _traceable(book: Notebook, loss: Callable[[Arrays], Any], x: Arrays) -> Callable[[Arrays], Any]:
    """Return a loss that JAX can trace: itself, or a call back to it."""
    if _traced(loss, x) is not None:
        return loss
    book.notes.append("the loss is not JAX code")
    scalar = jax.ShapeDtypeStruct((), float)

    def call_back(floats: Arrays) -> Any:
        return jax.pure_callback(
            lambda *leaves: np.asarray(loss(list(map(np.asarray, leaves))), float),
            scalar,
            *floats,
            vmap_method="sequential",
        )

    return call_back


def _traced(f: Callable[[Arrays], Any], x: Arrays) -> Any:
    """Return the jaxpr of f, None if JAX cannot trace it."""
    return _quietly(lambda: jax.make_jaxpr(f)(x).jaxpr)


def _quietly(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception:
        return None
