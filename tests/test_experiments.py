"""Experiments: the form of claims and records, a small run of each, and README's quotes of results."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

import experiments.command as main
import mlp_jax
from experiments import QUESTIONS, intervals, protocol, readme, records, report, walkthrough
from experiments.protocol import Claim, Finding
from experiments.runs_at_once import at_best_rate, over_runs
from experiments.why_backprop import agreement, trainings
from experiments.why_gradient_checks import rules, usual_rules

matplotlib.use("svg")

TINY_AGREEMENT = agreement.Config(activations=("tanh",), depths=(2,), width=4, batch=8, seeds=2, directions=3)
TINY_TRAININGS = trainings.Config(trainings=4, steps=(1, 10))


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
        (claim("=", 1, None), "not run"),
        (claim("=", 1, None, explanation="no data"), "not run"),
    ],
    ids=lambda value: f"{value.measured} {value.relation} {value.expected}" if isinstance(value, Claim) else value,
)
def test_verdict(made, verdict):
    assert made.verdict == verdict


def test_answers_are_filled_from_claims():
    claims = [dataclasses.replace(claim("=", 1, 0.123), name="a b"), dataclasses.replace(claim("=", 1, None), name="c")]
    assert protocol.filled("{a_b:.0%} and {c:.2f}", claims) == "12% and (not measured)"
    assert protocol.filled("{left_out}", claims) == "(not measured)"
    with pytest.raises(ValueError, match="'a b' twice"):
        protocol.filled("", [claims[0], claims[0]])


@pytest.mark.parametrize(
    "statistic, true, draw",
    [
        (intervals.median_and_interval, 0.0, lambda rng: rng.standard_normal(20)),
        (intervals.mean_and_interval, 0.0, lambda rng: rng.standard_normal(20)),
        (intervals.share_and_interval, 0.3, lambda rng: rng.random(20) < 0.3),
    ],
    ids=["median", "mean", "share"],
)
def test_interval_covers_the_true_value(statistic, true, draw):
    rng = np.random.default_rng(0)
    covered = [low <= true <= high for low, high in (statistic(draw(rng))[1] for _ in range(200))]
    assert 0.85 <= np.mean(covered) <= 1


def test_runs_at_once_are_the_runs_one_by_one():
    """However the runs are shared out, each gets its own arguments and the shared ones whole."""

    def run(a, b, shared):
        return {"sum": a + jnp.sum(b * shared), "b": b}

    a, b, shared = np.arange(5.0), np.arange(10.0).reshape(5, 2), np.array([1.0, 3.0])
    together = over_runs(run, (a, b), (shared,))
    for i in range(5):
        alone = run(a[i], b[i], shared)
        np.testing.assert_allclose(together["sum"][i], alone["sum"], rtol=1e-6)
        np.testing.assert_array_equal(together["b"][i], b[i])


def test_the_best_rate_is_the_one_of_the_lowest_mean_score():
    keys = jax.random.split(jax.random.key(0), 3)
    tuned = at_best_rate(
        lambda key, rate: jnp.where(rate > 2, jnp.nan, (rate - 1) ** 2), keys, [0.5, 1.0, 4.0], lambda r: r
    )
    assert tuned.rate == 1 and tuned.results.tolist() == [0, 0, 0] and tuned.scores == [0.25, 0, np.inf]


@pytest.fixture(scope="module")
def measurements():
    return [protocol.measured(agreement, TINY_AGREEMENT, 3), protocol.measured(trainings, TINY_TRAININGS, 3)]


@pytest.mark.slow
def test_small_run_holds_its_claims(measurements):
    for measurement in measurements:
        assert [c.name for c in measurement.claims if c.verdict != "holds"] == []
        again = records._measurement(json.loads(json.dumps(records._measurement_record(measurement))))
        assert again.claims == measurement.claims
    assert measurements[0].title.startswith("The gradient by hand") and "Real digits" in measurements[0].description


@pytest.mark.slow
def test_same_seed_same_numbers(measurements):
    again = protocol.measured(agreement, TINY_AGREEMENT, 3)
    assert again.data == measurements[0].data
    assert protocol.measured(agreement, TINY_AGREEMENT, 4).data != again.data


@pytest.mark.slow
def test_a_wrong_gradient_is_found(monkeypatch):
    """With a bias gradient that is 1 % off, every claim about gradients and about float64 trainings falls."""

    def wrong(params, x, labels, *rest):
        loss, gradients = agreement.autodiff(params, x, labels, *rest)
        return loss, tuple(layer._replace(bias=1.01 * layer.bias) for layer in gradients)

    wrong.room = wrong
    monkeypatch.setattr(agreement, "backprop", wrong)
    monkeypatch.setattr(trainings, "backprop", wrong)
    claims = protocol.measured(agreement, TINY_AGREEMENT).claims + protocol.measured(trainings, TINY_TRAININGS).claims
    fallen = {c.name for c in claims if c.verdict == "does not hold"}
    assert {"float64", "float32", "float32 whole", "finite differences", "float64 apart"} <= fallen


@pytest.mark.slow
def test_kinks_are_counted_and_left_out(float64):
    """At a step that crosses kinks, relu's directions are left out and those of tanh are not."""
    x, labels = map(jnp.asarray, agreement.digits(8, "float64"))
    for name, phi in (("relu", mlp_jax.relu), ("tanh", mlp_jax.tanh)):
        params = mlp_jax.init_params(jax.random.key(0), (64, 4, 10), phi)
        on_a_kink = (params[0]._replace(weight=0 * params[0].weight), params[1])  # every z_1 is exactly 0
        _, gradients = mlp_jax.backprop(on_a_kink, x, labels, phi)
        error, kinks = agreement._finite_difference_error(on_a_kink, gradients, x, labels, phi, 5, seed=0)
        assert kinks == (5 if name == "relu" else 0)
        assert error <= 1e-6


