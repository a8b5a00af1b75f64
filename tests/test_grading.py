"""Points for a backward pass: the rule, what students are told, and what graders take."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from functools import cache
from math import inf, nan
from pathlib import Path

import nbformat
import numpy as np
import pytest
from commands import run
from markdown_it import MarkdownIt
from problems import quick

import mlp_jax
from experiments.frame.readme import EXAMPLE
from mlp_jax.check import _files, _rendering
from mlp_jax.check._grading import credit, gradescope, hints
from mlp_jax.check._lines.expressions import Span
from mlp_jax.check._lines.listing import Line, Listing, Mark
from mlp_jax.check._networks import judge
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Settings
from mlp_jax.check._networks.report import BackpropReport
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison
from mlp_jax.command_line import _check

WRONG = EXAMPLE.read_text(encoding="utf-8")
RIGHT = WRONG.replace("1 - np.tanh(h[l]) ** 2", "1 - h[l] ** 2")
START = "    h = [x]\n"
WILD = Path(__file__).parent / "wild"
ASKED = ("--activation", "tanh", "--loss", "cross_entropy")
LEVELS = hints.LEVELS


def before_start(line):
    return RIGHT.replace(START, f"    {line}\n{START}")


def function_of(text):
    holds: dict = {}
    exec(compile(text, "homework", "exec"), holds)
    return holds["loss_and_gradients"]


def check(function, **settings):
    return mlp_jax.check_backprop(function, "tanh", loss="cross_entropy", **settings)


# ---- the rule


def report_of(verdict, right, *codes):
    found = tuple(Diagnosis(code, "words") for code in codes or (verdict,))
    return replace(judge.failed("", None), verdict=verdict, diagnoses=found, right_everywhere=right)


THREE_OF_FOUR = {"loss": True, "W": False, "b": True, "c": True}
ALL_RIGHT = dict.fromkeys(THREE_OF_FOUR, True)

# name: (report, share of the points)
CREDIT = {
    "correct": (report_of("correct", ALL_RIGHT), 1),
    "correct, whatever its parts say": (report_of("correct", THREE_OF_FOUR), 1),
    "correct without parts": (report_of("correct", {}), 1),
    "error": (report_of("error", {}), 0),
    "nothing could be judged": (report_of("wrong", {}, "nondeterministic"), 0),
    "one part wrong": (report_of("wrong", THREE_OF_FOUR, "scale"), 3 / 4),
    "every part wrong": (report_of("wrong", dict.fromkeys(ALL_RIGHT, False), "scale"), 0),
    "only something else wrong": (report_of("wrong", ALL_RIGHT, "mutates_input"), 3 / 4),
    "something else of a new kind": (report_of("wrong", ALL_RIGHT, "a new code"), 3 / 4),
    "a part and something else": (report_of("wrong", THREE_OF_FOUR, "scale", "mutates_input"), 9 / 16),
    "another network": (report_of("wrong", ALL_RIGHT, "convention"), 3 / 4),
    "undecided": (report_of("undecided", THREE_OF_FOUR), 9 / 16),
}


@pytest.mark.parametrize("points", [10, 1 / 3, 7.0])
@pytest.mark.parametrize("name", CREDIT)
def test_points_follow_the_rule(name, points):
    report, share = CREDIT[name]
    got = credit.credit(report, points)
    assert got.score == (points if share == 1 else pytest.approx(share * points, abs=1e-12))
    assert sum(part.score for part in got.parts) == pytest.approx(got.score if got.parts else 0)
    assert not got.parts or sum(part.most for part in got.parts) == pytest.approx(points)
    assert all(part.score in (0, part.most) or part.name == credit.ALL_ELSE_NAME for part in got.parts)
    assert bool(got.rule) == (share < 1)  # whoever loses points is told by which rule


# name: (lines that replace others of a right file, share of the points)
FILES = {
    "right": ((), 1),
    "the derivative at another place": (("1 - h[l] ** 2", "1 - np.tanh(h[l]) ** 2"), 3 / 7),
    "the loss only": (("    return loss, g", "    return 2 * loss, g"), 6 / 7),
    "one bias": (("    return loss, g", "    gradients[-1][1][:] *= 2\n    return loss, g"), 6 / 7),
    "zeros": (("    return loss, gradients", "    return loss, [(0 * W, 0 * b) for W, b in gradients]"), 1 / 7),
    "params changed": (("    return loss, g", "    params[0][0][:] = 1\n    return loss, g"), 3 / 4),
    "shapes": (("    return loss, gradients", "    return loss, [(W, b[:, None]) for W, b in gradients]"), 3 / 4),
    "random": (("    return loss, g", "    gradients[0][0][:] = np.random.rand()\n    return loss, g"), 0),
    "a sum": (("/ B, delta.sum(axis=0) / B", ", delta.sum(axis=0)"), 1 / 7),
    "sums in loss and gradient, where means are asked for": (
        ("loss = -np.mean(", "loss = -np.sum(", "/ B, delta.sum(axis=0) / B", ", delta.sum(axis=0)"),
        0,
    ),
    "a network that nobody asked for": (
        (START, "    return sum(W.sum() + b.sum() for W, b in params), [(0 * W + 1, 0 * b + 1) for W, b in params]\n"),
        0,
    ),
    "in turn": ((START, "    if len(x) == 17: return 0.0, [(0 * W, 0 * b) for W, b in params]\n" + START), 0),
    "a layer here, and another there": (
        (
            "    return loss, g",
            "    if len(params) == 3:\n        gradients[0 if len(x) == 17 else 1][0][:] *= 2\n    return loss, g",
        ),
        5 / 7,
    ),
}


FEW = ("right", "params changed", "a network that nobody asked for", "a layer here, and another there")


@pytest.mark.parametrize("pairs, share", quick(FILES, *FEW))
def test_a_part_is_credited_if_it_is_right_on_every_problem(pairs, share):
    text = RIGHT
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    got = credit.credit(check(function_of(text)), 10)
    assert got.score == pytest.approx(10 * share)


def test_a_script_is_credited_by_parameter():
    report = _files.check_file(WILD / "w11_cats_from_pixels.py", _files.Asking(seconds=60, seed=0))
    assert report.right_everywhere == {"p['W1']": False, "p['b1']": False, "p['W2']": True, "p['b2']": True}
    assert credit.credit(report, 10).score == pytest.approx(5)


# ---- what students are told

SECRET = "secret"
NUMBER = 0.123454321
LEAF = LeafComparison(
    "W", (7, 7), SECRET, NUMBER, NUMBER, NUMBER, NUMBER, (7, 7), NUMBER, NUMBER, NUMBER, False, SECRET
)
FULL = BackpropReport(
    verdict="wrong",
    diagnoses=(
        Diagnosis(SECRET, SECRET, f"the loss; it is {NUMBER}, expected {NUMBER}", SECRET),
        Diagnosis(SECRET, SECRET, "layers 1 and 2 are wrong", SECRET),
    ),
    loss={"actual": NUMBER, "expected": NUMBER, "relative_error": NUMBER},
    gradients=GradientReport((LEAF,), NUMBER, (SECRET,), np.full((2, 2), NUMBER)),
    problem=SECRET,
    power={"known": 9, "caught": 8, "escaped": [SECRET]},
    precision=SECRET,
    notes=(SECRET,),
    settings=Settings(),
    basis=(SECRET, hints.READ_IT),
    uses_autodiff=True,
    template=SECRET,
    errors={SECRET: np.full((2, 2), NUMBER)},
    right_everywhere={"W": False, "b": True},
    subject=SECRET,
    listing=Listing((Line(1, "W = x", SECRET),), (Mark(Span(1, 4, 1, 5), 1, SECRET, f"{SECRET} {NUMBER}"),)),
    listed=SECRET,
    credit=None,
)  # fmt: skip


def outputs(report):
    """Every output that is made of a report, as text."""
    named = [("homework.py", report)]
    return {
        "text": str(report),
        "rich": report.__rich__().plain,
        "notebook": report._repr_html_(),
        "page": _rendering.whole_page(named),
        "json": json.dumps(report.to_dict()),
        "csv": repr(list(_check.csv_rows(named))),
        "gradescope": json.dumps(gradescope.results(named, 10, 1.0)),
        "itself": repr(vars(report)),
    }


EMPTY: list = ["", (), {}, None, False]
SHOWN = ("secret", "0.12345", "1.2e-01", "0.123", "7,7", "[7, 7]", "(7, 7)")


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_leaks_of_any_field(level):
    empty = [one.name for one in fields(FULL) if getattr(FULL, one.name) in EMPTY]
    assert empty == ["credit"]  # a field to come has to be filled above, too
    for name, words in outputs(hints.told(credit.graded(FULL, 10), level)).items():
        assert any(secret in words for secret in SHOWN) == (level == "full"), name
        assert ("layers 1 and 2 are wrong" in words) == (level == "where" or (level == "full" and name != "csv")), name


def test_where_tells_what_is_right_and_what_is_wrong_and_none_does_not():
    where, none = (hints.told(credit.graded(FULL, 10), level) for level in ("where", "none"))
    assert "W     WRONG" in str(where) and "b     right" in str(where)
    assert {leaf["name"]: leaf["ok"] for leaf in where.to_dict()["leaves"]} == {"W": False, "b": True}
    assert none.gradients.leaves == () and none.right_everywhere == {} and none.credit.parts == ()
    for one in (where, none):
        assert one.credit.score == 5 and "score: 5 of 10 points" in str(one)
        assert one.rests_on.startswith(hints.READ_IT)  # the teacher is still told to


WRONG_LOSS = RIGHT.replace("    return loss, g", "    return 1.5 * loss, g")


@cache
def report_on(text):
    return credit.graded(check(function_of(text)), 10)


@pytest.mark.parametrize("text", [WRONG, WRONG_LOSS], ids=["gradient", "loss"])
@pytest.mark.parametrize("level", ["none", "where"])
def test_no_name_formula_or_number_of_a_real_report_leaks(level, text):
    report = report_on(text)
    numbers = [report.loss["expected"], *(leaf.expected for leaf in report.gradients.leaves)]
    secrets = [report.diagnoses[0].code, "phi", "Right is", "  right:", *(f"{number:.4g}" for number in numbers)]
    secrets += [one.message for one in report.diagnoses]
    full, cut = outputs(report), outputs(hints.told(report, level))
    for name in full:
        assert any(secret in full[name] for secret in secrets), name  # so that what follows can fail
        assert not [secret for secret in secrets if secret in cut[name]], name


@pytest.mark.parametrize("level", LEVELS)
def test_why_a_file_cannot_be_checked_is_told_at_every_level(level):
    report = hints.told(judge.failed("ValueError: no (line 3)", None), level)
    assert report.verdict == "error" and "ValueError: no (line 3)" in str(report)


@pytest.mark.slow
def test_the_command_cuts_every_output(tmp_path):
    path = tmp_path / "homework.py"
    path.write_text(WRONG, encoding="utf-8")
    names = ["grades.csv", "page.html", "results.json"]
    flags = [*ASKED, "--points", 10, "--seed", 0, "--overwrite"]
    for flag, name in zip(("--csv", "--report", "--gradescope"), names, strict=True):
        flags += [flag, tmp_path / name]
    found = {}
    for level in LEVELS:
        words = [run("check", path, *flags, "--hints", level).stdout]
        words += [run("check", path, *flags, "--hints", level, "--json").stdout]
        found[level] = words + [(tmp_path / name).read_text(encoding="utf-8") for name in names]
    for i in range(5):
        assert "wrong_activation_derivative" in found["full"][i]
        for level in ("none", "where"):
            assert "wrong_activation_derivative" not in found[level][i] and "phi" not in found[level][i]
            assert "4.28571" in found[level][i] or "4.286" in found[level][i]
            assert ("layers 1 and 2" in found[level][i]) == (level == "where")


# ---- Gradescope

OF_WHOLE = {
    *("score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility"),
    *("stdout_visibility", "tests", "leaderboard", "extra_data"),
}
OF_TEST = {
    *("score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "tags", "visibility"),
    "extra_data",
}
NEEDED = {"score", "max_score", "status", "name", "number", "output", "output_format", "visibility"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}


def assert_is_result(content, points):
    """Check a results.json against the specification."""
    assert content.keys() <= OF_WHOLE and {"score", "tests"} <= content.keys()
    assert isinstance(content["execution_time"], int) and content["execution_time"] >= 0
    assert {content["output_format"], content["test_output_format"], content["test_name_format"]} <= FORMATS
    assert {content["visibility"], content["stdout_visibility"]} <= VISIBILITIES
    assert 0 <= content["score"] <= points
    for test in content["tests"]:
        assert NEEDED <= test.keys() <= OF_TEST
        assert test["status"] in ("passed", "failed") and 0 <= test["score"] <= test["max_score"]
        assert test["output_format"] in FORMATS and test["visibility"] in VISIBILITIES
        assert all(isinstance(test[name], str) for name in ("name", "number", "output"))
    assert len({test["number"] for test in content["tests"]}) == len(content["tests"])
    assert sum(test["score"] for test in content["tests"]) == pytest.approx(content["score"], abs=1e-4)
    assert sum(test["max_score"] for test in content["tests"]) == pytest.approx(points, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"score": 11.0},
        {"score": 9.0},
        {"verdict": "x"},
        {"output_format": "markdown"},
        {"execution_time": 0.5},
        {"tests": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_check_of_the_form_can_fail(change):
    content = gradescope.results([("a.py", credit.graded(FULL, 10))], 10, 1.0)
    assert_is_result(content, 10)
    with pytest.raises(AssertionError):
        assert_is_result(content | change, 10)


def grade_file(tmp_path, *flags, text=RIGHT, name="homework.py"):
    """Run the command on one file, and return what it did and the result."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    result = tmp_path / "results.json"
    done = run("check", tmp_path / name, "--gradescope", result, "--seed", 0, *flags)
    return done, json.loads(result.read_text(encoding="utf-8"))


