"""Two gradients compared: each number, each name, and each way in which they can differ, in words."""

import json
from collections import OrderedDict
from io import StringIO
from time import process_time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from mlp_jax import Layer, compare_gradients
from mlp_jax.check import TOLERANCES

EXPECTED = np.array([[3.0, 0.0], [0.0, 4.0]])  # of norm 5


def only_leaf(actual, expected, **settings):
    (leaf,) = compare_gradients({"W": actual}, {"W": expected}, **settings).leaves
    return leaf


@pytest.mark.parametrize(
    ("actual", "relative_error", "cosine", "norm_ratio", "max_error", "index"),
    [
        pytest.param(EXPECTED, 0, 1, 1, 0, (0, 0), id="right"),
        pytest.param(2 * EXPECTED, 1, 1, 2, 4, (1, 1), id="factor 2"),
        pytest.param(-EXPECTED, 2, -1, 1, 8, (1, 1), id="sign"),
        pytest.param(0 * EXPECTED, 1, np.nan, 0, 4, (1, 1), id="zero"),
        pytest.param(EXPECTED[::-1], 2**0.5, 0, 1, 4, (1, 0), id="rows swapped"),
        pytest.param(
            EXPECTED + np.array([[0, 0.5], [0, 0]]), 0.1, 5 / 25.25**0.5, 25.25**0.5 / 5, 0.5, (0, 1), id="one entry"
        ),
    ],
)
def test_each_number(actual, relative_error, cosine, norm_ratio, max_error, index):
    leaf = only_leaf(actual, EXPECTED)
    numbers = (leaf.relative_error, leaf.cosine, leaf.norm_ratio, leaf.max_error)
    np.testing.assert_allclose(numbers, (relative_error, cosine, norm_ratio, max_error), rtol=1e-14)
    assert leaf.index in (index, (0, 1), (1, 1)) if relative_error == 2**0.5 else leaf.index == index
    assert (leaf.actual, leaf.expected) == (actual[leaf.index], EXPECTED[leaf.index])
    assert leaf.ok == (relative_error == 0)
    assert (leaf.problem == "") == leaf.ok


LAYERS = (Layer(jnp.ones((2, 3)), jnp.ones(3)), Layer(jnp.ones((3, 1)), jnp.ones(1)))


class Point(NamedTuple):
    x: float
    y: float


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (LAYERS, ["layers[0].weight", "layers[0].bias", "layers[1].weight", "layers[1].bias"]),
        ([(1.0, 2.0), (3.0, 4.0)], ["layers[0][0]", "layers[0][1]", "layers[1][0]", "layers[1][1]"]),
        ({"encoder": {"W": 1.0, "b": 2.0}, "scale": 3.0}, ["encoder.W", "encoder.b", "scale"]),
        ({"blocks": [1.0, {"W": 2.0}]}, ["blocks[0]", "blocks[1].W"]),
        (Point(1.0, 2.0), ["x", "y"]),
        ([1.0, 2.0], ["[0]", "[1]"]),
        (OrderedDict(b=1.0, a=2.0), ["b", "a"]),
        (1.0, ["gradient"]),
    ],
    ids=[
        "layers",
        "list of pairs",
        "nested dicts",
        "list in a dict",
        "NamedTuple",
        "list",
        "OrderedDict",
        "bare array",
    ],
)
def test_names(tree, names):
    report = compare_gradients(tree, tree)
    assert [leaf.name for leaf in report.leaves] == names
    assert report, report


