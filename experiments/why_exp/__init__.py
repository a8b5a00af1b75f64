"""Why exp in softmax, and not another positive function?

Seven normalisers turn scores into probabilities. They are compared by the laws that one would ask for and by the
networks that they train; where exp comes from and what it costs in float32 is measured too.
"""

from experiments.why_exp import in_practice, laws, origins, price

MEASUREMENTS = (laws, origins, in_practice, price)
PICTURE = laws
