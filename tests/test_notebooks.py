"""Notebooks and standard input are checked as files are; reports name their cells."""

import ast
import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from commands import run
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mlp_jax.check import _files, _sources

WILD = Path(__file__).parent / "wild"


def script(name):
    return (WILD / f"{name}.py").read_text(encoding="utf-8")


def cells_of(code):
    """A script in cells of one statement each, those of its `if __name__ == "__main__"` too."""
    lines, cells, begin = code.splitlines(), [], 0
    for node in ast.parse(code).body:
        if isinstance(node, ast.If):
            cells += cells_of(textwrap.dedent("\n".join(lines[node.lineno : node.end_lineno])))
        else:
            cells.append("\n".join(lines[begin : node.end_lineno]))
        begin = node.end_lineno
    return cells


@pytest.fixture
def written(tmp_path):
    """A function that writes cells as a notebook."""

    def write(cells, name="homework.ipynb", version=4):
        notebook = new_notebook(cells=[new_markdown_cell("# Week 3"), *map(new_code_cell, cells)])
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.convert(notebook, version), path, version=nbformat.NO_CONVERT)
        return path

    return write


MESSY = [
    '%matplotlib inline\nimport plots_that_nobody_has.pyplot as plt\nfrom beside import RATE\n!pip install "numpy"',
    "from __future__ import annotations\nW = # your code here",
    "%%bash\nrm -rf results",
    "display(get_ipython().user_ns)\nplt?",
    "%%time\nwith open('numbers.txt') as f:\n    assert float(f.read()) == RATE",
]


def test_notebooks_get_the_verdicts_of_their_scripts(written, tmp_path):
    names = ["w02_petals_binary", "w11_cats_from_pixels", "w12_digits_from_csv"]  # w12 takes its loss in the last cell
    (tmp_path / "beside.py").write_text("RATE = 0.5", encoding="utf-8")
    (tmp_path / "numbers.txt").write_text("0.5", encoding="utf-8")
    paths = [
        written(cells_of(script(names[0])), "w02.ipynb", version=3),
        written([*MESSY, *cells_of(script(names[1])), "plt.plot(p)", "plt.show()"], "w11.ipynb"),
        written(cells_of(script(names[2])), "w12.ipynb"),
    ]
    reports = _files.check_files(paths, _files.Asking(seconds=60, seed=1))
    of_scripts = _files.check_files([WILD / f"{name}.py" for name in names], _files.Asking(seconds=60, seed=1))
    assert [report.verdict for report in reports] == ["correct", "wrong", "wrong"]
    assert [report.diagnoses for report in reports] == [report.diagnoses for report in of_scripts]
    assert [note for note in reports[0].notes if note.startswith("not run")] == []
    step, not_run = (reports[1].notes[i] for i in (1, -1))
    assert step == "the step is a round of the loop in cell 16, line 1"
    in_order = [
        "cell 2, line 2 (invalid syntax)",
        ", cell 1, line 2 (ModuleNotFoundError: No module named 'plots_that_nobody_has')",
        ", cell 17, line 1 (NameError: name 'plt' is not defined)",
        ", and 1 more",
    ]  # the run ends when the loop is judged, before or after the cells that follow the loop
    assert not_run in [f"not run: {''.join(in_order[:reached])}" for reached in (2, 3, 4)]


def test_a_function_in_a_notebook_is_checked(written):
    function = "def loss_and_gradients(params, x, labels):\n    # no pass yet\n    return {}['loss']"
    done = run("check", written(["1 / 0", function]), "--layers", 1)
    assert done.returncode == 2
    assert "KeyError: 'loss' (cell 2, line 3: return {}['loss'])" in done.stderr
    assert "not run: cell 1, line 1 (ZeroDivisionError: division by zero)" in done.stderr


def test_a_notebook_without_a_loop_names_what_did_not_run(written):
    done = run("check", written(["X = open('no such file')", "for x in X:\n    pass"]))
    assert done.returncode == 2
    first, *_ = done.stderr.splitlines()
    assert first.startswith("error: ") and first.count("not run: cell 1, line 1 (FileNotFoundError: ") == 1


def test_a_notebook_without_a_loop_is_offered_one_by_its_own_functions(written):
    cells = ["1 / 0", *cells_of(script("w02_petals_binary").partition("\nif __name__")[0])]
    done = run("check", written(cells))
    first, _, *lines = done.stderr.splitlines()
    assert first.count("ZeroDivisionError") == 1
    assert lines[2] == "parameters = initialize(4, 5, 1)"
    assert run("check", written([*cells, "\n".join(lines)])).returncode == 0


def test_notebooks_of_a_folder_are_found(written):
    paths = [written(["x = 1"], name) for name in ("b.ipynb", "deep/a.ipynb", ".ipynb_checkpoints/b.ipynb")]
    paths[0].with_name("a.py").write_text("", encoding="utf-8")
    found = _files.python_files([paths[0].parent])
    assert [path.relative_to(paths[0].parent).as_posix() for path in found] == ["a.py", "b.ipynb", "deep/a.ipynb"]


