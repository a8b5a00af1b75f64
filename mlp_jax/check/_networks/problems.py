"""What a hand-written backward pass is tried on: small networks at points that hide no mistake.

At weights of 0.01 * randn with zero biases, where homework starts, most checks let mistakes pass: h is nearly 0, phi'
nearly 1, and a missing derivative changes nothing. Here weights are about 1 / sqrt(fan_in) and biases about 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from mlp_jax import _doors
from mlp_jax.check._networks.chain import Gradients, forward
from mlp_jax.check._networks.elementwise import ACTIVATIONS
from mlp_jax.check._networks.networks import LOSSES, Network, head_of

Precision = Literal["float64", "float32", "bfloat16", "float16"]
LAYOUTS = ("rows", "columns", "torch")
FORMS = ("list", "dict")
DEEPEST = 5  # of the depths that are tried
MOST_LAYERS = 100
OWN_POINT = "your own point"


@dataclass(frozen=True)
class Settings:
    """How the checked function is written.

    Attributes:
      activation: of the hidden layers, one of `mlp_jax.activations.ACTIVATIONS`.
      loss: "cross_entropy", or "squared_error" against one_hot(labels).
      layers: the only depth that it is written for; None for every one.
      layout: "rows": x (B, D) and weight (fan_in, fan_out); "columns": x (D, B), weight (fan_out, fan_in) and bias
        (fan_out, 1); "torch": x (B, D) and weight (fan_out, fan_in).
      params: "list" of (weight, bias), or "dict" with W1, b1, W2, ...
    """

    activation: str = "tanh"
    loss: str = "cross_entropy"
    layers: int | None = None
    layout: str = "rows"
    params: str = "list"

    def __post_init__(self) -> None:
        for name in ("activation", "loss", "layout", "params"):  # ReLU is relu
            value = getattr(self, name)
            object.__setattr__(self, name, value.lower() if isinstance(value, str) else value)
        for name, known in (("activation", ACTIVATIONS), ("loss", LOSSES), ("layout", LAYOUTS), ("params", FORMS)):
            _doors.check_choice(name, getattr(self, name), known)
        if self.layers is not None:
            _doors.as_whole_number("layers", self.layers, at_least=1)
            if self.layers > MOST_LAYERS:
                raise _doors.mistake("layers", f"at most {MOST_LAYERS} layers", self.layers)


class Asked(NamedTuple):
    """What is asked of a function.

    Attributes:
      settings: how it is written; what was not declared has its default.
      declared: the names of the settings that its author or a teacher gave; of the others nothing is expected.
      exactly: the names of those that are meant to the letter, as a teacher's; LOSS in a file names a kind of loss.
      strict: whether an overflow at extreme points is a mistake.
      precision: the coarsest in which its numbers may be; None accepts every one.
      basis: what the verdict rests on, other than the problems.
    """

    settings: Settings
    declared: frozenset[str] = frozenset()
    exactly: frozenset[str] = frozenset()
    strict: bool = False
    precision: Precision | None = None
    basis: tuple[str, ...] = ()


class Problem(NamedTuple):
    """One network and one batch.

    Attributes:
      name: what is special about it.
      params: [(W_1, b_1), ...], weights (fan_in, fan_out).
      x: (B, D).
      labels: (B,).
      extreme: whether units saturate or logits are huge, so that textbook forms lose digits.
    """

    name: str
    params: Gradients
    x: np.ndarray
    labels: np.ndarray
    extreme: bool = False

    @property
    def depth(self) -> int:
        """The number of weight layers."""
        return len(self.params)

    @property
    def shape(self) -> str:
        """The widths and the batch, in words."""
        widths = [len(self.x.T), *(len(b) for _, b in self.params)]
        return f"widths {'-'.join(map(str, widths))}, a batch of {len(self.x)}"


def network_of(settings: Settings) -> Network:
    """Return the network that settings ask for."""
    return Network(ACTIVATIONS[settings.activation], LOSSES[settings.loss])


def problems(layers: int | None = None, seed: int = 0) -> list[Problem]:
    """Return the problems, the most telling first; of one depth, or of 1 to 5 layers."""
    depth = layers or 3
    others = () if layers else (2, 1, 4, 5)
    plain = _problem("all widths different", _widths(depth), 8, seed)
    square = _problem("all widths equal", _square(depth), 5, seed)
    made = [plain, square]
    made += [_problem(f"{L} layer{'s' * (L > 1)}", _square(L) if L == 5 else _widths(L), 8, seed) for L in others]
    made += [
        _problem("a batch of one", _widths(depth), 1, seed),
        _problem("two classes, a batch as large as x is wide", _narrow(depth), 4, seed),
        _problem("a batch of 17", _widths(depth), 17, seed),
        plain._replace(name="a class without examples", labels=np.minimum(plain.labels, 1)),
        plain._replace(name="one label for all", labels=np.full_like(plain.labels, 2)),
        _tied(plain),
        _kink(plain),
        _scaled(plain),
        _saturated(plain),
    ]
    return made


def probes(depth: int) -> list[Problem]:
    """Return problems of the same kind, drawn anew, to find out which mistakes differ from a correct pass at all."""
    return [_problem("probe", _widths(depth), 7, 1), _problem("probe", _square(depth), 6, 1)]


def _widths(depth: int) -> tuple[int, ...]:
    """(D, ..., C) for which no weight is square: a transpose that is missing does not fit."""
    return (5, *((4, 6) * DEEPEST)[: depth - 1], 3)


def _narrow(depth: int) -> tuple[int, ...]:
    """(D, ..., C) with a layer of one unit, and two classes."""
    return (4, *((3, 1) * DEEPEST)[: depth - 1], 2)


def _square(depth: int) -> tuple[int, ...]:
    """(D, ..., C), all equal: a transpose that is missing fits, and is wrong."""
    return (4,) * (depth + 1)


def _problem(name: str, widths: Sequence[int], batch: int, seed: int) -> Problem:
    rng = np.random.default_rng([seed, batch, *widths])
    params = [
        (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in), 0.5 * rng.standard_normal(fan_out))
        for fan_in, fan_out in pairwise(widths)
    ]
    labels = rng.permutation(np.arange(batch) % widths[-1])  # every class where the batch is large enough
    return Problem(name, params, rng.standard_normal((batch, widths[0])), labels)


def _tied(problem: Problem) -> Problem:
    """Two classes have the same logits."""
    *layers, (W, b) = problem.params
    W, b = W.copy(), b.copy()
    W[:, 1], b[1] = W[:, 0], b[0]
    return problem._replace(name="tied logits", params=[*layers, (W, b)])


def _kink(problem: Problem) -> Problem:
    """One unit of the first layer is at z = 0 for every example."""
    (W, b), *layers = problem.params
    W, b = W.copy(), b.copy()
    if layers:
        W[:, 0], b[0] = 0, 0
    return problem._replace(name="a unit at z = 0", params=[(W, b), *layers])


def _scaled(problem: Problem) -> Problem:
    """Logits in the thousands."""
    *layers, (W, b) = problem.params
    return problem._replace(name="logits in the thousands", params=[*layers, (3000 * W, b)], extreme=True)


def _saturated(problem: Problem) -> Problem:
    """Hidden units driven into saturation, by biases of 18 and -18."""
    *layers, last = problem.params
    params = [(W, 18.0 * np.where(np.arange(len(b)) % 2, -1, 1)) for W, b in layers]
    return problem._replace(name="saturated units", params=[*params, last], extreme=True)


def point_of(layers: Gradients, x: np.ndarray, labels: np.ndarray, layout: str, network: Network) -> Problem | None:
    """Return somebody's own point as a problem; None if it is none of (params, x, labels) in this layout.

    Args:
      layers: [(W, b), ...], in the layout.
      x: in the layout.
      labels: (B,) whole numbers.
      layout: one of `LAYOUTS`.
      network: for the size of its logits.

    Raises:
      ValueError: for weights that are not finite.
    """
    pairs = [(W if layout == "rows" else W.T, b.reshape(-1)) for W, b in layers]
    x = x.T if layout == "columns" else x
    widths = [x.shape[-1], *(len(b) for _, b in pairs)]
    fits = x.ndim == 2 and all(W.shape == shape for (W, _), shape in zip(pairs, pairwise(widths), strict=True))
    if not fits or labels.shape != (len(x),) or labels.min(initial=0) < 0 or labels.max(initial=0) >= widths[-1]:
        return None
    problem = Problem(OWN_POINT, pairs, x, labels)
    with np.errstate(all="ignore"):
        z = forward(pairs, x, labels, network.phi, head_of(network, *x.shape)).z
    if not all(np.isfinite(z_l).all() and np.abs(z_l).max() < 1e100 for z_l in z[1:]):
        raise _doors.mistake("point", "finite weights and biases of usual size", f"logits up to {np.abs(z[-1]).max()}")
    is_extreme = np.ptp(z[-1], axis=1).max() > 15 or any(np.abs(z_l).max() > 8 for z_l in z[1:-1])
    return problem._replace(extreme=bool(is_extreme))
