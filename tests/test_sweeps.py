"""Sweeps against `train`, run by run; and what is promised about programs, memory, folders and errors."""

import csv
import dataclasses
import functools
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

import mlp_jax
from mlp_jax import backprop, sweep, train
from mlp_jax.sweeps import _folder as folder_of_chunks
from mlp_jax.sweeps import _host_loop, _memory, _program
from mlp_jax.sweeps import _settings as sweep_settings

N = 11  # not a multiple of 4: the last batch is short
SIZES = (3, 5, 4)


def examples(n=N, seed=0):
    """Points x (n, 3) and labels in [0, 4) that softmax regression can learn."""
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return x, (x[:, 0] > x[:, 1]) + 2 * (x[:, 2] > 0)


DATA, VALIDATION = examples(), examples(7, seed=1)
COMMON = dict(data=DATA, epochs=2, batch_size=N, hidden=(), classes=4)  # softmax regression: quick to compile
FULL = COMMON | dict(batch_size=4, hidden=(5,))
RATE = {"learning_rate": 0.1}


def alone(
    init_seed=0, order_seed=None, rate=0.1, gain=1.0, data=DATA, sizes=SIZES, activation=mlp_jax.relu, **settings
):
    """One run by `train`, as the documentation of sweep's names says that it starts."""
    key_params, _ = jax.random.split(jax.random.key(init_seed))
    _, key_order = jax.random.split(jax.random.key(init_seed if order_seed is None else order_seed))
    params = mlp_jax.init_params(key_params, sizes, activation)
    params = tuple(mlp_jax.Layer(gain * weight, bias) for weight, bias in params)
    settings = dict(epochs=2, batch_size=4, optimizer=optax.adam, hyperparameters=RATE) | settings
    return train(key_order, params, data, activation=activation, **settings)._replace(state=None)  # as in a sweep


def subset(seed, count):
    chosen = np.asarray(jax.random.permutation(jax.random.key(seed), N))[:count]
    return tuple(a[chosen] for a in DATA)


assert_close = partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-6)
assert_equal = chex.assert_trees_all_equal


def rows(result, *indices):
    return [result.run(i) for i in indices]


# A run is the same run alone


def first_bias(params, x, targets):
    return {"bias": params[0].bias, "sum": jnp.sum(x)}


ALL_SETTINGS = dict(seed=7, init_seed=3, order_seed=1, gain=0.5, examples=8, subset_seed=5)
MIXED = [{"seed": 1, "examples": 8} | RATE, {"examples": 8, "learning_rate": 1e30}, ALL_SETTINGS | RATE]


@pytest.fixture(scope="module")
def mixed():
    """Three runs of one shape, of which the second diverges."""
    return sweep(MIXED, validation=VALIDATION, record=first_bias, **FULL)


def test_a_run_is_what_train_gives_for_its_settings(mixed):
    settings = dict(validation=VALIDATION, record=first_bias)
    assert_close(mixed.run(0), alone(1, data=subset(1, 8), **settings))
    assert_close(mixed.run(-1), alone(3, order_seed=1, gain=0.5, data=subset(5, 8), **settings))
    assert mixed.settings[1]["seed"] == 0 and mixed.settings[2]["activation"] is mlp_jax.relu
    assert not np.allclose(mixed.history.train_loss[0], mixed.history.train_loss[2], rtol=1e-3)


SETTINGS = {  # one run's settings in a sweep, and the same run alone
    "init seed": (dict(init_seed=3, order_seed=1), dict(init_seed=3, order_seed=1)),
    "order seed": (dict(seed=3, order_seed=1), dict(init_seed=3, order_seed=1)),
    "gain": (dict(seed=3, gain=0.5), dict(init_seed=3, gain=0.5)),
    "a large seed": (dict(seed=2**32 - 1), dict(init_seed=2**32 - 1)),
    "examples": (dict(seed=3, examples=8), dict(init_seed=3, data=subset(3, 8))),
    "subset seed": (dict(seed=3, examples=8, subset_seed=5), dict(init_seed=3, data=subset(5, 8))),
    "no hidden layer": (dict(hidden=()), dict(sizes=(3, 4))),
    "activation": (dict(activation="tanh"), dict(activation=mlp_jax.tanh)),
    "batch size": (dict(batch_size=N), dict(batch_size=N)),
    "optimizer's": (dict(b1=0.5), dict(hyperparameters={"learning_rate": 0.1, "b1": 0.5})),
}


