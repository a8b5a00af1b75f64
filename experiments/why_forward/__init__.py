"""Why is the forward pass said to be unimportant, and is it?

What backprop needs of it, what it fixes of the gradient, whether the backward pass bears a replacement better, and what
forward passes alone can learn.
"""

from experiments.why_forward import alignment, euler, forward_gradient, stored_values

MEASUREMENTS = (stored_values, alignment, euler, forward_gradient)
PICTURE = alignment
