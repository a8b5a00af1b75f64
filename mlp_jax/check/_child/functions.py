"""Call somebody's function of (params, x, labels), and bring what it returns into one form.

People return the loss and pairs (dW, db), a dict, two lists, all in one tuple, or gradients alone, and leave out a bias
that does not exist. All readings that fit are tried, and the one whose shapes fit best is taken.
"""

import itertools
import linecache
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Layers = Sequence[tuple[Any, Any]]
OURS = Path(__file__).parent


class Answer(NamedTuple):
    """What a function gave for one problem.

    Attributes:
      loss: as a float; None if it gave none.
      gradients: [(dW_1, db_1), ...] as weights (fan_in, fan_out) and biases (fan_out,).
      failure: why there is no answer, in one line; empty where there is one.
      shapes: of the leaves whose shape is wrong, (layer, "W" or "b") and the words, in the function's own layout.
      notes: how the answer was read, if it is not (loss, [(dW_1, db_1), ...]).
      changed: the arguments that it changed in place, by name.
    """

    loss: float | None = None
    gradients: Layers = ()
    failure: str = ""
    shapes: Sequence[tuple[tuple[int, str], str]] = ()
    notes: Sequence[str] = ()
    changed: Sequence[str] = ()


def arguments(layers: Layers, x: np.ndarray, labels: np.ndarray, layout: str, form: str) -> tuple[Any, Any, Any]:
    """Return (params, x, labels) in a layout and a form: fresh, writable arrays.

    Args:
      layers: [(W, b), ...], W (fan_in, fan_out) and b (fan_out,).
      x: (B, D).
      labels: (B,).
      layout: "rows" as above; "columns" for x (D, B), W (fan_out, fan_in), b (fan_out, 1); "torch" for W alone.
      form: "list", or "dict" for W1, b1, ...
    """
    pairs = [(W.copy() if layout == "rows" else W.T.copy(), b.copy()) for W, b in layers]
    if layout == "columns":
        pairs = [(W, b[:, None]) for W, b in pairs]
    params: Any = pairs
    if form == "dict":
        params = {f"{name}{l}": a for l, pair in enumerate(pairs, 1) for name, a in zip("Wb", pair, strict=True)}
    return params, x.T.copy() if layout == "columns" else x.copy(), labels.copy()


def call(
    function: Callable[..., Any], layers: Layers, x: np.ndarray, labels: np.ndarray, layout: str, form: str
) -> Answer:
    """Call a function once, with arrays of its own, and read what it returns; what it raises is an answer too."""
    given, untouched = (arguments(layers, x, labels, layout, form) for _ in range(2))
    shapes = [(W.shape, b.shape) for W, b in arguments(layers, x, labels, layout, "list")[0]]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            loss, gradients, notes = read(function(*given), shapes)
    except SystemExit:
        return Answer(failure="it calls sys.exit")
    except Exception as error:
        return Answer(failure=one_line(error))
    changed = [
        name
        for name, a, b in zip(("params", "x", "labels"), given, untouched, strict=True)
        if not is_same(a, b)
    ]  # fmt: skip
    wrong, in_rows = [], []
    for l, (pair, expected) in enumerate(zip(gradients, shapes, strict=True), 1):
        for kind, leaf, shape in zip("Wb", pair, expected, strict=True):
            if leaf.shape != shape:
                wrong.append(((l, kind), f"has shape {leaf.shape}, expected {shape}"))
        in_rows.append(_in_rows(_as_shape(pair[0], expected[0]), _as_shape(pair[1], expected[1]), layout))
    return Answer(loss, in_rows, "", wrong, notes, changed)


