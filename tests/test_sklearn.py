"""The estimators: scikit-learn's own checks, and what is said of weights, ensembles, stopping, units and pickles."""

import itertools
import json
import pickle
import pickletools

import estimators
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlp_jax import Layer, sklearn
from mlp_jax.activations import mish, selu
from mlp_jax.losses import LOSSES, cross_entropy
from mlp_jax.sklearn import REALMLP_CLASSIFIER, REALMLP_REGRESSOR, MLPClassifier, MLPRegressor
from mlp_jax.training import _parametrizations

# Networks of a dozen epochs warn that their loss still falls. One test asks for that warning.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MINIBATCHES = "a repeated example is in several minibatches, a weighted one in one"
EXPECTED = {f"check_sample_weight_equivalence_on_{kind}_data": MINIBATCHES for kind in ("dense", "sparse")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the checks cause warnings on purpose, and look for those that they expect
@parametrize_with_checks([MLPClassifier(), MLPRegressor()], expected_failed_checks=lambda estimator: EXPECTED)
def test_scikit_learn_checks_the_estimators(estimator, check):
    check(estimator)


def problem(seed=0, examples=60):
    """Points of two classes that a line separates, and a smooth target."""
    X = np.random.default_rng(seed).normal(size=(examples, 3))
    return X, np.where(X[:, 0] + X[:, 1] > 0, "up", "down"), X[:, 0] - 2 * X[:, 1]


QUICK = {"hidden_layer_sizes": (8,), "max_iter": 12, "learning_rate_init": 0.01, "random_state": 0}


def ours(**settings):
    """A classifier and its labels, a regressor and its values."""
    X, labels, values = problem()
    return [(MLPClassifier(**QUICK | settings), X, labels), (MLPRegressor(**QUICK | settings), X, values)]


def outputs(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


both = pytest.mark.parametrize("which", [0, 1], ids=["classifier", "regressor"])


def test_a_grid_search_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((16,), random_state=0, max_iter=30))
    grid = {"mlpclassifier__learning_rate_init": [1e-5, 1e-2], "mlpclassifier__alpha": [1e-4]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["mlpclassifier__learning_rate_init"] == 1e-2 and search.best_score_ > 0.9


def test_targets_come_back_in_their_units():
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(MLPRegressor(random_state=0, early_stopping=True), X, y, cv=3).mean() > 0.35
    model = MLPRegressor(**QUICK)
    as_given, scaled = (model.fit(X, of).predict(X) for of in (y, 4096 * y + 8192))  # exact in binary
    np.testing.assert_allclose(scaled, 4096 * as_given + 8192, rtol=1e-5)


def test_several_targets():
    X, _, y = problem()
    Y = np.stack([y, -100 * y, np.full_like(y, 7)], axis=1)
    predicted = MLPRegressor((32,), max_iter=100, learning_rate_init=0.01, random_state=0).fit(X, Y).predict(X)
    assert predicted.shape == Y.shape and (predicted[:, 2] == 7).all()
    assert np.abs(predicted - Y).max(axis=0)[1] < 30


@both
def test_a_weight_counts_as_so_many_examples(which):
    """In full batches, where the weighted loss is that of the repeated examples."""
    model, X, y = ours(batch_size=1000, scaling="none")[which]
    weights = np.arange(len(X)) % 3
    weighted = outputs(clone(model).fit(X, y, weights), X)
    repeated = outputs(clone(model).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights)), X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-4)
    assert np.abs(weighted - outputs(clone(model).fit(X, y), X)).max() > 1e-3


