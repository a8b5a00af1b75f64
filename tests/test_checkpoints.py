"""Checkpoints: a run that was interrupted, killed, or lost files, ends with the bits of one that was not."""

import gc
import shutil
import signal
import subprocess
import sys
import time
import warnings

import chex
import jax
import kills
import numpy as np
import optax
import pytest
from commands import assert_fails, full_disk, run
from test_training import KEY, examples, network

from mlp_jax import activations, train
from mlp_jax.training import Checkpoint, _checkpoints

MOMENTUM = optax.sgd(0.1, momentum=0.9)
SETTINGS = dict(optimizer=MOMENTUM, epochs=6, batch_size=4)


class Interrupt(Exception):
    """As Ctrl-C is, between two chunks of epochs."""


def interrupt_at(epoch):
    def progress(done, history):
        if done >= epoch:
            raise Interrupt

    return progress


def trained(checkpoint=None, **changed):
    arguments = dict(key=KEY, params=network(), data=examples(), validation=examples(seed=1)) | SETTINGS | changed
    return train(**arguments, checkpoint=checkpoint)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def whole():
    return trained(keep="best", record=lambda params, x, targets: params[0].bias)


@pytest.mark.parametrize("every", [1, 2, 4, 9])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, whole, every):
    settings = dict(keep="best", record=lambda params, x, targets: params[0].bias)
    for epoch in (1, 3):
        with pytest.raises(Interrupt):
            trained(Checkpoint(tmp_path, every, resume=True), **settings, progress=interrupt_at(epoch))
    result = trained(Checkpoint(tmp_path, every, resume=True), **settings)
    chex.assert_trees_all_equal(result, whole)
    again = trained(tmp_path, **settings)  # nothing is left to do
    chex.assert_trees_all_equal(again, whole)
    assert names(tmp_path)[-2:] == ["6", "run.json"]


