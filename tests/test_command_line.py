"""The command line as a user meets it: in a process of its own, judged by what it prints, writes and returns."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import assert_fails, full_disk, run, run_function, run_process
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import mlp_jax
from mlp_jax import datasets
from mlp_jax.__main__ import main
from mlp_jax._interrupt import is_command
from mlp_jax.command_line import _predict, progress_bars, run_command

FAST = ("--epochs", "2", "--hidden", "8")


def number(output, name):
    """The number of a plain line of the summary, such as `test accuracy 97.92 %`."""
    (line,) = [line for line in output.splitlines() if line.startswith(name + " ")]
    return float(line.removeprefix(name).split()[0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that the command trained on digits with all defaults, and what it printed."""
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    done = run_process("train", "--data", "digits", "--output", path)
    assert (done.returncode, done.stderr) == (0, "")
    return path, done.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV of three separable classes with names that need UTF-8 and quotes, and one constant column."""
    path = tmp_path_factory.mktemp("table") / "flowers.csv"
    rng = np.random.default_rng(0)
    names = ["Märzenbecher", "a, b", "桜"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "constant", "width", "kind"])
        for i in range(300):
            length, width = 10 * np.eye(3)[i % 3, :2] + rng.standard_normal(2)
            writer.writerow([length, 7.5, width, names[i % 3]])
    return path, names


def test_defaults_train_digits(trained):
    _, output = trained
    assert number(output, "test accuracy") >= 97.5
    assert "network 64-128-128-10 relu, 26,122 parameters" in output
    for line in ("train loss", "validation accuracy", "test loss"):
        assert np.isfinite(number(output, line))


@pytest.mark.slow
def test_defaults_train_digits_in_the_median_of_ten_seeds():
    accuracies = [number(run("train", "--seed", seed).stdout, "test accuracy") for seed in range(10)]
    assert np.median(accuracies) >= 97.5, accuracies


@pytest.mark.slow
def test_mnist():
    folders = [Path(os.environ.get("MLP_JAX_DATA", "absent")) / part for part in ("", "mnist")]
    if not any((folder / "train-images-idx3-ubyte.gz").exists() for folder in folders):
        pytest.skip("MLP_JAX_DATA names no folder with MNIST")
    done = run("train", "--data", "mnist", "--hidden", "128", "--epochs", "10")
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "test accuracy") >= 97.5


@pytest.mark.slow
def test_same_seed_same_network_and_another_seed_another(tmp_path):
    outputs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.safetensors"
        assert run("train", *FAST, "--seed", seed, "--output", path).returncode == 0
        outputs.append({name: leaf.tobytes() for name, leaf in load_file(path).items()})
    assert outputs[0] == outputs[1] != outputs[2]


def test_file_holds_parameters_and_what_a_prediction_needs(trained):
    path, _ = trained
    with safe_open(path, framework="numpy") as file:
        shapes = {name: file.get_tensor(name).shape for name in list(file.keys())}
        metadata = file.metadata()
    sizes = (64, 128, 128, 10)
    assert shapes == {f"layers.{i}.weight": sizes[i : i + 2] for i in range(3)} | {
        f"layers.{i}.bias": sizes[i + 1 : i + 2] for i in range(3)
    }
    digits = datasets.load_digits()
    assert metadata["activation"] == "relu"
    assert metadata["version"] == mlp_jax.__version__
    assert json.loads(metadata["classes"]) == list(digits.classes)
    assert json.loads(metadata["mean"]) == digits.mean.tolist()
    assert json.loads(metadata["scale"]) == digits.scale.tolist()


def test_predict_a_named_data_set(trained, tmp_path):
    path, output = trained
    done = run("predict", path, "digits", "--output", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "accuracy") == number(output, "test accuracy")
    rows = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "prediction"
    assert len(rows) == 1 + 359


@pytest.fixture(scope="module")
def flowers(table, tmp_path_factory):
    """A network trained on the table in the C locale, and new examples: other columns in another order, no labels."""
    folder = tmp_path_factory.mktemp("flowers")
    model, new = folder / "flowers.safetensors", folder / "new.csv"
    flags = ("--output", model, "--hidden", "16")
    done = run_process("train", "--data", table[0], *flags, PYTHONUTF8="0", LC_ALL="C")
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "test accuracy") >= 95
    new.write_text("width,length,constant\n0,10,7.5\n10,0,1e6\n0,0,7.5\n", encoding="utf-8")
    return model, new


def test_csv_from_training_to_predictions(table, flowers, tmp_path):
    path, names = table
    model, new = flowers
    done = run("predict", model, new, "--probabilities", "--output", tmp_path / "p.csv")
    assert done.returncode == 0, done.stderr
    assert "accuracy" not in done.stdout
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == names
    for row in rows:
        p = {name: float(row[f"probability {name}"]) for name in names}
        assert sum(p.values()) == pytest.approx(1, abs=1e-6)
        assert max(p, key=p.get) == row["prediction"]

    done = run("predict", model, path)  # with labels, to standard output
    assert done.stdout.splitlines()[0] == "prediction"
    assert number(done.stderr, "accuracy") >= 95


# Labels of the same examples in other forms, and what is said of the accuracy.
LABELS = {
    "another number format": (["1.0", "0.0", "1"], "accuracy 100.00 %"),
    "other labels": (["1", "2", "1"], "accuracy 100.00 % of the others: 1 of 3 labels are no class that it knows"),
    "no known label": (["a", "b", "c"], "no accuracy: 3 of 3 labels are no class that it knows, such as 'a'"),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_accuracy_is_that_of_labels_that_mean_a_class(name):
    labels, words = LABELS[name]
    assert _predict.accuracy_of(np.array([1, 0, 1]), labels, ("0", "1")).startswith(words)


def test_regression_from_training_to_predictions(tmp_path):
    """Prices in thousands: the table is asked about, trained on, and predicted, in the prices' units."""
    x = np.random.default_rng(0).uniform(-1, 1, size=(300, 2))
    price = np.round(50_000 + 20_000 * x[:, 0] - 5_000 * x[:, 1] ** 2).astype(int)
    table, model = tmp_path / "prices.csv", tmp_path / "prices.safetensors"
    lines = [f"{a:.6f},{b:.6f},{c}" for (a, b), c in zip(x, price, strict=True)]
    table.write_text("u,v,price\n" + "\n".join(lines), encoding="utf-8")
    assert_fails(run("train", "--data", table), "'price'", "--task classification", "--task regression")
    flags = ("--task", "regression", "--hidden", 32, "--learning-rate", 0.01, "--output", model)
    done = run("train", "--data", table, *flags)
    assert done.returncode == 0, done.stderr
    assert " values" in done.stdout and "task regression on 'price': mean" in done.stdout
    assert "kept the parameters of epoch" in done.stdout  # of a table this small the last epochs learn the noise
    rmse, r2 = map(float, re.search(r"test RMSE (\S+), R2 (\S+)", done.stdout).groups())
    assert rmse < 1000 and r2 > 0.99
    done = run("predict", model, table, "--output", tmp_path / "p.csv")
    predicted = np.loadtxt(tmp_path / "p.csv", skiprows=1)
    error = np.sqrt(np.mean((predicted - price) ** 2))
    assert done.returncode == 0 and error < 1000
    assert float(re.search(r"RMSE (\S+), R2 0\.99", done.stdout).group(1)) == pytest.approx(error, rel=1e-3)
    assert_fails(run("predict", model, table, "--probabilities"), "probabilities", "which predicts values")
    assert_fails(run("train", "--data", table, *flags[:2], "--loss", "cross_entropy"), "squared_error for values")
    assert_fails(
        run("train", "--data", table, *flags[:2], "--label-smoothing", 0.1), "label-smoothing: expected none for values"
    )