@both
def test_members_are_networks_of_their_own_seeds(which):
    single, X, y = ours(early_stopping=True)[which]
    many = clone(single).set_params(n_ensemble=3).fit(X, y)
    single.fit(X, y)
    assert many.coefs_[0].shape == (3, 3, 8) and single.coefs_[0].shape == (3, 8)
    np.testing.assert_allclose(many.coefs_[0][0], single.coefs_[0], atol=1e-5)  # the first member is the single one
    assert np.abs(many.coefs_[0][1] - many.coefs_[0][0]).max() > 0.1
    members = []
    for i in range(3):
        member = clone(single).fit(X, y)
        member.coefs_, member.intercepts_ = ([of[i] for of in both] for both in (many.coefs_, many.intercepts_))
        members.append(outputs(member, X))
    np.testing.assert_allclose(outputs(many, X), np.mean(members, axis=0), atol=1e-5)


@both
def test_the_best_epoch_on_own_validation_data_stays(which):
    model, X, y = ours(max_iter=60, learning_rate_init=0.3, n_iter_no_change=60)[which]
    X_val, labels, values = problem(seed=1, examples=40)
    model.fit(X, y, X_val=X_val, y_val=(labels, values)[which])
    scores = np.array(model.validation_scores_)
    assert len(scores) == model.n_iter_ == 60 and model.best_validation_score_ == scores.max() > scores[-1]
    if which == 0:
        p = model.predict_proba(X_val)[np.arange(40), np.searchsorted(model.classes_, labels)]
        assert np.mean(np.log(p)) == pytest.approx(scores.max(), rel=1e-4)
    else:
        errors = (model.predict(X_val) - values) / model._target_scaling[1]
        assert -np.mean(errors**2) == pytest.approx(scores.max(), rel=1e-4)


@both
def test_training_stops_when_nothing_is_better(which):
    model, X, y = ours(max_iter=500, tol=10.0, n_iter_no_change=4)[which]
    assert model.fit(X, y).n_iter_ == 6  # the first is better than nothing, and five are not
    with pytest.warns(ConvergenceWarning, match=r"max_iter \(2\)"):
        model.set_params(max_iter=2, tol=0.0).fit(X, y)


@both
def test_partial_fit_goes_on(which):
    model, X, y = ours()[which]
    for _ in range(8):
        model.partial_fit(X, y)
    assert len(model.loss_curve_) == 8 and model.loss_curve_[-1] < model.loss_curve_[0]
    restored = pickle.loads(pickle.dumps(model))  # in the middle: the optimizer's state goes along
    for of in (model, restored):
        of.partial_fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], restored.coefs_[0])


def test_partial_fit_of_one_class_at_a_time():
    X, y, _ = problem()
    model = MLPClassifier(**QUICK).partial_fit(X[y == "up"], y[y == "up"], classes=["down", "up"])
    assert model.partial_fit(X, y).predict_proba(X).shape == (60, 2)
    with pytest.raises(ValueError, match=r"y: expected labels among .*'sideways'.*give classes at the first call"):
        model.partial_fit(X, np.where(y == "up", "sideways", y))


@both
def test_warm_start_goes_on_from_the_last_fit(which):
    model, X, y = ours(warm_start=True, max_iter=20)[which]
    first = model.fit(X, y).loss_curve_
    assert model.fit(X, y).loss_curve_[0] < first[0]
    model.set_params(hidden_layer_sizes=(9,))
    with pytest.raises(ValueError, match="warm_start, partial_fit: expected weights of the shapes"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="warm_start, partial_fit: expected weights of the shapes"):
        model.set_params(hidden_layer_sizes=(8,), n_ensemble=2).partial_fit(X, y)


def test_balanced_weights_find_the_rare_class():
    X, y = make_classification(600, 5, weights=[0.95], class_sep=0.6, random_state=0)
    recalls = {}
    for class_weight in (None, "balanced"):
        model = MLPClassifier((16,), max_iter=30, random_state=0, class_weight=class_weight).fit(X, y)
        recalls[class_weight] = (model.predict(X)[y == 1] == 1).mean()
    assert recalls["balanced"] > recalls[None] + 0.2


# RealMLP's settings

SIZES = (3, 5, 4, 2)
PAIRS = list(itertools.pairwise(SIZES))


