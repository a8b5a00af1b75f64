"""What a check of a derivative rule found, as a report that is true if the rule is right."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlp_jax.check._rendering import LEAF_COLUMNS, Page, Report, Table, json_value, leaf_rows
from mlp_jax.check._rules.comparison import GradientReport
from mlp_jax.check._tolerance import TOLERANCES

COLUMNS = ("check", "verdict", "what was seen")
RIGHT, WRONG, UNDECIDED = "right", "wrong", "undecided"
LONGEST = 1500  # of a message that is shown whole: its cure may stand at its end


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
      check: its name, such as `autodiff` or `linear`.
      verdict: right, wrong, or undecided, if nothing could be seen.
      message: what was seen, and for a rule that is wrong, what to change.
    """

    check: str
    verdict: str
    message: str

    @property
    def ok(self) -> bool:
        """Whether the rule passed."""
        return self.verdict == RIGHT


@dataclass(frozen=True, repr=False)
class RuleReport(Report):
    """What `check_gradient`, `check_custom_vjp` or `check_custom_jvp` found; true only if a rule was seen to be right.

    The verdict is wrong if one check failed, else undecided if one could not see, else right.

    Attributes:
      subject: the name of the function that was checked.
      findings: one for each check.
      comparison: the gradient compared with autodiff, leaf by leaf; None if there is no autodiff.
      differences: for each leaf, the slopes along some directions and at some entries, by the gradient and by finite
        differences; None if these could not be taken.
      reference_error: the largest relative error that finite differences have of themselves: what is smaller than
        that rests on autodiff only.
      skipped: how many entries and directions met a kink of the function, and were left out.
      precision: the coarsest float in which anything is computed, which sets the tolerances.
      notes: what is worth knowing and not wrong.
    """

    subject: str
    findings: tuple[Finding, ...]
    comparison: GradientReport | None = None
    differences: GradientReport | None = None
    reference_error: float = 0.0
    skipped: int = 0
    precision: str = "float64"
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(finding.ok for finding in self.findings)

    @property
    def wrong(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(finding.check for finding in self.findings if finding.verdict == WRONG)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The names of the checks that could not see."""
        return tuple(finding.check for finding in self.findings if finding.verdict == UNDECIDED)

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        if self.ok:
            return f"right: {self.subject} passed all {len(self.findings)} checks, in {self.precision}"
        verdict, names = (WRONG, self.wrong) if self.wrong else (UNDECIDED, self.undecided)
        first = next(finding for finding in self.findings if finding.check in names and finding.verdict == verdict)
        what = f"failed {len(names)} of {len(self.findings)} checks" if self.wrong else "could not be judged"
        return f"{verdict}: {self.subject} {what}; {first.check}: {first.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        tables = {"comparison": self.comparison, "differences": self.differences}
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "subject": self.subject,
            "precision": self.precision,
            "reference_error": json_value(self.reference_error),
            "skipped": self.skipped,
            "notes": list(self.notes),
            "findings": [
                {"check": f.check, "ok": f.ok, "verdict": f.verdict, "message": f.message} for f in self.findings
            ],
            **{name: None if table is None else table.to_dict() for name, table in tables.items()},
        }

    def page(self) -> Page:
        """Return what the report shows: the checks, and the leaves that are wrong next to what was expected."""
        rows = [(f.check, {WRONG: "WRONG"}.get(f.verdict, f.verdict), f.message) for f in self.findings]
        titles = {"next to autodiff": self.comparison, "next to finite differences": self.differences}
        wrong = [(title, table) for title, table in titles.items() if table is not None and not table]
        tables = [Table(f"{title}: {table.verdict}", LEAF_COLUMNS, leaf_rows(table.leaves)) for title, table in wrong]
        maps = [
            (f"{title}: |actual - expected| of {table.worst.name}", table.errors)
            for title, table in wrong
            if table.worst is not None and table.errors is not None
        ]
        return Page(self.verdict, self.ok, (), [Table("", COLUMNS, rows), *tables], self.notes, maps)


@dataclass
class Notebook:
    """What is found on the way."""

    subject: str
    precision: str = "float64"
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, check: str, problem: str, right: str, verdict: str = WRONG) -> None:
        """Write down the problem that a check found, and its verdict, or if that is empty, what is right."""
        self.findings.append(Finding(check, verdict if problem else RIGHT, problem or right))

    def attempt(self, check: str, what: str, action: Callable[[], Any]) -> Any:
        """Return what the action returns; if it raises, write that down and return None."""
        try:
            return action()
        except Exception as error:
            self.find(check, f"{what} raised {type(error).__name__}: {whole_message(error)}", "")
            return None

    @property
    def problems(self) -> bool:
        """Whether anything was found that is wrong."""
        return any(finding.verdict == WRONG for finding in self.findings)

    @property
    def tolerance(self) -> float:
        """The relative error that the precision allows."""
        return TOLERANCES.get(self.precision, 3e-2)

    @property
    def loose(self) -> float:
        """The relative error that the laws allow: they break by much more, and terms that cancel leave rounding."""
        return min(1000 * self.tolerance, 0.1)

    def report(self, **results: Any) -> RuleReport:
        """Return the report."""
        return RuleReport(
            self.subject, tuple(self.findings), precision=self.precision, notes=tuple(self.notes), **results
        )


def whole_message(error: BaseException) -> str:
    """Return what an exception says in one line, its end included; of a very long one the start and the end."""
    text = " ".join(str(error).split("--------------------")[0].split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def name_of(f: Callable[..., Any]) -> str:
    """Return the name of a function."""
    return getattr(f, "__name__", type(f).__name__)
