"""Softmax and the losses, accurate in every digit, with their derivatives in the logits by hand.

Notation: z = logits (B, C), p = softmax(z), y = labels (B,). The loss of a batch is the MEAN over its B
examples. Targets are labels, or floats (B, C): probabilities for `cross_entropy`, values for `squared_error`.

Logits that are not finite: NaN gives NaN, and so does +inf in `softmax` and `log_softmax`. A logit of -inf rules its
class out (p = 0). If a label has p_y = 0, by its own -inf or a rival's +inf, the loss is inf and its gradient NaN. A
label's own +inf gives 0. A label outside [0, C) is an error if it can be read, and makes the loss NaN under jit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from mlp_jax._doors import (
    as_floats,
    as_fraction,
    as_labels,
    as_like,
    as_logits,
    as_targets,
    as_whole_number,
    check_probabilities,
    check_values,
    door,
    mistake,
)
from mlp_jax._types import ArrayLike, Logits, Targets


def as_logits_argument(logits: Any, r: Any = None) -> dict[str, Any]:
    """Check logits (..., C), and r of their shape if there is one."""
    z = as_logits(logits)
    return {"logits": z} if r is None else {"logits": z, "r": as_like("r", r, "the logits", z.shape, z.dtype)}


@door(as_logits_argument)
def softmax(logits: Float[ArrayLike, "... C"]) -> Float[Array, "... C"]:
    """Return the probabilities p_j = exp(z_j - max z) / sum_k exp(z_k - max z).

    Args:
      logits: (..., C). Subtracting the maximum changes no p_j and keeps exp from overflowing.

    Returns:
      p, (..., C). Rows sum to 1, and p_j > 0 down to float32's least number, 1e-38, 85 to 87 below the maximum.

    Raises:
      ValueError, TypeError: if logits have no axis, no classes, or are not real numbers.

    Example:
      >>> print(softmax([1000.0, 1000.0]))
      [0.5 0.5]
    """
    z = logits
    e = jnp.exp(z - jnp.max(z, axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1, keepdims=True)


@door(as_logits_argument)
def softmax_jvp(logits: Float[ArrayLike, "... C"], r: Float[ArrayLike, "... C"]) -> Float[Array, "... C"]:
    """Return softmax's derivative along r (..., C): (diag p - p p^T) r = p * (r - <p, r>), (..., C), which sums to 0.

    Adding a number to all of r changes nothing. Setting r_j = 0 for the largest p_j keeps all digits of 1 - p_j.
    Errors as `softmax`, also if r has another shape or dtype than the logits.

    Example:
      >>> print(softmax_jvp([0.0, 0.0], jnp.array([2.0, 0.0])))
      [ 0.5 -0.5]
    """
    z, p = logits, softmax.room(logits)
    r = r - jnp.take_along_axis(r, jnp.argmax(z, axis=-1, keepdims=True), axis=-1)
    return p * (r - jnp.sum(p * r, axis=-1, keepdims=True))


@door(as_logits_argument)
def log_softmax(logits: Float[ArrayLike, "... C"]) -> Float[Array, "... C"]:
    """Return log p_j = (z_j - m) - log1p(sum of exp(z_k - m) over k != argmax z), m = max z.

    The textbook's log(sum of exp(z_k - m)) adds the winner's exp(0) = 1 first and rounds the rest away;
    log1p keeps every digit of the winner's log p, however close to 0.

    Args:
      logits: (..., C).

    Returns:
      log p, (..., C), in nats.

    Raises:
      ValueError, TypeError: if logits have no axis, no classes, or are not real numbers.

    Example:
      >>> print(log_softmax([50.0, 0.0]))
      [-1.9287499e-22 -5.0000000e+01]
    """
    z = logits
    is_max = jax.nn.one_hot(jnp.argmax(z, axis=-1), z.shape[-1], dtype=bool)
    m = jnp.max(z, axis=-1, keepdims=True, where=is_max, initial=-jnp.inf)
    nan_or_0 = jax.lax.stop_gradient(m - m)  # NaN if m is not finite
    z = jnp.where(is_max, 0, z - m) + nan_or_0  # constant for the winner, so that autodiff has nothing to cancel
    return z - jnp.log1p(jnp.sum(jnp.exp(z), axis=-1, keepdims=True, where=~is_max))


@door(as_logits_argument)
def predict(logits: Float[ArrayLike, "... C"]) -> Int[Array, "..."]:
    """Return the predicted class, argmax_j z_j. Softmax keeps the order of the logits, so it is not needed.

    Args:
      logits: (..., C). The lowest class wins a tie.

    Returns:
      Classes (...), integers; -1 for logits with a NaN, which have no largest.

    Raises:
      ValueError, TypeError: if logits have no axis, no classes, or are not real numbers.

    Example:
      >>> print(predict([[0.1, 0.7], [2.0, -1.0]]))
      [1 0]
    """
    return jnp.where(jnp.any(jnp.isnan(logits), axis=-1), -1, jnp.argmax(logits, axis=-1))


@dataclass(frozen=True)
class Loss:
    """A record of a loss and its derivative in the logits, itself callable: `cross_entropy(logits, targets)`.

    It is hashable, so it can be a static argument of `jax.jit`. Make your own once, by giving pure functions in
    `jax.numpy`, as for `Activation`. A loss of probabilities has to check them itself, by `check_targets`.

    Attributes:
      value: loss(logits (B, C), targets), the scalar mean over B, in plain `jax.numpy` for autodiff.
      logits_gradient: delta_L = d loss / d z_L (B, C), by hand, the 1 / B of the mean included.
      name: for the command line and reports; the default is the name of `value`.
      value_and_logits_gradient: (loss, delta_L), if the two share work. None, the default, calls the two functions.
      logits_hessian_product: (logits, targets, r) -> H_L r (B, C), with H_L the Hessian of the loss in the logits. Only
        Hessian- and Gauss-Newton-vector products need it.
      check_targets: (name, floats (B, C)), raises if the loss cannot take these float targets. It is called only if
        values can be read. None, the default, takes all finite floats.
      extra_columns: of float targets, beyond the C of the logits, such as the weight in `weighted`; then labels are no
        targets. The default is 0.

    Example:
      >>> import mlp_jax, jax.numpy as jnp
      >>> absolute = mlp_jax.Loss(
      ...     lambda z, t: jnp.mean(jnp.sum(jnp.abs(z - t), axis=-1)),
      ...     lambda z, t: jnp.sign(z - t) / len(z),
      ...     name="absolute_error",
      ... )
      >>> float(absolute(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 4.0]])))
      3.0
    """

    value: Callable[[Any, Any], Array]
    logits_gradient: Callable[[Any, Any], Array] = field(repr=False)
    name: str = ""
    value_and_logits_gradient: Callable[[Any, Any], tuple[Array, Array]] | None = field(default=None, repr=False)
    logits_hessian_product: Callable[[Any, Any, Any], Array] | None = field(default=None, repr=False)
    check_targets: Callable[[str, Any], None] | None = field(default=None, repr=False)
    extra_columns: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or getattr(self.value, "__name__", "loss"))
        object.__setattr__(self, "__doc__", self.value.__doc__ or type(self).__doc__)

    def __call__(self, logits: Logits, targets: Targets) -> Float[Array, ""]:
        """Return the mean loss over the batch."""
        return _loss(self, logits, targets)

    def pair(self, logits: Logits, targets: Targets) -> tuple[Float[Array, ""], Float[Array, "B C"]]:
        """Return (loss, delta_L), by `value_and_logits_gradient` if there is one."""
        if self.value_and_logits_gradient is None:
            return self.value(logits, targets), self.logits_gradient(logits, targets)
        return self.value_and_logits_gradient(logits, targets)


def targets_of(loss: Loss, value: Any, batch: int, classes: int, dtype: Any, name: str = "targets") -> Any:
    """Check the targets of a loss: labels (B,), or floats (B, C) that it takes."""
    return _checked_targets(loss.check_targets, value, batch, classes, dtype, name, loss.extra_columns)


def _checked_targets(check_targets: Any, *arguments: Any) -> Any:
    t = as_targets(*arguments)
    if check_targets is not None and t.ndim == 2:
        check_targets(arguments[4], t)
    return t


def _of_batch(check_targets: Any, logits: Any, targets: Any, extra: int = 0, **r: Any) -> dict[str, Any]:
    """Check the arguments of a loss's functions: logits (B, C), targets, and r if there is one."""
    z = as_logits(logits)
    if z.ndim != 2 or z.shape[0] == 0:
        raise ValueError(f"logits: expected (B, C), a batch of at least one example, got shape {z.shape}")
    t = _checked_targets(check_targets, targets, *z.shape, z.dtype, "targets", extra)
    r = {name: as_like(name, value, "the logits", z.shape, z.dtype) for name, value in r.items()}
    return {"logits": z, "targets": t} | r


