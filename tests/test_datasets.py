"""Data sets: what is read, how it is split and scaled, and the words for what is wrong."""

import csv
import gzip
import hashlib
import os
import random
import socket
import sys
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlp_jax import datasets
from mlp_jax._cache import cache_folder
from mlp_jax.datasets import _labels, _loaders, _mnist

REAL_DATA = os.environ.get("MLP_JAX_DATA")


def rows_of(*arrays):
    return Counter(row.tobytes() for array in arrays for row in np.ascontiguousarray(array))


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


def matrix(raw):
    """The columns of a table of numbers, (N, D)."""
    return np.stack(list(raw.columns.values()), axis=1)


def twenty_rows(path):
    return write_csv(path, ["width", "height", "kind"], [[i, 0.1, "ab"[i % 2]] for i in range(20)])


def assert_says(error, *parts):
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message


# ---- digits, splits, scaling


def test_digits_cover_the_bundled_data():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    digits, data = sklearn_datasets.load_digits(), datasets.load_digits()
    splits = (data.train, data.validation, data.test)
    assert [s.x.shape for s in splits] == [(1259, 64), (179, 64), (359, 64)]
    assert all(s.x.dtype == np.float32 and s.labels.dtype == np.int32 for s in splits)
    rows = datasets.split_indices(1797)
    expected = ((digits.data - data.mean) / data.scale).astype(np.float32)
    for split, index in zip(splits, rows, strict=True):
        np.testing.assert_array_equal(split.x, expected[index])
        np.testing.assert_array_equal(split.labels, digits.target[index])
    assert rows_of(*(s.x for s in splits)) == rows_of(expected)
    raw = digits.data[rows[0]]
    assert (data.mean.shape, data.scale.shape) == ((), ())
    np.testing.assert_allclose([data.mean, data.scale], [raw.mean(), raw.std()], rtol=1e-14)
    assert data.classes == tuple("0123456789") and data.features == () and data.name == "digits"


@pytest.mark.parametrize("count", [10, 11, 19, 101, 1797])
def test_splits_are_disjoint_cover_and_have_their_shares(count):
    splits = datasets.split_indices(count, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(count))
    assert [len(s) for s in splits][1:] == [count // 10, count // 5]


def test_seed_chooses_the_split():
    first, same, other = (datasets.load_digits(seed=seed).train.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
@pytest.mark.usefixtures("no_annotation_checks")
def test_bad_seed(seed):
    with pytest.raises(ValueError) as error:
        datasets.split_indices(20, seed)
    assert_says(error, "seed", "integer >= 0", repr(seed))


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.3, 1e300, 1 / 3])
def test_constant_column_becomes_exactly_zero(constant):
    x = np.column_stack([np.full(1000, constant), np.arange(1000.0)])
    mean, scale = datasets.mean_and_scale(x, images=False)
    scaled = datasets.standardise(x, mean, scale, np.float64)
    assert not scaled[:, 0].any() and mean[0] == constant and scale[0] == np.inf
    np.testing.assert_allclose([scaled[:, 1].mean(), scaled[:, 1].std()], [0, 1], atol=1e-12)


def test_constant_images_become_exactly_zero():
    mean, scale = datasets.mean_and_scale(np.full((5, 7), 0.1), images=True)
    assert not datasets.standardise(np.full((5, 7), 0.1), mean, scale).any() and scale == np.inf


@pytest.mark.parametrize("unit", [1.0, 1e-200, 1e200, 5e-324], ids=str)
def test_scale_survives_extreme_units(unit):
    x = np.arange(12.0).reshape(4, 3) ** 2 * unit
    mean, scale = datasets.mean_and_scale(x, images=False)
    scaled = datasets.standardise(x, mean, scale, np.float64)
    assert np.isfinite(scaled).all() and (scale > 0).all()
    if unit != 5e-324:  # where no fraction of the unit exists
        np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int64", "float16", "float64"])
def test_scaling_takes_any_real_type(kind):
    x = np.arange(24).reshape(6, 4).astype(kind)
    mean, scale = datasets.mean_and_scale(x, images=True)
    np.testing.assert_allclose([mean, scale], [x.astype(float).mean(), x.astype(float).std()])
    assert datasets.standardise(x, mean, scale, "float64").dtype == np.float64


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        pytest.param({"dtype": np.int32}, ["dtype", "floating", "int32"], id="integer dtype"),
        pytest.param({"mean": np.zeros(2)}, ["mean", "(D,)", "(2,) for x of shape (4, 3)"], id="mean of another D"),
        pytest.param({"scale": np.ones((4, 3))}, ["scale", "(D,)", "(4, 3)"], id="scale of two axes"),
        pytest.param({"x": np.zeros(3)}, ["shape (N, D)", "(3,)"], id="x of one axis"),
        pytest.param({"x": np.eye(4, 3) * 1e39}, ["float32", "1e+39", "row 0, column 0"], id="beyond float32"),
    ],
)
def test_standardise_refuses(change, parts):
    arguments = {"x": np.ones((4, 3)), "mean": np.zeros(3), "scale": np.ones(3)} | change
    with pytest.raises(ValueError) as error:
        datasets.standardise(**arguments)
    assert_says(error, *parts)


