"""Experiments: the form of claims and records, a small run of each, and README's quotes of results."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys

import jax
import matplotlib
import numpy as np
import pytest

from experiments import protocol, readme, walkthrough, why_backprop, why_gradient_checks
from experiments.__main__ import EXPERIMENTS
from experiments.protocol import Claim

matplotlib.use("svg")

TINY = why_backprop.Config(
    activations=("tanh",), depths=(2,), width=4, batch=8, seeds=2, directions=3, trainings=4, steps=(1, 10)
)


def claim(relation, expected, measured, tolerance=0.0, explanation=""):
    return Claim(
        "name", "A sentence.", relation, expected, "a source", measured, "a reason", None, 1, tolerance, explanation
    )


@pytest.mark.parametrize(
    "made, verdict",
    [
        (claim("<=", 1, 1), "holds"),
        (claim("<=", 1, 1.1), "does not hold"),
        (claim(">=", 1, 1.1), "holds"),
        (claim(">=", 1, 0.9), "does not hold"),
        (claim("=", 1, 1.1, tolerance=0.2), "holds"),
        (claim("=", 1, 1.1, tolerance=0.01), "does not hold"),
        (claim("=", 1, 1.1, explanation="known"), "differs"),
        (claim("<=", 1, float("nan")), "does not hold"),
        (claim("=", 1, float("nan"), tolerance=1), "does not hold"),
    ],
    ids=lambda value: f"{value.measured} {value.relation} {value.expected}" if isinstance(value, Claim) else value,
)
def test_verdict(made, verdict):
    assert made.verdict == verdict


def test_interval_covers_the_true_median():
    rng = np.random.default_rng(0)
    intervals = [protocol.median_and_interval(rng.standard_normal(20))[1] for _ in range(200)]
    assert 0.85 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 1


@pytest.fixture(scope="module")
def result():
    return protocol.run(why_backprop, TINY, seed=3)


@pytest.mark.slow
def test_small_run_holds_its_claims(result):
    assert [c.name for c in result.claims if c.verdict != "holds"] == []
    assert result.question == why_backprop.QUESTION
    assert "{" not in result.answer
    assert {"jax", "jaxlib", "optax", "numpy", "python", "mlp_jax"} <= set(result.versions)


@pytest.mark.slow
def test_record_survives_json(result):
    record = json.loads(json.dumps(protocol.as_record(result)))
    again = protocol.from_record(record)
    assert again.claims == tuple(
        dataclasses.replace(c, interval=c.interval and list(c.interval)) for c in result.claims
    )
    assert (again.data, again.seed, again.answer) == (result.data, result.seed, result.answer)
    why_backprop.plot(again).canvas.draw()


@pytest.mark.slow
def test_same_seed_same_numbers(result):
    assert protocol.run(why_backprop, TINY, seed=3).data == result.data


@pytest.mark.slow
def test_a_wrong_gradient_is_found(monkeypatch):
    """With a bias gradient that is 1 % off, every claim about gradients and about float64 trainings falls."""

    def wrong(params, x, labels, *rest):
        loss, gradients = why_backprop.autodiff(params, x, labels, *rest)
        return loss, tuple(layer._replace(bias=1.01 * layer.bias) for layer in gradients)

    monkeypatch.setattr(why_backprop, "backprop", wrong)
    claims = protocol.run(why_backprop, TINY).claims
    fallen = {c.name for c in claims if c.verdict == "does not hold"}
    assert {"float64", "float32", "float32 whole", "finite differences", "float64 apart"} <= fallen


def test_kinks_are_counted_and_left_out(float64):
    """At a step that crosses kinks, relu's directions are left out and those of tanh are not."""
    x, labels = why_backprop._digits(8, "float64")
    for name, phi in (("relu", why_backprop.ACTIVATIONS["relu"]), ("tanh", why_backprop.ACTIVATIONS["tanh"])):
        params = why_backprop.mlp_jax.init_params(jax.random.key(0), (64, 4, 10), phi)
        on_a_kink = (params[0]._replace(weight=0 * params[0].weight), params[1])  # every z_1 is exactly 0
        _, gradients = why_backprop.backprop(on_a_kink, x, labels, phi)
        error, kinks = why_backprop._finite_difference_error(on_a_kink, gradients, x, labels, phi, 5, seed=0)
        assert kinks == (5 if name == "relu" else 0)
        assert error <= 1e-6


