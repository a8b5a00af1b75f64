"""Exercises for students: files with mistakes to find, by rule, level and style; the same seed gives the same file."""

import random
import textwrap
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from mlp_jax import _doors
from mlp_jax.check._exercises.activations import ACTIVATIONS
from mlp_jax.check._exercises.forms import drawn_form
from mlp_jax.check._exercises.levels import LEVELS, level
from mlp_jax.check._exercises.outcomes import are_apart
from mlp_jax.check._exercises.pieces import Network
from mlp_jax.check._exercises.styles import NAMES
from mlp_jax.check._exercises.writing import BY_NAME, Spot, Written, assembled, network, spots
from mlp_jax.check._exercises.wrong_lines import PLANTABLE
from mlp_jax.check._networks.networks import formula
from mlp_jax.check._networks.problems import Settings, network_of

RULES = ("output", "delta", "dh", "dW", "db", "gradients", "loss", "affine", "hidden", "final")
MOST_MISTAKES = 4
TRIES = 300  # networks that are drawn until one has a place for what is asked for
SQUARED_ERROR = 0.2  # of the exercises
WIDTH = 74  # of the text above a file, so that a listing of it fits 80 columns

DOCSTRING = """\
Find and repair {count} in this file, {each}.

It computes loss and gradients of a network by hand: {layers} layers, {activation}, {loss}.
{shapes}
When you have repaired it, run mlp-jax check on this file: it says whether all is right."""
SHAPES = {
    "vectorised": "Examples are rows: x is (B, D), W (fan_in, fan_out) and b (fan_out,).",
    "loops": "Each x[i] is one example, W is (fan_in, fan_out) and b (fan_out,).",
    "classes": "Examples are rows: x is (B, D), W (fan_in, fan_out) and b (fan_out,).",
    "columns": "Examples are columns: x is (D, B), W (fan_out, fan_in) and b (fan_out, 1).",
}
LOSS_IN_WORDS = {"cross_entropy": "the mean of softmax cross-entropies", "squared_error": "the mean of squared errors"}


class Request(NamedTuple):
    """What is asked for; None leaves it open.

    Attributes:
      mistakes: how many, 1 to 4.
      rule: of the chain, that all of them break.
      level: how visible all of them are in training, 1 to 4.
      style: of the file.
    """

    mistakes: int = 1
    rule: str | None = None
    level: int | None = None
    style: str | None = None


class Exercise(NamedTuple):
    """An exercise: the file, what it computes, and the seed that draws it."""

    written: Written
    network: Network
    seed: int


