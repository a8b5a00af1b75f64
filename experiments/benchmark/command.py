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
from typing import Any

import matplotlib
from rich.console import Console
from rich.table import Table

from experiments.benchmark import files, rounds, table, worker, workloads
from experiments.benchmark.workloads import Workload
from experiments.frame import questions
from mlp_jax.command_line import check_choice, progress_bars

matplotlib.use("svg")

QUICK_REPEATS = 3


def main(
    *, quick: bool = False, only: tuple[str, ...] = (), record: bool = False, table: bool = False, times: bool = False
) -> None:
    """Measure how fast mlp_jax is beside PyTorch, scikit-learn, equinox, flax, and the machine's limits.

    Args:
      quick: three repeats of fewer and shorter workloads: under three minutes; without it about half an hour.
      only: the workloads whose names begin so, for example "epoch" or "64 nets".
      record: write to experiments/results/, which README quotes, and not to experiments/runs/. With --only, replace
        these workloads in the result that is recorded there, if it is of this machine and these versions.
      table: print the recorded result, and measure nothing.
      times: print the times of all sides too, and not the ratios alone.
    """
    names = [workload.name for workload in workloads.WORKLOADS]
    for name in only:
        if not any(known.startswith(name) for known in names):
            check_choice("only", name, names)
    if record and quick:
        raise ValueError("--record: expected a full run, got --quick: leave one of them out")
    if table:
        result = files.recorded()
        if result is None:
            raise ValueError(
                f"--table: expected a recorded result in {questions.RESULTS}, got none: --record writes one"
            )
        show(result, times)
        return
    chosen = workloads.chosen(quick, only)
    if not chosen:
        raise ValueError("only: expected workloads that a quick run has, got none of them: leave --quick out")
    paths = [files.unfinished(workload, repeats_of(workload, quick)) for workload in chosen]
    result, finished = measured(chosen, paths, quick, only)
    show(result, times)
    result_path = files.result_path(questions.RESULTS if record and finished else questions.RUNS, result["backend"])
    files.write(result_path, files.merged(result_path, result) if record and only and finished else result)
    print(f"\nresult: {result_path}")
    if not finished:
        print("interrupted: what is finished is written; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    for path in paths:
        path.unlink(missing_ok=True)


def measured(
    chosen: tuple[Workload, ...], paths: list[Path], quick: bool, only: tuple[str, ...]
) -> tuple[dict[str, Any], bool]:
    """Measure workloads, keep each at its path, and return the result and whether all are done; Ctrl-C ends it."""
    workers: dict[str, worker.Worker] = {}
    ask = rounds.asking(workers)
    done: dict[str, Any] = {}
    finished = True
    with tempfile.TemporaryDirectory(prefix="mlp_jax-benchmark-") as folder, progress_bar(chosen, quick) as step:
        try:
            device = ask("mlp_jax", "device")
            for workload, path in zip(chosen, paths, strict=True):
                kept = files.kept(path)
                if kept is None:
                    kept = rounds.measured(workload, ask, Path(folder), repeats_of(workload, quick), step)
                    if not any("missing" in side for side in kept["sides"].values()):  # else try again next time
                        files.keep(path, kept)
                else:
                    for _ in range(slices(workload, quick)):
                        step(f"{workload.name}: measured before")
                done[workload.name] = kept
        except KeyboardInterrupt:
            finished = False
            device = worker.Answer(missing="interrupted") if not done else device
        finally:
            for process in workers.values():
                worker.stop(process)
    backend, name = device.value or ("cpu", device.missing)
    left_out = [w.name for w in workloads.WORKLOADS if w.name not in done]
    sides = [f"{w.name}: {s.name}" for w in workloads.WORKLOADS if quick for s in w.sides
             if w.name in done and s.name not in done[w.name]["sides"]]  # fmt: skip
    return {
        "name": files.NAME,
        "date": time.strftime("%Y-%m-%d"),
        "quick": quick,
        "backend": backend,
        "device": name,
        "processor": files.processor(),
        "cores": os.cpu_count(),
        "versions": files.versions(),
        "left out": [] if only else left_out + sides,
        "workloads": done,
    }, finished


def repeats_of(workload: Workload, quick: bool) -> int:
    """Return how often the sides of a workload take their turn."""
    return min(QUICK_REPEATS, workload.repeats) if quick else workload.repeats


def slices(workload: Workload, quick: bool) -> int:
    """Return how often the progress bar moves for a workload."""
    return len(workload.sides) * (1 + repeats_of(workload, quick))


def show(result: dict[str, Any], times: bool = False) -> None:
    """Print the ratios, and what the machine can do."""
    from rich import box
    from rich.markup import escape

    console = Console(width=None if sys.stdout.isatty() else 150)
    safe = (console.encoding or "").lower().startswith("utf")

    def printed(columns: tuple[str, ...], rows: list[list[str]], left: tuple[str, ...]) -> None:
        shown = Table(box=box.ROUNDED if safe else box.ASCII, safe_box=not safe)
        for title in columns:
            shown.add_column(title, justify="left" if title in left else "right")
        for row in rows:
            shown.add_row(*map(escape, row))  # [benchmark] in a cell is no markup
        console.print(shown)

    if times:
        columns = (
            "workload",
            "side",
            "unit",
            "median",
            "lower quartile",
            "upper quartile",
            "least",
            "most",
            "first, s",
        )
        printed(columns, table.times(result), ("workload", "side", "unit"))
    printed(table.COLUMNS, [table.cells(row) for row in table.table(result)], ("workload", "of", "verdict"))
    sources = sorted(
        {w["source"] for w in result["workloads"].values() if w["settings"]["sizes"][:1] in ([784], (784,))}
    )
    words = [f"{result['device']}, {result['processor']}, {result['cores']} cores", *table.limits(result)]
    print("; ".join([*words, *(f"images of 784 pixels: {source}" for source in sources)]))
    if result["backend"] != "cpu":
        print("PyTorch and scikit-learn run on the CPU, the others on the GPU.")
    if result["left out"]:
        counts = Counter(name.partition(" ")[0] for name in result["left out"])
        kinds = (f"{count} {kind}" for kind, count in counts.items())
        print(f"left out, workloads or sides of them (all names are in the result): {', '.join(kinds)}")


@contextmanager
def progress_bar(chosen: tuple[Workload, ...], quick: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that says what comes next, and moves the bar on the error stream."""
    with progress_bars() as add_bar:
        move, done = add_bar("side", sum(slices(workload, quick) for workload in chosen)), count()
        yield lambda text: move(next(done), text)