def test_a_sweep_over_values_chooses_by_r2(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
    lines = [f"{a:.4f},{b:.4f},{50 + 20 * a - 10 * b + 0.5:.4f}" for a, b in x]
    (tmp_path / "t.csv").write_text("u,v,price\n" + "\n".join(lines), encoding="utf-8")
    flags = ("--seeds", 2, "--epochs", 20, "--hidden", 8, "--learning-rate", 1e-5, 0.02, "--folder", tmp_path / "s")
    done = run("sweep", "--data", tmp_path / "t.csv", *flags)
    assert done.returncode == 0, done.stderr
    assert "validation R2" in done.stdout and "chosen by the median validation R2: learning rate 0.02" in done.stdout
    rmse, r2 = map(float, re.search(r"test RMSE (\S+), R2 (\S+) \(RMSE .* over 2 seeds\)", done.stdout).groups())
    assert rmse < 3 and r2 > 0.95
    assert "validation R2" in (tmp_path / "s" / "plot.svg").read_text(encoding="utf-8")


def test_a_rare_class_counts_as_much_as_the_others_with_balanced_weights(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "rare.csv"
    is_rare = np.arange(600) % 20 == 0
    x = rng.normal(size=(600, 2)) + 1.2 * is_rare[:, None]
    lines = [f"{u:.4f},{v:.4f},{'rare' if rare else 'usual'}" for (u, v), rare in zip(x, is_rare, strict=True)]
    path.write_text("u,v,kind\n" + "\n".join(lines), encoding="utf-8")
    flags = ("train", "--data", path, "--hidden", 8, "--epochs", 30)
    plain, balanced = run(*flags), run(*flags, "--class-weight", "balanced", "--confusion")
    assert number(balanced.stdout, "test balanced accuracy") > number(plain.stdout, "test balanced accuracy") + 10
    assert "of the test examples 95.00 % are 'usual', the most frequent class" in plain.stdout  # split in proportion
    head, *rows = balanced.stdout.split("what it is taken for\n")[1].splitlines()[:3]
    assert head.split() == ["rare", "usual"]
    table = np.array([row.split()[1:] for row in rows], int)
    assert table.sum(axis=1).tolist() == [6, 114]
    recalls = np.diag(table) / table.sum(axis=1)
    assert 100 * recalls.mean() == pytest.approx(number(balanced.stdout, "test balanced accuracy"), abs=0.01)


ERRORS = {  # labels of the same examples, and what is said of the errors
    "all are numbers": (["1", "3", " 5.0"], "RMSE 1, R2 0.6250"),
    "one is none": (["1", "x", "5"], "RMSE 0.7071, R2 0.8750 of the others: 1 of 3 labels are no number, such as 'x'"),
    "none is": (["a", "b", "c"], "no RMSE: 3 of 3 labels are no number, such as 'a'"),
    "all are equal": (["2", "2", "2"], "RMSE 1.9, R2 undefined"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_are_those_of_labels_that_are_numbers(name):
    labels, words = ERRORS[name]
    assert _predict.errors_of(np.array([1.0, 2**0.5 + 3, 4.0]), labels).startswith(words)


def test_whole_numbers_with_many_values_are_asked_about(tmp_path):
    path = tmp_path / "years.csv"
    path.write_text("u,year\n" + "".join(f"{i % 7},{1950 + i % 21}\n" for i in range(63)), encoding="utf-8")
    assert_fails(run("train", "--data", path), "'year'", "21 different whole numbers", "--task classification")
    done = run("train", "--data", path, "--task", "classification", "--epochs", 1, "--hidden", 4)
    assert done.returncode == 0 and "21 classes" in done.stdout
    assert re.search(r"of the test examples \d+\.\d\d % are '\d{4}', the most frequent class", done.stdout)


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_a_csv_that_the_console_cannot_hold_is_an_error(encoding, flowers):
    done = run("predict", *flowers, encoding=encoding)
    assert_fails(done, "standard output", encoding, r"which lacks '\xe4'", "--output FILE, which is UTF-8")
    assert done.stdout == ""


def test_a_full_disk_keeps_the_old_predictions(flowers, tmp_path):
    path = tmp_path / "p.csv"
    flags = ("--probabilities", "--overwrite", "--output", path)
    assert run("predict", *flowers, *flags).returncode == 0  # compiles, which writes files too
    before = path.read_bytes()
    with full_disk():
        assert_fails(run("predict", *flowers, *flags), f"{path}: File too large")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_npz_and_float64_and_no_hidden_layer(tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 4, 4))
    np.savez(tmp_path / "d.npz", x=x, labels=(x.sum(axis=(1, 2)) > 0).astype(int))
    model = tmp_path / "m.safetensors"
    done = run("train", "--data", tmp_path / "d.npz", "--hidden", "--dtype", "float64", "--output", model)
    assert done.returncode == 0, done.stderr
    assert "network 16-2" in done.stdout
    assert number(done.stdout, "test accuracy") >= 85
    with safe_open(model, framework="numpy") as file:
        assert file.get_tensor("layers.0.weight").dtype == np.float64
    done = run("predict", model, tmp_path / "d.npz")
    assert number(done.stderr, "accuracy") >= 85


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--gradient", "autodiff", "--optimizer", "momentum", "--learning-rate", "0.05"),
        ("--loss", "squared_error", "--activation", "tanh", "--schedule", "constant"),
        ("--label-smoothing", "0.1", "--optimizer", "adamw", "--weight-decay", "0.01", "--activation", "gelu"),
    ],
    ids=" ".join,
)
def test_flags(flags):
    done = run("train", "--epochs", "20", "--hidden", "64", *flags)
    assert done.returncode == 0, done.stderr
    assert number(done.stdout, "test accuracy") >= 93


def test_without_metadata_flags_are_needed_and_enough(trained, tmp_path):
    path, output = trained
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(path), bare)
    done = run("predict", bare, "digits")
    assert_fails(done, "bare.safetensors", "activation, mean, scale, classes", "--activation", "--classes")
    digits = datasets.load_digits()
    mean, scale = (repr(float(number)) for number in (digits.mean, digits.scale))
    flags = ("--activation", "relu", "--mean", mean, "--scale", scale, "--classes", *digits.classes)
    done = run("predict", bare, "digits", *flags)
    assert number(done.stderr, "accuracy") == number(output, "test accuracy")


