"""Why softmax for classification, how is its output used in training, and why not at inference?

Softmax turns any logits into probabilities, and its gradient with cross-entropy, p - y, stays large while the network
is wrong: from a start that leads for a wrong class by 20 in logits 100% of the trainings learn, with squared error,
whose gradient vanishes there, 0% (from a lead of 10 both learn, squared error 1.7 times as slowly). At inference the
largest logit is the answer: 0 predictions change without softmax, and the step from logits to classes is 3.6 times as
fast; only a probability that is used itself, against a threshold say, needs it, and has to be calibrated first (error
0.206 to 0.012 on labels that we drew).
"""

from experiments.why_softmax import bayes, calibration, gradient, inference, probabilities, trainings

ANSWER = (
    "Softmax turns any logits into probabilities, and its gradient with cross-entropy, p - y, stays large while "
    "the network is wrong: from a start that leads for a wrong class by 20 in logits {cross_entropy_far:.0%} of "
    "the trainings learn, with squared error, whose gradient vanishes there, {squared_error_far:.0%} (from a lead "
    "of 10 both learn, squared error {epochs:.1f} times as slowly). At inference the largest logit is the answer: "
    "{changed:.0f} predictions change without softmax, and the step from logits to classes is {speedup:.1f} times "
    "as fast; only a probability that is used itself, against a threshold say, needs it, and has to be calibrated "
    "first (error {ECE_before:.3f} to {ECE_after:.3f} on labels that we drew)."
)
KEY = "from a lead of 20 {cross_entropy_far:.0%} learn with cross-entropy, {squared_error_far:.0%} with squared error"
MEASUREMENTS = (probabilities, gradient, trainings, bayes, inference, calibration)
