"""Activations h = phi(z), each with phi'(z) and phi''(z) by hand, accurate over the whole range of floats.

Notation: s(z) = 1 / (1 + exp(-z)) is the logistic function, and Phi the standard normal's distribution.
Two identities keep the derivatives of saturated units free of cancellation:

    s'(z)    = s(z) s(-z)            (the textbook's s (1 - s) is exactly 0 in float32 from z = 17 on)
    tanh'(z) = 4 e / (1 + e)^2       with e = exp(-2 |z|)    (1 - tanh^2 is exactly 0 from |z| = 9 on)

At the kink relu'(0) = 0 and leaky_relu'(0) = 0.01, the derivatives from the left, since a unit at 0 is off.
Their second derivatives are 0 everywhere. A NaN pre-activation gives a NaN value.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, glorot_uniform, he_normal, lecun_normal
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from mlp_jax._doors import as_floats, door
from mlp_jax._types import ArrayLike

Elementwise = Callable[[Array], Array]

# Initialisers with a variance that keeps the size of signals from layer to layer.
LECUN = lecun_normal()  # variance 1 / fan_in, for a slope of 1 (LeCun et al., 1998)
GLOROT = glorot_uniform()  # 2 / (fan_in + fan_out), for s-shaped units, forward and backward (Glorot & Bengio, 2010)
HE = he_normal()  # 2 / fan_in, for relu-like units, which pass half of the signal (He et al., 2015)


@dataclass(frozen=True)
class Activation:
    """A record of elementwise functions of the pre-activation z, itself callable: `relu(z)` is phi(z).

    It is hashable, so it can be a static argument of `jax.jit`. Make your own once, by giving pure functions in
    `jax.numpy`: each new record compiles new programs, which stay in memory. What a function reads from elsewhere is
    read once, when it is compiled.

    Attributes:
      value: phi(z), in plain `jax.numpy`, so that autodiff can differentiate it.
      derivative: phi'(z), by hand.
      second_derivative: phi''(z), by hand; only Hessian products need it. Give `jax.numpy.zeros_like` if phi is
        piecewise linear; Hessian products then skip the term.
      value_and_derivative: (phi(z), phi'(z)), if the two share work. None, the default, calls the two functions.
      weight_init: draws the weights in `init_params`. The default is LeCun's, which is right for a slope of about 1.
      name: for the command line and reports; the default is the name of `value`.

    Example:
      >>> import mlp_jax
      >>> cube = mlp_jax.Activation(lambda z: z**3, lambda z: 3 * z**2, lambda z: 6 * z, name="cube")
      >>> float(cube(2.0)), float(cube.derivative(2.0))
      (8.0, 12.0)
    """

    value: Elementwise
    derivative: Elementwise
    second_derivative: Elementwise | None = None
    value_and_derivative: Callable[[Array], tuple[Array, Array]] | None = field(default=None, repr=False)
    weight_init: Initializer = field(default=LECUN, repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or getattr(self.value, "__name__", "activation"))

    def __call__(self, z: ArrayLike) -> Float[Array, "..."]:
        """Return phi(z), elementwise, in the dtype of z; whole numbers become floats."""
        return _phi(self, z)

    def pair(self, z: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Return (phi(z), phi'(z)), by `value_and_derivative` if there is one. Nothing is checked."""
        if self.value_and_derivative is None:
            return self.value(z), self.derivative(z)
        return self.value_and_derivative(z)


@door(lambda activation, z: {"activation": activation, "z": as_floats("z", z)})
def _phi(activation: Activation, z: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    return activation.value(z)


def _compiled(name: str, weight_init: Initializer, *functions: Elementwise, pair: Any = None) -> Activation:
    """Return a record of compiled phi, phi', phi'' and, if they share work, (phi, phi'). They inline into a program."""
    kept = (None, jnp.zeros_like)
    phi, d, dd, both = (f if f in kept else jax.jit(f, inline=True) for f in (*functions, pair))
    return Activation(phi, d, dd, both, weight_init, name)


identity = _compiled("identity", LECUN, lambda z: z, jnp.ones_like, jnp.zeros_like)


def _sigmoid_value_and_derivative(z: Array) -> tuple[Array, Array]:
    s = jax.nn.sigmoid(z)
    return s, s * jax.nn.sigmoid(-z)


def _sigmoid_derivative(z: Array) -> Array:
    return _sigmoid_value_and_derivative(z)[1]


# phi'' = s'(z) (s(-z) - s(z)), and s(z) - s(-z) = tanh(z / 2)
sigmoid = _compiled(
    "sigmoid",
    GLOROT,
    jax.nn.sigmoid,
    _sigmoid_derivative,
    lambda z: -_sigmoid_derivative(z) * jnp.tanh(z / 2),
    pair=_sigmoid_value_and_derivative,
)


def _tanh_derivative(z: Array) -> Array:
    e = jnp.exp(-2 * jnp.abs(z))
    return 4 * e / (1 + e) ** 2


tanh = _compiled("tanh", GLOROT, jnp.tanh, _tanh_derivative, lambda z: -2 * jnp.tanh(z) * _tanh_derivative(z))


# jax.nn.relu and not jnp.maximum(z, 0), whose derivative at 0 autodiff takes as 1/2
relu = _compiled("relu", HE, jax.nn.relu, lambda z: (z > 0).astype(z.dtype), jnp.zeros_like)

_LEAK = 0.01  # the slope for z <= 0 (Maas, Hannun & Ng, 2013)

leaky_relu = _compiled(
    "leaky_relu",
    HE,
    lambda z: jnp.where(z > 0, z, _LEAK * z),
    lambda z: jnp.where(z > 0, 1, jnp.full_like(z, _LEAK)),
    jnp.zeros_like,
)

# log(1 + exp(z)), whose derivative is s(z)
softplus = _compiled("softplus", HE, lambda z: jnp.logaddexp(z, 0), jax.nn.sigmoid, _sigmoid_derivative)


def _silu_value_and_derivative(z: Array) -> tuple[Array, Array]:
    s = jax.nn.sigmoid(z)
    return z * s, s * (1 + z * jax.nn.sigmoid(-z))


# z s(z) (Elfwing, Uchibe & Doya, 2017; also called swish)
silu = _compiled(
    "silu",
    HE,
    lambda z: z * jax.nn.sigmoid(z),
    lambda z: _silu_value_and_derivative(z)[1],
    lambda z: _sigmoid_derivative(z) * (2 - z * jnp.tanh(z / 2)),
    pair=_silu_value_and_derivative,
)


def _near(z: Array) -> Array:
    """Clip z to [-40, 40]. Beyond, Phi and s(2 u) are 0 or 1 in every dtype, but z^2 may overflow: 0 * inf is NaN."""
    return jnp.clip(z, -40, 40)


def _normal_distribution(z: Array) -> Array:
    return erfc(-z * sqrt(1 / 2)) / 2  # erfc, not 1 + erf: the lower tail keeps its digits


def _normal_density(z: Array) -> Array:
    return jnp.exp(-z * z / 2) * (1 / sqrt(2 * pi))


def _gelu_value_and_derivative(z: Array) -> tuple[Array, Array]:
    Phi = _normal_distribution(z)
    return z * Phi, Phi + z * _normal_density(z)


# z Phi(z), exact (Hendrycks & Gimpel, 2016); jax.nn.gelu's default is the tanh form below
gelu = _compiled(
    "gelu",
    HE,
    lambda z: z * _normal_distribution(z),
    lambda z: _gelu_value_and_derivative(z)[1],
    lambda z: _normal_density(z) * (2 - _near(z) ** 2),
    pair=_gelu_value_and_derivative,
)

_A, _B = sqrt(2 / pi), 0.044715  # u = A (z + B z^3), so (1 + tanh u) / 2 = s(2 u) approximates Phi(z)


def _gelu_u(z: Array) -> Array:
    return _A * (z + _B * z * z * z)


def _gelu_u_derivative(z: Array) -> Array:
    return _A * (1 + 3 * _B * z * z)


def _gelu_tanh_value_and_derivative(z: Array) -> tuple[Array, Array]:
    u = _gelu_u(_near(z))
    s = jax.nn.sigmoid(2 * u)
    return z * s, s * (1 + 2 * _near(z) * _gelu_u_derivative(_near(z)) * jax.nn.sigmoid(-2 * u))


def _gelu_tanh_second_derivative(z: Array) -> Array:
    """Return s'(2u) (4 u' + 2 z u'' - 4 z u'^2 tanh u), with 4 u' + 2 z u'' = 4 A (1 + 6 B z^2)."""
    z = _near(z)
    u, du = _gelu_u(z), _gelu_u_derivative(z)
    return 4 * _sigmoid_derivative(2 * u) * (_A * (1 + 6 * _B * z * z) - z * du * du * jnp.tanh(u))


# z s(2 u), the tanh approximation of gelu, with an error of up to 4.7e-4
gelu_tanh = _compiled(
    "gelu_tanh",
    HE,
    lambda z: z * jax.nn.sigmoid(2 * _gelu_u(z)),
    lambda z: _gelu_tanh_value_and_derivative(z)[1],
    _gelu_tanh_second_derivative,
    pair=_gelu_tanh_value_and_derivative,
)

_LAMBDA, _ALPHA = 1.0507009873554805, 1.6732632423543772  # mean 0 and variance 1 of a normal z stay so


def _selu_second_derivative(z: Array) -> Array:
    return jnp.where(z > 0, 0, _LAMBDA * _ALPHA * jnp.exp(jnp.where(z > 0, 0, z)))


# lambda z, and lambda alpha (exp(z) - 1) for z <= 0 (Klambauer, Unterthiner, Mayr & Hochreiter, 2017)
selu = _compiled(
    "selu",
    LECUN,
    lambda z: _LAMBDA * jnp.where(z > 0, z, _ALPHA * jnp.expm1(jnp.where(z > 0, 0, z))),
    lambda z: jnp.where(z > 0, jnp.full_like(z, _LAMBDA), _selu_second_derivative(z)),
    _selu_second_derivative,
)


def _mish_parts(z: Array) -> tuple[Array, Array, Array]:
    """Return t = tanh(log(1 + exp(z))), t' and t'' / t', by e = exp(-|z|), which never overflows."""
    e = jnp.exp(-jnp.abs(z))
    below, above = 2 + 2 * e + e * e, 1 + 2 * e + 2 * e * e  # the denominators of t for z < 0 and z >= 0
    t = jnp.where(z < 0, e * (2 + e) / below, (1 + 2 * e) / above)
    dt = jnp.where(z < 0, 4 * e * (1 + e) / below**2, 4 * e * e * (1 + e) / above**2)
    ratio = jnp.where(
        z < 0,
        1 + e / (1 + e) - 4 * e * (1 + e) / below,
        -2 - e / (1 + e) + 4 * e * (1 + 2 * e) / above,
    )
    return t, dt, ratio


def _mish_value_and_derivative(z: Array) -> tuple[Array, Array]:
    t, dt, _ = _mish_parts(z)
    return z * t, t + z * dt


def _mish_second_derivative(z: Array) -> Array:
    _, dt, ratio = _mish_parts(z)
    return dt * (2 + z * ratio)


# z tanh(log(1 + exp(z))) (Misra, 2019)
mish = _compiled(
    "mish",
    HE,
    lambda z: z * _mish_parts(z)[0],
    lambda z: _mish_value_and_derivative(z)[1],
    _mish_second_derivative,
    pair=_mish_value_and_derivative,
)

sin = _compiled("sin", LECUN, jnp.sin, jnp.cos, lambda z: -jnp.sin(z))

ACTIVATIONS: dict[str, Activation] = {
    record.name: record
    for record in (identity, sigmoid, tanh, relu, leaky_relu, softplus, silu, gelu, gelu_tanh, selu, mish, sin)
}
