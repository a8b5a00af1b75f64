"""Derivatives beyond the gradient: by hand against autodiff, finite differences, their definitions, and paper."""

import collections
import functools
import inspect
import types
from itertools import product
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import QUICK_COMPILATION, Problem, direction, leaf_errors, problem, quick, relative_error

import mlp_jax
from mlp_jax import Layer, derivatives
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.derivatives import _by_hand, by_autodiff
from mlp_jax.losses import LOSSES

SIZES, BATCH = (4, 6, 5, 4), 8  # D = C: a Jacobian that is not transposed has the right shape
WIDE = (3, 4, 5)  # D < C
DEPTHS = (0, 1, 2, 8, 32)  # hidden layers
OF_LOGITS = {  # function of (module, problem, v, u)
    "logits_jvp": lambda m, p, v, u: m.logits_jvp(p.params, p.x, v, p.activation),
    "logits_vjp": lambda m, p, v, u: m.logits_vjp(p.params, p.x, u, p.activation),
    "logits_jacobian": lambda m, p, v, u: m.logits_jacobian(p.params, p.x, p.activation),
    "logits_input_jacobian": lambda m, p, v, u: m.logits_input_jacobian(p.params, p.x, p.activation),
    "softmax_jacobian": lambda m, p, v, u: m.softmax_jacobian(u),
    "fisher_vector_product": lambda m, p, v, u: m.fisher_vector_product(p.params, p.x, v, p.activation),
}
OF_LOSS = {
    "input_gradient": lambda m, p, v, u: m.input_gradient(*p),
    "per_example_gradients": lambda m, p, v, u: m.per_example_gradients(*p),
    "per_example_gradient_norms": lambda m, p, v, u: m.per_example_gradient_norms(*p),
    "hessian_vector_product": lambda m, p, v, u: m.hessian_vector_product(*p[:3], v, *p[3:]),
    "gauss_newton_vector_product": lambda m, p, v, u: m.gauss_newton_vector_product(*p[:3], v, *p[3:]),
}
DERIVATIVES = OF_LOGITS | OF_LOSS
SYMMETRIC = ("hessian_vector_product", "gauss_newton_vector_product", "fisher_vector_product")
LINEAR = ("logits_jvp", "logits_vjp", *SYMMETRIC)
MODULES = {"by hand": _by_hand, "by autodiff": by_autodiff}
ROOMS = [types.SimpleNamespace(**{name: getattr(m, name).room for name in DERIVATIVES}) for m in MODULES.values()]
law = settings(derandomize=True, max_examples=10, deadline=None)
of_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
of_modules = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


TRACES = collections.Counter()


def quick_jit(function):
    return jax.jit(function, compiler_options=QUICK_COMPILATION)


@functools.cache
def compiled(activation):
    """All derivatives by hand and by autodiff, for both losses, and the gradient, in one program."""

    def run(params, x, targets, v, u):
        TRACES[activation.name] += 1

        def of(m, loss):
            p = Problem(params, x, targets[loss.name], activation, loss)
            return {name: f(m, p, v, u) for name, f in DERIVATIVES.items()}

        gradients = {
            name: mlp_jax.backprop(params, x, targets[name], activation, loss)[1] for name, loss in LOSSES.items()
        }
        results = {name: {key: of(m, loss) for key, m in MODULES.items()} for name, loss in LOSSES.items()}
        return results, gradients

    return quick_jit(run)


class Case:
    """One network with a direction v and a cotangent u, and all of its derivatives in float64."""

    def __init__(self, activation=mlp_jax.tanh, seed=0, v=None, u=None, params=None):
        with jax.enable_x64(True):
            p, q = (problem(SIZES, BATCH, activation, loss, seed=seed) for loss in LOSSES.values())
            self.activation, self.seed, self.x = activation, seed, p.x
            self.params = p.params if params is None else params
            self.targets = dict(zip(LOSSES, (p.targets, q.targets), strict=True))
            self.v = direction(p.params, seed + 1) if v is None else v
            self.u = direction(jnp.zeros((BATCH, SIZES[-1])), seed + 2) if u is None else u
            self.w, self.t = direction((self.v, self.u), seed + 3)
            results, self.gradient = compiled(activation)(self.params, self.x, self.targets, self.v, self.u)
        self.of = {name: result["by hand"] for name, result in results.items()}
        self.by_autodiff = {name: result["by autodiff"] for name, result in results.items()}
        self.of_logits = self.of["cross_entropy"]

    def problem(self, loss):
        return Problem(self.params, self.x, self.targets[loss.name], self.activation, loss)

    def along(self, v, u=None):
        return Case(self.activation, self.seed, v, u, self.params)


