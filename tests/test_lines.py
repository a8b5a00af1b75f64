"""The listing of a backward pass: what each value is, and the first that is wrong."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import planted_lines
import pytest
from commands import run
from homework import RIGHT, WRONG
from problems import quick

from mlp_jax import check_backprop
from mlp_jax.check import _files
from mlp_jax.check._child import recording
from mlp_jax.check._differences import conversation
from mlp_jax.check._exercises.writing import written
from mlp_jax.check._grading.hints import told
from mlp_jax.check._lines import expressions, faults, readings, streams
from mlp_jax.check._lines.quantities import quantities
from mlp_jax.check._lines.values import Played
from mlp_jax.check._networks.chain import backward
from mlp_jax.check._networks.judgement import forward_pass
from mlp_jax.check._networks.networks import OUTPUTS
from mlp_jax.check._networks.problems import Settings, network_of, problems

WILD = Path(__file__).parent / "wild"


def checked(path, lines=True, seconds=120):
    return _files.check_file(path, _files.Asking(seconds=seconds, seed=3, lines=lines))


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """The reports of the example, wrong and right, with their listings."""
    folder = tmp_path_factory.mktemp("listed")
    paths = {name: folder / f"{name}.py" for name in ("wrong", "right")}
    for name, text in (("wrong", WRONG), ("right", RIGHT)):
        paths[name].write_text(text, encoding="utf-8")
    return {name: checked(path) for name, path in paths.items()}


# What every line of the example is, by its code.
LINES = {
    "h.append(np.tanh(h[-1] @ W + b))": "h_1, h_2",
    "W, b = params[-1]": "W_3; b_3",
    "z = h[-1] @ W + b": "z_3",
    "p = np.exp(z - z.max(axis=1, keepdims=True))": "exp(z_3 - max z_3)",
    "p /= p.sum(axis=1, keepdims=True)": "p",
    "loss = -np.mean(np.log(p[np.arange(B), labels]))": "loss",
    "delta = p.copy()": "p",
    "delta[np.arange(B), labels] -= 1": "p - one_hot(y)",
    "gradients.insert(0, (h[l].T @ delta / B, delta.sum(axis=0) / B))": "d W_3, d W_2, d W_1; d b_3, d b_2, d b_1",
    "delta = (delta @ params[l][0].T) * (1 - h[l] ** 2)": "B delta_2, B delta_1",
}


def test_each_statement_says_what_its_value_is_and_nothing_right_is_marked(listed):
    listing = listed["right"].lines()
    assert {line.text.strip(): line.words for line in listing.lines if line.words} == LINES
    assert listing and listing.marks == ()


def test_the_value_at_fault_is_marked_with_what_belongs_there(listed):
    (mark,) = listed["wrong"].lines().marks
    line = WRONG.splitlines()[mark.span.line - 1]
    assert line[mark.span.column : mark.span.end_column] == "h[l]"
    assert mark.message == "`h[l]` is h_2, h_1, x, and z_2, z_1 belong here"


def test_the_verdict_is_that_of_a_run_without_recording(listed, tmp_path):
    file = tmp_path / "plain.py"
    file.write_text(WRONG, encoding="utf-8")
    plain, report = checked(file, lines=False).to_dict(), listed["wrong"].to_dict()
    assert report.pop("lines") and report == plain


# The line that tests/wild's authors' table names.
OF_WILD = {
    "w10_circles_mse": 27, "w11_cats_from_pixels": 35, "w12_digits_from_csv": 27, "w13_from_scratch_lists": 33,
    "w14_curve_regressor": 32, "w15_spiral_weight_decay": 25, "w16_softmax_squared": 15, "w17_word_context": 26,
    "w18_folded_bias_logistic": 21, "w19_checkpoint_mlp": 38, "w21_padded_batch": 25, "w22_labels_to_onehot": 5,
    "g02_loop_misses_a_layer": 28, "g03_relu_mask": 35, "g04_bias_scalar": 44, "g05_next_layer": 49,
    "g06_per_example": 34, "g07_half_decay": 36,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", quick({name: name for name in OF_WILD}, "w11_cats_from_pixels", "w22_labels_to_onehot")
)
def test_the_line_at_fault_of_a_file_as_people_write_it_is_marked(name):
    mark, *_ = checked(WILD / f"{name}.py").lines().marks
    assert mark.span.line == OF_WILD[name]


CASES = planted_lines.cases()
RECORD = json.loads(planted_lines.RECORD.read_text(encoding="utf-8"))
MISSED = {tuple(row[:-1]) for row in RECORD["missed"]}
RECORDED = [case for case in CASES[:: RECORD["every"]] if case not in MISSED]
SAMPLE = {f"{case.style}, {case.activation}, {case.mistake}": case for case in RECORDED[7::45]}


@pytest.mark.parametrize("case", quick(SAMPLE, *list(SAMPLE)[::3]))
def test_a_planted_line_is_marked(case, tmp_path):
    assert planted_lines.marked(case, tmp_path) in ("part", "line")


def test_the_record_of_planted_lines_is_what_is_claimed():
    """`python tests/planted_lines.py` makes it, in half an hour."""
    assert RECORD["files"] == len(CASES[:: RECORD["every"]])
    assert RECORD["line"] >= LINE * RECORD["wrong"] and RECORD["part"] >= PART * RECORD["wrong"]
    not_wrong = [row for row in RECORD["missed"] if row[-1] not in ("another line", "nothing")]
    assert RECORD["wrong"] + len(not_wrong) == RECORD["files"]
    assert len(RECORD["missed"]) - len(not_wrong) == RECORD["wrong"] - RECORD["line"]
    assert RECORD["times as long"]["command"]["most"] <= 3
    right = RECORD["right"]
    assert right["files"] == right["correct"] == right["listed"] == planted_lines.RIGHT and right["marked"] == 0


LINE, PART = 0.95, 0.8  # of the files


# Source, and the values that are seen of it, by their code.
SEEN = {
    "nested": ("y = np.sqrt(x + 1)", ["x", "x + 1", "np.sqrt(x + 1)"]),
    "in place": ("x[0] += 1", ["x", "x[0]"]),
    "a name that changes": ("x += 1", ["x"]),
    "several names": ("a, b = x, x + 1", ["x", "x", "x + 1", "a", "b"]),
    "a comprehension": ("y = [row.sum() for row in x[None]]", ["x", "x[None]", "row", "row.sum()"]),
    "a lambda": ("y = (lambda v: v * 2)(x)", ["x", "v", "v * 2", "(lambda v: v * 2)(x)"]),
    "a branch": ("y = x if True else None", ["x", "x if True else None"]),
    "a comparison": ("y = x > 0", ["x", "x > 0"]),
    "an attribute": ("y = x.T", ["x", "x.T"]),
    "no array": ("y = len('x') + 1", []),
    "a pattern": ("\n    match np.pi:\n        case np.pi: y = x", ["np.pi", "x"]),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_values_of_expressions_are_seen(name):
    code, expected = SEEN[name]
    source = f"def f(x):\n    {code}\n"
    module = {"np": np}
    exec(compile(source, "seen.py", "exec"), module)
    plain = module["f"].__code__
    recorder = recording.recorder(ast.parse(source), "seen.py")
    try:
        recorder.begin({})
        module["f"](np.array([1.0, 2.0]))
    finally:
        recorder.end()
    places = list(recorder.places)
    lines = source.split("\n")
    texts = [expressions.text(expressions.span(places[event.place].ends, lines), lines) for event in recorder.events]
    assert sorted(set(texts)) == sorted(set(expected))
    assert module["f"].__code__ is plain


def test_another_value_stands_in_the_place_of_one_that_is_seen():
    source = "def f(x):\n    y = x * 2\n    y[0] += 1\n    return y + x\n"
    module = {}
    exec(compile(source, "replaced.py", "exec"), module)
    recorder = recording.recorder(ast.parse(source), "replaced.py")
    try:
        recorder.begin({})
        assert module["f"](np.ones(2)).tolist() == [4.0, 3.0]
        number = next(number for place, number in recorder.places.items() if place.is_after)
        recorder.begin({number: [np.array([7.0, 8.0])]})
        assert module["f"](np.ones(2)).tolist() == [8.0, 9.0]
    finally:
        recorder.end()


@pytest.mark.parametrize("name", ["w02_petals_binary", "w04_plain_numpy_fit", "f01_xor_two_layer"])
def test_a_recorded_run_gives_the_same_numbers(name):
    with conversation.running(WILD / f"{name}.py", 60.0) as run:
        rng = np.random.default_rng(0)
        theta = [rng.standard_normal(shape) for shape in run.steps[0].shapes.values()]
        question = {"ask": "gradient", "step": 0, "gradient": 0, "view": ""}
        plain = run.ask(question, theta)
        assert all(map(np.array_equal, plain, run.record(question, theta).values))


def example_pass(seed=0):
    return forward_pass(problems(3, seed)[0], network_of(Settings()))


def example_tables():
    return [streams.table(example_pass(seed), OUTPUTS[0]) for seed in (0, 1)]


# A stream of numbers, as code gives them, and the only name that they have.
STREAMS = {
    "whole, in the order of the backward pass": (lambda s: [s.z[3], s.z[2]], "z_3, z_2"),
    "transposed": (lambda s: [s.z[2].T], "z_2^T"),
    "example by example": (lambda s: [row for i in range(s.B) for row in (s.h[1][i], s.h[2][i])], "h_1, h_2"),
    "number by number": (lambda s: list(s.p.ravel()), "p"),
    "twice": (lambda s: [s.z[1], s.z[2]] * 2, "z_1, z_2"),
    "one too many": (lambda s: [s.h[2], s.h[1], np.ones((s.B, 5))], "h_2, h_1"),
    "times B": (lambda s: [s.B * s.loss.output(s)], "p - one_hot(y)"),
    "negative": (lambda s: [-s.z[1]], "-z_1"),
    "summed so far": (lambda s: list(np.cumsum(s.loss.output(s), axis=0)), "d b_3 so far"),
    "nothing known": (lambda s: [s.z[1] ** 2], None),
}


def named(values):
    tables = example_tables()
    seen = [list(map(np.asarray, values(table.s))) for table in tables]
    names = readings.names(seen, readings.fits(seen, tables), tables)
    return [name.words for name in names]


@pytest.mark.parametrize("name", STREAMS)
def test_values_are_the_quantities_whose_streams_they_are(name):
    values, expected = STREAMS[name]
    assert named(values) == ([] if expected is None else [expected])


def test_a_coincidence_on_one_problem_is_no_name():
    first = example_pass(0)
    assert named(lambda s: [first.z[1]]) == []


def test_a_value_that_can_be_two_things_shows_both():
    """The last layer's delta and p - one_hot(y), for one example."""
    assert len(named(lambda s: [s.h[0], s.h[0]])) == 1  # x again is x


