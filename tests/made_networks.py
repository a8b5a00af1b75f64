"""Training scripts of 240 networks, right and with ten mistakes each; run this module to judge them all."""

import json
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlp_jax.check import _files

RECORD = Path(__file__).with_suffix(".json")
STRIDE = 3  # of the networks in which every mistake is made

TWO_LAYERS = """
import numpy as np

rng = np.random.default_rng(0)
X, t = rng.normal(size=(7, 5)), TARGETS
W1, b1 = rng.normal(size=(5, 4)), np.zeros(4)
W2, b2 = rng.normal(size=(4, 3)), np.zeros(3)
for epoch in range(30):
    z = X @ W1 + b1
    h = PHI
    o = h @ W2 + b2
    OUTPUT
    loss = FACTOR * LOSS + L2 * ((W1 ** 2).sum() + (W2 ** 2).sum())
    d2 = FACTOR * DELTA
    d1 = (d2 @ W2.T) * (DERIVATIVE)
    gW2, gb2 = h.T @ d2 + 2 * L2 * W2, d2.sum(axis=0)
    gW1, gb1 = X.T @ d1 + 2 * L2 * W1, d1.sum(axis=0)
    W1, b1, W2, b2 = W1 - 0.1 * gW1, b1 - 0.1 * gb1, W2 - 0.1 * gW2, b2 - 0.1 * gb2
"""
HIDDEN = {
    "tanh": ("np.tanh(z)", "1 - h ** 2"),
    "sigmoid": ("1 / (1 + np.exp(-z))", "h * (1 - h)"),
    "relu": ("np.maximum(z, 0)", "z > 0"),
    "leaky relu with slope 0.1": ("np.where(z > 0, z, 0.1 * z)", "np.where(z > 0, 1, 0.1)"),
    "softplus": ("np.log1p(np.exp(z))", "1 / (1 + np.exp(-z))"),
    "swish": ("z / (1 + np.exp(-z))", "(lambda s: s + z * s * (1 - s))(1 / (1 + np.exp(-z)))"),
}
SOFTMAX = "p = np.exp(o - o.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)"
SIGMOID = "p = 1 / (1 + np.exp(-o))"
ONE_HOT = "np.eye(3)[np.arange(7) % 3]"
HEADS = {
    "softmax outputs, cross-entropy": (ONE_HOT, SOFTMAX, "-(t * np.log(p)).sum()", "(p - t)"),
    "sigmoid outputs, binary cross-entropy": (
        "rng.integers(0, 2, (7, 3))", SIGMOID, "-(t * np.log(p) + (1 - t) * np.log(1 - p)).sum()", "(p - t)",
    ),
    "linear outputs, squared error": ("rng.normal(size=(7, 3))", "p = o", "((p - t) ** 2).sum()", "2 * (p - t)"),
    "sigmoid outputs, squared error": (
        "rng.random((7, 3))", SIGMOID, "((p - t) ** 2).sum()", "2 * (p - t) * p * (1 - p)",
    ),
    "softmax outputs, squared error": (
        ONE_HOT, SOFTMAX, "((p - t) ** 2).sum()", "2 * p * ((p - t) - ((p - t) * p).sum(1, keepdims=True))",
    ),
}  # fmt: skip
REDUCTIONS = {"sum": "1", "mean over the batch": "(1 / 7)", "half of the mean over the batch": "(0.5 / 7)",
              "mean over all entries": "(1 / 21)"}  # fmt: skip
MADE = {
    f"{hidden}, {head}, {reduction}{', L2' * bool(l2)}": (hidden, head, reduction, l2)
    for hidden in HIDDEN
    for head in HEADS
    for reduction in REDUCTIONS
    for l2 in (0, 0.05)
}  # 240 networks

