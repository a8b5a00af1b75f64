"""What README.md quotes from results and programs, written between its marks, so that it cannot go stale."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from experiments import walkthrough
from experiments.protocol import Claim, Result, from_record
from mlp_jax.diagnosis import files

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "experiments" / "results"
CLAIMS = RESULTS / "README.md"
EXAMPLE = ROOT / "experiments" / "examples" / "my_backprop.py"


COLUMNS = ("claim", "bound", "measured", "95 % interval", "verdict")


def update() -> None:
    """Write the generated parts into README.md, and the claims of all questions into results/README.md."""
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
    CLAIMS.write_text(claims(), encoding="utf-8")


def filled(text: str) -> str:
    """Return README's text with every part between <!-- NAME --> and <!-- end --> made anew."""
    for name, part in PARTS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        made = part().replace("\\", r"\\")  # a backslash stands for itself
        text, count = re.subn(pattern, rf"\g<1>{made}\n\g<2>", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"README.md: expected <!-- {name} --> ... <!-- end --> once, got it {count} times")
    return text


def recorded() -> list[Result]:
    """Return the recorded results, by name."""
    return [from_record(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(RESULTS.glob("why_*.json"))]


def questions() -> str:
    """Every recorded question, its answer, and how many of its claims hold."""
    return "\n\n".join(
        f"**{result.question}** {result.answer} "
        f"{sum(claim.verdict == 'holds' for claim in result.claims)} of {len(result.claims)} claims hold "
        f"([picture](experiments/results/{result.name}.svg))."
        for result in recorded()
    )


def claims() -> str:
    """Every claim of every recorded question, as tables."""
    parts = ["# What was claimed, and what was measured\n"]
    parts.append("Written by `python -m experiments readme` from the records in this folder.")
    for result in recorded():
        parts.append(f"\n## {result.question}\n\n{result.answer}\n\n![{result.question}]({result.name}.svg)\n")
        parts.append(f"| {' | '.join(COLUMNS)} |\n|---|--:|--:|--:|---|")
        parts += [f"| {' | '.join(cells(claim))} |" for claim in result.claims]
        versions = ", ".join(f"{name} {version}" for name, version in result.versions.items() if name != "mlp_jax")
        parts.append(f"\nMeasured on {result.device} with {versions}, in {result.seconds:.0f} s.")
    return "\n".join(parts) + "\n"


def walkthrough_block() -> str:
    """The walkthrough as a block of code."""
    return f"```text\n{walkthrough.text()}\n```"


def check_block() -> str:
    """A wrong backward pass, and what `mlp-jax check` says about it."""
    report = files.judge(files.answers_of_file(EXAMPLE, {}))
    said = f"$ mlp-jax check {EXAMPLE.name}\n{report}"
    return f"```python\n{EXAMPLE.read_text(encoding='utf-8').strip()}\n```\n\n```text\n{said}\n```"


PARTS: dict[str, Callable[[], str]] = {"check": check_block, "questions": questions, "walkthrough": walkthrough_block}


def cells(claim: Claim) -> list[str]:
    """Return a claim as the cells of a table's row."""
    relation = {"<=": "≤ ", ">=": "≥ ", "=": ""}[claim.relation]
    interval = "" if claim.interval is None else " to ".join(number(end) for end in claim.interval)
    return [claim.statement, relation + number(claim.expected), number(claim.measured), interval, claim.verdict]


def number(value: float) -> str:
    """Return a number with two digits, or whole."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.2g}"
