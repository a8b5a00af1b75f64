"""Functions as people write them: in any form, of any network, with or without a declaration of what they compute.

Files m01 to p6 are the smallest inputs for shortcomings that were found; h_* and k_* were written by people who had not
read the checker.
"""

import inspect
from pathlib import Path

import numpy as np
import pytest
from problems import quick

import mlp_jax
from mlp_jax import check_backprop
from mlp_jax.check import _files, check_layer
from mlp_jax.check._networks import elementwise

FOLDER = Path(__file__).parent / "wild" / "functions"
CE, BCE = "softmax outputs, cross-entropy", "sigmoid outputs, binary cross-entropy"
LINEAR, SIGMOID = "linear outputs, squared error", "sigmoid outputs, squared error"
UNKNOWN = "the network is not recognised"
TRUTH = {
    "m01_bce_sigmoid_outputs": ("correct", f"tanh, {BCE}, mean over the batch"),
    "m02_sigmoid_output_half_mse": ("correct", f"sigmoid, {SIGMOID}, half of the mean over the batch"),
    "m03_sigmoid_output_derivative_missing": ("missing_activation_derivative", SIGMOID),
    "m04_no_biases": ("correct", f"tanh, {CE}, mean over the batch, some biases absent"),
    "m05_naive_softmax": ("correct", CE),
    "m06_row_bias_and_missing_derivative": ("missing_activation_derivative", CE),
    "m07_point_wrong_loss": ("correct", "and a constant 1"),
    "m08_l2_and_missing_derivative": ("missing_activation_derivative", "L2 term 0.05 |W|^2"),
    "m09_l2_and_sum_gradient": ("scale", "L2 term 0.005 / B |W|^2"),
    "m10_where": ("bias_gradient", CE),
    "m11_flat_tuple": ("correct", CE),
    "m12_gradients_only": ("correct", CE),
    "m13_db_none": ("correct", "some biases absent"),
    "m14_other_name": ("correct", CE),
    "m15_stale_per_example": ("stale_weights", f"sigmoid, {LINEAR}"),
    "m16_single_output": ("correct", UNKNOWN),
    "m17_bias_in_first_layer_only": ("correct", "some biases absent"),
    "p1_class_count_from_labels": ("labels", CE),
    "p2_one_output_zero_division": ("missing_activation_derivative", LINEAR),
    "p3_layout_undeclared_and_mistake": ("missing_activation_derivative", CE),
    "p4_sum_of_bce_and_missing_derivative": ("missing_activation_derivative", BCE),
    "p5_half_mse_linear": ("correct", f"{LINEAR}, half of the mean over the batch"),
    "p6_half_mse_linear_and_missing_derivative": ("missing_activation_derivative", f"{LINEAR}, half of the mean"),
    "h_a01_layers_loop": ("correct", f"tanh, {CE}, mean over the batch"),
    "h_a02_three_dense": ("wrong_activation_derivative", f"relu, {CE}"),
    "h_a03_column_vectors": ("correct", f"tanh, {BCE}"),
    "h_a04_softplus_net": ("correct", f"softplus, {CE}"),
    "h_a05_quadratic_cost": ("correct", f"sigmoid, {SIGMOID}, half of the mean over the batch"),
    "h_a06_no_bias": ("correct", f"relu, {CE}, mean over the batch, some biases absent"),
    "h_a07_tanh_heads": ("correct", UNKNOWN),
    "h_a08_sigmoid_bce": ("transposed", f"sigmoid, {BCE}"),
    "h_a09_flat_tuple": ("scale", f"tanh, {CE}"),
    "h_a10_jax_mlp": ("missing_activation_derivative", f"tanh, {CE}"),
    "h_a11_all_the_biases": ("bias_gradient", f"relu, {LINEAR}, half of the mean over the batch"),
    "h_a12_elu_decay": ("regularised", f"elu, {CE}, mean over the batch, L2 term 0.05 |W|^2"),
    "h_a13_brier_score": ("softmax_gradient", "sigmoid, softmax outputs, squared error"),
    # its author returns the last layer first, and means it; of the contract that is a known mistake
    "h_a14_readout_first": ("wrong_layer", f"relu, {CE}"),
    "h_b01_flat_theta": ("correct", UNKNOWN),
    "h_b02_self_attention": ("correct", UNKNOWN),
    "h_b03_layernorm_head": ("unexplained", UNKNOWN),
    "h_b04_ratings": ("correct", UNKNOWN),
    "h_b05_tied_autoencoder": ("unexplained", UNKNOWN),
    "h_b06_char_rnn": ("correct", UNKNOWN),
    "h_b07_skipgram": ("unexplained", UNKNOWN),
    "h_b08_conv1d": ("unexplained", UNKNOWN),
    "k_brier_softplus": ("correct", UNKNOWN),
    "k_distill_temperature_jax": ("scale", UNKNOWN),
    "k_elastic_net_mlp": ("regularised", UNKNOWN),
    "k_fixed_dropout": ("scale", UNKNOWN),
    "k_imbalanced_leaky": ("correct", UNKNOWN),
    "k_resnet_mlp": ("correct", UNKNOWN),
    "k_skip_connections": ("unexplained", UNKNOWN),
    "k_smooth_gelu": ("correct", UNKNOWN),
    "k_square_net_mse": ("transposed", f"sigmoid, {SIGMOID}, half of the mean over the batch"),
    "k_svm_head_elu": ("correct", UNKNOWN),
    "k_triage_weights": ("scale", UNKNOWN),
    "k_whiten_block": ("correct", UNKNOWN),
}
QUICK = list(TRUTH)[::5]