@pytest.mark.slow
def test_small_run_of_the_checks_holds_its_claims():
    checks = protocol.run(why_gradient_checks, why_gradient_checks.QUICK)
    assert [c.name for c in checks.claims if c.verdict != "holds"] == []
    assert "{" not in checks.answer
    why_gradient_checks.plot(protocol.from_record(json.loads(json.dumps(protocol.as_record(checks))))).canvas.draw()


def test_each_rule_accepts_what_is_right_and_rejects_what_is_not():
    point = why_gradient_checks._point(
        why_gradient_checks.QUICK, 0, why_gradient_checks.ACTIVATIONS["tanh"], "a good point"
    )
    _, gradients = point.right
    for name, accepts in why_gradient_checks.RULES.items():
        assert accepts(gradients, point), name
        assert not accepts([(2 * dW, db) for dW, db in gradients], point), name


def test_walkthrough_numbers_are_right():
    lines = {line.split("  ")[1].strip(): line for line in walkthrough.text().splitlines() if line.startswith("  ")}
    x, W1, b1 = np.array(walkthrough.X), np.array(walkthrough.PARAMS[0][0]), np.array(walkthrough.PARAMS[0][1])
    W2, b2 = np.array(walkthrough.PARAMS[1][0]), np.array(walkthrough.PARAMS[1][1])
    h = np.tanh(x @ W1 + b1)
    z2 = h @ W2 + b2
    p = np.exp(z2) / np.exp(z2).sum()
    delta2 = p - [[1, 0]]
    delta1 = delta2 @ W2.T * (1 - h**2)
    for name, value in {
        "h_1 = tanh(z_1)": h,
        "p = softmax(z_2)": p,
        "delta_2 = (p - one_hot(y)) / B": delta2,
        "delta_1 = delta_2 W_2^T * tanh'(z_1)": delta1,
        "dW_1 = h_0^T delta_1": x.T @ delta1,
    }.items():
        numbers = "; ".join(" ".join(f"{entry:.4f}" for entry in row) for row in value)
        assert numbers in lines[name], name


def test_by_hand_and_by_autodiff_are_the_same_in_the_walkthrough():
    text = walkthrough.text()
    backward = text[text.index("backward") : text.index("update")].splitlines()[1:]
    pairs = [line[49:].split("   ") for line in backward]
    pairs = [[part.strip() for part in pair if part.strip()] for pair in pairs]
    assert sum(len(pair) == 2 for pair in pairs) == 6
    assert all(pair[0] == pair[-1] for pair in pairs)


def run(*arguments, cwd=readme.ROOT):
    return subprocess.run(
        [sys.executable, "-m", "experiments", *arguments],
        cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=600,
    )  # fmt: skip


def test_unknown_name_is_one_line():
    done = run("why_not")
    assert done.returncode == 2
    assert done.stderr.startswith("error: NAME: expected one of why_backprop") and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_quick_run_writes_its_results_and_leaves_git_clean():
    def status():
        return subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=readme.ROOT,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        ).stdout

    before = status()
    done = run("--quick")
    assert done.returncode == 0, done.stderr
    assert status() == before
    last = done.stdout.strip().splitlines()[-1]
    folder = readme.ROOT / last.removeprefix("results: ")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in EXPERIMENTS for kind in ("json", "svg")
    }


def test_folders_of_runs_are_new(tmp_path):
    assert len({protocol.new_folder(tmp_path) for _ in range(3)}) == 3


# ---- README


def without_rounding(text):
    """Without the numbers of rounding errors, and where they are largest: they differ from machine to machine."""
    lines = (line for line in text.splitlines() if not line.endswith("  right"))
    return re.sub(r"\d(\.\d)?e-1[3-9]", "rounding", "\n".join(lines))


def test_readme_quotes_the_recorded_results():
    text = readme.README.read_text(encoding="utf-8")
    assert without_rounding(readme.filled(text)) == without_rounding(text), "run: python -m experiments readme"
    assert readme.claims() == readme.CLAIMS.read_text(encoding="utf-8"), "run: python -m experiments readme"


def test_readme_is_short():
    assert len(readme.README.read_text(encoding="utf-8").splitlines()) <= 250


def test_readme_without_a_mark_is_an_error():
    with pytest.raises(ValueError, match=r"README\.md: expected"):
        readme.filled("nothing")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recorded_result_is_of_the_full_configuration(name):
    record = json.loads((readme.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    full = importlib.import_module(f"experiments.{name}").FULL
    assert record["config"] == json.loads(json.dumps(dataclasses.asdict(full)))
    assert (readme.RESULTS / f"{name}.svg").exists()
