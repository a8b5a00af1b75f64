"""The command of the benchmark: measure speed and memory next to the peers', and print the ratios."""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import matplotlib
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.benchmark import files, results, rounds, table, worker, workloads
from experiments.benchmark.results import Missing, Result, WorkloadResult
from experiments.benchmark.workloads import WORKLOADS, Workload
from experiments.frame import questions
from mlp_jax.command_line import check_choice, progress_bars

matplotlib.use("svg")


def main(
    *, quick: bool = False, only: tuple[str, ...] = (), record: bool = False, table: bool = False, times: bool = False
) -> None:
    """Measure how fast mlp_jax is next to PyTorch, scikit-learn, equinox, flax, and the machine's limits.

    Args:
      quick: three repeats of fewer and shorter workloads: under three minutes; without it about half an hour.
      only: the workloads whose names begin so, for example "epoch" or "64 nets".
      record: write to experiments/results/, which README quotes, and not to experiments/runs/. With --only, replace
        these workloads in the result that is recorded there, if it is of this machine and these versions.
      table: print the recorded result, and measure nothing.
      times: print the times of all sides too, and not only the ratios.
    """
    names = [workload.name for workload in WORKLOADS]
    for name in only:
        if not any(known.startswith(name) for known in names):
            check_choice("only", name, names)
    if record and quick:
        raise ValueError("--record: expected a full run, got --quick: leave one of them out")
    if table:
        recorded = files.recorded()
        if recorded is None:
            folder = questions.RESULTS
            raise ValueError(f"--table: expected a recorded result in {folder}, got none: --record writes one")
        show(recorded, times)
        return
    chosen = workloads.chosen(quick, only)
    if not chosen:
        raise ValueError("only: expected workloads that a quick run has, got none of them: leave --quick out")
    paths = [files.unfinished(workload) for workload in chosen]
    result = measured(chosen, paths, quick, only)
    finished = len(result.workloads) == len(chosen)
    show(result, times)
    result_path = files.result_path(questions.RESULTS if record and finished else questions.RUNS, result.backend)
    files.write(result_path, files.merged(result_path, result) if record and only and finished else result)
    print(f"\nresult: {result_path}")
    if not finished:
        print("interrupted: what is finished is written; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    for path in paths:
        path.unlink(missing_ok=True)


def measured(chosen: tuple[Workload, ...], paths: list[Path], quick: bool, only: tuple[str, ...]) -> Result:
    """Measure workloads, and keep each at its path. Ctrl-C ends it early: the result has what is finished."""
    workers: dict[str, worker.Worker] = {}
    ask = rounds.asking(workers)
    backend, device = "cpu", "interrupted"
    done: dict[str, WorkloadResult] = {}
    with tempfile.TemporaryDirectory(prefix="mlp_jax-benchmark-") as folder, progress_bar(chosen) as step:
        try:
            answer = rounds.attempted(ask, "mlp_jax", "device")
            backend, device = ("cpu", str(answer)) if isinstance(answer, Missing) else answer
            for workload, path in zip(chosen, paths, strict=True):
                if path.exists():
                    done[workload.name] = results.read_workload(path)
                    for _ in range(slices(workload)):
                        step(f"{workload.name}: measured before")
                    continue
                done[workload.name] = rounds.measured(workload, ask, Path(folder), step)
                if not done[workload.name].missing:  # else try again next time
                    results.write(path, done[workload.name])
        except KeyboardInterrupt:
            pass
        finally:
            for process in workers.values():
                worker.stop(process)
    return Result(
        date=time.strftime("%Y-%m-%d"),
        quick=quick,
        backend=backend,
        device=device,
        processor=files.processor(),
        cores=os.cpu_count(),
        versions=files.versions(),
        left_out=() if only else left_out(done),
        workloads=done,
    )


def left_out(done: dict[str, WorkloadResult]) -> tuple[str, ...]:
    """Return the names of the workloads that are not done, and of the sides of others that took no part."""
    sides = {(w.name, side.name) for w in WORKLOADS for side in w.sides if w.name in done}
    return (
        *(w.name for w in WORKLOADS if w.name not in done),
        *(f"{name}: {side}" for name, side in sides if side not in {*done[name].sides, *done[name].missing}),
    )


def slices(workload: Workload) -> int:
    """Return how often the progress bar moves for a workload."""
    return len(workload.sides) * (1 + workload.repeats)


def show(result: Result, times: bool = False) -> None:
    """Print the ratios, and what the machine can do."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    safe = (console.encoding or "").lower().startswith("utf")

    def show_table(columns: tuple[str, ...], rows: list[list[str]], left: tuple[str, ...]) -> None:
        shown = Table(box=box.ROUNDED if safe else box.ASCII, safe_box=not safe)
        for title in columns:
            shown.add_column(title, justify="left" if title in left else "right")
        for row in rows:
            shown.add_row(*map(escape, row))  # [benchmark] in a cell is no markup
        console.print(shown)

    if times:
        show_table(table.TIMES, table.times(result), ("workload", "side", "unit"))
    show_table(table.COLUMNS, [table.cells(row) for row in table.table(result)], ("workload", "of", "verdict"))
    sources = sorted({workload.source for workload in result.workloads.values() if 784 in workload.sizes[:1]})
    words = [f"{result.device}, {result.processor}, {result.cores} cores", *table.limits(result)]
    print("; ".join([*words, *(f"images of 784 pixels: {source}" for source in sources)]))
    if result.backend != "cpu":
        print("PyTorch and scikit-learn run on the CPU, the others on the GPU.")
    if result.left_out:
        counts = Counter(name.partition(" ")[0] for name in result.left_out)
        kinds = (f"{count} {kind}" for kind, count in counts.items())
        print(f"left out, workloads or sides of them (all names are in the result): {', '.join(kinds)}")


@contextmanager
def progress_bar(chosen: tuple[Workload, ...]) -> Iterator[Callable[[str], None]]:
    """Yield a function that says what comes next, and moves the bar on the error stream."""
    with progress_bars() as add_bar:
        move, done = add_bar("side", sum(map(slices, chosen))), count()
        yield lambda text: move(next(done), text)
