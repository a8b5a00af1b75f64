"""Early divergence: find the first number of a run that is not finite.

`train` does not look for this number, so the fast path costs nothing. Three programs repeat the run:

    first_bad_epoch   runs epochs, keeping the state before each, until one goes bad
    first_bad_step    runs that epoch again, keeping the state before each step, until one goes bad
    take_apart        computes that step again and returns all its numbers

The first two scan the same functions as `train`. The first number that is not finite is then found in the order of
computation: z_1, h_1, z_2, ..., z_L, the loss, delta_L, ..., delta_1, gradients, updates, parameters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from mlp_jax import _doors
from mlp_jax._programs import jit_of
from mlp_jax._types import ArrayLike
from mlp_jax.activations import Activation
from mlp_jax.backpropagation import BackwardTrace, autodiff, backprop, backprop_with_trace
from mlp_jax.losses import Loss
from mlp_jax.training import _engine
from mlp_jax.training._batches import scan_batches
from mlp_jax.training._engine import TrainState
from mlp_jax.training._recipe import (
    Examples,
    Static,
    Traced,
    as_examples_of,
    dtype_of,
    is_plain,
    recipe_of,
    takes_recipe,
)


@dataclass(frozen=True)
class Divergence:
    """The place at which a run went bad; `str` describes it.

    Attributes:
      epoch: counted from 1.
      step: within the epoch, counted from 1; None if no single step of it is bad.
      total_step: the step counted from the start of the run.
      quantity: the first that is not finite: "z", "h", "loss", "delta", "gradient", "update", "parameter" or
        "optimizer state". None if the step, computed by itself, is finite.
      layer: l of z_l, h_l, delta_l, W_l and b_l, counted from 1. It is the path of the leaf for the optimiser's state,
        and for parameters of a network other than the plain one. None for the loss.
      example: the row of x that went bad, the first of its batch if several did; None if no single row did.
      count: how many examples of the batch went bad; 0 if no single one did.
      value: inf, -inf or nan.
      words: all this in a sentence, with the largest inputs and what to try.
    """

    epoch: int
    step: int | None = None
    total_step: int | None = None
    quantity: str | None = None
    layer: int | str | None = None
    example: int | None = None
    count: int = 0
    value: float | None = None
    words: str = ""

    def __str__(self) -> str:
        return self.words


Inputs = tuple[Array, Examples, Traced]  # key, data, and the traced part of the recipe


class Walk(NamedTuple):
    """The progress of a walk by epochs or steps: the states around the last one, the number done, and if it was bad."""

    before: PyTree
    after: PyTree
    done: Int[Array, ""]
    is_bad: Bool[Array, ""]


class Parts(NamedTuple):
    """All numbers of one step; the trace is None if the gradient is not this library's."""

    trace: BackwardTrace | None
    logits: Float[Array, "B C"]
    losses: Float[Array, " B"]
    loss: Float[Array, ""]
    gradients: PyTree
    updates: PyTree
    after: tuple[PyTree, PyTree]


class Quantity(NamedTuple):
    """Values that may be bad, and their inputs by name: rows of the same example, and the rest."""

    name: str
    layer: int | str | None
    symbol: str
    values: Any
    rows: Mapping[str, Any] = {}
    rest: Mapping[str, Any] = {}


