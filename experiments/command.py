"""The command of the experiments: run them, print their claims, write a report."""

import sys
import webbrowser
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import matplotlib

from experiments import QUESTIONS, protocol, readme, records, report
from experiments.frame import walkthrough
from experiments.protocol import Result
from mlp_jax.command_line import check_choice, check_seed, progress_bars, use_all_cores

matplotlib.use("svg")


def main(
    names: tuple[str, ...] = (),
    /,
    *,
    quick: bool = False,
    record: bool = False,
    seed: int = 0,
    open: bool = False,
) -> None:
    """Answer the questions by experiment, print every claim beside what was measured, and write one report.

    Args:
      names: of questions, by default all; or walkthrough, which prints one backward pass number by number; or
        readme, which writes the recorded numbers again into README.md, the report, pictures and docstrings.
      quick: fewer seeds and no MNIST: under three minutes; without it about half an hour.
      record: write to experiments/results/, which README quotes, and not to experiments/runs/.
      seed: of all randomness.
      open: show the report in a browser: of this run or, where nothing else is asked for, of the recorded one.
    """
    check_seed("seed", seed)
    for name in names:
        check_choice("NAME", name, (*QUESTIONS, "walkthrough", "readme"))
    if quick and record:
        raise ValueError("--record: expected a full run, got --quick: leave one of them out")
    use_all_cores()
    if "walkthrough" in names:
        print(walkthrough.text())
    if "readme" in names:
        readme.update()
    chosen = [name for name in QUESTIONS if name in names or not names]
    if not names and open and not (quick or record):
        chosen = []
    page, results = answer(chosen, quick, record, seed) if chosen else (report.RECORDED, [])
    if open:
        webbrowser.open(page.as_uri())
    if chosen or open:
        print(f"\nreport: {page}")
    if any(claim.exact and claim.verdict in ("does not hold", "differs") for r in results for claim in r.claims):
        print("error: a claim that has to hold in every run does not hold", file=sys.stderr)
        sys.exit(1)


def answer(names: list[str], quick: bool, record: bool, seed: int) -> tuple[Path, list[Result]]:
    """Run questions, show and write their results, and return the page of the report with them."""
    questions = [import_module(f"experiments.{name}") for name in names]
    folder = records.RESULTS if record else None
    results = []
    used: list[Path] = []
    with progress_bars() as add_bar:
        bars = [add_bar(question.__name__, len(question.MEASUREMENTS)) for question in questions]
        for question, move in zip(questions, bars, strict=True):
            measurements = []
            for done, module in enumerate(question.MEASUREMENTS):
                config = module.QUICK if quick else module.FULL
                path = records.unfinished(module, config, seed)
                progress = partial(_move_by_share, move, done)
                measurement = records.kept(path) or protocol.measured(module, config, seed, progress)
                records.keep(path, measurement)
                move(done + 1)
                used.append(path)
                measurements.append(measurement)
            results.append(protocol.answered(question, measurements, seed))
    folder = folder or records.new_folder(records.RUNS)
    for question, result in zip(questions, results, strict=True):
        records.write(folder, result, question)
        show(result)
    page = report.write(folder)
    for path in used:
        path.unlink(missing_ok=True)
    return page, results


def show(result: Result) -> None:
    """Print the question, the answer, and the table of claims."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    safe = (console.encoding or "").lower().startswith("utf")
    table = Table(box=box.ROUNDED if safe else box.ASCII, safe_box=not safe)
    for title in readme.COLUMNS:
        table.add_column(title, justify="left" if title in ("claim", "verdict") else "right")
    for claim in result.claims:
        table.add_row(*readme.cells(claim))
    console.print(f"\n[bold]{result.question}[/bold]\n{result.answer}\n", highlight=False)
    console.print(table)


def _move_by_share(move: Callable[[float], None], done: int, share: float) -> None:
    """Move a question's bar within its next measurement."""
    move(done + share)
