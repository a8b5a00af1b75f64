"""Backprop once more, in NumPy, with every rule injected, so that a mistake is a rule of its own.

    output   delta_L   = d loss / d z_L                    dW    d W_l = h_{l-1}^T delta_l
    dh       d h_{l-1} = delta_l W_l^T                     db    d b_l = sum over the batch of delta_l
    delta    delta_l   = d h_l * phi'(z_l)                 loss  such as the mean over the batch of -log p_y

Layers are counted from 1, as in the formulas: W[1] ... W[L], h[0] = x, z[L] = logits. An L2 term k |W|^2 of the loss
adds 2 k W_l to d W_l; a layer without bias has m_l = 0, so that d b_l = m_l sum over the batch of delta_l.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._networks.elementwise import Elementwise

Gradients = list[tuple[np.ndarray, np.ndarray]]


class Head(NamedTuple):
    """The output and the loss of a network: the loss is that of the outputs, plus k |W|^2 and a constant c.

    Attributes:
      loss: s -> the loss of the outputs.
      output: s -> delta_L, its derivative in z_L.
      plain: s -> its derivative in the outputs, if that is another thing.
      diagonal: s -> plain times the diagonal of the Jacobian d outputs / d z_L, if that is another thing.
      unweighted: s -> delta_L if all examples counted alike, if they do not.
      r: the factor of the sum over the examples' losses, such as 1/B.
      k: of the L2 term.
      c: a constant.
    """

    loss: Callable[["Pass"], float]
    output: Callable[["Pass"], np.ndarray]
    plain: Callable[["Pass"], np.ndarray] | None = None
    diagonal: Callable[["Pass"], np.ndarray] | None = None
    unweighted: Callable[["Pass"], np.ndarray] | None = None
    r: float = 1.0
    k: float = 0.0
    c: float = 0.0


class Pass(NamedTuple):
    """A forward pass, and all that a rule of the backward pass may use.

    Attributes:
      W: (None, W_1, ..., W_L).
      b: (None, b_1, ..., b_L).
      h: (h_0, ..., h_{L-1}).
      z: (None, z_1, ..., z_L).
      dphi: (None, phi'(z_1), ..., phi'(z_{L-1})).
      y: labels, (B,), or other targets, (B, C).
      phi: the activation.
      loss: the output and the loss.
      t: the parameter of a mistake that has one, such as a learning rate.
      m: (m_1, ..., m_L), 0 for a layer without bias, else 1; empty if all have one.
    """

    W: tuple[Any, ...]
    b: tuple[Any, ...]
    h: tuple[np.ndarray, ...]
    z: tuple[Any, ...]
    dphi: tuple[Any, ...]
    y: np.ndarray
    phi: Elementwise
    loss: Head
    t: float = 1.0
    m: tuple[int, ...] = ()

    @property
    def L(self) -> int:
        """The number of layers."""
        return len(self.W) - 1

    @property
    def B(self) -> int:
        """The number of examples."""
        return len(self.y)

    @property
    def C(self) -> int:
        """The number of classes."""
        return self.z[-1].shape[1]

    @property
    def Y(self) -> np.ndarray:
        """one_hot(y), or the targets, (B, C)."""
        return np.eye(self.C)[self.y] if self.y.ndim == 1 else self.y

    @property
    def p(self) -> np.ndarray:
        """softmax(z_L), (B, C)."""
        return softmax(self.z[-1])


def softmax(z: np.ndarray, axis: int | None = 1) -> np.ndarray:
    """Return the softmax over an axis, by default the classes."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _loss(s: Pass) -> float:
    return s.loss.loss(s)


def _output(s: Pass) -> np.ndarray:
    return s.loss.output(s)


def _delta(s: Pass, l: int, dh: np.ndarray) -> np.ndarray:
    return dh * s.dphi[l]


def _dh(s: Pass, l: int, delta: np.ndarray) -> np.ndarray:
    return delta @ s.W[l].T


def _dW(s: Pass, l: int, delta: np.ndarray) -> np.ndarray:
    return s.h[l - 1].T @ delta


def _db(s: Pass, l: int, delta: np.ndarray) -> np.ndarray:
    return delta.sum(axis=0)


@dataclass(frozen=True)
class Rules:
    """The rules of one backward pass; by default the right ones.

    Attributes:
      affine: (s, l, h) -> z_l, in the forward pass.
      hidden: (s, z_l) -> h_l, in the forward pass.
      final: (s, z_L) -> logits, in the forward pass.
      loss: s -> the loss.
      output: s -> delta_L.
      delta: (s, l, d h_l) -> delta_l.
      dh: (s, l, delta_l) -> d h_{l-1}.
      dW: (s, l, delta_l) -> d W_l.
      db: (s, l, delta_l) -> d b_l.
      gradients: (s, all) -> all, after the chain.
    """

    affine: Callable[..., np.ndarray] = lambda s, l, h: h @ s.W[l] + s.b[l]
    hidden: Callable[..., np.ndarray] = lambda s, z: s.phi.value(z)
    final: Callable[..., np.ndarray] = lambda s, z: z
    loss: Callable[[Pass], float] = _loss
    output: Callable[[Pass], np.ndarray] = _output
    delta: Callable[[Pass, int, np.ndarray], np.ndarray] = _delta
    dh: Callable[[Pass, int, np.ndarray], np.ndarray] = _dh
    dW: Callable[[Pass, int, np.ndarray], np.ndarray] = _dW
    db: Callable[[Pass, int, np.ndarray], np.ndarray] = _db
    gradients: Callable[[Pass, Gradients], Gradients] = lambda s, all: all


