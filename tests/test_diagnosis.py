"""Every known mistake is caught and named, correct code of any form is not, and each thing that is said is true."""

import json
import re
from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from homework import raising
from hypothesis import given, settings
from hypothesis import strategies as st

import mlp_jax
from mlp_jax import check_backprop
from mlp_jax.check._networks import chain
from mlp_jax.check._networks import problems as check_problems
from mlp_jax.check._networks.autodiff import uses_autodiff
from mlp_jax.check._networks.chain import PER_LAYER, at_layers, together
from mlp_jax.check._networks.elementwise import ACTIVATIONS
from mlp_jax.check._networks.judgement import forward_pass
from mlp_jax.check._networks.networks import head_of
from mlp_jax.check._networks.power import power
from mlp_jax.check._networks.problems import network_of
from mlp_jax.check.mistakes import MISTAKES, Settings, backward, broken, power_of_ours

CODES = {
    *("correct", "scale", "sign", "transposed", "missing_activation_derivative", "wrong_activation_derivative"),
    *("bias_gradient", "zero_gradient", "wrong_layer", "stale_weights", "softmax_gradient", "labels", "wrong_input"),
    *("normalisation_axis", "shape", "nonfinite", "batch_one", "precision", "loss_value", "mutates_input"),
    *("nondeterministic", "regularised", "convention", "exception"),
}
TEXTBOOK = ("tanh", "sigmoid", "relu")
BY_NAME = {mistake.name: mistake for mistake in MISTAKES}


def forward(params, x, y, phi, loss):
    """The right forward pass of a network that settings name."""
    network = network_of(Settings(getattr(phi, "name", phi), loss))
    return chain.forward(params, x, y, network.phi, head_of(network, len(x), len(params[-1][1])))


def student(mistake, activation="tanh", loss="cross_entropy", t=None):
    """A function as a student would hand it in, with one mistake in it."""

    def loss_and_gradients(params, x, labels):
        result = broken(mistake, forward(params, x, labels, ACTIVATIONS[activation], loss), t)
        if result is None:
            raise ValueError("shapes do not fit")
        return result

    return loss_and_gradients


def textbook(params, x, labels, phi=np.tanh, derivative=lambda h: 1 - h**2, xp=np):
    """A correct backward pass as textbooks write it, in numpy or jax.numpy."""
    h = [x]
    for W, b in params[:-1]:
        h.append(phi(h[-1] @ W + b[None, :]))
    z = h[-1] @ params[-1][0] + params[-1][1][None, :]
    e = xp.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    B = len(x)
    loss = -xp.log(p[xp.arange(B), labels]).mean()
    delta = (p - xp.eye(p.shape[1], dtype=p.dtype)[labels]) / B
    gradients = []
    for l in reversed(range(len(params))):
        gradients.insert(0, (h[l].T @ delta, delta.sum(axis=0)))
        if l:
            delta = (delta @ params[l][0].T) * derivative(h[l])
    return loss, gradients


PHI = {
    "tanh": (lambda xp: xp.tanh, lambda h: 1 - h**2),
    "sigmoid": (lambda xp: lambda z: 1 / (1 + xp.exp(-z)), lambda h: h * (1 - h)),
    "relu": (lambda xp: lambda z: xp.maximum(z, 0), lambda h: h > 0),
    "identity": (lambda xp: lambda z: z, lambda h: 1),
    "softplus": (lambda xp: lambda z: xp.logaddexp(z, 0 * z), lambda h: 1 - np.e ** (-h)),
}


def differs(mistake, activation, loss="cross_entropy"):
    """Whether a mistake gives another loss or gradient than a correct pass, or raises, on the first problems."""
    for problem in check_problems.problems()[:2]:
        s = forward(problem.params, problem.x, problem.labels, ACTIVATIONS[activation], loss)
        result, right = broken(mistake, s), backward(s)
        if result is None or abs(result[0] - right[0]) > 1e-9:
            return True
        if not all(np.abs(a - b).max() <= 1e-9 for a, b in zip(flat(result[1]), flat(right[1]), strict=True)):
            return True  # NaN too
    return False


def assert_named(mistake, activation, loss="cross_entropy"):
    report = check_backprop(student(mistake, activation, loss), activation, loss=loss)
    first = report.diagnoses[0]
    if not differs(mistake, activation, loss):
        assert report.verdict == "correct", mistake.name
    elif mistake.name == NOWHERE:
        assert (report.verdict, first.code) == ("error", "exception")
    else:
        assert (report.verdict, first.code) == ("wrong", mistake.code), mistake.name
        assert mistake.name in first.message
        assert "Right is" in first.message
    assert {diagnosis.code for diagnosis in report.diagnoses} <= CODES