@pytest.mark.parametrize("images", [False, True], ids=["table", "images"])
def test_robust_scaling_is_that_of_the_raw_columns(images):
    rng = np.random.default_rng(0)
    raw = np.column_stack([rng.normal(50, 9, 40), rng.exponential(size=40) ** 4, np.arange(40) == 7, np.full(40, 5.0)])
    splits = [datasets.Examples(part, np.zeros(len(part))) for part in np.split(raw, [30, 34])]
    raw[4, 0] = 1e300  # an outlier, which leaves all others as they are
    robust = _loaders._scaled("t", splits, ("a", "b"), "robust", images=images, dtype=np.float64)
    for split, (x, _) in zip((robust.train, robust.validation, robust.test), splits, strict=True):
        z = datasets.standardise(x, robust.mean, robust.scale, np.float64)
        np.testing.assert_allclose(split.x, z / np.hypot(1, z / 3), atol=1e-12)
        assert np.abs(split.x).max() <= 3 and (split.x[:, 3] == 0).all()
    np.testing.assert_allclose(robust.mean[:2], np.median(raw[:30, :2], axis=0))
    np.testing.assert_allclose(robust.scale[:2], np.subtract(*np.quantile(raw[:30, :2], (0.75, 0.25), axis=0)))
    np.testing.assert_allclose(robust.scale[2], 0.5)  # of 0 and 1, since quartiles are equal


@settings(max_examples=50, deadline=None)
@given(strata=st.lists(st.integers(0, 3), min_size=10, max_size=200), seed=st.integers(0, 5))
def test_strata_are_split_in_proportion(strata, seed):
    """Each row once, splits of the same sizes as without strata, and of each stratum its share, to a row or two."""
    strata = np.array(strata)
    splits = datasets.split_indices(len(strata), seed, strata=strata)
    assert sorted(np.concatenate(splits).tolist()) == list(range(len(strata)))
    assert [*map(len, splits)] == [*map(len, datasets.split_indices(len(strata), seed))]
    for stratum in np.unique(strata):
        share = (strata == stratum).mean()
        for rows in splits:
            assert abs((strata[rows] == stratum).sum() - share * len(rows)) <= 4  # one for each stratum


# ---- CSV


def test_csv_is_read_split_and_scaled_by_column(tmp_path):
    path = twenty_rows(tmp_path / "table.csv")
    before = path.read_bytes()
    data = datasets.load_table(path, seed=5, dtype=np.float64)
    train, validation, test = datasets.split_indices(20, 5, strata=np.arange(20) % 2)
    raw = np.column_stack([np.arange(20.0), np.full(20, 0.1)])
    np.testing.assert_allclose(data.mean, [raw[train, 0].mean(), 0.1], rtol=1e-15)
    np.testing.assert_allclose(data.scale, [raw[train, 0].std(), np.inf], rtol=1e-15)
    for split, rows in ((data.train, train), (data.validation, validation), (data.test, test)):
        np.testing.assert_array_equal(split.x, (raw[rows] - data.mean) / data.scale)
        np.testing.assert_array_equal(split.labels, rows % 2)
    assert (data.features, data.label, data.classes) == (("width", "height"), "kind", ("a", "b"))
    assert path.read_bytes() == before


def test_csv_label_by_name(tmp_path):
    rows = [["ab"[i % 2], i, -i] for i in range(20)]
    raw = datasets.read_table(write_csv(tmp_path / "t.csv", ["kind", "u", "v"], rows), label="kind")
    assert tuple(raw.columns) == ("u", "v") and raw.labels == tuple("ab" * 10) and not raw.images
    np.testing.assert_array_equal(matrix(raw), [[i, -i] for i in range(20)])


@pytest.mark.parametrize("label", [None, "kind", "absent"])
def test_csv_for_prediction(tmp_path, label):
    path = write_csv(tmp_path / "new.csv", ["note", "v", "kind", "u"], [["text", 1, "b", 2], ["", 3, "a", 4]])
    raw = datasets.read_table(path, ["u", "v"], label)
    np.testing.assert_array_equal(matrix(raw), [[2, 1], [4, 3]])
    assert raw.labels == (("b", "a") if label == "kind" else None)


