"""All results of a folder as one self-contained HTML page: no script, no network."""

import base64
import re
from collections import Counter
from pathlib import Path

import jinja2
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from experiments import QUESTIONS, records
from experiments.protocol import Claim, Measurement, Result

PAGE = "report.html"
RECORDED = records.RESULTS / PAGE
TEMPLATES = Path(__file__).parent / "templates"

MARKS = {"holds": "✓", "differs": "≠", "does not hold": "✗", "not run": "–"}
WORDS = {
    "differs": ("differs for a known cause", "differ for a known cause"),
    "does not hold": ("does not hold", "do not hold"),
    "not run": ("was not run", "were not run"),
}  # of one claim, of several
RELATIONS = {"<=": "≤ ", ">=": "≥ ", "=": ""}


def write(folder: Path) -> Path:
    """Write the page of a folder's results into it, and return its path."""
    path = folder / PAGE
    path.write_text(page(records.recorded(QUESTIONS, folder), folder), encoding="utf-8")
    return path


def page(results: list[Result], folder: Path) -> str:
    """Return the page. The same results and pictures give the same page."""
    loader = jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "number": number, "expected": expected, "interval": interval, "formula": formula, "verdicts": verdicts,
        "powers": powers,
    }  # fmt: skip

    def picture(result: Result, measurement: Measurement) -> str:
        svg = (folder / records.picture_name(result, measurement)).read_bytes()
        return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()

    claims = [claim for result in results for claim in result.claims]
    return environment.get_template(PAGE).render(results=results, claims=claims, marks=MARKS, picture=picture)


def verdicts(claims: tuple[Claim, ...]) -> str:
    """Say in words how many of the claims hold.

    >>> held, unknown = Claim("", "", "<=", 1, "", 1, ""), Claim("", "", "<=", 1, "", None, "")
    >>> verdicts((held, held)), verdicts((held, unknown)), verdicts((held, held, unknown, unknown))
    ('all 2 claims hold', '1 of 2 claims holds, 1 was not run', '2 of 4 claims hold, 2 were not run')
    """
    count = Counter[str](claim.verdict for claim in claims)
    others = [f"{count[verdict]} {WORDS[verdict][count[verdict] > 1]}" for verdict in WORDS if count[verdict]]
    if not others:
        return f"all {len(claims)} claims hold"
    return ", ".join([f"{count['holds']} of {len(claims)} claims hold{'s' * (count['holds'] == 1)}", *others])


def expected(claim: Claim) -> str:
    """Return what is expected of a claim's number: a bound, or a number with its tolerance."""
    tolerance = f" ± {number(claim.tolerance)}" if claim.tolerance else ""
    return RELATIONS[claim.relation] + number(claim.expected) + tolerance


def interval(claim: Claim) -> str:
    """Return a claim's interval over seeds."""
    return "" if claim.interval is None else " to ".join(number(end) for end in claim.interval)


def number(value: float | None) -> str:
    """Return a number with four digits, whole where it is whole, and with two where it is tiny or huge.

    >>> [number(v) for v in (2225.0, 0.84883, 1.23456e-15, 0.5, None, 3e20)]
    ['2,225', '0.8488', '1.2e-15', '0.5', '', '3e+20']
    """
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.2g}"


def powers(text: str) -> Markup:
    """Return text with its powers of ten typeset.

    >>> print(powers("<= 1.2e-15"))
    &lt;= 1.2 × 10<sup>−15</sup>
    """
    typeset = re.sub(
        r"(\d)e([+-])0*(\d+)", lambda m: f"{m[1]} × 10<sup>{'−' * (m[2] == '-')}{m[3]}</sup>", str(escape(text))
    )
    return Markup(typeset)


def formula(latex: str) -> Markup:
    """Return a formula as MathML, which browsers typeset by themselves."""
    return Markup(convert(latex, display="block"))