@door(lambda loss, logits, targets: {"loss": loss} | _of_batch(loss.check_targets, logits, targets, loss.extra_columns))
def _loss(loss: Loss, logits: Logits, targets: Targets) -> Float[Array, ""]:
    return loss.value(logits, targets)


def _holds_labels(targets: Array) -> bool:
    return bool(jnp.issubdtype(targets.dtype, jnp.integer))


def _one_hot(labels: Integer[Array, " B"], like: Float[Array, "B C"]) -> Float[Array, "B C"]:
    """Return rows that are 1 at y and 0 elsewhere, or NaN if y is outside [0, C)."""
    is_label = jax.nn.one_hot(labels, like.shape[1], dtype=like.dtype)
    return jnp.where(jnp.any(is_label, axis=1, keepdims=True), is_label, jnp.nan)


def _rivals(z: Float[Array, "B C"], labels: Integer[Array, " B"]) -> Float[Array, "B C"]:
    """Return r_j = z_j - z_y for rivals j != y, and -inf at y; NaN if z_y is NaN or y is outside [0, C)."""
    is_label = jax.nn.one_hot(labels, z.shape[1], dtype=bool)
    y = labels.astype(jnp.result_type(labels, jnp.int32))[:, None]
    y = jnp.where(y < 0, z.shape[1], y)  # outside, since -1 would wrap around
    z_y = jnp.take_along_axis(z, y, axis=1, mode="fill", fill_value=jnp.nan)
    return jnp.where(is_label & ~jnp.isnan(z), -jnp.inf, z - z_y)


