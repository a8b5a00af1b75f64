"""Training until it helps no more, which keeps the best parameters: one compiled program with a loop over epochs.

A run can be vmapped. The runs of an ensemble go on until the last has stopped, and those that have stopped stay as they
are.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from mlp_jax._programs import jit_of
from mlp_jax.losses import Loss
from mlp_jax.training._engine import TrainState, init_state, one_epoch
from mlp_jax.training._evaluation import evaluate_batches
from mlp_jax.training._recipe import Examples, Static, Traced


class Run(NamedTuple):
    """A run, at the end of an epoch.

    Attributes:
      state: parameters, the optimiser's state, and the number of epochs done.
      best: the parameters after the epoch with the best score.
      best_score: that score.
      waited: for how many epochs the score has not been better than the best one by the tolerance.
      losses: the mean of the losses seen in each epoch, (E,); NaN after the last one.
      scores: after each epoch, (E,); NaN after the last one.
    """

    state: TrainState
    best: PyTree
    best_score: Float[Array, ""]
    waited: Int[Array, ""]
    losses: Float[Array, " E"]
    scores: Float[Array, " E"]


class Until(NamedTuple):
    """When a run stops: at an epoch, or after `patience` epochs that are not better by `tolerance`."""

    epoch: Any
    patience: Any
    tolerance: Any


@jit_of(["static", "epochs"])
def begun_many(
    params: PyTree, optimizer_state: PyTree | None, hyperparameters: Any, static: Static, epochs: int
) -> Run:
    """Return runs of at most `epochs` epochs that have not started, of stacked parameters.

    The optimiser's state is that of earlier epochs, its leaves stacked; None if there are none.
    """
    state = jax.vmap(lambda params: init_state(params, hyperparameters, static=static, keep="last"))(params)
    if optimizer_state is not None:
        tree = jax.tree.structure(state.optimizer_state)
        state = state._replace(optimizer_state=jax.tree.unflatten(tree, optimizer_state))
    count = state.epoch.shape
    dtype = jnp.promote_types(jax.tree.leaves(params)[0].dtype, jnp.float32)
    unknown = jnp.full((*count, epochs), jnp.nan, dtype)
    run = Run(state, params, jnp.full(count, -jnp.inf, dtype), jnp.zeros(count, jnp.int32), unknown, unknown)
    return jax.tree.map(jnp.copy, run)  # which can be donated


@jit_of(["static", "validation_loss", "at_once"], donate_argnames="runs")
def train_many_until(
    runs: Run,
    seeds: Int[Array, " k"],
    data: Examples,
    validation: Examples | None,
    traced: Traced,
    until: Until,
    static: Static,
    validation_loss: Loss,
    at_once: int,
) -> Run:
    """Train each of some runs, stacked, until it stops.

    The score is minus the loss on validation data, or minus the mean of the losses seen in the epoch if there are none.
    An accuracy would be too coarse: of a dozen examples it stands still while the loss falls.

    Args:
      runs: where to go on.
      seeds: run i orders the examples of its epochs by key(seeds[i]).
      data: (x, targets).
      validation: (x, targets); None if there are none.
      traced: of the recipe.
      until: when to stop.
      static: of the recipe.
      validation_loss: of the validation data, which have no weights.
      at_once: how many runs are vmapped, one batch of them after another.
    """

    def goes_on(run: Run) -> Array:
        return (run.state.epoch < until.epoch) & (run.waited <= until.patience)

    def next_epoch(key: Array, run: Run) -> Run:
        done = run.state.epoch
        state, loss = one_epoch(run.state, key, data, traced, static)
        score = -loss
        if validation is not None:
            measured = evaluate_batches(state.params, *validation, traced.forward, static.activation, validation_loss)
            score = -measured.loss
        score = score.astype(run.scores.dtype)
        is_best, is_better = score > run.best_score, score >= run.best_score + until.tolerance
        return Run(
            state,
            jax.tree.map(partial(jnp.where, is_best), state.params, run.best),
            jnp.where(is_best, score, run.best_score),
            jnp.where(is_better, 0, run.waited + 1),
            run.losses.at[done].set(loss.astype(run.losses.dtype)),
            run.scores.at[done].set(score),
        )

    def train_one(of: tuple[Run, Array]) -> Run:
        run, seed = of
        return jax.lax.while_loop(goes_on, partial(next_epoch, jax.random.key(seed)), run)

    return jax.lax.map(train_one, (runs, seeds), batch_size=at_once if at_once > 1 else None)