def test_the_quantities_are_those_of_the_pass():
    s = example_pass()
    by_name = {(q.name, q.per_example): q for q in quantities(s, OUTPUTS[0])}
    loss, gradients = backward(s)
    assert by_name["loss", False].values[3] == loss
    for l, (dW, db) in enumerate(gradients, 1):
        np.testing.assert_array_equal(by_name["d W_l", False].values[l], dW)
        np.testing.assert_allclose(by_name["an example's d W_l", True].values[l].sum(axis=0), dW, atol=1e-15)
        np.testing.assert_allclose(by_name["delta_l", True].values[l].sum(axis=0), db, atol=1e-15)


# A mistake in a script, whether it declares its network, and the words for what is meant if its loss does not say so.
MEANT = {
    "a loss of no network": ("returns the loss with the opposite sign", True, "relu, softmax outputs, cross-entropy"),
    "the same, undeclared": ("returns the loss with the opposite sign", False, "relu, softmax outputs"),
    "another loss, undeclared": ("sums binary cross-entropies over the classes", False, "relu, softmax outputs"),
    "a linear network": ("leaves the activation out of the forward pass, and its derivative not", True, "relu"),
    "a loss that is known": ("leaves out phi'(z)", False, ""),
}


@pytest.mark.parametrize("name", quick({name: name for name in MEANT}, "the same, undeclared", "a linear network"))
def test_a_script_is_listed_by_the_network_that_is_meant(name, tmp_path):
    mistake, is_declared, words = MEANT[name]
    made = written("classes", "relu", "cross_entropy", 2, 0, mistakes=[mistake])
    file = tmp_path / "layers.py"
    file.write_text(made.text if is_declared else re.sub("(?m)^[A-Z]+ = .*$", "", made.text), encoding="utf-8")
    report = checked(file)
    notes = [note for note in report.notes if "may be meant to be" in note]
    assert [words in note for note in notes] == ([True] if words else [])
    assert report.lines().marks[0].span.line == made.planted[0].line


