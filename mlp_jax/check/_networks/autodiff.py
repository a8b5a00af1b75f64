"""Does code take derivatives from a library?"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mlp_jax.check._child.seen import GRADIENTS

CLASSES = {"Tensor", "Expr"}  # of which derivatives are one method among many
AUTODIFF = {  # names of each library's functions for derivatives, and of what holds them
    library.partition(".")[0]: {name for path in paths for name in path.split(".")} - CLASSES
    for library, paths in GRADIENTS.items()
}


def uses_autodiff(source: str) -> bool:
    """Whether code takes derivatives from a library: imports a function that does, or calls one by its library."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return False
    roots: dict[str, str] = {}  # the names by which libraries are called
    for node in nodes:
        if isinstance(node, ast.Import):
            roots |= {alias.asname or _top(alias.name): _top(alias.name) for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            if {alias.name for alias in node.names} & AUTODIFF.get(_top(node.module), set()):
                return True
            roots |= {alias.asname or alias.name: _top(node.module) for alias in node.names}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    if "torch" in roots.values() and any(node.attr == "backward" for node in attributes):
        return True
    return any(node.attr in AUTODIFF.get(roots.get(_root(node), ""), set()) for node in attributes)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _root(node: ast.expr) -> str:
    """Return the name that a chain of attributes starts with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def source_of(function: Callable[..., Any]) -> str:
    """Return the code of a function, with an import for each library that it has under a name."""
    function = inspect.unwrap(function)
    try:
        code = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
    imports = [
        f"import {value.__name__} as {name}"
        for name, value in getattr(function, "__globals__", {}).items()
        if isinstance(value, ModuleType) and _top(value.__name__) in AUTODIFF
    ]
    return "\n".join([*imports, code])