def test_csv_for_prediction_without_a_feature(tmp_path):
    path = write_csv(tmp_path / "new.csv", ["width", "kind"], [[1, "a"]])
    with pytest.raises(ValueError) as error:
        datasets.read_table(path, ["widht"])
    assert_says(error, path, "'widht'", "'width', 'kind'", "did you mean 'width'?")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeffu,kind\n1,a\n2,b\n", id="byte order mark"),
        pytest.param("u,kind\r\n1,a\r\n2,b\r\n", id="CRLF"),
        pytest.param("u,kind\n\n1,a\n\n2,b\n\n", id="blank lines"),
        pytest.param("u, kind\n 1, a\n 2 , b", id="spaces"),
        pytest.param('"u","kind"\n"1","a"\n"2","b"\n', id="quotes"),
    ],
)
def test_csv_dialects(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    raw = datasets.read_table(path)
    assert tuple(raw.columns) == ("u",) and raw.labels == ("a", "b")
    np.testing.assert_array_equal(matrix(raw), [[1.0], [2.0]])


GOOD = "u,v,kind\n" + "1,2,a\n3,4,b\n" * 6


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("", ["header row", "empty file"], id="empty file"),
        pytest.param("\n\n", ["header row", "empty file"], id="blank lines only"),
        pytest.param("u,v,kind\n", ["rows of data", "none"], id="header only"),
        pytest.param(
            GOOD + "x,2,a", ["line 14", "'u'", "finite number", "'x'", "--columns u=category"], id="text in a number"
        ),
        pytest.param(GOOD + "1_0,2,a", ["line 14", "'u'", "'1_0'"], id="underscore"),
        pytest.param(GOOD + "-inf,1,a", ["line 14", "'u'", "finite", "'-inf'"], id="inf"),
        pytest.param(GOOD + "1e999,1,a", ["line 14", "'u'", "finite", "'1e999'"], id="overflow"),
        pytest.param(GOOD + "1,2, ", ["line 14", "'kind'", "label", "missing value"], id="missing label"),
        pytest.param(GOOD + "1,2", ["line 14", "3 cells", "got 2", "complete"], id="short row"),
        pytest.param(GOOD + "1,2,3,a", ["line 14", "3 cells", "got 4", "quote"], id="long row"),
        pytest.param("u,u,kind\n1,2,a\n", ["line 1", "different column names", "'u' twice"], id="duplicate names"),
        pytest.param("u,,kind\n0,1,a\n", ["line 1", "name for each", "column 2", "remove it"], id="no name"),
        pytest.param("u,kind\n" + "1,a\n" * 12, ["'kind'", "at least two classes", "'a'"], id="one class"),
        pytest.param(
            "u,price\n" + "1,2\n3,0.5\n5,NA\n" * 6, ["'price'", "'NA' for example 2"], id="a value that is missing"
        ),
        pytest.param("u,kind\n1,a\n2,b\n", ["at least 10 rows", "got 2"], id="too few rows"),
        pytest.param("1.5,0.5,a\n" * 12, ["line 1", "header row", "'1.5', '0.5', 'a'", "add one"], id="no header"),
        pytest.param('u,kind\n1,"a\n2,b\n', ["cells of a table", "line 3", "quotes"], id="open quote"),
    ],
)
def test_csv_refuses(tmp_path, text, parts):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        datasets.load_table(path)
    assert_says(error, path, "expected", "got", *parts)


def test_csv_without_the_label_named(tmp_path):
    path = twenty_rows(tmp_path / "t.csv")
    with pytest.raises(ValueError) as error:
        datasets.load_table(path, "kynd")
    assert_says(error, path, "'kynd'", "'width', 'height', 'kind'", "did you mean 'kind'?")


@pytest.mark.parametrize("function", [datasets.load_table, datasets.load_npz])
def test_absent_file(tmp_path, function):
    with pytest.raises(FileNotFoundError, match=r"absent\.any"):
        function(tmp_path / "absent.any")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["yes", " yes", "no "], ("no", "yes")),
        ([str(i) for i in range(20)], tuple(map(str, range(20)))),
        (["2.0", "10.0", "1.0"], ("1.0", "2.0", "10.0")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["ß", "é", "a"], ("a", "ß", "é")),
    ],
)
def test_classes_are_sorted(labels, classes):
    assert datasets.class_names(labels) == classes
    encoded = datasets.encode_labels(labels, classes)
    assert [classes[i] for i in encoded] == [label.strip() for label in labels] and encoded.dtype == np.int32


NO_CLASSES = {  # labels, and words of the error
    "another case": (["yes", "Yes", "no"], ["one spelling", "'Yes', 'yes'", "alike"]),
    "another form of a number": (["1", "1.0", "0"], ["one spelling", "'1', '1.0'"]),
    "a missing label": (["a", "b", "NA"], ["a label for each", "'NA' for 1 of 3", "rename the class"]),
    "blank": (["a", "b", " "], ["a label for each", "'' for 1 of 3"]),
    "amounts": ([str(i % 21) for i in range(99)], ["at most 20", "21 different whole numbers", "--task regression"]),
    "whole floats": ([f"{i % 21}.0" for i in range(99)], ["at most 20", "task='classification'"]),
    "a name for each": ([f"n{i}" for i in range(21)], ["share", "21 different ones for 21", "another label column"]),
}


