"""Lines that train by a file's own functions or class, to be pasted at its end if it has no loop of its own.

What a function takes and returns is read from names: x is data, y targets, lr a rate, and what one function returns
another takes. These are guesses, likeliest first, of which the caller tries a few.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence

from mlp_jax.check._networks.template import LINES
from mlp_jax.check._templates.making import Data, drawn, form_of, likely_data, made_by, spelled
from mlp_jax.check._templates.reading import LOSS, ONE_WEIGHT, arguments_of, returned_by, role_of, stage_of, takes
from mlp_jax.check._templates.training import Use, body_of, update_of_parameters, updates_of_attributes, uses_of

MOST_LINES, MOST_TRIES, MOST_AFTER_WRONG = 6, 8, 2
OURS = ("x", "y", "rng", "np")  # variables of the lines


def template(tree: ast.Module, verdict_of: Callable[[str], str]) -> str:
    """Return lines to paste at the end of a file: the first that are correct, else wrong, else the likeliest.

    A right file is judged wrong with data of a wrong kind, so that lines which are judged wrong are not the last tried.

    Args:
      tree: the file's code.
      verdict_of: judges the file with lines at its end.
    """
    found = list(candidates(_flat(tree)))
    judged, left = "", MOST_TRIES
    for lines in found:
        if not left:
            break
        left -= 1
        verdict = verdict_of(lines)
        if verdict == "correct":
            return lines
        if verdict != "error" and not judged:
            judged, left = lines, min(left, MOST_AFTER_WRONG)
    return judged or next(iter(found), LINES["function"])


def _flat(tree: ast.Module) -> ast.Module:
    """Return code without the `with` in which each statement of a notebook stands."""
    blocks = (node.body if isinstance(node, ast.With) else [node] for node in tree.body)
    return ast.Module([node for block in blocks for node in block], [])


def candidates(tree: ast.Module) -> Iterator[str]:
    """Yield lines that may train by a file's functions, each once, the likeliest first."""
    seen = set()
    for data in likely_data(ast.unparse(tree)):
        for lines in (*_by_classes(tree, data), *_by_functions(tree, data)):
            if lines not in seen and lines.count("\n") <= MOST_LINES:
                seen.add(lines)
                yield lines


def _lines(code: str, data: Data, made: str, body: Sequence[str]) -> str:
    """Return a candidate; as many of the first statements of a round share a line as there are too many lines."""
    start = [] if re.search(r"^import numpy as np$", code, re.M) else ["import numpy as np"]
    start += ["rng = np.random.default_rng(0)", drawn(data), made, "for _ in range(3):"]
    body = list(body)
    while len(start) + len(body) > MOST_LINES and len(body) > 1 and not body[1].startswith("for "):
        body[:2] = ["; ".join(body[:2])]
    return "\n".join([*start, *(f"    {line}" for line in body), ""])


def _by_classes(tree: ast.Module, data: Data) -> Iterator[str]:
    """Yield lines for each class that can be made and trained, the last first."""
    functions, classes = _functions(tree.body), [node for node in tree.body if isinstance(node, ast.ClassDef)]
    taken = {"net", *OURS, *(one.name for one in functions), *(one.name for one in classes)}
    for one in reversed(classes):
        methods = _functions(one.body)
        init = [method for method in methods if method.name == "__init__"]
        public = [method for method in methods if not method.name.startswith("_") and not method.decorator_list]
        uses = uses_of(public, {}, taken, "net.")
        users = [*init, *(use.function for use in uses)]
        if uses and uses[-1].stage in ("update", "back") and any(takes(function, "y") for function in users):
            makers = [node for node in functions if any(f"{one.name}(" in ast.unparse(e) for e in returned_by(node))]
            ways = [made_by(maker, maker.name, data, tree) for maker in makers]
            ways += [made_by(method, one.name, data, tree) for method in init]
            made, fitting = next(iter(ways), (f"{one.name}()", data))
            updates = [] if uses[-1].stage == "update" else updates_of_attributes(one, uses[-1])
            yield _lines(ast.unparse(tree), fitting, f"net = {made}", body_of(uses, updates))


def _by_functions(tree: ast.Module, data: Data) -> Iterator[str]:
    """Yield lines for functions that take parameters, in one variable or each in its own."""
    functions, code = _functions(tree.body), ast.unparse(tree)
    trained = [node for stage in ("back", "update", "forward") for node in functions if stage_of(node) == stage]
    words = list(dict.fromkeys(word for function in trained for word in arguments_of(function)))
    var = next((word for word in words if role_of(word) == "params*"), "")
    weights = [word for word in words if not var and role_of(word) is None and ONE_WEIGHT.fullmatch(word)]
    known = {word: word for word in weights} | ({"params*": var} if var else {})
    taken = {var, *weights, *OURS, *(node.name for node in functions)}
    uses = uses_of(functions, known, taken, "")
    is_whole = bool(uses) and uses[-1].stage in ("back", "update") and any(takes(use.function, "y") for use in uses)
    if not (known and is_whole):
        return
    *uses, last = uses
    makers = [node for node in functions if stage_of(node) == "make" and not takes(node, "y")]
    for order in ([ast.unparse(element) for element in returned_by(node)] for node in (*makers, last.function)):
        weights = order if sorted(order) == sorted(weights) else weights
    form, names = form_of(tree, var) if var else ("", weights)
    made, fitting = spelled(code, var, form, names, data), data
    if makers:
        call, fitting = made_by(makers[0], makers[0].name, data, tree)
        made = f"{var or ', '.join(weights)} = {call}"
    updates = [] if last.stage == "update" else [update_of_parameters(var, form, weights, last)]
    last = last._replace(names=_changed(last, var, weights)) if last.stage == "update" else last
    yield _lines(code, fitting, made, body_of([*uses, last], updates))


def _changed(update: Use, var: str, weights: Sequence[str]) -> list[str]:
    """Return the variables that hold what an update returns: the parameters, and a loss."""
    returned = [ast.unparse(element) for element in returned_by(update.function)]
    has_loss = any(LOSS.search(word) for word in returned)
    if var and len(returned) > 1 and not has_loss:
        return [var]
    rest = iter(weights or [var])
    return ["loss" if LOSS.search(word) else next(rest, "_") for word in returned]


def _functions(body: Sequence[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for node in body if isinstance(node, ast.FunctionDef)]
