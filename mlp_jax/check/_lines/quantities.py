"""What a right pass computes on the way to its gradients, by the names of the formulas."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_jax.check._networks.chain import RIGHT, Pass, backward
from mlp_jax.check._networks.elementwise import identity
from mlp_jax.check._networks.networks import Output

INPUT = "h_l"  # of layer 0, it is x
DIAGONAL = "p (1 - p)"  # of softmax's Jacobian


class Quantity(NamedTuple):
    """What a pass computes in each of some layers.

    Attributes:
      name: with l for the layer, such as "delta_l".
      values: by layer.
      per_example: whether the first axis is that of the examples.
      sum: the name of its sum over the examples, if that has one.
      along: for an updated parameter, what it is moved against, times a rate that is not known.
      is_gradient: whether it is one of the backward pass.
    """

    name: str
    values: dict[int, np.ndarray]
    per_example: bool = True
    sum: str = ""
    along: dict[int, np.ndarray] | None = None
    is_gradient: bool = False

    def words(self, l: int) -> str:
        """Return the name in a layer."""
        return "x" if (self.name, l) == (INPUT, 0) else self.name.replace("{l-1}", f"{l - 1}").replace("_l", f"_{l}")


@np.errstate(all="ignore")
def quantities(s: Pass, output: Output) -> list[Quantity]:
    """Return the quantities of a pass with an output, the plainest first."""
    layers = range(1, s.L + 1)
    delta, dh = _deltas(s)
    loss, gradients = backward(s)
    whole = [{l: pair[i] for l, pair in enumerate(gradients, 1)} for i in (0, 1)]
    dW = {l: np.einsum("bi,bj->bij", s.h[l - 1], delta[l]) for l in layers}
    made = [
        Quantity(INPUT, dict(enumerate(s.h))),
        Quantity("W_l", {l: s.W[l] for l in layers}, per_example=False),
        Quantity("b_l", {l: s.b[l] for l in layers}, per_example=False),
        Quantity("h_{l-1} W_l", {l: s.h[l - 1] @ s.W[l] for l in layers}),
        Quantity("z_l", {l: s.z[l] for l in layers}),
        Quantity("phi'(z_l)", {l: s.dphi[l] for l in range(1, s.L)}),
        *_of_output(s, output),
        Quantity("loss", {s.L: np.array(loss)}, per_example=False),
        Quantity("delta_l", delta, sum="d b_l", is_gradient=True),
        Quantity("d h_l", dh, is_gradient=True),
        Quantity("d W_l", whole[0], per_example=False, is_gradient=True),
        Quantity("d b_l", whole[1], per_example=False, is_gradient=True),
        Quantity("an example's d W_l", dW, sum="d W_l", is_gradient=True),
        *(
            Quantity(f"{name}_l - rate d {name}_l", dict(enumerate(old[1:], 1)), False, along=along)
            for name, old, along in zip("Wb", (s.W, s.b), whole, strict=True)
        ),
    ]
    if s.loss.k:
        sums = {l: dW[l].sum(axis=0) for l in layers}
        made.append(Quantity("h_{l-1}^T delta_l", sums, per_example=False, is_gradient=True))
        made.append(Quantity("2 k W_l", {l: 2 * s.loss.k * s.W[l] for l in layers}, per_example=False))
    return made


def _deltas(s: Pass) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Return delta_l and d h_l of the backward pass, by layer."""
    delta, dh = {s.L: RIGHT.output(s)}, {}
    for l in range(s.L - 1, 0, -1):
        dh[l] = RIGHT.dh(s, l + 1, delta[l + 1])
        delta[l] = RIGHT.delta(s, l, dh[l])
    return delta, dh


def _of_output(s: Pass, output: Output) -> Iterator[Quantity]:
    """Yield outputs and targets, and what the loss is made of."""
    L, Y, z, o = s.L, s.Y, s.z[-1], output.o
    name, outputs = ("p", s.p) if o is None else ("z_l" if o is identity else "o", o.value(z))
    target = "one_hot(y)" if s.y.ndim == 1 else "t"
    yield Quantity(target, {L: Y})
    if s.y.ndim == 1:
        yield Quantity("y", {L: s.y.astype(float)})
    if o is None:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        yield Quantity(DIAGONAL, {L: outputs * (1 - outputs)})
        yield Quantity("exp(z_l - max z_l)", {L: e})
        yield Quantity("sum_j exp(z_j - max z)", {L: e.sum(axis=1, keepdims=True)})
        yield Quantity("max z_l", {L: z.max(axis=1, keepdims=True)})
        yield Quantity("exp(z_l)", {L: np.exp(z)})
    elif o is not identity:
        yield Quantity(f"{o.name}'(z_l)", {L: o.derivative(z)})
    if o is not identity:
        yield Quantity(name, {L: outputs})
    if o is None and s.y.ndim == 1:
        p_y = (outputs * Y).sum(axis=1)
        yield Quantity("p_y", {L: p_y})
        yield Quantity("log p_y", {L: np.log(p_y)})
    yield Quantity(f"{name} - {target}", {L: outputs - Y})
    losses = output.losses(s)
    yield Quantity("the loss of an example", {L: losses}, sum="the sum of the losses")
    yield Quantity("the loss of an example / B", {L: s.loss.r * losses}, sum="loss")
