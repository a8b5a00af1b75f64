"""Types of public arguments: arrays of any kind, and the layers of a network."""

from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Float, Integer

# Arrays of JAX and NumPy, numbers, and nested lists of numbers. `Any`, since the door checks them and gives the pure
# function behind it a `jax.Array`.
ArrayLike: TypeAlias = Any

Input: TypeAlias = Float[ArrayLike, "B D"]
Targets: TypeAlias = Integer[ArrayLike, " B"] | Float[ArrayLike, "B _"]  # C columns, and those of `extra_columns`
Logits: TypeAlias = Float[ArrayLike, "B C"]


class Layer(NamedTuple):
    """The parameters of one layer, z = h W + b."""

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"]


Params: TypeAlias = tuple[Layer, ...]
