"""Rules of the kind that people bring, right and wrong, with the verdict that is the truth.

A case is a function that gives (f, *args), or (value_and_grad, loss, params) for check_gradient; its docstring is the
reason. The first part is that of the shared table. `python tests/rules.py [part of a name]` prints all verdicts.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import mlp_jax


class Case(NamedTuple):
    """A rule, the verdict that is expected, others that are honest too, and words of a good message (a|b is either)."""

    build: Callable[[], tuple[Any, ...]]
    check: str
    expected: str
    words: tuple[str, ...]
    also: tuple[str, ...]
    options: dict[str, Any]

    def report(self) -> Any:
        """Return what the checker says."""
        return getattr(mlp_jax, self.check)(*self.build(), **self.options)

    def problem(self) -> str:
        """Return how the report is not what is expected, or nothing."""
        report = self.report()
        verdict, text = report.verdict.split(":")[0], str(report).lower()
        missing = [w for w in self.words if not any(part.lower() in text for part in w.split("|"))]
        fine = verdict in (self.expected, *self.also) and bool(report) == (verdict == "right")
        return "" if fine and not missing else f"{verdict}, expected {self.expected}; not said: {missing}"


CASES: dict[str, Case] = {}


def case(expected: str, *words: str, by: str = "custom_vjp", also: tuple[str, ...] = (), **options: Any) -> Any:
    """Return a decorator that puts a case into the table."""

    def add(build: Callable[[], tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
        CASES[build.__name__] = Case(build, f"check_{by}", expected, words, also, options)
        return build

    return add


def vjp_rule(f, bwd, **options):
    """Return a custom_vjp of f whose residuals are its arguments."""
    g = jax.custom_vjp(lambda *a: f(*a), **options)
    g.defvjp(lambda *a: (f(*a), a), bwd)
    return g


def jvp_rule(f, jvp, **options):
    """Return a custom_jvp of f."""
    g = jax.custom_jvp(lambda *a: f(*a), **options)
    g.defjvp(jvp)
    return g


def slope_rule(f, slope):
    """Return a custom_vjp of an elementwise f, or of a scalar, by its slope."""
    return vjp_rule(f, lambda r, c: (c * slope(r[0]),))


def with_residuals(f, forward, backward):
    """Return a custom_vjp of f with a forward pass of its own."""
    g = jax.custom_vjp(lambda *a: f(*a))
    g.defvjp(forward, backward)
    return g


def bisected(increasing, low, high, steps=70):
    """Return where `increasing` passes zero, by halving: autodiff through it sees nothing."""

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        below = increasing(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, steps, halve, (low, high))
    return 0.5 * (low + high)


def iterated(step, start, tolerance):
    """Return step(step(... start)) when it moves by less than the tolerance."""

    def body(state):
        x, _ = state
        new = step(x)
        return new, jnp.max(jnp.abs(new - x))

    return jax.lax.while_loop(lambda s: s[1] > tolerance, body, (start, jnp.asarray(jnp.inf, start.dtype)))[0]


def callback(numpy_function):
    """Return a simulator outside of JAX: no autodiff."""

    def f(x):
        shape = jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))
        return jax.pure_callback(
            lambda v: np.asarray(numpy_function(np.asarray(v)), np.asarray(v).dtype),
            shape,
            x,
            vmap_method="expand_dims",
        )

    return f


def in_numpy(value, gradient, params):
    """Return the arguments of check_gradient for a loss and a gradient in numpy."""
    return (
        lambda p: (float(value(np.asarray(p))), gradient(np.asarray(p))),
        lambda p: float(value(np.asarray(p))),
        params,
    )


@case("wrong", by="gradient")
def log1p_over_x_at_zero():
    """Removable point: log(1 + x) / x with the value 1 filled in at 0 is smooth there with slope -1/2; autodiff takes the constant branch and says 0."""
    f = lambda x: jnp.sum(jnp.where(x == 0, 1.0, jnp.log1p(x) / jnp.where(x == 0, 1.0, x)))
    return jax.value_and_grad(f), f, np.array([0.0, 0.5])


@case("wrong")
def second_derivative_of_cubic_inverse():
    """x^3 + x = y by bisection; the first rule is right, but its forward pass calls the bare solver, so the slope's own slope comes out as 0 and not -6x / (3x^2 + 1)^3."""
    solve = lambda y: bisected(lambda x: x**3 + x - y, 0 * y - 3.0, 0 * y + 3.0)
    inverse = jax.custom_vjp(lambda y: solve(y))

    def forward(y):
        x = solve(y)
        return x, x

    inverse.defvjp(forward, lambda x, c: (c / (3 * x**2 + 1),))
    return jax.grad(inverse), 0.7


@case("undecided")
def simulator_rounds_to_three_digits():
    """A callback that rounds sin to 3 decimals has no autodiff, and differences see 2 or 3 digits: a rule 1e-5 off can be neither confirmed nor refuted."""
    return vjp_rule(callback(lambda x: np.round(np.sin(x), 3)), lambda r, c: (1.00001 * c * jnp.cos(r[0]),)), 0.8


@case("wrong")
def prelu_beside_ninety_zeros():
    """Slope 0.3 in place of 0.25: 90 entries on the kink must not excuse the other 110."""
    f = lambda x: jnp.where(x > 0, x, 0.25 * x)
    x = np.concatenate([np.zeros(90), -np.linspace(0.5, 2, 110)])
    return vjp_rule(f, lambda r, c: (c * jnp.where(r[0] >= 0, 1.0, 0.3),)), x


@case("undecided", "finite|overflow|inf", also=("wrong",))
def exp_where_it_overflows():
    """exp(900) is inf in float64, so no difference exists and the slope 3 is on no kink; "right" must not be said (e^900 is not 3, so "wrong" is true as well)."""
    return vjp_rule(jnp.exp, lambda r, c: (3.0 * c,)), 900.0


@case("wrong", " sign|-1 times", also=("undecided",), by="gradient")
def michaelis_menten_sign():
    """vmax = 4e5 and km = 3e-6 in one numpy vector: the slope in km has the wrong sign, and a step sized by the whole vector cannot see it."""
    s = np.linspace(1e-6, 1e-5, 12)
    y = 4.1e5 * s / (2.8e-6 + s)

    def loss(p):
        p = np.asarray(p)
        return float(np.mean((p[0] * s / (p[1] + s) - y) ** 2))

    def value_and_grad(p):
        p = np.asarray(p)
        r = p[0] * s / (p[1] + s) - y
        return loss(p), np.array([np.mean(2 * r * s / (p[1] + s)), +np.mean(2 * r * p[0] * s / (p[1] + s) ** 2)])

    return value_and_grad, loss, np.array([4e5, 3e-6])


@case("right")
def log_softmax_along_axis_zero():
    """The axis is a plain Python int of a plain function: it is static and must not be traced."""
    return jax.nn.log_softmax, np.array([[0.3, -1.0], [2.0, 0.1], [0.0, 0.7]]), 0


@case("right", by="custom_jvp")
def vmapped_rule_on_numpy():
    """jax.vmap of a custom_jvp around a jitted function (as jax.nn writes them), on a numpy array: no crash."""
    cube = jax.custom_jvp(jax.jit(lambda x: x**3))
    cube.defjvps(lambda t, out, x: 3 * x**2 * t)
    return jax.vmap(cube), np.array([0.5, -2.0, 1.5])


@case("right", by="gradient")
def slope_of_1e260():
    """exp(600) = 4e260 is a fine float64, but its square is not: no norm may overflow."""
    f = lambda x: jnp.exp(2.0 * x[0])
    return jax.value_and_grad(f), f, np.array([300.0])


@case("right")
def closes_over_numpy_times():
    """A float64 numpy constant inside the function is ordinary JAX: no dtype complaint."""
    t = np.linspace(0.5, 2.0, 4)
    return (lambda p: jnp.sum(jnp.log1p(p[0] * t) - p[1] * t)), np.array([1.5, 0.2])


@case("right", also=("undecided",))
def cube_root_by_loose_iteration():
    """The implicit rule c / (3 x^2) is right to 1e-5 for a fixed-point loop that stops at 1e-5; that, and the 1e-4 by which differences of the loop are off, is the solver's error and not the rule's."""
    root = lambda a: iterated(lambda x: 0.5 * (x + a / x**2), 0.5 * a, 1e-5)
    g = jax.custom_vjp(root)

    def forward(a):
        x = root(a)
        return x, x

    g.defvjp(forward, lambda x, c: (c / (3 * x**2),))
    return g, 2.5


@case("wrong", "complex")
def complex_field_beside_a_real_gain():
    """gain * Re(z^2): the rule is right for the gain and returns zero for z."""
    f = lambda gain, z: gain * jnp.sum(jnp.real(z * z))
    return (
        vjp_rule(f, lambda r, c: (c * jnp.sum(jnp.real(r[1] ** 2)), jnp.zeros_like(r[1]))),
        1.5,
        np.array([1 + 2j, -0.5 + 0.3j]),
    )


@case("right", linear=False)
def clips_each_entry_of_the_cotangent():
    """Identity forward, cotangent clipped to +-0.05 on purpose, and said so with linear=False."""
    return vjp_rule(lambda x: x, lambda r, c: (jnp.clip(c, -0.05, 0.05),)), np.array([0.3, -1.0, 2.0, 4.0])


@case("wrong")
def largest_modulus_at_a_tie():
    """max |x| at (2, -2, 1): both tied entries get the whole cotangent, so along (1, -1, 0) the rule says 2 t where the function moves by t; no convention does that."""
    f = lambda x: jnp.max(jnp.abs(x))
    return vjp_rule(f, lambda r, c: (c * jnp.sign(r[0]) * (jnp.abs(r[0]) == jnp.max(jnp.abs(r[0]))),)), np.array(
        [2.0, -2.0, 1.0]
    )


@case("wrong", "float16|half")
def length_in_half_precision():
    """The value is scaled and survives float16, the rule squares 1e-4 and divides by 0; in float64 it is right."""

    def f(x, y):
        m = jnp.maximum(jnp.abs(x), jnp.abs(y))
        return m * jnp.sqrt((x / m) ** 2 + (y / m) ** 2)

    def bwd(r, c):
        d = jnp.sqrt(r[0] * r[0] + r[1] * r[1])
        return c * r[0] / d, c * r[1] / d

    return vjp_rule(f, bwd), jnp.asarray(1e-4, jnp.float16), jnp.asarray(1.5e-4, jnp.float16)


@case("right", "nondiff_argnums", by="custom_jvp", also=("wrong",))
def array_in_nondiff_argnums():
    """The derivative is right, but an array among nondiff_argnums fails once it is traced in a scan: worth a note, or a finding."""
    g = jax.custom_jvp(lambda x, gains: jnp.tanh(x * gains), nondiff_argnums=(1,))
    g.defjvp(lambda gains, p, t: (jnp.tanh(p[0] * gains), t[0] * gains * (1 - jnp.tanh(p[0] * gains) ** 2)))
    return g, np.array([0.2, -0.4, 1.0]), np.array([1.0, 2.0, 0.5])


@case("wrong", "astype(jnp.float32) on the table")
def rule_raises_with_long_advice():
    """What the rule raises is shown to its end: the advice comes last."""

    def bwd(r, c):
        raise ValueError(
            "the table that was handed to the lookup is stored in a compressed form which the backward pass cannot read; "
            "this happens when the table was built by the loader and not by the builder, and also when it was copied from "
            "another process, because then the header is kept and the body is not; the forward pass does not need the "
            "body and so does not notice. To cure it call .astype(jnp.float32) on the table first."
        )

    return vjp_rule(lambda x: 2.0 * x, bwd), 1.0