@pytest.mark.parametrize("name", quick({name: name for name in TRUTH}, *QUICK))
def test_a_function_is_judged_as_it_is(name):
    code, network = TRUTH[name]
    report = _files.check_file(FOLDER / f"{name}.py", _files.Asking(seconds=60, seed=1))
    assert report.verdict == ("correct" if code == "correct" else "wrong"), report
    assert report.diagnoses[0].code == code, report
    assert network in report.notes[0], report


def test_the_table_holds_every_file():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(TRUTH)


def test_the_bias_as_a_row_is_a_finding_of_its_own():
    report = check_backprop(loaded("m06_row_bias_and_missing_derivative"))
    assert [one.code for one in report.diagnoses] == ["missing_activation_derivative", "shape"]
    assert "d b_1 has shape (1, 4), expected (4,)" in report.diagnoses[1].message


def test_an_overflow_is_a_remark_and_wrong_if_asked():
    function = loaded("m05_naive_softmax")
    assert [one.code for one in check_backprop(function).diagnoses][:2] == ["correct", "nonfinite"]
    report = check_backprop(function, strict=True)
    assert (report.verdict, report.diagnoses[0].code) == ("wrong", "nonfinite")


def loaded(name):
    """The function of a file."""
    module: dict = {}
    exec(compile((FOLDER / f"{name}.py").read_text(encoding="utf-8"), name, "exec"), module)
    return module["loss_and_gradients"]


SAID = {  # what was false once, and is not said any more
    "m07_point_wrong_loss": "an L2 term",
    "m08_l2_and_missing_derivative": "nearest",
    "m10_where": "every layer is wrong",
    "p1_class_count_from_labels": "is right with : set that",
    "p2_one_output_zero_division": "ZeroDivisionError",
}


@pytest.mark.parametrize("name", SAID)
def test_nothing_false_is_said(name):
    report = _files.check_file(FOLDER / f"{name}.py", _files.Asking(seconds=60, seed=1))
    assert SAID[name] not in str(report)


# ---- what is declared


@pytest.mark.parametrize(
    "name, declared, words",
    [
        ("m01_bce_sigmoid_outputs", {"loss": "cross_entropy"}, "it is right for tanh, sigmoid outputs, binary cross"),
        ("p5_half_mse_linear", {"loss": "squared_error"}, "where linear outputs, squared error, mean over the batch"),
        ("m04_no_biases", {"activation": "relu"}, 'set ACTIVATION = "tanh"'),
        ("m03_sigmoid_output_derivative_missing", {"loss": "squared_error"}, "it computes sigmoid, sigmoid outputs"),
    ],
    ids=["loss", "factor", "activation", "and a mistake"],
)
def test_another_network_than_was_declared_is_a_convention(name, declared, words):
    report = check_backprop(loaded(name), **declared)
    found = [one for one in report.diagnoses if one.code == "convention"]
    assert report.verdict == "wrong" and len(found) == 1 and words in found[0].message


