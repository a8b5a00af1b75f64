"""How strong are the gradient checks that people use?

The usual rules are tried on the table of known mistakes, whole checkers on rules of other functions, the references
that they compare with on exact gradients, and the mistakes in training.
"""

from experiments.why_gradient_checks import in_training, mutations, references, usual_rules

MEASUREMENTS = (usual_rules, mutations, references, in_training)
PICTURE = usual_rules