@case("right")
def relu_with_one_half_at_zero():
    """A slope between those of both sides at the kink is a convention."""
    return vjp_rule(
        lambda x: jnp.maximum(x, 0.0), lambda r, c: (c * jnp.where(r[0] > 0, 1.0, jnp.where(r[0] < 0, 0.0, 0.5)),)
    ), np.array([0.0, -1.0, 0.0, 2.0])


@case("right", reference=lambda x: x)
def floor_straight_through():
    """Straight-through on purpose, and the reference says so."""
    return vjp_rule(jnp.floor, lambda r, c: (c,)), np.array([0.4, -1.7, 3.2])


@case("right")
def embedding_tree_with_integers():
    """A dict of a table and a bfloat16 offset, integer rows that repeat, a closure over a JAX array."""
    scale = jnp.asarray([1.0, -2.0, 0.5])
    f = lambda tree, rows: tree["table"][rows] * scale + tree["offset"].astype(tree["table"].dtype)

    def bwd(r, c):
        tree, rows = r
        return {
            "table": jnp.zeros_like(tree["table"]).at[rows].add(c * scale.astype(c.dtype)),
            "offset": c.sum(axis=0).astype(tree["offset"].dtype),
        }, None

    tree = {"table": np.arange(15.0).reshape(5, 3) / 7, "offset": jnp.asarray([0.5, 0.25, -1.0], jnp.bfloat16)}
    return vjp_rule(f, bwd), tree, np.array([0, 3, 3, 1])


# ---- autodiff is not the truth


@case("wrong", "autodiff", by="custom_jvp")
def bessel_at_zero():
    """i0(x) = exp(|x|) i0e(x): autodiff says 1 at 0, where the slope is 0 (jax issue 40628, mended since)."""
    return lambda x: jnp.exp(jnp.abs(x)) * jax.scipy.special.i0e(x), 0.0


@case("wrong")
def naive_softplus_at_zero():
    """max(x, 0) + log1p(exp(-|x|)): autodiff takes one branch and is not 1/2."""
    return lambda x: jnp.where(x > 0, x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x))), np.array([0.0, 1.0])


@case("wrong")
def expm1_over_x_at_zero():
    """Filled in with 1 at 0, the slope is 1/2; the constant branch has 0."""
    f = lambda x: jnp.where(x == 0, 1.0, jnp.expm1(x) / jnp.where(x == 0, 1.0, x))
    return slope_rule(
        f, lambda x: jnp.where(x == 0, 0.0, (x * jnp.exp(x) - jnp.expm1(x)) / jnp.where(x == 0, 1, x) ** 2)
    ), 0.0


@case("wrong")
def versine_over_x_at_zero():
    """(1 - cos x) / x, filled in with 0, has the slope 1/2 at 0."""
    f = lambda x: jnp.sum(jnp.where(x == 0, 0.0, 2 * jnp.sin(x / 2) ** 2 / jnp.where(x == 0, 1.0, x)))
    return jax.grad(lambda x: f(x)) and f, np.array([0.0, 0.3])


@case("wrong")
def identity_in_two_halves():
    """relu(x) - relu(-x) is x, with slope 1 at 0, and this rule says 0."""
    f = lambda x: jnp.where(x > 0, x, 0.0) - jnp.where(x < 0, -x, 0.0)
    return f, np.array([0.0, 2.0])


@case("wrong")
def second_derivative_of_kepler():
    """E - e sin E = M by bisection; the rule is right and its own slope is not."""
    solve = lambda M: bisected(lambda E: E - 0.3 * jnp.sin(E) - M, M - 1.0, M + 1.0)
    inverse = jax.custom_vjp(lambda M: solve(M))

    def forward(M):
        E = solve(M)
        return E, E

    inverse.defvjp(forward, lambda E, c: (c / (1 - 0.3 * jnp.cos(E)),))
    return jax.grad(inverse), 0.9


@case("wrong", order=2)
def order_two_of_an_inverse():
    """The same kind of rule, asked for its second derivative."""
    solve = lambda y: bisected(lambda x: jnp.exp(x) + x - y, 0 * y - 5.0, 0 * y + 5.0)
    inverse = jax.custom_vjp(lambda y: solve(y))

    def forward(y):
        x = solve(y)
        return x, x

    inverse.defvjp(forward, lambda x, c: (c / (jnp.exp(x) + 1),))
    return inverse, 1.2


@case("right")
def inverse_by_bisection():
    """Autodiff of the bisection sees nothing, the rule is right."""
    solve = lambda y: bisected(lambda x: x**3 + x - y, 0 * y - 3.0, 0 * y + 3.0)
    g = jax.custom_vjp(lambda y: solve(y))
    g.defvjp(lambda y: (solve(y),) * 2, lambda x, c: (c / (3 * x**2 + 1),))
    return (lambda y: jnp.sum(g(y) ** 2)), np.array([0.7, -0.2])


@case("right")
def right_slope_at_a_removable_point():
    """-1/2 is the slope of log1p(x) / x at 0, whatever autodiff says."""
    f = lambda x: jnp.where(x == 0, 1.0, jnp.log1p(x) / jnp.where(x == 0, 1.0, x))
    slope = lambda x: jnp.where(
        x == 0, -0.5, 1 / ((1 + x) * jnp.where(x == 0, 1, x)) - jnp.log1p(x) / jnp.where(x == 0, 1, x) ** 2
    )
    return slope_rule(f, slope), np.array([0.0, 0.5])


@case("wrong")
def table_lookup_by_rounding():
    """Linear between grid points, by a search: the rule has the slope of the wrong cell."""
    grid = np.linspace(0.0, 3.0, 7) ** 2
    f = lambda x: jnp.interp(x, np.linspace(0.0, 3.0, 7), grid)
    slope = lambda x: (
        (jnp.asarray(grid)[jnp.floor(2 * x).astype(int) + 2] - jnp.asarray(grid)[jnp.floor(2 * x).astype(int) + 1]) * 2
    )
    return slope_rule(f, slope), np.array([0.2, 1.7])


# ---- kinks excuse their own entries only


@case("wrong")
def relu_beside_a_hundred_zeros():
    """The slope is 1.1 in a hundred entries that are no zeros."""
    x = np.concatenate([np.zeros(100), np.linspace(0.1, 2, 100)])
    return slope_rule(lambda x: jnp.maximum(x, 0.0), lambda x: jnp.where(x > 0, 1.1, 0.0)), x


@case("wrong")
def abs_beside_zeros():
    """One entry of 40 that are no zeros has the wrong sign."""
    x = np.concatenate([np.zeros(60), np.linspace(0.5, 2, 40)])
    return slope_rule(jnp.abs, lambda x: jnp.sign(x) * jnp.where(x == 2.0, -1.0, 1.0)), x


@case("wrong")
def clip_beside_its_bounds():
    """Half of the entries are at the bounds; inside, the slope is 0.99."""
    x = np.concatenate([np.ones(50), -np.ones(50), np.linspace(-0.9, 0.9, 50)])
    return slope_rule(
        lambda x: jnp.minimum(jnp.maximum(x, -1.0), 1.0), lambda x: jnp.where(jnp.abs(x) < 1, 0.99, 0.0)
    ), x


@case("wrong")
def hinge_with_all_on_the_margin():
    """Half of the examples are on the margin; for the rest, the slope is the whole and not the mean."""
    y = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)
    z = np.where(np.arange(40) < 20, y, 0.3 * y)
    f = lambda z: jnp.mean(jnp.maximum(0.0, 1 - y * z))
    return vjp_rule(f, lambda r, c: (c * jnp.where(y * r[0] < 1, -y, 0.0),)), z


@case("wrong")
def threshold_of_a_matrix_with_zeros():
    """Zeros everywhere but in one column, whose slope is left out."""
    x = np.zeros((12, 9))
    x[:, 4] = np.linspace(1, 2, 12)
    f = lambda x: jnp.sum(jnp.maximum(x, 0.0), axis=0)
    return vjp_rule(f, lambda r, c: (jnp.where(jnp.arange(9) == 4, 0.0, c) * (r[0] > 0),)), x


@case("wrong")
def one_point_four_at_zero():
    """No convention of relu is above 1."""
    return slope_rule(
        lambda x: jnp.maximum(x, 0.0), lambda x: jnp.where(x > 0, 1.0, jnp.where(x < 0, 0.0, 1.4))
    ), np.zeros(3)


@case("right")
def every_convention_of_relu():
    """0, 1 and 0.3 in turn, at 30 zeros: each is a convention."""
    share = np.tile([0.0, 1.0, 0.3], 10)
    return slope_rule(lambda x: jnp.maximum(x, 0.0), lambda x: jnp.where(x == 0, share, x > 0)), np.zeros(30)


@case("right")
def dead_units():
    """Units that are off nearby, and on farther away."""
    return slope_rule(lambda x: jnp.maximum(x - 0.001, 0.0), lambda x: jnp.where(x > 0.001, 1.0, 0.0)), np.array(
        [0.0, 0.0, 1.0]
    )


# ---- not finite


@case("undecided", "finite|inf|nan", also=("wrong",))
def logarithm_of_zero():
    """log 0 is -inf: there is no slope."""
    return slope_rule(jnp.log, lambda x: jnp.where(x > 0, 1 / x, 0.0)), np.array([0.0, 1.0])


@case("undecided", "finite|inf|nan", also=("wrong",))
def one_over_zero():
    """1 / 0 is inf."""
    return slope_rule(lambda x: 1 / x, lambda x: -1 / jnp.where(x == 0, 1.0, x) ** 2), np.array([0.0, 2.0])


@case("undecided", "finite|inf|nan", also=("wrong",))
def square_root_of_a_negative():
    """NaN has no slope."""
    return slope_rule(jnp.sqrt, lambda x: 0.5 / jnp.sqrt(jnp.abs(x))), np.array([-1.0, 4.0])


@case("undecided", "finite|inf|nan", also=("wrong",))
def softmax_without_its_maximum():
    """exp(800) / exp(800) is NaN; the stable gradient is finite."""
    f = lambda z: jnp.exp(z) / jnp.sum(jnp.exp(z))

    def bwd(r, c):
        p = jax.nn.softmax(r[0])
        return (p * (c - jnp.sum(p * c)),)

    return vjp_rule(f, bwd), np.array([800.0, 1.0, 0.0])


@case("undecided", "finite|inf|nan", by="gradient", also=("wrong",))
def loss_that_overflows():
    """A loss of inf has no gradient, and numbers for it are made up."""
    f = lambda w: jnp.sum(jnp.cosh(w))
    return lambda w: (f(w), jnp.sign(w)), f, np.array([800.0, 1.0])


# ---- every entry in its own units


@case("wrong", also=("undecided",), by="gradient")
def resistor_and_capacitor():
    """3e4 ohm and 2e-7 farad in one vector: the slope in C misses the factor R."""
    t = np.linspace(1e-3, 1e-2, 9)
    value = lambda p: np.sum(np.exp(-t / (p[0] * p[1])))
    both = lambda p: np.exp(-t / (p[0] * p[1])) * t / (p[0] * p[1])
    return in_numpy(
        value, lambda p: np.array([np.sum(both(p)) / p[0], np.sum(both(p)) / p[1] / 3e4]), np.array([3e4, 2e-7])
    )


@case("right", by="gradient", also=("undecided",))
def resistor_and_capacitor_right():
    """The same, right."""
    t = np.linspace(1e-3, 1e-2, 9)
    value = lambda p: np.sum(np.exp(-t / (p[0] * p[1])))
    both = lambda p: np.exp(-t / (p[0] * p[1])) * t / (p[0] * p[1])
    return in_numpy(value, lambda p: np.array([np.sum(both(p)) / p[0], np.sum(both(p)) / p[1]]), np.array([3e4, 2e-7]))


