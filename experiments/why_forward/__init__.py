"""Why is the forward pass said to be unimportant, and is it?

Its formulas are plain, but backprop cannot do without its values: with the hidden values of another example in their
place the gradient of a tanh network points nowhere (cosine -0.01 to the true one), and forward passes alone cost a
learning rate 333 times as small. It is the backward pass that bears a replacement: with fixed random numbers for its
weights digits are still learnt, to 1.8% of test errors against 1.3%.
"""

from experiments.why_forward import alignment, euler, forward_gradient, stored_values

ANSWER = (
    "Its formulas are plain, but backprop cannot do without its values: with the hidden values of another example in "
    "their place the gradient of a tanh network points nowhere (cosine {tanh:.2f} to the true one), and forward passes "
    "alone cost a learning rate {rate_of_forward_gradient:.0f} times as small. It is the backward pass that bears a "
    "replacement: with fixed random numbers for its weights digits are still learnt, to {digits_FA_error:.1%} of test "
    "errors against {digits_BP_error:.1%}."
)
KEY = "{tanh:.2f}, the cosine of the gradient with another example's hidden values"
MEASUREMENTS = (stored_values, alignment, euler, forward_gradient)