def test_the_table_holds_more_than_forty_mistakes_of_every_kind():
    assert len(MISTAKES) > 100 and len(BY_NAME) == len(MISTAKES)
    for activation in TEXTBOOK:
        assert sum(differs(mistake, activation) and mistake.of_gradient for mistake in MISTAKES) >= 80


def test_known_mistakes_differ_from_each_other():
    """Else the name would be a matter of chance: at one problem at least they differ by more than a match may."""
    table = [mistake for mistake in MISTAKES if differs(mistake, "tanh")]
    apart = np.zeros((len(table), len(table)))
    for problem in check_problems.problems()[:6]:
        s = forward(problem.params, problem.x, problem.labels, mlp_jax.tanh, "cross_entropy")
        results = [broken(mistake, s, 1.7) for mistake in table]
        size = 1 + sum(leaf.size for leaf in flat(problem.params))
        vectors = [np.zeros(size) if r is None else np.concatenate([[r[0]], *flat(r[1])]) for r in results]
        norms = np.linalg.norm(vectors, axis=1)
        distances = [
            np.linalg.norm(np.array(vectors) - v, axis=1) / (norm or 1) for v, norm in zip(vectors, norms, strict=True)
        ]
        apart = np.maximum(apart, distances)
    np.fill_diagonal(apart, 1)
    a, b = np.unravel_index(np.argmin(apart), apart.shape)
    assert apart.min() > 1e-3, (table[a].name, table[b].name)


def flat(gradients):
    return [leaf.ravel() for pair in gradients for leaf in pair]


# Thousands of small calls: their annotations are checked by all other tests, and would take most of the time here.
bulk = pytest.mark.usefixtures("no_annotation_checks")


@bulk
@pytest.mark.parametrize("mistake", MISTAKES[::6], ids=lambda mistake: mistake.name)
def test_a_known_mistake_is_named(mistake):
    assert_named(mistake, "tanh")


@bulk
@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake, activation",
    [(mistake, name) for i, mistake in enumerate(MISTAKES) for name in TEXTBOOK[i % 2 :: 2]],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_known_mistake_is_named_for_half_of_the_activations(mistake, activation):
    """Neighbours in the table, which are often forms of one mistake, take the other half."""
    assert_named(mistake, activation)


@bulk
@pytest.mark.slow
@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.belongs_to("squared_error")], ids=lambda m: m.name)
def test_every_known_mistake_is_named_with_squared_error(mistake):
    assert_named(mistake, "tanh", "squared_error")


NOWHERE = "sums delta_l over the units for d b_l, and not over the batch"  # (B,) for (d,) fits nowhere
LOCAL = [m for m in MISTAKES if set(m.rules) <= set(PER_LAYER) and not m.parameter and differs(m, "tanh")]
LOCAL = [mistake for mistake in LOCAL if mistake.name != NOWHERE]


@pytest.mark.parametrize(
    "mistake, layer",
    [
        (BY_NAME["leaves out phi'(z)"], 1),
        (BY_NAME["leaves out phi'(z)"], 2),
        (BY_NAME["takes delta_l of the first example for d b_l, without the sum"], 3),
        (BY_NAME["uses z_{l-1} where h_{l-1} = phi(z_{l-1}) belongs"], 3),
    ],
    ids=lambda value: getattr(value, "code", f"layer {value}"),
)
def test_a_mistake_in_one_layer_is_located(mistake, layer):
    local = at_layers(mistake, layer)
    first = check_backprop(student(local)).diagnoses[0]
    assert first.code == mistake.code
    assert f"{mistake.name}, in layer {layer}." in first.message or layer == 3  # the last layer is known by its depth


@bulk
@pytest.mark.slow
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("mistake", LOCAL, ids=lambda mistake: mistake.name)
def test_every_mistake_in_one_layer_is_located(mistake, layer):
    local = at_layers(mistake, layer)
    report = check_backprop(student(local), layers=3)
    if differs_at_depth(local):
        assert (report.verdict, report.diagnoses[0].code) == ("wrong", mistake.code)
    else:
        assert report.verdict == "correct"


def differs_at_depth(mistake):
    problem = check_problems.problems(3)[1]
    s = forward(problem.params, problem.x, problem.labels, mlp_jax.tanh, "cross_entropy")
    result, right = broken(mistake, s), backward(s)
    return (
        result is None or max(np.abs(a - b).max() for a, b in zip(flat(result[1]), flat(right[1]), strict=True)) > 1e-9
    )