def test_what_no_value_can_make_right_is_not_marked():
    def play(problem, replaced, events):
        return Played((True, False), [np.zeros(1)] * 2)

    assert faults.faults(play, example_tables(), set(), until=float("inf")) == ([], False)


def own_backward(params, x, labels):
    (W1, b1), (W2, b2) = params
    h = np.tanh(x @ W1 + b1)
    z = h @ W2 + b2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    Y = np.eye(len(b2))[labels]
    loss = -np.mean(np.log((p * Y).sum(axis=1)))
    delta2 = (p - Y) / len(x)
    delta1 = (delta2 @ W2.T) * (1 - h**2)
    return loss, [(x.T @ delta1, delta1.sum(axis=0)), (h.T @ delta2, 2 * delta2.sum(axis=0))]


def test_a_report_in_this_process_makes_its_listing_when_it_is_asked():
    before = own_backward.__code__
    report = check_backprop(own_backward, layers=2)
    listing = report.lines()
    assert own_backward.__code__ is before
    (mark,) = listing.marks
    code = Path(__file__).read_text(encoding="utf-8").splitlines()[mark.span.line - 1]
    assert code[mark.span.column : mark.span.end_column] == "2"
    assert mark.message == "`delta2.sum(axis=0)` is d b_2, and `2 *` changes it"
    assert "<mark" in listing._repr_html_() and "×" in repr(listing)