def test_a_right_file_gets_exactly_all_points_and_a_wrong_one_a_part(tmp_path):
    for text, score, status in ((RIGHT, 10, 0), (WRONG, 4.285714, 1)):
        done, content = grade_file(tmp_path, "--points", 10, text=text)  # over the one that is there
        assert_is_result(content, 10)
        assert (content["score"], done.returncode) == (score, status)
    names = [test["name"] for test in content["tests"] if test["status"] == "failed"]
    assert names == [f"layers[{l}].{kind}" for l in (0, 1) for kind in ("weight", "bias")]
    assert credit.RULE.split(". ")[0] in content["output"] and "wrong_activation_derivative" in content["output"]


def test_files_are_questions_that_share_the_points(tmp_path):
    folder = tmp_path / "homework"
    folder.mkdir()
    (folder / "one.py").write_text(RIGHT, encoding="utf-8")
    (folder / "two.py").write_text("raise ValueError('no')", encoding="utf-8")
    result = tmp_path / "results.json"
    run("check", folder, "--gradescope", result, "--points", 20)
    content = json.loads(result.read_text(encoding="utf-8"))
    assert_is_result(content, 20)
    assert content["score"] == 10
    assert {test["number"][0] for test in content["tests"]} == {"1", "2"}
    assert "one.py: layers[0].weight" in content["tests"][1]["name"]


