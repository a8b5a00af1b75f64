"""Somebody's source with what the value of each statement is, and the first that is wrong."""

import ast
import inspect
import linecache
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.check._child import recording
from mlp_jax.check._child.functions import Answer
from mlp_jax.check._child.recording import Event, Place
from mlp_jax.check._differences.running import Recorded, text
from mlp_jax.check._lines import expressions, faults, playing, readings, streams, values
from mlp_jax.check._lines.expressions import Span
from mlp_jax.check._lines.faults import Fault
from mlp_jax.check._lines.playing import Player
from mlp_jax.check._lines.quantities import DIAGONAL
from mlp_jax.check._lines.readings import Reading
from mlp_jax.check._lines.values import Replaced, Value
from mlp_jax.check._networks.networks import formula
from mlp_jax.check._networks.problems import Problem
from mlp_jax.check._networks.recognition import Function
from mlp_jax.check._rendering import Page, Report, Row

LONGEST = 1500  # characters of a note
SECONDS = 20.0  # to look for what is wrong in a function of this process
MOST_NAMES = 2  # that a value has, if it can be several
NAME = re.compile(r"\w+")
RULES = {
    "h_l": "hidden",
    "z_l": "affine",
    "loss": "loss",
    "delta_l": "delta",
    "d h_l": "dh",
    "d W_l": "dW",
    "an example's d W_l": "dW",
    "d b_l": "db",
}


class Line(NamedTuple):
    """One line of a source.

    Attributes:
      number: from 1.
      text: the line.
      words: the quantities that the values of its statement are; empty for none that is known.
    """

    number: int
    text: str
    words: str = ""


class Mark(NamedTuple):
    """A value that is wrong.

    Attributes:
      span: the expression at fault.
      line: of its statement.
      message: what is wrong with it.
      evidence: a number that is wrong, and what is expected.
    """

    span: Span
    line: int
    message: str
    evidence: str


@dataclass(frozen=True, repr=False)
class Listing(Report):
    """A source, what its values are, and what is wrong in it, the most telling first; true if nothing is.

    Attributes:
      lines: of the source.
      marks: what is wrong.
      places: of the lines, in words, if they are those of a notebook.
    """

    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    places: tuple[str, ...] = ()

    def page(self) -> Page:
        """Return the lines."""
        wrong = f"{len(self.marks)} wrong value{'s' * (len(self.marks) != 1)}" if self.marks else "no wrong value found"
        return Page(wrong, not self.marks, source=self.rows())

    def rows(self) -> list[Row]:
        """Return the lines as they are shown."""
        rows = [self._row(line) for line in self.lines]
        return [row for row in rows if row.place]

    def _row(self, line: Line) -> Row:
        place, code = str(line.number), line.text
        if self.places:
            place = self.places[line.number - 1] if line.number <= len(self.places) else ""
        shift = 4 if place.startswith("cell") and code.startswith("    ") else 0  # they stand in a `with`
        marks = [mark for mark in self.marks if mark.span.line == line.number]
        wrong = None
        if marks:
            span = marks[0].span
            wrong = (span.column - shift, (span.end_column if span.end_line == span.line else len(code)) - shift)
        notes = [text("; ".join(filter(None, (mark.message, mark.evidence))), LONGEST) for mark in marks]
        is_wrong = any(line.number in (mark.line, mark.span.line) for mark in self.marks)
        return Row(place, text(code, len(code))[shift:], "" if is_wrong else line.words, wrong, notes)

    def to_dict(self) -> list[dict[str, object]]:
        """Return the lines of which something is known, as plain JSON values."""
        return [
            {
                "line": int(row.place) if row.place.isdigit() else row.place,
                "code": row.code,
                "is": row.words,
                "wrong": row.wrong,
                "notes": list(row.notes),
            }
            for row in self.rows()
            if row.words or row.wrong
        ]

    def only_where(self) -> "Listing":
        """Return the lines with nothing but the places of what is wrong."""
        marks = tuple(mark._replace(message="it goes wrong here", evidence="") for mark in self.marks)
        return replace(self, lines=tuple(line._replace(words="") for line in self.lines), marks=marks)


