"""The files that set graders up, and a folder of submissions graded by one command."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from commands import run
from homework import RIGHT, WRONG, before_start
from results import assert_is_result

ASKED = ("--activation", "tanh", "--loss", "cross_entropy")


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
