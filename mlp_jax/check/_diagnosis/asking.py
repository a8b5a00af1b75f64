"""Ask somebody's function for its gradients, and note how it behaves: what it raises, changes and repeats."""

import ast
import inspect
import linecache
import textwrap
import traceback
import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from mlp_jax import _doors
from mlp_jax.check._diagnosis import problems as check_problems
from mlp_jax.check._diagnosis.judgement import Answer, forward_pass
from mlp_jax.check._diagnosis.mistakes import backward
from mlp_jax.check._diagnosis.problems import Problem, Settings

AUTODIFF = {
    "jax": {"grad", "value_and_grad", "vjp", "jvp", "linearize", "jacrev", "jacfwd", "jacobian", "hessian"},
    "mlp_jax": {"autodiff", "backprop", "backprop_with_trace"},
    "torch": {"grad", "vjp", "jvp", "autograd"},
    "autograd": {"grad", "value_and_grad", "elementwise_grad", "jacobian"},
    "tensorflow": {"GradientTape", "gradients"},
}


class Answers(NamedTuple):
    """What a function gave.

    Attributes:
      answers: one for each problem.
      changed: the arguments that it changed in place, by name.
      again: how far a second call with the same arguments is from the first, relative.
      settings: other settings under which it would be right, if it is not under those that were asked.
    """

    answers: Sequence[Answer]
    changed: Sequence[str] = ()
    again: float = 0.0
    settings: Settings | None = None


def ask(function: Callable[..., Any], problems: Sequence[Problem], settings: Settings) -> Answers:
    """Return what a function gives for every problem; what it raises is its answer too."""
    changed: dict[str, None] = {}
    answers = [_call(function, problem, settings, changed) for problem in problems]
    answered = [i for i, answer in enumerate(answers) if not answer.failure]
    again = max((_apart(answers[i], _call(function, problems[i], settings, {})) for i in answered), default=0.0)
    depths = {problems[i].depth for i in answered}
    other = _other_settings(function, settings, depths) if len(answered) < len(answers) else None
    return Answers(answers, tuple(changed), again, other)


def _call(function: Callable[..., Any], problem: Problem, settings: Settings, changed: dict[str, None]) -> Answer:
    """Call a function once, with arrays of its own, and note which of them it changed."""
    given, untouched = (check_problems.arguments(problem, settings) for _ in range(2))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = function(*given)
            loss, gradients = check_problems.gradients_of(result, problem, settings)
            gradients = [tuple(leaf.copy() for leaf in pair) for pair in gradients]
    except SystemExit:
        return Answer(failure="it calls sys.exit")
    except Exception as error:
        return Answer(failure=one_line(error))
    given_layers = check_problems.layers_of(given[0], problem.depth, settings)
    shapes = [
        ((l, kind), f"has shape {np.shape(leaf)}, expected {np.shape(parameter)}")
        for l, (pair, layer) in enumerate(zip(gradients, given_layers, strict=True), 1)
        for kind, leaf, parameter in zip("Wb", pair, layer, strict=True)
        if np.shape(leaf) != np.shape(parameter)
    ]
    changed |= {
        name: None for name, a, b in zip(("params", "x", "labels"), given, untouched, strict=True)
        if not check_problems.same(a, b)
    }  # fmt: skip
    return Answer(loss, check_problems.canonical(gradients, settings), shapes=shapes)


def one_line(error: Exception) -> str:
    """Return an error as one line, with the line of the user's code that it came from."""
    try:
        message = " ".join(str(error).split())[:200]
    except Exception:
        message = ""
    ours = (__file__, check_problems.__file__, _doors.__file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in ours]
    if not frames:
        return message  # our own check of the result: its words are enough
    known = [
        frame for frame in frames if "site-packages" not in frame.filename and not frame.filename.startswith("<frozen")
    ]
    frame = (known or frames)[-1]
    code = linecache.getline(frame.filename, frame.lineno or 0).strip()
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{what} (line {frame.lineno}{f': {code}' if code else ''})"


def _apart(first: Answer, second: Answer) -> float:
    """Return how far two answers are apart, relative, the worst leaf; inf if one of them failed."""
    if second.failure:
        return float("inf")
    worst = 0.0
    for a, b in zip(first.gradients, second.gradients, strict=True):
        for one, two in zip(a, b, strict=True):
            if one.shape != two.shape:
                return float("inf")
            one, two = (leaf.astype(float) for leaf in (one, two))
            if not np.array_equal(one, two, equal_nan=True):
                worst = max(worst, float(np.linalg.norm(one - two) / (np.linalg.norm(two) or 1)))
    return worst


def _other_settings(function: Callable[..., Any], settings: Settings, depths: Set[int]) -> Settings | None:
    """Return settings under which a function that fails as asked is right, if there are any.

    Args:
      function: the checked function.
      settings: as asked.
      depths: at which it gives an answer as asked.
    """
    for layout in check_problems.LAYOUTS:
        for params in check_problems.FORMS:
            as_asked = (layout, params) == (settings.layout, settings.params)
            for layers in (3, 2, 4, 5, 1) if settings.layers is None else (settings.layers,):
                if as_asked and not depths <= {layers}:
                    continue
                other = replace(settings, layout=layout, params=params, layers=layers)
                problem = check_problems.problems(other)[0]
                answer = _call(function, problem, other, {})
                if not answer.failure:  # the first depth at which it runs decides
                    right = Answer(0.0, backward(forward_pass(problem, other))[1])
                    if _apart(answer, right) < 1e-4:
                        return other if settings.layers or layers != 3 else replace(other, layers=None)
                    break
    return None


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