@pytest.mark.parametrize("name", NO_CLASSES)
def test_labels_that_may_be_no_classes_are_asked_about(name):
    labels, words = NO_CLASSES[name]
    with pytest.raises(ValueError) as error:
        datasets.class_names(labels, "kind")
    assert_says(error, "kind: expected", "got", *words)


VALUES = {  # labels, the task, and whether they are values to regress on
    "a number that is not whole": (["1", "2.5", "3"], "auto", True),
    "and one is missing": (["1", "2.5", "NA"], "auto", True),
    "whole numbers": (["1", "2.0", "3"], "auto", False),
    "a text": (["1", "2.5", "x"], "auto", False),
    "an infinite one": (["1", "2.5", "inf"], "auto", False),
    "declared to be values": (["1", "2", "3"], "regression", True),
    "declared to be classes": (["1", "2.5", "3"], "classification", False),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_told_from_classes(name):
    labels, task, expected = VALUES[name]
    assert _labels.are_values(labels, task) == expected


NO_VALUES = {
    "a missing value": (["1.5", "NA", "2"], ["a finite number", "'NA' for example 1", "fill it in"]),
    "a text": (["1.5", "2", "high"], ["a finite number", "'high' for example 2", "--task classification"]),
    "infinite": (["1.5", "inf"], ["a finite number", "'inf' for example 1"]),
    "one value": (["1.5", " 1.50"], ["at least two different values", "only '1.5'"]),
}


@pytest.mark.parametrize("name", NO_VALUES)
def test_what_is_no_value_is_named(name):
    labels, words = NO_VALUES[name]
    with pytest.raises(ValueError) as error:
        _labels.target_values(labels, "price")
    assert_says(error, "price: expected", "got", *words)


def test_values_are_standardised_by_the_training_split(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 2)), np.round(rng.normal(100, 20, size=50), 2)
    np.savez(tmp_path / "a.npz", x=x, labels=y)
    lines = [f"{a!r},{b!r},{c!r}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True)]
    (tmp_path / "a.csv").write_text("u,v,price\n" + "\n".join(lines), encoding="utf-8")
    for name in ("a.npz", "a.csv"):
        dataset = datasets.load(tmp_path / name, dtype=np.float64)
        assert dataset.classes == () and dataset.outputs == 1 and dataset.train.labels.shape == (35, 1)
        back = [dataset.target_mean + dataset.target_scale * split.labels for split in (dataset.train, dataset.test)]
        rows = datasets.split_indices(50)
        np.testing.assert_allclose(back[0][:, 0], y[rows[0]], rtol=1e-12)
        np.testing.assert_allclose(back[1][:, 0], y[rows[2]], rtol=1e-12)
        assert abs(dataset.train.labels.mean()) < 1e-12 and abs(dataset.train.labels.std() - 1) < 1e-12


def test_training_values_that_are_all_equal(tmp_path):
    y = np.full(20, 1.5)
    y[datasets.split_indices(20)[2][0]] = 2.5  # a test example
    np.savez(tmp_path / "a.npz", x=np.arange(40.0).reshape(20, 2), labels=y)
    with pytest.raises(ValueError) as error:
        datasets.load(tmp_path / "a.npz")
    assert_says(error, "labels", "at least two different values", "only 1.5 among the training examples")


@pytest.mark.parametrize("name", ["amounts", "whole floats", "a name for each"])
def test_what_is_declared_to_be_classes_is(name):
    labels, _ = NO_CLASSES[name]
    assert set(datasets.class_names(labels, task="classification")) == set(labels)


def test_a_task_that_is_none():
    with pytest.raises(ValueError) as error:
        datasets.class_names(["a", "b"], task="classify")
    assert_says(error, "task", "auto, classification", "did you mean 'classification'?")


@pytest.mark.parametrize("header", ["0,1,2,kind", "400.5,410,420.25,kind", "u,7,v,kind"])
def test_columns_may_have_numbers_for_names(header, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n" + "1,2,3,a\n4,5,6,b\n", encoding="utf-8")
    assert tuple(datasets.read_table(path).columns) == tuple(header.split(",")[:-1])


def test_unknown_label():
    with pytest.raises(ValueError) as error:
        datasets.encode_labels(["a", "c"], ["a", "b"], "kind")
    assert_says(error, "kind", "'a', 'b'", "'c'")


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(st.tuples(finite, finite), min_size=1, max_size=20), classes=st.data())
def test_csv_reading_gives_back_any_finite_numbers_and_names(tmp_path, table, classes):
    labels = classes.draw(st.lists(names, min_size=len(table), max_size=len(table)))
    rows = [[repr(u), repr(v), label] for (u, v), label in zip(table, labels, strict=True)]
    raw = datasets.read_table(write_csv(tmp_path / "t.csv", ["u", "v", "kind"], rows))
    np.testing.assert_array_equal(matrix(raw), table)
    assert raw.labels == tuple(label.strip() for label in labels)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(*2 * [st.integers(-(10**6), 10**6)]), min_size=10, max_size=30),
    pair=st.lists(names.map("k".__add__), min_size=2, max_size=2, unique_by=lambda name: name.strip().casefold()),
    exponent=st.integers(-150, 150),
)
def test_csv_loading_can_be_undone(tmp_path, table, pair, exponent):
    numbers = np.array(table) * 10.0**exponent
    labels = [pair[i % 2] for i in range(len(table))]
    rows = [[repr(float(u)), repr(float(v)), label] for (u, v), label in zip(numbers, labels, strict=True)]
    path = write_csv(tmp_path / "t.csv", ["u", "v", "kind"], rows)
    data = datasets.load_table(path)
    constant = np.isinf(data.scale)  # says nothing: 0 in every split
    scale = np.where(constant, 0, data.scale)
    rows = datasets.split_indices(len(table), strata=np.arange(len(table)) % 2)
    for split, index in zip((data.train, data.validation, data.test), rows, strict=True):
        back = split.x.astype(np.float64) * scale + data.mean
        expected = np.where(constant, data.mean, numbers[index])
        np.testing.assert_allclose(back, expected, rtol=0, atol=1e-6 * np.abs(numbers).max() + 1e-300)
        assert [data.classes[i] for i in split.labels] == [labels[i].strip() for i in index]