def test_the_last_checkpoints_are_kept(tmp_path):
    trained(Checkpoint(tmp_path, 1, last=2))
    assert names(tmp_path) == ["5", "6", "run.json"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    trained(Checkpoint(folder, 1))
    return folder


OTHERS = {
    "network": (dict(params=network((3, 6, 4))), r"network: expected float32\[3, 5\].* got float32\[3, 6\]"),
    "start": (dict(params=network(seed=1)), "initial parameters: expected"),
    "optimizer": (dict(optimizer=optax.adam(0.1)), "optimizer: expected"),
    "hyperparameters": (
        dict(optimizer=optax.adam, hyperparameters={"learning_rate": 0.1}),
        r"optimizer|hyperparameters: expected \{\}, as of its run, got \{'learning_rate'",
    ),
    "epochs": (dict(epochs=7), "epochs: expected 6, as of its run, got 7"),
    "batch_size": (dict(batch_size=5), "batch_size: expected 4, as of its run, got 5"),
    "activation": (dict(activation=activations.tanh), "activation: expected relu, as of its run, got tanh"),
    "shuffle": (dict(shuffle=False), "shuffle: expected True"),
    "keep": (dict(keep="best"), "keep: expected last, as of its run, got best"),
    "key": (dict(key=jax.random.key(8)), "key: expected"),
    "data": (dict(data=examples(seed=2)), "data: expected"),
    "validation": (dict(validation=None), "validation: expected"),
}


@pytest.mark.parametrize(("changed", "words"), OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_another_run_is_refused(saved, changed, words):
    before = names(saved)
    with pytest.raises(ValueError, match=f"({words}).*give that, or another folder"):
        trained(saved, **changed)
    assert names(saved) == before


def test_a_checkpoint_of_another_version_is_refused(saved, monkeypatch):
    monkeypatch.setattr("mlp_jax.training._engine.__version__", "9")
    with pytest.raises(ValueError, match=r"version: expected .*, as of its run, got 9"):
        trained(saved)


def test_folders_of_other_things_are_refused(saved, tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint: expected a new folder, got .* with checkpoints; resume it"):
        trained(Checkpoint(saved))
    (tmp_path / "thesis.txt").write_text("words", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ValueError, match=r"checkpoint: expected an empty folder, or .* with other things"):
            trained(folder)
    assert names(tmp_path) == ["thesis.txt"]
    with pytest.raises(TypeError, match="checkpoint: expected a folder or a Checkpoint, got int"):
        _checkpoints.as_checkpoint(3)
    with pytest.raises(ValueError, match="every: expected"):
        Checkpoint(tmp_path, every=0)
    with pytest.raises(ValueError, match="checkpoint: expected None under jit"):
        jax.jit(lambda key: trained(tmp_path / "new", key=key).params)(KEY)


def test_without_orbax_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ModuleNotFoundError, match=r"a checkpoint needs orbax-checkpoint: pip install 'mlp_jax\[che"):
        trained(tmp_path)


def largest(folder):
    """The file that holds most; Orbax's folder of the process holds parts that it no longer needs."""
    return max((folder / "arrays" / "d").iterdir(), key=lambda path: path.stat().st_size)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def collected():
    """Collect the garbage of a test within it, so that its complaints are not another test's."""
    yield
    gc.collect()


def damaging(test):
    """If a file cannot be read or written, asyncio complains of what Orbax has begun when it is collected."""
    ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    return pytest.mark.usefixtures("collected")(ignored(test))


DAMAGES = {
    "a flipped byte": lambda folder: flip(largest(folder)),
    "a truncated file": lambda folder: largest(folder).write_bytes(largest(folder).read_bytes()[:-9]),
    "an empty file": lambda folder: largest(folder).write_bytes(b""),
    "a file less": lambda folder: largest(folder).unlink(),
    "an empty folder": lambda folder: [shutil.rmtree(path) for path in folder.iterdir() if path.is_dir()],
    "another digest": lambda folder: next(folder.glob("about/*")).write_text('{"digest": "0"}', encoding="utf-8"),
}


@damaging
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_last_good_checkpoint_is_used(saved, tmp_path, damage):
    shutil.copytree(saved, tmp_path / "run")
    damage(tmp_path / "run" / "6")
    with pytest.warns(RuntimeWarning, match=r"6 cannot be read \(.*\); it is now damaged-6"):
        result = trained(tmp_path / "run")
    chex.assert_trees_all_equal(result, trained(saved))
    assert "damaged-6" in names(tmp_path / "run") and "6" in names(tmp_path / "run")


@damaging
def test_every_byte_of_a_checkpoint_matters(saved, tmp_path):
    """Of each file some bytes are flipped: what is read is what was written, or the checkpoint is put aside."""
    expected = trained(saved)
    rng = np.random.default_rng(0)
    files = [path.relative_to(saved) for path in (saved / "6").rglob("*") if path.is_file()]
    for i, name in enumerate(files):
        folder = tmp_path / str(i)
        shutil.copytree(saved, folder)
        content = bytearray((folder / name).read_bytes())
        for at in rng.integers(len(content), size=3) if content else ():
            content[at] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chex.assert_trees_all_equal(trained(folder), expected)


@damaging
def test_if_none_is_good_the_run_begins_again(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    for name in "456":
        flip(largest(tmp_path / "run" / name))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        chex.assert_trees_all_equal(trained(tmp_path / "run"), trained(saved))
    assert [str(of.message).partition(" cannot be read")[0][-1] for of in said] == ["6", "5", "4"]


@damaging
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path):
    with pytest.raises(Interrupt):
        trained(Checkpoint(tmp_path, 1, resume=True), progress=interrupt_at(3))
    with full_disk(100), pytest.raises(OSError, match=r"the checkpoint of epoch 3 is complete") as error:
        trained(tmp_path)
    assert error.value.filename == str(tmp_path)
    chex.assert_trees_all_equal(trained(tmp_path), trained())
    assert names(tmp_path) == ["4", "5", "6", "run.json"]


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bits(tmp_path):
    """A few of the kills of `python tests/kills.py`, whose record has more."""
    outcome = kills.outcome(tmp_path, number=3, seed=1)
    assert outcome == {"kills": 3, "unreadable": 0, "temporary": 0, "same bits": True}


def test_the_record_of_kills_has_lost_nothing():
    outcome = kills.recorded()
    assert outcome["kills"] >= 50 and outcome["during saves"] >= 5
    assert outcome["unreadable"] == outcome["temporary"] == 0 and outcome["same bits"]


@pytest.mark.slow
def test_the_command_is_interrupted_and_goes_on(tmp_path):
    flags = ("train", "--hidden", "16", "--epochs", "600", "--checkpoint", tmp_path / "run", "--every", "50")
    process = subprocess.Popen([sys.executable, "-m", "mlp_jax", *map(str, flags)], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "50").exists():
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143 and "the same command with --resume goes on" in stderr
    assert_fails(run(*flags), "checkpoint: expected a new folder")
    assert_fails(run(*flags, "--resume", "--learning-rate", "0.1"), "learning_rate: expected 0.001, as of its run, got")
    results = [run(*flags, "--resume").stdout, run(*flags[:5]).stdout]
    losses = [[line for line in text.splitlines() if " loss " in line or "accuracy" in line] for text in results]
    assert losses[0] == losses[1] != []
    assert_fails(run("train", "--resume"), "resume: expected --checkpoint FOLDER with it")


def test_saving_compiles_nothing(tmp_path, caplog):
    """Histories grow from save to save, and are joined without a program for each length."""
    trained(Checkpoint(tmp_path / "a", 1))
    with jax.log_compiles(), caplog.at_level("WARNING"):
        trained(Checkpoint(tmp_path / "b", 1))
    assert not [of.getMessage() for of in caplog.records if "Compiling" in of.getMessage()]
