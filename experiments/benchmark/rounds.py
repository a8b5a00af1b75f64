"""One workload: all sides prepared, compared, and timed in turn, repeat after repeat."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.benchmark import worker
from experiments.benchmark.worker import Answer, Worker
from experiments.benchmark.workloads import Side, Workload

# Of the mean loss, relative: float32 sums in other orders, grown over up to a thousand steps of Adam, and
# scikit-learn's epsilon, which it adds before the correction of the bias: a thousandth. A learning rate 10 % off: 2 %.
TOLERANCE = 3e-3

Ask = Callable[..., Answer]  # (kind of worker, command, *arguments) -> Answer
Step = Callable[[str], None]  # told what comes next


@dataclass
class Outcome:
    """What is known of one side so far."""

    values: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    loss: float | None = None  # or what else `Task.run` returns
    first: float | None = None  # seconds of preparing and of the first run, compilation included
    missing: str = ""


def measured(
    workload: Workload, ask: Ask, folder: Path, repeats: int, step: Step = lambda text: None
) -> dict[str, Any]:
    """Return the record of a workload: for every side its numbers, repeat by repeat, or why there are none."""
    start = time.perf_counter()
    path = folder / "problem.npz"
    made = ask("mlp_jax", "make", workload, path)
    outcomes = {side.name: Outcome(missing=made.missing and f"no problem: {made.missing}") for side in workload.sides}
    for side in workload.sides:
        step(f"{workload.name}: {side.name}, first run")
        _prepare(side, workload, path, ask, outcomes[side.name])
    disagreements(outcomes)
    for repeat in range(repeats):
        turn = repeat % len(workload.sides)
        for side in workload.sides[turn:] + workload.sides[:turn]:
            step(f"{workload.name}: {side.name}, {repeat + 1} of {repeats}")
            _measure(side, workload, path, ask, outcomes[side.name])
    for kind in {side.worker for side in workload.sides if not side.fresh}:
        ask(kind, "forget")
    path.unlink(missing_ok=True)
    return {
        "name": workload.name,
        "date": time.strftime("%Y-%m-%d"),
        "settings": workload.settings,
        "source": made.value,
        "repeats": repeats,
        "seconds": time.perf_counter() - start,
        "sides": {name: _record(outcome) for name, outcome in outcomes.items()},
    }


def disagreements(outcomes: dict[str, Outcome], tolerance: float = TOLERANCE) -> None:
    """Set sides aside whose loss or result after the same steps is not the first side's: they would do other work."""
    losses = [outcome.loss for outcome in outcomes.values() if outcome.loss is not None]
    for outcome in outcomes.values():
        if outcome.loss is not None and not abs(outcome.loss - losses[0]) <= tolerance * abs(losses[0]):
            outcome.missing = f"not the same work: {outcome.loss:.5g}, not {losses[0]:.5g}, after the same steps"


def _prepare(side: Side, workload: Workload, path: Path, ask: Ask, outcome: Outcome) -> None:
    if outcome.missing or side.fresh:
        return
    start = time.perf_counter()
    prepared = ask(side.worker, "prepare", side, workload, path)
    if prepared.missing:
        outcome.missing = prepared.missing
        return
    outcome.facts = prepared.value["facts"]
    first = ask(side.worker, "measure", side.name)
    outcome.first, outcome.missing = time.perf_counter() - start, first.missing
    if prepared.value["comparable"] and not outcome.missing:
        compared = ask(side.worker, "compare", side.name, path)
        outcome.loss, outcome.missing = compared.value, compared.missing


def _measure(side: Side, workload: Workload, path: Path, ask: Ask, outcome: Outcome) -> None:
    if outcome.missing:
        return
    if side.fresh:
        process = worker.start(side.worker)
        try:
            answer = worker.ask(process, "prepare", side, workload, path)
            if not answer.missing:
                outcome.facts = answer.value["facts"]
                answer = worker.ask(process, "measure", side.name)
        finally:
            worker.stop(process)
    else:
        answer = ask(side.worker, "measure", side.name)
    if answer.missing:
        outcome.missing, outcome.values = answer.missing, []
    else:
        outcome.values.append(answer.value)


def _record(outcome: Outcome) -> dict[str, Any]:
    record = {"values": outcome.values, "facts": outcome.facts, "loss": outcome.loss, "first": outcome.first}
    return {"missing": outcome.missing} if outcome.missing else record


def asking(workers: dict[str, Worker]) -> Ask:
    """Return a function that asks workers of the given dictionary, which it starts when they are first asked."""

    def ask(kind: str, command: str, *arguments: Any) -> Answer:
        if kind not in workers or not workers[kind].process.is_alive():
            workers[kind] = worker.start(kind)
        return worker.ask(workers[kind], command, *arguments)

    return ask
