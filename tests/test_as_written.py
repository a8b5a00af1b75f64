"""Files as their authors wrote them are judged by their own training loop; tests/wild holds such files."""

import ast
import io
import json
import textwrap
from contextlib import redirect_stdout
from pathlib import Path
from types import MappingProxyType

import made_networks
import numpy as np
import pytest
from commands import run
from made_networks import MADE, WRONG
from problems import quick

from mlp_jax.check import _files
from mlp_jax.check._child import loops, search, state
from mlp_jax.check._differences.slopes import slopes
from mlp_jax.check._exercises.writing import written

WILD = Path(__file__).parent / "wild"

# w, f, e: files as people write them; a and b were written to be called correct although they are wrong, and wrong
# although they are right; g by somebody who had not read the checker. The truth about each: its verdict, and the codes
# that name its mistake; [] while nothing names it.
TRUTH = {
    "w01_multilabel_tagger": ("correct", ["correct"]),
    "w02_petals_binary": ("correct", ["correct"]),
    "w03_quadratic_digits": ("correct", ["correct"]),
    "w04_plain_numpy_fit": ("correct", ["correct"]),
    "w05_course_mlp_update": ("correct", ["correct"]),
    "w06_moons_model": ("correct", ["correct"]),
    "w07_layer_objects": ("correct", ["correct"]),
    "w08_dropout_leaky": ("correct", ["correct"]),
    "w09_swish_regression_jax": ("correct", ["correct"]),
    "w10_circles_mse": ("wrong", ["missing_activation_derivative"]),
    "w11_cats_from_pixels": ("wrong", ["scale"]),
    "w12_digits_from_csv": ("wrong", ["bias_gradient", "shape"]),
    "w13_from_scratch_lists": ("wrong", ["stale_weights"]),
    "w14_curve_regressor": ("wrong", ["sign"]),
    "w15_spiral_weight_decay": ("wrong", ["scale"]),
    "w16_softmax_squared": ("wrong", ["softmax_gradient"]),
    "w17_word_context": ("wrong", ["wrong_activation_derivative"]),
    "w18_folded_bias_logistic": ("wrong", ["wrong_activation_derivative"]),
    "w19_checkpoint_mlp": ("wrong", ["regularised"]),
    "w20_batchnorm_mlp": ("wrong", []),
    "w21_padded_batch": ("wrong", ["labels", "loss_value", "scale"]),
    "w22_labels_to_onehot": ("wrong", ["labels", "exception"]),
    "f01_xor_two_layer": ("correct", ["correct"]),
    "f02_softmax_blobs": ("wrong", ["regularised"]),
    "f03_planar_columns": ("wrong", ["bias_gradient"]),
    "f04_from_scratch_lists": ("correct", ["correct"]),
    "f05_deep_relu_momentum": ("correct", ["correct"]),
    "f06_adam_curve_fit": ("wrong", ["scale"]),
    "f07_rnn_sine": ("wrong", []),
    "f08_char_rnn": ("correct", ["correct"]),
    "f09_tied_autoencoder": ("correct", ["correct"]),
    "f10_cbow_embedding": ("wrong", []),
    "f11_tiny_cnn": ("correct", ["correct"]),
    "f12_batchnorm_mlp": ("correct", ["correct"]),
    "f13_skip_connection": ("wrong", []),
    "f14_linear_svm": ("correct", ["correct"]),
    "f15_huber_softplus": ("correct", ["correct"]),
    "f16_dropout_flat": ("wrong", ["scale"]),
    "f17_logreg_ones_column": ("correct", ["correct"]),
    "f18_gelu_jnp": ("correct", ["correct"]),
    "f19_layer_classes_elu": ("wrong", ["wrong_activation_derivative"]),
    "f20_closure_net": ("wrong", ["transposed"]),
    "f21_plain_python_online": ("wrong", ["stale_weights"]),
    "f22_leaky_rmsprop": ("correct", ["correct"]),
    "f23_dataclass_swish": ("wrong", ["missing_activation_derivative"]),
    "f24_iris_like_mse": ("wrong", ["softmax_gradient"]),
    "e01_blobs_softmax_question": ("wrong", []),
    "e02_cbow": ("wrong", []),
    "e03_char_rnn": ("undecided", ["undecided"]),
    "e04_closures_huber_jax": ("correct", ["correct"]),
    "e05_conv1d_signals": ("wrong", ["scale"]),
    "e06_dataclass_trainer": ("wrong", []),
    "e07_denoise": ("wrong", []),
    "e08_layers_house_prices": ("wrong", ["stale_weights"]),
    "e09_logit_ridge": ("correct", ["correct"]),
    "e10_mini_nn_adam": ("correct", ["correct"]),
    "e11_rnn_running_mean": ("wrong", []),
    "e12_sine_fit": ("correct", ["correct"]),
    "e13_skipgram_negative": ("correct", ["correct"]),
    "e14_small_cnn": ("correct", ["correct"]),
    "e15_tied_autoencoder": ("correct", ["correct"]),
    "e16_xor_not_learning": ("wrong", []),
    "e17_huber_step": ("correct", ["correct"]),
    "a01_float_bias": ("wrong", ["scale"]),
    "a02_data_loss_reg": ("wrong", ["regularised"]),
    "a03_total_times_len": ("wrong", ["scale"]),
    "a04_uphill": ("wrong", ["sign"]),
    "a05_other_loss_function": ("wrong", []),
    "a06_two_models": ("wrong", ["missing_activation_derivative"]),
    "a11_sum_and_mean": ("wrong", ["scale"]),
    "a13_mixed_list": ("wrong", ["scale"]),
    "a15_all_floats": ("wrong", ["scale"]),
    "a16_tied_view": ("wrong", []),
    "a20_adam_uphill": ("wrong", ["sign"]),
    "b01_delta_rule_plus": ("correct", ["correct"]),
    "b02_clip_norm": ("undecided", ["undecided"]),
    "b04_early_return": ("correct", ["correct"]),
    "b08_adamw_plain": ("correct", ["correct"]),
    "b11_flat_views": ("correct", ["correct"]),
    "b13_loss_printed_end_only_expr": ("correct", ["correct"]),
    "b17_lr_div_m": ("correct", ["correct"]),
    "b24_ng_theta": ("correct", ["correct"]),
    "b28_adam_small_output_vars": ("correct", ["correct"]),
    "b30_tied_view_right": ("correct", ["correct"]),
    "g01_sgd_single": ("correct", ["correct"]),
    "g02_loop_misses_a_layer": ("wrong", ["zero_gradient"]),
    "g03_relu_mask": ("wrong", ["missing_activation_derivative"]),
    "g04_bias_scalar": ("wrong", ["bias_gradient"]),
    "g05_next_layer": ("wrong", ["wrong_activation_derivative"]),
    "g06_per_example": ("wrong", ["missing_activation_derivative"]),
    "g07_half_decay": ("wrong", ["regularised"]),
}
SAMPLE = [name for name in TRUTH if int(name[1:3]) % 6 == 0]


