"""The benchmark: what it makes of measured numbers, and which sides it lets measure at all."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest
from problems import quick

import mlp_jax
from experiments.benchmark import command, files, problems, rounds, summary, table, worker, workloads
from experiments.benchmark.sides import gradients
from experiments.benchmark.statistics import paired_ratios, slopes
from experiments.benchmark.statistics import summary as summary_of
from experiments.benchmark.wanted import WANTED, Wanted
from experiments.benchmark.worker import Answer
from experiments.benchmark.workloads import (
    AUTODIFF,
    BACKPROP,
    BY_HAND,
    DERIVATIVES,
    EAGER_CALL,
    EPOCHS,
    IMPORT,
    LARGE_X,
    NORMS,
    ONE_GRADIENT,
    OURS,
    PROGRAMS,
    Side,
    Workload,
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


def side(*values, **others):
    return {"values": list(values), "facts": {}, "loss": None, "first": 1.0} | others


RESULT = {
    "quick": False,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "backend": "cpu",
    "device": "cpu",
    "processor": "made up",
    "cores": 2,
    "left out": [],
    "workloads": {
        "epoch": {
            "name": "epoch",
            "source": "MNIST",
            "settings": {"unit": "s an epoch", "sizes": [784, 10]},
            "sides": {
                OURS: side(1.0, 3.0, 1.0, facts={"memory": 100, "flops": 30.0, "size": 1}),
                "PyTorch": side(2.0, 9.0, 4.0, facts={"memory": 50, "flops": 40.0, "size": 2}),
                "gone": {"missing": "torch is not installed: pip install -e '.[benchmark]'"},
            },
        }
    },
}
ROWS = {  # what is wanted, the measured median, the verdict
    "met": (("ratio", "PyTorch", OURS, ">=", 3.0), 3.0, "met"),
    "not met": (("ratio", "PyTorch", OURS, ">=", 3.6), 3.0, "not met"),
    "within noise": (("ratio", "PyTorch", OURS, ">=", 3.4), 3.0, "within noise"),
    "upper bound met": (("ratio", OURS, "PyTorch", "<=", 0.4), 1 / 3, "met"),
    "upper bound not met": (("ratio", OURS, "PyTorch", "<=", 0.2), 1 / 3, "not met"),
    "reported": (("ratio", "PyTorch", OURS, ">=", None), 3.0, "reported"),
    "memory": (("memory", OURS, "PyTorch", "<=", 1.0), 2.0, "not met"),
    "flops": (("flops", OURS, "PyTorch", "<=", 1.05), 0.75, "met"),
    "value": (("value", OURS, "", "<=", 1.0), 1.0, "met"),
    "missing side": (("ratio", "gone", OURS, ">=", 3.0), None, "missing: gone: torch is not installed"),
    "left out": (("ratio", "flax", OURS, ">=", 3.0), None, "missing: flax: left out"),
}


@pytest.mark.parametrize(("wanted", "measured", "verdict"), ROWS.values(), ids=ROWS)
def test_a_row_is(wanted, measured, verdict):
    quantity, numerator, denominator, relation, bound = wanted
    one = Wanted("epoch", "words", quantity, numerator, denominator, relation, bound)
    (row,) = table.table(RESULT, (one, dataclasses.replace(one, workload="another")))
    assert row.verdict.startswith(verdict)
    assert (row.measured is None) == (measured is None)
    if measured is not None:
        assert row.measured.median == pytest.approx(measured)
    assert len(table.cells(row)) == len(table.COLUMNS)


@pytest.mark.parametrize(("quantity", "median"), [("value", 3.0), ("ratio", 1.5)])
def test_a_side_is_subtracted_repeat_by_repeat(quantity, median):
    sides = {"eager": side(4.0, 9.0, 5.0), "jitted": side(1.0, 5.0, 2.0), "sum": side(2.0, 4.0, 2.0)}
    wanted = Wanted("door", "words", quantity, "eager", "sum", "<=", 1.0, less="jitted")
    assert table.row({"workloads": {"door": {"sides": sides}}}, wanted).measured.median == median


def test_a_slope_takes_the_sizes_of_all_sides_and_is_missing_where_one_is():
    wanted = Wanted("epoch", "words", "slope", relation="<=", bound=1.1)
    assert table.row(RESULT, wanted).verdict.startswith("missing: gone")
    sides = {name: RESULT["workloads"]["epoch"]["sides"][name] for name in (OURS, "PyTorch")}
    row = table.row({"workloads": {"epoch": {"sides": sides}}}, wanted)
    assert row.measured.median == pytest.approx(np.log2(3))


def test_a_quick_run_has_no_row_for_what_it_left_out():
    wanted = Wanted("epoch", "words", "ratio", "flax", OURS)
    assert table.table(RESULT | {"quick": True}, (wanted,)) == []


def test_the_short_table_has_rows_for_what_is_recorded_alone():
    """A record that is older than a workload lacks it."""
    facts = {"memory": 8, "flops": 2.0}
    recorded = {
        workload.name: {
            "sides": {one.name: side(0.5 if one.name == ONE_GRADIENT else 1.0, facts=facts) for one in workload.sides}
        }
        for workload in (*DERIVATIVES, NORMS)
    }
    versions = dict.fromkeys(("jax", "torch", "scikit-learn"), "1.0")
    text = summary.summary_table(RESULT | {"workloads": recorded, "versions": versions})
    assert "| autodiff's time: 1.00 to 1.00; its flops: 1.00 to 1.00 (1.05) |" in text
    assert "vmapped gradients: memory 1.00 (0.1)" in text and "one gradient: time 2.00 (1.3)" in text
    assert EPOCHS[0].name not in text


# ---- what is wanted


def test_everything_wanted_is_measured():
    """Every row names sides that its workload has, so that a misspelt name cannot hide a ratio."""
    sides = {workload.name: {side.name for side in workload.sides} for workload in workloads.WORKLOADS}
    assert len(sides) == len(workloads.WORKLOADS)
    for wanted in WANTED:
        assert {wanted.numerator, wanted.denominator, wanted.less} - {""} <= sides[wanted.workload], wanted


BOUNDS = {  # of the ratio table
    "epoch 784-128-10, batch 32": [3.5, 4.0, 1.5, 1.6],
    "epoch 784-128-10, batch 128": [2.0, 1.8, 1.6],
    "epoch 784-512-512-10, batch 128": [1.7, 2.2, 1.6],
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
    assert [w.bound for w in WANTED if w.workload == name and w.bound is not None] == bounds


def test_a_quick_run_has_fewer_steps_and_sides():
    full, quick = workloads.chosen(False), workloads.chosen(True)
    assert {w.name for w in quick} < {w.name for w in full}
    by_name = {w.name: w for w in full}
    for workload in quick:
        assert workload.steps <= by_name[workload.name].steps
        assert {s.name for s in workload.sides} <= {s.name for s in by_name[workload.name].sides}


# ---- which sides may take part

SMALL = Workload(
    "small", "s", tuple(Side(name, name, "fake:fake") for name in (OURS, "right", "wrong", "gone", "dies"))
)


def fake_ask(kind, command, *arguments):
    """Five sides: one has another learning rate, one lacks its package, and one dies when it is timed again."""
    fake_ask.calls.append((kind, command))
    if kind == "gone" and command == "prepare":
        return Answer(missing="torch is not installed")
    if kind == "dies" and fake_ask.calls.count((kind, command)) > 2:
        return Answer(missing="its process ended with exit code -9")
    rate = 1.1e-3 if kind == "wrong" else 1e-3
    return {
        "make": Answer("synthetic"),
        "prepare": Answer({"facts": {"device": "cpu"}, "comparable": True}),
        "compare": Answer(loss_after(20, rate)),
        "measure": Answer(1.0),
        "forget": Answer(),
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
    return rounds.measured(SMALL, fake_ask, tmp_path_factory.mktemp("small"), repeats=3)


def test_a_side_that_does_the_same_work_is_timed_as_often_as_ours(small):
    assert small["sides"][OURS]["values"] == small["sides"]["right"]["values"] == [1.0, 1.0, 1.0]


MISSING = {"wrong": "not the same work: 0.00", "gone": "torch is not installed", "dies": "exit code -9"}


@pytest.mark.parametrize(("name", "words"), MISSING.items(), ids=MISSING)
def test_a_side_is_missing_with_a_reason_where_it(small, name, words):
    assert words in small["sides"][name]["missing"]
    result = {"quick": False, "workloads": {"small": small}}
    (row,) = table.table(result, (Wanted("small", "words", "ratio", name, OURS),))
    assert words in row.verdict


def test_a_side_that_is_set_aside_is_not_timed(small):
    assert fake_ask.calls.count(("wrong", "measure")) == 1  # the first run
    assert ("gone", "measure") not in fake_ask.calls


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
    tiny = Workload("tiny", "s", (), (3, 3), batch=4, full_batch=True)
    problem = problems.Problem(np.zeros((4, 3), "float32"), np.zeros(4, int), [], np.arange(4), "made up")
    tasks = {by: gradients.derivative(problem, tiny, "softmax_jacobian", by) for by in (BY_HAND, AUTODIFF)}
    outcomes = {by: rounds.Outcome(loss=task.run(None)) for by, task in tasks.items()}
    rounds.disagreements(outcomes)
    assert outcomes[AUTODIFF].missing.startswith("not the same work" if wrong else "")
    assert bool(outcomes[AUTODIFF].missing) == bool(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("workload", (*DERIVATIVES[1::3], NORMS), ids=lambda workload: workload.name)
def test_both_sides_of_a_derivative_do_the_same(workload, tmp_path):
    tiny = dataclasses.replace(workload, sizes=(5, 4, 3), batch=6, steps=2)
    problems.make(tiny, tmp_path / "problem.npz")
    problem = problems.load(tmp_path / "problem.npz")
    tasks = [getattr(gradients, one.function.split(":")[1])(problem, tiny, **dict(one.options)) for one in tiny.sides]
    by_hand, autodiff = (task.run(None) for task in tasks if task.comparable)
    assert by_hand == pytest.approx(autodiff, rel=1e-5) != 0
    for task, one in zip(tasks, tiny.sides, strict=True):
        assert task.units == dict(one.options).get("calls", 2)
        assert task.facts["flops"] > 0 <= task.facts["memory"]


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
    workload, path = dataclasses.replace(workload, **smaller), folder / "problem.npz"
    problems.make(workload, path)
    return workload, path


def verdicts(workload, path):
    """What is found of the aims of a workload, from at most three repeats in this process."""
    tasks, values = {}, {one.name: [] for one in workload.sides}
    for one in workload.sides:
        worker._prepare(tasks, one, workload, path)
    for _ in range(min(3, workload.repeats)):
        for name, task in tasks.items():
            values[name].append(worker.measure(task))
    sides = {name: side(*numbers) for name, numbers in values.items()}
    rows = table.table({"quick": False, "workloads": {workload.name: {"sides": sides}}})
    return {row.wanted.numerator: row.verdict for row in rows if row.wanted.bound is not None}


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
    record = rounds.measured(PROGRAMS, rounds.asking(workers := {}), tmp_path, repeats=1)
    for process in workers.values():
        worker.stop(process)
    assert {name: one["values"] for name, one in record["sides"].items()} == {
        "init_params": [3], BACKPROP: [1], AUTODIFF: [1]
    }  # fmt: skip


def test_the_turns_rotate(small):
    timed = [kind for kind, command in fake_ask.calls if command == "measure"][4:]  # after the first runs
    assert timed[:5] == [OURS, "right", "dies", "right", "dies"]


# ---- files and the command


def test_a_result_is_written_and_read_with_its_pictures(tmp_path):
    path = files.result_path(tmp_path, "cpu")
    files.write(path, RESULT)
    assert json.loads(path.read_text(encoding="utf-8"))["workloads"].keys() == RESULT["workloads"].keys()
    assert {p.name for p in tmp_path.iterdir()} == {"benchmark.json", "benchmark-ratios.svg", "benchmark-growth.svg"}


LATER = RESULT | {
    "versions": {"python": "3.11.7", "torch": "not installed"},
    "workloads": {EAGER_CALL.name: {"sides": {BACKPROP: side(1.0)}}},
}


def test_new_workloads_join_the_recorded_ones(tmp_path):
    path = tmp_path / "benchmark-cpu.json"
    recorded = RESULT | {"workloads": {EPOCHS[0].name: "old", EAGER_CALL.name: "old", "gone": "old"}}
    files.write_json(path, recorded)
    workloads = {EPOCHS[0].name: "old", EAGER_CALL.name: LATER["workloads"][EAGER_CALL.name]}
    assert files.merged(path, LATER) == recorded | {"workloads": workloads}


NOT_JOINED = {  # what is recorded, what is new, the words
    "nothing is recorded": (None, {}, "expected a recorded result"),
    "another machine": ({"cores": 64}, {}, "expected cores 64, as recorded, got 2"),
    "another version": ({}, {"versions": {"python": "3.13.0"}}, "expected python 3.11.7, as recorded, got 3.13.0"),
    "a missing side": ({}, {"workloads": RESULT["workloads"]}, "epoch: gone: torch is not installed"),
}


@pytest.mark.parametrize(("recorded", "new", "words"), NOT_JOINED.values(), ids=NOT_JOINED)
def test_a_result_does_not_join_the_recorded_one_with(recorded, new, words, tmp_path):
    path = tmp_path / "benchmark-cpu.json"
    if recorded is not None:
        files.write_json(path, RESULT | recorded)
    with pytest.raises(ValueError, match=words):
        files.merged(path, LATER | new)


@pytest.mark.parametrize("name", ["benchmark-cpu.json", "benchmark-gpu.json"])
def test_the_recorded_result_is_whole(name):
    path = questions.RESULTS / name
    if not path.exists():
        pytest.skip(f"{name} is not recorded")
    result = json.loads(path.read_text(encoding="utf-8"))
    rows = table.table(result)
    assert len(rows) == len(WANTED)
    assert all(len(table.cells(row)) == len(table.COLUMNS) for row in rows)
    assert not result["quick"] and not result["left out"]
    for workload in result["workloads"].values():
        assert {len(side["values"]) for side in workload["sides"].values() if "values" in side} <= {workload["repeats"]}


def test_the_table_is_shown(capsys):
    command.show(RESULT, times=True)
    shown = capsys.readouterr().out
    assert "torch is not" in shown and "[benchmark]" in shown and "made up" in shown


@pytest.mark.slow
def test_the_other_experiments_do_not_load_the_benchmark():
    code = "import sys, experiments.command; print('experiments.benchmark' in sys.modules)"
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
    result = json.loads(Path(path).read_text(encoding="utf-8"))
    sides = result["workloads"]["steps 2-32-32-2"]["sides"]
    assert {len(side["values"]) for side in sides.values()} == {3}
    losses = [side["loss"] for side in sides.values() if side["loss"] is not None]
    assert len(losses) == len(sides) - 1  # the matrix products have none
    assert max(losses) - min(losses) < rounds.TOLERANCE * min(losses)


@pytest.mark.slow
def test_a_worker_that_dies_gives_a_reason():
    process = worker.start("scikit-learn")
    process.process.kill()
    assert "exit code" in worker.ask(process, "forget").missing


@pytest.mark.slow
@pytest.mark.parametrize("package", ["flax", "torch"])
def test_a_package_that_is_missing_gives_a_reason(package, tmp_path):
    """A module of that name that cannot be imported stands before the real one."""
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})", encoding="utf-8")
    kind, function = {"flax": ("flax", "per_step:with_flax"), "torch": ("pytorch", "pytorch:training")}[package]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)  # which a spawned process inherits
        process = worker.start(kind)
    path = tmp_path / "problem.npz"
    np.savez(path, x=np.zeros((4, 2), "float32"), labels=np.zeros(4, int), order=np.arange(4), source="made up")
    one = Workload("one", "s", (), (2, 2), batch=4, full_batch=True)
    answer = worker.ask(process, "prepare", Side("one", kind, function), one, path)
    worker.stop(process)
    assert f"{package} is not installed: pip install" in answer.missing
