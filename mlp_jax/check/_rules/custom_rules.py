"""Check derivatives that were written by hand: a gradient function, a `jax.custom_vjp` or a `jax.custom_jvp`.

A rule is right when its gradient is that of autodiff through the function without the rule, to rounding, and the
slope of the function by finite differences, and when it is a derivative at all: linear in the cotangent, zero for zero,
the same every time. All is computed in float64 on the CPU, in one line for each check, and nothing that the code under
test raises is passed on: that is a finding, too.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from mlp_jax import _doors, _xla
from mlp_jax.check._rules.finite_differences import float64_on_cpu, is_kind, split_floats
from mlp_jax.check._rules.gradient_judge import (
    Judgement,
    by_autodiff,
    eps_of,
    find_gradient,
    float_names,
    judge,
)
from mlp_jax.check._rules.jaxpr_interpreter import RULES, equations, float_dtype, undecorated
from mlp_jax.check._rules.rule_checks import (
    Arrays,
    Derivative,
    check_compiler,
    check_inputs,
    check_laws,
    copies,
    distance,
    elements,
    images,
)
from mlp_jax.check._rules.rule_report import Notebook, RuleReport, name_of

FORWARD_ENTRIES = 4096  # of the arguments: up to here a Jacobian-vector product is taken for every entry


def check_custom_vjp(
    f: Callable[..., Any], *args: Any, reference: Callable[..., Any] | None = None, linear: bool = True, seed: int = 0
) -> RuleReport:
    """Check the rule of a `jax.custom_vjp`, or of any function with such rules inside, at one point.

    The rule's gradient of sum(c * f(args)), for a random cotangent c, must be

    - that of autodiff through the function without its rule, each leaf to 1e-9 (1e-4 where f computes in float32);
    - the slope by central differences, for every leaf along random directions, entry by entry for the worst.

    Where the two disagree at a kink of f, a value between the slopes of both sides is a convention: noted, not wrong.

    Args:
      f: a `jax.custom_vjp` object, or a function that JAX can trace.
      *args: its arguments, pytrees: leaves that are floats are differentiated (in float64), others, `nondiff_argnums`
        and None are kept.
      reference: what the rule is the derivative of, if not of f itself: for a straight-through estimator of
        rounding, `lambda x: x`.
      linear: False for a rule that is not linear in the cotangent on purpose, such as one that clips gradients.
      seed: of the cotangents and directions.

    Returns:
      A `RuleReport`: true where all checks passed. A note warns if XLA's YNNPACK fusion compiles a right rule wrongly.

    Raises:
      TypeError: where f is not a function. What f or its rule raises is a finding.

    Example:
      >>> @jax.custom_vjp
      ... def square(x):
      ...     return x**2
      >>> square.defvjp(lambda x: (x**2, x), lambda x, c: (c * x,))
      >>> check_custom_vjp(square, 3.0).wrong
      ('autodiff', 'finite differences')
    """
    return _check_rule("check_custom_vjp", f, args, reference, linear, seed)


def check_custom_jvp(
    f: Callable[..., Any], *args: Any, reference: Callable[..., Any] | None = None, linear: bool = True, seed: int = 0
) -> RuleReport:
    """Check the rule of a `jax.custom_jvp`, or of any function with such rules inside, at one point.

    As `check_custom_vjp`, with tangents for cotangents: the Jacobian-vector products of up to 4,096 entries one by one
    give the gradient that is compared, and reverse mode through the rule must give the same.

    Args:
      f: a `jax.custom_jvp` object, or a function that JAX can trace.
      *args: as for `check_custom_vjp`.
      reference: as for `check_custom_vjp`.
      linear: as for `check_custom_vjp`, in the tangent. A rule that is not linear has no reverse mode.
      seed: of the tangents and directions.

    Returns:
      A `RuleReport`: true where all checks passed.

    Raises:
      TypeError: where f is not a function. What f or its rule raises is a finding.

    Example:
      >>> report = check_custom_jvp(jax.nn.relu, np.array([-1.0, 0.0, 2.0]))
      >>> report.ok, report.notes[1]
      (True, 'on a kink, autodiff follows another convention than the rule; entries: 1')
    """
    return _check_rule("check_custom_jvp", f, args, reference, linear, seed)


def _check_rule(
    where: str, f: Callable[..., Any], args: tuple[Any, ...], reference: Any, linear: bool, seed: int
) -> RuleReport:
    _doors.check_function(f"{where}: f", f)
    if reference is not None:
        _doors.check_function(f"{where}: reference", reference)
    names = _argument_names(f, args)
    static = {i for i, arg in enumerate(args) if i in _nondiff(f) or not _is_numeric(arg)}
    arguments = {names[i]: arg for i, arg in enumerate(args) if i not in static}
    x, rebuild = split_floats(arguments)
    if not sum(leaf.size for leaf in x):
        raise _doors.mistake(where, "an argument with floats to differentiate in", "none", "give floats")

    def of_floats(g: Callable[..., Any]) -> Callable[[Arrays], Arrays]:
        def on(floats: Arrays) -> Arrays:
            named = rebuild(floats)
            out = g(*(arg if i in static else named[names[i]] for i, arg in enumerate(args)))
            return [jnp.asarray(leaf) for leaf in jax.tree.leaves(out) if is_kind(leaf, jnp.floating)]

        return on

    by_tangents = where == "check_custom_jvp"
    plain, given = of_floats(f), copies(args)

    def derive(floats: Arrays, element: Arrays) -> tuple[Arrays, Arrays]:
        if by_tangents:
            return jax.jvp(plain, (floats,), (element,))
        value, pull = jax.vjp(plain, floats)
        return value, pull(element)[0]

    book, rng = Notebook(name_of(f)), np.random.default_rng(seed)
    with float64_on_cpu():
        target = of_floats(_without_rule(f) if reference is None else reference)
        judgement = _check_derivative(book, plain, derive, target, x, rebuild, by_tangents, linear, rng)
    _check_dtypes(book, plain, arguments, by_tangents)
    check_inputs(book, given, args)
    return book.report(**({} if judgement is None else judgement._asdict()))


def _check_derivative(
    book: Notebook,
    plain: Callable[[Arrays], Arrays],
    derive: Derivative,
    target: Callable[[Arrays], Arrays],
    x: Arrays,
    rebuild: Callable[[Any], Any],
    by_tangents: bool,
    linear: bool,
    rng: np.random.Generator,
) -> Judgement | None:
    """Check the derivative of `plain`, which should be that of `target`; return how its gradient compares."""
    points = [jnp.asarray(leaf) for leaf in x]
    with _xla.operation_by_operation():
        value = book.attempt("runs", "the function", lambda: plain(points))
    if not value:
        if value is not None:
            book.find("runs", "the function returns no floats, so there is nothing to differentiate", "")
        return None
    like = points if by_tangents else value
    first, second = ([jnp.asarray(rng.standard_normal(v.shape), v.dtype) for v in like] for _ in range(2))
    with _xla.operation_by_operation():
        eager = book.attempt("rule", "the rule", lambda: derive(points, first))
    if eager is None:
        return None
    traced = book.attempt("jit", "the rule under jit", lambda: jax.make_jaxpr(derive)(x, first).jaxpr)
    if traced is None:
        return None
    book.precision = float_dtype(traced)
    if not any(eqn.primitive.name in RULES for eqn in equations(jax.make_jaxpr(plain)(x).jaxpr)):
        book.notes.append("the function carries no rule of its own: this was a check of autodiff")
    check_compiler(book, derive, (x, first), traced, eager)
    off = distance(eager[0], value, book.tolerance)
    book.find(
        "value",
        off and f"the rule's forward pass returns another value than the function, off by {off}: return f(x) itself",
        "the forward pass returns the function's value",
    )
    cotangent = [jnp.asarray(rng.standard_normal(v.shape)) for v in value] if by_tangents else first
    found = images(book, derive, x, eager[1], elements(first, second))
    if found is None:
        return None
    judgement = _judge_rule(book, derive, found.one, target, x, cotangent, rebuild, by_tangents, rng)
    check_laws(book, found, "tangent" if by_tangents else "cotangent", linear)
    return judgement


def _judge_rule(
    book: Notebook,
    derive: Derivative,
    image: Arrays,
    target: Callable[[Arrays], Arrays],
    x: Arrays,
    cotangent: Arrays,
    rebuild: Callable[[Any], Any],
    by_tangents: bool,
    rng: np.random.Generator,
) -> Judgement | None:
    """Compare the rule's gradient of sum(cotangent * f) with those of the function that it should belong to."""

    def loss(floats: Arrays) -> Any:
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, target(floats), strict=True))

    spec = book.attempt("reference", "the function without its rule", lambda: jax.make_jaxpr(loss)(x))
    if spec is None:
        return None
    book.precision = max(book.precision, float_dtype(spec.jaxpr), key=eps_of)
    if by_tangents:
        reverse = book.attempt("reverse mode", "reverse mode through the rule", lambda: _reverse(derive, x, cotangent))
        actual = _forward(derive, x, cotangent) if sum(leaf.size for leaf in x) <= FORWARD_ENTRIES else reverse
        if actual is None:
            return None
        if reverse is not None:
            off = distance(reverse, actual, book.loose)
            book.find(
                "reverse mode", off and f"another gradient than forward mode, by {off}", "agrees with forward mode"
            )
    else:
        actual = image
    actual = [np.asarray(leaf, float) for leaf in actual]
    expected, rounding = by_autodiff(book, jax.grad(loss), x, rng)
    judgement = judge(book, loss, x, float_names(rebuild(x)), actual, expected, rounding, rng)
    find_gradient(book, judgement, spec.jaxpr)
    return judgement


