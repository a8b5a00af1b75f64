"""README's table of the benchmark: the comparisons of a workload or family in one row."""

import textwrap
from collections.abc import Sequence

from experiments.benchmark.results import Result
from experiments.benchmark.table import Row, baseline, limits, number, table
from experiments.benchmark.workloads import AUTODIFF, Family, Quantity

NOTHING = "–"
FAMILIES: tuple[tuple[Family, str], ...] = (  # in this order; without a title each workload has a row
    ("epoch", ""),
    ("steps", ""),
    ("sweep", ""),
    ("loss", "cross-entropy and its gradient, 8192 x 10; 1024 x 1000"),
    ("norms", ""),
    ("call", "import, and calls without `jit`"),
    ("process", "`mlp-jax train --data digits`, second start"),
)
GRADIENTS: tuple[tuple[Family, str], ...] = (("training", "training"), ("gradient", "alone"))


def summary_table(result: Result) -> str:
    """Return Markdown: how many times as long others take, what bounds us, the aim of each, and the machine."""
    rows = table(result)
    bounded = [row for row in rows if row.aim.bound is not None]
    groups: dict[str, list[Row]] = {}
    for family, title in FAMILIES:
        for row in of_family(bounded, family):
            groups.setdefault(title or row.workload.name, []).append(row)
    lines = ["| workload | theirs / ours: more is better | ours / theirs: less is better |", "|---|---|---|"]
    for title, group in groups.items():
        theirs, ours = (
            "; ".join(comparison(row) for row in group if row.aim.relation == relation) or NOTHING
            for relation in (">=", "<=")
        )
        lines.append(f"| {title} | {theirs} | {ours} |")
    of_backprop = "; ".join(
        f"`autodiff`'s {quantity}, {what}: {spread(of_family(bounded, family), quantity)}"
        for quantity in ("time", "memory")
        for family, what in GRADIENTS
    )
    lines.append(f"| `backprop`, over nets and activations | {NOTHING} | {of_backprop} (relu 1, others 1.05) |")
    if derivatives := [row for row in of_family(rows, "derivative") if row.aim.baseline == AUTODIFF]:
        time, flops = spread(derivatives, "time"), spread(derivatives, "flops")
        lines.append(f"| other derivatives by hand | {NOTHING} | autodiff's time: {time}; its flops: {flops} (1.05) |")
    met, noise = (sum(row.verdict == verdict for row in bounded) for verdict in ("met", "within noise"))
    versions = ", ".join(f"{name} {result.versions[name]}" for name in ("jax", "torch", "scikit-learn"))
    machine = f"{result.processor}, {result.cores} cores, {', '.join(limits(result))}; {versions}"
    total = f"{met} of {len(bounded)} aims are met, {noise} are within noise. Measured on {machine}."
    return "\n".join([*lines, "", textwrap.fill(total, 120)])


def of_family(rows: Sequence[Row], family: Family) -> list[Row]:
    """Return the rows of a family."""
    return [row for row in rows if row.workload.family == family]


def spread(rows: Sequence[Row], quantity: Quantity) -> str:
    """Return the least and the largest median of a quantity."""
    medians = [row.measured.median for row in rows if row.measured and row.aim.quantity == quantity]
    return f"{number(min(medians))} to {number(max(medians))}" if medians else NOTHING


def comparison(row: Row) -> str:
    """Return what is compared, the median, and the aim. The column says which of the two is ours."""
    peer = row.side if row.aim.relation == ">=" else row.aim.words or baseline(row.aim)
    measured = NOTHING if row.measured is None else number(row.measured.median)
    return f"{peer} {measured} ({row.aim.bound:g})"
