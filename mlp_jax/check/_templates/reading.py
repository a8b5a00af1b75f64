"""What functions of a file take, return and do, as far as names tell."""

import ast
import re
from collections.abc import Sequence

RATE = "0.1"
# What stands for a parameter of a function, by its name, the first that fits; a key with * is a role to fill in.
ROLES = {
    "out*": re.compile(r"y_?(pred|hat)\w*|pred\w*|outputs?|probs|logits|AL", re.I),
    "cache*": re.compile(r"\w*caches?|memory|acts|activations|outs|trace", re.I),
    "grads*": re.compile(r"grads?|gradients?|slopes?|g|nabla", re.I),
    "x": re.compile(r"x\w?|x_\w+|inputs?|inp|data|batch|rows|features|samples?|images?|windows|signal|v", re.I),
    "y": re.compile(r"y\w?|y_\w+|t|labels?|targets?|classes|tags|wanted|words|prices?|expected", re.I),
    RATE: re.compile(r"lr|eta|alpha|rate|step|step_size|learning_?rate", re.I),
    "rng": re.compile(r"rng|generator|gen"),
    "3": re.compile(r"epochs?|n_?epochs|\w*iter\w*|n_steps|steps|passes|rounds"),
    "8": re.compile(r"m|n|N|batch_size"),
    "[(x, y)]": re.compile(r"examples|pairs|training_data|mini_batch"),
    "1.0 * (np.arange(8) < 6)": re.compile(r"mask|valid"),
    "0": re.compile(r"seed|\w+_seed"),
    "params*": re.compile(r"p|params?|parameters|weights|theta|model|net|network|layers", re.I),
}
SIZES = re.compile(r"\w*(sizes|dims|shapes|widths|units)|layers|architecture", re.I)
ONE_WEIGHT = re.compile(r"(w|b|c|u|theta|bias|weights?)_?(\d|[a-z]{1,3}\d?|hidden|out)?", re.I)
BIAS = re.compile(r"(b|c|a)(_?\w{1,6})?|bias\w*|beta\w*|gamma\w*")
HIDDEN_SIZE = re.compile(r"n_?h\w*|h\d?|H\d?|\w*hidden\w*|width|size|units")
LOSS = re.compile(r"loss|cost|error|objective|criterion|mse|nll|huber|entropy|^J$")
GRADIENT = re.compile(r"d_?[WwBb]\w*|g_\w+|\w*grads?\w*|nabla\w*|slopes?")
AS_GRADIENT = re.compile(r"^(d_?|g_?|grads?_?|nabla_?)(?=[A-Za-z])|_?grads?$")
# What a function does, by its name, the first that fits.
STAGES = {
    "make": re.compile(r"init|make|create|build|new"),
    "back": re.compile(r"back|grad|slope|nabla"),
    "loss": LOSS,
    "update": re.compile(r"step|update|learn|train|fit|sgd"),
    "forward": re.compile(r"forward|predict|propagate|run|output|prob|score|compute|read"),
}
ORDER = ("forward", "loss", "back", "update")


def stage_of(function: ast.FunctionDef) -> str:
    """Return what a function does in training, a key of `STAGES`, or nothing."""
    if takes(function, RATE) and not STAGES["make"].search(function.name):
        return "update"
    returned = [element.id for element in returned_by(function) if isinstance(element, ast.Name)]
    if sum(GRADIENT.fullmatch(name) is not None for name in returned) and takes(function, "y"):
        return "back"
    stage = next((stage for stage, pattern in STAGES.items() if pattern.search(function.name)), "")
    is_whole = (
        stage in ("", "loss") and len(returned_by(function)) > 1 and takes(function, "x") and takes(function, "y")
    )
    return "back" if is_whole else stage


def role_of(word: str) -> str | None:
    """Return what a parameter of this name is, a key of `ROLES`, or None."""
    return next((role for role, pattern in ROLES.items() if pattern.fullmatch(word)), None)


def takes(function: ast.FunctionDef, role: str) -> bool:
    """Return whether a function takes a parameter of a role."""
    roles = (role, "[(x, y)]") if role in ("x", "y") else (role,)
    return any(role_of(word) in roles for word in arguments_of(function))


def arguments_of(function: ast.FunctionDef) -> list[str]:
    """Return the names of a function's parameters without self."""
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args) if one.arg != "self"]


def with_defaults(function: ast.FunctionDef) -> list[tuple[str, ast.expr | None]]:
    """Return a function's parameters, each with its default or None."""
    words, defaults = arguments_of(function), function.args.defaults
    return list(zip(words, [*[None] * (len(words) - len(defaults)), *defaults], strict=True))


def returned_by(function: ast.FunctionDef) -> Sequence[ast.expr]:
    """Return the elements that a function's last return statement has."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    value = max(values, key=lambda value: value.lineno, default=None)
    return [] if value is None else value.elts if isinstance(value, ast.Tuple) else [value]


def calls_of(function: ast.FunctionDef) -> set[str]:
    """Return the names of the functions, or methods of the same object, that a function calls."""
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {ast.unparse(one).removeprefix("self.") for one in called}


def of_gradient(name: str) -> str:
    """Return the name of the parameter that a gradient's name tells, in small letters."""
    return AS_GRADIENT.sub("", name).lower()


def key_of(function: ast.FunctionDef) -> str:
    """Return the key of the gradient of a parameter k, as a function writes its keys."""
    return "'d' + k" if re.search(r"'d[Wwb]?\d*'|f'd|\bd[Wb]\d=", ast.unparse(function)) else "k"


def integers(nodes: Sequence[ast.expr | None]) -> list[int]:
    """Return the literal whole numbers among expressions."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int]
