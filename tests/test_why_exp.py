"""Why exp: normalisers against closed forms and jax.grad, and claims that fall where something wrong is put in."""

import dataclasses

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from latex2mathml import converter
from scipy import special

import mlp_jax
from experiments import why_exp
from experiments.why_exp import in_practice, laws, normalisers, origins, price
from experiments.why_exp.normalisers import NORMALISERS


def verdicts(claims):
    return {claim.name: claim.verdict for claim in claims}


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
    z = 3 * jax.random.normal(jax.random.key(0), (8, 5), float)
    labels = jnp.arange(8) % 5
    loss = NORMALISERS[name].loss
    np.testing.assert_allclose(loss.logits_gradient(z, labels), jax.grad(loss.value)(z, labels), atol=1e-13, rtol=1e-12)


# ---- laws


SMALL = laws.Config(draws=20)


@pytest.fixture(scope="module")
def sizes():
    return laws.measure(SMALL, jax.random.key(0), lambda share: None).data["sizes"]


@pytest.mark.slow
def test_laws_hold_for_exp_alone(sizes):
    kept = {name: [law for law, size in row.items() if size <= laws.ROUNDING] for name, row in sizes.items()}
    assert kept == {
        "exp": list(laws.LAWS),
        "square": ["positive", "independence"],
        "taylor": ["positive", "independence", "bounded"],
        "softplus": ["positive", "order", "independence", "bounded"],
        "sigmoid": ["positive", "order", "independence", "bounded"],
        "sparsemax": ["order", "shift", "convex", "bounded", "gradient"],
        "stablemax": ["positive", "order", "independence", "bounded"],
    }
    assert set(verdicts(laws.claims(SMALL, sizes)).values()) == {"holds"}


@pytest.mark.slow
def test_an_exp_with_a_wrong_gradient_loses_its_claim(monkeypatch):
    exp = NORMALISERS["exp"]
    wrong = mlp_jax.Loss(exp.loss.value, lambda z, labels: 0.999 * exp.loss.logits_gradient(z, labels))
    table = NORMALISERS | {"exp": dataclasses.replace(exp, loss=wrong)}
    monkeypatch.setattr(laws, "NORMALISERS", {name: table[name] for name in ("exp", *laws.BROKEN)})
    claims = laws.measure(SMALL, jax.random.key(0), lambda share: None).claims
    assert verdicts(claims)["laws of exp"] == "does not hold"
    assert claims[0].measured == 6 and claims[0].exact


def test_a_second_normaliser_with_all_laws_would_be_seen():
    row = dict.fromkeys(laws.LAWS, 0.0)
    made = verdicts(laws.claims(SMALL, dict.fromkeys(("exp", *laws.BROKEN), row)))
    assert made.pop("laws of exp") == "holds"
    assert set(made.values()) == {"does not hold"}


@pytest.mark.parametrize("size, text", [(0.123, ".12"), (0.999, "1.0"), (998.7, "999"), (2.4e6, "2e6")])
def test_sizes_are_shown_in_few_letters(size, text):
    assert laws.shown(size) == text


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


TINY = origins.Config(draws=20_000, third=(0.0,), problems=2)


@pytest.mark.parametrize(
    "broken, wrong",
    [
        (None, None),
        ("Gumbel", ("drawn", lambda draw, z, draws: special.softmax(1.1 * np.array(z)))),
        ("Gumbel odds", ("chosen", lambda f, F, z: special.softmax(1.0001 * np.array(z)))),
        ("Gaussian odds with", ("chosen", lambda f, F, z: special.softmax(np.array(z)))),
        ("entropy", ("exp_with_mean", lambda z, m: special.softmax(z))),
    ],
)
def test_claims_of_origins_can_fall(monkeypatch, broken, wrong):
    if wrong is not None:
        monkeypatch.setattr(origins, *wrong)
    made = verdicts(origins.measure(TINY, jax.random.key(1), lambda share: None).claims)
    assert (made[broken] == "does not hold") if broken else set(made.values()) == {"holds"}


# ---- in practice