case = functools.cache(Case)


def inner(a, b):
    return sum(float(np.vdot(x, y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def combined(a, x, b, y):
    return jax.tree.map(lambda x, y: a * np.asarray(x) + b * np.asarray(y), x, y)


def assert_agree(actual, expected, bound=1e-11):
    """Of two pytrees with the same shapes and dtypes: every leaf by its relative L2 error."""
    chex.assert_trees_all_equal_structs(actual, expected)
    chex.assert_trees_all_equal_shapes_and_dtypes(actual, expected)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(expected)]
    errors = dict(zip(paths, leaf_errors(actual, expected), strict=True))
    assert all(error <= bound for error in errors.values()), errors


def test_the_table_holds_every_derivative_of_both_modules_with_one_signature():
    for module in MODULES.values():
        own = {name for name, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__}
        assert {name for name in own if not name.startswith("_")} == set(DERIVATIVES)
    for name in DERIVATIVES:
        by_hand, by_autodiff = (
            [(p.name, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()]
            for module in MODULES.values()
        )
        assert by_hand == by_autodiff


# Against autodiff.


@pytest.mark.parametrize("activation", [mlp_jax.relu, mlp_jax.tanh], ids=["relu", "tanh"])
def test_hand_agrees_with_autodiff(activation):
    assert_agree(case(activation).of, case(activation).by_autodiff)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_hand_agrees_with_autodiff_at_every_depth(float64, activation):
    """Op by op, without the doors: all layers of width 16 share what is compiled."""
    for depth, loss in product(DEPTHS, LOSSES.values()):
        batch = 33 if depth else 1
        p = problem((12, *depth * (16,), 5), batch, activation, loss)
        v, u = direction(p.params), direction(jnp.zeros((batch, 5)))
        for f in (DERIVATIVES if loss is mlp_jax.cross_entropy else OF_LOSS).values():
            assert_agree(*(f(rooms, p, v, u) for rooms in ROOMS))


@pytest.mark.slow
def test_hand_agrees_with_autodiff_in_float32():
    p = problem(SIZES, BATCH, dtype=jnp.float32)
    v, u = direction(p.params), direction(jnp.zeros((BATCH, SIZES[-1]), jnp.float32))
    targets = {name: problem(SIZES, BATCH, loss=other, dtype=jnp.float32).targets for name, other in LOSSES.items()}
    results, _ = compiled(p.activation)(p.params, p.x, targets, v, u)
    for result in results.values():
        assert_agree(result["by hand"], result["by autodiff"], 1e-5)


def jitted(name, module, activation=mlp_jax.tanh, loss=mlp_jax.squared_error, jit=quick_jit):
    """One derivative as a function of arrays."""

    def run(params, x, targets, v, u):
        return DERIVATIVES[name](module, Problem(params, x, targets, activation, loss), v, u)

    return jit(run)


def test_the_input_jacobian_of_more_classes_than_inputs(float64):
    p = problem(WIDE, BATCH)
    by_hand, by_autodiff = (jitted("logits_input_jacobian", m)(*p[:3], None, None) for m in MODULES.values())
    assert by_hand.shape == (BATCH, 5, 3)
    assert_agree(by_hand, by_autodiff)


@of_modules
@pytest.mark.parametrize("dtype", quick({"bfloat16": jnp.bfloat16, "float32": jnp.float32}, "bfloat16"))
def test_dtype_is_kept(float64, module, dtype):
    for loss in LOSSES.values():
        p = problem((4, 5, 3), 2, loss=loss, dtype=dtype)
        for name in DERIVATIVES if loss is mlp_jax.cross_entropy else OF_LOSS:
            arrays = (*p[:3], p.params, jnp.zeros((2, 3), dtype))
            result = jax.eval_shape(jitted(name, module, loss=loss), *arrays)
            assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {jnp.dtype(dtype)}


def test_one_trace_for_changing_data():
    for seed in range(3):
        case(mlp_jax.relu, seed)
    assert TRACES["relu"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", DERIVATIVES)
def test_jit_vmap_and_plain_agree(float64, name):
    p = problem(SIZES, BATCH)

    def plain(params, x, v, u):
        return DERIVATIVES[name](derivatives, p._replace(params=params, x=x), v, u)

    each = [direction((p.params, p.x, p.params, jnp.zeros((BATCH, SIZES[-1]))), seed) for seed in range(2)]
    batched = quick_jit(jax.vmap(plain))(*jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))
    for i, one in enumerate(each):
        assert relative_error(jax.tree.map(lambda leaf, i=i: leaf[i], batched), plain(*one)) <= 1e-14


# Against finite differences.


@of_losses
def test_hessian_product_is_the_central_difference_of_backprop(loss):
    step, here = 1e-5, case(mlp_jax.tanh)
    ahead, behind = (
        Case(mlp_jax.tanh, params=combined(1, here.params, sign * step, here.v)).gradient[loss.name] for sign in (1, -1)
    )
    slope = combined(0.5 / step, ahead, -0.5 / step, behind)
    report = mlp_jax.compare_gradients(here.of[loss.name]["hessian_vector_product"], slope, tolerance=1e-7)
    assert report.ok, report


def small():
    return problem((2, 3, 2), 3, dtype=jnp.float32)


@pytest.mark.slow
def test_jvp_and_vjp_as_custom_rules():
    p = small()

    def forward(params):
        return mlp_jax.forward(params, p.x, p.activation)

    by_tangent = jax.custom_jvp(forward)
    by_tangent.defjvp(lambda at, v: (forward(*at), derivatives.logits_jvp(*at, p.x, *v, p.activation)))
    by_cotangent = jax.custom_vjp(forward)
    by_cotangent.defvjp(
        lambda params: (forward(params), params),
        lambda params, u: (derivatives.logits_vjp(params, p.x, u, p.activation),),
    )
    for report in (mlp_jax.check_custom_jvp(by_tangent, p.params), mlp_jax.check_custom_vjp(by_cotangent, p.params)):
        assert report.ok, report


@pytest.mark.slow
def test_hessian_product_is_the_gradient_of_the_slope_along_v():
    p = small()
    v = direction(p.params)

    def slope(params, v):
        gradient = mlp_jax.backprop(params, *p[1:])[1]
        return sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(v), strict=True))

    def by_hand(params, v):
        return slope(params, v), derivatives.hessian_vector_product(params, *p[1:3], v, *p[3:])

    report = mlp_jax.check_gradient(by_hand, slope, p.params, v)
    assert report.ok, report


# Laws.

cases = st.tuples(st.sampled_from([mlp_jax.relu, mlp_jax.tanh]), st.integers(0, 2**20))  # arguments of `case`
loss_names = st.sampled_from(sorted(LOSSES))


def assert_close(a, b, size):
    assert abs(a - b) <= 1e-12 * size


@law
@given(cases)
def test_jvp_and_vjp_are_adjoint(at):
    c = case(*at)
    Jv, JTu = c.of_logits["logits_jvp"], c.of_logits["logits_vjp"]
    assert_close(inner(Jv, c.u), inner(c.v, JTu), np.linalg.norm(Jv) * np.linalg.norm(c.u))


@law
@given(cases, loss_names, st.sampled_from(SYMMETRIC))
def test_curvature_is_symmetric(at, loss, name):
    c = case(*at)
    Mv, Mw = c.of[loss][name], c.along(c.w).of[loss][name]
    assert_close(inner(c.w, Mv), inner(c.v, Mw), (inner(c.w, c.w) * inner(Mv, Mv)) ** 0.5)


@law
@given(cases, loss_names, st.sampled_from(SYMMETRIC[1:]))
def test_gauss_newton_and_fisher_are_positive_semidefinite(at, loss, name):
    c = case(*at)
    Mv = c.of[loss][name]
    assert inner(c.v, Mv) >= -1e-12 * (inner(c.v, c.v) * inner(Mv, Mv)) ** 0.5


@law
@given(cases, loss_names, st.floats(-4, 4), st.floats(-4, 4))
def test_products_are_linear(at, loss, a, b):
    c = case(*at)
    of_v, of_w = c.of[loss], c.along(c.w, c.t).of[loss]
    of_sum = c.along(combined(a, c.v, b, c.w), combined(a, c.u, b, c.t)).of[loss]
    for name in LINEAR:
        off = combined(1, of_sum[name], -1, combined(a, of_v[name], b, of_w[name]))
        size = abs(a) * inner(of_v[name], of_v[name]) ** 0.5 + abs(b) * inner(of_w[name], of_w[name]) ** 0.5
        assert inner(off, off) ** 0.5 <= 1e-12 * size


# Identities.


@of_losses
def test_hessian_is_gauss_newton_and_the_curvature_of_the_logits(float64, loss):
    c = case(mlp_jax.tanh)
    p = c.problem(loss)

    @quick_jit
    def residual(params, x, targets, v):
        def logits(params):
            return mlp_jax.forward(params, x, c.activation)

        delta = jax.grad(loss)(logits(params), targets)
        return jax.jvp(jax.grad(lambda params: jnp.vdot(delta, logits(params))), (params,), (v,))[1]

    H, G = (c.of[loss.name][f"{name}_vector_product"] for name in ("hessian", "gauss_newton"))
    assert relative_error(H, G) > 0.01
    assert_agree(H, combined(1, G, 1, residual(*p[:3], c.v)))


@pytest.mark.slow
def test_hessian_is_gauss_newton_where_p_is_the_target(float64):
    p = problem(SIZES, BATCH)
    q = mlp_jax.softmax(mlp_jax.forward(p.params, p.x, p.activation))
    H, G = (
        jitted(name, derivatives, loss=p.loss)(p.params, p.x, q, direction(p.params), None) for name in SYMMETRIC[:2]
    )
    assert_agree(H, G, 1e-13)


@of_losses
def test_hessian_of_one_layer_is_gauss_newton(float64, loss):
    p = problem((4, 3), BATCH, loss=loss)
    H, G = (jitted(name, derivatives, loss=loss)(*p[:3], direction(p.params), None) for name in SYMMETRIC[:2])
    assert_agree(H, G, 1e-14)


def along_layer(c, layer):
    v = tuple(d if l == layer else jax.tree.map(np.zeros_like, d) for l, d in enumerate(c.v))
    return c.along(v)


@of_losses
@pytest.mark.parametrize("activation", quick({n: ACTIVATIONS[n] for n in ("relu", "leaky_relu", "identity")}, "relu"))
def test_hessian_and_gauss_newton_of_straight_pieces_differ_only_between_layers(activation, loss):
    for layer in range(len(SIZES) - 1):
        H, G = (along_layer(case(activation), layer).of[loss.name][name] for name in SYMMETRIC[:2])
        for other in range(len(SIZES) - 1):
            if other == layer:
                assert_agree(H[other], G[other], 1e-13)
            else:
                assert relative_error(H[other], G[other]) > 1e-3


@of_losses
def test_hessian_and_gauss_newton_of_tanh_differ_within_a_layer(loss):
    for layer in range(len(SIZES) - 2):
        H, G = (along_layer(case(mlp_jax.tanh), layer).of[loss.name][name] for name in SYMMETRIC[:2])
        assert relative_error(H[layer], G[layer]) > 1e-3


def test_fisher_is_gauss_newton_for_cross_entropy_alone():
    c = case(mlp_jax.tanh)
    F = c.of_logits["fisher_vector_product"]
    assert_agree(F, c.of["cross_entropy"]["gauss_newton_vector_product"], 1e-13)
    assert relative_error(c.of["squared_error"]["gauss_newton_vector_product"], F) > 0.1


def test_fisher_is_the_mean_of_the_scores_of_every_class(float64):
    c = case(mlp_jax.tanh)

    @quick_jit
    def log_p_and_score(params, x, y):
        return jax.value_and_grad(lambda params: mlp_jax.log_softmax(mlp_jax.forward(params, x, c.activation))[0, y])(
            params
        )

    expected = jax.tree.map(np.zeros_like, c.params)
    for i in range(BATCH):
        for y in range(SIZES[-1]):
            log_p, score = log_p_and_score(c.params, c.x[i : i + 1], y)
            expected = combined(1, expected, np.exp(log_p) * inner(score, c.v) / BATCH, score)
    assert_agree(jax.tree.map(np.asarray, c.of_logits["fisher_vector_product"]), expected)


def flat(jacobian):
    """(B, C, parameters)."""
    return np.concatenate([np.reshape(leaf, (BATCH, SIZES[-1], -1)) for leaf in jax.tree.leaves(jacobian)], axis=2)


def vector(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def test_jacobian_holds_the_products():
    c = case(mlp_jax.tanh)
    J = flat(c.of_logits["logits_jacobian"])
    Jv = J @ vector(c.v)
    assert_agree(Jv, np.asarray(c.of_logits["logits_jvp"]), 1e-13)
    assert_agree(np.einsum("bcp,bc->p", J, c.u), vector(c.of_logits["logits_vjp"]), 1e-13)
    G = vector(c.of["squared_error"]["gauss_newton_vector_product"])  # H_L = 2 / B
    assert_agree(np.einsum("bcp,bc->p", J, 2 * Jv / BATCH), G, 1e-13)


@of_losses
def test_per_example_gradients_have_the_gradient_as_mean_and_the_norms(loss):
    of = case(mlp_jax.tanh).of[loss.name]
    each = jax.tree.map(np.asarray, of["per_example_gradients"])
    assert_agree(
        jax.tree.map(lambda leaf: leaf.mean(axis=0), each),
        jax.tree.map(np.asarray, case(mlp_jax.tanh).gradient[loss.name]),
        1e-13,
    )
    norms = np.sqrt(sum((leaf.reshape(BATCH, -1) ** 2).sum(axis=1) for leaf in jax.tree.leaves(each)))
    assert_agree(np.asarray(of["per_example_gradient_norms"]), norms, 1e-13)


@of_losses
def test_input_gradient_is_the_chain_of_the_input_jacobian(loss):
    of = case(mlp_jax.tanh).of[loss.name]
    delta = np.asarray(of["per_example_gradients"][-1].bias) / BATCH  # of the last layer, d b = delta_L
    chain = np.einsum("bcd,bc->bd", of["logits_input_jacobian"], delta)
    assert_agree(np.asarray(of["input_gradient"]), chain, 1e-13)


# On paper.


def test_worked_on_paper():
    """One example, sizes 2-2-2, one unit off, squared error: every number is exact in binary."""
    params = (
        Layer(jnp.array([[1.0, 1.0], [1.0, -1.0]]), jnp.array([0.0, 0.5])),
        Layer(jnp.array([[1.0, 2.0], [1.0, 3.0]]), jnp.array([3.0, 0.0])),
    )  # z_1 = (3, -0.5), h_1 = (3, 0), z_2 = (6, 6)
    v = (
        Layer(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([1.0, 1.0])),
        Layer(jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.array([0.0, 1.0])),
    )
    x, t = jnp.array([[1.0, 2.0]]), jnp.array([[4.0, 5.0]])  # delta_2 = 2 (z_2 - t) = (4, 2)
    Jv, H, G = (
        jitted(name, derivatives, mlp_jax.relu, mlp_jax.squared_error)(params, x, t, v, None)
        for name in ("logits_jvp", *SYMMETRIC[:2])
    )
    # R{z_1} = x V_1 + c_1 = (2, 3), R{h_1} = (2, 0)
    np.testing.assert_array_equal(Jv, [[0 + 2 + 0, 3 + 4 + 1]])  # h_1 V_2 + R{h_1} W_2 + c_2
    # R{delta_2} = 2 R{z_2} = (4, 16)
    np.testing.assert_array_equal(H[1].weight, [[2 * 4 + 3 * 4, 2 * 2 + 3 * 16], [0, 0]])
    np.testing.assert_array_equal(H[1].bias, [4, 16])
    # R{delta_1} = ((4, 16) W_2^T + (4, 2) V_2^T) * (1, 0) = ((36, 52) + (2, 4)) * (1, 0) = (38, 0)
    np.testing.assert_array_equal(H[0].weight, [[38, 0], [2 * 38, 0]])
    np.testing.assert_array_equal(H[0].bias, [38, 0])
    # without the terms that hold a delta
    np.testing.assert_array_equal(G[1].weight, [[3 * 4, 3 * 16], [0, 0]])
    np.testing.assert_array_equal(G[1].bias, [4, 16])
    np.testing.assert_array_equal(G[0].weight, [[36, 0], [2 * 36, 0]])
    np.testing.assert_array_equal(G[0].bias, [36, 0])


# Targets and logits.


@pytest.mark.slow
@pytest.mark.parametrize("total", [1.0, 1.005])
def test_probabilities_as_targets(float64, total):
    p = problem((3, 4, 3), 5)
    q = total * jax.nn.softmax(jnp.cos(jnp.arange(15.0)).reshape(5, 3))
    by_hand, by_autodiff = (
        jitted("hessian_vector_product", m, loss=p.loss)(p.params, p.x, q, direction(p.params), None)
        for m in MODULES.values()
    )
    assert_agree(by_hand, by_autodiff)


@of_losses
@pytest.mark.parametrize("name", quick({name: name for name in SYMMETRIC[:2]}, "hessian_vector_product"))
def test_under_jit_a_bad_label_is_never_a_plausible_number(name, loss):
    p = problem((3, 2), 2, dtype=jnp.float32)
    product = jitted(name, derivatives, loss=loss)(*p[:2], jnp.array([0, 2]), direction(p.params), None)
    assert all(bool(jnp.isnan(leaf).all()) for leaf in jax.tree.leaves(product))


OF_NAN = ["logits_jvp", "logits_vjp", "logits_jacobian", "logits_input_jacobian", "hessian_vector_product"]


@pytest.mark.parametrize("name", quick({name: name for name in OF_NAN}, "logits_input_jacobian"))
def test_under_jit_nan_in_x_is_never_a_plausible_number(name):
    """relu'(NaN) is 0, and 0 times what comes from above would hide it."""
    p = problem((3, 4, 2), 2, dtype=jnp.float32)
    x = jnp.full_like(p.x, jnp.nan)
    run = jitted(name, derivatives, mlp_jax.relu, mlp_jax.cross_entropy)
    result = run(p.params, x, p.targets, direction(p.params), jnp.ones((2, 2)))
    last = result[-1] if isinstance(result, tuple) else result
    assert all(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(last))


def test_norms_of_gradients_whose_squares_are_below_the_least_float32():
    """At a lead of 50 delta is 2e-22, as the gradient itself is; its square is 0."""
    params, x, y = (Layer(jnp.zeros((1, 2)), jnp.array([50.0, 0.0])),), jnp.array([[1e-3], [3.0]]), jnp.array([0, 0])
    norms = derivatives.per_example_gradient_norms(params, x, y)
    each = derivatives.per_example_gradients(params, x, y)
    columns = np.concatenate([np.reshape(np.asarray(leaf, np.float64), (2, -1)) for leaf in jax.tree.leaves(each)], 1)
    np.testing.assert_allclose(np.asarray(norms, np.float64), np.linalg.norm(columns, axis=1), rtol=1e-6)
    assert 0 < norms[0] < norms[1] < 1e-20


def test_norm_of_a_gradient_that_is_zero():
    params = (Layer(jnp.zeros((1, 2)), jnp.zeros(2)),)
    norms = derivatives.per_example_gradient_norms(params, [[1.0]], [[0.0, 0.0]], loss=mlp_jax.squared_error)
    np.testing.assert_array_equal(norms, [0])


# Cost.


def flops(name, module, sizes, batch, activation, loss=mlp_jax.cross_entropy):
    params = jax.eval_shape(lambda key: mlp_jax.init_params(key, sizes, activation), jax.random.key(0))
    x, u = (jax.ShapeDtypeStruct((batch, width), jnp.float32) for width in (sizes[0], sizes[-1]))
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)
    program = jitted(name, module, activation, loss, jax.jit).lower(params, x, y, params, u).compile()
    return program.cost_analysis()["flops"]


def assert_costs_no_more(name, *network):
    by_hand, by_autodiff = (flops(name, module, *network) for module in MODULES.values())
    assert by_hand <= 1.05 * by_autodiff


COSTLY = ("hessian_vector_product", "per_example_gradient_norms")


@pytest.mark.parametrize("name", quick({name: name for name in DERIVATIVES}, *COSTLY))
def test_hand_takes_no_more_flops_than_autodiff(name):
    assert_costs_no_more(name, (784, 128, 10), 32, mlp_jax.relu)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [mlp_jax.activations.identity, mlp_jax.tanh], ids=["identity", "tanh"])
