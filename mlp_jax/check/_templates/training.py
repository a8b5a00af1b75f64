"""A round of training by a file's functions: which are called with what, and how parameters are updated."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlp_jax.check._templates.reading import (
    AS_GRADIENT,
    GRADIENT,
    LOSS,
    ORDER,
    RATE,
    ROLES,
    arguments_of,
    calls_of,
    key_of,
    of_gradient,
    returned_by,
    role_of,
    stage_of,
    takes,
    with_defaults,
)


class Use(NamedTuple):
    """A call of a function of the file, and names for what it returns."""

    stage: str
    function: ast.FunctionDef
    code: str
    names: Sequence[str] = ()


def uses_of(functions: Sequence[ast.FunctionDef], known: Mapping[str, str], taken: set[str], prefix: str) -> list[Use]:
    """Return calls of functions, at most one of each stage, that make a round of training.

    Args:
      functions: of a file, or methods of a class.
      known: what stands for the parameters of functions, by name or role.
      taken: names that results may not have.
      prefix: of the functions' names, such as "net.".
    """
    known, found = dict(known), {}
    stages = {one.name: stage_of(one) for one in functions}
    inner = {name for one in functions for name in calls_of(one) if stages.get(name) == stages[one.name]}
    for stage in ORDER:
        fitting = [one for one in functions if stages[one.name] == stage]
        fitting = [one for one in fitting if stage != "loss" or prefix or takes(one, "y")]
        fitting.sort(key=lambda one: (stage != "forward" and not takes(one, "y"), one.name in inner, -one.lineno))
        for one in fitting:
            code = _call(one, known, prefix)
            if code is not None:
                found[stage] = Use(stage, one, code, _results(one, stage, taken))
                known |= _known(found[stage])
                break
    return list(_without_what_others_do(found, prefix).values())


def _without_what_others_do(found: Mapping[str, Use], prefix: str) -> dict[str, Use]:
    """Return calls without the gradient and the forward pass that another one takes itself."""
    kept, update = dict(found), found.get("update")
    is_whole = update is not None and takes(update.function, "x") and takes(update.function, "y")
    if is_whole:
        kept.pop("back", None)
    forward, last = kept.get("forward"), kept.get("back", update)
    if forward and last:
        others = " ".join(use.code for use in kept.values() if use is not forward)
        is_used = any(re.search(rf"\b{name}\b", others) for name in forward.names)
        is_called = f"self.{forward.function.name}(" in ast.unparse(last.function)
        if not is_used and (is_whole or is_called or not prefix):
            del kept["forward"]
    return kept


def _call(function: ast.FunctionDef, known: Mapping[str, str], prefix: str) -> str | None:
    """Return a call of a function, or None if one of its arguments is unknown."""
    words, by_name = [], False
    for word, default in with_defaults(function):
        role = role_of(word)
        value = known.get(word) or (known.get(role) if role and role.endswith("*") else role)
        if default is not None and role not in ("x", "y"):
            by_name = True
            continue
        if role is None and value is None and not GRADIENT.fullmatch(word):
            value = known.get("out*")
        if value is None:
            return None
        words.append(f"{word}={value}" if by_name else value)
    return f"{prefix}{function.name}({', '.join(words)})"


def _results(function: ast.FunctionDef, stage: str, taken: set[str]) -> list[str]:
    """Return names for what a function returns."""
    elements = returned_by(function)
    if stage == "update":
        elements = [element for element in elements if LOSS.search(ast.unparse(element))][:1]
    names: list[str] = []
    for i, element in enumerate(elements):
        is_name = isinstance(element, ast.Name) and element.id not in arguments_of(function)
        is_loss = stage in ("loss", "update") or (stage == "back" and len(elements) == 2 and i == 0)
        is_cache = stage == "forward" and i > 0 and isinstance(element, ast.Dict | ast.List | ast.Tuple)
        plain = "loss" if is_loss else "cache" if is_cache else "out" if stage == "forward" else "grads"
        name = ast.unparse(element) if is_name else plain
        names.append(f"{name}{i}" if name in names else name)
    return [f"{name}_" if name in taken else name for name in (names[:1] if stage == "loss" else names)]


def _known(use: Use) -> dict[str, str]:
    """Return what may stand for parameters of later functions, by name or role, after a call."""
    known = {name: name for name in use.names}
    if use.stage == "forward" and use.names:
        caches = [name for name in use.names if ROLES["cache*"].fullmatch(name)]
        output = use.names[0] if use.names[-1] in caches else use.names[-1]
        is_list = re.search(rf"^ +{output} = \[", ast.unparse(use.function), re.M)
        known |= {"cache*": (caches or use.names[-1:])[0], "out*": f"{output}[-1]" if is_list else output}
    slopes = [name for name in use.names if not LOSS.search(name)]
    if use.stage == "back" and slopes:
        known["grads*"] = slopes[0] if len(slopes) == 1 else f"({', '.join(slopes)})"
    return known


def body_of(uses: Sequence[Use], updates: Sequence[str]) -> list[str]:
    """Return the statements of a round, without names that nothing takes."""
    body = []
    for i, use in enumerate(uses):
        later = " ".join([*(one.code for one in uses[i + 1 :]), *updates])
        is_needed = use.stage in ("loss", "update") or any(re.search(rf"\b{name}\b", later) for name in use.names)
        body.append(f"{', '.join(use.names)} = {use.code}" if use.names and is_needed else use.code)
    return [*body, *updates]


def updates_of_attributes(one: ast.ClassDef, last: Use) -> list[str]:
    """Return statements that update a network's arrays by gradients that a method returns or keeps."""
    code = ast.unparse(one)
    init = "".join(ast.unparse(node) for node in one.body if getattr(node, "name", "") == "__init__")
    held = list(dict.fromkeys(re.findall(r"self\.(\w+)", init)))
    dicts = [name for name in held if re.search(rf"self\.{name}(: [^=]+)? = (\{{|dict\()", code)]
    place = next((name for name in dicts if role_of(name) == "params*"), "")
    if place and last.names:
        return [f"for k in net.{place}: net.{place}[k] -= {RATE} * {last.names[-1]}[{key_of(last.function)}]"]
    slopes = {name: name for name in last.names} or {
        name: f"net.{name}" for name in re.findall(r"self\.(\w+)", code) if AS_GRADIENT.search(name)
    }
    updates = []
    for name, slope in slopes.items():
        letters = of_gradient(name)
        alike = [word for word in held if word.lower().startswith(letters)]
        for word in sorted(alike, key=lambda word: word.lower() != letters)[:1]:
            new = f"[p - {RATE} * g for p, g in zip(net.{word}, {slope})]"
            is_list = re.search(rf"self\.{word} = \[", code)
            updates.append(f"net.{word} = {new}" if is_list else f"net.{word} -= {RATE} * {slope}")
    return updates