def scaled_network(seed):
    """A network in float64 whose features have scales."""
    normal = np.random.default_rng(seed).normal
    layers = tuple(Layer(jnp.asarray(normal(size=(a, b))), jnp.asarray(normal(size=b))) for a, b in PAIRS)
    return _parametrizations.Scaled(jnp.asarray(normal(size=3)), layers)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("phi", [selu, mish], ids=["selu", "mish"])
def test_the_gradient_of_scaled_inputs_is_that_of_autodiff(float64, phi, loss):
    p, rng = scaled_network(0), np.random.default_rng(1)
    x, targets = map(jnp.asarray, (rng.normal(size=(6, 3)), rng.dirichlet([1, 1], size=6)))
    value, by_hand = _parametrizations.scaled_backprop(p, x, targets, phi, loss)
    expected = jax.value_and_grad(lambda p: loss.value(_parametrizations.scaled_forward(p, x, phi), targets))(p)
    np.testing.assert_allclose(value, expected[0], rtol=1e-14)
    for leaf, other in zip(*map(jax.tree.leaves, (by_hand, expected[1])), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=0, atol=1e-13 * float(jnp.abs(other).max()))


def test_the_rates_are_adam_in_the_neural_tangent_parametrisation(float64):
    """Against Adam on W' = sqrt(fan_in) W, at the rates 6 r of s, r of W' and r / 10 of b, as the authors have it."""
    rng, rate, p = np.random.default_rng(2), 0.03, scaled_network(3)
    x, targets, roots = jnp.asarray(rng.normal(size=(8, 3))), jnp.arange(8) % 2, [a**0.5 for a, _ in PAIRS]
    theirs = (p.s, [root * W for root, (W, _) in zip(roots, p.layers, strict=True)], [b for _, b in p.layers])

    def loss(q):
        h = x * q[0][None]
        for l, (W, b) in enumerate(zip(q[1], q[2], strict=True)):
            z = h @ W / roots[l] + b[None]
            h = selu(z) if l < len(roots) - 1 else z
        return cross_entropy.value(z, targets)

    adam = optax.chain(optax.adam(rate, eps=0.0), _parametrizations.rates())
    plain = optax.adam(1.0, eps=0.0)
    ours_state, their_state = adam.init(p), plain.init(theirs)
    for _ in range(5):
        updates, ours_state = adam.update(
            _parametrizations.scaled_backprop(p, x, targets, selu, cross_entropy)[1], ours_state
        )
        p = optax.apply_updates(p, updates)
        (ds, dW, db), their_state = plain.update(jax.grad(loss)(theirs), their_state)
        updates = (6 * rate * ds, [rate * u for u in dW], [0.1 * rate * u for u in db])
        theirs = jax.tree.map(jnp.add, theirs, updates)
    np.testing.assert_allclose(p.s, theirs[0], rtol=1e-10)
    for root, (W, b), W_theirs, b_theirs in zip(roots, p.layers, theirs[1], theirs[2], strict=True):
        np.testing.assert_allclose(W, W_theirs / root, rtol=1e-10)
        np.testing.assert_allclose(b, b_theirs, rtol=1e-10)


def test_robust_scaling_is_of_quartiles_and_clips():
    columns = np.array([[0.0, 0, 5], [1, 0, 5], [2, 0, 5], [3, 0, 5], [1000, 8, 5]])
    scaling = sklearn._statistics_of(columns, "robust")
    z = np.array([[-1.0, 0, 0], [-0.5, 0, 0], [0, 0, 0], [0.5, 0, 0], [499, 2, 0]])  # 0 to 8, without quartiles: / 4
    np.testing.assert_allclose(sklearn._scaled(columns, scaling), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)
    assert np.abs(sklearn._scaled(1e6 * columns, scaling)).max() <= 3