# ---- NPZ


@pytest.mark.parametrize(
    ("shape", "scaling"), [((30, 4), (4,)), ((30, 4, 2), ()), ((30, 2, 2, 3), ())], ids=["table", "images", "colour"]
)
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        pytest.param(np.arange(30) % 3 * 5, ("0", "5", "10"), id="integers"),
        pytest.param(np.array(["ж", "é", "a"] * 10), ("a", "é", "ж"), id="strings"),
        pytest.param(np.arange(30) % 2 == 0, ("False", "True"), id="booleans"),
    ],
)
def test_npz(tmp_path, shape, scaling, labels, classes):
    path, x = tmp_path / "t.npz", np.random.default_rng(0).normal(size=shape)
    np.savez(path, x=x, labels=labels)
    data = datasets.load_npz(path)
    encoded = datasets.encode_labels([str(label) for label in labels.tolist()], classes)
    rows = datasets.split_indices(30, strata=encoded)
    assert data.mean.shape == data.scale.shape == scaling and data.classes == classes
    for split, index in zip((data.train, data.validation, data.test), rows, strict=True):
        expected = ((x.reshape(30, -1)[index] - data.mean) / data.scale).astype(np.float32)
        np.testing.assert_array_equal(split.x, expected)
        assert [classes[i] for i in split.labels] == [str(label) for label in labels[index]]


def test_npz_without_labels(tmp_path):
    path, x = tmp_path / "t.npz", np.arange(6, dtype=np.uint8).reshape(3, 2)
    np.savez_compressed(path, x=x)
    raw = datasets.read_npz(path)
    assert raw.labels is None and raw.x.tolist() == x.tolist()
    with pytest.raises(ValueError) as error:
        datasets.load_npz(path)
    assert_says(error, path, "'labels'", "only 'x'", "savez")


X, Y = np.ones((12, 3)), np.arange(12) % 2


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        pytest.param({"data": X, "y": Y}, ["'x'", "only 'data', 'y'", "savez"], id="other keys"),
        pytest.param({}, ["'x'", "an empty file"], id="no arrays"),
        pytest.param({"x": X[:, 0], "labels": Y}, ["(N, ...)", "(12,)"], id="one axis"),
        pytest.param({"x": X[:0], "labels": Y[:0]}, ["(N, ...)", "(0, 3)"], id="no rows"),
        pytest.param({"x": X.astype(str), "labels": Y}, ["real numbers", "<U32"], id="text"),
        pytest.param({"x": X * 1j, "labels": Y}, ["real numbers", "complex128"], id="complex"),
        pytest.param({"x": X, "labels": Y[:5]}, ["shape (12,)", "(5,)"], id="lengths differ"),
        pytest.param({"x": X, "labels": X}, ["shape (12,)", "(12, 3)"], id="one-hot"),
        pytest.param({"x": X, "labels": Y * 1j}, ["integers", "complex128"], id="complex labels"),
        pytest.param({"x": X * [1, np.nan, 1], "labels": Y}, ["finite", "nan", "row 0, column 1"], id="nan"),
        pytest.param({"x": X * [1, 1, -np.inf], "labels": Y}, ["finite", "-inf", "column 2"], id="inf"),
        pytest.param({"x": X, "labels": Y * 0}, ["at least two classes", "'0'"], id="one class"),
        pytest.param({"x": X[:9], "labels": Y[:9]}, ["at least 10 rows", "got 9"], id="too few rows"),
        pytest.param({"x": X, "labels": Y.astype(object)}, ["plain arrays", "cannot be read"], id="pickled"),
    ],
)
def test_npz_refuses(tmp_path, arrays, parts):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError) as error:
        datasets.load_npz(path)
    assert_says(error, path, "expected", "got", *parts)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: b"", id="empty"),
        pytest.param(lambda whole: b"not a zip", id="text"),
        pytest.param(lambda whole: np.lib.format.magic(1, 0) + b"\0", id="damaged NPY"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="truncated"),
        pytest.param(lambda whole: whole[:150] + bytes(40) + whole[190:], id="overwritten"),
    ],
)
def test_npz_damaged(tmp_path, damage):
    path = tmp_path / "t.npz"
    np.savez(path, x=X, labels=Y)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as error:
        datasets.load_npz(path)
    assert str(error.value).startswith(f"{path}: expected an NPZ file") and "savez" in str(error.value)


