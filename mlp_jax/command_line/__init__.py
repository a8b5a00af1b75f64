"""The commands of `mlp-jax`: each a function whose keywords are the flags, and whose docstring is the help."""

from mlp_jax.command_line._common import interrupted as interrupted
from mlp_jax.command_line._common import use_all_cores as use_all_cores