def test_without_a_source_or_a_network_there_is_no_listing():
    report = check_backprop(lambda params, x, labels: (0.0, [(W, b) for W, b in params]))
    with pytest.raises(ValueError, match="report: expected one with a listing"):
        report.lines()


@pytest.fixture
def example(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(WRONG, encoding="utf-8")
    return file


def test_the_command_prints_the_source_in_80_columns(example, tmp_path):
    page = tmp_path / "report.html"
    done = run("check", example, "--lines", "--seed", "3", "--report", page)
    assert done.returncode == 1
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if not line.startswith("wrote"))
    assert "19 ×" in done.stdout and "z_2, z_1 belong here" in done.stdout and "15 √" in done.stdout
    assert "overflow-x:auto" in page.read_text(encoding="utf-8")


def test_a_console_of_korea_prints_it(example):
    command = [sys.executable, "-m", "mlp_jax", "check", example, "--lines"]
    environment = os.environ | {"PYTHONIOENCODING": "cp949", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 1 and not done.stderr
    assert "19 ×" in done.stdout.decode("cp949") and "15 √" in done.stdout.decode("cp949")


def test_what_could_control_a_terminal_is_not_printed(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(WRONG.replace("B = len(x)", "B = len(x)  # \x1b[2J \u202e"), encoding="utf-8")
    assert "B = len(x)  #  [2J" in repr(checked(file).lines())
    assert not {"\x1b", "\u202e"} & set(repr(checked(file)))


@pytest.mark.parametrize(
    "code",
    [
        WRONG.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + WRONG.encode(),
        b"# coding: latin-1\n# \xe9\n" + WRONG.encode(),
    ],
    ids=["lines of Windows", "byte order mark", "latin-1"],
)
def test_any_encoding_of_python_is_listed(code, tmp_path):
    file = tmp_path / "homework.py"
    file.write_bytes(code)
    (mark,) = checked(file).lines().marks
    assert mark.message.startswith("`h[l]` is h_2, h_1, x")


def test_values_in_float32_have_names(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text(
        WRONG.replace(
            "h = [x]", "h = [np.float32(x)]\n    params = [(np.float32(W), np.float32(b)) for W, b in params]"
        ),
        encoding="utf-8",
    )
    listing = checked(file).lines()
    assert {"h_1, h_2", "p - one_hot(y)"} <= {line.words for line in listing.lines} and listing.marks


def test_a_notebook_names_its_cells(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell("import numpy as np"), nbformat.v4.new_code_cell(WRONG.partition("\n\n\n")[2])]
    file = tmp_path / "homework.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    done = run("check", file, "--lines", "--seed", "3")
    assert "cell 2, line 16 ×         delta = (delta" in done.stdout


@pytest.mark.parametrize(("hints", "words"), [("none", []), ("where", ["it goes wrong here"])])
def test_hints_cut_the_listing(hints, words, listed):
    text = repr(told(listed["wrong"], hints))
    assert "h_2, h_1" not in text and "expected" not in text
    assert all(word in text for word in words) and ("×" in text) == bool(words)
