"""Claims: sentences that recorded numbers can contradict. One claim is one decorated function of the numbers.

    @at_most(0.05, "Few runs find the sawtooth of {pieces} pieces.", pieces=(32, 64), source="expected")
    def found(n, pieces):
        return share(n["mse"][n.at(pieces=pieces)] < SUCCESS)

The function returns a `Statistic`, which brings its interval and the number of seeds, or a plain number. Keywords are
cases: there is one claim for each value, or for each combination of values. Statement, source, `how` and `because`
are templates: they may name the cases, `{n.config.steps}`, `{value}` and `{expected}`. A bound can be a function of
(n, **case).
"""

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.frame.numbers import NotMeasuredError, Numbers
from experiments.frame.statistics import Statistic, exact

Relation = Literal["<=", ">=", "="]
Verdict = Literal["holds", "does not hold", "not decided", "differs", "not run"]
VERDICTS: tuple[Verdict, ...] = ("holds", "not decided", "differs", "does not hold", "not run")


class Because(NamedTuple):
    """Why a claim does not hold, and the claim that shows it.

    Attributes:
      words: the cause, in a sentence.
      shown_by: a claim of the same measurement. Only if it holds is the cause known.
    """

    words: str
    shown_by: "Claim"


@dataclass(frozen=True)
class Claim:
    """A claim as it is written.

    Attributes:
      name: the function's.
      relation: how the number has to compare with the expected one.
      bound: the expected number of theory or paper, or a function of (n, **case) that returns it.
      statement: the claim, in one sentence.
      source: where the expected number comes from.
      number: (n, **case) -> a statistic or a plain number.
      within: what "=" allows, or a function of (n, **case) that returns it; 0 for bounds.
      how: what was measured, and why the bound is what it is.
      must: whether this is an identity or a count, which has to hold in every run.
      because: why it does not hold.
      cases: the values of each case.
    """

    name: str
    relation: Relation
    bound: Any
    statement: str
    source: str
    number: Callable[..., Any]
    within: Any = 0.0
    how: str = ""
    must: bool = False
    because: Because | None = None
    cases: Mapping[str, tuple[Any, ...]] | None = None


@dataclass(frozen=True)
class Judged:
    """A claim read on numbers.

    Attributes:
      name: the claim's, with the values of its case, in letters that a template can name.
      statement: as `Claim` has it, filled.
      relation: as `Claim` has it.
      expected: the bound.
      within: what "=" allows.
      source: as `Claim` has it, filled.
      how: as `Claim` has it, filled.
      must: as `Claim` has it.
      statistic: what was measured; None if it was not.
      verdict: see `verdict`.
      why: why it was not run, or why it does not hold.
    """

    name: str
    statement: str
    relation: Relation
    expected: float | None
    within: float
    source: str
    how: str
    must: bool
    statistic: Statistic | None
    verdict: Verdict
    why: str = ""


def at_most(bound: Any, statement: str, **options: Any) -> Callable[[Callable[..., Any]], Claim]:
    """Return a decorator: the number that the function returns is at most `bound`."""
    return _decorator("<=", bound, statement, **options)


def at_least(bound: Any, statement: str, **options: Any) -> Callable[[Callable[..., Any]], Claim]:
    """Return a decorator: the number that the function returns is at least `bound`."""
    return _decorator(">=", bound, statement, **options)


def equals(expected: Any, statement: str, *, within: Any, **options: Any) -> Callable[[Callable[..., Any]], Claim]:
    """Return a decorator: the number that the function returns is `expected`, to `within`."""
    return _decorator("=", expected, statement, within=within, **options)


def _decorator(
    relation: Relation,
    bound: Any,
    statement: str,
    *,
    source: str,
    within: Any = 0.0,
    how: str = "",
    must: bool = False,
    because: Because | None = None,
    **cases: tuple[Any, ...],
) -> Callable[[Callable[..., Any]], Claim]:
    def decorate(number: Callable[..., Any]) -> Claim:
        return Claim(
            number.__name__, relation, bound, statement, source, number, within, how, must, because, cases
        )  # fmt: skip

    return decorate


def of(module: ModuleType) -> list[Claim]:
    """Return the claims of a measurement, in the order in which they are written."""
    return [value for value in vars(module).values() if isinstance(value, Claim)]


def judged(claim: Claim, n: Numbers) -> list[Judged]:
    """Return a claim read on numbers, once for each case."""
    names = tuple(claim.cases or ())
    values = itertools.product(*(claim.cases or {}).values())
    return [_judged(claim, n, dict(zip(names, case, strict=True))) for case in values]


def all_judged(module: ModuleType, n: Numbers) -> list[Judged]:
    """Return all claims of a measurement read on numbers."""
    return [one for claim in of(module) for one in judged(claim, n)]


def verdict(statistic: Statistic, relation: Relation, expected: float, within: float = 0.0) -> Verdict:
    """Return what an interval says of a bound: all of it holds, none of it does, or the bound lies inside.

    Without an interval the number decides. So it does if the bound is an end of the interval, as of a share of 0.

    >>> verdict(Statistic(0.3, "mean", 5, (0.2, 0.4)), "<=", 0.35), verdict(Statistic(0.3, "largest", 5), "<=", 0.35)
    ('not decided', 'holds')
    """
    value, interval = statistic.value, statistic.interval
    bounds = (expected - within, expected + within) if relation == "=" else (expected,)
    if interval is not None and any(interval[0] < bound < interval[1] for bound in bounds):
        return "not decided"
    holds = {"<=": value <= expected, ">=": value >= expected, "=": abs(value - expected) <= within}[relation]
    return "holds" if holds else "does not hold"


def identifier(name: str, case: Mapping[str, Any]) -> str:
    """Return the name of a claim with the values of its case, in letters that a template can name.

    >>> identifier("found", {"pieces": 32}), identifier("loses", {"phi": "leaky relu"})
    ('found_32', 'loses_leaky_relu')
    """
    return re.sub(r"\W+", "_", "_".join([name, *map(str, case.values())]))


def _judged(claim: Claim, n: Numbers, case: dict[str, Any]) -> Judged:
    statistic, expected, within, why = None, None, 0.0, ""
    said: Verdict = "not run"
    try:
        expected, within = (float(_resolved(value, n, case)) for value in (claim.bound, claim.within))
        number = claim.number(n, **case)
        statistic = number if isinstance(number, Statistic) else exact(number)
        said = verdict(statistic, claim.relation, expected, within)
    except NotMeasuredError as error:
        why = str(error)
    value = np.nan if statistic is None else statistic.value

    def filled(template: str) -> str:
        return template.format(**case, n=n, value=value, expected=np.nan if expected is None else expected)

    if said == "does not hold" and claim.because is not None:
        shown = [one.verdict for one in judged(claim.because.shown_by, n)]
        said = "differs" if set(shown) == {"holds"} else said
        why = filled(claim.because.words) if said == "differs" else ""
    return Judged(
        name=identifier(claim.name, case),
        statement=filled(claim.statement),
        relation=claim.relation,
        expected=expected,
        within=within,
        source=filled(claim.source),
        how=filled(claim.how),
        must=claim.must,
        statistic=statistic,
        verdict=said,
        why=why,
    )


def _resolved(value: Any, n: Numbers, case: Mapping[str, Any]) -> Any:
    return value(n, **case) if callable(value) else value