@pytest.mark.slow
@pytest.mark.parametrize(("run", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_means_what_is_said(float64, run, expected):
    result = sweep([run | RATE, {"seed": 9} | RATE], **FULL).run(0)
    chex.assert_trees_all_close(result, alone(**expected), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_runs_of_many_shapes_come_back_in_their_order():
    grid = {"hidden": [(5,), ()], "seed": range(2), "examples": [8, N]}
    result = sweep(grid, hyperparameters=RATE, validation=VALIDATION, record=first_bias, **FULL)
    assert len(result.settings) == 8 and len(result.groups) == 4
    for i, run in enumerate(result.settings):
        expected = alone(
            run["seed"],
            data=DATA if run["examples"] == N else subset(run["seed"], 8),
            sizes=(3, *run["hidden"], 4),
            activation=run["activation"],
            validation=VALIDATION,
            record=first_bias,
        )
        assert_close(result.run(i), expected)


def test_a_diverged_run_touches_no_other(mixed):
    runs = [MIXED[0], MIXED[1] | RATE, MIXED[2]]
    same = sweep(runs, validation=VALIDATION, record=first_bias, **FULL)
    assert not np.isfinite(mixed.history.train_loss[1, -1])
    assert_equal(rows(mixed, 0, 2), rows(same, 0, 2))
    chex.assert_tree_all_finite(same.history)


# Programs


@pytest.mark.slow
def test_other_values_and_data_trace_nothing():
    chex.clear_trace_counter()
    gradient = chex.assert_max_traces(backprop, n=2)  # for the shapes of the results, and to compile
    for i in range(3):
        grid = {"seed": range(i, i + 2), "learning_rate": [0.1 + i, 0.2], "gain": [1, 2 + i]}
        x, labels = examples(seed=i)
        result = sweep(grid, **COMMON | dict(data=(x, labels)), gradient=gradient, memory=1e9)
        chex.assert_tree_all_finite(result.history.train_loss)
    with pytest.raises(AssertionError, match="traced > 2 times"):
        sweep(RATE_GRID, **COMMON | dict(batch_size=5), gradient=gradient)


RATE_GRID = {"learning_rate": [0.1]}


MEMORY_FOR_TWO = 3_500
ALONE = dict(sizes=(3, 4), batch_size=N)


def chunked(count, **settings):
    """A sweep and its calls of progress."""
    calls = []
    grid = {"seed": range(count), "learning_rate": [0.1]}
    return sweep(grid, progress=lambda *call: calls.append(call), **COMMON | settings), calls


@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_few_runs(count):
    result, calls = chunked(count)
    assert calls[-1] == (count, count)
    assert result.history.train_loss.shape == (count, 2)
    assert_close(result.run(-1), alone(count - 1, **ALONE))


ON_DEVICES = """
import sys, jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import test_sweeps as tests
grid = {"seed": range(7), "hidden": [(), (5,)], "learning_rate": [0.1]}
tests.sweep(grid, **tests.COMMON, log=print).write_npz(sys.argv[2])
"""


@pytest.mark.slow
def test_runs_on_three_devices_are_those_on_one(tmp_path):
    for devices in (1, 3):
        command = [sys.executable, "-c", ON_DEVICES, str(devices), str(tmp_path / f"{devices}.npz")]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", check=True)
        assert "group 2 of 2: 7 runs" in done.stdout
    with np.load(tmp_path / "1.npz") as one, np.load(tmp_path / "3.npz") as three:
        assert set(one) == set(three)
        for name in one:
            if one[name].dtype.kind == "f":
                np.testing.assert_allclose(three[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)


COSTS = {  # runs, free bytes; runs at once on 2 devices, and in a chunk
    "one run": (1, 10**9, (1, 1, 1)),
    "fewer than the cache takes": (100, 10**9, (2, 50, 100)),
    "many": (10_000, 10**9, (2, 64, 384)),
    "not divisible": (9, 10**9, (2, 5, 10)),
    "memory for 10 runs": (1000, 10 * 4200, (2, 5, 10)),
    "memory for one": (1000, 4200, (1, 1, 1)),
}


@pytest.mark.parametrize(("count", "free", "expected"), COSTS.values(), ids=COSTS)
def test_the_plan(count, free, expected):
    devices = 2 * jax.devices()
    cost = _memory.RunBytes(step=4000, rest=100, result=100)
    plan = _memory.plan(count, count, cost, free, devices)
    assert (len(plan.devices), plan.at_once, plan.chunk) == expected
    assert plan.chunk % (len(plan.devices) * plan.at_once) == 0
    assert plan.starts[-1] < count <= plan.starts[-1] + plan.chunk


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "expected"),
    [("700\n", 500), ("5000\n", 1000), ("max\n", 1000), (None, 1000)],
    ids=["container below machine", "container above machine", "container without limit", "no container"],
)
def test_free_memory_is_the_machines_or_its_containers(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "used").write_text("200\n", encoding="utf-8")
    if limit is not None:
        (tmp_path / "limit").write_text(limit, encoding="utf-8")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    monkeypatch.setattr(_memory, "CONTAINER_FILES", [(tmp_path / "limit", tmp_path / "used")])
    assert _memory.free_memory(jax.devices("cpu")) == expected


def test_less_memory_takes_more_chunks_and_gives_the_same(monkeypatch):
    monkeypatch.setattr(_memory, "CHUNKS", 2)
    lines = []
    (result, calls), (small, small_calls) = chunked(5), chunked(5, memory=MEMORY_FOR_TWO, log=lines.append)
    assert calls == [(5, 5)]
    assert small_calls == [(2, 5), (4, 5), (5, 5)]  # the last chunk is filled up by a repeat
    assert_close(rows(small, *range(5)), rows(result, *range(5)))
    assert "5 runs in 1 groups; their results take" in lines[0] and f"of {MEMORY_FOR_TWO / 1000:.1f} kB" in lines[0]
    assert "group 1 of 1: 5 runs of 3-4 relu, batch 11, 11 examples" in lines[1] and "1 at once" in lines[1]


def test_histories_come_back_in_the_order_of_the_runs():
    groups = [sweep_settings.Group(None, indices, None) for indices in ((0, 3), (1,), (2,))]
    held = [
        mlp_jax.TrainResult(None, mlp_jax.History(np.array(group.indices)[:, None], None, None), None)
        for group in groups
    ]
    assert _host_loop._assembled(({},) * 4, groups, held).history.train_loss.ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(256,), (512, 512)], ids=str)
