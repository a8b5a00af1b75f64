"""Which statement of somebody's backward pass goes wrong, and what the values of the others are.

quantities (what a right pass computes) -> readings (which of them an expression's values are) -> faults (with which
value in its place are the gradients right?) -> listing. The values come from a recorded run (`_child.recording`).
"""
