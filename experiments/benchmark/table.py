"""The aims next to the measured numbers: pure functions of a result."""

from typing import NamedTuple

from experiments.benchmark.results import Missing, Result, SideResult, WorkloadResult
from experiments.benchmark.statistics import Summary, paired_ratios, slopes, summary
from experiments.benchmark.workloads import MACHINE, WORKLOADS, Aim, Workload, at_most

COLUMNS = ("workload", "of", "measured", "quartiles", "wanted", "verdict")
TIMES = ("workload", "side", "unit", "median", "lower quartile", "upper quartile", "least", "most", "first, s")


class Row(NamedTuple):
    """One aim next to its number.

    Attributes:
      workload, side: whose; the slope of all sides has side "".
      aim: what the number has to keep to.
      measured: the number's summary over the repeats; None if it is missing.
      verdict: "met"; "within noise", if only a quartile keeps to the bound; "not met"; "reported", if there is no
        bound; or why the number is missing.
    """

    workload: Workload
    side: str
    aim: Aim
    measured: Summary | None
    verdict: str


def table(result: Result, workloads: tuple[Workload, ...] = WORKLOADS) -> list[Row]:
    """Return a row for every aim of the workloads that a result has. A quick run has not all sides."""
    return [
        row(found, workload, side, aim)
        for workload in workloads
        if (found := result.workloads.get(workload.name)) is not None
        for side, aim in aims(workload)
        if not result.quick or {side, aim.baseline, aim.minus} - {""} <= {*found.sides, *found.missing}
    ]


def aims(workload: Workload) -> list[tuple[str, Aim]]:
    """Return the names of sides and their aims, and that of the slope of all sides."""
    of_sides = [(side.name, aim) for side in workload.sides for aim in side.aims]
    if workload.growth is None:
        return of_sides
    words = f"slope over {workload.growth.of}{workload.growth.since}"
    return [*of_sides, ("", at_most(workload.growth.bound, words=words))]


def row(result: WorkloadResult, workload: Workload, side: str, aim: Aim) -> Row:
    """Return the row of one aim."""
    try:
        measured = summary(numbers(result, side, aim) if side else slopes_of(result, workload))
    except Missing as missing:
        return Row(workload, side, aim, None, f"missing: {missing}")
    return Row(workload, side, aim, measured, verdict(measured, aim))


def verdict(measured: Summary, aim: Aim) -> str:
    """Say whether a number keeps to its bound."""
    if aim.bound is None:
        return "reported"
    sign = 1 if aim.relation == ">=" else -1
    farthest = measured.upper if aim.relation == ">=" else measured.lower
    if sign * measured.median >= sign * aim.bound:
        return "met"
    return "within noise" if sign * farthest >= sign * aim.bound else "not met"


def numbers(result: WorkloadResult, side: str, aim: Aim) -> list[float]:
    """Return the numbers of an aim, one per repeat.

    Raises:
      Missing: if a side of it has none.
    """
    if aim.quantity in ("memory", "flops"):
        a, b = (measured(result, name).facts[aim.quantity] for name in (side, aim.baseline))
        return [a / b if b else 1.0 if a == b else float("inf")]
    values = measured(result, side).values
    if aim.minus:
        values = tuple(a - b for a, b in zip(values, measured(result, aim.minus).values, strict=True))
    return paired_ratios(values, measured(result, aim.baseline).values) if aim.baseline else list(values)


def slopes_of(result: WorkloadResult, workload: Workload) -> list[float]:
    """Return how a workload grows with the sizes of its sides: a slope per repeat.

    Raises:
      Missing: if a side has no numbers, or there are fewer than two large enough.
    """
    assert workload.growth is not None
    sides = [side for side in workload.sides if side.size >= workload.growth.least]
    if len(sides) < 2:
        raise Missing("fewer than two sizes")
    return slopes([side.size for side in sides], [measured(result, side.name).values for side in sides])


def measured(result: WorkloadResult, side: str) -> SideResult:
    """Return what a side measured.

    Raises:
      Missing: if it did not.
    """
    if side in result.missing:
        raise Missing(f"{side}: {result.missing[side]}")
    if side not in result.sides:
        raise Missing(f"{side}: left out")
    return result.sides[side]


def words(row: Row) -> str:
    """Return what is compared."""
    return row.aim.words or (f"{row.side}, over {baseline(row.aim)}" if row.aim.baseline else row.side)


def baseline(aim: Aim) -> str:
    """Return what an aim compares with: autodiff: memory."""
    return f"{aim.baseline}: {aim.quantity}" if aim.quantity else aim.baseline


def cells(row: Row) -> list[str]:
    """Return a row as text.

    >>> from experiments.benchmark.workloads import EPOCHS, at_least
    >>> cells(Row(EPOCHS[0], "flax", at_least(3.5), Summary(4.321, 4.2, 4.4, 4, 5), "met"))
    ['epoch 784-128-10, batch 32', 'flax, over mlp_jax', '4.32', '4.20 to 4.40', '≥ 3.5', 'met']
    """
    sign = {">=": "≥", "<=": "≤"}[row.aim.relation]
    bound = "" if row.aim.bound is None else f"{sign} {row.aim.bound:g}"
    if row.measured is None:
        return [row.workload.name, words(row), "–", "", bound, row.verdict]
    scale, unit = (2**20, " MiB") if row.measured.median > 2**20 else (1, "")
    median, lower, upper = (number(value / scale) for value in row.measured[:3])
    return [row.workload.name, words(row), median + unit, f"{lower} to {upper}", bound, row.verdict]


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
    """Say what the machine can do, if that was measured."""
    if MACHINE.name not in result.workloads:
        return []
    machine = result.workloads[MACHINE.name]
    lines = [f"{side}: {reason}" for side, reason in machine.missing.items()]
    for amount, unit in (("operations", "GFLOP/s at its peak"), ("bytes", "GB/s of memory")):
        sides = (side for side in machine.sides.values() if amount in side.facts)
        lines += [f"{side.facts[amount] / summary(side.values).median / 1e9:,.0f} {unit}" for side in sides]
    return lines


def times(result: Result) -> list[list[str]]:
    """Return for every side its workload, name and unit, its times in short, and that of its first run."""
    rows = []
    for name, workload in result.workloads.items():
        for side, found in workload.sides.items():
            first = "" if found.first is None else f"{found.first:.1f}"
            rows.append([name, side, workload.unit, *(f"{value:.3g}" for value in summary(found.values)), first])
        rows += [[name, side, workload.unit, reason, "", "", "", "", ""] for side, reason in workload.missing.items()]
    return rows
