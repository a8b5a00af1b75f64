"""Pieces of files with a backward pass: lines, each with the expression of a rule that can be wrong in it."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.expressions import in_columns, of_one_example, spelled
from mlp_jax.check._exercises.forms import Form
from mlp_jax.check._exercises.wrong_lines import (
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


def head(network: Network) -> Lines:
    """Yield the lines before the functions: imports, constants, phi, phi' and softmax."""
    yield Line("import numpy as np")
    yield Line("")
    yield Line(f'ACTIVATION = "{network.activation}"')
    yield Line(f'LOSS = "{network.loss}"')
    if network.style == "columns":
        yield Line('LAYOUT = "columns"')
        yield Line('PARAMS = "dict"')
    if not network.form.is_general and network.style != "classes":
        yield Line(f"LAYERS = {network.layers}")
    yield from blank(2)
    phi = ACTIVATIONS[network.activation]
    if network.form.has_functions and network.style != "classes":
        for name, text in (("activation", phi.phi), ("derivative", phi.at)):
            yield Line(f"def {name}({network.form.school.z}):")
            yield Line(f"    return {spelled(text, {'a': network.form.school.z}, {})}")
            yield from blank(2)
    if network.form.has_softmax and network.has_probabilities:
        axis = {"columns": ", axis=0", "loops": ""}.get(network.style, ", axis=1")
        over = "" if network.style == "loops" else "axis=axis, keepdims=True"
        yield Line(f"def softmax(z{axis}):")
        yield Line(f"    e = np.exp(z - z.max({over}))")
        yield Line(f"    return e / e.sum({over})")
        yield from blank(2)


def blank(count: int = 1) -> Lines:
    """Yield empty lines."""
    for _ in range(count):
        yield Line("")


def comment(network: Network, text: str, indent: str = "    ") -> Lines:
    """Yield a comment, if the file has any."""
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


def ruled(network: Network, text: str, rule: str, base: Letters, everywhere: bool = False) -> Line:
    """Return a line with the expression of a rule."""
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


def forward_of_each(network: Network, indent: str, batch: Letters) -> Lines:
    """Yield the forward pass, where each layer has variables of its own."""
    for l in range(1, network.layers + 1):
        letters = _of_layer(network, l, batch)
        if l < network.layers:
            yield ruled(network, f"{indent}{letters['z']} = $", "affine", letters)
            yield ruled(network, f"{indent}{letters['h']} = $", "hidden", letters)
        else:
            yield ruled(network, f"{indent}logits = $", "last", letters)


def backward_of_each(network: Network, indent: str, batch: Letters, dW: str, db: str) -> Lines:
    """Yield the way back, with the beginning of the lines that say d W_l and d b_l."""
    L = network.layers
    for l in range(L, 0, -1):
        letters = _of_layer(network, l, batch)
        below = _of_layer(network, l - 1, batch) if l > 1 else {}
        if l == L:
            yield ruled(network, f"{indent}{letters['delta']} = $", "output", letters)
        gradients = [
            ruled(network, f"{indent}{dW.format(l=l)} $", "dW", without(letters, "dW")),
            ruled(network, f"{indent}{db.format(l=l)} $", "db", without(letters, "dW") if "+" in db else letters),
        ]
        back = []
        if l > 1:
            at = without(letters, "dW") if network.form.dh_first or "+" in dW else letters
            back = [ruled(network, f"{indent}{below['dh']} = $", "dh", at)]
        yield from [*back, *gradients] if network.form.dh_first else [*gradients, *back]
        if l > 1:
            yield ruled(network, f"{indent}{below['delta']} = $", "delta", below)


def without(letters: Letters, name: str) -> Letters:
    """Return letters without one of them."""
    return {key: value for key, value in letters.items() if key != name}


def _in_list(network: Network, write: Callable[[int], tuple[str, str]]) -> str:
    pairs = [write(l) for l in range(1, network.layers + 1)]
    return "[" + ", ".join(f"({one}, {other})" for one, other in pairs) + "]"


def returned(network: Network, indent: str = "    ") -> Line:
    """Return the last line of a function with variables for each layer."""
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


def unpacked(network: Network) -> str:
    """Return the parameters as names, in a tuple for each layer."""
    return ", ".join(f"(W{l}, b{l})" for l in range(1, network.layers + 1))


# --- the output and the loss


def output_lines(network: Network, indent: str, letters: Letters, loss: str = "loss = $") -> Lines:
    """Yield the lines from logits to the loss; `letters` are those of the batch."""
    if network.has_probabilities and network.form.has_softmax:
        yield ruled(network, f"{indent}p = $", "softmax", letters)
    elif network.has_probabilities:
        yield ruled(network, f"{indent}e = $", "exp", letters)
        yield ruled(network, f"{indent}p = $", "normalise", letters | {"e": "e"})
    one_hot = functions(network)["one_hot"](letters["labels"])
    yield Line(f"{indent}{letters['Y']} = {one_hot}")
    yield ruled(network, f"{indent}{loss}", "loss", letters)


def batch_letters(network: Network) -> Letters:
    """Return the letters of a whole batch."""
    letters = {name: name for name in ("x", "B", "C", "Y", "logits", "labels")}
    letters["D"] = "x.shape[0]" if network.style == "columns" else "x.shape[1]"
    letters |= {"labels_reversed": "labels[::-1]", "labels_late": "np.roll(labels, 1)", "first_label": "labels[:1]"}
    return letters | ({"p": "p"} if network.has_probabilities else {})


def e_letters(network: Network) -> Letters:
    """Return the letter of exp(logits - max), if the file has it."""
    return {"e": "e"} if network.has_probabilities and not network.form.has_softmax else {}