def test_npz_that_is_a_single_array(tmp_path):
    path = tmp_path / "t.npz"
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(ValueError) as error:
        datasets.load_npz(path)
    assert_says(error, path, "ZIP archive", "savez")


# ---- load


@pytest.mark.usefixtures("no_annotation_checks")
def test_load_dispatches(tmp_path, monkeypatch):
    path = twenty_rows(tmp_path / "T.CSV")
    np.savez(tmp_path / "t.npz", x=X, labels=Y)
    assert datasets.load(path).name == datasets.load(str(path), "kind").name == "T.CSV"
    assert datasets.load(tmp_path / "t.npz").name == "t.npz"
    assert datasets.load("digits", dtype=np.float64).train.x.dtype == np.float64
    monkeypatch.setattr(_loaders, "load_mnist", lambda **keywords: keywords)
    monkeypatch.setattr(_loaders, "load_mnist1d", lambda **keywords: keywords)
    assert datasets.load("mnist", log=print) == {"scaling": "standard", "dtype": np.float32, "log": print}
    assert datasets.load("mnist1d", scaling="robust") == {"scaling": "robust", "dtype": np.float32}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("digit", ["did you mean 'digits'?"]),
        ("MNIST", ["did you mean 'mnist'?"]),
        ("mnist-1d", ["did you mean 'mnist1d'?"]),
        ("table.docx", [".csv, .tsv, .txt, .xlsx, .parquet or .npz"]),
        ("", [".parquet or .npz", "''"]),
    ],
)
def test_load_of_an_unknown_name(name, parts):
    with pytest.raises(ValueError) as error:
        datasets.load(name)
    assert_says(error, "'digits', 'mnist', 'mnist1d'", repr(name), *parts)


def test_label_is_for_csv_only():
    with pytest.raises(ValueError) as error:
        datasets.load("digits", "kind")
    assert_says(error, "label", "no table", "'kind' for 'digits'")


@pytest.mark.parametrize(
    ("name", "package", "user"),
    [
        ("digits", "scikit-learn", "the data set 'digits'"),
        ("mnist1d", "mnist1d", "the data set 'mnist1d'"),
        ("mnist", "pooch", "the download of MNIST"),
    ],
)
def test_missing_library(monkeypatch, tmp_path, name, package, user):
    monkeypatch.delenv("MLP_JAX_DATA", raising=False)
    monkeypatch.setattr(_mnist, "cache_folder", lambda: tmp_path)
    for module in ("sklearn", "mnist1d.data", "pooch"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError) as error:
        datasets.load(name)
    assert_says(error, f"{user} needs {package}", "pip install 'mlp_jax[data]'")


# ---- MNIST-1D


@pytest.mark.usefixtures("no_annotation_checks")  # beartype draws random numbers itself
def test_mnist1d_is_the_published_set_and_leaves_no_trace(monkeypatch):
    package = pytest.importorskip("mnist1d.data")
    made, make = [], package.make_dataset

    def spy(arguments):
        made.append((arguments, make(arguments)))
        return made[-1][1]

    monkeypatch.setattr(package, "make_dataset", spy)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    data = datasets.load_mnist1d()
    assert random.getstate() == python_state
    for after, before in zip(np.random.get_state(), numpy_state, strict=True):
        np.testing.assert_array_equal(after, before)
    [(arguments, published)] = made
    assert vars(arguments) == vars(package.get_dataset_args())
    sizes = [len(s.x) for s in (data.train, data.validation, data.test)]
    assert sizes == [3600, 400, 1000] and data.train.x.shape[1] == 40
    raw = np.concatenate([published["x"], published["x_test"]])
    np.testing.assert_allclose([data.mean, data.scale], [raw[:3600].mean(), raw[:3600].std()], rtol=1e-9)
    x, labels = (np.concatenate(a) for a in zip(data.train, data.validation, data.test, strict=True))
    np.testing.assert_array_equal(x, ((raw - data.mean) / data.scale).astype(np.float32))
    np.testing.assert_array_equal(labels, np.concatenate([published["y"], published["y_test"]]))


# ---- IDX and MNIST