def test_hand_takes_no_more_flops_than_autodiff_with_other_activations(activation):
    constant = (
        {"logits_input_jacobian"} if activation is mlp_jax.activations.identity else set()
    )  # all of it is to mark NaN in x
    for name in set(DERIVATIVES) - constant:
        assert_costs_no_more(name, (64, 64, 64, 10), 32, activation)


@pytest.mark.slow
def test_per_example_norms_form_no_gradients():
    """The temporary memory that XLA plans for; nothing is run."""
    sizes, batch = (784, 512, 512, 10), 1024
    params = jax.eval_shape(lambda key: mlp_jax.init_params(key, sizes), jax.random.key(0))
    x, y = jax.ShapeDtypeStruct((batch, 784), jnp.float32), jax.ShapeDtypeStruct((batch,), jnp.int32)
    by_hand, by_autodiff = (
        jitted("per_example_gradient_norms", m, mlp_jax.relu, mlp_jax.cross_entropy, jax.jit)
        .lower(params, x, y, None, None)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for m in MODULES.values()
    )
    assert by_hand < by_autodiff / 10


# Broken derivatives are rejected.

H_V, G_V, F_V = SYMMETRIC
MUTATIONS = {  # what is wrong: the derivative, the correct text, which occurs once in the module, and the broken text
    "c_1 dropped": ("logits_jvp", "linear(tangent[0], trace.h[0])", "trace.h[0] @ tangent[0].weight"),
    "c_l dropped": ("logits_jvp", "linear(direction, h) + R_h", "h @ direction.weight + R_h"),
    "h V dropped": ("logits_jvp", "linear(direction, h) + R_h[-1] @ W", "direction.bias[None, :] + R_h[-1] @ W"),
    "R{h} W dropped": ("logits_jvp", "linear(direction, h) + R_h[-1] @ W", "linear(direction, h)"),
    "phi' dropped from R{h}": ("logits_jvp", "R_h.append(derivative * R_z[-1])", "R_h.append(R_z[-1])"),
    "mean for sum": ("logits_vjp", "cotangent + _nan_or_0(x)", "cotangent / len(x) + _nan_or_0(x)"),
    "gradients of all logits below k": (
        "logits_jacobian",
        "deltas = backward(params, trace, jnp.eye(logits.size,",
        "deltas = backward(params, trace, jnp.tri(logits.size,",
    ),
    "weight's gradient for example 1": (
        "logits_jacobian", "Layer(h[:, :, None] * d[:, None, :], d)", "Layer(h[:, :, None] * d[:1, None, :], d)"
    ),
    "input Jacobian transposed": (
        "logits_input_jacobian",
        "return _input_gradients(params, trace, jnp.eye(logits.size, dtype=logits.dtype))",
        "return _input_gradients(params, trace, jnp.eye(logits.size, dtype=logits.dtype)).T",
    ),
    "tangents not transposed": (
        "logits_input_jacobian",
        "x.size < logits.size:\n            return _input_tangents(params, trace, jnp.eye(x.size, dtype=x.dtype)).T",
        "True:\n            return _input_tangents(params, trace, jnp.eye(x.size, dtype=x.dtype))",
    ),
    "phi' dropped from the tangents": (
        "logits_input_jacobian",
        "x.size < logits.size:\n            return _input_tangents(params, trace, jnp.eye(x.size, dtype=x.dtype)).T",
        "True:\n            return _input_tangents(params, trace._replace(derivative=(1.0, 1.0)), jnp.eye(x.size)).T",
    ),
    "sign": ("softmax_jacobian", "None], -p[..., None, :])", "None], p[..., None, :])"),
    "p_j for p_j (1 - p_j)": ("softmax_jacobian", "jnp.matmul(p, 1 - identity, ", "jnp.matmul(p, identity * 0 + 1, "),
    "the sum over the batch": (
        "input_gradient",
        "_input_gradients(params, trace, loss.logits",
        "_input_gradients(params, trace, len(x) * loss.logits",
    ),
    "gradient of the mean": (
        "per_example_gradients",
        "_example_gradients(trace, backward(params, trace, x.shape[0] * loss",
        "_example_gradients(trace, backward(params, trace, loss",
    ),
    "norms of the mean's": (
        "per_example_gradient_norms",
        "deltas = backward(params, trace, x.shape[0] * loss",
        "deltas = backward(params, trace, loss",
    ),
    "norm without biases": ("per_example_gradient_norms", "(_squares(h) + 1)", "_squares(h)"),
    "squared norm": ("per_example_gradient_norms", "jnp.sqrt(squares)", "squares"),
    "norm of scaled deltas": ("per_example_gradient_norms", "scale[:, 0] * jnp.sqrt", "jnp.sqrt"),
    "delta V^T dropped": (H_V, " + linear_backward(V, delta)", ""),
    "phi'' dropped": (H_V, "if second_derivative is not jnp.zeros_like:", "if False:"),
    "R{h} for R{z} with phi''": (H_V, "(trace.z[l]) * R_z[l]", "(trace.z[l]) * R_h[l]"),
    "R{d h} for d h with phi''": (H_V, "* R_z[l], dh)", "* R_z[l], R_dh)"),
    "R{h}^T delta dropped": (H_V, "R_h[l].T @ delta + trace.h[l + 1].T @ R_delta", "trace.h[l + 1].T @ R_delta"),
    "h^T R{delta} dropped": (H_V, "R_h[l].T @ delta + trace.h[l + 1].T @ R_delta", "R_h[l].T @ delta"),
    "delta for R{delta} of a bias": (H_V, "R_delta.sum(axis=0)", "delta.sum(axis=0)"),
    "phi' dropped from delta": (H_V, "delta = activation_backward(trace.derivative[l], dh)", "delta = dh"),
    "H_L dropped": (G_V, "H_L(logits, targets, R_z[-1])))", "R_z[-1]))"),
    "1 / B dropped": (F_V, "R_z[-1]) / x.shape[0]))", "R_z[-1])))"),
    "scores not centred": (F_V, "softmax_jvp.room(logits, R_z[-1])", "softmax.room(logits) * R_z[-1]"),
}  # fmt: skip


