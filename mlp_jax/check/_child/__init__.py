"""The process that runs somebody's file; it imports NumPy, and nothing of mlp_jax or JAX.

`child` answers the judge. `entry` finds what can be judged: a function that `functions` calls and whose answers it
reads, a function at its own point (`points`), or the training step in the file's own loop. For that, `loops` runs the
file and keeps the variables at the start of each loop; `replay` runs statements again from other parameters, and
`rounds` whole rounds; `search` finds the loop that trains, `losses` what may be its loss, and `gradients` what may be
its gradient. `limits` keeps the process within bounds, and `seen` notes what it calls.
"""
