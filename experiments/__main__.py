"""`python -m experiments [NAME ...] [--quick] [--record] [--open]`: run experiments, print claims, write a report."""

import io
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

try:
    matplotlib, tyro, _, _, _ = map(import_module, ("matplotlib", "tyro", "scipy", "jinja2", "latex2mathml"))
except ModuleNotFoundError as error:
    print(f"error: the experiments need {error.name}: pip install -e '.[experiments]'", file=sys.stderr)
    sys.exit(2)

from experiments import QUESTIONS, protocol, readme, records, report, walkthrough
from experiments.protocol import Result
from mlp_jax import _doors
from mlp_jax.command_line import interrupted, use_all_cores

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
        readme, which writes the recorded numbers anew into README.md, the report, pictures and docstrings.
      quick: fewer seeds and no MNIST: under three minutes; without it about half an hour.
      record: write to experiments/results/, which README quotes, and not to experiments/runs/.
      seed: of all randomness.
      open: show the report in a browser: of this run or, where nothing else is asked for, of the recorded one.
    """
    _doors.check_seed("seed", seed)
    for name in names:
        _doors.check_choice("NAME", name, (*QUESTIONS, "walkthrough", "readme"))
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
    with progress_bars(questions) as bars:
        for question in questions:
            measurements = []
            for module in question.MEASUREMENTS:
                config = module.QUICK if quick else module.FULL
                path = records.unfinished(module, config, seed)
                measurement = records.kept(path) or protocol.measured(module, config, seed, bars(question, module))
                records.keep(path, measurement)
                bars(question, module)(1)
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


@contextmanager
def progress_bars(questions: list[ModuleType]) -> Iterator[Callable[[ModuleType, ModuleType], Callable[[float], None]]]:
    """Yield a function of a question and its measurement that gives progress(share), which moves the question's bar."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks = {question: bar.add_task(question.__name__, total=len(question.MEASUREMENTS)) for question in questions}

        def progress_of(question: ModuleType, module: ModuleType) -> Callable[[float], None]:
            before = question.MEASUREMENTS.index(module)
            return lambda share: bar.update(tasks[question], completed=before + share)

        yield progress_of


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, interrupted)
    try:
        tyro.cli(main, prog="python -m experiments")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
