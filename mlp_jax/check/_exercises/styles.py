"""Files with a backward pass as lines, in four ways of writing."""

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.pieces import (
    Letters,
    Line,
    Lines,
    Network,
    backward_of_each,
    batch_letters,
    blank,
    comment,
    e_letters,
    forward_of_each,
    head,
    output_lines,
    returned,
    ruled,
    unpacked,
    without,
)
from mlp_jax.check._exercises.wrong_lines import ALL_BUT_LAST_ZERO, FIRST_ZERO, REVERSED, UPDATED, WITH_BIAS


def _vectorised(network: Network) -> Lines:
    batch = batch_letters(network)
    indent = "    "
    yield Line("def loss_and_gradients(params, x, labels):")
    if network.form.is_general:
        yield Line(f"{indent}B, C = len(x), len(params[-1][1])")
        yield from comment(network, "forward")
        yield from _forward_in_a_loop(network, indent, "x")
        squares = {"squares": "sum(np.sum(W ** 2) for W, b in params)"}
        yield from output_lines(network, indent, batch | squares)
        yield from comment(network, "backward")
        yield from _backward_in_a_loop(network, indent, batch | e_letters(network))
        yield Line(f"{indent}return loss, gradients")
        return
    yield Line(f"{indent}{unpacked(network)} = params")
    yield Line(f"{indent}B, C = len(x), len(b{network.layers})")
    yield from comment(network, "forward")
    yield from forward_of_each(network, indent, batch)
    yield from output_lines(network, indent, batch | {"squares": _squares(network)})
    yield from comment(network, "backward")
    yield from backward_of_each(network, indent, batch | e_letters(network), "dW{l} =", "db{l} =")
    yield returned(network)


def _squares(network: Network) -> str:
    return " + ".join(f"np.sum(W{l} ** 2)" for l in range(1, network.layers + 1))


def _forward_in_a_loop(network: Network, indent: str, x: str) -> Lines:
    s = network.form.school
    at = {"z": f"{s.z}[-1]", "h_prev": f"{s.h}[-1]", "W": "W", "b": "b"}
    yield Line(f"{indent}{s.z}, {s.h} = [{x}], [{x}]  # so that {s.z}[l] and {s.h}[l] are those of layer l")
    yield Line(f"{indent}for W, b in params:")
    yield ruled(network, f"{indent}    {s.z}.append($)", "affine", at, True)
    yield ruled(network, f"{indent}    {s.h}.append($)", "hidden", at, True)
    yield ruled(network, f"{indent}logits = $", "final", at)


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
    yield ruled(network, f"{indent}{s.delta} = $", "output", output)
    yield Line(
        f"{indent}for l in range(len(params), 0, -1):",
        own={
            FIRST_ZERO: f"{indent}for l in range(len(params), 1, -1):",
            ALL_BUT_LAST_ZERO: f"{indent}for l in range(len(params), len(params) - 1, -1):",
        },
    )
    yield Line(f"{inner}W, b = params[l - 1]")
    at = here | {"x": batch["x"]}
    yield ruled(network, f"{inner}dW = $", "dW", without(at, "dW"), True)
    yield ruled(network, f"{inner}db = $", "db", at, True)
    pair = {
        REVERSED: (f"{inner}gradients[len(params) - l] = (dW, db)"),
        UPDATED: (f"{inner}gradients[l - 1] = (W - 0.1 * dW, b - 0.1 * db)"),
        WITH_BIAS: (f"{inner}gradients[l - 1] = (dW + 0.1 * W, db + 0.1 * b)"),
    }
    yield Line(f"{inner}gradients[l - 1] = (dW, db)", own=pair)
    yield Line(f"{inner}if l > 1:")
    yield ruled(network, f"{inner}    {s.dh} = $", "dh", here, True)
    yield ruled(network, f"{inner}    {s.delta} = $", "delta", below, True)


