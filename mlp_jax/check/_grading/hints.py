"""How much of a report students are told. `told` returns a report with only what they may know.

Every output is made from the report, so what is left out here leaks nowhere.
"""

import re
from collections.abc import Iterator
from math import nan
from typing import Literal

from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.report import NO_POWER, BackpropReport, Credit
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison

Hints = Literal["none", "where", "full"]
LEVELS: tuple[Hints, ...] = ("none", "where", "full")
READ_IT = "read its code"  # of the basis: not about the gradients, and the teacher needs it
SAID = {
    "correct": "loss and every gradient are right",
    "wrong": "it is not right yet",
    "undecided": "it cannot be told whether it is right: a person has to look at it",
}
PLACES = re.compile(r"layers? \d|every |wrong|delta_\w+$")  # how the places of layers and parameters begin


def told(report: BackpropReport, hints: Hints) -> BackpropReport:
    """Return a report with no more than students may know.

    A field of the report that is not named here is left out.

    Args:
      report: in full, and graded already if it is to be.
      hints: "none" tells the verdict and the score; "where" also which layers and parameters are right and wrong;
        "full" everything. Why a file could not be checked is always told: it is no hint at what is right, and its
        author has to mend it.
    """
    if hints == "full":
        return report
    tells_where = hints == "where" and report.verdict != "error"
    leaves = report.right_everywhere.items() if tells_where else ()
    return BackpropReport(
        verdict=report.verdict,
        diagnoses=tuple(_places(report)) if tells_where else (_said(report),),
        loss={},
        gradients=GradientReport(tuple(_leaf(name, right) for name, right in leaves)),
        problem="",
        power=NO_POWER,
        precision="",
        notes=(),
        settings=None,
        basis=tuple(part for part in report.basis if part == READ_IT),
        uses_autodiff=report.uses_autodiff,
        right_everywhere=dict(leaves),
        credit=_credit(report.credit, tells_where),
        listing=report.listing.only_where() if tells_where and report.listing is not None else None,
    )


def _said(report: BackpropReport) -> Diagnosis:
    message = report.diagnoses[0].message if report.verdict == "error" else SAID[report.verdict]
    return Diagnosis(report.verdict, message)


def _places(report: BackpropReport) -> Iterator[Diagnosis]:
    """Yield the verdict with each place that names layers or parameters; others name a mistake, or numbers."""
    places = dict.fromkeys(one.where for one in report.diagnoses if PLACES.match(one.where))
    said = _said(report)
    for place in places or [""]:
        yield Diagnosis(said.code, said.message, place)


def _leaf(name: str, right: bool) -> LeafComparison:
    """Return a row that says only whether a leaf is right."""
    return LeafComparison(name, None, "", relative_error=nan, max_error=nan, ok=right)


def _credit(credit: Credit | None, tells_where: bool) -> Credit | None:
    return credit if credit is None or tells_where else credit._replace(parts=())
