"""The benchmark: what it makes of measured numbers, and which sides it lets measure at all."""

import dataclasses
import inspect
import os
import pickle
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from problems import quick

import mlp_jax
from experiments.benchmark import command, files, plots, problems, results, rounds, summary, table, worker
from experiments.benchmark.results import Missing, SideResult, WorkloadResult
from experiments.benchmark.sides import gradients
from experiments.benchmark.statistics import paired_ratios, slopes
from experiments.benchmark.statistics import summary as summary_of
from experiments.benchmark.workloads import (
    AUTODIFF,
    BACKPROP,
    BY_HAND,
    COMPILATION,
    DERIVATIVES,
    EAGER,
    EAGER_CALL,
    EPOCHS,
    IMPORT,
    LARGE_X,
    MEMORY,
    NORMS,
    ONE_GRADIENT,
    OURS,
    PROGRAMS,
    SCIKIT_LEARN,
    WORKLOADS,
    Growth,
    Side,
    Workload,
    at_least,
    at_most,
    chosen,
)
from experiments.frame import questions
from mlp_jax import _doors, derivatives

# ---- numbers


def test_ratios_are_paired():
    """The machine slowed down by 3 in the second repeat: no ratio changes, while that of the medians would."""
    ours, theirs = [1.0, 3.0, 1.0], [2.0, 6.0, 6.0]
    assert paired_ratios(theirs, ours) == [2.0, 2.0, 6.0]
    assert summary_of(paired_ratios(theirs, ours)).median == 2.0 != np.median(theirs) / np.median(ours)


def test_slopes_are_those_of_powers():
    sizes = np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(slopes(sizes, np.stack([sizes**2, 5 * sizes], axis=1)), [2, 1])


def side(*values, **facts):
    return SideResult(values, facts, first=1.0)


def of_workload(**sides):
    """What was measured of a workload: a side is a `SideResult`, or why it is missing."""
    return WorkloadResult(
        unit="s an epoch", sizes=(784, 10), activation="relu", batch=1, steps=1, examples=1, nets=1,
        date="2026-11-28", source="MNIST", repeats=3, seconds=1.0,
        sides={name: one for name, one in sides.items() if not isinstance(one, str)},
        missing={name: one for name, one in sides.items() if isinstance(one, str)},
    )  # fmt: skip


EPOCH = of_workload(
    mlp_jax=side(1.0, 3.0, 1.0, memory=100, flops=30.0),
    PyTorch=side(2.0, 9.0, 4.0, memory=50, flops=40.0),
    gone="torch is not installed: pip install -e '.[benchmark]'",
)
RESULT = results.Result(
    date="2026-11-28",
    quick=False,
    backend="cpu",
    device="cpu",
    processor="made up",
    cores=2,
    versions={"python": "3.11.7", "torch": "2.13.0"},
    left_out=("runs", "epoch: flax"),
    workloads={"epoch": EPOCH},
)


def with_workloads(quick=False, **workloads):
    return dataclasses.replace(RESULT, quick=quick, workloads=workloads)


ROWS = {  # a side, its aim, the measured median, the verdict
    "met": ("PyTorch", at_least(3.0), 3.0, "met"),
    "not met": ("PyTorch", at_least(3.6), 3.0, "not met"),
    "within noise": ("PyTorch", at_least(3.4), 3.0, "within noise"),
    "upper bound met": (OURS, at_most(0.4, "PyTorch"), 1 / 3, "met"),
    "upper bound not met": (OURS, at_most(0.2, "PyTorch"), 1 / 3, "not met"),
    "reported": ("PyTorch", at_least(), 3.0, "reported"),
    "memory": (OURS, at_most(1.0, "PyTorch", "memory"), 2.0, "not met"),
    "flops": (OURS, at_most(1.05, "PyTorch", "flops"), 0.75, "met"),
    "its own number": (OURS, at_most(1.0), 1.0, "met"),
    "missing side": ("gone", at_least(3.0), None, "missing: gone: torch is not installed"),
    "left out": ("flax", at_least(3.0), None, "missing: flax: left out"),
}