@case("wrong", also=("undecided",), by="gradient")
def half_life_in_seconds():
    """An amplitude of 1e9 and a rate of 1e-9: the slope in the rate is twice what it should be."""
    t = np.linspace(1e8, 2e9, 11)
    value = lambda p: np.sum(p[0] * np.exp(-p[1] * t)) / 1e9
    gradient = lambda p: np.array([np.sum(np.exp(-p[1] * t)), -2 * np.sum(p[0] * t * np.exp(-p[1] * t))]) / 1e9
    return in_numpy(value, gradient, np.array([1e9, 1e-9]))


@case("wrong", also=("undecided",), by="gradient")
def distance_in_metres_and_nanometres():
    """A length of 2e3 next to one of 5e-9, in a product of sines."""
    value = lambda p: np.sin(p[0] / 1e3) * np.cos(p[1] / 1e-9)
    gradient = lambda p: np.array([np.cos(p[0] / 1e3) / 1e3 * np.cos(p[1] / 1e-9), 0.0])
    return in_numpy(value, gradient, np.array([2e3, 5e-9]))


@case("wrong")
def many_scales_in_one_leaf():
    """Twelve entries from 1e-6 to 1e5, and the slope of the smallest is missing."""
    x = 10.0 ** np.arange(-6, 6)
    scale = 1 / x
    bwd = lambda r, c: (c * jnp.cos(r[0] * scale) * scale * (jnp.arange(12) > 0),)
    return vjp_rule(callback(lambda x: np.sin(x * scale)), bwd), x


# ---- static arguments, batching, sizes, constants


@case("right")
def softmax_along_the_last_axis():
    """The axis is a number of Python's."""
    return jax.nn.softmax, np.array([[0.3, -1.0], [2.0, 0.1]]), -1


@case("right")
def flag_of_a_plain_function():
    """A bool that chooses a branch."""
    return lambda x, squared: jnp.sum(x**2) if squared else jnp.sum(x), np.array([1.0, 2.0]), True


@case("wrong")
def static_axis_of_a_wrong_rule():
    """The axis is static, and the rule forgets the mean."""
    rule = vjp_rule(lambda x: jnp.mean(x), lambda r, c: (c * jnp.ones_like(r[0]),))
    return lambda x, axis: jnp.sum(jnp.cumsum(jax.vmap(rule)(x), axis=axis)), np.arange(6.0).reshape(3, 2), 0


@case("right")
def number_of_classes():
    """one_hot with a static size, times logits."""
    return lambda z, k: jnp.sum(jax.nn.one_hot(jnp.array([0, 2]), k) * z), np.arange(6.0).reshape(2, 3), 3


@case("right", by="custom_jvp")
def vmapped_relu_of_numpy():
    """jax.vmap of relu, which is a custom_jvp of a jitted function."""
    return jax.vmap(jax.nn.relu), np.array([[0.5, -2.0], [1.5, 1.0]])


@case("right")
def vmapped_vjp_rule():
    """jax.vmap of a custom_vjp, on numpy."""
    return jax.vmap(vjp_rule(lambda x: jnp.sum(x**3), lambda r, c: (3 * c * r[0] ** 2,))), np.array(
        [[0.5, -2.0], [1.5, 1.0]]
    )


@case("right", by="gradient")
def slope_of_1e200():
    """x^5 at 1e50."""
    f = lambda x: jnp.sum(x**5)
    return jax.value_and_grad(f), f, np.array([1e50, 2e50])


@case("wrong")
def twice_a_slope_of_1e200():
    """2e200 for 1e200."""
    return slope_rule(lambda x: x**5 / 5, lambda x: 2 * x**4), np.array([1e50])


@case("right")
def slope_of_1e_minus_200():
    """x^5 at 1e-50."""
    return slope_rule(lambda x: x**5 / 5, lambda x: x**4), np.array([1e-50, 2e-50])


@case("right")
def closes_over_a_numpy_table():
    """A float64 table that is multiplied and indexed."""
    table = np.linspace(-1.0, 1.0, 5)
    return lambda p: jnp.sum(p[1] * table[1:] * p[0]), np.array([0.3, 0.7])


@case("wrong")
def closes_over_numpy_weights():
    """The constant is fine, the rule is not."""
    w = np.linspace(0.1, 1.0, 4)
    return vjp_rule(lambda x: jnp.sum(w * x**2), lambda r, c: (c * w * r[0],)), np.array([1.0, -1.0, 2.0, 0.5])


# ---- solvers


def root_by_newton(tolerance):
    return lambda a: iterated(lambda x: 0.5 * (x + a / x), 0.5 * (a + 1), tolerance)


@case("right", also=("undecided",))
def square_root_by_a_loose_iteration():
    """c / (2 x) is right to the tolerance of the loop."""
    root = root_by_newton(1e-4)
    g = jax.custom_vjp(root)
    g.defvjp(lambda a: (root(a),) * 2, lambda x, c: (c / (2 * x),))
    return g, 3.0


@case("right", tolerance=1e-3)
def loose_iteration_with_a_tolerance():
    """The user says what the solver is good for."""
    root = root_by_newton(1e-3)
    g = jax.custom_vjp(root)
    g.defvjp(lambda a: (root(a),) * 2, lambda x, c: (c / (2 * x),))
    return g, 3.0


@case("wrong", tolerance=1e-3)
def loose_iteration_without_its_half():
    """No tolerance of 1e-3 explains a factor of two."""
    root = root_by_newton(1e-3)
    g = jax.custom_vjp(root)
    g.defvjp(lambda a: (root(a),) * 2, lambda x, c: (c / x,))
    return g, 3.0


@case("wrong")
def fixed_point_without_its_inverse():
    """x = tanh(w x + b): the rule has the slope of one step."""
    solve = lambda w, b: iterated(lambda x: jnp.tanh(w * x + b), 0 * b, 1e-12)
    g = jax.custom_vjp(solve)
    g.defvjp(
        lambda w, b: (lambda x: (x, (w, x)))(solve(w, b)),
        lambda r, c: (c * (1 - r[1] ** 2) * r[1], c * (1 - r[1] ** 2)),
    )
    return g, 0.5, 0.3


@case("right", also=("undecided",))
def fixed_point_of_forty_turns():
    """The same with a loop of fixed length, which autodiff can differentiate, and the implicit rule."""
    solve = lambda w, b: jax.lax.fori_loop(0, 12, lambda _, x: jnp.tanh(w * x + b), 0 * b)
    g = jax.custom_vjp(solve)

    def bwd(r, c):
        w, x = r
        s = (1 - x**2) / (1 - w * (1 - x**2))
        return c * s * x, c * s

    g.defvjp(lambda w, b: (lambda x: (x, (w, x)))(solve(w, b)), bwd)
    return g, 0.5, 0.3


@case("undecided", also=("right",))
def noisy_simulator():
    """Twelve digits of noise: a rule that is right to 1e-6 can be seen to 1e-3 only."""
    noise = lambda x: np.sin(x) + 1e-7 * np.sin(1e9 * x)
    return vjp_rule(callback(noise), lambda r, c: (c * jnp.cos(r[0]),)), np.array([0.8])


# ---- complex


@case("right", "complex")
def power_of_a_complex_signal():
    """sum |z|^2: JAX's gradient is 2 conj z."""
    return vjp_rule(lambda z: jnp.sum(z.real**2 + z.imag**2), lambda r, c: (2 * c * jnp.conj(r[0]),)), np.array(
        [1 + 2j, -0.5j]
    )


@case("wrong", "complex")
def conjugate_of_jax_convention():
    """2 z is what other libraries say; JAX needs 2 conj z."""
    return vjp_rule(lambda z: jnp.sum(z.real**2 + z.imag**2), lambda r, c: (2 * c * r[0],)), np.array([1 + 2j, -0.5j])


@case("right", "complex")
def complex_square():
    """z^2, from C to C."""
    return vjp_rule(lambda z: z * z, lambda r, c: (2 * c * r[0],)), np.array([1 + 2j, 0.3 - 0.5j])


@case("wrong", "complex")
def complex_square_conjugated():
    """The conjugate is not JAX's transpose."""
    return vjp_rule(lambda z: z * z, lambda r, c: (2 * c * jnp.conj(r[0]),)), np.array([1 + 2j, 0.3 - 0.5j])


@case("wrong")
def real_input_complex_output():
    """exp(i x): the cotangent's imaginary part is forgotten."""
    return vjp_rule(lambda x: jnp.exp(1j * x), lambda r, c: (-c.real * jnp.sin(r[0]),)), np.array([0.3, 1.0])


@case("wrong", "complex", by="gradient")
def complex_least_squares():
    """A gradient in the convention of PyTorch, twice conjugated."""
    A = np.array([[1 + 1j, 2.0], [0.5j, 1 - 1j]])
    f = lambda z: jnp.sum(jnp.abs(A @ z - 1) ** 2)
    return lambda z: (f(z), 2 * A.conj().T @ (A @ z - 1)), f, np.array([0.3 + 0.1j, -0.2j])


# ---- not linear on purpose


@case("right", linear=False)
def clips_the_norm_of_the_cotangent():
    """Clipped to a norm of 0.01, which random cotangents exceed."""
    return vjp_rule(lambda x: x, lambda r, c: (c * jnp.minimum(1.0, 0.01 / jnp.linalg.norm(c)),)), np.array([0.3, -1.0])


@case("wrong", linear=False)
def clips_and_doubles():
    """Below the clip it is twice the gradient."""
    return vjp_rule(lambda x: x, lambda r, c: (jnp.clip(2 * c, -0.05, 0.05),)), np.array([0.3, -1.0])


@case("right", linear=False)
def clips_a_product():
    """A clipped gradient of a function that is not the identity."""
    return vjp_rule(lambda x: jnp.sum(jnp.sin(x)), lambda r, c: (jnp.clip(c * jnp.cos(r[0]), -1e-3, 1e-3),)), np.array(
        [0.3, -1.0]
    )


# ---- joint ties


@case("wrong")
def maximum_of_two_equal_arrays():
    """Both arguments get the whole cotangent at ties."""
    bwd = lambda r, c: (c * (r[0] >= r[1]), c * (r[1] >= r[0]))
    return vjp_rule(jnp.maximum, bwd), np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])


@case("wrong")
def rows_with_tied_maxima():
    """Every tied entry of a row gets the whole cotangent."""
    x = np.array([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0], [0.0, 1.0, 2.0]])
    return vjp_rule(
        lambda x: jnp.max(x, axis=1), lambda r, c: (c[:, None] * (r[0] == jnp.max(r[0], axis=1, keepdims=True)),)
    ), x


@case("wrong")
def no_one_gets_it_at_a_tie():
    """Tied entries get nothing, although the maximum moves with them."""
    bwd = lambda r, c: (c * (r[0] > r[1]), c * (r[1] > r[0]))
    return vjp_rule(jnp.maximum, bwd), np.array([1.0, 5.0]), np.array([1.0, 4.0])


@case("wrong")
def minimum_of_three():
    """All three tied entries get the whole."""
    return vjp_rule(lambda x: jnp.min(x), lambda r, c: (c * (r[0] == jnp.min(r[0])),)), np.array([1.0, 1.0, 1.0])


