"""What becomes of each file that people bring, and of new rows that a model has not seen."""

import json
import re
import tracemalloc

import numpy as np
import pytest
import tables
from commands import assert_fails, run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mlp_jax import datasets
from mlp_jax.datasets import _columns, _user_files, load_model
from mlp_jax.datasets._columns import Column


@pytest.mark.parametrize("name", tables.ROWS)
def test_a_table_is_the_task_that_its_author_meant(name, tmp_path):
    row = tables.ROWS[name]
    got, features, said = tables.outcome(row, tmp_path)
    assert got == row.meant, said
    assert row.features is None or features == row.features, said
    assert all(words in said for words in row.words), said
    assert "\n" not in said or got != "error"


def test_the_table_is_long():
    assert len(tables.ROWS) >= 90


def texts(*cells):
    return np.array(cells, object)


TABLE = {
    "age": np.array([20.0, np.nan, 40.0, 30.0]),
    "size": np.array([1.0, 2.0, 4.0, 8.0]),
    "city": texts("Bonn", "Köln", None, "Bonn"),
    "day": texts("1970-01-02", "1970-01-03 12:00", "1970-01-04", "1970-01-05"),
}
ROWS_OF_TRAINING = np.array([0, 1, 2])
PREPARED = [
    Column("age", "number", 30.0, True),
    Column("size", "number", 2.0),
    Column("city", "category", values=("", "Bonn", "Köln")),
    Column("day", "date", 2.5),
]


def test_columns_are_prepared_by_the_training_rows():
    columns, _ = _columns.fitted(TABLE, ROWS_OF_TRAINING, {}, "t.csv")
    assert columns == tuple(PREPARED) and sum(column.width for column in columns) == 7
    x, lines = _columns.prepared(columns, TABLE, "t.csv")
    expected = [
        [20, 0, 1, 0, 1, 0, 1.0],
        [30, 1, 2, 0, 0, 1, 2.5],
        [40, 0, 4, 1, 0, 0, 3.0],
        [30, 0, 8, 0, 1, 0, 4.0],
    ]
    np.testing.assert_array_equal(x, expected)
    assert lines == []


def test_what_no_training_row_had_is_said():
    new = {"age": np.array([5.0]), "size": np.array([np.nan]), "city": texts("Ulm"), "day": texts(None)}
    x, lines = _columns.prepared(PREPARED, new, "new.csv")
    np.testing.assert_array_equal(x, [[5, 0, 2, 0, 0, 0, 2.5]])
    assert lines == [
        "column 'size': 1 missing, taken for the median, 2",
        "column 'city': 1 unknown, such as 'Ulm': 0 in all its columns",
        "column 'day': 1 missing, taken for the median, 2.5",
    ]
    with pytest.raises(ValueError, match=r"new\.csv, column 'size': expected numbers, got 'big' in row 0"):
        _columns.prepared(PREPARED, new | {"size": texts("big")}, "new.csv")


def test_nothing_is_read_off_validation_and_test_rows(tmp_path):
    """A median and categories of the training rows alone: changing other rows changes no prepared training row."""
    train, _, test = datasets.split_indices(20, strata=np.arange(20) % 2)
    loaded = []
    for last in ("7,b", "1e6,seldom"):
        rows = [f"{i * i},{'ab'[i % 2]}" for i in range(20)]
        rows[train[0]], rows[test[0]] = ",a", last
        lines = [f"{row},{'xy'[i % 2]}" for i, row in enumerate(rows)]
        (tmp_path / "t.csv").write_text("n,t,kind\n" + "\n".join(lines), encoding="utf-8")
        loaded.append(datasets.load(tmp_path / "t.csv"))
    np.testing.assert_array_equal(loaded[0].train.x, loaded[1].train.x)
    assert loaded[0].columns == loaded[1].columns


@pytest.fixture(scope="module")
def passengers(tmp_path_factory):
    """A model of a table with texts, dates and missing numbers, semicolons and decimal commas."""
    folder = tmp_path_factory.mktemp("passengers")
    rng = np.random.default_rng(0)
    lines = ["Name;Sex;Age;Fare;Day;Survived"]
    for i in range(200):
        sex, age = rng.choice(["male", "female"]), "" if i % 5 == 0 else rng.integers(1, 80)
        fare = f"{rng.uniform(5, 100):.2f}".replace(".", ",")
        lines.append(f"passenger {i};{sex};{age};{fare};2024-01-{1 + i % 28:02};{'yes' if sex == 'female' else 'no'}")
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    done = run("train", "--data", folder / "table.csv", "--hidden", 8, "--output", folder / "m.safetensors")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_what_was_found_out_about_a_table_is_printed(passengers):
    _, said = passengers
    for line in (
        "table.csv has semicolons between cells, decimal comma",
        "columns of texts, a feature for each value: 'Sex' (2 values)",
        "columns of dates, as days since 1970: 'Day'",
        "columns left out: 'Name' (200 different texts; --columns NAME=category keeps it)",
    ):
        assert line in said.splitlines()
    assert "columns with missing numbers, which become the median and are marked: 'Age'" in said
    assert "6 features, 2 classes" in said