def check(path, seed=0, seconds=60, given=MappingProxyType({})):
    """Return the report on a file."""
    return _files.check_file(path, _files.Asking(given, seconds, seed))


def test_every_wild_file_has_its_truth():
    assert {path.stem for path in WILD.glob("*.py")} == set(TRUTH)


@pytest.mark.parametrize("name", quick({name: name for name in TRUTH}, *SAMPLE))
def test_a_file_is_judged_as_it_is(name):
    report = check(WILD / f"{name}.py", seed=1)
    verdict, codes = TRUTH[name]
    assert report.verdict == verdict, report
    assert report.diagnoses[0].code in codes or not codes, report
    wrong = {leaf.name for leaf in report.gradients.leaves if not leaf.ok}
    if verdict != "undecided":
        assert bool(wrong) == (verdict == "wrong" and name != "w22_labels_to_onehot")  # whose gradients fail elsewhere


# ---- a small file in parts, so that each part can be another

SCRIPT = """
import numpy as np

def step(W, b, X, t):
    error = X @ W + b - t
    loss = (error ** 2).mean()
    return loss, 2 * X.T @ error / error.size, 2 * error.sum(axis=0) / error.size

rng = np.random.default_rng(0)
X, t = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
W, b = np.zeros((4, 2)), np.zeros(2)
for epoch in range(50):
    loss, dW, db = step(W, b, X, t)
    W -= 0.1 * dW
    b -= 0.1 * db
"""
IN_A_DICT = """
import numpy as np

def step(p, X, t):
    error = X @ p["W"] + p["b"] - t
    return (error ** 2).mean(), {"W": 2 * X.T @ error / error.size, "b": 2 * error.sum(axis=0) / error.size}

def train(p, X, t, rate=0.1):
    for epoch in range(50):
        loss, gradients = step(p, X, t)
        for name in p:
            p[name] -= rate * gradients[name]

rng = np.random.default_rng(0)
train({"W": np.zeros((4, 2)), "b": np.zeros(2)}, rng.normal(size=(9, 4)), rng.normal(size=(9, 2)))
"""

