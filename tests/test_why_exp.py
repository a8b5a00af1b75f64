"""Why exp: normalisers against closed forms and jax.grad, and claims that fall if a number is wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from latex2mathml import converter
from matplotlib import pyplot
from scipy import special

import mlp_jax
from experiments import why_exp
from experiments.frame import claims, plots
from experiments.frame.numbers import Numbers, measured
from experiments.why_exp import in_practice, laws, normalisers, origins, price
from experiments.why_exp.normalisers import NORMALISERS


def verdicts(module, n):
    return {one.name: one.verdict for one in claims.all_judged(module, n)}


def changed(n, name, change):
    """The numbers with another array of this name."""
    return dataclasses.replace(n, arrays={**n.arrays, name: change(n[name].copy())})


@pytest.mark.parametrize("module", why_exp.MEASUREMENTS)
def test_formulas_can_be_shown(module):
    assert "<math" in converter.convert(module.FORMULA)


# ---- normalisers


SCORES = {
    "exp": np.exp,
    "square": lambda z: z**2 + 1e-6,
    "taylor": lambda z: 1 + z + z**2 / 2,
    "softplus": lambda z: np.log1p(np.exp(z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "stablemax": lambda z: np.where(z >= 0, 1 + z, 1 / (1 - np.minimum(z, 0))),
}


@pytest.mark.parametrize("name", SCORES)
def test_probabilities_are_shares_of_scores(name, float64):
    z = np.array([0.5, -2.0, 3.0, 0.1])
    s = SCORES[name](z)
    np.testing.assert_allclose(NORMALISERS[name].probabilities(jnp.asarray(z)), s / s.sum(), rtol=1e-13)


def by_sorting(z):
    """The projection as in Martins & Astudillo (2016), algorithm 1."""
    falling = np.sort(z)[::-1]
    k = 1 + np.arange(len(z))
    size = k[1 + k * falling > np.cumsum(falling)].max()
    return np.maximum(z - (falling[:size].sum() - 1) / size, 0)


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
def test_sparsemax_is_the_projection_by_sorting(scale, float64):
    z = scale * np.random.default_rng(0).standard_normal((20, 7))
    np.testing.assert_allclose(normalisers.sparsemax(jnp.asarray(z)), [by_sorting(row) for row in z], atol=1e-14)


def test_sparsemax_loss_is_0_at_a_margin_of_1(float64):
    loss = NORMALISERS["sparsemax"].loss
    for z, expected in (([2.0, 1.0, 0.0], 0.0), ([1.5, 1.0, -9.0], 0.0625)):  # tau 0.75: (1.5^2 + 1 - 2 tau^2) / 2 - 1
        assert float(loss(jnp.array([z]), jnp.zeros(1, int))) == pytest.approx(expected, abs=1e-15)


def test_sparsemax_counts_ties_and_far_logits():
    np.testing.assert_allclose(normalisers.sparsemax(jnp.array([5.0, 5.0, 1e8])), [0, 0, 1])
    np.testing.assert_allclose(normalisers.sparsemax(jnp.array([5.0, 5.0, 5.0])), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("z", [-1e3, -87.0, -30.0, -29.9, 0.0, 40.0, 1e6])
def test_softplus_scores_keep_their_digits_far_out(z):
    with mpmath.workdps(500):
        expected = float(mpmath.log(mpmath.log1p(mpmath.exp(mpmath.mpf(float(np.float32(z)))))))
    assert float(normalisers._log_softplus(jnp.float32(z))) == pytest.approx(expected, rel=1e-6)
    slope = special.expit(z) / np.logaddexp(0, z) if z > -600 else 1
    assert float(normalisers._log_softplus_slope(jnp.float32(z))) == pytest.approx(slope, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMALISERS)
def test_hand_derived_gradient_is_the_gradient(name, float64):
    z, labels = 3 * np.random.default_rng(0).standard_normal((8, 5)), np.arange(8) % 5
    loss = NORMALISERS[name].loss
    by_hand, by_autodiff = jax.jit(lambda z: (loss.logits_gradient(z, labels), jax.grad(loss.value)(z, labels)))(z)
    np.testing.assert_allclose(by_hand, by_autodiff, atol=1e-13, rtol=1e-12)


# ---- laws


BROKEN = {
    "exp": [],
    "square": ["order", "shift", "convex", "bounded", "gradient"],
    "taylor": ["order", "shift", "convex", "gradient"],
    "softplus": ["shift", "convex", "gradient"],
    "sigmoid": ["shift", "convex", "gradient"],
    "sparsemax": ["positive", "independence"],
    "stablemax": ["shift", "convex", "gradient"],
}


@pytest.mark.slow
def test_laws_hold_for_exp_alone():
    n = measured(laws, laws.Config(draws=20))
    for name, size in zip(n["normaliser"], n["size"], strict=True):
        assert list(n["law"][size > laws.ROUNDING]) == BROKEN[name], name
    assert set(verdicts(laws, n).values()) == {"holds"}


def sizes():
    """Numbers by which each law is broken by 0.5."""
    size = [[0.5 * (law in broken) for law in laws.LAWS] for broken in BROKEN.values()]
    arrays = {"normaliser": list(BROKEN), "law": list(laws.LAWS), "size": size}
    return Numbers({name: np.array(array) for name, array in arrays.items()}, laws.FULL)


@pytest.mark.parametrize(
    "row, law, size, falls",
    [
        (0, "positive", 0.0, set()),
        (0, "gradient", 1e-3, {"laws_of_exp"}),
        (5, "independence", 0.0, set()),
        (5, slice(None), 0.0, {"laws_of_others", "sparsemax_breaks_positive"}),
        (2, "order", 0.01, {"breaks_order_taylor"}),
        (6, "shift", 0.0, {"breaks_shift_stablemax"}),
    ],
)
def test_claims_of_laws_can_fall(row, law, size, falls):
    n = sizes()
    column = law if isinstance(law, slice) else n.at(law=law)
    n["size"][row, column] = size
    found = verdicts(laws, n)
    assert {name for name, verdict in found.items() if verdict != "holds"} == falls


# ---- origins


def test_chosen_is_softmax_for_gumbel_noise():
    z = (1.0, 0.0, -0.5)
    P = origins.chosen(lambda x: np.exp(-x - np.exp(-x)), lambda x: np.exp(-np.exp(-x)), z)
    np.testing.assert_allclose(P, special.softmax(z), rtol=1e-12)


@pytest.mark.parametrize("m", [0.2, 1.0, 1.9])
def test_highest_entropy_is_exp_of_a_multiple(m):
    z = np.array([0.0, 1.0, 2.0])
    p = origins.most_entropy(z, m)
    np.testing.assert_allclose([p.sum(), p @ z, p[0] * p[2] / p[1] ** 2], [1, m, 1], rtol=1e-12)  # a geometric row
    np.testing.assert_allclose(origins.exp_with_mean(z, m), p, rtol=1e-12)


@pytest.fixture(scope="module")
def choices():
    return measured(origins, origins.Config(draws=20_000, third=(-1.0, 0.0, 1.0), problems=2), seed=1)


def test_claims_of_origins_hold(choices):
    assert set(verdicts(origins, choices).values()) == {"holds"}


@pytest.mark.parametrize(
    "name, change, falls",
    [
        ("share", lambda share: share + 0.02, {"Gumbel"}),
        ("two", lambda P: P * [1.0001, 1], {"Gumbel_odds", "Gaussian_odds_without"}),
        ("three", lambda P: P[::-1], {"Gumbel_odds", "Gaussian_odds_with", "draws"}),
        ("drawn", lambda P: P * [1.2, 1, 1], {"draws"}),
        ("exp", lambda p: p + 1e-9, {"entropy"}),
    ],
)
def test_claims_of_origins_can_fall(choices, name, change, falls):
    found = verdicts(origins, changed(choices, name, change))
    assert {name for name, verdict in found.items() if verdict != "holds"} == falls


# ---- in practice


def test_scores_of_known_predictions():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0], [0.6, 0.4]])
    log_loss, error, calibration = in_practice.scores(in_practice.FULL, p, np.array([0, 1, 1, 1]))
    assert error == 0.5
    assert log_loss == pytest.approx(-np.mean(np.log([0.9, 0.8, 1e-6, 0.4])))
    # 15 bins: 0.9 and 0.8, 1.0 and 0.6 are in bins of their own
    assert calibration == pytest.approx((0.1 + 0.2 + 1.0 + 0.6) / 4)


def test_calibration_error_is_small_if_confidence_is_right():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 200_000)
    right = rng.random(200_000) < confidence
    assert in_practice.calibration_error(confidence, right, 15) < 0.01
    assert in_practice.calibration_error(confidence, rng.random(200_000) < confidence**2, 15) > 0.1


def scores_where_exp_scores(exp, spread=0.01):
    """Four seeds at three rates; at the second rate all score 1, but exp; the first is worse, the third diverges."""
    test = np.full((3, 4, len(NORMALISERS), 3), 1.0)
    test[..., 0] += 1
    test[:, :, 0, 1] = exp + spread * np.arange(-1.5, 2)
    validation = test.copy()
    validation[:, 0, :, 2] = np.nan
    arrays = {
        f"{data} {split}": of for data in in_practice.DATA for split, of in (("validation", validation), ("test", test))
    }
    return Numbers(
        {"metric": np.array(in_practice.METRICS), "normaliser": np.array(list(NORMALISERS)), **arrays}, in_practice.FULL
    )


@pytest.mark.parametrize(
    "exp, spread, rivals, taylor",
    [
        (0.9, 0.01, "holds", "does not hold"),
        (1.1, 0.01, "does not hold", "holds"),
        (1.1, 0.2, "not decided", "not decided"),
    ],
)
def test_claims_in_practice_follow_the_differences_at_the_best_rate(exp, spread, rivals, taylor):
    n = scores_where_exp_scores(exp, spread)
    assert in_practice.less_exp(n, "digits", "error", "error")["taylor"].value == pytest.approx(1 - exp)
    for name, verdict in verdicts(in_practice, n).items():
        assert verdict == (taylor if name.startswith("taylor") else rivals), name


def test_what_a_quick_run_leaves_out_is_not_run():
    n = measured(in_practice, in_practice.QUICK)
    assert {one.verdict for one in claims.all_judged(in_practice, n)} == {"not run"}
    assert plots.drawn(in_practice, n) is None


@pytest.mark.slow
def test_networks_are_trained_with_every_normaliser():
    config = in_practice.Config({"digits": ()}, {"digits": 20}, seeds=2, rates=(1e-2,), batch=1259)
    n = measured(in_practice, config)
    assert n["digits test"].shape == (3, 2, len(NORMALISERS), 1)
    assert np.all(n["digits test"][n.at(metric="error")] < 0.5) and n.missing.keys() == {
        "MNIST-1D validation",
        "MNIST-1D test",
    }
    assert len(np.unique(n["digits test"][0, 0])) == len(NORMALISERS), "each has its own loss"


@pytest.mark.slow
def test_the_chosen_loss_is_the_ith():
    rng = np.random.default_rng(0)
    params = (mlp_jax.Layer(rng.standard_normal((3, 5), np.float32), np.zeros(5, np.float32)),)
    x, labels = rng.standard_normal((6, 3), np.float32), np.arange(6) % 5
    rest = params, x, labels, mlp_jax.relu
    by_hand = jax.jit(lambda i: in_practice._gradient_of(i, *rest, mlp_jax.cross_entropy))
    by_autodiff = jax.jit(lambda: [mlp_jax.autodiff(*rest, normaliser.loss) for normaliser in NORMALISERS.values()])
    for i, expected in enumerate(by_autodiff()):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), by_hand(i), expected)


# ---- price


def test_truth_is_minus_what_the_others_have():
    np.testing.assert_allclose(
        price.truth(np.array([[0, 0], [40, 0]], np.float32)), [-0.5, -4.248354255291589e-18], rtol=1e-15
    )
    z = np.random.default_rng(0).uniform(-40, 40, (20, 9)).astype(np.float32)
    with mpmath.workdps(50):
        S = [mpmath.fsum(mpmath.exp(mpmath.mpf(float(rival)) - float(row[0])) for rival in row[1:]) for row in z]
        expected = [float(-s / (1 + s)) for s in S]
    np.testing.assert_allclose(price.truth(z), expected, rtol=1e-15)


@pytest.mark.parametrize("z", [[[0, 0]], [[3, 1, -2, 0]]])
def test_numpy_formulas_are_right_at_small_gaps(z):
    z = np.array(z, np.float32)
    for formula in price.IN_NUMPY.values():
        assert formula(z) == pytest.approx(price.truth(z)[0], rel=1e-6)


@pytest.mark.slow
def test_claims_of_price_hold():
    found = claims.all_judged(price, measured(price, price.Config(gaps=11)))
    assert {one.verdict for one in found} == {"holds"}
    for one in found:  # what other libraries do may change with their versions
        assert one.must != one.name.startswith(("gap_jax", "gap_optax")), one.name


def prices():
    """Numbers by which every claim of the price holds."""
    zero = [np.full(3, price.LEAST)] + 3 * [price.LEAST + np.log(np.array(price.CLASSES) - 1)] + [np.full(3, 87.3)]
    arrays = {
        "classes": price.CLASSES,
        "formula": price.FORMULAS,
        "zero": zero,
        "gap": np.linspace(0, 90, 7),
        "gradient": -np.ones((5, 7)),
        "by": ["by hand", "by jax.grad"],
        "error": np.full((2, 3, 4), 0.5),
        "JAX #40384": [[5.551115123125776e-17], [0]],
        "scipy #18295": [[4.248354255291589e-18], [0]],
        "PyTorch #113708": [[price.loss(price.LOST)], [0]],
        "PyTorch #11752": [4 * [price.loss(0)], [0, 0.7, 0.7, 0.7]],
        "MLX #4188": [3 * [price.loss(3)], [0.06, 0.05, 0.05]],
    }
    return Numbers({name: np.array(array) for name, array in arrays.items()}, price.FULL)


def test_claims_of_price_follow_the_numbers():
    n = prices()
    assert set(verdicts(price, n).values()) == {"holds"}
    usual = {name: array[::-1] for name, array in n.arrays.items() if "#" in name}
    wrong = {"zero": n["zero"] + [[1e-4], [-1e-4], [1e-4], [-20], [-60]], "error": n["error"] + 1}
    found = verdicts(price, dataclasses.replace(n, arrays={**n.arrays, **usual, **wrong}))
    assert set(found.values()) == {"does not hold"}


# ---- pictures


@pytest.mark.parametrize("module, n", [(laws, sizes()), (in_practice, scores_where_exp_scores(0.9)), (price, prices())])
def test_pictures_are_drawn_from_numbers(module, n):
    pyplot.close(plots.drawn(module, n))


def test_odds_are_drawn_from_numbers(choices):
    pyplot.close(plots.drawn(origins, choices))
