"""What a hand-written backward pass is tried on: small networks at points that hide no mistake.

At weights of 0.01 * randn with zero biases, where homework starts, most checks let mistakes pass: h is nearly 0, phi'
nearly 1, and a missing derivative changes nothing. Here weights are about 1 / sqrt(fan_in) and biases about 0.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mlp_jax import _doors
from mlp_jax.activations import ACTIVATIONS
from mlp_jax.check._diagnosis.mistakes import Gradients, forward
from mlp_jax.losses import LOSSES

LAYOUTS = ("rows", "columns", "torch")
FORMS = ("list", "dict")
DEEPEST = 5


@dataclass(frozen=True)
class Settings:
    """How the checked function is written.

    Attributes:
      activation: of the hidden layers, one of `mlp_jax.activations.ACTIVATIONS`.
      loss: "cross_entropy", or "squared_error" against one_hot(labels).
      layers: the only depth that it is written for; None for every one.
      layout: "rows": x (B, D) and weight (fan_in, fan_out); "columns": x (D, B), weight (fan_out, fan_in) and bias
        (fan_out, 1); "torch": x (B, D) and weight (fan_out, fan_in).
      params: "list" of (weight, bias), or "dict" with W1, b1, W2, ...
    """

    activation: str = "tanh"
    loss: str = "cross_entropy"
    layers: int | None = None
    layout: str = "rows"
    params: str = "list"

    def __post_init__(self) -> None:
        for name in ("activation", "loss", "layout", "params"):  # ReLU is relu
            value = getattr(self, name)
            object.__setattr__(self, name, value.lower() if isinstance(value, str) else value)
        for name, known in (("activation", ACTIVATIONS), ("loss", LOSSES), ("layout", LAYOUTS), ("params", FORMS)):
            _doors.check_choice(name, getattr(self, name), known)
        if self.layers is not None:
            _doors.as_whole_number("layers", self.layers, at_least=1)


class Problem(NamedTuple):
    """One network and one batch.

    Attributes:
      name: what is special about it.
      params: [(W_1, b_1), ...], weights (fan_in, fan_out).
      x: (B, D).
      labels: (B,).
      extreme: whether units saturate or logits are huge, so that textbook forms lose digits.
    """

    name: str
    params: Gradients
    x: np.ndarray
    labels: np.ndarray
    extreme: bool = False

    @property
    def depth(self) -> int:
        """The number of weight layers."""
        return len(self.params)

    @property
    def shape(self) -> str:
        """The widths and the batch, in words."""
        widths = [len(self.x.T), *(len(b) for _, b in self.params)]
        return f"widths {'-'.join(map(str, widths))}, a batch of {len(self.x)}"


def problems(settings: Settings) -> list[Problem]:
    """Return the problems, the most telling first; of one depth where the settings say so, else 1 to 5 layers."""
    depth = settings.layers or 3
    others = () if settings.layers else (2, 1, 4, 5)
    plain = _problem("all widths different", _widths(depth), 8)
    square = _problem("all widths equal", _square(depth), 5)
    made = [plain, square]
    made += [_problem(f"{L} layer{'s' * (L > 1)}", _square(L) if L == 5 else _widths(L), 8) for L in others]
    made += [
        _problem("a batch of one", _widths(depth), 1),
        plain._replace(name="a class without examples", labels=np.minimum(plain.labels, 1)),
        plain._replace(name="one label for all", labels=np.full_like(plain.labels, 2)),
        _tied(plain),
        _kink(plain),
        _scaled(plain),
        _saturated(plain),
    ]
    return made


def probes(depth: int) -> list[Problem]:
    """Return problems of the same kind, drawn anew, to find out which mistakes differ from a correct pass at all."""
    return [_problem("probe", _widths(depth), 7, seed=1), _problem("probe", _square(depth), 6, seed=1)]


def _widths(depth: int) -> tuple[int, ...]:
    """(D, ..., C) for which no weight is square: a transpose that is missing does not fit."""
    return (5, *((4, 6) * DEEPEST)[: depth - 1], 3)


def _square(depth: int) -> tuple[int, ...]:
    """(D, ..., C), all equal: a transpose that is missing fits, and is wrong."""
    return (4,) * (depth + 1)


def _problem(name: str, widths: Sequence[int], batch: int, seed: int = 0) -> Problem:
    rng = np.random.default_rng([seed, batch, *widths])
    params = [
        (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in), 0.5 * rng.standard_normal(fan_out))
        for fan_in, fan_out in pairwise(widths)
    ]
    labels = rng.permutation(np.arange(batch) % widths[-1])  # every class where the batch is large enough
    return Problem(name, params, rng.standard_normal((batch, widths[0])), labels)


def _tied(problem: Problem) -> Problem:
    """Two classes have the same logits."""
    *layers, (W, b) = problem.params
    W, b = W.copy(), b.copy()
    W[:, 1], b[1] = W[:, 0], b[0]
    return problem._replace(name="tied logits", params=[*layers, (W, b)])


def _kink(problem: Problem) -> Problem:
    """One unit of the first layer is at z = 0 for every example."""
    (W, b), *layers = problem.params
    W, b = W.copy(), b.copy()
    if layers:
        W[:, 0], b[0] = 0, 0
    return problem._replace(name="a unit at z = 0", params=[(W, b), *layers])


def _scaled(problem: Problem) -> Problem:
    """Logits in the thousands."""
    *layers, (W, b) = problem.params
    return problem._replace(name="logits in the thousands", params=[*layers, (3000 * W, b)], extreme=True)


def _saturated(problem: Problem) -> Problem:
    """Hidden units driven into saturation, by biases of 18 and -18."""
    *layers, last = problem.params
    params = [(W, 18.0 * np.where(np.arange(len(b)) % 2, -1, 1)) for W, b in layers]
    return problem._replace(name="saturated units", params=[*params, last], extreme=True)


def arguments(problem: Problem, settings: Settings) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return (params, x, labels) as the checked function takes them: fresh, writable float64 arrays."""
    transposed = settings.layout != "rows"
    layers = [(W.T.copy() if transposed else W.copy(), b.copy()) for W, b in problem.params]
    if settings.layout == "columns":
        layers = [(W, b[:, None]) for W, b in layers]
    x = problem.x.T.copy() if settings.layout == "columns" else problem.x.copy()
    params: Any = layers
    if settings.params == "dict":
        params = {
            f"{name}{l}": array for l, layer in enumerate(layers, 1) for name, array in zip("Wb", layer, strict=True)
        }
    return params, x, problem.labels.copy()


