"""Estimators for scikit-learn: `MLPClassifier` and `MLPRegressor`, for pipelines, grid searches and cross-validation.

    from mlp_jax.sklearn import MLPClassifier
    model = MLPClassifier((128, 128), early_stopping=True, n_ensemble=5).fit(X, y)
    model.predict_proba(X_new)

Parameters are named as in scikit-learn's own, where those exist. What differs: every optimizer of optax is a `solver`;
each column of X is standardised, and so are a regressor's targets, whose predictions come back in their units; `fit`
takes validation data of your own; `n_ensemble` networks are trained in one program, and their predictions are averaged.
There is no `lbfgs`, and no multi-label classification. `MLPClassifier(**REALMLP_CLASSIFIER)` and
`MLPRegressor(**REALMLP_REGRESSOR)` have settings that were chosen on 118 tables, and are far better on tables whose
columns act together; they take a few seconds more.

A pickle holds arrays and plain values, and the number of its form: another version reads it or refuses it by name.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args

import jax
import numpy as np
import optax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import mlp_jax
from mlp_jax import _doors
from mlp_jax.activations import ACTIVATIONS, GLOROT, Activation
from mlp_jax.datasets import standardise
from mlp_jax.datasets._scaling import Scaling, statistics
from mlp_jax.losses import Loss, cross_entropy, smooth_labels, softmax, squared_error, weighted, with_weights
from mlp_jax.network import Layer, Params, forward
from mlp_jax.sweeps import runs_at_once
from mlp_jax.training._parametrizations import PARAMETRIZATIONS, Scaled
from mlp_jax.training._presets import PRESETS, Settings
from mlp_jax.training._recipe import Recipe
from mlp_jax.training._schedules import SCHEDULES, rate_of
from mlp_jax.training._stopping import Run, Until, begun_many, train_many_until

FORM = 1  # of a pickle; a change of the attributes below needs another number
DTYPE = np.dtype(np.float32)
ROWS = 4096  # of a prediction at a time; fewer are padded to a power of two, so that few programs are compiled
CHUNKS = 50  # a training returns to the host this often, to be interrupted
NAMES = {"logistic": "sigmoid"}  # scikit-learn's name: ours
SCALINGS = (*get_args(Scaling), "none")


def _parameters_of(setting: Settings, scaling: str) -> dict[str, Any]:
    """Return settings by scikit-learn's names. The best of all epochs is kept, so that none stops the training."""
    return {
        "hidden_layer_sizes": setting.hidden,
        "activation": setting.activation,
        "scaling": scaling,
        "parametrization": setting.parametrization,
        "learning_rate": setting.schedule,
        "learning_rate_init": setting.learning_rate,
        "beta_2": dict(setting.options)["b2"],
        "alpha": 0.0,
        "batch_size": setting.batch_size,
        "max_iter": setting.epochs,
        "early_stopping": True,
        "n_iter_no_change": setting.epochs,
    }


_PRESET = PRESETS["realmlp"]
REALMLP_CLASSIFIER = _parameters_of(_PRESET.classes, _PRESET.scaling) | {
    "label_smoothing": _PRESET.classes.label_smoothing
}
REALMLP_REGRESSOR = _parameters_of(_PRESET.values, _PRESET.scaling)