def _probabilities(q: Float[Array, "B C"]) -> Float[Array, "B C"]:
    """Return q, with NaN in rows that are not distributions, which the door cannot read under jit."""
    good = jnp.all(q >= 0, axis=1, keepdims=True) & (jnp.abs(jnp.sum(q, axis=1, keepdims=True) - 1) <= 1e-2)
    return jnp.where(good, q, jnp.nan)


_of_probabilities = door(partial(_of_batch, check_probabilities))
_of_values = door(partial(_of_batch, None))


@_of_probabilities
def _cross_entropy(logits: Logits, targets: Targets) -> Float[Array, ""]:
    """Return the mean of -log p_y (or of -sum_j q_j log p_j for probabilities q), in nats.

    With r_j = z_j - z_y for the rivals j != y, and a = log sum_{j != y} exp(r_j) the log-odds against y,

        -log p_y = -log(exp(z_y) / sum_j exp(z_j)) = log(1 + sum_{j != y} exp(r_j))
                 = log(1 + exp(a)) = softplus(a).

    This formula has no special case and keeps every digit of a loss near 0. The usual log p_y,
    z_y - log sum_j exp(z_j), is exactly 0 below 6e-8 in float32.

    Args:
      logits: z, (B, C).
      targets: labels y (B,), integers in [0, C), or probabilities q (B, C), floats whose rows sum to 1, such as
        `smooth_labels` gives.

    Returns:
      The loss, the scalar mean over the B examples.

    Raises:
      ValueError, TypeError: if shapes do not fit, labels are not integers in [0, C), or probabilities are negative or
        do not sum to 1. Bad values that cannot be read give NaN.

    Example:
      >>> print(cross_entropy(jnp.array([[0.0, 0.0]]), jnp.array([1])))  # log 2
      0.6931472
      >>> print(cross_entropy(jnp.array([[50.0, 0.0]]), jnp.array([0])))  # exp(-50)
      1.9287499e-22
    """
    z, t = logits, targets
    if _holds_labels(t):
        return jnp.mean(jax.nn.softplus(jax.nn.logsumexp(_rivals(z, t), axis=1)))
    q = _probabilities(t)
    return -jnp.mean(jnp.sum(jnp.where(q == 0, 0, q * log_softmax.room(z)), axis=1))