@case("right")
def maximum_shared_at_a_tie():
    """A third and two thirds are a convention."""
    bwd = lambda r, c: (
        c * jnp.where(r[0] == r[1], 1 / 3, r[0] > r[1]),
        c * jnp.where(r[0] == r[1], 2 / 3, r[1] > r[0]),
    )
    return vjp_rule(jnp.maximum, bwd), np.array([1.0, 2.0]), np.array([1.0, 3.0])


# ---- the rule's own dtype


@case("wrong", "float16|half")
def variance_in_half_precision():
    """E x^2 - (E x)^2 in the rule's residual: in float16 nothing is left of it."""
    x = jnp.asarray(np.linspace(90.0, 91.0, 8), jnp.float16)
    f = lambda x: jnp.sqrt(jnp.mean((x - jnp.mean(x)) ** 2))
    bwd = lambda r, c: (
        c * (r[0] - jnp.mean(r[0])) / len(r[0]) / jnp.sqrt(jnp.mean(r[0] * r[0]) - jnp.mean(r[0]) ** 2),
    )
    return vjp_rule(f, bwd), x


@case("wrong", "float16|half", dtype="float16")
def overflows_in_half_precision():
    """x^4 / x^2 in the rule, at 30: 810000 is more than float16 holds."""
    return slope_rule(lambda x: x**3 / 3, lambda x: x**4 / x**2), np.array([30.0, 2.0])


@case("wrong", "bfloat16", dtype="bfloat16")
def small_difference_in_bfloat16():
    """(1 + x) - 1 loses x."""
    return slope_rule(lambda x: x**2 / 2, lambda x: (1 + x) - 1), np.array([0.003, 0.005])


@case("right", "float16", dtype="float16")
def sine_in_half_precision():
    """A right rule passes, and its report says what would still be seen."""
    return slope_rule(jnp.sin, jnp.cos), np.linspace(-2, 2, 9)


@case("right", "float32")
def softmax_in_float32():
    """In the dtype of its arguments."""

    def bwd(r, c):
        p = jax.nn.softmax(r[0])
        return (p * (c - jnp.sum(p * c, axis=-1, keepdims=True)),)

    return vjp_rule(lambda z: jax.nn.softmax(z), bwd), jnp.asarray(
        np.random.default_rng(0).standard_normal((4, 6)), jnp.float32
    )


@case("wrong", "float32")
def cancels_in_float32():
    """1 - cos x at 1e-4: all digits of float32 are lost, and float64 has eight left."""
    slope = lambda x: (1 - jnp.cos(x)) * (1 + 0 * x)
    return slope_rule(lambda x: x - jnp.sin(x), slope), jnp.asarray([1e-4, 3e-4], jnp.float32)


# ---- forms and words


@case("wrong", "astype(jnp.int32)")
def long_advice_of_a_jvp():
    """The advice is at the end of four lines."""

    def bwd(r, c):
        raise TypeError(
            "rows of this table are looked up by whole numbers only.\n"
            + "This is said at length. " * 12
            + "\nUse .astype(jnp.int32) on the rows."
        )

    return vjp_rule(lambda x: 2.0 * x, bwd), 1.0


@case("right", "nondiff_argnums")
def array_in_nondiff_argnums_of_a_vjp():
    """The same note for custom_vjp."""
    g = jax.custom_vjp(lambda x, gains: x * gains, nondiff_argnums=(1,))
    g.defvjp(lambda x, gains: (x * gains, None), lambda gains, r, c: (c * gains,))
    return g, np.array([0.2, -0.4]), np.array([1.0, 2.0])


@case("right", order=2)
def second_order_of_softplus():
    """A rule whose own derivative is right, too."""
    return slope_rule(lambda x: jnp.logaddexp(x, 0.0), lambda x: 1 / (1 + jnp.exp(-x))), np.array([0.3, -1.0])


@case("wrong", "second order", order=2)
def residual_that_stops_the_gradient():
    """The first derivative is right, and the second is cut off."""
    return slope_rule(lambda x: x**3, lambda x: 3 * jax.lax.stop_gradient(x) ** 2), np.array([0.3, -1.0])


@case("right")
def rule_inside_of_a_while_loop():
    """Reverse mode cannot pass a loop of unknown length: forward values are all that is asked."""
    g = jvp_rule(jnp.sin, lambda p, t: (jnp.sin(p[0]), t[0] * jnp.cos(p[0])))
    return lambda x: jax.lax.scan(lambda c, _: (g(c), None), x, length=3)[0], np.array([0.4, 1.0])


@case("right", by="custom_jvp", also=("undecided",))
def jvp_rule_inside_of_a_while_loop():
    """Forward mode passes the loop, reverse mode does not: a limit of the loop, not of the rule."""
    g = jvp_rule(jnp.sin, lambda p, t: (jnp.sin(p[0]), t[0] * jnp.cos(p[0])))
    return lambda x: jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, g(s[1])), (0, x))[1], np.array(
        [0.4, 1.0]
    )


@case("right")
def none_for_an_argument_without_slope():
    """None stands for zeros."""
    return (
        vjp_rule(lambda x, y: jnp.sin(x) + jax.lax.stop_gradient(y), lambda r, c: (c * jnp.cos(r[0]), None)),
        np.array([0.2, 1.0]),
        np.array([1.0, 2.0]),
    )


@case("wrong")
def none_for_an_argument_with_a_slope():
    """None stands for zeros, and y has a slope."""
    return (
        vjp_rule(lambda x, y: jnp.sin(x) * y, lambda r, c: (c * jnp.cos(r[0]) * r[1], None)),
        np.array([0.2, 1.0]),
        np.array([1.0, 2.0]),
    )


@case("right")
def straight_through_by_stop_gradient():
    """x + stop_gradient(round(x) - x) says itself what its slope is."""
    return lambda x: x + jax.lax.stop_gradient(jnp.round(x) - x), np.array([0.4, -1.7])


# ---- by another hand


@case("right", by="gradient")
def sinc_kernel_at_the_origin():
    """sin(pi x) / (pi x) filled with 1 at 0: the constant branch says 0, and that is the true slope."""
    f = lambda x: jnp.sum(jnp.where(x == 0, 1.0, jnp.sin(jnp.pi * x) / jnp.where(x == 0, 1.0, jnp.pi * x)))
    return jax.value_and_grad(f), f, np.array([0.0, 0.3, -1.2])


@case("wrong", by="gradient")
def bose_einstein_occupation_at_zero():
    """x / (e^x - 1) filled with 1 at 0 has the slope -1/2 there; autodiff says 0."""
    f = lambda x: jnp.sum(jnp.where(x == 0, 1.0, x / jnp.expm1(jnp.where(x == 0, 1.0, x))))
    return jax.value_and_grad(f), f, np.array([0.8, 0.0])


def log_mean(a, b):
    return jnp.where(a == b, a, (a - b) / jnp.log(jnp.where(a == b, 2.0, a / b)))


@case("wrong", by="gradient")
def log_mean_temperature_difference():
    """(a - b) / log(a / b), filled with a at a = b: both slopes are 1/2, autodiff says 1 and 0."""
    f = lambda p: log_mean(p["hot"], p["cold"])
    return jax.value_and_grad(f), f, {"hot": np.float64(30.0), "cold": np.float64(30.0)}


@case("right")
def log_mean_with_the_halves():
    """The same with slopes of 1/2 by hand: autodiff contradicts, and the differences agree with the rule."""

    def bwd(r, c):
        a, b = r
        q = jnp.log(jnp.where(a == b, 2.0, a / b))
        da = jnp.where(a == b, 0.5, 1 / q - (a - b) / (a * q**2))
        db = jnp.where(a == b, 0.5, -1 / q + (a - b) / (b * q**2))
        return c * da, c * db

    return vjp_rule(log_mean, bwd), np.array([30.0, 20.0]), np.array([30.0, 35.0])


@case("wrong", by="gradient")
def nan_of_the_branch_not_taken():
    """where(x != 0, tanh(x) / x, 1): the other branch makes the gradient NaN at 0, where the slope is 0."""
    f = lambda x: jnp.sum(jnp.where(x != 0, jnp.tanh(x) / x, 1.0))
    return jax.value_and_grad(f), f, np.array([0.0, 0.5])


@case("undecided", also=("wrong",), by="gradient")
def filled_with_the_wrong_limit():
    """sin(x) / x filled with 0 instead of 1: a jump, no slope."""
    f = lambda x: jnp.sum(jnp.where(x == 0, 0.0, jnp.sin(x) / jnp.where(x == 0, 1.0, x)))
    return jax.value_and_grad(f), f, np.array([0.0, 0.4])


def black_scholes(volatility):
    """A call with spot 100, strike 110, a year, no rate."""
    d1 = (jnp.log(100 / 110) + volatility**2 / 2) / volatility
    return 100 * jax.scipy.stats.norm.cdf(d1) - 110 * jax.scipy.stats.norm.cdf(d1 - volatility)


def vega(volatility):
    return 100 * jax.scipy.stats.norm.pdf((jnp.log(100 / 110) + volatility**2 / 2) / volatility)


def implied(price):
    return bisected(lambda s: black_scholes(s) - price, 0 * price + 0.01, 0 * price + 2.0, 60)


@case("right")
def implied_volatility():
    """1 / vega at the implied volatility."""
    return with_residuals(implied, lambda p: (implied(p),) * 2, lambda s, c: (c / vega(s),)), 6.0


@case("wrong")
def slope_of_the_slope_of_implied_volatility():
    """The first derivative is right; its forward pass calls the bare search, so the second is 0."""
    return jax.grad(with_residuals(implied, lambda p: (implied(p),) * 2, lambda s, c: (c / vega(s),))), 6.0


@case("right")
def slope_of_the_slope_with_the_rule_inside():
    """The forward pass calls the solver with its rule, so that the second derivative is right."""
    g = jax.custom_vjp(lambda p: implied(p))

    def forward(p):
        s = g(p)
        return s, s

    g.defvjp(forward, lambda s, c: (c / vega(s),))
    return jax.grad(g), 6.0


@case("wrong")
def density_at_a_quantile():
    """The quantile of a mixture of two logistics, found by halving; the slope of 1 / density comes out as 0."""
    cdf = lambda x: 0.3 * jax.nn.sigmoid(x + 1) + 0.7 * jax.nn.sigmoid(2 * x - 3)
    solve = lambda p: bisected(lambda x: cdf(x) - p, 0 * p - 30.0, 0 * p + 30.0)
    g = with_residuals(solve, lambda p: (solve(p),) * 2, lambda x, c: (c / jax.grad(cdf)(x),))
    return lambda p: jnp.log(jax.grad(g)(p)), 0.8


@case("right")
def energy_of_equal_eigenvalues():
    """sum of squared eigenvalues at 2 I is the squared norm: 2 A is right where eigenvectors are not defined."""
    return vjp_rule(lambda A: jnp.sum(jnp.linalg.eigvalsh(A) ** 2), lambda r, c: (c * (r[0] + r[0].T),)), 2 * np.eye(3)


# ---- (2) kinks excuse only their own entries


@case("right")
def total_variation_of_a_flat_signal():
    """sum |x[i+1] - x[i]| with flat stretches and sign(0) = 0."""
    x = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 3.0, 3.0])

    def bwd(r, c):
        s = jnp.sign(jnp.diff(r[0]))
        return (c * (jnp.pad(s, (1, 0)) - jnp.pad(s, (0, 1))),)

    return vjp_rule(lambda x: jnp.sum(jnp.abs(jnp.diff(x))), bwd), x


@case("wrong")
def total_variation_without_its_jump():
    """Zeros for a step: whatever the flat parts say, the left half's gradients must add up to -1."""
    x = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    return vjp_rule(lambda x: jnp.sum(jnp.abs(jnp.diff(x))), lambda r, c: (0 * c * r[0],)), x


