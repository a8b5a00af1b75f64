"""How strong are the gradient checks that people use?

The usual rules are tried on the table of known mistakes, and the references that they compare with on exact gradients.
"""

from experiments.why_gradient_checks import references, usual_rules

MEASUREMENTS = (usual_rules, references)
PICTURE = usual_rules
