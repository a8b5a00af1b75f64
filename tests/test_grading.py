"""Points for a backward pass: the rule, what students are told, and `grade`."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from commands import run
from homework import RIGHT, START, WRONG, before_start, raising
from problems import quick
from results import FULL

import mlp_jax
from mlp_jax.check import _files, _rendering
from mlp_jax.check._grading import credit, gradescope, hints
from mlp_jax.check._networks import judge
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.command_line import _check

WILD = Path(__file__).parent / "wild"
ASKED = ("--activation", "tanh", "--loss", "cross_entropy")
LEVELS = hints.LEVELS


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


# ---- in a notebook


class Odd(Exception):
    def __str__(self):
        raise ValueError("not even this")


class Ended(BaseException):
    pass


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