@pytest.mark.parametrize(
    ("actual", "expected", "where", "words"),
    [
        pytest.param({"W": 1.0}, {"W": 1.0, "b": 2.0}, "b", "missing", id="missing leaf"),
        pytest.param({"W": 1.0, "b": None}, {"W": 1.0, "b": 2.0}, "b", "missing", id="None for a leaf"),
        pytest.param({"W": 1.0, "c": 2.0}, {"W": 1.0}, "c", "no such leaf", id="unexpected leaf"),
        pytest.param([1.0], [1.0, 2.0], "[1]", "missing", id="short list"),
        pytest.param({"a.b": 1.0, "a": {"b": 2.0}}, {"a.b": 1.0, "a": {"b": 2.0}, "c": 4.0}, "c", "missing", id="dots"),
        pytest.param(np.ones((2, 3)), np.ones((3, 2)), "gradient", "shape (2, 3), expected (3, 2)", id="shape"),
        pytest.param(1.0, np.ones(1), "gradient", "shape (), expected (1,)", id="scalar for a vector"),
        pytest.param([1.0, np.nan], [1.0, 2.0], "[1]", "it is not finite: 1 of 1 entries", id="NaN"),
        pytest.param(np.array([1, np.inf]), np.ones(2), "gradient", "1 of 2 entries, the first inf at (1,)", id="inf"),
        pytest.param(np.ones(2), np.full(2, np.nan), "gradient", "the expected gradient is not finite", id="NaN truth"),
        pytest.param(np.array([np.nan]), np.array([np.nan]), "gradient", "expected gradient is not", id="NaN in both"),
        pytest.param("abc", 1.0, "gradient", "expected an array of numbers, got abc", id="string"),
        pytest.param(1.0, "abc", "gradient", "the expected gradient: expected an array of numbers", id="string truth"),
        pytest.param({"W": print}, {"W": 1.0}, "W", "expected an array of numbers", id="function"),
        pytest.param(1 + 1e-3j, 1.0, "gradient", "off by 0.001", id="complex for real"),
        pytest.param(np.array([0.0, 1e-3]), np.zeros(2), "gradient", "off by inf", id="nothing but zeros expected"),
        pytest.param(1.7e308, -1.7e308, "gradient", "off by", id="overflow of the difference"),
    ],
)
def test_what_is_wrong_is_said(actual, expected, where, words):
    report = compare_gradients(actual, expected)
    assert not report
    assert report.worst.name == where
    assert words in report.worst.problem
    assert words in report.verdict and where in report.verdict
    for leaf in report.leaves:
        assert leaf.ok == (leaf.name != where)
    assert_renders(report)


def assert_renders(report):
    assert report.verdict in str(report)
    html = report._repr_html_()
    assert html.count("<tr") == len(report.leaves) + 1
    assert "nan" not in html.partition("<svg")[2].partition("<title>")[0]
    json.loads(json.dumps(report.to_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param([1.0, 2.0], (1.0, 2.0), id="tuple for list"),
        pytest.param(Point(1.0, 2.0), (1.0, 2.0), id="NamedTuple for tuple"),
        pytest.param([[jnp.ones((2, 3)), jnp.ones(3)], (jnp.ones((3, 1)), jnp.ones(1))], LAYERS, id="lists for layers"),
    ],
)
def test_other_containers_are_noted_and_not_wrong(actual, expected):
    report = compare_gradients(actual, expected)
    assert report, report
    assert report.notes == ("the containers differ in type (tuples for lists, say)",)


def test_other_keys_are_wrong():
    report = compare_gradients({"W1": 1.0}, {"dW1": 1.0})
    assert [(leaf.name, leaf.ok) for leaf in report.leaves] == [("dW1", False), ("W1", False)]
    assert report.notes == ("the structures differ",)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        pytest.param(None, None, id="None in both"),
        pytest.param(np.zeros(3, jax.dtypes.float0), None, id="float0 of an integer argument"),
        pytest.param(None, np.zeros(2), id="None for zeros"),
        pytest.param(np.zeros(2), None, id="zeros for None"),
        pytest.param(np.zeros((0, 3)), np.zeros((0, 3)), id="empty"),
        pytest.param(np.zeros(2), np.zeros(2), id="zeros"),
        pytest.param(np.array([1e-17]), np.zeros(1), id="rounding for zeros"),
        pytest.param(np.array([1 + 2j]), np.array([1 + 2j]), id="complex"),
        pytest.param([1, 2], [1.0, 2.0], id="integers"),
        pytest.param(True, 1.0, id="bool"),
        pytest.param(np.array([1e200, 2e200]), np.array([1e200, 2e200]) * (1 + 1e-12), id="huge"),
        pytest.param(np.array([1e-200, 2e-200]), np.array([1e-200, 2e-200]) * (1 + 1e-12), id="tiny"),
    ],
)
def test_right(actual, expected):
    report = compare_gradients(actual, expected)
    assert report, report
    assert_renders(report)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_measures_do_not_depend_on_the_scale(scale):
    leaf = only_leaf(scale * np.array([3.0, 4.4]), scale * np.array([3.0, 4.0]))
    measures = (leaf.relative_error, leaf.cosine, leaf.norm_ratio)
    np.testing.assert_allclose(measures, (0.08, 26.6 / 5 / 28.36**0.5, 28.36**0.5 / 5), rtol=1e-12)


