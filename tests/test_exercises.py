"""Exercises: files in four styles, mistakes in their lines, how visible each is, and the story of a student."""

import ast
import csv
import json
import re
from itertools import pairwise

import numpy as np
import planted
import pytest
from commands import run
from homework import WRONG as HOMEWORK
from problems import quick

from mlp_jax.check import _files
from mlp_jax.check._exercises import exercise, levels, visibility
from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.effect import mistakes_of
from mlp_jax.check._exercises.expressions import Unknown, difference, in_columns, of_one_example, spelled
from mlp_jax.check._exercises.forms import SCHOOLS, Form, drawn_form
from mlp_jax.check._exercises.outcomes import are_apart, outcome
from mlp_jax.check._exercises.styles import NAMES
from mlp_jax.check._exercises.writing import BY_NAME, network, spots, written
from mlp_jax.check._exercises.wrong_lines import NOT_PLANTED, PLANTABLE, WRONG
from mlp_jax.check._networks.mistakes import MISTAKES


def repaired(written):
    """The text of an exercise with the right lines of its key."""
    lines = written.text.splitlines()
    for one in written.planted:
        line = lines[one.line - 1]
        lines[one.line - 1] = line.replace(one.wrong, one.right)
    return "\n".join(lines) + "\n"


# --- expressions


@pytest.mark.parametrize(
    ("rows", "columns", "one"),
    [
        ("h_prev @ W + b", "W @ h_prev + b", "h_prev @ W + b"),
        ("delta @ W.T", "W.T @ delta", "W @ delta"),
        ("h_prev.T @ delta", "delta @ h_prev.T", "np.outer(h_prev, delta)"),
        ("delta.sum(axis=0)", "delta.sum(axis=1, keepdims=True)", "delta"),
        ("e / e.sum(axis=1, keepdims=True)", "e / e.sum(axis=0, keepdims=True)", "e / e.sum()"),
        ("p.argmax(axis=1)", "p.argmax(axis=0)", "p.argmax()"),
        ("h_prev[::-1].T @ delta", "delta @ h_prev[:, ::-1].T", None),
        ("e / e.sum(axis=0, keepdims=True)", "e / e.sum(axis=1, keepdims=True)", None),
    ],
)
def test_an_expression_in_rows_is_translated(rows, columns, one):
    assert in_columns(rows) == columns
    if one is None:
        with pytest.raises(Unknown):
            of_one_example(rows)
    else:
        assert of_one_example(rows) == one


def test_a_transposed_expression_is_the_transpose():
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape) for name, shape in {"h": (5, 3), "W": (3, 4), "delta": (5, 4)}.items()}
    for text in ("h @ W", "delta @ W.T", "h.T @ delta", "(delta * (h @ W)).sum(axis=0)[None]", "-delta[::-1] @ W.T"):
        turned = eval(in_columns(text.replace("[None]", "")), {name: array.T for name, array in arrays.items()})
        assert np.allclose(turned, eval(text, dict(arrays)).T), text


def test_letters_get_the_names_of_a_file_and_parentheses_where_they_are_needed():
    letters = {"slope": "1 - a1 ** 2", "dh": "da1"}
    assert spelled("dh * slope", letters, {}) == "da1 * (1 - a1 ** 2)"
    assert spelled("phi(dh)", letters, {"phi": "np.tanh({})".format}) == "np.tanh(da1)"
    with pytest.raises(Unknown):
        spelled("dh * z", letters, {})


@pytest.mark.parametrize(
    ("wrong", "right", "part"),
    [
        ("dh = d @ W", "dh = d @ W.T", "W"),
        ("d = p - Y", "d = (p - Y) / B", "p - Y"),
        ("d = (p + Y) / B", "d = (p - Y) / B", "p + Y"),
        ("db = d.mean(axis=0)", "db = d.sum(axis=0)", "d.mean"),
        ("for l in range(L, 1, -1):", "for l in range(L, 0, -1):", "1"),
        ("dW = np.outer(h, d)", "dW += np.outer(h, d)", "dW = np.outer(h, d)"),
    ],
)
def test_the_part_that_is_wrong_is_found(wrong, right, part):
    start, end = difference(wrong, right)
    assert wrong[start:end] == part