@case("wrong")
def huber_with_the_wrong_tail():
    """Huber with delta 1.5 has the slope 1.5 outside, not 1; most residuals are inside."""
    f = lambda x: jnp.where(jnp.abs(x) < 1.5, x**2 / 2, 1.5 * (jnp.abs(x) - 0.75))
    return slope_rule(f, lambda x: jnp.where(jnp.abs(x) < 1.5, x, jnp.sign(x))), np.array([0.2, -1.0, 0.0, 0.4, 2.5])


@case("right")
def pinball_with_exact_fits():
    """Quantile loss of 0.9 with residuals of 0, which get the slope of the negative side."""
    f = lambda r: jnp.mean(jnp.maximum(0.9 * r, -0.1 * r))
    x = np.array([0.0, 0.0, 0.5, -2.0, 0.0, 1.0])
    return vjp_rule(f, lambda r, c: (c * jnp.where(r[0] > 0, 0.9, -0.1) / 6,)), x


@case("wrong")
def pinball_with_the_other_quantile():
    """The rule is that of 0.1, half of the residuals being 0."""
    f = lambda r: jnp.mean(jnp.maximum(0.9 * r, -0.1 * r))
    x = np.array([0.0, 0.0, 0.5, -2.0, 0.0, 1.0])
    return vjp_rule(f, lambda r, c: (c * jnp.where(r[0] > 0, 0.1, -0.9) / 6,)), x


@case("right")
def put_at_the_money_with_one_half():
    """max(K - S, 0) at S = K with a delta of -1/2."""
    return slope_rule(
        lambda s: jnp.maximum(100.0 - s, 0.0), lambda s: jnp.where(s < 100, -1.0, jnp.where(s == 100, -0.5, 0.0))
    ), np.array([100.0, 90.0, 110.0, 100.0])


@case("right")
def relu6_with_ones_at_both_ends():
    """1 at 0 and at 6 are conventions."""
    return slope_rule(
        lambda x: jnp.minimum(jnp.maximum(x, 0.0), 6.0), lambda x: jnp.where((x >= 0) & (x <= 6), 1.0, 0.0)
    ), np.array([0.0, 6.0, 3.0, 7.0, -1.0, 6.0])


@case("right")
def safe_norm_of_a_zero_vector():
    """The length of vectors, one of them 0, whose gradient is set to 0: inside of the unit ball."""
    x = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
    f = lambda x: jnp.linalg.norm(x, axis=-1)

    def bwd(r, c):
        n = jnp.linalg.norm(r[0], axis=-1, keepdims=True)
        return (c[:, None] * r[0] / jnp.where(n == 0, 1.0, n),)

    return vjp_rule(f, bwd), x


@case("undecided", also=("wrong",))
def norm_with_ones_at_zero():
    """A gradient of (1, 1) at the origin is longer than any slope of the length."""
    f = lambda x: jnp.sqrt(jnp.sum(x**2))
    return vjp_rule(f, lambda r, c: (c * jnp.ones(2),)), np.zeros(2)


@case("right")
def sorting_with_equal_entries():
    """The stable order decides who gets what."""

    def bwd(r, c):
        return (jnp.zeros_like(c).at[jnp.argsort(r[0])].set(c),)

    return vjp_rule(jnp.sort, bwd), np.array([2.0, 1.0, 2.0, 0.5, 1.0])


@case("wrong")
def squared_hinge_without_its_two():
    """Smooth at the margin, where half of the examples are; the two is missing for the rest."""
    z = np.where(np.arange(16) < 8, 1.0, 0.3)
    return slope_rule(lambda z: jnp.maximum(0.0, 1 - z) ** 2, lambda z: -jnp.maximum(0.0, 1 - z)), z


# ---- (3) not finite


@case("undecided", "finite|inf|nan", also=("wrong",), by="gradient")
def likelihood_with_a_negative_scale():
    """log of a scale below 0."""
    f = lambda p: jnp.log(p[1]) + 0.5 * ((1.0 - p[0]) / p[1]) ** 2
    return jax.value_and_grad(f), f, np.array([0.3, -0.5])


@case("undecided", "finite|inf|nan", also=("wrong",))
def beta_density_at_its_end():
    """(b - 1) log(1 - x) at x = 1."""
    f = lambda x: 2 * jnp.log(x) + 1.5 * jnp.log(1 - x)
    return slope_rule(f, lambda x: 2 / x - 1.5 / (1 - jnp.minimum(x, 1 - 1e-9))), np.array([0.3, 1.0])


@case("wrong", also=("undecided",))
def entropy_with_a_clipped_logarithm():
    """-p log p has a slope without bound at 0, where the rule says 26.6."""
    f = lambda p: -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0))
    return vjp_rule(f, lambda r, c: (-c * (jnp.log(jnp.maximum(r[0], 1e-12)) + 1),)), np.array([0.0, 0.4, 0.6])


@case("right")
def causal_attention_with_infinite_masks():
    """-inf stands in the scores above the diagonal only; values and slopes are finite."""
    mask = np.where(np.tril(np.ones((4, 4))) > 0, 0.0, -np.inf)

    def f(q, k, v):
        return jax.nn.softmax(q @ k.T / np.sqrt(3.0) + mask, axis=-1) @ v

    def bwd(r, c):
        q, k, v = r
        p = jax.nn.softmax(q @ k.T / np.sqrt(3.0) + mask, axis=-1)
        dp = c @ v.T
        ds = p * (dp - jnp.sum(p * dp, axis=-1, keepdims=True)) / np.sqrt(3.0)
        return ds @ k, ds.T @ q, p.T @ c

    rng = np.random.default_rng(0)
    return vjp_rule(f, bwd), *(rng.normal(size=(4, 3)) for _ in range(3))


# ---- (4) mixed units


@case("right", by="gradient")
def arrhenius_in_si_units():
    """Rate of A exp(-E / RT) from a prefactor of 3e13, an energy of 8e4 and a temperature of 310."""
    R = 8.314

    def value(p):
        return p[0] * np.exp(-p[1] / (R * p[2]))

    def gradient(p):
        e = np.exp(-p[1] / (R * p[2]))
        return np.array([e, -p[0] * e / (R * p[2]), p[0] * e * p[1] / (R * p[2] ** 2)])

    return in_numpy(value, gradient, np.array([3e13, 8e4, 310.0]))


@case("wrong", by="gradient", also=("undecided",))
def fringes_of_a_double_slit():
    """cos^2(pi d y / (wavelength L)) from metres of 5e-7 to 3; the wavelength's slope has a sign too many."""

    def value(p):
        d, y, w, L = p
        return np.cos(np.pi * d * y / (w * L)) ** 2

    def gradient(p):
        d, y, w, L = p
        a = np.pi * d * y / (w * L)
        s = -np.sin(2 * a)
        return np.array([s * a / d, s * a / y, s * a / w, -s * a / L])

    return in_numpy(value, gradient, np.array([2e-5, 4e-3, 5e-7, 3.0]))


@case("right", by="gradient")
def fringes_of_a_double_slit_right():
    """The same with both signs."""
    f = lambda p: jnp.cos(jnp.pi * p[0] * p[1] / (p[2] * p[3])) ** 2

    def by_hand(p):
        d, y, w, L = p
        a = jnp.pi * d * y / (w * L)
        s = -jnp.sin(2 * a)
        return f(p), s * a * jnp.stack([1 / d, 1 / y, -1 / w, -1 / L])

    return by_hand, f, np.array([2e-5, 4e-3, 5e-7, 3.0])


@case("wrong")
def heat_flux_with_a_film():
    """Flux through a wall and a film: the film of 2e-7 m has a slope 1 % too large, next to 3e4 W."""
    f = lambda p: p[0] / (1.0 + p[1] / 1e-6)

    def bwd(r, c):
        (p,) = r
        s = 1.0 + p[1] / 1e-6
        return (c * jnp.stack([1 / s, -1.01 * p[0] / s**2 / 1e-6]),)

    return vjp_rule(f, bwd), np.array([3e4, 2e-7])


# ---- (5) static arguments


@case("right")
def penalty_by_name():
    """A string chooses the penalty."""
    l2 = vjp_rule(lambda x: jnp.sum(x**2), lambda r, c: (2 * c * r[0],))

    def penalty(x, kind, strength):
        return strength * (l2(x) if kind == "ridge" else jnp.sum(jnp.abs(x)))

    return penalty, np.array([0.3, -0.7]), "ridge", 0.1


@case("wrong")
def standardised_in_spite_of_the_flag():
    """The rule is that of centring, and the flag asks for division by the deviation as well."""

    def standardise(x, scale):
        def f(x):
            centred = x - jnp.mean(x)
            return centred / jnp.std(x) if scale else centred

        return vjp_rule(f, lambda r, c: (c - jnp.mean(c),))(x)

    return standardise, np.array([0.5, -1.0, 2.0]), True


@case("right")
def trapezoid_of_a_function_given():
    """A function as nondiff argument; Leibniz' rule for the integral over [0, b], exact for the parabola's Simpson sum."""
    g = jax.custom_vjp(lambda h, b: b / 6 * (h(0.0 * b) + 4 * h(b / 2) + h(b)), nondiff_argnums=(0,))
    g.defvjp(lambda h, b: (b / 6 * (h(0.0 * b) + 4 * h(b / 2) + h(b)), b), lambda h, b, c: (c * h(b),))
    return g, lambda x: 1 + 2 * x + 3 * x**2, 1.3


@case("wrong")
def unit_vectors_along_the_wrong_axis():
    """x / |x| along an axis that is given; the rule always sums along the last."""

    def unit(x, axis, eps):
        f = lambda x: x / jnp.sqrt(jnp.sum(x**2, axis=axis, keepdims=True) + eps)

        def bwd(r, c):
            n = jnp.sqrt(jnp.sum(r[0] ** 2, axis=axis, keepdims=True) + eps)
            u = r[0] / n
            return ((c - u * jnp.sum(u * c, axis=-1, keepdims=True)) / n,)

        return vjp_rule(f, bwd)(x)

    return unit, np.array([[0.3, 1.0, -0.4], [0.7, 0.2, 0.9]]), 0, 1e-6


# ---- (6) vmap on numpy, huge slopes


@case("wrong")
def softmax_of_rows_without_its_mean():
    """Only p * c, mapped over rows."""
    f = vjp_rule(jax.nn.softmax, lambda r, c: (jax.nn.softmax(r[0]) * c,))
    return jax.vmap(f), np.array([[0.1, 0.5, -0.3], [1.0, 0.0, 2.0]])


@case("right")
def shared_weights_under_vmap():
    """Rows are mapped, weights are shared: their cotangents are summed."""
    f = vjp_rule(
        lambda w, x: jnp.tanh(w @ x),
        lambda r, c: (lambda d: (jnp.outer(d, r[1]), r[0].T @ d))(c * (1 - jnp.tanh(r[0] @ r[1]) ** 2)),
    )
    rng = np.random.default_rng(1)
    return jax.vmap(f, in_axes=(None, 0)), rng.normal(size=(2, 3)), rng.normal(size=(4, 3))


@case("wrong", by="gradient")
def slope_of_1e180_one_percent_off():
    """Beyond the square root of the largest number, 1 % stays 1 %."""
    f = lambda x: 1e180 * jnp.sum(jnp.sin(x))
    return lambda x: (f(x), 1.01e180 * jnp.cos(x)), f, np.array([0.3, 0.9])