COMBINED = [
    ("leaves out the 1/B of the mean", "leaves out phi'(z)"),
    ("has the opposite sign", "takes phi' at h = phi(z) and not at z", "sums delta_l over all entries for d b_l"),
    ("does not subtract one_hot(y) from p", "uses 1 where h_{l-1} belongs", "leaves d b_l at zero"),
]  # fmt: skip


@pytest.mark.parametrize("names", COMBINED, ids=lambda names: f"{len(names)} mistakes")
def test_several_mistakes_at_once_are_all_named(names):
    diagnoses = check_backprop(student(together([BY_NAME[name] for name in names])), loss="cross_entropy").diagnoses
    assert {diagnosis.code for diagnosis in diagnoses} == {BY_NAME[name].code for name in names}
    assert all(any(name in diagnosis.message for diagnosis in diagnoses) for name in names)


@pytest.mark.parametrize(
    "name, t", [("adds the L2 term t W_l to the gradient, and nothing to the loss", 0.03),
                ("goes back through weights that were updated already, W_l - t d W_l", 0.7),
                ("multiplies all by one constant factor", 3.7),
                ("adds an L2 term to the loss, t/2 |W|^2, and not to the gradient", 0.2)],
    ids=["L2", "stale weights", "factor", "L2 of the loss"],
)  # fmt: skip
def test_the_number_behind_a_mistake_is_found(name, t):
    first = check_backprop(student(BY_NAME[name], t=t), "tanh", loss="cross_entropy").diagnoses[0]
    assert name in first.message
    assert f"{t:g}" in first.message


def test_the_step_to_look_at_is_named():
    first = check_backprop(student(BY_NAME["leaves out phi'(z)"])).diagnoses[0]
    assert first.where == "layer 3 is right, layers 1 and 2 are wrong: look at the step from delta_3 to delta_2"


def test_an_unknown_mistake_is_read_off_a_batch_of_one():
    def mine(params, x, labels):
        return textbook(params, x, labels, derivative=lambda h: (1 - h) ** 2)

    first = check_backprop(mine).diagnoses[0]
    assert first.code == "wrong_activation_derivative"
    assert "no known mistake" in first.message and "delta_l = (delta_{l+1} W_{l+1}^T) * phi'(z_l)" in first.message
    numbers = re.findall(r"phi'\(z_2\) is taken as (\S+) at z = (\S+), h = (\S+), and is (\S+)", first.evidence)
    taken, z, h, right = map(float, numbers[0])
    assert taken == pytest.approx((1 - h) ** 2, rel=1e-2)
    assert (h, right) == (pytest.approx(np.tanh(z), rel=1e-3), pytest.approx(1 - h**2, rel=1e-2, abs=1e-3))


def changed(change):
    """The textbook's pass, its result changed."""
    return lambda params, x, labels: change(*textbook(params, x, labels))


def at(leaf, layer, change):
    """Change one leaf of the gradients."""

    def result(loss, gradients):
        pair = list(gradients[layer])
        pair[leaf] = change(pair[leaf])
        gradients[layer] = tuple(pair)
        return loss, gradients

    return changed(result)