# --- the table


def test_every_known_mistake_is_planted_or_has_a_reason_why_not():
    assert len(BY_NAME) == len(MISTAKES)  # names differ
    assert set(WRONG) <= PLANTABLE
    assert PLANTABLE | set(NOT_PLANTED) == set(BY_NAME)
    assert not PLANTABLE & set(NOT_PLANTED)


def test_what_is_right_for_an_activation_is_no_mistake_there():
    assert "uses 1 - h^2, the derivative of tanh, for phi'(z)" not in mistakes_of("tanh", "cross_entropy")
    assert "uses 1 - h^2, the derivative of tanh, for phi'(z)" in mistakes_of("sigmoid", "cross_entropy")
    assert "takes phi' at h = phi(z) and not at z" not in mistakes_of("relu", "cross_entropy")
    assert "adds one_hot(y) to p where it is to be subtracted" not in mistakes_of("tanh", "squared_error")


# --- files

NETWORKS = {
    f"{style} {activation} {loss} {layers}": (style, activation, loss, layers, i)
    for i, (style, activation, loss, layers) in enumerate(
        (style, activation, loss, layers)
        for style in NAMES
        for activation in ACTIVATIONS
        for loss in ("cross_entropy", "squared_error")
        for layers in (2, 3)
    )
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_file_has_the_gradients_of_the_chain(name):
    style, activation, loss, layers, seed = NETWORKS[name]
    for form in (drawn_form(seed), drawn_form(seed + 1)):
        of = network(style, activation, loss, layers, form)
        found = outcome(of, [])
        assert found is not None
        if style != "classes":
            assert np.allclose(found, expected(of), rtol=1e-10, atol=1e-12)


def expected(of):
    """Loss and gradients of the chain, in the order and layout of a file."""
    from mlp_jax.check._networks.chain import backward
    from mlp_jax.check._networks.judgement import forward_pass
    from mlp_jax.check._networks.problems import Settings, network_of, probes

    problem = probes(of.layers)[0]
    loss, gradients = backward(forward_pass(problem, network_of(Settings(of.activation, of.loss))))
    leaves = [leaf.T if of.style == "columns" else leaf for pair in gradients for leaf in pair]
    return np.concatenate([[loss], *map(np.ravel, leaves)])


def test_every_spot_is_another_line_and_its_wrong_part_lies_in_it():
    for seed, style in enumerate(NAMES):
        of = network(style, "tanh", layers=3, form=drawn_form(seed))
        right = written(style, "tanh", layers=3, seed=seed).text
        for spot in spots(of)[::7]:
            file = exercise.assembled(of, [spot], "A network and its gradient by hand.")
            (one,) = file.planted
            line = file.text.splitlines()[one.line - 1]
            assert line.strip() == one.wrong != one.right
            assert line[one.column : one.end_column].strip()
            assert file.text != right == repaired(file)
            ast.parse(file.text)


def test_a_seed_draws_the_file_and_other_seeds_draw_others():
    texts = [written("vectorised", seed=seed).text for seed in range(12)]
    assert texts == [written("vectorised", seed=seed).text for seed in range(12)]
    assert len(set(texts)) >= 8
    assert {form.school for form in map(drawn_form, range(30))} == set(SCHOOLS)


def test_mistakes_that_mask_each_other_are_seen():
    of = network("vectorised", "tanh", form=Form())
    at = {spot.mistake: spot for spot in spots(of)}
    zero, scaled = at["leaves d W_l at zero"], at["divides the weights' gradient by B twice"]
    sign = at["has the opposite sign"]
    assert are_apart(of, [sign, scaled]) and not are_apart(of, [zero, zero])


# --- the checker's verdicts

SAMPLE = {  # of files; the whole table is in the record
    "right vectorised": planted.Case("vectorised", "relu", "cross_entropy", 3, 4),
    "right loops": planted.Case("loops", "sigmoid", "squared_error", 2, 1),
    "right classes": planted.Case("classes", "tanh", "cross_entropy", 3, 2),
    "right columns": planted.Case("columns", "tanh", "cross_entropy", 2, 3),
    "vectorised": planted.Case("vectorised", "tanh", "cross_entropy", 2, 1, "leaves out phi'(z)"),
    "loops": planted.Case("loops", "relu", "cross_entropy", 2, 2, "counts the last example alone in d W_l"),
    "classes": planted.Case("classes", "tanh", "cross_entropy", 2, 0, "uses h = phi(z) where phi'(z) belongs"),
    "columns": planted.Case("columns", "sigmoid", "squared_error", 3, 0, "changes the sign on the way back"),
}


@pytest.mark.parametrize("name", SAMPLE)
def test_the_checker_calls_files_right_and_names_mistakes(name, tmp_path):
    case = SAMPLE[name]
    assert planted.is_as_expected(case, planted.judged(case, tmp_path))


def test_the_record_of_all_files_has_no_false_alarm_and_no_mistake_that_passes():
    record = json.loads(planted.RECORD.read_text(encoding="utf-8"))
    counts = record["counts"]
    assert counts["called correct"] == counts["right files"] == len(planted.right_cases())
    assert counts["mistakes"] == len(PLANTABLE) and set(record["never planted"]) == set(NOT_PLANTED)
    assert counts["called wrong"] == counts["wrong files"]
    assert len(record["exceptions"]) == counts["wrong files"] - counts["named"]
    for *_, mistake, verdict, code in record["exceptions"]:
        assert verdict == "wrong"
        assert (BY_NAME[mistake].code, code) in planted.ALSO


# --- levels


def runs(first, last, accuracy):
    return {"first": [first] * 5, "last": [last] * 5, "accuracy": [accuracy] * 5}


RIGHT = {
    "first": [2.2, 2.3, 2.4, 2.5, 2.6],
    "last": [0.1, 0.11, 0.12, 0.13, 0.14],
    "accuracy": [0.96, 0.97] * 2 + [0.98],
}


@pytest.mark.parametrize(
    ("level", "broken"),
    [
        (1, None),
        (1, runs(2.3, None, 0.1)),
        (1, runs(2.3, 2.2, 0.3)),
        (1, runs(-2.3, -0.1, 0.97)),
        (2, runs(2.3, 0.5, 0.9)),
        (3, runs(2.3, 0.3, 0.95)),
        (3, runs(4.6, 0.12, 0.97)),
        (4, runs(2.3, 0.12, 0.97)),
    ],
)
def test_levels_follow_loss_and_accuracy(level, broken):
    assert levels.level_of_runs(broken, RIGHT) == level


def test_the_record_of_levels_has_every_mistake_and_every_level():
    assert list(levels.record()["mistakes"]) == [*BY_NAME]
    assert {levels.level(name) for name in PLANTABLE} == {*levels.LEVELS}
    assert levels.level("leaves out phi'(z)") == levels.visibility("leaves out phi'(z)").level
    for right in levels.record()["right"].values():  # the reasons of the thresholds
        assert np.ptp(right["accuracy"]) < 0.023 < levels.LOST
        assert max(np.divide(right["last"], right["first"])) < 0.25
    sure = [levels.visibility(name).share >= 0.95 for name in BY_NAME]
    assert np.mean(sure) > 0.9


@pytest.mark.parametrize(
    "name", ["has the opposite sign", "takes delta_l of the first example for d b_l, without the sum"]
)
def test_trainings_of_the_record_are_measured_again(name):
    record = levels.record()["mistakes"][name]["runs"]
    for seed, run_again in enumerate(visibility.measure(name, range(2))):
        for field, value in run_again._asdict().items():
            assert value == pytest.approx(record[field][seed], rel=0.05), field


# --- the command


def check(path, lines=False):
    return _files.check_file(path, _files.Asking(seconds=60, seed=1, lines=lines))


STORIES = {
    "one": ("--style", "vectorised", "--seed", 5),
    "two": ("--mistakes", 2, "--seed", 8, "--style", "columns"),
    "rule": ("--rule", "db", "--seed", 2, "--style", "loops"),
    "classes": ("--style", "classes", "--seed", 3, "--level", 2),
}


@pytest.mark.parametrize("flags", quick({name: (flags,) for name, flags in STORIES.items()}, "two", "classes"))
def test_a_student_repairs_an_exercise_by_the_key(flags, tmp_path):
    file, key = tmp_path / "exercise.py", tmp_path / "key.txt"
    done = run("exercise", *flags, "--output", file, "--key", key)
    assert (done.returncode, done.stdout) == (0, "")
    assert run("exercise", *flags).stdout == file.read_text(encoding="utf-8")  # the same seed, the same file
    report = check(file, lines=True)
    assert report.verdict == "wrong"
    text = file.read_text(encoding="utf-8").splitlines()
    entries = re.findall(r"line (\d+), .*\n  there is: (.*)\n  right is: (.*)\n", key.read_text(encoding="utf-8"))
    assert f"{len(entries)} mistake" in text[0]
    assert report.lines().marks[0].span.line in [int(line) for line, _, _ in entries]
    for i, (line, wrong, right) in enumerate(entries, 1):
        assert wrong in text[int(line) - 1]
        text[int(line) - 1] = text[int(line) - 1].replace(wrong, right)
        file.write_text("\n".join(text) + "\n", encoding="utf-8")
        assert check(file).verdict == ("correct" if i == len(entries) else "wrong")


def test_a_student_fills_the_template_in_and_repairs_what_the_listing_marks(tmp_path):
    file = tmp_path / "mine.py"
    template = run("check", "--template", "function").stdout
    body = HOMEWORK.partition("labels):\n")[2]
    file.write_text(template.replace("    raise NotImplementedError\n    return loss, gradients\n", body), "utf-8")
    done = run("check", file, "--lines", "--seed", 1)
    (source,) = (row for row in done.stdout.splitlines() if "×" in row or " x  " in row[:6])
    assert done.returncode == 1 and "1 - np.tanh(h[l]) ** 2" in source
    assert "`h[l]` is h_2, h_1, x, and z_2, z_1 belong here" in " ".join(done.stdout.split())
    file.write_text(file.read_text("utf-8").replace("1 - np.tanh(h[l]) ** 2", "1 - h[l] ** 2"), "utf-8")
    assert run("check", file, "--lines", "--seed", 1).returncode == 0


def test_a_class_gets_files_that_differ_with_a_table_and_a_key(tmp_path):
    folder, key = tmp_path / "class", tmp_path / "key.txt"
    done = run("exercise", "--number", 12, "--output", folder, "--key", key, "--seed", 1)
    assert done.returncode == 0
    files = sorted(folder.glob("*.py"))
    assert len({file.read_text(encoding="utf-8") for file in files}) == 12
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [file.name for file in files]
    assert all(file.name in done.stdout and f"{file.name}: 1 mistake" in key.read_text("utf-8") for file in files)
    again = run("exercise", "--number", 12, "--output", folder, "--seed", 1)
    assert again.returncode == 2 and "give --overwrite" in again.stderr
    assert run("exercise", "--number", 12, "--output", folder, "--seed", 1, "--overwrite").stdout == done.stdout


def test_several_mistakes_are_of_different_rules_and_a_rule_that_is_asked_for_is_kept():
    several = exercise.exercise(exercise.Request(mistakes=3), 4).written.planted
    rules = [set(BY_NAME[one.mistake_name].rules) for one in several]
    assert len({one.line for one in several}) == 3
    assert all(not a & b for a, b in pairwise(rules))
    for rule in exercise.RULES:
        (one,) = exercise.exercise(exercise.Request(rule=rule), 0).written.planted
        assert exercise.rule_of(one.mistake_name) == rule
    for level in levels.LEVELS:
        (one,) = exercise.exercise(exercise.Request(level=level), 0).written.planted
        assert levels.level(one.mistake_name) == level


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mistakes", 0), "mistakes: expected"),
        (("--mistakes", 9), "at most 4"),
        (("--level", 5), "level: expected one of 1, 2, 3, 4"),
        (("--number", 3), "give --output FOLDER"),
        (("--number", 0, "--output", "x"), "number: expected"),
        (("--seed", -1), "seed: expected"),
    ],
)
def test_bad_flags_are_one_line(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("exercise", *flags)
    assert done.returncode == 2
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