def _loops(network: Network) -> Lines:
    L = network.layers
    example = batch_letters(network) | {
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
        yield from output_lines(network, inner, example, "loss += $")
        yield from _backward_of_one(network, inner, example | e_letters(network))
        yield Line(f"{indent}return loss, gradients")
        return
    yield Line(f"{indent}{unpacked(network)} = params")
    yield Line(f"{indent}B, C = len(x), len(b{L})")
    yield Line(f"{indent}loss = 0.0")
    for l in range(1, L + 1):
        yield Line(f"{indent}dW{l}, db{l} = np.zeros_like(W{l}), np.zeros_like(b{l})")
    yield Line(f"{indent}for i in range(B):")
    yield from comment(network, "forward", inner)
    yield from forward_of_each(network, inner, example)
    yield from output_lines(network, inner, example, "loss += $")
    yield from comment(network, "backward", inner)
    yield from backward_of_each(network, inner, example | e_letters(network), "dW{l} +=", "db{l} +=")
    yield returned(network)


def _backward_of_one(network: Network, indent: str, example: Letters) -> Lines:
    s = network.form.school
    here, below = ({**example, **without(_in_a_loop(network, l), "dW")} for l in ("l", "l - 1"))
    inner = f"{indent}    "
    yield ruled(network, f"{indent}{s.delta} = $", "output", example | {"z": f"{s.z}[-1]"})
    yield Line(
        f"{indent}for l in range(len(params), 0, -1):",
        own={FIRST_ZERO: f"{indent}for l in range(len(params), 1, -1):"},
    )
    yield Line(f"{inner}W, b = params[l - 1]")
    yield ruled(network, f"{inner}gradients[l - 1][0] += $", "dW", here, True)
    yield ruled(network, f"{inner}gradients[l - 1][1] += $", "db", here, True)
    yield Line(f"{inner}if l > 1:")
    yield ruled(network, f"{inner}    {s.dh} = $", "dh", without(here, "x"), True)
    yield ruled(network, f"{inner}    {s.delta} = $", "delta", below, True)


def _classes(network: Network) -> Lines:
    phi, has_p = ACTIVATIONS[network.activation], network.has_probabilities
    s = network.form.school
    linear = {"h_prev": "x", "W": "self.W", "b": "self.b", "z": f"self.{s.z}", "h": f"self.{s.h}"}
    back = linear | {"h_prev": "self.x", "delta": "grad", "dh": "grad", "dW": "self.dW", "B": "len(grad)"}
    layer = without(back, "dW")
    yield Line("class Linear:")
    yield Line("    def __init__(self, fan_in, fan_out, rng):")
    yield Line("        self.W = rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)")
    yield Line("        self.b = np.zeros(fan_out)")
    yield Line("        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)")
    yield from blank()
    yield Line("    def forward(self, x):")
    yield Line("        self.x = x")
    yield ruled(network, "        return $", "affine", {"h_prev": "x", "W": "self.W", "b": "self.b"}, True)
    yield from blank()
    yield Line("    def backward(self, grad):")
    for name in ("z", "h"):
        back.pop(name)
    yield ruled(network, "        self.dW = $", "dW", without(back, "dW"), True)
    yield ruled(network, "        self.db = $", "db", back, True)
    yield ruled(network, "        return $", "dh", back, True)
    yield from blank(2)
    yield Line(f"class {phi.layer}:")
    yield Line(f"    def forward(self, {s.z}):")
    yield Line(f"        self.{s.z} = {s.z}")
    yield ruled(network, f"        self.{s.h} = $", "hidden", {"z": s.z}, True)
    yield Line(f"        return self.{s.h}")
    yield from blank()
    yield Line("    def backward(self, grad):")
    yield ruled(network, "        return $", "delta", layer, True)
    yield from blank(2)
    name = "SoftmaxCrossEntropy" if has_p else "SquaredError"
    batch = batch_letters(network) | {"Y": "self.Y", "logits": "logits"}
    batch.pop("x")
    batch.pop("D")
    yield Line(f"class {name}:")
    yield Line("    def forward(self, logits, labels):")
    yield Line("        B, C = logits.shape")
    if has_p and network.form.has_softmax:
        yield ruled(network, "        self.p = $", "softmax", batch)
    elif has_p:
        yield ruled(network, "        e = $", "exp", batch)
        yield ruled(network, "        self.p = $", "normalise", batch | {"e": "e"})
    yield Line("        self.logits, self.labels = logits, labels")
    yield Line("        self.Y = np.eye(C)[labels]")
    at = batch | ({"p": "self.p"} if has_p else {})
    yield ruled(network, "        return $", "loss", at)
    yield from blank()
    yield Line("    def backward(self):")
    yield Line("        B, C = self.Y.shape")
    of_self = {name: text.replace("labels", "self.labels") for name, text in at.items()}
    yield ruled(network, "        return $", "output", of_self | {"logits": "self.logits"})
    yield from blank(2)
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
    batch, L, s = batch_letters(network), network.layers, network.form.school
    indent = "    "
    yield Line("def forward(params, x):")
    if network.form.is_general:
        at = {"W": 'params[f"W{l}"]', "b": 'params[f"b{l}"]', "h_prev": f'cache[f"{s.h}{{l - 1}}"]',
              "z": f'cache[f"{s.z}{{l}}"]'}  # fmt: skip
        yield Line(f'{indent}cache, L = {{"{s.h}0": x}}, len(params) // 2')
        yield Line(f"{indent}for l in range(1, L + 1):")
        yield ruled(network, f"{indent}    {at['z']} = $", "affine", at, True)
        yield ruled(network, f'{indent}    cache[f"{s.h}{{l}}"] = $', "hidden", at, True)
        yield ruled(network, f"{indent}logits = $", "final", {"z": f'cache[f"{s.z}{{L}}"]'})
    else:
        for l in range(1, L + 1):
            yield Line(f'{indent}W{l}, b{l} = params["W{l}"], params["b{l}"]')
        yield from forward_of_each(network, indent, batch)
        kept = [f'"{name}{l}": {name}{l}' for l in range(1, L) for name in (s.z, s.h)]
        yield Line(f"{indent}cache = {{{', '.join(kept)}}}")
    yield Line(f"{indent}return logits, cache")
    yield from blank(2)
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
        yield from backward_of_each(network, indent, batch, 'dW{l} = grads["dW{l}"] =', 'grads["db{l}"] =')
    yield Line(f"{indent}return grads")
    yield from blank(2)
    yield Line("def loss_and_gradients(params, x, labels):")
    yield Line(f"{indent}logits, cache = forward(params, x)")
    yield Line(f"{indent}C, B = logits.shape")
    every = 'sum(np.sum(params[name] ** 2) for name in params if name[0] == "W")'
    yield from output_lines(network, indent, batch | {"squares": every})
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
    yield ruled(network, f"{indent}{s.delta} = $", "output", batch)
    yield Line(f"{indent}for l in range(L, 0, -1):")
    yield Line(f'{inner}W, b = params[f"W{{l}}"], params[f"b{{l}}"]')
    yield ruled(network, f'{inner}grads[f"dW{{l}}"] = $', "dW", without(here, "dW"), True)
    yield ruled(network, f'{inner}grads[f"db{{l}}"] = $', "db", here, True)
    yield Line(f"{inner}if l > 1:")
    yield ruled(network, f"{inner}    {s.dh} = $", "dh", without(here, "x"), True)
    yield ruled(network, f"{inner}    {s.delta} = $", "delta", batch | at("l - 1"), True)


STYLES: Mapping[str, Callable[[Network], Lines]] = {
    "vectorised": _vectorised,
    "loops": _loops,
    "classes": _classes,
    "columns": _columns,
}
NAMES: Sequence[str] = tuple(STYLES)


@functools.cache
def lines(network: Network) -> tuple[Line, ...]:
    """Return the lines of a file, without its docstring."""
    return (*head(network), *STYLES[network.style](network))
