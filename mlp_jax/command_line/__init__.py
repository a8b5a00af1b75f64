"""The commands of `mlp-jax`: each a function whose keywords are the flags, and whose docstring is the help.

What is exported serves other programs too: `run_command` runs a function as a program, `progress_bars` draws bars,
`use_all_cores` has JAX share out runs over the cores, and the checks name a flag in their errors.
"""

from mlp_jax._doors import check_choice as check_choice
from mlp_jax._doors import check_seed as check_seed
from mlp_jax.command_line._jax_settings import use_all_cores as use_all_cores
from mlp_jax.command_line._progress import progress_bars as progress_bars
from mlp_jax.command_line._run import run_command as run_command
