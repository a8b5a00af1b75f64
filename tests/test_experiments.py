"""Experiments: the command, the recorded numbers with their words and pictures, and README's quotes of them."""

import contextlib
import dataclasses
import inspect
import json
import re
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from toy_question import question

import experiments.frame.command as main
from experiments.frame import claims, page, plots, questions, readme, walkthrough, words
from experiments.frame.numbers import name_of
from experiments.frame.questions import QUESTIONS
from experiments.runs_at_once import at_best_rate, over_runs

matplotlib.use("svg")

MEASUREMENTS = [module for name in QUESTIONS for module in questions.question(name).MEASUREMENTS]


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
def test_quick_run_holds_what_must_hold_and_leaves_git_clean(monkeypatch):
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
    assert "(not measured)" not in done.stdout, "a quick run has every sentence and key number"
    report = Path(done.stdout.strip().splitlines()[-1].removeprefix("report: "))
    answers = questions.all_recorded(report.parent)
    assert [answer.name for answer in answers] == list(QUESTIONS)
    for answer in answers:
        assert words.of(answer.question, "en")["question"] in done.stdout
        assert "{" not in questions.said(answer, "paragraph")
        assert questions.place(report.parent, answer.name, answer.question.PICTURE).with_suffix(".svg").exists()
    without = [module.__name__ for module in MEASUREMENTS if not any(claim.must for claim in claims.of(module))]
    print("measurements without an identity or count:", without)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A question whose second measurement is interrupted the first time, and what was called."""
    calls, numbers = [], {"small": 2.0}

    def second():
        if calls.count("second") == 1 and numbers.get("interrupt", True):
            raise KeyboardInterrupt
        return numbers["small"]

    package = question(tmp_path / "words", second=second, calls=calls)
    for module in package.MEASUREMENTS:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "experiments.toy", package)
    for module in (main, questions):
        monkeypatch.setattr(module, "QUESTIONS", ("toy",))
        monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(main, "use_all_cores", lambda: None)
    return package, calls, numbers


def test_an_interrupted_run_goes_on_where_it_stopped(toy, tmp_path, capsys):
    _, calls, _ = toy
    with pytest.raises(KeyboardInterrupt):
        main.main(("toy",))
    main.main(("toy",))  # its second claim does not hold, but does not have to
    assert calls == ["first", "second", "second"]
    assert list((tmp_path / "runs" / "unfinished").iterdir()) == []
    said = capsys.readouterr().out
    assert "It is 1. (1 of it)" in said and "Findings: 0 of 1 hold (does not hold: 1)." in said
    main.main(("toy",))
    assert calls[3:] == ["first", "second"], "a finished run is not taken for an interrupted one"


def test_another_seed_does_not_go_on(toy):
    _, calls, _ = toy
    with pytest.raises(KeyboardInterrupt):
        main.main(("toy",))
    main.main(("toy",), seed=1)
    assert calls == ["first", "second", "first", "second"]


def test_an_answer_is_there_before_the_next_question_is_measured(toy, tmp_path, monkeypatch, capsys):
    _, calls, numbers = toy
    numbers["interrupt"] = False
    shown = []
    later = question(tmp_path / "later", "later", calls=calls)
    later.MEASUREMENTS[0].measure = lambda *_: shown.append(capsys.readouterr().out) or {"a": np.ones(2)}
    monkeypatch.setitem(sys.modules, "experiments.later", later)
    for module in (main, questions):
        monkeypatch.setattr(module, "QUESTIONS", ("toy", "later"))
    main.main(quick=True)
    assert shown and "It is 1." in shown[0]


def test_an_identity_that_falls_is_an_error_and_nothing_is_lost(toy, tmp_path, capsys):
    package, _, numbers = toy
    numbers["interrupt"] = False
    package.MEASUREMENTS[0].small = dataclasses.replace(package.MEASUREMENTS[0].small, bound=0)
    with pytest.raises(SystemExit, match="1"):
        main.main(("toy",), claims=True)
    said = capsys.readouterr()
    assert "error: an identity or count does not hold\ntoy: It is small" in said.err and "does not hold" in said.out
    assert len(list((tmp_path / "runs").rglob("first.npz"))) == 1


def test_answers_in_korean(toy, capsys):
    _, _, numbers = toy
    numbers["interrupt"] = False
    main.main(("toy",), language="ko")
    said = capsys.readouterr().out
    assert "그런가?\n1이다. (1개)" in said and "항등식과 개수: 1개 중 1개 성립" in said


def test_open_alone_shows_the_recorded_report(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(main, "use_all_cores", lambda: None)
    monkeypatch.setattr(main, "RUNS", tmp_path)
    monkeypatch.setattr(main.webbrowser, "open", shown.append)
    main.main(open=True)
    assert shown == [(tmp_path / "recorded" / page.PAGE).as_uri()]
    assert (tmp_path / "recorded" / page.PAGE).read_text(encoding="utf-8").count("<section") == len(QUESTIONS)


def test_folders_of_runs_are_new(tmp_path):
    assert len({questions.new_folder(tmp_path) for _ in range(3)}) == 3


# ---- recorded numbers


@pytest.mark.parametrize("name", QUESTIONS)
def test_recorded_numbers_are_of_the_full_configuration(name):
    answer = questions.recorded(name)
    assert answer is not None, f"run: python -m experiments {name} --record"
    for module in answer.question.MEASUREMENTS:
        n = answer.numbers[name_of(module)]
        assert n.config == module.FULL, module.__name__
        assert json.dumps(dict(n.versions)) and n.device and n.seconds > 0
    names = [claim.name for claim in answer.claims]
    assert len(set(names)) == len(names)
    assert all(claim.verdict in claims.VERDICTS for claim in answer.claims)


def test_all_verdicts_take_seconds():
    start = time.process_time()
    answers = questions.all_recorded()
    assert time.process_time() - start < 5
    fallen = [f"{a.name}: {c.statement}" for a in answers for c in a.claims if c.must and c.verdict != "holds"]
    assert fallen == [], "an identity or count of the recorded numbers does not hold"


@pytest.mark.parametrize("name", QUESTIONS)
def test_pictures_show_the_recorded_numbers(name):
    """The data are compared, and not the bytes, which depend on the version of matplotlib."""
    answer = questions.recorded(name)
    for module in answer.question.MEASUREMENTS:
        path = questions.place(questions.RESULTS, name, module).with_suffix(".svg")
        figure = plots.drawn(module, answer.numbers[name_of(module)])
        assert path.exists() == (figure is not None)
        if figure is not None:
            assert plots.same(plots.summary(figure), plots.saved_summary(path)), "run: python -m experiments readme"
            matplotlib.pyplot.close(figure)


def test_a_recorded_claim_is_reworded_moved_and_added_without_measuring(monkeypatch):
    """Nothing is measured here, and a changed number turns the verdict."""
    answer = questions.recorded("why_latent")
    (module,) = (module for module in answer.question.MEASUREMENTS if name_of(module) == "rank")
    monkeypatch.setattr(module, "measure", None)
    n = answer.numbers["rank"]
    reworded = dataclasses.replace(module.rank, statement="Its rank is low.", bound=1e-18)
    added = claims.at_least(3, "Three widths.", source="")(lambda n: len(n["widths"]))
    assert [claims.judged(claim, n)[0].verdict for claim in (module.rank, reworded, added)] == [
        "holds", "does not hold", "holds"
    ]  # fmt: skip
    changed = dataclasses.replace(n, arrays={**n.arrays, "softmax": np.ones_like(n["softmax"])})
    assert claims.judged(module.rank, changed)[0].verdict == "does not hold"


CHANGES = [lambda a: -1e3 * a - 1, lambda a: 1e6 * a + 1, lambda a: 0 * a, np.flip, lambda a: np.roll(a, 1, axis=0),
           lambda a: np.roll(a, 1, axis=1), lambda a: 0.3 * a + 0.3]  # fmt: skip


@pytest.mark.parametrize("module", MEASUREMENTS, ids=lambda module: module.__name__.removeprefix("experiments."))
def test_every_claim_falls_with_other_numbers(module):
    """Each claim that holds is turned by a change of one recorded array."""
    answer = questions.recorded(module.__name__.split(".")[1])
    n = answer.numbers[name_of(module)]
    standing = {one.name for one in answer.judged[name_of(module)] if one.verdict == "holds"}
    for name, array in n.arrays.items():
        if array.dtype.kind not in "fiub":
            continue
        for change in CHANGES:
            with warnings.catch_warnings(action="ignore"), contextlib.suppress(Exception):  # no number at all
                changed = dataclasses.replace(n, arrays={**n.arrays, name: np.asarray(change(array.astype(float)))})
                judged = claims.all_judged(module, changed)
                standing -= {one.name for one in judged if one.verdict in ("does not hold", "not decided", "differs")}
    assert standing <= WITHOUT_NUMBERS


WITHOUT_NUMBERS = {"critical_tanh"}  # what theory gives, from the configuration


# ---- words


def said_numbers(text):
    """The numbers in a text; names such as MNIST-1D hold none."""
    return re.findall(r"\d[\d,.]*(?:e[+-]?\d+)?", re.sub(r"MNIST-1D|float(32|64)|[a-zA-Z]+_?\d", "", text))


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("what, most_words, most_numbers", [("sentence", 25, 1), ("paragraph", 80, 3), ("key", 15, 3)])
def test_an_answer_is_short(name, language, what, most_words, most_numbers):
    text = questions.said(questions.recorded(name), what, language)
    assert len(text.split()) <= most_words, text
    assert len(said_numbers(text)) <= most_numbers, text
    assert words.of_page(language)["not_measured"] not in text


@pytest.mark.parametrize(
    "text, count", [("MNIST-1D has 4,000 in float32", 1), ("1.5 and 2", 2), ("x2", 0), ("2e-14", 1)]
)
def test_numbers_in_a_text_are_counted(text, count):
    assert len(said_numbers(text)) == count


@pytest.mark.parametrize("name", QUESTIONS)
def test_nothing_is_missing_in_either_language(name):
    package = questions.question(name)
    english, korean = (words.leaves(words.of(package, language)) for language in words.LANGUAGES)
    expected = {"question", "sentence", "key", "paragraph"}
    for module in package.MEASUREMENTS:
        expected |= {f"{name_of(module)}.title"} | (
            {f"{name_of(module)}.caption"} if hasattr(module, "picture") else set()
        )
    assert english.keys() == korean.keys() == expected
    for key, text in english.items():
        assert sorted(re.findall(words.PLACEHOLDER, text)) == sorted(re.findall(words.PLACEHOLDER, korean[key])), key
        assert re.search("[가-힣]", korean[key]) and not re.search("[가-힣]", text), key


def test_the_words_of_every_question_are_toml():
    for path in (readme.ROOT / "experiments").rglob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", MEASUREMENTS, ids=lambda module: module.__name__.removeprefix("experiments."))
def test_a_measurement_says_how(module):
    assert len(inspect.cleandoc(module.__doc__ or "").split("\n\n")) >= 2
    assert "\\" not in page.formula(module.FORMULA)
    assert claims.of(module) and all(claim.statement.endswith(".") for claim in claims.of(module))


# ---- README


def without_rounding(text):
    """Without rounding errors, where they are largest, and the widths of their columns: machines differ in them."""
    lines = (re.sub(" +", " ", line) for line in text.splitlines() if not line.endswith("  right"))
    return re.sub(r"\d(\.\d)?e-1[3-9]", "rounding", "\n".join(lines))


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_readme_quotes_the_recorded_results(language):
    text = readme.README[language].read_text(encoding="utf-8")
    made = readme.with_parts(text, readme.parts(questions.all_recorded(), language))
    assert without_rounding(made) == without_rounding(text), "run: python -m experiments readme"


def test_the_table_of_claims_quotes_the_recorded_results():
    assert readme.claims(questions.all_recorded()) == readme.CLAIMS.read_text(encoding="utf-8")


def test_readme_has_every_part():
    text = {language: path.read_text(encoding="utf-8") for language, path in readme.README.items()}
    made = readme.parts([], "en")
    assert all(f"<!-- {name} -->\n" in text["en"] for name in made)
    assert "<!-- questions -->" in text["ko"] and "README.ko.md" in text["en"] and "README.md" in text["ko"]
    pictures = [set(re.findall(r"\]\((experiments/results/\S+\.svg)\)", page)) for page in text.values()]
    assert pictures[1] <= pictures[0] and all((readme.ROOT / path).exists() for path in pictures[0] | pictures[1])


def long_lines(text):
    """The lines of more than 120 characters outside tables and quoted output."""
    text = re.sub("^```text\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("README.md", 200),
        ("README.ko.md", 120),
        ("ARCHITECTURE.md", 60),
        ("CONTRIBUTING.md", 100),
        ("CHANGELOG.md", 200),
    ],
)
def test_a_page_is_short(name, most):
    text = (readme.ROOT / name).read_text(encoding="utf-8")
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
    first = readme.README["en"].read_text(encoding="utf-8").splitlines()[:10]
    for command in ("mlp-jax check", "mlp-jax train", "python -m experiments", "pip install -e"):
        assert command in "\n".join(first)


@pytest.mark.parametrize("text", ["nothing", "<!-- other -->\n<!-- end -->", 2 * "<!-- check -->\n<!-- end -->"])
def test_a_page_without_its_marks_is_an_error(text):
    with pytest.raises(ValueError, match="the page: expected each of"):
        readme.with_parts(text, {"check": str})
