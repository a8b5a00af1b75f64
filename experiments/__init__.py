"""Experiments that answer, with measured numbers beside published theory, why deep learning is built as it is."""

QUESTIONS = (
    "why_softmax",
    "why_exp",
    "why_activations",
    "why_depth",
    "why_backprop",
    "why_gradient_checks",
    "why_forward",
    "why_latent",
)
