"""Is the gradient that we derive by hand the gradient, and what does it cost?

It is jax.grad's to rounding: on real digits, for every activation and depth that was tried, the gradient of no weight
matrix or bias vector differs by more than 9e-15 of its length in float64. Loss and gradient together take 2.40 times
the operations of the loss alone (784-512-512-10), while forward mode takes 4,730 times as long as backprop in the
largest network that was timed. By the same chain rule a product with the Hessian takes 1.92 times the operations of
that gradient, and the norm of every example's own gradient 0.59 times.
"""

from experiments.why_backprop import agreement, beyond, cost, trainings, vanishing

ANSWER = (
    "It is jax.grad's to rounding: on real digits, for every activation and depth that was tried, the gradient of "
    "no weight matrix or bias vector differs by more than {float64:.0e} of its length in float64. Loss and "
    "gradient together take {operations_784_512_512_10:.2f} times the operations of the loss alone "
    "(784-512-512-10), while forward mode takes {forward_mode_over_backprop:,.0f} times as long as backprop in "
    "the largest network that was timed. By the same chain rule a product with the Hessian takes "
    "{operations_of_Hv_784_512_512_10:.2f} times the operations of that gradient, and the norm of every example's own "
    "gradient {operations_of_norms_784_512_512_10:.2f} times."
)
KEY = "{operations_784_512_512_10:.2f} times the operations of the loss, for loss and whole gradient"
MEASUREMENTS = (agreement, trainings, cost, beyond, vanishing)
