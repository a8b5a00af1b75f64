"""What do sigmoid, tanh and ReLU do, and what is left without them? Networks with and without an activation."""

from experiments.why_activations import (
    collapse,
    mnist1d,
    mnist1d_sweep,
    mnist_linear,
    pieces,
    regions,
    saturation,
    which,
)

MEASUREMENTS = (regions, collapse, pieces, mnist1d, mnist1d_sweep, mnist_linear, saturation, which)
PICTURE = regions
