"""The report: one self-contained page that reads well at phone and desktop width, in a real browser."""

import dataclasses
import html
import json
import re
import shutil
import subprocess

import matplotlib.pyplot as plt
import pytest

from experiments import QUESTIONS, records, report
from experiments.protocol import Claim, Measurement, Result

CLAIMS = (
    Claim("a", "It is <b> small & it holds.", "<=", 1e-12, "rounding", 1.5e-15, "the worst", exact=True),
    Claim("b", "It differs.", "=", 1, "a paper", 2, "a mean", (1.9, 2.1), 20, 0.5, "the paper used another net"),
    Claim("c", "It does not hold.", ">=", 3, "a paper", 2, "a mean"),
    Claim("d", "It was not run.", "=", 2225, "a book", None, "images", explanation="no MNIST here: go online once"),
)
FORMULAS = (r"\frac{\partial L}{\partial z} = p - y", r"\lVert W_l \rVert^2 \le \sum_{k=1}^{C} e^{z_k}")


def measurement(name, formula, caption):
    description = "How it was done.\n\nAnd more."
    return Measurement(name, f"Heading of {name}", description, formula, caption, CLAIMS, {}, {"seeds": 20}, 1.0)


RESULTS = tuple(
    Result(name, f"Question {name}?", "An answer of 3e-16.", tuple(measurement(f"m{i}", f, "A line." if i == 0 else "")
           for i, f in enumerate(FORMULAS)), 0, {"python": "3", "jax": "0"}, "cpu")
    for name in QUESTIONS[:3]
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with three results, each with one picture."""
    folder = tmp_path_factory.mktemp("results")
    for result in RESULTS:
        records.write_json(folder / f"{result.name}.json", records.as_record(result))
        figure, axes = plt.subplots(figsize=(7.5, 3))
        axes.plot([0, 1])
        figure.savefig(folder / records.picture_name(result, result.measurements[0]), format="svg")
        plt.close(figure)
    report.write(folder)
    return folder


def test_page_says_everything(folder):
    page = (folder / report.PAGE).read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for result in RESULTS:
        assert f'href="#{result.name}"' in page and f'<section id="{result.name}">' in page
        assert f"python -m experiments {result.name}" in text
    for claim in CLAIMS:
        assert text.count(claim.statement) == 2 * 2 * len(RESULTS)  # in the table, and with its source
        assert claim.verdict in text and claim.source in text
    assert "In sum, 6 of 24 claims hold, 6 differ for a known cause, 6 do not hold, 6 were not run." in " ".join(
        text.split()
    )
    assert "the paper used another net" in text and "no MNIST here" in text
    assert page.count("<math") == 2 * len(RESULTS) and page.count('src="data:image/svg+xml') == len(RESULTS)


def test_page_is_self_contained_and_the_same_again(folder):
    page = (folder / report.PAGE).read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page) and "url(" not in page
    assert report.page(list(RESULTS), folder) == page


def test_page_of_an_empty_folder_is_a_page(tmp_path):
    assert "<strong>all 0 claims hold</strong>" in report.page([], tmp_path)


def test_record_survives_json():
    result = RESULTS[0]
    again = records.from_record(json.loads(json.dumps(records.as_record(result))))
    assert again == result
    assert again != dataclasses.replace(result, seed=1)


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LOOK = """<script>addEventListener("load", () => { const see = {
  sections: [...document.querySelectorAll("section")].filter(s => s.offsetHeight > 0).map(s => s.id),
  images: [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.alt.length > 0),
  dead: [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).length,
  links: document.querySelectorAll("a").length,
  formulas: [...document.querySelectorAll("math")].filter(m => m.getBoundingClientRect().height > 8).length,
  requests: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
  wide: Math.max(...[...document.querySelectorAll("body :not(.formula *)")].map(e => e.getBoundingClientRect().right))
    - document.documentElement.offsetWidth };
  const pre = document.createElement("pre"); pre.id = "seen"; pre.textContent = JSON.stringify(see);
  document.body.append(pre); });</script>"""


def seen(page, tmp_path, width, script=LOOK):
    """What a browser of that width shows of a page, and what it writes to its console."""
    path = tmp_path / "page.html"
    narrow = f"<style>html {{ width: {width}px }}</style>"  # a browser's window has a least width
    path.write_text(page.replace("</head>", narrow + script + "</head>"), encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--no-first-run",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
@pytest.mark.parametrize("which", ["made", "recorded"])
def test_a_browser_shows_the_whole_page(folder, tmp_path, which, width):
    results = list(RESULTS) if which == "made" else records.recorded(QUESTIONS)
    page = report.page(results, folder if which == "made" else records.RESULTS)
    see, console = seen(page, tmp_path, width)
    assert see["sections"] == [result.name for result in results]
    assert see["images"] == [True] * sum(bool(m.caption) for result in results for m in result.measurements)
    assert see["formulas"] == sum(len(result.measurements) for result in results)
    assert see["links"] == len(results) and see["dead"] == 0
    assert see["requests"] == [] and console == []
    assert see["wide"] <= 1, "nothing is cut off at the side"


@needs_browser
@pytest.mark.slow
def test_the_browser_sees_what_is_wrong(folder, tmp_path):
    page = (folder / report.PAGE).read_text(encoding="utf-8")
    broken = page.replace("data:image/svg+xml;base64,", "https://nowhere.invalid/", 1)
    broken = broken.replace(f'<section id="{QUESTIONS[0]}">', '<section id="other" style="width: 3000px">')
    broken = broken.replace("</body>", "<script>console.error('x')</script></body>")
    see, console = seen(broken, tmp_path, 1280)
    assert see["images"][0] is False and see["requests"] == ["https://nowhere.invalid/" + see["requests"][0][24:]]
    assert see["dead"] == 1 and see["wide"] > 0 and console
