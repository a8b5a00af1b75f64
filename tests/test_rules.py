"""People's rules get the verdict that is the truth, and a right rule with a mistake is caught.

The whole tables run by `python tests/rules.py` and `python tests/mutations.py`; here is a fixed sample.
"""

import json

import jax
import jax.numpy as jnp
import mutations
import numpy as np
import optax
import pytest
from rules import CASES, vjp_rule

import mlp_jax
from experiments.why_gradient_checks.right_rules import runs
from mlp_jax import check_custom_vjp
from mlp_jax.check._rules.finite_differences import float64_on_cpu
from mlp_jax.check._rules.jaxpr_interpreter import has_iteration, iterated_longer, stopped_at
from mlp_jax.check._rules.low_precision import GRADIENT_MISTAKES, seen
from mlp_jax.check._rules.mixtures import mixture
from mlp_jax.check._rules.samples import on_their_own

QUICK = {
    "log1p_over_x_at_zero",
    "second_derivative_of_cubic_inverse",
    "simulator_rounds_to_three_digits",
    "prelu_beside_ninety_zeros",
    "exp_where_it_overflows",
    "complex_field_beside_a_real_gain",
    "clips_each_entry_of_the_cotangent",
    "largest_modulus_at_a_tie",
    "length_in_half_precision",
    "rule_raises_with_long_advice",
}
SLOW = {  # a kind each; the rest runs by hand
    "michaelis_menten_sign",
    "log_softmax_along_axis_zero",
    "vmapped_rule_on_numpy",
    "slope_of_1e260",
    "closes_over_numpy_times",
    "cube_root_by_loose_iteration",
    "array_in_nondiff_argnums",
    "bessel_at_zero",
    "every_convention_of_relu",
    "complex_square_conjugated",
    "residual_that_stops_the_gradient",
    "fixed_point_of_forty_turns",
    "jvp_rule_inside_of_a_while_loop",
    "straight_through_by_stop_gradient",
    "top_two_with_a_tie",
    "total_variation_of_a_flat_signal",
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES if n in QUICK | SLOW]
)
def test_people_s_rules(name):
    problem = CASES[name].problem()
    assert not problem, problem


def test_the_table_has_what_the_sample_names():
    assert set(CASES) >= QUICK | SLOW
    assert len(CASES) >= 80


SAMPLE = [  # rule, mistake, dtype
    ("sine", None, "float64"),
    ("layer_norm", None, "bfloat16"),
    ("attention", "one percent off", "float64"),
    ("solve", "sign", "float32"),
    ("maximum_of_rows", "shifted by one", "bfloat16"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, mistake, dtype", SAMPLE, ids=lambda v: str(v))
def test_mutations(name, mistake, dtype):
    assert mutations.verdict(name, mistake, dtype) == ("right" if mistake is None else "wrong")


def test_the_record_of_all_mutations():
    record = json.loads(mutations.RECORD.read_text(encoding="utf-8"))
    assert set(record["table"]) == set(mutations.DTYPES)
    for dtype, of_dtype in record["table"].items():
        assert set(of_dtype) == set(mutations.RULES)
        assert all(set(row) <= {"none", *GRADIENT_MISTAKES} and len(row) > 8 for row in of_dtype.values())
        found = mutations.counts(of_dtype)
        assert found == record["counts"][dtype]
        assert (found["missed"], found["undecided"], found["false alarms"]) == (0, 0, 0)
        seen_right = {name for name, row in of_dtype.items() if row["none"] == "right"}
        assert seen_right == {name for name in mutations.RULES if runs(name, dtype)}
        assert found["caught"] >= 11 * len(mutations.RULES)
    drawn = [mutations.drawn(k) for k in range(len(record["draws"]))]
    assert len(drawn) >= 300
    assert record["draws"] == ["right" if runs(name, dtype) else "undecided" for name, dtype in drawn]


def test_counts_of_mutations():
    found = {"a": {"none": "right", "sign": "wrong", "twice": "right"}, "b": {"none": "wrong", "sign": "undecided"}}
    assert mutations.counts(found) == {"caught": 1, "undecided": 1, "missed": 1, "right": 1, "false alarms": 1}


@pytest.mark.parametrize("mistake", GRADIENT_MISTAKES)
def test_a_mistake_is_one_and_a_tolerance_may_hide_it(mistake):
    gradient = [np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]])]
    wrong = np.asarray(GRADIENT_MISTAKES[mistake](gradient)[0], float)
    assert wrong.shape == gradient[0].shape and np.linalg.norm(wrong - gradient[0]) > 1e-3
    assert seen(gradient, [0.0]) == (12, 12)
    assert seen(gradient, [100.0]) == (0, 12)


HULLS = {  # target, samples, verdict
    "a mixture": ([0.25, 0.75], [[1, 0], [0, 1]], "right"),
    "both": ([1.0, 1.0], [[1, 0], [0, 1]], "wrong"),
    "one entry outside": ([1.1], [[0.0], [1.0]], "wrong"),
    "a little outside, of several": ([1.1, 1.1], [[0, 0], [1, 1], [1, 0], [0, 1]], "undecided"),
}