def idx(array):
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("shape", [(5,), (0,), (3, 4), (2, 3, 4)], ids=str)
def test_idx(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(_mnist.parse_idx(idx(array), "a file"), array)


WHOLE = idx(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        pytest.param(b"", ["magic"], id="empty"),
        pytest.param(b"\x89PNG" + WHOLE, ["magic", "89 50 4e 47"], id="another format"),
        pytest.param(b"\0\0\x0d\x02" + WHOLE[4:], ["magic", "00 00 0d 02"], id="floats"),
        pytest.param(b"\0\0\x08\0", ["magic", "00 00 08 00"], id="no axes"),
        pytest.param(WHOLE[:7], ["bytes", "got 7"], id="cut in the header"),
        pytest.param(WHOLE[:-1], ["18 bytes", "(2, 3)", "got 17"], id="cut in the data"),
        pytest.param(WHOLE + b"\0", ["18 bytes", "(2, 3)", "got 19"], id="too long"),
    ],
)
def test_idx_refuses(raw, parts):
    with pytest.raises(ValueError) as error:
        _mnist.parse_idx(raw, "some file")
    assert_says(error, "some file", "expected", "got", *parts)


@pytest.mark.skipif(
    REAL_DATA is None or not list(Path(REAL_DATA).glob("**/train-images-idx3-ubyte*")),
    reason="MLP_JAX_DATA is unset or holds no MNIST files",
)
def test_mnist_itself():
    data = datasets.load_mnist(mirrors=())
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [50000, 10000, 10000]
    assert data.train.x.shape == (50000, 784) and data.train.x.dtype == np.float32
    assert data.mean.shape == data.scale.shape == ()
    np.testing.assert_allclose([data.mean / 255, data.scale / 255], [0.1307, 0.3081], atol=1e-3)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9] and data.test.labels[:3].tolist() == [7, 2, 1]
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Four tiny IDX files in place of MNIST's, their hashes in the table, and no folder that has them."""
    generator = np.random.default_rng(0)
    sizes = {"train": 12, "t10k": 3}
    files = {}
    for part, size in sizes.items():
        files[f"{part}-images-idx3-ubyte"] = idx(generator.integers(0, 256, (size, 4, 4)))
        files[f"{part}-labels-idx1-ubyte"] = idx(generator.integers(0, 10, size))
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    monkeypatch.setattr(_mnist, "MNIST_SHA256", hashes)
    monkeypatch.delenv("MLP_JAX_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return files


def put(folder, files, zipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(raw) if zipped else raw)
    return folder


def check_fake(data, files):
    images = np.frombuffer(files["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(12, 16)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [10, 2, 3]
    both = np.concatenate([data.train.x, data.validation.x])
    np.testing.assert_array_equal(both, ((images - data.mean) / data.scale).astype(np.float32))
    np.testing.assert_allclose(data.mean, images[:10].mean())


@pytest.mark.parametrize("zipped", [True, False], ids=["gzip", "raw"])
@pytest.mark.parametrize("where", ["", "mnist", "cache"], ids=["the folder", "its mnist", "the cache"])
def test_mnist_is_found(monkeypatch, tmp_path, fake, where, zipped):
    put(tmp_path / where, fake, zipped)
    if where != "cache":
        monkeypatch.setenv("MLP_JAX_DATA", str(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*ubyte*")}
    monkeypatch.setitem(sys.modules, "pooch", None)  # only a download needs it
    check_fake(datasets.load_mnist(cache=tmp_path / "cache", mirrors=()), fake)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*ubyte*")} == before


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        pytest.param(platformdirs.unix.Unix, {"XDG_CACHE_HOME": "base"}, "base", id="Linux, XDG_CACHE_HOME"),
        pytest.param(platformdirs.unix.Unix, {}, ".cache", id="Linux"),
        pytest.param(platformdirs.macos.MacOS, {}, "Library/Caches", id="macOS"),
        pytest.param(platformdirs.windows.Windows, {}, "AppData/Local", id="Windows"),
    ],
)
def test_cache_folder(monkeypatch, tmp_path, system, variables, expected):
    monkeypatch.setattr(platformdirs, "PlatformDirs", system)
    windows = {"CSIDL_LOCAL_APPDATA": str(tmp_path / "AppData" / "Local")}
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", windows.__getitem__)  # it asks Windows itself
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, folder in {"HOME": "", "USERPROFILE": "", **variables}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    assert cache_folder() == tmp_path / expected / "mlp_jax"
    assert not list(tmp_path.iterdir())


def flip_a_byte(raw):
    return raw[:20] + bytes([raw[20] ^ 1]) + raw[21:]


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        pytest.param(lambda raw: gzip.compress(raw)[:40], ["whole gzip"], id="truncated gzip"),
        pytest.param(lambda raw: flip_a_byte(gzip.compress(raw)), [], id="corrupt gzip"),
        pytest.param(lambda raw: b"<html>", ["SHA-256"], id="a web page"),
        pytest.param(lambda raw: gzip.compress(flip_a_byte(raw)), ["SHA-256"], id="another pixel"),
        pytest.param(lambda raw: raw[:-1], ["SHA-256"], id="truncated raw"),
        pytest.param(lambda raw: b"", ["SHA-256"], id="empty"),
    ],
)
def test_mnist_damaged(monkeypatch, tmp_path, fake, damage, parts):
    path = put(tmp_path, fake) / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(fake["train-images-idx3-ubyte"]))
    monkeypatch.setenv("MLP_JAX_DATA", str(tmp_path))
    with pytest.raises(ValueError) as error:
        datasets.load_mnist(cache=tmp_path / "cache", mirrors=())
    assert_says(error, path, "expected", "got", "delete the file", *parts)
    assert not (tmp_path / "cache").exists()


