"""Settings that belong together, for classes and for values: for `mlp-jax train --recipe` and the estimators."""

from typing import Any, Literal, NamedTuple

from mlp_jax.datasets._scaling import Scaling


class Settings(NamedTuple):
    """The settings of a training.

    Attributes:
      hidden, activation, batch_size, learning_rate, schedule, label_smoothing, keep: as the flags of `mlp-jax train`.
      epochs: None for those of 2,000 steps, and at least 10.
      options: further arguments of Adam.
      parametrization: a name of `PARAMETRIZATIONS`.
    """

    hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    keep: Literal["last", "best"] = "last"
    epochs: int | None = None
    options: tuple[tuple[str, Any], ...] = ()
    parametrization: str = "standard"


class Preset(NamedTuple):
    """The scaling of the data, and the settings for classes and for values."""

    scaling: Scaling
    classes: Settings
    values: Settings


_REALMLP = Settings(
    hidden=(256, 256, 256),
    batch_size=256,
    schedule="coslog4",
    keep="best",
    epochs=256,
    options=(("b2", 0.95),),
    parametrization="ntk",
)
PRESETS = {
    "plain": Preset("standard", Settings(), Settings(keep="best")),
    # RealMLP-TD-S, the simplified form, chosen on 118 tables (Holzmüller, Grinsztajn & Steinwart, 2024)
    "realmlp": Preset(
        "robust",
        _REALMLP._replace(activation="selu", learning_rate=0.04, label_smoothing=0.1),
        _REALMLP._replace(activation="mish", learning_rate=0.07),
    ),
}
