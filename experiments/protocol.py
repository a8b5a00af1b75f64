"""How a question is answered here: measurements, each with claims that put theory's number beside ours.

A question is a package. Its docstring opens with the question; the answer below it is filled in from the last
recorded result. It holds

    ANSWER          the answer as a template, {name:format}, that the measured numbers of its claims fill
    MEASUREMENTS    modules, one a measurement

and a measurement is a module with

    __doc__         its first line says what is measured, the rest how
    FORMULA         the formula behind it, in LaTeX
    QUICK, FULL     frozen configurations; one thing is varied, the rest is held fixed
    measure         (config, key, progress) -> Finding: claims and the numbers behind them; no printing, no files;
                    progress(share) may be called as it goes on
    CAPTION         what its picture shows
    picture         data -> a matplotlib figure; both are left out where there is nothing to look at

so that one more claim is one more function, and one more measurement one more module.
"""

import dataclasses
import importlib.metadata
import inspect
import os
import platform
import re
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

import jax

Progress = Callable[[float], None]

PACKAGES = ("mlp_jax", "jax", "jaxlib", "optax", "numpy")


@dataclass(frozen=True)
class Claim:
    """One sentence that a measurement can contradict.

    Attributes:
      name: a short name, unique in its question, for the answer's template.
      statement: the claim, in one sentence.
      relation: how the measured number has to stand to the expected one: "<=", ">=", or "=" within the tolerance.
      expected: the number of theory or paper.
      source: where it comes from.
      measured: our number; None where it was not measured.
      reason: what was measured, and why the bound or the tolerance is what it is.
      interval: its 95 % interval over seeds; None where the number is exact or a worst case.
      seeds: how many.
      tolerance: what "=" allows; 0 for bounds.
      explanation: what is known of the cause, where the claim does not hold; why it was not measured, where it was not.
      exact: whether it has to hold in every run, and a run in which it does not has failed.
    """

    name: str
    statement: str
    relation: Literal["<=", ">=", "="]
    expected: float
    source: str
    measured: float | None
    reason: str
    interval: tuple[float, float] | None = None
    seeds: int = 1
    tolerance: float = 0.0
    explanation: str = ""
    exact: bool = False

    @property
    def verdict(self) -> Literal["holds", "does not hold", "differs", "not run"]:
        """Whether the measured number stands in the relation; `differs` where it does not and the cause is known."""
        if self.measured is None:
            return "not run"
        holds = {
            "<=": self.measured <= self.expected,
            ">=": self.measured >= self.expected,
            "=": abs(self.measured - self.expected) <= self.tolerance,
        }[self.relation]
        return "holds" if holds else "differs" if self.explanation else "does not hold"


class Finding(NamedTuple):
    """What one measurement gives: claims, and the numbers behind them as lists and dicts, for its picture."""

    claims: tuple[Claim, ...]
    data: dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """A finding with its settings and words: all that the report shows of it."""

    name: str
    title: str
    description: str
    formula: str
    caption: str
    claims: tuple[Claim, ...]
    data: dict[str, Any]
    config: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Result:
    """An answered question, with all that is needed to repeat it."""

    name: str
    question: str
    answer: str
    measurements: tuple[Measurement, ...]
    seed: int
    versions: dict[str, str]
    device: str

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims of all measurements."""
        return tuple(claim for measurement in self.measurements for claim in measurement.claims)

    @property
    def seconds(self) -> float:
        """How long the measurements took."""
        return sum(measurement.seconds for measurement in self.measurements)


def measured(module: ModuleType, config: Any, seed: int = 0, progress: Progress = lambda share: None) -> Measurement:
    """Carry out one measurement. Its key depends on the seed and its name, and not on what else is run."""
    start = time.perf_counter()
    name = module.__name__.rsplit(".", 1)[-1]
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    finding = module.measure(config, key, progress)
    return Measurement(
        name=name,
        **words(module),
        claims=finding.claims,
        data=finding.data,
        config=dataclasses.asdict(config),
        seconds=time.perf_counter() - start,
    )


def words(module: ModuleType) -> dict[str, Any]:
    """Return what a measurement says of itself, apart from its numbers."""
    title, _, description = inspect.cleandoc(module.__doc__ or "").partition("\n")
    caption = getattr(module, "CAPTION", "")
    return {
        "title": title.rstrip("."), "description": description.strip(), "formula": module.FORMULA, "caption": caption
    }  # fmt: skip


def answered(question: ModuleType, measurements: Iterable[Measurement], seed: int = 0) -> Result:
    """Put the measurements of a question together into its answer."""
    measurements = tuple(measurements)
    return Result(
        name=question.__name__.rsplit(".", 1)[-1],
        question=(question.__doc__ or "").partition("\n")[0],
        answer=filled(question.ANSWER, [claim for measurement in measurements for claim in measurement.claims]),
        measurements=measurements,
        seed=seed,
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
        device=f"{jax.devices()[0].device_kind}, {platform.system()} on {os.cpu_count()} cores of {platform.machine()}",
    )


def reworded(question: ModuleType, result: Result) -> Result:
    """Return a result in the words that its question and measurements have now, with the numbers that it has."""
    modules = {module.__name__.rsplit(".", 1)[-1]: module for module in question.MEASUREMENTS}
    measurements = [dataclasses.replace(m, **words(modules[m.name])) for m in result.measurements]
    now = answered(question, measurements, result.seed)
    return dataclasses.replace(now, versions=result.versions, device=result.device)


def filled(template: str, claims: Iterable[Claim]) -> str:
    """Fill {name:format} with the measured number of the claim of that name, blanks and signs read as _.

    A quick run leaves claims out: there it says that they were not measured.

    >>> filled("about {a_b:.1f}", [Claim("a-b", "", "=", 1, "", 1.04, "")])
    'about 1.0'
    """
    numbers: dict[str, float | None] = {}
    for claim in claims:
        name = re.sub(r"\W", "_", claim.name)
        if name in numbers:
            raise ValueError(f"claims: expected one of each name, got {claim.name!r} twice")
        numbers[name] = claim.measured

    def number(match: re.Match[str]) -> str:
        value = numbers.get(match[1])
        return "(not measured)" if value is None else format(value, match[2] or "")

    return re.sub(r"\{(\w+)(?::([^}]*))?\}", number, template)
