"""What a check of a backward pass found, as a report that is true where the pass is correct."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mlp_jax.check._diagnosis import rendering
from mlp_jax.check._diagnosis.fingerprints import Diagnosis
from mlp_jax.check._diagnosis.problems import Settings
from mlp_jax.check._gradient_check.comparison import GradientReport
from mlp_jax.check._gradient_check.rendering import json_value


@dataclass(frozen=True, repr=False)
class BackpropReport:
    """What `check_backprop` found; true where the backward pass is correct.

    Attributes:
      verdict: "correct", "wrong", "undecided" where differences cannot tell, or "error" where it could not be checked.
      diagnoses: the most likely first.
      loss: actual, expected and relative error on the problem that is shown; empty if the file's own loss is the
        reference.
      gradients: every leaf of that problem.
      problem: its name.
      power: how many known mistakes these problems can tell from a correct pass, and which escape.
      precision: what the function's numbers agree to.
      reference_error: how far the two references, autodiff and a chain by hand, are apart.
      notes: what is worth knowing.
      settings: how the function was read; None for a file that was judged by its own training step.
      uses_autodiff: whether its code calls autodiff.
      errors: of each leaf |actual - expected| over the largest |expected|, for heat maps.
    """

    verdict: Literal["correct", "wrong", "undecided", "error"]
    diagnoses: tuple[Diagnosis, ...]
    loss: dict[str, float]
    gradients: GradientReport
    problem: str
    power: dict[str, Any]
    precision: str
    reference_error: float
    notes: tuple[str, ...]
    settings: Settings | None
    uses_autodiff: bool = False
    errors: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the backward pass is correct."""
        return self.verdict == "correct"

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        leaf_fields = ("name", "relative_error", "cosine", "norm_ratio", "max_error", "index", "actual", "expected")
        return {
            "verdict": self.verdict,
            "diagnoses": [json_value(vars(diagnosis)) for diagnosis in self.diagnoses],
            "loss": json_value(self.loss),
            "leaves": [
                {name: leaf[name] for name in (*leaf_fields, "ok")} for leaf in self.gradients.to_dict()["leaves"]
            ],
            "problem": self.problem,
            "power": json_value(self.power),
            "precision": self.precision,
            "reference_error": json_value(self.reference_error),
            "settings": None if self.settings is None else vars(self.settings),
            "uses_autodiff": self.uses_autodiff,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return rendering.text(self)

    __repr__ = __str__  # what a prompt, and a failing assertion, show

    def __rich__(self) -> Any:
        return rendering.rich(self)

    def _repr_html_(self) -> str:
        return rendering.html(self)
