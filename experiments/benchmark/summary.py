"""README's table of the benchmark: a row a workload, all its comparisons in one cell."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmark.table import Row, limits, number, table
from experiments.benchmark.workloads import (
    AUTODIFF,
    DERIVATIVES,
    EAGER_CALL,
    EPOCHS,
    GRADIENTS,
    IMPORT,
    LARGE_X,
    LOSSES,
    MANY,
    NORMS,
    PROCESS,
    PROGRAMS,
    TINY,
    TRAININGS,
    Workload,
)

NOTHING = "–"
CELLS = (  # workloads that share a row: its name, and theirs
    *((workload.name, (workload,)) for workload in (*EPOCHS, TINY, *MANY[:2])),
    ("cross-entropy and its gradient, 8192 x 10; 1024 x 1000", LOSSES),
    (NORMS.name, (NORMS,)),
    ("import, and calls without `jit`", (PROGRAMS, EAGER_CALL, LARGE_X, IMPORT)),
    ("`mlp-jax train --data digits`, second start", (PROCESS,)),
)


def summary_table(result: Mapping[str, Any]) -> str:
    """Return Markdown: how many times as long others take, what bounds us, the aim behind each, and the machine."""
    all_rows = table(result)
    rows = [row for row in all_rows if row.wanted.bound is not None]
    lines = ["| workload | theirs / ours: more is better | ours / theirs: less is better |", "|---|---|---|"]
    for name, workloads in CELLS:
        of_row = _of(rows, workloads)
        if not of_row:  # in no record yet
            continue
        others, bounds = (
            "; ".join(words(row) for row in of_row if row.wanted.relation == relation) or NOTHING
            for relation in (">=", "<=")
        )
        lines.append(f"| {name} | {others} | {bounds} |")
    of_backprop = "; ".join(
        f"`autodiff`'s {noun}, {what}: {spread(rows, workloads, quantity)}"
        for quantity, noun in (("ratio", "time"), ("memory", "memory"))
        for what, workloads in (("training", TRAININGS), ("alone", GRADIENTS))
    )
    lines.append(f"| `backprop`, over nets and activations | {NOTHING} | {of_backprop} (relu 1, others 1.05) |")
    if of_derivatives := [row for row in _of(all_rows, DERIVATIVES) if row.wanted.denominator == AUTODIFF]:
        time, flops = (spread(of_derivatives, DERIVATIVES, quantity) for quantity in ("ratio", "flops"))
        lines.append(f"| other derivatives by hand | {NOTHING} | autodiff's time: {time}; its flops: {flops} (1.05) |")
    met, noise = (sum(row.verdict == verdict for row in rows) for verdict in ("met", "within noise"))
    versions = ", ".join(f"{name} {result['versions'][name]}" for name in ("jax", "torch", "scikit-learn"))
    machine = f"{result['processor']}, {result['cores']} cores, {', '.join(limits(result))}; {versions}"
    total = f"{met} of {len(rows)} aims are met, {noise} are within noise. Measured on {machine}."
    return "\n".join([*lines, "", textwrap.fill(total, 120)])


def spread(rows: Sequence[Row], workloads: Sequence[Workload], quantity: str) -> str:
    """Return the least and the largest of a quantity over workloads, the tiny network aside."""
    chosen = _of(rows, [workload for workload in workloads if workload.sizes != TINY.sizes])
    medians = [row.measured.median for row in chosen if row.measured and row.wanted.quantity == quantity]
    return f"{number(min(medians))} to {number(max(medians))}" if medians else NOTHING


def words(row: Row) -> str:
    """Return one comparison: what is compared, the median, and the aim."""
    of = row.wanted.of.removesuffix(", over mlp_jax").removeprefix("mlp_jax, over ")
    of = of.removesuffix(", over all devices").removeprefix("by hand, over ").removesuffix(", over the second start")
    measured = NOTHING if row.measured is None else number(row.measured.median)
    return f"{of} {measured} ({row.wanted.bound:g})"


def _of(rows: Sequence[Row], workloads: Sequence[Workload]) -> list[Row]:
    """Return the rows of some workloads."""
    names = [workload.name for workload in workloads]
    return [row for row in rows if row.wanted.workload in names]