LINES = {
    "an operator": (["print('a'", "      % 3)"],) * 2,
    "a remainder": (["x = 7 \\", "% 3"],) * 2,
    "a magic in a block": (["if x:", "    %matplotlib inline"], ["if x:", "    pass"]),
    "an assignment": (["files = !ls", "a, b = %who"], ["pass", "pass"]),
    "several lines": (["!pip install a \\", "  b", "x = 1"], ["", "pass", "x = 1"]),
    "help": (["np.dot?", "?x", "net.W??"], ["pass"] * 3),
    "timed": (["%time x = f(3)", "%timeit f(3)"], ["x = f(3)", "pass"]),
    "quotes": (["%cd o'hara", "!echo ( '", "x = 1"], ["pass", "pass", "x = 1"]),
    "body is code": (["", "%%capture out", "x = 1"], ["", "", "x = 1"]),
    "body is none": (["%%writefile a.py", "x = 1"], []),
    "nothing": ([""], [""]),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_that_are_no_python_are_left_out(name):
    lines, expected = LINES[name]
    assert _sources.python(lines) == expected


@pytest.mark.parametrize("lines", [["print('ok?"], ["x = ("], ["return 3"], ["await x"], ["x = 1", "  y = 2"]])
def test_other_mistakes_are_none_of_a_notebook(lines):
    with pytest.raises(SyntaxError):
        _sources.python(lines)


CELLS = [
    '''text = """
  two blanks
    four"""; b = 3  # two statements in a line
number = [f"""{b}
 one""",
    "x" \\
"y"]''',
    '@str\n# a comment\ndef f():\n    return """\nno indent"""\nf = [f,\n\tb]; f = b\n\n# the end',
    "# nothing\n",
    "if b:\r\n\tb = 4\relse:\n\tb = 5",
]


def test_every_line_keeps_its_text_and_its_place(written, tmp_path):
    source = _sources.source(written(CELLS), tmp_path, 0)
    made = source.file.read_text(encoding="utf-8").splitlines()
    assert len(made) == len(source.places)
    cells = [_sources._split(cell) for cell in CELLS]
    for line, place in zip(made, source.places, strict=True):
        if place and line != "with __statement__():":
            cell, number = (int(word.rstrip(",")) for word in place.split()[1::2])
            assert line.strip() == cells[cell - 1][number - 1].strip()
    here, plain = {"__statement__": io.StringIO}, {}
    exec("\n".join(made[1:]), here)
    exec("\n".join(line for cell in cells for line in cell), plain)
    assert {name: here[name] for name in ("text", "b", "number", "f")} == {
        name: plain[name] for name in ("text", "b", "number", "f")
    }


NO_NOTEBOOKS = {
    "no JSON": ("x = 1", "expected a Jupyter notebook"),
    "other JSON": ("[]", "expected a Jupyter notebook"),
    "no UTF-8": (b"\xff", "expected a Jupyter notebook"),
    "no cells": ([], "expected code cells in Python, got none"),
    "no code": (["", "# later"], "expected code cells in Python, got none"),
    "other code": (["x <- 3;;", "y = ("], "got cell 1, line 1 (invalid syntax), cell 2, line 1 ('(' was never closed)"),
    "half a character": (["x = '\ud800'"], "surrogates not allowed"),
}


@pytest.mark.parametrize("name", NO_NOTEBOOKS)
def test_what_is_no_notebook_is_an_error(name, written, tmp_path):
    content, words = NO_NOTEBOOKS[name]
    path = tmp_path / "homework.ipynb"
    if isinstance(content, list):
        notebook = json.dumps(new_notebook(cells=[new_code_cell(cell) for cell in content]))
        path.write_text(notebook, encoding="utf-8")
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = _sources.source(path, tmp_path, 0)
    assert words in source.error
    assert _files.check_source(source, None, _files.Asking()).verdict == "error"


def test_without_nbformat_it_says_which_extra_to_install(written, monkeypatch):
    path = written(["x = 1"])
    monkeypatch.setitem(sys.modules, "nbformat", None)
    done = run("check", path)
    assert (done.returncode, done.stderr) == (
        2, "error: reading a notebook needs nbformat: pip install 'mlp_jax[notebooks]'\n"
    )  # fmt: skip


def test_standard_input_is_checked(tmp_path):
    code = '"""First."""\nfrom __future__ import annotations\nfrom beside import RATE\n' + script(
        "w11_cats_from_pixels"
    )
    (tmp_path / "beside.py").write_text("RATE = 0.5", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mlp_jax", "check", "-"],
        input=code.encode(), capture_output=True, cwd=tmp_path, env=os.environ | {"JAX_PLATFORMS": "cpu"}, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"scale: " in done.stdout
    assert b"the step is a round of the loop in line 48" in done.stdout


def typed(data, terminal=False):
    """Standard input that holds bytes."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    stream.isatty = lambda: terminal
    return stream


@pytest.mark.parametrize(
    "stdin, words",
    [
        (typed(b" \n"), "error: standard input: code: expected Python code, got none"),
        (None, "error: standard input: code: expected Python code, got none"),
        (typed(b"x = 1\ny = 2 2"), "error: standard input: line 2: "),
        (typed(b"\xff"), "error: standard input: 'utf-8' codec"),
        (typed(b"x = [", terminal=True), "reading Python code from standard input"),
    ],
    ids=["empty", "closed", "syntax", "encoding", "terminal"],
)
def test_standard_input_that_is_no_code_is_an_error(stdin, words, monkeypatch):
    monkeypatch.setattr("sys.stdin", stdin)
    done = run("check", "-")
    assert done.returncode == 2 and done.stderr.startswith(words)
