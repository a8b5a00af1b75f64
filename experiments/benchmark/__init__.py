"""How fast mlp_jax is beside what people would use in its place, and beside what the machine can do.

Every side of a workload works in a process of its own, so that threads, memory and devices do not mix, and one process
works at a time. A repeat goes through all sides in turn, so that a change of the machine's speed meets all of them:
what counts is the median of the repeats' ratios.

    workloads  what is measured, and on which sides: data alone
    wanted     which ratios are wanted: data alone
    problems   the examples, initial parameters and batches that all sides of a workload share
    worker     a side's process: it prepares tasks, and times them
    sides/     how each side does each task
    rounds     all sides of a workload in turn, after a check that they do the same work
    statistics medians and quartiles of paired ratios, and slopes
    table      the wanted ratios beside the measured ones, from a result
    summary    the same in short, for README
    plots      two pictures of a result
    files      where results lie

Nothing here is imported by the other experiments. Without one of the peers' packages its rows say so.
"""