def of_function(
    function: Callable[..., Any], ask: Callable[[Problem], Answer], subject: Function, seed: int, is_right: bool
) -> Callable[[], Listing] | None:
    """Return what makes the listing of a function of this process; None if its source is not known.

    Args:
      function: whose file, or cell of a notebook, is listed.
      ask: calls it.
      subject: what was judged.
      seed: draws the problems.
      is_right: whether its gradients were found to be right.
    """
    file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", "")
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    if not source:
        return None

    def made() -> Listing:
        recorder = recording.recorder(tree, file)

        def record(problem: Problem, replaced: Replaced, events: bool) -> Recorded:
            recorder.begin(replaced)
            answer = ask(problem)
            return Recorded(answer, [], list(recorder.places), list(recorder.events))

        try:
            player, until = playing.of_function(record, subject, seed), time.monotonic() + SECONDS
            return listing(player, source, tree, is_right, until)
        finally:
            recorder.end()

    return made


@np.errstate(all="ignore")
def listing(player: Player, source: str, tree: ast.Module, is_right: bool, until: float) -> Listing:
    """Return the listing of a file that can be run again.

    Args:
      player: the file.
      source: its code.
      tree: the same, parsed.
      is_right: whether its gradients were found to be right; else what is wrong is looked for.
      until: when to stop.
    """
    tables = [streams.table(s, player.network.output, player.precision) for s in player.passes]
    reads = expressions.reads(tree)
    found = values.values([player.play(i, {}, True) for i in range(len(tables))], tables, reads)
    wrong, is_cured = ([], True) if is_right else faults.faults(player.play, tables, reads, until)
    wrong = wrong if is_cured or not player.meant else []
    lines = source.rstrip().split("\n")
    words: dict[int, list[str]] = {}
    shown = values.roots(found)
    changed = {value.place.statement for value in shown if value.place.is_after}
    for value in shown:
        is_name = NAME.fullmatch(expressions.text(expressions.span(value.place.ends, lines), lines))
        is_left = value.place.is_after or not (is_name or value.place.statement in changed)
        if value.names and is_left:
            words.setdefault(value.place.statement, []).append(named(value))
    texts = [Line(i, text, "; ".join(dict.fromkeys(words.get(i, [])))) for i, text in enumerate(lines, 1)]
    arrays = [value.place for value in found if any(a.ndim for a in value.seen[0])]
    marks = [mark(fault, lines, tree, arrays, player) for fault in wrong]
    if not (is_right or marks) and player.without_the_last_class is not None:
        marks = _of_classes(found, player.without_the_last_class(), lines)
    return Listing(tuple(texts), tuple(marks))


def _of_classes(found: Sequence[Value], events: Sequence[Event], lines: Sequence[str]) -> list[Mark]:
    """Return the first value that has another shape if the last class does not occur among the labels."""
    first = {event.place: event.value.shape for event in reversed(events)}
    for value in values.roots(found):
        shape, other = value.seen[0][0].shape, first.get(value.number)
        if other is not None and other != shape:
            span = expressions.span(value.place.ends, lines)
            message = f"`{expressions.text(span, lines)}` depends on which classes occur: give the number of classes"
            evidence = f"its shape is {shape}, and {other} if the last class does not occur"
            return [Mark(span, value.place.statement, message, evidence)]
    return []


def named(value: Value) -> str:
    """Return what a value is."""
    names = list(dict.fromkeys(name.words for name in value.names))
    names = [name for name in names if "^T" not in name or name.replace("^T", "") not in names]
    return " or ".join(names[:MOST_NAMES])


