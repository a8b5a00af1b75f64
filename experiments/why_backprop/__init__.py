"""Is the gradient that we derive by hand the gradient, and what does it cost?

By hand and by autodiff, leaf by leaf and training by training; the operations and the time of gradients and of what is
built from them; and what becomes of a gradient on its way down a deep network.
"""

from experiments.why_backprop import agreement, beyond, cost, trainings, vanishing

MEASUREMENTS = (agreement, trainings, cost, beyond, vanishing)
PICTURE = cost