HIDDEN_RATE = """
import numpy as np

class Line:
    def __init__(self):
        self.W = np.zeros((4, 2))

    def round(self, X, t):
        error = X @ self.W - t
        self.W -= 0.37 * X.T @ error / len(X)
        return 0.5 * (error ** 2).sum() / len(X)

rng = np.random.default_rng(0)
X, t, line = rng.normal(size=(9, 4)), rng.normal(size=(9, 2)), Line()
for epoch in range(50):
    loss = line.round(X, t)
"""

VARIANTS = {
    "at the top level": (SCRIPT, "correct", "correct"),
    "while": (SCRIPT.replace("for epoch in range(50):", "epoch = 0\nwhile epoch < 50:\n    epoch += 1"), "correct", ""),
    "rebound parameters": (SCRIPT.replace("W -= 0.1 * dW", "W = W - 0.1 * dW"), "correct", ""),
    "float32 inside": (
        SCRIPT.replace("error = X @ W + b - t", "error = (X @ W + b - t).astype(np.float32)"), "correct", "correct",
    ),
    "momentum": (
        SCRIPT.replace("W -= 0.1 * dW", "V = 0.9 * V + dW\n    W -= 0.1 * V").replace("for", "V = 0 * W\nfor"),
        "correct", "",
    ),
    "stops with an error later": (SCRIPT + "\nraise RuntimeError('no plot')", "correct", "correct"),
    "prints floods": (SCRIPT + "\nprint('x' * 10**6)", "correct", "correct"),
    "the sum": (SCRIPT.replace("/ error.size\n", "\n"), "wrong", "scale"),
    "half": (SCRIPT.replace("2 * X.T", "X.T").replace("2 * error.sum", "error.sum"), "wrong", "scale"),
    "sign": (SCRIPT.replace("2 * X.T", "-2 * X.T"), "wrong", "sign"),
    "zero": (SCRIPT.replace("2 * X.T", "0 * X.T"), "wrong", "zero_gradient"),
    "zero, rebound": (
        SCRIPT.replace("2 * X.T", "0 * X.T").replace("W -= 0.1 * dW", "W = W - 0.1 * dW"), "wrong", "zero_gradient",
    ),
    "zero, in a dict": (IN_A_DICT.replace("2 * X.T", "0 * X.T"), "wrong", "zero_gradient"),
    "in a dict": (IN_A_DICT, "correct", "correct"),
    "bias over the wrong axis": (SCRIPT.replace("sum(axis=0)", "sum()"), "wrong", "bias_gradient"),
    "L2 in the gradient alone": (
        SCRIPT.replace("W -= 0.1 * dW", "dW = dW + 0.3 * W\n    W -= 0.1 * dW"), "wrong", "regularised",
    ),
    "no rate": (SCRIPT.replace("0.1 * ", ""), "correct", "correct"),
    "a rate that is not to be told": (HIDDEN_RATE, "undecided", "undecided"),
    "one entry": (SCRIPT.replace("    W -=", "    dW[2, 1] *= 1.001\n    W -="), "wrong", "unexplained"),
}  # fmt: skip


def batches(body, before=""):
    """The script in batches of 4 and a last of 1, and its loop's body."""
    head, _ = SCRIPT.split("for epoch")
    return f"{head}{before}for epoch in range(20):\n    for i in range(0, 9, 4):\n" + textwrap.indent(body, " " * 8)


