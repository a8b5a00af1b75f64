"""The command of the experiments: measure, and say each answer as soon as it is there."""

import sys
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal

import matplotlib

from experiments.frame import numbers, page, questions, readme, walkthrough, words
from experiments.frame.numbers import Numbers, name_of
from experiments.frame.progress import progress
from experiments.frame.questions import QUESTIONS, RESULTS, RUNS, Answer
from mlp_jax.command_line import check_choice, check_seed, use_all_cores

matplotlib.use("svg")


def main(
    names: tuple[str, ...] = (),
    /,
    *,
    quick: bool = False,
    record: bool = False,
    seed: int = 0,
    open: bool = False,
    claims: bool = False,
    language: Literal["en", "ko"] = "en",
) -> None:
    """Answer the questions by experiment, and write one report with every claim next to what was measured.

    Args:
      names: of questions, by default all; or walkthrough, which prints one backward pass number by number; or
        readme, which writes what README.md and the pictures show of the recorded numbers.
      quick: fewer seeds and no MNIST: about a minute; without it about half an hour.
      record: write to experiments/results/, which README quotes, and not to experiments/runs/.
      seed: of all randomness.
      open: show the report in a browser: of this run or, if nothing else is asked for, of the recorded one.
      claims: print every claim with its verdict, too.
      language: of the answers and of the report: English (en) or Korean (ko).
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
    show = partial(_show, language=language, with_claims=claims)
    if not names and open and not (quick or record):
        answers, folder = questions.all_recorded(), RESULTS
    elif chosen:
        folder = RESULTS if record else questions.new_folder(RUNS)
        answers = answer(chosen, quick, seed, folder, show)
    else:
        return
    report = page.write(RUNS / "recorded" if folder == RESULTS else folder, answers, folder, language)
    if open:
        webbrowser.open(report.as_uri())
    print(f"\n{page.totals([claim for one in answers for claim in one.claims], language)}\nreport: {report}")
    fallen = [f"{a.name}: {c.statement}" for a in answers for c in a.claims if c.must and not _stands(c.verdict)]
    if fallen and chosen:
        print("\n".join(["error: an identity or count does not hold", *fallen]), file=sys.stderr)
        sys.exit(1)


def answer(
    names: list[str], quick: bool, seed: int, folder: Path, show: Callable[[Answer], None] = lambda answer: None
) -> list[Answer]:
    """Measure what questions need, show each answer once it is there, and write its numbers and pictures.

    What an interrupted run had measured is not measured again.
    """
    packages = [questions.question(name) for name in names]
    weights = {module: _weight(name, module, quick) for name, package in zip(names, packages, strict=True)
               for module in package.MEASUREMENTS}  # fmt: skip
    answers, used, done = [], [], 0.0
    with progress("experiments", sum(weights.values())) as report:
        for name, package in zip(names, packages, strict=True):
            measured: dict[str, Numbers] = {}
            for module in package.MEASUREMENTS:
                config = module.QUICK if quick else module.FULL
                path = questions.unfinished(module, config, seed)
                move = partial(_move, report, done, weights[module], f"{name}: {name_of(module)}")
                move(0.0)
                if not numbers.exists(path):
                    numbers.write(path, numbers.measured(module, config, seed, move))
                measured[name_of(module)] = numbers.read(path, module.Config)
                used.append(path)
                done += weights[module]
            answers.append(questions.answered(package, measured))
            questions.write(folder, answers[-1])
            show(answers[-1])
    for path in used:
        numbers.remove(path)
    return answers


def _weight(name: str, module: ModuleType, quick: bool) -> float:
    """Return a measurement's share of the time: the recorded seconds of a full run; a quick run's are about equal."""
    path = questions.place(RESULTS, name, module)
    return 1.0 if quick or not numbers.exists(path) else max(numbers.read(path, module.Config).seconds, 0.1)


def _move(report: Callable[[float, str], None], done: float, weight: float, words: str, share: float) -> None:
    report(done + weight * share, words)


def _stands(verdict: str) -> bool:
    return verdict in ("holds", "not run")


def _show(answer: Answer, language: str, with_claims: bool) -> None:
    """Print a question with its sentence and key number, and its claims if they are asked for."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    said: Mapping[str, str] = {what: questions.said(answer, what, language) for what in ("sentence", "key")}
    question = words.of(answer.question, language)["question"]
    console.print(f"\n[bold]{question}[/bold]\n{said['sentence']} [dim]({said['key']})[/dim]", highlight=False)
    if with_claims:
        safe = (console.encoding or "").lower().startswith("utf")
        table = Table(box=box.ROUNDED if safe else box.ASCII, safe_box=not safe)
        for title in page.COLUMNS:
            table.add_column(title, justify="left" if title in ("claim", "verdict") else "right")
        for claim in answer.claims:
            table.add_row(*page.cells(claim))
        console.print(table)
    sys.stdout.flush()