@pytest.mark.parametrize("name", HULLS)
def test_mixtures(name):
    target, samples, verdict = HULLS[name]
    target, samples = np.array(target), np.array(samples, float)
    assert mixture(target, samples, lambda v: [], np.full(len(target), 1e-6)).verdict == verdict


def test_a_mixture_asks_for_samples_where_they_help():
    corners = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    sides = lambda v: [np.where(v > 0, 1.0, 0.0), np.where(v > 0, 0.0, 1.0)]  # of three relus
    assert mixture(np.array([1.0, 0.0, 0.3]), corners, sides, np.full(3, 1e-6)).verdict == "right"


def test_only_entries_that_jump_by_their_own_move_are_on_their_own():
    rng = np.random.default_rng(0)
    sides = rng.choice([-1, 1], (30, 4))
    relu, tied = sides[:, 0] > 0, rng.random(30) > 0.5
    samples = np.stack([relu, tied, ~tied, np.ones(30)], axis=1).astype(float)
    low, high, alone = on_their_own(sides, samples)
    assert alone.tolist() == [True, False, False, True]
    assert (low[0], high[0]) == (0, 1)


def test_more_turns_of_a_loop():
    newton = lambda a: jax.lax.fori_loop(0, 3, lambda _, x: (x + a / x) / 2, a)
    along = lambda a: jax.lax.scan(lambda s, x: (s + a * x, None), 0.0, jnp.ones(3))[0]
    with float64_on_cpu():
        assert has_iteration(jax.make_jaxpr(newton)(2.0).jaxpr) and not has_iteration(jax.make_jaxpr(along)(2.0).jaxpr)
        values = [float(iterated_longer(newton, turns)(2.0)) for turns in (0, 1, 2)]
        assert np.diff(np.abs(np.array(values) - 2**0.5)).max() < 0
        assert float(iterated_longer(along, 2)(2.0)) == 6.0


def test_what_is_stopped_is_kept():
    f = lambda x: x * jax.lax.stop_gradient(x)
    assert float(stopped_at(f, 3.0)(5.0)) == 15.0


def test_a_check_leaves_jax_as_it_was():
    """A float64 constant of numpy is traced in 64 bits by the check, and in 32 bits before and after."""
    t = np.linspace(0.5, 2.0, 4)
    f = lambda p: jnp.sum(jnp.log1p(p[0] * t) - p[1] * t)
    p = np.array([1.5, 0.2])
    before = jax.grad(f)(p)
    assert check_custom_vjp(f, p)
    np.testing.assert_array_equal(jax.grad(f)(p), before)


def test_a_kernel_of_pallas_in_interpret_mode():
    from jax.experimental import pallas as pl

    def doubled(x_ref, o_ref):
        o_ref[...] = 2 * x_ref[...] ** 2

    def f(x):
        return pl.pallas_call(doubled, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype), interpret=True)(x)

    x = jnp.asarray([0.5, -1.0, 2.0], jnp.float32)
    assert check_custom_vjp(vjp_rule(f, lambda r, c: (4 * c * r[0],)), x)
    assert check_custom_vjp(vjp_rule(f, lambda r, c: (2 * c * r[0],)), x).verdict.startswith("wrong")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"tolerance": 0.0}, "tolerance: expected a finite number above 0"),
        ({"order": 3}, "order: expected"),
        ({"dtype": "float8"}, "dtype"),
        ({"dtype": "int32"}, "dtype: expected"),
    ],
    ids=["tolerance", "order", "float8", "int32"],
)
def test_bad_options(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        check_custom_vjp(jnp.sin, np.ones(2), **options)


OPTIMIZERS = {
    "sam": optax.contrib.sam(optax.sgd(0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.05))),
    "sam, opaque": optax.contrib.sam(
        optax.sgd(0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.05)), opaque_mode=True
    ),
    "several steps": optax.MultiSteps(optax.sgd(0.1), 2).gradient_transformation(),
}
LINE = np.linspace(-1, 1, 8)[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_that_ask_for_more(name):
    params = mlp_jax.init_params(jax.random.key(0), (1, 1))
    result = mlp_jax.train(
        jax.random.key(1), params, (LINE, 2 * LINE), optimizer=OPTIMIZERS[name], epochs=40, loss=mlp_jax.squared_error
    )
    assert float(result.history.train_loss[-1]) < 0.1 * float(result.history.train_loss[0])


def test_multi_steps_gets_its_cure():
    params = mlp_jax.init_params(jax.random.key(0), (1, 1))
    with pytest.raises(TypeError, match=r"call its .gradient_transformation\(\)"):
        mlp_jax.train(jax.random.key(1), params, (LINE, LINE), optimizer=optax.MultiSteps(optax.sgd(0.1), 2), epochs=1)
