"""Why exp in softmax, and not another positive function?

Of seven normalisers only exp keeps all 7 laws that one would ask for (the next best keeps 5): adding a number to all
logits changes nothing, a third option leaves the odds of two alone, the loss is convex, its gradient p - y. That makes
it simple, not always most accurate: on MNIST-1D the test error of the best of the six others is -2.1% away from exp's
where learning rates are chosen by log-loss, and +0.5% where they are chosen by error.
"""

from experiments.why_exp import in_practice, laws, origins, price

ANSWER = (
    "Of seven normalisers only exp keeps all {laws_of_exp:.0f} laws that one would ask for (the next best keeps "
    "{laws_of_others:.0f}): adding a number to all logits changes nothing, a third option leaves the odds of two "
    "alone, the loss is convex, its gradient p - y. That makes it simple, not always most accurate: on MNIST-1D "
    "the test error of the best of the six others is {mnist1d_error:+.1%} away from exp's where learning rates "
    "are chosen by log-loss, and {mnist1d_error_by_error:+.1%} where they are chosen by error."
)
KEY = "{laws_of_exp:.0f} of 7 laws, the next best {laws_of_others:.0f}"
MEASUREMENTS = (laws, origins, in_practice, price)