class _Weighted(NamedTuple):
    """Examples, and their weights of mean 1 if they have any."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None


@lru_cache(maxsize=64)  # equal settings give one factory, and so one compiled program
def _optimizer(
    solver: str, schedule: str, parametrization: str, static: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
    """Return the factory of an optimizer of optax, after the gradient of (alpha / 2) |W|^2 is added."""

    def factory(learning_rate: Any, alpha: Any, steps: Any, **numbers: Any) -> optax.GradientTransformation:
        of_weights = optax.add_decayed_weights(alpha, mask=partial(jax.tree.map, lambda leaf: leaf.ndim > 1))
        solve = getattr(optax, solver)(rate_of(schedule, learning_rate, steps), **dict(static), **numbers)
        return optax.chain(of_weights, solve, PARAMETRIZATIONS[parametrization].rates())

    return factory


@partial(jax.jit, static_argnames=("sizes", "activation", "parametrization"))
def _drawn(seeds: Any, sizes: tuple[int, ...], activation: Activation, parametrization: str) -> Params | Scaled:
    """Return the parameters of a network for each seed, stacked.

    The variance of plain weights is Glorot's for every activation. He's is that of a deep network; in tables, whose
    first layer is often wider than the data, its first layer is too large to be forgotten in few epochs.
    """
    draw = partial(PARAMETRIZATIONS[parametrization].init, sizes=sizes, activation=activation, dtype=DTYPE)
    own = {"weight_init": GLOROT} if parametrization == "standard" else {}
    return jax.vmap(lambda seed: draw(jax.random.key(seed), **own))(seeds)


@partial(jax.jit, static_argnames=("activation", "is_classifier"))
def _outputs(params: Params, x: Any, activation: Activation, is_classifier: bool) -> Any:
    """Return the logits of each network, or their softmax, (k, N, C)."""
    logits = jax.lax.map(lambda params: forward.room(params, x, activation), params)
    return softmax.room(logits) if is_classifier else logits


def _mean_outputs(params: Params, x: np.ndarray, activation: Activation, is_classifier: bool) -> np.ndarray:
    """Return the mean of `_outputs` over networks, (N, C) in float64, in programs for few numbers of rows."""
    parts = []
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        padding = min(ROWS, max(16, 2 ** (len(rows) - 1).bit_length())) - len(rows)
        padded = np.pad(rows, ((0, padding), (0, 0)))
        outputs = np.asarray(_outputs(params, padded, activation, is_classifier), np.float64)
        parts.append(outputs[:, : len(rows)].mean(axis=0))
    return np.concatenate(parts)


class _MLP(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share. `_loss` is theirs."""

    _loss: Loss
    label_smoothing = 0.0  # of values, which have no labels
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    loss_curve_: list[float]
    t_: int
    n_outputs_: int

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        solver_options: dict[str, Any] | None = None,
        alpha: float = 1e-4,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 1e-3,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        scaling: str = "standard",
        parametrization: str = "standard",
        n_ensemble: int = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.solver_options = solver_options
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.scaling = scaling
        self.parametrization = parametrization
        self.n_ensemble = n_ensemble

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: parameters, arrays and plain values."""
        return {**super().__getstate__(), "form_": FORM, "version_": mlp_jax.__version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what a pickle holds, or refuse one of another form."""
        form, version = state.pop("form_", None), state.pop("version_", "unknown")
        if form != FORM:
            cure = f"load it with that version, and here ({mlp_jax.__version__}) train again"
            raise _doors.mistake("pickle", f"form {FORM}", f"form {form} of mlp_jax {version}", cure)
        super().__setstate__(state)

    def _fit(self, X: Any, y: Any, sample_weight: Any, own: tuple[Any, Any] | None, continues: bool) -> Any:
        """Train on checked data: y are labels or standardised targets. With `continues`, for one epoch more."""
        phi = _check_settings(self)
        rng = check_random_state(self.random_state)
        is_fitted = hasattr(self, "coefs_")
        goes_on = continues and is_fitted
        is_new = not (goes_on or (is_fitted and self.warm_start))
        examples = _weighted_rows(X, y, sample_weight)
        if own is None and self.early_stopping and not continues:
            examples, own = self._split(examples, rng)
        if is_new:
            self._scaling = _statistics_of(examples.X, self.scaling)
            self._seeds = rng.randint(2**31 - 1, size=(self.n_ensemble, 2)).astype(np.uint32)  # of start and order
        loss, data, validation = self._placed(examples, own)

        batch = _batch_of(self.batch_size, len(examples.X))
        steps = -(-len(examples.X) // batch)  # per epoch
        epochs = 1 if continues else self.max_iter
        recipe = _recipe_of(self, phi, loss, batch, steps * epochs)
        static, traced = recipe.static, recipe.traced(DTYPE)
        sizes = (X.shape[1], *_widths(self.hidden_layer_sizes), self.n_outputs_)
        params = _drawn(self._seeds[:, 0], sizes, phi, self.parametrization) if is_new else self._params_of(sizes)
        optimizer_state, done = (self._optimizer_state, self.t_) if goes_on else (None, 0)
        runs = begun_many(params, optimizer_state, traced.hyperparameters, static=static, epochs=epochs)
        seeds = self._seeds[:, 1] + np.uint32(done)  # each call of partial_fit has another order
        at_once = min(self.n_ensemble, runs_at_once(_bytes_of(sizes, batch), jax.default_backend()) or self.n_ensemble)
        chunk = max(1, epochs // CHUNKS)
        for end in range(chunk, epochs + chunk, chunk):
            until = Until(min(end, epochs), self.n_iter_no_change, self.tol)
            runs = train_many_until(
                runs,
                seeds,
                data,
                validation,
                traced,
                until,
                static=static,
                validation_loss=self._loss,
                at_once=at_once,
            )
            epoch, has_stopped = np.asarray(runs.state.epoch), np.asarray(runs.waited) > self.n_iter_no_change
            if self.verbose:
                print(f"epoch {epoch.max()}: loss {np.nanmean(_last(runs.losses, epoch)):.6f}", flush=True)
            if has_stopped.all():
                break
        self.t_ = done + steps * int(epoch.max())
        self._keep(jax.device_get(runs), own is not None, self.loss_curve_ if goes_on else [])
        if self.learning_rate == "constant" and not continues and not has_stopped.any():
            text = f"max_iter ({self.max_iter}) epochs are done, and the loss is still falling"
            warnings.warn(text, ConvergenceWarning, stacklevel=3)
        return self

    def _split(self, examples: _Weighted, rng: Any) -> tuple[_Weighted, tuple[Any, Any]]:
        """Split validation data off, of each class its share."""
        rows = np.arange(len(examples.X))
        labels = examples.y if isinstance(self, ClassifierMixin) else None
        train, validation = train_test_split(
            rows, test_size=self.validation_fraction, random_state=rng, stratify=labels
        )
        weights = None if examples.weights is None else examples.weights[train]
        rest = _Weighted(examples.X[train], examples.y[train], weights)
        return rest, (examples.X[validation], examples.y[validation])

    def _placed(self, examples: _Weighted, own: tuple[Any, Any] | None) -> tuple[Loss, Any, Any]:
        """Return the loss, and data and validation data on the device."""
        loss, targets = self._loss, _as_targets(examples.y)
        if self.label_smoothing:
            targets = np.asarray(smooth_labels(targets, self.n_outputs_, self.label_smoothing), DTYPE)
        if examples.weights is not None:
            loss = weighted(loss)
            targets = np.asarray(with_weights(targets, examples.weights.astype(DTYPE), self.n_outputs_))
        data = (_scaled(examples.X, self._scaling), targets)
        validation = None if own is None else (_scaled(own[0], self._scaling), _as_targets(own[1]))
        return loss, *jax.device_put((data, validation))

    def _keep(self, runs: Run, has_validation: bool, earlier: list[float]) -> None:
        """Set the attributes of a trained estimator, whose losses follow earlier ones."""
        params = runs.best if has_validation else runs.state.params
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise _doors.mistake("training", "finite parameters", "others", "give a lower learning_rate_init")
        self._unfolded = (params.s, params.layers[0].weight) if isinstance(params, Scaled) else None
        params = PARAMETRIZATIONS[self.parametrization].folded(params)
        single = self.n_ensemble == 1
        self.coefs_ = [np.asarray(layer.weight[0] if single else layer.weight) for layer in params]
        self.intercepts_ = [np.asarray(layer.bias[0] if single else layer.bias) for layer in params]
        self._optimizer_state = jax.tree.leaves(runs.state.optimizer_state)
        epochs = int(runs.state.epoch.max())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of runs that diverged after their best epoch
            losses, scores = (np.nanmean(of[:, :epochs], axis=0).tolist() for of in (runs.losses, runs.scores))
        self.loss_curve_ = [*earlier, *losses]
        self.n_iter_ = len(self.loss_curve_)
        self.loss_ = self.loss_curve_[-1]
        self.validation_scores_ = scores if has_validation else None
        self.best_validation_score_ = float(runs.best_score.mean()) if has_validation else None
        self.best_loss_ = None if has_validation else min(self.loss_curve_)
        self.n_layers_ = len(self.coefs_) + 1

    def _params(self) -> Params:
        """Return the parameters, stacked by member."""
        axis = None if self.coefs_[0].ndim == 2 else slice(None)
        layers = zip(self.coefs_, self.intercepts_, strict=True)
        return tuple(Layer(w[axis], b[axis]) for w, b in layers)  # type: ignore[arg-type]  # of numpy, as JAX takes them

    def _params_of(self, sizes: tuple[int, ...]) -> Params | Scaled:
        """Return the parameters to go on from, if they are of these sizes, as many members and this parametrization."""
        params = self._params()
        shapes = [layer.weight.shape for layer in params]
        expected = [(self.n_ensemble, *of) for of in pairwise(sizes)]
        if shapes != expected:
            raise _doors.mistake(
                "warm_start, partial_fit", f"weights of the shapes {expected}", shapes, "fit a new estimator"
            )
        if (self._unfolded is not None) != (self.parametrization == "ntk"):
            got = f"those of another, before {self.parametrization!r}"
            raise _doors.mistake("parametrization", "that of the parameters to go on from", got, "fit a new estimator")
        if self._unfolded is None:
            return params
        s, W = self._unfolded
        return Scaled(s, (Layer(W, params[0].bias), *params[1:]))

    def _predicted(self, X: Any) -> np.ndarray:
        """Return the mean over the members of probabilities or values, (N, C)."""
        check_is_fitted(self)
        x = _scaled(validate_data(self, X, dtype=[np.float64, np.float32], reset=False), self._scaling)
        return _mean_outputs(self._params(), x, _activation(self.activation), isinstance(self, ClassifierMixin))


class MLPClassifier(ClassifierMixin, _MLP):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier: softmax and cross-entropy on a multilayer perceptron.

    Args:
      hidden_layer_sizes: the widths of the hidden layers; () is softmax regression.
      activation: a name of `mlp_jax.activations.ACTIVATIONS`, or "logistic".
      solver: the name of an optimizer of optax that takes a learning rate, such as "adam", "adamw", "sgd" or "lion".
      solver_options: its further arguments, plain values.
      alpha: (alpha / 2B) |W|^2 is added to the loss, with B the batch size.
      batch_size: examples per step; "auto" is N / 8, within [8, 200]: few examples need many steps too.
      learning_rate: "constant"; "cosine", which falls to 0 at the end of `max_iter` epochs; or "coslog4", which rises
        from 0 and falls four times, each time over twice as many epochs.
      learning_rate_init: the learning rate at the start.
      max_iter: the most epochs.
      shuffle: whether each epoch has an order of its own.
      random_state: draws parameters, orders, and the split for `early_stopping`.
      tol: what a loss or a score has to be better by to count as better.
      verbose: print the loss.
      warm_start: `fit` goes on from the parameters of the last `fit`.
      momentum, nesterovs_momentum: of "sgd".
      early_stopping: split `validation_fraction` of the examples off; keep the parameters with the least loss on them.
      validation_fraction: see there.
      beta_1, beta_2, epsilon: of "adam" and "adamw".
      n_iter_no_change: training stops after more epochs than these that are not better.
      scaling: of each column of X: "standard", to mean 0 and variance 1; "robust", to median 0 and interquartile range
        1, and smoothly clipped at 3, so that outliers do no harm; or "none". A constant column becomes 0.
      parametrization: "standard", or "ntk", the neural tangent parametrisation with learned scales of the columns.
      n_ensemble: the number of networks, of different seeds, whose probabilities are averaged.
      class_weight: "balanced", or weights by class.
      label_smoothing: the share of every label that is spread over all classes.

    Attributes:
      classes_: the C different labels.
      coefs_, intercepts_: of each layer, (fan_in, fan_out) and (fan_out,), with several members after their axis.
      loss_curve_: the loss of each epoch; validation_scores_: minus the losses on validation data; means over members.
      n_iter_: the epochs done; t_: the steps.
      n_features_in_, feature_names_in_, n_outputs_, n_layers_, loss_, best_loss_, best_validation_score_: as in
        scikit-learn.

    Example:
      >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
      >>> model = MLPClassifier((8,), learning_rate="cosine", learning_rate_init=0.05, random_state=0).fit(X, y)
      >>> model.predict([[-1.0], [4.0]]).tolist()
      ['low', 'high']
    """

    _loss = cross_entropy

    def __init__(self, *first: Any, class_weight: Any = None, label_smoothing: float = 0.0, **others: Any) -> None:
        """Take the parameters, which scikit-learn reads off the signature below."""
        super().__init__(*first, **others)
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

    _own = (p for p in inspect.signature(__init__).parameters.values() if p.kind is p.KEYWORD_ONLY)
    _shared = inspect.signature(_MLP.__init__)
    __init__.__signature__ = _shared.replace(parameters=[*_shared.parameters.values(), *_own])  # type: ignore[attr-defined]  # functions can
    del _own, _shared

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Train.

        Args:
          X: (N, D) finite numbers.
          y: (N,) labels.
          sample_weight: (N,), none negative; an example of weight 0 counts for nothing.
          X_val: (M, D), to choose the best epoch by, in place of a split.
          y_val: (M,).

        Raises:
          ValueError, TypeError: if the data or a parameter are wrong.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        self._set_classes(y, None)
        own = _own_data(self, X_val, y_val)
        own = None if own is None else (own[0], self._encoded(own[1], "y_val"))
        return self._fit(X, self._encoded(y, "y"), self._weighted(sample_weight, y, X), own, continues=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch more on these examples; the scale of the columns is that of the first call.

        Args:
          X: (N, D).
          y: (N,).
          sample_weight: (N,).
          classes: all labels; the first call needs them if its y does not have them all.
        """
        is_first = not hasattr(self, "coefs_")
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], reset=is_first)
        if is_first:
            self._set_classes(y, classes)
        return self._fit(X, self._encoded(y, "y"), self._weighted(sample_weight, y, X), None, continues=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (N, C), the mean over the members."""
        return self._predicted(X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest class of each row, (N,)."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen]

    def _set_classes(self, y: Any, classes: Any) -> None:
        check_classification_targets(y)
        self.classes_ = np.unique(y if classes is None else classes)
        self.n_outputs_, self.out_activation_ = len(self.classes_), "softmax"

    def _encoded(self, y: Any, name: str) -> np.ndarray:
        """Return the index of each label in `classes_`."""
        y = np.ravel(y)
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            got = f"{y[unknown][0]!r}"
            raise _doors.mistake(name, f"labels among classes_ {self.classes_}", got, "give classes at the first call")
        return np.searchsorted(self.classes_, y)

    def _weighted(self, sample_weight: Any, y: Any, X: Any) -> Any:
        """Return the weight of each example, its class's included."""
        if self.class_weight is None:
            return sample_weight
        weights = compute_sample_weight(self.class_weight, y)
        return weights if sample_weight is None else weights * _check_sample_weight(sample_weight, X)


class MLPRegressor(RegressorMixin, _MLP):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor: squared error on a multilayer perceptron, of one or several targets, each standardised.

    Args and attributes are those of `MLPClassifier`, without classes. Losses are those of the standardised targets.

    Example:
      >>> X = np.linspace(-1.0, 1.0, 50)[:, None]
      >>> model = MLPRegressor((16,), learning_rate_init=0.02, random_state=0).fit(X, 1000 * X[:, 0] ** 2)
      >>> bool(model.score(X, 1000 * X[:, 0] ** 2) > 0.95)
      True
    """

    _loss = squared_error

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Train.

        Args:
          X: (N, D) finite numbers.
          y: (N,) or (N, K) finite numbers.
          sample_weight: (N,), none negative; an example of weight 0 counts for nothing.
          X_val: (M, D), to choose the best epoch by, in place of a split.
          y_val: (M,) or (M, K).

        Raises:
          ValueError, TypeError: if the data or a parameter are wrong.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        self._set_targets(y)
        own = _own_data(self, X_val, y_val)
        own = None if own is None else (own[0], self._standardised(own[1]))
        return self._fit(X, self._standardised(y), sample_weight, own, continues=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch more on these examples; the scales of columns and targets are those of the first call."""
        is_first = not hasattr(self, "coefs_")
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True, reset=is_first
        )
        if is_first:
            self._set_targets(y)
        return self._fit(X, self._standardised(y), sample_weight, None, continues=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return the targets, (N,) or (N, K) as they were given, the mean over the members."""
        outputs, (mean, scale, _) = self._predicted(X), self._target_scaling
        values = outputs * np.where(np.isfinite(scale), scale, 0) + mean
        return values[:, 0] if self._is_flat else values

    def __sklearn_tags__(self) -> Any:
        """Say that there may be several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _set_targets(self, y: np.ndarray) -> None:
        self._is_flat = y.ndim == 1
        columns = y.reshape(len(y), -1)
        self._target_scaling = _statistics_of(columns, "none" if self.scaling == "none" else "standard")
        self.n_outputs_, self.out_activation_ = columns.shape[1], "identity"

    def _standardised(self, y: Any) -> np.ndarray:
        return _scaled(np.asarray(y, np.float64).reshape(len(y), -1), self._target_scaling)


def _own_data(estimator: _MLP, X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
    """Return the user's own validation data, checked; None if there are none."""
    if X_val is None and y_val is None:
        return None
    if X_val is None or y_val is None:
        raise _doors.mistake("X_val, y_val", "both or none", "only one", "give the other too")
    is_regressor = isinstance(estimator, RegressorMixin)
    checked = {"multi_output": True, "y_numeric": True} if is_regressor else {}
    return validate_data(estimator, X_val, y_val, dtype=[np.float64, np.float32], reset=False, **checked)


def _statistics_of(x: np.ndarray, scaling: Any) -> tuple[Any, ...]:
    """Return what columns are scaled by: mean, scale and clip, as a plain tuple that a pickle may hold."""
    return (np.zeros(x.shape[1]), np.ones(x.shape[1]), np.inf) if scaling == "none" else tuple(statistics(x, scaling))


def _scaled(x: Any, by: tuple[Any, ...]) -> np.ndarray:
    mean, scale, clip = by
    return standardise(x, mean, scale, DTYPE, clip=clip)


def _as_targets(y: np.ndarray) -> np.ndarray:
    return y.astype(np.int32) if y.ndim == 1 else y.astype(DTYPE)


def _weighted_rows(X: np.ndarray, y: np.ndarray, sample_weight: Any) -> _Weighted:
    """Return the examples whose weight is not 0."""
    if sample_weight is None:
        return _Weighted(X, y, None)
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    X, y, weights = (a[weights > 0] for a in (X, y, weights))
    return _Weighted(X, y, weights * (len(weights) / weights.sum()))


def _batch_of(batch_size: Any, examples: int) -> int:
    """Return the examples per step: as given, or N / 8 within [8, 200], so that an epoch has at least 8 steps."""
    return min(examples, int(np.clip(examples // 8, 8, 200)) if batch_size == "auto" else batch_size)


def _bytes_of(sizes: tuple[int, ...], batch: int) -> int:
    """Return about how many bytes a run works on: parameters, gradients, two moments, and what backprop keeps."""
    parameters = sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    return DTYPE.itemsize * (4 * parameters + 4 * batch * sum(sizes))


def _last(curves: Any, done: np.ndarray) -> np.ndarray:
    return np.take_along_axis(np.asarray(curves), np.maximum(done - 1, 0)[:, None], axis=1)


def _activation(name: str) -> Activation:
    return ACTIVATIONS[NAMES.get(name, name)]


def _widths(sizes: Any) -> tuple[int, ...]:
    sizes = (sizes,) if isinstance(sizes, Integral) else sizes
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise _doors.mistake("hidden_layer_sizes", "a tuple of widths such as (64, 64)", repr(sizes))
    return tuple(_doors.as_whole_number("hidden_layer_sizes", width, at_least=1) for width in sizes)


def _check_settings(estimator: _MLP) -> Activation:
    """Check the parameters that do not depend on the data, and return the activation."""
    of = estimator.get_params(deep=False)
    _widths(of["hidden_layer_sizes"])
    _doors.check_choice("activation", of["activation"], (*ACTIVATIONS, *NAMES))
    _doors.check_choice("learning_rate", of["learning_rate"], SCHEDULES)
    _doors.check_choice("scaling", of["scaling"], SCALINGS)
    _doors.check_choice("parametrization", of["parametrization"], PARAMETRIZATIONS)
    _doors.as_fraction("label_smoothing", estimator.label_smoothing)
    if of["batch_size"] != "auto":
        _doors.as_whole_number("batch_size", of["batch_size"], at_least=1)
    for name in ("max_iter", "n_ensemble"):
        _doors.as_whole_number(name, of[name], at_least=1)
    _doors.as_whole_number("n_iter_no_change", of["n_iter_no_change"], at_least=0)
    _doors.check_positive("learning_rate_init", of["learning_rate_init"])
    for name in ("alpha", "tol"):
        if not isinstance(of[name], Real) or not of[name] >= 0:
            raise _doors.mistake(name, "a number >= 0", repr(of[name]))
    if not 0 < of["validation_fraction"] < 1:
        raise _doors.mistake("validation_fraction", "a number between 0 and 1", of["validation_fraction"])
    return _activation(of["activation"])


def _recipe_of(estimator: _MLP, phi: Activation, loss: Loss, batch: int, steps: int) -> Recipe:
    """Return the recipe of an estimator's training; numbers of its optimizer are traced, all else is static."""
    solver = estimator.solver
    make = getattr(optax, solver, None) if isinstance(solver, str) else None
    names = list(inspect.signature(make).parameters) if callable(make) else []
    if "learning_rate" not in names or solver == "lbfgs":
        cure = "lbfgs takes no minibatches: scikit-learn's own has it" if solver == "lbfgs" else "see optax"
        expected = "the name of an optimizer of optax with a learning rate, such as 'adam', 'adamw' or 'sgd'"
        raise _doors.mistake("solver", expected, repr(solver), cure)
    options: dict[str, Any] = {}
    if solver in ("adam", "adamw"):
        options = {"b1": estimator.beta_1, "b2": estimator.beta_2, "eps": estimator.epsilon}
    if solver == "sgd":
        options = {"momentum": estimator.momentum, "nesterov": estimator.nesterovs_momentum}
    options |= estimator.solver_options or {}
    for name in options:
        if name not in names:
            raise _doors.mistake("solver_options", f"arguments of optax.{solver}", repr(name), f"known are {names}")
    numbers = {name: value for name, value in options.items() if isinstance(value, float)}
    static = tuple(sorted((name, value) for name, value in options.items() if name not in numbers))
    parametrization = PARAMETRIZATIONS[estimator.parametrization]
    return Recipe(
        optimizer=_optimizer(solver, estimator.learning_rate, estimator.parametrization, static),
        hyperparameters={
            "learning_rate": estimator.learning_rate_init,
            "alpha": estimator.alpha / batch,
            "steps": float(steps),
            **numbers,
        },
        batch_size=batch,
        activation=phi,
        loss=loss,
        shuffle=bool(estimator.shuffle),
        gradient=parametrization.gradient,
        forward=parametrization.forward,
    )
