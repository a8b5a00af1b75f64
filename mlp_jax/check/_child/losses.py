"""What may be the loss of a training step: numbers that it leaves, and expressions of the file."""

import ast
import copy
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from . import replay, state
from .replay import Expression, Program
from .rounds import calls, name_of, until_update
from .state import Path

LOSS_WORDS = re.compile(r"loss|cost|err|objective|criterion|nll|mse|sse|energy|xent|entropy|\bJ\b", re.IGNORECASE)
TELLING = ("print", "append", "write", "format", "round", "float", "str", "info", "log")  # calls that are given a loss


def expressions(program: Program, tree: ast.Module, parameters: Sequence[Path]) -> list[Expression]:
    """Return what may be the loss, the likeliest first.

    It is a number that the step leaves, unless it adds up losses or another one is made of it; or an expression in the
    file whose names are known before the parameters change; or a call of a function that the file calls elsewhere, with
    the first arguments of a call in the step.
    """
    body = program.loop.body
    forward = until_update(program, parameters)
    found: dict[str, Expression] = {}
    for statements in (forward, body):
        for path, value in state.numbers(replay.after(program, statements)):
            if np.isfinite(value) and path not in parameters:
                words = state.written(path)
                found.setdefault(words, Expression(statements, ast.parse(words, mode="eval").body))
    for words in _parts(body, found):
        del found[words]
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    called = {name_of(call.func) for call in calls(tree)}
    alike = [call for call in _alike(program, calls(*body)) if name_of(call.func) in called]
    offered = [(forward, expression) for expression in (*_told(tree, own), *alike)]
    for i, statement in enumerate(program.loop.after):  # what is computed after the loop, to be printed
        offered += [([*forward, *program.loop.after[:i]], expression) for expression in _told(statement, own)]
    of_batch = list(_of_batch(program, forward, [call for _, call in offered]))
    for statements, call in [*((forward, call) for call in of_batch), *offered]:
        words = ast.unparse(call)
        if words not in found and np.isfinite(replay.number(program, Expression(statements, call))):
            found[words] = Expression(statements, call)

    def likelihood(words: str) -> tuple[bool, bool]:
        value = found[words].value
        of_library = isinstance(value, ast.Call) and name_of(value.func) not in own
        return LOSS_WORDS.search(words) is None, of_library

    return [found[words] for words in sorted(found, key=likelihood)]


def added_up(program: Program, tree: ast.Module, parameters: Sequence[Path]) -> list[Expression]:
    """Return what the step adds to a number, as in total += loss of an example: its loss, if there is no other."""
    found = []
    for i, statement in enumerate(program.loop.body):
        if isinstance(statement, ast.AugAssign):
            expression = Expression(program.loop.body[:i], statement.value)
            if np.isfinite(replay.number(program, expression)):
                found.append(expression)
    return found


def _parts(body: Sequence[ast.stmt], found: Collection[str]) -> set[str]:
    """Return the numbers that add up others, round by round, or of which another number is made."""
    parts: set[str] = set()
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, ast.AugAssign):
            parts.add(ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = ast.unparse(node.targets[0])
            used = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.Name | ast.Attribute)}
            is_made = isinstance(node.value, ast.BinOp) and target in found
            parts |= {target} if target in used else used - {target} if is_made else set()
    return parts & set(found)


def _told(tree: ast.AST, own: Collection[str]) -> list[ast.expr]:
    """Return what code prints or appends, and its calls of the file's own functions that are no terms of a sum."""
    nodes = list(ast.walk(tree))
    told = [node.value for node in nodes if isinstance(node, ast.FormattedValue)]
    for call in calls(tree):
        if name_of(call.func) in TELLING:
            told += call.args
    terms = {
        id(term) for node in nodes if isinstance(node, ast.BinOp | ast.UnaryOp) for term in ast.iter_child_nodes(node)
    }
    return told + [call for call in calls(tree) if name_of(call.func) in own and id(call) not in terms]


def _of_batch(program: Program, forward: Sequence[ast.stmt], told: Sequence[ast.expr]) -> Iterator[ast.expr]:
    """Yield expressions with the step's batch in place of all examples, as a printed loss is often that of all."""
    after = replay.after(program, forward)
    made = {node.id for part in forward for node in ast.walk(part)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}  # fmt: skip
    arrays = {name: np.asarray(value) for name, value in after.items() if isinstance(value, np.ndarray)}
    batches = {
        name: [other for other in arrays if other in made and other != name and _is_batch(arrays[other], whole)]
        for name, whole in arrays.items()
    }
    for expression in told:
        new = copy.deepcopy(expression)
        names = [node for node in ast.walk(new) if isinstance(node, ast.Name) and batches.get(node.id)]
        for node in names:
            node.id = batches[node.id][0]
        if names:
            yield new


def _is_batch(some: np.ndarray, whole: np.ndarray) -> bool:
    """Return whether an array holds fewer examples of the kind that another holds, in rows or in columns."""
    differ = [(a, b) for a, b in zip(some.shape, whole.shape, strict=False) if a != b]
    return some.dtype == whole.dtype and some.ndim == whole.ndim and len(differ) == 1 and differ[0][0] < differ[0][1]


def _alike(program: Program, calls: Sequence[ast.Call]) -> Iterator[ast.Call]:
    """Yield calls of other functions, or of the same object's methods, with the first arguments of a call."""
    functions = [name for name, value in program.definitions.items() if hasattr(value, "__code__")]
    for call in calls:
        if call.keywords or any(isinstance(argument, ast.Starred) for argument in call.args):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in functions:
            for name in functions:
                yield from _called(program.definitions[name], ast.Name(name, ast.Load()), call.args)
        elif isinstance(call.func, ast.Attribute):
            try:
                owner = type(replay.run(program, Expression(program.loop.body, call.func.value))[1])
            except Exception:
                continue
            for name, method in vars(owner).items():
                if hasattr(method, "__code__"):
                    yield from _called(method, ast.Attribute(call.func.value, name, ast.Load()), call.args, own=1)


def _called(function: Any, name: ast.expr, arguments: Sequence[ast.expr], own: int = 0) -> Iterator[ast.Call]:
    count = function.__code__.co_argcount - own - len(function.__defaults__ or ())
    if 0 <= count <= len(arguments):
        yield ast.Call(*copy.deepcopy((name, list(arguments[:count]), [])))
