"""What README.md and the docstrings quote from results, written by the run, so that it cannot go stale."""

import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from experiments import QUESTIONS, protocol, records, report
from experiments.frame import walkthrough
from experiments.protocol import Claim, Result, filled
from mlp_jax import check_backprop

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CLAIMS = records.RESULTS / "README.md"
EXAMPLE = ROOT / "experiments" / "examples" / "my_backprop.py"
SCRIPT = ROOT / "tests" / "wild" / "w11_cats_from_pixels.py"


COLUMNS = ("claim", "expected", "measured", "95 % interval", "verdict")


def update() -> None:
    """Write the recorded numbers anew, in today's words and pictures: records, README.md, report, docstrings."""
    for result in recorded():
        question = import_module(f"experiments.{result.name}")
        result = protocol.reworded(question, result)
        records.write(records.RESULTS, result, question)
        path = source(result)
        path.write_text(with_answer(path.read_text(encoding="utf-8"), result), encoding="utf-8")
    README.write_text(with_parts(README.read_text(encoding="utf-8")), encoding="utf-8")
    CLAIMS.write_text(claims(), encoding="utf-8")
    report.write(records.RESULTS)


def with_parts(text: str) -> str:
    """Return README's text with every part between <!-- NAME --> and <!-- end --> made anew."""
    for name, part in PARTS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        made = part().replace("\\", r"\\")  # a backslash stands for itself
        text, count = re.subn(pattern, rf"\g<1>{made}\n\g<2>", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"README.md: expected <!-- {name} --> ... <!-- end --> once, got it {count} times")
    return text


def with_answer(text: str, result: Result) -> str:
    """Return a question's source with its answer, as the result fills it, in the docstring."""
    answer = "\n".join(textwrap.wrap(result.answer, 120, break_long_words=False, break_on_hyphens=False))
    made = f'"""{result.question}\n\n{answer}\n"""'.replace("\\", r"\\")
    return re.sub(r'\A""".*?"""', made, text, count=1, flags=re.DOTALL)


def source(result: Result) -> Path:
    """Return the file of a question."""
    return ROOT / "experiments" / result.name / "__init__.py"


def recorded() -> list[Result]:
    """Return the recorded results, in the order of the questions."""
    return records.recorded(QUESTIONS)


def questions() -> str:
    """Every recorded question, its answer, and its key number."""
    lines = ["| question | answer | key number |", "|---|---|---|"]
    for result in recorded():
        key = filled(import_module(f"experiments.{result.name}").KEY, result.claims)
        lines.append(f"| **{result.question}** | {result.answer} | {key} |")
    count = report.verdicts(tuple(claim for result in recorded() for claim in result.claims))
    return "\n".join([*lines, "", textwrap.fill(f"{count}. Many are identities or counts that must hold.", 120)])


def claims() -> str:
    """Every claim of every recorded question, as tables."""
    parts = ["# What was claimed, and what was measured\n"]
    parts.append(
        "Written by `python -m experiments readme` from the records in this folder; `report.html` shows it all."
    )
    for result in recorded():
        parts.append(f"\n## {result.question}\n\n{result.answer}")
        for measurement in result.measurements:
            parts.append(f"\n### {measurement.title}\n")
            if measurement.caption:
                parts.append(f"![{measurement.caption}]({records.picture_name(result, measurement)})\n")
            parts.append(f"| {' | '.join(COLUMNS)} |\n|---|--:|--:|--:|---|")
            parts += [f"| {' | '.join(escaped(cell) for cell in cells(claim))} |" for claim in measurement.claims]
        versions = ", ".join(f"{name} {version}" for name, version in result.versions.items() if name != "mlp_jax")
        parts.append(f"\nMeasured on {result.device} with {versions}, in {result.seconds:.0f} s.")
    return "\n".join(parts) + "\n"


def escaped(cell: str) -> str:
    """Return text that may stand in a table of Markdown."""
    return cell.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def walkthrough_block() -> str:
    """The walkthrough to the end of the backward pass, as a block of code."""
    return f"```text\n{walkthrough.text().partition(chr(10) + 'update')[0]}\n```"


def check_block() -> str:
    """What `mlp-jax check` says about a wrong backward pass."""
    report = check_backprop(runpy.run_path(str(EXAMPLE))["loss_and_gradients"])
    return f"```text\n$ mlp-jax check {EXAMPLE.name}\n{report}\n```"


def script_block() -> str:
    """What `mlp-jax check` says first about a training script."""
    done = subprocess.run(
        [sys.executable, "-m", "mlp_jax", "check", str(SCRIPT), "--seed", "0"],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    verdict = done.stdout.partition("at random parameters")[0].rstrip()
    return f"```text\n$ mlp-jax check {SCRIPT.name}\n{verdict}\n```"


def speed() -> str:
    """The recorded benchmark in short."""
    from experiments.benchmark import files, summary  # here alone: experiments do without the benchmark

    result = files.recorded()
    return "not measured yet" if result is None else summary.summary_table(result)


PARTS: dict[str, Callable[[], str]] = {
    "script": script_block,
    "check": check_block,
    "questions": questions,
    "walkthrough": walkthrough_block,
    "speed": speed,
}


def cells(claim: Claim) -> list[str]:
    """Return a claim as the cells of a table's row."""
    return [
        claim.statement, report.expected(claim), report.number(claim.measured), report.interval(claim), claim.verdict
    ]  # fmt: skip
