"""The wanted ratios beside the measured ones: pure functions of a result."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.benchmark.statistics import Summary, paired_ratios, slopes, summary
from experiments.benchmark.wanted import WANTED, Wanted
from experiments.benchmark.worker import Missing

COLUMNS = ("workload", "of", "measured", "quartiles", "wanted", "verdict")

Result = Mapping[str, Any]


class Row(NamedTuple):
    """One number beside what is wanted of it.

    Attributes:
      wanted: which number, and its bound.
      measured: its summary over the repeats; None where it is missing.
      verdict: "met"; "within noise", where the quartiles reach a bound that the median does not keep; "not met";
        "reported", where there is no bound; or why it is missing.
    """

    wanted: Wanted
    measured: Summary | None
    verdict: str


def table(result: Result, wanted: tuple[Wanted, ...] = WANTED) -> list[Row]:
    """Return a row for everything that is wanted of the workloads of a result, but for sides that it left out."""
    return [row(result, one) for one in wanted if _is_there(result, one)]


def row(result: Result, wanted: Wanted) -> Row:
    """Return the row of one wanted number."""
    try:
        measured = summary(numbers(result["workloads"][wanted.workload], wanted))
    except Missing as missing:
        return Row(wanted, None, f"missing: {missing}")
    return Row(wanted, measured, verdict(measured, wanted))


def verdict(measured: Summary, wanted: Wanted) -> str:
    """Say whether a number keeps to its bound."""
    if wanted.bound is None:
        return "reported"
    sign = 1 if wanted.relation == ">=" else -1
    farthest = measured.upper if wanted.relation == ">=" else measured.lower
    if sign * measured.median >= sign * wanted.bound:
        return "met"
    return "within noise" if sign * farthest >= sign * wanted.bound else "not met"


def numbers(workload: Mapping[str, Any], wanted: Wanted) -> list[float]:
    """Return the wanted number of every repeat, or raise `Missing`."""
    sides = workload["sides"]
    if wanted.quantity == "slope":
        measured = {name: values_of(workload, name) for name in sides}
        large = {name: fact(workload, name, "size") for name in sides}
        used = [name for name, size in large.items() if size >= wanted.least]
        if len(used) < 2:
            raise Missing("fewer than two sizes")
        return slopes([large[name] for name in used], [measured[name] for name in used])
    if wanted.quantity in ("memory", "flops"):
        a, b = (fact(workload, name, wanted.quantity) for name in (wanted.numerator, wanted.denominator))
        return [a / b if b else 1.0 if a == b else float("inf")]
    values = values_of(workload, wanted.numerator)
    if wanted.less:
        values = [a - b for a, b in zip(values, values_of(workload, wanted.less), strict=True)]
    if wanted.quantity == "value":
        return values
    return paired_ratios(values, values_of(workload, wanted.denominator))


def values_of(workload: Mapping[str, Any], name: str) -> list[float]:
    """Return what the repeats of a side measured, or raise `Missing`."""
    side = _side(workload, name)
    values: list[float] = side["values"]
    return values


def fact(workload: Mapping[str, Any], name: str, which: str) -> float:
    """Return a fact of a side, or raise `Missing`."""
    facts = _side(workload, name)["facts"]
    if which not in facts:
        raise Missing(f"{name} has no {which}")
    return float(facts[which])


def _is_there(result: Result, wanted: Wanted) -> bool:
    """Whether a run had the workload and, for a quick run, which has not all, the sides."""
    workload = result["workloads"].get(wanted.workload)
    names = [name for name in (wanted.numerator, wanted.denominator, wanted.less) if name]
    return workload is not None and (not result["quick"] or all(name in workload["sides"] for name in names))


def _side(workload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if name not in workload["sides"]:
        raise Missing(f"{name}: left out")
    side: Mapping[str, Any] = workload["sides"][name]
    if "missing" in side:
        raise Missing(f"{name}: {side['missing']}")
    if not side["values"]:
        raise Missing(f"{name}: not measured")
    return side


def cells(row: Row) -> list[str]:
    """Return a row as text.

    >>> wanted = Wanted("epoch", "PyTorch, over mlp_jax", "ratio", bound=3.5)
    >>> cells(Row(wanted, Summary(4.321, 4.2, 4.4, 4, 5), "met"))
    ['epoch', 'PyTorch, over mlp_jax', '4.32', '4.20 to 4.40', '≥ 3.5', 'met']
    """
    sign = {">=": "≥", "<=": "≤"}[row.wanted.relation]
    bound = "" if row.wanted.bound is None else f"{sign} {row.wanted.bound:g}"
    words = [row.wanted.workload, row.wanted.of]
    if row.measured is None:
        return [*words, "–", "", bound, row.verdict]
    scale, unit = (2**20, " MiB") if row.measured.median > 2**20 else (1, "")
    median, lower, upper = (number(value / scale) for value in row.measured[:3])
    return [*words, median + unit, f"{lower} to {upper}", bound, row.verdict]


def number(value: float) -> str:
    """Write a number with three digits.

    >>> [number(value) for value in (0.01234, 1.2, 12.34, 1234.5)]
    ['0.0123', '1.20', '12.3', '1,234']
    """
    if not 0 < abs(value) < 1000:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if 0.1 <= abs(value) < 10 else f"{value:.3g}"


def limits(result: Result) -> list[str]:
    """Say what the machine can do, where the result has it."""
    sentences = {"matrix product": ("operations", "GFLOP/s at its peak"), "triad": ("bytes", "GB/s of memory")}
    machine = result["workloads"].get("machine")
    lines = []
    for name, (amount, words) in sentences.items() if machine else ():
        try:
            seconds = summary(values_of(machine, name)).median
            lines.append(f"{fact(machine, name, amount) / seconds / 1e9:,.0f} {words}")
        except Missing as missing:
            lines.append(f"{words}: {missing}")
    return lines


def times(result: Result) -> list[list[str]]:
    """Return for every side of every workload its name, median, quartiles, least and most, and its first run."""
    rows = []
    for workload in result["workloads"].values():
        for name, side in workload["sides"].items():
            try:
                measured = summary(values_of(workload, name))
                text = [f"{value:.3g}" for value in measured]
            except Missing:
                text = [side.get("missing", "not measured"), "", "", "", ""]
            first = "" if side.get("first") is None else f"{side['first']:.1f}"
            rows.append([workload["name"], name, workload["settings"]["unit"], *text, first])
    return rows