def test_the_estimate_of_memory_is_near_what_the_compiled_program_takes(hidden):
    seen, program_of = [], _program.program_of
    x, labels = np.zeros((256, 100), "float32"), np.arange(256) % 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host_loop, "program_of", lambda *of_group: seen.append(of_group) or program_of(*of_group))
        sweep({"seed": range(2), "learning_rate": [0.1]}, (x, labels), hidden=hidden, epochs=1, batch_size=128)
    (group, plan, shared) = seen[0]
    chunk = jax.tree.map(lambda a: a[: plan.chunk], group.runs)
    program = partial(_program.run_many, shape=group.shape, at_once=plan.at_once, devices=plan.devices)
    lowered = jax.jit(program).lower(chunk, shared)
    measured = lowered.compile().memory_analysis().temp_size_in_bytes / plan.at_once
    cost = _memory.run_bytes(group, shared)
    assert 0.5 < (cost.step + cost.rest) / measured < 2


# What is recorded, and tables


def a_result():
    """A result of three runs in two groups, as a sweep would return it, of plain numbers."""
    bias, nan, inf = np.arange(20.0).reshape(2, 10), np.nan, np.inf
    settings = [
        {"seed": 1, "hidden": (5, 4), "activation": mlp_jax.tanh, "learning_rate": 0.1},
        {"seed": 2, "hidden": (), "activation": mlp_jax.relu, "learning_rate": 0.2, "b1": 0.5},
        {"seed": 3, "hidden": (5, 4), "activation": mlp_jax.tanh, "learning_rate": 0.3},
    ]
    losses, accuracies = np.array([[2.0, 1, 0.5], [3, inf, nan], [nan, 4, 5]]), np.arange(9.0).reshape(3, 3) % 4 / 4
    return mlp_jax.SweepResult(
        settings=tuple(settings),
        history=mlp_jax.History(losses, 2 * losses, accuracies),
        groups=((0, 2), (1,)),
        params=((mlp_jax.Layer(bias[:, :, None], bias),), (mlp_jax.Layer(bias[:1, :, None] + 50, bias[:1] + 50),)),
        recorded=({"bias": bias + 100}, {"bias": bias[:1] + 200}),
    )


def test_a_run_comes_from_its_place_in_its_group():
    run, result = a_result().run(2), a_result()
    assert run.params[0].bias[0] == 10 and run.recorded["bias"][0] == 110
    assert_equal(run.history.train_loss, result.history.train_loss[2])
    assert result.run(1).params[0].bias[0] == 50 and result.run(-2).recorded["bias"][0] == 200


