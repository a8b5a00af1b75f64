"""`mlp-jax sweep` as a user meets it: what it prints, writes and returns."""

import csv
import os
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from commands import full_disk, run, run_process
from test_command_line import assert_fails, number

import mlp_jax
from mlp_jax import datasets
from mlp_jax.command_line._sweep import claim
from mlp_jax.command_line._sweep_table import Row, best_of
from mlp_jax.sweeps import SweepResult
from mlp_jax.sweeps import _folder as folder_of_chunks
from mlp_jax.training import History

SMALL = ("sweep", "--seeds", "2", "--hidden", "4", "--batch-size", "2000")  # full batches: quick to compile
RATES = (*SMALL, "--epochs", "2", "--learning-rate", "0.001", "0.1", "1e30", "--optimizer", "sgd", "--memory", "1")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three rates, of which one learns most and one diverges."""
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    done = run(*RATES, "--folder", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.mark.slow
def test_the_summary_says_what_was_chosen_and_how(swept):
    folder, output = swept
    assert f"finished runs are kept in {folder}\n" in output
    assert "6 runs of 64-4-10 relu, batch 2000" in output
    lines = {line.split()[0]: line.split() for line in output.splitlines() if line.strip()[:1].isdigit()}
    assert [lines[rate][-1] for rate in ("0.001", "0.1", "1e+30")] == ["2", "best", "2"]
    assert lines["1e+30"][-3:] == ["2", "of", "2"] and lines["0.1"][-4:] == ["0", "of", "2", "best"]
    assert "chosen by the median validation accuracy: learning rate 0.1" in output
    assert number(output, "test accuracy") > 5
    assert re.search(r"run 4 diverged: epoch \d, step 1 of 1 .* is the first that is not finite", output)


@pytest.mark.slow
def test_the_table_holds_every_run(swept):
    folder, output = swept
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["learning_rate"], row["seed"]) for row in rows[:3]] == [("0.001", "0"), ("0.001", "1"), ("0.1", "0")]
    median = 100 * np.median([float(row["validation_accuracy"]) for row in rows[2:4]])
    assert f"{median:.2f}" in next(line for line in output.splitlines() if line.endswith("best"))
    with np.load(folder / "table.npz", allow_pickle=False) as file:
        assert file["history.validation_accuracy"].shape == (6, 2)
    assert (folder / "plot.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_best_is_best_after_the_last_epoch():
    fast, slow = np.array([[90.0, 90, 60]] * 3), np.array([[10.0, 20, 70]] * 3)
    rows = [Row({}, 0, fast, 0.1, 0), Row({}, 3, slow, 0.2, 0), Row({}, 6, slow, 0.1, 0)]
    assert best_of(rows) is rows[2]


@pytest.mark.slow
def test_a_run_is_the_run_of_mlp_jax_train_with_that_seed(swept):
    digits = datasets.load("digits")
    key_params, key_run = jax.random.split(jax.random.key(1))
    params = mlp_jax.init_params(key_params, (64, 4, 10))
    settings = dict(epochs=2, batch_size=2000, optimizer=optax.sgd)
    result = mlp_jax.train(key_run, params, digits.train, **settings, hyperparameters={"learning_rate": 0.1})
    with np.load(swept[0] / "table.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["history.train_loss"][3], result.history.train_loss, rtol=1e-5)


@pytest.mark.slow
def test_the_same_command_computes_nothing_again(swept, monkeypatch):
    folder, output = swept
    monkeypatch.setattr("mlp_jax.sweeps._host_loop.program_of", lambda *of_group: None)  # nothing that could be called
    assert run(*RATES, "--folder", folder).stdout == output


@pytest.mark.slow
def test_another_sweep_takes_another_folder(swept):
    table = (swept[0] / "table.csv").read_bytes()
    done = run(*RATES, "--folder", swept[0], "--loss", "squared_error")
    assert_fails(done, "of a sweep with loss cross_entropy")
    assert (swept[0] / "table.csv").read_bytes() == table


@pytest.mark.slow
def test_without_matplotlib_it_says_what_to_install(swept, monkeypatch):
    monkeypatch.delitem(sys.modules, "mlp_jax.command_line._sweep_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(*RATES, "--folder", swept[0])
    assert done.returncode == 0
    assert "no plot: it needs matplotlib: pip install 'mlp_jax[experiments]'" in done.stdout
    assert "plot.svg" not in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_one_setting_is_plotted_by_epoch(tmp_path):
    done = run(*SMALL, "--epochs", "2", "--folder", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "chosen" not in done.stdout
    assert number(done.stdout, "test accuracy") > 5
    assert (tmp_path / "runs" / "plot.svg").exists()


@pytest.mark.slow
def test_every_flag_in_a_process_of_its_own(tmp_path):
    flags = ("--hidden", "8", "4", "--hidden", "--activation", "relu", "tanh", "--batch-size", "64")
    flags += ("--gain", "0.5", "1", "--examples", "500", "--optimizer", "adamw", "--weight-decay", "0.01")
    flags += ("--dtype", "float64", "--loss", "squared_error", "--gradient", "autodiff", "--memory", "1")
    done = run_process(
        "sweep", "--seeds", "2", "--epochs", "2", *flags, "--folder", tmp_path / "runs", PYTHONIOENCODING="cp949"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "16 runs in 4 groups" in done.stdout
    assert "group 1 of 4: 4 runs of 64-8-4-10 relu, batch 64, 500 examples" in done.stdout
    assert re.search(r"hidden +activation +gain +validation accuracy", done.stdout)


@pytest.mark.slow
def test_interrupt_keeps_what_is_finished(tmp_path):
    """Ctrl-C in the middle: at once, status 130, two chunks or more are kept, and the same command goes on."""
    arguments = ["sweep", "--seeds", "200", "--epochs", "20", "--hidden", "8", "--folder", str(tmp_path / "runs")]
    command = [sys.executable, "-u", "-m", "mlp_jax", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    next(line for line in process.stdout if line.startswith("group"))
    while len(list((tmp_path / "runs").glob("*.npz"))) < 2:
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip().startswith("interrupted; ") and "the same command goes on" in stderr
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.npz")}
    done = run_process(*arguments)
    assert done.returncode == 0, done.stderr
    assert {name: (tmp_path / "runs" / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.parametrize(
    "flags, words",
    {
        "unknown data": (("--data", "digts"), ("digts", "did you mean 'digits'")),
        "no seeds": (("--seeds", "0"), ("seeds", "at least 1", "0")),
        "negative rate": (("--learning-rate", "0.1", "-1"), ("learning-rate", "above 0", "-1")),
        "unknown activation": (("--activation", "relu", "rleu"), ("activation", "one of", "tanh", "'relu'?")),
        "width 0": (("--hidden", "8", "--hidden", "8", "0"), ("hidden", "at least 1", "0")),
        "batch 0": (("--batch-size", "0"), ("batch-size", "at least 1")),
        "epochs 0": (("--epochs", "0"), ("epochs", "at least 1")),
        "gain": (("--gain", "nan"), ("gain", "above 0", "nan")),
        "too many examples": (("--examples", "5000"), ("examples", "at most the 1259 examples")),
        "unknown optimizer": (("--optimizer", "adm"), ("optimizer", "did you mean 'adam'")),
        "weight decay without adamw": (("--weight-decay", "1"), ("--weight-decay needs --optimizer adamw, got adam",)),
        "unknown loss": (("--loss", "hinge"), ("loss", "hinge", "cross_entropy")),
        "memory": (("--memory", "1e-6"), ("memory", "for the results of 10 runs")),
        "folder is a file": (("--folder", "text.csv"), ("folder", "text.csv, a file")),
        "folder of other things": (("--folder", "."), ("folder", "with other files", "new name")),
        "folder is a device": (("--folder", os.devnull), ("folder", "a file")),
        "no values": (("--learning-rate",), ("learning-rate", "at least one value", "none")),
    }.values(),
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)  # fmt: skip
def test_mistakes(flags, words, tmp_path, monkeypatch):
    (tmp_path / "text.csv").write_text("a,b\n1,x\noops,y\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert_fails(run("sweep", *flags), *words)


REQUEST = {"data": ["digits"], "learning-rate": ["0.1"], "seeds": ["0", "1"]}


@pytest.mark.parametrize(
    ("changed", "words"),
    {
        "the same": ({}, ""),
        "more seeds": ({"seeds": ["0", "1", "2"]}, ""),
        "one more rate": ({"learning-rate": ["0.01", "0.1"]}, ""),
        "fewer seeds": ({"seeds": ["0"]}, "seeds 1"),
        "another rate": ({"learning-rate": ["0.01"]}, "learning-rate 0.1"),
        "other data": ({"data": ["mnist"]}, "data digits"),
    }.values(),
    ids=["the same", "more seeds", "one more rate", "fewer seeds", "another rate", "other data"],
)
def test_a_folder_takes_its_own_sweep_and_more_runs(changed, words, tmp_path):
    folder = tmp_path / "runs"
    claim(folder, REQUEST | {"data": ["a sweep that kept nothing"]})
    claim(folder, REQUEST)
    (folder / "table.csv").write_text("numbers", encoding="utf-8")
    if not words:
        claim(folder, REQUEST | changed)
        claim(folder, REQUEST | changed)
        return
    with pytest.raises(ValueError, match=f"^folder: .* of a sweep with {words}; give another --folder"):
        claim(folder, REQUEST | changed)
    claim(folder, REQUEST)


def test_another_sweeps_tables_are_not_replaced(tmp_path):
    claim(tmp_path, {"learning-rate": ["0.5"]})
    (tmp_path / f"{32 * 'a'}.npz").write_bytes(b"a chunk")
    assert_fails(run(*SMALL, "--epochs", "1", "--folder", tmp_path), "of a sweep with learning-rate 0.5", "--folder")


def test_what_killed_processes_left_is_removed_from_a_folder(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, at_work = (f"a.npz.{pid}.x_y1.unfinished" for pid in (gone.pid, os.getpid()))
    for name in (left, at_work, "mine.unfinished"):
        (tmp_path / name).touch()
    folder_of_chunks.opened(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {at_work, "mine.unfinished"}


RESULT = SweepResult(({"seed": 0},), History(*(np.zeros((1, 9)) for _ in range(3))), ((0,),), ((),), (None,))


@pytest.mark.parametrize(
    ("name", "write"),
    {
        "table.csv": RESULT.write_csv,
        "table.npz": RESULT.write_npz,
        "chunk.npz": lambda path: folder_of_chunks.save(path.parent, "chunk", np.zeros(99)),
    }.items(),
)
def test_a_full_disk_keeps_the_old_file_and_is_named(name, write, tmp_path):
    path = tmp_path / name
    path.write_text("old", encoding="utf-8")
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert path.read_text(encoding="utf-8") == "old" and list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 50


@pytest.mark.slow
def test_help_reads_well():
    done = run("sweep", "--help")
    assert done.returncode == 0
    for flag in ("--seeds", "--learning-rate", "--hidden", "--folder"):
        assert flag in done.stdout