def test_the_schedule_rises_from_0_and_falls_four_times(float64):
    factory = sklearn._optimizer("sgd", "coslog4", "standard", ())
    optimizer = factory(2.0, 0.0, 150.0)
    state, rates = optimizer.init(np.ones(1)), []
    for _ in range(151):
        update, state = optimizer.update(np.ones(1), state, np.ones(1))
        rates.append(-float(update[0]))
    assert [i for i in range(1, 150) if rates[i - 1] > rates[i] < rates[i + 1]] == [10, 30, 70]
    np.testing.assert_allclose([rates[i] for i in (0, 10, 30, 70, 150)], 0, atol=1e-6)
    assert max(rates) == pytest.approx(2, abs=0.01)


@both
def test_realmlp_goes_on_and_is_pickled(which):
    settings = (REALMLP_CLASSIFIER, REALMLP_REGRESSOR)[which] | {"hidden_layer_sizes": (8,), "max_iter": 8}
    (classifier, X, labels), (regressor, _, values) = ours()
    y, model = (labels, values)[which], (classifier, regressor)[which].set_params(**settings, n_ensemble=2)
    for _ in range(2):
        model.partial_fit(X, y)
    restored = pickle.loads(pickle.dumps(model))
    sizes = (3, 8, model.n_outputs_)
    for folded, plain in zip(_parametrizations.folded(restored._params_of(sizes)), model._params(), strict=True):
        np.testing.assert_array_equal(folded.weight, plain.weight)
    for of in (model, restored):
        of.partial_fit(X, y)
    np.testing.assert_array_equal(outputs(model, X), outputs(restored, X))
    with pytest.raises(ValueError, match=r"parametrization: .*fit a new estimator"):
        model.set_params(parametrization="standard").partial_fit(X, y)


def test_smooth_labels_keep_probabilities_from_0_and_1():
    X, y, _ = problem()
    settings = QUICK | {"max_iter": 200, "batch_size": 60}
    plain, smooth = (MLPClassifier(**settings, label_smoothing=amount).fit(X, y) for amount in (0.0, 0.4))
    assert plain.predict_proba(X).min() < 1e-4 < 0.05 < smooth.predict_proba(X).min()  # 0.2 is the best


