"""The known mistakes of a backward pass as data, and the chain of rules in which each replaces one or more.

`GRADIENT_MISTAKES` are those that any gradient can have, whatever its function.
"""

from mlp_jax.check._networks.chain import Gradients as Gradients
from mlp_jax.check._networks.chain import Mistake as Mistake
from mlp_jax.check._networks.chain import Pass as Pass
from mlp_jax.check._networks.chain import backward as backward
from mlp_jax.check._networks.chain import broken as broken
from mlp_jax.check._networks.judgement import caught as caught
from mlp_jax.check._networks.judgement import flat as flat
from mlp_jax.check._networks.judgement import forward_pass as forward_pass
from mlp_jax.check._networks.judgement import term_sizes as term_sizes
from mlp_jax.check._networks.mistakes import MISTAKES as MISTAKES
from mlp_jax.check._networks.power import power_of_ours as power_of_ours
from mlp_jax.check._networks.problems import Problem as Problem
from mlp_jax.check._networks.problems import Settings as Settings
from mlp_jax.check._networks.problems import network_of as network_of
from mlp_jax.check._rules.low_precision import GRADIENT_MISTAKES as GRADIENT_MISTAKES
