"""Submissions graded by nbgrader and otter-grader themselves, with the files that `--template` prints."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from otter import Notebook
from otter.generate import main as generate
from otter.run import main as otter_run
from traitlets.config import Config

from mlp_jax.check._grading import templates
from mlp_jax.check._networks.problems import Settings

ROOT = Path(__file__).parents[2]
WRONG = (ROOT / "experiments" / "examples" / "my_backprop.py").read_text(encoding="utf-8")
RIGHT = WRONG.replace("1 - np.tanh(h[l]) ** 2", "1 - h[l] ** 2")
START = "    h = [x]\n"
NOISE = """
import logging, os, sys, warnings
kept = sys.stderr
logging.basicConfig(level=0)
def noise():
    warnings.warn("a"); print("b", file=sys.stderr); os.write(2, b"c"); logging.error("d"); kept.write("e")
    sys.__stderr__.write("f"); print("score: 0")
"""
# name: (code, points of 10)
SUBMISSIONS = {
    "right, with noise on stderr": (f"{NOISE}\n{RIGHT.replace(START, f'    noise(){chr(10)}{START}')}", 10),
    "wrong": (WRONG, 30 / 7),
    "crash": (RIGHT.replace(START, f"    raise ValueError('no')\n{START}"), 0),
}
ASSIGNMENT = templates.Assignment(Settings(), {}, 10, "where")
CONTROL = "report = mlp_jax.check_backprop(loss_and_gradients)\n10.0"  # without grade


@pytest.fixture(scope="module", autouse=True)
def programs():
    """The programs of this environment, which the graders start by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("JAX_PLATFORMS", "cpu")
        yield


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    """The scores of all submissions, after nbgrader has released the notebook and graded what came back."""
    return graded_by_nbgrader(tmp_path_factory.mktemp("course"))


def graded_by_nbgrader(root):
    config = Config()
    config.CourseDirectory.root, config.Exchange.root = str(root), str(root / "exchange")
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    assignment = nbformat.reads(templates.nbgrader(ASSIGNMENT), as_version=4)
    control = assignment.cells[-1].copy()
    control.update(
        id="control", source=CONTROL, metadata={"nbgrader": dict(control.metadata.nbgrader, grade_id="control")}
    )
    assignment.cells.append(control)
    write(root / "source" / "backprop" / "backprop.ipynb", assignment)
    assert_done(api.generate_assignment("backprop"))
    released = nbformat.read(root / "release" / "backprop" / "backprop.ipynb", as_version=4)
    assert "raise NotImplementedError()" in released.cells[1].source
    for i, (code, _) in enumerate(SUBMISSIONS.values()):
        released.cells[1].source = code
        write(root / "submitted" / str(i) / "backprop" / "backprop.ipynb", released)
        assert_done(api.autograde("backprop", str(i)))
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        return {
            name: {
                grade.name: grade.score
                for grade in book.find_submission_notebook("backprop", "backprop", str(i)).grades
            }
            for i, name in enumerate(SUBMISSIONS)
        }


def write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def assert_done(result):
    assert result["success"], result.get("error") or result.get("log")


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_nbgrader_takes_the_score(name, gradebook):
    assert gradebook[name]["score"] == pytest.approx(SUBMISSIONS[name][1])


def test_nbgrader_would_give_nothing_to_a_right_submission_with_noise(gradebook):
    assert gradebook["right, with noise on stderr"]["control"] == 0  # as stderr is not empty
    assert gradebook["wrong"]["control"] == 10


@pytest.fixture
def tests_of_otter(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "backprop.py").write_text(templates.otter(ASSIGNMENT), encoding="utf-8")
    return folder


def test_otter_check_gives_tenths_of_the_points(tests_of_otter, capfd):
    for code, points in SUBMISSIONS.values():
        scope: dict = {}
        exec(compile(code, "submission", "exec"), scope)
        result = Notebook(tests_dir=str(tests_of_otter)).check("backprop", global_env=scope)
        assert (result.score, result.possible) == (pytest.approx(points // 1), 10)
    assert "ERROR" in repr(result) and "no (line" in repr(result)
    assert Notebook(tests_dir=str(tests_of_otter)).check("backprop", global_env={}).score == 0


def test_otter_run_grades_a_notebook(tests_of_otter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generate(tests_dir=str(tests_of_otter), output_path=str(tmp_path / "autograder.zip"), no_environment=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(WRONG)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "submission.ipynb")
    otter_run("submission.ipynb", autograder="autograder.zip", output_dir=str(tmp_path), no_logo=True)
    tests = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"]
    (scored,) = (test for test in tests if test["name"] == "backprop")
    assert (scored["score"], scored["max_score"]) == (pytest.approx(4), 10)
