"""Check derivatives that were written by hand: a `jax.custom_vjp` or a `jax.custom_jvp`.

A rule is right when its gradient is that of autodiff through the function without the rule, to rounding, and the
slope of the function by finite differences, and when it is a derivative at all: linear in the cotangent, zero for zero,
the same every time. All is computed in float64 on the CPU, in one line for each check, and nothing that the code under
test raises is passed on: that is a finding, too.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax import _doors, _xla
from mlp_jax.check._rules import low_precision
from mlp_jax.check._rules.arguments import arguments_of, note_forms
from mlp_jax.check._rules.finite_differences import float64_on_cpu, fresh_caches, is_kind
from mlp_jax.check._rules.gradient_judge import Judgement, judge
from mlp_jax.check._rules.jaxpr_interpreter import RULES, coarsest, equations, float_dtype
from mlp_jax.check._rules.problem import Gradient, compiled, problem_of
from mlp_jax.check._rules.rule import Rule, derivative_of, gradient_of, reverse
from mlp_jax.check._rules.rule_checks import (
    Arrays,
    Derivative,
    check_compiler,
    check_inputs,
    check_laws,
    copies,
    distance,
    give_memory_back,
    images,
)
from mlp_jax.check._rules.rule_report import Notebook, RuleReport, name_of, whole_message

SHRINK = (1.0, 1e-3, 1e-6)  # sizes of a cotangent that are tried in turn, for a rule that may be nonlinear


def check_custom_vjp(
    f: Callable[..., Any],
    *args: Any,
    reference: Callable[..., Any] | None = None,
    linear: bool = True,
    tolerance: float | None = None,
    order: int = 1,
    dtype: Any = None,
    seed: int = 0,
) -> RuleReport:
    """Check the rule of a `jax.custom_vjp`, or of any function with such rules inside, at one point.

    The rule's gradient of sum(c * f(args)), for a random cotangent c, must have

    - the slopes of the function by central differences, for every leaf along random directions;
    - the digits of autodiff through the function without its rule, to 1e-9 (1e-4 if f computes in float32).

    If autodiff contradicts the differences, it is not believed. At a kink of f, a mixture of the gradients around is a
    convention: noted, not wrong. What cannot be seen is undecided.

    Args:
      f: a `jax.custom_vjp` object, or a function that JAX can trace.
      *args: its arguments, pytrees: leaves that are floats or complex are differentiated (in float64); whole numbers,
        strings, functions, `nondiff_argnums` and None are kept as they are. A complex leaf counts as two real ones, and
        its gradient g means the slope Re(g dz), as `jax.grad` has it.
      reference: what the rule is the derivative of, if not of f itself: for a straight-through estimator of
        rounding, `lambda x: x`.
      linear: False for a rule that is not linear in the cotangent on purpose, such as one that clips gradients: its
        gradient is compared for cotangents so small that it is.
      tolerance: the relative L2 error that a leaf may have, for a function that is itself not exact, such as a solver
        that stops early. None is that of the precision.
      order: 2 also checks the derivative of the rule.
      dtype: float32, bfloat16 or float16. The rule also runs in this dtype, on the device of its arguments, and is
        compared with itself in float64 at the rounded arguments. None takes the dtype of arrays given in one of these.
      seed: of the cotangents and directions.

    Returns:
      A `RuleReport`: true if the rule was seen to be right. A note warns if XLA's YNNPACK fusion compiles a right
      rule wrongly.

    Raises:
      TypeError, ValueError: if f is not a function, or an option is not as said. What f or its rule raises is a
        finding.

    Example:
      >>> @jax.custom_vjp
      ... def square(x):
      ...     return x**2
      >>> square.defvjp(lambda x: (x**2, x), lambda x, c: (c * x,))
      >>> check_custom_vjp(square, 3.0).wrong
      ('autodiff', 'finite differences')
    """
    options = _Options("check_custom_vjp", False, linear, tolerance, order, dtype, seed)
    return _check_rule(options, f, args, reference)


def check_custom_jvp(
    f: Callable[..., Any],
    *args: Any,
    reference: Callable[..., Any] | None = None,
    linear: bool = True,
    tolerance: float | None = None,
    order: int = 1,
    dtype: Any = None,
    seed: int = 0,
) -> RuleReport:
    """Check the rule of a `jax.custom_jvp`, or of any function with such rules inside, at one point.

    As `check_custom_vjp`, with tangents for cotangents: the Jacobian-vector products of up to 4,096 entries one by one
    give the gradient that is compared, and reverse mode through the rule must give the same.

    Args:
      f: a `jax.custom_jvp` object, or a function that JAX can trace.
      *args: as for `check_custom_vjp`.
      reference: as for `check_custom_vjp`.
      linear: as for `check_custom_vjp`, in the tangent. A rule that is not linear has no reverse mode.
      tolerance: as for `check_custom_vjp`.
      order: as for `check_custom_vjp`.
      dtype: as for `check_custom_vjp`.
      seed: of the tangents and directions.

    Returns:
      A `RuleReport`: true if the rule was seen to be right.

    Raises:
      TypeError, ValueError: as `check_custom_vjp`.

    Example:
      >>> report = check_custom_jvp(jax.nn.relu, np.array([-1.0, 0.0, 2.0]))
      >>> report.ok, report.notes[0]
      (True, 'on a kink, autodiff follows another convention than the rule; entries: 1')
    """
    options = _Options("check_custom_jvp", True, linear, tolerance, order, dtype, seed)
    return _check_rule(options, f, args, reference)


class _Options(NamedTuple):
    where: str
    by_tangents: bool
    linear: bool
    tolerance: float | None
    order: int
    dtype: Any
    seed: int


def _check_rule(options: _Options, f: Callable[..., Any], args: tuple[Any, ...], reference: Any) -> RuleReport:
    where = options.where
    _doors.check_function(f"{where}: f", f)
    if reference is not None:
        _doors.check_function(f"{where}: reference", reference)
    if options.tolerance is not None:
        _doors.check_positive(f"{where}: tolerance", options.tolerance)
    if options.order not in (1, 2):
        raise _doors.mistake(f"{where}: order", "1, or 2 to check the derivative of the rule, too", options.order)
    if options.dtype is not None:
        try:
            name = np.dtype(options.dtype).name
        except TypeError:
            name = str(options.dtype)
        _doors.check_choice(f"{where}: dtype", name, low_precision.DTYPES)
        args = jax.tree.map(lambda leaf: jnp.asarray(leaf, name) if is_kind(leaf, jnp.floating) else leaf, args)
    given = copies(args)
    arguments = arguments_of(where, f, args)
    book, rng = Notebook(name_of(f)), np.random.default_rng(options.seed)
    note_forms(book, f, args)
    plain = arguments.of_floats(f)
    target = plain if reference is None else arguments.of_floats(reference)
    derive = derivative_of(plain, options.by_tangents)
    rule = Rule(plain, target, derive, options.by_tangents, arguments.x, arguments.names)
    dtype = low_precision.dtype_of(arguments.originals)
    expected = None
    with fresh_caches(rule.of_itself, rule.x), float64_on_cpu():
        judgement = _check_derivative(book, rule, options._replace(order=1), rng)
        if options.order == 2 and judgement is not None:
            _check_second(book, rule, options, rng)
        if judgement is not None and dtype in low_precision.DTYPES and not book.problems:
            expected = low_precision.expected(rule, dtype, rng)
    _check_dtypes(book, rule, arguments.originals)
    if expected is not None and not book.problems:
        low_precision.check_low_precision(book, rule, expected, arguments.originals)
    check_inputs(book, given, args)
    return book.report(**({} if judgement is None else judgement._asdict()))


def _check_derivative(book: Notebook, rule: Rule, options: _Options, rng: np.random.Generator) -> Judgement | None:
    """Check a derivative and return how its gradient compares."""
    laws = Notebook(book.subject)  # the gradient comes first, but its arrays need the room
    found = _run(book, laws, rule, options.linear, rng)
    if found is None:
        return None
    give_memory_back(rule.x)
    judgement = _judge_rule(book, rule, *found, options, rng)
    book.findings.extend(laws.findings)
    return judgement


def _run(
    book: Notebook, laws: Notebook, rule: Rule, linear: bool, rng: np.random.Generator
) -> tuple[Arrays, Arrays] | None:
    """Check that a derivative runs and obeys the laws; return one of its images, and a cotangent."""
    ran = _run_eagerly(book, rule, rng)
    if ran is None:
        return None
    eager, one, two, shapes = ran
    found = images(book, rule.derive, rule.x, eager, one, two)
    if found is None:
        return None
    laws.precision = book.precision
    del ran, eager
    give_memory_back(rule.x)
    book.attempt("jit", "the rule under jit", lambda: check_laws(laws, found, rule.element, linear))
    return found.of(0), [jnp.asarray(rng.standard_normal(shape)) for shape in shapes] if rule.by_tangents else one


def _run_eagerly(
    book: Notebook, rule: Rule, rng: np.random.Generator
) -> tuple[Arrays, Arrays, Arrays, list[Any]] | None:
    """Run a derivative operation by operation; return an image, its element, another one, and the shapes of f(x)."""
    plain, derive, x = rule.plain, rule.derive, rule.x
    points = [jnp.asarray(leaf) for leaf in x]
    with _xla.operation_by_operation():
        value = book.attempt("runs", "the function", lambda: plain(points))
    if not value:
        if value is not None:
            book.find("runs", "the function returns no floats, so there is nothing to differentiate", "")
        return None
    like = points if rule.by_tangents else value
    one, two = ([jnp.asarray(rng.standard_normal(v.shape), v.dtype) for v in like] for _ in range(2))
    with _xla.operation_by_operation():
        eager = book.attempt("rule", "the rule", lambda: derive(points, one))
    if eager is None:
        return None
    traced = book.attempt("jit", "the rule under jit", lambda: jax.make_jaxpr(derive)(x, one).jaxpr)
    if traced is None:
        return None
    book.precision = float_dtype(traced)
    if not any(eqn.primitive.name in RULES for eqn in equations(jax.make_jaxpr(plain)(x).jaxpr)):
        book.notes.append("the function carries no rule of its own: this was a check of autodiff")
    check_compiler(book, derive, (x, one), traced, eager)
    off = distance(eager[0], value, book.tolerance)
    book.find(
        "value",
        off and f"the rule's forward pass returns another value than the function, off by {off}: return f(x) itself",
        "the forward pass returns the function's value",
    )
    return eager[1], one, two, [v.shape for v in value]


def _judge_rule(
    book: Notebook, rule: Rule, image: Arrays, cotangent: Arrays, options: _Options, rng: np.random.Generator
) -> Judgement | None:
    """Compare the rule's gradient of sum(cotangent * f) with those of the function that it should belong to."""
    x, by_rule = rule.x, gradient_of(rule)

    def loss(x: Arrays, cotangent: Arrays) -> Any:
        return sum(jnp.sum(c * v) for c, v in zip(cotangent, rule.target(x), strict=True))

    spec = book.attempt("reference", "the function without its rule", lambda: jax.make_jaxpr(loss)(x, cotangent))
    if spec is None:
        return None
    book.precision = coarsest([book.precision, float_dtype(spec.jaxpr)])
    size = 1.0 if options.linear or rule.by_tangents else _where_linear(rule.derive, x, cotangent)
    gradient = compiled(lambda x, c: [g / size for g in by_rule(x, [size * v for v in c])], cotangent)
    if rule.by_tangents:
        by_reverse = _attempt_reverse(book, compiled(lambda x, c: reverse(rule.derive, x, c), cotangent), rule)
        actual = gradient(x) if rule.is_small else by_reverse
        if actual is None:
            return None
        if by_reverse is not None:
            off = distance(by_reverse, actual, book.loose)
            book.find(
                "reverse mode", off and f"another gradient than forward mode, by {off}", "agrees with forward mode"
            )
    else:
        actual = image if size == 1 else gradient(x)
    actual = [np.asarray(leaf, float) for leaf in actual]
    problem = problem_of(book, loss, (cotangent,), gradient, x, keeps_stopped=options.order == 1)
    give_memory_back(x)
    return judge(book, problem, x, rule.names, actual, rng, options.tolerance)