RIGHT = Rules()
PER_LAYER = ("delta", "dh", "dW", "db")
FORWARD = ("affine", "hidden", "final")

FORMULAS = {
    "affine": "z_l = h_{l-1} W_l + b_l",
    "hidden": "h_l = phi(z_l)",
    "final": "logits = z_L, the last layer is linear",
    "delta": "delta_l = (delta_{l+1} W_{l+1}^T) * phi'(z_l)",
    "dh": "d h_{l-1} = delta_l W_l^T",
    "dW": "d W_l = h_{l-1}^T delta_l",
    "db": "d b_l = sum over the batch of delta_l",
    "gradients": "d W_l = h_{l-1}^T delta_l, d b_l = sum over the batch of delta_l",
}


def forward(
    params: Gradients,
    x: np.ndarray,
    y: np.ndarray,
    phi: Elementwise,
    loss: Head,
    rules: Rules = RIGHT,
) -> Pass:
    """Return the forward pass of params, a list of (W_l, b_l)."""
    W, b = ((None, *column) for column in zip(*params, strict=True))
    s = Pass(W, b, (x,), (None,), (None,), y, phi, loss)
    for l in range(1, s.L + 1):
        z = rules.affine(s, l, s.h[-1])
        s = s._replace(z=(*s.z, z if l < s.L else rules.final(s, z)))
        if l < s.L:
            h = rules.hidden(s, z)
            s = s._replace(h=(*s.h, h), dphi=(*s.dphi, phi.derivative(z)))
    return s


def backward(s: Pass, rules: Rules = RIGHT) -> tuple[float, Gradients]:
    """Return the loss and the gradients that these rules give."""
    delta = rules.output(s)
    gradients: Gradients = []
    for l in range(s.L, 0, -1):
        gradients.insert(0, (rules.dW(s, l, delta), rules.db(s, l, delta)))
        if l > 1:
            delta = rules.delta(s, l - 1, rules.dh(s, l, delta))
    k, c, m = s.loss.k, s.loss.c, s.m or (1,) * s.L
    gradients = rules.gradients(s, gradients)
    whole = [(dW + 2 * k * W if k else dW, m_l * db) for (dW, db), W, m_l in zip(gradients, s.W[1:], m, strict=True)]
    return rules.loss(s) + k * sum(float((W**2).sum()) for W in s.W[1:]) + c, whole


@dataclass(frozen=True)
class Mistake:
    """A known mistake.

    Attributes:
      code: its kind.
      name: what is done, as a clause: "a backward pass that ..." or "a loss that ...".
      rules: the rules that are wrong, by name; all others are right.
      parameter: what the number t stands for, where there is one to fit, and the value to start from.
      loss: the loss that it belongs to; None for every one.
      layers: the layers in which it is made; None for all.
      parts: the mistakes that it is made of, if several are made together.
    """

    code: str
    name: str
    rules: Mapping[str, Callable[..., Any]]
    parameter: tuple[str, float] | None = None
    loss: str | None = None
    layers: Collection[int] | None = None
    parts: tuple["Mistake", ...] = ()

    @property
    def of_gradient(self) -> bool:
        """Whether it changes a gradient, and not the loss alone."""
        return tuple(self.rules) != ("loss",)

    def belongs_to(self, loss: str) -> bool:
        """Whether it can be made with that loss."""
        return self.loss in (None, loss)

    def wrong_rules(self) -> Rules:
        """Return all rules of the broken pass."""
        return replace(RIGHT, **{name: self._at_layers(name, rule) for name, rule in self.rules.items()})

    def _at_layers(self, name: str, wrong: Callable[..., Any]) -> Callable[..., Any]:
        if self.layers is None or name not in PER_LAYER:
            return wrong
        right, layers = getattr(RIGHT, name), self.layers
        return lambda s, l, *rest: (wrong if l in layers else right)(s, l, *rest)


def broken(mistake: Mistake, s: Pass, t: float | None = None) -> tuple[float, Gradients] | None:
    """Return what the broken pass gives from the right forward pass s; None where its shapes do not fit."""
    rules = mistake.wrong_rules()
    if mistake.parameter:
        s = s._replace(t=mistake.parameter[1] if t is None else t)
    try:
        with np.errstate(all="ignore"):
            if any(name in FORWARD for name in mistake.rules):
                params = list(zip(s.W[1:], s.b[1:], strict=True))
                s = forward(params, s.h[0], s.y, s.phi, s.loss, rules)._replace(t=s.t, m=s.m)
            loss, gradients = backward(s, rules)
    except (ValueError, IndexError):
        return None
    for (dW, db), W, b in zip(gradients, s.W[1:], s.b[1:], strict=True):
        if np.shape(dW) != W.shape or np.shape(db) != b.shape:
            return None
    return loss, gradients


def at_layers(mistake: Mistake, *layers: int) -> Mistake:
    """Return the mistake made in these layers alone."""
    return replace(mistake, layers=layers)


def together(parts: Sequence[Mistake]) -> Mistake:
    """Return several mistakes made together; they have to be of different rules."""
    rules = {rule: part._at_layers(rule, wrong) for part in parts for rule, wrong in part.rules.items()}
    name = ", and ".join(part.name for part in parts)
    return Mistake(parts[0].code, name, rules, parts=tuple(parts))