@_of_probabilities
def _cross_entropy_logits_gradient(logits: Logits, targets: Targets) -> Float[Array, "B C"]:
    """Return delta = (p - one_hot(y)) / B, or (p - q) / B, without the subtraction p_y - 1.

    With m = max_j r_j, e_j = exp(r_j - m) and S = sum_j e_j over the rivals (e_y = 0):

        p_j = exp(r_j) / (1 + sum_k exp(r_k)) = e_j / (S + exp(-m)),    p_y - 1 = -S / (S + exp(-m)).

    For probabilities q, p_j - q_j = p_j sum_{k != j} q_k - q_j sum_{k != j} p_k, which is the same
    if q is all on y.

    Args:
      logits: z, (B, C).
      targets: labels (B,) or probabilities (B, C), as for `cross_entropy`.

    Returns:
      delta, (B, C), the gradient of the mean over the batch.

    Raises:
      ValueError, TypeError: as `cross_entropy`.
    """
    return _cross_entropy_value_and_logits_gradient.room(logits, targets)[1]


@_of_probabilities
def _cross_entropy_value_and_logits_gradient(
    logits: Logits, targets: Targets
) -> tuple[Float[Array, ""], Float[Array, "B C"]]:
    """Return loss and delta. With labels both follow from m, e and S, since a = m + log S."""
    z, t = logits, targets
    batch, classes = z.shape
    if _holds_labels(t):
        r = _rivals(z, t)
        m = jnp.max(r, axis=1, keepdims=True)
        m = jnp.where(jnp.isfinite(m), m, 0)  # -inf if all rivals are ruled out, and then S = 0
        e = jnp.exp(r - m)
        S = jnp.sum(e, axis=1, keepdims=True)
        delta = jnp.where(jax.nn.one_hot(t, classes, dtype=bool), -S, e) / (S + jnp.exp(-m)) / batch
        return jnp.mean(jax.nn.softplus(m + jnp.log(S))), delta
    q = _probabilities(t)
    e = jnp.exp(z - jnp.max(z, axis=1, keepdims=True))
    S = jnp.sum(e, axis=1, keepdims=True)
    is_max = jax.nn.one_hot(jnp.argmax(z, axis=1), classes, dtype=bool)
    complement = jnp.where(is_max, jnp.sum(e, axis=1, keepdims=True, where=~is_max), S - e)  # sum_{k != j} e_k
    delta = (e * (jnp.sum(q, axis=1, keepdims=True) - q) - q * complement) / S / batch
    return _cross_entropy.room(z, t), delta


