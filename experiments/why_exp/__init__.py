"""Why exp in softmax, and not another positive function?

Of seven normalisers only exp keeps all 7 laws that one would ask for (the next best keeps 5): a shift of all logits
changes nothing, a third option leaves the odds of two alone, the loss is convex, its gradient p - y. That makes it
simple, not most accurate (the best of the others changes the test error by -2.1% on MNIST-1D), and in float32 the usual
formula loses the label's gradient from a logit gap of 16.6 on, where ours keeps it to 87.3.
"""

from experiments.why_exp import in_practice, laws, origins, price

ANSWER = (
    "Of seven normalisers only exp keeps all {laws_of_exp:.0f} laws that one would ask for (the next best keeps "
    "{laws_of_others:.0f}): a shift of all logits changes nothing, a third option leaves the odds of two alone, the "
    "loss is convex, its gradient p - y. That makes it simple, not most accurate (the best of the others changes the "
    "test error by {mnist1d_error:+.1%} on MNIST-1D), and in float32 the usual formula loses the label's gradient from "
    "a logit gap of {gap_one_by_one:.1f} on, where ours keeps it to {gap_ours:.1f}."
)
KEY = "{laws_of_exp:.0f} of 7 laws, the next best {laws_of_others:.0f}"
MEASUREMENTS = (laws, origins, in_practice, price)