def test_the_table_and_the_files(tmp_path):
    result = a_result()
    table = result.table()
    assert table["hidden"].tolist() == ["5-4", "", "5-4"] and table["activation"].tolist() == ["tanh", "relu", "tanh"]
    assert table["diverged_epoch"].tolist() == [0, 2, 1]
    assert table["best_validation_accuracy"].tolist() == [0.5, 0.75, 0.75]
    assert table["validation_accuracy"].tolist() == [0.5, 0.25, 0.0]
    result.write_csv(tmp_path / "t.csv")
    result.write_npz(tmp_path / "t.npz")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        first, second, _ = csv.DictReader(file)
    assert [first[name] for name in ("seed", "hidden", "b1", "train_loss")] == ["1", "5-4", "nan", "0.5"]
    assert [second[name] for name in ("seed", "hidden", "b1", "train_loss")] == ["2", "", "0.5", "nan"]
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert_equal(file["history.train_loss"], result.history.train_loss)
        assert_equal(file["group1.params[0].weight"], result.params[1][0].weight)
        assert_equal(file["group0.recorded['bias']"], result.recorded[0]["bias"])
        assert file["group0.runs"].tolist() == [0, 2]
        assert file["learning_rate"].tolist() == [0.1, 0.2, 0.3]


def test_a_table_without_validation_holds_nan():
    result = a_result()
    history = mlp_jax.History(result.history.train_loss, None, None)
    table = dataclasses.replace(result, history=history).table()
    assert np.isnan([table["validation_loss"], table["best_validation_accuracy"]]).all()


def test_a_run_that_is_not_there():
    with pytest.raises(IndexError):
        a_result().run(3)


@pytest.mark.slow
def test_bfloat16(tmp_path):
    settings = COMMON | dict(dtype="bfloat16", validation=VALIDATION)
    result = sweep(RATE_GRID, **settings, folder=tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(result.params)} == {jnp.dtype("bfloat16")}
    assert_equal(sweep(RATE_GRID, **settings, folder=tmp_path).run(0), result.run(0))
    result.write_npz(tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz", allow_pickle=False) as file:
        assert file["group0.params[0].bias"].dtype == np.float32


# Folders


def interrupted_after(chunks):
    """A progress that a user stops after so many chunks."""
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) == chunks:
            raise KeyboardInterrupt

    return progress


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on(tmp_path, monkeypatch):
    settings = COMMON | dict(memory=2_000, folder=tmp_path / "new" / "folder")
    grid = {"seed": range(5), "learning_rate": [0.1]}
    with pytest.raises(KeyboardInterrupt):
        sweep(grid, **settings, progress=interrupted_after(3))
    files = sorted(settings["folder"].iterdir())
    assert len(files) == 3 and {file.suffix for file in files} == {".npz"}
    files[0].write_bytes(files[0].read_bytes()[:100])  # damaged
    (settings["folder"] / "notes.txt").write_text("mine", encoding="utf-8")
    (settings["folder"] / "mine.npz").write_text("no archive", encoding="utf-8")
    saved = []
    save = folder_of_chunks.save
    monkeypatch.setattr(folder_of_chunks, "save", lambda *chunk: saved.append(chunk) or save(*chunk))
    result = sweep(grid, **settings)
    assert len(saved) == 3  # the damaged one and two that were not done
    again = sweep(grid, **settings)
    assert len(saved) == 3
    fresh = sweep(grid, **settings | dict(folder=None))
    assert_equal((again.history, again.params), (result.history, result.params))
    assert_equal((again.history, again.params), (fresh.history, fresh.params))
    assert (settings["folder"] / "notes.txt").read_text(encoding="utf-8") == "mine"


def scaled(scale, params, x, targets, activation, loss):
    value, gradients = backprop(params, x, targets, activation, loss)
    return value, jax.tree.map(lambda g: scale * g, gradients)