SPLIT = """
def forward(W, b, x):
    return x @ W + b
def error(out, y):
    return ((out - y) ** 2).mean()
def backward(out, x, y):
    d = 2 * (out - y) / out.size
    return x.T @ d, d.sum(axis=0)
"""
PARTS = """x, y = X[i:i + 4], t[i:i + 4]
out = forward(W, b, x)
dW, db = backward(out, x, y)
W -= 0.1 * dW
b -= 0.1 * db
"""
BATCH = "x, y = X[i:i + 4], t[i:i + 4]\nloss, dW, db = step(W, b, x, y)\n"
LATER = {
    "batches": (batches(BATCH + "W -= 0.1 * dW\nb -= 0.1 * db\n"), "correct"),
    "the last batch is divided by 4": (
        batches(BATCH + "dW, db = dW * len(x) / 4, db * len(x) / 4\nW -= 0.1 * dW\nb -= 0.1 * db\n"), "wrong"),
    "gradients are never set to zero": (
        batches(BATCH + "gW += dW\ngb += db\nW -= 0.1 * gW\nb -= 0.1 * gb\n", "gW, gb = 0 * W, 0 * b\n"), "wrong"),
    "momentum": (batches(BATCH + "v = 0.9 * v + dW\nW -= 0.1 * v\nb -= 0.1 * db\n", "v = 0 * W\n"), "correct"),
    "a rate that falls": (
        batches(BATCH + "rate = 0.1 / (1 + epoch + i)\nW -= rate * dW\nb -= rate * db\n"), "correct"),
    "a rate that falls, and no gradient in sight": (
        batches("x, y = X[i:i + 4], t[i:i + 4]\nrate = 0.1 / (1 + epoch + i)\nloss = update(W, b, x, y, rate)\n",
                "def update(W, b, x, y, rate):\n    loss, dW, db = step(W, b, x, y)\n    W -= rate * dW\n"
                "    b -= rate * db\n    return loss\n"), "correct"),
    "the rate of the first round is 0": (
        batches(BATCH + "rate = 0.01 * epoch\nW -= rate * dW\nb -= rate * db\n"), "error"),
    "the loss of all is printed": (
        batches(PARTS, SPLIT) + "    print('loss', error(forward(W, b, X), t))\n", "correct"),
    "the loss of all is printed, and the gradient wrong": (
        batches(PARTS, SPLIT.replace("d.sum", "d.mean")) + "    print('loss', error(forward(W, b, X), t))\n", "wrong"),
    "an iterator of batches": (
        SCRIPT.replace("for epoch in range(50):\n", "batches = iter([(X[:4], t[:4]), (X[4:], t[4:])] * 9)\n"
                       "for epoch in range(18):\n    X, t = next(batches)\n"), "correct"),
}  # fmt: skip


