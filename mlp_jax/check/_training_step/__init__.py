"""Find the training step of a file in the file's own training loop; imports NumPy and nothing of mlp_jax or JAX.

`loops` runs the file and keeps the variables at the start of each loop; `replay` runs statements again from other
parameters, and `rounds` whole rounds; `search` finds the loop that trains, `losses` what may be its loss, and
`gradients` what may be its gradient; `child` answers the judge.
"""