@_of_probabilities
def _cross_entropy_logits_hessian_product(logits: Logits, targets: Targets, r: Logits) -> Float[Array, "B C"]:
    """Return H_L r = (sum_j q_j) (diag p - p p^T) r / B, the same for every label."""
    z, t = logits, targets
    q = _one_hot(t, like=z) if _holds_labels(t) else _probabilities(t)
    return jnp.sum(q, axis=1, keepdims=True) * softmax_jvp.room(z, r) / z.shape[0]


cross_entropy = Loss(
    _cross_entropy,
    _cross_entropy_logits_gradient,
    "cross_entropy",
    _cross_entropy_value_and_logits_gradient,
    _cross_entropy_logits_hessian_product,
    check_probabilities,
)


@_of_values
def _squared_error(logits: Logits, targets: Targets) -> Float[Array, ""]:
    """Return the mean over B of sum_j (z_j - t_j)^2, without the factor 1/2 that some texts have.

    Args:
      logits: z, (B, C), any real outputs.
      targets: values t (B, C), floats, or labels (B,), integers, which become one-hot.

    Returns:
      The loss, a scalar.

    Raises:
      ValueError, TypeError: if shapes do not fit (floats (B,) would broadcast), labels are outside [0, C), or targets
        are not finite. Bad values that cannot be read give NaN.

    Example:
      >>> print(squared_error(jnp.array([[0.0, 3.0]]), jnp.array([[1.0, 1.0]])))
      5.0
    """
    z, t = logits, targets
    t = _one_hot(t, like=z) if _holds_labels(t) else t
    return jnp.mean(jnp.sum((z - t) ** 2, axis=1))


@_of_values
def _squared_error_logits_gradient(logits: Logits, targets: Targets) -> Float[Array, "B C"]:
    """Return delta = 2 (z - t) / B. Arguments and errors as `squared_error`."""
    z, t = logits, targets
    t = _one_hot(t, like=z) if _holds_labels(t) else t
    return 2 * (z - t) / z.shape[0]


@_of_values
def _squared_error_logits_hessian_product(logits: Logits, targets: Targets, r: Logits) -> Float[Array, "B C"]:
    """Return H_L r = 2 r / B, with NaN for a label outside [0, C)."""
    z, t = logits, targets
    one_or_nan = jnp.sum(_one_hot(t, like=z), axis=1, keepdims=True) if _holds_labels(t) else 1
    return 2 * one_or_nan * r / z.shape[0]


squared_error = Loss(
    _squared_error,
    _squared_error_logits_gradient,
    "squared_error",
    logits_hessian_product=_squared_error_logits_hessian_product,
)


@cache  # equal calls give one record, and so one compiled program
def weighted(loss: Loss) -> Loss:
    """Return the weighted loss, mean over the batch of w_i l_i, where `loss` is the mean of the l_i.

    A weight w_i counts an example as w_i examples; of weight 0 it counts for nothing. Weights of mean 1 keep the step
    sizes of the plain loss. Since delta_i is the derivative of l_i / B alone, the weighted delta_i is w_i delta_i.

    Args:
      loss: a mean over examples, such as `cross_entropy` or `squared_error`.

    Returns:
      The `Loss` of targets (B, C + 1): the float targets of `loss`, and w >= 0 in the last column; see `with_weights`.

    Raises:
      ValueError: by the result, if a weight is negative, or the targets are none of `loss`.

    Example:
      >>> logits, labels = jnp.zeros((2, 2)), jnp.array([0, 1])
      >>> print(weighted(cross_entropy)(logits, with_weights(labels, [2.0, 0.0], classes=2)))  # log 2
      0.6931472
    """

    def value(z: Array, t: Array) -> Array:
        return jnp.mean(_times(t[:, -1], jax.vmap(lambda z, t: loss.value(z[None], t[None]))(z, t[:, :-1])))

    def logits_gradient(z: Array, t: Array) -> Array:
        return _times(t[:, -1:], loss.logits_gradient(z, t[:, :-1]))

    def logits_hessian_product(z: Array, t: Array, r: Array) -> Array:
        assert loss.logits_hessian_product is not None
        return _times(t[:, -1:], loss.logits_hessian_product(z, t[:, :-1], r))

    def check_targets(name: str, t: Any) -> None:
        if loss.check_targets is not None:
            loss.check_targets(name, t[:, :-1])
        check_values(f"{name}' last column", lambda w: w >= 0, t[:, -1], "weights, none negative")

    has_hessian = loss.logits_hessian_product is not None
    return Loss(
        value,
        logits_gradient,
        f"weighted_{loss.name}",
        logits_hessian_product=logits_hessian_product if has_hessian else None,
        check_targets=check_targets,
        extra_columns=loss.extra_columns + 1,
    )


