"""`mlp-jax check` as a student, and a teacher with a folder of homework, meets it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import full_disk, run, run_process
from homework import RIGHT, START, WRONG, before_start
from problems import quick

from mlp_jax.check import _files
from mlp_jax.check._child.entry import CONSTANTS
from mlp_jax.check._networks.problems import FORMS, LAYOUTS, Settings
from mlp_jax.check._networks.template import LINES, skeleton


@pytest.fixture
def written(tmp_path):
    """A function that writes a file, and returns its path."""

    def write(text, name="homework.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


CANNOT_BE_CHECKED = {
    "no such file": (None, "no such file"),
    "syntax error": (RIGHT.replace("[x]", "[x"), "line 5: '[' was never closed"),
    "no UTF-8": (b"name = '\xff'\n" + RIGHT.encode(), "utf-8"),
    "NUL": ("\0", "source code"),
    "empty": ("", "loss_and_gradients(params, x, labels), or a loop that is seen to train, got none"),
    "another name": ("def loss_and_gradient(x):\n    return x", "did you mean 'loss_and_gradient'?"),
    "no function": ("loss_and_gradients = 3", "expected a function, got int"),
    "missing module": (f"import nosuchmodule\n{RIGHT}", "ModuleNotFoundError: No module named 'nosuchmodule' (line 1"),
    "raises when imported": (f"{RIGHT}\n1 / 0", "ZeroDivisionError: division by zero (line"),
    "exit when imported": (f"import sys; sys.exit()\n{RIGHT}", "SystemExit"),
    "unknown setting": (f"ACTIVATION = 'relus'\n{RIGHT}", "activation: expected one of"),
    "setting of another type": (f"LAYERS = 'two'\n{RIGHT}", "layers: expected a whole number"),
    "exit inside": (before_start("import sys; sys.exit(0)"), "calls sys.exit"),
    "input": (before_start("input()"), "EOFError"),
    "wrong results": (RIGHT.replace("return loss, gradients", "return loss, 1, 2"), "expected (loss, gradients)"),
    "template as it is": (skeleton(Settings()), "NotImplementedError"),
}  # fmt: skip


@pytest.fixture(scope="module")
def not_checked(tmp_path_factory):
    """The reports of all files that cannot be checked, made at once."""
    folder, paths = tmp_path_factory.mktemp("files"), {}
    for i, (name, (text, _)) in enumerate(CANNOT_BE_CHECKED.items()):
        paths[name] = folder / f"{i}.py"
        if text is not None:
            paths[name].write_bytes(text if isinstance(text, bytes) else text.encode())
    reports = _files.check_files(list(paths.values()), _files.Asking(seconds=60, seed=0))
    return dict(zip(paths, reports, strict=True))


@pytest.mark.parametrize("name", CANNOT_BE_CHECKED)
def test_what_cannot_be_checked_is_one_line(name, not_checked):
    report = not_checked[name]
    assert report.verdict == "error"
    assert CANNOT_BE_CHECKED[name][1] in report.diagnoses[0].message
    assert "\n" not in report.diagnoses[0].message


IN_A_CHILD = {
    "right": (RIGHT, "correct", "correct"),
    "wrong": (WRONG, "wrong", "wrong_activation_derivative"),
    "ends its process": (before_start("import os; os._exit(7)"), "error", "with status 7"),
    "prints floods": (before_start("print('x' * 10**7)"), "correct", "correct"),
    "random": (
        "raise ImportError('this is not the random of the standard library')",
        "error",
        "its own run ended with ImportError",
    ),
    "another kind of number": (
        RIGHT.replace("return loss, gradients", "return loss, [(W.astype('M8[s]'), b) for W, b in gradients]"),
        "error",
        "expected an array of numbers",
    ),
    "setting": (f"LAYERS = 2\nACTIVATION = 'tanh'\n{RIGHT}", "correct", "correct"),
}


FOLDERS = {"three files": ["right", "wrong", "ends its process"], "all files": list(IN_A_CHILD)}


@pytest.mark.parametrize("names", quick(FOLDERS, "three files"))
def test_a_folder_is_checked_with_an_object_and_a_row_for_each_file(names, tmp_path, monkeypatch):
    files_of = {name: IN_A_CHILD[name] for name in names}
    for name, (text, *_) in files_of.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "no.py").write_text("", encoding="utf-8")
    grades, page = tmp_path / "grades.csv", tmp_path / "page.html"
    monkeypatch.chdir(tmp_path)
    done = run("check", tmp_path, "--json", "--csv", grades, "--report", page, "--time-limit", 60)
    assert done.returncode == 2  # one could not be checked
    objects = {Path(data["file"]).stem: data for data in map(json.loads, done.stdout.splitlines())}
    with grades.open(encoding="utf-8", newline="") as stream:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(stream)}
    html = page.read_text(encoding="utf-8")
    assert objects.keys() == rows.keys() == files_of.keys()
    for name, (_, verdict, words) in files_of.items():
        first = objects[name]["diagnoses"][0]
        assert objects[name]["verdict"] == verdict, name
        assert words in first["code"] + first["message"]
        assert (rows[name]["verdict"], rows[name]["code"]) == (verdict, first["code"])
        assert f"{name}.py" in html
    assert "<svg" in html and "phi&#x27;(z_l)" in html
    assert {path.suffix for path in tmp_path.iterdir()} == {".py", ".csv", ".html", ""}  # children leave nothing
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == ["no.py"]


def test_one_file_is_a_report_and_a_status(written):
    done = run("check", written(WRONG))
    assert done.returncode == 1
    assert done.stdout.startswith("WRONG: 15 problems with 1 to 5 layers, float64\nwrong_activation_derivative: ")
    assert done.stderr == ""


def test_an_endless_loop_is_ended(written):
    start = time.perf_counter()
    done = run("check", written(before_start("while True: __import__('time').sleep(0.1)")), "--time-limit", 4)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no answer within 4 s: an endless loop, or slow? --time-limit sets the limit" in done.stderr
    assert time.perf_counter() - start < 30


@pytest.mark.skipif(os.name != "posix" or shutil.which("ps") is None, reason="needs signals and ps")
def test_an_interrupt_ends_the_child(written):
    path = written(before_start("while True: __import__('time').sleep(0.1)"))
    process = subprocess.Popen([sys.executable, "-m", "mlp_jax", "check", str(path)], stderr=subprocess.PIPE)
    while str(path) not in children_of(process.pid):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].decode().strip() == "interrupted"
    late = time.monotonic() + 20
    while str(path) in commands_that_run():
        assert time.monotonic() < late
        time.sleep(0.1)


def children_of(pid):
    return subprocess.run(
        ["ps", "-ww", "--ppid", str(pid), "-o", "args"], capture_output=True, text=True, encoding="utf-8"
    ).stdout


def commands_that_run():
    return subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, encoding="utf-8").stdout


def test_what_cannot_be_checked_is_on_the_error_stream():
    done = run("check", "nowhere.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere.py: no such file\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((), "FILES: expected a Python file, got none; mlp-jax check --template > my_backprop.py makes one"),
        (("a.py", "--activation", "rellu"), "did you mean 'relu'"),
        (("a.py", "--time-limit", "0"), "time-limit: expected a finite number above 0"),
        (("a.py", "--csv", "/no/such/folder/x.csv"), "output: expected a folder that exists"),
        (("a.py", "--csv", "same.out", "--report", "same.out"), "report: expected another file than --csv"),
        (("a.py", "--layers", "0"), "layers: expected a whole number of at least 1"),
    ],
    ids=["no file", "activation", "time limit", "csv", "csv is report", "layers"],
)
def test_bad_arguments_are_one_line(arguments, words):
    done = run("check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["--csv", "--report"])
def test_a_full_disk_hides_no_verdict(flag, tmp_path):
    path = tmp_path / "grades"
    path.write_text("old", encoding="utf-8")
    with full_disk():
        done = run("check", "nowhere.py", "--json", flag, path, "--overwrite")
    assert json.loads(done.stdout)["verdict"] == "error"
    assert (done.returncode, done.stderr) == (2, f"error: {path}: File too large\n")
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_without_python_is_an_error(tmp_path):
    assert "expected a folder with .py files" in run("check", tmp_path).stderr


def test_an_output_is_not_replaced(written, tmp_path):
    path = written(RIGHT)
    done = run("check", path, "--csv", path)
    assert done.returncode == 2 and "expected another file than the input" in done.stderr
    assert path.read_text(encoding="utf-8") == RIGHT


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("params", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_template_holds_the_settings_that_it_is_for(activation, loss, params, layout):
    settings = Settings(activation, loss, 2, layout, params)
    holds: dict = {}
    exec(compile(skeleton(settings), "template", "exec"), holds)
    given = {name: holds[name.upper()] for name in CONSTANTS if name.upper() in holds}
    assert Settings(**given) == settings
    assert callable(holds["loss_and_gradients"])


def test_the_template_is_printed():
    done = run("check", "--template", "--layout", "columns", "--layers", 2)
    assert done.returncode == 0 and done.stdout == skeleton(Settings(layout="columns", layers=2))
    assert run("check", "--template", "function", "--layout", "columns", "--layers", 2).stdout == done.stdout


@pytest.mark.parametrize("kind", [kind for kind in LINES if kind != "function"])
def test_the_template_of_a_kind_is_printed(kind):
    assert run("check", "--template", kind).stdout == LINES[kind]


def check(path, **asking):
    return _files.check_file(path, _files.Asking(seconds=60, seed=0, **asking), path.read_bytes())


def test_flags_stand_over_the_file(written):
    path = written(f"ACTIVATION = 'relu'\n{RIGHT}")
    assert check(path).diagnoses[0].code == "convention"
    assert check(path, given={"activation": "tanh"})


@pytest.mark.parametrize(
    "point",
    ["([(0.01 * np.ones((3, 2)), np.zeros(2))], np.ones((4, 3)), [0, 1, 1, 0])"],
    ids=["layers"],
)
def test_a_point_of_ones_own_is_read_from_the_file(point, written):
    path = written(f"{RIGHT}\nPOINT = {point}")
    report = check(path)
    assert report and report.problem.startswith("your own point") and report.power["escaped"]
    assert report.basis[0] == "your own point alone"
    assert check(path, ours=True).basis[0] == "15 problems with 1 to 5 layers"


def test_a_file_finds_the_modules_beside_it(written):
    written("def double(a):\n    return 2 * a\n", "beside.py")
    assert check(written(before_start("from beside import double; assert double(2) == 4")))


JNP = RIGHT.replace("import numpy as np", "import jax.numpy as jnp\nimport numpy as np")
for old, new in {"np.tanh(": "jnp.tanh(", "np.exp(": "jnp.exp(", "np.log(": "jnp.log(", "p /= ": "p = p / "}.items():
    JNP = JNP.replace(old, new)
JNP = JNP.replace(
    "delta = p.copy()\n    delta[np.arange(B), labels] -= 1", "delta = p.at[np.arange(B), labels].add(-1)"
)


@pytest.mark.slow
@pytest.mark.parametrize("text", [RIGHT, WRONG, JNP], ids=["numpy", "wrong", "jax.numpy"])
def test_a_file_is_checked_within_15_s(written, text):
    """Of the processor: what else runs on the machine does not count."""
    path = written(text)
    start = os.times()
    done = run_process("check", path, JAX_ENABLE_COMPILATION_CACHE="false")
    end = os.times()
    assert end.children_user + end.children_system - start.children_user - start.children_system <= 15
    assert done.returncode == (text == WRONG), done.stderr


@pytest.mark.slow
def test_a_console_that_cannot_show_a_character_is_no_error(written):
    path = written(RIGHT.replace(START, f"    raise ValueError('桜 é')\n{START}"))
    done = run_process("check", path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and "ValueError" in done.stderr and "Traceback" not in done.stderr
