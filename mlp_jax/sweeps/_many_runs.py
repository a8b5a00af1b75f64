"""Many independent runs as one program: shared out over the devices, and on each of them vmapped, some at once.

Runs share nothing but their data, so no device waits for another. How many of them go through a device side by side
(`vmap`) and how many one after another (`lax.map`) changes no result, only what has to be held: on a CPU a run should
find its parameters and activations in the core's own cache, and on a GPU there should be work for all of it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

CACHE = 2**19  # bytes: half of the second-level cache of a usual core, whose other half serves the kernels
FEWEST_AT_ONCE = 4  # on a CPU: 2 or 3 side by side are slower than one after another
MOST_AT_ONCE = 64  # on a CPU: from here on a longer vmap has no overhead left to save


def runs_at_once(bytes_of_a_run: int, platform: str) -> int:
    """Return how many runs to vmap on one device: those that fit the cache of a core, or on a GPU all (0).

    On a CPU 2 or 3 side by side are slower than one after another: the vmapped matrix products of so few are not
    packed together, and gain nothing for what they hold.

    Args:
      bytes_of_a_run: its parameters, gradients, optimiser state and the activations of a batch.
      platform: of the device, "cpu" or another.

    Example:
      >>> runs_at_once(4_000, "cpu"), runs_at_once(300_000, "cpu")
      (64, 1)
    """
    if platform != "cpu":
        return 0
    fit = min(MOST_AT_ONCE, CACHE // max(1, bytes_of_a_run))
    return 1 if fit < FEWEST_AT_ONCE else 2 ** (fit.bit_length() - 1)


def padded(runs: PyTree, multiple: int) -> PyTree:
    """Return runs whose number is a multiple: the first are repeated at the end, for the caller to drop."""
    count = jax.tree.leaves(runs)[0].shape[0]
    if count % multiple == 0:
        return runs
    index = np.arange(-(-count // multiple) * multiple) % count
    return jax.tree.map(lambda a: jnp.asarray(a)[index], runs)


def over_devices(
    run: Callable[..., PyTree], devices: tuple[jax.Device, ...], at_once: int = 0
) -> Callable[[tuple[PyTree, ...], tuple[PyTree, ...]], PyTree]:
    """Return the function (runs, shared) -> run(*one of runs, *shared) for every entry of the leading axis of runs.

    Args:
      run: a pure function, of one run and of what all runs share.
      devices: what shares out the runs.
      at_once: runs side by side on a device; 0, the default, is all that it has.

    Returns:
      A function to be called under `jax.jit`, whose results have the runs on their leading axis. The number of runs has
      to be a multiple of devices * at_once: see `padded`.

    Example:
      >>> times = over_devices(lambda a, b: a * b, tuple(jax.devices()), at_once=1)
      >>> print(jax.jit(times)((jnp.arange(4.0),), (2.0,)))
      [0. 2. 4. 6.]
    """

    def on_one_device(runs: tuple[PyTree, ...], shared: tuple[PyTree, ...]) -> PyTree:
        vmapped = jax.vmap(lambda one: run(*one, *shared))
        if at_once == 0:
            return vmapped(runs)
        batches = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), runs)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), jax.lax.map(vmapped, batches))

    many, one = PartitionSpec("runs"), PartitionSpec()
    mesh = Mesh(np.array(devices), ("runs",))
    return jax.shard_map(on_one_device, mesh=mesh, in_specs=(many, one), out_specs=many, check_vma=False)
