"""Data for a file's functions, and how its networks or parameters are made."""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlp_jax.check._templates.reading import BIAS, HIDDEN_SIZE, RATE, SIZES, integers, role_of, takes, with_defaults

BATCH, INPUTS, HIDDEN, CLASSES = 8, 4, 5, 3
# How often code has what fits rows, or columns, as examples.
ROWS = r"shape\[0\]|sum\((\w+, )?axis=0|sum\(0\)|\b[xXh]\d? @ |\.T(\.dot\(| @ )\(?d"
COLUMNS = r"shape\[1\]|@ \(?[XAa]\w*\b|\.dot\([XA]\w?\)|\b[wW]\d* @ |\.sum\(axis=1, keepdims=True\)"
# The kinds of targets and their sizes, likeliest first, by what code does with them.
TARGETS = {
    r"range\([^\]]*\), \w+\]|\[\w+, (np\.)?a?range|\.eye\(|one_?hot\(": (("labels", 3), ("one_hot", 3), ("reals", 3)),
    r"1(\.0)? - [yYtT]\w*\)": (("bits", 1), ("bits", 3), ("bit_vector", 1), ("bit_vector", 0)),
    r"log\(": (("one_hot", 3), ("one_hot", INPUTS), ("bits", 3)),
    r"": (("reals", 3), ("real_vector", 0), ("real_vector", 1), ("one_hot", 3)),
}
IS_DATA = re.compile(r"x|y|t|data|[xy]_.+|targets?", re.I)  # for what makes a network, others are sizes


class Data(NamedTuple):
    """Data for a candidate.

    Attributes:
      is_columns: whether examples are columns.
      targets: their kind.
      inputs: the size of an example.
      outputs: that of its target; 0 if the last layer is a vector of weights.
      batch: how many examples; 0 is one without an axis for them.
    """

    is_columns: bool
    targets: str
    inputs: int = INPUTS
    outputs: int = CLASSES
    batch: int = BATCH


def likely_data(code: str) -> Iterator[Data]:
    """Yield data that code may take, the likeliest first."""
    rows, columns = (len(re.findall(pattern, code)) for pattern in (ROWS, COLUMNS))
    kinds = next(kinds for pattern, kinds in TARGETS.items() if re.search(pattern, code))
    is_list = re.search(r"\((self, )?(examples|pairs|training_data|mini_batch)\b", code)
    batch = 1 if is_list else 0 if ".outer(" in code and "in zip(" not in code else BATCH
    for is_columns in (columns > rows, columns <= rows):
        yield from (Data(is_columns, kind, outputs=outputs, batch=batch) for kind, outputs in kinds)


def drawn(data: Data) -> str:
    """Return an assignment of random data."""
    n, c = data.batch, data.outputs
    x, y = (f"({size}, {n})" if data.is_columns else f"({n}, {size})" for size in (data.inputs, c))
    x, y = (x, y) if n else (f"{data.inputs}", f"{c}")
    targets = {
        "labels": f"rng.integers(0, {c}, {n})" if n else f"{c - 1}",
        "one_hot": f"np.eye({c})[rng.integers(0, {c}, {n})]" + ".T" * data.is_columns if n else f"np.eye({c})[1]",
        "bits": f"rng.integers(0, 2, {y})",
        "bit_vector": f"rng.integers(0, 2, {n})",
        "real_vector": f"rng.standard_normal({n})",
        "reals": f"rng.standard_normal({y})",
    }
    return f"x, y = rng.standard_normal({x}), {targets[data.targets]}"


def made_by(function: ast.FunctionDef, name: str, data: Data, tree: ast.Module) -> tuple[str, Data]:
    """Return a call that makes a network or its parameters, and data of the sizes that it has.

    Args:
      function: makes it, such as a class's __init__.
      name: of the function or the class.
      data: gives the sizes that the function takes.
      tree: the file's code.
    """
    pairs = with_defaults(function)
    required = [word for word, default in pairs if default is None]
    stack = _stack(tree, data) if function.args.vararg or required == ["layers"] else ""
    if stack:
        return (f"{name}([{stack}])" if required else f"{name}({stack})"), data
    last = data.outputs or 1
    known = {word: f"[{data.inputs}, {HIDDEN}, {last}]" for word in required if SIZES.fullmatch(word)}
    known |= {word: str(role_of(word)) for word in required if role_of(word) in (RATE, "rng", "0", "3")}
    known |= {word: str(role_of(word)) for word in required if role_of(word) in ("x", "y") and IS_DATA.fullmatch(word)}
    widths = [word for word in required if word not in known]
    for i, word in enumerate(widths):
        is_last = 0 < i == len(widths) - 1 and not HIDDEN_SIZE.fullmatch(word)
        known[word] = str(data.inputs if i == 0 else last if is_last else HIDDEN)
    if not widths and not any(SIZES.fullmatch(word) for word in required):
        sizes = [n for word, default in pairs if role_of(word) is None for n in integers([default])]
        inputs, outputs = (sizes[0], sizes[-1]) if len(sizes) > 1 else _sizes_inside(function, tree, data)
        data = data._replace(inputs=inputs, outputs=outputs if data.outputs else 0)
    return f"{name}({', '.join(known[word] for word in required)})", data