@pytest.mark.parametrize(("name", "aim", "measured", "verdict"), ROWS.values(), ids=ROWS)
def test_a_row_is(name, aim, measured, verdict):
    epoch = Workload("epoch", "epoch", "s", (Side(name, "a worker", "fake:fake", (aim,)),))
    (row,) = table.table(RESULT, (epoch, dataclasses.replace(epoch, name="another")))
    assert row.verdict.startswith(verdict)
    assert (row.measured is None) == (measured is None)
    if measured is not None:
        assert row.measured.median == pytest.approx(measured)
    assert len(table.cells(row)) == len(table.COLUMNS)


WORDS = {
    "a side over a baseline": (at_least(1.0), "PyTorch, over mlp_jax"),
    "a quantity of both": (at_most(1.0, AUTODIFF, "memory"), "PyTorch, over autodiff: memory"),
    "a number of its own": (at_most(1.0), "PyTorch"),
    "words instead": (at_least(1.0, words="a script"), "a script"),
}


@pytest.mark.parametrize(("aim", "words"), WORDS.values(), ids=WORDS)
def test_a_row_says_what_is_compared(aim, words):
    assert table.words(table.Row(EPOCHS[0], "PyTorch", aim, None, "")) == words


@pytest.mark.parametrize(("baseline", "median"), [("", 3.0), ("sum", 1.5)])
def test_a_side_is_subtracted_repeat_by_repeat(baseline, median):
    door = of_workload(eager=side(4.0, 9.0, 5.0), jitted=side(1.0, 5.0, 2.0), sum=side(2.0, 4.0, 2.0))
    assert np.median(table.numbers(door, "eager", at_most(1.0, baseline, minus="jitted"))) == median


def test_a_slope_takes_the_large_sides_and_is_missing_where_one_is():
    sizes = {"small": 1, OURS: 8, "PyTorch": 16, "gone": 0}
    sides = tuple(Side(name, "a worker", "fake:fake", size=size) for name, size in sizes.items())
    grows = Workload("epoch", "growth", "s", sides, growth=Growth("layers", 1.1, least=8, since=", from 8 on"))
    (row,) = table.table(RESULT, (grows,))
    assert row.measured.median == pytest.approx(np.log2(3)) and row.verdict == "not met"
    assert table.words(row) == "slope over layers, from 8 on"
    (row,) = table.table(RESULT, (dataclasses.replace(grows, growth=Growth("layers", 1.1)),))
    assert row.verdict == "missing: small: left out"


def test_a_quick_run_has_no_row_for_what_it_left_out():
    epoch = Workload("epoch", "epoch", "s", (Side("flax", "flax", "fake:fake", (at_least(),)),))
    assert len(table.table(RESULT, (epoch,))) == 1
    assert table.table(dataclasses.replace(RESULT, quick=True), (epoch,)) == []


def test_the_short_table_has_rows_for_what_is_recorded_alone():
    """A record that is older than a workload lacks it."""
    recorded = {
        workload.name: of_workload(
            **{one.name: side(0.5 if one.name == ONE_GRADIENT else 1.0, memory=8, flops=2.0) for one in workload.sides}
        )
        for workload in (*DERIVATIVES, NORMS)
    }
    versions = dict.fromkeys(("jax", "torch", "scikit-learn"), "1.0")
    text = summary.summary_table(dataclasses.replace(RESULT, workloads=recorded, versions=versions))
    assert "| autodiff's time: 1.00 to 1.00; its flops: 1.00 to 1.00 (1.05) |" in text
    assert "vmapped gradients: memory 1.00 (0.1)" in text and "one gradient: time 2.00 (1.3)" in text
    assert EPOCHS[0].name not in text


# ---- the table of workloads


