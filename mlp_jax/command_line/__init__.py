"""The commands of `mlp-jax`: each a function whose keywords are the flags, and whose docstring is the help."""