@takes_recipe
def find_divergence(key: Array, params: PyTree, data: tuple[ArrayLike, ArrayLike], **recipe: Any) -> Divergence | None:
    """Repeat a run of `train`, and return its first number that is not finite.

    Arguments, defaults and errors are those of `train`. A call under jit or vmap is an error, since numbers must be
    read. It takes the time of training up to the first bad step, whatever `epochs` is, and of three compilations.

    A step is bad if its loss, a parameter or the optimiser's state is not finite after it. Leaves that are not finite
    at the start do not count. In that step the first number that is not finite is named, even a harmless inf.

    Layers and examples are known for `backprop` and `autodiff`. With a gradient of your own, z, h and delta are not
    checked, and a bad loss is attributed to the examples whose loss by `forward` is bad.

    Returns:
      The `Divergence`, or None if the run stays finite. The three programs are not the one that `train`
      compiled. On CPUs they gave the same bits, but a compiler may round differently. If the bad step of the run is
      finite when computed by itself, `quantity` is None and the words say so.

    Example:
      >>> from mlp_jax import Layer, squared_error
      >>> params = (Layer(jnp.ones((1, 1)), jnp.zeros(1)),)
      >>> data = jnp.array([[1.0], [2.0]]), jnp.array([[0.0], [0.0]])
      >>> first = find_divergence(jax.random.key(0), params, data, optimizer=optax.sgd(1e20), loss=squared_error)
      >>> print(first)  # step 1 overshoots by 1e20, whose square overflows
      epoch 2, step 1 of 1 (step 2 in all): the loss is the first that is not finite, inf, in example x[0] and 1 more \
of its batch; largest |logit| there 8e+20; try a smaller learning rate
    """
    _doors.check_key(key)
    run = recipe_of("find_divergence", recipe)
    params, data = as_examples_of("data", data, params, run.forward, run.activation, run.loss)
    static, traced = run.static, run.traced(dtype_of(params))
    inputs = (key, data, traced)
    if _doors.is_traced((params, inputs)):
        raise _doors.mistake("find_divergence", "numbers to read", "arrays under jit or vmap", "call it outside")

    state = _engine.init_state(params, traced.hyperparameters, static=static, keep="last")
    watched, walk = _finite_leaves(state[:2]), _start(state)
    while not walk.is_bad and walk.done < run.epochs:  # in chunks, so that Ctrl-C works between them
        until = min(int(walk.done) + max(1, run.epochs // 50), run.epochs)
        walk = first_bad_epoch(walk, inputs, watched, until, static=static)
    if not walk.is_bad:
        return None
    epoch = int(walk.done)
    walk, order = first_bad_step(walk.before, inputs, watched, static=static)
    if not walk.is_bad:
        words = f"epoch {epoch:,}: its mean loss or final state is not finite, but none of its steps is bad"
        return Divergence(epoch, words=words)
    step, steps = int(walk.done), -(-len(order) // static.batch_size)
    batch = np.asarray(order)[(step - 1) * static.batch_size : step * static.batch_size]
    parts, params = jax.device_get((take_apart(walk.before, batch, inputs, watched, static=static), walk.before[0]))
    in_order = quantities(parts, params, is_plain(traced.forward))
    first = next((quantity for quantity in in_order if not np.isfinite(quantity.values).all()), None)
    return describe(first, epoch, step, steps, batch, (traced.hyperparameters or {}).get("learning_rate"))


@jit_of(["static"])
def first_bad_epoch(walk: Walk, inputs: Inputs, watched: PyTree, until: int | Array, static: Static) -> Walk:
    """Run epochs, from `TrainState` to `TrainState`, until one is bad or `until` are done."""
    key, data, traced = inputs

    def epoch(walk: Walk) -> Walk:
        before = walk.after
        after, (history, _) = _engine.run_epochs(before, key, data, None, traced, static, 1)
        return Walk(before, after, walk.done + 1, _is_bad(history.train_loss[0], after[:2], watched))

    return jax.lax.while_loop(lambda walk: ~walk.is_bad & (walk.done < until), epoch, walk)


@jit_of(["static"])
def first_bad_step(state: TrainState, inputs: Inputs, watched: PyTree, static: Static) -> tuple[Walk, Int[Array, " N"]]:
    """Run an epoch's steps, by (params, optimizer_state), to its first bad step or its end; return also its order."""
    key, (x, targets), traced = inputs
    order = _engine.order_of_epoch(key, state.epoch, len(x), static)

    def step(walk: Walk, batch: Int[Array, " B"] | slice) -> tuple[Walk, tuple[()]]:
        def go(walk: Walk) -> Walk:
            params, state = walk.after
            after, loss = _engine.train_step(params, state, x[batch], targets[batch], traced, static)
            return Walk(walk.after, after, walk.done + 1, _is_bad(loss, after, watched))

        return jax.lax.cond(walk.is_bad, lambda walk: walk, go, walk), ()

    return scan_batches(step, _start(state[:2]), order, static.batch_size)[0], order


@jit_of(["static"])
def take_apart(
    before: tuple[PyTree, PyTree], batch: ArrayLike, inputs: Inputs, watched: PyTree, static: Static
) -> Parts:
    """Return all numbers of the step from (params, optimizer_state), with unwatched leaves as 0."""
    _, data, traced = inputs
    (params, _), (x, targets), (phi, loss) = before, (a[batch] for a in data), (static.activation, static.loss)
    trace = None
    if traced.gradient.func is autodiff:  # the chain of backprop, its derivatives by reverse-mode autodiff
        value = phi.value
        phi = Activation(value, lambda z: jax.vjp(value, z)[1](jnp.ones_like(z))[0])
        loss = Loss(loss.value, jax.grad(loss.value))
    if traced.gradient.func in (autodiff, backprop):
        trace = backprop_with_trace.room(params, x, targets, phi, loss)
    logits = traced.forward(params, x, activation=phi)
    losses = jax.vmap(lambda z, t: loss.value(z[None], t[None]))(logits, targets)
    optimizer = _watching(_engine.transformation_of(static.optimizer, traced.hyperparameters))
    static, traced = replace(static, optimizer=optimizer), traced._replace(hyperparameters=None)
    (params, (gradients, updates, state)), mean = _engine.train_step(*before, x, targets, traced, static)
    after = jax.tree.map(
        lambda a, is_watched: jnp.where(is_watched, a, 0) if _is_float(a) else jnp.zeros(()), (params, state), watched
    )
    return Parts(trace, logits, losses, mean, gradients, updates, after)


def _watching(optimizer: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """Return the same optimiser, but with (gradients, updates, state) as its new state."""

    def update(gradients: PyTree, state: PyTree, params: PyTree, **extra: Any) -> tuple[PyTree, PyTree]:
        updates, state = optimizer.update(gradients, state, params, **extra)
        return updates, (gradients, updates, state)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def quantities(parts: Parts, params: PyTree, is_plain: bool) -> Iterator[Quantity]:
    """Yield the quantities of a step from `params`, in the order of computation."""
    trace, logits = parts.trace, {"|logit|": parts.logits}
    z, h, delta = ((), (), ()) if trace is None else (trace.forward.z, trace.forward.h, trace.delta)
    L = len(z)
    for l in range(1, L + 1):
        inputs = {"|x|" if l == 1 else f"|h_{l - 1}|": h[l - 1]}
        yield Quantity("z", l, f"z_{l}", z[l - 1], inputs, {f"|W_{l}|": params[l - 1].weight})
        if l < L:
            yield Quantity("h", l, f"h_{l}", h[l], {f"|z_{l}|": z[l - 1]})
    if not np.isfinite(parts.loss):
        yield Quantity("loss", None, "the loss", parts.losses, rows=logits)
        yield Quantity("loss", None, "the loss", parts.loss, rest=logits)  # of no single example
    for l in range(L, 0, -1):
        rows, rest = (logits, {}) if l == L else ({f"|delta_{l + 1}|": delta[l]}, {f"|W_{l + 1}|": params[l].weight})
        yield Quantity("delta", l, f"delta_{l}", delta[l - 1], rows, rest)
    for name, phrase, tree, cause, source in (
        ("gradient", "the gradient of {}", parts.gradients, "|{}|", params),
        ("update", "the update of {}", parts.updates, "|gradient of {}|", parts.gradients),
        ("parameter", "{} after its update", parts.after[0], "|update of {}|", parts.updates),
    ):
        for (path, leaf), origin in zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(source), strict=True):
            where = jax.tree_util.keystr(path)
            layer, symbol = where, f"params{where}"
            if is_plain:
                layer = path[0].idx + 1
                symbol = f"{'W' if path[1].name == 'weight' else 'b'}_{layer}"
            yield Quantity(name, layer, phrase.format(symbol), leaf, rest={cause.format(symbol): origin})
    largest = {"|gradient|": np.array([_largest(leaf) for leaf in jax.tree.leaves(parts.gradients)])}
    for path, leaf in jax.tree.leaves_with_path(parts.after[1]):
        where = jax.tree_util.keystr(path)
        yield Quantity("optimizer state", where, f"the optimiser's state{where}", leaf, rest=largest)


def describe(
    first: Quantity | None, epoch: int, step: int, steps: int, batch: np.ndarray, rate: Array | None
) -> Divergence:
    """Return the record of a step's first bad quantity, with its words."""
    total = (epoch - 1) * steps + step
    words = f"epoch {epoch:,}, step {step:,} of {steps:,} (step {total:,} in all): "
    if first is None:
        words += "not finite in the run, but finite when this step is computed by itself, since it is close to overflow"
        return Divergence(epoch, step, total, words=words)
    is_bad = ~np.isfinite(first.values)
    value = float(first.values[is_bad][0])
    words += f"{first.symbol} is the first that is not finite, {value}"
    example, row, count = None, 0, 0
    if first.rows:
        bad_rows = np.flatnonzero(is_bad.reshape(len(batch), -1).any(axis=1))
        row, count = int(bad_rows[0]), len(bad_rows)
        example = int(batch[row])
        words += f", in example x[{example}]" + (f" and {count - 1:,} more of its batch" if count > 1 else "")
    there = [f"{symbol} there {_largest(values[row]):.2g}" for symbol, values in first.rows.items()]
    words += f"; largest {', '.join(there + [f'{symbol} {_largest(all):.2g}' for symbol, all in first.rest.items()])}"
    if total == 1 and first.name in ("z", "h", "loss", "delta", "gradient"):
        words += "; no update came before: look at the scale of x and of the first parameters"
    else:
        words += "; try a smaller learning rate" + ("" if rate is None else f" than {float(rate):g}")
    return Divergence(epoch, step, total, first.name, first.layer, example, count, value, words)


def _largest(values: Any) -> float:
    return float(np.max(np.abs(values), initial=0))


def _is_float(a: Array) -> bool:
    return bool(jnp.issubdtype(a.dtype, jnp.inexact))


@jax.jit
def _finite_leaves(state: PyTree) -> PyTree:
    """Return True for each leaf that is finite or not a float."""
    return jax.tree.map(lambda a: jnp.all(jnp.isfinite(a)) if _is_float(a) else jnp.array(True), state)


def _is_bad(loss: Array, state: PyTree, watched: PyTree) -> Bool[Array, ""]:
    """Return whether the loss, or a watched leaf of the state, is not finite."""
    is_bad = jax.tree.map(lambda is_finite, is_watched: is_watched & ~is_finite, _finite_leaves(state), watched)
    return jax.tree.reduce(jnp.logical_or, is_bad, ~jnp.isfinite(loss))


def _start(state: PyTree) -> Walk:
    return Walk(state, state, jnp.zeros((), jnp.int32), jnp.array(False))