@pytest.mark.parametrize(
    "arguments, words",
    {
        "unknown data": (("train", "--data", "digts"), ("digts", "did you mean 'digits'")),
        "no such file": (("train", "--data", "absent.csv"), ("No such file", "absent.csv")),
        "unknown activation": (("train", "--activation", "rleu"), ("activation", "rleu", "did you mean 'relu'")),
        "unknown loss": (("train", "--loss", "hinge"), ("loss", "hinge", "cross_entropy")),
        "unknown optimizer": (("train", "--optimizer", "adm"), ("optimizer", "adm", "did you mean 'adam'")),
        "width 0": (("train", "--hidden", "0"), ("hidden", "at least 1", "0")),
        "epochs 0": (("train", "--epochs", "0"), ("epochs", "at least 1", "0")),
        "batch 0": (("train", "--batch-size", "0"), ("batch-size", "at least 1", "0")),
        "learning rate": (("train", "--learning-rate", "nan"), ("learning-rate", "above 0", "nan")),
        "seed": (("train", "--seed", "-1"), ("seed", "at least 0", "-1")),
        "huge seed": (("train", "--seed", "99999999999999999999"), ("seed", "2^32")),
        "split seed": (("train", "--split-seed", "-1"), ("split-seed", "at least 0")),
        "negative weight decay": (
            ("train", "--optimizer", "adamw", "--weight-decay", "-1"),
            ("weight-decay", "above 0"),
        ),
        "output is a folder": (("train", "--output", ".", "--overwrite"), ("output", "folder or device")),
        "output is a device": (("train", "--output", os.devnull, "--overwrite"), ("output", "folder or device")),
        "output is the data": (
            ("train", "--data", "text.csv", "--output", "text.csv", "--overwrite"),
            ("output", "another file than the input"),
        ),
        "output is the input": (
            ("predict", "text.csv", "text.csv", "--output", "text.csv", "--overwrite"),
            ("output", "another file than the input"),
        ),
        "model is a folder": (("predict", ".", "digits"), ("expected a .safetensors file", "a folder")),
        "label smoothing": (("train", "--label-smoothing", "2"), ("label-smoothing", "[0, 1]", "2")),
        "weight decay without adamw": (
            ("train", "--weight-decay", "1"),
            ("--weight-decay needs --optimizer adamw, got adam",),
        ),
        "no such folder": (("train", "--output", "absent/m.safetensors"), ("output", "a folder that exists")),
        "no such model": (("predict", "absent.safetensors", "digits"), ("absent.safetensors",)),
        "text in a number column": (("train", "--data", "text.csv"), ("text.csv", "line 3", "'a'", "oops")),
        "not a model": (("predict", "text.csv", "digits"), ("text.csv", "expected a safetensors file")),
        "output exists": (("train", "--output", "text.csv"), ("output", "text.csv", "--overwrite")),
    }.values(),
    ids=lambda value: " ".join(value[1:]) if value[0] in ("train", "predict") else "",
)  # fmt: skip
def test_mistakes(arguments, words, tmp_path, monkeypatch):
    (tmp_path / "text.csv").write_text("a,b\n1,x\noops,y\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert_fails(run(*arguments), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["text.csv"]


def test_a_mistake_in_a_process_of_its_own():
    assert_fails(run_process("train", "--activation", "rleu"), "activation", "did you mean 'relu'?")


@pytest.mark.parametrize(
    "arguments", [("train", "--epochs", "many"), ("train", "--epoch", "3"), ("nothing",), ()], ids=str
)
def test_unusable_arguments(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout


def test_prediction_data_of_another_width(trained, tmp_path):
    np.savez(tmp_path / "narrow.npz", x=np.ones((3, 5)))
    assert_fails(run("predict", trained[0], tmp_path / "narrow.npz"), "narrow.npz", "the 64 features", "got 5")


def test_a_network_that_gives_nan_predicts_nothing(trained, tmp_path):
    tensors = load_file(trained[0])
    tensors["layers.1.weight"] *= 1e38  # h_2 is inf, and logits are inf - inf
    with safe_open(trained[0], framework="numpy") as file:
        save_file(tensors, tmp_path / "nan.safetensors", file.metadata())
    assert_fails(run("predict", tmp_path / "nan.safetensors", "digits"), "nan.safetensors", "finite logits", "NaN")


def test_interrupt_is_one_line(tmp_path):
    """Ctrl-C in the middle of a run without a terminal: at once, status 130, nothing written."""
    arguments = ["train", "--epochs", "1000000", "--output", str(tmp_path / "m.safetensors")]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mlp_jax", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    next(line for line in process.stdout if line.startswith("network"))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.strip()) == (130, "interrupted")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_divergence_is_said_and_writes_nothing(tmp_path):
    path = tmp_path / "m.safetensors"
    done = run("train", "--optimizer", "sgd", "--learning-rate", "1e9", "--epochs", "3", "--output", path)
    assert done.returncode == 1
    assert "diverged" in done.stderr and "--learning-rate" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_console_that_cannot_show_a_character(encoding):
    done = run("train", "--help", encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--learning-rate" in done.stdout and "\\u" not in done.stdout
    done = run_process("train", "--data", "桜é.csv", PYTHONIOENCODING=encoding)
    assert_fails(done, "No such file", r"\xe9.csv")


@pytest.mark.parametrize("missing", ["tyro", "rich", "safetensors"])
def test_without_the_extra_it_says_which_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    assert_fails(run("train"), missing, "pip install 'mlp_jax[cli]'")


def test_version():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"mlp_jax {mlp_jax.__version__} \(jax [\d.]+, jaxlib [\d.]+, Python 3\.\S+\)\n", done.stdout)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("program", ["mlp_jax", "experiments", "experiments.benchmark"])
def test_interrupt_while_modules_are_imported(program):
    command = [sys.executable, "-X", "importtime", "-m", program]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as process:
        next(line for line in process.stderr if line.endswith("| numpy\n") or "numpy." in line)
        process.send_signal(signal.SIGINT)
        said = [line for line in process.stderr if line.strip() and not line.startswith("import time:")]
    assert (process.returncode, said) == (130, ["interrupted\n"])


@pytest.mark.parametrize(
    ("argv", "orig_argv", "is_ours"),
    {
        "script": (["/bin/mlp-jax", "train"], ["python", "/bin/mlp-jax", "train"], True),
        "module": (["-m", "train"], ["python", "-u", "-m", "mlp_jax", "train"], True),
        "module in one word": (["-m"], ["python", "-mmlp_jax"], True),
        "module of a user": (["-m", "mlp_jax"], ["python", "-m", "mine", "mlp_jax"], False),
        "script of a user": (["train.py"], ["python", "train.py"], False),
        "no program": ([], ["python"], False),
    }.values(),
    ids=["script", "module", "module in one word", "module of a user", "script of a user", "no program"],
)
def test_only_our_command_takes_over_ctrl_c(argv, orig_argv, is_ours, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert is_command() == is_ours


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("two\n  lines"), 2, "error: two lines\n"),
        (TypeError("x: expected a number"), 2, "error: x: expected a number\n"),
        (OSError(28, "No space left on device", "a.csv"), 2, "error: a.csv: No space left on device\n"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device\n"),
        (MemoryError(), 2, "error: MemoryError\n"),
        (ModuleNotFoundError("digits need scikit-learn"), 2, "error: digits need scikit-learn\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (BrokenPipeError(), 1, ""),
        (SystemExit(3), 3, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_one_line_and_a_status(error, status, words):
    done = run_function(partial(run_command, raising(error)))
    assert (done.returncode, done.stdout, done.stderr) == (status, "", words)


def test_a_mistake_in_our_own_code_keeps_its_traceback(monkeypatch):
    with pytest.raises(KeyError, match="ours"):
        run_function(partial(run_command, raising(KeyError("ours"))))
    monkeypatch.setenv("MLP_JAX_TRACEBACK", "1")
    with pytest.raises(ValueError, match="theirs"):
        run_function(partial(run_command, raising(ValueError("theirs"))))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_on_a_full_disk_and_closed():
    reading, writing = os.pipe()
    os.close(reading)
    for output, status, words in ((writing, 1, ""), ("/dev/full", 2, "error: No space left on device\n")):
        with open(output, "w", encoding="utf-8") as stream:  # noqa: PTH123  # a descriptor is no path
            done = run_function(lambda stream=stream: redirected(stream, "check", "--template"))
        assert (done.returncode, done.stderr) == (status, words)


def redirected(stream, *arguments):
    with redirect_stdout(stream), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mlp-jax", *arguments])
        main()


class Terminal(io.StringIO):
    """A stream at which somebody looks."""

    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_a_bar_is_drawn_only_on_a_terminal(kind, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", kind())
    with progress_bars() as add_bar:
        move = add_bar("epoch", 4, "compiling")
        move(1.52, "loss 0.1")
    drawn = sys.stderr.getvalue()
    assert ("epoch 1.5/4" in drawn and "loss 0.1" in drawn) if kind is Terminal else drawn == ""