@case("right")
def layers_of_1e_plus_and_minus_170():
    """Two leaves with slopes of 1e170 and 1e-170, added."""
    g = vjp_rule(
        lambda a, b: (1e170 * jnp.sin(a), 1e-170 * jnp.sin(b)),
        lambda r, c: (1e170 * c[0] * jnp.cos(r[0]), 1e-170 * c[1] * jnp.cos(r[1])),
    )
    return g, np.array([0.2, 1.0]), np.array([0.4, 0.6])


@case("wrong")
def small_output_beside_a_huge_one():
    """The output of 1e-170 has twice its slope."""
    g = vjp_rule(
        lambda a, b: (1e170 * jnp.sin(a), 1e-170 * jnp.sin(b)),
        lambda r, c: (1e170 * c[0] * jnp.cos(r[0]), 2e-170 * c[1] * jnp.cos(r[1])),
    )
    return g, np.array([0.2, 1.0]), np.array([0.4, 0.6])


# ---- (7) numpy in closures


@case("right")
def gauss_legendre_in_a_closure():
    """Nodes and weights of float64 from numpy; Leibniz inside."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    f = lambda k: jnp.sum(weights * jnp.exp(-k * nodes**2))
    return vjp_rule(f, lambda r, c: (-c * jnp.sum(weights * nodes**2 * jnp.exp(-r[0] * nodes**2)),)), 0.7


@case("wrong")
def gaussian_process_with_a_slip():
    """log det K by its trace, with the lengthscale's derivative of K missing a factor of two."""
    x = np.linspace(0, 1, 5)
    d = (x[:, None] - x) ** 2
    K = lambda l: jnp.exp(-d / (2 * l**2)) + 0.1 * np.eye(5)
    f = lambda l: jnp.linalg.slogdet(K(l))[1]
    return vjp_rule(
        f, lambda r, c: (c * jnp.trace(jnp.linalg.solve(K(r[0]), jnp.exp(-d / (2 * r[0] ** 2)) * d / (2 * r[0] ** 3))),)
    ), 0.4


# ---- (8) solvers

MATRIX = np.array([[4.0, 1.0, 0.2], [-0.5, 3.0, 0.7], [0.3, -1.0, 5.0]])


def jacobi(b):
    """Solve MATRIX x = b."""
    D = np.diag(MATRIX)
    return iterated(lambda x: (b - (MATRIX - np.diag(D)) @ x) / D, 0 * b, 1e-10)


@case("right")
def jacobi_with_an_exact_adjoint():
    """The forward pass stops at 1e-10, the adjoint is a direct solve."""
    return vjp_rule(jacobi, lambda r, c: (jnp.linalg.solve(MATRIX.T, c),)), np.array([1.0, -2.0, 0.5])


@case("wrong")
def jacobi_without_the_transpose():
    """The adjoint needs the transposed matrix."""
    return vjp_rule(jacobi, lambda r, c: (jnp.linalg.solve(MATRIX, c),)), np.array([1.0, -2.0, 0.5])


def sinkhorn(C, eps=0.5, turns=60):
    """The plan between uniform weights."""
    n, m = C.shape

    def turn(_, fg):
        f, g = fg
        f = -eps * jax.nn.logsumexp((g[None] - C) / eps, axis=1) - eps * jnp.log(n)
        g = -eps * jax.nn.logsumexp((f[:, None] - C) / eps, axis=0) - eps * jnp.log(m)
        return f, g

    f, g = jax.lax.fori_loop(0, turns, turn, (0 * C[:, 0], 0 * C[0]))
    return jnp.exp((f[:, None] + g - C) / eps)


COSTS = np.array([[0.1, 0.9, 0.4], [0.7, 0.2, 1.1], [0.5, 0.6, 0.3]])


def regularised(C):
    P = sinkhorn(C)
    return jnp.sum(P * C) + 0.5 * jnp.sum(P * (jnp.log(P) - 1))


@case("right", also=("undecided",))
def sinkhorn_by_the_envelope_theorem():
    """The gradient of the regularised cost is the plan."""
    return vjp_rule(regularised, lambda r, c: (c * sinkhorn(r[0]),)), COSTS


@case("wrong")
def sinkhorn_without_its_entropy():
    """The plan is not the gradient of only the transport cost."""
    return vjp_rule(lambda C: jnp.sum(sinkhorn(C) * C), lambda r, c: (c * sinkhorn(r[0]),)), COSTS


SYMMETRIC = np.array([[3.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 0.5]])


def leading(A):
    v = iterated(
        lambda v: (lambda w: w / jnp.linalg.norm(w))(A @ v), jnp.ones(3, A.dtype) / jnp.sqrt(3.0).astype(A.dtype), 1e-12
    )
    return v


@case("right")
def power_iteration():
    """The slope of the largest eigenvalue is v v'."""
    f = lambda A: (lambda v: v @ A @ v)(leading(A))
    return vjp_rule(f, lambda r, c: (c * jnp.outer(leading(r[0]), leading(r[0])),)), SYMMETRIC


@case("wrong", tolerance=1e-2)
def phantom_gradient():
    """One step of the fixed point instead of the inverse, which 1 % does not excuse."""
    W = np.array([[0.4, -0.3], [0.2, 0.5]])
    solve = lambda b: iterated(lambda x: jnp.tanh(W @ x + b), 0 * b, 1e-11)

    def bwd(r, c):
        s = 1 - solve(r[0]) ** 2
        return (s * (c + W.T @ (s * c)),)

    return vjp_rule(solve, bwd), np.array([0.3, -0.2])


def decay(k, steps=10):
    """y' = -k y^2 from 1, over a unit of time, by Runge and Kutta's steps."""
    h = 1.0 / steps
    slope = lambda y: -k * y**2

    def step(y, _):
        a = slope(y)
        b = slope(y + h / 2 * a)
        c = slope(y + h / 2 * b)
        d = slope(y + h * c)
        return y + h / 6 * (a + 2 * b + 2 * c + d), None

    return jax.lax.scan(step, 0 * k + 1.0, length=steps)[0]


@case("right", tolerance=1e-3)
def reaction_with_the_exact_slope():
    """y = 1 / (1 + k): the slope of the exact solution, compared with a scheme of ten steps."""
    return vjp_rule(decay, lambda r, c: (-c / (1 + r[0]) ** 2,)), 1.5


@case("wrong", tolerance=1e-3)
def reaction_with_a_lost_step():
    """The adjoint ends one step of ten early."""
    return vjp_rule(decay, lambda r, c: (-c * 0.9 / (1 + 0.9 * r[0]) ** 2,)), 1.5


# ---- (9) complex


@case("right")
def power_spectrum():
    """sum w |FFT x|^2 of a real signal."""
    w = np.array([0.5, 1.0, 2.0, 0.3, 0.7, 1.1])
    f = lambda x: jnp.sum(w * jnp.abs(jnp.fft.fft(x)) ** 2)
    return vjp_rule(f, lambda r, c: (c * 2 * 6 * jnp.fft.ifft(w * jnp.fft.fft(r[0])).real,)), np.array(
        [0.1, 0.9, -0.4, 0.3, 1.2, -0.8]
    )


@case("wrong")
def power_spectrum_without_its_length():
    """The transposed FFT is not the inverse: a factor of 6 is missing."""
    w = np.array([0.5, 1.0, 2.0, 0.3, 0.7, 1.1])
    f = lambda x: jnp.sum(w * jnp.abs(jnp.fft.fft(x)) ** 2)
    return vjp_rule(f, lambda r, c: (c * 2 * jnp.fft.ifft(w * jnp.fft.fft(r[0])).real,)), np.array(
        [0.1, 0.9, -0.4, 0.3, 1.2, -0.8]
    )


HAMILTONIAN = np.array([[1.0, 0.3 - 0.5j], [0.3 + 0.5j, -0.4]])
STATE = np.array([0.6 + 0.2j, -0.3 + 0.7j])


@case("right")
def energy_of_a_quantum_state():
    """<psi|H|psi>: JAX's gradient is 2 conj(H psi)."""
    f = lambda z: jnp.real(jnp.vdot(z, HAMILTONIAN @ z))
    return vjp_rule(f, lambda r, c: (2 * c * jnp.conj(HAMILTONIAN @ r[0]),)), STATE


@case("wrong")
def energy_with_the_hamiltonian_conjugated():
    """conj(z) is there, but H is not conjugated with it."""
    f = lambda z: jnp.real(jnp.vdot(z, HAMILTONIAN @ z))
    return vjp_rule(f, lambda r, c: (2 * c * (HAMILTONIAN @ jnp.conj(r[0])),)), STATE


@case("wrong")
def phase_taken_as_holomorphic():
    """z / |z| is not holomorphic: c / |z| misses the part along the radius."""
    return vjp_rule(lambda z: z / jnp.abs(z), lambda r, c: (c / jnp.abs(r[0]),)), STATE


@case("right")
def magnitude_with_zero_at_zero():
    """|z| at 0 with the gradient 0."""

    def bwd(r, c):
        n = jnp.abs(r[0])
        return (c * jnp.conj(r[0]) / jnp.where(n == 0, 1.0, n),)

    return vjp_rule(jnp.abs, bwd), np.array([0.0, 0.6 - 0.8j])


@case("right")
def conjugate_transposed():
    """The transpose of conj is conj."""
    return vjp_rule(jnp.conj, lambda r, c: (jnp.conj(c),)), STATE


# ---- (10) not linear on purpose


@case("right", linear=False)
def clips_over_a_tree():
    """The joint norm of two leaves is clipped."""

    def bwd(r, c):
        a, b = c * jnp.cos(r[0]["a"]), c * r[0]["b"] * 2
        n = jnp.sqrt(jnp.sum(a**2) + jnp.sum(b**2))
        s = jnp.minimum(1.0, 0.1 / jnp.maximum(n, 1e-300))
        return ({"a": a * s, "b": b * s},)

    f = lambda p: jnp.sum(jnp.sin(p["a"])) + jnp.sum(p["b"] ** 2)
    return vjp_rule(f, bwd), {"a": np.array([0.3, 0.9]), "b": np.array([1.0, -2.0])}


@case("wrong", linear=False)
def sign_of_the_gradient():
    """The sign is not the gradient, however small the cotangent."""
    return vjp_rule(lambda x: jnp.sin(x), lambda r, c: (jnp.sign(c * jnp.cos(r[0])),)), np.array([0.3, -1.0, 0.6])


@case("wrong", "linear")
def clips_and_does_not_say_so():
    """Without linear=False a clip is a fault."""
    return vjp_rule(lambda x: x, lambda r, c: (jnp.clip(c, -0.01, 0.01),)), np.array([0.3, -1.0])


@case("right", reference=lambda x: -0.5 * x)
def reversed_gradient_with_a_reference():
    """Domain adversarial training: the identity, whose gradient is reversed on purpose."""
    return vjp_rule(lambda x: 1.0 * x, lambda r, c: (-0.5 * c,)), np.array([0.3, -1.0])


@case("wrong")
def reversed_gradient_without_a_reference():
    """No one said that it is on purpose."""
    return vjp_rule(lambda x: 1.0 * x, lambda r, c: (-0.5 * c,)), np.array([0.3, -1.0])


# ---- (11) joint ties


@case("wrong")
def clip_at_its_own_bound():
    """x = low: both x and the bound get the whole cotangent."""
    bwd = lambda r, c: (c * (r[0] >= r[1]), c * (r[1] >= r[0]))
    return vjp_rule(lambda x, low: jnp.maximum(x, low), bwd), np.array([0.5, 2.0]), np.array([0.5, 1.0])