def test_scores_of_known_predictions():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0], [0.6, 0.4]])
    found = in_practice.scores(in_practice.QUICK, p, np.array([0, 1, 1, 1]))
    assert found["error"] == 0.5
    assert found["log-loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 1e-6, 0.4])))
    # 15 bins: 0.9 and 0.8, 1.0 and 0.6 are in bins of their own
    assert found["calibration"] == pytest.approx((0.1 + 0.2 + 1.0 + 0.6) / 4)


def test_calibration_error_is_small_where_confidence_is_right():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 200_000)
    right = rng.random(200_000) < confidence
    assert in_practice.calibration_error(confidence, right, 15) < 0.01
    assert in_practice.calibration_error(confidence, rng.random(200_000) < confidence**2, 15) > 0.1


def results_where_exp_scores(exp):
    """Four seeds at three rates; at the second rate all score 1, but exp; the third diverges."""
    scored = np.full((4, len(NORMALISERS), 3), 1.0) + 0.01 * np.arange(4)[:, None, None]
    scored[:, :, 0] += 1
    scored[:, 0, 1] += exp - 1
    rule = scored.copy()
    rule[0, :, 2] = np.nan
    on_test = dict.fromkeys(in_practice.METRICS, scored)
    return in_practice.chosen(in_practice.FULL, rule, on_test)


@pytest.mark.parametrize("exp, wins", [(0.9, True), (1.1, False)])
def test_claims_in_practice_follow_the_differences(exp, wins):
    result = results_where_exp_scores(exp)
    assert set(result["rates"].values()) == {3e-3}
    assert result["differences"]["error"]["taylor"][0] == pytest.approx(1 - exp)
    made = in_practice.claims(in_practice.FULL, {"digits": dict.fromkeys(in_practice.RULES, result)})
    assert verdicts(made)["digits log-loss"] == ("holds" if wins else "does not hold")
    assert verdicts(made)["digits taylor by error"] == ("does not hold" if wins else "holds")
    assert in_practice.means(result, "error", "square") == f" (1.0150 at 0.003 and {exp + 0.015:.4f} at 0.003)"
    assert verdicts(made)["mnist1d error"] == "not run"


@pytest.mark.slow
def test_the_chosen_loss_is_the_ith():
    params = mlp_jax.init_params(jax.random.key(0), (3, 4, 5))
    x, labels = jax.random.normal(jax.random.key(1), (6, 3)), jnp.arange(6) % 5
    for i, normaliser in enumerate(NORMALISERS.values()):
        found = jax.jit(in_practice._gradient_of, static_argnums=(4, 5))(
            i, params, x, labels, mlp_jax.relu, mlp_jax.cross_entropy
        )
        expected = mlp_jax.autodiff(params, x, labels, mlp_jax.relu, normaliser.loss)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


# ---- price


@pytest.mark.parametrize("classes", [2, 10, 113])
def test_gaps_in_numpy_are_those_of_theory(classes):
    assert price.gap_of_zero(price.one_by_one, classes) == pytest.approx(24 * np.log(2), abs=1e-5)
    last = price.gap_of_zero(price.losers_first, classes)
    assert last == pytest.approx(np.log((classes - 1) * 2.0**24), abs=1e-5)


def test_truth_is_minus_what_the_others_have():
    np.testing.assert_allclose(
        price.truth(np.array([[0.0, 0.0], [40.0, 0.0]])), [-0.5, -4.248354255291589e-18], rtol=1e-15
    )


SHORT = price.Config(classes=(2, 10), gaps=11)


@pytest.mark.slow
def test_claims_of_price_hold():
    made = price.measure(SHORT, jax.random.key(0), lambda share: None).claims
    assert set(verdicts(made).values()) == {"holds"}
    of_others = ("gap jax", "gap optax")  # what other libraries do may change with their versions
    assert all(claim.exact != claim.name.startswith(of_others) for claim in made)


@pytest.mark.slow
def test_the_usual_formula_in_the_place_of_ours_is_caught(monkeypatch):
    def usual(z, labels):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], axis=1))

    loss = mlp_jax.Loss(usual, lambda z, labels: (jax.nn.softmax(z) - jax.nn.one_hot(labels, z.shape[1])) / len(z))
    monkeypatch.setattr(mlp_jax, "cross_entropy", loss)
    monkeypatch.setattr(mlp_jax, "log_softmax", lambda z: z - jnp.log(jnp.sum(jnp.exp(z))))
    price.ours.clear_cache()
    made = verdicts(price.measure(SHORT, jax.random.key(0), lambda share: None).claims)
    price.ours.clear_cache()
    for name in ("gap ours", "ours by hand", "ours by jax.grad", "JAX 40384", "scipy 18295", "PyTorch 113708"):
        assert made[name] == "does not hold", name