SOLVERS = {
    "adamw": {"weight_decay": 0.01},
    "sgd": {"nesterov": False},
    "lion": {},
    "rmsprop": {"momentum": 0.5, "centered": True},
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_any_optimizer_of_optax_solves(solver):
    model, X, y = ours(solver=solver, solver_options=SOLVERS[solver], learning_rate="cosine")[0]
    assert model.fit(X, y).loss_curve_[-1] < model.loss_curve_[0]


def test_other_numbers_compile_nothing(caplog):
    """Rates, seeds and data are arguments of the compiled programs; a number of epochs is not."""
    X, y, _ = problem()
    MLPClassifier(**QUICK).fit(X, y).predict(X)
    other = {"learning_rate_init": 0.5, "alpha": 0.1, "tol": 1.0, "random_state": 5, "beta_1": 0.5}
    programs = []
    for settings in (other, {"max_iter": 13}):
        caplog.clear()
        with jax.log_compiles():
            MLPClassifier(**QUICK | settings).fit(2 * X, y[::-1]).predict(X)
        programs.append(sum("Compiling" in record.message for record in caplog.records))
    assert programs == [0, 2]


def test_a_pickle_names_no_function():
    """Only the estimator, numpy's arrays and plain values."""
    model, X, y = ours(n_ensemble=2, early_stopping=True)[0]
    text = pickle.dumps(model.fit(X, y), protocol=2)
    names = {argument for opcode, argument, _ in pickletools.genops(text) if opcode.name in ("GLOBAL", "STACK_GLOBAL")}
    plain = ("numpy", "copy_reg _reconstructor", "copyreg _reconstructor", "__builtin__ object", "_codecs encode")
    assert {name for name in names if not name.startswith(plain)} == {"mlp_jax.sklearn MLPClassifier"}
    np.testing.assert_array_equal(pickle.loads(text).predict_proba(X), model.predict_proba(X))


def test_a_pickle_of_another_form_is_refused_by_name():
    state = MLPClassifier().__getstate__() | {"form_": 7, "version_": "9.1"}
    with pytest.raises(ValueError, match=r"pickle: expected form 1, got form 7 of mlp_jax 9\.1; load it with that"):
        MLPClassifier().__setstate__(state)


BAD = {
    "activation": ("rleu", r"activation: expected .*did you mean 'relu'\?"),
    "solver": ("lbfgs", "solver: expected the name of an optimizer of optax .*'lbfgs'; lbfgs takes no minibatches"),
    "solver_options": ({"b9": 1.0}, "solver_options: expected arguments of optax.adam, got 'b9'"),
    "hidden_layer_sizes": ("64", "hidden_layer_sizes: expected a tuple of widths"),
    "learning_rate": ("adaptive", "learning_rate: expected"),
    "learning_rate_init": (-1.0, "learning_rate_init"),
    "alpha": (-1.0, r"alpha: expected a number >= 0, got -1\.0"),
    "tol": ("none", "tol: expected a number >= 0"),
    "batch_size": (0, "batch_size"),
    "max_iter": (0, "max_iter"),
    "n_ensemble": (1.5, "n_ensemble"),
    "n_iter_no_change": (-1, "n_iter_no_change"),
    "validation_fraction": (1.0, "validation_fraction: expected a number between 0 and 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_parameter_is_named(name):
    value, words = BAD[name]
    model, X, y = ours(**{name: value})[0]
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, y)


def test_bad_data_are_named():
    model, X, y = ours()[0]
    with pytest.raises(ValueError, match="X_val, y_val: expected both or none"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
        model.fit(X, y, np.zeros(60))
    with pytest.raises(ValueError, match="y_val: expected labels among"):
        model.fit(X, y, X_val=X, y_val=np.where(y == "up", "sideways", y))
    with pytest.raises(ValueError, match="training: expected finite parameters"):
        MLPRegressor(**QUICK | {"solver": "sgd", "learning_rate_init": 1e30}).fit(X, X[:, 0])


RECORDED = json.loads(estimators.RECORD.read_text(encoding="utf-8"))


def assert_as_good(table, ours, theirs):
    """On the same splits, within the interval of the mean difference."""
    difference = np.subtract(*(RECORDED[f"{table}: {name}"]["scores"] for name in (ours, theirs)))
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert difference.mean() + stats.t.ppf(0.975, len(difference) - 1) * error >= 0


@pytest.mark.parametrize("table", estimators.TABLES)
def test_ours_is_recorded_to_be_as_good_as_scikit_learn(table):
    """And as fast from 10,000 rows on."""
    assert_as_good(table, "ours", "scikit-learn's network")
    if table.endswith("rows"):
        of_ours, theirs = (RECORDED[f"{table}: {name}"]["seconds"] for name in ("ours", "scikit-learn's network"))
        assert of_ours <= theirs


@pytest.mark.parametrize("table", estimators.TABLES)
def test_realmlp_is_recorded_to_be_as_good_as_boosting(table):
    """Also where columns act together, where our plain network is ten points behind."""
    realmlp = "ours, RealMLP's settings"
    assert_as_good(table, realmlp, "scikit-learn's boosting")
    if table.startswith("mixed"):
        of_realmlp, plain = (np.mean(RECORDED[f"{table}: {name}"]["scores"]) for name in (realmlp, "ours"))
        assert of_realmlp > plain + 0.1


@pytest.mark.slow
def test_a_recorded_score_is_measured_again():
    again = estimators.measured("wine", "ours")["scores"]
    np.testing.assert_allclose(again, RECORDED["wine: ours"]["scores"], atol=0.06)  # two of 36 examples