@case("wrong")
def top_two_with_a_tie():
    """The sum of the two largest of (3, 2, 2, 1), with a mask x >= second that takes three."""
    f = lambda x: jnp.sum(jax.lax.top_k(x, 2)[0])
    return vjp_rule(f, lambda r, c: (c * (r[0] >= jax.lax.top_k(r[0], 2)[0][1]),)), np.array([3.0, 2.0, 2.0, 1.0])


@case("right")
def top_two_with_the_first_of_a_tie():
    """The indices of top_k decide."""
    f = lambda x: jnp.sum(jax.lax.top_k(x, 2)[0])
    return vjp_rule(f, lambda r, c: (jnp.zeros_like(r[0]).at[jax.lax.top_k(r[0], 2)[1]].set(c),)), np.array(
        [3.0, 2.0, 2.0, 1.0]
    )


@case("wrong")
def nearest_of_two_equally_far():
    """A query between two points: the gradients of both are added."""
    points = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    f = lambda q: jnp.min(jnp.sum((q - points) ** 2, axis=-1))

    def bwd(r, c):
        d = jnp.sum((r[0] - points) ** 2, axis=-1)
        return (c * jnp.sum(2 * (r[0] - points) * (d == jnp.min(d))[:, None], axis=0),)

    return vjp_rule(f, bwd), np.array([1.0, 0.7])


@case("right")
def pooled_by_argmax():
    """Windows of two with equal entries, the first of which takes it."""

    def bwd(r, c):
        w = r[0].reshape(-1, 2)
        return ((jax.nn.one_hot(jnp.argmax(w, axis=1), 2, dtype=c.dtype) * c[:, None]).reshape(-1),)

    return vjp_rule(lambda x: jnp.max(x.reshape(-1, 2), axis=1), bwd), np.array([1.0, 1.0, 0.0, 2.0, 3.0, 3.0])


# ---- (12) the rule's own dtype


def layer_norm(x):
    return (x - jnp.mean(x)) / jnp.sqrt(jnp.var(x) + 1e-5)


def layer_norm_backward(x, c):
    s = jnp.sqrt(jnp.var(x) + 1e-5)
    h = (x - jnp.mean(x)) / s
    return (c - jnp.mean(c) - h * jnp.mean(c * h)) / s


@case("right", dtype="float16")
def layer_norm_that_accumulates_in_float32():
    """The backward pass leaves float16 and comes back."""

    def bwd(r, c):
        x = r[0]
        wide = jnp.promote_types(x.dtype, jnp.float32)
        return (layer_norm_backward(x.astype(wide), c.astype(wide)).astype(x.dtype),)

    return vjp_rule(layer_norm, bwd), np.array([0.5, -1.0, 2.0, 0.3, 1.1, -0.2])


@case("right", dtype="bfloat16")
def gelu_in_bfloat16():
    """An ordinary slope in bfloat16."""
    f = lambda x: x * jax.nn.sigmoid(1.702 * x)
    slope = lambda x: (lambda s: s + 1.702 * x * s * (1 - s))(jax.nn.sigmoid(1.702 * x))
    return slope_rule(f, slope), np.array([0.5, -1.0, 2.0, 0.3])


@case("wrong", "float16|half", dtype="float16")
def softmax_that_overflows_in_half():
    """exp(14) is beyond float16, and the rule does not take the maximum off."""

    def bwd(r, c):
        e = jnp.exp(r[0])
        p = e / jnp.sum(e)
        return (p * (c - jnp.sum(p * c)),)

    return vjp_rule(jax.nn.softmax, bwd), np.array([14.0, 13.0, 12.5])


@case("right", dtype="float16")
def softmax_that_does_not_overflow():
    """The same with the maximum taken off."""

    def bwd(r, c):
        p = jax.nn.softmax(r[0])
        return (p * (c - jnp.sum(p * c)),)

    return vjp_rule(jax.nn.softmax, bwd), np.array([14.0, 13.0, 12.5])


@case("wrong", "float32", dtype="float32")
def one_minus_cosine_in_float32():
    """1 - cos x at 4.5e-4 is 18 % off in float32, and has nine digits in float64."""
    f = lambda x: x**3 / 6 - x**5 / 120 + x**7 / 5040
    return slope_rule(f, lambda x: 1 - jnp.cos(x)), np.array([4.5e-4, 5.4e-4])


@case("right", dtype="float32")
def twice_the_squared_half_sine():
    """2 sin^2(x / 2) keeps the digits."""
    f = lambda x: x**3 / 6 - x**5 / 120 + x**7 / 5040
    return slope_rule(f, lambda x: 2 * jnp.sin(x / 2) ** 2), np.array([4.5e-4, 5.4e-4])


@case("wrong", "float16|half")
def length_by_a_sum_of_squares_in_half():
    """Given in float16: the squares add up to 90,000, more than float16 holds."""
    x = jnp.asarray(np.full(100, 30.0), jnp.float16)
    f = lambda x: 100 * jnp.sqrt(jnp.sum((x / 100) ** 2))
    return vjp_rule(f, lambda r, c: (c * r[0] / jnp.sqrt(jnp.sum(r[0] * r[0])),)), x


# ---- (13) second order, None, nondiff_argnums, loops


@case("right", order=2)
def second_order_of_logsumexp():
    """The rule is differentiable."""
    return vjp_rule(lambda x: jax.nn.logsumexp(x), lambda r, c: (c * jax.nn.softmax(r[0]),)), np.array([0.2, 1.0, -0.5])


@case("wrong", "second order", order=2)
def slope_from_a_table():
    """The slope is interpolated by a callback-free nearest neighbour of a fine table: its own slope is 0."""
    f = jnp.sin
    slope = lambda x: jax.lax.stop_gradient(jnp.cos(x))
    return slope_rule(f, slope), np.array([0.2, 1.0])


@case("wrong", order=2)
def slope_with_a_wrong_rule():
    """tanh' is right, and carries a rule with a factor of 2 missing."""
    inner = slope_rule(lambda x: 1 - jnp.tanh(x) ** 2, lambda x: -jnp.tanh(x) * (1 - jnp.tanh(x) ** 2))
    return slope_rule(jnp.tanh, inner), np.array([0.2, 1.0])


@case("right", order=2, by="custom_jvp")
def second_order_of_a_stable_softplus():
    """log(1 + e^x) as a custom_jvp."""
    return jvp_rule(
        lambda x: jnp.logaddexp(x, 0.0), lambda p, t: (jnp.logaddexp(p[0], 0.0), t[0] * jax.nn.sigmoid(p[0]))
    ), np.array([0.0, -12.0, 4.0])


@case("right")
def labels_get_none():
    """Cross entropy with integer labels, whose cotangent is None."""
    labels = np.array([0, 2])
    f = lambda z, y: jnp.mean(jax.nn.logsumexp(z, axis=-1) - jnp.take_along_axis(z, y[:, None], axis=-1)[:, 0])
    bwd = lambda r, c: (c * (jax.nn.softmax(r[0], axis=-1) - jax.nn.one_hot(r[1], 3)) / 2, None)
    return vjp_rule(f, bwd), np.array([[0.1, 0.4, -0.3], [1.0, 2.0, 0.5]]), labels


@case("right", "nondiff_argnums")
def weights_in_nondiff_argnums():
    """An array of weights that the rule does not differentiate."""
    f = lambda w, x: jnp.sum(w * x**2)
    g = jax.custom_vjp(f, nondiff_argnums=(0,))
    g.defvjp(lambda w, x: (f(w, x), x), lambda w, x, c: (2 * c * w * x,))
    return g, np.array([0.5, 2.0]), np.array([1.0, -0.3])


@case("wrong")
def recurrent_cell_in_a_scan():
    """The cell forgets the path through the state's weight."""
    cell = vjp_rule(
        lambda h, w, x: jnp.tanh(w * h + x),
        lambda r, c: (lambda d: (d, jnp.sum(d * r[0]), d))(c * (1 - jnp.tanh(r[1] * r[0] + r[2]) ** 2)),
    )
    xs = np.array([[0.1, 0.5], [-0.3, 0.2], [0.4, -0.6]])
    return lambda w, h: jax.lax.scan(lambda h, x: (cell(h, w, x), None), h, xs)[0], 0.8, np.array([0.3, -0.1])


@case("right")
def cholesky_of_a_covariance():
    """Murray's rule for the factor, symmetrised, as jnp's cholesky symmetrises its input."""

    def bwd(r, c):
        L = jnp.linalg.cholesky(r[0])
        phi = lambda M: jnp.tril(M) - 0.5 * jnp.diag(jnp.diag(M))
        P = phi(L.T @ c)
        S = jax.scipy.linalg.solve_triangular(
            L, jax.scipy.linalg.solve_triangular(L, (P + P.T) / 2, lower=True, trans=1).T, lower=True, trans=1
        )
        return ((S + S.T) / 2,)

    return vjp_rule(jnp.linalg.cholesky, bwd), np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]])


@case("right")
def solve_of_a_hilbert_matrix():
    """Ill-conditioned (5e5), and right."""
    n = 5
    H = 1.0 / (np.arange(n)[:, None] + np.arange(n) + 1)

    def bwd(r, c):
        A, b = r
        y = jnp.linalg.solve(A.T, c)
        return -jnp.outer(y, jnp.linalg.solve(A, b)), y

    return vjp_rule(jnp.linalg.solve, bwd), H, np.array([1.0, 0.5, -0.2, 0.3, 1.0])


@case("wrong")
def eigenvectors_with_the_sign_of_the_gap():
    """The spectral gap's matrix is transposed: eigenvectors turn the other way."""
    A = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, -0.5]])
    f = lambda A: (lambda wv: jnp.sum(wv[1] ** 4 * np.arange(3)))(jnp.linalg.eigh((A + A.T) / 2))

    def bwd(r, c):
        w, v = jnp.linalg.eigh((r[0] + r[0].T) / 2)
        F = jnp.where(np.eye(3) > 0, 0.0, 1 / (w[:, None] - w + np.eye(3)))
        dv = c * 4 * v**3 * np.arange(3)
        G = v @ (F * (v.T @ dv)) @ v.T
        return ((G + G.T) / 2,)

    return vjp_rule(f, bwd), A


@case("right")
def eigenvectors_right():
    """The same with the gap the right way round."""
    A = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, -0.5]])
    f = lambda A: (lambda wv: jnp.sum(wv[1] ** 4 * np.arange(3)))(jnp.linalg.eigh((A + A.T) / 2))

    def bwd(r, c):
        w, v = jnp.linalg.eigh((r[0] + r[0].T) / 2)
        F = jnp.where(np.eye(3) > 0, 0.0, 1 / (w - w[:, None] + np.eye(3)))
        dv = c * 4 * v**3 * np.arange(3)
        G = v @ (F * (v.T @ dv)) @ v.T
        return ((G + G.T) / 2,)

    return vjp_rule(f, bwd), A


@case("right")
def stiff_sigmoid():
    """A sigmoid of steepness 1e4 at 1e-5: smooth, though it looks like a step from afar."""
    f = lambda x: jax.nn.sigmoid(1e4 * x)
    return slope_rule(f, lambda x: 1e4 * f(x) * f(-x)), np.array([1e-5, -2e-5, 0.0])


@case("right")
def oscillation_of_high_frequency():
    """sin(1e6 x): steps must be far smaller than the entries."""
    return slope_rule(lambda x: jnp.sin(1e6 * x), lambda x: 1e6 * jnp.cos(1e6 * x)), np.array([0.3, 1.1])


@case("wrong")
def oscillation_with_a_missing_factor():
    """The inner slope of 1e6 is missing by one part in a thousand."""
    return slope_rule(lambda x: jnp.sin(1e6 * x), lambda x: 1.001e6 * jnp.cos(1e6 * x)), np.array([0.3, 1.1])


