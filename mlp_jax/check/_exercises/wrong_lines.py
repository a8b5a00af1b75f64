"""What people write in the place of a right expression: for each known mistake the expressions that make it.

The expressions are in the letters of the formulas, in rows, and hold for every way of writing that has their letters.
Besides the usual letters there are

    error   p - Y, or 2 (logits - Y) for the squared error       slope       phi'(z) as the file writes it
    D       the number of features
    total   the sum of the examples' losses                      squares     the sum of all squared weights
    e       exp(logits - max)                                    t           the number of a mistake that has one
    h_below h_{l-1} of a hidden layer, never x                   W_below ... the weights of other layers
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

RIGHT = {
    "affine": "h_prev @ W + b",
    "hidden": "phi(z)",
    "final": "z",
    "last": "h_prev @ W + b",
    "softmax": "softmax(logits, axis=1)",
    "exp": "np.exp(logits - logits.max(axis=1, keepdims=True))",
    "normalise": "e / e.sum(axis=1, keepdims=True)",
    "loss": "total / B",
    "output": "error / B",
    "delta": "dh * slope",
    "dh": "delta @ W.T",
    "dW": "h_prev.T @ delta",
    "db": "delta.sum(axis=0)",
}


class Wrong(NamedTuple):
    """A wrong expression.

    Attributes:
      rule: the expression whose place it takes.
      text: the expression, in rows.
      style: its text in the ways of writing for which translation does not give what people write, translated already;
        None if it cannot be written there.
      loss: the only loss for which people write so.
      activation: the only activation for which people write so.
      functions: whether the file has functions for phi and phi'; None for both.
      everywhere: whether the line has to be that of every layer.
      is_sum: whether the line loses the + of +=.
    """

    rule: str
    text: str
    style: Mapping[str, str | None] = {}
    loss: str | None = None
    activation: str | None = None
    functions: bool | None = None
    everywhere: bool = False
    is_sum: bool = True


def _ce(rule: str, text: str, **more: Any) -> Wrong:
    return Wrong(rule, text, loss="cross_entropy", **more)


def _se(rule: str, text: str, **more: Any) -> Wrong:
    return Wrong(rule, text, loss="squared_error", **more)


NOT_IN_COLUMNS = {"columns": None}
NOT_IN_LOOPS = {"loops": None}

WRONG: Mapping[str, tuple[Wrong, ...]] = {
    # factors
    "leaves out the 1/B of the mean": (Wrong("output", "error"),),
    "divides by B twice": (Wrong("output", "error / B ** 2"),),
    "divides by B again at every layer": (Wrong("delta", "dh * slope / B", everywhere=True),),
    "takes the mean over the classes too": (Wrong("output", "error / (B * C)"),),
    "has a factor 2 too many": (_ce("output", "2 * error / B"), _se("output", "4 * (logits - Y) / B")),
    "has a factor 1/2 too many": (_ce("output", "error / (2 * B)"), _se("output", "(logits - Y) / B")),
    "leaves out the 1/B in the weights alone": (Wrong("dW", "h_prev.T @ delta * B"),),
    "divides the weights' gradient by B twice": (Wrong("dW", "h_prev.T @ delta / B"),),
    "divides the weights' gradient by their fan_in": (Wrong("dW", "h_prev.T @ delta / W.shape[0]"),),
    "divides by B - 1 and not by B": (Wrong("output", "error / (B - 1)", {"loops": None}),),
    "divides by the number of features, and not by that of the examples: B is the other axis of x": (
        Wrong("output", "error / D"),),
    "multiplies by B where it is to be divided": (Wrong("output", "error * B"),),
    "multiplies all by one constant factor": (Wrong("output", "t * error / B"),),
    # signs
    "has the opposite sign": (_ce("output", "(Y - p) / B"), _se("output", "2 * (Y - logits) / B")),
    "has the opposite sign, and leaves out the 1/B of the mean": (
        _ce("output", "Y - p"), _se("output", "2 * (Y - logits)")),
    "has the opposite sign in the biases": (Wrong("db", "-delta.sum(axis=0)"),),
    "has the opposite sign in the weights": (Wrong("dW", "-(h_prev.T @ delta)"),),
    "changes the sign on the way back": (Wrong("dh", "-(delta @ W.T)"),),
    "adds one_hot(y) to p where it is to be subtracted": (_ce("output", "(p + Y) / B"),),
    # softmax and cross-entropy
    "keeps a derivative p (1 - p) of the output beside p - one_hot(y)": (_ce("output", "(p - Y) * p * (1 - p) / B"),),
    "takes the diagonal of softmax's Jacobian alone, -one_hot(y) (1 - p)": (_ce("output", "-Y * (1 - p) / B"),),
    "does not subtract one_hot(y) from p": (_ce("output", "p / B"),),
    "leaves p out of p - one_hot(y)": (_ce("output", "-Y / B"),),
    "stops at the derivative in p, -one_hot(y) / p, and does not go through softmax": (_ce("output", "-Y / p / B"),),
    "subtracts one_hot(y) from the logits and not from p": (_ce("output", "(logits - Y) / B"),),
    "uses log p where p belongs": (_ce("output", "(np.log(p) - Y) / B"),),
    "does not divide exp(z) by its sum": (_ce("output", "(e - Y) / B"),),
    "takes the gradient of the squared error of p": (
        _ce("output", "2 * p * (p - Y - ((p - Y) * p).sum(axis=1, keepdims=True)) / B"),),
    "uses a sigmoid for each class where softmax belongs": (_ce("output", "(1 / (1 + np.exp(-logits)) - Y) / B"),),
    "normalises softmax over the batch, not over the classes": (_ce("softmax", "softmax(logits, axis=0)"),),
    "normalises softmax over the batch in the gradient, and over the classes in the loss": (
        _ce("output", "(softmax(logits, axis=0) - Y) / B"),),
    "normalises softmax over the whole batch at once": (_ce("softmax", "softmax(logits, axis=None)"),),
    "shifts by each row's maximum and divides exp(z) by its sum over the batch": (
        _ce("normalise", "e / e.sum(axis=0, keepdims=True)", style=NOT_IN_LOOPS),),
    "shifts by each row's maximum and divides exp(z) by its sum over the whole batch": (
        _ce("normalise", "e / e.sum()", style=NOT_IN_LOOPS),),
    # labels
    "takes label y for y + 1: labels count from 0": (
        _ce("output", "(p - one_hot((labels + 1) % C)) / B"),
        _se("output", "2 * (logits - one_hot((labels + 1) % C)) / B")),
    "takes label y for y - 1: labels count from 0": (
        _ce("output", "(p - one_hot(labels - 1)) / B"), _se("output", "2 * (logits - one_hot(labels - 1)) / B")),
    "uses the predicted classes as labels": (
        _ce("output", "(p - one_hot(p.argmax(axis=1))) / B"),
        _se("output", "2 * (logits - one_hot(logits.argmax(axis=1))) / B")),
    "uses the first example's label for all": (_ce("output", "(p - one_hot(first_label)) / B"),),
    "has the labels in reverse order": (
        _ce("output", "(p - one_hot(labels_reversed)) / B"),
        _se("output", "2 * (logits - one_hot(labels_reversed)) / B")),
    "has the labels one example late": (
        _ce("output", "(p - one_hot(labels_late)) / B"), _se("output", "2 * (logits - one_hot(labels_late)) / B")),
    # the activation's derivative
    "leaves out phi'(z)": (Wrong("delta", "dh"),),
    "takes phi' at h = phi(z) and not at z": (Wrong("delta", "dh * dphi(h)"),),
    "uses h (1 - h), the derivative of sigmoid, for phi'(z)": (Wrong("delta", "dh * h * (1 - h)"),),
    "uses 1 - h^2, the derivative of tanh, for phi'(z)": (Wrong("delta", "dh * (1 - h ** 2)"),),
    "uses [z > 0], the derivative of relu, for phi'(z)": (Wrong("delta", "dh * (z > 0)"),),
    "uses sigmoid'(z) for phi'(z)": (Wrong("delta", "dh * np.exp(-z) / (1 + np.exp(-z)) ** 2"),),
    "uses tanh'(z) for phi'(z)": (Wrong("delta", "dh * (1 - np.tanh(z) ** 2)"),),
    "uses z (1 - z), in z where h belongs": (Wrong("delta", "dh * z * (1 - z)"),),
    "uses 1 - z^2, in z where h belongs": (Wrong("delta", "dh * (1 - z ** 2)"),),
    "uses 1 - h, without the square": (Wrong("delta", "dh * (1 - h)"),),
    "uses h = phi(z) where phi'(z) belongs": (Wrong("delta", "dh * h"),),
    "multiplies by phi'(z) twice": (Wrong("delta", "dh * slope ** 2"),),
    "masks by the sign of the error that comes back, and not by that of z": (Wrong("delta", "dh * (dh > 0)"),),
    "divides by phi'(z) where it is to be multiplied": (Wrong("delta", "dh / slope"),),
    "lets a share of the error through units that are off, as a leaky relu does": (
        Wrong("delta", "dh * np.where(z > 0, 1, t)", activation="relu"),),
    "multiplies delta_L by phi'(z_L), though the last layer is linear": (Wrong("output", "error / B * dphi(logits)"),),
    "takes phi' at z_{l-1}, of the layer below": (Wrong("delta", "dh * slope_prev"),),
    "takes phi' at z_{l+1}, of the layer above": (Wrong("delta", "dh * slope_next"),),
    # transposes
    "goes back through W_l and not through W_l^T": (Wrong("dh", "delta @ W"),),
    "reshapes W_l where it is to be transposed": (Wrong("dh", "delta @ W.reshape(W.shape[::-1])", NOT_IN_COLUMNS),),
    "returns d W_l transposed, delta_l^T h_{l-1}": (Wrong("dW", "delta.T @ h_prev"),),
    "reshapes delta_l^T h_{l-1} where it is to be transposed": (
        Wrong("dW", "(delta.T @ h_prev).reshape(W.shape)", NOT_IN_COLUMNS),),
    "reshapes h_{l-1} where it is to be transposed": (
        Wrong("dW", "h_prev.reshape(h_prev.shape[::-1]) @ delta", NOT_IN_COLUMNS | NOT_IN_LOOPS),),
    # the wrong variable
    "goes back through the weights of the layer below": (Wrong("dh", "delta @ W_below.T"),),
    "goes back through the weights of the layer above": (Wrong("dh", "delta @ W_above.T"),),
    "uses h_l, the layer's own output, where its input h_{l-1} belongs": (Wrong("dW", "h.T @ delta"),),
    "goes back through the first layer's weights at every layer": (Wrong("dh", "delta @ W_first.T"),),
    "goes back through the last layer's weights at every layer": (Wrong("dh", "delta @ W_last.T"),),
    "uses z_{l-1} where h_{l-1} = phi(z_{l-1}) belongs": (Wrong("dW", "z_prev.T @ delta"),),
    "uses x where h_{l-1} belongs": (Wrong("dW", "x.T @ delta"),),
    "applies phi twice to what a layer is fed": (Wrong("dW", "phi(h_below).T @ delta"),),
    "uses phi'(z_{l-1}) where h_{l-1} belongs": (Wrong("dW", "slope_prev.T @ delta"),),
    "uses 1 where h_{l-1} belongs": (Wrong("dW", "np.ones_like(h_prev).T @ delta"),),
    "averages the inputs before it multiplies them with delta_l": (
        Wrong("dW", "np.outer(h_prev.mean(axis=0), delta.sum(axis=0))", NOT_IN_LOOPS),),
    "pairs the inputs with the deltas of other examples": (Wrong("dW", "h_prev[::-1].T @ delta"),),
    "multiplies d W_l by W_l": (Wrong("dW", "h_prev.T @ delta * W"),),
    # biases
    "takes the mean of delta_l over the batch for d b_l, though it holds 1/B already": (
        Wrong("db", "delta.mean(axis=0)"),),
    "leaves out the 1/B in the biases alone": (Wrong("db", "delta.sum(axis=0) * B"),),
    "takes delta_l of the first example for d b_l, without the sum": (
        Wrong("db", "delta[0]", {"columns": "delta[:, :1]", "loops": None}),),
    "takes delta_l of the last example for d b_l, without the sum": (
        Wrong("db", "delta[-1]", {"columns": "delta[:, -1:]", "loops": "delta"}, is_sum=False),),
    "sums delta_l over all entries for d b_l": (Wrong("db", "delta.sum()"),),
    "sums delta_l over the units for d b_l, and not over the batch": (Wrong("db", "delta.sum(axis=1)", NOT_IN_LOOPS),),
    "leaves d b_l at zero": (Wrong("db", "np.zeros_like(b)"),),
    "multiplies d b_l by b_l": (Wrong("db", "delta.sum(axis=0) * b"),),
    "multiplies delta_l by h_l for d b_l": (Wrong("db", "(delta * h).sum(axis=0)"),),
    "takes the sum of the absolute values for d b_l": (Wrong("db", "np.abs(delta).sum(axis=0)"),),
    "takes the row sums of d W_l for d b_l, of the wrong axis": (Wrong("db", "dW.sum(axis=0)", NOT_IN_LOOPS),),
    # zeros, and examples that do not count
    "leaves d W_l at zero": (Wrong("dW", "np.zeros_like(W)"),),
    "counts the first example alone in d W_l": (Wrong("dW", "np.outer(h_prev[0], delta[0])"),),
    "counts the last example alone in d W_l": (
        Wrong("dW", "np.outer(h_prev[-1], delta[-1])", {"loops": "np.outer(h_prev, delta)"}, is_sum=False),),
    "averages delta_l over the batch before it goes on": (Wrong("dh", "delta.mean(axis=0) @ W.T", NOT_IN_LOOPS),),
    # updates and regularisation
    "goes back through weights that were updated already, W_l - t d W_l": (
        Wrong("dh", "delta @ (W - t * dW).T", NOT_IN_LOOPS),),
    "goes back through weights W_l - t d W_l that the same example has updated": (
        Wrong("dh", "delta @ (W - t * B * (h_prev.T @ delta)).T",
              {"vectorised": None, "classes": None, "columns": None}),),
    "adds the L2 term t W_l to the gradient, and nothing to the loss": (
        Wrong("dW", "h_prev.T @ delta + t * W", NOT_IN_LOOPS, everywhere=True),),
    "adds the L2 term t W_l / B to the gradient, and nothing to the loss": (
        Wrong("dW", "h_prev.T @ delta + t * W / B", everywhere=True),),
    "adds the L1 term t sign(W_l) to the gradient": (
        Wrong("dW", "h_prev.T @ delta + t * np.sign(W)", NOT_IN_LOOPS, everywhere=True),),
    # the forward pass
    "applies the activation to the last layer too, in the forward pass alone": (
        Wrong("final", "phi(z)"), Wrong("last", "phi(h_prev @ W + b)")),
    "leaves the activation out of the forward pass, and its derivative not": (
        Wrong("hidden", "z", everywhere=True, functions=True),
        Wrong("hidden", "z", everywhere=True, activation="relu"),),
    "leaves the activation out of the forward pass, with a derivative 1 - h^2": (
        Wrong("hidden", "z", everywhere=True, functions=False, activation="tanh"),),
    "leaves the activation out of the forward pass, with a derivative h (1 - h)": (
        Wrong("hidden", "z", everywhere=True, functions=False, activation="sigmoid"),),
    "is right for a network without biases": (
        Wrong("affine", "h_prev @ W", {"classes": None}, everywhere=True),),  # whose b is then no parameter of the loss
    # the loss alone
    "returns the sum over the batch as loss, where the mean is asked": (Wrong("loss", "total"),),
    "divides the loss by B twice": (Wrong("loss", "total / B ** 2"),),
    "divides the loss by the number of classes": (Wrong("loss", "total / (B * C)"),),
    "returns the loss with the opposite sign": (
        _ce("loss", "np.sum(Y * np.log(p)) / B"), _se("loss", "-np.sum((logits - Y) ** 2) / B")),
    "returns twice the loss": (Wrong("loss", "2 * total / B"),),
    "returns half of the loss": (Wrong("loss", "total / (2 * B)"),),
    "returns the loss in bits, not in nats": (_ce("loss", "-np.sum(Y * np.log2(p)) / B"),),
    "forgets the logarithm: returns the mean of 1 - p_y": (_ce("loss", "np.sum(Y * (1 - p)) / B"),),
    "sums binary cross-entropies over the classes": (
        _ce("loss", "-np.sum(Y * np.log(p) + (1 - Y) * np.log(1 - p)) / B"),),
    "adds an L2 term to the loss, t/2 |W|^2, and not to the gradient": (Wrong("loss", "total / B + t / 2 * squares"),),
}  # fmt: skip

# Mistakes of lines that only one way of writing has.
REVERSED = "returns the gradients in the order of the backward pass, the last layer first"
UPDATED = "returns updated weights W_l - t d W_l and b_l - t d b_l, and not the gradient"
WITH_BIAS = "adds L2 terms t W_l and t b_l to the gradient, the bias included"
FIRST_ZERO = "leaves the first layer at zero"
ALL_BUT_LAST_ZERO = "leaves all but the last layer at zero"

PLANTABLE = frozenset([*WRONG, REVERSED, UPDATED, WITH_BIAS, FIRST_ZERO, ALL_BUT_LAST_ZERO])

_OWN_LOSS = "its gradients are right for the loss that the file computes: wrong only if another loss was asked for"
_NOBODY = "in one line nobody writes it: "
NOT_PLANTED = {
    "takes the sum over the batch in loss and gradient, where the mean is asked": _OWN_LOSS,
    "takes the mean over examples and classes in loss and gradient, where the mean over examples is asked": _OWN_LOSS,
    "has a factor 1/2 in loss and gradient": _OWN_LOSS,
    "adds an L2 term to loss and gradient, t/2 |W|^2 and t W_l": _OWN_LOSS,
    "adds an L2 term to loss and gradient, t / (2 B) |W|^2 and t W_l / B": _OWN_LOSS,
    "is right for a network whose last layer has the activation too": _OWN_LOSS,
    "returns zero for every parameter": _NOBODY + "every gradient has its own line",
    "counts the last example alone, divided by B": _NOBODY + "in a loop a whole block is indented wrongly",
    "counts the first example alone, divided by B": _NOBODY + "in a loop a return is indented wrongly",
}
