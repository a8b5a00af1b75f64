"""Why softmax for classification, how is its output used in training, and why not at inference?

Softmax turns any logits into probabilities, and its gradient with cross-entropy, p - y, stays large while the network
is wrong: of trainings that start very sure of a wrong class 100% learn, and with squared error, whose gradient vanishes
there, 0%. At inference the largest logit is the answer: 0 predictions change without softmax and the step is 3.9 times
as fast; only who needs the probability itself, to set a threshold or to fit a temperature (calibration error 0.206 to
0.012), needs it.
"""

from experiments.why_softmax import bayes, calibration, gradient, inference, probabilities, trainings

ANSWER = (
    "Softmax turns any logits into probabilities, and its gradient with cross-entropy, p - y, stays large while the "
    "network is wrong: of trainings that start very sure of a wrong class {cross_entropy_far:.0%} learn, and with "
    "squared error, whose gradient vanishes there, {squared_error_far:.0%}. At inference the largest logit is the "
    "answer: {changed:.0f} predictions change without softmax and the step is {speedup:.1f} times as fast; only who "
    "needs the probability itself, to set a threshold or to fit a temperature (calibration error {ECE_before:.3f} to "
    "{ECE_after:.3f}), needs it."
)
KEY = "{cross_entropy_far:.0%} of wrong starts learn with cross-entropy, {squared_error_far:.0%} with squared error"
MEASUREMENTS = (probabilities, gradient, trainings, bayes, inference, calibration)