def test_every_aim_names_sides_of_its_workload():
    """A misspelt name cannot hide a ratio."""
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)
    for workload in WORKLOADS:
        names = {side.name for side in workload.sides}
        assert len(names) == len(workload.sides)
        for name, aim in table.aims(workload):
            assert {name, aim.baseline, aim.minus} - {""} <= names, (workload.name, aim)


def test_every_side_has_the_options_of_its_function():
    sides = [(side.function, side.options) for workload in WORKLOADS for side in workload.sides]
    inner = [(options["function"], options["of"]) for function, options in sides if function == "memory:peak"]
    for function, options in (*sides, *inner):
        module, name = function.split(":")
        if not module.startswith("pytorch") or find_spec("torch"):
            inspect.signature(getattr(import_module(f"experiments.benchmark.sides.{module}"), name)).bind(
                "problem", "workload", **options
            )


BOUNDS = {  # of the ratio table
    "epoch 784-128-10, batch 32": [1.6, 3.5, 4.0, 1.5],
    "epoch 784-128-10, batch 128": [1.6, 2.0, 1.8],
    "epoch 784-512-512-10, batch 128": [1.6, 1.7, 2.2],
    "epoch 784-1024-1024-10, batch 512": [1.2],
    "steps 2-32-32-2": [11.0, 11.0],
    "64 nets at once": [2.5, 25.0, 1.8, 1.6],
    "1024 nets at once": [2.5, 25.0, 1.8, 1.6],
    "gradient 784-128-10 relu, batch 32": [1.0, 1.0],
    "training 784-1024-1024-10 sigmoid, batch 512": [1.05, 1.05],
    **{workload.name: [1.05] for workload in DERIVATIVES},
    "per-example norms 784-512-512-10, batch 1024": [0.1, 1.05, 1.3],
    "cross-entropy 8192 x 10": [1.4],
    "compilation": [10.0, 1.1],
    "programs of a first call 20-32-3, batch 64": [3, 2, 2],
    "eager call 20-32-3, batch 64": [1.0, 1.0],
    "door of forward, 60,000 x 784": [1.5],
    "import": [1.5],
    "whole process": [1.0],
}


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items(), ids=BOUNDS)
def test_the_bounds_are(name, bounds):
    (workload,) = chosen(False, (name,))
    assert [aim.bound for _, aim in table.aims(workload) if aim.bound is not None] == bounds


def test_a_quick_run_has_fewer_steps_and_sides():
    full, quick = chosen(False), chosen(True)
    assert {w.name for w in quick} < {w.name for w in full}
    by_name = {w.name: w for w in full}
    for workload in quick:
        assert workload.steps <= by_name[workload.name].steps
        assert {s.name for s in workload.sides} <= {s.name for s in by_name[workload.name].sides}


# ---- which sides may take part

SMALL = Workload(
    "small",
    "epoch",
    "s",
    tuple(Side(name, name, "fake:fake", (at_least(),)) for name in (OURS, "right", "wrong", "gone", "dies")),
    repeats=3,
)


def fake_ask(kind, command, *arguments):
    """Five sides: one has another learning rate, one lacks its package, and one dies when it is timed again."""
    fake_ask.calls.append((kind, command))
    if kind == "gone" and command == "prepare":
        raise Missing("torch is not installed")
    if kind == "dies" and fake_ask.calls.count((kind, command)) > 2:
        raise Missing("its process ended with exit code -9")
    rate = 1.1e-3 if kind == "wrong" else 1e-3
    return {
        "make": "synthetic",
        "prepare": ({"device": "cpu"}, True),
        "compare": loss_after(20, rate),
        "measure": 1.0,
        "forget": None,
    }[command]


def loss_after(steps, rate):
    """The mean loss w^2 / 2 over so many steps of Adam from w = 0.1, where the steps are about as long as the rate."""
    w, losses = 0.1, []
    for _ in range(steps):
        losses.append(w * w / 2)
        w -= rate
    return float(np.mean(losses))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    fake_ask.calls = []
    return rounds.measured(SMALL, fake_ask, tmp_path_factory.mktemp("small"))


