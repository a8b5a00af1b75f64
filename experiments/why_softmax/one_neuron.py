"""One sigmoid neuron that learns to answer 0, with squared error and with cross-entropy (Nielsen, 2015, ch. 3)."""

import math

from scipy.optimize import brentq

from experiments.protocol import Claim

NEURON = {"half right": (0.6, 0.9, 0.09), "saturated": (2.0, 2.0, 0.20)}  # weight, bias, published output
NEURON_RATE, NEURON_EPOCHS = 0.15, 300


def claims() -> list[Claim]:
    """Nielsen's numbers for the quadratic cost, and gradient flow's for cross-entropy."""
    found = []
    for start, (w, b, published) in NEURON.items():
        setting = (
            f"one sigmoid neuron, input 1, target 0, w = {w:g}, b = {b:g}, {NEURON_EPOCHS} steps at {NEURON_RATE:g}"
        )
        found += [
            Claim(
                f"neuron {start}",
                f"One neuron and squared error from a {start} start end at Nielsen's output.",
                "=",
                published,
                "Nielsen (2015, ch. 3), to two digits; not checked in the book",
                output(w, b, quadratic=True),
                f"{setting}; half of the last digit that is published",
                tolerance=0.005,
                exact=True,
            ),
            Claim(
                f"neuron {start} cross-entropy",
                f"With cross-entropy the {start} start ends where gradient flow does.",
                "=",
                output_by_gradient_flow(w + b),
                "derived: dz/dt = -2 rate sigmoid(z), so that z - exp(-z) falls by 2 rate at every step",
                output(w, b, quadratic=False),
                f"{setting}; 2 % for steps instead of flow",
                tolerance=0.02 * output_by_gradient_flow(w + b),
                exact=True,
            ),
        ]
    return found


def output(w: float, b: float, quadratic: bool) -> float:
    """The output a of a neuron after training on input 1 and target 0, with the cost a^2 / 2 or -log(1 - a)."""
    for _ in range(NEURON_EPOCHS):
        a = 1 / (1 + math.exp(-(w + b)))
        delta = a * a * (1 - a) if quadratic else a
        w, b = w - NEURON_RATE * delta, b - NEURON_RATE * delta
    return 1 / (1 + math.exp(-(w + b)))


def output_by_gradient_flow(z: float) -> float:
    """The output with cross-entropy where z - exp(-z) has fallen by 2 rate times the steps."""
    end = z - math.exp(-z) - 2 * NEURON_RATE * NEURON_EPOCHS
    return 1 / (1 + math.exp(-brentq(lambda z: z - math.exp(-z) - end, -50, 50)))