@case("wrong", "pass the axis as a static argument of the layer")
def rule_that_asserts_at_length():
    """An error whose advice is at its end."""

    def bwd(r, c):
        raise ValueError(
            "this layer's backward pass was called with a cotangent whose shape does not fit; " * 4
            + "please pass the axis as a static argument of the layer"
        )

    return vjp_rule(jnp.sin, bwd), np.array([0.1, 0.2])


# ---- joint kinks: the mixture of all of them is what counts, whatever the seed


def total_variation(x):
    return jnp.sum(jnp.abs(jnp.diff(x)))


def signs_of_differences(r, c):
    s = jnp.sign(jnp.diff(r[0]))
    return (c * (jnp.pad(s, (1, 0)) - jnp.pad(s, (0, 1))),)


@case("right")
def total_variation_of_a_step():
    """(0, 0, 1, 1) with sign(0) = 0: the mean of the gradients around."""
    return vjp_rule(total_variation, signs_of_differences), np.array([0.0, 0.0, 1.0, 1.0])


@case("right", seed=3)
def total_variation_of_a_late_step():
    """(0, 0, 0, 1) with sign(0) = 0, and another seed."""
    return vjp_rule(total_variation, signs_of_differences), np.array([0.0, 0.0, 0.0, 1.0])


@case("wrong", seed=2)
def top_two_with_a_tie_and_another_seed():
    """(1, 1, 1, 0) as the gradient of the sum of the two largest of (3, 2, 2, 1): it adds up to 3, and every gradient around to 2."""
    f = lambda x: jnp.sum(jax.lax.top_k(x, 2)[0])
    return vjp_rule(f, lambda r, c: (c * (r[0] >= jax.lax.top_k(r[0], 2)[0][1]),)), np.array([3.0, 2.0, 2.0, 1.0])


@case("right", seed=3)
def pooled_by_argmax_and_another_seed():
    """Windows of two with equal entries, the first of which takes it."""

    def bwd(r, c):
        w = r[0].reshape(-1, 2)
        return ((jax.nn.one_hot(jnp.argmax(w, axis=1), 2, dtype=c.dtype) * c[:, None]).reshape(-1),)

    return vjp_rule(lambda x: jnp.max(x.reshape(-1, 2), axis=1), bwd), np.array([1.0, 1.0, 0.0, 2.0, 3.0, 3.0])


@case("right")
def signed_square():
    """x |x| is smooth enough at 0, with the slope 2 |x|: drag in a flow that turns."""
    return slope_rule(lambda x: x * jnp.abs(x), lambda x: 2 * jnp.abs(x)), np.array([0.0, 1.0, -2.0])


@case("wrong")
def signed_square_with_one_half():
    """1/2 is no slope of x |x| at 0."""
    return slope_rule(lambda x: x * jnp.abs(x), lambda x: jnp.where(x == 0, 0.5, 2 * jnp.abs(x))), np.array(
        [0.0, 1.0, -2.0]
    )


@case("wrong")
def difference_of_two_kinks_that_is_smooth():
    """relu(W x) - relu(-W x) is W x: at 0 the conventions of both do not allow 0."""
    W = np.array([[1.0, -1.0], [2.0, 0.5], [-1.0, 1.0]])
    f = lambda x: jnp.sum(jnp.maximum(W @ x, 0.0) - jnp.maximum(-(W @ x), 0.0))
    return vjp_rule(f, lambda r, c: (0 * c * r[0],)), np.zeros(2)


@case("right")
def pairwise_hinge_on_its_margin():
    """A ranking loss with all margins met exactly, and no gradient."""
    f = lambda z: jnp.sum(jnp.maximum(0.0, 1 - (z[1:] - z[:-1])))
    return vjp_rule(f, lambda r, c: (0 * c * r[0],)), np.array([0.0, 1.0, 2.0, 3.0])


@case("right")
def flat_function_of_all_orders():
    """exp(-1 / x^2), 0 at 0 with all its derivatives."""
    safe = lambda x: jnp.where(x == 0, 1.0, x)
    f = lambda x: jnp.where(x == 0, 0.0, jnp.exp(-1 / safe(x) ** 2))
    return slope_rule(f, lambda x: f(x) * 2 / safe(x) ** 3), np.array([0.0, 0.8])


@case("wrong", "float16|half", dtype="float16")
def normalised_with_an_epsilon_that_vanishes():
    """1e-12 is 0 in float16, and so are squares of 1e-5."""

    def bwd(r, c):
        (x,) = r
        n = jnp.sqrt(jnp.sum(x**2) + jnp.asarray(1e-12, x.dtype))
        return ((c - x * jnp.sum(x * c) / n**2) / n,)

    return vjp_rule(lambda x: x / jnp.sqrt(jnp.sum(x**2) + 1e-12), bwd), np.array([1e-5, 2e-5, -1e-5])


@case("right", also=("undecided",))
def softplus_far_to_the_left():
    """The slope of 9e-14 at -30 stands next to slopes of 1/2 and 1: right, and hard to see."""
    return slope_rule(lambda x: jnp.logaddexp(x, 0.0), jax.nn.sigmoid), np.array([0.0, -30.0, 4.0])


@case("wrong")
def inverse_without_a_gradient():
    """jnp.linalg.inv stops gradients on its way, which is no constant on purpose."""
    return vjp_rule(jnp.linalg.inv, lambda r, c: (0 * c,)), np.array([[2.0, 0.5], [0.3, 1.5]])


@case("right")
def inverse_by_the_textbook():
    """-B^T c B^T."""

    def bwd(r, c):
        B = jnp.linalg.inv(r[0])
        return (-B.T @ c @ B.T,)

    return vjp_rule(jnp.linalg.inv, bwd), np.array([[2.0, 0.5], [0.3, 1.5]])


@case("wrong", seed=9)
def largest_modulus_at_a_tie_and_another_seed():
    """Both tied entries get the whole cotangent."""
    f = lambda x: jnp.max(jnp.abs(x))
    return vjp_rule(f, lambda r, c: (c * jnp.sign(r[0]) * (jnp.abs(r[0]) == f(r[0])),)), np.array([2.0, -2.0, 1.0])


@case("wrong", seed=7)
def no_one_gets_it_at_a_tie_with_a_small_cotangent():
    """The tie has a cotangent of a thousandth of the other."""
    bwd = lambda r, c: (c * (r[0] > r[1]), c * (r[1] > r[0]))
    return vjp_rule(jnp.maximum, bwd), np.array([1.0, 5.0]), np.array([1.0, 4.0])


@case("right", seed=8)
def sorting_with_equal_entries_and_like_cotangents():
    """The cotangents of the two that are equal differ by 1 % only."""

    def bwd(r, c):
        return (jnp.zeros_like(c).at[jnp.argsort(r[0])].set(c),)

    return vjp_rule(jnp.sort, bwd), np.array([2.0, 1.0, 2.0, 0.5, 1.0])


@case("right")
def symbolic_zeros_in_a_forward_pass():
    """The forward pass asks what is perturbed, and the backward pass gets zeros that are symbols."""
    from jax.custom_derivatives import SymbolicZero

    g = jax.custom_vjp(lambda x, y: (x * y, jnp.sin(x)))

    def fwd(x, y):
        return (x.value * y.value, jnp.sin(x.value)), (x.value, y.value)

    def bwd(r, c):
        x, y = r
        of_product, of_sine = (jnp.zeros_like(x) if isinstance(v, SymbolicZero) else v for v in c)
        return of_product * y + of_sine * jnp.cos(x), of_product * x

    g.defvjp(fwd, bwd, symbolic_zeros=True)
    return g, np.array([0.5, 1.0]), np.array([2.0, -1.0])


@case("wrong")
def symbolic_zeros_and_a_term_left_out():
    """The same without the term of the sine."""
    g = jax.custom_vjp(lambda x, y: (x * y, jnp.sin(x)))
    g.defvjp(
        lambda x, y: ((x.value * y.value, jnp.sin(x.value)), (x.value, y.value)),
        lambda r, c: (c[0] * r[1], c[0] * r[0]),
        symbolic_zeros=True,
    )
    return g, np.array([0.5, 1.0]), np.array([2.0, -1.0])


@case("right", by="custom_jvp")
def symbolic_zeros_of_a_jvp():
    """The rule looks at which tangent is a symbol of zero."""
    from jax.custom_derivatives import SymbolicZero

    g = jax.custom_jvp(lambda x, y: x * y**2)

    def jvp(primals, tangents):
        (x, y), (u, v) = primals, tangents
        first = jnp.zeros_like(x) if isinstance(u, SymbolicZero) else u * y**2
        second = jnp.zeros_like(y) if isinstance(v, SymbolicZero) else 2 * v * x * y
        return x * y**2, first + second

    g.defjvp(jvp, symbolic_zeros=True)
    return g, np.array([0.5, 1.0]), np.array([2.0, -1.0])


@case("right")
def labels_get_float0():
    """The cotangent of whole numbers is of the dtype float0."""

    def bwd(r, c):
        z, labels = r
        p = jax.nn.softmax(z, axis=1)
        return c * (p - jax.nn.one_hot(labels, 3, dtype=p.dtype)), np.zeros(labels.shape, jax.dtypes.float0)

    f = lambda z, labels: jnp.sum(jax.nn.logsumexp(z, axis=1) - z[jnp.arange(len(labels)), labels])
    return vjp_rule(f, bwd), np.array([[0.1, 0.5, -0.3], [1.0, 0.2, 0.7]]), np.array([2, 0])


@case("wrong")
def labels_get_float0_and_logits_the_wrong_sign():
    """one_hot - p."""

    def bwd(r, c):
        z, labels = r
        p = jax.nn.softmax(z, axis=1)
        return c * (jax.nn.one_hot(labels, 3, dtype=p.dtype) - p), np.zeros(labels.shape, jax.dtypes.float0)

    f = lambda z, labels: jnp.sum(jax.nn.logsumexp(z, axis=1) - z[jnp.arange(len(labels)), labels])
    return vjp_rule(f, bwd), np.array([[0.1, 0.5, -0.3], [1.0, 0.2, 0.7]]), np.array([2, 0])


@case("right", linear=False, seed=1)
def clips_a_product_of_any_two_cotangents():
    """Two cotangents that are clipped alike give the same gradient."""
    return clips_a_product()


@case("right", also=("undecided",), seed=7)
def softplus_far_to_the_left_and_another_seed():
    """Autodiff is 0 at 0, and the slope there is small: differences see that autodiff is off."""
    return softplus_far_to_the_left()


@case("undecided", "float16", dtype="float16", seed=21)
def gradient_that_half_precision_cannot_hold():
    """Above 65,504 there is nothing to compare: what the rule does in float16 was not seen."""
    return normalised_with_an_epsilon_that_vanishes()


@case("right", "float16", linear=False, dtype="float16")
def clips_in_half_precision():
    """A rule that is not linear also runs in its own dtype."""
    return clips_a_product()


def verdicts(part: str = "") -> int:
    """Print every verdict, and return how many are not as expected."""
    missed = 0
    for name, one in CASES.items():
        if part in name:
            start = time.perf_counter()
            try:
                problem = one.problem()
            except Exception as error:
                problem = f"raised {type(error).__name__}: {str(error)[:80]}"
            missed += bool(problem)
            print(
                f"{'NOT' if problem else 'ok '} {name}: {problem or one.expected} [{time.perf_counter() - start:.1f} s]",
                flush=True,
            )
    print(f"{len(CASES) - missed} of {len(CASES)}")
    return missed


if __name__ == "__main__":
    sys.exit(bool(verdicts(*sys.argv[1:])))