def _forward(derive: Derivative, x: Arrays, cotangent: Arrays) -> Arrays:
    """Return the gradient of sum(cotangent * f) by one Jacobian-vector product for each entry."""
    flat, unravel = ravel_pytree(x)

    def slope(tangent: Any) -> Any:
        image = derive(x, unravel(tangent))[1]
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, image, strict=True))

    rows = _xla.jit_without_ynn(lambda basis: jax.lax.map(slope, basis, batch_size=min(256, flat.size)))(
        np.eye(flat.size)
    )
    return unravel(rows)


def _reverse(derive: Derivative, x: Arrays, cotangent: Arrays) -> Arrays:
    """Return the gradient of sum(cotangent * f) by transposing the Jacobian-vector product."""

    def slope(tangents: Arrays) -> Any:
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, derive(x, tangents)[1], strict=True))

    return _xla.jit_without_ynn(lambda: jax.linear_transpose(slope, x)(1.0)[0])()


def _check_dtypes(book: Notebook, plain: Callable[[Arrays], Arrays], arguments: Any, by_tangents: bool) -> None:
    """Check that every gradient has the dtype of its argument, as it was given; nothing is computed for that."""
    originals = [leaf for leaf in jax.tree.leaves(arguments) if is_kind(leaf, jnp.floating)]

    def images(floats: Arrays) -> tuple[Arrays, Arrays]:
        if by_tangents:
            return jax.jvp(plain, (floats,), (floats,))
        value, pull = jax.vjp(plain, floats)
        return floats, pull(value)[0]

    shapes = book.attempt("dtype", "the rule, in the dtypes given,", lambda: jax.eval_shape(images, originals))
    if shapes is not None:
        pairs = [(str(e.dtype), str(a.dtype)) for e, a in zip(*shapes, strict=True)]
        wrong = ", ".join(f"{a} for {e}" for e, a in pairs if a != e)
        book.find(
            "dtype", wrong and f"the result comes as {wrong}: end with .astype(x.dtype)", "the dtypes of the arguments"
        )


def _without_rule(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f's own code: what a custom_vjp or custom_jvp object wraps, or f with all rules inside taken away."""
    return f.fun if isinstance(f, jax.custom_vjp | jax.custom_jvp) else undecorated(f)


def _nondiff(f: Callable[..., Any]) -> tuple[int, ...]:
    return tuple(getattr(f, "nondiff_argnums", None) or ())


def _is_numeric(arg: Any) -> bool:
    """Whether an argument is a pytree of arrays and numbers."""
    return all(
        hasattr(leaf, "dtype") or isinstance(leaf, bool | int | float | complex) for leaf in jax.tree.leaves(arg)
    )


def _argument_names(f: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    try:
        parameters = list(inspect.signature(f).bind(*args).signature.parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[: len(args)] + [f"argument {i}" for i in range(len(names), len(args))]
