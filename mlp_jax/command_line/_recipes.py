"""The settings of `mlp-jax train` that belong together, for flags that are not given."""

from typing import Any, Literal, NamedTuple


class Settings(NamedTuple):
    """What a recipe sets.

    Attributes:
      hidden, activation, batch_size, learning_rate, schedule, label_smoothing, keep: as the flags.
      epochs: None for those of 2,000 steps, and at least 10.
      options: further arguments of the optimizer.
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


def settings_of(recipe: str, has_classes: bool) -> Settings:
    """Return the settings of a recipe for classes or values.

    RealMLP's are those of its simplified form TD-S, which its authors chose on 118 tables (Holzmüller, Grinsztajn &
    Steinwart, 2024).

    >>> settings_of("plain", has_classes=False).keep, settings_of("realmlp", has_classes=True).activation
    ('best', 'selu')
    """
    if recipe == "plain":
        return Settings(keep="last" if has_classes else "best")
    realmlp = Settings(
        hidden=(256, 256, 256),
        activation="mish",
        batch_size=256,
        learning_rate=0.07,
        schedule="coslog4",
        keep="best",
        epochs=256,
        options=(("b2", 0.95),),
        parametrization="ntk",
    )
    return realmlp._replace(activation="selu", learning_rate=0.04, label_smoothing=0.1) if has_classes else realmlp
