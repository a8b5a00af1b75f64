"""Files that set a grader up: for Gradescope, GitHub Classroom, nbgrader and otter-grader.

Each asks for an activation and a loss, since a right gradient of any network and loss gets all points otherwise.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlp_jax.check._networks.problems import Settings
from mlp_jax.check._networks.template import skeleton

SECONDS = 60  # of a file's code
MINUTES = 10  # of the whole check of a submission


class Assignment(NamedTuple):
    """What is asked of students, the points of a correct answer, and what students may know."""

    settings: Settings
    given: Mapping[str, Any]
    points: float
    hints: str

    @property
    def asked(self) -> dict[str, Any]:
        """The settings that a grader asks for, by name."""
        return {"activation": self.settings.activation, "loss": self.settings.loss, **self.given}

    @property
    def flags(self) -> str:
        """The same as flags of `mlp-jax check`."""
        return " ".join(f"--{name} {value}" for name, value in self.asked.items())

    @property
    def call(self) -> str:
        """The same as a call of `grade`."""
        keywords = ", ".join(f"{name}={value!r}" for name, value in (self.asked | {"hints": self.hints}).items())
        return f"mlp_jax.grade(loss_and_gradients, {self.points:g}, {keywords})"


def gradescope(assignment: Assignment) -> str:
    """Return a shell script that writes setup.sh and run_autograder, and packs them into autograder.zip."""
    return PACK.format(setup=SETUP, run=_filled(RUN, assignment))


def github(assignment: Assignment) -> str:
    """Return a workflow for GitHub Classroom, which goes by the exit status."""
    return _filled(WORKFLOW, assignment)


def otter(assignment: Assignment) -> str:
    """Return a test file for otter-grader, whose cases are each a tenth of the points."""
    return _filled(OTTER, assignment)


def nbgrader(assignment: Assignment) -> str:
    """Return an assignment for nbgrader: a notebook with a cell for the solution and one that grades it."""
    stub = "    ### BEGIN SOLUTION\n    raise NotImplementedError\n    ### END SOLUTION\n"
    solution = skeleton(assignment.settings).replace(
        "    raise NotImplementedError\n    return loss, gradients\n", stub
    )
    cells = [
        _cell("imports", "import mlp_jax  # in a cell of its own: nothing may be written to stderr where it grades"),
        _cell("solution", solution.rstrip(), solution=True, locked=False),
        _cell("score", assignment.call, grade=True, points=assignment.points),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1) + "\n"


GRADERS: dict[str, Callable[[Assignment], str]] = {
    "gradescope": gradescope, "github": github, "nbgrader": nbgrader, "otter": otter
}  # fmt: skip


def _filled(text: str, assignment: Assignment) -> str:
    """Return a text with the words in <<...>> replaced: shell, YAML and Python have uses of their own for braces."""
    words = {
        "FLAGS": f"{assignment.flags} --seed 0 --time-limit {SECONDS}",
        "CALL": assignment.call,
        "POINTS": f"{assignment.points:g}",
        "HINTS": assignment.hints,
        "MINUTES": str(MINUTES),
    }
    for name, value in words.items():
        text = text.replace(f"<<{name}>>", value)
    return text


def _cell(
    name: str, source: str, *, grade: bool = False, solution: bool = False, locked: bool = True, points: float = 0
) -> dict[str, Any]:
    of_nbgrader = {
        "grade": grade, "grade_id": name, "locked": locked, "schema_version": 3, "solution": solution, "task": False
    }  # fmt: skip
    return {
        "cell_type": "code",
        "id": name,
        "execution_count": None,
        "metadata": {"nbgrader": of_nbgrader | ({"points": points} if grade else {})},
        "outputs": [],
        "source": source,
    }


PACK = """\
#!/bin/sh
# Writes setup.sh and run_autograder here, and packs them into autograder.zip, which Gradescope takes.
# A wheel of mlp_jax that lies here is packed too: python3 -m pip wheel --no-deps PATH_OF_A_CHECKOUT
set -eu

cat > setup.sh << 'END_OF_FILE'
{setup}END_OF_FILE

cat > run_autograder << 'END_OF_FILE'
{run}END_OF_FILE