def test_a_side_that_does_the_same_work_is_timed_as_often_as_ours(small):
    assert small.sides[OURS].values == small.sides["right"].values == (1.0, 1.0, 1.0)


MISSING = {"wrong": "not the same work: 0.00", "gone": "torch is not installed", "dies": "exit code -9"}


@pytest.mark.parametrize(("name", "words"), MISSING.items(), ids=MISSING)
def test_a_side_is_missing_with_a_reason_where_it(small, name, words):
    assert words in small.missing[name] and name not in small.sides
    verdicts = {row.side: row.verdict for row in table.table(with_workloads(small=small), (SMALL,))}
    assert words in verdicts[name] and verdicts["right"] == "reported"


def test_a_side_that_is_set_aside_is_not_timed(small):
    assert fake_ask.calls.count(("wrong", "measure")) == 1  # the first run
    assert ("gone", "measure") not in fake_ask.calls


def test_no_side_can_do_a_problem_that_was_not_made(tmp_path):
    def ask(kind, command, *arguments):
        raise Missing("jax is not installed")

    found = rounds.measured(SMALL, ask, tmp_path)
    assert set(found.missing.values()) == {"no problem: jax is not installed"} and not found.sides


WRONG = {
    "negated": lambda jacobian: -jacobian,
    "in another order": lambda jacobian: jacobian[::-1],
    "too long": lambda jacobian: 1.01 * jacobian,
    "zero": lambda jacobian: 0 * jacobian,
}


