"""The memory of runs, and the plan that follows from it: how many run at once, and how many are one call.

A run in progress holds its parameters, their gradient and update, the optimiser's state, a batch with the activations
h, z, phi' and delta of every layer, the order of its examples, and its subset of the data if it has one. A finished run
leaves its results: final parameters, histories and records.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from mlp_jax import _doors
from mlp_jax.sweeps._many_runs import FEWEST_AT_ONCE, runs_at_once
from mlp_jax.sweeps._program import Shared, result_of_one
from mlp_jax.sweeps._settings import Group, Plan, zeros
from mlp_jax.training import _engine, _evaluation

CONTAINER_FILES = (  # Linux's files of the memory that a container may use, and that it uses
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
CHUNKS = 20  # the least calls of a sweep, if its runs suffice, so that progress moves and an interrupt loses little


class RunBytes(NamedTuple):
    """Bytes of one run.

    Attributes:
      step: the memory of a step, which is the parameters four times or more, and a batch with its activations.
      rest: the order of the examples, the subset, and the evaluation's activations.
      result: the results of a finished run.
    """

    step: int
    rest: int
    result: int


def bytes_of(tree: PyTree) -> int:
    """Return the bytes of a pytree of arrays or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def run_bytes(group: Group, shared: Shared) -> RunBytes:
    """Estimate the bytes of one run of a group from the shapes of its network, data and result."""
    shape, ((x, targets), validation, _) = group.shape, shared
    params = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, zeros(shape)))
    state = jax.eval_shape(
        partial(_engine.init_state, static=shape.static, keep="last"), params, group.one.hyperparameters
    )
    itemsize, widths = jnp.dtype(shape.dtype).itemsize, shape.sizes[1:]
    batch = min(shape.static.batch_size, shape.examples)
    step = 2 * bytes_of(params) + bytes_of(state) + batch * itemsize * (x.shape[1] + 4 * sum(widths))
    rest = 28 * shape.examples  # the order and its 64-bit sort keys
    if shape.examples < len(x):
        rest += shape.examples * bytes_of((x, targets)) // len(x)
    if validation is not None:
        rest += min(_evaluation.EVALUATION_BATCH, len(validation[0])) * itemsize * sum(widths)
    return RunBytes(step, rest, bytes_of(result_of_one(group, shared)))


def planned(
    groups: Sequence[Group], shared: Shared, memory: float | int | None, report: Callable[[str], None]
) -> list[Plan]:
    """Return each group's plan for the available memory, and report it in plain words."""
    devices = jax.devices()
    free = int(free_memory(devices) / 2 if memory is None else memory)
    costs = [run_bytes(group, shared) for group in groups]
    counts = [len(group.indices) for group in groups]
    total = sum(counts)
    results = sum(count * cost.result for count, cost in zip(counts, costs, strict=True))
    report(f"{total:,} runs in {len(groups)} groups; their results take {in_words(results)} of {in_words(free)}")
    if results > free:
        cure = "record less, sweep over fewer runs at a time, or give more memory"
        raise _doors.mistake("memory", f"{in_words(results)} for the results of {total:,} runs", in_words(free), cure)
    left = free - results - (len(devices) - 1) * bytes_of(shared)  # each further device has a copy of the data
    plans = [plan(count, total, cost, left, devices) for count, cost in zip(counts, costs, strict=True)]
    for i, (group, cost, of_group) in enumerate(zip(groups, costs, plans, strict=True), 1):
        shape, count = group.shape, len(group.indices)
        network = f"{'-'.join(map(str, shape.sizes))} {shape.static.activation.name}"
        report(
            f"group {i} of {len(groups)}: {count:,} runs of {network}, batch {shape.static.batch_size}, "
            f"{shape.examples:,} examples: {in_words(cost.step + cost.rest)} per run, "
            f"{min(count, len(of_group.devices) * of_group.at_once):,} at once"
        )
    return plans


def plan(count: int, total: int, cost: RunBytes, free: int, devices: Sequence[jax.Device]) -> Plan:
    """Return the plan of `count` runs, of `total` in the sweep, for `free` bytes.

    Runs are distributed evenly, so that the last chunk needs little padding.
    """
    run_total = cost.step + cost.rest + cost.result
    fit = free // run_total  # runs at once on all devices together
    if fit < 1:
        expected = f"at least {in_words(run_total)} in addition to the results, for one run at a time"
        raise _doors.mistake("memory", expected, in_words(free), "give more, or a smaller network or batch")
    devices = tuple(devices[: min(count, fit)])
    platform = devices[0].platform
    at_once = min(runs_at_once(cost.step, platform) or fit, fit // len(devices))
    rounds = -(-count // (len(devices) * at_once))
    at_once = -(-count // (len(devices) * rounds))
    if at_once < FEWEST_AT_ONCE and platform == "cpu":
        at_once, rounds = 1, -(-count // len(devices))
    together = len(devices) * at_once
    most = max(1, min(-(-total // CHUNKS), fit) // together)
    chunk = together * -(-rounds // -(-rounds // most))
    return Plan(devices, at_once, chunk, range(0, count, chunk))


def free_memory(devices: Sequence[jax.Device]) -> int:
    """Return the bytes that are free on the machine or on the devices, whichever are fewer."""
    free = [_free_on_machine()]
    for device in devices:
        stats = device.memory_stats() if device.platform != "cpu" else None
        if stats and "bytes_limit" in stats:
            free.append(len(devices) * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    return min(free)


def _free_on_machine() -> int:
    """Return the bytes that are free on the machine, or below a container's limit if that is less."""
    import psutil

    free = [psutil.virtual_memory().available]
    for limit, used in CONTAINER_FILES:
        with suppress(OSError, ValueError):  # no such file, or the limit "max"
            free.append(int(Path(limit).read_text(encoding="utf-8")) - int(Path(used).read_text(encoding="utf-8")))
    return min(free)


def in_words(count: float | int) -> str:
    """Return a number of bytes in the unit that reads best.

    >>> in_words(3_500_000)
    '3.5 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.1 * scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
