"""The frame of the experiments: numbers, statistics, claims, pictures, words and progress, on numbers made by hand."""

import dataclasses
import time
from dataclasses import dataclass
from types import ModuleType

import matplotlib
import numpy as np
import pytest

from experiments.frame import claims, numbers, page, plots, progress, statistics, words
from experiments.frame.claims import Because, at_least, at_most, equals
from experiments.frame.numbers import NotMeasured, NotMeasuredError, Numbers
from experiments.frame.statistics import Statistic

matplotlib.use("svg")


@dataclass(frozen=True)
class Config:
    seeds: int = 3
    depths: tuple[int, ...] = (1, 4)


N = Numbers({"depth": np.array([1, 4]), "error": np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])}, Config())


# ---- verdicts


@pytest.mark.parametrize(
    "value, interval, relation, expected, within, verdict",
    [
        (1, None, "<=", 1, 0, "holds"),
        (1.1, None, "<=", 1, 0, "does not hold"),
        (1.1, None, ">=", 1, 0, "holds"),
        (0.9, None, ">=", 1, 0, "does not hold"),
        (1.1, None, "=", 1, 0.2, "holds"),
        (1.1, None, "=", 1, 0.01, "does not hold"),
        (float("nan"), None, "<=", 1, 0, "does not hold"),
        (float("nan"), None, "=", 1, 1, "does not hold"),
        (0.9, (0.8, 1.1), "<=", 1, 0, "not decided"),
        (1.05, (0.8, 1.1), "<=", 1, 0, "not decided"),
        (0.9, (0.8, 0.95), "<=", 1, 0, "holds"),
        (1.2, (1.1, 1.3), "<=", 1, 0, "does not hold"),
        (1.0, (0.8, 1.1), "=", 1, 0.15, "not decided"),
        (1.0, (0.9, 1.1), "=", 1, 0.2, "holds"),
        (1.5, (1.4, 1.6), "=", 1, 0.2, "does not hold"),
        (0.0, (0.0, 0.2), "<=", 0, 0, "holds"),
        (0.1, (0.02, 0.3), "<=", 0, 0, "does not hold"),
        (0.5, (-np.inf, np.inf), "<=", 1, 0, "not decided"),
    ],
)
def test_verdict(value, interval, relation, expected, within, verdict):
    assert claims.verdict(Statistic(value, "mean", 5, interval), relation, expected, within) == verdict


# ---- statistics


@pytest.mark.parametrize(
    "statistic, true, draw",
    [
        (statistics.median, 0.0, lambda rng: rng.standard_normal(20)),
        (statistics.mean, 0.0, lambda rng: rng.standard_normal(20)),
        (statistics.share, 0.3, lambda rng: rng.random(20) < 0.3),
        (lambda y: statistics.slope(np.arange(20), y), 2.0, lambda rng: 2 * np.arange(20) + rng.normal(size=(20, 20))),
    ],
    ids=["median", "mean", "share", "slope"],
)
def test_interval_covers_the_true_value(statistic, true, draw):
    rng = np.random.default_rng(0)
    covered = [low <= true <= high for low, high in (statistic(draw(rng)).interval for _ in range(200))]
    assert 0.85 <= np.mean(covered) < 1


def test_statistics_say_of_how_many():
    a, b = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [3.0, 4.0]])
    assert statistics.difference(a, b)[:3] == (0.5, "mean difference", 4)
    assert statistics.largest(a) == (5.0, "largest", 4, None)
    assert statistics.smallest(a) == (1.0, "smallest", 4, None)
    assert statistics.exact(np.int64(7)) == (7.0, "exact", 1, None)
    assert statistics.mean([3.0]).interval == (-np.inf, np.inf), "one seed says nothing of the others"
    assert statistics.median([2.0, 2.0]).interval == (2.0, 2.0)


@pytest.mark.parametrize("call", [lambda: statistics.mean([]), lambda: statistics.difference([1, 2], [1])])
def test_a_statistic_of_nothing_or_of_no_pairs_is_an_error(call):
    with pytest.raises(ValueError, match="expected"):
        call()


# ---- numbers


