"""A page for every code of a report: the formula, the reason, a line wrong and right, and how it shows in training.

The lines are those of `example`, a file with two layers, so that tests can run them. What is said of training is
computed from the record of `_exercises.levels`.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlp_jax import _doors
from mlp_jax.check._exercises.levels import LEVELS, Seen, record, visibility
from mlp_jax.check._exercises.writing import assembled, network
from mlp_jax.check._networks.mistakes import MISTAKES

WIDTH = 80
INDENT = 11
GRADIENTS = "return loss, [(dW1, db1), (dW2, db2)]"
LEVELS_IN_WORDS = {
    1: "training fails, or an error is raised",
    2: "it learns badly",
    3: "it learns well, and the curve is another",
    4: "nothing is seen",
}


class Explanation(NamedTuple):
    """What a code means.

    Attributes:
      what: it says, in one line.
      formula: what is right.
      reason: why, and what to look for.
      right: a line of `example`.
      wrong: what stands in its place in code that gets this code.
    """

    what: str
    formula: str
    reason: str
    right: str
    wrong: str


EXPLANATIONS: Mapping[str, Explanation] = {
    "correct": Explanation(
        "loss and every gradient are right",
        "d loss / d theta, for every parameter theta",
        "Every gradient agrees with the derivative of the loss that the code computes, at every problem that was "
        "tried. A remark after it, such as precision or nonfinite, does not change the verdict.",
        "dW2 = h1.T @ delta2",
        "",
    ),
    "scale": Explanation(
        "a gradient is right but for a factor, such as B, 1/B or 2",
        "delta_L = (p - one_hot(y)) / B",
        "The loss is a mean over B examples, and its factor 1/B belongs into delta_L, once. All other gradients are "
        "sums over delta_L, so they get it from there. A factor changes nothing but the size of a step, so that "
        "training seems to need another learning rate.",
        "delta2 = (p - Y) / B",
        "delta2 = p - Y",
    ),
    "sign": Explanation(
        "a gradient has the opposite sign",
        "delta_L = (p - one_hot(y)) / B",
        "A step goes against the gradient, W - rate * dW. With the sign turned, the loss climbs. Two signs that are "
        "turned, here and in the update, cancel, and are right together only.",
        "delta2 = (p - Y) / B",
        "delta2 = (Y - p) / B",
    ),
    "softmax_gradient": Explanation(
        "the derivative of softmax and cross-entropy is another one",
        "delta_L = (p - one_hot(y)) / B",
        "The Jacobian of softmax is diag(p) - p p^T. Multiplied with the derivative of -log p_y, all but p - "
        "one_hot(y) cancels: no p (1 - p) is left, and no division by p.",
        "delta2 = (p - Y) / B",
        "delta2 = (p - Y) * p * (1 - p) / B",
    ),
    "normalisation_axis": Explanation(
        "softmax sums over the examples, not over the classes",
        "p_ij = exp(z_ij) / sum over the classes k of exp(z_ik)",
        "The probabilities of one example sum to 1. With (B, C) arrays that is a sum over axis 1, and with (C, B) "
        "arrays over axis 0, with keepdims so that it is divided row by row. For a batch of one both look alike.",
        "p = e / e.sum(axis=1, keepdims=True)",
        "p = e / e.sum(axis=0, keepdims=True)",
    ),
    "labels": Explanation(
        "the labels are those of another class or example",
        "one_hot(y)_ij = 1 if j = y_i, else 0",
        "Classes count from 0, and label i belongs to example i. Labels from 1, a shuffle of x without y, or a "
        "one-hot matrix whose width is the largest label plus 1 all go wrong without an error.",
        "delta2 = (p - Y) / B",
        "delta2 = (p - np.eye(C)[labels - 1]) / B",
    ),
    "missing_activation_derivative": Explanation(
        "phi'(z) is left out on the way back",
        "delta_l = d h_l * phi'(z_l)",
        "By the chain rule the error that comes back to h_l = phi(z_l) is multiplied by phi'(z_l), entry by entry, "
        "before it goes on. The last layer has no activation, so only the layers below are wrong.",
        "delta1 = dh1 * (1 - h1 ** 2)",
        "delta1 = dh1",
    ),
    "wrong_activation_derivative": Explanation(
        "another function stands where phi'(z) belongs",
        "delta_l = d h_l * phi'(z_l)",
        "phi' is taken at z, or written in h = phi(z): tanh' is 1 - h^2, sigmoid' is h (1 - h), relu' is [z > 0]. "
        "A derivative of z that is given h, or one of another activation, is wrong in every layer below it.",
        "delta1 = dh1 * (1 - h1 ** 2)",
        "delta1 = dh1 * (1 - np.tanh(h1) ** 2)",
    ),
    "transposed": Explanation(
        "a matrix stands where its transpose belongs",
        "d h_{l-1} = delta_l W_l^T and d W_l = h_{l-1}^T delta_l",
        "Shapes decide: d h_{l-1} is (B, fan_in), delta_l is (B, fan_out), W_l is (fan_in, fan_out). With square "
        "layers a missing transpose fits and is wrong. A reshape is no transpose: it reads the numbers in another "
        "order. In columns the formulas are turned: d h_{l-1} = W_l^T delta_l.",
        "dh1 = delta2 @ W2.T",
        "dh1 = delta2 @ W2",
    ),
    "wrong_layer": Explanation(
        "a variable of another layer stands in a formula",
        "d h_{l-1} = delta_l W_l^T, and the gradients in the order (W_1, b_1), ..., (W_L, b_L)",
        "The way back through layer l takes the weights of layer l itself. An index that is off by one, or a list "
        "that is built from the last layer on and not reversed, mixes layers. Equal widths hide it.",
        "dh1 = delta2 @ W2.T",
        "dh1 = delta2 @ W1.T",
    ),
    "wrong_input": Explanation(
        "d W_l is made of something else than the layer's input h_{l-1}",
        "d W_l = h_{l-1}^T delta_l",
        "The gradient of a weight is its input times the delta of its output, summed over the examples. Its input "
        "is h_{l-1}, after the activation, of the same example.",
        "dW2 = h1.T @ delta2",
        "dW2 = z1.T @ delta2",
    ),
    "bias_gradient": Explanation(
        "d b_l is another reduction of delta_l",
        "d b_l = sum over the batch of delta_l",
        "A bias is added to every example, so the derivatives of all examples add up: a sum over the batch, axis 0 "
        "of (B, fan_out), axis 1 of (fan_out, B). Not a mean, since delta_L holds 1/B already.",
        "db2 = delta2.sum(axis=0)",
        "db2 = delta2.mean(axis=0)",
    ),
    "zero_gradient": Explanation(
        "a gradient is zero that should not be",
        "d W_l = h_{l-1}^T delta_l, d b_l = sum over the batch of delta_l",
        "Zeros that were made for a gradient were never filled: a loop ends one layer early, or a name is "
        "misspelt. The layers above still learn, from features that stay as they were drawn.",
        "dW1 = x.T @ delta1",
        "dW1 = np.zeros_like(W1)",
    ),
    "batch_one": Explanation(
        "only one example counts, or a batch of one goes wrong",
        "d W_l = sum over the examples i of h_{l-1,i} delta_{l,i}^T",
        "Either a sum over the examples became the term of one of them, often = in a loop where += belongs. Or the "
        "code is wrong for a batch of one only: a squeeze, or an axis that vanished.",
        "dW2 = h1.T @ delta2",
        "dW2 = np.outer(h1[0], delta2[0])",
    ),
    "stale_weights": Explanation(
        "weights are used that were updated already",
        "d h_{l-1} = delta_l W_l^T, with the W_l of the forward pass",
        "All gradients of a step belong to one point. If W_l is updated before the error goes back through it, the "
        "layers below get a gradient of no point at all. The smaller the rate, the less it shows.",
        "dh1 = delta2 @ W2.T",
        "dh1 = delta2 @ (W2 - 0.1 * dW2).T",
    ),
    "regularised": Explanation(
        "an L2 or L1 term is in the gradient and not in the loss, or the other way round",
        "loss + k |W|^2 has the gradient d W_l + 2 k W_l",
        "A penalty belongs into both, with factors that fit: k |W|^2 gives 2 k W, and k/2 |W|^2 gives k W. Biases "
        "have none if the loss has none of them. Weight decay in the update, as of AdamW, is in neither.",
        GRADIENTS,
        "return loss, [(dW1 + 0.1 * W1, db1), (dW2 + 0.1 * W2, db2)]",
    ),
    "convention": Explanation(
        "it is another network or loss than was asked for",
        "z_l = h_{l-1} W_l + b_l, h_l = phi(z_l), logits = z_L",
        "The file, a flag or the task says which network, loss, layout or precision is meant, and the code computes "
        "another, such as an activation on the last layer or a sum for a mean. If its gradient fits its own loss, "
        "the backward pass is right, and the question is what was asked.",
        "h1 = np.tanh(z1)",
        "h1 = z1",
    ),
    "loss_value": Explanation(
        "the gradients are right, and the loss that is returned is not",
        "loss = mean over the batch of -log p_y",
        "Training does not use the number, so it goes well. But what you print, compare or stop by is wrong, and a "
        "check by differences of this loss accuses right gradients.",
        "loss = -np.sum(Y * np.log(p)) / B",
        "loss = np.sum(Y * (1 - p)) / B",
    ),
    "shape": Explanation(
        "a gradient has another shape than its parameter",
        "d W_l is (fan_in, fan_out) as W_l, d b_l is (fan_out,) as b_l",
        "A gradient has the shape of its parameter, entry for entry. An axis of length 1 too many is broadcast in "
        "the update, and the parameter grows into another shape without an error.",
        GRADIENTS,
        "return loss, [(dW1, db1[None]), (dW2, db2)]",
    ),
    "exception": Explanation(
        "the code raises an error, or could not be checked",
        "a result (loss, [(dW_1, db_1), ...]) for every batch and every width",
        "The message is the one that the code raised, with its line. If only some problems fail, look at what is "
        "special about them: other widths, a batch of one, a class that does not occur.",
        "db2 = delta2.sum(axis=0)",
        "db2 = delta2.sum(axis=2)",
    ),
    "nonfinite": Explanation(
        "a gradient or the loss is inf or NaN",
        "exp(z - max z) / sum of exp(z - max z)",
        "exp overflows above 709, log 0 is -inf, and inf - inf or 0/0 is NaN. Softmax stays the same if the largest "
        "logit is subtracted first. It is a remark at logits in the thousands, and wrong with --strict.",
        "e = np.exp(logits - logits.max(axis=1, keepdims=True))",
        "e = np.exp(logits)",
    ),
    "mutates_input": Explanation(
        "the function changes its arguments in place",
        "params, x and labels are the same after the call",
        "The caller passes its own arrays. W -= ... or p[i] -= 1 on an array that was passed in changes them for "
        "everybody, so that a second call gives another answer. Update outside, or work on a copy.",
        "dW1 = x.T @ delta1",
        "dW1 = x.T @ delta1; W1 -= 0.1 * dW1",
    ),
    "nondeterministic": Explanation(
        "two calls with the same arguments give different gradients",
        "one gradient for each point",
        "The code draws random numbers, as dropout does, or adds to what an earlier call left. Pass the generator "
        "or the mask in, and start gradients at zero in every call.",
        "h1 = np.tanh(z1)",
        "h1 = np.tanh(z1) * (np.random.rand(*z1.shape) > 0.5)",
    ),
    "precision": Explanation(
        "a gradient is right to some digits and no more",
        "relative error of about 1e-15 in float64, 1e-7 in float32",
        "Numbers were rounded, computed in a coarse dtype, or are differences with a poor step. As a remark it says "
        "that a textbook form loses digits in saturation, such as 1 - h^2 or p - 1.",
        "delta2 = (p - Y) / B",
        "delta2 = np.round((p - Y) / B, 4)",
    ),
    "undecided": Explanation(
        "the check cannot tell whether it is right",
        "(loss(theta + step) - loss(theta - step)) / (2 step), for a small step",
        "The network is not recognised, so the gradient is compared with differences of its loss. These cannot "
        "tell if the loss is rounded, at a kink or drawn again, or if the gradient is clipped. Leave that out for it.",
        "loss = -np.sum(Y * np.log(p)) / B",
        "loss = round(-np.sum(Y * np.log(p)) / B, 3)",
    ),
    "unexplained": Explanation(
        "a gradient is wrong, and no known mistake gives these numbers",
        "every step of the chain: delta_L, then d h, delta, d W and d b of each layer",
        "Look at the list of wrong and right parameters. If the last layer is right and those below are wrong, the "
        "step back is; if all are wrong, delta_L is. Several mistakes together look like this too.",
        "delta1 = dh1 * (1 - h1 ** 2)",
        "delta1 = dh1 * np.cos(3 * z1) * np.sqrt(np.abs(dh1))",
    ),
}


def example() -> str:
    """Return the file whose lines the pages show: two layers, tanh, softmax cross-entropy, and all is right."""
    return assembled(network("vectorised"), [], "").text


def page(code: str) -> str:
    """Return the page of a code, as text of at most 80 columns.

    Raises:
      ValueError: if there is no such code.
    """
    check_code(code)
    one = EXPLANATIONS[code]
    parts = [
        *_wrapped(f"{code}: {one.what}", 0),
        "",
        *_part("formula", one.formula),
        *_part("reason", one.reason),
        *([f"wrong      {one.wrong}"] if one.wrong else []),
        f"right      {one.right}",
        *_part("training", in_training(code)),
    ]
    return "\n".join(parts) + "\n"


def overview() -> str:
    """Return all codes, each with its line."""
    width = max(map(len, EXPLANATIONS))
    lines = [_wrapped(f"{code:{width}}  {one.what}", width + 2) for code, one in EXPLANATIONS.items()]
    return "\n".join(line for part in lines for line in part) + "\n"


def check_code(code: str) -> None:
    """Check that there is such a code.

    Raises:
      ValueError: if not; it lists them.
    """
    if code not in EXPLANATIONS:
        known = [*EXPLANATIONS]
        near = _doors.did_you_mean(code, known)
        raise _doors.mistake("explain", f"one of {', '.join(known)}", repr(code), near)


def in_training(code: str) -> str:
    """Say how the known mistakes of a code show when a network is trained, by the record."""
    of_code = [visibility(mistake.name) for mistake in MISTAKES if mistake.code == code]
    if not of_code:
        return "not measured: it is no kind of mistake in the formulas"
    settings = record()["training"]
    counts = {number: sum(one.level == number for one in of_code) for number in LEVELS}
    words = [f"{count} at level {number} ({LEVELS_IN_WORDS[number]})" for number, count in counts.items() if count]
    return (
        f"of {len(of_code)} known mistake{'s' * (len(of_code) > 1)}, {', '.join(words)}. {_accuracies(of_code)}"
        f"Measured on {settings['data']} with SGD, {settings['epochs']} epochs and {settings['seeds']} seeds."
    )


def _accuracies(of_code: Sequence[Seen]) -> str:
    found = [one.accuracy for one in of_code if not one.raises]
    if not found:
        return ""
    right = record()["right"][of_code[0].setting]["accuracy"]
    lowest, highest = (f"{100 * value:.1f} %" for value in (min(found), max(found)))
    between = f"is {lowest}" if lowest == highest else f"is between {lowest} and {highest}"
    return f"Test accuracy {between}, next to {100 * sum(right) / len(right):.1f} % if right. "


def _part(name: str, text: str) -> list[str]:
    first, *rest = _wrapped(f"{name:{INDENT}}{text}", INDENT)
    return [first, *rest]


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
