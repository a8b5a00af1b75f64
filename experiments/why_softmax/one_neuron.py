"""One sigmoid neuron that learns to answer 0, with squared error and with cross-entropy (Nielsen, 2015, ch. 3)."""

import math

from scipy.optimize import brentq

STARTS = {"half right": (0.6, 0.9), "saturated": (2.0, 2.0)}  # weight and bias
PUBLISHED = {"half right": 0.09, "saturated": 0.20}  # the output in the end, with squared error
RATE, EPOCHS = 0.15, 300


def output(start: str, loss: str) -> float:
    """Return the output a after training on input 1 and target 0, with the cost a^2 / 2 or -log(1 - a)."""
    w, b = STARTS[start]
    for _ in range(EPOCHS):
        a = 1 / (1 + math.exp(-(w + b)))
        delta = a * a * (1 - a) if loss == "squared error" else a
        w, b = w - RATE * delta, b - RATE * delta
    return 1 / (1 + math.exp(-(w + b)))


def output_by_gradient_flow(start: str) -> float:
    """Return the output with cross-entropy once z - exp(-z), z = w + b, has fallen by 2 rate times the steps."""
    z = math.fsum(STARTS[start])
    end = z - math.exp(-z) - 2 * RATE * EPOCHS
    return 1 / (1 + math.exp(-brentq(lambda z: z - math.exp(-z) - end, -50, 50)))