def no_gradient_of_any_network(params, x, labels):
    return [(np.cos(W) * len(x), b + labels.sum()) for W, b in params]


def test_gradients_without_a_loss_of_no_known_network_are_undecided():
    report = check_backprop(no_gradient_of_any_network)
    assert report.verdict == "undecided" and "gives no loss" in report.diagnoses[0].message


def coarse(params, x, labels):
    loss, gradients = loaded("m05_naive_softmax")(params, x, labels)
    return loss, [(dW.astype(np.float16), db.astype(np.float16)) for dW, db in gradients]


def test_the_precision_is_told_and_can_be_asked_for(tmp_path):
    path = tmp_path / "coarse.py"
    text = (FOLDER / "m05_naive_softmax.py").read_text(encoding="utf-8")
    path.write_text(f"{text}\nold = loss_and_gradients\n{inspect.getsource(coarse)}".replace(
        "coarse(", "loss_and_gradients(").replace('loaded("m05_naive_softmax")', "old"), encoding="utf-8")  # fmt: skip
    report = _files.check_file(path, _files.Asking(seed=0))
    assert (report.verdict, report.precision) == ("correct", "float16")
    asked = _files.check_file(path, _files.Asking(seed=0, precision="float64"))
    assert asked.verdict == "wrong" and "float64 was asked for" in asked.diagnoses[0].message


# ---- any shapes


def on_a_flat_vector(theta, X, t):
    W, b = theta[:6].reshape(3, 2), theta[6:]
    d = np.tanh(X @ W + b) - t
    e = d * (1 - np.tanh(X @ W + b) ** 2)
    return 0.5 * (d**2).sum(), np.concatenate([(X.T @ e).ravel(), e.sum(axis=0)])


def on_a_nested_tree(params, X):
    z = X @ params["layer"]["W"] + params["shift"][0]
    return (z**2).sum(), {"layer": {"W": 2 * X.T @ z}, "shift": [2 * z.sum(axis=0)]}


def points():
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    return {
        "a flat vector": (on_a_flat_vector, (rng.normal(size=8), X, t)),
        "a nested tree, and no targets": (
            on_a_nested_tree, ({"layer": {"W": rng.normal(size=(3, 2))}, "shift": [rng.normal(size=2)]}, X)),
    }  # fmt: skip


@pytest.mark.parametrize("name", points())
def test_a_point_may_have_any_structure(name):
    function, point = points()[name]
    assert check_backprop(function, point=point)

    def wrong(params, *arguments):
        loss, gradients = function(params, *arguments)
        return loss, jax_map(lambda g: 1.001 * g, gradients)

    report = check_backprop(wrong, point=point)
    assert (report.verdict, report.diagnoses[0].code) == ("wrong", "scale")


def jax_map(f, tree):
    if isinstance(tree, dict):
        return {key: jax_map(f, value) for key, value in tree.items()}
    return [jax_map(f, value) for value in tree] if isinstance(tree, list) else f(tree)


# ---- layers


def normalise(x, params):
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / deviation
    return params["gamma"] * z + params["beta"], (z, deviation, params)


def normalise_backward(dy, cache):
    z, deviation, params = cache
    dz = dy * params["gamma"]
    dx = (dz - dz.mean(axis=0) - z * (dz * z).mean(axis=0)) / deviation
    return dx, {"gamma": (dy * z).sum(axis=0), "beta": dy.sum(axis=0)}


def normalise_by_constants(dy, cache):
    z, deviation, params = cache
    return dy * params["gamma"] / deviation, {"gamma": (dy * z).sum(axis=0), "beta": dy.sum(axis=0)}