def layers_of(params: Any, depth: int, settings: Settings) -> list[tuple[Any, Any]]:
    """Return params as the function takes them, layer by layer."""
    return [(params[f"W{l}"], params[f"b{l}"]) for l in range(1, depth + 1)] if settings.params == "dict" else params


def gradients_of(result: Any, problem: Problem, settings: Settings) -> tuple[float, list[tuple[Any, Any]]]:
    """Return (loss, [(dW_1, db_1), ...]) of what the function returned, as arrays in the function's own layout.

    Raises:
      ValueError: for a result of another form, in one line.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
        raise _doors.mistake("result", "(loss, gradients)", got)
    loss = as_array("loss", result[0])
    if loss.size != 1:
        raise _doors.mistake("loss", "one number", f"shape {loss.shape}")
    if not np.isrealobj(loss):
        raise _doors.mistake("loss", "a real number", loss.dtype)
    pairs = _pairs_of_dict(result[1], problem.depth) if settings.params == "dict" else _pairs(result[1], problem.depth)
    arrays = [
        (as_array(f"layers[{i}].weight", dW), as_array(f"layers[{i}].bias", db)) for i, (dW, db) in enumerate(pairs)
    ]
    return float(loss.reshape(())), arrays


def canonical(gradients: list[tuple[Any, Any]], settings: Settings) -> list[tuple[Any, Any]]:
    """Return gradients in the function's layout as weights (fan_in, fan_out) and biases (fan_out,)."""
    if settings.layout != "rows":
        gradients = [(dW.T if dW.ndim == 2 else dW, db) for dW, db in gradients]
    if settings.layout == "columns":
        gradients = [(dW, db[:, 0] if db.ndim == 2 and db.shape[1] == 1 else db[None]) for dW, db in gradients]
    return gradients