@pytest.mark.parametrize(("error", "ok"), [(1e-12, True), (1e-3, False)])
def test_a_leaf_expected_to_be_zero_is_judged_against_the_whole_gradient(error, ok):
    report = compare_gradients({"W": EXPECTED, "b": np.array([5 * error])}, {"W": EXPECTED, "b": np.zeros(1)})
    assert report.ok == ok
    assert report.worst.name == "b"
    assert report.worst.relative_error == pytest.approx(error)
    assert ok or "of the whole gradient (the leaf is expected to be zero)" in report.worst.problem


def test_one_nan_elsewhere_does_not_excuse_a_leaf():
    report = compare_gradients([np.ones(1), np.ones(1)], [np.full(1, np.nan), np.zeros(1)])
    assert not any(leaf.ok for leaf in report.leaves)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16, "complex128", "complex64"])
def test_tolerance_goes_by_the_dtype(dtype):
    real = {"complex128": "float64", "complex64": "float32"}.get(np.dtype(dtype).name, np.dtype(dtype).name)
    assert only_leaf(np.ones(2, dtype), np.ones(2, dtype)).tolerance == TOLERANCES[real]


def test_tolerance_goes_by_the_coarser_dtype_which_is_noted():
    report = compare_gradients(np.ones(2, np.float32), np.ones(2) + 5e-5)
    assert report, report
    assert report.notes == ("gradient: dtype float32, expected float64",)
    assert not compare_gradients(np.ones(2), np.ones(2) + 5e-5)


@pytest.mark.parametrize(
    ("settings", "ok"),
    [
        ({}, False),
        ({"tolerance": 1e-5}, True),
        ({"tolerance": 1e-7}, False),
        ({"reference_error": 1e-5}, True),
        ({"tolerance": 0, "reference_error": 1e-5}, True),
        ({"tolerance": np.float32(1e-5)}, True),
    ],
    ids=str,
)
def test_tolerance_and_reference_error(no_annotation_checks, settings, ok):
    report = compare_gradients(np.ones(3) * (1 + 1e-6), np.ones(3), **settings)
    assert report.ok == bool(report) == ok


def test_reference_error_of_each_leaf():
    actual, expected = [1 + 1e-6, 1 + 1e-6], [1.0, 1.0]
    assert compare_gradients(actual, expected, reference_error=[1e-5, 1e-5])
    report = compare_gradients(actual, expected, reference_error=[1e-5, 0.0])
    assert [leaf.ok for leaf in report.leaves] == [True, False]
    assert report.reference_error == 1e-5
    with pytest.raises(ValueError, match="reference_error: expected a finite number of at least 0, got -1"):
        compare_gradients(actual, expected, reference_error=[1e-5, -1.0])


@pytest.mark.parametrize("name", ["tolerance", "reference_error"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "1e-3", True])
def test_bad_settings(no_annotation_checks, name, value):
    with pytest.raises(ValueError, match=f"compare_gradients: {name}: expected a finite number of at least 0"):
        compare_gradients(1.0, 1.0, **{name: value})


def test_tracers_are_refused():
    with pytest.raises(TypeError, match="call it outside of jit"):
        jax.jit(lambda a: compare_gradients(a, a).ok)(1.0)


def test_no_leaves():
    report = compare_gradients((), ())
    assert report, report
    assert report.worst is None
    assert "no leaf" in str(report)


