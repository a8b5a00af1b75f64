"""The activations of exercises, as people write them."""

from typing import NamedTuple


class Activation(NamedTuple):
    """What an activation looks like in a file.

    Attributes:
      layer: the name of a class for it.
      phi: phi(a), as text.
      at: phi'(a), in a as z.
      slope: phi'(z), in z and h = phi(z).
    """

    layer: str
    phi: str
    at: str
    slope: str


ACTIVATIONS = {
    "tanh": Activation("Tanh", "np.tanh(a)", "1 - np.tanh(a) ** 2", "1 - h ** 2"),
    "sigmoid": Activation(
        "Sigmoid", "1 / (1 + np.exp(-a))", "np.exp(-a) / (1 + np.exp(-a)) ** 2", "h * (1 - h)"
    ),
    "relu": Activation("ReLU", "np.maximum(a, 0)", "a > 0", "z > 0"),
}  # fmt: skip
