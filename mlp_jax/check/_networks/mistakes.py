"""The mistakes that people make in backprop, collected from course forums, question threads and issue trackers.

Each is one line or a few: its code, what it does, and the rules that are wrong, in the letters of the formulas. In a
rule, d is the delta (or the d h) that it is given. A rule whose shapes do not fit raises, as the user's own code would.
"""

from typing import Any

import numpy as np

from mlp_jax.check._networks.chain import RIGHT, Gradients, Mistake, Pass, softmax
from mlp_jax.check._networks.elementwise import relu, sigmoid, tanh
from mlp_jax.check._networks.networks import Network

_output, _loss, _dW, _db, _dh, _delta = RIGHT.output, RIGHT.loss, RIGHT.dW, RIGHT.db, RIGHT.dh, RIGHT.delta


def _scaled(rule: str, factor: Any) -> Any:
    """The right rule times a factor of the pass."""
    right = getattr(RIGHT, rule)
    return lambda s, *rest: factor(s) * right(s, *rest)


def _B(s: Pass) -> int:
    return s.B


def _per_B(s: Pass) -> float:
    return 1 / s.B


def _per_C(s: Pass) -> float:
    return 1 / s.C


def _diagonal(s: Pass) -> np.ndarray:
    return s.p * (1 - s.p)


def _shifted(s: Pass) -> np.ndarray:
    """exp(z - max z), row by row."""
    return np.exp(s.z[-1] - s.z[-1].max(axis=1, keepdims=True))


def _h(s: Pass, l: int) -> np.ndarray:
    """phi(z_l), for every layer."""
    return s.phi.value(s.z[l])


def _add(s: Pass, gradients: Gradients, dW: Any, db: Any = lambda b: 0 * b) -> Gradients:
    """The gradients plus a term of each weight and bias."""
    return [(g + dW(W), e + db(b)) for (g, e), W, b in zip(gradients, s.W[1:], s.b[1:], strict=True)]


def _l2(s: Pass) -> float:
    return s.t / 2 * sum(float((W**2).sum()) for W in s.W[1:])


def _zeros(gradients: Gradients, which: Any) -> Gradients:
    return [(0 * g, 0 * e) if which(i) else (g, e) for i, (g, e) in enumerate(gradients)]


def _rolled(s: Pass, by: int) -> np.ndarray:
    """(p - one_hot(y + by)) / B: the labels are off."""
    return _output(s._replace(y=(s.y + by) % s.C))


def _h_again(s: Pass, l: int) -> np.ndarray:
    """phi(h_{l-1}), or x in the first layer."""
    return s.phi.value(s.h[l - 1]) if l > 1 else s.h[0]


def _neighbour(s: Pass, l: int) -> np.ndarray:
    return s.W[l - 1] if l > 1 else s.W[l]


