"""How a question is answered here: claims, each with theory's number beside the measured one, and a record.

An experiment is a module with

    QUESTION, ANSWER    the question, and the answer as a template that the measured numbers fill
    QUICK, FULL         frozen configurations; one thing is varied, the rest is held fixed
    FINDINGS            functions (config, key, progress) -> Finding, one or a few claims each; no printing, no files;
                        progress(share) may be called as the measurement goes on
    plot(result)        a matplotlib figure

so that one more claim is one more function.
"""

import dataclasses
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from scipy import stats

PACKAGES = ("mlp_jax", "jax", "jaxlib", "optax", "numpy")


@dataclass(frozen=True)
class Claim:
    """One sentence that a measurement can contradict.

    Attributes:
      name: a short name, for tables.
      statement: the claim, in one sentence.
      relation: how the measured number has to stand to the expected one: "<=", ">=", or "=" within the tolerance.
      expected: the number of theory or paper.
      source: where it comes from.
      measured: our number.
      interval: its 95 % interval over seeds; None where the number is exact or a worst case.
      seeds: how many.
      tolerance: what "=" allows; 0 for bounds.
      reason: why the bound or the tolerance is what it is.
      explanation: what is known of the cause, where the claim does not hold.
    """

    name: str
    statement: str
    relation: Literal["<=", ">=", "="]
    expected: float
    source: str
    measured: float
    reason: str
    interval: tuple[float, float] | None = None
    seeds: int = 1
    tolerance: float = 0.0
    explanation: str = ""

    @property
    def verdict(self) -> Literal["holds", "does not hold", "differs"]:
        """Whether the measured number stands in the relation; `differs` where it does not and the cause is known."""
        holds = {
            "<=": self.measured <= self.expected,
            ">=": self.measured >= self.expected,
            "=": abs(self.measured - self.expected) <= self.tolerance,
        }[self.relation]
        return "holds" if holds else "differs" if self.explanation else "does not hold"


class Finding(NamedTuple):
    """What one measurement gives: claims, and the numbers behind them as lists and dicts, for plots and the record."""

    claims: tuple[Claim, ...]
    data: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """An answered question, with all that is needed to repeat it."""

    name: str
    question: str
    answer: str
    claims: tuple[Claim, ...]
    data: dict[str, Any]
    config: dict[str, Any]
    seed: int
    seconds: float
    versions: dict[str, str]
    device: str


def run(
    experiment: ModuleType, config: Any, seed: int = 0, progress: Callable[[float], None] = lambda findings: None
) -> Result:
    """Run all findings of an experiment; progress is called with the number done, fractions included."""
    start = time.perf_counter()
    claims: list[Claim] = []
    data: dict[str, Any] = {}
    for i, measure in enumerate(experiment.FINDINGS):
        finding = measure(config, jax.random.fold_in(jax.random.key(seed), i), lambda share, i=i: progress(i + share))
        claims += finding.claims
        data |= finding.data
        progress(i + 1)
    return Result(
        name=experiment.__name__.rsplit(".", 1)[-1],
        question=experiment.QUESTION,
        answer=experiment.ANSWER.format(**{_identifier(claim.name): claim.measured for claim in claims}),
        claims=tuple(claims),
        data=data,
        config=dataclasses.asdict(config),
        seed=seed,
        seconds=time.perf_counter() - start,
        versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES},
        device=f"{jax.devices()[0].device_kind}, {platform.system()} on {os.cpu_count()} cores of {platform.machine()}",
    )


def as_record(result: Result) -> dict[str, Any]:
    """Return a result as plain JSON values, the verdicts included."""
    claims = [dataclasses.asdict(claim) | {"verdict": claim.verdict} for claim in result.claims]
    return dataclasses.asdict(result) | {"claims": claims}


def from_record(record: Mapping[str, Any]) -> Result:
    """Return the result that a record holds."""
    claims = (
        Claim(**{name: value for name, value in claim.items() if name != "verdict"}) for claim in record["claims"]
    )
    return Result(**{**record, "claims": tuple(claims)})


def median_and_interval(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median over seeds and its 95 % interval, by the bootstrap (Efron, 1979)."""
    sample = np.asarray(values, float)
    interval = stats.bootstrap((sample,), np.median, method="percentile", rng=np.random.default_rng(0))
    low, high = interval.confidence_interval
    return float(np.median(sample)), (float(low), float(high))


def new_folder(parent: Path) -> Path:
    """Make a folder named by the time; a run in the same second gets a number."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    for i in range(1000):
        folder = parent / (name if i == 0 else f"{name}-{i}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(f"{parent / name}: expected a new folder")


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
