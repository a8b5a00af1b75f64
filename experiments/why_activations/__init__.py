"""What do sigmoid, tanh and ReLU do, and what is left without them?

Without them a network of any depth is one matrix (its outputs are those of the product of its weights to 2e-15), so it
can do no more than a linear classifier: 75% right on exclusive or and 31.4% on MNIST-1D, where two hidden layers with
ReLU give 64.9%. They bend, in a random ReLU network by one more linear piece along a line for each neuron (1.00
measured), and must let the gradient pass: at initialisation a sigmoid layer divides it by 4.9, tanh and ReLU layers by
1.1 and 1.2.
"""

from experiments.why_activations import collapse, mnist1d, mnist_linear, pieces, regions, saturation, which

ANSWER = (
    "Without them a network of any depth is one matrix (its outputs are those of the product of its weights to "
    "{one_matrix:.0e}), so it can do no more than a linear classifier: {XOR_linear_accuracy:.0%} right on "
    "exclusive or and {regression:.1%} on MNIST-1D, where two hidden layers with ReLU give {MLP:.1%}. They bend, "
    "in a random ReLU network by one more linear piece along a line for each neuron ({pieces_of_3_x_128:.2f} "
    "measured), and must let the gradient pass: at initialisation a sigmoid layer divides it by "
    "{sigmoid_factor:.1f}, tanh and ReLU layers by {tanh_factor:.1f} and {relu_factor:.1f}."
)
KEY = "{regression:.1%} right on MNIST-1D without, {MLP:.1%} with ReLU"
MEASUREMENTS = (regions, collapse, pieces, mnist1d, mnist_linear, saturation, which)
