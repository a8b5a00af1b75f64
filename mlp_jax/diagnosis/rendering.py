"""A report on a backward pass as text for a terminal and as HTML."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mlp_jax.rendering import LEAF_COLUMNS, heat_map, html_table, leaf_rows, styled_lines, text_table

if TYPE_CHECKING:
    from mlp_jax.diagnosis.backprop_check import BackpropReport


def text(report: "BackpropReport") -> str:
    """Return a report on a backward pass, for a terminal."""
    lines = [report.verdict.upper()]
    for diagnosis in report.diagnoses:
        lines.append(f"{diagnosis.code}: {diagnosis.message}")
        lines += [f"  where: {diagnosis.where}"] * bool(diagnosis.where)
        lines += [f"  evidence: {diagnosis.evidence}"] * bool(diagnosis.evidence)
    if report.gradients.leaves:
        lines.append(f"shown: {report.problem}")
        lines.append("loss {actual:.10g}, expected {expected:.10g}".format(**report.loss))
        lines += text_table(LEAF_COLUMNS, leaf_rows(report.gradients.leaves))
    lines += [f"note: {note}" for note in (*report.notes, *footnotes(report))]
    return "\n".join(lines)


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
        f"the numbers agree to {report.precision}; the reference is autodiff in float64, and a chain by hand is "
        f"{report.reference_error:.0e} from it",
    ]
    if escaped:
        names = "".join(f"\n  that {name}" for name in escaped)
        notes.insert(
            0, f"a WEAK POINT: at it these wrong passes look right, so move it (larger weights and biases):{names}"
        )
    if report.uses_autodiff:
        notes.append("the code calls autodiff")
    return notes


def html(report: "BackpropReport") -> str:
    """Return the same as HTML, with the formula of each diagnosis and a heat map of each wrong leaf."""
    color = "#075" if report.ok else "#b00"
    parts = [f'<h2 style="color:{color}">{escape(report.verdict)}</h2>']
    for diagnosis in report.diagnoses:
        parts.append(f"<p><b>{escape(diagnosis.code)}</b>: {escape(diagnosis.message)}</p>")
        details = [("where", diagnosis.where), ("evidence", diagnosis.evidence)]
        items = "".join(f"<li>{name}: {escape(value)}</li>" for name, value in details if value)
        parts.append(f"<ul>{items}</ul>" if items else "")
    if report.gradients.leaves:
        losses = "loss {actual:.10g}, expected {expected:.10g}".format(**report.loss)
        parts.append(f"<p>{escape(report.problem)}: {losses}</p>")
        parts.append(html_table(LEAF_COLUMNS, leaf_rows(report.gradients.leaves)))
        parts += [heat_map(errors, f"|actual - expected| of {name}") for name, errors in report.errors.items()]
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