@pytest.mark.parametrize("text, verdict", quick(LATER, "the last batch is divided by 4", "momentum"))
def test_a_later_round_is_judged_too(text, verdict, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(text, encoding="utf-8")
    report = check(path)
    assert report.verdict == verdict, report
    assert verdict != "wrong" or "print" in text or "right in the first round" in report.diagnoses[0].message


@pytest.mark.parametrize("name", VARIANTS)
def test_a_script_is_judged(name, tmp_path):
    text, verdict, code = VARIANTS[name]
    path = tmp_path / "script.py"
    path.write_text(text, encoding="utf-8")
    report = check(path, seed=0)
    assert report.verdict == verdict, report
    assert not code or report.diagnoses[0].code == code, report


PLANTED = {  # in a training script of layers as classes: activation, mistake, code
    "an update that is not finite": ("relu", "divides by phi'(z) where it is to be multiplied", "nonfinite"),
    "a number for a bias": ("tanh", "sums delta_l over all entries for d b_l", "bias_gradient"),
    "a round that fails": ("tanh", "sums delta_l over the units for d b_l, and not over the batch", "exception"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_an_update_hides_is_judged(name, tmp_path):
    activation, mistake, code = PLANTED[name]
    file = tmp_path / "layers.py"
    file.write_text(written("classes", activation, "cross_entropy", 2, 0, mistakes=[mistake]).text, encoding="utf-8")
    report = _files.check_file(file, _files.Asking(seconds=60, seed=3))
    assert (report.verdict, report.diagnoses[0].code) == ("wrong", code)
    assert {"layers[2].W", "layers[2].b"} <= set(report.right_everywhere)


def test_a_bias_that_the_loss_leaves_out_is_not_called_right(tmp_path):
    file, text = tmp_path / "layers.py", written("classes", "tanh", "cross_entropy", 2, 0).text
    file.write_text(text.replace("return x @ self.W + self.b", "return x @ self.W"), encoding="utf-8")
    report = _files.check_file(file, _files.Asking(seconds=60, seed=3))
    assert report.verdict == "undecided"
    assert "does not depend on layers[0].b, layers[2].b" in report.diagnoses[0].message
    file.write_text(text, encoding="utf-8")
    assert _files.check_file(file, _files.Asking(seconds=60, seed=3)).verdict == "correct"


def test_one_entry_of_many_that_is_not_sampled_is_counted(tmp_path):
    """Above 2,000 entries some are sampled, and the report says how many."""
    path = tmp_path / "wide.py"
    path.write_text(SCRIPT.replace("4, 2", "1200, 2").replace("(9, 4)", "(9, 1200)"), encoding="utf-8")
    report = check(path, seed=0)
    assert report.verdict == "correct"
    assert any("for 42 of 2,402 entries" in note for note in report.notes)


UNDECIDED = SCRIPT.replace("(error ** 2).mean()", "np.floor(error * 1e6).sum() / 1e6 + np.sin(1e9 * error).sum()")


def test_differences_that_cannot_tell_are_undecided(tmp_path):
    path = tmp_path / "kinks.py"
    path.write_text(UNDECIDED, encoding="utf-8")
    report = check(path, seed=0)
    assert report.verdict != "correct"


NO_STEP = {
    "empty": ("", "or a loop that is seen to train, got none"),
    "no parameters": ("for i in range(3): print(i)", "expected a function loss_and_gradients"),
    "syntax error": ("def f(", "line 1: '(' was never closed"),
    "ends its process": ("import os; os._exit(3)", "with status 3"),
    "raises": ("1 / 0", "ZeroDivisionError: division by zero (line 1"),
    "raises in its run": ("if __name__ == '__main__':\n    open('no.csv')", "its own run ended with FileNotFoundError"),
}


@pytest.mark.parametrize("name", NO_STEP)
def test_without_a_child_it_says_why(name, tmp_path):
    text, words = NO_STEP[name]
    path = tmp_path / "nothing.py"
    path.write_text(text, encoding="utf-8")
    report = check(path)
    assert report.verdict == "error" and words in report.diagnoses[0].message


def test_an_endless_loop_without_a_round_is_late(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text("import time; time.sleep(60)", encoding="utf-8")
    assert "no answer within 1 s" in check(path, seconds=1).diagnoses[0].message


EVERYWHERE = "import os, pickle\nfor n in range(3, 20):\n    try: os.write(n, {} + b'\\n')\n    except OSError: pass\n"
FORGED = {
    "no JSON": "import os; os.write(1, b'x')\n",
    "a message of its own": EVERYWHERE.format("""b'{"steps": [], "shapes": [[9, -1]]}'"""),
    "a huge array": EVERYWHERE.format("""b'{"steps": [], "sizes": [], "error": "", "shapes": [[9999999999]]}'"""),
    "a pickle": EVERYWHERE.format("pickle.dumps(print)"),
    "an answer without end": EVERYWHERE.format("b'x' * 2**20"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_a_file_writes_to_the_judge_is_not_believed(name, tmp_path):
    path = tmp_path / "forged.py"
    path.write_text(FORGED[name] + SCRIPT, encoding="utf-8")
    assert check(path).verdict in ("correct", "error")


@pytest.mark.parametrize(
    "given, verdict, words",
    [
        ({"layout": "rows"}, "error", "--layout: for files with loss_and_gradients"),
        ({"activation": "relu"}, "correct", "are those of the loss"),
        ({"activation": "tanh"}, "wrong", 'where tanh was asked for: set ACTIVATION = "relu"'),
    ],
    ids=["layout", "activation", "another activation"],
)  # fmt: skip
def test_flags_ask_for_a_network(given, verdict, words):
    report = check(WILD / "w04_plain_numpy_fit.py", given=given)
    assert report.verdict == verdict and words in report.diagnoses[0].message


def test_the_command_says_what_it_judged(tmp_path):
    done = run("check", WILD / "w11_cats_from_pixels.py", "--seed", 5)
    assert done.returncode == 1
    assert "scale: each of p['W1'], p['b1'] is 1/30 times what is right, and 30 is a size of its arrays" in done.stdout
    assert "cost(run(p, X)[2], Y)" in done.stdout and "--seed 5" in done.stdout
    done = run("check", WILD / "w02_petals_binary.py", WILD / "w04_plain_numpy_fit.py", "--csv", tmp_path / "a.csv")
    assert done.returncode == 0 and "2 correct" in done.stdout


# ---- which network it is

NETWORKS = {
    "w01_multilabel_tagger": "tanh, sigmoid outputs, binary cross-entropy, mean over the batch",
    "w04_plain_numpy_fit": "relu, linear outputs, squared error, sum, some biases absent",
    "w06_moons_model": "tanh, softmax outputs, cross-entropy, mean over the batch, L2 term 0.001875 |W|^2",
    "w09_swish_regression_jax": "swish, linear outputs, squared error, mean over the batch",
    "w18_folded_bias_logistic": "sigmoid, sigmoid outputs, binary cross-entropy, mean over the batch",
    "w19_checkpoint_mlp": "relu, softmax outputs, cross-entropy, mean over the batch, L2 term 0.05 |W|^2",
    "w20_batchnorm_mlp": None,
    "w21_padded_batch": "tanh, softmax outputs, cross-entropy, mean over the examples by weight",
}


@pytest.mark.parametrize("name", quick({name: name for name in NETWORKS}, "w06_moons_model", "w21_padded_batch"))
def test_the_network_is_recognised(name):
    report = check(WILD / f"{name}.py", seed=2)
    words = NETWORKS[name]
    assert report.notes[0] == ("the network is not recognised" if words is None else f"the network: {words}")


SAMPLE_MADE = list(MADE)[7::80]


@pytest.mark.parametrize("name", SAMPLE_MADE)
def test_a_made_network_is_right_and_recognised(name, tmp_path):
    assert made_networks.right(MADE[name], tmp_path)


@pytest.mark.parametrize("mistake", list(WRONG)[::2])
def test_a_mistake_in_a_made_network_is_caught_and_named(mistake, tmp_path):
    networks = [network for network in MADE.values() if not made_networks.is_the_same(network, mistake)]
    assert made_networks.wrong(networks[19 * list(WRONG).index(mistake)], mistake, tmp_path) == "named"


def test_the_record_of_all_made_networks_is_what_is_claimed():
    """`python tests/made_networks.py` makes it, in minutes."""
    record = json.loads(made_networks.RECORD.read_text(encoding="utf-8"))
    assert record["networks"] == len(MADE) >= 200 and record["right and recognised"] == len(MADE)
    assert record["mistakes"] == record["caught"] >= 700
    assert record["named"] >= 0.95 * record["mistakes"]


# ---- its parts


def test_a_training_loop_is_found_with_its_parameters_and_losses():
    tree = ast.parse((WILD / "w16_softmax_squared.py").read_text(encoding="utf-8"))
    with redirect_stdout(io.StringIO()):
        module, seen, error = loops.run(tree, "w16.py")
        step, *_ = search.steps(module, tree, seen)
    assert error is None
    assert [state.written(path) for path in step.theta] == ["net.inner", "net.outer"]
    assert ast.unparse(step.losses[0].value) == "net.sample_loss(v, t)"
    assert step.gradients[0].words == "d_inner, d_outer"


def test_arrays_are_found_and_replaced_wherever_they_stand():
    class Net:
        def __init__(self):
            self.layers = [(np.ones(2), [[1.0, 2.0], [3.0, 4.0]])]

    scope = {"net": Net(), "other": {"W": np.zeros(3, np.float32)}, "name": "x", "np": np, "count": 3}
    paths = {state.written(path): path for path, _ in state.arrays(scope)}
    assert set(paths) == {"net.layers[0][0]", "net.layers[0][1]", "other['W']"}
    new = state.copied(scope)
    for path in paths.values():
        state.put(new, path, 7 * np.ones_like(state.as_floats(state.get(new, path))))
    assert new["net"].layers[0][1] == [[7.0, 7.0], [7.0, 7.0]] and new["other"]["W"].dtype == np.float64
    assert scope["net"].layers[0][1][0] == [1.0, 2.0]


def test_slopes_have_their_errors_and_kinks_are_marked():
    at = np.array([0.3, -0.7, 0.0])
    functions = (np.exp, np.sin, np.abs)
    found = slopes(
        lambda h: np.stack([f(x + step) for f, x, step in zip(functions, at, h, strict=True)]), 3, 1e-4, "float64"
    )
    np.testing.assert_allclose(found.values[:2], [np.exp(0.3), np.cos(-0.7)], rtol=1e-10)
    assert (found.errors[:2] < 1e-8).all()
