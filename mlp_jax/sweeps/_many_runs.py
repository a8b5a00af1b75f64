"""Many independent runs as one program, distributed over the devices, and on each device vmapped in batches.

Runs share only their data, so no device waits for another. A device takes some runs at once (`vmap`), and these batches
one after another (`lax.map`). The number at once changes no result, only the memory. On a CPU a run's parameters and
activations should fit in the core's own cache, and a GPU should have work for all of its units.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

CACHE = 2**19  # bytes, half of a usual core's second-level cache; the other half serves the kernels
FEWEST_AT_ONCE = 4  # on a CPU, since 2 or 3 at once are slower than one after another
MOST_AT_ONCE = 64  # on a CPU, since a longer vmap has no overhead left to save


def runs_at_once(bytes_of_a_run: int, platform: str) -> int:
    """Return how many runs to vmap on one device: those that fit a core's cache, or on a GPU all (0).

    On a CPU 2 or 3 at once are slower than one after another. XLA does not batch the matmuls of 2 or 3 runs, so vmap
    costs memory and saves no time.

    Args:
      bytes_of_a_run: bytes of its parameters, gradients, optimiser state and the activations of a batch.
      platform: the device's platform, "cpu" or another.

    Example:
      >>> runs_at_once(4_000, "cpu"), runs_at_once(300_000, "cpu")
      (64, 1)
    """
    if platform != "cpu":
        return 0
    fit = min(MOST_AT_ONCE, CACHE // max(1, bytes_of_a_run))
    return 1 if fit < FEWEST_AT_ONCE else 2 ** (fit.bit_length() - 1)


def padded(runs: PyTree, multiple: int) -> PyTree:
    """Return runs padded to a multiple of `multiple`; the padding repeats the first runs, for the caller to drop."""
    count = jax.tree.leaves(runs)[0].shape[0]
    if count % multiple == 0:
        return runs
    index = np.arange(-(-count // multiple) * multiple) % count
    return jax.tree.map(lambda a: (a if isinstance(a, np.ndarray) else jnp.asarray(a))[index], runs)


def over_devices(
    run: Callable[..., PyTree], devices: tuple[jax.Device, ...], at_once: int = 0
) -> Callable[[tuple[PyTree, ...], tuple[PyTree, ...]], PyTree]:
    """Return the function (runs, shared) -> run(*one of runs, *shared) for every entry of the leading axis of runs.

    Args:
      run: a pure function, of one run and of what all runs share.
      devices: the devices that share the runs.
      at_once: the number of runs vmapped on a device; 0, the default, is all of its runs.

    Returns:
      A function to call under `jax.jit`, whose results have the runs on their leading axis. The number of runs must be
      a multiple of devices * at_once; see `padded`.

    Example:
      >>> times = over_devices(lambda a, b: a * b, tuple(jax.devices()), at_once=1)
      >>> print(jax.jit(times)((jnp.arange(4.0),), (2.0,)))
      [0. 2. 4. 6.]
    """

    def on_one_device(runs: tuple[PyTree, ...], shared: tuple[PyTree, ...]) -> PyTree:
        vmapped = jax.vmap(lambda arguments: run(*arguments, *shared))
        if at_once == 0:
            return vmapped(runs)
        batches = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), runs)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), jax.lax.map(vmapped, batches))

    per_run, replicated = PartitionSpec("runs"), PartitionSpec()
    mesh = Mesh(np.array(devices), ("runs",))
    return jax.shard_map(on_one_device, mesh=mesh, in_specs=(per_run, replicated), out_specs=per_run, check_vma=False)
