"""What a check of a backward pass found, as a report that is true where the pass is correct."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Settings
from mlp_jax.check._rendering import LEAF_COLUMNS, Page, Report, Table, Words, json_value, leaf_rows
from mlp_jax.check._rules.comparison import GradientReport

Verdict = Literal["correct", "wrong", "undecided", "error"]
NO_POWER: dict[str, Any] = {"known": 0, "caught": 0, "escaped": []}  # no known mistake was tried


@dataclass(frozen=True, repr=False)
class BackpropReport(Report):
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
      notes: what is worth knowing.
      settings: how the function was read; None for a file that was judged by its own training step.
      basis: what the verdict rests on: the problems or draws, and what came from the file.
      uses_autodiff: whether its code calls autodiff.
      template: lines for the end of a file that has nothing to judge; empty if there are none.
      errors: of each leaf |actual - expected| over the largest |expected|, for heat maps.
    """

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    loss: dict[str, float]
    gradients: GradientReport
    problem: str
    power: dict[str, Any]
    precision: str
    notes: tuple[str, ...]
    settings: Settings | None
    basis: tuple[str, ...] = ()
    uses_autodiff: bool = False
    template: str = ""
    errors: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the backward pass is correct."""
        return self.verdict == "correct"

    @property
    def rests_on(self) -> str:
        """What the verdict rests on, in one line."""
        autodiff = ["calls autodiff"] if self.uses_autodiff else []
        return ", ".join([*self.basis, self.precision, *autodiff]) if self.basis else ""

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
            "basis": list(self.basis),
            "settings": None if self.settings is None else vars(self.settings),
            "uses_autodiff": self.uses_autodiff,
            "notes": list(self.notes),
            "template": self.template,
        }

    def page(self) -> Page:
        """Return what the report shows: the findings, the leaves of one problem, and heat maps of their errors."""
        words = []
        for one in self.diagnoses:
            what, _, right = one.message.partition(" Right is: ")
            words.append(Words(one.code, what, (("right", right), ("where", one.where), ("evidence", one.evidence))))
        losses = ": loss {actual:.10g}, expected {expected:.10g}".format(**self.loss) if self.loss else ""
        table = Table(f"{self.problem}{losses}", LEAF_COLUMNS, leaf_rows(self.gradients.leaves))
        maps = [(f"{name}, |actual - expected| over the largest |expected|", e) for name, e in self.errors.items()]
        notes = (*self.notes, *_strength(self))
        tables = [table] if self.gradients.leaves else []
        verdict = f"{self.verdict.upper()}: {self.rests_on}" if self.basis else self.verdict.upper()
        return Page(verdict, self.ok, words, tables, notes, maps, self.template)


def _strength(report: BackpropReport) -> list[str]:
    """Say how strong the check was."""
    if not report.power["known"]:
        return []
    known, caught, escaped = (report.power[name] for name in ("known", "caught", "escaped"))
    notes = [f"{caught} of {known} known mistakes would be told from a correct pass here"]
    if escaped:
        weak = (
            "a WEAK POINT, at which these wrong passes look right; larger weights and biases would show them: one that "
        )
        notes.insert(0, weak + "; one that ".join(escaped))
    return notes