def test_mnist_of_wrong_shape(monkeypatch, tmp_path, fake):
    files = fake | {"t10k-labels-idx1-ubyte": idx(np.zeros(4))}
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    monkeypatch.setattr(_mnist, "MNIST_SHA256", hashes)
    with pytest.raises(ValueError) as error:
        datasets.load_mnist(cache=put(tmp_path, files), mirrors=())
    assert_says(error, "t10k", "labels of shape (N,)", "(3, 4, 4) and (4,)")


# ---- the download


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that a local server serves, and its address."""
    folder = tmp_path_factory.mktemp("site")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def mirror(site, fake, tmp_path):
    """Serve the fake files in a folder of this test's own; return the folder and its address."""
    folder, address = site
    return put(folder / tmp_path.name, fake), f"{address}/{tmp_path.name}/"


def downloaded(files):
    return sorted(f"{name}.gz" for name in files)


@pytest.mark.parametrize("slash", ["/", ""], ids=["with a slash", "without"])
def test_download_once(tmp_path, fake, mirror, slash, capfd):
    lines, (served, address) = [], mirror
    cache, address = tmp_path / "a" / "cache", address.rstrip("/") + slash
    check_fake(datasets.load_mnist(cache=cache, mirrors=(address,), log=lines.append), fake)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {
        path.name: path.read_bytes() for path in served.iterdir()
    }
    assert lines == [f"downloading MNIST (11 MB) from {address} to {cache}"]
    assert str(cache) not in capfd.readouterr().err  # pooch is silent
    check_fake(datasets.load_mnist(cache=cache, mirrors=(), log=lines.append), fake)
    assert len(lines) == 1


FIRST = "train-images-idx3-ubyte.gz"
FAILURES = [
    pytest.param(lambda path: path.write_bytes(path.read_bytes()[:30]), "whole gzip", id="truncated"),
    pytest.param(lambda path: path.write_bytes(gzip.compress(b"wrong")), "SHA-256", id="wrong contents"),
    pytest.param(lambda path: path.write_bytes(b""), "SHA-256", id="empty"),
    pytest.param(lambda path: path.unlink(), "404", id="404"),
]


@pytest.mark.parametrize(("damage", "reason"), FAILURES)
def test_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, fake, mirror, damage, reason):
    cache, (served, address) = tmp_path / "cache", mirror
    damage(served / FIRST)
    with pytest.raises(ConnectionError) as error:
        datasets.load_mnist(cache=cache, mirrors=(address, "nonsense"))
    assert_says(error, f"{address}: ", reason, "nonsense: ", cache, "Offline", "MLP_JAX_DATA", *downloaded(fake))
    assert list(cache.iterdir()) == []


def test_silent_mirror_is_given_up(monkeypatch, tmp_path, fake):
    monkeypatch.setattr(_mnist, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectionError, match="timed out"):
        datasets.load_mnist(cache=tmp_path, mirrors=(f"http://127.0.0.1:{silent.getsockname()[1]}/",))
    assert not list(tmp_path.iterdir())


def test_next_mirror_brings_what_is_missing(tmp_path, fake, mirror):
    """The first mirror has no files and the second has a damaged one."""
    lines, (served, address) = [], mirror
    bad = put(served / "bad", fake) / "t10k-images-idx3-ubyte.gz"
    bad.write_bytes(b"damaged")
    mirrors = (f"{address}absent", f"{address}bad", address)
    check_fake(datasets.load_mnist(cache=tmp_path, mirrors=mirrors, log=lines.append), fake)
    assert sorted(path.name for path in tmp_path.iterdir()) == downloaded(fake)
    assert len(lines) == 3


def test_no_mirrors(tmp_path, fake):
    with pytest.raises(ConnectionError) as error:
        datasets.load_mnist(cache=tmp_path, mirrors=())
    assert_says(error, "got no mirrors", "MLP_JAX_DATA")


def test_cache_that_cannot_be_made(tmp_path, fake, mirror):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConnectionError) as error:
        datasets.load_mnist(cache=tmp_path / "file" / "cache", mirrors=(mirror[1],))
    assert_says(error, tmp_path / "file", "MLP_JAX_DATA")