@pytest.mark.parametrize("wrong", [None, *WRONG.values()], ids=["right", *WRONG])
def test_a_derivative_is_timed_only_if_it_is(wrong, monkeypatch):
    right = derivatives.softmax_jacobian
    if wrong:
        monkeypatch.setattr(derivatives, "softmax_jacobian", lambda logits: wrong(right(logits)))
    tiny = Workload("tiny", "derivative", "s", (), (3, 3), batch=4, full_batch=True)
    problem = problems.Problem(np.zeros((4, 3), "float32"), np.zeros(4, int), [], np.arange(4))
    tasks = {by: gradients.derivative(problem, tiny, "softmax_jacobian", by) for by in (BY_HAND, AUTODIFF)}
    outcomes = rounds.in_agreement({by: SideResult(loss=task.run(None)) for by, task in tasks.items()})
    assert isinstance(outcomes[BY_HAND], SideResult)
    assert str(outcomes[AUTODIFF]).startswith("not the same work") == bool(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("workload", (*DERIVATIVES[1::3], NORMS), ids=lambda workload: workload.name)
def test_both_sides_of_a_derivative_do_the_same(workload, tmp_path):
    tiny = dataclasses.replace(workload, sizes=(5, 4, 3), batch=6, steps=2)
    problems.make(tiny, tmp_path / "problem.pickle")
    problem = problems.load(tmp_path / "problem.pickle")
    tasks = [worker.task_of(one.function, problem, tiny, **one.options) for one in tiny.sides]
    by_hand, autodiff = (task.run(None) for task in tasks if task.comparable)
    assert by_hand == pytest.approx(autodiff, rel=1e-5) != 0
    for task, one in zip(tasks, tiny.sides, strict=True):
        assert task.units == one.options.get("calls", 2)
        assert task.facts["flops"] > 0 <= task.facts["memory"]


def test_the_memory_of_a_side_is_that_of_its_task_in_its_process(tmp_path):
    (one,) = (side for side in MEMORY[0].sides if side.name == SCIKIT_LEARN)
    workload, path = made(MEMORY[0], tmp_path, sizes=(4, 5, 3), batch=10, steps=2)
    task = worker.task_of(one.function, problems.load(path), workload, **one.options)
    assert task.units == problems.units_of_training(workload)
    assert worker.measure(task) > 2**24  # this process has imported NumPy, JAX and scikit-learn


# ---- the aims of single calls and of the import can be missed


def a_program_for_each_operation(name):
    """The room without its door, so that nothing compiles it as a whole."""
    room, relu = getattr(mlp_jax, name).room, mlp_jax.relu
    if name == "init_params":
        return lambda key, sizes, activation=relu: room(
            key, sizes, relu, relu.weight_init, jax.nn.initializers.zeros, "float32"
        )
    return room


def ten_ms_later(name):
    function = getattr(mlp_jax, name)
    return lambda *arguments: (time.sleep(10e-3), function(*arguments))[1]


def ten_passes(a):
    return all(np.isfinite(np.sum(a)) for _ in range(10))


def made(workload, folder, **smaller):
    """A workload, smaller, and the path of its problem."""
    workload, path = dataclasses.replace(workload, **smaller), folder / "problem.pickle"
    problems.make(workload, path)
    return workload, path


def verdicts(workload, path):
    """What is found of the aims of a workload, from at most three repeats in this process."""
    tasks, values = {}, {one.name: [] for one in workload.sides}
    for one in workload.sides:
        worker.prepare(tasks, one, workload, path)
    for _ in range(min(3, workload.repeats)):
        for name, task in tasks.items():
            values[name].append(worker.measure(task))
    found = of_workload(**{name: side(*numbers) for name, numbers in values.items()})
    rows = table.table(with_workloads(**{workload.name: found}), (workload,))
    return {row.side: row.verdict for row in rows if row.aim.bound is not None}


SLOW = {  # workload, at a size that no other test has; the function that is slow, and how
    "programs of init_params": (PROGRAMS, {"sizes": (21, 33, 4)}, "init_params", a_program_for_each_operation),
    "programs of backprop": (PROGRAMS, {"batch": 65}, BACKPROP, a_program_for_each_operation),
    "programs of autodiff": (PROGRAMS, {"batch": 66}, AUTODIFF, a_program_for_each_operation),
    "eager backprop": (EAGER_CALL, {"steps": 20}, BACKPROP, ten_ms_later),
    "eager autodiff": (EAGER_CALL, {"steps": 20}, AUTODIFF, ten_ms_later),
}


@pytest.mark.parametrize(("workload", "smaller", "name", "slow"), quick(SLOW, "programs of backprop", "eager backprop"))
def test_a_slow_call_misses_its_aim(workload, smaller, name, slow, monkeypatch, tmp_path):
    problem = made(workload, tmp_path, **smaller)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)  # other tests count programs in this process
    monkeypatch.setattr(mlp_jax, name, slow(name))
    found = verdicts(*problem)
    assert found.pop(name) == "not met"
    if workload is PROGRAMS:  # a count does not depend on the machine's load
        assert set(found.values()) == {"met"}


def test_a_door_that_reads_x_ten_times_misses_its_aim(monkeypatch, tmp_path):
    problem = made(LARGE_X, tmp_path, sizes=(700, 10), batch=3000)
    monkeypatch.setattr(_doors, "is_finite", ten_passes)
    assert verdicts(*problem) == {"forward": "not met"}


def test_a_slow_import_misses_its_aim(monkeypatch, tmp_path):
    """Modules of these names in the current folder are imported before the real ones."""
    for name, code in {"mlp_jax": "import time; time.sleep(1)", "jax": "", "optax": ""}.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert verdicts(*made(IMPORT, tmp_path, repeats=1)) == {OURS: "not met"}


@pytest.mark.slow
def test_a_first_call_is_counted_in_a_new_process(tmp_path):
    found = rounds.measured(PROGRAMS, rounds.asking(workers := {}), tmp_path)
    for process in workers.values():
        worker.stop(process)
    assert {name: one.values for name, one in found.sides.items()} == {
        "init_params": (3,), BACKPROP: (1,), AUTODIFF: (1,)
    }  # fmt: skip


