"""What README.md, README.ko.md and results/README.md quote from recorded numbers, written by the command."""

import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from experiments.frame import page, questions, walkthrough, words
from experiments.frame.numbers import name_of
from experiments.frame.questions import Answer
from mlp_jax import check_backprop

ROOT = Path(__file__).parent.parent.parent
README = {"en": ROOT / "README.md", "ko": ROOT / "README.ko.md"}
CLAIMS = questions.RESULTS / "README.md"
EXAMPLE = ROOT / "experiments" / "examples" / "my_backprop.py"
SCRIPT = ROOT / "tests" / "wild" / "w11_cats_from_pixels.py"


def update() -> None:
    """Draw the recorded numbers in today's pictures, and write today's words about them into the pages."""
    answers = questions.all_recorded()
    for answer in answers:
        questions.draw(questions.RESULTS, answer)
    for language, path in README.items():
        path.write_text(with_parts(path.read_text(encoding="utf-8"), parts(answers, language)), encoding="utf-8")
    CLAIMS.write_text(claims(answers), encoding="utf-8")


def with_parts(text: str, made: dict[str, Callable[[], str]]) -> str:
    """Return a page's text with each of its parts between <!-- NAME --> and <!-- end --> made anew.

    Raises:
      ValueError: if the page has a part that is not made, or one twice.
    """
    names = re.findall(r"<!-- (?!end)(\w+) -->\n", text)
    if not names or len(set(names)) < len(names) or set(names) - set(made):
        raise ValueError(f"the page: expected each of {', '.join(made)} at most once, got {names}")
    for name in names:
        part = made[name]().replace("\\", r"\\")  # a backslash stands for itself
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>{part}\n\g<2>", text, flags=re.DOTALL)
    return text


def parts(answers: list[Answer], language: str) -> dict[str, Callable[[], str]]:
    """Return what makes each part of a page, by its name."""
    return {
        "script": script_block,
        "check": check_block,
        "questions": lambda: table(answers, language),
        "walkthrough": walkthrough_block,
        "speed": speed,
    }


def table(answers: list[Answer], language: str) -> str:
    """Return every question with its sentence and key number."""
    titles = words.of_page(language)["readme"]
    lines = [f"| {titles['question']} | {titles['sentence']} | {titles['key']} |", "|---|---|---|"]
    for answer in answers:
        sentence, key = (questions.said(answer, what, language) for what in ("sentence", "key"))
        lines.append(f"| **{words.of(answer.question, language)['question']}** | {sentence} | {key} |")
    count = page.totals([claim for answer in answers for claim in answer.claims], language)
    return "\n".join([*lines, "", textwrap.fill(count, 120)])


def claims(answers: list[Answer]) -> str:
    """Return every claim of every recorded question, as tables."""
    lines = ["# What was claimed, and what was measured\n"]
    lines.append("Written by `python -m experiments readme` from the numbers in this folder.")
    lines.append("`python -m experiments --open` shows sources, formulas and settings too.")
    for answer in answers:
        text = words.of(answer.question, "en")
        lines.append(f"\n## {text['question']}\n\n{questions.said(answer, 'sentence')}\n")
        lines.append(questions.said(answer, "paragraph"))
        for module in answer.question.MEASUREMENTS:
            name = name_of(module)
            lines.append(f"\n### {text[name]['title']}\n")
            if "caption" in text[name]:
                lines.append(f"![{text[name]['caption']}]({answer.name}/{name}.svg)\n")
            lines.append(f"| {' | '.join(page.COLUMNS)} |\n|---|--:|--:|--:|---|")
            lines += [f"| {' | '.join(escaped(cell) for cell in page.cells(one))} |" for one in answer.judged[name]]
        first = next(iter(answer.numbers.values()))
        versions = ", ".join(f"{name} {version}" for name, version in first.versions.items() if name != "mlp_jax")
        lines.append(f"\nMeasured on {first.device} with {versions}, in {answer.seconds:.0f} s.")
    return "\n".join(lines) + "\n"


def escaped(cell: str) -> str:
    """Return text that may stand in a table of Markdown."""
    return cell.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def walkthrough_block() -> str:
    """Return the walkthrough to the end of the backward pass, as a block of code."""
    return f"```text\n{walkthrough.text().partition(chr(10) + 'update')[0]}\n```"


def check_block() -> str:
    """Return what `mlp-jax check` says about a wrong backward pass."""
    report = check_backprop(runpy.run_path(str(EXAMPLE))["loss_and_gradients"])
    return f"```text\n$ mlp-jax check {EXAMPLE.name}\n{report}\n```"


def script_block() -> str:
    """Return what `mlp-jax check` says first about a training script."""
    done = subprocess.run(
        [sys.executable, "-m", "mlp_jax", "check", str(SCRIPT), "--seed", "0"],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    verdict = done.stdout.partition("at random parameters")[0].rstrip()
    return f"```text\n$ mlp-jax check {SCRIPT.name}\n{verdict}\n```"


def speed() -> str:
    """Return the recorded benchmark in short."""
    from experiments.benchmark import files, summary  # only here: experiments do without the benchmark

    result = files.recorded()
    return "not measured yet" if result is None else summary.summary_table(result)
