"""A report on a backward pass as text for a terminal and as HTML."""

import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mlp_jax.check._gradient_check.rendering import (
    LEAF_COLUMNS,
    heat_map,
    html_table,
    leaf_rows,
    styled_lines,
    text_table,
)

if TYPE_CHECKING:
    from mlp_jax.check._diagnosis.report import BackpropReport

WIDTH = 110  # of a line of words: about that of the table


def text(report: "BackpropReport") -> str:
    """Return a report on a backward pass, for a terminal."""
    lines = [report.verdict.upper()]
    for diagnosis in report.diagnoses:
        what, _, right = diagnosis.message.partition(" Right is: ")
        lines += _wrapped(f"{diagnosis.code}: {what}")
        details = (("right", right), ("where", diagnosis.where), ("evidence", diagnosis.evidence))
        lines += [line for name, value in details if value for line in _wrapped(f"  {name}: {value}", "    ")]
    if report.gradients.leaves:
        lines.append(_problem(report))
        lines += text_table(LEAF_COLUMNS, leaf_rows(report.gradients.leaves))
    for note in (*report.notes, *footnotes(report)):
        lines += _wrapped(f"note: {note}")
    return "\n".join(lines)


def _problem(report: "BackpropReport") -> str:
    losses = ": loss {actual:.10g}, expected {expected:.10g}".format(**report.loss) if report.loss else ""
    return f"{report.problem}{losses}"


def _wrapped(line: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def rich(report: "BackpropReport") -> Any:
    """Return the same in colour."""
    from rich.text import Text

    return Text("\n").join(styled_lines(text(report), report.ok))


def footnotes(report: "BackpropReport") -> list[str]:
    """Say how strong the check was, and how good its reference."""
    if not report.power["known"]:
        return []
    known, caught, escaped = (report.power[name] for name in ("known", "caught", "escaped"))
    notes = [
        f"{caught} of {known} known mistakes would be told from a correct pass here",
        f"the numbers agree to {report.precision}; the reference is autodiff in float64, {report.reference_error:.0e} "
        "from a chain by hand",
    ]
    if escaped:
        weak = (
            "a WEAK POINT, at which these wrong passes look right; larger weights and biases would show them: one that "
        )
        notes.insert(0, weak + "; one that ".join(escaped))
    if report.uses_autodiff:
        notes.append("the code calls autodiff")
    return notes


def html(report: "BackpropReport") -> str:
    """Return the same as HTML, with the formula of each diagnosis and a heat map of each leaf's error."""
    color = "#075" if report.ok else "#b00"
    parts = [f'<h2 style="color:{color}">{escape(report.verdict)}</h2>']
    for diagnosis in report.diagnoses:
        parts.append(f"<p><b>{escape(diagnosis.code)}</b>: {escape(diagnosis.message)}</p>")
        details = [("where", diagnosis.where), ("evidence", diagnosis.evidence)]
        items = "".join(f"<li>{name}: {escape(value)}</li>" for name, value in details if value)
        parts.append(f"<ul>{items}</ul>" if items else "")
    if report.gradients.leaves:
        parts.append(f"<p>{escape(_problem(report))}</p>")
        parts.append(html_table(LEAF_COLUMNS, leaf_rows(report.gradients.leaves)))
        if report.errors:
            parts.append("<p>The errors of each leaf, |actual - expected| over its largest |expected|:</p>")
        parts += [heat_map(errors, name, least=1e-6) for name, errors in report.errors.items()]
    parts += [f"<p>{escape(note)}</p>" for note in (*report.notes, *footnotes(report))]
    return "\n".join(parts)


def page(reports: "Sequence[tuple[str, BackpropReport]]") -> str:
    """Return a page of its own with the reports of files."""
    sections = "\n".join(f"<section>\n<h1>{escape(name)}</h1>\n{html(report)}\n</section>" for name, report in reports)
    return PAGE.format(title="mlp-jax check", body=sections)


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ padding: .2rem .7rem; border-bottom: 1px solid #ddd; white-space: nowrap }}
figure {{ display: inline-block; margin: 1rem 2rem 1rem 0 }}
figcaption {{ font-size: 13px; color: #555 }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
