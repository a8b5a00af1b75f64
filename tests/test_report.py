"""The report: one self-contained page that reads well in a real browser, at two widths and in both languages."""

import html
import json
import re
import shutil
import subprocess

import pytest
from toy_question import question

from experiments.frame import numbers, page, questions

NAMES = ("why_a", "why_b", "why_c")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three answers, and the folder of their numbers, pictures and page."""
    folder = tmp_path_factory.mktemp("results")
    answers = []
    for name in NAMES:
        package = question(folder / "words" / name, name)
        measured = {numbers.name_of(m): numbers.measured(m, m.FULL) for m in package.MEASUREMENTS}
        answers.append(questions.answered(package, measured))
        questions.write(folder, answers[-1])
    page.write(folder, answers, folder)
    return answers, folder


def test_page_says_everything(made):
    answers, folder = made
    text = (folder / page.PAGE).read_text(encoding="utf-8")
    plain = html.unescape(re.sub(r"<[^>]+>", "", text))
    for answer in answers:
        assert f'href="#{answer.name}"' in text and f'<section id="{answer.name}">' in text
        assert f"python -m experiments {answer.name}" in plain
    for words in (
        "Is it <b> so?",
        "그런가?",
        "A heading",
        "다른 제목",
        "A line goes up.",
        "선이 올라간다.",
        "It is 1.",
        "1이다.",
    ):
        assert plain.count(words) >= len(NAMES), words
    for claim in answers[0].claims:
        assert plain.count(claim.statement) == 2 * len(NAMES)  # in the table, and with its source
        assert claim.verdict in plain and claim.source in plain
    assert page.totals([c for a in answers for c in a.claims], "ko") in plain
    assert "3 × 10<sup>−16</sup>" in text
    assert text.count("<math") == 2 * len(NAMES) and text.count('src="data:image/svg+xml') == len(NAMES)


def test_page_is_self_contained_and_the_same_again(made):
    answers, folder = made
    text = (folder / page.PAGE).read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text) and "url(" not in text
    assert page.page(answers, folder) == text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_page_opens_in_its_language(made, language):
    answers, folder = made
    text = page.page(answers, folder, language)
    assert f'<html lang="{language}">' in text and f'id="{language}" checked' in text
    assert text.count("checked>") == 1


def test_page_of_no_answers_is_a_page(tmp_path):
    assert "Identities and counts: 0 of 0 hold." in page.page([], tmp_path)


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LOOK = """<script>addEventListener("load", () => {
  const shown = e => e.checkVisibility();
  const see = {
  sections: [...document.querySelectorAll("section")].filter(s => s.offsetHeight > 0).map(s => s.id),
  images: [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.alt.length > 0),
  dead: [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).length,
  links: document.querySelectorAll("a").length,
  headings: [...document.querySelectorAll("h2")].map(h => h.innerText.trim()),
  languages: [...document.querySelectorAll("h2 span")].filter(shown).map(s => s.lang),
  claims: [...document.querySelectorAll("tbody tr")].filter(shown).length,
  requests: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
  wide: Math.max(...[...document.querySelectorAll("body :not(.formula *)")].map(e => e.getBoundingClientRect().right))
    - document.documentElement.offsetWidth };
  document.querySelectorAll("details").forEach(d => { d.open = true; });
  see.formulas = [...document.querySelectorAll("math")].filter(m => m.getBoundingClientRect().height > 8).length;
  see.unfolded = [...document.querySelectorAll("tbody tr")].filter(shown).length;
  const pre = document.createElement("pre"); pre.id = "seen"; pre.textContent = JSON.stringify(see);
  document.body.append(pre); });</script>"""


def seen(text, tmp_path, width, script=LOOK):
    """What a browser of that width shows of a page, and what it writes to its console."""
    path = tmp_path / "page.html"
    narrow = f"<style>html {{ width: {width}px }}</style>"  # a browser's window has a least width
    path.write_text(text.replace("</head>", narrow + script + "</head>"), encoding="utf-8")
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
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("width", [390, 1100], ids=["phone", "desktop"])
@pytest.mark.parametrize("which", ["made", "recorded"])
def test_a_browser_shows_the_whole_page(made, tmp_path, which, width, language):
    answers, folder = made if which == "made" else (questions.all_recorded(), questions.RESULTS)
    see, console = seen(page.page(answers, folder, language), tmp_path, width)
    assert see["sections"] == [answer.name for answer in answers]
    assert see["languages"] == [language] * len(answers), "one language is shown, and the other is not"
    assert see["images"] and all(see["images"])
    claims = sum(len(answer.claims) for answer in answers)
    assert see["claims"] == 0 and see["unfolded"] == claims, "claims are folded at first"
    assert see["formulas"] == sum(len(answer.numbers) for answer in answers)
    assert see["links"] == len(answers) and see["dead"] == 0
    assert see["requests"] == [] and console == []
    assert see["wide"] <= 1, "nothing is cut off at the side"


@needs_browser
@pytest.mark.slow
def test_the_browser_sees_what_is_wrong(made, tmp_path):
    _, folder = made
    text = (folder / page.PAGE).read_text(encoding="utf-8")
    broken = text.replace("data:image/svg+xml;base64,", "https://nowhere.invalid/", 1)
    broken = broken.replace(f'<section id="{NAMES[0]}">', '<section id="other" style="width: 3000px">')
    broken = broken.replace(".ko { display: none; }", "").replace(
        "</body>", "<script>console.error('x')</script></body>"
    )
    see, console = seen(broken, tmp_path, 1280)
    assert see["images"][0] is False and see["requests"] == ["https://nowhere.invalid/" + see["requests"][0][24:]]
    assert see["dead"] == 1 and see["wide"] > 0 and console
    assert see["languages"] == ["en", "ko"] * len(NAMES)
