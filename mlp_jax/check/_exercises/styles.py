"""Files with a backward pass as lines, each with the expression that can be wrong in it, in four ways of writing."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.expressions import in_columns, of_one_example, spelled
from mlp_jax.check._exercises.forms import Form
from mlp_jax.check._exercises.wrong_lines import (
    ALL_BUT_LAST_ZERO,
    FIRST_ZERO,
    REVERSED,
    RIGHT,
    UPDATED,
    WITH_BIAS,
)

TRANSLATIONS: Mapping[str, Callable[[str], str]] = {
    "vectorised": lambda text: text,
    "loops": of_one_example,
    "classes": lambda text: text,
    "columns": in_columns,
}
ERROR = {"cross_entropy": "p - Y", "squared_error": "2 * (logits - Y)"}
TOTAL = {"cross_entropy": "-np.sum(Y * np.log(p))", "squared_error": "np.sum((logits - Y) ** 2)"}


class Network(NamedTuple):
    """What a file computes, and how it is written."""

    style: str
    activation: str
    loss: str
    layers: int
    form: Form

    @property
    def has_probabilities(self) -> bool:
        """Whether there is a softmax."""
        return self.loss == "cross_entropy"


class Line(NamedTuple):
    """A line of a file.

    Attributes:
      text: the line; $ stands for the expression of a rule.
      rule: the rule.
      letters: what the letters of expressions are called in this line.
      everywhere: whether it is the line of every layer.
      own: wrong lines that only this file has, by the name of the mistake.
    """

    text: str
    rule: str = ""
    letters: Mapping[str, str] = {}
    everywhere: bool = False
    own: Mapping[str, str] = {}


Lines = Iterator[Line]
Letters = dict[str, str]


@functools.cache
def lines(network: Network) -> tuple[Line, ...]:
    """Return the lines of a file, without its docstring."""
    return (*_head(network), *STYLES[network.style](network))


def functions(network: Network) -> dict[str, Callable[..., str]]:
    """Return what calls of functions of letters are in a file."""
    phi, one_hot = ACTIVATIONS[network.activation], "np.eye(C)[{}]"
    if network.style == "columns":
        one_hot += ".T"
    if network.form.has_functions and network.style != "classes":
        calls = {"phi": "activation({})", "dphi": "derivative({})"}
    else:
        calls = {"phi": phi.phi.replace("(a", "({}").replace("-a", "-({})"), "dphi": ""}
    return {
        "phi": lambda a: calls["phi"].format(a),
        "dphi": lambda a: calls["dphi"].format(a) or spelled(phi.at, {"a": a}, {}),
        "one_hot": one_hot.format,
    }


def _head(network: Network) -> Lines:
    yield Line("import numpy as np")
    yield Line("")
    yield Line(f'ACTIVATION = "{network.activation}"')
    yield Line(f'LOSS = "{network.loss}"')
    if network.style == "columns":
        yield Line('LAYOUT = "columns"')
        yield Line('PARAMS = "dict"')
    if not network.form.is_general and network.style != "classes":
        yield Line(f"LAYERS = {network.layers}")
    yield from _blank(2)
    phi = ACTIVATIONS[network.activation]
    if network.form.has_functions and network.style != "classes":
        for name, text in (("activation", phi.phi), ("derivative", phi.at)):
            yield Line(f"def {name}({network.form.school.z}):")
            yield Line(f"    return {spelled(text, {'a': network.form.school.z}, {})}")
            yield from _blank(2)
    if network.form.has_softmax and network.has_probabilities:
        axis = {"columns": ", axis=0", "loops": ""}.get(network.style, ", axis=1")
        over = "" if network.style == "loops" else "axis=axis, keepdims=True"
        yield Line(f"def softmax(z{axis}):")
        yield Line(f"    e = np.exp(z - z.max({over}))")
        yield Line(f"    return e / e.sum({over})")
        yield from _blank(2)


def _blank(count: int = 1) -> Lines:
    for _ in range(count):
        yield Line("")


def _comment(network: Network, text: str, indent: str = "    ") -> Lines:
    if network.form.has_comments:
        yield Line(f"{indent}# {text}")


def _letters(network: Network, base: Letters) -> Letters:
    """Return letters, with those that stand for expressions of others."""
    whole = dict(base)
    translate, calls = TRANSLATIONS[network.style], functions(network)
    of_file = {"error": translate(ERROR[network.loss]), "total": translate(TOTAL[network.loss])}
    has_functions = network.form.has_functions and network.style != "classes"
    slope = "dphi(z)" if has_functions else ACTIVATIONS[network.activation].slope
    for where in ("", "_prev", "_next"):
        if {f"z{where}", f"h{where}"} <= base.keys() and base[f"h{where}"] != base.get("x"):
            at = {"z": base[f"z{where}"], "h": base[f"h{where}"]}
            of_file |= {f"slope{where}": spelled(slope, at, calls)}
    for name, text in of_file.items():
        needed = set(base) | {"np"}
        if name in ("error", "total") and not {"logits", "Y"} <= needed:
            continue
        whole[name] = text if name.startswith("slope") else spelled(text, base, calls)
    return whole


def _line(network: Network, text: str, rule: str, base: Letters, everywhere: bool = False) -> Line:
    return Line(text, rule, _letters(network, base), everywhere)


def right(network: Network, line: Line) -> str:
    """Return a line with its right expression."""
    if not line.rule:
        return line.text
    text = TRANSLATIONS[network.style](RIGHT[line.rule])
    return line.text.replace("$", spelled(text, line.letters, functions(network)))


# --- one variable for each layer: z1, z2, ...


def _of_layer(network: Network, l: int, batch: Letters) -> Letters:
    """Return the letters of layer l, where each layer has variables of its own."""
    s, L = network.form.school, network.layers
    letters = dict(batch) | {name: f"{name}{l}" for name in ("W", "b", "dW", "db")}
    letters |= {"delta": f"{s.delta}{l}", "dh": f"{s.dh}{l}", "z": f"{s.z}{l}", "h_prev": batch["x"]}
    if l < L:
        letters |= {"h": f"{s.h}{l}", "W_above": f"W{l + 1}", "W_last": f"W{L}", "z_next": f"{s.z}{l + 1}"}
    if l < L - 1:
        letters |= {"h_next": f"{s.h}{l + 1}"}
    if l > 1:
        letters |= {"h_prev": f"{s.h}{l - 1}", "h_below": f"{s.h}{l - 1}", "z_prev": f"{s.z}{l - 1}"}
        letters |= {"W_below": f"W{l - 1}", "W_first": "W1"}
    return letters


def _forward_of_each(network: Network, indent: str, batch: Letters) -> Lines:
    for l in range(1, network.layers + 1):
        letters = _of_layer(network, l, batch)
        if l < network.layers:
            yield _line(network, f"{indent}{letters['z']} = $", "affine", letters)
            yield _line(network, f"{indent}{letters['h']} = $", "hidden", letters)
        else:
            yield _line(network, f"{indent}logits = $", "last", letters)


def _backward_of_each(network: Network, indent: str, batch: Letters, dW: str, db: str) -> Lines:
    """The way back, with the beginning of the lines that say d W_l and d b_l."""
    L = network.layers
    for l in range(L, 0, -1):
        letters = _of_layer(network, l, batch)
        below = _of_layer(network, l - 1, batch) if l > 1 else {}
        if l == L:
            yield _line(network, f"{indent}{letters['delta']} = $", "output", letters)
        gradients = [
            _line(network, f"{indent}{dW.format(l=l)} $", "dW", _without(letters, "dW")),
            _line(network, f"{indent}{db.format(l=l)} $", "db", _without(letters, "dW") if "+" in db else letters),
        ]
        back = []
        if l > 1:
            at = _without(letters, "dW") if network.form.dh_first or "+" in dW else letters
            back = [_line(network, f"{indent}{below['dh']} = $", "dh", at)]
        yield from [*back, *gradients] if network.form.dh_first else [*gradients, *back]
        if l > 1:
            yield _line(network, f"{indent}{below['delta']} = $", "delta", below)


def _without(letters: Letters, name: str) -> Letters:
    return {key: value for key, value in letters.items() if key != name}


def _in_list(network: Network, write: Callable[[int], tuple[str, str]]) -> str:
    pairs = [write(l) for l in range(1, network.layers + 1)]
    return "[" + ", ".join(f"({one}, {other})" for one, other in pairs) + "]"


def _returned(network: Network, indent: str = "    ") -> Line:
    """The last line of a function with variables for each layer."""
    L = network.layers
    t = "0.1"
    ways: dict[str, Callable[[int], tuple[str, str]]] = {
        "": lambda l: (f"dW{l}", f"db{l}"),
        REVERSED: (
            lambda l: (f"dW{L + 1 - l}", f"db{L + 1 - l}")
        ),
        UPDATED: (
            lambda l: (f"W{l} - {t} * dW{l}", f"b{l} - {t} * db{l}")
        ),
        WITH_BIAS: (
            lambda l: (f"dW{l} + {t} * W{l}", f"db{l} + {t} * b{l}")
        ),
        "adds the L2 term t W_l to the gradient, and nothing to the loss": (
            lambda l: (f"dW{l} + {t} * W{l}", f"db{l}")
        ),
        FIRST_ZERO: (
            lambda l: (f"np.zeros_like(W{l})", f"np.zeros_like(b{l})") if l == 1 else (f"dW{l}", f"db{l}")
        ),
    }  # fmt: skip
    texts = {name: f"{indent}return loss, {_in_list(network, way)}" for name, way in ways.items()}
    return Line(texts.pop(""), own=texts)


def _unpacked(network: Network) -> str:
    return ", ".join(f"(W{l}, b{l})" for l in range(1, network.layers + 1))


# --- the output and the loss


def _output(network: Network, indent: str, letters: Letters, loss: str = "loss = $") -> Lines:
    """The lines from logits to the loss; `letters` are those of the batch."""
    if network.has_probabilities and network.form.has_softmax:
        yield _line(network, f"{indent}p = $", "softmax", letters)
    elif network.has_probabilities:
        yield _line(network, f"{indent}e = $", "exp", letters)
        yield _line(network, f"{indent}p = $", "normalise", letters | {"e": "e"})
    one_hot = functions(network)["one_hot"](letters["labels"])
    yield Line(f"{indent}{letters['Y']} = {one_hot}")
    yield _line(network, f"{indent}{loss}", "loss", letters)


def _batch(network: Network) -> Letters:
    """The letters of a whole batch."""
    letters = {name: name for name in ("x", "B", "C", "Y", "logits", "labels")}
    letters["D"] = "x.shape[0]" if network.style == "columns" else "x.shape[1]"
    letters |= {"labels_reversed": "labels[::-1]", "labels_late": "np.roll(labels, 1)", "first_label": "labels[:1]"}
    return letters | ({"p": "p"} if network.has_probabilities else {})


def _e(network: Network) -> Letters:
    return {"e": "e"} if network.has_probabilities and not network.form.has_softmax else {}


# --- four ways of writing


def _vectorised(network: Network) -> Lines:
    batch = _batch(network)
    indent = "    "
    yield Line("def loss_and_gradients(params, x, labels):")
    if network.form.is_general:
        yield Line(f"{indent}B, C = len(x), len(params[-1][1])")
        yield from _comment(network, "forward")
        yield from _forward_in_a_loop(network, indent, "x")
        squares = {"squares": "sum(np.sum(W ** 2) for W, b in params)"}
        yield from _output(network, indent, batch | squares)
        yield from _comment(network, "backward")
        yield from _backward_in_a_loop(network, indent, batch | _e(network))
        yield Line(f"{indent}return loss, gradients")
        return
    yield Line(f"{indent}{_unpacked(network)} = params")
    yield Line(f"{indent}B, C = len(x), len(b{network.layers})")
    yield from _comment(network, "forward")
    yield from _forward_of_each(network, indent, batch)
    yield from _output(network, indent, batch | {"squares": _squares(network)})
    yield from _comment(network, "backward")
    yield from _backward_of_each(network, indent, batch | _e(network), "dW{l} =", "db{l} =")
    yield _returned(network)


def _squares(network: Network) -> str:
    return " + ".join(f"np.sum(W{l} ** 2)" for l in range(1, network.layers + 1))


def _forward_in_a_loop(network: Network, indent: str, x: str) -> Lines:
    s = network.form.school
    at = {"z": f"{s.z}[-1]", "h_prev": f"{s.h}[-1]", "W": "W", "b": "b"}
    yield Line(f"{indent}{s.z}, {s.h} = [{x}], [{x}]  # so that {s.z}[l] and {s.h}[l] are those of layer l")
    yield Line(f"{indent}for W, b in params:")
    yield _line(network, f"{indent}    {s.z}.append($)", "affine", at, True)
    yield _line(network, f"{indent}    {s.h}.append($)", "hidden", at, True)
    yield _line(network, f"{indent}logits = $", "final", at)


def _in_a_loop(network: Network, l: str) -> Letters:
    """The letters of a layer in a loop over lists."""
    s, below = network.form.school, {"l": "l - 1", "l - 1": "l - 2"}[l]
    return {"z": f"{s.z}[{l}]", "h": f"{s.h}[{l}]", "h_prev": f"{s.h}[{below}]", "delta": s.delta, "dh": s.dh} | (
        {"W": "W", "b": "b", "dW": "dW", "z_prev": f"{s.z}[{below}]", "W_first": "params[0][0]",
         "W_last": "params[-1][0]", "W_below": "params[l - 2][0]"} if l == "l" else {}
    )  # fmt: skip


def _backward_in_a_loop(network: Network, indent: str, batch: Letters) -> Lines:
    s = network.form.school
    here, below = ({**batch, **_in_a_loop(network, l)} for l in ("l", "l - 1"))
    here.pop("x")  # `uses x` is no mistake of the first layer
    inner = f"{indent}    "
    output = batch | {"z": f"{s.z}[-1]"}
    zeros = "[(np.zeros_like(W), np.zeros_like(b)) for W, b in params]"
    yield Line(f"{indent}gradients = {zeros}")
    yield _line(network, f"{indent}{s.delta} = $", "output", output)
    yield Line(
        f"{indent}for l in range(len(params), 0, -1):",
        own={
            FIRST_ZERO: f"{indent}for l in range(len(params), 1, -1):",
            ALL_BUT_LAST_ZERO: f"{indent}for l in range(len(params), len(params) - 1, -1):",
        },
    )
    yield Line(f"{inner}W, b = params[l - 1]")
    at = here | {"x": batch["x"]}
    yield _line(network, f"{inner}dW = $", "dW", _without(at, "dW"), True)
    yield _line(network, f"{inner}db = $", "db", at, True)
    pair = {
        REVERSED: (f"{inner}gradients[len(params) - l] = (dW, db)"),
        UPDATED: (f"{inner}gradients[l - 1] = (W - 0.1 * dW, b - 0.1 * db)"),
        WITH_BIAS: (f"{inner}gradients[l - 1] = (dW + 0.1 * W, db + 0.1 * b)"),
    }
    yield Line(f"{inner}gradients[l - 1] = (dW, db)", own=pair)
    yield Line(f"{inner}if l > 1:")
    yield _line(network, f"{inner}    {s.dh} = $", "dh", here, True)
    yield _line(network, f"{inner}    {s.delta} = $", "delta", below, True)


def _loops(network: Network) -> Lines:
    L = network.layers
    example = _batch(network) | {
        **{"x": "x[i]", "Y": "y", "labels": "labels[i]", "labels_reversed": "labels[B - 1 - i]"},
        **{"labels_late": "labels[i - 1]", "first_label": "labels[0]"},
    }
    indent, inner = "    ", "        "
    yield Line("def loss_and_gradients(params, x, labels):")
    if network.form.is_general:
        yield Line(f"{indent}B, C = len(x), len(params[-1][1])")
        yield Line(f"{indent}loss = 0.0")
        yield Line(f"{indent}gradients = [[np.zeros_like(W), np.zeros_like(b)] for W, b in params]")
        yield Line(f"{indent}for i in range(B):")
        yield from _forward_in_a_loop(network, inner, "x[i]")
        yield from _output(network, inner, example, "loss += $")
        yield from _backward_of_one(network, inner, example | _e(network))
        yield Line(f"{indent}return loss, gradients")
        return
    yield Line(f"{indent}{_unpacked(network)} = params")
    yield Line(f"{indent}B, C = len(x), len(b{L})")
    yield Line(f"{indent}loss = 0.0")
    for l in range(1, L + 1):
        yield Line(f"{indent}dW{l}, db{l} = np.zeros_like(W{l}), np.zeros_like(b{l})")
    yield Line(f"{indent}for i in range(B):")
    yield from _comment(network, "forward", inner)
    yield from _forward_of_each(network, inner, example)
    yield from _output(network, inner, example, "loss += $")
    yield from _comment(network, "backward", inner)
    yield from _backward_of_each(network, inner, example | _e(network), "dW{l} +=", "db{l} +=")
    yield _returned(network)


def _backward_of_one(network: Network, indent: str, example: Letters) -> Lines:
    s = network.form.school
    here, below = ({**example, **_without(_in_a_loop(network, l), "dW")} for l in ("l", "l - 1"))
    inner = f"{indent}    "
    yield _line(network, f"{indent}{s.delta} = $", "output", example | {"z": f"{s.z}[-1]"})
    yield Line(
        f"{indent}for l in range(len(params), 0, -1):",
        own={FIRST_ZERO: f"{indent}for l in range(len(params), 1, -1):"},
    )
    yield Line(f"{inner}W, b = params[l - 1]")
    yield _line(network, f"{inner}gradients[l - 1][0] += $", "dW", here, True)
    yield _line(network, f"{inner}gradients[l - 1][1] += $", "db", here, True)
    yield Line(f"{inner}if l > 1:")
    yield _line(network, f"{inner}    {s.dh} = $", "dh", _without(here, "x"), True)
    yield _line(network, f"{inner}    {s.delta} = $", "delta", below, True)


def _classes(network: Network) -> Lines:
    phi, has_p = ACTIVATIONS[network.activation], network.has_probabilities
    s = network.form.school
    linear = {"h_prev": "x", "W": "self.W", "b": "self.b", "z": f"self.{s.z}", "h": f"self.{s.h}"}
    back = linear | {"h_prev": "self.x", "delta": "grad", "dh": "grad", "dW": "self.dW", "B": "len(grad)"}
    layer = _without(back, "dW")
    yield Line("class Linear:")
    yield Line("    def __init__(self, fan_in, fan_out, rng):")
    yield Line("        self.W = rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)")
    yield Line("        self.b = np.zeros(fan_out)")
    yield Line("        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)")
    yield from _blank()
    yield Line("    def forward(self, x):")
    yield Line("        self.x = x")
    yield _line(network, "        return $", "affine", {"h_prev": "x", "W": "self.W", "b": "self.b"}, True)
    yield from _blank()
    yield Line("    def backward(self, grad):")
    for name in ("z", "h"):
        back.pop(name)
    yield _line(network, "        self.dW = $", "dW", _without(back, "dW"), True)
    yield _line(network, "        self.db = $", "db", back, True)
    yield _line(network, "        return $", "dh", back, True)
    yield from _blank(2)
    yield Line(f"class {phi.layer}:")
    yield Line(f"    def forward(self, {s.z}):")
    yield Line(f"        self.{s.z} = {s.z}")
    yield _line(network, f"        self.{s.h} = $", "hidden", {"z": s.z}, True)
    yield Line(f"        return self.{s.h}")
    yield from _blank()
    yield Line("    def backward(self, grad):")
    yield _line(network, "        return $", "delta", layer, True)
    yield from _blank(2)
    name = "SoftmaxCrossEntropy" if has_p else "SquaredError"
    batch = _batch(network) | {"Y": "self.Y", "logits": "logits"}
    batch.pop("x")
    batch.pop("D")
    yield Line(f"class {name}:")
    yield Line("    def forward(self, logits, labels):")
    yield Line("        B, C = logits.shape")
    if has_p and network.form.has_softmax:
        yield _line(network, "        self.p = $", "softmax", batch)
    elif has_p:
        yield _line(network, "        e = $", "exp", batch)
        yield _line(network, "        self.p = $", "normalise", batch | {"e": "e"})
    yield Line("        self.logits, self.labels = logits, labels")
    yield Line("        self.Y = np.eye(C)[labels]")
    at = batch | ({"p": "self.p"} if has_p else {})
    yield _line(network, "        return $", "loss", at)
    yield from _blank()
    yield Line("    def backward(self):")
    yield Line("        B, C = self.Y.shape")
    of_self = {name: text.replace("labels", "self.labels") for name, text in at.items()}
    yield _line(network, "        return $", "output", of_self | {"logits": "self.logits"})
    yield from _blank(2)
    yield from _training(network, name)


def _training(network: Network, loss: str) -> Lines:
    widths = (4, 4, 4, 4)[: network.layers + 1]
    layers = [f"Linear({a}, {b}, rng)" for a, b in pairwise(widths)]
    made = f", {ACTIVATIONS[network.activation].layer}(), ".join(layers)
    text = f"""\