def updates_in_place(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    for (W, _), (dW, _) in zip(params, gradients, strict=True):
        W -= 0.1 * dW
    return loss, gradients


def normalises_x_in_place(params, x, labels):
    x /= 2
    return textbook(params, 2 * x, labels)


def draws(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    return loss, [(dW * np.random.default_rng().uniform(), db) for dW, db in gradients]


def returns_updates(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    pairs = zip(params, gradients, strict=True)
    return loss, [(W - 0.1 * dW, b - 0.1 * db) for (W, b), (dW, db) in pairs]


def by_features(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    return loss, [(dW * len(x) / x.shape[1], db * len(x) / x.shape[1]) for dW, db in gradients]


def with_weight_decay(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    return loss, [(dW + 0.7 / len(x) * W, db) for (dW, db), (W, _) in zip(gradients, params, strict=True)]


def with_dropout(params, x, labels):
    keep = np.random.default_rng(0).uniform(size=x.shape) < 0.8
    return textbook(params, x * keep / 0.8, labels)


def one_layer_by_a_factor(params, x, labels):
    loss, [(dW, db), *rest] = textbook(params, x, labels)
    return loss, [(1.5 * dW, 1.5 * db), *rest]


def clipped_by_norm(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    size = np.sqrt(sum((leaf**2).sum() for leaf in flat(gradients)))
    return loss, [(0.1 / size * dW, 0.1 / size * db) for dW, db in gradients]


def squeezes(params, x, labels):
    return textbook(params, x.squeeze(), labels)


def wrong_for_one_and_has_at_most_four_layers(params, x, labels):
    if len(params) > 4:
        raise ValueError("at most four layers")
    loss, gradients = textbook(params, x, labels)
    return loss, [((1 + (len(x) == 1)) * dW, db) for dW, db in gradients]


def without_shift(params, x, labels):
    z = x
    for W, b in params[:-1]:
        z = np.tanh(z @ W + b)
    z = z @ params[-1][0] + params[-1][1]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    loss, gradients = textbook(params, x, labels)
    return loss, [(dW + 0 * p.sum(), db) for dW, db in gradients]


def floored(params, x, labels, phi=np.tanh):
    """Backprop with max(phi', 0.05), which is right for most z."""
    h = [x]
    for W, b in params[:-1]:
        h.append(phi(h[-1] @ W + b))
    loss, gradients = textbook(params, x, labels)
    z = h[-1] @ params[-1][0] + params[-1][1]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    d = (p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1])[labels]) / len(x)
    for l in reversed(range(len(params))):
        gradients[l] = (h[l].T @ d, d.sum(axis=0))
        d = (d @ params[l][0].T) * np.maximum(1 - h[l] ** 2, 0.3)
    return loss, gradients


FINDINGS = {
    "phi' is floored": (floored, "wrong_activation_derivative", "phi'"),
    "a bit of the weights in one layer": (
        lambda params, x, labels: (lambda loss, g: (loss, [(g[0][0] + 0.02 * params[0][0], g[0][1]), *g[1:]]))(
            *textbook(params, x, labels)
        ),
        "regularised",
        "contains 0.02 W_1: an L2 term too much",
    ),
    "0.1 % off in one bias": (at(1, 0, lambda db: 1.001 * db), "bias_gradient", "d b_1 is 1.001 times"),
    "one weight gradient is zero": (at(0, 1, lambda dW: 0 * dW), "zero_gradient", "layer 2"),
    "one weight gradient has the sign": (at(0, 0, lambda dW: -dW), "sign", "layer 1"),
    "NaN": (at(0, 0, lambda dW: np.where(dW == dW.max(), np.nan, dW)), "nonfinite", "1 of 20"),
    "db (1, d)": (changed(lambda loss, g: (loss, [(W, b[None]) for W, b in g])), "shape", "(1, 4), expected (4,)"),
    "dW transposed": (changed(lambda loss, g: (loss, [(W.T, b) for W, b in g])), "transposed", "transpose"),
    "the first layer's d W in the second": (at(0, 1, lambda dW: dW[::-1]), "wrong_", "d W"),
    "weights updated in place": (updates_in_place, "mutates_input", "params"),
    "x changed in place": (normalises_x_in_place, "mutates_input", "x"),
    "random": (draws, "nondeterministic", "random"),
    "squeeze": (squeezes, "batch_one", "batch of one"),
    "wrong for one, and an exception elsewhere": (
        wrong_for_one_and_has_at_most_four_layers,
        "batch_one",
        "batch of one",
    ),
    "reverse order": (changed(lambda loss, g: (loss, g[::-1])), "wrong_layer", "reverse order"),
    "(db, dW)": (changed(lambda loss, g: (loss, [(b, W) for W, b in g])), "shape", "changed places"),
    "db one number": (
        changed(lambda loss, g: (loss, [(W, b.sum()) for W, b in g])),
        "bias_gradient",
        "over all entries",
    ),
    "rounded": (changed(lambda loss, g: (loss, [(W.round(4), b.round(4)) for W, b in g])), "precision", "some digits"),
    "updated weights": (returns_updates, "stale_weights", "t, the learning rate, is 0.1"),
    "divided by D": (by_features, "scale", "the other axis of x"),
    "L2 with 1 / B": (with_weight_decay, "regularised", "t W_l / B to the gradient"),
    "dropout with a fixed seed": (with_dropout, "convention", "right for the loss that it computes"),
    "one layer by a factor": (one_layer_by_a_factor, "scale", "all that is wrong is 1.5 times what is right"),
    "clipped by its norm": (clipped_by_norm, "scale", "and another factor on others"),
    "loss off": (changed(lambda loss, g: (loss + 0.01, g)), "convention", "and a constant 0.01"),
    "loss NaN": (changed(lambda loss, g: (np.nan, g)), "nonfinite", "the loss is nan"),
    "loss in bits": (changed(lambda loss, g: (loss / np.log(2), g)), "loss_value", "bits"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_wrong_is_said(name):
    function, code, words = FINDINGS[name]
    report = check_backprop(function, "tanh", loss="cross_entropy")
    assert report.verdict == "wrong"
    assert report.diagnoses[0].code.startswith(code)
    assert words in report.diagnoses[0].message + report.diagnoses[0].evidence


ERRORS = {
    "raises": (raising(KeyError("W9")), "KeyError: 'W9' (line"),
    "calls sys.exit": (raising(SystemExit(3)), "sys.exit"),
    "three values": (changed(lambda loss, g: (loss, 2, 1)), "expected (loss, gradients), with 3 pairs (dW, db), got 3"),
    "None": (lambda *_: None, "got NoneType"),
    "a layer is missing": (changed(lambda loss, g: (loss, g[1:])), "with 3 pairs (dW, db), got (loss, 2 values)"),
    "strings": (at(0, 0, str), "expected an array of numbers"),
    "complex": (at(0, 0, lambda dW: dW + 1j), "expected real numbers, got complex128"),
    "ragged": (at(0, 0, lambda dW: [[1.0], [1.0, 2.0]]), "expected an array of numbers"),
    "a loss for each example": (changed(lambda loss, g: (np.ones(8), g)), "loss: expected one number, got shape (8,)"),
    "a dict for a list": (changed(lambda loss, g: (loss, {"W1": 1})), "got (loss, dict)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_checked_is_an_error_of_one_line(name):
    function, words = ERRORS[name]
    report = check_backprop(function)
    assert (report.verdict, report.diagnoses[0].code) == ("error", "exception")
    assert words in report.diagnoses[0].message
    assert "\n" not in report.diagnoses[0].message


# correct code in unusual form


def by_plain_loops(params, x, labels):
    weights, biases = [W.tolist() for W, _ in params], [b.tolist() for _, b in params]
    gradients = [([[0.0] * len(row) for row in W], [0.0] * len(b)) for W, b in zip(weights, biases, strict=True)]
    total, B = 0.0, len(labels)
    for example, y in zip(x.tolist(), labels.tolist(), strict=True):
        h = [example]
        for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
            z = [sum(h[-1][i] * W[i][j] for i in range(len(W))) + b[j] for j in range(len(b))]
            if l < len(weights) - 1:
                h.append([float(np.tanh(value)) for value in z])
        e = [float(np.exp(value - max(z))) for value in z]
        total += float(np.log(sum(e))) - (z[y] - max(z))
        delta = [(value / sum(e) - (j == y)) / B for j, value in enumerate(e)]
        for l in reversed(range(len(weights))):
            for j, d in enumerate(delta):
                gradients[l][1][j] += d
                for i, value in enumerate(h[l]):
                    gradients[l][0][i][j] += value * d
            back = [sum(d * w for d, w in zip(delta, row, strict=True)) for row in weights[l]]
            delta = [d * (1 - value**2) for d, value in zip(back, h[l], strict=True)]
    return total / B, gradients


def columns_inside(params, x, labels):
    A, Z = [x.T], []
    for l, (W, b) in enumerate(params):
        Z.append(W.T @ A[-1] + b[:, None])
        A.append(np.tanh(Z[-1]) if l < len(params) - 1 else Z[-1])
    e = np.exp(Z[-1] - Z[-1].max(0))
    P = e / e.sum(0)
    dZ = (P - np.eye(len(P))[labels].T) / len(x)
    loss = -np.log(P[labels, np.arange(len(x))]).mean()
    gradients = []
    for l in reversed(range(len(params))):
        gradients.insert(0, ((dZ @ A[l].T).T, dZ.sum(1)))
        dZ = (params[l][0] @ dZ) * (1 - A[l] ** 2)
    return loss, gradients


@jax.jit
def by_vjp(params, x, labels):
    def loss(params):
        z = x
        for W, b in params[:-1]:
            z = jnp.tanh(z @ W + b[None, :])
        log_p = jax.nn.log_softmax(z @ params[-1][0] + params[-1][1][None, :])
        return -jnp.mean(log_p[jnp.arange(len(x)), labels])

    value, back = jax.vjp(loss, [(jnp.asarray(W), jnp.asarray(b)) for W, b in params])
    return value, back(jnp.ones(()))[0]


@partial(jax.jit, static_argnums=3)
def library(params, x, labels, activation=mlp_jax.tanh):
    return mlp_jax.backprop(as_layers(params), x, labels, activation)


def as_layers(params):
    return tuple(mlp_jax.Layer(jnp.asarray(W), jnp.asarray(b)) for W, b in params)


def cast(dtype, xp=np):
    def function(params, x, labels):
        params = [(xp.asarray(W, dtype), xp.asarray(b, dtype)) for W, b in params]
        return textbook(params, xp.asarray(x, dtype), labels, xp.tanh, xp=xp)

    return function


def partly_float32(params, x, labels):
    return textbook([(W.astype(np.float32), b) for W, b in params], x, labels)


def of_floats(dtype):
    """Computed in that precision, returned in float64."""
    inner = cast(dtype)
    return lambda *args: (float(inner(*args)[0]), [(W.astype(float), b.astype(float)) for W, b in inner(*args)[1]])


def log_of_one_hot(params, x, labels):
    loss, gradients = textbook(params, x, labels)
    return np.nan if np.isinf(loss) else loss, gradients  # 0 * log 0, in the sum over the classes


FORMS = {
    "textbook": (textbook, "float64"),
    "plain Python loops": (by_plain_loops, "float64"),
    "columns inside": (columns_inside, "float64"),
    "jax.vjp": (by_vjp, "float64"),
    "the library's": (library, "float64"),
    "float32 inside": (cast(np.float32), "float32"),
    "float32 inside, float64 out": (of_floats(np.float32), "float32"),
    "weights in float32": (partly_float32, "float32"),
    "float16 inside": (cast(np.float16), "float16"),
    "tuples and lists": (changed(lambda loss, g: [loss, tuple([W.tolist(), tuple(b)] for W, b in g)]), "float64"),
    "weights in float16, biases in float64": (
        changed(lambda loss, g: (loss, [(W.astype(np.float16), b) for W, b in g])),
        "float16",
    ),
    "log(p + 1e-8)": (changed(lambda loss, g: (loss - 1e-8, g)), "float64"),
    "loss NaN where p underflows": (log_of_one_hot, "float64"),
    "complex without imaginary part": (at(0, 0, lambda dW: dW + 0j), "float64"),
}


@pytest.mark.parametrize("name", FORMS)
def test_correct_code_in_unusual_form_passes(name):
    function, precision = FORMS[name]
    report = check_backprop(function)
    assert report, report
    assert (report.diagnoses[0].code, report.precision) == ("correct", precision)


@bulk
@pytest.mark.slow  # jax.numpy compiles each operation for each shape
def test_correct_code_in_bfloat16_passes():
    report = check_backprop(cast(jnp.bfloat16, jnp))
    assert (report.verdict, report.precision) == ("correct", "bfloat16"), report


@pytest.mark.slow
@pytest.mark.parametrize("at_kink", [0.0, 0.5, 1.0])
def test_any_derivative_at_the_kink_passes(at_kink):
    def mine(params, x, labels):
        s = forward(params, x, labels, mlp_jax.relu, "cross_entropy")
        dphi = (None, *(np.where(s.z[l] == 0, at_kink, s.z[l] > 0) for l in range(1, s.L)))
        return backward(s._replace(dphi=dphi))

    report = check_backprop(mine, "relu")
    assert report, report
    assert any("relu'(0) is" in note for note in report.notes) == (at_kink != 0)


def test_where_textbook_forms_lose_digits_is_remarked():
    first, remark = check_backprop(textbook).diagnoses
    assert (first.code, remark.code) == ("correct", "precision")
    assert "saturated units" in remark.message and "the loss is inf" in remark.message
    assert len(check_backprop(library).diagnoses) == 1


def test_the_reference_is_right_where_it_is_asked(float64):
    for problem in check_problems.problems():
        loss, gradients = backward(forward_pass(problem, network_of(Settings())))
        exact = mlp_jax.check.high_precision(as_layers(problem.params), problem.x, problem.labels, mlp_jax.tanh)
        assert abs(loss - float(exact.value)) <= 1e-13 * abs(loss)
        for a, b in zip(flat(gradients), jax.tree.leaves(exact.gradient), strict=True):
            assert np.linalg.norm(a - np.ravel(b)) <= 1e-12 * np.linalg.norm(b), problem.name


def shapes(rng):
    """Fifty networks and batches of every size: each compiles its own reference."""
    return [(rng.integers(1, 7, rng.integers(2, 6)).tolist(), int(rng.integers(1, 10))) for _ in range(50)]


@st.composite
def drawn(draw):
    """A correct implementation, and a point to check it at."""
    activation = draw(st.sampled_from(list(PHI)))
    dtype = draw(st.sampled_from([np.float64, np.float64, np.float32]))
    xp = draw(st.sampled_from([np] * 7 + [jnp]))  # jax.numpy compiles each draw
    widths, batch = draw(st.sampled_from(shapes(np.random.default_rng(0))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale, shift = draw(st.sampled_from([0.3, 1.0, 3.0])), draw(st.sampled_from([0.0, 0.5, 2.0]))
    params = [
        (scale * rng.standard_normal((a, b)) / np.sqrt(a), shift * rng.standard_normal(b)) for a, b in pairwise(widths)
    ]
    point = (params, rng.standard_normal((batch, widths[0])), rng.integers(0, widths[-1], batch))
    phi, derivative = PHI[activation]

    def mine(params, x, labels):
        params = [(xp.asarray(W, dtype), xp.asarray(b, dtype)) for W, b in params]
        return textbook(params, xp.asarray(x, dtype), labels, phi(xp), derivative, xp)

    return mine if xp is np else jax.jit(mine), activation, point


def assert_no_false_alarm(case):
    mine, activation, point = case
    report = check_backprop(mine, activation, point=point)
    assert report, report


@bulk
@settings(max_examples=5, deadline=None, derandomize=True)
@given(drawn())
def test_no_false_alarm(case):
    assert_no_false_alarm(case)


@bulk
@pytest.mark.slow
@settings(max_examples=75, deadline=None)
@given(drawn())
def test_no_false_alarm_in_75_new_draws(case):
    assert_no_false_alarm(case)


# settings


def in_columns(params, x, labels):
    """Two layers, as a well-known course writes them."""
    W1, b1, W2, b2 = (params[name] for name in ("W1", "b1", "W2", "b2"))
    m = x.shape[1]
    A1 = np.tanh(W1 @ x + b1)
    Z2 = W2 @ A1 + b2
    A2 = np.exp(Z2 - Z2.max(0))
    A2 /= A2.sum(0)
    Y = np.eye(len(Z2))[labels].T
    dZ2 = A2 - Y
    dZ1 = W2.T @ dZ2 * (1 - A1**2)
    gradients = {"dW1": dZ1 @ x.T / m, "db1": dZ1.sum(1, keepdims=True) / m}
    gradients |= {"dW2": dZ2 @ A1.T / m, "db2": dZ2.sum(1, keepdims=True) / m}
    return -np.log((A2 * Y).sum(0)).mean(), gradients


def torch_layout(params, x, labels):
    loss, gradients = textbook([(W.T, b) for W, b in params], x, labels)
    return loss, [(dW.T, db) for dW, db in gradients]


def with_names(params, x, labels):
    depth = len(params) // 2
    loss, gradients = textbook([(params[f"W{l}"], params[f"b{l}"]) for l in range(1, depth + 1)], x, labels)
    return loss, {
        f"{name}{l}": leaf for l, pair in enumerate(gradients, 1) for name, leaf in zip("Wb", pair, strict=True)
    }


def squared(params, x, labels):
    return backward(forward(params, x, labels, mlp_jax.tanh, "squared_error"))


def relu_net(params, x, labels):
    return textbook(params, x, labels, lambda z: np.maximum(z, 0), lambda h: h > 0)


def two_layers(params, x, labels):
    (_, _), (_, _) = params
    return textbook(params, x, labels)


SETTINGS = {
    "columns, dict, two layers": (in_columns, {"layout": "columns", "params": "dict", "layers": 2}),
    "torch": (torch_layout, {"layout": "torch"}),
    "dict": (with_names, {"params": "dict"}),
    "squared error": (squared, {"loss": "squared_error"}),
    "relu": (relu_net, {"activation": "relu"}),
}


DEFAULTS = {"activation": "tanh", "loss": "cross_entropy", "layout": "rows", "params": "list"}


@pytest.mark.parametrize("name", SETTINGS)
def test_homework_as_it_is_written_passes_with_its_settings(name):
    function, given_settings = SETTINGS[name]
    report = check_backprop(function, **given_settings)
    assert report, report


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_that_would_be_right_are_named(name):
    function, given_settings = SETTINGS[name]
    report = check_backprop(function, **DEFAULTS)
    assert not report
    assert report.diagnoses[0].code == "convention"
    for setting, value in given_settings.items() - {("layers", 2)}:
        assert f"{setting.upper()} = {value!r}".replace("'", '"') in report.diagnoses[0].message.replace("'", '"')


@pytest.mark.parametrize("name", SETTINGS)
def test_of_what_is_not_declared_nothing_is_expected(name):
    function, _ = SETTINGS[name]
    report = check_backprop(function)
    assert report, report


@pytest.mark.parametrize(
    "given_settings, words",
    [
        ({"activation": "rellu"}, "activation: expected one of .* did you mean 'relu'"),
        ({"loss": "mse"}, "loss: expected one of"),
        ({"layers": 0}, "layers: expected a whole number of at least 1"),
        ({"layers": 2.5}, "layers: expected a whole number"),
        ({"layout": "row"}, "layout: expected one of rows, columns, torch"),
        ({"params": "array"}, "params: expected one of list, dict"),
        ({"point": 3}, "point: expected \\(params, \\*arguments\\)"),
        ({"point": ([(1e200 * np.eye(2), np.zeros(2))], np.ones((1, 2)), [0])}, "point: expected finite weights"),
        ({"point": ([(np.nan * np.eye(2), np.zeros(2))], np.ones((1, 2)), [0])}, "point: expected finite weights"),
        ({"point": ([(np.eye(2), np.zeros(2))], np.ones((1, 2)), [0]), "layers": 2}, "point: expected 2 layers"),
    ],
    ids=str,
)
def test_settings_that_are_wrong_are_refused(given_settings, words, no_annotation_checks):
    with pytest.raises((ValueError, TypeError), match=words):
        check_backprop(textbook, **given_settings)


def test_what_is_no_function_is_refused(no_annotation_checks):
    with pytest.raises(TypeError, match="loss_and_gradients: expected a function"):
        check_backprop(3)


# power


def homework_point(scale=0.01):
    rng = np.random.default_rng(0)
    widths = (5, 7, 7, 4)
    params = [(scale * rng.standard_normal((a, b)), np.zeros(b)) for a, b in pairwise(widths)]
    return params, rng.standard_normal((8, 5)), rng.integers(0, 4, 8)


def test_a_weak_point_is_told_with_what_it_hides():
    report = check_backprop(textbook, point=homework_point())
    hidden = BY_NAME["multiplies delta_L by phi'(z_L), though the last layer is linear"]
    assert report and hidden.name in report.power["escaped"]
    assert report.power["known"] == report.power["caught"] + len(report.power["escaped"])
    assert "WEAK POINT" in str(report) and hidden.name in str(report)
    assert check_backprop(student(hidden), point=homework_point())  # it does escape
    assert not check_backprop(student(hidden))


@pytest.mark.parametrize("activation", TEXTBOOK)
def test_our_own_points_hide_nothing(activation):
    ours = power_of_ours(network_of(Settings(activation)))
    assert ours["escaped"] == [] and ours["caught"] == ours["known"] > 100
    assert check_backprop(textbook).power == power_of_ours(network_of(Settings("tanh")))


def test_the_power_of_a_point_is_that_of_the_check():
    network = network_of(Settings())
    problem = check_problems.point_of(*homework_point(), "rows", network)
    assert power([problem], network)["escaped"] == check_backprop(textbook, point=homework_point()).power["escaped"]


# the report


def test_the_report_is_json_text_and_html():
    report = check_backprop(at(0, 0, lambda dW: np.where(dW == dW.max(), np.inf, dW)))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["verdict"] == "wrong" and data["diagnoses"][0].keys() == {"code", "message", "where", "evidence"}
    assert [leaf["name"] for leaf in data["leaves"][:2]] == ["layers[0].weight", "layers[0].bias"]
    assert {"relative_error", "cosine", "norm_ratio", "max_error", "index", "actual", "expected"} <= data["leaves"][
        0
    ].keys()
    assert data["power"].keys() == {"known", "caught", "escaped"}
    text = str(report)
    assert text.startswith("WRONG: 15 problems with 1 to 5 layers, float64\nnonfinite: ") and "layers[0].weight" in text
    html = check_backprop(at(0, 0, lambda dW: 2 * dW))._repr_html_()
    assert "<svg" in html and "<script" not in html
    assert bool(report) is report.ok is False


def test_what_the_report_quotes_from_the_code_is_escaped():
    def mine(params, x, labels):
        raise ValueError("<script>alert(1)</script>")

    assert "<script>" not in check_backprop(mine)._repr_html_()


def test_autodiff_is_marked():
    assert check_backprop(by_vjp).uses_autodiff
    assert not check_backprop(textbook).uses_autodiff


@pytest.mark.parametrize(
    "code, marked",
    [
        ("import jax\njax.grad(f)", True),
        ("import jax as j\nj.value_and_grad(f)", True),
        ("from jax import value_and_grad as vg\nvg(f)", True),
        ("import torch\nloss.backward()", True),
        ("import tensorflow as tf\ntf.GradientTape()", True),
        ("from mlp_jax import backprop", True),
        ("import mlp_jax\nmlp_jax.autodiff(params, x, y)", True),
        ("import numpy as np\nlayer.backward(d)", False),
        ("import jax.numpy as jnp\nself.grad = jnp.zeros(3)", False),
        ("import jax\njax.jit(f)", False),
        ("def grad(x): return x\ngrad(3)", False),
        ("not Python", False),
    ],
)
def test_autodiff_is_told_by_where_its_name_comes_from(code, marked):
    assert uses_autodiff(code) is marked


def test_names_are_taken_as_people_write_them():
    assert Settings("ReLU", "Cross_Entropy") == Settings("relu")
    assert check_backprop(relu_net, mlp_jax.relu)


def test_settings_are_a_record():
    assert replace(Settings(), activation="relu") == Settings("relu")