def test_the_turns_rotate(small):
    timed = [kind for kind, command in fake_ask.calls if command == "measure"][4:]  # after the first runs
    assert timed[:5] == [OURS, "right", "dies", "right", "dies"]


# ---- files and the command


def test_a_result_is_written_and_read_with_its_pictures(tmp_path):
    path = files.result_path(tmp_path, "cpu")
    files.write(path, RESULT)
    assert results.read(path) == RESULT
    assert {p.name for p in tmp_path.iterdir()} == {"benchmark.json", "benchmark-ratios.svg", "benchmark-growth.svg"}


def test_a_workload_is_written_and_read_to_six_digits(tmp_path):
    path = tmp_path / "unfinished" / "small.json"
    results.write(path, of_workload(mlp_jax=side(1.23456789, 2.0, memory=123456789), gone="why"))
    assert results.read_workload(path) == of_workload(mlp_jax=side(1.23457, 2.0, memory=123456789), gone="why")


def test_an_interrupted_run_goes_on_from_there(tmp_path, monkeypatch):
    first, second = (dataclasses.replace(SMALL, name=name, sides=SMALL.sides[:2]) for name in ("first", "second"))
    made, answers = [], {"device": ("cpu", "made up"), "prepare": ({}, False), "measure": 1.0}

    def ask(kind, command, *arguments):
        if command == "make":
            made.append(arguments[0].name)
            if made == ["first", "second"]:
                raise KeyboardInterrupt
        return answers.get(command)

    monkeypatch.setattr(rounds, "asking", lambda workers: ask)
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    assert list(command.measured((first, second), paths, False, ()).workloads) == ["first"]
    result = command.measured((first, second), paths, False, ())
    assert (list(result.workloads), made) == (["first", "second"], ["first", "second", "second"])
    assert result.device == "made up" and EPOCHS[0].name in result.left_out


def test_the_ratios_are_those_of_time_to_peers():
    epoch, memory = EPOCHS[0].name, MEMORY[0].name
    found = of_workload(mlp_jax=side(1.0, 1.0), flax=side(2.0, 2.0), **{EAGER: side(3.0, 3.0)})
    axes = plots.ratios(with_workloads(**{epoch: found, memory: found})).axes[0]
    plt.close()
    assert [label.get_text() for label in axes.get_yticklabels()] == [EAGER, "flax"]
    assert epoch in (drawn := [text.get_text() for text in axes.texts]) and memory not in drawn


def test_growth_is_that_of_sides_with_a_size():
    found = of_workload(**{one.name: side(1.0, 2.0) for one in COMPILATION.sides})
    (axes,) = plots.growth(with_workloads(compilation=found)).axes
    plt.close()
    assert axes.lines[0].get_xdata().tolist() == [2, 8, 32, 100]


LATER = dataclasses.replace(
    RESULT,
    versions={"python": "3.11.7", "torch": "not installed"},
    workloads={EAGER_CALL.name: of_workload(backprop=side(1.0))},
)


def test_new_workloads_join_the_recorded_ones(tmp_path):
    path = tmp_path / "benchmark-cpu.json"
    recorded = dataclasses.replace(RESULT, workloads=dict.fromkeys((EAGER_CALL.name, EPOCHS[0].name, "gone"), EPOCH))
    results.write(path, recorded)
    merged = files.merged(path, LATER)
    assert merged == dataclasses.replace(recorded, workloads={EPOCHS[0].name: EPOCH} | LATER.workloads)
    assert list(merged.workloads) == [EPOCHS[0].name, EAGER_CALL.name]