def convolve(x, params):
    (w,) = params
    return sum(w[i] * x[:, i : x.shape[1] - 2 + i] for i in range(3))


def convolve_backward(dy, x, params):
    (w,) = params
    dx = np.zeros_like(x)
    for i in range(3):
        dx[:, i : x.shape[1] - 2 + i] += w[i] * dy
    return dx, [np.array([(dy * x[:, i : x.shape[1] - 2 + i]).sum() for i in range(3)])]


def relu(x, params):
    return np.maximum(x, 0)


LAYERS = {
    "batch norm": (normalise, normalise_backward, "correct"),
    "batch norm, its statistics as constants": (normalise, normalise_by_constants, "wrong"),
    "convolution": (convolve, convolve_backward, "correct"),
    "convolution, transposed": (convolve, lambda dy, x, params: (
        convolve_backward(dy, x, [params[0][::-1]])[0], convolve_backward(dy, x, params)[1]), "wrong"),
    "relu": (relu, lambda dy, x, params: dy * (x > 0), "correct"),
    "relu of the cotangent": (relu, lambda dy, x, params: dy * (dy > 0), "wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_checked_by_its_cotangents(name):
    forward, backward, verdict = LAYERS[name]
    rng = np.random.default_rng(0)
    params = {"gamma": rng.normal(size=6), "beta": rng.normal(size=6)} if "norm" in name else [rng.normal(size=3)]
    report = check_layer(forward, backward, rng.normal(size=(5, 6)), params if "relu" not in name else ())
    assert report.verdict == verdict, report


# ---- what an attack found


def softmax_loss(z, labels, eps=0.0):
    """The loss and its derivative in z: of -log(p_y + eps), exactly."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p, rows = e / e.sum(axis=1, keepdims=True), np.arange(len(z))
    p_y = p[rows, labels]
    d = p.copy()
    d[rows, labels] -= 1
    return -np.log(p_y + eps).mean(), d * (p_y / (p_y + eps))[:, None] / len(z)


def softsign(params, x, labels, skip=0.0, back=0.0, eps=0.0):
    """A network that the checker does not know: softsign units, or a skip path where widths are equal."""
    h, z = [x], []
    for W, b in params[:-1]:
        z.append(h[-1] @ W + b)
        equal = W.shape[0] == W.shape[1]
        h.append(z[-1] / (1 + np.abs(z[-1])) + skip * h[-1] * equal if equal else z[-1] / (1 + np.abs(z[-1])))
    loss, d = softmax_loss(h[-1] @ params[-1][0] + params[-1][1], labels, eps)
    gradients = [(h[-1].T @ d, d.sum(axis=0))]
    d = d @ params[-1][0].T
    for l in reversed(range(len(params) - 1)):
        W = params[l][0]
        dz = d / (1 + np.abs(z[l])) ** 2
        gradients.insert(0, (h[l].T @ dz, dz.sum(axis=0)))
        d = dz @ W.T + back * d if W.shape[0] == W.shape[1] else dz @ W.T
    return loss, gradients


def times(factor, function=softsign):
    def changed(params, x, labels):
        loss, gradients = function(params, x, labels)
        a = factor(params, x) if callable(factor) else factor
        return loss, [(a * dW, a * db) for dW, db in gradients]

    return changed


def flat_of_two_layers(params, x, labels):
    (W1, b1), (W2, b2) = params[0], params[1]
    h = np.tanh(x @ W1 + b1)
    loss, d = softmax_loss(h @ W2 + b2, labels)
    e = (d @ W2.T) * (1 - h**2)
    return loss, x.T @ e, e.sum(axis=0), h.T @ d, d.sum(axis=0)


def pairs_of_two_layers(params, x, labels):
    loss, dW1, db1, dW2, db2 = flat_of_two_layers(params, x, labels)
    return loss, [(dW1, db1), (dW2, db2)]


def rounded(params, x, labels):
    loss, gradients = softsign(params, x, labels)
    return round(loss, 4), gradients


def far_from_zero(params, x, labels):
    loss, gradients = softsign(params, x, labels)
    return loss + 1e6, [(-3 * dW, -3 * db) for dW, db in gradients]


def constant(params, x, labels):
    return 1.0, [(0 * W, 0 * b) for W, b in params]


ATTACKS = {
    "an unknown network": (softsign, "correct"),
    "wrong at one depth alone": (times(lambda params, x: 1.0 if len(params) == 3 else 1.01), "wrong"),
    "wrong for other batches": (times(lambda params, x: 8 / len(x)), "wrong"),
    "a skip path": (lambda *a: softsign(*a, skip=1.0, back=1.0), "correct"),
    "a skip path that the way back forgets": (lambda *a: softsign(*a, skip=1.0), "wrong"),
    "two layers of many, all in one tuple": (flat_of_two_layers, "correct"),
    "log(p + eps), exactly": (lambda *a: softsign(*a, eps=1e-8), "correct"),
    "a loss that is rounded": (rounded, "undecided"),
    "a loss too large for differences": (far_from_zero, "undecided"),
    "a loss that never changes": (constant, "undecided"),
    "wrong for as many examples as inputs": (
        times(lambda params, x: 1.1 if x.shape[0] == x.shape[1] else 1.0, pairs_of_two_layers), "wrong"),
}  # fmt: skip


@pytest.mark.parametrize(
    "function, verdict", quick(ATTACKS, "wrong for other batches", "two layers of many, all in one tuple")
)
def test_an_attack_is_judged(function, verdict):
    report = check_backprop(function)
    assert report.verdict == verdict, report


def scaled_in_place(dy, x, params):
    dy /= 0.5
    return dy * (np.arange(x.shape[1]) % 2) / 0.5


LAYER_ATTACKS = {
    "a cotangent that is changed in place, and counts twice": (
        lambda x, params: x * (np.arange(x.shape[1]) % 2) / 0.5, scaled_in_place, (), "wrong"),
    "no cotangent at all": (relu, lambda dy, x, params: x * (x > 0), (), "wrong"),
    "whole numbers as parameters": (
        lambda x, b: x + b, lambda dy, x, b: (dy, 5 * dy.sum(axis=0)), np.zeros(6, int), "wrong"),
    "one entry of many": (
        lambda x, W: x @ W,
        lambda dy, x, W: (dy @ W.T, x.T @ dy * (np.arange(W.size) != 77).reshape(W.shape)), np.ones((6, 300)), "wrong"),
    "saturated units": (
        lambda x, b: np.tanh(x + 15), lambda dy, x, b: 0 * dy, (), "undecided"),
    "y of whole numbers": (
        lambda x, b: np.floor(1e9 * x).astype(int), lambda dy, x, b: 1e9 * dy, (), "correct"),
    "y of whole numbers, wrong": (
        lambda x, b: np.floor(1e9 * x).astype(int), lambda dy, x, b: 1.1e9 * dy, (), "wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYER_ATTACKS)
def test_an_attack_by_a_layer_is_judged(name):
    forward, backward, params, verdict = LAYER_ATTACKS[name]
    x = np.random.default_rng(0).standard_normal((5, 6))
    before = x.copy()
    report = check_layer(forward, backward, x, params)
    assert report.verdict == verdict, report
    assert (x == before).all()


def test_units_at_their_kink_are_no_false_alarm():
    x = np.array([[0.0, 1.0, -2.0], [0.5, 0.0, 3.0]])
    assert check_layer(relu, lambda dy, x, params: dy * (x >= 0), x)
    assert check_layer(relu, lambda dy, x, params: dy * (x > 0), x)
    assert not check_layer(relu, lambda dy, x, params: dy * (x > 0.6), x)


@pytest.mark.parametrize("name", mlp_jax.activations.ACTIVATIONS)
def test_the_activations_in_numpy_are_those_of_the_library(name, float64):
    z = np.linspace(-12, 12, 97)
    ours, record = elementwise.ACTIVATIONS[name], mlp_jax.activations.ACTIVATIONS[name]
    np.testing.assert_allclose(ours.value(z), record.value(z), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(ours.derivative(z), record.derivative(z), rtol=1e-12, atol=1e-300)
