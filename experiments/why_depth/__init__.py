"""Why stack layers, when two suffice in theory?

Because width is dear: for x^2 the best single hidden layer needs 80 times the units of a deep network at the same small
error. But what exists need not be found, and depth is harder to train: 0% of the trainings found a sawtooth of 64
pieces that all of those networks can represent, 8 linear layers wait 8.6 times as long as 2 before they learn, and 30
sigmoid layers lose 91% of accuracy on digits, with skip connections 0.2%.
"""

from experiments.why_depth import approximation, deeper, finding, linear_dynamics, separation

ANSWER = (
    "Because width is dear: for x^2 the best single hidden layer needs {shallow_over_deep:.0f} times the units of a "
    "deep network at the same small error. But what exists need not be found, and depth is harder to train: "
    "{found_64:.0%} of the trainings found a sawtooth of 64 pieces that all of those networks can represent, 8 linear "
    "layers wait {deeper_waits_longer:.1f} times as long as 2 before they learn, and 30 sigmoid layers lose "
    "{sigmoid_loses:.0%} of accuracy on digits, with skip connections {skips_lose:.1%}."
)
KEY = "{shallow_over_deep:.0f} times fewer units for x², but {found_64:.0%} of trainings find 64 pieces"
MEASUREMENTS = (approximation, separation, finding, linear_dynamics, deeper)