def test_numbers_survive_files_bit_by_bit(tmp_path):
    arrays = {
        "a": np.array([0.1, np.nan, np.inf, 1e-300]), "b, c": np.float32([1 / 3]), "name": np.array(["tanh", "ReLU²"]),
        "n": np.arange(3), "one": np.asarray(2.5),
    }  # fmt: skip
    made = Numbers(arrays, Config(), {"mnist": "no MNIST here"}, 3, 1.5, {"python": "3"}, "cpu")
    numbers.write(tmp_path / "folder" / "made.first", made)
    read = numbers.read(tmp_path / "folder" / "made.first", Config)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].tobytes() == array.tobytes()
    assert dataclasses.replace(read, arrays={}) == dataclasses.replace(made, arrays={})
    numbers.remove(tmp_path / "folder" / "made.first")
    assert not numbers.exists(tmp_path / "folder" / "made.first") and list((tmp_path / "folder").iterdir()) == []


def test_numbers_without_an_end_are_not_there(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(numbers.json, "dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        numbers.write(tmp_path / "made", N)
    assert not numbers.exists(tmp_path / "made")


def test_objects_are_not_recorded(tmp_path):
    ragged = np.empty(2, object)
    with pytest.raises(TypeError, match=r"made: expected arrays of numbers or strings, got objects in \['a'\]"):
        numbers.write(tmp_path / "made", Numbers({"a": ragged}, Config()))


def test_what_was_not_measured_says_why():
    module = ModuleType("experiments.toy.made")
    module.measure = lambda config, key, progress: {"a": [1, 2], "mnist": NotMeasured("no MNIST here")}
    n = numbers.measured(module, Config(), seed=2)
    assert n["a"].tolist() == [1, 2] and n.seed == 2
    with pytest.raises(NotMeasuredError, match="no MNIST here"):
        n["mnist"]
    with pytest.raises(KeyError):
        n["never"]
    assert N.at(depth=4) == 1
    with pytest.raises(NotMeasuredError, match="no depth = 8"):
        N.at(depth=8)


# ---- claims


def toy(*written):
    """A measurement with these claims."""
    module = ModuleType("experiments.toy.made")
    for claim in written:
        setattr(module, claim.name, claim)
    return module


@at_most(0.5, "At depth {depth} the error is small.", depth=(1, 4, 8), source="expected", how="{n.config.seeds} seeds")
def error(n, depth):
    return statistics.largest(n["error"][n.at(depth=depth)])


def test_one_claim_for_each_case():
    small, large, none = claims.all_judged(toy(error), N)
    assert (small.name, small.statement, small.how) == ("error_1", "At depth 1 the error is small.", "3 seeds")
    assert [small.verdict, large.verdict, none.verdict] == ["holds", "does not hold", "not run"]
    assert none.statistic is None and "no depth = 8" in none.why


def test_a_case_of_two_values_is_every_combination():
    @at_most(lambda n, depth, seed: depth + seed, "", depth=(1, 4), seed=(0, 1), source="")
    def error(n, depth, seed):
        return n["error"][n.at(depth=depth), seed]

    judged = claims.all_judged(toy(error), N)
    assert [one.name for one in judged] == ["error_1_0", "error_1_1", "error_4_0", "error_4_1"]
    assert [one.expected for one in judged] == [1, 2, 4, 5]
    assert judged[3].statistic == (0.7, "exact", 1, None)


@pytest.mark.parametrize("bound, verdict", [(0.5, "differs"), (0.9, "does not hold")])
def test_a_claim_differs_only_if_the_cause_is_measured(bound, verdict):
    @at_least(bound, "The deep network errs by that much.", source="")
    def cause(n):
        return statistics.smallest(n["error"][1])

    @at_most(0.5, "It does not.", source="", because=Because("The deep one errs, {value:.1f}.", cause))
    def whole(n):
        return statistics.largest(n["error"])

    judged = {one.name: one for one in claims.all_judged(toy(cause, whole), N)}
    assert judged["whole"].verdict == verdict
    assert judged["whole"].why == ("The deep one errs, 0.8." if verdict == "differs" else "")


def test_a_claim_is_reworded_its_bound_moved_and_one_added_without_measuring():
    """Numbers are all that they need: this module has no `measure`."""
    module = toy(error)
    module.error = dataclasses.replace(error, statement="Errors stay low at depth {depth}.", bound=0.75)

    @equals(0.5, "Depth adds half.", within=0.01, source="new")
    def added(n):
        return statistics.difference(n["error"][1], n["error"][0])

    module.added = added
    first, second, _, new = claims.all_judged(module, N)
    assert first.statement == "Errors stay low at depth 1." and first.expected == 0.75
    assert second.verdict == "does not hold" and new.verdict == "holds" and new.statistic.interval is not None


def test_a_changed_number_turns_the_verdict():
    changed = dataclasses.replace(N, arrays={**N.arrays, "error": N["error"] + 0.3})
    assert claims.all_judged(toy(error), N)[0].verdict == "holds"
    assert claims.all_judged(toy(error), changed)[0].verdict == "does not hold"


def test_totals_count_what_must_hold_apart():
    one = claims.all_judged(toy(error), N)
    must = [dataclasses.replace(one[0], must=True)]
    said = page.totals([*one, *must])
    assert said == "Identities and counts: 1 of 1 hold. Findings: 1 of 3 hold (does not hold: 1, not run: 1)."
    assert "1개 중 1개" in page.totals([*one, *must], "ko")


# ---- words


def test_words_are_filled_from_claims():
    judged = claims.all_judged(toy(error), N)
    assert words.filled("{error_1:.0%} and {error_8:.2f}", judged) == "30% and (not measured)"
    with pytest.raises(ValueError, match="expected the name of a claim, got 'mistyped'"):
        words.filled("{mistyped}", judged)
    with pytest.raises(ValueError, match="'error_1' twice"):
        words.filled("", [judged[0], judged[0]])


def test_the_page_has_the_same_words_in_both_languages():
    english, korean = (words.leaves(words.of_page(language)) for language in words.LANGUAGES)
    assert english.keys() == korean.keys()


# ---- pictures


def picture(n):
    figure, (left, right) = plots.panels(1, 2)
    plots.band(left, n["depth"], n["error"].T)
    plots.image_axes(right).imshow(n["error"])
    right.text(0, 0, "a text")
    left.bar([1, 2], [3, 4])
    left.scatter([1, 2], [5, 6])
    return figure


def test_a_picture_carries_its_data(tmp_path):
    module = ModuleType("experiments.toy.made")
    module.picture = picture
    figure = plots.drawn(module, N)
    summary = plots.summary(figure)
    assert set(summary[0]) == {"lines", "patches", "collections"} and set(summary[1]) == {"images", "texts"}
    plots.save(tmp_path / "made.svg", figure)
    assert plots.same(plots.saved_summary(tmp_path / "made.svg"), summary)


@pytest.mark.parametrize("change", [lambda e: e * 1.001, lambda e: np.where(e == 0.2, 0.25, e), lambda e: e[:, :2]])
def test_a_picture_of_other_data_is_another(change):
    module = ModuleType("experiments.toy.made")
    module.picture = picture
    changed = dataclasses.replace(N, arrays={**N.arrays, "error": change(N["error"])})
    first, second = (plots.summary(plots.drawn(module, n)) for n in (N, changed))
    matplotlib.pyplot.close("all")
    assert plots.same(first, first) and not plots.same(first, second)


def test_a_picture_of_what_was_not_measured_is_left_out():
    module = ModuleType("experiments.toy.made")
    assert plots.drawn(module, N) is None
    module.picture = lambda n: n["mnist"]
    assert plots.drawn(module, dataclasses.replace(N, missing={"mnist": "no MNIST here"})) is None


# ---- progress


def test_without_a_terminal_there_is_a_line_with_the_time_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    with progress.progress("experiments", 4) as report:
        report(1.0, "why_depth: finding")
        time.sleep(0.2)
    said = capsys.readouterr().err.splitlines()
    assert said and said[0].startswith("25 % done, about ") and said[0].endswith(" left: why_depth: finding")
