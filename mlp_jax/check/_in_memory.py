"""Check functions in this process: a backward pass of layers, of any function at a point, or of one layer."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from mlp_jax import _doors
from mlp_jax._types import ArrayLike
from mlp_jax.activations import Activation
from mlp_jax.check._child.functions import Answer, call, layers_of_point, one_line
from mlp_jax.check._child.points import step_at
from mlp_jax.check._differences import judge as script
from mlp_jax.check._differences.in_memory import running_steps
from mlp_jax.check._networks import judge as functions
from mlp_jax.check._networks.autodiff import source_of, uses_autodiff
from mlp_jax.check._networks.problems import Asked, Problem, Settings
from mlp_jax.check._networks.recognition import Function
from mlp_jax.check._networks.report import BackpropReport
from mlp_jax.losses import Loss

COTANGENTS = 17  # of the stream of random numbers that draws them


def check_backprop(
    loss_and_gradients: Callable[..., Any],
    activation: str | Activation | None = None,
    *,
    loss: str | Loss | None = None,
    layers: int | None = None,
    layout: str | None = None,
    params: str | None = None,
    point: tuple[Any, ...] | None = None,
    strict: bool = False,
    seed: int = 0,
) -> BackpropReport:
    """Check a backward pass that somebody wrote by hand, and say what is wrong with it.

    The gradients are right if they are those of the loss that the function itself returns. The network is
    h_0 = x, z_l = h_{l-1} W_l + b_l, h_l = phi(z_l); its activation, output and loss are recognised from the losses.
    What you declare is asked for: another network is wrong then, with the code "convention".

    Args:
      loss_and_gradients: loss_and_gradients(params, x, labels) -> (loss, [(dW_1, db_1), ...]). params is a list of
        (weight, bias), weight (fan_in, fan_out) and bias (fan_out,); x (B, D); labels (B,) integers; all of them
        fresh numpy arrays, in float64. It may return numpy, jax.numpy or torch arrays, or lists; a dict with dW1,
        db1, ..., all in one tuple, or gradients alone.
      activation: of the hidden layers, a record or its name; None asks for none.
      loss: cross_entropy, the mean over B of -log softmax(z)_y; squared_error, the mean over B of
        sum_j (z_j - one_hot(y)_j)^2; None asks for none.
      layers: the only depth that it is written for; None tries 1 to 5.
      layout: "rows"; "columns" for x (D, B), weight (fan_out, fan_in), bias (fan_out, 1); "torch" for x (B, D),
        weight (fan_out, fan_in); None takes the one in which it answers.
      params: "list", or "dict" for W1, b1, ... in; None takes the one in which it answers.
      point: (params, *arguments) of your own, to check there and nowhere else; params may be any structure of arrays,
        and the gradients are one like it. The report then says which known mistakes that point cannot tell from a
        correct pass, if the network is recognised.
      strict: whether an exp that overflows at logits in the thousands is wrong; a remark by default.
      seed: draws the problems.

    Returns:
      A `BackpropReport`: true where the backward pass is correct.

    Raises:
      ValueError, TypeError: for settings that are not known, or a point that does not fit them. What is wrong with
        the function is in the report.

    Example:
      >>> from mlp_jax import Layer, backprop, tanh
      >>> def mine(params, x, labels):
      ...     layers = tuple(Layer(W, b) for W, b in params)
      ...     loss, gradients = backprop(layers, x, labels, tanh)
      ...     return loss, [(dW, len(x) * db) for dW, db in gradients]
      >>> report = check_backprop(mine)
      >>> report.verdict, report.diagnoses[0].code
      ('wrong', 'bias_gradient')
    """
    _doors.check_function("loss_and_gradients", loss_and_gradients)
    asked = as_asked(activation, loss, layers, layout, params, strict)
    with jax.enable_x64(True):
        if point is None:
            report = functions.judged(partial(_ask, loss_and_gradients), asked, seed)
        else:
            report = _at_point(loss_and_gradients, asked, point, seed)
    report = replace(report, uses_autodiff=uses_autodiff(source_of(loss_and_gradients)))
    return _with_lines(loss_and_gradients, report, seed) if isinstance(report.subject, Function) else report


def _with_lines(function: Callable[..., Any], report: BackpropReport, seed: int) -> BackpropReport:
    """Return a report that can make a listing, if the source is known."""
    from mlp_jax.check._lines import listing  # here, as every import of mlp_jax would take longer by a fiftieth

    settings = report.subject.settings

    def ask(problem: Problem) -> Answer:
        with jax.enable_x64(True):
            return _ask(function, problem, settings.layout, settings.params)

    return replace(report, listed=listing.of_function(function, ask, report.subject, seed, report.verdict != "wrong"))


def as_asked(
    activation: str | Activation | None,
    loss: str | Loss | None,
    layers: int | None,
    layout: str | None,
    params: str | None,
    strict: bool,
) -> Asked:
    """Return what settings ask of a function; the arguments are those of `check_backprop`.

    Raises:
      ValueError, TypeError: for one that is not known.
    """
    given = {"activation": activation, "loss": loss, "layers": layers, "layout": layout, "params": params}
    declared: dict[str, Any] = {
        name: getattr(value, "name", value) for name, value in given.items() if value is not None
    }
    return Asked(Settings(**declared), frozenset(declared), frozenset(declared), strict)


def check_point(asked: Asked, point: Any) -> tuple[Asked, Problem] | None:
    """Check a point of somebody's own, and return it as a problem if it is one of layers.

    Raises:
      ValueError: if it is no (params, *arguments), or does not fit the settings.
    """
    if point is None:
        return None
    if not isinstance(point, tuple | list) or len(point) < 2:
        got = f"{len(point)} value" if isinstance(point, tuple | list) else type(point).__name__
        raise _doors.mistake("point", "(params, *arguments)", got)
    of_layers = layers_of_point(point)
    return functions.at_point(asked, *of_layers) if of_layers else None


def _ask(function: Callable[..., Any], problem: Problem, layout: str, form: str) -> Answer:
    return call(function, problem.params, problem.x, problem.labels, layout, form)


def _at_point(
    function: Callable[..., Any], asked: Asked, point: Any, seed: int, words: str = "the loss that it returns"
) -> BackpropReport:
    at = check_point(asked, point)
    if at:
        return functions.judged(partial(_ask, function), at[0], seed, at[1])
    try:
        steps = [step_at(function, point)]
        return script.judged(running_steps(steps, fixed=True, words=words), asked, seed)
    except Exception as error:
        return functions.failed(one_line(error) or type(error).__name__, asked.settings)


def check_layer(
    forward: Callable[..., Any], backward: Callable[..., Any], x: ArrayLike, params: Any = (), *, seed: int = 0
) -> BackpropReport:
    """Check the backward pass of one layer: the gradients of x and of every parameter, for random cotangents.

    With y = forward(x, params) and a cotangent dy, drawn from a normal distribution, the right gradients are those of
    sum(dy * y), by central differences.

    Args:
      forward: forward(x, params) -> y, or (y, cache); of (y, a, b) the cache is (a, b).
      backward: backward(dy, x, params) -> (dx, dparams), dparams of the structure of params; or, if forward returns a
        cache, backward(dy, cache).
      x: an array of floats.
      params: any structure of arrays of floats, empty for none. What is not to be differentiated, such as a mask,
        belongs into the functions.
      seed: draws the cotangents.

    Returns:
      A `BackpropReport`: true where all gradients are right.

    Example:
      >>> import numpy as np
      >>> def forward(x, params):
      ...     return x @ params["W"] + params["b"]
      >>> def backward(dy, x, params):
      ...     return dy @ params["W"].T, {"W": x.T @ dy, "b": dy.sum()}
      >>> report = check_layer(forward, backward, np.ones((5, 3)), {"W": np.ones((3, 2)), "b": np.zeros(2)})
      >>> report.verdict, report.diagnoses[0].code
      ('wrong', 'bias_gradient')
    """
    for name, function in (("forward", forward), ("backward", backward)):
        _doors.check_function(name, function)
    rng = np.random.default_rng([seed, COTANGENTS])  # not the numbers that the caller's x may be
    with jax.enable_x64(True):
        try:
            output = forward(np.array(x, float), copy.deepcopy(params))
        except Exception as error:
            return functions.failed(f"forward: {one_line(error)}", None)
        has_cache = isinstance(output, tuple)
        shape = np.shape(output[0] if has_cache else output)
        has_params = bool(jax.tree.leaves(params))

        def loss_and_gradients(theta: Mapping[str, Any], dy: np.ndarray) -> tuple[Any, Any]:
            inputs = (theta["x"], theta.get("params", params))
            y, *caches = output if isinstance(output := forward(*inputs), tuple) else (output,)
            cache = caches[0] if len(caches) == 1 else tuple(caches)
            y = np.asarray(y)
            loss = np.sum(dy * y)  # before backward, which may work on dy in place
            loss = loss if y.dtype.kind in "biu" else loss.astype(y.dtype)  # it is as fine as y, but for whole numbers
            gradients = backward(dy.copy(), cache) if has_cache else backward(dy.copy(), *inputs)
            dx, *dparams = gradients if isinstance(gradients, tuple | list) else (gradients,)
            named = {"x": dx, "params": dparams[0] if len(dparams) == 1 else dparams}
            return loss, named if has_params else {"x": dx}

        theta = {"x": np.array(x, float), "params": params} if has_params else {"x": np.array(x, float)}
        point = (theta, rng.standard_normal(shape))
        return _at_point(loss_and_gradients, Asked(Settings()), point, seed, "sum(dy * y)")
