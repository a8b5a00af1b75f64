"""What a check of a backward pass found, as a report that is true where the pass is correct."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mlp_jax import _doors
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Precision, Settings
from mlp_jax.check._rendering import LEAF_COLUMNS, Page, Report, Words, json_value, leaf_rows, table_of
from mlp_jax.check._rules.comparison import GradientReport

if TYPE_CHECKING:
    from mlp_jax.check._lines.listing import Listing

Verdict = Literal["correct", "wrong", "undecided", "error"]
NO_POWER: dict[str, Any] = {"known": 0, "caught": 0, "escaped": []}  # no known mistake was tried


class Part(NamedTuple):
    """A part of a file that is credited: its name, whether it is right, and the points it gets, of so many."""

    name: str
    right: bool
    score: float
    most: float


class Credit(NamedTuple):
    """The points that a file gets.

    Attributes:
      score: of them.
      points: that a correct file gets.
      parts: what they are for; empty where nothing is credited by itself.
      rule: by which they are given, in words.
    """

    score: float
    points: float
    parts: tuple[Part, ...] = ()
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.score:.4g} of {self.points:.4g} points"


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
      subject: what was judged, for a listing: a `Function`, or the trial of a training step and what was recognised in
        it; None if no network was recognised.
      listing: the source, line by line, if it was asked for.
      listed: makes the listing, if it can be made later.
      right_everywhere: whether the loss, if it is compared, and each leaf are right at every draw, or on every problem
        with as many layers as the one that is shown.
      credit: the points that it gets; None if it is not graded.
    """

    verdict: Verdict
    diagnoses: tuple[Diagnosis, ...]
    loss: dict[str, float]
    gradients: GradientReport
    problem: str
    power: dict[str, Any]
    precision: Precision | Literal[""]
    notes: tuple[str, ...]
    settings: Settings | None
    basis: tuple[str, ...] = ()
    uses_autodiff: bool = False
    template: str = ""
    errors: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    subject: Any = field(default=None, repr=False, compare=False)
    listing: "Listing | None" = field(default=None, repr=False, compare=False)
    listed: "Callable[[], Listing] | None" = field(default=None, repr=False, compare=False)
    right_everywhere: Mapping[str, bool] = field(default_factory=dict, repr=False, compare=False)
    credit: Credit | None = None

    @property
    def ok(self) -> bool:
        """Whether the backward pass is correct."""
        return self.verdict == "correct"

    @property
    def rests_on(self) -> str:
        """What the verdict rests on, in one line."""
        autodiff = ["calls autodiff"] if self.uses_autodiff else []
        return ", ".join(part for part in (*self.basis, self.precision, *autodiff) if part) if self.basis else ""

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
            **({"lines": self.listing.to_dict()} if self.listing is not None else {}),
            **({} if self.credit is None else {"score": self.credit.score, "points": self.credit.points}),
        }

    def lines(self) -> "Listing":
        """Return the source with the quantity that each statement's value is, and the first value that is wrong.

        Raises:
          ValueError: if there is no listing: the network is not recognised, or there is no source.
        """
        if self.listing is not None:
            return self.listing
        if self.listed is None:
            raise _doors.mistake("report", "one with a listing: of a recognised network, and with its source", "none")
        return self.listed()

    def page(self) -> Page:
        """Return what the report shows: the findings, the leaves of one problem, and heat maps of their errors."""
        words = [] if self.credit is None else [Words("score", str(self.credit), (("rule", self.credit.rule),))]
        for one in self.diagnoses:
            what, _, right = one.message.partition(" Right is: ")
            words.append(Words(one.code, what, (("right", right), ("where", one.where), ("evidence", one.evidence))))
        losses = ": loss {actual:.10g}, expected {expected:.10g}".format(**self.loss) if self.loss else ""
        table = table_of(f"{self.problem}{losses}", LEAF_COLUMNS, leaf_rows(self.gradients.leaves))
        maps = [(f"{name}, |actual - expected| over the largest |expected|", e) for name, e in self.errors.items()]
        notes = (*self.notes, *_strength(self))
        tables = [table] if self.gradients.leaves else []
        verdict = f"{self.verdict.upper()}: {self.rests_on}" if self.basis else self.verdict.upper()
        source = () if self.listing is None else self.listing.rows()
        return Page(verdict, self.ok, words, tables, notes, maps, self.template, source)


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