# A wrong statement in the place of a right one, and the codes that name it.
WRONG = {
    "no derivative": (" * (DERIVATIVE)", "", ["missing_activation_derivative"]),
    "derivative at h": ("(DERIVATIVE)", "(lambda z, h: DERIVATIVE)(h, PHI_OF_H)", ["wrong_activation_derivative"]),
    "h (1 - h)": ("(DERIVATIVE)", "h * (1 - h)", ["wrong_activation_derivative"]),
    "twice the batch": ("d2 = FACTOR", "d2 = FACTOR / 7", ["scale"]),
    "no mean": ("d2 = FACTOR *", "d2 = 7 * FACTOR *", ["scale"]),
    "sign": ("d2 = FACTOR *", "d2 = -FACTOR *", ["sign"]),
    "bias of one example": ("d1.sum(axis=0)", "d1[0]", ["bias_gradient"]),
    "bias over all": ("d1.sum(axis=0)", "d1.sum()", ["bias_gradient", "shape"]),
    "z for h": ("h.T @ d2", "z.T @ d2", ["wrong_input"]),
    "zero": ("X.T @ d1 + 2 * L2 * W1", "0 * W1", ["zero_gradient"]),
}


def made(hidden, head, reduction, l2, wrong=None):
    """A script of one of these networks, right or with a mistake."""
    text = TWO_LAYERS
    if wrong is not None:
        right, instead, _ = WRONG[wrong]
        assert right in text
        text = text.replace(right, instead, 1)
    phi, derivative = HIDDEN[hidden]
    targets, output, loss, delta = HEADS[head]
    for name, value in {
        "PHI_OF_H": phi.replace("z", "h"), "TARGETS": targets, "PHI": phi, "OUTPUT": output, "DERIVATIVE": derivative,
        "LOSS": loss, "DELTA": delta, "FACTOR": REDUCTIONS[reduction], "L2": str(l2),
    }.items():  # fmt: skip
        text = text.replace(name, value)
    return text


def judged(text, folder):
    """Judge a script that is written to a folder."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=folder, delete=False, encoding="utf-8") as file:
        file.write(text)
    return _files.check_file(Path(file.name), _files.Asking(seconds=120, seed=3))


def right(network, folder):
    """Whether a right network is called correct, and what it is is said."""
    report = judged(made(*network), folder)
    term = f", L2 term {network[-1]:g} |W|^2" if network[-1] else ""
    said = f"the network: {', '.join(network[:3])}{term}"
    return report.verdict == "correct" and report.notes[0] == said


def wrong(network, mistake, folder):
    """What becomes of a mistake: "right" as the network has none there, "named", "caught", or "missed"."""
    text = made(*network, mistake)
    if is_the_same(network, mistake):
        return "right"
    report = judged(text, folder)
    if report.verdict != "wrong":
        return "missed"
    return "named" if report.diagnoses[0].code in WRONG[mistake][2] else "caught"


def is_the_same(network, mistake):
    """Whether a wrong statement is right in a network: h (1 - h) in one of sigmoid, or phi'(h) of relu."""
    hidden = network[0]
    return (mistake, hidden) in {("h (1 - h)", "sigmoid"), ("derivative at h", "relu"),
                                 ("derivative at h", "leaky relu with slope 0.1")}  # fmt: skip


def main():
    """Judge all of them, and write the record."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        recognised = list(pool.map(lambda network: right(network, folder), MADE.values()))
        print(f"{sum(recognised)} of {len(MADE)} right and recognised", file=sys.stderr)
        pairs = [(name, mistake) for name in list(MADE)[::STRIDE] for mistake in WRONG]
        found = list(pool.map(lambda pair: wrong(MADE[pair[0]], pair[1], folder), pairs))
    counts = Counter(found)
    for (name, mistake), what in zip(pairs, found, strict=True):
        if what in ("missed", "caught"):
            print(f"{what}: {mistake} in {name}", file=sys.stderr)
    mistakes = len(found) - counts["right"]
    record = {
        "networks": len(MADE),
        "right and recognised": sum(recognised),
        "mistakes": mistakes,
        "caught": mistakes - counts["missed"],
        "named": counts["named"],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(record)


if __name__ == "__main__":
    main()
