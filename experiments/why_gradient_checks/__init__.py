"""How strong are the gradient checks that people use?

Weak where homework starts, at weights of 0.01 randn and zero biases: there jax.test_util lets 50% of the known mistakes
pass in float32 and 8% in float64, PyTorch's gradcheck 8%, and rules strict enough to see more reject correct code. The
point decides: at a good one the worst of them lets 0.9% pass, and at the points of mlp-jax check 0% pass.
"""

from experiments.why_gradient_checks import references, usual_rules

ANSWER = (
    "Weak where homework starts, at weights of 0.01 randn and zero biases: there jax.test_util lets {jax_float32:.0%} "
    "of the known mistakes pass in float32 and {jax_float64:.0%} in float64, PyTorch's gradcheck {PyTorch:.0%}, and "
    "rules strict enough to see more reject correct code. The point decides: at a good one the worst of them lets "
    "{good_point:.1%} pass, and at the points of mlp-jax check {ours:.0%} pass."
)
KEY = "{jax_float32:.0%} of known mistakes pass jax.test_util in float32 where homework starts"
MEASUREMENTS = (usual_rules, references)