def _attempt_reverse(book: Notebook, reverse: Gradient, rule: Rule) -> Arrays | None:
    """Return the gradient by reverse mode, or None with a note if a loop of unknown length forbids reverse mode."""
    names = {eqn.primitive.name for eqn in equations(jax.make_jaxpr(rule.plain)(rule.x).jaxpr)}
    if "while" not in names:
        return book.attempt("reverse mode", "reverse mode through the rule", lambda: reverse(rule.x))
    try:
        return reverse(rule.x)
    except Exception as error:
        book.notes.append(f"no reverse mode, which is a limit of the loop and not of the rule: {whole_message(error)}")
        return None


def _where_linear(derive: Derivative, x: Arrays, cotangent: Arrays) -> float:
    """Return a size of cotangents at which the rule is linear in them, or 1."""
    for size in SHRINK:
        one, half = ([g / s for g in derive(x, [s * c for c in cotangent])[1]] for s in (size, size / 2))
        if not distance(one, half, 1e-6):
            return size
    return 1.0


def _check_second(book: Notebook, rule: Rule, options: _Options, rng: np.random.Generator) -> None:
    """Check the derivative of the rule: the function is now the gradient that it gives."""
    with _xla.operation_by_operation():
        value = rule.plain([jnp.asarray(leaf) for leaf in rule.x])
    like = rule.x if rule.by_tangents else value
    element = [jnp.asarray(rng.standard_normal(v.shape)) for v in like]

    def plain(x: Arrays) -> Arrays:
        return rule.derive(x, element)[1]

    again = Notebook(book.subject)
    _check_derivative(
        again,
        Rule(plain, plain, derivative_of(plain, False), False, rule.x, rule.names),
        options._replace(order=2),
        rng,
    )
    book.findings.extend(replace(finding, check=f"second order: {finding.check}") for finding in again.findings)


def _check_dtypes(book: Notebook, rule: Rule, originals: Arrays) -> None:
    """Check that every gradient has the dtype of its argument, as it was given; nothing is computed for that."""
    shapes = book.attempt(
        "dtype",
        "the rule, in the dtypes given,",
        lambda: jax.eval_shape(lambda x: (x, *rule.of_itself(x)), originals),  # numpy's float64 may come as float32
    )
    if shapes is not None:
        x, value, image = shapes
        pairs = zip(value if rule.by_tangents else x, image, strict=True)
        wrong = ", ".join(f"{a.dtype} for {e.dtype}" for e, a in pairs if a.dtype != e.dtype)
        book.find(
            "dtype", wrong and f"the result comes as {wrong}: end with .astype(x.dtype)", "the dtypes of the arguments"
        )
