"""All answers as one self-contained HTML page, in two languages with a switch: no script, no network."""

import base64
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from experiments.frame import questions, words
from experiments.frame.claims import VERDICTS, Judged, Verdict
from experiments.frame.numbers import name_of
from experiments.frame.questions import Answer

PAGE = "report.html"
COLUMNS = ("claim", "expected", "measured", "95 % interval", "verdict")
MARKS: dict[Verdict, str] = {"holds": "✓", "not decided": "?", "differs": "≠", "does not hold": "✗", "not run": "–"}
RELATIONS = {"<=": "≤ ", ">=": "≥ ", "=": ""}


def write(folder: Path, answers: Sequence[Answer], pictures: Path, language: str = "en") -> Path:
    """Write the page of answers into a folder, and return its path; for the arguments see `page`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    path.write_text(page(answers, pictures, language), encoding="utf-8")
    return path


def page(answers: Sequence[Answer], pictures: Path, language: str = "en") -> str:
    """Return the page. The same answers give the same page.

    Args:
      answers: in their order.
      pictures: the folder that holds their pictures.
      language: in which the page opens.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "expected": expected, "measured": measured, "interval": interval, "formula": formula, "typeset": typeset,
    }  # fmt: skip
    return environment.get_template("page.html").render(
        answers=[_answer(answer, pictures) for answer in answers],
        claims=[claim for answer in answers for claim in answer.claims],
        page={code: words.of_page(code) for code in words.LANGUAGES},
        totals=totals,
        marks=MARKS,
        language=language,
    )


def totals(claims: Iterable[Judged], language: str = "en") -> str:
    """Say how many identities and counts hold, which have to, and how many findings.

    >>> from experiments.frame.statistics import exact
    >>> one = Judged("", "", "<=", 1, 0, "", "", True, exact(1), "holds")
    >>> from dataclasses import replace
    >>> totals([one, one, replace(one, must=False), replace(one, must=False, verdict="not decided")])
    'Identities and counts: 2 of 2 hold. Findings: 1 of 2 hold (not decided: 1).'
    """
    said = words.of_page(language)
    parts = []
    for kind, must in (("identities", True), ("findings", False)):
        count = Counter(claim.verdict for claim in claims if claim.must == must)
        others = [f"{said['verdicts'][verdict]}: {count[verdict]}" for verdict in VERDICTS[1:] if count[verdict]]
        text = said["totals"][kind].format(holds=count["holds"], all=count.total())
        parts.append(text + (f" ({', '.join(others)})." if others else "."))
    return " ".join(parts)


def cells(claim: Judged) -> list[str]:
    """Return a claim as the cells of a table's row, see COLUMNS."""
    return [claim.statement, expected(claim), measured(claim), interval(claim), claim.verdict]


def expected(claim: Judged) -> str:
    """Return what is expected of a claim's number: a bound, or a number with what it allows."""
    within = f" ± {number(claim.within)}" if claim.within else ""
    return RELATIONS[claim.relation] + number(claim.expected) + within


def measured(claim: Judged) -> str:
    """Return a claim's number."""
    return "" if claim.statistic is None else number(claim.statistic.value)


def interval(claim: Judged) -> str:
    """Return a claim's interval over seeds."""
    ends = claim.statistic.interval if claim.statistic else None
    return "" if ends is None else " to ".join(number(end) for end in ends)


def number(value: float | None) -> str:
    """Return a number with four digits, whole if it is whole, and with two if it is tiny or huge.

    >>> [number(v) for v in (2225.0, 0.84883, 1.23456e-15, 0.5, None, 3e20)]
    ['2,225', '0.8488', '1.2e-15', '0.5', '', '3e+20']
    """
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e6 else f"{value:.2g}"


def typeset(text: str) -> Markup:
    """Return text with its powers of ten, and what stands between backticks, typeset.

    >>> print(typeset("<= 1.2e-15"), typeset("run `mlp-jax check`"))
    &lt;= 1.2 × 10<sup>−15</sup> run <code>mlp-jax check</code>
    """
    with_code = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(
        re.sub(r"(\d)e([+-])0*(\d+)", lambda m: f"{m[1]} × 10<sup>{'−' * (m[2] == '-')}{m[3]}</sup>", with_code)
    )


def formula(latex: str) -> Markup:
    """Return a formula as MathML, which browsers typeset by themselves."""
    return Markup(convert(latex, display="block"))


def _answer(answer: Answer, pictures: Path) -> dict[str, Any]:
    """Return what the page shows of an answer; texts by language."""
    text = {code: words.of(answer.question, code) for code in words.LANGUAGES}
    said = {what: {code: questions.said(answer, what, code) for code in words.LANGUAGES}
            for what in ("sentence", "key", "paragraph")}  # fmt: skip
    parts = [_part(answer, module, text, pictures) for module in answer.question.MEASUREMENTS]
    head = name_of(answer.question.PICTURE)
    first = next(iter(answer.numbers.values()))
    versions = ", ".join(f"{name} {version}" for name, version in first.versions.items() if name != "mlp_jax")
    about = {"seconds": f"{answer.seconds:.0f}", "device": first.device, "versions": versions}
    return {
        "name": answer.name,
        "question": {code: text[code]["question"] for code in text},
        **said,
        "claims": answer.claims,
        "head": next(part for part in parts if part["name"] == head),
        "parts": parts,
        "measured": {code: words.of_page(code)["seconds"].format(**about) for code in words.LANGUAGES},
    }


def _part(answer: Answer, module: ModuleType, text: dict[str, dict[str, Any]], pictures: Path) -> dict[str, Any]:
    name = name_of(module)
    n = answer.numbers[name]
    return {
        "name": name,
        "title": {code: text[code][name]["title"] for code in text},
        "caption": {code: text[code][name].get("caption", "") for code in text},
        "picture": _as_address(questions.place(pictures, answer.name, module).with_suffix(".svg")),
        "description": inspect.cleandoc(module.__doc__ or "").split("\n\n"),
        "formula": module.FORMULA,
        "claims": answer.judged[name],
        "config": vars(n.config),
        "seed": n.seed,
        "seconds": n.seconds,
    }


def _as_address(path: Path) -> str:
    """Return a picture as the address of an image; empty if it is not there."""
    if not path.exists():
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