rng = np.random.default_rng(0)
x = rng.standard_normal((24, {widths[0]}))
labels = rng.integers(0, {widths[-1]}, 24)
layers = [{made}]
criterion = {loss}()
for epoch in range(50):
    out = x
    for layer in layers:
        out = layer.forward(out)
    loss = criterion.forward(out, labels)
    grad = criterion.backward()
"""
    yield from map(Line, text.splitlines())
    yield Line(
        "    for layer in reversed(layers):",
        own={FIRST_ZERO: "    for layer in reversed(layers[1:]):"},
    )
    text = """\
        grad = layer.backward(grad)
    for layer in layers:
        if isinstance(layer, Linear):
            layer.W -= 0.1 * layer.dW
            layer.b -= 0.1 * layer.db
"""
    yield from map(Line, text.splitlines())


def _columns(network: Network) -> Lines:
    batch, L, s = _batch(network), network.layers, network.form.school
    indent = "    "
    yield Line("def forward(params, x):")
    if network.form.is_general:
        at = {"W": 'params[f"W{l}"]', "b": 'params[f"b{l}"]', "h_prev": f'cache[f"{s.h}{{l - 1}}"]',
              "z": f'cache[f"{s.z}{{l}}"]'}  # fmt: skip
        yield Line(f'{indent}cache, L = {{"{s.h}0": x}}, len(params) // 2')
        yield Line(f"{indent}for l in range(1, L + 1):")
        yield _line(network, f"{indent}    {at['z']} = $", "affine", at, True)
        yield _line(network, f'{indent}    cache[f"{s.h}{{l}}"] = $', "hidden", at, True)
        yield _line(network, f"{indent}logits = $", "final", {"z": f'cache[f"{s.z}{{L}}"]'})
    else:
        for l in range(1, L + 1):
            yield Line(f'{indent}W{l}, b{l} = params["W{l}"], params["b{l}"]')
        yield from _forward_of_each(network, indent, batch)
        kept = [f'"{name}{l}": {name}{l}' for l in range(1, L) for name in (s.z, s.h)]
        yield Line(f"{indent}cache = {{{', '.join(kept)}}}")
    yield Line(f"{indent}return logits, cache")
    yield from _blank(2)
    p = "p, " * network.has_probabilities
    yield Line(f"def backward(params, cache, x, logits, {p}Y, labels):")
    yield Line(f"{indent}B, C, grads = x.shape[1], len(logits), {{}}")
    if network.form.is_general:
        yield from _backward_in_cache(network, indent, batch)
    else:
        for l in range(1, L + 1):
            yield Line(f'{indent}W{l}, b{l} = params["W{l}"], params["b{l}"]')
        for l in range(1, L):
            yield Line(f'{indent}{s.z}{l}, {s.h}{l} = cache["{s.z}{l}"], cache["{s.h}{l}"]')
        yield from _backward_of_each(network, indent, batch, 'dW{l} = grads["dW{l}"] =', 'grads["db{l}"] =')
    yield Line(f"{indent}return grads")
    yield from _blank(2)
    yield Line("def loss_and_gradients(params, x, labels):")
    yield Line(f"{indent}logits, cache = forward(params, x)")
    yield Line(f"{indent}C, B = logits.shape")
    every = 'sum(np.sum(params[name] ** 2) for name in params if name[0] == "W")'
    yield from _output(network, indent, batch | {"squares": every})
    yield Line(f"{indent}return loss, backward(params, cache, x, logits, {p}Y, labels)")


def _backward_in_cache(network: Network, indent: str, batch: Letters) -> Lines:
    s = network.form.school
    inner = f"{indent}    "

    def at(l: str) -> Letters:
        return {"z": f'cache[f"{s.z}{{{l}}}"]', "h": f'cache[f"{s.h}{{{l}}}"]', "delta": s.delta, "dh": s.dh}

    here = {
        **{**batch, **at("l"), "W": "W", "b": "b", "h_prev": f'cache[f"{s.h}{{l - 1}}"]', "dW": 'grads[f"dW{l}"]'},
        **{"W_first": 'params["W1"]', "W_last": 'params[f"W{L}"]', "W_below": 'params[f"W{l - 1}"]'},
    }
    yield Line(f"{indent}L = len(params) // 2")
    yield _line(network, f"{indent}{s.delta} = $", "output", batch)
    yield Line(f"{indent}for l in range(L, 0, -1):")
    yield Line(f'{inner}W, b = params[f"W{{l}}"], params[f"b{{l}}"]')
    yield _line(network, f'{inner}grads[f"dW{{l}}"] = $', "dW", _without(here, "dW"), True)
    yield _line(network, f'{inner}grads[f"db{{l}}"] = $', "db", here, True)
    yield Line(f"{inner}if l > 1:")
    yield _line(network, f"{inner}    {s.dh} = $", "dh", _without(here, "x"), True)
    yield _line(network, f"{inner}    {s.delta} = $", "delta", batch | at("l - 1"), True)


STYLES: Mapping[str, Callable[[Network], Lines]] = {
    "vectorised": _vectorised,
    "loops": _loops,
    "classes": _classes,
    "columns": _columns,
}
NAMES: Sequence[str] = tuple(STYLES)
