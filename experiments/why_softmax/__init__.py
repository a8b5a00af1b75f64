"""Why softmax for classification, how is its output used in training, and why not at inference?

Softmax as numbers and as a gradient, trainings from a wrong start, the posterior that it learns, and what it changes at
inference.
"""

from experiments.why_softmax import bayes, calibration, gradient, inference, probabilities, trainings

MEASUREMENTS = (probabilities, gradient, trainings, bayes, inference, calibration)
PICTURE = trainings