def test_worst_is_by_tolerance_and_verdict_names_it():
    wrong = compare_gradients({"a": 1.0 + 1e-3, "b": 2.0}, {"a": 1.0, "b": 1.0})
    assert wrong.worst.name == "b"
    assert wrong.verdict == "wrong: 2 of 2 leaves; worst b: off by 1 of its size, allowed 1e-09"
    right = compare_gradients({"a": 1.0 + 1e-12, "b": 1.0}, {"a": 1.0, "b": 1.0})
    assert right.verdict == "right: 2 leaves within tolerance; worst a, relative error 1.0e-12"


def test_as_an_assertion_message():
    report = compare_gradients(2 * EXPECTED, EXPECTED)
    with pytest.raises(AssertionError, match="wrong: 1 of 1 leaf; worst gradient: off by 1 of its size"):
        assert report, report


def test_forms():
    report = compare_gradients(
        {"<W>": np.ones((40, 50)), "b": np.ones(3)}, {"<W>": np.zeros((40, 50)), "b": np.ones(3)}
    )
    lines = str(report).splitlines()
    assert len(lines) == 4
    header, wrong, right = lines[1:]
    assert header.split()[:2] == ["leaf", "array"]
    assert wrong.startswith("<W>") and wrong.endswith("WRONG") and right.endswith("right")
    html = report._repr_html_()
    assert "<W>" not in html and "&lt;W&gt;" in html
    assert html.count("<rect") == 32 * 32  # pooled
    assert "<svg" not in compare_gradients(1.0, 1.0)._repr_html_()


def test_heat_map_marks_the_wrong_entry():
    wrong = EXPECTED.copy()
    wrong[1, 0] = np.nan
    for actual in (wrong, np.nan_to_num(wrong, nan=7.0)):
        html = compare_gradients(actual, EXPECTED)._repr_html_()
        assert html.count('fill="#ffffff"') == 3
        assert "<title>[1, 0] " in html.partition('fill="#910000"')[2].partition("</rect>")[0]


def test_rich_shows_the_same_in_colour():
    from rich.console import Console

    report = compare_gradients(2 * EXPECTED, EXPECTED)
    console = Console(width=200, record=True, force_terminal=True, file=StringIO())
    console.print(report)
    assert console.export_text(clear=False).split() == str(report).split()
    assert "\x1b[1;31mwrong" in console.export_text(styles=True)


def test_to_dict_is_strict_json():
    report = compare_gradients({"W": 2 * EXPECTED, "c": 1j, "n": np.nan}, {"W": EXPECTED, "c": 2j, "n": 1.0})
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["ok"] is False
    assert read["verdict"] == report.verdict
    W, c, n = read["leaves"]
    assert (W["name"], W["shape"], W["index"], W["norm_ratio"]) == ("W", [2, 2], [1, 1], 2.0)
    assert c["actual"] == "1j"
    assert n["actual"] is None and n["relative_error"] is None


def test_a_million_parameters_take_at_most_50_ms():
    """Of its own time; or, on a slow machine, some twenty times what numpy takes to subtract and square."""
    rng = np.random.default_rng(0)
    expected = [(rng.standard_normal((1000, 500)), rng.standard_normal(500)) for _ in range(2)]
    actual = jax.tree.map(lambda leaf: leaf * (1 + 1e-12), expected)
    ours, plain = [], []
    for _ in range(20):
        start = process_time()
        assert compare_gradients(actual, expected)
        ours.append(process_time() - start)
        start = process_time()
        jax.tree.map(lambda a, e: np.sum((a - e) ** 2), actual, expected)
        plain.append(process_time() - start)
    assert min(ours) <= max(0.05, 20 * np.median(plain))


@pytest.mark.parametrize(
    "actual, expected",
    [({"W": EXPECTED, "bias": np.zeros(2)}, {"W": EXPECTED, "b": np.zeros(2)}),
     ({"W": EXPECTED}, {"W": EXPECTED, "b": np.zeros(2)}),
     ([EXPECTED, np.zeros(2)], [EXPECTED])],
    ids=["another name", "missing", "unexpected"],
)  # fmt: skip
def test_a_leaf_of_zeros_that_is_missing_is_missing(actual, expected):
    assert not compare_gradients(actual, expected)


def test_none_stands_for_zero():
    assert compare_gradients({"W": EXPECTED, "b": None}, {"W": EXPECTED, "b": np.zeros(2)})