def _times(w: Array, a: Array) -> Array:
    """Return w a; 0 where w is 0, also if a is infinite, and NaN where w is negative."""
    return jnp.where(w == 0, 0, jnp.where(w < 0, jnp.nan, w) * a)


def _of_weights(targets: Any, weights: Any, classes: Any) -> dict[str, Any]:
    w = as_floats("weights", weights)
    if w.ndim != 1:
        raise mistake("weights", "one for each example, (B,)", f"shape {w.shape}", "")
    check_values("weights", lambda w: (w >= 0) & (w < jnp.inf), w, "finite weights, none negative")
    classes = as_whole_number("classes", classes, at_least=1)
    return {"targets": as_targets(targets, w.shape[0], classes, w.dtype), "weights": w, "classes": classes}


@door(_of_weights)
def with_weights(targets: Targets, weights: Float[ArrayLike, " B"], classes: int) -> Float[Array, "B _"]:
    """Return the targets of a `weighted` loss: labels become one-hot, and the weights are the last column.

    Args:
      targets: labels (B,), or floats (B, C).
      weights: w, (B,), none negative.
      classes: C, the width of the logits.

    Returns:
      (B, C + 1) in the weights' dtype.

    Raises:
      ValueError, TypeError: if shapes do not fit, a weight is negative or not finite, or a label is outside [0, C).

    Example:
      >>> print(with_weights(jnp.array([1, 0]), [0.5, 1.5], classes=2))
      [[0.  1.  0.5]
       [1.  0.  1.5]]
    """
    t, w = targets, weights
    t = _one_hot(t, like=jnp.zeros((t.shape[0], classes), w.dtype)) if _holds_labels(t) else t
    return jnp.concatenate([t, w[:, None]], axis=1)


LOSSES: dict[str, Loss] = {record.name: record for record in (cross_entropy, squared_error)}


def _of_labels(labels: Any, classes: Any, amount: Any) -> dict[str, Any]:
    classes = as_whole_number("classes", classes, at_least=1)
    return {"labels": as_labels(labels, classes), "classes": classes, "amount": as_fraction("amount", amount)}


@door(_of_labels)
def smooth_labels(labels: Integer[ArrayLike, " B"], classes: int, amount: Float[ArrayLike, ""]) -> Float[Array, "B C"]:
    """Return the probabilities q_j = (1 - amount) [j = y] + amount / C (Szegedy et al., 2016).

    Args:
      labels: y, (B,) integers in [0, C).
      classes: C.
      amount: the share of every label that is spread over all classes, in [0, 1].

    Returns:
      Targets for `cross_entropy`, (B, C) in jax.numpy's default float.

    Raises:
      ValueError, TypeError: if labels are outside [0, C) or `amount` is outside [0, 1].

    Example:
      >>> print(smooth_labels(jnp.array([1]), classes=2, amount=0.5))
      [[0.25 0.75]]
    """
    share = jnp.where((amount >= 0) & (amount <= 1), amount, jnp.nan)
    return (1 - share) * _one_hot(labels, like=jnp.zeros((labels.shape[0], classes))) + share / classes
