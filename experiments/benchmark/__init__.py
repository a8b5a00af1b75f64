"""How fast mlp_jax is next to what people would use in its place, and next to what the machine can do.

Every side of a workload works in its own process, so that threads, memory and devices do not mix, and one process works
at a time. A repeat goes through all sides in turn, so a change of the machine's speed meets all of them. What counts is
the median of the repeats' ratios.

    workloads  the one table: what is measured, how each side does it, and what the numbers have to keep to
    problems   the examples, initial parameters and batches that all sides of a workload share
    worker     a side's process, which prepares tasks and times them
    sides/     how each side does each task
    rounds     all sides of a workload in turn, after a check that they do the same work
    results    what was measured, as frozen records and JSON
    statistics medians and quartiles of paired ratios, and slopes
    table      the aims next to the measured numbers
    summary    the same in short, for README
    plots      two pictures of a result
    files      where results lie, and on what they were measured

The other experiments import nothing of this. If a peer's package is not installed, its rows say so.
"""
