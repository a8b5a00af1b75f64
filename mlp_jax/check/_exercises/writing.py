"""Write a Python file with a backward pass, in one of four ways, right or with known mistakes planted in its lines."""

import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from mlp_jax import _doors
from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.effect import mistakes_of
from mlp_jax.check._exercises.expressions import Unknown, difference, spelled
from mlp_jax.check._exercises.forms import Form, drawn_form
from mlp_jax.check._exercises.pieces import TRANSLATIONS, Line, Network, functions, right
from mlp_jax.check._exercises.styles import NAMES, lines
from mlp_jax.check._exercises.wrong_lines import PLANTABLE, RIGHT, WRONG, Wrong
from mlp_jax.check._networks.mistakes import MISTAKES
from mlp_jax.check._networks.networks import LOSSES

BY_NAME = {mistake.name: mistake for mistake in MISTAKES}
BY_RULE = {
    rule: [(name, wrong) for name, wrongs in WRONG.items() for wrong in wrongs if wrong.rule == rule] for rule in RIGHT
}
NUMBERS = {"factor": ("1.5", "0.7", "3"), "slope": ("0.01", "0.1"), "learning rate": ("0.1", "0.05"),
           "weight": ("0.1", "0.01")}  # fmt: skip


class Planted(NamedTuple):
    """A mistake in a file.

    Attributes:
      line: of the statement, from 1.
      wrong: the statement.
      right: what it should be.
      column: of the part that is wrong, from 0.
      end_column: one past its last.
      code: the code of the mistake.
      mistake_name: its name in the table of known mistakes.
    """

    line: int
    wrong: str
    right: str
    column: int
    end_column: int
    code: str
    mistake_name: str


class Written(NamedTuple):
    """A file and what is wrong in it, in the order of its lines."""

    text: str
    planted: tuple[Planted, ...]


class Spot(NamedTuple):
    """A line in which a mistake can be planted: its number in a file without docstring, from 0, and the wrong line."""

    number: int
    mistake: str
    text: str


def network(
    style: str, activation: str = "tanh", loss: str = "cross_entropy", layers: int = 2, form: Form | None = None
) -> Network:
    """Return what a file is to compute, and how it is written.

    Raises:
      ValueError: if there is no such style, activation or loss, or the layers are not 2 or 3.
    """
    _doors.check_choice("style", style, NAMES)
    _doors.check_choice("activation", activation, ACTIVATIONS)
    _doors.check_choice("loss", loss, LOSSES)
    if layers not in (2, 3):
        raise _doors.mistake("layers", "2 or 3", layers)
    return Network(style, activation, loss, layers, form or Form())


def spots(of: Network, names: AbstractSet[str] = PLANTABLE) -> list[Spot]:
    """Return every place in a file in which one of some mistakes can be planted, by line."""
    names = names & mistakes_of(of.activation, of.loss)
    found: dict[tuple[int, str], Spot] = {}  # by line and text: of two mistakes that read the same, the likelier
    for number, line in enumerate(lines(of)):
        good = right(of, line)
        for name, text in (*line.own.items(), *_texts(of, line, names)):
            if name in names and text != good:
                found.setdefault((number, text), Spot(number, name, text))
    return list(found.values())


def _texts(of: Network, line: Line, names: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    for name, wrong in BY_RULE.get(line.rule, ()):
        if name in names:
            text = _wrong(of, line, wrong, name)
            if text is not None:
                yield name, text


def written(
    style: str,
    activation: str = "tanh",
    loss: str = "cross_entropy",
    layers: int = 2,
    seed: int = 0,
    mistakes: Sequence[str] = (),
    docstring: str = "A network and its gradient by hand.",
) -> Written:
    """Write a file.

    Args:
      style: vectorised, loops, classes or columns.
      activation: tanh, sigmoid or relu.
      loss: cross_entropy or squared_error.
      layers: 2 or 3.
      seed: draws names, form and places.
      mistakes: the names of those to plant, in lines of their own.
      docstring: of the file.

    Returns:
      The file, and what is planted in it.

    Raises:
      ValueError: if a mistake cannot be planted in this file.
    """
    of = network(style, activation, loss, layers, drawn_form(seed))
    rng = random.Random(f"spots {seed}")
    possible, chosen = spots(of, frozenset(mistakes)), dict[int, Spot]()
    for name in mistakes:
        free = [spot for spot in possible if spot.mistake == name and spot.number not in chosen]
        if not free:
            raise _doors.mistake("mistakes", "one that can be planted in this file", name, "give another seed or style")
        spot = rng.choice(free)
        chosen[spot.number] = spot
    return assembled(of, list(chosen.values()), docstring)


def assembled(of: Network, chosen: Sequence[Spot], docstring: str) -> Written:
    """Return a file with mistakes at these places."""
    by_number = {spot.number: spot for spot in chosen}
    start = [f'"""{docstring}"""', ""] if docstring else []
    offset = len("\n".join(start).splitlines()) + 1 if start else 0
    texts, planted = [], []
    for number, line in enumerate(lines(of)):
        good = right(of, line)
        spot = by_number.get(number)
        texts.append(spot.text if spot else good)
        if spot:
            planted.append(_planted(spot, good, offset + number + 1))
    return Written("\n".join([*start, *texts]) + "\n", tuple(planted))


def _planted(spot: Spot, good: str, line: int) -> Planted:
    wrong, indent = spot.text.strip(), len(spot.text) - len(spot.text.lstrip())
    start, end = difference(wrong, good.strip())
    mistake = BY_NAME[spot.mistake]
    return Planted(line, wrong, good.strip(), indent + start, indent + end, mistake.code, mistake.name)


def _wrong(of: Network, line: Line, wrong: Wrong, name: str) -> str | None:
    """Return a line with a wrong expression; None if it cannot be written there."""
    fits = (
        wrong.loss in (None, of.loss)
        and wrong.activation in (None, of.activation)
        and wrong.functions in (None, of.form.has_functions and of.style != "classes")
        and (line.everywhere or not wrong.everywhere)
    )
    text = wrong.style.get(of.style, wrong.text)
    if not fits or text is None:
        return None
    parameter = BY_NAME[name].parameter
    number = {"t": NUMBERS[parameter[0]][len(name) % 2]} if parameter else {}
    try:
        translated = text if of.style in wrong.style else TRANSLATIONS[of.style](text)
        expression = spelled(translated, {**line.letters, **number}, functions(of))
    except Unknown:
        return None
    target = line.text if wrong.is_sum else line.text.replace("+=", "=")
    return target.replace("$", expression)
