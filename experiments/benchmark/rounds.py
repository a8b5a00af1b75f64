"""One workload: all sides prepared, compared, and timed in turn, repeat after repeat."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.benchmark import worker
from experiments.benchmark.results import Missing, SideResult, WorkloadResult
from experiments.benchmark.worker import Worker
from experiments.benchmark.workloads import Side, Workload

# Of the mean loss, relative: float32 sums in other orders, grown over up to a thousand steps of Adam, and
# scikit-learn's epsilon, which it adds before the correction of the bias: a thousandth. A learning rate 10 % off: 2 %.
TOLERANCE = 3e-3

Ask = Callable[..., Any]  # (kind of worker, command, *arguments) -> the answer, or raises Missing
Step = Callable[[str], None]  # told what comes next
Outcome = SideResult | Missing


def measured(workload: Workload, ask: Ask, folder: Path, step: Step = lambda text: None) -> WorkloadResult:
    """Return for every side of a workload its numbers, repeat by repeat, or why there are none."""
    start = time.perf_counter()
    path = folder / "problem.pickle"
    source = attempted(ask, "mlp_jax", "make", workload, path)
    outcomes: dict[str, Outcome] = {}
    for side in workload.sides:
        step(f"{workload.name}: {side.name}, first run")
        outcomes[side.name] = attempted(_first, ask, side, workload, path, source)
    outcomes = in_agreement(outcomes)
    for repeat in range(workload.repeats):
        turn = repeat % len(workload.sides)
        for side in workload.sides[turn:] + workload.sides[:turn]:
            step(f"{workload.name}: {side.name}, {repeat + 1} of {workload.repeats}")
            so_far = outcomes[side.name]
            if isinstance(so_far, SideResult):
                outcomes[side.name] = attempted(_repeated, ask, side, workload, path, so_far)
    for kind in {side.worker for side in workload.sides if not side.fresh}:
        with suppress(Missing):
            ask(kind, "forget")
    path.unlink(missing_ok=True)
    settings = ("unit", "sizes", "activation", "batch", "steps", "examples", "nets", "repeats")
    return WorkloadResult(
        **{name: getattr(workload, name) for name in settings},
        date=time.strftime("%Y-%m-%d"),
        source=str(source),
        seconds=time.perf_counter() - start,
        sides={name: outcome for name, outcome in outcomes.items() if isinstance(outcome, SideResult)},
        missing={name: str(outcome) for name, outcome in outcomes.items() if isinstance(outcome, Missing)},
    )


def attempted(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or the `Missing` that it raises."""
    try:
        return function(*arguments)
    except Missing as missing:
        return missing


def in_agreement(outcomes: Mapping[str, Outcome], tolerance: float = TOLERANCE) -> dict[str, Outcome]:
    """Set sides aside whose loss after the same steps is not the first side's: they would do other work."""
    losses = {name: o.loss for name, o in outcomes.items() if isinstance(o, SideResult) and o.loss is not None}
    expected = next(iter(losses.values()), 0.0)
    return dict(outcomes) | {
        name: Missing(f"not the same work: {loss:.5g}, not {expected:.5g}, after the same steps")
        for name, loss in losses.items()
        if not abs(loss - expected) <= tolerance * abs(expected)
    }


def _first(ask: Ask, side: Side, workload: Workload, path: Path, source: str | Missing) -> SideResult:
    """Prepare a side, run it once, and again in the common order of the examples if its loss is compared."""
    if isinstance(source, Missing):
        raise Missing(f"no problem: {source}")
    if side.fresh:
        return SideResult()
    start = time.perf_counter()
    facts, is_compared = ask(side.worker, "prepare", side, workload, path)
    ask(side.worker, "measure", side.name)
    first = time.perf_counter() - start
    return SideResult((), facts, ask(side.worker, "compare", side.name, path) if is_compared else None, first)


def _repeated(ask: Ask, side: Side, workload: Workload, path: Path, so_far: SideResult) -> SideResult:
    """Return the numbers of a side with those of one more repeat."""
    facts = so_far.facts
    if side.fresh:
        process = worker.start(side.worker)
        try:
            facts, _ = worker.ask(process, "prepare", side, workload, path)
            value = worker.ask(process, "measure", side.name)
        finally:
            worker.stop(process)
    else:
        value = ask(side.worker, "measure", side.name)
    return replace(so_far, values=(*so_far.values, value), facts=facts)


def asking(workers: dict[str, Worker]) -> Ask:
    """Return a function that asks workers of the given dictionary, which it starts when they are first asked."""

    def ask(kind: str, command: str, *arguments: Any) -> Any:
        if kind not in workers or not workers[kind].process.is_alive():
            workers[kind] = worker.start(kind)
        return worker.ask(workers[kind], command, *arguments)

    return ask
