"""Why is the forward pass said to be unimportant, and is it?

Its formulas are plain, but backprop needs its values: with those of another example in their place only what the mean
of h carries is left of the gradient (cosine to the true one -0.01 for tanh and 0.98 for sigmoid, at the start, on
standardised pixels), and with forward passes alone digits end 24% of the test set behind backprop. The backward pass
bears a replacement better: with fixed random numbers for its weights the test error is 1.8% against 1.3% on digits, and
3.1% against 2.3% on MNIST.
"""

from experiments.why_forward import alignment, euler, forward_gradient, stored_values

ANSWER = (
    "Its formulas are plain, but backprop needs its values: with those of another example in their place only "
    "what the mean of h carries is left of the gradient (cosine to the true one {tanh:.2f} for tanh and "
    "{sigmoid:.2f} for sigmoid, at the start, on standardised pixels), and with forward passes alone digits end "
    "{cost_of_forward_gradient:.0%} of the test set behind backprop. The backward pass bears a replacement "
    "better: with fixed random numbers for its weights the test error is {digits_FA_error:.1%} against "
    "{digits_BP_error:.1%} on digits, and {mnist_FA_error:.1%} against {mnist_BP_error:.1%} on MNIST."
)
KEY = "{digits_FA_error:.1%} test error with random weights in the backward pass, {digits_BP_error:.1%} by backprop"
MEASUREMENTS = (stored_values, alignment, euler, forward_gradient)