NOT_JOINED = {  # what is recorded, what is new, the words
    "nothing is recorded": (None, {}, "expected a recorded result"),
    "another machine": ({"cores": 64}, {}, "expected cores 64, as recorded, got 2"),
    "another version": ({}, {"versions": {"python": "3.13.0"}}, "expected python 3.11.7, as recorded, got 3.13.0"),
    "a missing side": ({}, {"workloads": RESULT.workloads}, "epoch: gone: torch is not installed"),
}


@pytest.mark.parametrize(("recorded", "new", "words"), NOT_JOINED.values(), ids=NOT_JOINED)
def test_a_result_does_not_join_the_recorded_one_with(recorded, new, words, tmp_path):
    path = tmp_path / "benchmark-cpu.json"
    if recorded is not None:
        results.write(path, dataclasses.replace(RESULT, **recorded))
    with pytest.raises(ValueError, match=words):
        files.merged(path, dataclasses.replace(LATER, **new))


@pytest.mark.parametrize("name", ["benchmark-cpu.json", "benchmark-gpu.json"])
def test_the_recorded_result_is_whole(name):
    path = questions.RESULTS / name
    if not path.exists():
        pytest.skip(f"{name} is not recorded")
    result = results.read(path)
    rows = table.table(result)
    assert len(rows) == sum(len(table.aims(workload)) for workload in WORKLOADS)
    assert all(len(table.cells(row)) == len(table.COLUMNS) for row in rows)
    assert not result.quick and not result.left_out
    for workload in result.workloads.values():
        assert {len(side.values) for side in workload.sides.values()} <= {workload.repeats}


def test_the_table_is_shown(capsys):
    command.show(RESULT, times=True)
    shown = capsys.readouterr().out
    assert "torch is not" in shown and "[benchmark]" in shown and "made up" in shown
    assert "left out, workloads or sides of them (all names are in the result): 1 runs, 1 epoch:" in shown


@pytest.mark.slow
def test_the_other_experiments_do_not_load_the_benchmark():
    code = "import sys, experiments.frame.command; print('experiments.benchmark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.stdout.strip() == "False"


def benchmark(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "experiments.benchmark", *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )


MISTAKES = {
    "an unknown workload": (("--only", "epock"), "only: expected"),
    "a quick record": (("--quick", "--record"), "--record: expected a full run"),
    "a slow workload, quickly": (("--quick", "--only", "compilation"), "leave --quick out"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(arguments, words):
    done = benchmark(*arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_smallest_workload_from_end_to_end():
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    done = benchmark("--quick", "--only", "steps")
    assert done.returncode == 0, done.stderr
    path = done.stdout.partition("result: ")[2].strip()
    sides = results.read(Path(path)).workloads["steps 2-32-32-2"].sides
    assert {len(side.values) for side in sides.values()} == {3}
    losses = [side.loss for side in sides.values() if side.loss is not None]
    assert len(losses) == len(sides) - 1  # the matrix products have none
    assert max(losses) - min(losses) < rounds.TOLERANCE * min(losses)


@pytest.mark.slow
def test_a_worker_that_dies_gives_a_reason():
    process = worker.start("scikit-learn")
    process.process.kill()
    with pytest.raises(Missing, match="exit code"):
        worker.ask(process, "forget")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["flax", "torch"])
def test_a_package_that_is_missing_gives_a_reason(package, tmp_path):
    """A module of that name that cannot be imported stands before the real one."""
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})", encoding="utf-8")
    kind, function = {"flax": ("flax", "per_step:with_flax"), "torch": ("pytorch", "pytorch:training")}[package]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)  # which a spawned process inherits
        process = worker.start(kind)
    path = tmp_path / "problem.pickle"
    path.write_bytes(pickle.dumps(problems.Problem(np.zeros((4, 2), "float32"), np.zeros(4, int), [], np.arange(4))))
    one = Workload("one", "epoch", "s", (), (2, 2), batch=4, full_batch=True)
    with pytest.raises(Missing, match=f"{package} is not installed: pip install"):
        worker.ask(process, "prepare", Side("one", kind, function), one, path)
    worker.stop(process)