def exercise(request: Request, seed: int, avoid: AbstractSet[str] = frozenset()) -> Exercise:
    """Return an exercise.

    Args:
      request: what is asked for.
      seed: draws it.
      avoid: names of mistakes that are taken only if there are no others.

    Returns:
      The exercise.

    Raises:
      ValueError: if no exercise is as asked.
    """
    names = _names(request)
    rng = random.Random(f"exercise {seed}")
    fresh = names - avoid if len(names - avoid) >= request.mistakes else names
    for tried in range(TRIES):
        of = _drawn(request, rng)
        chosen = _chosen(of, request, fresh if tried < TRIES // 2 else names, rng)
        if chosen and (len(chosen) == 1 or are_apart(of, chosen)):
            return Exercise(assembled(of, chosen, _docstring(of, len(chosen))), of, seed)
    raise _doors.mistake("mistakes", "as many as one file can have", request.mistakes, "ask for fewer, or for any rule")


def exercises(request: Request, seed: int, number: int) -> Iterator[Exercise]:
    """Yield exercises that all differ, with as many different mistakes as there are."""
    texts: set[str] = set()
    used: list[str] = []
    attempt = 0
    while len(texts) < number:
        if attempt >= 20 * number:
            cure = "ask for fewer, or leave out --rule, --level or --style"
            raise _doors.mistake("number", f"at most {len(texts)} different exercises", number, cure)
        one = exercise(request, seed + attempt, frozenset(used))
        attempt += 1
        if one.written.text not in texts:
            texts.add(one.written.text)
            used += [planted.mistake_name for planted in one.written.planted]
            used = used if set(used) < _names(request) else []
            yield one


def check_request(request: Request) -> None:
    """Check what is asked for.

    Raises:
      ValueError: if a value is not known, or no known mistake is of this rule, level and style.
    """
    count = _doors.as_whole_number("mistakes", request.mistakes, at_least=1)
    if count > MOST_MISTAKES:
        raise _doors.mistake("mistakes", f"at most {MOST_MISTAKES}", count)
    if request.rule is not None:
        _doors.check_choice("rule", request.rule, RULES)
    if request.style is not None:
        _doors.check_choice("style", request.style, NAMES)
    if request.level not in (None, *LEVELS):
        raise _doors.mistake("level", "one of 1, 2, 3, 4", request.level)
    if not _names(request):
        levels = [str(number) for number in LEVELS if _names(request._replace(level=number))]
        raise _doors.mistake("level", f"{' or '.join(levels)} for the rule {request.rule}", request.level)


def rule_of(mistake_name: str) -> str:
    """Return the rule of the chain that a mistake breaks; the first, if there are several."""
    return next(iter(BY_NAME[mistake_name].rules))


def key_of(one: Exercise, file: str) -> str:
    """Return the teacher's key to an exercise: where each mistake is, what is right, its code and a sentence."""
    of = one.network
    count = _count(len(one.written.planted))
    lines = [f"{file}: {count}; seed {one.seed}, {of.style}, {of.layers} layers, {of.activation}, {of.loss}"]
    right_network = network_of(Settings(activation=of.activation, loss=of.loss))
    for planted in one.written.planted:
        rules = BY_NAME[planted.mistake_name].rules
        formulas = "; ".join(formula(rule, right_network) for rule in rules)
        lines += [
            f"line {planted.line}, columns {planted.column + 1} to {planted.end_column}: {planted.code}, "
            f"level {level(planted.mistake_name)}",
            f"  there is: {planted.wrong}",
            f"  right is: {planted.right}",
            f"  it {planted.mistake_name}. Right is: {formulas}",
        ]
    return "\n".join(lines) + "\n"


def _names(request: Request) -> frozenset[str]:
    """Return the names of the mistakes that are as asked for."""
    return frozenset(
        name for name in PLANTABLE if request.rule in (None, rule_of(name)) and request.level in (None, level(name))
    )


def _drawn(request: Request, rng: random.Random) -> Network:
    style = request.style or rng.choice(NAMES)
    loss = "squared_error" if rng.random() < SQUARED_ERROR else "cross_entropy"
    return network(style, rng.choice([*ACTIVATIONS]), loss, rng.choice((2, 3)), drawn_form(rng.randrange(2**32)))


def _chosen(of: Network, request: Request, names: AbstractSet[str], rng: random.Random) -> list[Spot]:
    """Draw mistakes, all in lines of their own, and of different rules unless one is asked for; none if it fails."""
    possible = spots(of, names)
    chosen: list[Spot] = []
    for _ in range(request.mistakes):
        taken = {rule for spot in chosen for rule in BY_NAME[spot.mistake].rules} if request.rule is None else set()
        free = [
            spot
            for spot in possible
            if spot.number not in {one.number for one in chosen} and not taken & set(BY_NAME[spot.mistake].rules)
        ]
        if not free:
            return []
        name = rng.choice(sorted({spot.mistake for spot in free}))
        chosen.append(rng.choice([spot for spot in free if spot.mistake == name]))
    return chosen


def _docstring(of: Network, count: int) -> str:
    each = "in one line" if count == 1 else "each in a line of its own"
    whole = DOCSTRING.format(
        count=_count(count), each=each, layers=of.layers, activation=of.activation, loss=LOSS_IN_WORDS[of.loss],
        shapes=SHAPES[of.style],
    )  # fmt: skip
    return "\n".join(textwrap.fill(line, WIDTH) for line in whole.split("\n"))


def _count(count: int) -> str:
    return f"{count} mistake{'s' * (count > 1)}"


def summary(made: Sequence[tuple[str, Exercise]]) -> list[tuple[str, ...]]:
    """Return a row per exercise, without its solution."""
    return [
        (
            file,
            one.network.style,
            one.network.activation,
            one.network.loss,
            str(one.network.layers),
            str(len(one.written.planted)),
            " ".join(str(level(planted.mistake_name)) for planted in one.written.planted),
        )
        for file, one in made
    ]


SUMMARY = ("file", "style", "activation", "loss", "layers", "mistakes", "levels")