X, LABELS = DATA
OTHERS = {  # what decides numbers
    "other seeds": dict(runs={"seed": [1], "learning_rate": [0.1]}),
    "another rate": dict(runs={"learning_rate": [0.2]}),
    "another subset": dict(runs=[RATE | {"subset_seed": 1}]),
    "other data": dict(data=(X + 1e-6, LABELS)),
    "other targets": dict(data=(X, LABELS[::-1])),
    "other validation": dict(validation=examples(7, seed=2)),
    "no validation": dict(validation=None),
    "more epochs": dict(epochs=3),
    "another batch size": dict(batch_size=5),
    "no shuffle": dict(shuffle=False),
    "another width": dict(hidden=(6,)),
    "another activation": dict(activation="tanh"),
    "another loss": dict(loss=mlp_jax.squared_error),
    "another optimizer": dict(optimizer=optax.sgd),
    "an argument of the optimizer": dict(optimizer=partial(optax.adam, nesterov=True)),
    "another gradient": dict(gradient=mlp_jax.autodiff),
    "a gradient's array": dict(gradient=Partial(scaled, jnp.float32(2.0))),
    "a record": dict(record=first_bias),
    "another dtype": dict(dtype="bfloat16"),
}


def names_of_chunks(monkeypatch, folder, **settings):
    """The names that a sweep would give its chunks, without running it."""
    seen = []

    class Stop(Exception):
        pass

    def load(path, name, like):
        seen.append(name)
        raise Stop

    monkeypatch.setattr(folder_of_chunks, "load", load)
    with pytest.raises(Stop):
        sweep(**dict(runs=RATE_GRID, validation=VALIDATION, folder=folder) | COMMON | settings)
    return seen


@pytest.mark.slow
def test_all_that_decides_the_numbers_decides_the_name(tmp_path, monkeypatch):
    name = partial(names_of_chunks, monkeypatch, tmp_path)
    assert name() == name() == name(data=tuple(map(jnp.asarray, DATA)), memory=2e8)
    different = {case: name(**changed)[0] for case, changed in OTHERS.items()} | {"first": name()[0]}
    different |= {"an array's value": name(gradient=Partial(scaled, jnp.float32(3.0)))[0]}
    different |= {"version": None}
    monkeypatch.setattr(jax, "__version__", "0.0.0")  # our own version is in the hash of our files
    different["version"] = name()[0]
    assert len(set(different.values())) == len(OTHERS) + 3, different


def made_inside():
    def gradient(params, x, targets, activation, loss):
        return backprop(params, x, targets, activation, loss)

    return gradient


class Clip(NamedTuple):
    limit: float

    def gradient(self, params, x, targets, activation, loss):
        return backprop(params, x, targets, activation, loss)


@functools.wraps(backprop)
def wrapped(*args, **keywords):
    return backprop(*args, **keywords)


squares = mlp_jax.squared_error
in_one = mlp_jax.Loss(squares.value, squares.logits_gradient, "own", lambda z, t: (jnp.sum(z), z))
cube = mlp_jax.Activation(lambda z: z**3, lambda z: 3 * z**2, name="cube")
UNKNOWABLE = {
    "record": dict(record=lambda params, x, targets: 0),
    "gradient": dict(gradient=made_inside()),
    "gradient of an object": dict(gradient=Clip(0.1).gradient),
    "gradient in a wrapper": dict(gradient=wrapped),
    "loss in one function": dict(loss=in_one),
    "optimizer": dict(optimizer=optax.adam(0.1), runs=[{}]),
    "activation": dict(activation=cube),
    "loss": dict(loss=mlp_jax.Loss(lambda z, t: jnp.sum(z), lambda z, t: jnp.ones_like(z), name="cross_entropy")),
}


@pytest.mark.parametrize(("name", "changed"), UNKNOWABLE.items(), ids=UNKNOWABLE)
def test_a_folder_refuses_what_it_cannot_tell_from_another(name, changed, tmp_path):
    with pytest.raises(ValueError, match=rf"^{name.split()[0]}: expected a f.* since folder is given, got"):
        sweep(**dict(runs=RATE_GRID, folder=tmp_path) | COMMON | changed)


def test_a_function_is_known_by_all_of_its_file(tmp_path, monkeypatch):
    module = tmp_path / "of_a_user.py"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("SCALE = 1\ndef record(params, x, targets):\n    return SCALE\n", encoding="utf-8")
    import of_a_user

    before = folder_of_chunks.identity("record", of_a_user.record)
    assert before == folder_of_chunks.identity("record", of_a_user.record)
    module.write_text(module.read_text(encoding="utf-8").replace("1", "2"), encoding="utf-8")
    assert before != folder_of_chunks.identity("record", of_a_user.record)


# Errors

