"""A report with something secret in every field, and the form of a results.json."""

import numpy as np
import pytest

from mlp_jax.check._grading import hints
from mlp_jax.check._lines.expressions import Span
from mlp_jax.check._lines.listing import Line, Listing, Mark
from mlp_jax.check._networks.fingerprints import Diagnosis
from mlp_jax.check._networks.problems import Settings
from mlp_jax.check._networks.report import BackpropReport
from mlp_jax.check._rules.comparison import GradientReport, LeafComparison

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

# The specification of January 2025.
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
