"""Right rules pass, of every kind; each wrong one is found, by the check that is there for it."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from problems import problem

import mlp_jax
from mlp_jax import check_custom_jvp, check_custom_vjp, check_gradient

X = np.array([0.5, -1.5, 2.0])


def vjp_rule(f, fwd, bwd, **settings):
    """f with a rule, so that none is shared."""
    ruled = jax.custom_vjp(f, **settings)
    ruled.defvjp(fwd, bwd)
    return ruled


def jvp_rule(f, rule, **settings):
    ruled = jax.custom_jvp(f, **settings)
    ruled.defjvp(rule)
    return ruled


def sine(bwd=lambda x, c: (c * jnp.cos(x),), f=jnp.sin, fwd=lambda x: (jnp.sin(x), x)):
    return vjp_rule(f, fwd, bwd)


def counted(function):
    """A function on the host that remembers how often it was called."""
    calls = []

    def call(c):
        calls.append(0)
        return function(np.asarray(c), len(calls))

    return lambda c: jax.pure_callback(call, jax.ShapeDtypeStruct(c.shape, c.dtype), c, vmap_method="sequential")


def on_host(function):
    return lambda x: jax.pure_callback(
        lambda x: function(np.asarray(x)).astype(x.dtype),
        jax.ShapeDtypeStruct(x.shape, x.dtype),
        x,
        vmap_method="sequential",
    )


def logsumexp_rule():
    def fwd(x):
        m = jnp.max(x)
        e = jnp.exp(x - m)
        return m + jnp.log(jnp.sum(e)), e / jnp.sum(e)

    return vjp_rule(lambda x: fwd(x)[0], fwd, lambda p, c: (c * p,))


def softmax_rule():
    return vjp_rule(
        lambda x: jax.nn.softmax(x), lambda x: (jax.nn.softmax(x),) * 2, lambda p, c: (p * (c - jnp.sum(p * c)),)
    )


def affine_rule():
    def fwd(params, x):
        return {"y": x @ params["W"] + params["b"][None]}, (params["W"], x)

    def bwd(saved, c):
        W, x = saved
        return {"W": x.T @ c["y"], "b": jnp.sum(c["y"], axis=0)}, c["y"] @ W.T

    return vjp_rule(lambda params, x: fwd(params, x)[0], fwd, bwd)


AFFINE = ({"W": np.arange(6.0).reshape(3, 2) / 3, "b": np.array([0.5, -0.5])}, np.arange(12.0).reshape(4, 3) / 7)


def take_rule():
    """Rows by index; the residual is whole numbers."""

    def bwd(saved, c):
        shape, index = saved
        return jnp.zeros(shape).at[index].add(c), None

    return vjp_rule(lambda x, i: x[i], lambda x, i: (x[i], (x.shape, i)), bwd)


def power_rule():
    return vjp_rule(
        lambda x, n: x**n, lambda x, n: (x**n, x), lambda n, x, c: (c * n * x ** (n - 1),), nondiff_argnums=(1,)
    )


def apply_rule():
    return vjp_rule(lambda f, x: f(x), lambda f, x: (f(x), x), lambda f, x, c: (c * jnp.cos(x),), nondiff_argnums=(0,))


def optional_rule():
    def f(x, scale):
        return 2 * x if scale is None else scale * x

    return vjp_rule(f, lambda x, s: (f(x, s), None), lambda _, c: (2 * c, None))


def root_rule():
    """A square root by a loop, which reverse mode cannot differentiate."""

    def f(x):
        return lax.while_loop(lambda y: jnp.any(jnp.abs(y * y - x) > 1e-13 * x), lambda y: (y + x / y) / 2, x)

    return vjp_rule(f, lambda x: (f(x),) * 2, lambda y, c: (c / (2 * y),))


def float32_rule():
    def f(x):
        return jnp.sin(x.astype(np.float32))

    return vjp_rule(f, lambda x: (f(x), x), lambda x, c: ((c * jnp.cos(x.astype(np.float32))).astype(x.dtype),))


def norm_rule():
    """Safe at 0, where autodiff of the plain code is NaN."""

    def f(x):
        return jnp.sqrt(jnp.sum(x**2) + 0 * jnp.where(x[0] == 0, 0.0, jnp.sqrt(jnp.abs(x[0]))))

    return vjp_rule(f, lambda x: (f(x), x), lambda x, c: (c * x / jnp.linalg.norm(x),))


def clipped():
    return vjp_rule(lambda x: 1.0 * x, lambda x: (1.0 * x, None), lambda _, c: (jnp.clip(c, -10, 10),))


def rounded():
    return vjp_rule(lambda x: jnp.round(x), lambda x: (jnp.round(x), None), lambda _, c: (c,))


def leaky_max():
    return vjp_rule(
        lambda x: jnp.maximum(x, 0.1 * x),
        lambda x: (jnp.maximum(x, 0.1 * x), x > 0),
        lambda on, c: (jnp.where(on, c, 0.1 * c),),
    )


MANY = np.random.default_rng(0).standard_normal((20, 30))

RIGHT_VJP = {
    "sine": (sine(), (X,)),
    "sine of a number": (sine(), (0.5,)),
    "sine in float32": (sine(), (X.astype(np.float32),)),
    "sine of a large leaf": (sine(), (MANY,)),
    "sine of a JAX array": (sine(), (jnp.ones(3),)),
    "inside of another function": (lambda x: jnp.sum(sine()(x) ** 2), (X,)),
    "under jit": (jax.jit(sine()), (X,)),
    "logsumexp": (logsumexp_rule(), (X,)),
    "logsumexp, tied": (logsumexp_rule(), (np.zeros(3),)),
    "softmax": (softmax_rule(), (X,)),
    "sum of softmax, of zero gradient": (lambda x: jnp.sum(softmax_rule()(x)), (X,)),
    "dicts in and out": (affine_rule(), AFFINE),
    "integer argument and residual": (take_rule(), (X, np.array([0, 2, 0]))),
    "nondiff_argnums": (power_rule(), (X, 3)),
    "a function as an argument": (apply_rule(), (jnp.sin, X)),
    "None as an argument": (optional_rule(), (X, None)),
    "tuple out": (
        vjp_rule(lambda x: (x, x**2), lambda x: ((x, x**2), x), lambda x, c: (c[0] + 2 * x * c[1],)),
        (X,),
    ),
    "tuple in": (
        vjp_rule(lambda p: p[0] * p[1], lambda p: (p[0] * p[1], p), lambda p, c: ((c * p[1], c * p[0]),)),
        ((X, 2 * X),),
    ),
    "zero gradient": (vjp_rule(lambda x: 0 * x, lambda x: (0 * x, None), lambda _, c: (0 * c,)), (X,)),
    "a large scale": (vjp_rule(lambda x: 1e30 * x**2, lambda x: (1e30 * x**2, x), lambda x, c: (2e30 * x * c,)), (X,)),
    "a tiny scale": (sine(), (1e-12 * X,)),
    "large arguments": (vjp_rule(jnp.log, lambda x: (jnp.log(x), x), lambda x, c: (c / x,)), (np.array([1e9, 1e-9]),)),
    "kinks at the very point": (leaky_max(), (np.array([0.0, 1.0, -1.0]),)),
    "nothing but kinks": (leaky_max(), (np.zeros(100),)),
    "a callback": (
        vjp_rule(on_host(np.sin), lambda x: (on_host(np.sin)(x), x), lambda x, c: (c * jnp.cos(x),)),
        (X,),
    ),
    "a loop": (root_rule(), (np.array([2.0, 9.0]),)),
    "float32 inside": (float32_rule(), (X,)),
    "better than autodiff": (norm_rule(), (np.array([0.0, 3.0, 4.0]),)),
    "relu of JAX": (jax.nn.relu, (np.array([0.0, 1.0, -1.0]),)),
    "silu of JAX": (jax.nn.silu, (X,)),
    "cross-entropy of ours": (lambda z: mlp_jax.cross_entropy(z, np.array([0, 1])), (np.stack([X, X**2]),)),
}


QUICK = {  # the rest is as right, and checked when there is time
    "sine",
    "dicts in and out",
    "integer argument and residual",
    "nondiff_argnums",
    "a callback",
    "a loop",
    "float32 inside",
    "relu of JAX",
    "product",
    "factor",
    "one entry of 600",
    "tiny error",
    "cotangent ignored",
    "not linear",
    "something for nothing",
    "another value",
    "another dtype",
    "another shape",
    "raises",
    "function raises",
    "a state",
    "no vmap",
    "not under jit",
    "tangent ignored",
    "straight-through rounding",
}


def table(cases):
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in cases]
    )


@functools.cache
def report_on(name):
    f, args = RIGHT_VJP[name]
    return check_custom_vjp(f, *args)


@table(RIGHT_VJP)
def test_right_vjp(name):
    report = report_on(name)
    assert report, report
    assert report.reference_error < (0.1 if report.precision == "float32" else 1e-5)


RIGHT_JVP = {
    "relu of JAX": (jax.nn.relu, (np.array([0.0, 1.0, -1.0]),)),
    "softplus of JAX": (jax.nn.softplus, (X,)),
    "sine": (jvp_rule(jnp.sin, lambda p, t: (jnp.sin(p[0]), jnp.cos(p[0]) * t[0])), (X,)),
    "product": (jvp_rule(jnp.multiply, lambda p, t: (p[0] * p[1], p[0] * t[1] + p[1] * t[0])), (X, X[::-1])),
    "nondiff_argnums": (
        jvp_rule(lambda n, x: x**n, lambda n, p, t: (p[0] ** n, n * p[0] ** (n - 1) * t[0]), nondiff_argnums=(0,)),
        (3, X),
    ),
    "dict in, tuple out": (
        jvp_rule(
            lambda d: (d["a"] ** 2, d["b"]),
            lambda p, t: ((p[0]["a"] ** 2, p[0]["b"]), (2 * p[0]["a"] * t[0]["a"], t[0]["b"])),
        ),
        ({"a": X, "b": 2.0},),
    ),
    "a callback": (jvp_rule(on_host(np.sin), lambda p, t: (on_host(np.sin)(p[0]), jnp.cos(p[0]) * t[0])), (X,)),
}


@table(RIGHT_JVP)
def test_right_jvp(name):
    f, args = RIGHT_JVP[name]
    report = check_custom_jvp(f, *args)
    assert report, report


ON_PURPOSE = {
    "straight-through rounding": (rounded(), lambda x: x, {}),
    "clipped gradients": (clipped(), lambda x: x, {"linear": False}),
    "reversed gradients": (vjp_rule(lambda x: x, lambda x: (x, None), lambda _, c: (-c,)), lambda x: -x, {}),
}


@table(ON_PURPOSE)
def test_another_rule_on_purpose_is_compared_with_its_reference(name):
    f, reference, settings = ON_PURPOSE[name]
    report = check_custom_vjp(f, X, reference=reference, **settings)
    assert report, report
    assert name == "clipped gradients" or not check_custom_vjp(f, X)


def one_entry(x, c):
    wrong = c * jnp.cos(x)
    return (wrong.at[7, 11].multiply(1.01),)


def small_leaf(params, c):
    return {"W": 1e6 * c * jnp.ones(3), "b": 1.001 * c}


BROKEN_VJP = {
    "factor": (
        sine(lambda x, c: (2 * c * jnp.cos(x),)),
        X,
        "autodiff finite differences",
        "is 2 times what it should be",
    ),
    "sign": (sine(lambda x, c: (-c * jnp.cos(x),)), X, "autodiff finite differences", "x is -1 times"),
    "missing term": (
        vjp_rule(lambda x: x * jnp.sin(x), lambda x: (x * jnp.sin(x), x), lambda x, c: (c * jnp.sin(x),)),
        X,
        "autodiff finite differences",
        "off by",
    ),
    "zero": (sine(lambda x, c: (0 * c,)), X, "autodiff finite differences", "is zero: a term is missing"),
    "one entry of 600": (sine(one_entry), MANY, "autodiff finite differences", "worst at (7, 11)"),
    "tiny error": (sine(lambda x, c: (c * jnp.cos(x) * (1 + 1e-8),)), X, "autodiff", "off by 1e-08"),
    "NaN": (sine(lambda x, c: (c * jnp.cos(x) * jnp.log(x),)), X, "autodiff finite differences linear", "not finite"),
    "callback": (
        vjp_rule(on_host(np.sin), lambda x: (on_host(np.sin)(x), x), lambda x, c: (c * jnp.sin(x),)),
        X,
        "finite differences",
        "not the slope of the function",
    ),
    "loop": (
        vjp_rule(
            lambda x: lax.while_loop(lambda y: jnp.sum(y) < 50, lambda y: 2 * y, x),
            lambda x: (lax.while_loop(lambda y: jnp.sum(y) < 50, lambda y: 2 * y, x), None),
            lambda _, c: (c,),
        ),
        X + 2,
        "finite differences",
        "times what it should be",
    ),
    "at a kink, out of bounds": (
        vjp_rule(jax.nn.relu, lambda x: (jax.nn.relu(x), x), lambda x, c: (c * jnp.where(x == 0, 2.0, x > 0),)),
        np.array([0.0, 1.0]),
        "autodiff",
        "",
    ),
    "beside a kink": (
        vjp_rule(jax.nn.relu, lambda x: (jax.nn.relu(x), x), lambda x, c: (c * jnp.where(x > 0, 1.001, 0.0),)),
        np.array([0.0, 1.0]),
        "autodiff finite differences",
        "",
    ),
    "cotangent ignored": (sine(lambda x, c: (jnp.cos(x),)), X, "cotangent used", "multiply by the cotangent"),
    "not linear": (sine(lambda x, c: (c * jnp.abs(c) * jnp.cos(x),)), X, "linear", "not linear in the cotangent"),
    "something for nothing": (sine(lambda x, c: (c * jnp.cos(x) + 1e-3,)), X, "zero", "a cotangent of zeros gives"),
    "another value": (sine(fwd=lambda x: (jnp.sin(x) + 0.1, x)), X, "value", "return f(x) itself"),
    "another dtype": (
        sine(lambda x, c: ((c * jnp.cos(x)).astype(jnp.float16),)),
        X.astype(np.float32),
        "dtype",
        "float16 for float32: end with .astype",
    ),
    "another shape": (sine(lambda x, c: (jnp.sum(c * jnp.cos(x)),)), X, "rule", "ValueError"),
    "too few": (sine(lambda x, c: ()), X, "rule", "raised"),
    "raises": (sine(lambda x, c: (c / jnp.zeros(5),)), X, "rule", "raised"),
    "function raises": (sine(f=lambda x: x.nonsense), X, "runs", "nonsense"),
    "a state": (
        sine(lambda x, c: (counted(lambda c, n: c * n)(c) * jnp.cos(x),)),
        X,
        "deterministic",
        "another result the second time",
    ),
    "no vmap": (
        sine(lambda x, c: (jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct(c.shape, c.dtype), c) * jnp.cos(x),)),
        X,
        "vmap",
        "under vmap raised",
    ),
    "wrong under vmap": (
        sine(
            lambda x, c: (
                jax.pure_callback(
                    lambda a: np.asarray(a) * (np.ndim(a) == 1),
                    jax.ShapeDtypeStruct(c.shape, c.dtype),
                    c,
                    vmap_method="expand_dims",
                )
                * jnp.cos(x),
            )
        ),
        X,
        "vmap",
        "another result under vmap",
    ),
    "not under jit": (
        sine(lambda x, c: (c * (jnp.cos(x) if isinstance(jnp.sum(c), jax.core.Tracer) else 3.0),)),
        X,
        "jit",
        "another result under jit",
    ),
}


@table(BROKEN_VJP)
def test_broken_vjp_is_found(name):
    f, x, checks, words = BROKEN_VJP[name]
    report = check_custom_vjp(f, x)
    for check in checks.split(" ") if checks != "finite differences" else [checks]:
        assert check in " ".join(report.wrong)
    assert words in " ".join(finding.message for finding in report.findings if not finding.ok)
    assert "\n" not in report.verdict


def tangent_rule(rule):
    return jvp_rule(lambda x: jnp.sin(x), lambda p, t: (jnp.sin(p[0]), rule(p[0], t[0])))


BROKEN_JVP = {
    "factor": (tangent_rule(lambda x, t: 2 * t * jnp.cos(x)), "autodiff", "x is 2 times"),
    "wrong formula": (tangent_rule(lambda x, t: t * jnp.sin(x)), "finite differences", "not the slope"),
    "not linear": (tangent_rule(lambda x, t: t * jnp.abs(t)), "reverse mode", "reverse mode through the rule raised"),
    "not linear in the tangent": (tangent_rule(lambda x, t: t * jnp.abs(t)), "linear", "not linear in the tangent"),
    "tangent ignored": (tangent_rule(lambda x, t: jnp.cos(x)), "tangent used", "multiply by the tangent"),
    "another value": (
        jvp_rule(lambda x: jnp.sin(x), lambda p, t: (1.5 * jnp.sin(p[0]), jnp.cos(p[0]) * t[0])),
        "value",
        "return f(x) itself",
    ),
    "another dtype": (tangent_rule(lambda x, t: (t * jnp.cos(x)).astype(jnp.float16)), "rule", "dtypes"),
}


@table(BROKEN_JVP)
def test_broken_jvp_is_found(name):
    f, check, words = BROKEN_JVP[name]
    report = check_custom_jvp(f, X)
    assert check in report.wrong
    assert words in " ".join(finding.message for finding in report.findings if not finding.ok)


def test_an_input_changed_in_place_is_found():
    x = X.copy()

    def change(c):
        x[0] += 1
        return np.asarray(c)

    change_x = on_host(change)
    report = check_custom_vjp(sine(lambda saved, c: (change_x(c) * jnp.cos(saved),)), x)
    assert report.wrong == ("inputs kept",)
    assert "write into a copy" in report.verdict


def test_a_small_wrong_leaf_is_not_hidden_by_a_large_one():
    def f(params):
        return 1e9 * jnp.sum(params["W"] ** 2) + jnp.sum(jnp.sin(params["b"]))

    def bwd(p, c):
        return ({"W": 2e9 * c * p["W"], "b": 1.01 * c * jnp.cos(p["b"])},)

    report = check_custom_vjp(vjp_rule(f, lambda p: (f(p), p), bwd), {"W": MANY, "b": X})
    assert "autodiff" in report.wrong
    assert [leaf.name for leaf in report.comparison.leaves if not leaf.ok] == ["params.b"]


def test_where_autodiff_cannot_go_the_report_says_so():
    for name, words in {"a callback": "callbacks", "a loop": "while_loop"}.items():
        report = report_on(name)
        assert report.comparison is None
        (note,) = report.notes
        assert words in note and "only finite differences decide" in note


def test_precision_is_stated_and_sets_the_tolerance():
    report = report_on("float32 inside")
    assert report.precision == "float32"
    assert report.comparison.leaves[0].tolerance == 1e-4
    assert "in float32" in report.verdict


def test_kinks_are_counted_and_conventions_noted():
    report = report_on("relu of JAX")
    assert report.skipped == 1
    assert "on a kink, autodiff follows another convention than the rule; entries: 1" in report.notes


def test_a_function_without_a_rule_is_said_to_have_none():
    report = check_custom_vjp(lambda x: x**2, X)
    assert report, report
    assert report.notes == ("the function carries no rule of its own: this was a check of autodiff",)


def test_a_bad_reference_is_told_from_a_bad_gradient():
    report = report_on("better than autodiff")
    assert report, report
    assert any("autodiff of the plain function is off" in note for note in report.notes)


def test_forms():
    report = check_custom_vjp(BROKEN_VJP["factor"][0], X)
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["verdict"] == report.verdict and read["ok"] is False
    assert {finding["check"] for finding in read["findings"] if not finding["ok"]} == set(report.wrong)
    assert str(report).startswith(report.verdict)
    assert "WRONG" in str(report) and "next to autodiff" in str(report)
    html = report._repr_html_()
    assert html.count("<table>") == 3 and "<svg" in html
    from rich.console import Console

    console = Console(width=300)
    with console.capture() as capture:
        console.print(report)
    assert capture.get().split() == str(report).split()


def net_gradient(params, x, labels, bug=None):
    """Backpropagation through a tanh layer, with room for a bug."""
    (W1, b1), (W2, b2) = params
    h = jnp.tanh(x @ W1 + b1[None])
    z = h @ W2 + b2[None]
    p = jax.nn.softmax(z)
    delta = (p - jax.nn.one_hot(labels, z.shape[1])) / (1 if bug == "no 1/B" else len(x))
    dh = (delta @ W2.T) * (1 if bug == "no derivative" else 1 - h**2)
    db2 = delta[0] if bug == "one example" else delta.sum(0)
    value = jnp.mean(jax.nn.logsumexp(z, axis=1) - z[jnp.arange(len(x)), labels])
    return (2 if bug == "value" else 1) * value, [(x.T @ dh, dh.sum(0)), (h.T @ delta, db2)]


@pytest.fixture(scope="module")
def net():
    with jax.enable_x64(True):
        made = problem((5, 4, 3), 6)
    return made, [tuple(map(np.asarray, layer)) for layer in made.params], np.asarray(made.x), np.asarray(made.targets)


def check_net(net, bug):
    made, params, x, labels = net

    @jax.jit
    def loss(params, x, labels):
        return made.loss(mlp_jax.forward(tuple(mlp_jax.Layer(*layer) for layer in params), x, made.activation), labels)

    return check_gradient(jax.jit(functools.partial(net_gradient, bug=bug)), loss, params, x, labels)


def test_right_gradient_of_a_network(net):
    report = check_net(net, None)
    assert report, report
    assert report.comparison.leaves[0].name == "layers[0][0]"


@pytest.mark.parametrize(
    ("bug", "check", "words"),
    [
        ("no 1/B", "autodiff", "is 6 times what it should be"),
        pytest.param("no derivative", "finite differences", "not the slope", marks=pytest.mark.slow),
        pytest.param("one example", "autodiff", "layers[1][1]: off by", marks=pytest.mark.slow),
        ("value", "value", "the value is"),
    ],
)
def test_wrong_gradient_of_a_network(net, bug, check, words):
    report = check_net(net, bug)
    assert check in report.wrong
    assert words in " ".join(finding.message for finding in report.findings)


def square(w):
    return jnp.sum(w**2)


def changes_its_input(w):
    w *= 2
    return np.sum(w**2) / 4, np.asarray(w)


CALLS = []


def once():
    CALLS.append(0)
    return len(CALLS)


def fills_an_array(w):
    gradient = w.copy()
    gradient[:] = 2 * w
    return float((w**2).sum()), gradient


GRADIENTS = {
    "right": (lambda w: (square(w), 2 * w), "", ""),
    "in numpy": (lambda w: (np.sum(np.asarray(w) ** 2), 2 * np.asarray(w)), "", ""),
    "in numpy, written entry by entry": (fills_an_array, "", ""),
    "of another dtype": (lambda w: (square(w), (2 * w).astype(jnp.float16)), "dtype", "float16 for float32"),
    "not under jit": (
        lambda w: (square(w), (2 if isinstance(w, jax.core.Tracer) else 3) * w),
        "jit",
        "another gradient under jit",
    ),
    "list for an array": (lambda w: (square(w), list(2 * w)), "structure", "unexpected"),
    "shape": (lambda w: (square(w), 2 * w[None]), "structure", "shape (1, 3), expected (3,)"),
    "None": (lambda w: (square(w), None), "structure", "missing"),
    "a string": (lambda w: (square(w), "2 w"), "structure", "expected an array of numbers"),
    "a word for the value": (lambda w: ("loss", 2 * w), "structure", "expected a pair"),
    "no pair": (lambda w: 2 * w, "structure", "expected a pair"),
    "a vector of losses": (lambda w: (w**2, 2 * w), "structure", "expected a pair"),
    "raises": (lambda w: w.nonsense, "runs", "AttributeError"),
    "in place": (changes_its_input, "inputs kept", "write into a copy"),
    "a state": (lambda w: (square(w), 2 * w * once()), "deterministic", "another gradient"),
    "NaN": (lambda w: (square(w), 2 * w * jnp.nan), "autodiff", "not finite"),
    "of another loss": (lambda w: (square(w), 3 * w**2), "finite differences", "not the slope"),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_check_gradient(name):
    value_and_grad, check, words = GRADIENTS[name]
    report = check_gradient(value_and_grad, square, X.copy())
    if not check:
        assert report, report
    else:
        assert check in report.wrong
        assert words in " ".join(finding.message for finding in report.findings if not finding.ok)


def test_a_loss_in_numpy_rests_on_finite_differences():
    def loss(w, x):
        return float(np.sum(np.tanh(np.asarray(x) @ np.asarray(w))))

    def gradient(w, x):
        return np.tanh(x @ w).sum(), x.T @ (1 - np.tanh(x @ w) ** 2)

    report = check_gradient(gradient, loss, X, np.eye(3))
    assert report, report
    assert "the loss is not JAX code" in report.notes and report.comparison is None
    assert not check_gradient(lambda w, x: (loss(w, x), 1.001 * gradient(w, x)[1]), loss, X, np.eye(3))


def test_a_rule_inside_of_the_loss_is_not_trusted():
    wrong = sine(lambda x, c: (2 * c * jnp.cos(x),))
    report = check_gradient(jax.value_and_grad(lambda w: jnp.sum(wrong(w))), lambda w: jnp.sum(wrong(w)), X)
    assert set(report.wrong) == {"autodiff", "finite differences"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check_custom_vjp(3, X), "check_custom_vjp: f: expected a function"),
        (lambda: check_custom_jvp(jnp.sin, X, reference=3), "check_custom_jvp: reference: expected a function"),
        (lambda: check_custom_vjp(jnp.sin, np.array([1, 2])), "an argument with floats to differentiate in"),
        (lambda: jax.jit(lambda x: check_custom_vjp(jnp.sin, x).ok)(X), "got tracers; call it outside of jit"),
        (lambda: check_gradient(3, square, X), "check_gradient: value_and_grad: expected a function"),
        (lambda: check_gradient(square, 3, X), "check_gradient: loss: expected a function"),
        (lambda: check_gradient(square, square, np.array([1, 2])), "params: expected a pytree with floats"),
    ],
    ids=["f", "reference", "no floats", "under jit", "value_and_grad", "loss", "integers"],
)
def test_bad_input(no_annotation_checks, call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


@pytest.mark.parametrize("f", [jnp.median, jnp.sort], ids=["median", "sort"])
def test_ties_of_several_entries_raise_no_alarm(f):
    report = check_custom_vjp(f, np.ones(6))
    assert report, report


def test_a_rule_that_may_be_nonlinear_must_still_give_zero_for_zero():
    report = check_custom_vjp(sine(lambda x, c: (c * jnp.abs(c) * jnp.cos(x) + 1e-3,)), X, linear=False)
    assert "zero" in report.wrong and "linear" not in report.wrong


def test_a_wrong_rule_inside_of_the_function_is_not_vouched_for_by_itself():
    inner = sine(lambda x, c: (2 * c * jnp.cos(x),))
    outer = vjp_rule(
        lambda x: inner(x) ** 2, lambda x: (inner(x) ** 2, x), lambda x, c: (4 * c * jnp.sin(x) * jnp.cos(x),)
    )
    report = check_custom_vjp(outer, X)
    assert set(report.wrong) == {"autodiff", "finite differences"}