chmod +x setup.sh run_autograder
set -- mlp_jax-*.whl
[ -e "$1" ] || set --
python3 -m zipfile -c autograder.zip setup.sh run_autograder "$@"
echo "wrote autograder.zip with setup.sh run_autograder $*"
"""

SETUP = """\
#!/usr/bin/env bash
# Runs once, as root, when the image is built. The image's python3 may be too old and stays as it is: a Python of 3.11
# or newer is brought under its own name, and mlp_jax goes into an environment of its own.
set -euo pipefail
root=${AUTOGRADER:-/autograder}
home=$root/mlp_jax

is_good() {
    "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info.releaselevel != "final")' 2>/dev/null
}

python=
apt-get update || true
for version in 3.13 3.12 3.11; do
    is_good "python$version" || apt-get install -y "python$version" "python$version-venv" || true
    if is_good "python$version"; then
        python=python$version
        break
    fi
done

if [ -n "$python" ]; then
    "$python" -m venv "$home"
else # no package of this image: uv brings one, where every user can read it
    python3 -m pip install --target "$root/uv" uv
    UV_PYTHON_INSTALL_DIR=$root/python "$root/uv/bin/uv" venv --seed --python 3.12 "$home"
fi

set -- "$root"/source/mlp_jax-*.whl
[ -e "$1" ] || set -- mlp_jax
"$home/bin/python" -m pip install "$1[notebooks]"
chmod -R go+rX "$home"
"""

RUN = """\
#!/usr/bin/env bash
# Runs for each submission, as root. mlp-jax runs the student's code in a process of its own, as the user nobody.
root=${AUTOGRADER:-/autograder}
file=my_backprop.py # what students hand in; a notebook, or several files, will do too

mkdir -p "$root/results"
cat > "$root/results/results.json" << 'END'
{"score": 0, "output": "The autograder could not start. Please tell your teacher.", "tests": []}
END
chmod 700 "$root/source" "$root/results" # nothing in them is for the student's code
chmod -R go+rX "$root/submission"
cd "$root/submission" || exit 0

timeout --kill-after 10 <<MINUTES>>m "$root/mlp_jax/bin/mlp-jax" check "$file" \\
    <<FLAGS>> \\
    --gradescope "$root/results/results.json" --points <<POINTS>> --hints <<HINTS>>
exit 0 # the score is in results.json
"""

WORKFLOW = """\
# .github/workflows/classroom.yml: all points if mlp-jax check says that the file is correct (exit status 0), else none.
name: Autograding Tests
on: [push, repository_dispatch]
permissions:
  checks: write
  actions: read
  contents: read
jobs:
  run-autograding-tests:
    runs-on: ubuntu-latest
    if: github.actor != 'github-classroom[bot]'
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: backprop
        id: backprop
        uses: classroom-resources/autograding-command-grader@v1
        with:
          test-name: backprop
          setup-command: python -m pip install 'mlp_jax[notebooks]'
          command: mlp-jax check my_backprop.py <<FLAGS>> --hints <<HINTS>>
          timeout: <<MINUTES>>
          max-score: <<POINTS>>
      - uses: classroom-resources/autograding-grading-reporter@v1
        env:
          BACKPROP_RESULTS: ${{ steps.backprop.outputs.result }}
        with:
          runners: backprop
"""

OTTER = '''\
"""tests/backprop.py: a question of otter-grader, with partial credit in tenths."""

import contextlib
import functools
import io

import mlp_jax
from otter.test_files import test_case

OK_FORMAT = False
name = "backprop"
points = <<POINTS>>
PARTS = 10


@functools.lru_cache
def graded(loss_and_gradients):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        score = <<CALL>>
    return round(PARTS * score / points, 6), said.getvalue()


def at_least(part):
    def check(loss_and_gradients):
        parts, said = graded(loss_and_gradients)
        is_first = parts >= part - 1
        assert parts >= part, said if is_first else "see the first part that fails"

    return check


for part in range(1, PARTS + 1):
    case = test_case(name=f"{part} of {PARTS} parts", points=points / PARTS)
    globals()[f"part_{part}"] = case(at_least(part))
del case
'''