MISTAKES: tuple[Mistake, ...] = (
    # factors
    Mistake("scale", "leaves out the 1/B of the mean", {"output": _scaled("output", _B)}),
    Mistake("scale", "divides by B twice", {"output": _scaled("output", _per_B)}),
    Mistake("scale", "divides by B again at every layer", {"delta": lambda s, l, d: _delta(s, l, d) / s.B}),
    Mistake("scale", "takes the mean over the classes too", {"output": _scaled("output", _per_C)}),
    Mistake("scale", "has a factor 2 too many", {"output": _scaled("output", lambda s: 2)}),
    Mistake("scale", "has a factor 1/2 too many", {"output": _scaled("output", lambda s: 1 / 2)}),
    Mistake("scale", "leaves out the 1/B in the weights alone", {"dW": _scaled("dW", lambda s, *_: s.B)}),
    Mistake("scale", "divides the weights' gradient by B twice", {"dW": _scaled("dW", lambda s, *_: 1 / s.B)}),
    Mistake("scale", "divides the weights' gradient by their fan_in",
            {"dW": lambda s, l, d: _dW(s, l, d) / len(s.W[l])}),
    Mistake(
        "convention",
        "takes the sum over the batch in loss and gradient, where the mean is asked",
        {"output": _scaled("output", _B), "loss": _scaled("loss", _B)},
    ),
    Mistake(
        "convention",
        "takes the mean over examples and classes in loss and gradient, where the mean over examples is asked",
        {"output": _scaled("output", _per_C), "loss": _scaled("loss", _per_C)},
    ),
    Mistake(
        "convention",
        "has a factor 1/2 in loss and gradient",
        {"output": _scaled("output", lambda s: 1 / 2), "loss": _scaled("loss", lambda s: 1 / 2)},
    ),
    Mistake("scale", "divides by B - 1 and not by B",
            {"output": _scaled("output", lambda s: s.B / (s.B - 1) if s.B > 1 else np.inf)}),
    Mistake("scale", "divides by the number of features, and not by that of the examples: B is the other axis of x",
            {"output": _scaled("output", lambda s: s.B / s.h[0].shape[1])}),
    Mistake("scale", "multiplies by B where it is to be divided", {"output": _scaled("output", lambda s: s.B**2)}),
    Mistake("scale", "multiplies all by one constant factor", {"output": lambda s: s.t * _output(s)}, ("factor", 1.5)),
    # signs
    Mistake("sign", "has the opposite sign", {"output": _scaled("output", lambda s: -1)}),
    Mistake("sign", "has the opposite sign, and leaves out the 1/B of the mean",
            {"output": _scaled("output", lambda s: -s.B)}),
    Mistake("sign", "has the opposite sign in the biases", {"db": _scaled("db", lambda s, *_: -1)}),
    Mistake("sign", "has the opposite sign in the weights", {"dW": _scaled("dW", lambda s, *_: -1)}),
    Mistake("sign", "changes the sign on the way back", {"dh": _scaled("dh", lambda s, *_: -1)}),
    Mistake("sign", "adds one_hot(y) to p where it is to be subtracted", {"output": lambda s: (s.p + s.Y) / s.B},
            loss="cross_entropy"),
    # softmax and cross-entropy
    Mistake("softmax_gradient", "keeps a derivative p (1 - p) of the output beside p - one_hot(y)",
            {"output": lambda s: _output(s) * _diagonal(s)}, loss="cross_entropy"),
    Mistake("softmax_gradient", "takes the diagonal of softmax's Jacobian alone, -one_hot(y) (1 - p)",
            {"output": lambda s: -s.Y * (1 - s.p) / s.B}, loss="cross_entropy"),
    Mistake("softmax_gradient", "does not subtract one_hot(y) from p", {"output": lambda s: s.p / s.B},
            loss="cross_entropy"),
    Mistake("softmax_gradient", "leaves p out of p - one_hot(y)", {"output": lambda s: -s.Y / s.B},
            loss="cross_entropy"),
    Mistake("softmax_gradient", "stops at the derivative in p, -one_hot(y) / p, and does not go through softmax",
            {"output": lambda s: -s.Y / s.p / s.B}, loss="cross_entropy"),
    Mistake("softmax_gradient", "subtracts one_hot(y) from the logits and not from p",
            {"output": lambda s: (s.z[-1] - s.Y) / s.B}, loss="cross_entropy"),
    Mistake("softmax_gradient", "uses log p where p belongs", {"output": lambda s: (np.log(s.p) - s.Y) / s.B},
            loss="cross_entropy"),
    Mistake("softmax_gradient", "does not divide exp(z) by its sum",
            {"output": lambda s: (np.exp(s.z[-1] - s.z[-1].max(1, keepdims=True)) - s.Y) / s.B}, loss="cross_entropy"),
    Mistake("softmax_gradient", "takes the gradient of the squared error of p",
            {"output": lambda s: 2 * s.p * ((s.p - s.Y) - ((s.p - s.Y) * s.p).sum(1, keepdims=True)) / s.B},
            loss="cross_entropy"),
    Mistake("softmax_gradient", "uses a sigmoid for each class where softmax belongs",
            {"output": lambda s: (sigmoid.value(s.z[-1]) - s.Y) / s.B}, loss="cross_entropy"),
    Mistake("normalisation_axis", "normalises softmax over the batch, not over the classes",
            {"output": lambda s: (softmax(s.z[-1], 0) - s.Y) / s.B,
             "loss": lambda s: float(-np.mean(np.log((softmax(s.z[-1], 0) * s.Y).sum(1))))}, loss="cross_entropy"),
    Mistake("normalisation_axis", "normalises softmax over the batch in the gradient, and over the classes in the loss",
            {"output": lambda s: (softmax(s.z[-1], 0) - s.Y) / s.B}, loss="cross_entropy"),
    Mistake("normalisation_axis", "normalises softmax over the whole batch at once",
            {"output": lambda s: (softmax(s.z[-1], None) - s.Y) / s.B,
             "loss": lambda s: float(-np.mean(np.log((softmax(s.z[-1], None) * s.Y).sum(1))))}, loss="cross_entropy"),
    Mistake("normalisation_axis", "shifts by each row's maximum and divides exp(z) by its sum over the batch",
            {"output": lambda s: (_shifted(s) / _shifted(s).sum(0) - s.Y) / s.B,
             "loss": lambda s: float(-np.mean(np.log((_shifted(s) / _shifted(s).sum(0) * s.Y).sum(1))))},
            loss="cross_entropy"),
    Mistake("normalisation_axis", "shifts by each row's maximum and divides exp(z) by its sum over the whole batch",
            {"output": lambda s: (_shifted(s) / _shifted(s).sum() - s.Y) / s.B,
             "loss": lambda s: float(-np.mean(np.log((_shifted(s) / _shifted(s).sum() * s.Y).sum(1))))},
            loss="cross_entropy"),
    # labels
    Mistake("labels", "takes label y for y + 1: labels count from 0", {"output": lambda s: _rolled(s, 1)}),
    Mistake("labels", "takes label y for y - 1: labels count from 0", {"output": lambda s: _rolled(s, -1)}),
    Mistake("labels", "uses the predicted classes as labels",
            {"output": lambda s: _output(s._replace(y=s.z[-1].argmax(1)))}),
    Mistake("labels", "uses the first example's label for all",
            {"output": lambda s: _output(s._replace(y=np.repeat(s.y[:1], s.B)))}),
    Mistake("labels", "has the labels in reverse order", {"output": lambda s: _output(s._replace(y=s.y[::-1]))}),
    Mistake("labels", "has the labels one example late",
            {"output": lambda s: _output(s._replace(y=np.roll(s.y, 1)))}),
    # the activation's derivative
    Mistake("missing_activation_derivative", "leaves out phi'(z)", {"delta": lambda s, l, d: d}),
    Mistake("wrong_activation_derivative", "takes phi' at h = phi(z) and not at z",
            {"delta": lambda s, l, d: d * s.phi.derivative(s.h[l])}),
    Mistake("wrong_activation_derivative", "uses h (1 - h), the derivative of sigmoid, for phi'(z)",
            {"delta": lambda s, l, d: d * s.h[l] * (1 - s.h[l])}),
    Mistake("wrong_activation_derivative", "uses 1 - h^2, the derivative of tanh, for phi'(z)",
            {"delta": lambda s, l, d: d * (1 - s.h[l] ** 2)}),
    Mistake("wrong_activation_derivative", "uses [z > 0], the derivative of relu, for phi'(z)",
            {"delta": lambda s, l, d: d * relu.derivative(s.z[l])}),
    Mistake("wrong_activation_derivative", "uses sigmoid'(z) for phi'(z)",
            {"delta": lambda s, l, d: d * sigmoid.derivative(s.z[l])}),
    Mistake("wrong_activation_derivative", "uses tanh'(z) for phi'(z)",
            {"delta": lambda s, l, d: d * tanh.derivative(s.z[l])}),
    Mistake("wrong_activation_derivative", "uses z (1 - z), in z where h belongs",
            {"delta": lambda s, l, d: d * s.z[l] * (1 - s.z[l])}),
    Mistake("wrong_activation_derivative", "uses 1 - z^2, in z where h belongs",
            {"delta": lambda s, l, d: d * (1 - s.z[l] ** 2)}),
    Mistake("wrong_activation_derivative", "uses 1 - h, without the square",
            {"delta": lambda s, l, d: d * (1 - s.h[l])}),
    Mistake("wrong_activation_derivative", "uses h = phi(z) where phi'(z) belongs",
            {"delta": lambda s, l, d: d * s.h[l]}),
    Mistake("wrong_activation_derivative", "multiplies by phi'(z) twice",
            {"delta": lambda s, l, d: d * s.dphi[l] ** 2}),
    Mistake("wrong_activation_derivative", "masks by the sign of the error that comes back, and not by that of z",
            {"delta": lambda s, l, d: d * (d > 0)}),
    Mistake("wrong_activation_derivative", "divides by phi'(z) where it is to be multiplied",
            {"delta": lambda s, l, d: np.divide(d, s.dphi[l])}),
    Mistake("wrong_activation_derivative", "lets a share of the error through units that are off, as a leaky relu does",
            {"delta": lambda s, l, d: d * np.where(s.z[l] > 0, s.dphi[l], s.t)}, ("slope", 0.01)),
    Mistake("wrong_activation_derivative", "multiplies delta_L by phi'(z_L), though the last layer is linear",
            {"output": lambda s: _output(s) * s.phi.derivative(s.z[-1])}),
    Mistake("wrong_activation_derivative", "takes phi' at z_{l-1}, of the layer below",
            {"delta": lambda s, l, d: d * s.dphi[max(l - 1, 1)]}),
    Mistake("wrong_activation_derivative", "takes phi' at z_{l+1}, of the layer above",
            {"delta": lambda s, l, d: d * (s.phi.derivative(s.z[l + 1]) if l + 1 == s.L else s.dphi[l + 1])}),
    # transposes
    Mistake("transposed", "goes back through W_l and not through W_l^T", {"dh": lambda s, l, d: d @ s.W[l]}),
    Mistake("transposed", "reshapes W_l where it is to be transposed",
            {"dh": lambda s, l, d: d @ s.W[l].reshape(s.W[l].shape[::-1])}),
    Mistake("transposed", "returns d W_l transposed, delta_l^T h_{l-1}", {"dW": lambda s, l, d: d.T @ s.h[l - 1]}),
    Mistake("transposed", "reshapes delta_l^T h_{l-1} where it is to be transposed",
            {"dW": lambda s, l, d: (d.T @ s.h[l - 1]).reshape(s.W[l].shape)}),
    Mistake("transposed", "reshapes h_{l-1} where it is to be transposed",
            {"dW": lambda s, l, d: s.h[l - 1].reshape(s.h[l - 1].shape[::-1]) @ d}),
    # the wrong variable
    Mistake("wrong_layer", "goes back through the weights of the layer below",
            {"dh": lambda s, l, d: d @ _neighbour(s, l).T}),
    Mistake("wrong_layer", "goes back through the weights of the layer above",
            {"dh": lambda s, l, d: d @ s.W[min(l + 1, s.L)].T}),
    Mistake("wrong_layer", "uses h_l, the layer's own output, where its input h_{l-1} belongs",
            {"dW": lambda s, l, d: _h(s, l).T @ d}),
    Mistake("wrong_layer", "goes back through the first layer's weights at every layer",
            {"dh": lambda s, l, d: d @ s.W[1].T}),
    Mistake("wrong_layer", "goes back through the last layer's weights at every layer",
            {"dh": lambda s, l, d: d @ s.W[-1].T}),
    Mistake("wrong_layer", "returns the gradients in the order of the backward pass, the last layer first",
            {"gradients": lambda s, all: all[::-1]}),
    Mistake("wrong_input", "uses z_{l-1} where h_{l-1} = phi(z_{l-1}) belongs",
            {"dW": lambda s, l, d: (s.z[l - 1] if l > 1 else s.h[0]).T @ d}),
    Mistake("wrong_input", "uses x where h_{l-1} belongs", {"dW": lambda s, l, d: s.h[0].T @ d}),
    Mistake("wrong_input", "applies phi twice to what a layer is fed",
            {"dW": lambda s, l, d: (_h_again(s, l)).T @ d}),
    Mistake("wrong_input", "uses phi'(z_{l-1}) where h_{l-1} belongs",
            {"dW": lambda s, l, d: (s.dphi[l - 1] if l > 1 else s.h[0]).T @ d}),
    Mistake("wrong_input", "uses 1 where h_{l-1} belongs", {"dW": lambda s, l, d: np.ones_like(s.h[l - 1]).T @ d}),
    Mistake("wrong_input", "averages the inputs before it multiplies them with delta_l",
            {"dW": lambda s, l, d: np.outer(s.h[l - 1].mean(0), d.sum(0))}),
    Mistake("wrong_input", "pairs the inputs with the deltas of other examples",
            {"dW": lambda s, l, d: s.h[l - 1][::-1].T @ d}),
    Mistake("wrong_input", "multiplies d W_l by W_l", {"dW": lambda s, l, d: _dW(s, l, d) * s.W[l]}),
    # biases
    Mistake("bias_gradient", "takes the mean of delta_l over the batch for d b_l, though it holds 1/B already",
            {"db": _scaled("db", lambda s, *_: 1 / s.B)}),
    Mistake("bias_gradient", "leaves out the 1/B in the biases alone", {"db": _scaled("db", lambda s, *_: s.B)}),
    Mistake("bias_gradient", "takes delta_l of the first example for d b_l, without the sum",
            {"db": lambda s, l, d: d[0]}),
    Mistake("bias_gradient", "takes delta_l of the last example for d b_l, without the sum",
            {"db": lambda s, l, d: d[-1]}),
    Mistake("bias_gradient", "sums delta_l over all entries for d b_l",
            {"db": lambda s, l, d: np.full(d.shape[1], d.sum())}),
    Mistake("bias_gradient", "sums delta_l over the units for d b_l, and not over the batch",
            {"db": lambda s, l, d: d.sum(axis=1)}),
    Mistake("bias_gradient", "leaves d b_l at zero", {"db": lambda s, l, d: 0 * d[0]}),
    Mistake("bias_gradient", "multiplies d b_l by b_l", {"db": lambda s, l, d: _db(s, l, d) * s.b[l]}),
    Mistake("bias_gradient", "multiplies delta_l by h_l for d b_l", {"db": lambda s, l, d: (d * _h(s, l)).sum(0)}),
    Mistake("bias_gradient", "takes the sum of the absolute values for d b_l", {"db": lambda s, l, d: abs(d).sum(0)}),
    Mistake("bias_gradient", "takes the row sums of d W_l for d b_l, of the wrong axis",
            {"db": lambda s, l, d: _dW(s, l, d).sum(axis=0)}),
    # zeros, and examples that do not count
    Mistake("zero_gradient", "leaves the first layer at zero",
            {"gradients": lambda s, all: _zeros(all, lambda i: i == 0)}),
    Mistake("zero_gradient", "leaves all but the last layer at zero",
            {"gradients": lambda s, all: _zeros(all, lambda i: i < s.L - 1)}),
    Mistake("zero_gradient", "leaves d W_l at zero", {"dW": lambda s, l, d: 0 * s.W[l]}),
    Mistake("zero_gradient", "returns zero for every parameter",
            {"gradients": lambda s, all: _zeros(all, lambda i: True)}),
    Mistake("batch_one", "counts the first example alone in d W_l",
            {"dW": lambda s, l, d: np.outer(s.h[l - 1][0], d[0])}),
    Mistake("batch_one", "counts the last example alone in d W_l",
            {"dW": lambda s, l, d: np.outer(s.h[l - 1][-1], d[-1])}),
    Mistake("batch_one", "counts the last example alone, divided by B",
            {"output": lambda s: np.where(np.arange(s.B)[:, None] == s.B - 1, _output(s), 0)}),
    Mistake("batch_one", "counts the first example alone, divided by B",
            {"output": lambda s: np.where(np.arange(s.B)[:, None] == 0, _output(s), 0)}),
    Mistake("batch_one", "averages delta_l over the batch before it goes on",
            {"dh": lambda s, l, d: _dh(s, l, np.repeat(d.mean(0, keepdims=True), s.B, axis=0))}),
    # updates and regularisation
    Mistake("stale_weights", "goes back through weights that were updated already, W_l - t d W_l",
            {"dh": lambda s, l, d: d @ (s.W[l] - s.t * _dW(s, l, d)).T}, ("learning rate", 0.1)),
    Mistake("stale_weights", "goes back through weights W_l - t d W_l that the same example has updated",
            {"dh": lambda s, l, d: _dh(s, l, d) - s.t * s.B * s.h[l - 1] * (d * d).sum(1, keepdims=True)},
            ("learning rate", 0.1)),
    Mistake("regularised", "adds the L2 term t W_l to the gradient, and nothing to the loss",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * W)}, ("weight", 0.1)),
    Mistake("convention", "adds an L2 term to loss and gradient, t/2 |W|^2 and t W_l",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * W), "loss": lambda s: _loss(s) + _l2(s)},
            ("weight", 0.1)),
    Mistake("regularised", "adds the L2 term t W_l / B to the gradient, and nothing to the loss",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * W / s.B)}, ("weight", 0.1)),
    Mistake("convention", "adds an L2 term to loss and gradient, t / (2 B) |W|^2 and t W_l / B",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * W / s.B),
             "loss": lambda s: _loss(s) + _l2(s) / s.B}, ("weight", 0.1)),
    Mistake("regularised", "adds L2 terms t W_l and t b_l to the gradient, the bias included",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * W, lambda b: s.t * b)}, ("weight", 0.1)),
    Mistake("regularised", "adds the L1 term t sign(W_l) to the gradient",
            {"gradients": lambda s, all: _add(s, all, lambda W: s.t * np.sign(W))}, ("weight", 0.1)),
    # another function than the one that was asked for
    Mistake("convention", "is right for a network whose last layer has the activation too",
            {"final": lambda s, z: s.phi.value(z),
             "output": lambda s: _output(s) * s.phi.derivative(s.h[-1] @ s.W[-1] + s.b[-1])}),
    Mistake("convention", "applies the activation to the last layer too, in the forward pass alone",
            {"final": lambda s, z: s.phi.value(z)}),
    Mistake("convention", "leaves the activation out of the forward pass, and its derivative not",
            {"hidden": lambda s, z: z}),
    Mistake("convention", "leaves the activation out of the forward pass, with a derivative 1 - h^2",
            {"hidden": lambda s, z: z, "delta": lambda s, l, d: d * (1 - s.h[l] ** 2)}),
    Mistake("convention", "leaves the activation out of the forward pass, with a derivative h (1 - h)",
            {"hidden": lambda s, z: z, "delta": lambda s, l, d: d * s.h[l] * (1 - s.h[l])}),
    Mistake("stale_weights", "returns updated weights W_l - t d W_l and b_l - t d b_l, and not the gradient",
            {"gradients": lambda s, all: [(W - s.t * g, b - s.t * e)
                                          for (g, e), W, b in zip(all, s.W[1:], s.b[1:], strict=True)]},
            ("learning rate", 0.1)),
    Mistake("convention", "is right for a network without biases",
            {"affine": lambda s, l, h: h @ s.W[l]}),
    # the loss alone
    Mistake("loss_value", "returns the sum over the batch as loss, where the mean is asked",
            {"loss": _scaled("loss", _B)}),
    Mistake("loss_value", "divides the loss by B twice", {"loss": _scaled("loss", _per_B)}),
    Mistake("loss_value", "divides the loss by the number of classes", {"loss": _scaled("loss", _per_C)}),
    Mistake("loss_value", "returns the loss with the opposite sign", {"loss": _scaled("loss", lambda s: -1)}),
    Mistake("loss_value", "returns twice the loss", {"loss": _scaled("loss", lambda s: 2)}),
    Mistake("loss_value", "returns half of the loss", {"loss": _scaled("loss", lambda s: 1 / 2)}),
    Mistake("loss_value", "returns the loss in bits, not in nats", {"loss": _scaled("loss", lambda s: 1 / np.log(2))},
            loss="cross_entropy"),
    Mistake("loss_value", "forgets the logarithm: returns the mean of 1 - p_y",
            {"loss": lambda s: float(np.mean(1 - (s.p * s.Y).sum(1)))}, loss="cross_entropy"),
    Mistake("loss_value", "sums binary cross-entropies over the classes",
            {"loss": lambda s: float(-np.mean((s.Y * np.log(s.p) + (1 - s.Y) * np.log1p(-s.p)).sum(1)))},
            loss="cross_entropy"),
    Mistake("regularised", "adds an L2 term to the loss, t/2 |W|^2, and not to the gradient",
            {"loss": lambda s: _loss(s) + _l2(s)}, ("weight", 0.1)),
)  # fmt: skip


def _of_head(field: str) -> Any:
    """The rule of a head's field, for heads that have it."""
    return lambda s: getattr(s.loss, field)(s)


OF_OUTPUT = {
    "plain": Mistake("missing_activation_derivative", "leaves out the derivative of the output's activation",
                     {"output": _of_head("plain")}),
    "diagonal": Mistake("softmax_gradient", "takes the diagonal of the output's Jacobian alone, o (1 - o)",
                        {"output": _of_head("diagonal")}),
    "unweighted": Mistake("scale", "counts every example alike, though the loss weights them, as a mask does",
                          {"output": _of_head("unweighted")}),
}  # fmt: skip


def mistakes_of(network: Network, is_weighted: bool = False) -> list[Mistake]:
    """Return the known mistakes that can be made in a network, the likeliest first; its examples may have weights."""
    output = network.output
    fields = {"unweighted": is_weighted}
    if not output.name:  # else the table has them by other names
        fields |= {"plain": output.plain is not None, "diagonal": output.diagonal is not None}
    of_output = [OF_OUTPUT[field] for field, has_it in fields.items() if has_it]
    return [mistake for mistake in (*of_output, *MISTAKES) if mistake.belongs_to(output.name)]