def _as_shape(leaf: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a leaf in its parameter's shape, if it differs in axes of length 1 alone."""
    return leaf.reshape(shape) if leaf.squeeze().shape == np.empty(shape).squeeze().shape else leaf


def _in_rows(dW: np.ndarray, db: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    if layout != "rows" and dW.ndim == 2:
        dW = dW.T
    return dW, db.reshape(-1) if db.ndim == 2 and 1 in db.shape else db


def is_same(a: Any, b: Any) -> bool:
    """Return whether two arguments hold the same numbers, NaN included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return isinstance(b, tuple | list) and len(a) == len(b) and all(map(is_same, a, b))
    return bool(np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"))


Shapes = Sequence[tuple[tuple[int, ...], tuple[int, ...]]]


def read(
    result: Any, shapes: Shapes
) -> tuple[float | None, list[tuple[np.ndarray, np.ndarray]], list[str]]:  # fmt: skip
    """Return (loss, [(dW_1, db_1), ...], notes) of what a function returned.

    Args:
      result: what it returned.
      shapes: of the parameters, layer by layer.

    Raises:
      ValueError: for a result of another form, in one line.
    """
    readings = []
    for loss, rest, words in _losses(result):
        for leaves, more in _leaves(rest, len(shapes)):
            if any(db is None for _, db in leaves) and not _fit_weights(leaves, shapes):
                continue  # it is written for fewer layers
            note = ", ".join(part for part in (words, more) if part)
            readings.append((_fit(leaves, shapes), loss, leaves, note))
    if not readings:
        got = in_words(result)
        if isinstance(result, tuple | list) and len(result) == 2:
            got = f"(loss, {in_words(result[1])})"
        raise _mistake("result", f"(loss, gradients), with {len(shapes)} pairs (dW, db)", got)
    _, loss, leaves, note = max(readings, key=lambda reading: reading[0])  # the first of equals
    notes = [f"what it returns is read as {note}"] if note else []
    pairs = [
        (_leaf(f"layers[{i}].weight", dW, W), _leaf(f"layers[{i}].bias", db, b))
        for i, ((dW, db), (W, b)) in enumerate(zip(leaves, shapes, strict=True))
    ]
    absent = [f"b_{l}" for l, (_, db) in enumerate(leaves, 1) if db is None]
    absent += [f"W_{l}" for l, (dW, _) in enumerate(leaves, 1) if dW is None]
    notes += [f"no gradient for {', '.join(absent)}: taken as zero"] if absent else []
    number = None if loss is None else as_array("loss", loss)
    if number is not None and number.size != 1:
        raise _mistake("loss", "one number", f"shape {number.shape}")
    return None if number is None else float(number.reshape(())), pairs, notes


def _losses(result: Any) -> Iterator[tuple[Any, Any, str]]:
    """Yield what may be the loss, what may be the gradients, and the words for it."""
    if isinstance(result, Mapping):
        losses = [key for key in result if re.search("loss|cost", str(key), re.I) and is_number(result[key])]
        if losses:
            yield result[losses[0]], {key: v for key, v in result.items() if key != losses[0]}, "a dict with the loss"
    if isinstance(result, tuple | list):
        if len(result) == 2:
            if not _is_container(result[0]):
                yield result[0], result[1], ""
            elif is_number(result[1]):
                yield result[1], result[0], "(gradients, loss)"
        containers = [part for part in result if _is_container(part)]
        if len(result) > 2 and is_number(result[0]):
            yield result[0], list(result[1:]), "(loss, gradient, gradient, ...)"
            for part in containers:
                yield result[0], part, "(loss, ...) with the gradients in one part"
        if len(result) > 2 and is_number(result[-1]):
            yield result[-1], list(result[:-1]), "(gradient, ..., loss)"
    if _is_container(result):
        yield None, result, "gradients without the loss"


def _leaves(value: Any, depth: int) -> Iterator[tuple[list[tuple[Any, Any]], str]]:
    """Yield the ways in which gradients are pairs (dW, db), one a layer."""
    if isinstance(value, Mapping):
        yield from _of_dict(value, depth)
        return
    if not isinstance(value, tuple | list):
        return
    entries = list(value)
    are_pairs = [isinstance(pair, tuple | list) and len(pair) == 2 for pair in entries]
    if len(entries) == depth and all(are_pairs):
        yield [(dW, db) for dW, db in entries], ""
    if len(entries) == depth and all(isinstance(pair, Mapping) for pair in entries):
        named = [next(_of_dict({f"{k}1": v for k, v in pair.items()}, 1), None) for pair in entries]
        if all(named):
            yield [pairs[0][0] for pairs in named if pairs], "a dict for each layer"
    if len(entries) == 2 and all(isinstance(part, tuple | list) and len(part) == depth for part in entries):
        dWs, dbs = entries
        yield list(zip(dWs, dbs, strict=True)), "(all dW, all db)"
        yield list(zip(dbs, dWs, strict=True)), "(all db, all dW)"
    if len(entries) == 1 and isinstance(entries[0], tuple | list | Mapping):
        yield from _leaves(entries[0], depth)
    if any(_is_container(entry) for entry in entries):
        return
    if len(entries) == 2 * depth:
        yield list(zip(entries[::2], entries[1::2], strict=True)), "dW_1, db_1, dW_2, ..."
        yield list(zip(entries[:depth], entries[depth:], strict=True)), "dW_1, dW_2, ..., db_1, db_2, ..."
    elif depth < len(entries) < 2 * depth:  # some layers without bias
        for absent in itertools.combinations(range(depth), 2 * depth - len(entries)):
            rest = iter(entries)
            pairs = [(next(rest), None if l in absent else next(rest)) for l in range(depth)]
            yield pairs, "dW and, where there is one, db of each layer"
    elif len(entries) == depth:
        yield [(dW, None) for dW in entries], "dW_1, dW_2, ..."


def _of_dict(value: Mapping[Any, Any], depth: int) -> Iterator[tuple[list[tuple[Any, Any]], str]]:
    """Yield the pairs of a dict with W1 or dW1 or grad_W1 and so on, or with lists of them."""
    names = {re.sub(r"[^a-zA-Z0-9]", "", str(key)): entry for key, entry in value.items()}

    def named(pattern: str) -> Any:
        found = [name for name in names if re.fullmatch(pattern, name, re.I)]
        return names[max(found, key=len)] if found else None  # dW1 and not W1, if both are there

    weight, bias = "(?:d|g|grad|delta|nabla|dldl?)*(?:W|w|weights?)", "(?:d|g|grad|delta|nabla|dl)*(?:b|bias|biases)"
    for first in (1, 0):
        pairs = [tuple(named(f"{kind}{l}(?:grad|g)?") for kind in (weight, bias)) for l in range(first, depth + first)]
        if all(dW is not None for dW, _ in pairs):
            odd = [str(key) for key in value if not re.fullmatch(r"d?[Wb]\d+", str(key))]
            yield [(dW, db) for dW, db in pairs], "a dict with " + ", ".join(map(str, list(value)[:4])) if odd else ""
            return
    inside = [entry for entry in value.values() if _is_container(entry)]
    if len(inside) == 1:
        yield from _leaves(inside[0], depth)
    dWs, dbs = named(f"{weight}s?"), named(f"{bias}s?")
    if isinstance(dWs, tuple | list) and len(dWs) == depth:
        yield list(zip(dWs, dbs if dbs is not None else [None] * depth, strict=False)), "a dict with lists"


def _fit_weights(leaves: Sequence[tuple[Any, Any]], shapes: Shapes) -> bool:
    found = [_shape(dW) for dW, _ in leaves]
    return all(shape is not None and np.prod(shape) == np.prod(W) for shape, (W, _) in zip(found, shapes, strict=True))


def _fit(leaves: Sequence[tuple[Any, Any]], shapes: Shapes) -> tuple[int, int]:
    """Return how many leaves have the right shape, and how many the right number of entries."""
    right = sizes = 0
    for pair, expected in zip(leaves, shapes, strict=True):
        for leaf, shape in zip(pair, expected, strict=True):
            found = () if leaf is None else _shape(leaf)
            right += leaf is not None and found == shape
            sizes += leaf is None or (found is not None and int(np.prod(found)) == int(np.prod(shape)))
    return right, sizes


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of what is an array, or can become one."""
    try:
        return np.shape(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, tuple | list) and not _is_list(value))


def _is_list(value: Any) -> bool:
    """Return whether a list is one of numbers, or of such lists: an array, even if its rows are of other lengths."""
    return _axes(value) > 0


def _axes(value: Any) -> int:
    """Return how many axes nested lists of numbers have; -1 if they are none."""
    if isinstance(value, int | float | np.number):
        return 0
    axes = {_axes(entry) for entry in value} if isinstance(value, tuple | list) else set()
    return axes.pop() + 1 if len(axes) == 1 and -1 not in axes else -1


def is_number(value: Any) -> bool:
    return not _is_container(value) and value is not None and _shape(value) == ()


def layers_of_point(point: Any) -> tuple[str, list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray] | None:
    """Return form, layers, x and labels of a point that is (params, x, labels), in its own layout, else None."""
    if not isinstance(point, tuple | list) or len(point) != 3:
        return None
    params, x, labels = point
    form = "dict" if isinstance(params, Mapping) else "list"
    try:
        if form == "dict":
            depth = len(params) // 2
            params = (
                [(params[f"W{l}"], params[f"b{l}"]) for l in range(1, depth + 1)] if 2 * depth == len(params) else ()
            )
        layers = [(as_array("weight", W).astype(float), as_array("bias", b).astype(float)) for W, b in params]
        x, labels = as_array("x", x).astype(float), as_array("labels", labels)
    except (TypeError, ValueError, KeyError):
        return None
    are_layers = layers and all(W.ndim == 2 and b.ndim in (1, 2) for W, b in layers)
    return (form, layers, x, labels) if are_layers and labels.dtype.kind in "iu" else None


def _leaf(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape) if value is None else as_array(name, value).copy()


def as_array(name: str, value: Any) -> np.ndarray:
    """Return what looks like an array as a numpy array of real numbers."""
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "biufc" and "float" not in array.dtype.name:
            raise TypeError
        if array.dtype.kind == "c" and not np.any(array.imag):
            array = array.real
    except (TypeError, ValueError, RuntimeError):
        raise _mistake(name, "an array of numbers", f"{type(value).__name__}: {str(value)[:40]!r}") from None
    if array.dtype.kind == "c":
        raise _mistake(name, "real numbers", array.dtype)
    return array


def in_words(result: Any) -> str:
    """Name the form of what a function returned."""
    return f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__


def _mistake(name: str, expected: str, got: Any) -> ValueError:
    return ValueError(f"{name}: expected {expected}, got {got}")


def one_line(error: BaseException) -> str:
    """Return an error as one line, with the line of the user's code that it came from."""
    try:
        message = " ".join(str(error).split())[:200]
    except Exception:
        message = ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != OURS]
    if not frames:
        return message  # our own check of the result: its words are enough
    known = [
        frame for frame in frames if "site-packages" not in frame.filename and not frame.filename.startswith("<frozen")
    ]
    frame = (known or frames)[-1]
    code = linecache.getline(frame.filename, frame.lineno or 0).strip()
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{what} (line {frame.lineno}{f': {code}' if code else ''})"
