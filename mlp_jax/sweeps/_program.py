"""The compiled program of a group of runs: one run, vmapped and distributed over the devices.

The runs' shape and the plan are static. Seeds, gains, hyperparameters, data, and arrays inside functions are traced.
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from mlp_jax._programs import jit_of
from mlp_jax.network import Layer, Params, init_params
from mlp_jax.sweeps._many_runs import over_devices
from mlp_jax.sweeps._settings import Group, Plan, Run, Shape
from mlp_jax.training import _engine
from mlp_jax.training._engine import TrainResult
from mlp_jax.training._recipe import Examples, Traced

Shared = tuple[Examples, Examples | None, Traced]


def start(run: Run, data: Examples, shape: Shape) -> tuple[Array, Params, Examples]:
    """Return the start of a run: the key of its order, its parameters, and its examples."""
    key_params, _ = jax.random.split(jax.random.key(run.init_seed))
    _, key_order = jax.random.split(jax.random.key(run.order_seed))
    drawn = init_params(key_params, shape.sizes, shape.static.activation, dtype=shape.dtype)
    params = tuple(Layer(run.gain * weight, bias) for weight, bias in drawn)
    x, targets = data
    if shape.examples < x.shape[0]:
        chosen = jax.random.permutation(jax.random.key(run.subset_seed), x.shape[0])[: shape.examples]
        x, targets = x[chosen], targets[chosen]
    return key_order, params, (x, targets)


@jit_of(["shape"])
def run_one(run: Run, data: Examples, validation: Examples | None, traced: Traced, shape: Shape) -> TrainResult:
    """Draw the start of a run, and train it. Everything except its shape is traced."""
    key_order, params, (x, targets) = start(run, data, shape)
    traced = traced._replace(hyperparameters=run.hyperparameters)
    state = _engine.init_state(params, run.hyperparameters, static=shape.static, keep="last")
    state, (history, recorded) = _engine.run_epochs(
        state, key_order, (x, targets), validation, traced, shape.static, shape.epochs
    )
    return TrainResult(state.params, history, recorded)


@jit_of(["shape", "at_once", "devices"])
def run_many(runs: Run, shared: Shared, shape: Shape, at_once: int, devices: tuple[jax.Device, ...]) -> TrainResult:
    """Train many runs of one shape, whose number is a multiple of devices * at_once."""
    return over_devices(partial(run_one, shape=shape), devices, at_once)((runs,), shared)


def result_of_one(group: Group, shared: Shared) -> TrainResult:
    """Return the shapes of the result of one run of a group, traced but not compiled."""
    return jax.eval_shape(partial(run_one, shape=group.shape), group.one, *shared)


def program_of(group: Group, plan: Plan, shared: Shared) -> Callable[[Run], TrainResult]:
    """Return the function of a chunk's runs, with their shared arguments already on every device."""
    everywhere = NamedSharding(Mesh(np.array(plan.devices), ("runs",)), PartitionSpec())
    placed = jax.device_put(shared, everywhere)
    return partial(run_many, shared=placed, shape=group.shape, at_once=plan.at_once, devices=plan.devices)
