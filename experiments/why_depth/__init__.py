"""Why stack layers, when two suffice in theory?

How many units a function costs by depth and by width, whether training finds such weights, and what depth does to
training: exact theory for linear networks, and digits.
"""

from experiments.why_depth import approximation, deeper, finding, linear_dynamics, separation

MEASUREMENTS = (separation, approximation, finding, linear_dynamics, deeper)
PICTURE = separation