def mark(fault: Fault, lines: Sequence[str], tree: ast.Module, arrays: Sequence[Place], player: Player) -> Mark:
    """Return a fault in words, with the smallest expression to which it can be traced."""
    place, shown = fault.shown.place, fault.shown
    is_zero = not any(a.any() for a in shown.seen[0])
    loop = expressions.loop_that_sets(tree, place.statement) if is_zero and not place.is_after else None
    if loop is not None:
        words = fault.reading.words
        stays = f"Some of {words} stay 0" if ", " in words else f"{words} stays 0"
        message = f"does `{ast.unparse(loop)}` come to every layer? {stays}"
        return Mark(expressions.span(expressions.ends(loop), lines), loop.lineno, message, _evidence(fault))
    code = expressions.text(expressions.span(place.ends, lines), lines)
    right = fault.reading.words
    belongs = f"{right} {'belong' if ', ' in right else 'belongs'} here"
    ratios = readings.multiples(shown.seen, fault.reading) if shown is fault.value else None
    number = None
    if ratios:
        ratio = ratios[0] if np.allclose(ratios, ratios[0], rtol=readings.RATE, atol=0) else np.inf
        number = expressions.factor_at(expressions.node_at(tree, place), arrays, ratio)
    same = [part for part in fault.parts if _is(part, fault) and values.contains(place, part.place)]
    names = "" if place.is_after else named(shown)
    if any(name.name == DIAGONAL for name in shown.names):
        message = f"`{code}` is {DIAGONAL}, only the diagonal of softmax's Jacobian; its other entries count too"
    elif same:
        inner = expressions.text(expressions.span(same[0].place.ends, lines), lines)
        message = f"`{inner}` is {right}, and {_rest(code, inner)} changes it"
    elif ratios:
        is_one = bool(np.isfinite(ratio))
        times = f"{ratio:.6g} times " if is_one else readings.factor_of(ratios, player.passes) or "a multiple of "
        message = f"`{code}` is {names or f'{times}{right}'}, and {belongs}"
    elif names:
        message = f"`{code}` is {names}, and {belongs}"
    else:
        message = f"`{code}` should be {right}" + " after this statement" * place.is_after
    if number is not None and not same:
        message += f": look at `{ast.unparse(number)}`"
    rule = _rule(fault.reading, player.passes[0].L)
    if rule and not (same or number is not None) and (ratios or not names):
        message += f": {formula(rule, player.network)}"
    argument = expressions.argument_at(tree, place)
    if argument is not None:
        message = f"with `{ast.unparse(argument)}`, {message}"
    ends = next((expressions.ends(node) for node in (argument, number) if node is not None), place.ends)
    span = expressions.span(ends, lines)
    return Mark(span, place.statement if argument is None else span.line, message, _evidence(fault))


def _rule(reading: Reading, L: int) -> str:
    """Return the rule of the chain that gives a quantity in a network of L layers; empty if none does."""
    name = re.sub(r"_\d+", "_l", reading.name.split(",")[0].removesuffix("^T"))
    return "output" if (name, reading.way.layers) == ("delta_l", (L,)) else RULES.get(name, "")


def _rest(code: str, inner: str) -> str:
    """Return an expression without a part of it, in words."""
    before, _, after = code.partition(inner)
    rest = " ... ".join(filter(None, (before.rstrip("( "), after.lstrip(") "))))
    return f"`{rest}`" if rest else "what follows"


def _is(part: Value, fault: Fault) -> bool:
    return any((name.way, name.factor) == (fault.reading.way, fault.reading.factor) for name in part.names)


def _evidence(fault: Fault) -> str:
    """Return the entry that is the furthest off."""
    for value, e in zip(fault.value.seen[0], fault.reading.expected[0], strict=True):
        if value.shape != e.shape and e.size:
            return f"it has shape {value.shape}, expected {e.shape}"
        if e.size and not np.allclose(value, e, rtol=1e-6, atol=0):
            index = np.unravel_index(int(np.argmax(np.abs(np.nan_to_num(value) - e))), e.shape)
            at = f"[{','.join(map(str, index))}] " if index else "it "
            return f"{at}is {value[index]:.5g}, expected {e[index]:.5g}"
    return ""