def test_many_parameters_are_one_test():
    many = {f"p[{i}]": i > 0 for i in range(1000)}
    content = gradescope.results([("a.py", credit.graded(replace(FULL, right_everywhere=many), 10))], 10, 1.0)
    assert_is_result(content, 10)
    assert len(content["tests"]) == 1


NO_RESULT = {
    "no such file": (("nowhere.py",), "no such file"),
    "unknown activation": (("nowhere.py", "--activation", "rellu"), "did you mean 'relu'"),
    "no number": (("nowhere.py", "--layers", "two"), "the command line cannot be read"),
    "no such flag": (("nowhere.py", "--layer", "2"), "the command line cannot be read"),
    "no points": (("nowhere.py", "--points", "0"), "points: expected a finite number above 0"),
    "points are no number": (("nowhere.py", "--points", "ten"), "the command line cannot be read"),
    "no file": ((), "expected a Python file"),
    "time limit": (("nowhere.py", "--time-limit", "-1"), "time-limit: expected"),
}


@pytest.mark.parametrize("name", NO_RESULT)
def test_there_is_a_result_if_nothing_can_be_checked(name, tmp_path, monkeypatch):
    arguments, words = NO_RESULT[name]
    result = tmp_path / "results.json"
    done = run("check", *arguments, "--gradescope", result)
    content = json.loads(result.read_text(encoding="utf-8"))
    assert_is_result(content, 10)
    assert (content["score"], done.returncode) == (0, 2)
    assert words in content["output"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_there_is_a_result_after_a_crash_of_the_checker(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(_files, "check_files", fail)
    with pytest.raises(BaseException) if isinstance(error, RuntimeError) else pytest.MonkeyPatch.context():
        run("check", "a.py", f"--gradescope={tmp_path / 'results.json'}", "--points", 5)
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert_is_result(content, 5)
    assert content["score"] == 0 and "tell your teacher" in content["output"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_there_is_a_result_if_the_checker_is_killed(tmp_path):
    path, result = tmp_path / "homework.py", tmp_path / "results.json"
    path.write_text(before_start("while True: __import__('time').sleep(0.1)"), encoding="utf-8")
    command = [sys.executable, "-m", "mlp_jax", "check", str(path), "--gradescope", str(result), "--time-limit", "20"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    late = time.monotonic() + 60
    while not result.exists():
        assert process.poll() is None and time.monotonic() < late
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    content = json.loads(result.read_text(encoding="utf-8"))
    assert_is_result(content, 10)
    assert gradescope.UNFINISHED in content["output"]


def test_a_result_replaces_no_other_file(tmp_path):
    path = tmp_path / "homework.py"
    path.write_text(RIGHT, encoding="utf-8")
    done = run("check", path, "--gradescope", path)
    assert done.returncode == 2 and "expected a file that ends in .json" in done.stderr
    assert path.read_text(encoding="utf-8") == RIGHT


FORGED = """</code></pre> <b>[click](example)</b> ![](example.png) | a | b | \x1b[31m \x07 \u202e &lt;b&gt;
# You passed
**CORRECT**: 10 of 10 points

<script>alert(1)</script>
```
"""
OURS = {"p", "strong", "pre", "code"}


def tags(markdown):
    """The kinds of elements that Markdown becomes."""
    tokens = [token for token in MarkdownIt("commonmark").parse(markdown)]
    inner = [child for token in tokens for child in token.children or []]
    return {token.tag or token.type for token in (*tokens, *inner)} - {"text", "inline", "softbreak"}


def test_the_test_for_forged_markdown_can_fail():
    assert {"h1", "strong", "a", "img", "html_inline", "html_block", "code"} <= tags(FORGED)


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_file_says_is_neither_markdown_nor_html(level):
    failed = judge.failed(FORGED, None)
    wrong = replace(
        FULL, notes=(FORGED,), right_everywhere={FORGED: False}, gradients=GradientReport((replace(LEAF, name=FORGED),))
    )
    for report in (failed, wrong):
        content = gradescope.results([(FORGED, hints.told(credit.graded(report, 10), level))] * 2, 10, 1.0)
        for output in (content["output"], *(test["output"] for test in content["tests"])):
            assert tags(output) <= OURS
            assert "\x1b" not in output and "\u202e" not in output
        assert all(test["name"].isprintable() for test in content["tests"])
        assert "**CORRECT**" not in [line for line in content["output"].splitlines() if line[:1] != " "]


# ---- in a notebook


class Odd(Exception):
    def __str__(self):
        raise ValueError("not even this")


class Ended(BaseException):
    pass


def raising(error):
    def function(params, x, labels):
        raise error

    return function


CANNOT_BE_JUDGED = {
    "raises": (raising(ValueError("no")), "ValueError: no"),
    "calls sys.exit": (raising(SystemExit(0)), "it calls sys.exit"),
    "raises no Exception": (raising(Ended("over")), "Ended: over"),
    "an exception without words": (raising(Odd()), "Odd"),
    "no function": (3, "expected a function, got int"),
    "None": (None, "expected a function"),
    "other arguments": (lambda: 1, "takes 0 positional arguments"),
    "another result": (lambda *_: "10", "expected (loss, gradients)"),
    "not even words": (lambda *_: Odd, ""),
}


@pytest.mark.parametrize("name", CANNOT_BE_JUDGED)
@pytest.mark.parametrize("level", ["none", "full"])
def test_what_cannot_be_judged_gets_0_and_says_why(name, level, capfd):
    function, words = CANNOT_BE_JUDGED[name]
    score = mlp_jax.grade(function, points=10, hints=level)
    said = capfd.readouterr()
    assert (score, type(score)) == (0.0, float)
    assert said.out.startswith("ERROR\n") and words in said.out
    assert said.err == ""


def test_grade_is_the_share_of_the_rule(capsys):
    points = 2.5
    for text, share in ((RIGHT, 1), (WRONG, 3 / 7)):
        function = function_of(text)
        score = mlp_jax.grade(function, points, "tanh", loss="cross_entropy", hints="none")
        assert type(score) is float and score == pytest.approx(points * share)
        assert score == credit.credit(check(function), points).score  # the same code as --gradescope
        assert f"score: {score:.4g} of {points:g} points" in capsys.readouterr().out
    assert mlp_jax.grade(function_of(RIGHT), 10) == 10.0


def test_grade_takes_the_settings_of_check_backprop(capsys):
    right = function_of(RIGHT)
    assert (
        mlp_jax.grade(right, 10, mlp_jax.tanh, loss=mlp_jax.cross_entropy, layers=2, layout="rows", params="list") == 10
    )
    assert mlp_jax.grade(right, 10, "relu", loss="cross_entropy") == 7.5  # another network than was asked for
    rng = np.random.default_rng(0)
    point = ([(rng.standard_normal((3, 2)), np.ones(2))], rng.standard_normal((4, 3)), np.array([0, 1, 1, 0]))
    assert mlp_jax.grade(right, 10, point=point, strict=True, seed=1) == 10
    assert "your own point alone" in capsys.readouterr().out


OF_TEACHER = {
    "points 0": ((0,), {}, ValueError, "points: expected a finite number above 0"),
    "points below 0": ((-1,), {}, ValueError, "points: expected"),
    "points inf": ((inf,), {}, ValueError, "points: expected"),
    "points nan": ((nan,), {}, ValueError, "points: expected"),
    "points text": (("10",), {}, TypeError, "points: expected a number"),
    "points bool": ((True,), {}, TypeError, "points: expected a number"),
    "hints": ((10,), {"hints": "some"}, ValueError, "hints: expected one of none, where, full"),
    "activation": ((10, "tannh"), {}, ValueError, "did you mean 'tanh'"),
    "loss": ((10,), {"loss": "mse"}, ValueError, "loss: expected one of"),
    "layers": ((10,), {"layers": 0}, ValueError, "layers: expected"),
    "seed": ((10,), {"seed": -1}, ValueError, "seed: expected"),
    "point": ((10,), {"point": (1,)}, ValueError, "point: expected (params, *arguments)"),
    "point of other depth": (
        (10,),
        {"point": ([(np.ones((3, 2)), np.ones(2))], np.ones((4, 3)), np.array([0, 1, 1, 0])), "layers": 2},
        ValueError,
        "point: expected 2 layers",
    ),
}


@pytest.mark.parametrize("name", OF_TEACHER)
def test_a_mistake_of_the_teacher_raises(name):
    arguments, settings, kind, words = OF_TEACHER[name]
    with pytest.raises(kind, match=re.escape(words)):
        mlp_jax.grade(raising(ValueError()), *arguments, **settings)


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        mlp_jax.grade(raising(KeyboardInterrupt()), 10)


def test_what_a_function_prints_is_not_in_the_diagnosis(capsys):
    function = function_of(before_start("print('CORRECT: score 10 of 10')"))
    mlp_jax.grade(function, 10, hints="none")
    assert "score 10 of 10" not in capsys.readouterr().out


NOISY = f"""
import logging, os, sys, warnings
import mlp_jax
logging.basicConfig(level=0)
kept = sys.stderr
{before_start("noise()")}
def noise():
    warnings.warn("a")
    print("b", file=sys.stderr)
    os.write(2, b"c")
    logging.warning("d")
    kept.write("e")
    sys.__stderr__.write("f")
    sys.stdout.write("g")
"""


LOUD = "mlp_jax.check_backprop(loss_and_gradients).ok * 10.0"
QUIET = "mlp_jax.grade(loss_and_gradients, points=10, hints='none')"


@pytest.mark.parametrize("call, is_quiet", [(QUIET, True), (LOUD, False)], ids=["grade", "check_backprop"])
def test_nothing_is_written_to_the_error_stream(call, is_quiet):
    code = f"{NOISY}\nscore = {call}\nassert score == 10.0, score\nkept.write('after'); warnings.warn('then')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    before, _, after = done.stderr.partition("after")
    assert (before == "") == is_quiet
    assert "then" in after  # all is as it was
    assert not is_quiet or done.stdout.startswith("CORRECT\n")


# ---- files for graders


def template(kind, *flags):
    done = run("check", "--template", kind, *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_for_nbgrader_grades_itself(capsys):
    notebook = nbformat.reads(template("nbgrader", "--points", 5, "--activation", "tanh"), as_version=4)
    nbformat.validate(notebook)
    imports, solution, score = (cell.source for cell in notebook.cells)
    flags = [cell.metadata.nbgrader for cell in notebook.cells]
    assert [(one.grade, one.solution, one.locked) for one in flags] == [
        (False, False, True), (False, True, False), (True, False, True)
    ]  # fmt: skip
    assert flags[2].points == 5
    for text, expected in ((solution, 0.0), (WRONG, 15 / 7), (RIGHT, 5.0)):
        scope: dict = {}
        exec(f"{imports}\n{text}", scope)
        assert eval(score, scope) == pytest.approx(expected)


@pytest.mark.parametrize("text, status", [(RIGHT, 0), (WRONG, 1)], ids=["right", "wrong"])
def test_the_command_for_github_ends_with_the_status(text, status, tmp_path, monkeypatch):
    workflow = template("github", "--points", 5)
    (command,) = (line.split(": ", 1)[1] for line in workflow.splitlines() if line.strip().startswith("command: "))
    assert "\n          timeout: 10\n          max-score: 5\n" in workflow and "<<" not in workflow
    monkeypatch.chdir(tmp_path)
    Path("my_backprop.py").write_text(text, encoding="utf-8")
    assert run(*command.removeprefix("mlp-jax ").split()).returncode == status


needs_sh = pytest.mark.skipif(shutil.which("bash") is None or os.name != "posix", reason="needs bash")


@pytest.fixture
def autograder(tmp_path):
    """The folder of an autograder as Gradescope unpacks it, from a wheel that is none."""
    (tmp_path / "mlp_jax-0-py3-none-any.whl").write_bytes(b"")
    script = template("gradescope", "--points", 20, "--hints", "where")
    subprocess.run(["sh"], input=script, cwd=tmp_path, check=True, text=True, capture_output=True, encoding="utf-8")
    root = tmp_path / "root"
    shutil.unpack_archive(tmp_path / "autograder.zip", root / "source")
    (root / "submission").mkdir()
    return root


def program(path, text):
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def graded_by(root):
    done = subprocess.run(
        ["bash", root / "source" / "run_autograder"],
        env=os.environ | {"AUTOGRADER": str(root), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0
    return json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))


@needs_sh
def test_the_autograder_for_gradescope_writes_a_result(autograder):
    none = graded_by(autograder)  # before setup.sh has run
    assert none["score"] == 0 and "could not start" in none["output"]
    program(autograder / "mlp_jax" / "bin" / "mlp-jax", f'exec {sys.executable} -m mlp_jax "$@"')
    (autograder / "submission" / "my_backprop.py").write_text(WRONG, encoding="utf-8")
    wrong = graded_by(autograder)
    assert_is_result(wrong, 20)
    assert wrong["score"] == pytest.approx(60 / 7) and "layers 1 and 2 are wrong" in wrong["output"]
    assert "wrong_activation_derivative" not in json.dumps(wrong)


PYTHON = """
case "$*" in
  *ensurepip*) exit {is_good} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp {pip} "$3/bin/python" ;;
esac
"""


@needs_sh
def test_setup_brings_a_python_under_its_own_name(autograder, tmp_path):
    programs = tmp_path / "programs"
    pip = tmp_path / "pip"
    program(pip, f'echo "$*" > {tmp_path / "installed"}')
    program(programs / "python3.13", PYTHON.format(is_good=1, pip=pip))  # as on Debian, without its package for venv
    program(programs / "python3.12", PYTHON.format(is_good=0, pip=pip))
    program(programs / "python3", f"touch {tmp_path / 'used'}")  # the image's own is left alone
    program(programs / "apt-get", f'echo "$*" >> {tmp_path / "apt"}')
    subprocess.run(
        ["bash", autograder / "source" / "setup.sh"],
        env=os.environ | {"AUTOGRADER": str(autograder), "PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    asked = (tmp_path / "apt").read_text(encoding="utf-8").splitlines()
    assert asked == ["update", "install -y python3.13 python3.13-venv"]
    wheel = autograder / "source" / "mlp_jax-0-py3-none-any.whl"
    assert (tmp_path / "installed").read_text(encoding="utf-8").strip() == f"-m pip install {wheel}[notebooks]"
    assert not (tmp_path / "used").exists()


@pytest.mark.parametrize("kind", ["gradescope", "github", "nbgrader", "otter"])
def test_a_template_asks_for_a_network(kind):
    text = template(kind, "--activation", "relu", "--loss", "squared_error", "--layers", 2)
    assert "relu" in text and "squared_error" in text and "<<" not in text.replace("<< 'END", "")
    assert "tanh" in template(kind)  # else a right gradient of anything would get all points


def test_the_template_for_otter_is_python():
    compile(template("otter"), "backprop.py", "exec")


# ---- the whole way


def notebook_of(*codes):
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes]))


@pytest.mark.slow
def test_a_folder_of_submissions_becomes_grades_by_one_command(tmp_path, monkeypatch):
    submissions = {
        "ada.py": (RIGHT, 10),
        "bob.ipynb": (notebook_of("%matplotlib inline\nimport numpy as np", RIGHT), 10),
        "cem.py": (WRONG, 30 / 7),
        "dai.ipynb": (notebook_of(WRONG), 30 / 7),
        "eva.py": (before_start("raise RuntimeError('crash')"), 0),
        "fay.py": (before_start("while True: __import__('time').sleep(0.1)"), 0),
        "guy.py": ("", 0),
    }
    monkeypatch.chdir(tmp_path)
    folder = Path("submissions")
    folder.mkdir()
    for name, (text, _) in submissions.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = run("check", "submissions", *ASKED, "--points", 10, "--csv", "grades.csv", "--time-limit", 15, "--seed", 0)
    with Path("grades.csv").open(encoding="utf-8", newline="") as stream:
        scores = {Path(row["file"]).name: float(row["score"]) for row in csv.DictReader(stream)}
    assert scores == {name: pytest.approx(score, abs=1e-4) for name, (_, score) in submissions.items()}
    assert done.stdout.splitlines()[0].split()[:3] == ["file", "verdict", "score"]
    assert "2 correct, 0 undecided, 2 wrong, 3 error" in done.stdout