def as_array(name: str, value: Any) -> np.ndarray:
    """Return what looks like an array as a numpy array of real numbers."""
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
            raise TypeError
        if array.dtype.kind == "c" and not np.any(array.imag):
            array = array.real
    except (TypeError, ValueError, RuntimeError):
        raise _doors.mistake(name, "an array of numbers", f"{type(value).__name__}: {str(value)[:40]!r}") from None
    if array.dtype.kind == "c":
        raise _doors.mistake(name, "real numbers", array.dtype)
    return array


def _pairs(gradients: Any, depth: int) -> list[tuple[Any, Any]]:
    if isinstance(gradients, Mapping) or not _is_sequence(gradients):
        cure = "set PARAMS = 'dict' for W1, b1, ..." if isinstance(gradients, Mapping) else ""
        raise _doors.mistake("gradients", f"{depth} pairs (dW, db)", type(gradients).__name__, cure)
    if len(gradients) != depth:
        raise _doors.mistake("gradients", f"{depth} pairs (dW, db), one a layer", f"{len(gradients)} values")
    for i, pair in enumerate(gradients):
        if not _is_sequence(pair) or len(pair) != 2:
            raise _doors.mistake(f"gradients[{i}]", "a pair (dW, db)", type(pair).__name__)
    return [(dW, db) for dW, db in gradients]


def _pairs_of_dict(gradients: Any, depth: int) -> list[tuple[Any, Any]]:
    if not isinstance(gradients, Mapping):
        raise _doors.mistake("gradients", "a dict with W1, b1, ... or dW1, db1, ...", type(gradients).__name__)

    def entry(name: str) -> Any:
        for key in (f"d{name}", name):
            if key in gradients:
                return gradients[key]
        raise _doors.mistake("gradients", f"d{name} or {name}", f"the names {', '.join(map(str, gradients))}")

    return [(entry(f"W{l}"), entry(f"b{l}")) for l in range(1, depth + 1)]


def _is_sequence(value: Any) -> bool:
    return isinstance(value, tuple | list)


def point_of(value: Any, settings: Settings) -> Problem:
    """Return the user's own point, (params, x, labels) as their function takes them, as a problem.

    Raises:
      ValueError, TypeError: for what does not fit.
    """
    if not _is_sequence(value) or len(value) != 3:
        raise _doors.mistake("point", "(params, x, labels)", type(value).__name__)
    params, x, labels = value
    depth = len(params) // (2 if settings.params == "dict" else 1) if hasattr(params, "__len__") else 0
    pairs = _pairs_of_dict(params, depth) if settings.params == "dict" else _pairs(params, depth)
    arrays = [(as_array("weight", W).astype(float), as_array("bias", b).astype(float)) for W, b in pairs]
    x = as_array("x", x).astype(float)
    layers = canonical(arrays, settings)
    _doors.as_params([(W, b) for W, b in layers])
    x = np.asarray(_doors.as_inputs(x.T if settings.layout == "columns" else x, len(layers[0][0]), float), float)
    labels = np.asarray(_doors.as_labels(labels, len(layers[-1][1])))
    if len(labels) != len(x):
        raise _doors.mistake("point", f"{len(x)} labels, one an example", len(labels))
    if settings.layers not in (None, depth):
        raise _doors.mistake("point", f"{settings.layers} layers, as the settings say", depth)
    with np.errstate(all="ignore"):
        z = forward(layers, x, labels, ACTIVATIONS[settings.activation], settings.loss).z
    if not all(np.isfinite(z_l).all() and np.abs(z_l).max() < 1e100 for z_l in z[1:]):
        raise _doors.mistake("point", "finite weights and biases of usual size", f"logits up to {np.abs(z[-1]).max()}")
    extreme = np.ptp(z[-1], axis=1).max() > 15 or any(np.abs(z_l).max() > 8 for z_l in z[1:-1])
    return Problem("your own point", layers, x, labels, bool(extreme))


def same(a: Any, b: Any) -> bool:
    """Whether two arguments hold the same numbers, NaN included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if _is_sequence(a):
        return _is_sequence(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"))