def test_new_rows_in_another_form_are_predicted(passengers, tmp_path):
    folder, _ = passengers
    new = "Day,Fare,Age,Sex,Note\n2024-01-05,10.5,30,female,a\n2024-01-06,20.5,,male,b\n,7,40,FEMALE,c\n"
    (tmp_path / "new.csv").write_text(new, encoding="utf-8")
    done = run("predict", folder / "m.safetensors", tmp_path / "new.csv")
    assert done.stdout.split()[:3] == ["prediction", "yes", "no"]
    assert "column 'Sex': 1 unknown, such as 'FEMALE'" in done.stderr and "column 'Day': 1 missing" in done.stderr
    (tmp_path / "new.csv").write_text(new.replace("20.5", "high"), encoding="utf-8")
    assert_fails(run("predict", folder / "m.safetensors", tmp_path / "new.csv"), "column 'Fare'", "'high'")


def test_realmlp_finds_what_two_columns_do_together(tmp_path):
    """Its model, scaled by quartiles and clipped, predicts what was measured; plain settings find less."""
    rng, path = np.random.default_rng(0), tmp_path / "t.csv"
    x = rng.normal(size=(600, 16))
    x[::50, 2] *= 1000  # outliers
    label = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
    lines = (",".join(f"{v:.4f}" for v in row) + f",{of}\n" for row, of in zip(x, label, strict=True))
    path.write_text(",".join("abcdefghijklmnop") + ",label\n" + "".join(lines), encoding="utf-8")
    model, accuracy = tmp_path / "m.safetensors", {}
    for flags in (("--epochs", 40), ("--epochs", 40, "--hidden", 32, 32, "--recipe", "realmlp", "--output", model)):
        done = run("train", "--data", path, *flags)
        assert done.returncode == 0, done.stderr
        accuracy["realmlp" in flags] = float(re.search(r"test accuracy (\S+) %", done.stdout).group(1))
    assert accuracy[True] > 88 > accuracy[False] > 50, accuracy
    done = run("predict", model, path, "--output", tmp_path / "p.csv")
    assert float(re.search(r"accuracy (\S+) %", done.stdout).group(1)) > 88
    assert load_model(model).clip == 3
    done = run("train", "--data", path, "--recipe", "realmlp", "--gradient", "autodiff")
    assert_fails(done, "gradient: expected backprop with --recipe realmlp")


def edited(columns, **of_first):
    return [columns[0] | of_first, *columns[1:]]


TAMPERED = {
    "no list": lambda columns: {"Sex": "category"},
    "a list of texts": lambda columns: ["Sex"],
    "a column less": lambda columns: columns[1:],
    "a column twice": lambda columns: [columns[0], *columns],
    "another name": lambda columns: edited(columns, name="Age"),
    "another kind": lambda columns: edited(columns, kind="text"),
    "a number with values": lambda columns: edited(columns, kind="number"),
    "no values": lambda columns: edited(columns, values=[]),
    "equal values": lambda columns: edited(columns, values=["male", "male"]),
    "values that are numbers": lambda columns: edited(columns, values=[1, 2]),
    "more values": lambda columns: edited(columns, values=["female", "male", "other"]),
    "a fill that is NaN": lambda columns: edited(columns, fill=float("nan")),
    "a fill that is text": lambda columns: edited(columns, fill="1"),
    "a mark that is a number": lambda columns: edited(columns, is_marked=1),
    "a key more": lambda columns: edited(columns, code="print(1)"),
    "deep": lambda columns: edited(columns, values=[[["female"]], "male"]),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_columns_of_a_model_are_refused(name, passengers, tmp_path):
    path = passengers[0] / "m.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    columns = TAMPERED[name](json.loads(metadata["columns"]))
    save_file(load_file(path), tmp_path / "m.safetensors", metadata | {"columns": json.dumps(columns)})
    done = run("predict", tmp_path / "m.safetensors", passengers[0] / "table.csv")
    assert_fails(done, "m.safetensors, columns: expected", "copy the file again whole")


def test_a_column_is_of_texts_if_any_block_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr(_user_files, "ROWS", 4)
    path = tmp_path / "t.csv"
    cells = ["1.50", "2.50", "1.50", "", "red", "red", "blue", "blue", "red"]
    path.write_text("a,b,y\n" + "".join(f"{cell},{i},{i % 2}\n" for i, cell in enumerate(cells)), encoding="utf-8")
    raw = _user_files.read_table(path)
    assert raw.columns["a"].tolist() == [cell or None for cell in cells]  # not 1.5, as a block of numbers would say
    assert raw.columns["b"].tolist() == list(range(9)) and raw.labels == tuple("010101010")
    assert raw.columns["a"][0] is raw.columns["a"][2], "equal texts are one object"


def test_a_table_is_read_in_little_more_memory_than_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(_user_files, "ROWS", 500)
    path, rows, width = tmp_path / "t.csv", 10_000, 20
    lines = (",".join(f"{i % 97 + j}.5" for j in range(width)) + f",{i % 2}\n" for i in range(rows))
    path.write_text(",".join(f"f{j}" for j in range(width + 1)) + "\n" + "".join(lines), encoding="utf-8")
    datasets.load(path)  # imports
    tracemalloc.start()
    datasets.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    numbers, result = 8 * rows * width, 4 * rows * width
    assert peak < 1.5 * (numbers + result) + 100 * rows, "as read, as returned, and labels"
