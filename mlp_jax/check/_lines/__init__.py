"""Which statement of somebody's backward pass goes wrong, and what the values of the others are.

quantities (what a right pass computes) -> streams (in the orders of people's lines) -> readings (which of them an
expression's values are) -> values -> trials (with which value in its place are the gradients right?) -> sources (from
which statement does it come?) -> faults -> listing. The values come from a recorded run (`_child.recording`).
"""
