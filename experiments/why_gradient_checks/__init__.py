"""How strong are the gradient checks that people use?

Weak where homework starts, at weights of 0.01 randn and zero biases: there jax.test_util lets 51% of the known mistakes
pass in float32 and 9% in float64, PyTorch's rule 9%, and two stricter rules, which compare with finite differences too,
reject correct code. At a good point the worst of them lets 1.1% pass; `mlp-jax check`, which compares with an exact
gradient at points of its own, 0%.
"""

from experiments.why_gradient_checks import references, usual_rules

ANSWER = (
    "Weak where homework starts, at weights of 0.01 randn and zero biases: there jax.test_util lets "
    "{jax_float32:.0%} of the known mistakes pass in float32 and {jax_float64:.0%} in float64, PyTorch's rule "
    "{PyTorch:.0%}, and two stricter rules, which compare with finite differences too, reject correct code. At a "
    "good point the worst of them lets {good_point:.1%} pass; `mlp-jax check`, which compares with an exact "
    "gradient at points of its own, {ours:.0%}."
)
KEY = "{jax_float32:.0%} of known mistakes pass jax.test_util in float32 where homework starts"
MEASUREMENTS = (usual_rules, references)