BAD = {  # changed arguments, the error, and what its words must hold
    "an empty list": (dict(runs=[]), ValueError, "runs: expected at least one run, got an empty list"),
    "an empty value": (dict(runs={"seed": []}), ValueError, r"runs\['seed'\]: expected at least one value, got none"),
    "a value alone": (dict(runs={"seed": 3}), TypeError, r"runs\['seed'\]: expected a list of values, got 3; .*\[3\]"),
    "a name alone": (dict(runs={"activation": "relu"}), TypeError, r"expected a list of values, got 'relu'"),
    "runs is a number": (dict(runs=3), TypeError, "runs: expected a grid.* got int"),
    "a run is a number": (dict(runs=[3]), TypeError, r"runs\[0\]: expected a mapping"),
    "unknown name": (
        dict(runs=[RATE, RATE | {"lerning_rate": 1}]),
        ValueError,
        r"runs\[1\]: expected names among seed, .*and the optimizer's learning_rate, b1.*did you mean 'learning_rate'",
    ),
    "no rate": (
        dict(runs=[{}], optimizer=optax.adam), ValueError, "hyperparameters: expected .*missing .*'learning_rate'"
    ),
    "a rate that is text": (dict(runs=[{"learning_rate": "0.1"}]), ValueError, "expected a finite number, got '0.1'"),
    "a rate that is not finite": (dict(runs=[{"learning_rate": np.inf}]), ValueError, "a finite number, got inf"),
    "a rate too large for the dtype": (
        dict(runs=[{"learning_rate": 1e300}]),
        ValueError,
        "learning_rate: expected a finite number in float32, got 1e\\+300",
    ),
    "a flag of the factory": (dict(runs=[RATE | {"nesterov": True}]), ValueError, "got True; .*functools.partial"),
    "a rate of a ready transformation": (
        dict(optimizer=optax.adam(0.1)),
        ValueError,
        r"runs\[0\]: expected names among .* got 'learning_rate'; give a factory",
    ),
    "shared rate of a ready transformation": (
        dict(optimizer=optax.adam(0.1), runs=[{}], hyperparameters=RATE),
        ValueError,
        "hyperparameters: expected a factory",
    ),
    "a negative seed": (dict(runs=[RATE | {"seed": -1}]), ValueError, r"runs\[0\]\['seed'\]: expected .*at least 0"),
    "half a seed": (dict(runs=[RATE | {"order_seed": 0.5}]), TypeError, r"runs\[0\]\['order_seed'\]: expected"),
    "more examples than there are": (dict(runs=[RATE | {"examples": 12}]), ValueError, "at most the 11 examples"),
    "width 0": (dict(hidden=(0,)), ValueError, r"'hidden'\]: expected .*at least 1, got 0"),
    "a width alone": (dict(runs=[RATE | {"hidden": 5}]), TypeError, "'hidden'.*expected a tuple of widths"),
    "unknown activation": (
        dict(runs=[RATE | {"activation": "rleu"}]),
        ValueError,
        "'activation'.*one of .*did you mean 'relu'",
    ),
    "labels beyond the classes": (dict(classes=2), ValueError, r"data targets: expected labels in \[0, 2\)"),
    "data without targets": (dict(data=X), TypeError, r"data: expected \(x, targets\)"),
    "validation of another width": (dict(validation=(X[:, :2], LABELS)), ValueError, r"validation x: expected .*3"),
    "x that is not finite": (dict(data=(X * np.nan, LABELS)), ValueError, "data x: expected finite numbers, got nan"),
    "no memory for results": (dict(memory=10), ValueError, "memory: expected .* for the results of 1 runs, got 0.0 kB"),
    "no memory for a run": (dict(memory=400), ValueError, "memory: expected at least .* for one run at a time"),
    "no epochs": (dict(epochs=0), ValueError, "epochs: expected .*at least 1"),
    "log is no function": (dict(log=3), TypeError, "log: expected a function"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "error", "words"), BAD.values(), ids=BAD)
@pytest.mark.usefixtures("no_annotation_checks")
def test_the_error_says_what_is_wrong_with(changed, error, words):
    with pytest.raises(error, match=words):
        sweep(**dict(runs=RATE_GRID) | COMMON | changed)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"folder: expected a folder, got .*file"):
        sweep(RATE_GRID, **COMMON, folder=tmp_path / "file")


@pytest.mark.usefixtures("no_annotation_checks")
def test_not_under_jit():
    with pytest.raises(ValueError, match="sweep: expected to be called outside jit"):
        jax.jit(lambda x: sweep(RATE_GRID, (x, LABELS)))(X)
