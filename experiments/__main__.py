"""`python -m experiments [NAME ...] [--quick] [--record]`: run experiments, print their claims, write their results."""

import io
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

try:
    matplotlib, tyro, _ = map(import_module, ("matplotlib", "tyro", "scipy"))
except ModuleNotFoundError as error:
    print(f"error: the experiments need {error.name}: pip install -e '.[experiments]'", file=sys.stderr)
    sys.exit(2)

from experiments import protocol, readme, walkthrough
from experiments.protocol import Result
from mlp_jax import validation
from mlp_jax.__main__ import interrupted

matplotlib.use("svg")

EXPERIMENTS = ("why_backprop", "why_gradient_checks")
FOLDER = Path(__file__).parent


def main(names: tuple[str, ...] = (), /, *, quick: bool = False, record: bool = False, seed: int = 0) -> None:
    """Answer the questions by experiment, and print every claim beside what was measured.

    Args:
      names: of experiments, by default all; or walkthrough, which prints one backward pass number by number; or
        readme, which writes the recorded results into README.md.
      quick: fewer seeds: under a minute.
      record: write to experiments/results/, which README quotes, and not to experiments/runs/.
      seed: of all randomness.
    """
    validation.seed("seed", seed)
    known = (*EXPERIMENTS, "walkthrough", "readme")
    for name in names:
        validation.choice("NAME", name, known)
    if "walkthrough" in names:
        print(walkthrough.text())
    if "readme" in names:
        readme.update()
    chosen = [name for name in EXPERIMENTS if name in names or not names]
    if not chosen:
        return
    modules = [import_module(f"experiments.{name}") for name in chosen]
    results: list[Result] = []
    folder = FOLDER / "results" if record else None
    with progress_bar(modules) as progress:
        for module in modules:
            result = protocol.run(module, module.QUICK if quick else module.FULL, seed, partial(progress, module))
            folder = folder or protocol.new_folder(FOLDER / "runs")
            write(folder, module, result)
            results.append(result)
    for result in results:
        show(result)
    print(f"\nresults: {folder}")
    if any(claim.verdict == "does not hold" for result in results for claim in result.claims):
        sys.exit(1)


def write(folder: Path, module: ModuleType, result: Result) -> None:
    """Write a result as JSON and its picture as SVG."""
    text = json.dumps(protocol.as_record(result), indent=1, ensure_ascii=False)
    folder.mkdir(exist_ok=True)
    (folder / f"{result.name}.json").write_text(text + "\n", encoding="utf-8")
    matplotlib.rcParams["svg.hashsalt"] = result.name  # the same picture is the same file
    module.plot(result).savefig(folder / f"{result.name}.svg", metadata={"Date": None})


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
def progress_bar(modules: Sequence[ModuleType]) -> Iterator[Any]:
    """Yield a function of an experiment and its findings done that moves that experiment's bar on the error stream."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks = {module: bar.add_task(module.__name__, total=len(module.FINDINGS)) for module in modules}
        yield lambda module, done: bar.update(tasks[module], completed=done)


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
