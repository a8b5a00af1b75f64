"""Why stack layers, when two suffice in theory?

Because width is dear: for x^2 at an error of 1.5e-8 the best single hidden layer needs 80 times the units of a deep
network that can be written down. But training need not find such weights (0% of the runs, shallow or deep, found a
sawtooth of 64 pieces), and depth makes it harder: 8 linear layers wait 8.6 times as long as 2 from the same start, and
with 30 hidden layers instead of one the accuracy on digits is lower by 91% with sigmoid, by 10% with ReLU, and by 0.2%
with sigmoid and skip connections.
"""

from experiments.why_depth import approximation, deeper, finding, linear_dynamics, separation

ANSWER = (
    "Because width is dear: for x^2 at an error of 1.5e-8 the best single hidden layer needs "
    "{shallow_over_deep:.0f} times the units of a deep network that can be written down. But training need not "
    "find such weights ({found_64:.0%} of the runs, shallow or deep, found a sawtooth of 64 pieces), and depth "
    "makes it harder: 8 linear layers wait {deeper_waits_longer:.1f} times as long as 2 from the same start, and "
    "with 30 hidden layers instead of one the accuracy on digits is lower by {sigmoid_loses:.0%} with sigmoid, by "
    "{ReLU_loses:.0%} with ReLU, and by {skips_lose:.1%} with sigmoid and skip connections."
)
KEY = "{shallow_over_deep:.0f} times fewer units for x², but {found_64:.0%} of trainings find 64 pieces"
MEASUREMENTS = (approximation, separation, finding, linear_dynamics, deeper)
