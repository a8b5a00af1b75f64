"""How strong are gradient checks: each rule on right and wrong gradients, and claims that fall when they should."""

import jax
import numpy as np
import pytest

import mlp_jax
from experiments.frame import claims
from experiments.frame.numbers import Numbers, measured
from experiments.why_gradient_checks import in_training, mutations, references, right_rules, rules, usual_rules


def verdicts(module, n):
    return {one.name: one.verdict for one in claims.all_judged(module, n)}


@pytest.mark.slow
def test_each_rule_accepts_what_is_right_and_rejects_what_is_not():
    point = usual_rules.point(usual_rules.QUICK, 0, mlp_jax.tanh, rules.GOOD)
    _, gradients = point.right
    for name, accepts in rules.RULES.items():
        assert accepts(gradients, point), name
        assert not accepts([(2 * dW, db) for dW, db in gradients], point), name


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu"])
def test_the_textbook_is_right(name):
    problem = rules.draw((5, 7, 4), 8, 0, rules.GOOD)
    loss, gradients = usual_rules.textbook(name, problem.params, problem.x, problem.labels)
    with jax.enable_x64(True):
        params = tuple(mlp_jax.Layer(*map(jax.numpy.asarray, layer)) for layer in problem.params)
        expected = mlp_jax.autodiff(params, problem.x, problem.labels, mlp_jax.activations.ACTIVATIONS[name])
    assert loss == pytest.approx(float(expected[0]), rel=1e-12)
    for (dW, db), layer in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(dW, layer.weight, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(db, layer.bias, rtol=1e-9, atol=1e-14)


def strengths(seeds=10):
    """Numbers by which every claim of the rules holds: 2 activations, 4 mistakes, one of them none for the second."""
    kinds, names = list(rules.POINTS), list(rules.RULES)
    passed = np.zeros((2, len(names), seeds, 2, 4), np.int8)
    passed[0, :3, :, :, 0] = 1
    passed[..., 1, 3] = -1
    rejected = np.zeros((2, len(names), seeds, 2), bool)
    rejected[0, 3:5] = True
    return Numbers(
        {"point": np.array(kinds), "rule": np.array(names), "passed": passed, "rejected": rejected,
         "ours known": np.array([4, 3]), "ours escaped": np.array([0, 0]), "ours rejected": np.array([False, False])},
        usual_rules.Config(),
    )  # fmt: skip


def test_shares_leave_out_what_is_no_mistake():
    assert usual_rules.shares(strengths(), "passed", rules.START, "PyTorch") == pytest.approx(np.full(10, 2 / 7))
    assert usual_rules.shares(strengths(), "rejected", rules.START, "CS231n") == pytest.approx(np.ones(10))


@pytest.mark.parametrize(
    "name, change",
    [
        ("jax_float32", lambda a: a["passed"][0, 0].clip(-1, 0)),
        ("jax_float64", lambda a: a["passed"][0, 1].clip(-1, 0)),
        ("PyTorch", lambda a: a["passed"][0, 2].clip(-1, 0)),
    ],
)
def test_a_rule_that_lets_nothing_pass_turns_its_claim(name, change):
    n = strengths()
    assert set(verdicts(usual_rules, n).values()) == {"holds"}
    rule = ["jax_float32", "jax_float64", "PyTorch"].index(name)
    n.arrays["passed"][0, rule] = change(n.arrays)
    assert {k for k, v in verdicts(usual_rules, n).items() if v != "holds"} == {name}


@pytest.mark.parametrize(
    "array, place, value, fallen",
    [
        ("rejected", (0, 3), False, {"CS231n"}),
        ("rejected", (0, 4), False, {"norm_ratio"}),
        ("rejected", (1, 2), True, {"good_point_rejects"}),
        ("passed", (1, 4, slice(None), 0, 0), 1, {"good_point"}),
        ("ours escaped", 0, 1, {"ours"}),
        ("ours rejected", 1, True, {"ours_rejects"}),
    ],
)
def test_changed_strengths_turn_their_claims(array, place, value, fallen):
    n = strengths()
    n.arrays[array][place] = value
    assert {name for name, verdict in verdicts(usual_rules, n).items() if verdict != "holds"} == fallen


def curves(rounding=-1.0, truncation=2.0, gap=1.0):
    """Errors of differences as theory has them, eps / h + h^2, for every dtype and network."""
    h = np.logspace(-11, 0, 41)
    eps = np.array([np.finfo(dtype).eps for dtype in references.DTYPES])[:, None, None]
    errors = 0.3 * eps * h**rounding + 0.1 * h**truncation + np.zeros((2, 5, 1))
    arrays = {"dtype": np.array(references.DTYPES), "step": h, "differences": errors * gap,
              "complex step": np.full(5, 1e-16), "autodiff": np.full((2, 5), 1e-16)}  # fmt: skip
    arrays["autodiff"][1] = 1e-8
    return Numbers(arrays, references.Config())


@pytest.mark.parametrize(
    "numbers, fallen",
    [
        (curves(), set()),
        (curves(rounding=-0.5), {"rounding_float64", "rounding_float32"}),
        (curves(truncation=1.5), {"truncation_float64", "truncation_float32"}),
        (curves(gap=1e-6), {"best_float64", "best_float32"}),
    ],
    ids=["theory", "rounding", "truncation", "no gap"],
)
def test_changed_errors_turn_their_claims(numbers, fallen):
    assert fallen <= {name for name, verdict in verdicts(references, numbers).items() if verdict != "holds"}
    assert fallen or set(verdicts(references, numbers).values()) == {"holds"}


@pytest.mark.parametrize("name", ["complex step", "autodiff"])
def test_a_reference_with_few_digits_falls(name):
    n = curves()
    n.arrays[name].flat[0] = 1e-12
    assert verdicts(references, n)[name.replace(" ", "_")] == "does not hold"


def trainings(accuracy=(0.97, 0.965, 0.5, 0.1, np.nan), last=0.01):
    """Numbers of five mistakes, of which one is of the biases and one does not fit."""
    accuracies = np.array(accuracy)[:, None] + [0.001, 0.0, -0.001]
    loss = np.stack([np.full((5, 3), 2.5), np.full((5, 3), last)], axis=2)
    return Numbers(
        {"code": np.array(["bias_gradient", "scale", "sign", "labels", "transposed"]), "loss": loss,
         "accuracy": accuracies, "right accuracy": np.full(3, 0.97), "right loss": np.ones((3, 2))},
        in_training.Config(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "n, fallen",
    [
        (trainings(), set()),
        (trainings((0.9, 0.9, 0.5, 0.1, np.nan)), {"almost_as_well", "biases_cost"}),
        (trainings((0.97, 0.965, 0.5, 0.5, np.nan)), {"learn_nothing"}),
        (trainings(last=2.0), {"loss_falls"}),
    ],
    ids=["as recorded", "visible", "all learn", "no loss falls"],
)
def test_changed_trainings_turn_their_claims(n, fallen):
    assert {name for name, verdict in verdicts(in_training, n).items() if verdict != "holds"} == fallen


def test_every_known_mistake_of_the_gradient_is_trained_or_is_none_here():
    here = [mistake for mistake in rules.TRIED if in_training._differs(mistake, in_training.FULL)]
    assert {mistake.name for mistake in rules.TRIED} - {mistake.name for mistake in here} == {
        "uses 1 - h^2, the derivative of tanh, for phi'(z)", "uses tanh'(z) for phi'(z)"
    }  # fmt: skip


def checkers():
    """Numbers by which every claim of the checkers holds: 2 rules, and 4 kinds of mistakes, one of them none."""
    passed, refused, none = mutations.PASSED, mutations.REFUSED, mutations.NONE
    said = np.full((3, 3, 2, 5), refused, np.int8)  # seeds, dtypes, rules, kinds
    said[..., 0] = passed
    said[..., 1, 4] = none
    ours, jax_says, torch = said.copy(), said.copy(), said.copy()
    ours[1:], ours[:, :, 1] = none, none
    jax_says[:, 1:, :, 1] = torch[:, 0, :, 1] = passed
    jax_says[:, 2, :, 0] = refused
    torch[:, 1, :, 0] = refused
    arrays = {"dtype": np.array(right_rules.DTYPES), "rule": np.array(["a", "b"]), "ours": ours, "jax": jax_says,
              "torch slow": torch, "torch fast": torch.copy()}  # fmt: skip
    return Numbers(arrays, mutations.Config())


def test_shares_leave_out_what_was_not_tried():
    n = checkers()
    np.testing.assert_allclose(mutations.shares(n, "jax", "float32", mutations.PASSED), np.full(3, 2 / 7))
    assert mutations.shares(n, "ours", "float64", mutations.REFUSED).tolist() == [1]
    assert mutations.shares(n, "torch slow", "float32", mutations.REFUSED, mistakes=False).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "array, place, value, fallen",
    [
        ("ours", (0, 0, 0, 1), mutations.PASSED, {"ours_passes_float64"}),
        ("ours", (0, 2, 0, 0), mutations.REFUSED, {"ours_refuses_bfloat16"}),
        ("jax", (slice(None), 0, slice(None), 1), mutations.PASSED, {"jax_in_float64"}),
        ("jax", (slice(None), 1, slice(None), 1), mutations.REFUSED, {"jax_passes_float32"}),
        ("jax", (slice(None), 2, slice(None), 0), mutations.PASSED, {"jax_refuses"}),
        ("torch slow", (slice(None), 0, slice(None), 1), mutations.REFUSED, {"torch_passes_slow"}),
        ("torch fast", (slice(None), 1, slice(None), 0), mutations.PASSED, {"torch_refuses_fast"}),
    ],
)
def test_changed_checkers_turn_their_claims(array, place, value, fallen):
    n = checkers()
    assert set(verdicts(mutations, n).values()) == {"holds"}
    n.arrays[array][place] = value
    assert {name for name, verdict in verdicts(mutations, n).items() if verdict != "holds"} == fallen


def test_without_pytorch_its_claims_are_not_run():
    n = checkers()
    arrays = {name: array for name, array in n.arrays.items() if "torch" not in name}
    missing = {"torch slow": mutations.NO_TORCH, "torch fast": mutations.NO_TORCH}
    without = Numbers(arrays, n.config, missing)
    said = verdicts(mutations, without)
    assert {name for name, verdict in said.items() if verdict == "not run"} == {
        f"torch_{what}_{mode}" for what in ("passes", "refuses") for mode in ("slow", "fast")
    }
    mutations.picture(without)


@pytest.mark.slow
@pytest.mark.parametrize("name", right_rules.RULES)
def test_a_right_rule_is_right(name):
    f, forward, backward = right_rules.RULES[name][0]
    with jax.enable_x64(True):
        x = tuple(map(jax.numpy.asarray, right_rules.arguments(name, "float64")))
        value, pull = jax.vjp(f, *x)
        for g, expected in zip(backward(forward(*x)[1], value), pull(value), strict=True):
            np.testing.assert_allclose(g, expected, rtol=1e-7, atol=1e-12)


def test_a_mistake_that_changes_nothing_is_none():
    assert right_rules.is_one("mean", "sign") and not right_rules.is_one("mean", "reversed")


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, config",
    [
        (usual_rules, usual_rules.Config(activations=("relu",), seeds=1)),
        (mutations, mutations.QUICK),
        (references, references.Config(nets=1, steps=23)),
        (in_training, in_training.Config(epochs=1, seeds=1, every=9)),
    ],
)
def test_a_small_run_holds_what_must_hold(module, config):
    n = measured(module, config)
    assert [one.name for one in claims.all_judged(module, n) if one.must and one.verdict != "holds"] == []
    assert not [name for name in n.arrays if n.arrays[name].dtype == object]


def test_points_are_of_their_sizes():
    small, good = (rules.draw((5, 7, 4), 8, 0, kind) for kind in rules.POINTS)
    assert np.abs(small.params[0][0]).max() < 0.05 and not small.params[0][1].any()
    assert np.std(good.params[0][0]) > 0.2 and good.params[0][1].any()
