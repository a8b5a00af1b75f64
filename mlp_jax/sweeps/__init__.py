"""Many runs of `train` over seeds and settings: grouped by shape, planned by memory, shared out over the devices.

The way of the data: `_settings` (a grid becomes groups of equal shape) -> `_memory` (how many run at once) ->
`_program` (one compiled function per group, by `_many_runs`) -> `_folder` (finished chunks are kept) -> `_result`, all
called by `_host_loop`.
"""

from mlp_jax.sweeps._host_loop import sweep as sweep
from mlp_jax.sweeps._many_runs import over_devices as over_devices
from mlp_jax.sweeps._many_runs import padded as padded
from mlp_jax.sweeps._many_runs import runs_at_once as runs_at_once
from mlp_jax.sweeps._result import SweepResult as SweepResult
