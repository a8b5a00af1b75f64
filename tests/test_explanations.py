"""`mlp-jax check --explain`: a page for every code, whose lines are really wrong and right."""

import re
from pathlib import Path

import pytest
from commands import run, run_process
from problems import quick

import mlp_jax.check as package
from mlp_jax.check import _explanations, _files
from mlp_jax.check._explanations import EXPLANATIONS, WIDTH, example, page
from mlp_jax.check._networks.mistakes import MISTAKES, OF_OUTPUT

FOLDER = Path(package.__file__).parent
SOURCES = [
    *(FOLDER / "_networks").glob("*.py"),
    *(FOLDER / "_differences").glob("*.py"),
]
CODE = re.compile(
    r'Diagnosis\(\s*"(\w+)"|return "([a-z_]+)", |yield .*, "([a-z_]+)"$|order = \[(.*)\]|kind = (.*)|code="(\w+)"'
)


def codes_in(text):
    """The codes that a source can give to a diagnosis."""
    found = CODE.findall(text)
    words = [word for groups in found for group in groups for word in re.findall(r"[a-z_]{4,}", group)]
    return {word for word in words if re.fullmatch(r"[a-z_]+", word)}


def test_every_code_of_a_report_has_a_page():
    known = {mistake.code for mistake in (*MISTAKES, *OF_OUTPUT.values())}
    in_source = set().union(*(codes_in(path.read_text(encoding="utf-8")) for path in SOURCES))
    # the pattern also finds words that are no codes
    others = {"bias", "ratio", "tolerance", "else", "words", "place", "asked_for", "output", "split"}
    assert known | (in_source - others) == set(EXPLANATIONS)


def test_the_test_for_codes_can_fail():
    assert codes_in('x = Diagnosis("new_code", "message")') == {"new_code"}
    assert codes_in('        return "new_code", "words"') == {"new_code"}


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_a_page_is_plain_and_fits_a_screen(code):
    text = page(code)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) < 24
    assert all(f"\n{part} " in text for part in ("formula", "reason", "right", "training"))


LOOP = """
rng = np.random.default_rng(0)
params = [(rng.standard_normal((4, 5)), np.zeros(5)), (rng.standard_normal((5, 3)), np.zeros(3))]
x, labels = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
for epoch in range(30):
    loss, gradients = network(params, x, labels)
    params = [(W - 0.1 * dW, b - 0.1 * db) for (W, b), (dW, db) in zip(params, gradients)]
"""


def file_with(line, code):
    """The example with one line in the place of the right one; unexplained is a code of scripts alone."""
    right = EXPLANATIONS[code].right
    assert example().count(f"    {right}\n") == 1
    text = example().replace(f"    {right}\n", f"    {line}\n")
    if code == "unexplained":
        text = text.replace("def loss_and_gradients", "def network") + LOOP
    return text


QUICK = (
    "convention",
    "mutates_input",
    "nondeterministic",
    "nonfinite",
    "precision",
    "shape",
    "transposed",
    "undecided",
)


@pytest.mark.parametrize("code", quick({code: code for code in EXPLANATIONS}, *QUICK, "unexplained"))
def test_the_lines_of_a_page_are_wrong_and_right(code, tmp_path):
    path = tmp_path / "lines.py"
    asking = _files.Asking(seconds=60, seed=3, strict=code == "nonfinite")
    path.write_text(file_with(EXPLANATIONS[code].wrong or EXPLANATIONS[code].right, code), encoding="utf-8")
    report = _files.check_file(path, asking)
    assert report.diagnoses[0].code == code
    assert (report.verdict == "correct") == (code == "correct")


def test_the_example_is_right(tmp_path):
    path = tmp_path / "right.py"
    path.write_text(example(), encoding="utf-8")
    assert _files.check_file(path, _files.Asking(seconds=60, seed=3, strict=True)).verdict == "correct"


def test_numbers_of_training_are_those_of_the_record():
    of_code = [_explanations.visibility(mistake.name) for mistake in MISTAKES if mistake.code == "transposed"]
    text = " ".join(page("transposed").split())
    assert f"of {len(of_code)} known mistakes" in text
    assert f"{sum(one.level == 1 for one in of_code)} at level 1 (" in text
    assert "not measured" in page("mutates_input")


def test_explain_prints_pages_and_a_list():
    assert run("check", "--explain", "transposed").stdout == page("transposed")
    assert run("check", "--explain", "scale", "sign").stdout == f"{page('scale')}\n{page('sign')}"
    everything = run("check", "--explain").stdout
    assert everything == run("check", "--explain", "list").stdout
    assert all(re.search(rf"^{code} ", everything, re.MULTILINE) for code in EXPLANATIONS)
    assert max(map(len, everything.splitlines())) <= WIDTH


def test_an_unknown_code_is_told_with_the_nearest_and_the_list():
    done = run("check", "--explain", "transposd")
    assert done.returncode == 2
    assert "did you mean 'transposed'?" in done.stderr and "zero_gradient" in done.stderr


def test_pages_survive_a_console_of_another_encoding():
    done = run_process("check", "--explain", "softmax_gradient", PYTHONIOENCODING="cp949", NO_COLOR="1")
    assert (done.returncode, done.stdout) == (0, page("softmax_gradient"))