def _sizes_inside(function: ast.FunctionDef, tree: ast.Module, data: Data) -> tuple[int, int]:
    """Return the sizes of inputs and outputs by the literal shapes in a function, or those of the data."""
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    found = [(node, integers(node.args)) for node in ast.walk(function) if isinstance(node, ast.Call)]
    shapes = [(ast.unparse(node.func) in classes, shape) for node, shape in found if len(shape) > 1]
    of_weights = [pair for pair in shapes if 1 not in pair[1]] or shapes
    if not of_weights:
        return data.inputs, data.outputs
    (is_layer, first), (_, last) = of_weights[0], of_weights[-1]
    return (first[1], last[0]) if data.is_columns and not is_layer else (first[0], last[-1])


def _stack(tree: ast.Module, data: Data) -> str:
    """Return a layer with weights, one without, and one with, by the file's classes, or nothing."""
    affine, plain = "", ""
    for one in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        methods = {node.name: node for node in one.body if isinstance(node, ast.FunctionDef)}
        pairs = with_defaults(methods["__init__"]) if "__init__" in methods else []
        required = [word for word, default in pairs if default is None]
        if "backward" in methods and not takes(methods["backward"], "y"):
            if len(required) > 1:
                affine = f"{one.name}({', '.join(['{}', '{}', *(str(role_of(word)) for word in required[2:])])})"
            elif not required:
                plain = plain or f"{one.name}()"
    layers = [affine.format(data.inputs, HIDDEN), plain, affine.format(HIDDEN, data.outputs or 1)]
    return ", ".join(filter(None, layers)) if affine else ""


def form_of(tree: ast.Module, var: str) -> tuple[str, Sequence[str]]:
    """Return how a variable holds parameters, and their names if the code has them.

    Returns:
      dict, dicts (a list of them), pairs (a list of them), flat (a list), or the name of a class with fields.
    """
    code = ast.unparse(tree)
    for one in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        fields = [ast.unparse(node.target) for node in one.body if isinstance(node, ast.AnnAssign)]
        if fields and re.search(rf"\b{var}\.{fields[0]}\b", code):
            return one.name, fields
    keys = list(dict.fromkeys(re.findall(rf"\b{var}\['(\w+)'\]", code)))
    if keys or re.search(rf"\b{var}\[f?'", code):
        return "dict", keys if len(keys) > 1 else ["W1", "b1", "W2", "b2"]
    unpacked = re.search(rf"^ +([\w(), ]+) = {var}$", code, re.M)
    if unpacked and "(" not in unpacked[1][1:]:
        return "flat", unpacked[1].strip("()").split(", ")
    return ("dicts" if re.search(r"\w\['\w+'\]", code) and not unpacked else "pairs"), []


def spelled(code: str, var: str, form: str, names: Sequence[str], data: Data) -> str:
    """Return an assignment of random parameters, which the file has no function for.

    Args:
      code: the file's.
      var: the variable that holds all; empty if each has its own.
      form: how it holds them.
      names: of the parameters.
      data: gives their sizes.
    """
    last = data.outputs or 1
    bias = "({n}, 1)" if data.is_columns else "(1, {n})" if "axis=0, keepdims=True" in code else "({n},)"
    weight = "({n}, {m})" if data.is_columns else "({m}, {n})"
    if form in ("pairs", "dicts"):
        layers = f"[({data.inputs}, {HIDDEN}), ({HIDDEN}, {last})]"
        pair = [f"rng.standard_normal({shape.format(m='m', n='n')})" for shape in (weight, bias)]
        made = f"({', '.join(pair)})" if form == "pairs" else f"{{'W': {pair[0]}, 'b': {pair[1]}}}"
        return f"{var} = [{made} for m, n in {layers}]"
    are_biases = [BIAS.fullmatch(name) is not None for name in names]
    count = are_biases.count(False)
    sizes = [data.inputs, *[HIDDEN] * (count - 1), last]
    shapes = []
    for i, is_bias in enumerate(are_biases):
        layer = are_biases[: i + 1].count(False)
        m, n = sizes[max(0, layer - 1) : max(0, layer - 1) + 2]
        is_vector = layer == count and not data.outputs
        shapes.append(
            (("()" if is_vector else bias) if is_bias else "({m},)" if is_vector else weight).format(m=m, n=n)
        )
    arrays = f"map(rng.standard_normal, [{', '.join(shapes)}])"
    if form == "dict":
        pairs = ", ".join(f"{name}={shape}" for name, shape in zip(names, shapes, strict=True))
        return f"{var} = {{k: rng.standard_normal(shape) for k, shape in dict({pairs}).items()}}"
    if not var:
        return f"{', '.join(names)} = {arrays}"
    return f"{var} = list({arrays})" if form == "flat" else f"{var} = {form}(*{arrays})"
