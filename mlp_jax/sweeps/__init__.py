"""Many runs of `train` over seeds and settings, grouped by shape, planned by memory, distributed over the devices.

The data flow: `_settings` (a grid becomes groups of equal shape) -> `_memory` (how many run at once) ->
`_program` (one compiled function per group, by `_many_runs`) -> `_folder` (finished chunks are kept) -> `_result`.
`_host_loop` calls them all.
"""

from mlp_jax.sweeps._host_loop import sweep as sweep
from mlp_jax.sweeps._many_runs import over_devices as over_devices
from mlp_jax.sweeps._many_runs import padded as padded
from mlp_jax.sweeps._many_runs import runs_at_once as runs_at_once
from mlp_jax.sweeps._result import SweepResult as SweepResult