def module_with(correct, broken):
    """The module of derivatives with another text in one place."""
    source = Path(_by_hand.__file__).read_text(encoding="utf-8")
    assert source.count(correct) == 1
    module = types.ModuleType("broken_derivatives")
    exec(compile(source.replace(correct, broken), module.__name__, "exec"), vars(module))
    return module


TRIED = ("c_l dropped", "delta V^T dropped", "phi'' dropped", "norm without biases", "1 / B dropped", "sign")


@pytest.mark.parametrize(("name", "correct", "broken"), quick(MUTATIONS, *TRIED))
def test_broken_derivative_is_rejected(float64, name, correct, broken):
    c = case(mlp_jax.tanh)
    p = c.problem(mlp_jax.squared_error)
    wrong = jitted(name, module_with(correct, broken))(*p[:3], c.v, c.u)
    with pytest.raises(AssertionError):
        assert_agree(wrong, c.by_autodiff["squared_error"][name])


def test_every_derivative_has_a_broken_one():
    assert {name for name, _, _ in MUTATIONS.values()} == set(DERIVATIVES)


def test_the_module_that_is_broken_is_right_when_whole(float64):
    c = case(mlp_jax.tanh)
    whole = jitted("logits_jvp", module_with("import jax\n", "import jax\n"))(
        *c.problem(mlp_jax.squared_error)[:3], c.v, c.u
    )
    assert_agree(whole, c.by_autodiff["squared_error"]["logits_jvp"])
