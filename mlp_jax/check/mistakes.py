"""The known mistakes of a backward pass as data, and the chain of rules in which each replaces one or more."""

from mlp_jax.check._diagnosis.judgement import caught as caught
from mlp_jax.check._diagnosis.judgement import flat as flat
from mlp_jax.check._diagnosis.judgement import forward_pass as forward_pass
from mlp_jax.check._diagnosis.judgement import term_sizes as term_sizes
from mlp_jax.check._diagnosis.mistake_table import MISTAKES as MISTAKES
from mlp_jax.check._diagnosis.mistakes import Gradients as Gradients
from mlp_jax.check._diagnosis.mistakes import Mistake as Mistake
from mlp_jax.check._diagnosis.mistakes import Pass as Pass
from mlp_jax.check._diagnosis.mistakes import backward as backward
from mlp_jax.check._diagnosis.mistakes import broken as broken
from mlp_jax.check._diagnosis.power import power_of_ours as power_of_ours
from mlp_jax.check._diagnosis.problems import Problem as Problem
from mlp_jax.check._diagnosis.problems import Settings as Settings
