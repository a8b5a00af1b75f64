"""A results.json for Gradescope: its form, whatever happens, and whatever a file says."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from commands import run
from homework import RIGHT, WRONG, before_start
from markdown_it import MarkdownIt
from results import FULL, LEAF, assert_is_result

from mlp_jax.check import _files
from mlp_jax.check._grading import credit, gradescope, hints
from mlp_jax.check._networks import judge
from mlp_jax.check._rules.comparison import GradientReport

LEVELS = hints.LEVELS


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
