"""Find the training step of a file in the file's own training loop; imports NumPy and nothing of mlp_jax or JAX.

`loops` runs the file and keeps the variables at the start of each loop; `replay` runs statements again from other
parameters; `search` finds the loop that trains, its parameters, its loss and its gradient; `child` answers the judge.
"""