def update_of_parameters(var: str, form: str, weights: Sequence[str], last: Use) -> str:
    """Return a statement that updates parameters by the gradients that a call returns.

    Args:
      var: the variable of all parameters; empty if each has its own.
      form: how `var` holds them.
      weights: the variables of single parameters.
      last: the call.
    """
    slopes = [name for name in last.names if not LOSS.search(name)]
    slopes = slopes[1:] if weights and len(slopes) == len(weights) + 1 else slopes  # the first is the loss
    grads = slopes[0] if len(slopes) == 1 else f"({', '.join(slopes)})"
    if weights and len(slopes) == len(weights):
        named = {of_gradient(name): name for name in slopes}
        pairs = [(word, named.get(word.lower(), slope)) for word, slope in zip(weights, slopes, strict=True)]
        return "; ".join(f"{word} = {word} - {RATE} * {slope}" for word, slope in pairs)
    old = var or f"({', '.join(weights)})"
    flat = f"p - {RATE} * g for p, g in zip({old}, {grads})"
    forms = {
        "": f"{', '.join(weights)} = ({flat})",
        "dict": f"{var} = {{k: {var}[k] - {RATE} * {grads}[{key_of(last.function)}] for k in {var}}}",
        "dicts": f"{var} = [{{k: p[k] - {RATE} * g[k] for k in p}} for p, g in zip({var}, {grads})]",
        "pairs": f"{var} = [(W - {RATE} * dW, b - {RATE} * db) for (W, b), (dW, db) in zip({var}, {grads})]",
        "flat": f"{var} = [{flat}]",
    }
    return forms.get(form, f"{var} = {form}(*({flat}))")
