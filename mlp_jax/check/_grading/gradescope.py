"""A results.json for Gradescope: one test per question or leaf, with partial credit, and the diagnosis as Markdown.

The form is that of the autograder specification of January 2025. Gradescope ignores the exit status. So a result that
says "no result yet" is written before any work, and later results replace it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlp_jax._doors import mistake
from mlp_jax._files import atomic_write
from mlp_jax.check._differences.running import text
from mlp_jax.check._networks.report import BackpropReport, Part
from mlp_jax.check._rendering import text as text_of_page

SUFFIX = ".json"
DIGITS = 6  # of a score, after the point
MOST_PARTS = 60  # of a file that have a test each
LONGEST_LINE = 2000
UNFINISHED = "the autograder was ended before it had a result: it ran out of time or memory, or was interrupted"
NOT_THEIRS = "The file could not be judged, for a reason outside of it. Please tell your teacher."


def results(reports: Sequence[tuple[str, BackpropReport]], points: float, seconds: float) -> dict[str, Any]:
    """Return the content of a results.json.

    Args:
      reports: of files by name, graded and cut down to what students may know. Each is a question.
      points: that all of them together get if they are correct.
      seconds: that the check took.

    Returns:
      JSON values. The score of the whole is that of its tests together, rounded to 6 digits.
    """
    tests = [test for i, named in enumerate(reports, 1) for test in _tests(i, *named, is_alone=len(reports) == 1)]
    score = sum(0.0 if one.credit is None else one.credit.score for _, one in reports)
    is_whole = all(one.ok for _, one in reports)
    return _whole(points if is_whole else round(min(score, points), DIGITS), seconds, _all_in_markdown(reports), tests)


def no_result(reason: str, points: float, seconds: float = 0.0) -> dict[str, Any]:
    """Return the content of a results.json without points: nothing could be judged, for this reason."""
    output = f"**{NOT_THEIRS}**\n\n{code_block(reason)}"
    return _whole(0.0, seconds, output, [_test("1", "the autograder", 0.0, points, output)])


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a results.json in one step. It replaces an earlier one, as a grader may write more than once."""
    check_path(path)
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def check_path(path: Path) -> None:
    """Check that a path is one that may be replaced without being asked: its name ends in .json.

    Raises:
      ValueError: if it does not.
    """
    if path.suffix != SUFFIX:
        raise mistake("gradescope", f"a file that ends in {SUFFIX}, such as results.json", path)


def markdown(report: BackpropReport) -> str:
    """Return a report as Markdown: a line of ours, and all else as a block of code.

    What a file says stands in the block only, of which each line is indented by us, so it is neither Markdown nor HTML.
    """
    score = "" if report.credit is None else f": {report.credit}"
    return f"**{report.verdict.upper()}**{score}\n\n{code_block(text_of_page(report.page()._replace(maps=())))}"


def code_block(lines: str) -> str:
    """Return lines as a block of code, in which nothing is Markdown or HTML.

    >>> code_block("# a <i>")
    '    # a <i>'
    """
    return "\n".join(f"    {text(line, LONGEST_LINE)}" for line in lines.split("\n"))


def _all_in_markdown(reports: Sequence[tuple[str, BackpropReport]]) -> str:
    if len(reports) == 1:
        return markdown(reports[0][1])
    return "\n\n".join(
        f"Question {i}\n\n{code_block(name)}\n\n{markdown(one)}" for i, (name, one) in enumerate(reports, 1)
    )


def _tests(i: int, name: str, report: BackpropReport, is_alone: bool) -> Iterator[dict[str, Any]]:
    """Yield the tests of one file: one for each part, or one for all if parts are not told, or too many."""
    credit, whole = report.credit, text(name)
    assert credit is not None  # it is graded
    if not credit.parts or len(credit.parts) > MOST_PARTS:
        yield _test(str(i), whole, credit.score, credit.points, markdown(report), report.ok)
        return
    for k, part in enumerate(credit.parts, 1):
        title = text(part.name) if is_alone else f"{whole}: {text(part.name)}"
        yield _test(f"{i}.{k}", title, part.score, part.most, _of_part(part, report), part.right)


def _of_part(part: Part, report: BackpropReport) -> str:
    """Say whether a part is right; of a gradient that is not, with the numbers that the report may tell."""
    if part.right:
        return "right"
    table = report.page().tables[:1]
    rows = [row for one in table for row in one.rows if row[0] == part.name]
    numbers = [
        f"{column}: {cell}" for one in table for row in rows for column, cell in zip(one.columns, row, strict=True)
    ]
    return f"**not right**\n\n{code_block(chr(10).join(numbers))}" if numbers else "**not right**"


def _test(
    number: str, name: str, score: float, most: float, output: str, passed: bool = False
) -> dict[str, Any]:  # fmt: skip
    return {
        "number": number,
        "name": name,
        "name_format": "text",
        "score": round(score, DIGITS),
        "max_score": round(most, DIGITS),
        "status": "passed" if passed else "failed",
        "output": output,
        "output_format": "md",
        "visibility": "visible",
    }


def _whole(score: float, seconds: float, output: str, tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "score": score,
        "execution_time": round(seconds),
        "output": output,
        "output_format": "md",
        "test_output_format": "md",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": list(tests),
    }