@pytest.mark.slow
def test_each_rule_accepts_what_is_right_and_rejects_what_is_not():
    point = usual_rules._point(usual_rules.QUICK, 0, mlp_jax.tanh, "a good point")
    _, gradients = point.right
    for name, accepts in rules.RULES.items():
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
        cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=1200,
    )  # fmt: skip


def test_unknown_name_is_one_line():
    done = run("why_not")
    assert done.returncode == 2
    assert done.stderr.startswith("error: NAME: expected one of why_softmax") and done.stderr.count("\n") == 1


def test_a_quick_run_is_not_recorded():
    with pytest.raises(ValueError, match="--record: expected a full run"):
        main.main(quick=True, record=True)


@pytest.mark.slow
def test_quick_run_holds_what_is_exact_and_leaves_git_clean(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")  # it counts operations, so it compiles as users do

    def status():
        return subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=readme.ROOT, capture_output=True, text=True, encoding="utf-8", check=True,
        ).stdout  # fmt: skip

    before = status()
    done = run("--quick")
    assert done.returncode == 0, done.stderr
    assert status() == before
    page = Path(done.stdout.strip().splitlines()[-1].removeprefix("report: "))
    results = records.recorded(QUESTIONS, page.parent)
    assert [result.name for result in results] == list(QUESTIONS)
    pictures = {records.picture_name(r, m) for r in results for m in r.measurements if m.caption}
    assert {path.name for path in page.parent.iterdir()} == {
        page.name, *pictures, *(f"{name}.json" for name in QUESTIONS)
    }  # fmt: skip
    assert all("{" not in result.answer for result in results)
    names = [(r.name, m.name) for r in results for m in r.measurements if not any(c.exact for c in m.claims)]
    print("measurements without an exact claim:", names)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A question with two measurements of one claim each, the second of which can be interrupted."""
    question, first, second = (ModuleType(f"experiments.{name}") for name in ("toy", "toy.first", "toy.second"))
    question.__doc__, question.ANSWER = "Is it so?\n\nTo be filled.", "It is {first:.0f}."
    question.MEASUREMENTS = (first, second)
    calls = []
    for module in question.MEASUREMENTS:
        name = module.__name__.rsplit(".", 1)[-1]
        module.__doc__, module.FORMULA, module.QUICK, module.FULL = "A heading.", "x", TINY_TRAININGS, TINY_TRAININGS

        def measure(config, key, progress, name=name):
            calls.append(name)
            if name == "second" and calls.count("second") == 1:
                raise KeyboardInterrupt
            made = dataclasses.replace(
                claim("=", 1, 2.0 if name == "second" else 1.0), name=name, exact=name == toy_exact[0]
            )
            return Finding((made,), {})

        module.measure = measure
    toy_exact = ["first"]
    monkeypatch.setitem(sys.modules, "experiments.toy", question)
    monkeypatch.setattr(main, "QUESTIONS", ("toy",))
    monkeypatch.setattr(report, "QUESTIONS", ("toy",))
    for name, path in (("RUNS", tmp_path), ("UNFINISHED", tmp_path / "unfinished")):
        monkeypatch.setattr(records, name, path)
    monkeypatch.setattr(main, "use_all_cores", lambda: None)
    return calls, toy_exact


def test_an_interrupted_run_goes_on_where_it_stopped(toy, tmp_path, capsys):
    calls, _ = toy
    with pytest.raises(KeyboardInterrupt):
        main.main(("toy",))
    main.main(("toy",))  # its second claim does not hold, but does not have to
    assert calls == ["first", "second", "second"]
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert "It is 1." in capsys.readouterr().out
    main.main(("toy",))
    assert calls[3:] == ["first", "second"], "a finished run is not taken for an interrupted one"


def test_another_configuration_or_seed_does_not_go_on(toy):
    calls, _ = toy
    with pytest.raises(KeyboardInterrupt):
        main.main(("toy",))
    main.main(("toy",), seed=1)
    assert calls == ["first", "second", "first", "second"]


def test_an_exact_claim_that_falls_is_an_error_and_nothing_is_lost(toy, tmp_path, capsys):
    calls, exact = toy
    calls.append("second")
    exact[0] = "second"
    with pytest.raises(SystemExit, match="1"):
        main.main(("toy",))
    said = capsys.readouterr()
    assert "has to hold" in said.err and "does not hold" in said.out
    assert len(list(tmp_path.rglob("toy.json"))) == 1


def test_open_alone_shows_the_recorded_report(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(main, "use_all_cores", lambda: None)
    monkeypatch.setattr(main.webbrowser, "open", shown.append)
    main.main(open=True)
    assert shown == [report.RECORDED.as_uri()] and report.RECORDED.exists()


def test_folders_of_runs_are_new(tmp_path):
    assert len({records.new_folder(tmp_path) for _ in range(3)}) == 3


# ---- README


def without_rounding(text):
    """Without the numbers of rounding errors, and where they are largest: they differ from machine to machine."""
    lines = (line for line in text.splitlines() if not line.endswith("  right"))
    return re.sub(r"\d(\.\d)?e-1[3-9]", "rounding", "\n".join(lines))


def test_readme_quotes_the_recorded_results():
    text = readme.README.read_text(encoding="utf-8")
    assert without_rounding(readme.with_parts(text)) == without_rounding(text), "run: python -m experiments readme"
    assert readme.claims() == readme.CLAIMS.read_text(encoding="utf-8"), "run: python -m experiments readme"


def test_report_and_docstrings_quote_the_recorded_results():
    page = report.page(readme.recorded(), records.RESULTS)
    assert page == report.RECORDED.read_text(encoding="utf-8"), "run: python -m experiments readme"
    for result in readme.recorded():
        text = readme.source(result).read_text(encoding="utf-8")
        assert readme.with_answer(text, result) == text, "run: python -m experiments readme"


def long_lines(text):
    """The lines of more than 120 characters outside tables and quoted output."""
    text = re.sub("^```text\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]


@pytest.mark.parametrize(
    ("page", "most"), [("README.md", 200), ("ARCHITECTURE.md", 60), ("CONTRIBUTING.md", 100), ("CHANGELOG.md", 200)]
)
def test_a_page_is_short(page, most):
    text = (readme.ROOT / page).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= most
    assert long_lines(text) == []


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ("", "", 1),
        ("```sh\n", "\n```", 1),
        ("```text\n```\n", "\n```text\n```", 1),
        ("| ", " |", 0),
        ("```text\n", "\n```", 0),
    ],
    ids=["prose", "code", "between quotes", "table", "quoted output"],
)
def test_a_long_line_is_found(before, after, count):
    assert len(long_lines(before + 121 * "x" + after)) == count


def test_readme_says_in_ten_lines_what_to_type():
    first = readme.README.read_text(encoding="utf-8").splitlines()[:10]
    for words in ("mlp-jax check", "mlp-jax train", "python -m experiments", "pip install -e"):
        assert words in "\n".join(first)


def test_readme_without_a_mark_is_an_error():
    with pytest.raises(ValueError, match=r"README\.md: expected"):
        readme.with_parts("nothing")


@pytest.mark.parametrize("name", QUESTIONS)
def test_recorded_result_is_of_the_full_configuration(name):
    (result,) = records.recorded((name,))
    question = importlib.import_module(f"experiments.{name}")
    assert [m.name for m in result.measurements] == [m.__name__.rsplit(".", 1)[-1] for m in question.MEASUREMENTS]
    for measurement, module in zip(result.measurements, question.MEASUREMENTS, strict=True):
        assert measurement.config == json.loads(json.dumps(dataclasses.asdict(module.FULL))), module.__name__
        assert not measurement.caption or (records.RESULTS / records.picture_name(result, measurement)).exists()
    assert protocol.reworded(question, result) == result, "run: python -m experiments readme"
    assert "not measured" not in result.answer + protocol.filled(question.KEY, result.claims)
    assert all("\\" not in report.formula(measurement.formula) for measurement in result.measurements)
