"""Is somebody's backward pass right, and if not, what is wrong with it?

problems -> asking -> judgement -> matching and fingerprints -> report, by backprop_check for `mlp_jax.check_backprop`;
files and command make `mlp-jax check` of it. The table of known mistakes is mistake_table; the chain that they break,
mistakes.
"""
