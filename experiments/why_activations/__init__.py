"""What do sigmoid, tanh and ReLU do, and what is left without them?

Without them a network of any depth is one matrix: its outputs are those of the product of its weights to 2e-15,
exclusive or stays at 75% right and MNIST-1D at 31.4%, where ReLU gives 64.9%. They bend, ReLU by one more linear piece
a neuron (1.00 measured), and must let the gradient pass: a sigmoid layer divides it by 4.9, tanh and ReLU layers by 1.1
and 1.2.
"""

from experiments.why_activations import collapse, mnist1d, mnist_linear, pieces, regions, saturation, which

ANSWER = (
    "Without them a network of any depth is one matrix: its outputs are those of the product of its weights to "
    "{one_matrix:.0e}, exclusive or stays at {XOR_linear_accuracy:.0%} right and MNIST-1D at {regression:.1%}, where "
    "ReLU gives {MLP:.1%}. They bend, ReLU by one more linear piece a neuron ({pieces_of_3_x_128:.2f} measured), and "
    "must let the gradient pass: a sigmoid layer divides it by {sigmoid_factor:.1f}, tanh and ReLU layers by "
    "{tanh_factor:.1f} and {relu_factor:.1f}."
)
KEY = "{regression:.1%} right on MNIST-1D without, {MLP:.1%} with ReLU"
MEASUREMENTS = (regions, collapse, pieces, mnist1d, mnist_linear, saturation, which)
